//! Cloudflare's REST dialect for Workers KV, and what is ours in it.

mod bulk;
mod conditions;
mod expiry;
mod keys;
mod metadata;
mod multipart;
mod namespaces;
mod target;
mod values;

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH, TRANSFER_ENCODING};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::admission::Place;
use crate::deadline::within;
use crate::fault::{Asked, Fault};
use crate::gateway::{Gateway, UnderWay};
use crate::namespaces::Namespace;
use crate::query;
use target::{Operation, Target};

type Answer = Result<Response, Fault>;

/// Any request that is not for a page of our own.
pub(crate) async fn handle(State(gateway): State<Gateway>, request: Request) -> Response {
    let mut place = match gateway.admission().enter() {
        Ok(place) => place,
        Err(fault) => return fault.into_response(),
    };
    let (parts, body) = request.into_parts();
    let target = match Target::of(&parts.method, parts.uri.path()) {
        Ok(target) => target,
        Err(fault) => return place.keep_with(fault.into_response()),
    };
    let mut under_way = UnderWay::new(&gateway, target.operation.name(), target.operation.writes());
    let answer = answer(&gateway, &target, &parts, body, under_way.namespace(), &mut place);
    let answer = within(gateway.timer(), gateway.limits().request_time, answer).await;
    let response = answer.unwrap_or_else(|| Err(Fault::late())).unwrap_or_else(|fault| {
        fault.log(1);
        fault.of_call(asked(target.operation, &parts.headers)).into_response()
    });
    under_way.ended(response.status());
    place.keep_with(response)
}

fn asked(operation: Operation, headers: &HeaderMap) -> Asked {
    let is_conditional = || [IF_MATCH, IF_NONE_MATCH].iter().any(|name| headers.contains_key(name));
    match operation.writes() {
        false => Asked::Read,
        true if is_conditional() => Asked::Step,
        true => Asked::State,
    }
}

/// Who asks, for what, and what comes of it. The namespace is noted once it is known that the caller may know of it.
async fn answer(
    gateway: &Gateway,
    target: &Target<'_>,
    parts: &Parts,
    body: Body,
    noted: &mut Option<Arc<Namespace>>,
    place: &mut Place,
) -> Answer {
    let grant = gateway.grant(&parts.headers)?;
    gateway.check_account(target.account)?;
    let operation = target.operation;
    if !grant.allows(operation.writes()) {
        return Err(Fault::forbidden());
    }
    if !operation.takes_condition() {
        conditions::refuse(&parts.headers)?;
    }
    match operation {
        Operation::ListNamespaces => return namespaces::list(gateway, &grant, &parameters(parts)?),
        Operation::CreateNamespace => return Err(namespaces::configured("creating a namespace")),
        _ => {}
    }
    let found = gateway.find(&grant, target.namespace, operation.name())?;
    let namespace = &**noted.insert(Arc::clone(found));
    if operation.writes() && namespace.is_read_only() {
        return Err(Fault::read_only());
    }
    if !operation.writes() {
        // Before the store is asked for what there would be no room for.
        gateway.admission().answers().check()?;
    }
    let headers = &parts.headers;
    // Boxed where the work is long, so that what is short does not move futures of that size.
    match operation {
        Operation::GetNamespace => Ok(success(&namespaces::shown(namespace))),
        Operation::RenameNamespace => Err(namespaces::configured("renaming a namespace")),
        Operation::RemoveNamespace => Err(namespaces::configured("removing a namespace")),
        Operation::ReadValue => values::read(gateway, namespace, &target.key()?, headers).await,
        Operation::WriteValue => {
            let (key, parameters) = (target.key()?, parameters(parts)?);
            values::write(gateway, namespace, key, &parameters, headers, body).await
        }
        Operation::DeleteValue => values::delete(namespace, &target.key()?, headers).await,
        Operation::ReadMetadata => values::read_metadata(gateway, namespace, &target.key()?).await,
        Operation::ListKeys => Box::pin(keys::list(gateway, namespace, &parameters(parts)?)).await,
        Operation::BulkWrite => Box::pin(bulk::write(gateway, namespace, headers, body, place)).await,
        Operation::BulkDelete => Box::pin(bulk::delete(gateway, namespace, headers, body, place)).await,
        Operation::BulkGet => Box::pin(bulk::get(gateway, namespace, headers, body)).await,
        Operation::ListNamespaces | Operation::CreateNamespace => Err(Fault::no_route()),
    }
}

fn parameters(parts: &Parts) -> Result<Vec<(String, String)>, Fault> {
    Ok(query::parameters(parts.uri.query().unwrap_or_default())?)
}

/// A value that is compressed on the way would be stored as it came.
fn refuse_encoded(headers: &HeaderMap) -> Result<(), Fault> {
    let is_all = |name, plain: &[u8]| {
        headers.get_all(name).iter().all(|value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(plain))
    };
    if is_all(CONTENT_ENCODING, b"identity") && is_all(TRANSFER_ENCODING, b"chunked") {
        Ok(())
    } else {
        Err(Fault::unsupported_encoding())
    }
}

pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::from(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// What stands before the result in the envelope of a success without messages.
const OPENING: &str = r#"{"success":true,"errors":[],"messages":[],"result":"#;

/// The envelope of a success. `result` is JSON.
fn success(result: &str) -> Response {
    json(StatusCode::OK, format!("{OPENING}{result}}}"))
}
