//! Verification: every entry of the source is read again and looked for in the target.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::time::Duration;

use kv_api::{ErrorKind, Store, Timestamp};

use crate::bulk::BulkReader;
use crate::error::{Error, Result};
use crate::options::{Options, ZeroExpiry};
use crate::progress::{Event, Progress};
use crate::record::{Record, RecordExpiry};
use crate::source::{Order, Source};

/// What is compared with the source.
#[derive(Debug)]
pub enum Target<'t> {
    /// A store: each entry is read by its key.
    Store(&'t Store),
    /// A file that was copied from the same source: it is read beside the source, in the same order.
    Bulk(BulkReader),
}

/// What a verification found.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Verification {
    /// Entries of the source that were compared.
    pub compared: u64,
    /// Entries of the source that are not in the target and have expired by now: not compared, and no difference.
    pub expired: u64,
    /// Entries with an expiry of zero or less that [`ZeroExpiry::Skip`](crate::ZeroExpiry::Skip) skipped: not compared,
    /// and no difference.
    pub skipped: u64,
    /// Entries that are alike as far as the two can tell, but one of them cannot tell the expiry (EXP-8).
    pub expiry_not_reported: u64,
    /// What differs, in order of line and key.
    pub differences: Vec<Difference>,
    /// What ended the verification before its end.
    pub stopped: Option<Error>,
}

impl Verification {
    /// More differences than these end the verification, so that they do not fill the memory.
    pub const DIFFERENCES_MAX: usize = 100_000;

    /// Entries that were read from the source.
    fn read(&self) -> u64 {
        self.compared + self.expired + self.skipped
    }

    /// Whether every entry of the source is in the target.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.stopped.is_none() && self.differences.is_empty()
    }
}

/// An entry that is not in the target as it is in the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its key.
    pub key: String,
    /// Its line in the source, where that is a file.
    pub line: Option<u64>,
    /// What differs.
    pub what: What,
}

/// What differs; the first of these that does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// The source holds what is no value there, such as a list, which cannot be copied (VAL-7).
    NoValue,
    /// The target does not have it.
    Missing,
    /// The kind of the value.
    Kind,
    /// The value: text and bytes byte by byte, JSON by meaning (VAL-3).
    Value,
    /// The metadata, by meaning.
    Metadata,
    /// The expiry, beyond what rounding explains.
    Expiry,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoValue => "holds no value in the source",
            Self::Missing => "is not in the target",
            Self::Kind => "has a value of another kind",
            Self::Value => "has another value",
            Self::Metadata => "has other metadata",
            Self::Expiry => "has another expiry",
        })
    }
}

/// Reads every entry of `source` again and compares it with `target`: kind and content of the value, metadata, and
/// expiry within the rounding of both. `started` is when the copy began: what a ttl counts from at the earliest.
///
/// What the target holds beside is no difference. Of entries with one key in a file only the last one counts, as when
/// they are copied (BATCH-4).
pub async fn verify(
    mut source: Source<'_>,
    target: Target<'_>,
    options: &Options,
    started: Timestamp,
    mut observe: impl FnMut(Event<'_>),
) -> Verification {
    let mut verification = Verification::default();
    let mut differing = Differing::default();
    let result =
        verify_batches(&mut source, target, options, started, &mut verification, &mut differing, &mut observe).await;
    verification.stopped = result.err();
    verification.differences = differing.into_sorted();
    verification
}

async fn verify_batches(
    source: &mut Source<'_>,
    target: Target<'_>,
    options: &Options,
    started: Timestamp,
    verification: &mut Verification,
    differing: &mut Differing,
    observe: &mut impl FnMut(Event<'_>),
) -> Result<()> {
    let rounding = source.expiry_resolution().max(match &target {
        Target::Store(store) => store.capabilities().expiry_resolution,
        Target::Bulk(_) => BulkReader::EXPIRY_RESOLUTION,
    });
    let mut lookup = Lookup::new(target, source, options)?;
    while let Some(mut batch) = source.next_batch().await? {
        let read = batch.len();
        batch.retain_mut(|record| {
            record.expiry = options.settled(record.expiry);
            record.expiry != RecordExpiry::NotPositive || options.zero_expiry != ZeroExpiry::Skip
        });
        verification.skipped += (read - batch.len()) as u64;
        let found = lookup.find(&batch).await?;
        let window = Window { started, now: options.clock.now(), rounding };
        for (record, found) in batch.into_iter().zip(found) {
            let what = match &found {
                None if window.has_expired(record.expiry) => {
                    verification.expired += 1;
                    // What had expired before the copy has replaced nothing there (EXP-5).
                    if !window.had_expired_before(record.expiry) {
                        differing.note(record.key, record.line, None)?;
                    }
                    continue;
                }
                None => Some(What::Missing),
                Some(found) => difference(&record, found, &window, verification),
            };
            verification.compared += 1;
            differing.note(record.key, record.line, what)?;
        }
        for unreadable in source.take_unreadable() {
            verification.compared += 1;
            differing.note(unreadable.key, unreadable.line, Some(What::NoValue))?;
        }
        observe(Event::Progress(Progress { entries: verification.read(), bytes: source.position() }));
    }
    Ok(())
}

fn difference(record: &Record, found: &Record, window: &Window, verification: &mut Verification) -> Option<What> {
    if record.value.kind() != found.value.kind() {
        Some(What::Kind)
    } else if record.value != found.value {
        Some(What::Value)
    } else if record.metadata != found.metadata {
        Some(What::Metadata)
    } else {
        match window.same_expiry(record.expiry, found.expiry) {
            Some(true) => None,
            Some(false) => Some(What::Expiry),
            None => {
                verification.expiry_not_reported += 1;
                None
            }
        }
    }
}

/// The time in which copy and verification lie, and how finely expiries are kept.
struct Window {
    started: Timestamp,
    now: Timestamp,
    rounding: Duration,
}

impl Window {
    /// How far the clock of a store may be from ours. It matters for a ttl alone, which the store turns into a time.
    const SKEW: Duration = Duration::from_secs(60);

    fn has_expired(&self, expiry: RecordExpiry) -> bool {
        match expiry {
            RecordExpiry::At(at) => at <= self.now,
            RecordExpiry::After(ttl) => self.started.checked_add(ttl).is_some_and(|at| at <= self.now),
            RecordExpiry::Never | RecordExpiry::Unknown | RecordExpiry::NotPositive => false,
        }
    }

    fn had_expired_before(&self, expiry: RecordExpiry) -> bool {
        matches!(expiry, RecordExpiry::At(at) if at <= self.started)
    }

    /// `None` when one of the two cannot tell.
    fn same_expiry(&self, expected: RecordExpiry, found: RecordExpiry) -> Option<bool> {
        // Each side may tell a time up to two of its resolutions late (EXP-8).
        let slack = self.rounding * 2;
        match (expected, found) {
            (RecordExpiry::Unknown, _) | (_, RecordExpiry::Unknown) => None,
            (RecordExpiry::At(expected), RecordExpiry::At(found)) => {
                Some(expected.saturating_since(found) <= slack && found.saturating_since(expected) <= slack)
            }
            (RecordExpiry::After(ttl), RecordExpiry::At(found)) => {
                let earliest = self.started.checked_add(ttl)?;
                let latest = self.now.checked_add(ttl)?;
                Some(
                    earliest.saturating_since(found) <= Self::SKEW
                        && found.saturating_since(latest) <= Self::SKEW + slack,
                )
            }
            (expected, found) => Some(expected == found),
        }
    }
}

/// Finds the entries of a batch in the target.
enum Lookup<'t> {
    Store(&'t Store),
    Bulk(Box<Beside>),
}

/// A file read beside the source that it was copied from.
struct Beside {
    file: Source<'static>,
    ahead: VecDeque<Record>,
    /// Entries come by the bytes of their keys, so that one that the source has lost since is recognised and passed
    /// over.
    sorted: bool,
}

impl<'t> Lookup<'t> {
    fn new(target: Target<'t>, source: &Source<'_>, options: &Options) -> Result<Self> {
        match target {
            Target::Store(store) => Ok(Self::Store(store)),
            Target::Bulk(reader) => {
                source.check_comparable_with_file()?;
                let file = Source::bulk(reader, options);
                Ok(Self::Bulk(Box::new(Beside {
                    file,
                    ahead: VecDeque::new(),
                    sorted: source.order() == Order::Sorted,
                })))
            }
        }
    }

    async fn find(&mut self, batch: &[Record]) -> Result<Vec<Option<Record>>> {
        match self {
            Self::Store(store) => find_in_store(store, batch).await,
            Self::Bulk(beside) => {
                let mut found = Vec::with_capacity(batch.len());
                for record in batch {
                    found.push(beside.find(&record.key).await?);
                }
                Ok(found)
            }
        }
    }
}

async fn find_in_store(store: &Store, batch: &[Record]) -> Result<Vec<Option<Record>>> {
    let mut found: Vec<Option<Record>> = batch.iter().map(|_| None).collect();
    let mut asked: Vec<usize> = (0..batch.len()).collect();
    loop {
        match store.get_entry_many(asked.iter().map(|at| batch[*at].key.as_str())).await {
            Ok(entries) => {
                for (at, entry) in asked.into_iter().zip(entries) {
                    found[at] = entry.map(|entry| Record::from_entry(batch[at].key.clone(), entry));
                }
                return Ok(found);
            }
            // A key that the target cannot hold is not in it; the others are asked for again.
            Err(error) => match error.index() {
                Some(index) if error.kind() == ErrorKind::InvalidArgument && index < asked.len() => {
                    asked.remove(index);
                }
                _ => return Err(error.into()),
            },
        }
    }
}

impl Beside {
    async fn find(&mut self, key: &str) -> Result<Option<Record>> {
        loop {
            if self.ahead.is_empty() {
                match self.file.next_batch().await? {
                    Some(records) => self.ahead.extend(records),
                    None => return Ok(None),
                }
            }
            match self.ahead.front() {
                Some(next) if next.key == key => return Ok(self.ahead.pop_front()),
                Some(next) if self.sorted && next.key.as_str() < key => {
                    self.ahead.pop_front();
                }
                _ => return Ok(None),
            }
        }
    }
}

/// The keys that differ so far. A later entry of the same key has the last word, for better or worse.
#[derive(Default)]
struct Differing(HashMap<String, (Option<u64>, What)>);

impl Differing {
    fn note(&mut self, key: String, line: Option<u64>, what: Option<What>) -> Result<()> {
        match what {
            None => {
                // Most copies have no difference, and then no key need be hashed.
                if !self.0.is_empty() {
                    self.0.remove(&key);
                }
            }
            Some(what) => {
                self.0.insert(key, (line, what));
            }
        }
        if self.0.len() > Verification::DIFFERENCES_MAX {
            let most = Verification::DIFFERENCES_MAX;
            return Err(Error::Unsuitable(format!("more than {most} entries differ; not looking further")));
        }
        Ok(())
    }

    fn into_sorted(self) -> Vec<Difference> {
        let differing = self.0.into_iter();
        let mut differences: Vec<_> = differing.map(|(key, (line, what))| Difference { key, line, what }).collect();
        differences.sort_unstable_by(|a, b| (a.line, &a.key).cmp(&(b.line, &b.key)));
        differences
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> RecordExpiry {
        RecordExpiry::At(Timestamp::from_unix_seconds(seconds))
    }

    fn after(seconds: u64) -> RecordExpiry {
        RecordExpiry::After(Duration::from_secs(seconds))
    }

    #[test]
    fn an_expiry_is_the_same_within_rounding_and_skew_and_no_further() {
        let window = Window {
            started: Timestamp::from_unix_seconds(1000),
            now: Timestamp::from_unix_seconds(1100),
            rounding: Duration::from_secs(1),
        };
        for (expected, found, same) in [
            (RecordExpiry::Never, RecordExpiry::Never, Some(true)),
            (RecordExpiry::Never, at(5000), Some(false)),
            (at(5000), RecordExpiry::Never, Some(false)),
            (at(5000), at(5002), Some(true)),
            (at(5000), at(5003), Some(false)),
            (at(5000), at(4997), Some(false)),
            (after(500), at(1500), Some(true)),
            (after(500), at(1600), Some(true)),
            (after(500), at(1439), Some(false)),
            (after(500), at(1663), Some(false)),
            (after(500), RecordExpiry::Never, Some(false)),
            (after(500), after(500), Some(true)),
            (at(5000), RecordExpiry::Unknown, None),
            (RecordExpiry::Unknown, RecordExpiry::Never, None),
        ] {
            assert_eq!(window.same_expiry(expected, found), same, "{expected:?} {found:?}");
        }
        assert!(window.has_expired(at(1100)) && !window.has_expired(at(1101)));
        assert!(window.has_expired(after(100)) && !window.has_expired(after(101)));
    }
}
