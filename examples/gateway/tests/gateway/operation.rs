//! Who may do what, and what the operator looks at.

use kv_api::{BackendExt, Error, ErrorKind, Retry};
use kv_gateway::{Access, Gateway};
use kv_layers::{Call, Intercept, Intercepted};
use kv_memory::MemoryStore;
use serde_json::json;

use crate::harness::{BOTH_OF_A, Client, READER, WRITER, guarded, namespace, open, tokens};

async fn as_token(client: &Client, token: &str, method: &str, path: &str, body: &'static str) -> (u16, u64) {
    let bearer = format!("Bearer {token}");
    let answer = client.send(method, path, &[("authorization", &bearer)], body).await;
    let code = answer.json()["errors"][0]["code"].as_u64().unwrap_or(0);
    (answer.status.as_u16(), code)
}

const READS: [(&str, &str, &str); 5] = [
    ("GET", "/values/k", ""),
    ("HEAD", "/values/k", ""),
    ("GET", "/metadata/k", ""),
    ("GET", "/keys", ""),
    ("POST", "/bulk/get", r#"{"keys":["k"]}"#),
];

const WRITES: [(&str, &str, &str); 5] = [
    ("PUT", "/values/k", "v"),
    ("DELETE", "/values/k", ""),
    ("PUT", "/bulk", r#"[{"key":"k","value":"v"}]"#),
    ("DELETE", "/bulk", r#"["k"]"#),
    ("POST", "/bulk/delete", r#"["k"]"#),
];

#[tokio::test]
async fn a_token_does_what_it_is_for_and_nothing_else() {
    let client = Client::of(&guarded().await);
    for (calls, reads) in [(READS, true), (WRITES, false)] {
        for (method, path, body) in calls {
            for (token, namespace, is_allowed) in [
                (READER, "a", reads),
                (READER, "b", reads),
                (WRITER, "a", !reads),
                (WRITER, "b", !reads),
                (BOTH_OF_A, "a", true),
                (BOTH_OF_A, "b", false),
                (BOTH_OF_A, "none", false),
            ] {
                let path = format!("/{namespace}{path}");
                let bearer = format!("Bearer {token}");
                let answer = client.send(method, &path, &[("authorization", &bearer)], body).await;
                let is_refused = answer.status == 403 || answer.status == 401;
                assert_eq!(is_refused, !is_allowed, "{method} {path} {token}: {}", answer.status);
            }
            for token in ["", "Bearer wrong", "Bearer reads-everything-000", "Bearer reads-everything-00011", READER] {
                let answer = client.send(method, &format!("/a{path}"), &[("authorization", token)], body).await;
                assert_eq!(answer.status, 401, "{method} {path} {token}");
                assert!(answer.header("www-authenticate").is_some());
            }
        }
    }
}

#[tokio::test]
async fn a_token_for_some_namespaces_does_not_learn_of_others() {
    let client = Client::of(&guarded().await);
    let listed = async |token: &str| {
        let bearer = format!("Bearer {token}");
        let listed = client.send("GET", "", &[("authorization", &bearer)], "").await.result();
        listed.as_array().unwrap().iter().map(|one| one["title"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listed(READER).await, ["a", "b"]);
    assert_eq!(listed(BOTH_OF_A).await, ["a"]);
    // One that is there and one that is not answer alike.
    let (b, none) =
        (as_token(&client, BOTH_OF_A, "GET", "/b", "").await, as_token(&client, BOTH_OF_A, "GET", "/c", "").await);
    assert_eq!((b, none), ((403, 10000), (403, 10000)));
    assert_eq!(as_token(&client, READER, "GET", "/c", "").await, (404, 10013));
}

#[tokio::test]
async fn a_token_for_a_namespace_that_is_not_there_is_a_mistake() {
    let only_b = [namespace("b", open("memory:").await)];
    let error = Gateway::builder(only_b, tokens()).build().unwrap_err();
    assert!(!error.to_string().contains(BOTH_OF_A), "{error}");
}

#[tokio::test]
async fn a_read_only_namespace_is_not_changed() {
    let store = open("memory:").await;
    store.set("k", "kept").await.unwrap();
    let kept = namespace("n", store.clone()).read_only();
    let client = Client::of(&Gateway::builder([kept], Access::Open { loopback: true }).build().unwrap());
    for (method, path, body) in WRITES {
        assert_eq!(
            client.send(method, &format!("/n{path}"), &[], body).await.refusal(),
            (403, 99403),
            "{method} {path}"
        );
    }
    assert_eq!(store.get("k").await.unwrap(), Some("kept".into()));
    assert_eq!(client.get("/n/values/k").await.bytes, "kept");
}

#[tokio::test]
async fn another_account_is_as_good_as_a_wrong_token() {
    let gateway = Gateway::builder([namespace("n", open("memory:").await)], Access::Open { loopback: true });
    let client = Client::of(&gateway.with_account("mine").build().unwrap());
    let path = |account| format!("/client/v4/accounts/{account}/storage/kv/namespaces");
    assert_eq!(client.send_to("GET", &path("mine"), &[], "").await.status, 200);
    assert_eq!(client.send_to("GET", &path("other"), &[], "").await.refusal(), (403, 10000));
}

#[tokio::test]
async fn without_tokens_no_page_of_another_site_gets_in() {
    let client = Client::on(open("memory:").await);
    for header in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site"), ("host", "evil.example:8787")]
    {
        assert_eq!(client.send("POST", "/n/bulk/delete", &[header], "[]").await.refusal(), (403, 99403), "{header:?}");
    }
    assert_eq!(client.send("POST", "/n/bulk/delete", &[("host", "localhost:8787")], "[]").await.status, 200);
    let page = client.send_to("GET", "/", &[("host", "evil.example")], "").await;
    assert_eq!(page.status, 403);
}

/// A name of its own that leads here is what a page would come by, whatever the server listens on.
#[tokio::test]
async fn where_others_reach_it_only_known_names_are_served() {
    let gateway = Gateway::builder([namespace("n", open("memory:").await)], Access::Open { loopback: false });
    let client = Client::of(&gateway.with_host("kv.internal").build().unwrap());
    for (host, status) in [("evil.example:8787", 403), ("kv.internal:8787", 200), ("10.0.0.7:8787", 200)] {
        assert_eq!(client.send("GET", "/n/keys", &[("host", host)], "").await.status, status, "{host}");
        assert_eq!(client.send_to("GET", "/", &[("host", host)], "").await.status, status, "{host}");
    }
}

/// A store that does not answer well.
struct Broken(ErrorKind);

impl Intercept for Broken {
    fn before(&self, _: &Call) -> kv_api::Result<()> {
        Err(Error::new(self.0, "cannot connect to 10.0.0.7"))
    }
}

fn broken(kind: ErrorKind) -> Client {
    Client::on(MemoryStore::default().layer(&Intercepted::new(Broken(kind))).into_store())
}

#[tokio::test]
async fn err_1_a_stores_failure_has_a_status_and_shows_no_address() {
    for (kind, status, code) in [
        (ErrorKind::Unavailable, 503, 99503),
        (ErrorKind::RateLimited, 429, 971),
        (ErrorKind::Misconfigured, 502, 99502),
        (ErrorKind::Exhausted, 507, 99507),
    ] {
        let client = broken(kind);
        for (method, path) in [("GET", "/n/values/k"), ("PUT", "/n/values/k"), ("GET", "/n/keys")] {
            let answer = client.send(method, path, &[], "").await;
            assert_eq!(answer.refusal(), (status, code), "{kind} {method} {path}");
            assert!(!answer.text().contains("10.0.0.7"));
        }
        let written = client.send("PUT", "/n/bulk", &[], r#"[{"key":"k","value":"v"}]"#).await;
        assert_eq!(written.status, status);
        assert_eq!(written.json()["result"], json!({"successful_key_count": 0, "unsuccessful_keys": ["k"]}));
        assert_eq!(client.send_to("GET", "/readyz", &[], "").await.status, 503);
        assert_eq!(client.send_to("GET", "/healthz", &[], "").await.status, 200);
    }
}

/// A store whose answers are lost, so that nobody knows what became of a write.
struct Silent;

impl Intercept for Silent {
    fn before(&self, _: &Call) -> kv_api::Result<()> {
        Err(Error::new(ErrorKind::Unavailable, "no answer").with_retry(Retry::OutcomeUnknown))
    }
}

/// ERR-4: a client that repeats a conditional write would find the condition broken by its own.
#[tokio::test]
async fn err_3_an_unknown_outcome_is_said_and_a_condition_is_not_repeated() {
    let client = Client::on(MemoryStore::default().layer(&Intercepted::new(Silent)).into_store());
    for (method, path, header, outcome, should_retry) in [
        ("PUT", "/n/values/k", None, Some("unknown"), None),
        ("DELETE", "/n/values/k", None, Some("unknown"), None),
        ("PUT", "/n/values/k", Some(("if-none-match", "*")), Some("unknown"), Some("false")),
        ("PUT", "/n/values/k", Some(("if-match", "*")), Some("unknown"), Some("false")),
        ("GET", "/n/values/k", None, None, None),
        ("GET", "/n/values/k", Some(("if-none-match", "*")), None, None),
    ] {
        let answer = client.send(method, path, header.as_slice(), "").await;
        assert_eq!(answer.refusal(), (503, 99503), "{method} {header:?}");
        let said = (answer.header("x-kv-outcome"), answer.header("x-should-retry"));
        assert_eq!(said, (outcome, should_retry), "{method} {header:?}");
    }
    let written = client.send("PUT", "/n/bulk", &[], r#"[{"key":"k","value":"v"}]"#).await;
    assert_eq!((written.status.as_u16(), written.header("x-kv-outcome")), (503, Some("unknown")));
    assert_eq!(written.header("x-should-retry"), None);
}

/// A store that refuses to read many at once.
struct Few;

impl Intercept for Few {
    fn before(&self, call: &Call) -> kv_api::Result<()> {
        if call.keys.len() > 8 { Err(Error::new(ErrorKind::Exhausted, "too many at once")) } else { Ok(()) }
    }
}

#[tokio::test]
async fn a_bulk_get_holds_few_entries_at_once_and_stops_at_its_limit() {
    let client = Client::on(MemoryStore::default().layer(&Intercepted::new(Few)).into_store());
    client.put("/n/values/k007", "v").await.result();
    let keys: Vec<_> = (0..100).map(|n| format!("k{n:03}")).collect();
    let values = client.post("/n/bulk/get", json!({"keys": keys})).await.result();
    let values = values["values"].as_object().unwrap();
    assert_eq!((values.len(), &values["k007"], &values["k099"]), (100, &json!("v"), &json!(null)));
    for key in ["k020", "k040", "k060"] {
        client.put(&format!("/n/values/{key}"), vec![b'v'; 8_738_133]).await.result();
    }
    assert_eq!(client.delete("/n/values/k007").await.status, 200);
    let limit = client.post("/n/bulk/get", json!({"keys": keys})).await;
    assert_eq!(limit.status, 200);
    client.put("/n/values/k099", "vv").await.result();
    assert_eq!(client.post("/n/bulk/get", json!({"keys": keys})).await.refusal(), (413, 10001));
}

#[tokio::test]
async fn health_needs_no_token_and_metrics_do() {
    let client = Client::of(&guarded().await);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(client.send_to("GET", path, &[], "").await.status, 200, "{path}");
    }
    assert_eq!(client.send_to("GET", "/metrics", &[], "").await.status, 401);
    let bearer = format!("Bearer {READER}");
    // They name all namespaces.
    for token in [WRITER, BOTH_OF_A] {
        assert_eq!(
            client.send_to("GET", "/metrics", &[("authorization", &format!("Bearer {token}"))], "").await.status,
            403
        );
    }
    // This gateway collects none.
    let answer = client.send_to("GET", "/metrics", &[("authorization", &bearer)], "").await;
    assert_eq!(answer.status, 404);
}
