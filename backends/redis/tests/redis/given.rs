//! The suite on the server of `KV_TEST_REDIS_URL`: its time runs, and what else it holds stays as it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kv_api::{Clock, Result, StoreUrl, SystemClock};
use kv_conformance::{Fault, Faults, Fixture, OffsetClock, logs};
use kv_redis::{RedisConfig, SecretString};
use kv_servers::{Link, Protocol, ServerTime};
use redis::{AsyncCommands, Client, RedisResult};

use crate::harness::{Ticks, failed, open, without_waits};

/// How far its clock may be from this one's, and how late a step of this process may be.
const GRANULARITY: Duration = Duration::from_millis(300);

/// A store in a namespace that nothing else uses. Where the connection is encrypted there is no link in between: no
/// fault, and no count of requests.
pub(crate) async fn fixture(url: &str) -> Result<Fixture> {
    let link = if url.starts_with("rediss:") {
        None
    } else {
        Some(Link::to_url(url, Protocol::Resp).await.map_err(kv_servers::Error::from)?)
    };
    let (link, through) = link.map_or((None, url.to_owned()), |(link, through)| (Some(link), through));
    let clock = OffsetClock::new(Arc::new(SystemClock));
    let remote = without_waits().with_clock(Arc::new(clock.clone()));
    let config = RedisConfig::from_url(through.parse()?)?.with_remote(remote);
    let wrong = config.clone().with_password(SecretString::from("an0ther"));
    let store = move |namespace: &str| {
        let config = config.clone().with_namespace(namespace);
        async move { open(config?).await }
    };
    let own = Arc::new(Own::new(url)?);
    let (again, other) = (store.clone(), store.clone());
    let [reopened, beside, writing, typing] = [(); 4].map(|()| Arc::clone(&own));
    let mut fixture = Fixture::new(store(&own.namespace).await?)
        .with_time(Ticks(ServerTime::real(GRANULARITY)))
        .with_client_clock(clock)
        .with_reopen(move || again(&reopened.namespace))
        .with_namespaces(move |name| other(&format!("{}-{name}", beside.namespace)))
        .with_foreign_writer(move |key, text| {
            let own = Arc::clone(&writing);
            async move {
                let mut client = own.client.get_multiplexed_async_connection().await.map_err(failed)?;
                client.set(own.key(&key), text).await.map_err(failed)
            }
        })
        .with_foreign_type_writer(move |key| {
            let own = Arc::clone(&typing);
            async move {
                let mut client = own.client.get_multiplexed_async_connection().await.map_err(failed)?;
                let key = own.key(&key);
                redis::pipe().del(&key).rpush(&key, "element").exec_async(&mut client).await.map_err(failed)
            }
        })
        .with_guard(own);
    if let Some(link) = link {
        let counting = link.clone();
        fixture = fixture.with_requests(move || counting.requests()).with_faults(OfRequests(link));
    }
    let password = url.parse::<StoreUrl>()?.authority()?.and_then(|authority| authority.password().map(str::to_owned));
    if let Some(password) = password.filter(|password| !password.is_empty()) {
        logs::watch(&password);
        let shown = password.clone();
        fixture = fixture.with_wrong_credentials(move || open(wrong.clone()));
        fixture = fixture.with_secret(password, move || logs::seen(&shown));
    }
    Ok(fixture)
}

/// No faults of pages: how many requests a page takes, and which keys come first, is up to what else the server holds.
struct OfRequests(Link);

impl Faults for OfRequests {
    fn offers(&self, fault: Fault) -> bool {
        let is_of_pages = matches!(fault, Fault::PageEmpty | Fault::PageStandsStill | Fault::PageInCircles);
        !is_of_pages && self.0.offers(fault)
    }

    fn inject(&self, fault: Fault, count: u32) {
        self.0.inject(fault, count);
    }

    fn inject_into_writes(&self, fault: Fault, count: u32) {
        self.0.inject_into_writes(fault, count);
    }
}

/// What is this fixture's own on the server, removed with it.
struct Own {
    client: Client,
    namespace: String,
}

impl Own {
    fn new(url: &str) -> Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let (micros, count) = (SystemClock.now().as_unix_micros(), COUNT.fetch_add(1, Ordering::Relaxed));
        // The options are those of the store.
        let url = url.split('?').next().unwrap_or_default();
        let client = Client::open(url).map_err(failed)?;
        Ok(Self { client, namespace: format!("kv-suite-{}-{micros}-{count}", std::process::id()) })
    }

    /// The key as another client names it.
    fn key(&self, key: &str) -> String {
        format!("{}:{key}", self.namespace)
    }

    async fn remove(&self) -> RedisResult<()> {
        let mut client = self.client.get_multiplexed_async_connection().await?;
        // The other namespaces begin with the name of this one.
        let (mut cursor, pattern) = (0, format!("{}*", self.namespace));
        loop {
            let page = redis::cmd("SCAN").arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(10_000).to_owned();
            let (next, keys): (u64, Vec<Vec<u8>>) = page.query_async(&mut client).await?;
            if !keys.is_empty() {
                let () = client.unlink(keys).await?;
            }
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // The runtime of the test, in whose thread this is, cannot be waited for here.
        let remove = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(self.remove()).unwrap();
        };
        let removed = std::thread::scope(|scope| scope.spawn(remove).join());
        assert!(removed.is_ok() || std::thread::panicking(), "what the test left on the given server stays there");
    }
}
