//! Bytes out, bytes back: one hive behind its address.

use std::fmt;

use kv_api::Result;
use kv_remote::http::{self, HeaderMap, HeaderName, HeaderValue, Method, Url, address, secret_header};
use kv_remote::{Call, Idempotency, Remote, SecretString};

use crate::config::BackendlessConfig;
use crate::wire::{Quote, Reply, Request};

/// One hive behind its address, which may hold the API key and is never shown.
pub(crate) struct Client {
    http: http::Client,
    hive: Url,
    secrets: Vec<SecretString>,
    pub(crate) remote: Remote,
}

impl Client {
    pub(crate) fn new(config: BackendlessConfig) -> Result<Self> {
        let mut headers = HeaderMap::new();
        if let Some(token) = &config.user_token {
            headers.insert(HeaderName::from_static("user-token"), secret_header("", token)?);
        }
        let hive = config.hive_url()?;
        Ok(Self {
            http: http::Client::new(&config.remote, &hive, headers, config.answer_bytes_max)?,
            hive,
            secrets: config.secrets(),
            remote: Remote::new(config.remote),
        })
    }

    /// Sends a request, again where that is allowed, and reads its answer.
    pub(crate) async fn send<T: Send>(
        &self,
        call: &Call<'_>,
        idempotency: Idempotency,
        request: Request,
        read: impl Fn(Reply<'_>) -> Result<T> + Send + Sync,
    ) -> Result<kv_remote::Reply<T>> {
        let Request { method, path, body, carries_value } = request;
        let url = address(&self.hive, &path)?;
        let request = match body {
            Some(body) => http::Request::new(method, url).with_bytes("application/json", body),
            None => {
                let mut request = http::Request::new(method, url);
                if request.method == Method::PUT {
                    // A server may insist on the length of what it expects to have a body.
                    request.headers.insert(http::header::CONTENT_LENGTH, HeaderValue::from_static("0"));
                }
                request
            }
        };
        let secrets: Vec<&SecretString> = self.secrets.iter().collect();
        let secrets = if carries_value { Quote::Nothing } else { Quote::Without(&secrets) };
        call.send(idempotency, || async {
            let answer = self.http.send(request.clone()).await?;
            read(Reply { answer: answer.answer(), secrets, clock: self.remote.clock() })
        })
        .await
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("origin", &self.hive.origin().ascii_serialization()).finish_non_exhaustive()
    }
}
