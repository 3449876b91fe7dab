//! A running fake, and what there is around a store on it.

use std::future::ready;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use kv_api::{Error, ErrorKind, ManualClock, Result, Store, Timestamp, async_trait};
use kv_conformance::{Fixture, Harness, Means, logs};
use kv_fakes::puter::{Fake, Grant, Sweeper, Switches, USER};
use kv_fakes::{FakeServer, ServerOptions};
use kv_puter::{PuterConfig, PuterStore, RemoteSettings, SecretString};
use kv_testkit::{RemoteSystem, http_client};
use serde_json::{Value as Json, json};

/// The token that every store here is opened with; no output may show it.
pub(crate) const TOKEN: &str = "c4nary-0f-th3-t0ken";

pub(crate) const NOW: Timestamp = Timestamp::from_unix_seconds(1_795_161_822);

/// A fake, its clock, and the clock of this side.
#[derive(Clone)]
pub(crate) struct System {
    pub(crate) server: FakeServer,
    pub(crate) sweeper: Sweeper,
    pub(crate) clock: ManualClock,
    pub(crate) client_clock: ManualClock,
    http: reqwest::Client,
}

impl System {
    pub(crate) async fn start_with(switches: Switches) -> Self {
        Self::start_as(|fake| fake.with_token(TOKEN, Grant::user(USER)).with_switches(switches)).await
    }

    pub(crate) async fn start_as(set: impl FnOnce(Fake) -> Fake) -> Self {
        Self::start_on(set, ServerOptions::new()).await
    }

    /// One that holds its answers back, so that a call can be dropped between what it did and what it hears of it.
    pub(crate) async fn start_slow() -> Self {
        let options = ServerOptions::new().with_latency(Duration::from_millis(10));
        Self::start_on(|fake| fake.with_token(TOKEN, Grant::user(USER)), options).await
    }

    async fn start_on(set: impl FnOnce(Fake) -> Fake, options: ServerOptions) -> Self {
        logs::watch(TOKEN);
        // Between two whole seconds.
        let now = Timestamp::from_unix_micros(NOW.as_unix_micros() + 123_456);
        let (clock, client_clock) = (ManualClock::new(now), ManualClock::new(now));
        let options = options.with_clock(Arc::new(clock.clone()));
        let fake = set(Fake::new());
        let sweeper = fake.sweeper();
        let server = fake.serve(options).await.unwrap();
        Self { server, sweeper, clock, client_clock, http: http_client() }
    }

    pub(crate) fn config(&self) -> PuterConfig {
        self.config_of(TOKEN)
    }

    pub(crate) fn config_of(&self, token: &str) -> PuterConfig {
        let config = PuterConfig::new(SecretString::from(token)).unwrap();
        config.with_base_url(self.server.base_url()).unwrap().with_remote(self.remote())
    }

    /// Another client's call: its whole answer.
    pub(crate) async fn foreign(&self, method: &str, arguments: Json) -> Json {
        let body = json!({"interface": "puter-kvstore", "method": method, "args": arguments, "auth_token": TOKEN});
        let request = self.http.post(format!("{}/drivers/call", self.server.base_url()));
        let request = request.header("content-type", "text/plain;actually=json").body(body.to_string());
        let answer = request.send().await.unwrap().bytes().await.unwrap();
        serde_json::from_slice(&answer).unwrap()
    }

    /// Another client's plain write.
    pub(crate) async fn put(&self, key: &str, value: Json) {
        let answer = self.foreign("set", json!({"key": key, "value": value})).await;
        assert_eq!(answer["result"], true, "{answer}");
    }

    /// What is stored, as another client reads it.
    pub(crate) async fn raw(&self, key: &str) -> Json {
        self.foreign("get", json!({ "key": key })).await["result"].clone()
    }
}

impl RemoteSystem for System {
    const SECRET: &'static str = TOKEN;

    async fn start() -> Self {
        Self::start_with(Switches::default()).await
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
        open(self.config().with_remote(set(self.remote())))
    }

    fn store_at(&self, base_url: &str) -> Store {
        open(self.config().with_base_url(base_url).unwrap())
    }
}

pub(crate) fn open(config: PuterConfig) -> Store {
    Store::new(PuterStore::open(config).unwrap())
}

async fn restart(server: FakeServer) -> Result<()> {
    let failed = |error| Error::new(ErrorKind::Unavailable, "the fake does not come up again").with_source(error);
    server.restart().await.map_err(failed)
}

/// One way the system may behave, and the store on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) switches: Switches,
    /// The most items of one batch.
    pub(crate) items_max: usize,
    /// The app whose entries the store shows, of which none is the user's own.
    pub(crate) app: Option<&'static str>,
}

#[async_trait]
impl Harness for Setup {
    async fn open(&self) -> Result<Fixture> {
        let Self { switches, items_max, app } = *self;
        let system = System::start_with(switches).await;
        let items_max =
            NonZeroUsize::new(items_max).ok_or_else(|| Error::new(ErrorKind::Internal, "no item at all"))?;
        let store = {
            let system = system.clone();
            move |app: Option<String>| {
                let config = system.config().with_batch_items_max(items_max);
                Ok(open(match app {
                    Some(app) => config.with_app(app)?,
                    None => config,
                }))
            }
        };
        let app = app.map(str::to_owned);
        let (again, other) = (store.clone(), store.clone());
        let (own, foreign_app) = (app.clone(), app.clone());
        let (foreign, counting, stranger) = (system.clone(), system.clone(), system.clone());
        let restarted = system.server.clone();
        Ok(Fixture::new(store(app)?)
            .with_time(system.clocks())
            .with_client_clock(system.client_clock.clone())
            .with_reopen(move || ready(again(own.clone())))
            .with_wrong_credentials(move || ready(Ok(open(stranger.config_of("a-wrong-token")))))
            .with_namespaces(move |name| ready(other(Some(name))))
            .with_restart(move || restart(restarted.clone()))
            .without(Means::ForeignTypeWriter, "Puter KV keeps JSON alone, and all JSON is a value")
            .with_json_rewritten()
            .with_foreign_writer(move |key, text| {
                let (foreign, app) = (foreign.clone(), foreign_app.clone());
                async move {
                    let arguments = json!({"key": key, "value": text, "optConfig": {"appUuid": app}});
                    let answer = foreign.foreign("set", arguments).await;
                    assert_eq!(answer["result"], true, "{answer}");
                    Ok(())
                }
            })
            .with_requests(move || counting.server.requests())
            .with_faults(system.server.clone())
            .with_secret(TOKEN, || logs::seen(TOKEN))
            .with_guard(system))
    }
}
