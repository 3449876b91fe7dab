//! What a target cannot keep, or a source does not report, gets lost only when that was said.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{FAR, copy_all, memory, options};
use kv_api::{Capabilities, EntryExpiry, ErrorKind, ListOrder, Store, Support, ValueKinds};
use kv_fakes::{ServerOptions, puter};
use kv_migrate::{BulkReader, BulkWriter, Error, Loss, Options, Sink, Source, Summary, copy};

/// Keeps neither expiry nor metadata, and so reports none.
static PLAIN: Capabilities = Capabilities::new("plain")
    .with_value_kinds(ValueKinds::ALL)
    .with_expiry_read(true)
    .with_list(Support::Native, ListOrder::Lexicographic)
    .with_key_bytes(1, 100);

fn allowing(losses: impl IntoIterator<Item = Loss>) -> Options {
    Options { allow_loss: losses.into_iter().collect(), ..options() }
}

fn kinds(summary: &Summary) -> BTreeSet<String> {
    let examples = summary.failures.causes().iter().flat_map(|cause| &cause.examples);
    examples.map(|failure| format!("{} {:?}", failure.key, failure.error.kind())).collect()
}

async fn keys(store: &Store) -> Vec<String> {
    store.list().await.unwrap().items.into_iter().map(|item| item.key).collect()
}

#[tokio::test]
async fn a_source_without_expiries_is_refused_before_anything_is_written() {
    let from = memory().await;
    from.set("k", "v").await.unwrap();
    let from = from.restricted_to([&PLAIN.clone().with_expiry_read(false)]);
    let to = memory().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out.jsonl");
    for sink in [Sink::store(&to), Sink::bulk(BulkWriter::create(&path).unwrap())] {
        let source = Source::store(&from, &allowing([Loss::Metadata])).unwrap();
        let summary = copy(source, sink, &allowing([Loss::Metadata]), |_| {}).await;
        assert!(matches!(summary.stopped, Some(Error::Lossy(Loss::Expiry))), "{summary:?}");
        assert_eq!(summary.counts.read, 0);
    }
    assert!(keys(&to).await.is_empty());
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);

    for options in [allowing([Loss::Expiry]), Options { unknown_expiry_as_never: true, ..options() }] {
        let summary = copy_all(&from, &to, &options).await;
        common::assert_complete(&summary, 1);
        assert_eq!((summary.counts.expiry_lost, summary.counts.metadata_lost), (1, 0));
    }
}

#[tokio::test]
async fn an_entry_loses_what_the_target_does_not_keep_only_when_that_is_allowed() {
    let from = memory().await;
    from.set("plain", "v").await.unwrap();
    from.set("with end", "v").expire_at(FAR).await.unwrap();
    from.set("with ttl", "v").ttl(common::HOUR).await.unwrap();
    from.set("with metadata", "v").metadata(5).await.unwrap();
    from.set("with both", "v").metadata(5).expire_at(FAR).await.unwrap();
    let copied = async |options: &Options| {
        let to = memory().await;
        let summary = copy_all(&from, &to.restricted_to([&PLAIN]), options).await;
        (summary, to)
    };
    let refused = |keys: &[&str]| -> BTreeSet<String> { keys.iter().map(|key| format!("{key} Unsupported")).collect() };
    for (losses, refuses, lost) in [
        (&[][..], refused(&["with end", "with ttl", "with metadata", "with both"]), [0, 0]),
        (&[Loss::Expiry], refused(&["with metadata", "with both"]), [3, 0]),
        (&[Loss::Metadata], refused(&["with end", "with ttl", "with both"]), [0, 2]),
        (&[Loss::Expiry, Loss::Metadata], refused(&[]), [3, 2]),
    ] {
        let (summary, to) = copied(&allowing(losses.iter().copied())).await;
        assert_eq!(kinds(&summary), refuses, "{losses:?}");
        assert_eq!([summary.counts.expiry_lost, summary.counts.metadata_lost], lost, "{losses:?}");
        assert_eq!(summary.counts.written, 5 - refuses.len() as u64, "{losses:?}");
        assert!(summary.stopped.is_none());
        for key in keys(&to).await {
            let entry = to.get_entry(&key).await.unwrap().unwrap();
            assert_eq!((entry.expiry(), entry.metadata()), (EntryExpiry::Never, None), "{key}");
        }
    }
    // The old word covers only what the source does not report.
    let (summary, _) = copied(&Options { unknown_expiry_as_never: true, ..options() }).await;
    assert_eq!((summary.counts.written, summary.counts.expiry_lost), (1, 0));
    // What the target keeps stays, whatever is allowed.
    let to = memory().await;
    let summary = copy_all(&from, &to, &allowing([Loss::Expiry, Loss::Metadata])).await;
    assert_eq!((summary.counts.written, summary.counts.expiry_lost, summary.counts.metadata_lost), (5, 0, 0));
    let entry = to.get_entry("with both").await.unwrap().unwrap();
    assert_eq!((entry.expiry(), entry.metadata().is_some()), (EntryExpiry::At(FAR), true));
}

/// What has ended does not come back for ever.
#[tokio::test]
async fn an_entry_that_has_expired_is_not_kept_for_ever() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("in.jsonl");
    let items = "{\"key\":\"ended\",\"value\":\"\",\"expiration\":1000}\n{\"key\":\"ends\",\"value\":\"\",\"expiration_ttl\":60}\n";
    std::fs::write(&path, items).unwrap();
    let to = memory().await.restricted_to([&PLAIN]);
    let options = allowing([Loss::Expiry]);
    let source = Source::bulk(BulkReader::open(&path).unwrap(), &options);
    let summary = copy(source, Sink::store(&to), &options, |_| {}).await;
    assert_eq!((summary.counts.written, summary.counts.expired, summary.counts.expiry_lost), (1, 1, 1));
    assert_eq!(keys(&to).await, ["ends"]);
    assert!(summary.is_complete(), "{summary:?}");
}

/// A kind of value that the target does not keep is refused whatever is allowed.
#[tokio::test]
async fn values_are_never_given_up() {
    static TEXT: Capabilities = Capabilities::new("text")
        .with_value_kinds(ValueKinds::NONE.with(kv_api::ValueKind::Text))
        .with_key_bytes(1, 100);
    let from = memory().await;
    from.set("json", serde_json::json!({"a": 1})).await.unwrap();
    from.set("text", "v").await.unwrap();
    let to = memory().await.restricted_to([&TEXT]);
    let summary = copy_all(&from, &to, &allowing([Loss::Expiry, Loss::Metadata])).await;
    assert_eq!(kinds(&summary), BTreeSet::from([format!("json {:?}", ErrorKind::Unsupported)]));
    assert_eq!((summary.counts.written, summary.counts.failed), (1, 1));
}

/// Exit code and standard error of the command.
fn run(here: &Path, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kv-migrate"));
    command.current_dir(here).arg("copy").args(arguments).stdin(Stdio::null());
    let output = command.env("PUTER_AUTH_TOKEN", puter::TOKEN).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test]
async fn the_command_names_the_loss_and_what_allows_it() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    std::fs::write(here.join("in.jsonl"), "{\"key\":\"a\",\"value\":\"1\"}\n").unwrap();
    std::fs::write(here.join("out.jsonl"), "{\"key\":\"old\",\"value\":\"1\"}\n").unwrap();
    let server = puter::Fake::new().serve(ServerOptions::new()).await.unwrap();
    let puter = format!("puter:///?base_url={}", server.base_url());
    assert_eq!(run(here, &["in.jsonl", &puter]).0, 0);
    let (code, error) = run(here, &[&puter, "out.jsonl"]);
    assert_eq!(code, 1, "{error}");
    assert!(error.contains("does not report when its entries expire; --allow-loss expiry copies them"), "{error}");
    assert!(std::fs::read_to_string(here.join("out.jsonl")).unwrap().contains("old"));
    for flags in [&["--allow-loss", "expiry"][..], &["--unknown-expiry-as-never"]] {
        let (code, error) = run(here, &[flags, &[&puter, "out.jsonl"]].concat());
        assert_eq!(code, 0, "{error}");
        assert_eq!(std::fs::read_to_string(here.join("out.jsonl")).unwrap(), "{\"key\":\"a\",\"value\":\"1\"}\n");
    }
}
