//! Bytes out, bytes back: requests, their retries, and the reading of their answers.

use std::fmt;
use std::sync::Arc;

use kv_api::{Clock, Error, ErrorKind, Result, Retry};
use kv_remote::http::{self, HeaderMap, header, secret_header};
use kv_remote::{Call, Idempotency, Redaction, Remote};

use crate::config::PuterConfig;
use crate::wire::{Reply, Request, Requests};

/// The longest answer that is read: of a get of many the storage gives up to 16 MB, of which each byte may be an escape
/// of six.
const ANSWER_BYTES_MAX: usize = 128 * 1024 * 1024;

/// What sends the requests of one namespace.
pub(crate) struct Client {
    pub(crate) remote: Remote,
    pub(crate) requests: Requests,
    http: http::Client,
    secrets: Redaction,
    clock: Arc<dyn Clock>,
}

impl Client {
    pub(crate) fn new(config: PuterConfig) -> Result<Self> {
        let secrets = Redaction::Secrets(config.secrets().into());
        let PuterConfig { token, base, app, connect, remote, .. } = config;
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, secret_header("Bearer ", &token)?);
        let http = match (connect, base.domain()) {
            (Some(address), Some(_)) => {
                http::Client::connecting_to(&remote, &base, address, headers, ANSWER_BYTES_MAX)?
            }
            // A host that is an address itself is not looked up: the one given would go unused.
            (Some(_), None) => {
                let message = "an address to connect to takes a host name in the origin, not another address";
                return Err(Error::new(ErrorKind::InvalidArgument, message));
            }
            (None, _) => http::Client::new(&remote, &base, headers, ANSWER_BYTES_MAX)?,
        };
        let (requests, clock) = (Requests::new(&base, app.as_deref())?, remote.clock());
        Ok(Self { remote: Remote::new(remote), requests, http, secrets, clock })
    }

    /// Sends a request, again where that is allowed, and reads its answer. It is made anew at each attempt.
    pub(crate) async fn send<T: Send + 'static>(
        &self,
        call: &Call<'_>,
        idempotency: Idempotency,
        request: impl Fn() -> Request + Send + Sync,
        read: impl Fn(Reply) -> Result<T> + Clone + Send + Sync + 'static,
    ) -> Result<T> {
        Ok(call.send_body(idempotency, || self.attempt(request(), read.clone())).await?.answer)
    }

    /// As [`send`](Self::send), but an error that `settles` is an answer: it is not followed by another attempt.
    pub(crate) async fn send_until<T: Send + 'static>(
        &self,
        call: &Call<'_>,
        idempotency: Idempotency,
        request: impl Fn() -> Request + Send + Sync,
        read: impl Fn(Reply) -> Result<T> + Clone + Send + Sync + 'static,
        settles: fn(&Error) -> bool,
    ) -> Result<Result<T>> {
        let read = move |reply: Reply| match read(reply) {
            Err(error) if settles(&error) => Ok(Err(error)),
            result => result.map(Ok),
        };
        let reply = call.send_body(idempotency, || self.attempt(request(), read.clone())).await?;
        Ok(reply.answer.map_err(|error| if reply.repeated { error.with_retry(Retry::OutcomeUnknown) } else { error }))
    }

    /// Sends a request that only asks.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        call: &Call<'_>,
        request: Request,
        read: impl Fn(Reply) -> Result<T> + Clone + Send + Sync + 'static,
    ) -> Result<T> {
        self.send(call, Idempotency::Read, || request.clone(), read).await
    }

    /// What makes one attempt of a request and reads its answer, and how long the body is.
    fn attempt<T: Send + 'static>(
        &self,
        request: Request,
        read: impl FnOnce(Reply) -> Result<T> + Send + 'static,
    ) -> (usize, impl Future<Output = Result<T>> + Send) {
        let Request { http, carries_value } = request;
        let redaction = if carries_value { Redaction::Everything } else { self.secrets.clone() };
        let clock = Arc::clone(&self.clock);
        let read = move |answer| read(Reply { answer, redaction, clock });
        (http.body_bytes(), async move { self.http.send(http).await?.read_with(read).await })
    }
}

/// Shows no token.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}
