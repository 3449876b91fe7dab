//! A fake, and stores opened on it.

use std::sync::Arc;
use std::time::Duration;

use kv_api::{Error, ErrorKind, ManualClock, Result, Store, Timestamp, async_trait};
use kv_backendless::{BackendlessConfig, BackendlessStore, RemoteSettings, SecretString};
use kv_conformance::{Fixture, Harness, Means, logs};
use kv_fakes::backendless::{Fake, Switches};
use kv_fakes::{FakeServer, ServerOptions};
use kv_testkit::{RemoteSystem, http_client};

pub(crate) const APP_ID: &str = "APP-ID";
/// Planted where a secret goes: no output may show it.
pub(crate) const API_KEY: &str = "c4nary-0f-th3-4pi-k3y";

const WRONG_KEY: &str = "a-wrong-key";
const WRONG_USER_TOKEN: &str = "a-wrong-user-token";

/// Hives that exist besides the first: the suite makes up the names of its namespaces.
pub(crate) const HIVES: &[&str] = &["countries", "other", "ns", "ns1"];

pub(crate) const NOW: Timestamp = Timestamp::from_unix_seconds(1_795_161_822);

/// The form of address that a store is opened with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Application,
    Domain,
}

/// A running fake, its clock, and the clock of this side.
#[derive(Clone)]
pub(crate) struct System {
    pub(crate) server: FakeServer,
    pub(crate) clock: ManualClock,
    pub(crate) client_clock: ManualClock,
}

impl System {
    pub(crate) async fn start_with(switches: Switches) -> Self {
        Self::start_on(switches, ServerOptions::new()).await
    }

    /// One that holds its answers back, so that a call can be dropped between what it did and what it hears of it.
    pub(crate) async fn start_slow() -> Self {
        let options = ServerOptions::new().with_latency(Duration::from_millis(10));
        Self::start_on(Switches::default(), options).await
    }

    async fn start_on(switches: Switches, options: ServerOptions) -> Self {
        logs::watch(API_KEY);
        // Not on a whole second.
        let now = Timestamp::from_unix_micros(NOW.as_unix_micros() + 123_456);
        let (clock, client_clock) = (ManualClock::new(now), ManualClock::new(now));
        let fake = Fake::new().with_app_id(APP_ID).with_api_key(API_KEY).with_switches(switches);
        let fake = HIVES.iter().fold(fake, |fake, hive| fake.with_hive(*hive));
        let options = options.with_clock(Arc::new(clock.clone()));
        let server = fake.serve(options).await.unwrap();
        Self { server, clock, client_clock }
    }

    pub(crate) fn config(&self, form: Form, hive: &str) -> BackendlessConfig {
        let config = match form {
            Form::Application => BackendlessConfig::of_application(APP_ID, SecretString::from(API_KEY), hive).unwrap(),
            Form::Domain => BackendlessConfig::of_domain("xxxx.backendless.app", hive).unwrap(),
        };
        config.with_base_url(self.server.base_url()).unwrap().with_remote(self.remote())
    }

    pub(crate) fn address(&self, hive: &str) -> String {
        format!("{}/{APP_ID}/{API_KEY}/hive/{hive}", self.server.base_url())
    }
}

impl RemoteSystem for System {
    const SECRET: &'static str = API_KEY;

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
        open(self.config(Form::Application, HIVES[0]).with_remote(set(self.remote())))
    }

    fn store_at(&self, base_url: &str) -> Store {
        open(self.config(Form::Application, HIVES[0]).with_base_url(base_url).unwrap())
    }
}

pub(crate) fn open(config: BackendlessConfig) -> Store {
    Store::new(BackendlessStore::open(config).unwrap())
}

/// One way to set up the store, on one way the system may behave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) switches: Switches,
    pub(crate) form: Form,
    /// The most keys of one bulk request.
    pub(crate) items_max: usize,
}

#[async_trait]
impl Harness for Setup {
    async fn open(&self) -> Result<Fixture> {
        let Self { switches, form, items_max } = *self;
        let system = System::start_with(switches).await;
        let items_max = items_max.try_into().map_err(|_| Error::new(ErrorKind::Internal, "no key at all"))?;
        let store = {
            let system = system.clone();
            move |hive: &str| open(system.config(form, hive).with_bulk_items_max(items_max))
        };
        let again = store.clone();
        let other = store.clone();
        let (counting, foreign, address) = (system.clone(), http_client(), system.address(HIVES[0]));
        let fixture = Fixture::new(store(HIVES[0]));
        let wrong = match form {
            Form::Application => {
                let wrong = BackendlessConfig::of_application(APP_ID, SecretString::from(WRONG_KEY), HIVES[0])?;
                wrong.with_base_url(system.server.base_url())?.with_remote(system.remote())
            }
            // Its host name stands for application and key, which leaves the user who is logged in.
            Form::Domain => system.config(form, HIVES[0]).with_user_token(SecretString::from(WRONG_USER_TOKEN)),
        };
        let restarted = system.server.clone();
        Ok(fixture
            .with_wrong_credentials(move || std::future::ready(Ok(open(wrong.clone()))))
            .with_restart(move || restart(restarted.clone()))
            .without(Means::ForeignTypeWriter, "a hive has a bucket for each type: what is in another is another key")
            .with_time(system.clocks())
            .with_client_clock(system.client_clock.clone())
            .with_json_rewritten()
            .with_faults(system.server.clone())
            .with_secret(API_KEY, || logs::seen(API_KEY))
            .with_requests(move || counting.server.requests())
            .with_reopen(move || std::future::ready(Ok(again(HIVES[0]))))
            .with_namespaces(move |name| {
                assert!(HIVES.contains(&&*name), "the fake has no hive {name:?}");
                std::future::ready(Ok(other(&name)))
            })
            .with_foreign_writer(move |key, text| {
                let body = serde_json::json!({ key: text }).to_string();
                let request = foreign.put(format!("{address}/key-value")).header("Content-Type", "application/json");
                let sent = request.body(body).send();
                async move {
                    let failed = |_| Error::new(ErrorKind::Unavailable, "the other client failed");
                    sent.await.and_then(reqwest::Response::error_for_status).map(drop).map_err(failed)
                }
            })
            .with_guard(system))
    }
}

async fn restart(server: FakeServer) -> Result<()> {
    let failed = |error| Error::new(ErrorKind::Unavailable, "the fake does not come up again").with_source(error);
    server.restart().await.map_err(failed)
}
