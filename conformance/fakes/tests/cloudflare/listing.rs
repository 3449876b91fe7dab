//! Pages of keys.

use std::time::Duration;

use kv_fakes::cloudflare::Fake;
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Client, START};

/// `n` entries, `k000` and so on.
async fn filled(client: &Client, n: usize) {
    let items: Vec<_> = (0..n).map(|at| json!({ "key": format!("k{at:04}"), "value": "v" })).collect();
    assert_eq!(client.bulk_write(&Value::from(items)).await.status, 200);
}

fn names(page: &Value) -> Vec<&str> {
    page["result"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
}

/// All names by pages of `limit`, and how many pages there were.
async fn walk(client: &Client, query: &str) -> (Vec<String>, usize) {
    let (mut all, mut pages, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let page = client.get(&format!("/keys?{query}&cursor={}", cursor.replace('+', "%2B"))).await.json();
        pages += 1;
        assert_eq!(page["result_info"]["count"], names(&page).len());
        all.extend(names(&page).into_iter().map(str::to_owned));
        cursor = page["result_info"]["cursor"].as_str().unwrap().to_owned();
        if cursor.is_empty() {
            return (all, pages);
        }
    }
}

#[tokio::test]
async fn pages_until_the_cursor_is_empty() {
    let client = Client::new().await;
    filled(&client, 1001).await;
    assert_eq!(walk(&client, "").await, (client.server.keys(), 2));
    assert_eq!(walk(&client, "limit=1000").await.1, 2);
    assert_eq!(walk(&client, "limit=100").await.1, 11);
    assert_eq!(walk(&client, "limit=10&prefix=k00").await, (client.server.keys()[..100].to_vec(), 10));
    assert_eq!(walk(&client, "prefix=k0000").await, (vec!["k0000".to_owned()], 1));
    assert_eq!(walk(&client, "prefix=nothing").await.0, [""; 0]);
}

#[tokio::test]
async fn refuses_limits_that_are_none() {
    let client = Client::new().await;
    for limit in ["9", "0", "-1", "1001", "abc", "", "1e99", "NaN", "9.99"] {
        assert_eq!(client.get(&format!("/keys?limit={limit}")).await.refusal(), (400, 10001), "{limit}");
    }
    for limit in ["10", "1000", "10.5"] {
        assert_eq!(client.get(&format!("/keys?limit={limit}")).await.status, 200, "{limit}");
    }
}

#[tokio::test]
async fn shows_expiry_and_metadata_where_there_are_any() {
    let client = Client::new().await;
    let items = json!([
        { "key": "a", "value": "v" },
        { "key": "b", "value": "v", "expiration_ttl": 60, "metadata": { "n": 1 } },
        { "key": "c", "value": "v", "metadata": null },
        { "key": "d", "value": "v", "expiration": START + 61 },
    ]);
    client.bulk_write(&items).await.result();
    client.clock.advance(Duration::from_secs(59));
    let expected = json!([
        { "name": "a" },
        { "name": "b", "expiration": START + 60, "metadata": { "n": 1 } },
        { "name": "c", "metadata": null },
        { "name": "d", "expiration": START + 61 },
    ]);
    assert_eq!(client.get("/keys").await.result(), expected);
    client.clock.advance(Duration::from_secs(1));
    assert_eq!(names(&client.get("/keys").await.json()), ["a", "c", "d"]);
}

#[tokio::test]
async fn a_cursor_stays_good_when_its_key_is_gone() {
    let client = Client::new().await;
    filled(&client, 20).await;
    let cursor = client.get("/keys?limit=10").await.json()["result_info"]["cursor"].as_str().unwrap().to_owned();
    client.delete("/values/k0009").await;
    let page = client.get(&format!("/keys?limit=10&cursor={cursor}")).await.json();
    assert_eq!(names(&page)[0], "k0010");
    assert_eq!(client.get("/keys?cursor=%21%21").await.json()["result_info"], json!({ "count": 0, "cursor": "" }));
}

#[tokio::test]
async fn pages_can_be_kept_short() {
    let client = Client::of(Fake::new().with_page_keys_max(3)).await;
    filled(&client, 10).await;
    assert_eq!(walk(&client, "limit=1000").await, (client.server.keys(), 4));
    client.send_json(Method::POST, "/bulk/delete", &json!(client.server.keys())).await.result();
    assert_eq!(walk(&client, "").await.0, [""; 0]);
}
