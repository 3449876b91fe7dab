//! The PostgreSQL backend against the driver that it stands on and against OpenDAL's PostgreSQL service, all on one
//! private server with the default settings: durable.

mod opendal;
mod sql;
mod sqlx;

use std::fs;
use std::sync::Arc;

use ::opendal::Operator;
use ::sqlx::postgres::PgConnectOptions;
use kv_api::Store;
use kv_postgres::{PostgresConfig, PostgresStore};
use kv_servers::{Postgres, PostgresOptions};

use self::sqlx::{HeldConnection, Pool, Unnest};
use crate::database::{Batches, batch_gets, batch_sets, gets, inserts, pages, sets};
use crate::entries::Entries;
use crate::measure::{Program, Race, Result, Rounds, Unit};
use crate::payload::{KEYS_PER_PREFIX, SMALL, prefix};
use crate::report::Section;
use crate::store::hidden;

/// Callers at once.
const TASKS: usize = 64;

/// Entries of a batch, and keys of a page.
const BATCH: usize = KEYS_PER_PREFIX;

/// At most 15 % more time than the bare driver.
const LONE_TARGET: f64 = 1.0 / 1.15;

/// The connections that ours opens unless told otherwise, and of the pool against it.
const CONNECTIONS: u32 = 8;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Entries of each contender.
    pub(crate) entries: usize,
    /// Sets of a lone caller in a slice.
    pub(crate) lone_sets: usize,
    /// Gets of a lone caller in a slice.
    pub(crate) lone_gets: usize,
    /// Sets of many callers in a slice of ours, four times as many as of a peer's.
    pub(crate) sets: usize,
    /// Gets of many callers in a slice of ours, four times as many as of a peer's.
    pub(crate) gets: usize,
    /// Batches, and tenths of the pages.
    pub(crate) batches: usize,
    /// The rounds of a race.
    pub(crate) rounds: Rounds,
}

impl Sizes {
    /// For results that are kept.
    pub(crate) const FULL: Self = Self {
        entries: 100_000,
        lone_sets: 1000,
        lone_gets: 4000,
        sets: 12_800,
        gets: 51_200,
        batches: 10,
        rounds: Rounds { warm_up: 1, counted: 9 },
    };

    /// For trying out.
    pub(crate) const QUICK: Self = Self {
        entries: 10_000,
        lone_sets: 200,
        lone_gets: 1000,
        sets: 2560,
        gets: 12_800,
        batches: 3,
        rounds: Rounds { warm_up: 1, counted: 3 },
    };
}

/// Runs every race of the section.
///
/// # Errors
/// The first failure of a contender, or of the server.
pub(crate) async fn run(sizes: Sizes, only: Option<String>) -> Result<Section> {
    let server = start().await?;
    let field = Field::load(&server, sizes.entries).await?;
    let mut program = Program { only, ..Program::default() };
    program.run(lone_set(&field, sizes), sizes.rounds).await?;
    program.run(lone_insert(&field, sizes), sizes.rounds).await?;
    program.run(lone_get(&field, sizes), sizes.rounds).await?;
    program.run(concurrent_sets(&field, sizes), sizes.rounds).await?;
    program.run(concurrent_gets(&field, sizes), sizes.rounds).await?;
    program.run(many_sets(&field, sizes), sizes.rounds).await?;
    program.run(many_gets(&field, sizes), sizes.rounds).await?;
    program.run(first_pages(&field, sizes), sizes.rounds).await?;
    let version = field.setting("server_version").await?;
    // What stands behind it names the package.
    let version = version.split(' ').next().unwrap_or_default();
    Ok(Section { name: "postgres", finishes: program.finishes, notes: notes(version) })
}

/// A durable server with the default settings and the system's own clock, with its files on the disk of the project:
/// below `target`, which version control ignores.
pub(crate) async fn start() -> Result<Postgres> {
    fs::create_dir_all("target")?;
    // Only the first call in a process counts, and all are the same.
    let _ = tempfile::env::override_temp_dir(&fs::canonicalize("target")?);
    let options = PostgresOptions::new().durable().real_time();
    let options = options.setting("checkpoint_timeout", "5min").setting("dynamic_shared_memory_type", "posix");
    Ok(Postgres::start(options).await?)
}

fn notes(version: &str) -> Vec<String> {
    let mut notes = vec![format!(
        "PostgreSQL {version} in the same run, on the loopback address, with its default settings: a set returns once it \
         is on the disk. Its files are below target, on the disk of the project. Each contender has a table of its own with \
         the same entries: keys of 24 bytes, texts of 100, half of them with an expiry, a quarter with metadata."
    )];
    notes.extend(
        [
            "A ratio is the other side's figure over the fixture's, taken round by round; higher is better for the fixture. \
             A target of 0.87 is at most 15 % more time. Differences below 20 % are a tie between other contenders.",
            "kv-postgres is called through kv_api::Store on a backend whose type the compiler cannot see, with its default \
             settings, time-outs included: up to eight connections. The pool is sqlx's with as many, all open from the start and \
             none tried before each use; every caller runs its own statement. The held connection serves one caller.",
            "The peers' table is equal to ours: sequence of versions, primary key, index of expiries. Their statements are \
             prepared, take the time from the server, skip what has expired, and answer version and created-or-updated, as \
             ours do. The plain unnest answers nothing.",
            "The loop of single calls is the held connection's, not ours.",
            "OpenDAL's service has ten connections, and a table of keys and values only. It has no conditional set, no \
             batches, and cannot list.",
        ]
        .map(str::to_owned),
    );
    notes
}

/// The contenders with the same entries loaded.
struct Field {
    entries: Entries,
    ours: Arc<Store>,
    held: Arc<HeldConnection>,
    pool: Arc<Pool>,
    plain: Arc<Unnest>,
    returning: Arc<Unnest>,
    opendal: Arc<Operator>,
}

impl Field {
    async fn load(server: &Postgres, entries: usize) -> Result<Self> {
        let entries = Entries::new(entries, true);
        let options: PgConnectOptions = url(server).parse()?;
        let pool = Pool::open(&options, CONNECTIONS).await?;
        for statement in sql::SCHEMA {
            ::sqlx::query(statement).execute(&pool.0).await?;
        }
        let plain = Unnest { pool: pool.clone(), returns: false };
        let ours = open_ours(server).await?;
        let rows = entries.all();
        for batch in rows.chunks(BATCH) {
            Batches::set_many(&ours, batch).await?;
            plain.set_many(batch).await?;
        }
        let opendal = opendal::load(&url(server), &pool.0, &rows).await?;
        // Everybody begins with a table that is in order.
        ::sqlx::query("VACUUM ANALYZE").execute(&pool.0).await?;
        ::sqlx::query("CHECKPOINT").execute(&pool.0).await?;
        Ok(Self {
            entries,
            ours: Arc::new(ours),
            held: Arc::new(HeldConnection::open(&options).await?),
            returning: Arc::new(Unnest { pool: pool.clone(), returns: true }),
            pool: Arc::new(pool),
            plain: Arc::new(plain),
            opendal: Arc::new(opendal),
        })
    }

    /// A setting of the server as a connection of the pool has it.
    async fn setting(&self, name: &str) -> Result<String> {
        Ok(::sqlx::query_scalar("SELECT current_setting($1)").bind(name).fetch_one(&self.pool.0).await?)
    }
}

/// Ours, with its default settings.
pub(crate) async fn open_ours(server: &Postgres) -> Result<Store> {
    Ok(hidden(PostgresStore::open(PostgresConfig::from_url(url(server).parse()?)?).await?))
}

fn url(server: &Postgres) -> String {
    format!("postgres://{}@{}/{}", Postgres::USER, server.address(), Postgres::DATABASE)
}

fn lone_set(field: &Field, sizes: Sizes) -> Race<'_> {
    let rows = move || field.entries.rows(1, sizes.lone_sets);
    let mut race = Race::new("set, a lone caller", Unit::Nanoseconds);
    let ours = race.enter("kv-postgres", move || sets(Arc::clone(&field.ours), rows()));
    let held = race.enter("sqlx, held connection", move || sets(Arc::clone(&field.held), rows()));
    let pool = race.enter("sqlx pool of 8", move || sets(Arc::clone(&field.pool), rows()));
    let opendal = race.enter("OpenDAL postgresql", move || sets(Arc::clone(&field.opendal), rows()));
    race.compare(ours, held, LONE_TARGET);
    race.compare(ours, pool, None);
    race.compare(ours, opendal, 1.0);
    race
}

fn lone_insert(field: &Field, sizes: Sizes) -> Race<'_> {
    let rows = move || field.entries.fresh(sizes.lone_sets);
    let mut race = Race::new("set if not exists, a lone caller, new keys", Unit::Nanoseconds);
    let ours = race.enter("kv-postgres", move || inserts(Arc::clone(&field.ours), rows()));
    let held = race.enter("sqlx, held connection", move || inserts(Arc::clone(&field.held), rows()));
    race.compare(ours, held, LONE_TARGET);
    race
}

fn lone_get(field: &Field, sizes: Sizes) -> Race<'_> {
    let keys = move || field.entries.keys(1, sizes.lone_gets);
    let mut race = Race::new("get, a lone caller", Unit::Nanoseconds);
    let ours = race.enter("kv-postgres", move || gets(Arc::clone(&field.ours), keys(), SMALL));
    let held = race.enter("sqlx, held connection", move || gets(Arc::clone(&field.held), keys(), SMALL));
    let pool = race.enter("sqlx pool of 8", move || gets(Arc::clone(&field.pool), keys(), SMALL));
    let opendal = race.enter("OpenDAL postgresql", move || gets(Arc::clone(&field.opendal), keys(), SMALL));
    race.compare(ours, held, LONE_TARGET);
    race.compare(ours, pool, None);
    race.compare(ours, opendal, 1.0);
    race
}

fn concurrent_sets(field: &Field, sizes: Sizes) -> Race<'_> {
    let rows = move |share| field.entries.rows(TASKS, sizes.sets / share);
    let mut race = Race::new(format!("set, {TASKS} callers at once"), Unit::Nanoseconds);
    let ours = race.enter("kv-postgres", move || sets(Arc::clone(&field.ours), rows(1)));
    let pool = race.enter("sqlx pool of 8", move || sets(Arc::clone(&field.pool), rows(4)));
    let opendal = race.enter("OpenDAL postgresql", move || sets(Arc::clone(&field.opendal), rows(4)));
    race.compare(ours, pool, 5.0);
    race.compare(ours, opendal, 1.0);
    race
}

fn concurrent_gets(field: &Field, sizes: Sizes) -> Race<'_> {
    let keys = move |share| field.entries.keys(TASKS, sizes.gets / share);
    let mut race = Race::new(format!("get, {TASKS} callers at once"), Unit::Nanoseconds);
    let ours = race.enter("kv-postgres", move || gets(Arc::clone(&field.ours), keys(1), SMALL));
    let pool = race.enter("sqlx pool of 8", move || gets(Arc::clone(&field.pool), keys(4), SMALL));
    let opendal = race.enter("OpenDAL postgresql", move || gets(Arc::clone(&field.opendal), keys(4), SMALL));
    race.compare(ours, pool, 3.0);
    race.compare(ours, opendal, 1.0);
    race
}

fn many_sets(field: &Field, sizes: Sizes) -> Race<'_> {
    let rows = move || field.entries.row_batches(sizes.batches, BATCH);
    let mut race = Race::new("set_many of 1,000, per entry", Unit::Nanoseconds);
    let ours = race.enter("kv-postgres", move || batch_sets(Arc::clone(&field.ours), rows()));
    let returning = race.enter("sqlx, unnest with answers", move || batch_sets(Arc::clone(&field.returning), rows()));
    let plain = race.enter("sqlx, plain unnest", move || batch_sets(Arc::clone(&field.plain), rows()));
    let held = race.enter("sqlx, a loop of single calls", move || {
        sets(Arc::clone(&field.held), field.entries.rows(1, sizes.lone_sets))
    });
    race.compare(ours, returning, 0.8);
    race.compare(ours, plain, None);
    race.compare(ours, held, 10.0);
    race
}

fn many_gets(field: &Field, sizes: Sizes) -> Race<'_> {
    let keys = move || field.entries.key_batches(sizes.batches, BATCH);
    let mut race = Race::new("get_many of 1,000, per key", Unit::Nanoseconds);
    let ours = race.enter("kv-postgres", move || batch_gets(Arc::clone(&field.ours), keys()));
    let any = race.enter("sqlx, = ANY of 1,000", move || batch_gets(Arc::clone(&field.plain), keys()));
    let held = race.enter("sqlx, a loop of single calls", move || {
        gets(Arc::clone(&field.held), field.entries.keys(1, sizes.lone_gets), SMALL)
    });
    race.compare(ours, any, 0.8);
    race.compare(ours, held, 10.0);
    race
}

fn first_pages(field: &Field, sizes: Sizes) -> Race<'_> {
    let prefixes = move || {
        let prefixes = field.entries.count / KEYS_PER_PREFIX;
        (0..10 * sizes.batches).map(|_| prefix(fastrand::usize(..prefixes))).collect()
    };
    let mut race = Race::new("page of 1,000 keys below a prefix", Unit::Nanoseconds);
    let ours = race.enter("kv-postgres", move || pages(Arc::clone(&field.ours), prefixes(), KEYS_PER_PREFIX));
    let held = race.enter("sqlx, held connection", move || pages(Arc::clone(&field.held), prefixes(), KEYS_PER_PREFIX));
    race.compare(ours, held, None);
    race
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::{answers_batches, answers_pages, keeps_what_it_is_given, sets_only_what_is_not_there};

    #[tokio::test]
    async fn every_contender_does_what_it_is_timed_for() {
        let server = start().await.unwrap();
        let field = Field::load(&server, 2 * BATCH).await.unwrap();
        for name in ["fsync", "synchronous_commit", "full_page_writes"] {
            assert_eq!(field.setting(name).await.unwrap(), "on", "{name}");
        }
        answers_pages(&field.ours, &field.entries).await;
        answers_pages(&field.held, &field.entries).await;
        keeps_what_it_is_given(&field.ours, &field.entries).await;
        keeps_what_it_is_given(&field.held, &field.entries).await;
        keeps_what_it_is_given(&field.pool, &field.entries).await;
        keeps_what_it_is_given(&field.opendal, &field.entries).await;
        let fresh = field.entries.fresh(3);
        sets_only_what_is_not_there(&field.ours, &fresh).await;
        sets_only_what_is_not_there(&field.held, &fresh).await;
        answers_batches(&field.ours, &field.entries).await;
        answers_batches(&field.plain, &field.entries).await;
        answers_batches(&field.returning, &field.entries).await;
    }
}
