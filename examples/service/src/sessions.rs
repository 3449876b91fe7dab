//! Sessions: an entry that lives as long as it is used.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use kv_backends::{Feature, Result, Store};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::failure::Failure;
use crate::secret::{hex, secret};

/// How long a session lives without being used.
const LIFE: Duration = Duration::from_secs(30 * 60);

#[derive(Deserialize)]
pub(crate) struct Login {
    user: String,
}

#[derive(Serialize)]
pub(crate) struct Opened {
    session: String,
}

#[derive(Serialize)]
pub(crate) struct Session {
    user: String,
}

/// `POST /sessions`
pub(crate) async fn open(
    State(store): State<Store>,
    Json(login): Json<Login>,
) -> Result<(StatusCode, Json<Opened>), Failure> {
    let session = secret();
    store.set(key(&session), login.user).ttl(LIFE).await?;
    Ok((StatusCode::CREATED, Json(Opened { session })))
}

/// `GET /sessions/ID`
pub(crate) async fn read(
    State(store): State<Store>,
    Path(session): Path<String>,
) -> Result<Result<Json<Session>, StatusCode>, Failure> {
    let user = user_of(&store, &session).await?;
    Ok(user.map(|user| Json(Session { user })).ok_or(StatusCode::NOT_FOUND))
}

/// `DELETE /sessions/ID`
pub(crate) async fn close(State(store): State<Store>, Path(session): Path<String>) -> Result<StatusCode, Failure> {
    store.delete(key(&session)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whose session it is. To ask is to use it: it gets a new life in the same step, so that it cannot end between the two.
/// Where the store cannot do that, a session ends half an hour after it was opened.
pub(crate) async fn user_of(store: &Store, session: &str) -> Result<Option<String>> {
    let key = key(session);
    let found = if store.capabilities().supports(Feature::Touch) {
        store.get(&key).touch(LIFE).await?
    } else {
        store.get(&key).await?
    };
    Ok(found.and_then(|user| user.as_text().map(str::to_owned)))
}

/// The id of a session is a password, and keys are shown in errors and lists: so it is kept as a hash.
fn key(session: &str) -> String {
    format!("session/{}", hex(&Sha256::digest(session)))
}
