//! Which keys are copied, and under which ones.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::path::Path;

use common::{copy_all, memory};
use kv_api::{Capabilities, ErrorKind, ListOrder, Store, Support, ValueKinds};
use kv_migrate::{BulkReader, BulkWriter, Filter, KeyReader, Options, Rewrite, Sink, Source, Summary, copy};

const KEYS: [&str; 7] = ["user/1", "user/2", "user/2/tmp", "user/é", "user/", "group/1", "other"];

fn selection() -> Options {
    Options {
        prefix: "user/".to_owned(),
        filter: Filter::new(["*/?", "*/2/*", "g*"], ["*/1"]).unwrap(),
        rewrite: Rewrite { strip_prefix: "user/".to_owned(), add_prefix: "u:".to_owned() },
        batch_entries: Some(2.try_into().unwrap()),
        ..Options::default()
    }
}

async fn filled() -> Store {
    let store = memory().await;
    for key in KEYS {
        store.set(key, format!("value of {key}")).await.unwrap();
    }
    store
}

async fn entries(store: &Store) -> Vec<(String, String)> {
    let keys: Vec<String> = store.list().await.unwrap().items.into_iter().map(|item| item.key).collect();
    let values = store.get_many(keys.iter().map(String::as_str)).await.unwrap();
    keys.into_iter().zip(values).map(|(key, value)| (key, value.unwrap().as_text().unwrap().to_owned())).collect()
}

fn file(directory: &Path, name: &str, lines: impl IntoIterator<Item = String>) -> std::path::PathBuf {
    let path = directory.join(name);
    let text: String = lines.into_iter().map(|line| line + "\n").collect();
    std::fs::write(&path, text).unwrap();
    path
}

/// All kinds of sources select and rename alike.
#[tokio::test]
async fn a_copy_takes_the_selected_keys_and_renames_them() {
    let directory = tempfile::tempdir().unwrap();
    let options = selection();
    let store = filled().await;
    let items = KEYS.map(|key| format!(r#"{{"key":"{key}","value":"value of {key}"}}"#));
    let bulk = file(directory.path(), "in.jsonl", items);
    let keys = file(directory.path(), "keys.txt", KEYS.map(str::to_owned));
    let sources = [
        Source::store(&store, &options).unwrap(),
        Source::keys(&store, KeyReader::open(&keys).unwrap(), &options),
        Source::bulk(BulkReader::open(&bulk).unwrap(), &options),
    ];
    let expected = [("u:2", "value of user/2"), ("u:2/tmp", "value of user/2/tmp"), ("u:é", "value of user/é")];
    for source in sources {
        let to = memory().await;
        let summary = copy(source, Sink::store(&to), &options, |_| {}).await;
        common::assert_complete(&summary, 3);
        assert_eq!(entries(&to).await, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }
    let out = directory.path().join("out.jsonl");
    let sink = Sink::bulk(BulkWriter::create(&out).unwrap());
    let summary = copy(Source::store(&store, &options).unwrap(), sink, &options, |_| {}).await;
    common::assert_complete(&summary, 3);
    let lines = expected.map(|(key, value)| format!("{{\"key\":\"{key}\",\"value\":\"{value}\"}}\n"));
    assert_eq!(std::fs::read_to_string(&out).unwrap(), lines.concat());
}

/// A key that cannot be renamed is a failure of its entry, as is one that the target refuses under its new name: both
/// are named as the source names them.
#[tokio::test]
async fn a_key_that_cannot_be_renamed_is_a_failure_of_its_entry_alone() {
    static SHORT: Capabilities = Capabilities::new("short")
        .with_value_kinds(ValueKinds::ALL)
        .with_list(Support::Native, ListOrder::Lexicographic)
        .with_key_bytes(1, 3);
    let options = Options { prefix: String::new(), filter: Filter::default(), ..selection() };
    let from = filled().await;
    let to = memory().await.restricted_to([&SHORT]);
    let summary = copy_all(&from, &to, &options).await;
    assert_eq!((summary.counts.read, summary.counts.written, summary.counts.failed), (7, 3, 4));
    let failures = |summary: &Summary| {
        let examples = summary.failures.causes().iter().flat_map(|cause| &cause.examples);
        examples.map(|failure| (failure.key.clone(), failure.error.kind())).collect::<Vec<_>>()
    };
    let refused = ["group/1", "other", "user/2/tmp", "user/é"].map(|key| (key.to_owned(), ErrorKind::InvalidArgument));
    let mut found = failures(&summary);
    found.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(found, refused);
    let written: Vec<_> = entries(&to).await.into_iter().map(|(key, _)| key).collect();
    assert_eq!(written, ["u:", "u:1", "u:2"]);

    let rewrite = Rewrite { add_prefix: String::new(), ..options.rewrite.clone() };
    let summary = copy_all(&from, &memory().await, &Options { rewrite, ..options }).await;
    let empty = failures(&summary).into_iter().find(|(key, _)| key == "user/");
    assert_eq!(empty, Some(("user/".to_owned(), ErrorKind::InvalidArgument)));
}
