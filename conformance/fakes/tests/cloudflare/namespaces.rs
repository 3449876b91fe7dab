//! The namespaces of the account.

use kv_fakes::cloudflare::NAMESPACE;
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Client, Reply, send};

async fn ask(client: &Client, method: Method, path: &str, title: Option<&str>) -> Reply {
    let mut request = client.request(method, path);
    if let Some(title) = title {
        request = request.header("content-type", "application/json").body(json!({ "title": title }).to_string());
    }
    send(request).await
}

#[tokio::test]
async fn creates_renames_and_removes() {
    let client = Client::new().await;
    let created = ask(&client, Method::POST, "", Some("first")).await.result();
    let id = created["id"].as_str().unwrap();
    assert_eq!(created, json!({ "id": id, "title": "first", "supports_url_encoding": true }));
    assert!(id.len() == 32 && id != NAMESPACE);
    assert_eq!(ask(&client, Method::GET, &format!("/{id}"), None).await.result(), created);
    assert_eq!(ask(&client, Method::POST, "", Some("first")).await.refusal(), (400, 10014));
    assert_eq!(ask(&client, Method::POST, "", Some("")).await.refusal(), (400, 10019));
    assert_eq!(ask(&client, Method::POST, "", Some(&"t".repeat(513))).await.refusal(), (400, 10019));

    let other = ask(&client, Method::POST, "", Some("second")).await.result()["id"].clone();
    let renamed = ask(&client, Method::PUT, &format!("/{id}"), Some("third")).await.result();
    assert_eq!(renamed["title"], "third");
    assert_eq!(ask(&client, Method::PUT, &format!("/{id}"), Some("third")).await.status, 200);
    assert_eq!(ask(&client, Method::PUT, &format!("/{id}"), Some("second")).await.refusal(), (400, 10014));

    // Nothing of one shows in another.
    let value = format!("/{id}/values/k");
    assert_eq!(send(client.request(Method::PUT, &value).body("v")).await.status, 200);
    assert_eq!(client.get("/values/k").await.refusal(), (404, 10009));
    assert_eq!(client.server.keys(), [""; 0]);

    assert_eq!(ask(&client, Method::DELETE, &format!("/{id}"), None).await.result(), Value::Null);
    for path in [format!("/{id}"), value, format!("/{id}/keys")] {
        assert_eq!(ask(&client, Method::GET, &path, None).await.refusal(), (404, 10013), "{path}");
    }
    let left = ask(&client, Method::GET, "", None).await.result();
    let ids: Vec<_> = left.as_array().unwrap().iter().map(|namespace| &namespace["id"]).collect();
    assert_eq!(ids, [&json!(NAMESPACE), &other]);
}

#[tokio::test]
async fn an_unknown_or_malformed_id_is_no_missing_key() {
    let client = Client::new().await;
    let unknown = "0".repeat(32);
    for path in ["", "/keys", "/values/k", "/metadata/k"] {
        let reply = ask(&client, Method::GET, &format!("/{unknown}{path}"), None).await;
        assert_eq!(reply.refusal(), (404, 10013), "{path}");
        let reply = ask(&client, Method::GET, &format!("/nonsense{path}"), None).await;
        assert_eq!(reply.refusal(), (400, 10011), "{path}");
    }
    let listed = ask(&client, Method::GET, &format!("/{unknown}/keys"), None).await.json();
    assert_eq!(listed["errors"][0]["message"], "list keys: 'namespace not found'");
}

#[tokio::test]
async fn lists_by_pages() {
    let client = Client::new().await;
    for title in ["c", "a", "b"] {
        ask(&client, Method::POST, "", Some(title)).await.result();
    }
    let list = async |query: &str| {
        let page = ask(&client, Method::GET, query, None).await.json();
        let titles: Vec<_> = page["result"]
            .as_array()
            .unwrap()
            .iter()
            .map(|namespace| namespace["title"].as_str().unwrap().to_owned())
            .collect();
        (titles.join(" "), page["result_info"].clone())
    };
    let info = |count: usize, page: usize, per_page: usize, pages: usize| json!({ "count": count, "page": page, "per_page": per_page, "total_count": 4, "total_pages": pages });
    assert_eq!(list("?order=title").await, ("a b c kv-fakes".to_owned(), info(4, 1, 20, 1)));
    assert_eq!(list("?order=title&direction=desc&per_page=3").await, ("kv-fakes c b".to_owned(), info(3, 1, 3, 2)));
    assert_eq!(list("?order=title&per_page=3&page=2").await, ("kv-fakes".to_owned(), info(1, 2, 3, 2)));
    assert_eq!(list("?page=9").await, (String::new(), info(0, 9, 20, 1)));
    for query in ["?page=0", "?per_page=1001", "?per_page=x", "?order=size", "?direction=up"] {
        assert_eq!(ask(&client, Method::GET, query, None).await.status, 400, "{query}");
    }
}
