//! Single values.

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_TYPE, ETAG, IF_MATCH};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use kv_api::{DeleteOutcome, EntryExpiry, Metadata, SetStatus, Value, Version};

use super::conditions::{self, Precondition};
use super::expiry::{Expiration, reported};
use super::{Answer, OPENING, json, metadata, multipart, refuse_encoded, success};
use crate::body::{Received, receive};
use crate::fault::{Fault, OUTCOME};
use crate::gateway::Gateway;
use crate::namespaces::Namespace;
use crate::query::first;

/// The Unix second from which on the entry is gone.
const EXPIRATION: HeaderName = HeaderName::from_static("expiration");

/// The bytes, as they are.
pub(super) async fn read(gateway: &Gateway, namespace: &Namespace, key: &str, headers: &HeaderMap) -> Answer {
    if headers.contains_key(IF_MATCH) {
        return Err(Fault::invalid("If-Match is a condition of a change"));
    }
    let entry = namespace.store().get_entry(key).await?.ok_or_else(Fault::key_not_found)?;
    let (expiry, version) = (entry.expiry(), entry.version().cloned());
    let mut response = if version.as_ref().is_some_and(|version| conditions::is_known(headers, version)) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        let bytes = gateway.admission().answer(entry.into_value().into_bytes())?;
        let mut response = Response::new(Body::from(bytes));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        response
    };
    add_tag(&mut response, version.as_ref());
    add_expiration(&mut response, expiry);
    Ok(response)
}

fn add_expiration(response: &mut Response, expiry: EntryExpiry) {
    if let Some(second) = reported(expiry) {
        response.headers_mut().insert(EXPIRATION, second.into());
    }
}

fn add_tag(response: &mut Response, version: Option<&Version>) {
    if let Some(tag) = version.and_then(conditions::tag) {
        response.headers_mut().insert(ETAG, tag);
    }
}

pub(super) async fn write(
    gateway: &Gateway,
    namespace: &Namespace,
    key: String,
    parameters: &[(String, String)],
    headers: &HeaderMap,
    body: Body,
) -> Answer {
    // What can be refused without the body is.
    let (ttl, at) = (first(parameters, "expiration_ttl"), first(parameters, "expiration"));
    let expiration = Expiration::of_texts(ttl, at, gateway.clock().now())?;
    let precondition = Precondition::of(headers, namespace.store().capabilities())?;
    refuse_encoded(headers)?;
    let mut received = receive(gateway, body, usize::MAX).await?;
    let is_form = multipart::is_form(headers);
    if is_form {
        received.take_apart()?;
    }
    let Received { bytes, room: _room } = received;
    let (value, metadata) = if is_form {
        let form = multipart::read(headers, bytes, namespace.store().capabilities(), gateway.workers());
        let form = Box::pin(form).await?;
        (form.value, form.metadata)
    } else {
        (bytes, None)
    };
    set(namespace, key, value, metadata, expiration, precondition).await
}

async fn set(
    namespace: &Namespace,
    key: String,
    value: Bytes,
    metadata: Option<Metadata>,
    expiration: Expiration,
    precondition: Precondition,
) -> Answer {
    // Text where it is that, so that a store which keeps kinds shows it as such to others.
    let mut set = namespace.store().set(key, Value::from_foreign(value));
    if let Some(metadata) = metadata {
        set = set.metadata(metadata);
    }
    set = match expiration {
        Expiration::Never => set,
        Expiration::After(ttl) => set.ttl(ttl),
        Expiration::At(at) => set.expire_at(at),
    };
    set = match precondition {
        Precondition::Always => set,
        Precondition::IfNotExists => set.if_not_exists(),
        Precondition::IfExists => set.if_exists(),
        Precondition::IfVersion(version) => set.if_version(version),
    };
    let outcome = set.await?;
    let shown = match outcome.status() {
        SetStatus::Created => "created",
        SetStatus::Updated => "updated",
        SetStatus::NotMet => return Err(Fault::not_met()),
        _ => "stored",
    };
    let mut response = done(shown);
    add_tag(&mut response, outcome.version());
    Ok(response)
}

pub(super) async fn delete(namespace: &Namespace, key: &str, headers: &HeaderMap) -> Answer {
    let delete = namespace.store().delete(key);
    let outcome = match Precondition::of(headers, namespace.store().capabilities())? {
        Precondition::Always => delete.await?,
        Precondition::IfVersion(version) => delete.if_version(version).await?,
        Precondition::IfNotExists | Precondition::IfExists => {
            return Err(Fault::invalid("the condition of a delete is If-Match with one entity tag"));
        }
    };
    match outcome {
        DeleteOutcome::Deleted => Ok(done("deleted")),
        DeleteOutcome::NotFound => Ok(done("not-found")),
        DeleteOutcome::NotMet => Err(Fault::not_met()),
        _ => Ok(done("accepted")),
    }
}

pub(super) async fn read_metadata(gateway: &Gateway, namespace: &Namespace, key: &str) -> Answer {
    let entry = namespace.store().get_entry(key).await?.ok_or_else(Fault::key_not_found)?;
    let text = format!("{OPENING}{}}}", metadata::shown(entry.metadata()));
    Ok(json(StatusCode::OK, gateway.admission().answer(text.into())?))
}

fn done(outcome: &'static str) -> Response {
    let mut response = success("null");
    response.headers_mut().insert(OUTCOME, HeaderValue::from_static(outcome));
    response
}
