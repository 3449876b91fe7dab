//! Listings: whatever the pages look like, a walk by the cursor finds every name.

use std::collections::BTreeSet;

use kv_fakes::Fault;
use kv_fakes::backendless::{Cursors, Pages, Switches};
use serde_json::{Map, Value, json};

use crate::application::Application;

struct Page {
    keys: Vec<String>,
    cursor: String,
}

async fn page(application: &Application, query: &str) -> Page {
    let page = application.ok("GET", &format!("/keys?{query}"), None).await.unwrap();
    Page {
        keys: serde_json::from_value(page["keys"].clone()).unwrap(),
        cursor: page["cursor"].as_str().unwrap().to_owned(),
    }
}

/// The pages of a whole walk.
async fn walk(application: &Application, query: &str) -> Vec<Page> {
    let mut pages: Vec<Page> = Vec::new();
    loop {
        let cursor = pages.last().map_or("0", |page| page.cursor.as_str());
        let page = page(application, &format!("cursor={cursor}&{query}")).await;
        assert!(page.cursor == "0" || page.cursor != cursor);
        pages.push(page);
        if pages.last().is_some_and(|page| page.cursor == "0") {
            return pages;
        }
        assert!(pages.len() < 10_000, "the walk does not end");
    }
}

fn names(pages: &[Page]) -> Vec<String> {
    pages.iter().flat_map(|page| page.keys.clone()).collect()
}

fn set_of(names: Vec<String>) -> BTreeSet<String> {
    names.into_iter().collect()
}

async fn filled(switches: Switches) -> Application {
    let application = Application::with(switches).await;
    let entries: Map<String, Value> = (0..50).map(|number| (format!("user:{number:02}"), json!(number))).collect();
    application.ok("PUT", "", Value::Object(entries)).await;
    application.ok("PUT", "", json!({"other": 1, "user*": 2, "user[1]": 3})).await;
    application
}

#[tokio::test]
async fn even_pages_hold_what_was_asked_for_in_no_order() {
    let application = filled(Switches::default()).await;
    let pages = walk(&application, "pageSize=10").await;
    assert_eq!(pages.iter().map(|page| page.keys.len()).collect::<Vec<_>>(), [10, 10, 10, 10, 10, 3]);
    let mut names = names(&pages);
    assert!(!names.is_sorted());
    names.sort();
    assert_eq!(names, application.server.keys());
    // No pattern and no page size: everything at once.
    assert_eq!(page(&application, "").await.keys.len(), 53);
    // As many as there are: no further page.
    assert_eq!(walk(&application, "pageSize=53").await.len(), 1);
}

#[tokio::test]
async fn patterns_choose_names() {
    for pages in [Pages::Even, Pages::Uneven] {
        let application = filled(Switches { pages, ..Switches::default() }).await;
        for (pattern, count) in [
            ("*", 53),
            ("user:*", 50),
            ("user:4?", 10),
            ("user:[0-1][^0-8]", 2),
            ("user%5C*", 1),
            ("user%5C[1%5C]", 1),
            ("user[1]", 0),
            ("user*", 52),
            ("user:07", 1),
        ] {
            let found = set_of(names(&walk(&application, &format!("filterPattern={pattern}&pageSize=4")).await));
            assert_eq!(found.len(), count, "{pattern}");
        }
    }
}

#[tokio::test]
async fn uneven_pages_show_everything_a_caller_has_to_reckon_with() {
    let application = filled(Switches { pages: Pages::Uneven, ..Switches::default() }).await;
    let pages = walk(&application, "pageSize=5").await;
    let names = names(&pages);
    assert_eq!(set_of(names.clone()).into_iter().collect::<Vec<_>>(), application.server.keys());
    let lengths: BTreeSet<usize> = pages.iter().map(|page| set_of(page.keys.clone()).len()).collect();
    // One more than asked for, and the repeated one.
    assert!(lengths.contains(&0) && lengths.contains(&7), "{lengths:?}");
    assert!(lengths.iter().any(|length| (1..5).contains(length)), "{lengths:?}");
    assert!(pages[0].keys.is_empty() && pages[pages.len() - 1].keys.is_empty());
    assert!(pages.iter().any(|page| set_of(page.keys.clone()).len() < page.keys.len()), "no name repeats on a page");
    let repeated = pages.windows(3).any(|pages| pages[0].keys.iter().any(|key| pages[2].keys.contains(key)));
    assert!(repeated, "no name repeats on a later page");
    // The smallest page ends too.
    assert_eq!(set_of(self::names(&walk(&application, "pageSize=1").await)).len(), 53);
}

#[tokio::test]
async fn large_cursors_are_beyond_doubles_and_signed_integers() {
    for pages in [Pages::Even, Pages::Uneven] {
        let application = filled(Switches { pages, cursors: Cursors::Large, ..Switches::default() }).await;
        let pages = walk(&application, "pageSize=7").await;
        assert_eq!(set_of(names(&pages)).len(), 53);
        for page in &pages[..pages.len() - 1] {
            assert!(page.cursor.parse::<i64>().is_err() && page.cursor.parse::<u64>().is_ok(), "{}", page.cursor);
        }
    }
    // By default they fit, as the official JavaScript client needs.
    let application = filled(Switches::default()).await;
    for page in walk(&application, "pageSize=7").await {
        assert!(page.cursor.parse::<u64>().unwrap() < 1 << 53, "{}", page.cursor);
    }
}

#[tokio::test]
async fn a_name_that_stays_is_found_whatever_happens_to_others() {
    for pages in [Pages::Even, Pages::Uneven] {
        let application = filled(Switches { pages, ..Switches::default() }).await;
        let mut found = BTreeSet::new();
        let mut cursor = "0".to_owned();
        for round in 0.. {
            let page = page(&application, &format!("cursor={cursor}&pageSize=3&filterPattern=user:*")).await;
            found.extend(page.keys);
            cursor = page.cursor;
            if cursor == "0" {
                break;
            }
            let gone: Vec<String> = found.iter().filter(|key| key.ends_with('5')).cloned().collect();
            application.ok("DELETE", "", json!(gone)).await;
            application.ok("PUT", "", json!({ format!("user:new{round}"): 1 })).await;
        }
        let stayed: BTreeSet<String> =
            (0..50).filter(|number| number % 10 != 5).map(|number| format!("user:{number:02}")).collect();
        assert!(found.is_superset(&stayed), "{:?}", stayed.difference(&found).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn what_is_no_listing_is_refused() {
    let application = Application::new().await;
    for query in [
        "cursor=x",
        "cursor=-1",
        "cursor=1.5",
        "cursor=1e3",
        "cursor=18446744073709551616",
        "cursor=",
        "pageSize=0",
        "pageSize=-1",
        "pageSize=x",
    ] {
        assert_eq!(application.error("GET", &format!("/keys?{query}"), None).await.0, 400, "{query}");
    }
}

#[tokio::test]
async fn an_empty_page_can_be_ordered_and_goes_on_from_the_same_place() {
    for cursors in [Cursors::Small, Cursors::Large] {
        let application = filled(Switches { cursors, ..Switches::default() }).await;
        application.server.inject(Fault::EmptyPage, 3);
        // Not of a read.
        application.ok("GET", "/other", None).await;
        assert_eq!(application.server.faults_left(), 3);
        let pages = walk(&application, "pageSize=20").await;
        assert_eq!(pages.iter().map(|page| page.keys.len()).collect::<Vec<_>>(), [0, 0, 0, 20, 20, 13]);
    }
}

#[tokio::test]
async fn the_first_page_can_come_again_with_a_new_cursor_each_time() {
    for cursors in [Cursors::Small, Cursors::Large] {
        let application = filled(Switches { cursors, ..Switches::default() }).await;
        let first = page(&application, "pageSize=20").await.keys;
        application.server.inject(Fault::FirstPageAgain, 3);
        let pages = walk(&application, "pageSize=20").await;
        assert!(pages[..4].iter().all(|page| page.keys == first));
        assert!(pages[..3].is_sorted_by(|page, next| page.cursor < next.cursor), "each cursor is another");
        assert_eq!(pages.len(), 6);
    }
}

#[tokio::test]
async fn a_stuck_page_has_the_cursor_of_its_request() {
    for cursors in [Cursors::Small, Cursors::Large] {
        let application = filled(Switches { cursors, ..Switches::default() }).await;
        let first = page(&application, "pageSize=20").await;
        application.server.inject(Fault::StuckPage, 3);
        let stuck = page(&application, "cursor=0").await;
        assert_ne!(stuck.cursor, "0");
        for cursor in [stuck.cursor, first.cursor] {
            let stuck = page(&application, &format!("cursor={cursor}")).await;
            assert_eq!((stuck.keys.len(), stuck.cursor), (0, cursor));
        }
    }
}
