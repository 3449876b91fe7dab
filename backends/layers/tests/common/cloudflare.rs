//! Over the fake of Workers KV, by HTTP on this machine.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use kv_api::{Error, ErrorKind, Result, Store, TokioTimer, async_trait};
use kv_cloudflare::{CloudflareConfig, CloudflareStore, Credentials, RemoteSettings, RetryPolicy};
use kv_conformance::{Fixture, Harness, Means, logs};
use kv_fakes::cloudflare::{ACCOUNT, Fake, NAMESPACE};
use kv_fakes::{FakeServer, ServerOptions};
use kv_testkit::{BothClocks, http_client};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value as Json, json};

use super::{System, Wrap, clock, wrapped};

/// The token that every store here is opened with; no output may show it.
pub(super) const TOKEN: &str = "c4nary-0f-th3-t0ken";

/// One that the fake does not know.
pub(super) const WRONG_TOKEN: &str = "a-wrong-token";

pub(crate) struct Cloudflare(Wrap);

impl System for Cloudflare {
    const NAME: &'static str = "the fake of Cloudflare";

    fn wrapped(wrap: Wrap) -> Self {
        Self(wrap)
    }
}

/// A running fake, its clock, the clock of this side, and how the stores on it are wrapped.
#[derive(Clone)]
pub(super) struct Running {
    pub(super) server: FakeServer,
    pub(super) clocks: BothClocks,
    http: reqwest::Client,
    wrap: Wrap,
}

impl Running {
    pub(super) async fn start(wrap: Wrap) -> Self {
        logs::watch(TOKEN);
        let clocks = BothClocks { system: clock(), client: clock() };
        let options = ServerOptions::new().with_clock(Arc::new(clocks.system.clone()));
        let server = Fake::new().with_token(TOKEN).serve(options).await.unwrap();
        Self { server, clocks, http: http_client(), wrap }
    }

    fn open(&self, token: &str, namespace: &str) -> Store {
        wrapped(self.backend(token, namespace), self.wrap, &self.clocks.client)
    }

    pub(super) fn backend(&self, token: &str, namespace: &str) -> CloudflareStore {
        let remote = RemoteSettings::default()
            .with_clock(Arc::new(self.clocks.client.clone()))
            .with_timer(Arc::new(TokioTimer))
            .with_retry(RetryPolicy::default().with_delays(Duration::ZERO, Duration::ZERO));
        let config = CloudflareConfig::new(ACCOUNT, namespace, Credentials::Token(token.into())).unwrap();
        let config = config.with_base_url(self.server.base_url()).unwrap().with_remote(remote);
        CloudflareStore::open(config).unwrap()
    }

    /// Another client's request, for a path below those of the account's namespaces.
    fn request(&self, method: Method, path: &str, body: &Json) -> RequestBuilder {
        let url = format!("{}/accounts/{ACCOUNT}/storage/kv/namespaces{path}", self.server.base_url());
        let request = self.http.request(method, url).bearer_auth(TOKEN);
        request.header("content-type", "application/json").body(body.to_string())
    }

    async fn open_namespace(self, title: String) -> Result<Store> {
        Ok(self.open(TOKEN, &self.make_namespace(&title).await))
    }

    /// The id of a new namespace of this title, made over the API.
    pub(super) async fn make_namespace(&self, title: &str) -> String {
        let answer = self.request(Method::POST, "", &json!({"title": title})).send().await.unwrap();
        let answer: Json = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        answer["result"]["id"].as_str().unwrap().to_owned()
    }

    pub(super) async fn restart(self) -> Result<()> {
        let failed = |error| Error::new(ErrorKind::Unavailable, "the fake does not come up again").with_source(error);
        self.server.restart().await.map_err(failed)
    }

    /// Another client's plain write.
    pub(super) async fn put(self, key: String, text: String) -> Result<()> {
        let items = json!([{"key": key, "value": BASE64_STANDARD.encode(text), "base64": true}]);
        let answer = self.request(Method::PUT, &format!("/{NAMESPACE}/bulk"), &items).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        Ok(())
    }
}

#[async_trait]
impl Harness for Cloudflare {
    async fn open(&self) -> Result<Fixture> {
        let running = Running::start(self.0).await;
        let [again, stranger, other, foreign, counting, restarted] = std::array::from_fn(|_| running.clone());
        Ok(Fixture::new(running.open(TOKEN, NAMESPACE))
            .with_time(running.clocks.clone())
            .with_client_clock(running.clocks.client.clone())
            .with_reopen(move || ready(Ok(again.open(TOKEN, NAMESPACE))))
            .with_wrong_credentials(move || ready(Ok(stranger.open(WRONG_TOKEN, NAMESPACE))))
            .with_namespaces(move |title| other.clone().open_namespace(title))
            .with_restart(move || restarted.clone().restart())
            .with_byte_order_marks_taken_off()
            .without(Means::ForeignTypeWriter, "Workers KV knows no types: whatever another client writes is a value")
            .with_foreign_writer(move |key, text| foreign.clone().put(key, text))
            .with_requests(move || counting.server.requests())
            .with_faults(running.server.clone())
            .with_secret(TOKEN, || logs::seen(TOKEN))
            .with_guard(running))
    }
}
