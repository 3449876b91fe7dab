//! Whose key and index an error names (ERR-7), what a person sees of it (ERR-2), and what its retry class promises
//! (ERR-3), with an adapter whose errors name keys and positions of its own.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::borrow::Cow;

use futures_util::TryStreamExt;
use kv_api::{
    Backend, BatchOutcome, Capabilities, Clock, Delete, DeleteMany, DeleteOutcome, Entry, Error, ErrorKind, Expire,
    Increment, ListItem, ListOrder, ListPage, Method, Methods, RawPage, Read, ReadMany, Result, Retry, SetItem,
    SetOutcome, SetStatus, Store, Support, SystemClock, ValueKinds, Write, WriteMany, async_trait,
};

static CAPABILITIES: Capabilities = Capabilities::new("liar")
    .with_value_kinds(ValueKinds::ALL)
    .with_list(Support::Native, ListOrder::Lexicographic)
    .with_counters(Support::Native, i64::MIN, i64::MAX)
    .with_expire(Support::Native)
    .with_all_or_nothing(Support::Native);

/// Fails at everything but `list`. Its errors name what it was made with.
#[derive(Clone, Copy, Debug)]
struct Liar {
    key: Option<&'static str>,
    index: Option<usize>,
}

impl Liar {
    fn error(self) -> Error {
        let mut error = Error::new(ErrorKind::Unavailable, "down");
        if let Some(key) = self.key {
            error = error.with_key(key);
        }
        if let Some(index) = self.index {
            error = error.with_index(index);
        }
        error
    }
}

#[async_trait]
impl Backend for Liar {
    fn capabilities(&self) -> &Capabilities {
        &CAPABILITIES
    }

    fn methods(&self) -> Methods {
        Methods::NONE
            .with(Method::ReadMany)
            .with(Method::WriteMany)
            .with(Method::WriteAllOrNothing)
            .with(Method::List)
            .with(Method::Increment)
            .with(Method::Expire)
    }

    fn scope(&self) -> &str {
        ""
    }

    fn clock(&self) -> &dyn Clock {
        &SystemClock
    }
    async fn read(&self, _: Read<'_>) -> Result<Option<Entry>> {
        Err(self.error())
    }
    async fn read_many(&self, _: ReadMany<'_>) -> Result<Vec<Option<Entry>>> {
        Err(self.error())
    }
    async fn write(&self, _: Write<'_>) -> Result<SetOutcome> {
        Err(self.error())
    }
    async fn write_many(&self, writes: WriteMany<'_>) -> Vec<Result<SetOutcome>> {
        writes.writes().iter().map(|_| Err(self.error())).collect()
    }
    async fn write_all_or_nothing(&self, _: WriteMany<'_>) -> Result<BatchOutcome> {
        Err(self.error())
    }
    async fn delete(&self, _: Delete<'_>) -> Result<DeleteOutcome> {
        Err(self.error())
    }
    async fn delete_many(&self, deletes: DeleteMany<'_>) -> Vec<Result<DeleteOutcome>> {
        deletes.keys().iter().map(|_| Err(self.error())).collect()
    }
    async fn increment(&self, _: Increment<'_>) -> Result<i64> {
        Err(self.error())
    }
    async fn expire(&self, _: Expire<'_>) -> Result<bool> {
        Err(self.error())
    }
    async fn list(&self, page: ListPage<'_>) -> Result<RawPage> {
        if page.prefix().ends_with("none") {
            return Err(self.error());
        }
        Ok(RawPage::new(vec![ListItem::new(format!("{}x", page.prefix()))], None))
    }
    async fn ping(&self) -> Result<()> {
        Err(self.error())
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

fn store(key: Option<&'static str>, index: Option<usize>) -> Store {
    Store::new(Liar { key, index }).with_prefix("p/")
}

fn place(error: &Error) -> (Option<usize>, Option<&str>) {
    (error.index(), error.key())
}

#[tokio::test]
async fn err_7_a_single_call_names_the_key_of_the_caller() {
    for store in [store(Some("mine"), Some(9)), store(Some("p/other"), None), store(None, Some(0)), store(None, None)] {
        for error in [
            store.get("k").await.unwrap_err(),
            store.get_entry("k").await.unwrap_err(),
            store.exists("k").await.unwrap_err(),
            store.get_as::<u8>("k").await.unwrap_err(),
            store.set("k", "v").await.unwrap_err(),
            store.set_as("k", "v").await.unwrap_err(),
            store.delete("k").await.unwrap_err(),
            store.increment("k", 1).await.unwrap_err(),
            store.expire("k").never().await.unwrap_err(),
        ] {
            assert_eq!(place(&error), (None, Some("p/k")), "{error}");
        }
    }
}

#[tokio::test]
async fn err_7_an_item_of_a_batch_names_key_and_position_of_the_caller() {
    for store in [store(Some("mine"), Some(0)), store(Some("p/b"), Some(9)), store(None, None)] {
        let sets = store.set_many(["a", "", "b", "a"].map(|key| SetItem::new(key, "v"))).await;
        let deletes = store.delete_many(["a", "", "b", "a"]).await;
        let errors = |index: usize| [sets[index].as_ref().unwrap_err(), deletes[index].as_ref().unwrap_err()];
        for (index, key) in ["p/a", "", "p/b", "p/a"].into_iter().enumerate() {
            for error in errors(index) {
                assert_eq!(place(error), (Some(index), Some(key)), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn err_7_a_batch_that_fails_as_a_whole_names_only_what_the_caller_gave() {
    let keys = ["a", "b", "a", "c"];
    let unique = ["a", "b", "c"].map(|key| SetItem::new(key, "v"));
    for (key, index, of_reads, of_writes) in [
        (Some("p/c"), None, (Some(3), Some("p/c")), (Some(2), Some("p/c"))),
        (Some("p/c"), Some(0), (Some(3), Some("p/c")), (Some(2), Some("p/c"))),
        (Some("c"), Some(1), (None, None), (None, None)), // a key that the caller did not give
        (None, Some(2), (Some(3), Some("p/c")), (Some(2), Some("p/c"))),
        (None, Some(7), (None, None), (None, None)),
        (None, None, (None, None), (None, None)),
    ] {
        let store = store(key, index);
        assert_eq!(place(&store.get_many(keys).await.unwrap_err()), of_reads, "{key:?} {index:?}");
        assert_eq!(place(&store.get_entry_many(keys).await.unwrap_err()), of_reads, "{key:?} {index:?}");
        let error = store.set_many_all_or_nothing(unique.clone()).await.unwrap_err();
        assert_eq!(place(&error), of_writes, "{key:?} {index:?}");
    }
    let store = store(Some("mine"), Some(3));
    let refused = store.set_many_all_or_nothing([SetItem::new("a", "v"), SetItem::new("", "v")]).await.unwrap_err();
    assert_eq!(place(&refused), (Some(1), Some("")), "the handle's own errors stay");
    assert_eq!(store.get_many(["a", ""]).await.unwrap_err().index(), Some(1));
}

#[tokio::test]
async fn err_7_a_walk_names_the_listed_key_and_no_position() {
    for store in [store(Some("mine"), Some(3)), store(Some("p/x"), Some(3))] {
        let deleted = store.clear().await.unwrap_err();
        assert_eq!(place(&deleted), (None, Some("p/x")), "{deleted}");
        let read = store.list().entries().try_collect::<Vec<_>>().await.unwrap_err();
        assert!(matches!(place(&read), (None, None | Some("p/x"))), "{read}");
        assert_eq!(store.list().prefix("none").await.unwrap_err().index(), None);
        assert_eq!(store.list().prefix("none").stream().try_collect::<Vec<_>>().await.unwrap_err().index(), None);
    }
}

#[tokio::test]
async fn err_3_a_failed_read_is_never_of_unknown_outcome() {
    let store = store(None, None);
    let none = store.list().prefix("none");
    for error in [
        store.get("k").await.unwrap_err(),
        store.get_entry("k").await.unwrap_err(),
        store.exists("k").await.unwrap_err(),
        store.get_as::<u8>("k").await.unwrap_err(),
        store.get_many(["k"]).await.unwrap_err(),
        store.get_entry_many(["k"]).await.unwrap_err(),
        store.list().entries().try_collect::<Vec<_>>().await.unwrap_err(),
        store.list().prefix("none").stream().try_collect::<Vec<_>>().await.unwrap_err(),
        none.await.unwrap_err(),
        store.ping().await.unwrap_err(),
    ] {
        assert_eq!(error.retry(), Retry::Safe, "{error}");
        assert!(!error.to_string().contains("unknown"), "{error}");
    }
    for error in [
        store.set("k", "v").await.unwrap_err(),
        store.delete("k").await.unwrap_err(),
        store.increment("k", 1).await.unwrap_err(),
        store.expire("k").never().await.unwrap_err(),
        store.set_many([SetItem::new("k", "v")]).await.remove(0).unwrap_err(),
        store.delete_many(["k"]).await.remove(0).unwrap_err(),
        store.set_many_all_or_nothing([SetItem::new("k", "v")]).await.unwrap_err(),
        store.clear().await.unwrap_err(),
    ] {
        assert!(error.is_outcome_unknown(), "{error}");
    }
}

/// Lists `pages` pages of `deleted` and `kept`, then fails. What is called `kept` is refused for now.
#[derive(Clone, Copy, Debug)]
struct HalfWay {
    pages: u8,
    keys: &'static [&'static str],
}

#[async_trait]
impl Backend for HalfWay {
    fn capabilities(&self) -> &Capabilities {
        &CAPABILITIES
    }

    fn methods(&self) -> Methods {
        Methods::NONE.with(Method::WriteAllOrNothing).with(Method::List)
    }

    fn scope(&self) -> &str {
        ""
    }

    fn clock(&self) -> &dyn Clock {
        &SystemClock
    }
    async fn read(&self, _: Read<'_>) -> Result<Option<Entry>> {
        Ok(None)
    }
    async fn write(&self, _: Write<'_>) -> Result<SetOutcome> {
        Err(Error::new(ErrorKind::RateLimited, ""))
    }
    async fn delete(&self, delete: Delete<'_>) -> Result<DeleteOutcome> {
        if delete.key().ends_with("kept") {
            return Err(Error::new(ErrorKind::RateLimited, "not now"));
        }
        Ok(DeleteOutcome::Deleted)
    }
    async fn list(&self, page: ListPage<'_>) -> Result<RawPage> {
        let at = page.position().map_or(0, |position| position[0]);
        if at == self.pages {
            return Err(Error::new(ErrorKind::RateLimited, "not now"));
        }
        let items = self.keys.iter().map(|key| ListItem::new(format!("{at}/{key}"))).collect();
        Ok(RawPage::new(items, Some(vec![at + 1])))
    }
    async fn write_all_or_nothing(&self, writes: WriteMany<'_>) -> Result<BatchOutcome> {
        if writes.writes()[0].key() == "too few" {
            return Ok(BatchOutcome::Written(vec![SetOutcome::new(SetStatus::Stored)]));
        }
        let unmet = writes.writes().iter().position(|write| write.key() == "unmet");
        Ok(BatchOutcome::NotMet { index: unmet.unwrap_or(writes.writes().len()) })
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn err_3_an_unmet_condition_of_no_item_says_nothing_about_the_batch() {
    let store = Store::new(HalfWay { pages: 0, keys: &[] });
    let error = store.set_many_all_or_nothing([SetItem::new("k", "v")]).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Internal, Retry::OutcomeUnknown), "{error}");
    for (keys, index) in [(&["unmet", "k"][..], 0), (&["k", "unmet"], 1)] {
        let items = keys.iter().map(|key| SetItem::new(*key, "v"));
        assert_eq!(store.set_many_all_or_nothing(items).await.unwrap(), BatchOutcome::NotMet { index });
    }
}

#[tokio::test]
async fn err_3_outcomes_of_some_items_say_nothing_about_the_batch() {
    let store = Store::new(HalfWay { pages: 0, keys: &[] });
    let error = store.set_many_all_or_nothing(["too few", "k"].map(|key| SetItem::new(key, "v"))).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Internal, Retry::OutcomeUnknown), "{error}");
}

#[tokio::test]
async fn err_3_a_walk_that_has_deleted_something_is_not_certainly_unapplied() {
    for (pages, keys, retry) in [
        (0, &["deleted"][..], Retry::Safe),
        (1, &[], Retry::Safe),
        (1, &["kept"], Retry::Safe),
        (1, &["deleted"], Retry::OutcomeUnknown),
        (1, &["deleted", "kept"], Retry::OutcomeUnknown),
        (1, &["Kept-kept", "deleted"], Retry::OutcomeUnknown),
    ] {
        let error = Store::new(HalfWay { pages, keys }).clear().await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::RateLimited, retry), "{pages} {keys:?}: {error}");
    }
}

#[test]
fn err_2_what_a_person_reads_moves_no_cursor_and_turns_no_text_around() {
    const HOSTILE: &str = "a\u{1b}[2Jb\u{202e}c\r\nd\u{2066}e\u{85}f\u{2028}g\0h\u{feff}";
    let error = Error::new(ErrorKind::Misconfigured, Cow::Borrowed(HOSTILE))
        .with_store(HOSTILE)
        .with_key(HOSTILE)
        .with_native_code(HOSTILE)
        .with_source(std::io::Error::other(HOSTILE));
    let cursor: kv_api::Cursor = HOSTILE.parse().unwrap();
    let version = HOSTILE.parse::<kv_api::Version>().unwrap_err();
    for text in [
        error.to_string(),
        format!("{error:?} {error:#?}"),
        format!("{cursor:?}"),
        format!("{version} {version:?}"),
        format!("{:?}", SetItem::new(HOSTILE, HOSTILE)),
        format!("{:?}", ListItem::new(HOSTILE)),
        format!("{:?}", Store::new(Liar { key: Some(HOSTILE), index: None }).with_prefix(HOSTILE)),
    ] {
        let moves = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        assert!(!text.contains(|c: char| moves(c) || matches!(c, '\u{2028}' | '\u{feff}')), "{text:?}");
    }
    assert!(error.to_string().contains("a\\u{1b}[2Jb"), "what is escaped can still be read: {error}");
}
