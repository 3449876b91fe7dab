//! What the handle sends to an adapter and makes of its answers, with an adapter that writes down what it is asked.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use futures_util::{FutureExt, Stream, StreamExt, TryStreamExt, stream};
use kv_api::{
    Backend, Capabilities, Clock, Consistency, Delete, DeleteMany, DeleteOutcome, Entry, EntryExpiry, Error, ErrorKind,
    Fields, ListItem, ListOrder, ListPage, ListedMetadata, Metadata, Method, Methods, RawPage, Read, ReadMany, Reason,
    Result, Retry, SetItem, SetOutcome, SetStatus, Store, Support, SystemClock, Value, ValueKinds, Version, Write,
    WriteMany, WriteParts, async_trait,
};
use serde_json::json;

static CAPABILITIES: Capabilities = Capabilities::new("recorder")
    .with_value_kinds(ValueKinds::ALL)
    .with_if_not_exists(Support::Native)
    .with_if_version(Support::Native)
    .with_reports_set_outcome(true)
    .with_reports_delete_outcome(true)
    .with_reports_delete_many_outcome(true)
    .with_metadata(Support::Native)
    .with_expiry_read(true)
    .with_list(Support::Native, ListOrder::Lexicographic)
    .with_list_metadata(true)
    .with_list_expiry(true)
    .with_list_value_bytes(true)
    .with_consistency(Consistency::Strong);

/// Keeps values only, records what it was asked, and can be made to hang, to fail, or to answer too little.
#[derive(Debug, Clone)]
struct Recorder(Arc<State>);

#[derive(Debug)]
struct State {
    capabilities: Capabilities,
    entries: Mutex<BTreeMap<String, Value>>,
    calls: Mutex<Vec<String>>,
    mood: Mutex<Mood>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mood {
    Well,
    Hangs,
    Fails,
    AnswersTooLittle,
}

impl Recorder {
    fn new(capabilities: &Capabilities) -> Self {
        let (entries, calls, mood) = (Mutex::default(), Mutex::default(), Mutex::new(Mood::Well));
        Self(Arc::new(State { capabilities: capabilities.clone(), entries, calls, mood }))
    }

    fn store(&self) -> Store {
        Store::new(self.clone())
    }

    fn feels(&self, mood: Mood) {
        *self.0.mood.lock().unwrap() = mood;
    }

    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.calls.lock().unwrap())
    }

    async fn called(&self, call: String) -> Result<()> {
        self.0.calls.lock().unwrap().push(call);
        let mood = *self.0.mood.lock().unwrap();
        match mood {
            Mood::Hangs => std::future::pending().await,
            Mood::Fails => Err(Error::new(ErrorKind::Unavailable, "down").with_retry(Retry::OutcomeUnknown)),
            _ => Ok(()),
        }
    }

    fn put(&self, write: Write<'_>) -> SetOutcome {
        let parts = write.into_parts();
        let mut entries = self.0.entries.lock().unwrap();
        let status = match entries.contains_key(&*parts.key) {
            true if parts.condition == kv_api::Condition::IfNotExists => return SetOutcome::new(SetStatus::NotMet),
            true => SetStatus::Updated,
            false => SetStatus::Created,
        };
        entries.insert(parts.key.into_owned(), parts.value);
        SetOutcome::new(status).with_version(Version::numbered(1, 1))
    }

    fn entry(&self, key: &str, fields: Fields) -> Option<Entry> {
        let value = self.0.entries.lock().unwrap().get(key)?.clone();
        let version = Some(Version::numbered(1, 1));
        Some(match fields {
            Fields::All => Entry::with_details(value, Some(Metadata::from(json!("m"))), EntryExpiry::Never, version),
            _ => Entry::new(value),
        })
    }
}

#[async_trait]
impl Backend for Recorder {
    fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    fn methods(&self) -> Methods {
        Methods::NONE.with(Method::ReadMany).with(Method::WriteMany).with(Method::List)
    }

    fn scope(&self) -> &str {
        ""
    }

    fn clock(&self) -> &dyn Clock {
        &SystemClock
    }
    async fn read(&self, read: Read<'_>) -> Result<Option<Entry>> {
        self.called(format!("read {}", read.key())).await?;
        Ok(self.entry(read.key(), read.fields()))
    }
    async fn read_many(&self, reads: ReadMany<'_>) -> Result<Vec<Option<Entry>>> {
        self.called(format!("read_many {}", reads.keys().join(" "))).await?;
        let too_little = usize::from(*self.0.mood.lock().unwrap() == Mood::AnswersTooLittle);
        Ok(reads.keys().iter().skip(too_little).map(|key| self.entry(key, reads.fields())).collect())
    }
    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        self.called(format!("write {}", write.key())).await?;
        Ok(self.put(write))
    }
    async fn write_many(&self, writes: WriteMany<'_>) -> Vec<Result<SetOutcome>> {
        let keys: Vec<_> = writes
            .writes()
            .iter()
            .map(|write| format!("{}={:?}", write.key(), write.value().as_text().unwrap_or("?")))
            .collect();
        if let Err(error) = self.called(format!("write_many {}", keys.join(" "))).await {
            return keys.iter().map(|_| Err(error.clone())).collect();
        }
        let too_little = usize::from(*self.0.mood.lock().unwrap() == Mood::AnswersTooLittle);
        writes.into_writes().into_iter().skip(too_little).map(|write| Ok(self.put(write))).collect()
    }
    async fn delete(&self, delete: Delete<'_>) -> Result<DeleteOutcome> {
        self.called(format!("delete {}", delete.key())).await?;
        let removed = self.0.entries.lock().unwrap().remove(delete.key());
        Ok(if removed.is_some() { DeleteOutcome::Deleted } else { DeleteOutcome::NotFound })
    }
    async fn delete_many(&self, deletes: DeleteMany<'_>) -> Vec<Result<DeleteOutcome>> {
        self.called(format!("delete_many {}", deletes.keys().join(" "))).await.unwrap();
        let too_little = usize::from(*self.0.mood.lock().unwrap() == Mood::AnswersTooLittle);
        let mut entries = self.0.entries.lock().unwrap();
        let outcome = |key: &std::borrow::Cow<'_, str>| match entries.remove(&**key) {
            Some(_) => Ok(DeleteOutcome::Deleted),
            None => Ok(DeleteOutcome::NotFound),
        };
        deletes.keys().iter().skip(too_little).map(outcome).collect()
    }
    async fn list(&self, page: ListPage<'_>) -> Result<RawPage> {
        self.called(format!("list {:?} {}", page.prefix(), page.limit())).await?;
        let after = page.position().map(|position| String::from_utf8(position.to_vec()).unwrap());
        let entries = self.0.entries.lock().unwrap();
        let mut keys: Vec<String> = entries
            .keys()
            .filter(|key| key.starts_with(page.prefix()) && after.as_ref().is_none_or(|after| *key > after))
            .cloned()
            .collect();
        let more = keys.len() > page.limit().get();
        keys.truncate(page.limit().get());
        let next = if more { keys.last().map(|key| key.clone().into_bytes()) } else { None };
        let item = |key| {
            let item = ListItem::new(key).with_metadata(ListedMetadata::None);
            item.with_expiry(EntryExpiry::Never).with_value_bytes(1)
        };
        Ok(RawPage::new(keys.into_iter().map(item).collect(), next))
    }
    async fn ping(&self) -> Result<()> {
        self.called("ping".to_owned()).await
    }
    async fn close(&self) -> Result<()> {
        self.called("close".to_owned()).await
    }
}

fn statuses(results: &[Result<SetOutcome>]) -> Vec<Option<SetStatus>> {
    results.iter().map(|result| result.as_ref().ok().map(SetOutcome::status)).collect()
}

#[tokio::test]
async fn a_request_starts_at_its_first_poll_and_not_before() {
    let recorder = Recorder::new(&CAPABILITIES);
    let store = recorder.store();
    drop(store.set("k", "v"));
    drop(store.get("k"));
    assert!(recorder.calls().is_empty());
    store.set("k", "v").await.unwrap();
    assert_eq!(recorder.calls(), ["write k"]);
}

#[tokio::test]
async fn a_refused_request_is_not_sent() {
    let recorder = Recorder::new(&CAPABILITIES);
    let store = recorder.store();
    assert!(store.set("", "v").await.is_err());
    assert!(store.set("k", "v").ttl(Duration::from_secs(1)).await.is_err());
    assert!(store.increment("k", 1).await.is_err());
    assert!(store.expire("k").never().await.is_err());
    assert!(store.set_many_all_or_nothing([SetItem::new("k", "v")]).await.is_err());
    assert!(store.list().limit(0).await.is_err());
    assert!(store.get_many(["k", ""]).await.is_err());
    assert!(store.delete_prefix("").await.is_err());
    assert!(recorder.calls().is_empty());
}

#[tokio::test]
async fn set_2_two_versions_of_one_delete_conflict() {
    let recorder = Recorder::new(&CAPABILITIES);
    let store = recorder.store();
    let version = |number| Version::numbered(1, number);
    let error = store.delete("k").if_version(version(1)).if_version(version(2)).await.unwrap_err();
    assert_eq!((error.reason(), error.key()), (Some(&Reason::ConflictingConditions), Some("k")));
    assert_eq!(recorder.calls(), [""; 0]);
    store.delete("k").if_version(version(1)).if_version(version(1)).await.unwrap();
    assert_eq!(recorder.calls(), ["delete k"]);
}

#[tokio::test]
async fn batch_1_an_empty_batch_is_not_sent() {
    let recorder = Recorder::new(&CAPABILITIES);
    let store = recorder.store();
    assert!(store.set_many([]).await.is_empty());
    assert!(store.get_many(Vec::<String>::new()).await.unwrap().is_empty());
    assert!(store.delete_many(Vec::<String>::new()).await.is_empty());
    assert!(recorder.calls().is_empty());
}

#[tokio::test]
async fn batch_4_repeated_keys_go_out_in_rounds_and_a_replaced_item_not_at_all() {
    let recorder = Recorder::new(&CAPABILITIES);
    let results = recorder
        .store()
        .set_many([
            SetItem::new("a", "1"),
            SetItem::new("b", "1"),
            SetItem::new("a", "2"),                      // replaces the first
            SetItem::new("a", "3").if_not_exists(),      // must see "2"
            SetItem::new("a", "4"),                      // a condition lies between: sent after it
            SetItem::new("a", "").metadata(json!(null)), // invalid: fails alone
            SetItem::new("a", "5"),
            SetItem::new("c", "1"),
        ])
        .await;
    assert_eq!(recorder.calls(), [r#"write_many b="1" a="2" c="1""#, r#"write_many a="3""#, r#"write_many a="5""#]);
    use SetStatus::{Created, NotMet, Stored, Updated};
    let expected =
        [Some(Stored), Some(Created), Some(Created), Some(NotMet), Some(Stored), None, Some(Updated), Some(Created)];
    assert_eq!(statuses(&results), expected);
    let error = results[5].as_ref().unwrap_err();
    assert_eq!((error.index(), error.key(), error.operation()), (Some(5), Some("a"), Some("set_many")));
}

#[tokio::test]
async fn batch_4_a_replaced_item_shares_the_error_of_the_one_that_replaced_it() {
    let recorder = Recorder::new(&CAPABILITIES);
    recorder.feels(Mood::Fails);
    let results = recorder.store().set_many([SetItem::new("a", "1"), SetItem::new("a", "2")]).await;
    for (index, result) in results.iter().enumerate() {
        let error = result.as_ref().unwrap_err();
        assert_eq!((error.kind(), error.index(), error.key()), (ErrorKind::Unavailable, Some(index), Some("a")));
        assert!(error.is_outcome_unknown());
    }
}

#[tokio::test]
async fn get_2_and_del_1_repeated_keys_are_sent_once_and_answered_in_order() {
    let recorder = Recorder::new(&CAPABILITIES);
    let store = recorder.store();
    store.set("a", "1").await.unwrap();
    recorder.calls();
    let values = store.get_many(["a", "b", "a"]).await.unwrap();
    assert_eq!(values, [Some(Value::from("1")), None, Some(Value::from("1"))]);
    let outcomes = store.delete_many(["a", "b", "", "a"]).await;
    assert_eq!(recorder.calls(), ["read_many a b", "delete_many a b"]);
    assert_eq!(outcomes[3].as_ref().unwrap(), &DeleteOutcome::Deleted);
    assert_eq!(outcomes[0].as_ref().unwrap(), &DeleteOutcome::Deleted);
    assert_eq!(outcomes[1].as_ref().unwrap(), &DeleteOutcome::NotFound);
    assert_eq!(outcomes[2].as_ref().unwrap_err().reason(), Some(&Reason::KeyEmpty));
}

#[tokio::test]
async fn an_adapter_that_answers_too_little_is_an_internal_error_and_no_wrong_answer() {
    let recorder = Recorder::new(&CAPABILITIES);
    recorder.feels(Mood::AnswersTooLittle);
    let store = recorder.store();
    assert_eq!(store.get_many(["a", "b"]).await.unwrap_err().kind(), ErrorKind::Internal);
    for error in store.set_many([SetItem::new("a", ""), SetItem::new("b", "")]).await {
        assert_eq!(error.as_ref().unwrap_err().kind(), ErrorKind::Internal);
        assert!(error.unwrap_err().is_outcome_unknown());
    }
    for error in store.delete_many(["a", "b"]).await {
        assert!(error.unwrap_err().is_outcome_unknown());
    }
    recorder.feels(Mood::Well);
    store.set_many([SetItem::new("a", ""), SetItem::new("b", "")]).await;
    recorder.feels(Mood::AnswersTooLittle);
    let entries = store.list().entries().try_collect::<Vec<_>>().await;
    assert_eq!(entries.unwrap_err().kind(), ErrorKind::Internal, "never a shorter walk");
    assert!(store.clear().await.unwrap_err().is_outcome_unknown());
}

#[tokio::test]
async fn err_2_an_error_names_store_operation_and_whole_key() {
    let recorder = Recorder::new(&CAPABILITIES);
    recorder.feels(Mood::Fails);
    let store = recorder.store().with_prefix("p/");
    let error = store.set("k", "v").await.unwrap_err();
    assert_eq!((error.store(), error.operation(), error.key()), (Some("recorder"), Some("set"), Some("p/k")));
    assert_eq!(
        error.to_string(),
        r#"recorder: set "p/k": unavailable: down (outcome unknown: it may have been applied)"#
    );
    assert_eq!(store.get("k").await.unwrap_err().key(), Some("p/k"));
    assert_eq!(store.delete("k").await.unwrap_err().operation(), Some("delete"));
    assert_eq!(store.list().await.unwrap_err().operation(), Some("list"));
    assert_eq!(store.ping().await.unwrap_err().operation(), Some("ping"));
    assert_eq!(store.clear().await.unwrap_err().operation(), Some("clear"));
}

#[tokio::test]
async fn life_2_close_waits_for_a_dropped_or_finished_call_and_refuses_every_later_one() {
    let recorder = Recorder::new(&CAPABILITIES);
    let store = recorder.store();
    let derived = store.with_prefix("p/");
    recorder.feels(Mood::Hangs);
    let mut hanging = store.set("k", "v");
    assert!((&mut hanging).now_or_never().is_none());
    recorder.feels(Mood::Well);
    let mut close = Box::pin(store.close());
    assert!((&mut close).now_or_never().is_none());
    drop(hanging);
    close.await.unwrap();
    assert_eq!(recorder.calls(), ["write k", "close"]);
    let closed = |error: Error| assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    closed(derived.get("k").await.unwrap_err());
    closed(store.set("k", "v").await.unwrap_err());
    closed(store.delete("k").await.unwrap_err());
    closed(store.list().await.unwrap_err());
    closed(store.list().stream().try_collect::<Vec<_>>().await.unwrap_err());
    closed(store.get_many(["k"]).await.unwrap_err());
    closed(store.ping().await.unwrap_err());
    closed(store.clear().await.unwrap_err());
    for result in store.set_many([SetItem::new("k", "v")]).await {
        closed(result.unwrap_err());
    }
    for result in store.delete_many(["k"]).await {
        closed(result.unwrap_err());
    }
    assert!(recorder.calls().is_empty());
    store.close().await.unwrap();
}

#[tokio::test]
async fn life_2_a_close_that_is_dropped_while_it_waits_leaves_the_store_open() {
    let recorder = Recorder::new(&CAPABILITIES);
    let store = recorder.store();
    recorder.feels(Mood::Hangs);
    let mut hanging = store.set("k", "v");
    assert!((&mut hanging).now_or_never().is_none());
    recorder.feels(Mood::Well);
    for _ in 0..3 {
        assert!(store.close().now_or_never().is_none(), "it waits, and is dropped here as by a time-out");
        store.with_prefix("p/").set("k", "v").await.unwrap();
    }
    drop(hanging);
    recorder.calls();
    store.close().await.unwrap();
    assert_eq!(recorder.calls(), ["close"]);
    assert_eq!(store.get("k").await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn life_2_a_close_that_is_dropped_while_the_backend_closes_is_finished_by_the_next() {
    let recorder = Recorder::new(&CAPABILITIES);
    let store = recorder.store();
    recorder.feels(Mood::Hangs);
    assert!(store.close().now_or_never().is_none());
    assert_eq!(store.get("k").await.unwrap_err().kind(), ErrorKind::Closed, "the backend may be half closed");
    recorder.feels(Mood::Well);
    store.close().now_or_never().expect("nothing is in flight").unwrap();
    assert_eq!(recorder.calls(), ["close", "close"]);
}

/// Answers writes at once, and tries to close the store in the middle of one.
#[derive(Debug, Default)]
struct ClosedMeanwhile {
    store: OnceLock<Store>,
    closed: Mutex<Option<bool>>,
}

#[async_trait]
impl Backend for ClosedMeanwhile {
    fn capabilities(&self) -> &Capabilities {
        &CAPABILITIES
    }

    fn scope(&self) -> &str {
        ""
    }

    fn clock(&self) -> &dyn Clock {
        &SystemClock
    }
    fn write_now(&self, _: &Write<'_>) -> Option<Result<SetOutcome>> {
        *self.closed.lock().unwrap() = Some(self.store.get()?.close().now_or_never().is_some());
        Some(Ok(SetOutcome::new(SetStatus::Created)))
    }
    async fn read(&self, _: Read<'_>) -> Result<Option<Entry>> {
        Ok(None)
    }
    async fn write(&self, _: Write<'_>) -> Result<SetOutcome> {
        Ok(SetOutcome::new(SetStatus::Created))
    }
    async fn delete(&self, _: Delete<'_>) -> Result<DeleteOutcome> {
        Ok(DeleteOutcome::Accepted)
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn life_2_close_waits_for_a_write_that_is_answered_at_once() {
    let backend = Arc::new(ClosedMeanwhile::default());
    let store = Store::new(Arc::clone(&backend));
    backend.store.set(store.clone()).unwrap();
    assert!(store.set("k", "v").await.unwrap().is_written());
    assert_eq!(*backend.closed.lock().unwrap(), Some(false));
    store.close().await.unwrap();
    assert_eq!(store.set("k", "v").await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn ns_2_a_prefix_is_put_before_every_key_and_taken_off_every_listed_one() {
    let recorder = Recorder::new(&CAPABILITIES);
    let store = recorder.store();
    let users = store.with_prefix("us").with_prefix("er/");
    users.set("1", "v").await.unwrap();
    store.set("user/", "the prefix itself").await.unwrap();
    store.set("users", "not below the prefix").await.unwrap();
    assert_eq!(recorder.calls()[0], "write user/1");
    let page = users.list().await.unwrap();
    assert_eq!(page.items.iter().map(|item| &*item.key).collect::<Vec<_>>(), ["1"]);
    let entries: Vec<(String, Entry)> = users.list().entries().try_collect().await.unwrap();
    assert_eq!(entries[0].0, "1");
    assert_eq!(users.clear().await.unwrap(), 1);
    assert!(store.exists("user/").await.unwrap() && store.exists("users").await.unwrap());
}

#[tokio::test]
async fn list_3_a_cursor_is_refused_with_another_prefix_and_sent_nowhere() {
    let recorder = Recorder::new(&CAPABILITIES);
    let store = recorder.store();
    for key in ["a1", "a2", "b"] {
        store.set(key, "v").await.unwrap();
    }
    let cursor = store.list().prefix("a").limit(1).await.unwrap().cursor.unwrap();
    recorder.calls();
    let error = store.list().prefix("b").cursor(cursor.clone()).await.unwrap_err();
    assert_eq!((error.kind(), error.reason()), (ErrorKind::InvalidArgument, Some(&Reason::CursorInvalid)));
    assert!(recorder.calls().is_empty());
    let stored: kv_api::Cursor = cursor.to_string().parse().unwrap();
    let page = store.list().prefix("a").cursor(stored).await.unwrap();
    assert_eq!((page.items[0].key.as_str(), page.cursor), ("a2", None));
}

#[tokio::test]
async fn cap_4_a_restricted_handle_hides_what_the_other_system_cannot_tell() {
    static WEAK: Capabilities = Capabilities::new("weak")
        .with_value_kinds(ValueKinds::ALL)
        .with_if_not_exists(Support::Native)
        .with_list(Support::Native, ListOrder::Unordered);
    let recorder = Recorder::new(&CAPABILITIES);
    let store = recorder.store().restricted_to([&WEAK]);
    assert_eq!(store.capabilities().system, "recorder");
    let outcome = store.set("k", "v").await.unwrap();
    assert_eq!((outcome.status(), outcome.version()), (SetStatus::Stored, None));
    let outcome = store.set("new", "v").if_not_exists().await.unwrap();
    assert_eq!(outcome.status(), SetStatus::Created, "a met condition says it by itself (SET-5)");
    let entry = store.get_entry("k").await.unwrap().unwrap();
    assert_eq!((entry.metadata(), entry.expiry(), entry.version()), (None, EntryExpiry::Unknown, None));
    let item = &store.list().await.unwrap().items[0];
    assert_eq!((&item.metadata, item.expiry), (&ListedMetadata::NotReported, EntryExpiry::Unknown));
    assert_eq!(item.value_bytes, None);
    assert_eq!(recorder.store().list().await.unwrap().items[0].value_bytes, Some(1), "nothing hides it there");
    assert_eq!(store.delete("k").await.unwrap(), DeleteOutcome::Accepted);
    assert_eq!(store.delete_many(["k"]).await[0].as_ref().unwrap(), &DeleteOutcome::Accepted);
    let versions = recorder.store().restricted_to([&WEAK.clone().with_if_version(Support::Native)]);
    store.set("k", "v").await.unwrap();
    let outcome = versions.delete("k").if_version(Version::numbered(1, 1)).await.unwrap();
    assert_eq!(outcome, DeleteOutcome::Deleted, "a met version says it by itself");
    let refused = store.set("k", "v").metadata(Metadata::from(json!(1))).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert_eq!(statuses(&store.set_many([SetItem::new("m", "v")]).await), [Some(SetStatus::Stored)]);
}

#[tokio::test]
async fn val_6_typed_access_says_which_kind_it_found() {
    let recorder = Recorder::new(&CAPABILITIES);
    let store = recorder.store();
    store.set_as("k", &json!({"a": [1, 2]})).await.unwrap();
    assert_eq!(store.get_as::<serde_json::Value>("k").await.unwrap(), Some(json!({"a": [1, 2]})));
    let error = store.get_as::<u8>("k").await.unwrap_err();
    assert_eq!((error.kind(), error.operation(), error.key()), (ErrorKind::WrongType, Some("get_as"), Some("k")));
    assert_eq!(error.reason(), Some(&Reason::Found(kv_api::ValueKind::Json)));
}

#[tokio::test]
async fn a_batch_may_outlive_or_be_outlived_by_the_handle() {
    async fn longer(store: &Store, items: Vec<SetItem<'static>>, keys: Vec<&'static str>) {
        assert_eq!(store.set_many(items.clone()).await.len(), 1);
        assert_eq!(store.get_many(keys.clone()).await.unwrap().len(), 1);
        assert_eq!(store.delete_many(keys).await.len(), 1);
    }
    async fn shorter(store: &Store) {
        let key = String::from("k");
        assert_eq!(store.set_many([SetItem::new(&key, "v")]).await.len(), 1);
        assert_eq!(store.get_many([&key]).await.unwrap().len(), 1);
    }
    let store = Recorder::new(&CAPABILITIES).store();
    longer(&store, vec![SetItem::new("k", "v")], vec!["k"]).await;
    shorter(&store).await;
}

#[tokio::test]
async fn a_single_call_takes_a_key_that_was_made_for_it() {
    let recorder = Recorder::new(&CAPABILITIES);
    let store = recorder.store().with_prefix("p/");
    let key = |id: u32| format!("user/{id}");
    for id in 0..20 {
        assert!(store.set(key(id), i64::from(id)).await.unwrap().is_written());
    }
    let ids = stream::iter(0..20_u32);
    let values: Vec<Value> =
        ids.map(|id| store.get(format!("user/{id}"))).buffered(8).map(|value| value.unwrap().unwrap()).collect().await;
    assert_eq!(values, (0..20_i64).map(Value::from).collect::<Vec<_>>());
    assert_eq!(store.get_as::<u32>(key(7)).await.unwrap(), Some(7));
    assert_eq!(store.get_as::<String>(key(7)).await.unwrap_err().key(), Some("p/user/7"));
    assert!(store.exists(key(7)).await.unwrap() && store.get_entry(key(7)).await.unwrap().is_some());
    assert!(store.set_as(key(7), &7).if_not_exists().await.is_ok_and(|outcome| !outcome.is_written()));
    assert_eq!(store.increment(key(7), 1).await.unwrap_err().key(), Some("p/user/7"));
    assert_eq!(store.expire(key(7)).never().await.unwrap_err().key(), Some("p/user/7"));
    assert_eq!(store.delete(key(7)).await.unwrap(), DeleteOutcome::Deleted);
    assert_eq!(store.delete_prefix(String::from("user/1")).await.unwrap(), 11);
}

#[test]
fn a_request_is_small() {
    // Each may be held by thousands of tasks at once.
    let store = Recorder::new(&CAPABILITIES).store();
    let words = |bytes: usize| bytes / size_of::<usize>();
    assert!(words(size_of_val(&store.get("k"))) <= 8);
    assert!(words(size_of_val(&store.get_as::<u8>("k"))) <= 10);
    assert!(words(size_of_val(&store.delete("k"))) <= 12);
    assert!(words(size_of_val(&store.set("k", "v"))) <= 17);
}

#[tokio::test]
async fn set_2_and_del_2_no_version_never_means_whatever_is_there() {
    let recorder = Recorder::new(&CAPABILITIES);
    let store = recorder.store();
    let nothing: Option<Entry> = store.get_entry("k").await.unwrap();
    let version = nothing.as_ref().and_then(Entry::version);
    assert_eq!(store.set("k", "1").if_version(version).await.unwrap().status(), SetStatus::Created);
    assert_eq!(store.set("k", "2").if_version(version).await.unwrap().status(), SetStatus::NotMet);
    let item = SetItem::new("k", "2").if_version(None::<Version>);
    assert_eq!(statuses(&store.set_many([item.clone()]).await), [Some(SetStatus::NotMet)]);
    let error = store.set("k", "2").if_version(version).if_exists().await.unwrap_err();
    assert_eq!(error.reason(), Some(&Reason::ConflictingConditions));
    let error = store.delete("k").if_version(version).await.unwrap_err();
    assert_eq!((error.kind(), error.reason()), (ErrorKind::InvalidArgument, Some(&Reason::NoVersionGiven)));
    assert_eq!(store.get("k").await.unwrap(), Some(Value::from("1")));
    // Each form of a version.
    let seen = store.get_entry("k").await.unwrap().unwrap();
    let version = seen.version().unwrap();
    store.set("k", "2").if_version(seen.version()).await.unwrap();
    store.set("k", "2").if_version(version).await.unwrap();
    store.set("k", "2").if_version(version.clone()).await.unwrap();
    store.delete("k").if_version(Some(version.clone())).await.unwrap();

    // Where there are no versions, none to ask for does not say that nothing was there.
    static WITHOUT: Capabilities =
        Capabilities::new("weak").with_value_kinds(ValueKinds::ALL).with_if_not_exists(Support::Native);
    let store = recorder.store().restricted_to([&WITHOUT]);
    let error = store.set("k", "3").if_version(None::<&Version>).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(store.set_many([item]).await[0].as_ref().unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn a_page_iterates_and_a_stream_outlives_the_handle() {
    fn keys(store: &Store, group: &str) -> impl Stream<Item = Result<ListItem>> + Send + 'static {
        store.with_prefix(group).list().prefix(String::from("/")).stream()
    }
    fn entries(store: Store) -> impl Stream<Item = Result<(String, Entry)>> + Send + 'static {
        store.list().entries()
    }
    let store = Recorder::new(&CAPABILITIES).store();
    store.set_many(["a/1", "a/2", "b/1"].map(|key| SetItem::new(key, "v"))).await;
    let found: Vec<ListItem> = keys(&store, "a").try_collect().await.unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(entries(store.clone()).count().await, 3);
    let page = store.list().await.unwrap();
    let mut met = 0;
    for item in &page {
        met += item.key.len();
    }
    for item in page {
        met += item.key.len();
    }
    assert_eq!(met, 18);
}

#[test]
fn requests_are_futures_that_any_executor_takes() {
    fn fits<T: Future + Send + Unpin>(_: T) {}
    let store = Recorder::new(&CAPABILITIES).store();
    fits(store.get("k"));
    fits(store.set("k", "v"));
    fits(store.delete("k"));
    fits(store.list());
    fn sendable<T: Send>(_: T) {}
    sendable(store.set_many([]));
    sendable(store.clear());
    sendable(store.list().entries());
}

#[test]
fn chk_1_a_wrapper_cannot_make_a_batch_of_no_items() {
    let inner = kv_memory::MemoryStore::default();
    assert!(WriteParts::resolve_many([], &inner).0.is_none());
    assert_eq!(WriteParts::resolve_all_or_nothing([], &inner).unwrap_err().kind(), ErrorKind::Internal);
}
