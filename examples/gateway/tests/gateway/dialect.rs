//! The dialect, call by call.

use kv_api::{Capabilities, ValueKind, ValueKinds};
use serde_json::json;

use crate::harness::{BASE, Client, open};

fn form(value: &[u8], metadata: &str) -> (String, Vec<u8>) {
    let mut body = b"--b\r\nContent-Disposition: form-data; name=\"value\"; filename=\"v\"\r\n\r\n".to_vec();
    body.extend_from_slice(value);
    body.extend_from_slice(
        format!("\r\n--b\r\nContent-Disposition: form-data; name=\"metadata\"\r\n\r\n{metadata}\r\n--b--\r\n")
            .as_bytes(),
    );
    ("multipart/form-data; boundary=b".to_owned(), body)
}

#[tokio::test]
async fn a_value_comes_back_as_the_bytes_that_were_sent() {
    let client = Client::on(open("memory:").await);
    for (value, kind) in [
        (&b"plain"[..], "text/plain"),
        (b"", "application/octet-stream"),
        (b"not json", "application/json"),
        (b"\xFF\0\xFE", "application/octet-stream"),
        ("\u{FEFF}é".as_bytes(), "text/plain"),
    ] {
        let written = client.send("PUT", "/n/values/k", &[("content-type", kind)], value).await;
        assert_eq!(written.result(), json!(null));
        let read = client.get("/n/values/k").await;
        assert_eq!((&read.bytes[..], read.header("content-type")), (value, Some("application/octet-stream")));
        assert_eq!(read.header("expiration"), None);
    }
    let head = client.send("HEAD", "/n/values/k", &[], "").await;
    assert_eq!(head.status, 200);
}

#[tokio::test]
async fn a_missing_key_and_a_missing_namespace_are_told_apart() {
    let client = Client::on(open("memory:").await);
    assert_eq!(client.get("/n/values/none").await.refusal(), (404, 10009));
    assert_eq!(client.get("/n/metadata/none").await.refusal(), (404, 10009));
    assert_eq!(client.get("/other/values/none").await.refusal(), (404, 10013));
    assert_eq!(client.get("/00000000000000000000000000000000/keys").await.refusal(), (404, 10013));
    // A delete asks for a state.
    assert_eq!(client.delete("/n/values/none").await.result(), json!(null));
    assert_eq!(client.send_to("GET", "/client/v4/user", &[], "").await.refusal(), (404, 7000));
    let wrong = client.send("PATCH", "/n/values/k", &[], "").await;
    assert_eq!((wrong.refusal(), wrong.header("allow")), ((405, 10405), Some("GET, HEAD, PUT, DELETE")));
}

#[tokio::test]
async fn every_key_is_one_of_its_own() {
    let client = Client::on(open("memory:").await);
    let keys = ["a/b", "a%2Fb", "a+b", "a b", "x/../y", "...", "\0", "?#&=", "é", "values", "%", "bulk"];
    for key in keys {
        let sent = percent_encoding::utf8_percent_encode(key, percent_encoding::NON_ALPHANUMERIC).to_string();
        assert_eq!(client.put(&format!("/n/values/{sent}"), key).await.status, 200, "{key:?}");
    }
    for key in keys {
        let sent = percent_encoding::utf8_percent_encode(key, percent_encoding::NON_ALPHANUMERIC).to_string();
        assert_eq!(client.get(&format!("/n/values/{sent}")).await.bytes, key, "{key:?}");
    }
    let listed = client.get("/n/keys").await.json();
    assert_eq!(listed["result_info"]["count"], keys.len());
    for sent in ["%2E", "%2e%2e", "", "%FF"] {
        assert_eq!(client.delete(&format!("/n/values/{sent}")).await.refusal(), (400, 10001), "{sent}");
    }
    // What a client makes of such keys is no route.
    assert_eq!(client.delete("/n/").await.refusal(), (404, 7000));
}

#[tokio::test]
async fn metadata_stands_beside_the_value() {
    let client = Client::on(open("memory:").await);
    let (kind, body) = form(b"\xFFv", r#"{"n": 1.50, "list": [null]}"#);
    assert_eq!(client.send("PUT", "/n/values/k", &[("content-type", &kind)], body).await.status, 200);
    assert_eq!(&client.get("/n/values/k").await.bytes[..], b"\xFFv");
    assert!(client.get("/n/metadata/k").await.text().contains(r#""result":{"n":1.50,"list":[null]}"#));
    // Every write replaces all of an entry.
    client.put("/n/values/k", "v").await;
    assert_eq!(client.get("/n/metadata/k").await.result(), json!(null));
    let (kind, body) = form(b"v", "{nope");
    let refused = client.send("PUT", "/n/values/k", &[("content-type", &kind)], body).await;
    assert_eq!(refused.refusal(), (400, 10001));
}

/// The official clients send every value as a form.
#[tokio::test]
async fn a_form_holds_a_value_as_long_as_the_store_takes() {
    let client = Client::on(open("memory:?like=cloudflare").await);
    for (bytes, status) in [(26_214_400, 200), (26_214_401, 413)] {
        let (kind, body) = form(&vec![b'v'; bytes], "null");
        let answer = client.send("PUT", "/n/values/k", &[("content-type", &kind)], body).await;
        assert_eq!(answer.status, status, "{bytes}");
    }
    assert_eq!(client.get("/n/values/k").await.bytes.len(), 26_214_400);
}

#[tokio::test]
async fn the_ttl_counts_where_both_forms_are_given() {
    let (client, clock) = Client::with_clock();
    let expiration = async |path: &str| client.get(path).await.header("expiration").map(str::to_owned);
    let put = async |query: &str| client.put(&format!("/n/values/k?{query}"), "v").await;
    for (query, expected) in [
        ("expiration_ttl=100", Some("1795161922")),
        ("expiration_ttl=100.9&expiration=1", Some("1795161922")),
        ("expiration=1795170000", Some("1795170000")),
        ("", None),
    ] {
        assert_eq!(put(query).await.status, 200, "{query}");
        assert_eq!(expiration("/n/values/k").await.as_deref(), expected, "{query}");
    }
    for query in ["expiration_ttl=0", "expiration_ttl=-1", "expiration_ttl=abc", "expiration=1", "expiration=x"] {
        let refused = put(query).await;
        assert_eq!(refused.status, 400, "{query}");
        assert_eq!(refused.refusal(), (400, 10034), "{query}");
    }
    put("expiration_ttl=60").await.result();
    // The second that has begun counts.
    clock.advance(std::time::Duration::from_micros(60_000_000 - 123_456 - 1));
    assert_eq!(client.get("/n/values/k").await.header("expiration"), Some("1795161882"));
    clock.advance(std::time::Duration::from_micros(1));
    assert_eq!(client.get("/n/values/k").await.refusal(), (404, 10009));
    // One that is shorter than the vendor takes is not cut.
    clock.advance(std::time::Duration::from_micros(999_000));
    put("expiration_ttl=1").await.result();
    clock.advance(std::time::Duration::from_micros(999_999));
    assert_eq!(client.get("/n/values/k").await.header("expiration"), Some("1795161883"));
    clock.advance(std::time::Duration::from_micros(1));
    assert_eq!(client.get("/n/values/k").await.refusal(), (404, 10009));
}

#[tokio::test]
async fn a_list_has_pages_with_expiry_and_metadata() {
    let (client, _) = Client::with_clock();
    let items: Vec<_> = (0..25).map(|n| json!({"key": format!("k{n:02}"), "value": "v"})).collect();
    let more = [json!({"key": "m", "value": "v", "expiration_ttl": 60, "metadata": {"a": 1}})];
    client.send("PUT", "/n/bulk", &[], json!([&items[..], &more].concat()).to_string()).await.result();

    let (mut cursor, mut names) = (String::new(), Vec::new());
    loop {
        let page = client.get(&format!("/n/keys?limit=10&prefix=k&cursor={cursor}")).await.json();
        names.extend(page["result"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()));
        cursor = page["result_info"]["cursor"].as_str().unwrap().to_owned();
        if cursor.is_empty() {
            break;
        }
    }
    assert_eq!(names, (0..25).map(|n| format!("k{n:02}")).collect::<Vec<_>>());
    let listed = client.get("/n/keys?prefix=m").await.result();
    assert_eq!(listed, json!([{"name": "m", "expiration": 1_795_161_882, "metadata": {"a": 1}}]));
    for query in ["limit=9", "limit=1001", "limit=x", "cursor=garbage", "prefix=%FF"] {
        assert_eq!(client.get(&format!("/n/keys?{query}")).await.refusal(), (400, 10001), "{query}");
    }
    let page = client.get("/n/keys?limit=10").await.json();
    let cursor = page["result_info"]["cursor"].as_str().unwrap();
    // LIST-3: a cursor belongs to its prefix.
    assert_eq!(client.get(&format!("/n/keys?prefix=x&cursor={cursor}")).await.refusal(), (400, 10001));
}

/// Puter lists neither metadata nor expiry, and neither does Redis.
#[tokio::test]
async fn what_a_list_does_not_report_is_read() {
    let client = Client::on(open("memory:?like=puter").await);
    let item = |n| json!({"key": format!("k{n:02}"), "value": "v", "metadata": {"n": n}});
    let items: Vec<_> = (0..40).map(item).collect();
    assert_eq!(client.send("PUT", "/n/bulk", &[], json!(items).to_string()).await.status, 200);
    let expected: Vec<_> = (0..40).map(|n| json!({"name": format!("k{n:02}"), "metadata": {"n": n}})).collect();
    assert_eq!(client.get("/n/keys").await.result(), json!(expected));
}

#[tokio::test]
async fn bulk_calls_answer_for_each_key() {
    let (client, _) = Client::with_clock();
    let items = json!([
        {"key": "t", "value": "text"},
        {"key": "b", "value": "/wA=", "base64": true},
        {"key": "j", "value": "{\"a\": 1}", "metadata": [1], "expiration_ttl": 60},
        {"key": "t", "value": "text"},
    ]);
    let written = client.send("PUT", "/n/bulk", &[("content-type", "application/json")], items.to_string()).await;
    assert_eq!(written.result(), json!({"successful_key_count": 3, "unsuccessful_keys": []}));
    assert_eq!(&client.get("/n/values/b").await.bytes[..], b"\xFF\0");

    let values = client.post("/n/bulk/get", json!({"keys": ["t", "none", "t", "b"]})).await.result();
    assert_eq!(values, json!({"values": {"t": "text", "none": null, "b": "\u{FFFD}\0"}}));
    let asked = json!({"keys": ["j", "none"], "type": "json", "withMetadata": true});
    let values = client.post("/n/bulk/get", asked).await.result();
    let expected = json!({"value": {"a": 1}, "metadata": [1], "expiration": 1_795_161_882});
    assert_eq!(values, json!({"values": {"j": expected, "none": null}}));
    let not_json = client.post("/n/bulk/get", json!({"keys": ["t"], "type": "json"})).await;
    assert_eq!(not_json.refusal(), (400, 10001));
    assert_eq!(client.post("/n/bulk/get", json!({"keys": []})).await.refusal(), (400, 10029));
    let many: Vec<_> = (0..101).map(|n| n.to_string()).collect();
    assert_eq!(client.post("/n/bulk/get", json!({"keys": many})).await.refusal(), (400, 10012));

    let deleted = client.post("/n/bulk/delete", json!(["t", "none", "t"])).await;
    assert_eq!(deleted.result(), json!({"successful_key_count": 2, "unsuccessful_keys": []}));
    // The older form, which wrangler sends.
    let deleted = client.send("DELETE", "/n/bulk", &[], json!(["b"]).to_string()).await;
    assert_eq!(deleted.result()["successful_key_count"], 1);
    assert_eq!(client.post("/n/bulk/delete", json!([])).await.result()["successful_key_count"], 0);
    assert_eq!(client.get("/n/keys").await.json()["result_info"]["count"], 1);
}

#[tokio::test]
async fn a_bulk_write_with_an_item_that_is_refused_writes_nothing() {
    let client = Client::on(open("memory:?like=cloudflare").await);
    for item in [
        json!({"key": "k".repeat(513), "value": "v"}),
        json!({"key": "k", "value": "v", "expiration_ttl": 59}),
        json!({"key": "k", "value": "v", "metadata": "m".repeat(1023)}),
        json!({"key": "k", "value": 1}),
        json!({"key": "good", "value": "other"}),
    ] {
        // ERR-7: an item that is repeated counts as one of those that were sent.
        let good = json!({"key": "good", "value": "v"});
        let is_duplicate = item["key"] == "good";
        let items = json!([good, good, item]);
        let refused = client.send("PUT", "/n/bulk", &[], items.to_string()).await;
        assert!(refused.status.is_client_error(), "{item}");
        let message = refused.json()["errors"][0]["message"].as_str().unwrap().to_owned();
        assert!(is_duplicate || message.starts_with("2: "), "{message}");
        assert_eq!(client.get("/n/values/good").await.refusal(), (404, 10009), "{item}");
    }
    for body in ["{", "{}", "null", "[1]", ""] {
        assert_eq!(client.send("PUT", "/n/bulk", &[], body).await.refusal(), (400, 10012), "{body}");
        assert_eq!(client.send("POST", "/n/bulk/delete", &[], body).await.refusal(), (400, 10012), "{body}");
    }
}

/// The gateway has no limits of its own but the dialect's of a request: those are the store's.
#[tokio::test]
async fn the_limits_are_those_of_the_store() {
    let key = "k".repeat(513);
    let path = format!("/n/values/{key}");
    let like = Client::on(open("memory:?like=cloudflare").await);
    let refused = like.put(&path, "v").await;
    assert_eq!(refused.refusal(), (414, 10001));
    assert!(refused.text().contains("UTF-8 encoded length of 513 exceeds key length limit of 512."));
    assert_eq!(like.get(&path).await.refusal(), (414, 10001));
    assert_eq!(like.put("/n/values/k?expiration_ttl=59", "v").await.refusal(), (400, 10034));
    assert_eq!(like.put("/n/values/k?expiration_ttl=60", "v").await.status, 200);
    let too_long = like.put("/n/values/k", vec![b'v'; 26_214_401]).await;
    assert_eq!(too_long.refusal(), (413, 10001));
    assert!(too_long.text().contains("Value length of 26214401 exceeds limit of 26214400."));

    let free = Client::on(open("memory:").await);
    assert_eq!(free.put(&path, "v").await.status, 200);
    assert_eq!(free.put("/n/values/k?expiration_ttl=1", "v").await.status, 200);
}

/// CAP-1: what the store cannot do is said, with the capability's name.
#[tokio::test]
async fn what_the_store_cannot_do_is_501_with_its_name() {
    static PLAIN: Capabilities =
        Capabilities::new("plain").with_value_kinds(ValueKinds::NONE.with(ValueKind::Text)).with_key_bytes(1, 512);
    let client = Client::on(open("memory:").await.restricted_to([&PLAIN]));
    let (kind, body) = form(b"v", "{}");
    let path = "/n/values/k";
    let version = [("if-match", "\"v\"")];
    for (answer, name) in [
        (client.send("PUT", path, &[("content-type", &kind)], body).await, "metadata"),
        (client.send("PUT", path, &version, "v").await, "the condition IfVersion"),
        (client.send("DELETE", path, &version, "").await, "the condition IfVersion"),
        (client.send("PUT", path, &[("if-none-match", "*")], "v").await, "the condition IfNotExists"),
        (client.put("/n/values/k?expiration_ttl=60", "v").await, "a relative ttl"),
        (client.put("/n/values/k?expiration=1795170000", "v").await, "an absolute expiry"),
        (client.put(path, &b"\xFF"[..]).await, "a value of kind bytes"),
        (client.get("/n/keys").await, "list"),
    ] {
        assert_eq!(answer.refusal(), (501, 99501), "{name}");
        assert_eq!(answer.header("x-should-retry"), Some("false"), "{name}");
        assert!(answer.text().contains(name), "{name}: {}", answer.text());
    }
    assert_eq!(client.get(path).await.refusal(), (404, 10009));
}

#[tokio::test]
async fn namespaces_can_be_looked_at_and_not_changed() {
    let client = Client::on(open("memory:").await);
    let listed = client.get("").await.json();
    assert_eq!(listed["result"][0]["title"], "n");
    let id = listed["result"][0]["id"].as_str().unwrap().to_owned();
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let info = json!({"count": 1, "page": 1, "per_page": 20, "total_count": 1, "total_pages": 1});
    assert_eq!(listed["result_info"], info);
    assert_eq!(client.get("?page=2&per_page=1&order=id&direction=desc").await.result(), json!([]));
    for query in ["page=0", "per_page=1001", "order=x", "direction=x"] {
        assert_eq!(client.get(&format!("?{query}")).await.refusal(), (400, 10001), "{query}");
    }
    // By its name and by its identifier it is the same one.
    client.put(&format!("/{id}/values/k"), "v").await.result();
    assert_eq!(client.get("/n/values/k").await.bytes, "v");
    assert_eq!(client.get(&format!("/{id}")).await.result()["title"], "n");
    let create = client.post("", json!({"title": "t"})).await;
    for refused in [create, client.put("/n", r#"{"title":"u"}"#).await, client.delete("/n").await] {
        assert_eq!(refused.refusal(), (501, 99501));
    }
    assert_eq!(client.get("/n/values/k").await.bytes, "v");
}

#[tokio::test]
async fn a_body_that_is_compressed_is_refused_and_not_stored() {
    let client = Client::on(open("memory:").await);
    let refused = client.send("PUT", "/n/values/k", &[("content-encoding", "gzip")], "v").await;
    assert_eq!(refused.refusal(), (415, 99415));
    assert_eq!(client.send("PUT", "/n/values/k", &[("content-encoding", "identity")], "v").await.status, 200);
    // As it comes it would be stored compressed, too.
    let refused = client.send("PUT", "/n/values/k", &[("transfer-encoding", "gzip, chunked")], "v").await;
    assert_eq!(refused.refusal(), (415, 99415));
    assert_eq!(client.send("PUT", "/n/values/k", &[("transfer-encoding", "Chunked")], "v").await.status, 200);
    // An absolute address is the same one.
    let path = format!("http://localhost{BASE}/n/values/k");
    assert_eq!(client.send_to("GET", &path, &[], "").await.bytes, "v");
}
