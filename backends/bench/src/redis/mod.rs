//! The Redis backend against the driver that it stands on and against OpenDAL's Redis service, all on one private server
//! that keeps nothing on disk.

mod opendal;
mod pipeline;
mod single;
mod walk;

use std::net::SocketAddr;
use std::sync::Arc;

use ::opendal::Operator;
use kv_api::Store;
use kv_redis::{RedisConfig, RedisStore};

use kv_servers::{Redis, RedisOptions};

use self::pipeline::Pipeline;
use self::single::Single;
use self::walk::{Keys, Walk};
use crate::database::{Batches, batch_gets, batch_sets, gets, inserts, sets};
use crate::entries::Entries;
use crate::measure::{Program, Race, Result, Rounds, Unit, timed_by_count};
use crate::payload::SMALL;
use crate::report::Section;
use crate::store::hidden;

/// Callers at once.
const TASKS: usize = 64;

/// Entries of a batch, and keys of a page.
const BATCH: usize = 1000;

/// At most 15 % more time than the bare driver.
const LONE_TARGET: f64 = 1.0 / 1.15;

/// The logical databases, so that a contender lists its own keys only.
const OURS: u32 = 0;
const BARE: i64 = 1;
const OPENDAL: i64 = 2;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Entries of each contender.
    pub(crate) entries: usize,
    /// Calls of a lone caller in a slice.
    pub(crate) lone_calls: usize,
    /// Calls of many callers in a slice.
    pub(crate) calls: usize,
    /// Batches in a slice.
    pub(crate) batches: usize,
    /// The rounds of a race.
    pub(crate) rounds: Rounds,
}

impl Sizes {
    /// For results that are kept.
    pub(crate) const FULL: Self = Self {
        entries: 100_000,
        lone_calls: 4000,
        calls: 51_200,
        batches: 40,
        rounds: Rounds { warm_up: 1, counted: 9 },
    };

    /// For trying out.
    pub(crate) const QUICK: Self = Self {
        entries: 10_000,
        lone_calls: 1000,
        calls: 12_800,
        batches: 8,
        rounds: Rounds { warm_up: 1, counted: 3 },
    };
}

/// Runs every race of the section.
///
/// # Errors
/// The first failure of a contender, or of the server.
pub(crate) async fn run(sizes: Sizes, only: Option<String>) -> Result<Section> {
    let server = start().await?;
    let field = Field::load(server.address(), sizes.entries).await?;
    let mut program = Program { only, ..Program::default() };
    program.run(lone_set(&field, sizes), sizes.rounds).await?;
    program.run(lone_insert(&field, sizes), sizes.rounds).await?;
    program.run(lone_get(&field, sizes), sizes.rounds).await?;
    program.run(concurrent_sets(&field, sizes), sizes.rounds).await?;
    program.run(concurrent_gets(&field, sizes), sizes.rounds).await?;
    program.run(many_sets(&field, sizes), sizes.rounds).await?;
    program.run(many_gets(&field, sizes), sizes.rounds).await?;
    program.run(lists(&field), sizes.rounds).await?;
    let version = field.server_version().await?;
    Ok(Section { name: "redis", finishes: program.finishes, notes: notes(&version) })
}

/// A server whose clock is the system's own, as it is outside of tests.
pub(crate) async fn start() -> Result<Redis> {
    Ok(Redis::start(RedisOptions::new().real_time()).await?)
}

fn notes(version: &str) -> Vec<String> {
    let mut notes = vec![format!(
        "Redis {version} in the same run, on the loopback address, keeping nothing on disk. Each contender has a logical \
         database of its own with the same entries: keys of 24 bytes, texts of 100, half of them with an expiry."
    )];
    notes.extend(
        [
            "A ratio is the other side's figure over the fixture's, taken round by round; higher is better for the fixture. \
             A target of 0.87 is at most 15 % more time. Differences below 20 % are a tie between other contenders.",
            "kv-redis is called through kv_api::Store on a backend whose type the compiler cannot see, with its default \
             settings, time-outs included. The crate redis has no time-outs, and all its callers share one multiplexed \
             connection, as ours do.",
            "A pipeline of 64 is one caller who has 64 commands at hand and waits for all answers at once: no program of 64 \
             callers gets that for free, so it is a limit rather than an alternative. What 64 callers get from the driver \
             stands beside it.",
            "The loop of single calls is the bare driver's, not ours.",
            "Lists are of keys only, with a COUNT of 1,000, over all entries of a contender. With MATCH and TYPE the server \
             looks at each key as it does for kv-redis, which leaves out what is no entry; kv-redis also asks for the number of \
             keys, which bounds a list without end.",
            "OpenDAL's service has ten connections, and asks each whether it lives before it uses it: two round trips a \
             call. It stores no expiry, has no conditional set, no batches, and cannot list.",
        ]
        .map(str::to_owned),
    );
    notes
}

/// The contenders with the same entries loaded.
struct Field {
    entries: Entries,
    ours: Arc<Store>,
    single: Arc<Single>,
    pipeline: Arc<Pipeline>,
    all_keys: Arc<Keys>,
    strings: Arc<Keys>,
    opendal: Arc<Operator>,
}

impl Field {
    async fn load(server: SocketAddr, entries: usize) -> Result<Self> {
        let entries = Entries::new(entries, false);
        let bare = single::connect(server, BARE).await?;
        let ours = open_ours(server).await?;
        let pipeline = Pipeline(bare.clone());
        let opendal = Pipeline(single::connect(server, OPENDAL).await?);
        for batch in entries.all().chunks(BATCH) {
            Batches::set_many(&ours, batch).await?;
            pipeline.set_many(batch).await?;
            opendal.set_many(batch).await?;
        }
        Ok(Self {
            entries,
            ours: Arc::new(ours),
            single: Arc::new(Single(bare.clone())),
            pipeline: Arc::new(pipeline),
            all_keys: Arc::new(Keys { connection: bare.clone(), filters: false }),
            strings: Arc::new(Keys { connection: bare, filters: true }),
            opendal: Arc::new(opendal::open(server, OPENDAL)?),
        })
    }

    /// The version that the server says it has.
    async fn server_version(&self) -> Result<String> {
        let text: String = redis::cmd("INFO").arg("server").query_async(&mut self.single.0.clone()).await?;
        let version = text.lines().find_map(|line| line.strip_prefix("redis_version:"));
        Ok(version.unwrap_or("of unknown version").trim().to_owned())
    }
}

/// Ours, with its default settings.
pub(crate) async fn open_ours(server: SocketAddr) -> Result<Store> {
    let config = RedisConfig::new(server.ip().to_string(), server.port())?.with_namespace("bench")?;
    Ok(hidden(RedisStore::open(config.with_database(OURS)).await?))
}

fn lone_set(field: &Field, sizes: Sizes) -> Race<'_> {
    let rows = move || field.entries.rows(1, sizes.lone_calls);
    let mut race = Race::new("set, a lone caller", Unit::Nanoseconds);
    let ours = race.enter("kv-redis", move || sets(Arc::clone(&field.ours), rows()));
    let single = race.enter("redis, single commands", move || sets(Arc::clone(&field.single), rows()));
    let opendal = race.enter("OpenDAL redis", move || sets(Arc::clone(&field.opendal), rows()));
    race.compare(ours, single, LONE_TARGET);
    race.compare(ours, opendal, 1.0);
    race
}

fn lone_insert(field: &Field, sizes: Sizes) -> Race<'_> {
    let rows = move || field.entries.fresh(sizes.lone_calls);
    let mut race = Race::new("set if not exists, a lone caller, new keys", Unit::Nanoseconds);
    let ours = race.enter("kv-redis", move || inserts(Arc::clone(&field.ours), rows()));
    let single = race.enter("redis, SET NX", move || inserts(Arc::clone(&field.single), rows()));
    race.compare(ours, single, LONE_TARGET);
    race
}

fn lone_get(field: &Field, sizes: Sizes) -> Race<'_> {
    let keys = move || field.entries.keys(1, sizes.lone_calls);
    let mut race = Race::new("get, a lone caller", Unit::Nanoseconds);
    let ours = race.enter("kv-redis", move || gets(Arc::clone(&field.ours), keys(), SMALL));
    let single = race.enter("redis, single commands", move || gets(Arc::clone(&field.single), keys(), SMALL));
    let opendal = race.enter("OpenDAL redis", move || gets(Arc::clone(&field.opendal), keys(), SMALL));
    race.compare(ours, single, LONE_TARGET);
    race.compare(ours, opendal, 1.0);
    race
}

fn concurrent_sets(field: &Field, sizes: Sizes) -> Race<'_> {
    let rows = move || field.entries.rows(TASKS, sizes.calls);
    let mut race = Race::new(format!("set, {TASKS} callers at once"), Unit::Nanoseconds);
    let ours = race.enter("kv-redis", move || sets(Arc::clone(&field.ours), rows()));
    let pipeline = race.enter("redis, pipelines of 64", move || {
        batch_sets(Arc::clone(&field.pipeline), field.entries.rows(sizes.calls / TASKS, sizes.calls))
    });
    let single = race.enter("redis, single commands", move || sets(Arc::clone(&field.single), rows()));
    let opendal = race
        .enter("OpenDAL redis", move || sets(Arc::clone(&field.opendal), field.entries.rows(TASKS, sizes.calls / 4)));
    race.compare(ours, pipeline, 0.9);
    race.compare(ours, single, None);
    race.compare(ours, opendal, 1.0);
    race
}

fn concurrent_gets(field: &Field, sizes: Sizes) -> Race<'_> {
    let keys = move || field.entries.keys(TASKS, sizes.calls);
    let mut race = Race::new(format!("get, {TASKS} callers at once"), Unit::Nanoseconds);
    let ours = race.enter("kv-redis", move || gets(Arc::clone(&field.ours), keys(), SMALL));
    let pipeline = race.enter("redis, pipelines of 64", move || {
        batch_gets(Arc::clone(&field.pipeline), field.entries.keys(sizes.calls / TASKS, sizes.calls))
    });
    let single = race.enter("redis, single commands", move || gets(Arc::clone(&field.single), keys(), SMALL));
    let opendal = race.enter("OpenDAL redis", move || {
        gets(Arc::clone(&field.opendal), field.entries.keys(TASKS, sizes.calls / 4), SMALL)
    });
    race.compare(ours, pipeline, 0.9);
    race.compare(ours, single, None);
    race.compare(ours, opendal, 1.0);
    race
}

fn many_sets(field: &Field, sizes: Sizes) -> Race<'_> {
    let rows = move || field.entries.row_batches(sizes.batches, BATCH);
    let mut race = Race::new("set_many of 1,000, per entry", Unit::Nanoseconds);
    let ours = race.enter("kv-redis", move || batch_sets(Arc::clone(&field.ours), rows()));
    let pipeline = race.enter("redis, a pipeline of 1,000", move || batch_sets(Arc::clone(&field.pipeline), rows()));
    let single = race.enter("redis, a loop of single calls", move || {
        sets(Arc::clone(&field.single), field.entries.rows(1, sizes.lone_calls))
    });
    race.compare(ours, pipeline, 0.8);
    race.compare(ours, single, 10.0);
    race
}

fn many_gets(field: &Field, sizes: Sizes) -> Race<'_> {
    let keys = move || field.entries.key_batches(sizes.batches, BATCH);
    let mut race = Race::new("get_many of 1,000, per key", Unit::Nanoseconds);
    let ours = race.enter("kv-redis", move || batch_gets(Arc::clone(&field.ours), keys()));
    let pipeline = race.enter("redis, a pipeline of 1,000", move || batch_gets(Arc::clone(&field.pipeline), keys()));
    let single = race.enter("redis, a loop of single calls", move || {
        gets(Arc::clone(&field.single), field.entries.keys(1, sizes.lone_calls), SMALL)
    });
    race.compare(ours, pipeline, 0.8);
    race.compare(ours, single, 10.0);
    race
}

fn lists(field: &Field) -> Race<'_> {
    /// Nanoseconds a key, over all of them.
    async fn walked<W: Walk>(database: Arc<W>) -> Result<f64> {
        timed_by_count(async { tokio::spawn(async move { database.walk(BATCH).await }).await? }).await
    }
    let mut race = Race::new("list in pages of 1,000, per key", Unit::Nanoseconds);
    let ours = race.enter("kv-redis", move || walked(Arc::clone(&field.ours)));
    let strings = race.enter("redis, SCAN MATCH TYPE", move || walked(Arc::clone(&field.strings)));
    let all_keys = race.enter("redis, SCAN", move || walked(Arc::clone(&field.all_keys)));
    race.compare(ours, strings, None);
    race.compare(ours, all_keys, None);
    race
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::{answers_batches, keeps_what_it_is_given, sets_only_what_is_not_there};

    #[tokio::test]
    async fn every_contender_does_what_it_is_timed_for() {
        const ENTRIES: usize = 2 * BATCH;
        let server = start().await.unwrap();
        let field = Field::load(server.address(), ENTRIES).await.unwrap();
        assert_eq!(field.ours.walk(BATCH).await.unwrap(), ENTRIES);
        assert_eq!(field.strings.walk(BATCH).await.unwrap(), ENTRIES);
        assert_eq!(field.all_keys.walk(BATCH).await.unwrap(), ENTRIES);
        keeps_what_it_is_given(&field.ours, &field.entries).await;
        keeps_what_it_is_given(&field.single, &field.entries).await;
        keeps_what_it_is_given(&field.opendal, &field.entries).await;
        let fresh = field.entries.fresh(3);
        sets_only_what_is_not_there(&field.ours, &fresh).await;
        sets_only_what_is_not_there(&field.single, &fresh).await;
        answers_batches(&field.ours, &field.entries).await;
        answers_batches(&field.pipeline, &field.entries).await;
    }
}
