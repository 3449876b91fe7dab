//! One entry: write, read, metadata, delete, expiry, and who may ask.

use std::time::Duration;

use kv_fakes::cloudflare::{ACCOUNT, EMAIL, Fake, GLOBAL_KEY, NAMESPACE, Refusals, TOKEN};
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::client::{Client, Reply, START, send};

#[tokio::test]
async fn keeps_bytes_whatever_type_they_call_themselves() {
    let client = Client::new().await;
    for content_type in ["application/json", "text/plain;charset=UTF-8", "image/png", "multipart/mixed; boundary=b"] {
        let request = client.inside(Method::PUT, "/values/k").header("content-type", content_type);
        assert_eq!(send(request.body(vec![0, 255, 13, 10])).await.result(), Value::Null);
        let read = client.get("/values/k").await;
        assert_eq!(
            (read.body.as_slice(), read.header("content-type")),
            (&[0, 255, 13, 10][..], Some("application/octet-stream"))
        );
        assert_eq!(read.header("expiration"), None);
    }
    assert_eq!(client.put("/values/k", "").await.result(), Value::Null);
    assert_eq!(client.value("k").await, b"");
}

#[tokio::test]
async fn every_key_is_its_own() {
    let client = Client::new().await;
    let keys = [
        ("a%2Fb", "a/b"),
        ("a%252Fb", "a%2Fb"),
        ("50%25", "50%"),
        ("%3F", "?"),
        ("%23", "#"),
        ("%09", "\t"),
        ("%0A", "\n"),
        ("%00", "\0"),
        ("p%2Bq", "p+q"),
        ("p+q%20", "p+q "),
        ("keys", "keys"),
        ("...", "..."),
        ("%2e%2e%2Fx", "../x"),
        ("%F0%9F%98%80", "😀"),
        ("%22%5C", "\"\\"),
        ("bulk", "bulk"),
    ];
    for (at, (segment, _)) in keys.iter().enumerate() {
        assert_eq!(client.put(&format!("/values/{segment}"), at.to_string()).await.status, 200, "{segment}");
    }
    let mut names: Vec<_> = keys.iter().map(|(_, name)| *name).collect();
    names.sort_unstable();
    assert_eq!(client.server.keys(), names);
    for (at, (segment, _)) in keys.iter().enumerate() {
        assert_eq!(client.value(segment).await, at.to_string().as_bytes(), "{segment}");
        assert_eq!(client.delete(&format!("/values/{segment}")).await.status, 200);
    }
    assert_eq!(client.server.keys(), [""; 0]);
}

/// What the URL rules make of such keys is one slash away from a request for the namespace itself.
#[tokio::test]
async fn a_dangerous_key_reaches_nothing() {
    let client = Client::new().await;
    client.put("/values/k", "v").await;
    for segment in ["", ".", "..", "%2E", "%2E%2E", "%2e.", "a/b"] {
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            let reply = send(client.inside(method.clone(), &format!("/values/{segment}"))).await;
            assert_eq!(reply.refusal(), (404, 7003), "{method} {segment}");
        }
    }
    assert_eq!(client.server.keys(), ["k"]);
    assert_eq!(client.put("/values/%zz", "v").await.refusal(), (400, 10001));
    assert_eq!(client.put("/values/%ff", "v").await.refusal(), (400, 10001));
}

#[tokio::test]
async fn a_key_has_512_bytes_at_most() {
    let client = Client::new().await;
    let (long, longer) = ("é".repeat(256).replace('é', "%C3%A9"), "%C3%A9".repeat(257));
    assert_eq!(client.put(&format!("/values/{long}"), "v").await.status, 200);
    assert_eq!(client.value(&long).await, b"v");
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        assert_eq!(send(client.inside(method, &format!("/values/{longer}"))).await.refusal(), (414, 10001));
    }
    assert_eq!(client.get(&format!("/metadata/{longer}")).await.status, 414);
    assert_eq!(client.get(&format!("/keys?prefix={longer}")).await.status, 414);
}

#[tokio::test]
async fn a_value_has_25_mib_at_most() {
    let client = Client::new().await;
    let value = vec![7; 26_214_400];
    assert_eq!(client.put("/values/k", value.clone()).await.status, 200);
    assert_eq!(client.value("k").await, value);
    let mut longer = value;
    longer.push(7);
    assert_eq!(client.put("/values/other", longer).await.refusal(), (413, 10001));
    assert_eq!(client.server.keys(), ["k"]);
}

#[tokio::test]
async fn a_form_carries_metadata() {
    let client = Client::new().await;
    let bytes = || Part::bytes(vec![0, 255]).file_name("value");
    let write = |form: Form| send(client.inside(Method::PUT, "/values/k").multipart(form));
    assert_eq!(
        write(Form::new().part("value", bytes()).text("metadata", r#"{"a": [1, "ü"]}"#)).await.result(),
        Value::Null
    );
    assert_eq!(client.value("k").await, [0, 255]);
    assert_eq!(client.get("/metadata/k").await.result(), json!({ "a": [1, "ü"] }));
    // In the other order, and any JSON.
    for metadata in [json!("text"), json!(7), json!(true), json!([null])] {
        write(Form::new().text("metadata", metadata.to_string()).part("value", bytes())).await.result();
        assert_eq!(client.get("/metadata/k").await.result(), metadata);
        assert_eq!(client.get("/keys").await.result(), json!([{ "name": "k", "metadata": metadata }]));
    }
    // Null reads as no metadata, and is listed all the same.
    write(Form::new().part("value", bytes()).text("metadata", "null")).await.result();
    assert_eq!(client.get("/metadata/k").await.result(), Value::Null);
    assert_eq!(client.get("/keys").await.result(), json!([{ "name": "k", "metadata": null }]));
    // A part without a file name is text.
    write(Form::new().part("value", Part::bytes(vec![b'a', 255, b'b']))).await.result();
    assert_eq!(client.value("k").await, "a\u{fffd}b".as_bytes());
    // What is refused changes nothing.
    assert_eq!(write(Form::new().text("metadata", "{}")).await.refusal(), (400, 10001));
    assert_eq!(write(Form::new().part("value", bytes()).text("metadata", "{nope")).await.refusal(), (400, 10001));
    let broken = client.inside(Method::PUT, "/values/k").header("content-type", "multipart/form-data");
    assert_eq!(send(broken.body("x")).await.refusal(), (400, 10001));
    assert_eq!(client.value("k").await, "a\u{fffd}b".as_bytes());
}

#[tokio::test]
async fn metadata_has_1024_bytes_of_compact_json() {
    let client = Client::new().await;
    let write = |metadata: String| {
        let form = Form::new().part("value", Part::text("v")).text("metadata", metadata);
        send(client.inside(Method::PUT, "/values/k").multipart(form))
    };
    assert_eq!(write(format!("[ \"{}\" ]", "é".repeat(510))).await.status, 200);
    assert_eq!(write(format!("[\"{}a\"]", "é".repeat(510))).await.refusal(), (413, 10001));
}

#[tokio::test]
async fn a_write_replaces_everything() {
    let client = Client::new().await;
    let form = Form::new().part("value", Part::text("v")).text("metadata", "1");
    send(client.inside(Method::PUT, "/values/k?expiration_ttl=60").multipart(form)).await.result();
    assert_eq!(client.get("/keys").await.result(), json!([{ "name": "k", "expiration": START + 60, "metadata": 1 }]));
    client.put("/values/k", "w").await;
    assert_eq!(client.get("/keys").await.result(), json!([{ "name": "k" }]));
    assert_eq!(client.get("/values/k").await.header("expiration"), None);
}

#[tokio::test]
async fn ttl_wins_and_both_need_60_seconds() {
    let client = Client::new().await;
    let expiration = async |query: &str| {
        let reply = client.put(&format!("/values/k?{query}"), "v").await;
        assert_eq!(reply.status, 200, "{query}");
        client.get("/values/k").await.header("expiration").map(|second| second.parse::<i64>().unwrap() - START)
    };
    assert_eq!(expiration("expiration_ttl=60").await, Some(60));
    assert_eq!(expiration("expiration_ttl=60.9").await, Some(60));
    assert_eq!(expiration(&format!("expiration={}", START + 60)).await, Some(60));
    assert_eq!(expiration(&format!("expiration={}&expiration_ttl=300", START + 9000)).await, Some(300));
    assert_eq!(expiration("expiration=1&expiration_ttl=300").await, Some(300));
    assert_eq!(expiration("expiration=nonsense&expiration_ttl=300").await, Some(300));
    for query in [
        "expiration_ttl=59".to_owned(),
        "expiration_ttl=0".to_owned(),
        "expiration_ttl=x".to_owned(),
        format!("expiration={}", START + 59),
        format!("expiration={START}"),
        format!("expiration_ttl=59&expiration={}", START + 600),
    ] {
        assert_eq!(client.put(&format!("/values/k?{query}"), "w").await.refusal(), (400, 10034), "{query}");
    }
    assert_eq!(client.value("k").await, b"v");
    // Never in the body: there it is a field that nobody reads.
    let form = Form::new().part("value", Part::text("v")).text("expiration_ttl", "60");
    send(client.inside(Method::PUT, "/values/k").multipart(form)).await.result();
    assert_eq!(client.get("/values/k").await.header("expiration"), None);
}

#[tokio::test]
async fn what_has_expired_is_gone_everywhere() {
    let client = Client::new().await;
    client.put("/values/k?expiration_ttl=60", "v").await;
    client.clock.advance(Duration::from_micros(59_999_999));
    assert_eq!(client.value("k").await, b"v");
    client.clock.advance(Duration::from_micros(1));
    assert_eq!(client.get("/values/k").await.refusal(), (404, 10009));
    assert_eq!(client.get("/metadata/k").await.refusal(), (404, 10009));
    assert_eq!(client.get("/keys").await.result(), json!([]));
    assert_eq!(client.bulk_get(&json!({ "keys": ["k"] })).await.result(), json!({ "values": { "k": null } }));
    assert_eq!(client.server.keys(), [""; 0]);
}

#[tokio::test]
async fn deletes_what_is_not_there() {
    let client = Client::new().await;
    client.put("/values/k", "v").await;
    for _ in 0..2 {
        assert_eq!(client.delete("/values/k").await.result(), Value::Null);
        assert_eq!(client.get("/values/k").await.refusal(), (404, 10009));
    }
}

#[tokio::test]
async fn lets_in_who_shows_credentials() {
    let client = Client::new().await;
    let path = format!("/accounts/{ACCOUNT}/storage/kv/namespaces/{NAMESPACE}/values/k");
    let ask = || client.foreign(Method::GET, &path);
    let found = (404, 10009);
    assert_eq!(send(ask().bearer_auth(TOKEN)).await.refusal(), found);
    assert_eq!(send(ask().header("x-auth-email", EMAIL).header("x-auth-key", GLOBAL_KEY)).await.refusal(), found);
    for refused in [
        ask(),
        ask().bearer_auth("another"),
        ask().header("x-auth-email", EMAIL),
        ask().header("x-auth-key", GLOBAL_KEY),
        ask().header("x-auth-email", "other@example.com").header("x-auth-key", GLOBAL_KEY),
        ask().header("x-auth-email", EMAIL).header("x-auth-key", "other"),
        client.foreign(Method::GET, &path.replace(ACCOUNT, &"1".repeat(32))).bearer_auth(TOKEN),
    ] {
        assert_eq!(send(refused).await.refusal(), (403, 10000));
    }
    let malformed = send(ask().header("authorization", TOKEN)).await;
    assert_eq!(malformed.refusal(), (400, 6003));
    assert_eq!(malformed.json()["errors"][0]["error_chain"][0]["code"], 6111);
    assert_eq!(send(client.foreign(Method::GET, &path.replace(ACCOUNT, "me")).bearer_auth(TOKEN)).await.status, 404);
}

#[tokio::test]
async fn every_answer_says_how_much_is_left() {
    let client = Client::new().await;
    for reply in [client.get("/values/none").await, client.put("/values/k", "v").await, client.get("/values/k").await] {
        assert_eq!(reply.header("ratelimit"), Some("\"default\";r=1200;t=300"));
        assert_eq!(reply.header("ratelimit-policy"), Some("\"default\";q=1200;w=300"));
        assert_eq!(reply.header("retry-after"), None);
    }
}

#[tokio::test]
async fn knows_its_routes_and_methods() {
    let client = Client::new().await;
    for (method, path) in [
        (Method::POST, "/values/k"),
        (Method::HEAD, "/values/k"),
        (Method::PUT, "/metadata/k"),
        (Method::PUT, "/keys"),
        (Method::GET, "/bulk"),
        (Method::GET, "/bulk/get"),
        (Method::PUT, "/bulk/delete"),
        (Method::POST, "/bulk"),
    ] {
        assert_eq!(send(client.inside(method.clone(), path)).await.status, 405, "{method} {path}");
    }
    assert_eq!(
        send(client.foreign(Method::GET, "/user/tokens/verify").bearer_auth(TOKEN)).await.refusal(),
        (404, 7003)
    );
}

/// What was sent as metadata, and what a program in JavaScript that reads and writes it makes of it. All of it was seen
/// on the local implementation.
const METADATA: &[(&str, &str)] = &[
    (r#"{"z":1,"a":{"y":[],"b":{}}}"#, r#"{"z":1,"a":{"y":[],"b":{}}}"#),
    (r#"{ "b" : 1.50, "a" : "\u00e9\/" }"#, r#"{"b":1.5,"a":"é/"}"#),
    (r#"{"z":1.0,"10":1e3,"2":-0,"n":9007199254740993}"#, r#"{"2":0,"10":1000,"z":1,"n":9007199254740992}"#),
    ("123456789012345678901234567890", "1.2345678901234568e+29"),
    (r#"[1e20,1e21,1e-6,1e-7,1e400]"#, "[100000000000000000000,1e+21,0.000001,1e-7,null]"),
    (r#"{"a":1,"b":2,"a":3}"#, r#"{"a":3,"b":2}"#),
    (
        r#"{"$serde_json::private::RawValue":"{\"admin\":true}"}"#,
        r#"{"$serde_json::private::RawValue":"{\"admin\":true}"}"#,
    ),
    (r#"{"$serde_json::private::RawValue":":5"}"#, r#"{"$serde_json::private::RawValue":":5"}"#),
    (r#"{"$serde_json::private::Number":"1e999"}"#, r#"{"$serde_json::private::Number":"1e999"}"#),
    ("null", "null"),
];

#[tokio::test]
async fn metadata_is_what_javascript_makes_of_it_text_by_text() {
    let client = Client::new().await;
    for (sent, kept) in METADATA {
        let form = Form::new().text("metadata", (*sent).to_owned()).part("value", Part::text("v"));
        send(client.inside(Method::PUT, "/values/k").multipart(form)).await.result();
        let bulk = client.inside(Method::PUT, "/bulk").header("content-type", "application/json");
        send(bulk.body(format!(r#"[{{"key":"l","value":"v","metadata":{sent}}}]"#))).await.result();
        let listed = format!(r#"[{{"name":"k","metadata":{kept}}},{{"name":"l","metadata":{kept}}}]"#);
        assert!(text(client.get("/keys").await).contains(&format!(r#""result":{listed},"#)), "{sent}");
        for path in ["/metadata/k", "/metadata/l"] {
            assert!(text(client.get(path).await).ends_with(&format!(r#""result":{kept}}}"#)), "{path} {sent}");
        }
        let got = text(client.bulk_get(&json!({ "keys": ["k"], "withMetadata": true })).await);
        assert!(got.contains(&format!(r#"{{"value":"v","metadata":{kept}}}"#)), "{sent}: {got}");
        // The same as a value that is asked for as JSON.
        client.put("/values/k", *sent).await.result();
        let got = text(client.bulk_get(&json!({ "keys": ["k"], "type": "json" })).await);
        assert!(got.ends_with(&format!(r#""result":{{"values":{{"k":{kept}}}}}}}"#)), "{sent}: {got}");
    }
}

fn text(reply: Reply) -> String {
    assert_eq!(reply.status, 200);
    String::from_utf8(reply.body).unwrap()
}

#[tokio::test]
async fn refusals_are_those_of_production_or_of_the_local_implementation() {
    let (production, local) = (Client::new().await, Client::of(Fake::new().with_refusals(Refusals::Local)).await);
    for (query, code, text, local_text) in [
        (
            "expiration_ttl=59",
            10034,
            "Invalid expiration_ttl of 59. Expiration TTL must be at least 60.",
            "0.expiration_ttl: Too small: expected number to be >=60",
        ),
        (
            "expiration=1",
            10034,
            "Invalid expiration of 1. Please specify integer greater than the current number of seconds since the UNIX epoch.",
            "Invalid expiration of 1. Please specify integer greater than the current number of seconds since the UNIX epoch.",
        ),
    ] {
        let path = format!("/values/k?{query}");
        let (refused, refused_locally) = (production.put(&path, "v").await, local.put(&path, "v").await);
        assert_eq!((refused.refusal(), refused_locally.refusal()), ((400, code), (400, 10001)));
        assert_eq!(refused.json()["errors"][0]["message"], text);
        assert_eq!(refused_locally.json()["errors"][0]["message"], local_text);
    }
    let items = json!([{ "key": "a", "value": "v" }, { "key": "b", "value": "v", "expiration_ttl": 5 }]);
    assert_eq!(production.bulk_write(&items).await.refusal(), (400, 10034));
    let refused = local.bulk_write(&items).await;
    assert_eq!(refused.refusal(), (400, 10001));
    assert_eq!(refused.json()["errors"][0]["message"], "1.expiration_ttl: Too small: expected number to be >=60");
}
