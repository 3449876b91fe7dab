//! A plan says what the copy would do, and does nothing.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{FAR, copy_all, memory};
use kv_api::{
    Capabilities, ItemLimit, ListOrder, MinTtl, SetItem, Store, Support, Timer, Timestamp, ValueKind, ValueKinds,
};
use kv_backends::{cloudflare, nemesisdb, puter};
use kv_fakes::ServerOptions;
use kv_migrate::{
    BulkReader, Error, Event, Failures, Filter, KeyReader, Loss, Note, OnConflict, Options, Plan, PlanTarget, Rewrite,
    Side, Source, ZeroExpiry, copy, count, plan, plan_sample,
};
use serde_json::json;

async fn cloudflare_fake() -> (kv_fakes::FakeServer, Store) {
    use kv_fakes::cloudflare::{ACCOUNT, Fake, NAMESPACE, TOKEN};
    let server = Fake::new().serve(ServerOptions::new()).await.unwrap();
    let credentials = cloudflare::Credentials::Token(TOKEN.into());
    let config = cloudflare::CloudflareConfig::new(ACCOUNT, NAMESPACE, credentials).unwrap();
    // What passes by waiting is left to the plan.
    let remote = cloudflare::RemoteSettings::default().with_retry(cloudflare::RetryPolicy::none());
    let config = config.with_base_url(server.base_url()).unwrap().with_remote(remote);
    (server, Store::new(cloudflare::CloudflareStore::open(config).unwrap()))
}

async fn puter_fake() -> (kv_fakes::FakeServer, Store) {
    let server = kv_fakes::puter::Fake::new().serve(ServerOptions::new()).await.unwrap();
    let config = puter::PuterConfig::new(kv_fakes::puter::TOKEN.into()).unwrap();
    let config = config.with_base_url(server.base_url()).unwrap();
    (server, Store::new(puter::PuterStore::open(config).unwrap()))
}

async fn planned(from: &Store, to: &Store, options: &Options) -> Plan {
    let source = Source::store(from, options).unwrap();
    plan(source, PlanTarget::Store(to), options, false, |_| {}).await
}

async fn sampled(from: &Store, to: &Store, options: &Options, entries: usize) -> Plan {
    let entries = NonZeroUsize::new(entries).unwrap();
    plan_sample(from, entries, PlanTarget::Store(to), options, false, |_| {}).await
}

fn causes(failures: &Failures) -> BTreeMap<String, u64> {
    let causes = failures.causes().iter().map(|cause| {
        let first = &cause.examples[0];
        (format!("{}: {}", first.key, first.error.message()), cause.count)
    });
    causes.collect()
}

async fn keys(store: &Store) -> Vec<String> {
    store.list().await.unwrap().items.into_iter().map(|item| item.key).collect()
}

/// Entries that Cloudflare does not take, and some that it does.
async fn filled(store: Store) -> Store {
    let soon = Duration::from_secs(50);
    let between_seconds = Timestamp::from_unix_millis(2_100_000_000_500);
    let late = Timestamp::from_unix_seconds(i64::from(i32::MAX));
    let mut items = vec![
        SetItem::new("k".repeat(512), "fits"),
        SetItem::new("l".repeat(513), "too long"),
        SetItem::new("m".repeat(600), "too long"),
        SetItem::new("metadata fits", "v").metadata("x".repeat(1022)),
        SetItem::new("metadata does not", "v").metadata("x".repeat(1023)),
        SetItem::new("soon", "v").ttl(soon),
        SetItem::new("late", "v").expire_at(late),
        SetItem::new("..", "forbidden"),
        SetItem::new("with end", "v").expire_at(between_seconds),
        SetItem::new("json", json!({"a": [1]})).metadata(json!({"m": 1})),
    ];
    items.extend((0..90).map(|at| SetItem::new(format!("plain/{at:02}"), "12345")));
    for result in store.set_many(items).await {
        result.unwrap();
    }
    store
}

const REFUSED: [(&str, u64); 4] = [
    ("metadata does not: metadata_bytes_max is 1024, found 1025", 1),
    ("..: the system cannot hold this key", 1),
    ("soon: the expiry must be at least 60s ahead", 1),
    ("late: the expiry is after 2038-01-19T03:14:06Z, the latest this store keeps", 1),
];

fn refused() -> BTreeMap<String, u64> {
    let long = format!("{}: key_bytes_max is 512, found 513", "l".repeat(513));
    REFUSED.into_iter().map(|(cause, count)| (cause.to_owned(), count)).chain([(long, 2)]).collect()
}

/// From a store in memory and from SQLite, to a fake of Cloudflare: the plan sends nothing, and the copy then does what
/// it said.
#[tokio::test]
async fn the_plan_foretells_the_copy_and_sends_nothing() {
    let directory = tempfile::tempdir().unwrap();
    for from in [memory().await, common::sqlite(directory.path()).await] {
        let from = filled(from).await;
        let (server, to) = cloudflare_fake().await;
        let options = Options::default();
        let plan = planned(&from, &to, &options).await;
        assert_eq!(server.requests(), 0);
        assert!(plan.stopped.is_none() && !plan.is_complete(), "{plan:?}");
        assert_eq!((plan.counts.read, plan.counts.written, plan.counts.failed), (100, 94, 6));
        assert_eq!(causes(&plan.failures), refused());
        let key_bytes = 512 + 513 + 600 + "metadata fits".len() + "metadata does not".len() + "soonlate..".len();
        assert_eq!(plan.key_bytes, (key_bytes + "with endjson".len() + 90 * "plain/00".len()) as u64);
        let value_bytes = 4 + 8 + 8 + 1 + 1 + 1 + 1 + 9 + 1 + "{\"a\":[1]}".len() + 90 * 5;
        assert_eq!((plan.value_bytes, plan.value_bytes_max), (value_bytes as u64, 9));
        assert_eq!(plan.metadata_bytes, (1024 + 1025 + "{\"m\":1}".len()) as u64);
        let resolution = Duration::from_secs(1);
        assert_eq!(plan.notes, [Note::ExpiryRounded(resolution), Note::ExpiryTooNear(Duration::from_secs(60))]);
        assert_eq!((plan.existing, plan.sample), (None, None));
        let target = plan.target.unwrap();
        assert_eq!((target.requests, target.time()), (1, Some(Duration::from_millis(250))));

        let summary = copy_all(&from, &to, &Options { batch_entries: NonZeroUsize::new(1000), ..options }).await;
        assert_eq!(summary.counts, plan.counts);
        assert_eq!(causes(&summary.failures), refused());
    }
}

/// The choices of the target's handle count too.
#[tokio::test]
async fn a_minimum_that_the_handle_rounds_up_to_is_no_refusal() {
    let from = filled(memory().await).await;
    let to = memory().await.restricted_to([&cloudflare::CAPABILITIES]).with_min_ttl(MinTtl::RoundUp);
    let plan = planned(&from, &to.with_prefix("p/"), &Options::default()).await;
    let causes = causes(&plan.failures);
    assert!(!causes.keys().any(|cause| cause.starts_with("soon")), "{causes:?}");
    // The prefix of the handle makes the keys longer, and none of them is forbidden.
    assert_eq!((plan.counts.failed, plan.counts.written), (5, 95));
    assert!(keys(&to).await.is_empty());
}

#[tokio::test]
async fn what_expires_later_in_the_target_is_counted() {
    let from = memory().await;
    from.set("odd", "v").expire_at(Timestamp::from_unix_millis(4_000_000_000_500)).await.unwrap();
    from.set("even", "v").expire_at(FAR).await.unwrap();
    let options = Options::default();
    let whole_seconds = memory().await.restricted_to([&puter::CAPABILITIES]);
    assert_eq!(planned(&from, &whole_seconds, &options).await.expiry_moved, 1);
    assert_eq!(planned(&from, &memory().await, &options).await.expiry_moved, 0);
    let source = Source::store(&from, &options).unwrap();
    let plan = plan(source, PlanTarget::File, &options, false, |_| {}).await;
    assert_eq!((plan.expiry_moved, plan.counts.written, plan.target), (1, 2, None));
    assert_eq!(plan.notes, [Note::ExpiryRounded(Duration::from_secs(1))]);
}

/// Puter does not report expiries: the copy would not begin, and the plan says so with all figures.
#[tokio::test]
async fn a_source_without_expiries_is_told_with_the_figures() {
    let (server, from) = puter_fake().await;
    for at in 0..250 {
        from.set(format!("k{at:03}"), "v").await.unwrap();
    }
    let to = memory().await;
    let plan_before = planned(&from, &to, &Options::default()).await;
    assert!(matches!(plan_before.stopped, Some(Error::Lossy(Loss::Expiry))), "{plan_before:?}");
    assert_eq!(plan_before.notes, [Note::ExpiryNotReported]);
    assert_eq!((plan_before.counts.read, plan_before.counts.failed), (250, 250));

    let options = Options { allow_loss: [Loss::Expiry].into(), ..Options::default() };
    let plan = planned(&from, &to, &options).await;
    assert!(plan.is_complete(), "{plan:?}");
    assert_eq!((plan.counts.written, plan.counts.expiry_lost), (250, 250));
    // One page of the list and three gets of a hundred keys; 400 in ten seconds.
    let traffic = plan.source.unwrap();
    assert_eq!((traffic.requests, traffic.time()), (4, Some(Duration::from_millis(100))));
    assert!(server.requests() > 250);
    assert_eq!(copy_all(&from, &to, &options).await.counts, plan.counts);
}

/// NemesisDB has neither lists nor, by default, expiry.
#[tokio::test]
async fn a_target_without_lists_and_expiry_is_told() {
    let server = kv_fakes::nemesisdb::Fake::new().serve(ServerOptions::new()).await.unwrap();
    let to = kv_backends::open(&server.url().trim_end_matches('/').replace("ws://", "nemesisdb://")).await.unwrap();
    let from = memory().await;
    from.set("key/of/six", "v").await.unwrap();
    from.set("key/with/end", "v").expire_at(FAR).await.unwrap();
    from.set("short", "v").await.unwrap();
    from.set("key/large", "x".repeat(1024)).await.unwrap();
    let plan = planned(&from, &to, &Options::default()).await;
    assert_eq!(plan.notes, [Note::ExpiryNotKept, Note::NotListed]);
    assert_eq!((plan.counts.read, plan.counts.written, plan.counts.failed), (4, 1, 3));
    let causes = causes(&plan.failures);
    assert!(causes.contains_key("short: key_bytes_min is 6, found 5"), "{causes:?}");
    assert!(causes.keys().any(|cause| cause.starts_with("key/large: message_bytes_max is 1024")), "{causes:?}");
    let options = Options { allow_loss: [Loss::Expiry].into(), ..Options::default() };
    let plan = planned(&from, &to, &options).await;
    assert_eq!((plan.counts.written, plan.counts.expiry_lost), (2, 1));
    assert_eq!(copy_all(&from, &to, &options).await.counts, plan.counts);
    assert_eq!(nemesisdb::CAPABILITIES.list, Support::None);
}

#[tokio::test]
async fn metadata_and_kinds_that_are_not_kept_are_told() {
    static TEXT: Capabilities = Capabilities::new("text")
        .with_value_kinds(ValueKinds::NONE.with(ValueKind::Text))
        .with_ttl(Support::Native)
        .with_list(Support::Native, ListOrder::Lexicographic);
    let from = memory().await;
    from.set("text", "v").metadata(1).await.unwrap();
    from.set("json", json!([])).await.unwrap();
    let to = memory().await.restricted_to([&TEXT]);
    let plan = planned(&from, &to, &Options::default()).await;
    assert_eq!(
        plan.notes,
        [
            Note::ExpiryRounded(Duration::from_secs(1)),
            Note::ExpiryNotComparable,
            Note::MetadataNotKept,
            Note::KindNotKept(ValueKind::Json),
            Note::KindNotKept(ValueKind::Bytes),
        ]
    );
    assert_eq!((plan.counts.written, plan.counts.failed), (0, 2));
    for note in plan.notes {
        let text = note.to_string();
        assert!(text.starts_with("the ") && text.len() < 120 && !text.ends_with('.'), "{text}");
    }
}

fn file(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// All that a file can hold, and the selection, the renaming and the flags: as the copy has it.
#[tokio::test]
async fn a_file_is_counted_as_the_copy_counts_it() {
    let directory = tempfile::tempdir().unwrap();
    let lines = [
        r#"{"key":"user/a","value":"1"}"#,
        r#"{"key":"user/a","value":"22"}"#,
        r#"{"key":"user/ended","value":"","expiration":1000}"#,
        r#"{"key":"user/zero","value":"","expiration":0}"#,
        r#"{"key":"user/tmp","value":""}"#,
        r#"{"key":"other","value":""}"#,
        r#"{"key":"user/","value":""}"#,
    ];
    let path = file(directory.path(), "in.jsonl", &lines.join("\n"));
    for zero_expiry in [ZeroExpiry::Refuse, ZeroExpiry::Never, ZeroExpiry::Skip] {
        let options = Options {
            prefix: "user/".to_owned(),
            filter: Filter::new([], ["*tmp"]).unwrap(),
            rewrite: Rewrite { strip_prefix: "user/".to_owned(), add_prefix: String::new() },
            zero_expiry,
            ..Options::default()
        };
        let source = || Source::bulk(BulkReader::open(&path).unwrap(), &options);
        let to = memory().await;
        let mut seen = 0;
        let plan = plan(source(), PlanTarget::Store(&to), &options, false, |_| seen += 1).await;
        assert_eq!((plan.counts.read, plan.counts.repeated, plan.counts.expired), (5, 1, 1), "{plan:?}");
        assert!(seen > 0 && plan.source.is_none());
        assert!(keys(&to).await.is_empty());
        let summary = copy(source(), kv_migrate::Sink::store(&to), &options, |_| {}).await;
        assert_eq!(summary.counts, plan.counts, "{zero_expiry:?}");
        assert_eq!(causes(&summary.failures), causes(&plan.failures));
        let lines =
            |failures: &Failures| failures.causes().iter().map(|cause| cause.examples[0].line).collect::<Vec<_>>();
        assert_eq!(lines(&plan.failures), lines(&summary.failures));
    }
}

#[tokio::test]
async fn keys_that_are_named_are_read_without_a_list() {
    let directory = tempfile::tempdir().unwrap();
    let (server, from) = cloudflare_fake().await;
    from.set("a", "1").await.unwrap();
    let path = file(directory.path(), "keys.txt", "a\nb\n");
    let options = Options::default();
    let to = memory().await;
    let source = Source::keys(&from, KeyReader::open(&path).unwrap(), &options);
    let plan = plan(source, PlanTarget::Store(&to), &options, false, |_| {}).await;
    assert_eq!((plan.counts.read, plan.counts.written, plan.counts.missing), (1, 1, 1));
    assert_eq!(plan.source.unwrap().requests, 1);
    assert!(server.exchanges().iter().all(|exchange| !exchange.path.contains("/keys")), "{:?}", server.exchanges());
}

#[tokio::test]
async fn entries_that_are_there_already_are_counted_where_that_is_asked_for() {
    let (from, to) = (filled(memory().await).await, memory().await);
    for key in ["plain/01", "plain/02", "metadata fits", "not in the source"] {
        to.set(key, "other").await.unwrap();
    }
    let to_plan = to.restricted_to([&cloudflare::CAPABILITIES]);
    let options = Options::default();
    let existing = async |options: &Options| {
        let source = Source::store(&from, options).unwrap();
        let plan = plan(source, PlanTarget::Store(&to_plan), options, true, |_| {}).await;
        assert!(plan.stopped.is_none(), "{plan:?}");
        (plan.existing, plan.counts.written)
    };
    assert_eq!(existing(&options).await, (Some(3), 94));
    let entries = NonZeroUsize::new(1000).unwrap();
    let plan = plan_sample(&from, entries, PlanTarget::Store(&to_plan), &options, true, |_| {}).await;
    assert_eq!((plan.existing, plan.counts.written), (Some(3), 94));
    // A condition that the target can do only with a race window is refused, unless that is accepted.
    let skip = Options { on_conflict: OnConflict::Skip, ..Options::default() };
    assert_eq!(existing(&skip).await, (Some(0), 0));
    assert_eq!(existing(&Options { allow_race: true, ..skip }).await, (Some(3), 94));
}

/// A sample of everything is no estimate but for its name; of a part it is one, of entries that are alike an exact one.
#[tokio::test]
async fn a_sample_stands_for_all_entries() {
    let directory = tempfile::tempdir().unwrap();
    // Its list reports the length of each value.
    let from = filled(common::sqlite(directory.path()).await).await;
    let to = memory().await.restricted_to([&cloudflare::CAPABILITIES]);
    let options = Options::default();
    let whole = planned(&from, &to, &options).await;
    let plan = sampled(&from, &to, &options, 1000).await;
    assert_eq!((plan.counts, causes(&plan.failures)), (whole.counts, causes(&whole.failures)));
    assert_eq!(
        (plan.key_bytes, plan.value_bytes, plan.metadata_bytes),
        (whole.key_bytes, whole.value_bytes, whole.metadata_bytes)
    );
    assert_eq!((plan.source, plan.target, &plan.notes), (whole.source, whole.target, &whole.notes));
    let sample = plan.sample.unwrap();
    // Of those whose keys alone are refused, nothing is read.
    assert_eq!((sample.listed, sample.read, sample.value_bytes_listed), (100, 97, true));

    // Keys and listed sizes are exact however little is read.
    let plan = sampled(&from, &to, &options, 10).await;
    assert_eq!(
        (plan.key_bytes, plan.value_bytes, plan.value_bytes_max),
        (whole.key_bytes, whole.value_bytes, whole.value_bytes_max)
    );
    assert_eq!(plan.sample.unwrap().read, 10);
    let long = format!("{}: key_bytes_max is 512, found 513", "l".repeat(513));
    assert_eq!(causes(&plan.failures).get(&long), Some(&2));
    assert_eq!(plan.counts.read, plan.counts.written + plan.counts.failed);

    static HALF: Capabilities = Capabilities::new("half")
        .with_value_kinds(ValueKinds::ALL)
        .with_list(Support::Native, ListOrder::Lexicographic)
        .with_expiry_read(true)
        .with_item_limits(const { &[ItemLimit::value_bytes(4)] });
    let options = Options { prefix: "plain/".to_owned(), ..options };
    let from = from.restricted_to([&HALF.clone().with_item_limits(const { &[] })]);
    let plan = sampled(&from, &memory().await.restricted_to([&HALF]), &options, 7).await;
    assert_eq!((plan.counts.read, plan.counts.failed, plan.counts.written), (90, 90, 0), "{plan:?}");
    assert_eq!((plan.failures.causes()[0].count, plan.value_bytes), (90, 450));
    assert!(plan.failures.causes()[0].examples.iter().all(|failure| failure.line.is_none()));
    assert!(!plan.sample.unwrap().value_bytes_listed);
}

/// 1,500 entries, half of them with the prefix `a/`, the others with `b/`.
async fn two_pages() -> (kv_fakes::FakeServer, Store) {
    let (server, store) = cloudflare_fake().await;
    let items = (0..1500).map(|at| SetItem::new(format!("{}/{at:04}", ["a", "b"][at % 2]), "v"));
    for result in store.set_many(items).await {
        result.unwrap();
    }
    (server, store)
}

/// Time passes at once, when somebody waits for it.
#[derive(Debug, Default)]
struct Hurried(Mutex<Duration>);

impl Timer for Hurried {
    fn monotonic_now(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        *self.0.lock().unwrap() += duration;
        Box::pin(std::future::ready(()))
    }
}

/// The list goes on from the page at which the system asked to wait.
#[tokio::test]
async fn a_plan_waits_as_long_as_the_system_asks_for() {
    let (server, from) = two_pages().await;
    let to = memory().await;
    let options = Options { timer: Arc::new(Hurried::default()), ..Options::default() };
    let entries = NonZeroUsize::new(50).unwrap();
    let fault = kv_fakes::Fault::Throttled { retry_after: Some(Duration::from_secs(300)) };
    for unharmed in 0..3 {
        let before = server.requests();
        server.inject_after(unharmed, fault, 1);
        let mut waits = Vec::new();
        let observe = |event: Event<'_>| {
            if let Event::Waiting(wait) = event {
                waits.push((wait.delay, wait.side));
            }
        };
        let plan = plan_sample(&from, entries, PlanTarget::Store(&to), &options, false, observe).await;
        assert!(plan.is_complete(), "{plan:?}");
        assert_eq!(waits, [(Duration::from_secs(300), Side::Source)], "{unharmed}");
        assert_eq!((plan.counts.written, plan.sample.unwrap().listed), (1500, 1500));
        assert_eq!(plan.source.unwrap().requests, 2 + 15);
        // Two pages and the entries of the sample, and one of them once more.
        assert!(server.requests() - before >= 4);
    }
    server.inject(fault, 1000);
    let impatient = Options { max_wait: Duration::from_secs(299), ..options };
    let plan = plan_sample(&from, entries, PlanTarget::Store(&to), &impatient, false, |_| {}).await;
    assert!(matches!(plan.stopped, Some(Error::GaveUp { .. })), "{plan:?}");
}

#[tokio::test]
async fn counting_reads_no_value() {
    let (server, from) = two_pages().await;
    let before = server.requests();
    assert_eq!(count(&from, &Options::default()).await.unwrap(), 1500);
    assert_eq!(server.requests() - before, 2);
    let filter = Filter::new(["*1"], ["a*0*"]).unwrap();
    let options = Options { prefix: "b/".to_owned(), filter, ..Options::default() };
    assert_eq!(count(&from, &options).await.unwrap(), 150);
    assert!(count(&memory().await.restricted_to([&nemesisdb::CAPABILITIES]), &options).await.is_err());
}

#[tokio::test]
async fn a_person_reads_all_of_it() {
    let from = filled(memory().await).await;
    let to = memory().await.restricted_to([&cloudflare::CAPABILITIES]);
    let text = planned(&from, &to, &Options::default()).await.to_string();
    let long = "l".repeat(80);
    let expected = format!(
        "100 entries read: 2.4 KiB of keys, 493 B of values (the largest 9 B), 2.1 KiB of metadata\n\
         94 entries would be written\n\
         \x20 1 would expire later in the target than in the source\n\
         \x20 6 would not be copied\n\
         \x20   1: invalid argument: the system cannot hold this key (such as \"..\")\n\
         \x20   1: invalid argument: the expiry is after 2038-01-19T03:14:06Z, the latest this store keeps \
         (such as \"late\")\n\
         \x20   2: invalid argument: key_bytes_max is 512, found 513 (such as \"{long}\"... (513 bytes))\n\
         \x20   1: invalid argument: metadata_bytes_max is 1024, found 1025 (such as \"metadata does not\")\n\
         \x20   1: invalid argument: the expiry must be at least 60s ahead (such as \"soon\")\n\
         note: the target rounds expiries up to a multiple of 1s\n\
         note: the target refuses an expiry that is less than 60s ahead\n\
         source: at least 2 requests\n\
         target: at least 1 request; about 1 s at the rate of 1,200 in 300s that its documents allow"
    );
    assert_eq!(text, expected);
    let text = sampled(&from, &to, &Options::default(), 10).await.to_string();
    let start = "100 entries listed, 10 of them read for these estimates: 2.4 KiB of keys, about ";
    assert!(text.starts_with(start), "{text}");
    assert!(text.contains("\nabout ") && text.contains(" entries would be written\n"), "{text}");
}
