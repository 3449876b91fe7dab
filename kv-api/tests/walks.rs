//! What the handle makes of lists that have no end or no order: the script says what each page holds (LIST-2 to
//! LIST-5).

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{StreamExt, TryStreamExt};
use kv_api::{
    Backend, Capabilities, Clock, Cursor, Delete, DeleteMany, DeleteOutcome, Entry, Error, ErrorKind, ListItem,
    ListOrder, ListPage, Method, Methods, Page, RawPage, Read, ReadMany, Result, SetOutcome, SetStatus, Store, Support,
    SystemClock, Value, ValueKinds, Write, async_trait,
};

const fn capabilities(order: ListOrder) -> Capabilities {
    Capabilities::new("script").with_value_kinds(ValueKinds::ALL).with_list(Support::Native, order)
}

static ORDERED: Capabilities = capabilities(ListOrder::Lexicographic);
static UNORDERED: Capabilities = capabilities(ListOrder::Unordered);

/// The most pages that any walk here may ask for: one that does not end must fail and not hang.
const PAGES_ASKED_MAX: usize = 10_000;

type Pages = fn(asked: usize, position: Option<&[u8]>) -> (Vec<String>, Option<Vec<u8>>);

#[derive(Debug)]
struct Script {
    capabilities: &'static Capabilities,
    scope: &'static str,
    pages: Pages,
    asked: AtomicUsize,
}

impl Script {
    fn store(capabilities: &'static Capabilities, pages: Pages) -> (Store, Arc<Self>) {
        let script = Arc::new(Self { capabilities, scope: "", pages, asked: AtomicUsize::new(0) });
        (Store::new(Arc::clone(&script)), script)
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Backend for Script {
    fn capabilities(&self) -> &Capabilities {
        self.capabilities
    }

    fn methods(&self) -> Methods {
        Methods::NONE.with(Method::ReadMany).with(Method::List)
    }

    fn clock(&self) -> &dyn Clock {
        &SystemClock
    }
    fn scope(&self) -> &str {
        self.scope
    }
    async fn read(&self, _: Read<'_>) -> Result<Option<Entry>> {
        Ok(Some(Entry::new(Value::from("v"))))
    }
    async fn read_many(&self, reads: ReadMany<'_>) -> Result<Vec<Option<Entry>>> {
        assert_distinct(reads.keys());
        Ok(reads.keys().iter().map(|_| Some(Entry::new(Value::from("v")))).collect())
    }
    async fn write(&self, _: Write<'_>) -> Result<SetOutcome> {
        Ok(SetOutcome::new(SetStatus::Stored))
    }
    async fn delete(&self, _: Delete<'_>) -> Result<DeleteOutcome> {
        Ok(DeleteOutcome::Accepted)
    }
    async fn delete_many(&self, deletes: DeleteMany<'_>) -> Vec<Result<DeleteOutcome>> {
        assert_distinct(deletes.keys());
        deletes.keys().iter().map(|_| Ok(DeleteOutcome::Accepted)).collect()
    }
    async fn list(&self, page: ListPage<'_>) -> Result<RawPage> {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        assert!(asked < PAGES_ASKED_MAX, "a walk has no end");
        let (keys, next) = (self.pages)(asked, page.position());
        Ok(RawPage::new(keys.into_iter().map(ListItem::new).collect(), next))
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

fn assert_distinct(keys: &[std::borrow::Cow<'_, str>]) {
    let distinct: std::collections::HashSet<&str> = keys.iter().map(|key| &**key).collect();
    assert_eq!(distinct.len(), keys.len(), "CHK-1: an adapter is asked for each key once");
}

fn keys(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

fn numbered(at: usize) -> Option<Vec<u8>> {
    Some(at.to_string().into_bytes())
}

/// How each kind of walk over the script ends.
async fn ends(capabilities: &'static Capabilities, pages: Pages) -> Vec<Error> {
    let store = || Script::store(capabilities, pages).0;
    vec![
        store().list().stream().try_collect::<Vec<_>>().await.unwrap_err(),
        store().list().pages().try_collect::<Vec<_>>().await.unwrap_err(),
        store().list().entries().try_collect::<Vec<_>>().await.unwrap_err(),
        store().count("").await.unwrap_err(),
        store().clear().await.unwrap_err(),
        store().delete_prefix("k").await.unwrap_err(),
    ]
}

async fn all_end_in_protocol(capabilities: &'static Capabilities, pages: Pages) {
    for (error, operation) in
        ends(capabilities, pages).await.into_iter().zip(["list", "list", "list", "count", "clear", "delete_prefix"])
    {
        assert_eq!((error.kind(), error.operation()), (ErrorKind::Protocol, Some(operation)), "{error}");
        assert_eq!(error.store(), Some("script"));
    }
}

#[tokio::test]
async fn list_3_a_cursor_that_stays_where_it_is_is_a_protocol_error() {
    for capabilities in [&ORDERED, &UNORDERED] {
        all_end_in_protocol(capabilities, |_, _| (Vec::new(), numbered(7))).await;
        all_end_in_protocol(capabilities, |asked, _| (vec![format!("k{asked:06}")], numbered(7))).await;
    }
    let (store, script) = Script::store(&UNORDERED, |_, _| (Vec::new(), numbered(7)));
    let page = store.list().await.unwrap();
    let error = store.list().cursor(page.cursor.unwrap()).await.unwrap_err();
    assert_eq!((error.kind(), script.asked()), (ErrorKind::Protocol, 2), "a single page, too");
}

#[tokio::test]
async fn list_5_cursors_that_go_round_end_the_walk() {
    for capabilities in [&ORDERED, &UNORDERED] {
        all_end_in_protocol(capabilities, |asked, _| (Vec::new(), numbered(asked % 3))).await;
    }
    all_end_in_protocol(&UNORDERED, |asked, _| (vec![format!("k{}", asked % 3)], numbered(asked % 3))).await;
    let (store, script) =
        Script::store(&UNORDERED, |asked, _| (vec![format!("k{}", asked % 50)], numbered(asked % 50)));
    let error = store.list().allow_repeats().stream().try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(script.asked() < 200, "also where repeats are allowed: {}", script.asked());
}

#[tokio::test]
async fn list_5_ever_new_cursors_over_empty_or_known_pages_end_the_walk() {
    for capabilities in [&ORDERED, &UNORDERED] {
        all_end_in_protocol(capabilities, |asked, _| (Vec::new(), numbered(asked))).await;
    }
    all_end_in_protocol(&UNORDERED, |asked, _| (keys(&["k1", "k2"]), numbered(asked))).await;
    let (store, _) = Script::store(&UNORDERED, |asked, _| (Vec::new(), numbered(asked)));
    let error = store.list().allow_repeats().stream().try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
}

#[tokio::test]
async fn list_5_many_pages_without_a_key_are_fine_and_a_new_key_begins_the_count_again() {
    const QUIET: usize = 999;
    let pages: Pages = |asked, _| match asked {
        QUIET => (keys(&["k1"]), numbered(asked)),
        at if at == 2 * QUIET + 1 => (keys(&["k2"]), None),
        _ => (Vec::new(), numbered(asked)),
    };
    for capabilities in [&ORDERED, &UNORDERED] {
        let found: Vec<ListItem> = Script::store(capabilities, pages).0.list().stream().try_collect().await.unwrap();
        assert_eq!(found.iter().map(|item| &*item.key).collect::<Vec<_>>(), ["k1", "k2"]);
        assert_eq!(Script::store(capabilities, pages).0.clear().await.unwrap(), 2);
    }
    // A walk that ends there has ended by itself.
    let (store, script) =
        Script::store(&ORDERED, |asked, _| (Vec::new(), if asked < 999 { numbered(asked) } else { None }));
    assert_eq!((store.list().stream().count().await, script.asked()), (0, 1000));
    let (store, script) = Script::store(&ORDERED, |asked, _| (Vec::new(), numbered(asked)));
    store.list().stream().try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(script.asked(), 1000, "the limit that LIST-5 states");
}

#[tokio::test]
async fn list_7_count_counts_a_key_once_whatever_pages_it_is_on() {
    let pages: Pages = |asked, _| match asked {
        0 => (keys(&["k1", "k2", "k1"]), numbered(1)),
        1 => (keys(&["k2", "k3"]), numbered(2)),
        _ => (keys(&["k3", "k4"]), None),
    };
    let (store, script) = Script::store(&UNORDERED, pages);
    assert_eq!((store.count("k").await.unwrap(), script.asked()), (4, 3));
}

#[tokio::test]
async fn list_2_a_repeated_or_unordered_key_of_an_ordered_store_is_never_passed_on() {
    let on_one_page: [Pages; 3] = [
        |_, _| (keys(&["k1", "k1"]), None),
        |_, _| (keys(&["k2", "k1"]), None),
        |_, _| (keys(&["k", "k2", "ka", "k9"]), None),
    ];
    for pages in on_one_page {
        all_end_in_protocol(&ORDERED, pages).await;
        let error = Script::store(&ORDERED, pages).0.list().await.unwrap_err();
        assert_eq!((error.kind(), error.operation()), (ErrorKind::Protocol, Some("list")), "a single page, too");
        assert!(error.key().is_some(), "{error}");
    }
    let across_pages: [Pages; 3] = [
        |asked, _| if asked == 0 { (keys(&["k1", "k2"]), numbered(1)) } else { (keys(&["k2"]), None) },
        |asked, _| if asked == 0 { (keys(&["k1", "k2"]), numbered(1)) } else { (keys(&["k1"]), None) },
        // An empty page between them changes nothing.
        |asked, _| match asked {
            0 => (keys(&["k2"]), numbered(1)),
            1 => (Vec::new(), numbered(2)),
            _ => (keys(&["k2"]), None),
        },
    ];
    for pages in across_pages {
        all_end_in_protocol(&ORDERED, pages).await;
        let (store, _) = Script::store(&ORDERED, pages);
        let given: Vec<Result<ListItem>> = store.list().stream().collect().await;
        let keys: Vec<&str> = given.iter().flatten().map(|item| &*item.key).collect();
        assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "{keys:?}");
    }
    // The order of the system is what counts, also through a handle that does not offer it.
    let (store, _) = Script::store(&ORDERED, on_one_page[1]);
    assert_eq!(store.restricted_to([&UNORDERED]).list().await.unwrap_err().kind(), ErrorKind::Protocol);
    // Order is by bytes: the greatest of a plane comes before the least of the next.
    let (store, _) = Script::store(&ORDERED, |_, _| (keys(&["k", "k\0", "kA", "ka", "k\u{ffff}", "k\u{10000}"]), None));
    assert_eq!(store.list().stream().count().await, 6);
}

#[tokio::test]
async fn list_2_an_unordered_store_may_repeat_across_pages_and_is_asked_for_each_key_once() {
    let pages: Pages = |asked, _| match asked {
        0 => (keys(&["k2", "k1"]), numbered(0)),
        1 => (keys(&["k1", "k3", "k3"]), numbered(1)),
        _ => (keys(&["k2"]), None),
    };
    let store = || Script::store(&UNORDERED, pages).0;
    assert_eq!(store().list().stream().count().await, 3);
    assert_eq!(store().list().entries().count().await, 3);
    let of_pages = |pages: Vec<Page>| pages.iter().map(|page| page.items.len()).collect::<Vec<_>>();
    assert_eq!(of_pages(store().list().pages().try_collect().await.unwrap()), [2, 1, 0]);
    assert_eq!(of_pages(store().list().allow_repeats().pages().try_collect().await.unwrap()), [2, 2, 1]);
    assert_eq!(store().list().allow_repeats().stream().count().await, 5, "once on each page");
    assert_eq!(store().list().allow_repeats().entries().count().await, 5);
    assert_eq!(store().clear().await.unwrap(), 3, "DEL-3: a key that is listed twice is one entry");
    let page = Script::store(&UNORDERED, |_, _| (keys(&["k2", "k1", "k2"]), None)).0.list().await.unwrap();
    let listed: Vec<&str> = page.items.iter().map(|item| &*item.key).collect();
    assert_eq!(listed, ["k2", "k1"], "a single page, too");
}

#[tokio::test]
async fn list_1_an_ordered_page_with_more_keys_than_the_limit_is_never_passed_on() {
    let pages: Pages = |_, _| (keys(&["k1", "k2", "k3"]), None);
    let store = |capabilities| Script::store(capabilities, pages).0;
    let too_many = [
        store(&ORDERED).list().limit(2).await.unwrap_err(),
        store(&ORDERED).list().limit(2).stream().try_collect::<Vec<_>>().await.unwrap_err(),
        store(&ORDERED).list().limit(2).pages().try_collect::<Vec<_>>().await.unwrap_err(),
        store(&ORDERED).list().limit(2).entries().try_collect::<Vec<_>>().await.unwrap_err(),
    ];
    for error in too_many {
        assert_eq!((error.kind(), error.operation()), (ErrorKind::Protocol, Some("list")), "{error}");
    }
    assert_eq!(store(&ORDERED).list().limit(3).await.unwrap().items.len(), 3);
    assert_eq!(store(&UNORDERED).list().limit(2).await.unwrap().items.len(), 3, "there it is a hint");
}

#[tokio::test]
async fn list_1_a_key_outside_the_prefix_is_never_passed_on() {
    let pages: Pages = |_, _| (keys(&["other"]), None);
    for capabilities in [&ORDERED, &UNORDERED] {
        let store = || Script::store(capabilities, pages).0;
        let of_prefix = store().list().prefix("k").await.unwrap_err();
        let deleted = store().delete_prefix("k").await.unwrap_err();
        let of_handle = store().with_prefix("k").clear().await.unwrap_err();
        for error in [of_prefix, deleted, of_handle] {
            assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
        }
    }
}

#[tokio::test]
async fn list_3_after_an_error_the_pages_go_on_at_the_last_cursor() {
    // The positions count the pages; what is asked for the third time fails.
    let pages: Pages = |asked, position| {
        let at = position.map_or(0, |position| std::str::from_utf8(position).unwrap().parse::<usize>().unwrap());
        let key = if asked == 2 { "outside the prefix".to_owned() } else { format!("k{at}") };
        (vec![key], if at < 4 { numbered(at + 1) } else { None })
    };
    for capabilities in [&ORDERED, &UNORDERED] {
        let (store, script) = Script::store(capabilities, pages);
        let given: Vec<Result<Page>> = store.list().prefix("k").pages().collect().await;
        let [Ok(first), Ok(second), Err(error)] = &*given else { panic!("it ends after the error: {given:?}") };
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert_eq!((&*first.items[0].key, &*second.items[0].key), ("k0", "k1"));
        let cursor: Cursor = second.cursor.as_ref().unwrap().to_string().parse().unwrap();
        let rest: Vec<Page> = store.list().prefix("k").cursor(cursor).pages().try_collect().await.unwrap();
        let keys: Vec<&str> = rest.iter().flatten().map(|item| &*item.key).collect();
        assert_eq!(keys, ["k2", "k3", "k4"]);
        let ends: Vec<bool> = rest.iter().map(|page| page.cursor.is_none()).collect();
        assert_eq!((ends, script.asked()), (vec![false, false, true], 6), "the last page has no cursor");
        // A page asked for alone and one of a walk have the same cursor.
        assert_eq!(store.list().prefix("k").await.unwrap().cursor, first.cursor);
    }
}

#[tokio::test]
async fn list_5_pages_that_begin_at_a_cursor_do_not_come_back_to_it() {
    let (store, script) = Script::store(&UNORDERED, |asked, _| (vec![format!("k{asked}")], numbered(asked % 3)));
    let cursor = store.list().await.unwrap().cursor.unwrap();
    store.list().cursor(cursor).pages().try_collect::<Vec<_>>().await.unwrap_err();
    assert!(script.asked() < 20, "{}", script.asked());
}

#[tokio::test]
async fn ns_3_a_cursor_belongs_to_the_scope_that_the_store_names() {
    let store = |scope| {
        let pages: Pages = |_, position| (keys(&["k1"]), if position.is_none() { numbered(1) } else { None });
        Store::new(Script { capabilities: &UNORDERED, scope, pages, asked: AtomicUsize::new(0) })
    };
    assert_eq!(store("http://one/a").scope_fingerprint(), store("http://one/a").scope_fingerprint());
    let narrow = store("http://one/a").restricted_to([&ORDERED]).allow_best_effort();
    assert_eq!(store("http://one/a").scope_fingerprint(), narrow.scope_fingerprint(), "the same data");
    let cursor: Cursor = store("http://one/a").list().await.unwrap().cursor.unwrap();
    assert!(store("http://one/a").list().cursor(cursor.clone()).await.is_ok(), "another process");
    for other in ["http://one/b", "http://two/a", ""] {
        let error = store(other).list().cursor(cursor.clone()).await.unwrap_err();
        assert_eq!(error.reason(), Some(&kv_api::Reason::CursorInvalid), "{other:?}");
        assert_ne!(store(other).scope_fingerprint(), store("http://one/a").scope_fingerprint());
    }
}
