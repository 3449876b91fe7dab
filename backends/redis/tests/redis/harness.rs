//! A store on a private server, and what there is around it.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use kv_api::{Error, ErrorKind, ManualClock, Result, Store, Timestamp, async_trait};
use kv_conformance::{Fixture, Harness, Time, logs};
use kv_redis::{RedisConfig, RedisStore, RemoteSettings, RetryPolicy, SecretString};
use kv_servers::{BothClocks, Lease, Link, Pool, Protocol, Redis, RedisOptions};

use crate::given;

/// The password of every server here; no output may show it.
pub(crate) const PASSWORD: &str = "c4nary-0f-th3-p4ssw0rd";

/// The namespace of the store itself.
pub(crate) const NAMESPACE: &str = "suite";

/// More than cases that run at the same time: one may hold several stores, and must not wait for one that does too.
static SERVERS: LazyLock<Pool<Redis>> = LazyLock::new(|| Pool::new(64, RedisOptions::new().password(PASSWORD)));

/// A server, its clock and that of this side, and the link to it.
#[derive(Clone, Debug)]
pub(crate) struct System {
    pub(crate) redis: Arc<Lease<Redis>>,
    pub(crate) link: Link,
    pub(crate) clocks: BothClocks,
}

pub(crate) fn failed(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Internal, error.to_string())
}

impl System {
    /// With the time standing between two whole milliseconds.
    pub(crate) async fn lease() -> Result<Self> {
        logs::watch(PASSWORD);
        let redis = SERVERS.lease().await.map_err(failed)?;
        let link = Link::open(redis.address(), Protocol::Resp).map_err(failed)?;
        let clocks = BothClocks::freeze(redis.time().clone());
        Ok(Self { redis: Arc::new(redis), link, clocks })
    }

    /// That of the tests: no waits between attempts.
    pub(crate) fn remote(&self) -> RemoteSettings {
        without_waits().with_clock(Arc::new(self.clocks.client.clone()))
    }

    pub(crate) fn config(&self) -> RedisConfig {
        let address = self.link.address();
        RedisConfig::new(address.ip().to_string(), address.port())
            .unwrap()
            .with_password(SecretString::from(PASSWORD))
            .with_remote(self.remote())
    }

    pub(crate) async fn store(&self) -> Store {
        open(self.config().with_namespace(NAMESPACE).unwrap()).await.unwrap()
    }

    /// What another client asks, past the link.
    pub(crate) async fn ask(&self, command: &[&str]) -> kv_servers::Reply {
        self.redis.command(command).await.unwrap()
    }
}

/// A server without a password, all of its keys, and no waits between attempts.
pub(crate) fn plain(address: SocketAddr) -> RedisConfig {
    let config = RedisConfig::new(address.ip().to_string(), address.port()).unwrap();
    config.with_remote(without_waits())
}

/// No waits between attempts.
pub(crate) fn without_waits() -> RemoteSettings {
    RemoteSettings::default().with_retry(RetryPolicy::default().with_delays(Duration::ZERO, Duration::ZERO))
}

pub(crate) async fn open(config: RedisConfig) -> Result<Store> {
    Ok(Store::new(RedisStore::open(config).await?))
}

/// The key as another client names it.
pub(crate) fn foreign(key: &str) -> String {
    format!("{NAMESPACE}:{key}")
}

/// The server looks at its clock in whole milliseconds, and a ttl counts from the one that has begun.
pub(crate) struct Ticks<T>(pub(crate) T);

#[async_trait]
impl<T: Time> Time for Ticks<T> {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    async fn advance(&self, by: Duration) {
        self.0.advance(by).await;
    }

    fn granularity(&self) -> Duration {
        self.0.granularity()
    }

    fn lateness(&self) -> Duration {
        Duration::from_millis(1)
    }
}

/// The store in a namespace of one server: the given one, or a private one.
pub(crate) struct OnRedis;

#[async_trait]
impl Harness for OnRedis {
    async fn open(&self) -> Result<Fixture> {
        if let Some(url) = kv_servers::System::Redis.given() {
            return given::fixture(&url).await;
        }
        let system = System::lease().await?;
        let config = system.config();
        let store = move |name: &str| {
            let config = config.clone().with_namespace(name);
            async move { open(config?).await }
        };
        let wrong = system.config().with_password(SecretString::from("an0ther"));
        let (again, other) = (store.clone(), store.clone());
        let (writing, typing, counting) = (system.clone(), system.clone(), system.link.clone());
        let restarted = system.clone();
        let client_clock: ManualClock = system.clocks.client.clone();
        Ok(Fixture::new(store(NAMESPACE).await?)
            .with_time(Ticks(system.clocks.clone()))
            .with_client_clock(client_clock)
            .with_reopen(move || again(NAMESPACE))
            .with_namespaces(move |name| other(&name))
            .with_foreign_writer(move |key, text| {
                let system = writing.clone();
                async move {
                    system.ask(&["SET", &foreign(&key), &text]).await;
                    Ok(())
                }
            })
            .with_foreign_type_writer(move |key| {
                let system = typing.clone();
                async move {
                    system.ask(&["DEL", &foreign(&key)]).await;
                    system.ask(&["RPUSH", &foreign(&key), "element"]).await;
                    Ok(())
                }
            })
            .with_wrong_credentials(move || open(wrong.clone()))
            .with_restart(move || {
                let system = restarted.clone();
                async move {
                    system.ask(&["SAVE"]).await;
                    system.redis.restart().await.map_err(failed)
                }
            })
            .with_requests(move || counting.requests())
            .with_faults(system.link.clone())
            .with_secret(PASSWORD, || logs::seen(PASSWORD))
            .with_guard(system))
    }
}
