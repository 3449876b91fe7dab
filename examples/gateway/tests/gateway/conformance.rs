//! The contract, over the adapter of Workers KV at a gateway over memory: all that the dialect can express.

use std::collections::HashMap;
use std::future::ready;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kv_api::{Error, ErrorKind, ManualClock, Result, Store, StoreUrl, TokioTimer, async_trait};
use kv_cloudflare::{CloudflareConfig, CloudflareStore, Credentials, RemoteSettings, RetryPolicy};
use kv_conformance::{Fault, Fixture, Harness, Means, logs};
use kv_gateway::{Access, Gateway, Tokens};
use kv_link::StoreLink;
use kv_memory::MemoryStore;
use kv_testkit::{BothClocks, http_client};

use crate::harness::{Running, memory, memory_at, namespace};

const TOKEN: &str = "c4nary-0f-th3-g4teway";
const ACCOUNT: &str = "023e105f4ecef8ad9ca31a8372d0c353";
const NAME: &str = "main";
/// Others, which the suite asks for by names of its own.
const SPARE: [&str; 4] = ["spare-0", "spare-1", "spare-2", "spare-3"];

/// Answers that only a server makes up, which is not what is tried here. The adapter shows what it does with them on
/// the fake.
const MADE_UP: [Fault; 4] =
    [Fault::BulkAnswerImplausible, Fault::PageEmpty, Fault::PageStandsStill, Fault::PageInCircles];
const WHY: &str = "the server is the gateway, and no link before it makes pages or figures up";

/// A gateway, and a link before it that breaks on purpose.
struct System {
    link: StoreLink,
    running: tokio::sync::Mutex<Running>,
    stores: Vec<(&'static str, MemoryStore)>,
    clocks: BothClocks,
    /// Which spare namespace has which name.
    given: Mutex<HashMap<String, &'static str>>,
}

impl System {
    async fn start() -> Arc<Self> {
        logs::watch(TOKEN);
        let (main, clock) = memory();
        let mut stores = vec![(NAME, main)];
        stores.extend(SPARE.iter().map(|name| (*name, memory_at(&clock))));
        let running = Running::start(gateway(&stores, &clock)).await;
        // What only the adapter reads of it is not read by the link.
        let base = format!("http://{}/client/v4", running.address).replace(':', "%3A").replace('/', "%2F");
        let link = StoreLink::open(&format!("cloudflare://{ACCOUNT}/{NAME}?base_url={base}")).await.unwrap();
        let client = ManualClock::new(kv_api::Clock::now(&clock));
        let clocks = BothClocks { system: clock, client };
        Arc::new(Self { link, running: tokio::sync::Mutex::new(running), stores, clocks, given: Mutex::default() })
    }

    fn base_url(&self) -> String {
        self.link.url().parse::<StoreUrl>().unwrap().take_option("base_url").unwrap()
    }

    fn open(&self, namespace: &str, token: &str) -> Store {
        let remote = RemoteSettings::default()
            .with_clock(Arc::new(self.clocks.client.clone()))
            .with_timer(Arc::new(TokioTimer))
            .with_retry(RetryPolicy::default().with_delays(Duration::ZERO, Duration::ZERO));
        let config = CloudflareConfig::new(ACCOUNT, namespace, Credentials::Token(token.into())).unwrap();
        let config = config.with_base_url(&self.base_url()).unwrap().with_remote(remote);
        Store::new(CloudflareStore::open(config).unwrap())
    }

    fn spare(&self, name: String) -> Result<Store> {
        let mut given = self.given.lock().unwrap();
        let next = SPARE.get(given.len());
        let none_left = || Error::new(ErrorKind::Exhausted, "no spare namespace is left");
        let found = match given.get(&name) {
            Some(found) => found,
            None => *given.entry(name).or_insert(next.ok_or_else(none_left)?),
        };
        Ok(self.open(found, TOKEN))
    }

    async fn restart(&self) {
        let mut running = self.running.lock().await;
        let address = running.address;
        running.stop().await;
        *running = Running::start_at(gateway(&self.stores, &self.clocks.system), address).await;
    }
}

fn gateway(stores: &[(&'static str, MemoryStore)], clock: &ManualClock) -> Gateway {
    let namespaces = stores.iter().map(|(name, store)| namespace(name, Store::new(store.clone())));
    let access = Access::Tokens(Tokens::parse(&format!("{TOKEN} read,write")).unwrap());
    Gateway::builder(namespaces, access).with_account(ACCOUNT).with_clock(Arc::new(clock.clone())).build().unwrap()
}

struct OnGateway;

#[async_trait]
impl Harness for OnGateway {
    async fn open(&self) -> Result<Fixture> {
        let system = System::start().await;
        let handle = || Arc::clone(&system);
        let (again, stranger, other, counting, restarted) = (handle(), handle(), handle(), handle(), handle());
        let address = system.running.lock().await.address;
        let fixture = MADE_UP
            .into_iter()
            .fold(Fixture::new(system.open(NAME, TOKEN)), |fixture, fault| fixture.without(Means::Fault(fault), WHY));
        Ok(fixture
            .with_time(system.clocks.clone())
            .with_client_clock(system.clocks.client.clone())
            .with_reopen(move || ready(Ok(again.open(NAME, TOKEN))))
            .with_wrong_credentials(move || ready(Ok(stranger.open(NAME, "a-token-that-is-wrong"))))
            .with_namespaces(move |name| ready(other.spare(name)))
            .with_restart(move || {
                let system = Arc::clone(&restarted);
                async move {
                    system.restart().await;
                    Ok(())
                }
            })
            .without(Means::ForeignTypeWriter, "the dialect knows no types: whatever is written is a value")
            .with_foreign_writer(move |key, text| async move {
                let key = percent_encoding::utf8_percent_encode(&key, percent_encoding::NON_ALPHANUMERIC);
                let url =
                    format!("http://{address}/client/v4/accounts/{ACCOUNT}/storage/kv/namespaces/{NAME}/values/{key}");
                let answer = http_client().put(url).bearer_auth(TOKEN).body(text).send().await.unwrap();
                assert_eq!(answer.status(), 200);
                Ok(())
            })
            .with_requests(move || counting.link.link().requests())
            .with_faults(system.link.clone())
            .with_secret(TOKEN, || logs::seen(TOKEN))
            .with_guard(system))
    }
}

kv_conformance::conformance_tests!(OnGateway);
