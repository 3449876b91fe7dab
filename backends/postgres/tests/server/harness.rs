//! Running servers, and what there is around a store on one.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kv_api::{Clock, Error, ErrorKind, Result, Store, TokioTimer, async_trait};
use kv_conformance::{Fault, Fixture, Harness, Means, logs};
use kv_postgres::{PostgresConfig, PostgresStore, RemoteSettings, RetryPolicy};
use kv_servers::{BothClocks, Link, PgBouncer, Postgres, PostgresOptions, Protocol};
use sqlx::postgres::PgConnectOptions;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::given;

/// What no error and no log may show.
pub(crate) const PASSWORD: &str = "h1dden-pa55word";

/// Servers that tests have one after the other, each with namespaces of its own: a fresh one would take longer to start
/// than most of them take.
static IDLE: Mutex<Vec<Servers>> = Mutex::new(Vec::new());
static PLACES: Semaphore = Semaphore::const_new(3);

struct Servers {
    postgres: Postgres,
    /// Before it, once a test has asked for one.
    bouncer: Option<PgBouncer>,
}

/// A server for one test at a time, behind a link.
pub(crate) struct System {
    servers: Option<Servers>,
    pub(crate) link: Link,
    clock: Arc<dyn Clock>,
    _place: SemaphorePermit<'static>,
}

impl System {
    pub(crate) async fn start() -> Self {
        Self::start_behind(false).await
    }

    async fn start_behind(pgbouncer: bool) -> Self {
        let place = PLACES.acquire().await.unwrap();
        let idle = IDLE.lock().unwrap().pop();
        let mut servers = match idle {
            Some(servers) => servers,
            None => {
                let postgres = Postgres::start(PostgresOptions::new().password(PASSWORD)).await.unwrap();
                Servers { postgres, bouncer: None }
            }
        };
        if pgbouncer && servers.bouncer.is_none() {
            servers.bouncer = Some(PgBouncer::start(&servers.postgres).await.unwrap());
        }
        let address = match &servers.bouncer {
            Some(bouncer) if pgbouncer => bouncer.address(),
            _ => servers.postgres.address(),
        };
        let link = Link::open(address, Protocol::Postgres).unwrap();
        Self { clock: Arc::new(servers.postgres.time().clone()), servers: Some(servers), link, _place: place }
    }

    pub(crate) fn server(&self) -> &Postgres {
        &self.servers.as_ref().unwrap().postgres
    }

    pub(crate) fn config(&self) -> PostgresConfig {
        config(self.link.address())
            .with_password(PASSWORD.into())
            .with_remote(remote().with_clock(Arc::clone(&self.clock)))
    }
}

impl Drop for System {
    fn drop(&mut self) {
        // A test that has failed may have left anything.
        if !std::thread::panicking() {
            IDLE.lock().unwrap().extend(self.servers.take());
        }
    }
}

/// Retries without waits.
pub(crate) fn remote() -> RemoteSettings {
    RemoteSettings::default()
        .with_timer(Arc::new(TokioTimer))
        .with_retry(RetryPolicy::default().with_delays(Duration::ZERO, Duration::ZERO))
}

/// The superuser of the server at this address, which asks for no password.
pub(crate) fn config(address: SocketAddr) -> PostgresConfig {
    PostgresConfig::new()
        .with_host(address.ip().to_string(), address.port())
        .with_user(Postgres::USER)
        .with_database(Postgres::DATABASE)
        .with_remote(remote())
}

/// For a connection past the store.
pub(crate) fn options(system: &System) -> PgConnectOptions {
    let port = system.server().address().port();
    let options = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(port);
    options.username(Postgres::USER).database(Postgres::DATABASE).password(PASSWORD)
}

pub(crate) async fn open(config: PostgresConfig) -> Result<Store> {
    Ok(Store::new(PostgresStore::open(config).await?))
}

pub(crate) fn failed(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Internal, error.to_string())
}

/// What PostgreSQL has nothing of.
pub(crate) fn without(fixture: Fixture) -> Fixture {
    const PAGES: &str = "a page is the rows behind a key, and the cursor is the last of them: the server gives none";
    const BULK: &str = "a bulk request is one statement, which is applied as a whole or not at all";
    let pages = [Fault::PageEmpty, Fault::PageStandsStill, Fault::PageInCircles];
    let fixture = pages.into_iter().fold(fixture, |fixture, fault| fixture.without(Means::Fault(fault), PAGES));
    fixture
        .without(Means::Fault(Fault::BulkAnswerImplausible), BULK)
        .without(Means::ForeignTypeWriter, "its table holds nothing but values")
}

/// What another client writes.
pub(crate) fn foreign_insert(namespace: &str, key: &str, text: &str) -> String {
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!(
        "insert into kv (namespace, key, kind, value) values \
         ('{namespace}', decode('{}', 'hex'), 0, decode('{}', 'hex')) \
         on conflict (namespace, key) do update set kind = 0, value = excluded.value, metadata = null, \
         expires_at = null, version = excluded.version",
        hex(key),
        hex(text)
    )
}

/// The store on a server, the given one or a private one, or on a private one through PgBouncer in transaction mode.
#[derive(Clone, Copy)]
pub(crate) struct OnServer {
    pub(crate) pgbouncer: bool,
}

#[async_trait]
impl Harness for OnServer {
    async fn open(&self) -> Result<Fixture> {
        if let Some(url) = kv_servers::System::Postgres.given().filter(|_| !self.pgbouncer) {
            return given::fixture(&url).await;
        }
        static NAMES: AtomicU64 = AtomicU64::new(0);
        logs::watch(PASSWORD);
        let mut system = System::start_behind(self.pgbouncer).await;
        let clocks = BothClocks::freeze(system.server().time().clone());
        system.clock = Arc::new(clocks.client.clone());
        let namespace = format!("n{}", NAMES.fetch_add(1, Ordering::Relaxed));
        let config = system.config().with_pgbouncer(self.pgbouncer);
        let store = open(config.clone().with_namespace(&namespace)?).await?;
        let system = Arc::new(system);
        let [again, other, wrong] = [config.clone(), config.clone(), config];
        let [own, beside] = [namespace.clone(), namespace.clone()];
        let [foreign, restarted, counting] = [(); 3].map(|()| Arc::clone(&system));
        let fixture = Fixture::new(store)
            .with_time(clocks.clone())
            .with_client_clock(clocks.client)
            .with_reopen(move || {
                let config = again.clone().with_namespace(&own);
                async { open(config?).await }
            })
            .with_namespaces(move |name| {
                let config = other.clone().with_namespace(&format!("{beside} {name}"));
                async { open(config?).await }
            })
            .with_foreign_writer(move |key, text| {
                let (system, namespace) = (Arc::clone(&foreign), namespace.clone());
                async move {
                    let sql = foreign_insert(&namespace, &key, &text);
                    system.server().sql(&sql).await.map(drop).map_err(failed)
                }
            })
            .with_wrong_credentials(move || open(wrong.clone().with_password("wr0ng".into())))
            .with_restart(move || {
                let system = Arc::clone(&restarted);
                async move { system.server().restart().await.map_err(failed) }
            })
            .with_requests(move || counting.link.requests())
            .with_faults(system.link.clone())
            .with_secret(PASSWORD, || logs::seen(PASSWORD))
            .with_guard(system);
        Ok(without(fixture))
    }
}
