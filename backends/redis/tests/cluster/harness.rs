//! A store on a private cluster, and what there is around it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures_util::future::join_all;
use kv_api::{Error, ErrorKind, Result, Store, Support, Timestamp, async_trait};
use kv_conformance::{Fixture, Harness, Time, logs};
use kv_redis::{RedisConfig, RedisStore, RemoteSettings, RetryPolicy, SecretString};
use kv_servers::{BothClocks, ClusterLink, Lease, Pool, Redis, RedisCluster, RedisClusterOptions, RedisOptions, Reply};

/// The password of every server here; no output may show it.
pub(crate) const PASSWORD: &str = "c4nary-0f-th3-p4ssw0rd";

/// More than cases that run at the same time: one may hold several stores, and must not wait for one that does too.
static CLUSTERS: LazyLock<Pool<RedisCluster>> = LazyLock::new(|| Pool::new(64, options()));

fn options() -> RedisClusterOptions {
    RedisClusterOptions::new().nodes(RedisOptions::new().password(PASSWORD))
}

/// A cluster, its clock and that of this side, and the links to its nodes.
#[derive(Clone, Debug)]
pub(crate) struct System {
    pub(crate) cluster: Arc<Lease<RedisCluster>>,
    pub(crate) link: ClusterLink,
    pub(crate) clocks: BothClocks,
}

pub(crate) fn failed(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Internal, error.to_string())
}

impl System {
    /// An empty one, with the time standing.
    pub(crate) async fn lease() -> Result<Self> {
        Self::of(CLUSTERS.lease().await.map_err(failed)?)
    }

    /// One whose replicas followed before the time stood. A master holds back what a new replica has not asked for
    /// yet, and after a jump of the time they do not always follow again.
    pub(crate) async fn with_replicas() -> Result<Self> {
        let cluster = CLUSTERS.lease().await.map_err(failed)?;
        for master in &cluster.nodes()[..3] {
            master.command(&["FLUSHALL"]).await.map_err(failed)?;
        }
        catch_up(&cluster).await;
        Self::of(cluster)
    }

    fn of(cluster: Lease<RedisCluster>) -> Result<Self> {
        logs::watch(PASSWORD);
        let link = ClusterLink::open(&cluster.addresses()).map_err(failed)?;
        let clocks = BothClocks::freeze(cluster.time().clone());
        Ok(Self { cluster: Arc::new(cluster), link, clocks })
    }

    pub(crate) fn config(&self) -> RedisConfig {
        let retry = RetryPolicy::default().with_delays(Duration::ZERO, Duration::ZERO);
        let remote = RemoteSettings::default().with_retry(retry).with_clock(Arc::new(self.clocks.client.clone()));
        config(&self.link).with_remote(remote)
    }

    /// What another client asks the master of a key, past the link.
    pub(crate) async fn ask(&self, key: &str, command: &[&str]) -> Reply {
        let node = self.cluster.node_of(key).await.unwrap();
        self.cluster.nodes()[node].command(command).await.unwrap()
    }

    /// Starts all nodes again with their data, while the time runs.
    async fn restart(&self) -> Result<()> {
        for node in self.cluster.nodes() {
            node.command(&["SAVE"]).await.map_err(failed)?;
        }
        self.clocks.server.run();
        self.cluster.restart().await.map_err(failed)?;
        self.clocks.server.freeze();
        Ok(())
    }

    /// Waits until the replicas have what the masters have.
    pub(crate) async fn catch_up(&self) {
        catch_up(&self.cluster).await;
    }
}

async fn catch_up(cluster: &RedisCluster) {
    let nodes = cluster.nodes();
    let number = async |node: &Redis, name: &str| -> Option<u64> {
        let info = node.command(&["INFO", "replication"]).await.unwrap().to_string();
        info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok())
    };
    let follows = async |node: &Redis| {
        // A master follows nobody.
        let Some(port) = number(node, "master_port").await else { return };
        let master = nodes.iter().find(|master| u64::from(master.address().port()) == port).unwrap();
        let written = number(master, "master_repl_offset").await;
        for _ in 0..10_000 {
            if number(node, "slave_repl_offset").await >= written {
                return;
            }
        }
        panic!("a replica does not catch up");
    };
    join_all(nodes.iter().map(follows)).await;
}

/// Two of the nodes to begin with, of which one is a replica.
pub(crate) fn config(link: &ClusterLink) -> RedisConfig {
    let addresses = link.addresses();
    let seeds = [addresses[5], addresses[1]].map(|address| (address.ip().to_string(), address.port()));
    RedisConfig::cluster(seeds).unwrap().with_password(SecretString::from(PASSWORD))
}

pub(crate) async fn open(config: RedisConfig) -> Result<Store> {
    Ok(Store::new(RedisStore::open(config).await?))
}

/// The server looks at its clock in whole milliseconds, and a ttl counts from the one that has begun.
struct Ticks(BothClocks);

#[async_trait]
impl Time for Ticks {
    fn now(&self) -> Timestamp {
        Time::now(&self.0)
    }

    async fn advance(&self, by: Duration) {
        Time::advance(&self.0, by).await;
    }

    fn granularity(&self) -> Duration {
        self.0.granularity()
    }

    fn lateness(&self) -> Duration {
        Duration::from_millis(1)
    }
}

/// Namespaces whose keys lie in all slots, or in one each.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OnCluster {
    AllSlots,
    OneSlot,
}

impl OnCluster {
    fn namespace(self, name: &str, number: u64) -> String {
        match self {
            Self::AllSlots => format!("{name}-{number}"),
            Self::OneSlot => format!("{{{name}-{number}}}"),
        }
    }
}

#[async_trait]
impl Harness for OnCluster {
    async fn open(&self) -> Result<Fixture> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let (number, setup) = (NUMBER.fetch_add(1, Ordering::Relaxed), *self);
        let system = System::lease().await?;
        let config = system.config();
        let wrong = config.clone().with_password(SecretString::from("an0ther"));
        let store = move |name: &str| {
            let config = config.clone().with_namespace(setup.namespace(name, number));
            async move {
                let store = open(config?).await?;
                // The suite knows nothing of slots. What is refused for keys of several is shown by a test of its own.
                let without = store.capabilities().clone().with_all_or_nothing(Support::None);
                Ok(match setup {
                    Self::AllSlots => store.restricted_to([&without]),
                    Self::OneSlot => store,
                })
            }
        };
        let (again, other) = (store.clone(), store.clone());
        let (writing, typing, counting) = (system.clone(), system.clone(), system.link.clone());
        let restarted = system.clone();
        let foreign = move |key: &str| format!("{}:{key}", setup.namespace("suite", number));
        Ok(Fixture::new(store("suite").await?)
            .with_time(Ticks(system.clocks.clone()))
            .with_client_clock(system.clocks.client.clone())
            .with_reopen(move || again("suite"))
            .with_namespaces(move |name| other(&name))
            .with_foreign_writer(move |key, text| {
                let (system, key) = (writing.clone(), foreign(&key));
                async move {
                    system.ask(&key, &["SET", &key, &text]).await;
                    Ok(())
                }
            })
            .with_foreign_type_writer(move |key| {
                let (system, key) = (typing.clone(), foreign(&key));
                async move {
                    system.ask(&key, &["DEL", &key]).await;
                    system.ask(&key, &["RPUSH", &key, "element"]).await;
                    Ok(())
                }
            })
            .with_wrong_credentials(move || open(wrong.clone()))
            .with_restart(move || {
                let system = restarted.clone();
                async move { system.restart().await }
            })
            .with_requests(move || counting.requests())
            .with_faults(system.link.clone())
            .with_secret(PASSWORD, || logs::seen(PASSWORD))
            .with_guard(system))
    }
}
