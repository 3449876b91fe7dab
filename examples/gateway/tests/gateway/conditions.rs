//! Conditions, which are ours.

use crate::harness::{Answer, Client, open};

async fn put(client: &Client, header: (&str, &str), value: &'static str) -> Answer {
    client.send("PUT", "/n/values/k", &[header], value).await
}

fn outcome(answer: &Answer) -> (u16, Option<&str>) {
    (answer.status.as_u16(), answer.header("x-kv-outcome"))
}

#[tokio::test]
async fn set_5_a_write_says_what_became_of_it() {
    let client = Client::on(open("memory:").await);
    let first = put(&client, ("if-none-match", "*"), "1").await;
    assert_eq!(outcome(&first), (200, Some("created")));
    let again = put(&client, ("if-none-match", "*"), "2").await;
    assert_eq!((outcome(&again), again.refusal()), ((412, Some("not-met")), (412, 99412)));
    assert_eq!(client.get("/n/values/k").await.bytes, "1");
    assert_eq!(outcome(&put(&client, ("if-match", "*"), "3").await), (200, Some("updated")));
    assert_eq!(outcome(&client.put("/n/values/k", "4").await), (200, Some("updated")));
    assert_eq!(outcome(&client.delete("/n/values/k").await), (200, Some("deleted")));
    assert_eq!(outcome(&client.delete("/n/values/k").await), (200, Some("not-found")));
    assert_eq!(outcome(&put(&client, ("if-match", "*"), "5").await), (412, Some("not-met")));
}

#[tokio::test]
async fn set_2_an_entity_tag_is_the_version() {
    let client = Client::on(open("memory:").await);
    let written = client.put("/n/values/k", "1").await;
    let tag = written.header("etag").unwrap();
    assert_eq!(client.get("/n/values/k").await.header("etag"), Some(tag));
    let next = client.send("PUT", "/n/values/k?expiration=4102444800", &[("if-match", tag)], "2").await;
    assert_eq!(outcome(&next), (200, Some("updated")));
    // VER-2: the old one, one of another server, a weak one.
    for other in [tag, "\"of-another-server\"", &format!("W/{}", next.header("etag").unwrap())] {
        assert_eq!(outcome(&put(&client, ("if-match", other), "3").await), (412, Some("not-met")), "{other}");
        let deleted = client.send("DELETE", "/n/values/k", &[("if-match", other)], "").await;
        assert_eq!(outcome(&deleted), (412, Some("not-met")), "{other}");
    }
    let known = client.send("GET", "/n/values/k", &[("if-none-match", next.header("etag").unwrap())], "").await;
    assert_eq!((known.status.as_u16(), known.bytes.len(), known.header("expiration")), (304, 0, Some("4102444800")));
    assert_eq!(client.send("GET", "/n/values/k", &[("if-none-match", tag)], "").await.bytes, "2");
    let deleted = client.send("DELETE", "/n/values/k", &[("if-match", next.header("etag").unwrap())], "").await;
    assert_eq!(outcome(&deleted), (200, Some("deleted")));
}

#[tokio::test]
async fn a_condition_that_makes_no_sense_is_refused() {
    let client = Client::on(open("memory:").await);
    for headers in [
        &[("if-match", "*"), ("if-none-match", "*")][..],
        &[("if-match", "v")],
        &[("if-match", "\"a\", \"b\"")],
        &[("if-none-match", "\"a\"")],
    ] {
        assert_eq!(client.send("PUT", "/n/values/k", headers, "v").await.refusal(), (400, 10001), "{headers:?}");
    }
    for header in [("if-match", "*"), ("if-none-match", "*")] {
        assert_eq!(client.send("DELETE", "/n/values/k", &[header], "").await.refusal(), (400, 10001), "{header:?}");
    }
    client.put("/n/values/k", "v").await;
    assert_eq!(client.send("GET", "/n/values/k", &[("if-match", "*")], "").await.refusal(), (400, 10001));
}

#[tokio::test]
async fn a_condition_of_another_call_is_refused() {
    let client = Client::on(open("memory:").await);
    client.put("/n/values/k", "kept").await.result();
    for header in [("if-match", "\"v\""), ("if-match", "*"), ("if-none-match", "*")] {
        for (method, path, body) in [
            ("PUT", "/n/bulk", r#"[{"key":"k","value":"v"}]"#),
            ("DELETE", "/n/bulk", r#"["k"]"#),
            ("POST", "/n/bulk/delete", r#"["k"]"#),
            ("POST", "/n/bulk/get", r#"{"keys":["k"]}"#),
            ("GET", "/n/keys", ""),
            ("GET", "/n/metadata/k", ""),
            ("GET", "/n", ""),
            ("GET", "", ""),
        ] {
            let answer = client.send(method, path, &[header], body).await;
            assert_eq!(answer.refusal(), (400, 10001), "{method} {path} {header:?}");
        }
    }
    assert_eq!(client.get("/n/values/k").await.bytes, "kept");
}

/// SET-6: a race window is not accepted on somebody's behalf, but where the server was started so.
#[tokio::test]
async fn a_race_window_has_to_be_allowed() {
    let strict = Client::on(open("memory:?like=cloudflare").await);
    let refused = put(&strict, ("if-none-match", "*"), "v").await;
    assert_eq!(refused.refusal(), (501, 99501));
    assert!(refused.text().contains("best_effort=true"));
    let lenient = Client::on(open("memory:?like=cloudflare&best_effort=true").await);
    assert_eq!(outcome(&put(&lenient, ("if-none-match", "*"), "v").await), (200, Some("created")));
    assert_eq!(outcome(&lenient.put("/n/values/k", "v").await), (200, Some("stored")));
}
