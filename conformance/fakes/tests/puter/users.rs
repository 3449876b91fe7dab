//! Users, apps, and what they see of each other.

use kv_fakes::puter::{Access, Fake, Grant, Rates, Switches, Tier};
use serde_json::json;

use crate::server::{Server, refusal};

async fn server() -> Server {
    Server::serve(
        Fake::new()
            .with_token("user", Grant::user("u"))
            .with_token("api", Grant::user("u"))
            .with_token("app", Grant::app("u", "a").with_access_to("b"))
            .with_token("app-b", Grant::app("u", "b"))
            .with_token("other", Grant::user("v"))
            .with_token("scoped", Grant::user("u").with_access(Access::Scoped))
            .with_token("unconfirmed", Grant::user("w").with_access(Access::Unconfirmed))
            .with_app("c"),
    )
    .await
}

#[tokio::test]
async fn each_sees_its_own_entries() {
    let server = server().await;
    for token in ["user", "app", "app-b", "other"] {
        server.ok_as(token, "set", json!({"key": "k", "value": token})).await;
    }
    for (token, seen) in [("user", "user"), ("api", "user"), ("app", "app"), ("app-b", "app-b"), ("other", "other")] {
        assert_eq!(server.ok_as(token, "get", json!({"key": "k"})).await, Some(json!(seen)), "{token}");
    }
    assert_eq!(server.fake.keys(), ["k"]);
    // A user reaches the entries of any app, and any name makes a namespace.
    let get = |app: &str| json!({"key": "k", "optConfig": {"appUuid": app}});
    assert_eq!(server.ok_as("user", "get", get("a")).await, Some(json!("app")));
    assert_eq!(server.ok_as("user", "get", get("free")).await, Some(json!(null)));
    server.ok_as("user", "set", json!({"key": "k", "value": 1, "optConfig": {"appUuid": "free"}})).await;
    assert_eq!(server.ok_as("api", "get", get("free")).await, Some(json!(1)));
    assert_eq!(server.ok_as("other", "get", get("free")).await, Some(json!(null)));
    assert_eq!(server.ok_as("user", "get", json!({"key": "k", "optConfig": null})).await, Some(json!("user")));
    server.ok_as("user", "flush", json!({"optConfig": {"appUuid": "a"}})).await;
    assert_eq!(server.ok_as("app", "get", get("a")).await, Some(json!(null)));
    assert_eq!(server.ok_as("user", "get", json!({"key": "k"})).await, Some(json!("user")));
}

#[tokio::test]
async fn apps_reach_each_other_only_when_let() {
    let server = server().await;
    let config = |app: &str| json!({"key": "k", "value": 1, "optConfig": {"appUuid": app}});
    assert_eq!(server.refused_as("app", "get", config("c")).await, refusal(403, "forbidden", "Permission denied"));
    let unknown = refusal(404, "subject_does_not_exist", "entity_not_found: app:x");
    assert_eq!(server.refused_as("app", "set", config("x")).await, unknown);
    assert_eq!(server.refused_as("app-b", "set", config("a")).await.0, 403);
    assert_eq!(server.ok_as("app", "set", config("b")).await, Some(json!(true)));
    assert_eq!(server.ok_as("app-b", "get", json!({"key": "k"})).await, Some(json!(1)));
    assert_eq!(server.refused_as("app", "flush", config("b")).await.0, 403);

    // Private entries are as absent, and cannot be written over.
    let private = json!({"key": "k", "value": 2, "optConfig": {"disableSharing": true}});
    server.ok_as("app-b", "set", private).await;
    assert_eq!(server.ok_as("app", "get", config("b")).await, Some(json!(null)));
    assert_eq!(server.ok_as("app", "list", config("b")).await, Some(json!([])));
    let batch = json!({"items": [{"key": "j", "value": 3}, {"key": "k", "value": 3}], "optConfig": {"appUuid": "b"}});
    let expire = json!({"key": "k", "ttl": 5, "optConfig": {"appUuid": "b"}});
    for (method, args) in [("set", config("b")), ("del", config("b")), ("batchPut", batch), ("expire", expire)] {
        assert_eq!(server.refused_as("app", method, args).await.0, 403, "{method}");
    }
    assert_eq!(server.ok_as("app-b", "list", json!({})).await, Some(json!([{"key": "k", "value": 2}])));
    // The next write without the mark shares it again.
    server.ok_as("app-b", "set", json!({"key": "k", "value": 4})).await;
    assert_eq!(server.ok_as("app", "get", config("b")).await, Some(json!(4)));
}

#[tokio::test]
async fn some_tokens_are_good_for_nothing_here() {
    let server = server().await;
    let get = json!({"key": "k"});
    assert_eq!(server.refused_as("scoped", "get", get.clone()).await.1, "forbidden");
    assert_eq!(server.refused_as("unconfirmed", "get", get.clone()).await.1, "email_confirmation_required");
    assert_eq!(server.refused_as("nobody", "get", get).await.1, "reauth_required");
}

#[tokio::test]
async fn rates_hold_for_each_user_and_method() {
    let switches = Switches { rates: Rates::Enforced, busy_millis: 100, ..Switches::default() };
    let fake = Fake::new()
        .with_switches(switches)
        .with_token("temporary", Grant::user("t").with_tier(Tier::Temporary))
        .with_token("app", Grant::app("t", "a").with_tier(Tier::Temporary))
        .with_token("free", Grant::user("f"));
    let server = Server::serve(fake).await;
    let call = async |token: &str, method: &str| {
        let (status, body) = server.call_as(token, method, json!({"key": "k"})).await;
        (status, body["message"].as_str().unwrap_or_default().to_owned())
    };
    // Eight at once, whichever token of the user.
    for number in 0..8 {
        assert_eq!(call(if number % 2 == 0 { "temporary" } else { "app" }, "get").await.0, 200);
    }
    assert_eq!(call("app", "get").await, (429, "Too many concurrent requests.".to_owned()));
    assert_eq!(call("free", "get").await.0, 200);
    server.advance(100);
    for _ in 8..200 {
        server.advance(100 / 8 + 1);
        assert_eq!(call("temporary", "get").await.0, 200);
    }
    server.advance(200);
    assert_eq!(call("temporary", "get").await, (429, "Too many requests.".to_owned()));
    assert_eq!(call("temporary", "del").await.0, 200);
    server.advance(10_000);
    assert_eq!(call("temporary", "get").await.0, 200);
}
