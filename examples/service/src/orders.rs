//! Orders: a step that is done once, however often it is asked for, and not too often.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header::RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use kv_backends::{Result, Store};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::sessions;

/// How many orders a user may place in a window.
const ORDERS_MAX: i64 = 5;
const WINDOW: Duration = Duration::from_secs(60);
/// How long the answer to an order is kept, for a client that did not hear it.
const ANSWER_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Deserialize, Serialize, PartialEq)]
pub(crate) struct Order {
    item: String,
    count: u32,
}

/// `POST /orders` with the headers `Authorization: Bearer SESSION` and `Idempotency-Key: ANYTHING`
pub(crate) async fn place(
    State(store): State<Store>,
    headers: HeaderMap,
    Json(order): Json<Order>,
) -> Result<Response, Failure> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(session) = header("authorization").and_then(|value| value.strip_prefix("Bearer ")) else {
        return Ok(StatusCode::UNAUTHORIZED.into_response());
    };
    let Some(user) = sessions::user_of(&store, session).await? else {
        return Ok(StatusCode::UNAUTHORIZED.into_response());
    };
    let Some(attempt) = header("idempotency-key").filter(|attempt| !attempt.is_empty()) else {
        return Ok((StatusCode::BAD_REQUEST, "the header Idempotency-Key is missing").into_response());
    };
    // The length stands in front, so that no user and attempt make the key of two others.
    let key = format!("order/{}/{user}/{attempt}", user.len());
    if let Some(first) = store.get_as::<Order>(&key).await? {
        return Ok(repeated(first, &order));
    }
    if is_too_often(&store, &user).await? {
        return Ok((StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, WINDOW.as_secs().to_string())]).into_response());
    }
    // Two attempts at once: the store decides who is first.
    if store.set_as(&key, &order).ttl(ANSWER_KEPT).if_not_exists().await?.is_written() {
        return Ok((StatusCode::CREATED, Json(order)).into_response());
    }
    let first = store.get_as::<Order>(&key).await?;
    Ok(first.map_or_else(|| StatusCode::CONFLICT.into_response(), |first| repeated(first, &order)))
}

/// A repeated attempt gets the first one's answer; another order under the same key is a mistake of the client.
fn repeated(first: Order, order: &Order) -> Response {
    if first == *order {
        (StatusCode::OK, Json(first)).into_response()
    } else {
        StatusCode::UNPROCESSABLE_ENTITY.into_response()
    }
}

/// Counts in a window that begins with the user's first order. The step that creates the counter gives it its life, so
/// that no counter lives for ever.
async fn is_too_often(store: &Store, user: &str) -> Result<bool> {
    Ok(store.increment(format!("rate/{user}"), 1).ttl_if_created(WINDOW).await? > ORDERS_MAX)
}
