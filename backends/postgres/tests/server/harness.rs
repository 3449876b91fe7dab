//! A running server, and what there is around a store on it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kv_api::{Clock, Error, ErrorKind, Result, Store, TokioTimer, async_trait};
use kv_conformance::{Fixture, Harness, logs};
use kv_postgres::{PostgresConfig, PostgresStore, RemoteSettings, RetryPolicy};
use kv_servers::{BothClocks, Link, Postgres, PostgresOptions, Protocol};
use tokio::sync::{Semaphore, SemaphorePermit};

/// What no error and no log may show.
pub(crate) const PASSWORD: &str = "h1dden-pa55word";

/// Servers that cases of the suite have one after the other, each with namespaces of its own: a fresh one would take
/// longer to start than most cases take.
static IDLE: Mutex<Vec<Postgres>> = Mutex::new(Vec::new());
static PLACES: Semaphore = Semaphore::const_new(3);

/// A server for one test at a time, behind a link.
pub(crate) struct System {
    server: Option<Postgres>,
    pub(crate) link: Link,
    pub(crate) clock: Arc<dyn Clock>,
    _place: SemaphorePermit<'static>,
}

impl System {
    pub(crate) async fn start() -> Self {
        let place = PLACES.acquire().await.unwrap();
        let idle = IDLE.lock().unwrap().pop();
        let server = match idle {
            Some(server) => server,
            None => Postgres::start(PostgresOptions::new().password(PASSWORD)).await.unwrap(),
        };
        let link = Link::open(server.address(), Protocol::Postgres).unwrap();
        Self { clock: Arc::new(server.time().clone()), server: Some(server), link, _place: place }
    }

    pub(crate) fn server(&self) -> &Postgres {
        self.server.as_ref().unwrap()
    }

    /// Retries without waits.
    pub(crate) fn remote(&self) -> RemoteSettings {
        RemoteSettings::default()
            .with_clock(Arc::clone(&self.clock))
            .with_timer(Arc::new(TokioTimer))
            .with_retry(RetryPolicy::default().with_delays(Duration::ZERO, Duration::ZERO))
    }

    pub(crate) fn config(&self) -> PostgresConfig {
        let address = self.link.address();
        PostgresConfig::new()
            .with_host(address.ip().to_string(), address.port())
            .with_user(Postgres::USER)
            .with_password(PASSWORD.into())
            .with_database(Postgres::DATABASE)
            .with_remote(self.remote())
    }
}

impl Drop for System {
    fn drop(&mut self) {
        // A test that has failed may have left anything.
        if !std::thread::panicking() {
            IDLE.lock().unwrap().extend(self.server.take());
        }
    }
}

pub(crate) async fn open(config: PostgresConfig) -> Result<Store> {
    Ok(Store::new(PostgresStore::open(config).await?))
}

fn failed(error: kv_servers::Error) -> Error {
    Error::new(ErrorKind::Internal, error.to_string())
}

/// The store on a server, with prepared statements or as behind PgBouncer.
#[derive(Clone, Copy)]
pub(crate) struct OnServer {
    pub(crate) pgbouncer: bool,
}

#[async_trait]
impl Harness for OnServer {
    async fn open(&self) -> Result<Fixture> {
        static NAMES: AtomicU64 = AtomicU64::new(0);
        logs::watch(PASSWORD);
        let mut system = System::start().await;
        let clocks = BothClocks::freeze(system.server().time().clone());
        system.clock = Arc::new(clocks.client.clone());
        let namespace = format!("n{}", NAMES.fetch_add(1, Ordering::Relaxed));
        let config = system.config().with_pgbouncer(self.pgbouncer);
        let store = open(config.clone().with_namespace(&namespace)?).await?;
        let counting = system.link.clone();
        let system = Arc::new(system);
        let (again, own, beside, foreign) = (config.clone(), namespace.clone(), namespace.clone(), Arc::clone(&system));
        Ok(Fixture::new(store)
            .with_time(clocks.clone())
            .with_client_clock(clocks.client)
            .with_reopen(move || {
                let config = again.clone().with_namespace(&own);
                async { open(config?).await }
            })
            .with_namespaces(move |name| {
                let config = config.clone().with_namespace(&format!("{beside} {name}"));
                async { open(config?).await }
            })
            .with_foreign_writer(move |key, text| {
                let (system, namespace) = (Arc::clone(&foreign), namespace.clone());
                async move {
                    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
                    let sql = format!(
                        "insert into kv (namespace, key, kind, value) values \
                         ('{namespace}', decode('{}', 'hex'), 0, decode('{}', 'hex')) \
                         on conflict (namespace, key) do update set kind = 0, value = excluded.value, metadata = null, \
                         expires_at = null, version = excluded.version",
                        hex(&key),
                        hex(&text)
                    );
                    system.server().sql(&sql).await.map(drop).map_err(failed)
                }
            })
            .with_requests(move || counting.requests())
            .with_faults(system.link.clone())
            .with_secret(PASSWORD, || logs::seen(PASSWORD))
            .with_guard(system))
    }
}
