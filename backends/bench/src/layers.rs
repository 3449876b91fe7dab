//! What each layer adds to the price of a call, and what a cache saves.

use std::sync::Arc;

use kv_api::{Backend, Layer, Store};
use kv_cloudflare::{CloudflareConfig, CloudflareStore, Credentials};
use kv_fakes::{FakeServer, ServerOptions};
use kv_layers::{
    Cached, Compressed, Encrypted, EncryptionKey, Fallback, Intercept, Intercepted, Like, Mirrored, Mounted, Traced,
};
use kv_memory::MemoryStore;
use kv_remote::SecretString;

use crate::measure::{Program, Race, Result, Rounds, Unit, timed};
use crate::payload::{random_keys, shuffled_keys, small_value};
use crate::report::Section;
use crate::store::hidden;

/// Entries: few enough to stay in the caches of the processor.
const ENTRIES: usize = 10_000;

/// Entries of the fake.
const REMOTE_ENTRIES: usize = 100;

/// `Traced`, with nobody who listens, takes at most 1.3 times as long as a bare call.
const TRACED_TARGET: f64 = 1.0 / 1.3;

/// How many times faster a hit is than a get from the fake.
const HIT_TARGET: f64 = 20.0;

const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";
const NAMESPACE: &str = "fedcba9876543210fedcba9876543210";
const SECRET: &str = "no-secret-at-all";

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Calls of a slice in memory.
    calls: usize,
    /// Calls of a slice over HTTP.
    remote_calls: usize,
    /// The rounds of a race.
    rounds: Rounds,
}

impl Sizes {
    /// For results that are kept.
    pub(crate) const FULL: Self =
        Self { calls: 100_000, remote_calls: 500, rounds: Rounds { warm_up: 1, counted: 15 } };

    /// For trying out.
    pub(crate) const QUICK: Self = Self { calls: 25_000, remote_calls: 100, rounds: Rounds { warm_up: 1, counted: 3 } };
}

/// Runs every race of the section.
///
/// # Errors
/// The first failure of a contender.
pub(crate) async fn run(sizes: Sizes, only: Option<String>) -> Result<Section> {
    let stores = stacks()?;
    for stack in &stores {
        for key in shuffled_keys(ENTRIES) {
            stack.store.set(&key, small_value()).await?;
        }
    }
    let mut program = Program { only, ..Program::default() };
    program.run(race("get", Operation::Get, &stores, sizes.calls), sizes.rounds).await?;
    program.run(race("overwrite", Operation::Overwrite, &stores, sizes.calls), sizes.rounds).await?;
    let fake = kv_fakes::cloudflare::Fake::new().with_account(ACCOUNT).with_namespace(NAMESPACE).with_token(SECRET);
    let fake = fake.serve(ServerOptions::new()).await?;
    let (bare, cached) = (hidden(cloudflare(&fake)?), hidden(Cached::new().layer(Arc::new(cloudflare(&fake)?))));
    for key in shuffled_keys(REMOTE_ENTRIES) {
        bare.set(&key, small_value()).await?;
        cached.get(&key).await?.ok_or("missing")?;
    }
    program.run(hits(&bare, &cached, sizes), sizes.rounds).await?;
    Ok(Section { name: "layers", finishes: program.finishes, notes: notes() })
}

/// A memory store behind a layer.
struct Stack {
    name: &'static str,
    store: Store,
    target: Option<f64>,
}

/// The bare store first, then one behind each layer.
fn stacks() -> Result<Vec<Stack>> {
    let memory = || -> Arc<dyn Backend> { Arc::new(MemoryStore::new()) };
    let behind = |name, layer: &dyn Layer| Stack { name, store: hidden(layer.layer(memory())), target: None };
    let key = EncryptionKey::from_base64("bench", &SecretString::from("A".repeat(43) + "="))?;
    Ok(vec![
        Stack { name: "bare", store: hidden(memory()), target: None },
        Stack { target: Some(TRACED_TARGET), ..behind("Traced", &Traced::new()) },
        behind("Intercepted", &Intercepted::new(Nothing)),
        behind("Like", &Like::new(kv_memory::CAPABILITIES.clone())),
        behind("Fallback", &Fallback::to(MemoryStore::new())),
        Stack {
            name: "Mounted",
            store: hidden(Mounted::new(MemoryStore::new(), [("other/", memory())])?),
            target: None,
        },
        behind("Mirrored", &Mirrored::to(MemoryStore::new())),
        behind("Cached", &Cached::new()),
        behind("Compressed", &Compressed::new()),
        behind("Encrypted", &Encrypted::new(key)),
    ])
}

/// A hook that does nothing.
struct Nothing;

impl Intercept for Nothing {}

#[derive(Clone, Copy, Debug)]
enum Operation {
    Get,
    Overwrite,
}

/// The same calls on every stack, each compared with the bare store.
fn race<'a>(title: &str, operation: Operation, stacks: &'a [Stack], calls: usize) -> Race<'a> {
    let mut race = Race::new(title, Unit::Nanoseconds);
    let enter = |stack: &'a Stack| {
        race.enter(stack.name, move || {
            let keys = random_keys(ENTRIES, calls);
            timed(calls, async move { call(&stack.store, &keys, operation).await })
        })
    };
    let entrants: Vec<_> = stacks.iter().map(enter).collect();
    for (entrant, stack) in entrants.iter().zip(stacks).skip(1) {
        race.compare(*entrant, entrants[0], stack.target);
    }
    race
}

/// A caller whose keys are mostly in the cache already, against one without a cache.
fn hits<'a>(bare: &'a Store, cached: &'a Store, sizes: Sizes) -> Race<'a> {
    let mut race = Race::new("get from the fake of Cloudflare, and a hit", Unit::Nanoseconds);
    let mut enter = |name, store: &'a Store, calls: usize| {
        race.enter(name, move || {
            let keys = random_keys(REMOTE_ENTRIES, calls);
            timed(calls, async move { call(store, &keys, Operation::Get).await })
        })
    };
    let without = enter("bare", bare, sizes.remote_calls);
    let with = enter("Cached", cached, sizes.calls);
    race.compare(with, without, HIT_TARGET);
    race
}

async fn call(store: &Store, keys: &[String], operation: Operation) -> Result<()> {
    for key in keys {
        match operation {
            Operation::Get => drop(store.get(key).await?.ok_or("missing")?),
            Operation::Overwrite => drop(store.set(key, small_value()).await?),
        }
    }
    Ok(())
}

fn cloudflare(fake: &FakeServer) -> kv_api::Result<CloudflareStore> {
    let token = Credentials::Token(SecretString::from(SECRET));
    CloudflareStore::open(CloudflareConfig::new(ACCOUNT, NAMESPACE, token)?.with_base_url(fake.base_url())?)
}

fn notes() -> Vec<String> {
    [
        "A ratio is the bare store's figure over the layer's: 0.5 is twice the time. Every store is called through \
         kv_api::Store on a backend whose type the compiler cannot see.",
        "The stores are in memory, with 10,000 entries of 24 bytes a key and 100 a value: a call that takes as little as \
         any does, so that whatever a layer adds is the greatest share that it can be.",
        "Nobody listens to Traced: no subscriber and no recorder. Compressed leaves values of 100 bytes as they are. The \
         other side of Fallback, Mounted and Mirrored is in memory too; Mirrored compares no reads.",
        "The fake of Cloudflare and its caller share this process; a real system takes far longer.",
    ]
    .map(str::to_owned)
    .to_vec()
}
