//! Feature flags: a setting that nobody overwrites unseen.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kv_backends::{Result, Store, Version};

use crate::failure::Failure;

/// `GET /flags/NAME`: the flag, with its version as `ETag`
pub(crate) async fn read(State(store): State<Store>, Path(name): Path<String>) -> Result<Response, Failure> {
    let Some(entry) = store.get_entry(key(&name)).await? else { return Ok(StatusCode::NOT_FOUND.into_response()) };
    let body = entry.value().as_bytes().to_vec();
    Ok(match entry.version() {
        Some(version) => ([(header::ETAG, tag(version))], body).into_response(),
        None => body.into_response(),
    })
}

/// `PUT /flags/NAME` with `If-Match: "VERSION"`, or `If-None-Match: *` for a new flag
pub(crate) async fn write(
    State(store): State<Store>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failure> {
    let Ok(text) = String::from_utf8(body.into()) else { return Ok(StatusCode::UNPROCESSABLE_ENTITY.into_response()) };
    let set = store.set(key(&name), text);
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let set = match (header(header::IF_MATCH), header(header::IF_NONE_MATCH)) {
        (Some(tag), None) => match tag.trim_matches('"').parse::<Version>() {
            Ok(version) => set.if_version(version),
            Err(_) => return Ok(StatusCode::PRECONDITION_FAILED.into_response()),
        },
        (None, Some("*")) => set.if_not_exists(),
        _ => return Ok(StatusCode::PRECONDITION_REQUIRED.into_response()),
    };
    let outcome = set.await?;
    Ok(match outcome.version() {
        _ if !outcome.is_written() => StatusCode::PRECONDITION_FAILED.into_response(),
        Some(version) => (StatusCode::NO_CONTENT, [(header::ETAG, tag(version))]).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

fn tag(version: &Version) -> String {
    format!("\"{version}\"")
}

fn key(name: &str) -> String {
    format!("flag/{name}")
}
