//! Bytes out, bytes back: one hive behind its address.

use std::fmt;
use std::sync::Arc;

use kv_api::{Clock, Result};
use kv_remote::http::{self, Base, HeaderMap, HeaderName, HeaderValue, Method, Url, secret_header};
use kv_remote::{Call, Idempotency, Redaction, Remote};

use crate::config::BackendlessConfig;
use crate::wire::{KEY_VALUE, Reply, Request};

/// One hive behind its address, which may hold the API key and is never shown.
pub(crate) struct Client {
    pub(crate) remote: Remote,
    http: http::Client,
    hive: Base,
    /// Where most requests go.
    key_value: Url,
    secrets: Redaction,
    clock: Arc<dyn Clock>,
}

impl Client {
    pub(crate) fn new(config: BackendlessConfig) -> Result<Self> {
        let mut headers = HeaderMap::new();
        if let Some(token) = &config.user_token {
            headers.insert(HeaderName::from_static("user-token"), secret_header("", token)?);
        }
        let hive = config.hive_url()?;
        let below = Base::new(&hive);
        Ok(Self {
            http: http::Client::new(&config.remote, &hive, headers, config.answer_bytes_max)?,
            key_value: below.at(KEY_VALUE)?,
            hive: below,
            secrets: Redaction::Secrets(config.secrets().into()),
            clock: config.remote.clock(),
            remote: Remote::new(config.remote),
        })
    }

    /// Sends a request, again where that is allowed, and reads its answer. What goes out is made for each attempt, when
    /// there is a place for it.
    pub(crate) async fn send<T: Send + 'static>(
        &self,
        call: &Call<'_>,
        idempotency: Idempotency,
        request: Request,
        read: impl Fn(Reply) -> Result<T> + Clone + Send + Sync + 'static,
    ) -> Result<kv_remote::Reply<T>> {
        let redaction = if request.carries_value { Redaction::Everything } else { self.secrets.clone() };
        let attempt = || {
            let addressed = self.addressed(&request);
            let body_bytes = addressed.as_ref().map_or(0, http::Request::body_bytes);
            let (read, redaction, clock) = (read.clone(), redaction.clone(), Arc::clone(&self.clock));
            let read = move |answer| read(Reply { answer, redaction, clock });
            (body_bytes, async move { self.http.send(addressed?).await?.read_with(read).await })
        };
        call.send_body(idempotency, attempt).await
    }

    /// Sends a request that only asks.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        call: &Call<'_>,
        request: Request,
        read: impl Fn(Reply) -> Result<T> + Clone + Send + Sync + 'static,
    ) -> Result<T> {
        Ok(self.send(call, Idempotency::Read, request, read).await?.answer)
    }

    fn addressed(&self, request: &Request) -> Result<http::Request> {
        let Request { method, path, body, answer_bytes_max, .. } = request;
        let url = if path == KEY_VALUE { self.key_value.clone() } else { self.hive.at(path)? };
        let mut request = http::Request::new(method.clone(), url).with_answer_bytes_max(*answer_bytes_max);
        match body {
            Some(body) => request = request.with_bytes("application/json", body.clone()),
            // A server may insist on the length of what it expects to have a body.
            None if request.method == Method::PUT => {
                request.headers.insert(http::header::CONTENT_LENGTH, HeaderValue::from_static("0"));
            }
            None => {}
        }
        Ok(request)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("hive", &self.hive).finish_non_exhaustive()
    }
}
