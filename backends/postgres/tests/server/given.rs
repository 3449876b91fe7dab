//! The suite on the server of `KV_TEST_POSTGRES_URL`: its time runs, and what else it holds stays as it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kv_api::{Clock, Result, StoreUrl, SystemClock};
use kv_conformance::{Fixture, OffsetClock, logs};
use kv_postgres::PostgresConfig;
use kv_servers::{Link, Protocol, ServerTime};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection};

use crate::harness::{failed, foreign_insert, open, remote, without};

/// How far its clock may be from this one's, and how late a step of this process may be.
const GRANULARITY: Duration = Duration::from_millis(300);

/// A store in a namespace that nothing else uses. Where the connection has to be encrypted there is no link in between:
/// no fault, and no count of requests.
pub(crate) async fn fixture(url: &str) -> Result<Fixture> {
    let mode = url.parse::<StoreUrl>()?.take_option("sslmode").unwrap_or_default();
    let is_encrypted = mode == "require" || mode.starts_with("verify");
    let link = if is_encrypted {
        None
    } else {
        Some(Link::to_url(url, Protocol::Postgres).await.map_err(kv_servers::Error::from)?)
    };
    let (link, through) = link.map_or((None, url.to_owned()), |(link, through)| (Some(link), through));
    let clock = OffsetClock::new(Arc::new(SystemClock));
    let config = PostgresConfig::from_url(through.parse()?)?.with_remote(remote().with_clock(Arc::new(clock.clone())));
    let store = move |namespace: &str| {
        let config = config.clone().with_namespace(namespace);
        async move { open(config?).await }
    };
    let own = Arc::new(Own::new(url)?);
    let (again, other) = (store.clone(), store.clone());
    let [reopened, beside, foreign] = [(); 3].map(|()| Arc::clone(&own));
    let mut fixture = Fixture::new(store(&own.namespace).await?)
        .with_time(ServerTime::real(GRANULARITY))
        .with_client_clock(clock)
        .with_reopen(move || again(&reopened.namespace))
        .with_namespaces(move |name| other(&format!("{} {name}", beside.namespace)))
        .with_foreign_writer(move |key, text| {
            let own = Arc::clone(&foreign);
            async move { own.carry_out(foreign_insert(&own.namespace, &key, &text)).await.map_err(failed) }
        })
        .with_guard(own);
    if let Some(link) = link {
        let counting = link.clone();
        fixture = fixture.with_requests(move || counting.requests()).with_faults(link);
    }
    let password = url.parse::<StoreUrl>()?.authority()?.and_then(|authority| authority.password().map(str::to_owned));
    if let Some(password) = password.filter(|password| !password.is_empty()) {
        logs::watch(&password);
        let shown = password.clone();
        fixture = fixture.with_secret(password, move || logs::seen(&shown));
    }
    Ok(without(fixture))
}

/// What is this fixture's own on the server, removed with it.
struct Own {
    options: PgConnectOptions,
    namespace: String,
}

impl Own {
    fn new(url: &str) -> Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let (micros, count) = (SystemClock.now().as_unix_micros(), COUNT.fetch_add(1, Ordering::Relaxed));
        // The options are those of the store; encryption is as the server offers it.
        let options: PgConnectOptions = url.split('?').next().unwrap_or_default().parse().map_err(failed)?;
        // A PgBouncer may be in between.
        let options = options.extra_float_digits(None).statement_cache_capacity(0);
        Ok(Self { options, namespace: format!("kv suite {} {micros} {count}", std::process::id()) })
    }

    async fn carry_out(&self, statement: String) -> sqlx::Result<()> {
        let mut connection = self.options.connect().await?;
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await?;
        connection.close().await
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // The other namespaces begin with the name of this one and a space.
        let statement = format!(
            "delete from kv where namespace = '{own}' or starts_with(namespace, '{own} ')",
            own = self.namespace
        );
        // The runtime of the test, in whose thread this is, cannot be waited for here.
        let remove = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(self.carry_out(statement)).unwrap();
        };
        let removed = std::thread::scope(|scope| scope.spawn(remove).join());
        assert!(removed.is_ok() || std::thread::panicking(), "what the test left on the given server stays there");
    }
}
