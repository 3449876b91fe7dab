//! Listings: order, prefixes, pages.

use kv_fakes::Fault;
use serde_json::{Value, json};

use crate::server::{START, Server, bad_request, internal};

async fn filled(count: usize) -> Server {
    let server = Server::new().await;
    let items: Vec<Value> = (0..count)
        .map(|number| match number {
            3..6 => json!({"key": format!("k{number:03}"), "value": number, "expireAt": START - 1}),
            _ => json!({"key": format!("k{number:03}"), "value": number}),
        })
        .collect();
    server.ok("batchPut", json!({"items": items})).await;
    server
}

/// The keys of a whole walk, and how many items each page had.
async fn walk(server: &Server, mut args: Value) -> (Vec<String>, Vec<usize>) {
    let (mut keys, mut sizes) = (Vec::new(), Vec::new());
    args["as"] = json!("keys");
    loop {
        let page = server.ok("list", args.clone()).await;
        let items = page["items"].as_array().unwrap();
        sizes.push(items.len());
        keys.extend(items.iter().map(|key| key.as_str().unwrap().to_owned()));
        assert!(sizes.len() < 1000, "the walk does not end");
        match page.get("cursor") {
            Some(cursor) => args["cursor"] = cursor.clone(),
            None => return (keys, sizes),
        }
    }
}

#[tokio::test]
async fn a_walk_finds_every_key_once_whatever_the_pages() {
    let server = filled(30).await;
    for limit in [json!(1), json!(4), json!("7"), json!(7.9), json!(30), json!(31)] {
        for fill in [false, true] {
            let (keys, sizes) = walk(&server, json!({"limit": limit, "fetchUntilFull": fill, "pattern": "k"})).await;
            assert_eq!(keys, server.fake.keys(), "{limit} {fill}");
            assert!(fill || limit != json!(4) || sizes == [3, 2, 4, 4, 4, 4, 4, 2], "{sizes:?}");
            assert!(!fill || limit != json!(4) || sizes == [4, 4, 4, 4, 4, 4, 3], "{sizes:?}");
        }
    }
    // As many as there are: a cursor, and nothing behind it.
    assert_eq!(walk(&server, json!({"limit": 30})).await.1, [27, 0]);
    assert_eq!(walk(&server, json!({"limit": 31})).await.1, [27]);
}

#[tokio::test]
async fn expired_entries_can_fill_a_page_with_nothing() {
    let server = filled(10).await;
    let page = server.ok("list", json!({"as": "keys", "pattern": "k003", "limit": 1})).await;
    assert!(page["items"] == json!([]) && page["cursor"].is_string(), "{page}");
    let (keys, sizes) = walk(&server, json!({"limit": 1})).await;
    assert_eq!((keys.len(), sizes), (7, vec![1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 0]));
}

#[tokio::test]
async fn filling_a_page_ends_after_ten_pages_of_the_storage() {
    let server = Server::new().await;
    let items: Vec<Value> = (0..40).map(|n| json!({"key": format!("k{n:02}"), "value": n, "expireAt": 5})).collect();
    server.ok("batchPut", json!({"items": items})).await;
    server.set("z", 1).await;
    let args = json!({"as": "keys", "limit": 2, "fetchUntilFull": true});
    assert_eq!(walk(&server, args).await, (vec!["z".to_owned()], vec![0, 0, 1]));
}

#[tokio::test]
async fn a_page_ends_with_a_megabyte() {
    let server = Server::new().await;
    for number in 0..8 {
        server.set(&format!("w{number}"), "v".repeat(400_000)).await;
    }
    assert_eq!(walk(&server, json!({"limit": 8})).await.1, [3, 3, 2]);
    assert_eq!(walk(&server, json!({"limit": 8, "fetchUntilFull": true})).await.1, [8, 0]);
    // A fraction below one is no limit, but still pages.
    assert_eq!(walk(&server, json!({"limit": 0.5})).await.1, [3, 3, 2]);
    // Everything at once is everything.
    assert_eq!(server.list("").await.as_array().unwrap().len(), 8);
    assert_eq!(
        server.ok("list", json!({"as": "keys", "includeTotal": true})).await["items"].as_array().unwrap().len(),
        8
    );
}

#[tokio::test]
async fn keys_are_in_the_order_of_their_bytes() {
    let server = Server::new().await;
    for key in ["😀", "\u{ffee}", "é", "z", "Z", " ", "\0", "a*", "a"] {
        server.set(key, 1).await;
    }
    assert_eq!(server.list("").await, json!(["\0", " ", "Z", "a", "a*", "z", "é", "\u{ffee}", "😀"]));
    for (pattern, expected) in [
        ("a", json!(["a", "a*"])),
        ("a*", json!(["a", "a*"])),
        ("a**", json!(["a*"])),
        ("\u{feff} a\t", json!(["a", "a*"])),
        ("*a", json!([])),
    ] {
        assert_eq!(server.list(pattern).await, expected, "{pattern:?}");
    }
    // A prefix that begins with white space loses it.
    assert_eq!(server.list(" ").await.as_array().unwrap().len(), 9);
}

#[tokio::test]
async fn offset_and_total_count_what_is_there() {
    let server = filled(12).await;
    let page = async |args: Value| {
        let page = server.ok("list", args).await;
        (page["items"].clone(), page.get("cursor").is_some(), page["total"].as_u64())
    };
    let keys = |args: Value| {
        let mut args = args;
        args["as"] = json!("keys");
        page(args)
    };
    assert_eq!(keys(json!({"offset": 2, "limit": 1})).await, (json!(["k002"]), true, None));
    assert_eq!(keys(json!({"offset": 3, "limit": 4})).await, (json!(["k006"]), true, None));
    assert_eq!(keys(json!({"offset": 7})).await, (json!(["k010", "k011"]), false, None));
    assert_eq!(keys(json!({"offset": 9, "limit": 1})).await, (json!([]), false, None));
    assert_eq!(keys(json!({"offset": 5000, "limit": 1})).await, (json!([]), false, None));
    assert_eq!(
        keys(json!({"limit": 1, "includeTotal": true, "pattern": "k00"})).await,
        (json!(["k000"]), true, Some(7))
    );
    assert_eq!(keys(json!({"offset": 0})).await.0.as_array().unwrap().len(), 9);
}

#[tokio::test]
async fn arguments_are_checked() {
    let server = filled(3).await;
    let cursor = server.ok("list", json!({"limit": 1})).await["cursor"].clone();
    for (args, refused) in [
        (json!({"limit": -1}), bad_request("kv: limit must be a positive number")),
        (json!({"limit": [], "offset": -1}), bad_request("kv: limit must be a positive number")),
        (json!({"offset": -1}), bad_request("kv: offset must be a non-negative number")),
        (json!({"offset": "x"}), bad_request("kv: offset must be a non-negative number")),
        (
            json!({"offset": 5000.5, "limit": 1, "as": "x"}),
            bad_request("kv: list \"as\" must be keys, values, or entries"),
        ),
        (json!({"offset": 5001}), bad_request("kv: offset may not exceed 5000")),
        (json!({"offset": 0, "cursor": cursor}), bad_request("kv: cursor and offset cannot be combined")),
        (json!({"fetchUntilFull": true}), bad_request("kv: fetchUntilFull requires limit")),
        (json!({"pattern": ["a"]}), bad_request("kv: pattern must be a string")),
        (json!({"as": 5}), bad_request("kv: list \"as\" must be keys, values, or entries")),
        (json!({"cursor": "???"}), bad_request("invalid kv: cursor")),
        (json!({"cursor": 5}), internal()),
    ] {
        assert_eq!(server.refused("list", args.clone()).await, refused, "{args}");
    }
    assert_eq!(server.refused("list", json!({"cursor": cursor, "pattern": "x"})).await.1, "upstream_bad_request");
    let config = json!({"cursor": cursor, "optConfig": {"appUuid": "x"}});
    assert_eq!(server.refused("list", config).await.1, "upstream_bad_request");
    // Nulls count as left out.
    let nulls = json!({"limit": null, "offset": null, "cursor": null, "pattern": null, "as": null, "reverse": true});
    assert_eq!(server.ok("list", nulls).await.as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn an_empty_page_can_be_ordered() {
    let server = filled(12).await;
    server.fake.inject(Fault::EmptyPage, 1);
    assert_eq!(server.list("").await.as_array().unwrap().len(), 9);
    assert_eq!(server.get("k000").await, json!(0));
    assert_eq!(server.fake.faults_left(), 1);
    server.fake.inject(Fault::EmptyPage, 2);
    let (keys, sizes) = walk(&server, json!({"limit": 6, "pattern": "k"})).await;
    assert_eq!((keys, sizes), (server.fake.keys(), vec![0, 0, 3, 6, 0]));
    let first = server.ok("list", json!({"as": "keys", "limit": 2})).await;
    server.fake.inject(Fault::EmptyPage, 1);
    let (keys, sizes) = walk(&server, json!({"limit": 10, "cursor": first["cursor"]})).await;
    assert_eq!((keys, sizes), (server.fake.keys()[2..].to_vec(), vec![0, 7, 0]));
}

#[tokio::test]
async fn the_first_page_can_come_again_with_a_new_cursor_each_time() {
    let server = filled(12).await;
    server.fake.inject(Fault::FirstPageAgain, 2);
    // Not in place of everything at once.
    assert_eq!(server.list("").await.as_array().unwrap().len(), 9);
    let mut args = json!({"limit": 6, "as": "keys", "pattern": "k"});
    let mut cursors = Vec::new();
    for _ in 0..2 {
        let page = server.ok("list", args.clone()).await;
        assert_eq!(page["items"], json!(["k000", "k001", "k002"]));
        args["cursor"] = page["cursor"].clone();
        cursors.push(page["cursor"].clone());
    }
    assert_ne!(cursors[0], cursors[1]);
    assert_eq!(server.fake.faults_left(), 0);
}

#[tokio::test]
async fn a_stuck_page_has_the_cursor_of_its_request() {
    let server = filled(12).await;
    server.fake.inject(Fault::StuckPage, 2);
    let first = server.ok("list", json!({"limit": 6, "as": "keys"})).await;
    let second = server.ok("list", json!({"limit": 6, "as": "keys", "cursor": first["cursor"]})).await;
    assert_eq!((&first["items"], &first), (&json!([]), &second));
}
