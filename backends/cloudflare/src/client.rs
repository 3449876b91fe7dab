//! Bytes out and back: requests, their retries, and the reading of their answers.

use kv_api::Result;
use kv_remote::http::{self, Answer, HeaderMap, HeaderName, Request, header, secret_header};
use kv_remote::{Call, Idempotency, Remote, Reply, SecretString};

use crate::config::{CloudflareConfig, Credentials};
use crate::wire::{Answers, GET_KEYS_MAX, Requests};

const AUTH_EMAIL: HeaderName = HeaderName::from_static("x-auth-email");
const AUTH_KEY: HeaderName = HeaderName::from_static("x-auth-key");

/// The longest answer that makes sense: the values of a bulk get, 25 MiB together, each byte as a JSON escape of six, and
/// beside each of them key and metadata, with the same.
const ANSWER_BYTES_MAX: usize = 6 * (26_214_400 + GET_KEYS_MAX * (512 + 1024)) + GET_KEYS_MAX * 128 + 1024;

/// Whether a text of the service may be shown in an error: not when the request carried a value, which the text may quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carries {
    NoValue,
    Values,
}

/// What sends requests of one namespace.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) remote: Remote,
    pub(crate) requests: Requests,
    http: http::Client,
    secrets: Vec<SecretString>,
}

impl Client {
    pub(crate) fn new(config: CloudflareConfig) -> Result<Self> {
        let CloudflareConfig { account_id, namespace_id, credentials, base_url, remote } = config;
        let mut headers = HeaderMap::new();
        match &credentials {
            Credentials::Token(token) => {
                headers.insert(header::AUTHORIZATION, secret_header("Bearer ", token)?);
            }
            Credentials::GlobalKey { email, key } => {
                headers.insert(AUTH_EMAIL, secret_header("", email)?);
                headers.insert(AUTH_KEY, secret_header("", key)?);
            }
        }
        Ok(Self {
            requests: Requests::new(&base_url, &account_id, &namespace_id)?,
            http: http::Client::new(&remote, &base_url, headers, ANSWER_BYTES_MAX)?,
            remote: Remote::new(remote),
            secrets: credentials.secrets(),
        })
    }

    /// Makes one attempt of a request, and reads its answer.
    pub(crate) async fn attempt<T>(
        &self,
        request: Request,
        carries: Carries,
        read: impl FnOnce(Answers<'_>, Answer) -> Result<T> + Send,
    ) -> Result<T> {
        let answer = self.http.send(request).await?;
        let secrets = match carries {
            Carries::NoValue => Some(&*self.secrets),
            Carries::Values => None,
        };
        read(Answers { clock: self.remote.clock(), secrets }, answer.answer().clone())
    }

    /// Sends a request as often as the policy allows.
    pub(crate) async fn send<T: Send>(
        &self,
        call: &Call<'_>,
        idempotency: Idempotency,
        request: &Request,
        carries: Carries,
        read: impl Fn(Answers<'_>, Answer) -> Result<T> + Send + Sync,
    ) -> Result<Reply<T>> {
        call.send(idempotency, || self.attempt(request.clone(), carries, &read)).await
    }

    /// Sends a request that only asks.
    pub(crate) async fn ask<T: Send>(
        &self,
        call: &Call<'_>,
        request: &Request,
        read: impl Fn(Answers<'_>, Answer) -> Result<T> + Send + Sync,
    ) -> Result<T> {
        Ok(self.send(call, Idempotency::Read, request, Carries::NoValue, read).await?.answer)
    }
}
