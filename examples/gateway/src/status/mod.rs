//! The status page: what is served, and how it goes. Rendered here; no script, no build step, nothing from elsewhere.

mod frame;
mod overview;
mod stored;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use maud::Markup;

use crate::deadline::within;
use crate::fault::Fault;
use crate::gateway::{Gateway, UnderWay};
use crate::namespaces::Namespace;
use crate::query;
use crate::tokens::Grant;

/// Nothing but our own style sheet and forms; nobody may frame the page.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

pub(crate) fn routes() -> Router<Gateway> {
    Router::new().route("/", get(overview)).route("/keys", get(keys)).route("/style.css", get(style))
}

async fn style() -> Response {
    let mut response = include_str!("style.css").into_response();
    protect(&mut response, "text/css; charset=utf-8");
    response
}

/// `GET /`: namespaces, what their stores can do, counts, and the latest calls.
async fn overview(State(gateway): State<Gateway>, headers: HeaderMap) -> Response {
    let grant = match gateway.grant_to_person(&headers) {
        Ok(grant) => grant,
        Err(fault) => return refused(&fault),
    };
    match gateway.admission().answer(overview::page(&gateway, &grant).0.into()) {
        Ok(page) => shown(StatusCode::OK, page),
        Err(fault) => refused(&fault),
    }
}

/// `GET /keys?namespace=N`: a page of keys, by `prefix` and `cursor`; or one entry, by `key`.
async fn keys(State(gateway): State<Gateway>, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let place = match gateway.admission().enter() {
        Ok(place) => place,
        Err(fault) => return refused(&fault),
    };
    let mut under_way = UnderWay::new(&gateway, "look at keys", false);
    let page = keys_page(&gateway, &headers, query.as_deref().unwrap_or_default(), under_way.namespace());
    let page = within(gateway.timer(), gateway.limits().request_time, page).await;
    let page = page.unwrap_or_else(|| Err(Fault::late()));
    let response = match page.and_then(|page| gateway.admission().answer(page.0.into())) {
        Ok(page) => shown(StatusCode::OK, page),
        Err(fault) => {
            fault.log(1);
            refused(&fault)
        }
    };
    under_way.ended(response.status());
    place.keep_with(response)
}

/// The namespace is noted once it is known that the person may know of it.
async fn keys_page(
    gateway: &Gateway,
    headers: &HeaderMap,
    query: &str,
    noted: &mut Option<Arc<Namespace>>,
) -> Result<Markup, Fault> {
    let grant = gateway.grant_to_person(headers)?;
    let parameters = query::parameters(query)?;
    gateway.admission().answers().check()?;
    let given = |name| query::first(&parameters, name).unwrap_or_default();
    let namespace = &**noted.insert(Arc::clone(readable(gateway, &grant, given("namespace"))?));
    match given("key") {
        "" => stored::keys(namespace, given("prefix"), given("cursor")).await,
        key => stored::entry(namespace, key).await,
    }
}

/// A namespace whose entries the person may see.
fn readable<'g>(gateway: &'g Gateway, grant: &Grant, name: &str) -> Result<&'g Arc<Namespace>, Fault> {
    let namespace = gateway.find(grant, name, "list keys")?;
    if grant.allows(false) { Ok(namespace) } else { Err(Fault::forbidden()) }
}

fn refused(fault: &Fault) -> Response {
    let mut response = shown(fault.status, frame::refusal(fault).0);
    if fault.status == StatusCode::UNAUTHORIZED {
        // So that a browser asks for the token.
        let scheme = HeaderValue::from_static(crate::access::BASIC);
        response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
    }
    response
}

fn shown(status: StatusCode, page: impl Into<Body>) -> Response {
    let mut response = Response::new(page.into());
    *response.status_mut() = status;
    protect(&mut response, "text/html; charset=utf-8");
    response
}

fn protect(response: &mut Response, kind: &'static str) {
    const HEADERS: [(HeaderName, &str); 4] = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
    ];
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
