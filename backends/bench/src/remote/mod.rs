//! What the adapters of remote systems add to the price of a request, and what their bulk calls save.

mod bare;
mod server;

use std::future::Future;
use std::net::SocketAddr;

use futures_util::future::try_join_all;
use kv_api::{SetItem, Store};
use kv_backendless::{BackendlessConfig, BackendlessStore};
use kv_cloudflare::{CloudflareConfig, CloudflareStore, Credentials};
use kv_fakes::{FakeServer, ServerOptions};
use kv_remote::SecretString;

use self::bare::Bare;
use self::server::{KEY, VALUE};
use crate::measure::{Program, Race, Result, Rounds, Unit, timed};
use crate::payload::key;
use crate::report::Section;
use crate::store::hidden;

/// Callers at once.
const TASKS: usize = 64;

/// Entries of a batch: what one request of Cloudflare's holds.
const BATCH: usize = 10_000;

/// The share of bare reqwest's speed that is wanted: at most 9 % more time.
const OVERHEAD_TARGET: f64 = 0.92;

/// How many times less time a key takes in a batch than alone.
const BULK_TARGET: f64 = 100.0;

const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";
const NAMESPACE: &str = "fedcba9876543210fedcba9876543210";
const HIVE: &str = "hive";
const SECRET: &str = "no-secret-at-all";

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Calls of a lone caller in a slice.
    lone_calls: usize,
    /// Calls of many callers in a slice.
    calls: usize,
    /// Single sets in a slice of the race against batches.
    single_sets: usize,
    /// The rounds of a race.
    rounds: Rounds,
}

impl Sizes {
    /// For results that are kept.
    pub(crate) const FULL: Self =
        Self { lone_calls: 2000, calls: 12_800, single_sets: 500, rounds: Rounds { warm_up: 1, counted: 15 } };

    /// For trying out.
    pub(crate) const QUICK: Self =
        Self { lone_calls: 300, calls: 1920, single_sets: 100, rounds: Rounds { warm_up: 1, counted: 3 } };
}

/// A system, through its adapter and without it, on one server.
struct Field {
    name: String,
    ours: Store,
    bare: Bare,
    /// Whether there is a target for a lone caller too.
    lone_target: bool,
}

impl Field {
    fn cloudflare(server: SocketAddr, of: &str, lone_target: bool) -> Result<Self> {
        Ok(Self {
            name: format!("kv-cloudflare, {of}"),
            ours: hidden(cloudflare(&format!("http://{server}/client/v4"))?),
            bare: Bare::cloudflare(server, ACCOUNT, NAMESPACE, SECRET),
            lone_target,
        })
    }

    fn backendless(server: SocketAddr, of: &str, lone_target: bool) -> Result<Self> {
        Ok(Self {
            name: format!("kv-backendless, {of}"),
            ours: hidden(backendless(&format!("http://{server}"))?),
            bare: Bare::backendless(server, ACCOUNT, SECRET, HIVE),
            lone_target,
        })
    }

    fn target(&self, tasks: usize) -> Option<f64> {
        (tasks > 1 || self.lone_target).then_some(OVERHEAD_TARGET)
    }
}

/// Runs every race of the section.
///
/// # Errors
/// The first failure of a contender.
pub(crate) async fn run(sizes: Sizes, only: Option<String>) -> Result<Section> {
    let cloudflare_fake = serve_cloudflare(ServerOptions::new()).await?;
    let backendless_fake = serve_backendless(ServerOptions::new()).await?;
    let cloudflare_on_fake = Field::cloudflare(address(&cloudflare_fake)?, "the fake", true)?;
    let backendless_on_fake = Field::backendless(address(&backendless_fake)?, "the fake", true)?;
    set(cloudflare_on_fake.ours.clone()).await?;
    set(backendless_on_fake.ours.clone()).await?;
    let fastest = server::start().await?;
    let ready_bytes = "a server of ready bytes";

    let mut program = Program { only, ..Program::default() };
    program.run(batches("kv-cloudflare", &cloudflare_on_fake.ours, sizes), sizes.rounds).await?;
    program.run(batches("kv-backendless", &backendless_on_fake.ours, sizes), sizes.rounds).await?;
    for (field, share) in [
        (cloudflare_on_fake, 10),
        (backendless_on_fake, 10),
        (Field::cloudflare(fastest, ready_bytes, false)?, 1),
        (Field::backendless(fastest, ready_bytes, false)?, 1),
    ] {
        for (tasks, calls) in [(1, sizes.lone_calls / share), (TASKS, sizes.calls / share)] {
            program.run(gets(&field, tasks, calls), sizes.rounds).await?;
            program.run(sets(&field, tasks, calls), sizes.rounds).await?;
        }
    }
    Ok(Section { name: "remote", finishes: program.finishes, notes: notes() })
}

/// The fake that [`cloudflare`] talks to.
///
/// # Errors
/// When there is no free port.
pub(crate) async fn serve_cloudflare(options: ServerOptions) -> Result<FakeServer> {
    let fake = kv_fakes::cloudflare::Fake::new().with_account(ACCOUNT).with_namespace(NAMESPACE).with_token(SECRET);
    Ok(fake.serve(options).await?)
}

/// The fake that [`backendless`] talks to.
///
/// # Errors
/// When there is no free port.
pub(crate) async fn serve_backendless(options: ServerOptions) -> Result<FakeServer> {
    let fake = kv_fakes::backendless::Fake::new().with_app_id(ACCOUNT).with_api_key(SECRET).with_hive(HIVE);
    Ok(fake.serve(options).await?)
}

/// Where a fake listens.
fn address(fake: &FakeServer) -> Result<SocketAddr> {
    let host = fake.base_url().split('/').nth(2).ok_or("a URL with a host")?;
    Ok(host.parse()?)
}

pub(crate) fn cloudflare(base_url: &str) -> kv_api::Result<CloudflareStore> {
    let token = Credentials::Token(SecretString::from(SECRET));
    CloudflareStore::open(CloudflareConfig::new(ACCOUNT, NAMESPACE, token)?.with_base_url(base_url)?)
}

pub(crate) fn backendless(base_url: &str) -> kv_api::Result<BackendlessStore> {
    let config = BackendlessConfig::of_application(ACCOUNT, SecretString::from(SECRET), HIVE)?;
    BackendlessStore::open(config.with_base_url(base_url)?)
}

/// `count` calls in all, by `tasks` callers at once: the nanoseconds a call.
async fn called<F>(tasks: usize, count: usize, call: impl Fn() -> F) -> Result<f64>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let callers: Vec<_> = (0..tasks).map(|_| (0..count / tasks).map(|_| call()).collect::<Vec<_>>()).collect();
    timed(count, async {
        let callers = callers.into_iter().map(|calls| {
            tokio::spawn(async move {
                for call in calls {
                    call.await?;
                }
                Ok(())
            })
        });
        try_join_all(callers).await?.into_iter().collect()
    })
    .await
}

async fn get(store: Store) -> Result<()> {
    match store.get(KEY).await?.as_ref().and_then(|value| value.as_text()) {
        Some(VALUE) => Ok(()),
        _ => Err("another value".into()),
    }
}

async fn set(store: Store) -> Result<()> {
    store.set(KEY, VALUE).await?;
    Ok(())
}

fn gets(field: &Field, tasks: usize, calls: usize) -> Race<'_> {
    let mut race = Race::new(format!("{}: get, {}", field.name, callers(tasks)), Unit::Nanoseconds);
    let ours = race.enter("ours", move || called(tasks, calls, || get(field.ours.clone())));
    let bare = race.enter("bare reqwest", move || {
        called(tasks, calls, || {
            let bare = field.bare.clone();
            async move { bare.get().await }
        })
    });
    race.compare(ours, bare, field.target(tasks));
    race
}

fn sets(field: &Field, tasks: usize, calls: usize) -> Race<'_> {
    let mut race = Race::new(format!("{}: set, {}", field.name, callers(tasks)), Unit::Nanoseconds);
    let ours = race.enter("ours", move || called(tasks, calls, || set(field.ours.clone())));
    let bare = race.enter("bare reqwest", move || {
        called(tasks, calls, || {
            let bare = field.bare.clone();
            async move { bare.set().await }
        })
    });
    race.compare(ours, bare, field.target(tasks));
    race
}

fn callers(tasks: usize) -> String {
    if tasks == 1 { "a lone caller".to_owned() } else { format!("{tasks} callers at once") }
}

fn batches<'a>(name: &'a str, store: &'a Store, sizes: Sizes) -> Race<'a> {
    let mut race = Race::new(format!("{name}: set_many of {BATCH} on the fake, per key"), Unit::Nanoseconds);
    let many = race.enter("set_many", move || async move {
        let keys: Vec<String> = (0..BATCH).map(key).collect();
        timed(BATCH, async {
            let results = store.set_many(keys.iter().map(|key| SetItem::new(key, VALUE))).await;
            results.into_iter().try_for_each(|result| result.map(drop)).map_err(Into::into)
        })
        .await
    });
    let single = race.enter("set, one after the other", move || async move {
        let keys: Vec<String> = (0..sizes.single_sets).map(key).collect();
        timed(keys.len(), async {
            for key in &keys {
                store.set(key, VALUE).await?;
            }
            Ok(())
        })
        .await
    });
    race.compare(many, single, BULK_TARGET);
    race
}

fn notes() -> Vec<String> {
    [
        "A ratio is the other side's figure over the fixture's, taken round by round; higher is better for the fixture. A \
         target of 0.92 is at most 9 % more time. Differences below 20 % are a tie between other contenders; here both \
         sides send the same bytes, so less shows.",
        "Both sides talk HTTP/1.1 to one server in this process, on a thread of its own: the stateful fake, and one that \
         answers with ready bytes as fast as hyper can, where whatever a client adds is the greatest share that it can be. A \
         real system takes far longer than either. On the second, a lone caller has no target: mostly it waits to be woken.",
        "Bare reqwest has its URL, headers and body ready and reads the answer's bytes without a look at them. The adapters \
         check the call, encode the request, keep deadline, time-out and the window of requests, and decode the answer.",
        "Batches and single sets are written to the fakes, which parse, check and keep every entry.",
    ]
    .map(str::to_owned)
    .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_sides_do_what_they_are_timed_for() {
        let server = server::start().await.unwrap();
        let bare = Bare::cloudflare(server, ACCOUNT, NAMESPACE, SECRET);
        bare.get().await.unwrap();
        bare.set().await.unwrap();
        let ours = hidden(cloudflare(&format!("http://{server}/client/v4")).unwrap());
        called(2, 4, || get(ours.clone())).await.unwrap();
        called(2, 4, || set(ours.clone())).await.unwrap();
        let bare = Bare::backendless(server, ACCOUNT, SECRET, HIVE);
        bare.get().await.unwrap();
        bare.set().await.unwrap();
        let ours = hidden(backendless(&format!("http://{server}")).unwrap());
        called(2, 4, || get(ours.clone())).await.unwrap();
        called(2, 4, || set(ours.clone())).await.unwrap();
    }
}
