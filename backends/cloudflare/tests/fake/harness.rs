//! A running fake, and what there is around a store on it.

use std::future::ready;
use std::sync::Arc;

use bytes::Bytes;
use kv_api::{Error, ErrorKind, ManualClock, Result, Store, Timestamp, async_trait};
use kv_cloudflare::{CloudflareConfig, CloudflareStore, Credentials, RemoteSettings};
use kv_conformance::{Fixture, Harness, Means, logs};
use kv_fakes::cloudflare::{ACCOUNT, Fake, NAMESPACE};
use kv_fakes::{FakeServer, ServerOptions};
use kv_testkit::{RemoteSystem, http_client};
use serde_json::{Value as Json, json};

/// The token that every store here is opened with; no output may show it.
pub(crate) const TOKEN: &str = "c4nary-0f-th3-t0ken";

/// A fake, its clock, and the clock of this side.
#[derive(Clone)]
pub(crate) struct System {
    pub(crate) server: FakeServer,
    pub(crate) clock: ManualClock,
    pub(crate) client_clock: ManualClock,
    http: reqwest::Client,
}

impl System {
    pub(crate) async fn start_as(set: impl FnOnce(Fake) -> Fake) -> Self {
        logs::watch(TOKEN);
        // Between two whole seconds.
        let now = Timestamp::from_unix_micros(1_795_161_822_123_456);
        let (clock, client_clock) = (ManualClock::new(now), ManualClock::new(now));
        let options = ServerOptions::new().with_clock(Arc::new(clock.clone()));
        let server = set(Fake::new().with_token(TOKEN)).serve(options).await.unwrap();
        Self { server, clock, client_clock, http: http_client() }
    }

    pub(crate) fn config(&self, namespace: &str) -> CloudflareConfig {
        self.config_of(TOKEN, namespace)
    }

    fn config_of(&self, token: &str, namespace: &str) -> CloudflareConfig {
        let token = Credentials::Token(token.into());
        let config = CloudflareConfig::new(ACCOUNT, namespace, token).unwrap();
        config.with_base_url(self.server.base_url()).unwrap().with_remote(self.remote())
    }

    fn namespaces_url(&self) -> String {
        format!("{}/accounts/{ACCOUNT}/storage/kv/namespaces", self.server.base_url())
    }

    /// Another client's request, for a path below the namespace.
    pub(crate) fn foreign(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}/{NAMESPACE}{path}", self.namespaces_url())).bearer_auth(TOKEN)
    }

    /// Another client's plain write.
    pub(crate) async fn put(&self, key: &str, value: &[u8]) {
        self.bulk_put(json!([{"key": key, "value": base64(value), "base64": true}])).await;
    }

    /// Another client's bulk write.
    pub(crate) async fn bulk_put(&self, items: Json) {
        let request = self.foreign(reqwest::Method::PUT, "/bulk").header("content-type", "application/json");
        let answer = request.body(items.to_string()).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }

    /// What another client lists: every key with its metadata and expiry.
    pub(crate) async fn listed(&self) -> Vec<Json> {
        let answer = self.foreign(reqwest::Method::GET, "/keys").send().await.unwrap().bytes().await.unwrap();
        let Json::Object(mut page) = serde_json::from_slice(&answer).unwrap() else { panic!("no page") };
        let Some(Json::Array(keys)) = page.remove("result") else { panic!("no keys") };
        keys
    }

    /// The bytes of a value, as another client reads them.
    pub(crate) async fn raw(&self, path: &str) -> Bytes {
        self.foreign(reqwest::Method::GET, &format!("/values/{path}")).send().await.unwrap().bytes().await.unwrap()
    }

    /// A new namespace of this title, made over the API.
    async fn open_namespace(self, title: String) -> Result<Store> {
        let failed = |_| Error::new(ErrorKind::Unavailable, "the namespace cannot be made");
        let body = json!({"title": title}).to_string();
        let request = self.http.post(self.namespaces_url()).bearer_auth(TOKEN).body(body);
        let answer = request.send().await.map_err(failed)?.bytes().await.map_err(failed)?;
        let answer: Json = serde_json::from_slice(&answer).unwrap();
        Ok(open(self.config(answer["result"]["id"].as_str().unwrap())))
    }
}

impl RemoteSystem for System {
    const SECRET: &'static str = TOKEN;

    async fn start() -> Self {
        Self::start_as(|fake| fake).await
    }

    fn server(&self) -> &FakeServer {
        &self.server
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }

    fn client_clock(&self) -> &ManualClock {
        &self.client_clock
    }

    fn store_with(&self, set: impl FnOnce(RemoteSettings) -> RemoteSettings) -> Store {
        open(self.config(NAMESPACE).with_remote(set(self.remote())))
    }

    fn store_at(&self, base_url: &str) -> Store {
        open(self.config(NAMESPACE).with_base_url(base_url).unwrap())
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

pub(crate) fn open(config: CloudflareConfig) -> Store {
    Store::new(CloudflareStore::open(config).unwrap())
}

async fn restart(server: FakeServer) -> Result<()> {
    let failed = |error| Error::new(ErrorKind::Unavailable, "the fake does not come up again").with_source(error);
    server.restart().await.map_err(failed)
}

pub(crate) struct OnFake;

#[async_trait]
impl Harness for OnFake {
    async fn open(&self) -> Result<Fixture> {
        let system = System::start().await;
        let (again, other, foreign, counting) = (system.clone(), system.clone(), system.clone(), system.clone());
        let (stranger, restarted) = (system.clone(), system.clone());
        Ok(Fixture::new(system.store())
            .with_time(system.clocks())
            .with_client_clock(system.client_clock.clone())
            .with_reopen(move || ready(Ok(again.store())))
            .with_wrong_credentials(move || ready(Ok(open(stranger.config_of("a-wrong-token", NAMESPACE)))))
            .with_namespaces(move |name| other.clone().open_namespace(name))
            .with_restart(move || restart(restarted.server.clone()))
            .with_byte_order_marks_taken_off()
            .without(Means::ForeignTypeWriter, "Workers KV knows no types: whatever another client writes is a value")
            .with_foreign_writer(move |key, text| {
                let foreign = foreign.clone();
                async move {
                    foreign.put(&key, text.as_bytes()).await;
                    Ok(())
                }
            })
            .with_requests(move || counting.server.requests())
            .with_faults(system.server.clone())
            .with_secret(TOKEN, || logs::seen(TOKEN))
            .with_guard(system))
    }
}
