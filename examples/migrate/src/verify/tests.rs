//! Every combination of sides, in tables of every size, against a model that holds everything.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use kv_api::{
    Capabilities, ListOrder, ManualClock, Metadata, SetItem, Store, Support, Timestamp, Value, ValueKinds, json_quoted,
};
use kv_backends::memory::{MemoryConfig, MemoryStore};
use proptest::prelude::*;

use super::*;
use crate::filter::Filter;
use crate::options::ZeroExpiry;
use crate::rewrite::Rewrite;

/// Short ones, so that the two sides and repeated items meet, and what a line, a quotation or an order could trip over.
const KEYS: [&str; 16] = [
    "a",
    "a/",
    "a/b",
    "aa",
    "ab",
    "b",
    "b\n",
    "\"",
    "\u{0}",
    "é",
    "e\u{301}",
    "\u{10ffff}",
    "\u{ffff}",
    "a/%",
    "x",
    "ax",
];

/// Keys that each file of keys names, whether they are there or not.
const BESIDE: [&str; 2] = ["x", "none"];

const NOW: Timestamp = Timestamp::from_unix_seconds(3_000_000_000);

static UNORDERED: Capabilities = full("unordered").with_list(Support::Native, ListOrder::Unordered);
static UNLISTED: Capabilities = full("unlisted");

const fn full(name: &'static str) -> Capabilities {
    Capabilities::new(name)
        .with_value_kinds(ValueKinds::ALL)
        .with_key_bytes(1, 1000)
        .with_metadata(Support::Native)
        .with_expire_at(Support::Native)
        .with_expiry_read(true)
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Ends {
    Never,
    /// So many seconds from now on.
    At(i64),
    /// So many seconds after it was stored, which is now.
    After(u64),
    Zero,
}

/// The numbers of key, value and metadata, and the expiry.
type Item = (usize, usize, usize, Ends);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Ordered,
    Unordered,
    Named,
    File,
    Unlisted,
}

fn value(number: usize) -> Value {
    match number {
        0 => "1".into(),
        1 => Value::from_json_text("1").unwrap(),
        2 => Value::from_json_text(r#"{"a":1,"b":[]}"#).unwrap(),
        3 => Value::from_json_text(r#"{"b":[],"a":1.0}"#).unwrap(),
        _ => vec![b'1'].into(),
    }
}

fn metadata(number: usize) -> Option<Metadata> {
    [None, Some("1"), Some("1.0"), Some("[null]")][number].map(|text| Metadata::from_json_text(text).unwrap())
}

fn line(&(key, value_number, metadata_number, ends): &Item) -> String {
    let mut line = format!("{{\"key\":{}", json_quoted(KEYS[key]));
    let value = value(value_number);
    line += &match value_number {
        4 => r#","value":"MQ==","base64":true"#.to_owned(),
        0 => r#","value":"1""#.to_owned(),
        _ => format!(",\"value\":{},\"kind\":\"json\"", json_quoted(value.as_json_text().unwrap())),
    };
    line += &match ends {
        Ends::Never => String::new(),
        Ends::At(seconds) => format!(",\"expiration\":{}", NOW.as_unix_seconds_ceil() + seconds),
        Ends::After(seconds) => format!(",\"expiration_ttl\":{seconds}"),
        Ends::Zero => ",\"expiration\":0".to_owned(),
    };
    if let Some(metadata) = metadata(metadata_number) {
        line += &format!(",\"metadata\":{}", metadata.as_json_text());
    }
    line + "}"
}

fn items(kind: Kind) -> impl Strategy<Value = Vec<Item>> {
    let ends = if kind == Kind::File {
        proptest::sample::select(vec![
            Ends::Never,
            Ends::Never,
            Ends::At(500),
            Ends::At(5000),
            Ends::After(500),
            Ends::After(5000),
            Ends::At(-100),
            Ends::Zero,
        ])
    } else {
        proptest::sample::select(vec![Ends::Never, Ends::Never, Ends::At(500), Ends::At(5000)])
    };
    // Few of each, so that the same entry is often on both sides.
    let item =
        (0..KEYS.len(), prop_oneof![3 => Just(0), 2 => 0_usize..5], prop_oneof![3 => Just(0), 1 => 0_usize..4], ends);
    proptest::collection::vec(item, 0..30)
}

fn side(kinds: &'static [Kind]) -> impl Strategy<Value = (Kind, Vec<Item>)> {
    proptest::sample::select(kinds).prop_flat_map(|kind| (Just(kind), items(kind)))
}

fn how() -> impl Strategy<Value = VerifyOptions> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(both_ways, recheck, started)| VerifyOptions {
        both_ways,
        recheck,
        started: Some(NOW).filter(|_| started),
        ..VerifyOptions::default()
    })
}

fn selection() -> impl Strategy<Value = Options> {
    let words = || proptest::sample::select(vec!["", "", "a", "a/", "x"]);
    (words(), words(), words(), any::<bool>(), any::<bool>()).prop_map(|(prefix, strip, add, excludes, skips)| {
        Options {
            prefix: prefix.to_owned(),
            filter: Filter::new([""; 0], ["*b"].into_iter().filter(|_| excludes)).unwrap(),
            rewrite: Rewrite { strip_prefix: strip.to_owned(), add_prefix: add.to_owned() },
            zero_expiry: if skips { ZeroExpiry::Skip } else { ZeroExpiry::Never },
            clock: Arc::new(ManualClock::new(NOW)),
            batch_bytes: 500,
            ..Options::default()
        }
    })
}

struct Side {
    kind: Kind,
    store: Store,
}

impl Side {
    async fn new(kind: Kind, items: &[Item], directory: &Path) -> Self {
        let store = memory_at_now();
        for item in items {
            let &(key, value_number, metadata_number, ends) = item;
            let mut item = SetItem::new(KEYS[key], value(value_number));
            if let Some(metadata) = metadata(metadata_number) {
                item = item.metadata(metadata);
            }
            if let Ends::At(seconds) = ends {
                item = item.expire_at(Timestamp::from_unix_seconds(NOW.as_unix_seconds_ceil() + seconds));
            }
            if kind != Kind::File {
                store.set_many([item]).await.remove(0).unwrap();
            }
        }
        let lines: Vec<String> = items.iter().map(line).collect();
        fs::write(directory.join("items"), lines.join("\n")).unwrap();
        // Backwards, with one that is not there, and each twice.
        let keys = items.iter().rev().map(|item| KEYS[item.0]).chain(BESIDE);
        let keys: String = keys.map(|key| format!("{}\n", json_quoted(key)).repeat(2)).collect();
        fs::write(directory.join("keys"), keys).unwrap();
        Self {
            kind,
            store: match kind {
                Kind::Ordered | Kind::File => store,
                Kind::Unordered => store.restricted_to([&UNORDERED]),
                Kind::Named | Kind::Unlisted => store.restricted_to([&UNLISTED]),
            },
        }
    }

    fn entries(&self, directory: &Path) -> Entries<'_> {
        match self.kind {
            Kind::Ordered | Kind::Unordered | Kind::Unlisted => Entries::Store(&self.store),
            Kind::Named => Entries::Keys(&self.store, directory.join("keys")),
            Kind::File => Entries::File(directory.join("items")),
        }
    }
}

fn memory_at_now() -> Store {
    let config = MemoryConfig::new().with_clock(Arc::new(ManualClock::new(NOW)));
    Store::new(MemoryStore::with_config(config))
}

/// What the items of one side come to, the last one of each key; the counts of items skipped and passed over.
fn folded(items: &[Item], options: &Options, how: &VerifyOptions) -> (BTreeMap<String, Item>, BTreeMap<String, u64>) {
    let (mut entries, mut passed_over) = (BTreeMap::new(), BTreeMap::new());
    for item in items {
        let key = KEYS[item.0].to_owned();
        if item.3 == Ends::Zero && options.zero_expiry == ZeroExpiry::Skip {
            continue;
        }
        if entries.contains_key(&key) && how.started.is_some() && matches!(item.3, Ends::At(..0)) {
            *passed_over.entry(key).or_insert(0) += 1;
            continue;
        }
        entries.insert(key, *item);
    }
    (entries, passed_over)
}

fn ends(ends: Ends) -> Option<i64> {
    match ends {
        Ends::Never | Ends::Zero => None,
        Ends::At(seconds) => Some(seconds),
        Ends::After(seconds) => Some(i64::try_from(seconds).unwrap()),
    }
}

/// How two entries differ. A ttl counts from now, or from any time before.
fn what_differs(one: &Item, other: &Item, how: &VerifyOptions) -> Option<What> {
    if value(one.1).kind() != value(other.1).kind() {
        return Some(What::Kind);
    }
    if value(one.1) != value(other.1) {
        return Some(What::Value);
    }
    if metadata(one.2) != metadata(other.2) {
        return Some(What::Metadata);
    }
    let is_same = match (one.3, other.3) {
        (Ends::After(ttl), Ends::At(at)) | (Ends::At(at), Ends::After(ttl)) if how.started.is_none() => {
            at <= i64::try_from(ttl).unwrap()
        }
        (one, other) => ends(one) == ends(other),
    };
    (!is_same).then_some(What::Expiry)
}

#[derive(Debug, Default, PartialEq)]
struct Expected {
    differences: Vec<(String, char, What)>,
    /// Compared, same, expired, skipped.
    counts: [u64; 4],
}

fn expected(
    source: &(Kind, Vec<Item>),
    target: &(Kind, Vec<Item>),
    options: &Options,
    how: &VerifyOptions,
) -> Expected {
    let selects = |key: &str| key.starts_with(&options.prefix) && options.filter.admits(key);
    let (source_items, passed_over) = folded(&source.1, options, how);
    let (target_items, _) = folded(&target.1, options, how);
    let mut expected = Expected::default();
    let is_skipped = |item: &&Item| item.3 == Ends::Zero && options.zero_expiry == ZeroExpiry::Skip;
    let skipped = source.1.iter().filter(is_skipped).filter(|item| selects(KEYS[item.0])).count();
    expected.counts[3] = skipped as u64;
    let is_expired = |item: &Item| matches!(item.3, Ends::At(..0));
    let mut of_source = BTreeMap::new();
    for (key, item) in source_items.iter().filter(|(key, _)| selects(key)) {
        expected.counts[2] += passed_over.get(key).copied().unwrap_or(0);
        let target_key = options.rewrite.target_key(key.as_str()).ok();
        let found = target_key.as_ref().and_then(|key| target_items.get(key));
        if let Some(key) = target_key {
            of_source.insert(key, ());
        }
        match found.map(|found| what_differs(item, found, how)) {
            None if is_expired(item) => {
                expected.counts[2] += 1;
                continue;
            }
            None => expected.differences.push((key.clone(), '-', What::Missing)),
            Some(Some(what)) => expected.differences.push((key.clone(), '*', what)),
            Some(None) => expected.counts[1] += 1,
        }
        expected.counts[0] += 1;
    }
    for (key, item) in target_items.iter().filter(|_| how.both_ways) {
        let source_key = options.rewrite.source_key(key).filter(|key| selects(key));
        // What does not list its keys is still asked for those that a file names for the source.
        let is_met =
            |source_key: &str| target.0 != Kind::Unlisted || (source.0 == Kind::Named && BESIDE.contains(&source_key));
        if source_key.is_some_and(|key| is_met(&key)) && !of_source.contains_key(key) {
            if is_expired(item) {
                expected.counts[2] += 1;
            } else {
                expected.differences.push((key.clone(), '+', What::Extra));
            }
        }
    }
    expected.differences.sort_by(|one, other| (&one.0, one.1).cmp(&(&other.0, other.1)));
    expected
}

fn on_a_runtime<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

async fn run(
    sides: [&(Kind, Vec<Item>); 2],
    options: &Options,
    how: &VerifyOptions,
    table_bytes: usize,
) -> (Verification, Vec<Difference>) {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let source = Side::new(sides[0].0, &sides[0].1, directories[0].path()).await;
    let target = Side::new(sides[1].0, &sides[1].1, directories[1].path()).await;
    let (source, target) = (source.entries(directories[0].path()), target.entries(directories[1].path()));
    let verify = Verify { sides: [&source, &target], options, how, table_bytes };
    let mut found = Vec::new();
    let verification = verify.run(&mut |_| {}, &mut |difference| found.push(difference)).await;
    assert!(verification.stopped.is_none(), "{verification:?}");
    (verification, found)
}

const SOURCES: &[Kind] = &[Kind::Ordered, Kind::Unordered, Kind::Named, Kind::File];
const TARGETS: &[Kind] = &[Kind::Ordered, Kind::Unordered, Kind::Named, Kind::File, Kind::Unlisted];

proptest! {
    #[test]
    fn the_marks_and_counts_are_those_of_the_model(
        source in side(SOURCES),
        target in side(TARGETS),
        how in how(),
        options in selection(),
        table_bytes in proptest::sample::select(vec![0, 500, 1500, 1_000_000]),
    ) {
        let (verification, found) = on_a_runtime(run([&source, &target], &options, &how, table_bytes));
        let mut differences: Vec<_> =
            found.into_iter().map(|found| (found.key, found.mark.as_char(), found.what)).collect();
        differences.sort_by(|one, other| (&one.0, one.1).cmp(&(&other.0, other.1)));
        let counts = [verification.compared, verification.same, verification.expired, verification.skipped];
        let found = Expected { differences, counts };
        prop_assert_eq!(&found, &expected(&source, &target, &options, &how));
        prop_assert_eq!(verification.differences(), found.differences.len() as u64);
        prop_assert_eq!(verification.target_not_listed, how.both_ways && target.0 == Kind::Unlisted);
        prop_assert_eq!((verification.changed_meanwhile, verification.is_sample), (0, false));
    }

    #[test]
    fn a_sample_has_as_many_entries_as_asked_for_and_finds_nothing_else(
        source in side(SOURCES),
        target in side(TARGETS),
        how in how(),
        options in selection(),
        table_bytes in proptest::sample::select(vec![0, 500, 1_000_000]),
        sample in 1_u64..20,
    ) {
        let all = on_a_runtime(run([&source, &target], &options, &how, table_bytes));
        let sampled = VerifyOptions { sample: NonZeroU64::new(sample), ..how };
        let (verification, found) = on_a_runtime(run([&source, &target], &options, &sampled, table_bytes));
        let (all, in_all) = all;
        prop_assert!(found.iter().all(|difference| in_all.contains(difference)));
        prop_assert!(verification.compared <= sample);
        if verification.is_sample {
            prop_assert!(verification.same <= all.same && verification.differences() <= all.differences());
        } else {
            prop_assert_eq!(verification.compared, all.compared);
            prop_assert_eq!(found.len(), in_all.len());
        }
        // Keys that a file names may not be there, and what has expired is not compared.
        if source.0 != Kind::Named && all.expired == 0 {
            prop_assert_eq!(verification.compared, sample.min(all.compared));
            prop_assert!(verification.is_sample || all.compared <= sample);
        }
    }
}

/// Each entry has the same chance, whatever the side is.
#[tokio::test]
async fn a_sample_is_another_one_each_time() {
    let items: Vec<Item> = (0..KEYS.len()).map(|key| (key, 0, 0, Ends::Never)).collect();
    let nothing = (Kind::Ordered, Vec::new());
    let options = Options { clock: Arc::new(ManualClock::new(NOW)), ..Options::default() };
    let how = VerifyOptions { sample: NonZeroU64::new(4), ..VerifyOptions::default() };
    for kind in [Kind::Ordered, Kind::File] {
        let mut times: BTreeMap<String, u32> = BTreeMap::new();
        for _ in 0..200 {
            let (verification, found) = run([&(kind, items.clone()), &nothing], &options, &how, 1 << 20).await;
            assert!(verification.is_sample && verification.only_in_source == 4, "{verification:?}");
            for difference in found {
                *times.entry(difference.key).or_default() += 1;
            }
        }
        // 50 times each on average: a deviation of seven times the usual one is none.
        assert_eq!(times.len(), KEYS.len(), "{times:?}");
        assert!(times.values().all(|times| (7..=93).contains(times)), "{times:?}");
    }
}

#[tokio::test]
async fn an_entry_that_only_the_target_has_may_just_have_expired_in_the_source() {
    let options = Options { clock: Arc::new(ManualClock::new(NOW)), ..Options::default() };
    let found = |seconds| {
        let target = (Kind::Ordered, vec![(0, 0, 0, Ends::At(seconds))]);
        let options = options.clone();
        async move {
            let (verification, found) =
                run([&(Kind::File, Vec::new()), &target], &options, &VerifyOptions::default(), 0).await;
            (verification.expired, found.len())
        }
    };
    // Two of the coarser of the resolutions.
    assert_eq!((found(2).await, found(3).await), ((1, 0), (0, 1)));
}
