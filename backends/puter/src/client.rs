//! Bytes out, bytes back: requests, their retries, and the reading of their answers.

use std::fmt;

use kv_api::{Error, ErrorKind, Result, Retry};
use kv_remote::http::{self, HeaderMap, Request, header, secret_header};
use kv_remote::{Call, Idempotency, Remote, SecretString};

use crate::config::PuterConfig;
use crate::wire::{Quote, Reply, Requests};

/// The longest answer that is read: of a get of many the storage gives up to 16 MB, of which each byte may be an escape of six.
const ANSWER_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Whether a text of the system may be shown in an error: not when the request carried a value, which the text may quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carries {
    NoValue,
    Values,
}

/// What sends the requests of one namespace.
pub(crate) struct Client {
    pub(crate) remote: Remote,
    pub(crate) requests: Requests,
    http: http::Client,
    token: SecretString,
}

impl Client {
    pub(crate) fn new(config: PuterConfig) -> Result<Self> {
        let PuterConfig { token, base, app, connect, remote, .. } = config;
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, secret_header("Bearer ", &token)?);
        let http = match (connect, base.domain()) {
            (Some(address), Some(_)) => {
                http::Client::connecting_to(&remote, &base, address, headers, ANSWER_BYTES_MAX)?
            }
            // Nobody looks up a host that is an address itself: the one given would go unused.
            (Some(_), None) => {
                let message = "an address to connect to takes a host name in the origin, not another address";
                return Err(Error::new(ErrorKind::InvalidArgument, message));
            }
            (None, _) => http::Client::new(&remote, &base, headers, ANSWER_BYTES_MAX)?,
        };
        Ok(Self { remote: Remote::new(remote), requests: Requests::new(&base, app.as_deref())?, http, token })
    }

    /// Makes one attempt of a request, and reads its answer.
    pub(crate) async fn attempt<T>(
        &self,
        request: Request,
        carries: Carries,
        read: impl FnOnce(Reply<'_>) -> Result<T> + Send,
    ) -> Result<T> {
        let answer = self.http.send(request).await?;
        let quote = match carries {
            Carries::NoValue => Quote::Without(&self.token),
            Carries::Values => Quote::Nothing,
        };
        read(Reply { answer: answer.answer(), quote, clock: self.remote.clock() })
    }

    /// Sends a request, again where that is allowed, and reads its answer. It is made anew at each attempt.
    pub(crate) async fn send<T: Send>(
        &self,
        call: &Call<'_>,
        idempotency: Idempotency,
        request: impl Fn() -> Request + Send + Sync,
        carries: Carries,
        read: impl Fn(Reply<'_>) -> Result<T> + Send + Sync,
    ) -> Result<T> {
        Ok(call.send(idempotency, || self.attempt(request(), carries, &read)).await?.answer)
    }

    /// As [`send`](Self::send), but an error that `settles` is an answer: it is not followed by another attempt.
    pub(crate) async fn send_until<T: Send>(
        &self,
        call: &Call<'_>,
        idempotency: Idempotency,
        request: impl Fn() -> Request + Send + Sync,
        carries: Carries,
        read: impl Fn(Reply<'_>) -> Result<T> + Send + Sync,
        settles: fn(&Error) -> bool,
    ) -> Result<Result<T>> {
        let read = |reply: Reply<'_>| match read(reply) {
            Err(error) if settles(&error) => Ok(Err(error)),
            result => result.map(Ok),
        };
        let reply = call.send(idempotency, || self.attempt(request(), carries, read)).await?;
        Ok(reply.answer.map_err(|error| if reply.repeated { error.with_retry(Retry::OutcomeUnknown) } else { error }))
    }

    /// Sends a request that only asks.
    pub(crate) async fn ask<T: Send>(
        &self,
        call: &Call<'_>,
        request: Request,
        read: impl Fn(Reply<'_>) -> Result<T> + Send + Sync,
    ) -> Result<T> {
        self.send(call, Idempotency::Read, || request.clone(), Carries::NoValue, read).await
    }
}

/// Shows no token.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}
