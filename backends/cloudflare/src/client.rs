//! Bytes out and back: requests, their retries, and the reading of their answers.

use std::sync::Arc;

use kv_api::{Clock, Result};
use kv_remote::http::{self, Answer, HeaderMap, HeaderName, Received, Request, header, secret_header};
use kv_remote::{Call, Idempotency, Redaction, Remote, Reply, SecretString};

use crate::config::{CloudflareConfig, Credentials};
use crate::wire::{ANSWER_BYTES_MAX, Answers, Requests};

const AUTH_EMAIL: HeaderName = HeaderName::from_static("x-auth-email");
const AUTH_KEY: HeaderName = HeaderName::from_static("x-auth-key");

/// What sends requests of one namespace.
pub(crate) struct Client {
    pub(crate) remote: Remote,
    pub(crate) requests: Requests,
    pub(crate) http: http::Client,
    clock: Arc<dyn Clock>,
    secrets: Arc<[SecretString]>,
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
            clock: remote.clock(),
            remote: Remote::new(remote),
            secrets: credentials.secrets().into(),
        })
    }

    /// What to take out of a text of the service, when the request carried no value that it may quote (ERR-2).
    pub(crate) fn secrets(&self) -> Redaction {
        Redaction::Secrets(Arc::clone(&self.secrets))
    }

    /// Reads the answer to one attempt.
    pub(crate) async fn read_answer<T: Send + 'static>(
        &self,
        received: Received,
        redaction: Redaction,
        read: impl FnOnce(&Answers, &Answer) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let answers = Answers { clock: Arc::clone(&self.clock), redaction };
        received.read_with(move |answer| read(&answers, &answer)).await
    }

    /// Sends a request as often as the policy allows. It is made for each attempt, when there is a place for it.
    pub(crate) async fn send<T: Send + 'static>(
        &self,
        call: &Call<'_>,
        idempotency: Idempotency,
        request: impl Fn() -> Result<Request> + Send + Sync,
        redaction: Redaction,
        read: impl Fn(&Answers, &Answer) -> Result<T> + Clone + Send + Sync + 'static,
    ) -> Result<Reply<T>> {
        let attempt = || {
            let request = request();
            let body_bytes = request.as_ref().map_or(0, Request::body_bytes);
            let (redaction, read) = (redaction.clone(), read.clone());
            let sending = async move { self.read_answer(self.http.send(request?).await?, redaction, read).await };
            (body_bytes, sending)
        };
        call.send_body(idempotency, attempt).await
    }

    /// Sends a request that only asks.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        call: &Call<'_>,
        request: impl Fn() -> Result<Request> + Send + Sync,
        read: impl Fn(&Answers, &Answer) -> Result<T> + Clone + Send + Sync + 'static,
    ) -> Result<T> {
        Ok(self.send(call, Idempotency::Read, request, self.secrets(), read).await?.answer)
    }
}
