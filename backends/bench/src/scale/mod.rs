//! How time and memory grow with entries, callers and batches, against what the design says of each curve.

mod batches;
mod callers;
mod curve;
mod memory;
mod plot;
mod sqlite;
mod stores;

use std::time::Duration;

pub(crate) use self::curve::Chart;
pub(crate) use self::plot::svg;

use crate::measure::{Result, eprint};

/// How much is measured.
#[derive(Clone, Debug)]
pub(crate) struct Sizes {
    memory: memory::Sizes,
    sqlite: sqlite::Sizes,
    callers: callers::Sizes,
    batches: batches::Sizes,
}

impl Sizes {
    /// For results that are kept.
    pub(crate) const FULL: Self = Self {
        memory: memory::Sizes {
            entries: &[10_000, 100_000, 1_000_000, 10_000_000],
            calls: 100_000,
            pages: 2000,
            rounds: 9,
        },
        sqlite: sqlite::Sizes {
            rows: &[10_000, 100_000, 1_000_000, 10_000_000],
            gets: 2000,
            pages: 500,
            batches: 2,
            expiring: 100_000,
            rounds: 7,
        },
        callers: callers::Sizes {
            callers: &[1, 4, 16, 64, 256, 1024, 4096],
            entries: 10_000,
            slice: Duration::from_millis(700),
            rounds: 3,
        },
        batches: batches::Sizes {
            batches: &[1, 10, 100, 1000, 10_000, 100_000],
            slice: Duration::from_millis(100),
            rounds: 3,
        },
    };

    /// For trying out.
    pub(crate) const QUICK: Self = Self {
        memory: memory::Sizes { entries: &[1000, 10_000, 100_000], calls: 10_000, pages: 200, rounds: 3 },
        sqlite: sqlite::Sizes {
            rows: &[1000, 10_000, 100_000],
            gets: 500,
            pages: 100,
            batches: 1,
            expiring: 10_000,
            rounds: 3,
        },
        callers: callers::Sizes {
            callers: &[1, 16, 256, 4096],
            entries: 1000,
            slice: Duration::from_millis(100),
            rounds: 1,
        },
        batches: batches::Sizes { batches: &[1, 10, 100, 1000, 10_000], slice: Duration::from_millis(20), rounds: 1 },
    };
}

/// What grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The entries of a store in memory.
    Memory,
    /// The rows of an SQLite file.
    Sqlite,
    /// The callers of any store.
    Callers,
    /// The batches that any store is given.
    Batches,
}

impl Subject {
    /// All.
    pub(crate) const ALL: [Self; 4] = [Self::Memory, Self::Sqlite, Self::Callers, Self::Batches];
}

/// Measures a subject; none of it where nothing of it is wanted.
///
/// # Errors
/// The first failure of a store or of its server.
pub(crate) async fn run(subject: Subject, sizes: &Sizes, only: Option<&str>) -> Result<Option<Chart>> {
    let progress = Progress { only };
    match subject {
        Subject::Memory => memory::run(&sizes.memory, &progress).await,
        Subject::Sqlite => sqlite::run(&sizes.sqlite, &progress).await,
        Subject::Callers => callers::run(&sizes.callers, &progress).await,
        Subject::Batches => batches::run(&sizes.batches, &progress).await,
    }
}

/// What is wanted, and a sign of life for each step.
struct Progress<'a> {
    only: Option<&'a str>,
}

impl Progress<'_> {
    /// Whether what has this title is measured; says that it begins.
    fn wants(&self, title: &str) -> bool {
        let wanted = self.only.is_none_or(|only| title.contains(only));
        if wanted {
            eprint(&format!("\n{title} "));
        }
        wanted
    }

    fn dot(&self) {
        eprint(".");
    }
}
