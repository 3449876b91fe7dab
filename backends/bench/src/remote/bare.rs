//! What a program without this library would do: reqwest, with the same requests.

use std::net::SocketAddr;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Client, Method};

use super::server::{KEY, VALUE};
use crate::measure::Result;

/// The two requests of a system.
#[derive(Clone)]
pub(crate) struct Bare {
    client: Client,
    get: Parts,
    set: Parts,
}

#[derive(Clone)]
struct Parts {
    method: Method,
    url: String,
    content_type: &'static str,
    body: String,
    token: Option<String>,
}

impl Bare {
    /// The requests of Cloudflare's adapter.
    pub(crate) fn cloudflare(server: SocketAddr, account: &str, namespace: &str, token: &str) -> Self {
        let root = format!("http://{server}/client/v4/accounts/{account}/storage/kv/namespaces/{namespace}");
        let token = Some(format!("Bearer {token}"));
        Self {
            client: Client::new(),
            get: Parts {
                method: Method::POST,
                url: format!("{root}/bulk/get"),
                content_type: "application/json",
                body: format!(r#"{{"keys":["{KEY}"],"type":"text","withMetadata":true}}"#),
                token: token.clone(),
            },
            set: Parts {
                method: Method::PUT,
                url: format!("{root}/values/{}", KEY.replace('/', "%2F")),
                content_type: "application/octet-stream",
                body: VALUE.to_owned(),
                token,
            },
        }
    }

    /// The requests of Backendless' adapter.
    pub(crate) fn backendless(server: SocketAddr, application: &str, key: &str, hive: &str) -> Self {
        let url = format!("http://{server}/{application}/{key}/hive/{hive}/key-value");
        let json = "application/json";
        Self {
            client: Client::new(),
            get: Parts {
                method: Method::POST,
                url: url.clone(),
                content_type: json,
                body: format!(r#"["{KEY}"]"#),
                token: None,
            },
            set: Parts {
                method: Method::PUT,
                url,
                content_type: json,
                body: format!(r#"{{"{KEY}":"{VALUE}"}}"#),
                token: None,
            },
        }
    }

    /// Gets, and reads the whole answer without a look at it.
    ///
    /// # Errors
    /// When the answer is not what the server gives.
    pub(crate) async fn get(&self) -> Result<()> {
        let bytes = self.send(&self.get).await?;
        if bytes > VALUE.len() { Ok(()) } else { Err("an answer without the value".into()) }
    }

    /// Sets, and reads the whole answer without a look at it.
    ///
    /// # Errors
    /// When the answer is no success.
    pub(crate) async fn set(&self) -> Result<()> {
        self.send(&self.set).await.map(drop)
    }

    async fn send(&self, parts: &Parts) -> Result<usize> {
        let mut request = self
            .client
            .request(parts.method.clone(), &parts.url)
            .header(CONTENT_TYPE, parts.content_type)
            .body(parts.body.clone());
        if let Some(token) = &parts.token {
            request = request.header(AUTHORIZATION, token);
        }
        Ok(request.send().await?.error_for_status()?.bytes().await?.len())
    }
}
