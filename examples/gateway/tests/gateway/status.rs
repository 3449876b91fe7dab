//! The status page.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt;
use kv_api::Store;
use kv_gateway::{Gateway, Namespace};
use kv_memory::MemoryStore;
use serde_json::json;

use crate::harness::{Answer, BOTH_OF_A, Client, READER, WRITER, guarded, namespace, open, tokens};

async fn page_as(client: &Client, token: &str, path: &str) -> Answer {
    let basic = format!("Basic {}", STANDARD.encode(format!("anybody:{token}")));
    client.send_to("GET", path, &[("authorization", &basic)], "").await
}

#[tokio::test]
async fn what_comes_from_stores_is_escaped() {
    let store = open("memory:").await;
    let script = "<script>alert(1)</script>\"'&";
    store.set(script, script).metadata(json!({"m": script})).await.unwrap();
    store.set("control\u{1b}[31m\u{202e}", "v").await.unwrap();
    let client = Client::on(store);
    let key = percent_encoding::utf8_percent_encode(script, percent_encoding::NON_ALPHANUMERIC);
    for path in [
        "/".to_owned(),
        "/keys?namespace=n".to_owned(),
        format!("/keys?namespace=n&key={key}"),
        format!("/keys?namespace=n&prefix={key}"),
        format!("/keys?namespace={key}"),
        format!("/keys?namespace=n&cursor={key}"),
    ] {
        let page = client.send_to("GET", &path, &[], "").await;
        assert!(!page.text().contains("<script") && !page.text().contains("\"'&"), "{path}: {}", page.text());
        assert!(!page.text().contains('\u{1b}') && !page.text().contains('\u{202e}'));
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none';") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(page.header("cache-control"), Some("no-store"));
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    }
    let style = client.send_to("GET", "/style.css", &[], "").await;
    assert_eq!(style.header("content-type"), Some("text/css; charset=utf-8"));
}

#[tokio::test]
async fn what_a_client_leaves_and_what_a_person_looks_at_are_recorded() {
    let client = Client::on(open("memory:").await);
    let body =
        axum::body::Body::from_stream(futures_util::stream::pending::<Result<axum::body::Bytes, std::io::Error>>());
    let put = client.send("PUT", "/n/values/k", &[], body);
    assert!(put.now_or_never().is_none());
    client.send_to("GET", "/keys?namespace=n", &[], "").await;
    let page = client.send_to("GET", "/", &[], "").await;
    assert!(page.text().contains("reads 1, writes 1, refused 1, failed 0"), "{}", page.text());
    assert!(page.text().contains("499") && page.text().contains("look at keys"), "{}", page.text());
}

#[tokio::test]
async fn a_page_shows_what_the_token_allows() {
    let client = Client::of(&guarded().await);
    let unknown = client.send_to("GET", "/", &[], "").await;
    assert_eq!(unknown.status, 401);
    assert!(unknown.header("www-authenticate").unwrap().starts_with("Basic "));
    assert!(!unknown.text().contains("memory"));
    // A bearer token is for calls: a browser does not send one.
    let bearer = format!("Bearer {READER}");
    assert_eq!(client.send_to("GET", "/", &[("authorization", &bearer)], "").await.status, 401);
    // And what a browser sends by itself is not for calls.
    let basic = format!("Basic {}", STANDARD.encode(format!(":{BOTH_OF_A}")));
    assert_eq!(client.send("DELETE", "/a/values/k", &[("authorization", &basic)], "").await.status, 401);

    let cards = |page: &Answer| page.text().matches("<section").count();
    assert_eq!(cards(&page_as(&client, READER, "/").await), 2);
    assert_eq!(cards(&page_as(&client, BOTH_OF_A, "/").await), 1);
    for (token, path, status) in [
        (READER, "/keys?namespace=b", 200),
        (BOTH_OF_A, "/keys?namespace=a", 200),
        (BOTH_OF_A, "/keys?namespace=b", 403),
        (BOTH_OF_A, "/keys?namespace=none", 403),
        (READER, "/keys?namespace=none", 404),
        (READER, "/keys?namespace=a&key=none", 404),
        (WRITER, "/keys?namespace=a", 403),
    ] {
        assert_eq!(page_as(&client, token, path).await.status, status, "{token} {path}");
    }
}

#[tokio::test]
async fn the_latest_calls_are_shown_without_keys() {
    let a = Store::new(MemoryStore::default());
    let shown = Namespace::new("a", a, "redis://...@db.example/...").unwrap();
    let b = namespace("b", open("memory:").await);
    let client = Client::of(&Gateway::builder([shown, b], tokens()).build().unwrap());
    for (token, path) in [(BOTH_OF_A, "/a/values/hunter2"), (READER, "/b/values/hunter2")] {
        let bearer = format!("Bearer {token}");
        client.send("GET", path, &[("authorization", &bearer)], "").await;
    }
    let page = page_as(&client, READER, "/").await;
    assert!(page.text().contains("reads 1, writes 0, refused 0, failed 0"), "{}", page.text());
    assert!(page.text().contains("redis://...@db.example/...") && !page.text().contains("hunter2"));
    let calls = |page: &Answer| page.text().matches(">404</td>").count();
    assert_eq!((calls(&page), calls(&page_as(&client, BOTH_OF_A, "/").await)), (2, 1));
}

#[tokio::test]
async fn keys_come_in_pages_and_values_in_part() {
    let store = open("memory:").await;
    for n in 0..150 {
        store.set(format!("k{n:03}"), "v").await.unwrap();
    }
    store.set("long", "é".repeat(20_000)).await.unwrap();
    store.set("bytes", b"\xFF\x00".to_vec()).await.unwrap();
    store.set("empty", "").await.unwrap();
    let client = Client::on(store);
    let first = client.send_to("GET", "/keys?namespace=n&prefix=k", &[], "").await;
    assert!(first.text().contains(">k099</a>") && !first.text().contains(">k100</a>"));
    let (_, link) = first.text().split_once("<a rel=\"next\" href=\"").unwrap();
    let link = link.split_once('"').unwrap().0.replace("&amp;", "&");
    let second = client.send_to("GET", &link, &[], "").await;
    assert!(second.text().contains(">k149</a>") && !second.text().contains("rel=\"next\""));
    let long = client.send_to("GET", "/keys?namespace=n&key=long", &[], "").await;
    assert_eq!(long.text().matches('é').count(), 8192);
    let bytes = client.send_to("GET", "/keys?namespace=n&key=bytes", &[], "").await;
    assert!(bytes.text().contains("ff 00 ") && bytes.text().contains("bytes, 2 bytes"), "{}", bytes.text());
    let empty = client.send_to("GET", "/keys?namespace=n&key=empty", &[], "").await;
    assert!(empty.text().contains("The value is empty.") && !empty.text().contains("<pre"), "{}", empty.text());
    let one = client.send_to("GET", "/keys?namespace=n&key=k000", &[], "").await;
    assert!(one.text().contains(", 1 byte<"), "{}", one.text());
}
