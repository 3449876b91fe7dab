//! Addresses, content types, tokens, envelopes.

use kv_fakes::puter::{Failures, Fake, Hosts, Switches, TOKEN};
use serde_json::{Value, json};

use crate::server::{Server, bad_request, internal, refusal};

const CALL: &str = r#"{"interface":"puter-kvstore","method":"get","args":{"key":"k"}}"#;

fn call_with(token: &str) -> String {
    CALL.replacen('{', &format!(r#"{{"auth_token":"{token}","#), 1)
}

#[tokio::test]
async fn a_token_is_found_wherever_it_may_be() {
    let server = Server::new().await;
    server.set("k", 1).await;
    let json = ("content-type", "application/json");
    let bearer = format!("Bearer {TOKEN}");
    let cookie = format!("a=b; puter_auth_token={TOKEN}");
    let query = format!("/drivers/call?auth_token={TOKEN}");
    let header = |name, value| vec![json, (name, value)];
    for (path, headers, body) in [
        ("/drivers/call", vec![json], call_with(TOKEN)),
        ("/drivers/call/", header("authorization", &bearer), CALL.to_owned()),
        ("/drivers/call", header("authorization", TOKEN), CALL.to_owned()),
        ("/drivers/call", header("x-api-key", TOKEN), CALL.to_owned()),
        ("/drivers/call", header("cookie", &cookie), CALL.to_owned()),
        (&query, vec![json], CALL.to_owned()),
        ("/drivers/call", vec![json, ("authorization", "Bearer wrong")], call_with(TOKEN)),
        ("/drivers/call", vec![("content-type", "application/json; charset=utf-8")], call_with(TOKEN)),
        ("/drivers/call", vec![("content-type", "text/plain;actually=json")], call_with(TOKEN)),
    ] {
        let answer = server.send("POST", path, &headers, Some(body)).await;
        assert_eq!(answer.status(), 200, "{path} {headers:?}");
        let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(body, json!({"success": true, "result": 1, "service": {"name": "puter-kvstore"}}));
    }
    let answer =
        server.send("POST", "/drivers/call", &header("authorization", "Bearer wrong"), Some(CALL.into())).await;
    assert_eq!(answer.status(), 401);
    // Nobody reads the token in the log.
    assert!(server.fake.exchanges().iter().all(|exchange| !exchange.to_string().contains(TOKEN)));
}

#[tokio::test]
async fn every_answer_has_a_content_type() {
    let server = Server::new().await;
    let bearer = format!("Bearer {TOKEN}");
    let authorized = [("authorization", bearer.as_str())];
    for (method, path, headers, status) in [
        ("GET", "/whoami", &authorized[..], 200),
        ("GET", "/whoami", &[], 401),
        ("POST", "/rao", &authorized, 200),
        ("POST", "/rao", &[], 401),
        ("GET", "/version", &[], 200),
        ("GET", "/healthcheck", &[], 200),
        ("GET", "/", &[], 404),
        ("GET", "/drivers/call", &authorized, 404),
        ("PUT", "/drivers/call", &authorized, 404),
        ("POST", "/drivers/call", &authorized, 400),
        ("OPTIONS", "/drivers/call", &[], 200),
    ] {
        let answer = server.send(method, path, headers, None).await;
        assert_eq!(answer.status(), status, "{method} {path}");
        let expected = if method == "OPTIONS" { "text/plain" } else { "application/json" };
        let content_type = answer.headers()["content-type"].to_str().unwrap();
        assert_eq!(content_type, format!("{expected}; charset=utf-8"), "{method} {path}");
        assert_eq!(answer.headers()["access-control-allow-origin"], "*");
        let text = answer.text().await.unwrap();
        assert!(text == "OK" || serde_json::from_str::<Value>(&text).is_ok_and(|body| body.is_object()), "{text}");
    }
}

#[tokio::test]
async fn only_hosts_of_the_api_are_served_when_told_so() {
    let server = Server::with(Switches { hosts: Hosts::Api, ..Switches::default() }).await;
    let bearer = format!("Bearer {TOKEN}");
    for (host, status) in [
        ("api.puter.localhost:4100", 200),
        ("api.example.com", 200),
        ("127.0.0.1", 404),
        ("localhost", 404),
        ("api.localhost", 404),
        ("puter.localhost:4100", 404),
    ] {
        let headers = [("host", host), ("authorization", bearer.as_str()), ("content-type", "application/json")];
        let answer = server.send("POST", "/drivers/call", &headers, Some(CALL.to_owned())).await;
        assert_eq!(answer.status(), status, "{host}");
        assert_eq!(server.send("OPTIONS", "/drivers/call", &[("host", host)], None).await.status(), 200, "{host}");
    }
}

#[tokio::test]
async fn older_servers_fail_under_success() {
    let server = Server::with(Switches { failures: Failures::UnderSuccess, ..Switches::default() }).await;
    let error =
        |code: &str, message: &str| (200, json!({"success": false, "error": {"code": code, "message": message}}));
    assert_eq!(server.call_as(TOKEN, "get", json!({})).await, error("bad_request", "Missing `key`"));
    let answer = server.call_as(TOKEN, "set", json!({"key": "k", "value": 1e20})).await;
    assert_eq!(answer, error("internal_error", "Internal Server Error"));
    // What is no failure of the driver has a status as ever.
    assert_eq!(server.refused("nope", json!({})).await.0, 404);
    assert_eq!(server.refused_as("wrong", "get", json!({"key": "k"})).await.0, 401);
    server.set("k", 1).await;
    assert_eq!(server.get("k").await, json!(1));
}

#[tokio::test]
async fn what_cannot_be_carried_out_says_why() {
    let server = Server::new().await;
    for method in ["take", "batchDel", "constructor"] {
        let message = format!("Method '{method}' not found on driver 'puter-kvstore'");
        assert_eq!(server.refused(method, json!({"key": "k"})).await, refusal(404, "not_found", &message));
    }
    for args in [json!("key"), json!(["key"]), json!(5), json!({})] {
        assert_eq!(server.refused("get", args).await, bad_request("Missing `key`"));
    }
    assert_eq!(server.refused("flush", json!(null)).await, internal());
    let headers = [("authorization", TOKEN), ("content-type", "application/json")];
    for (body, status, code) in [
        (r#""text""#, 400, "client_bad_json"),
        ("[]", 400, "bad_request"),
        (r#"{"interface":5,"method":"get"}"#, 400, "bad_request"),
        (r#"{"interface":"puter-kvstore","driver":null,"method":"flush"}"#, 200, ""),
        (r#"{"interface":"puter-kvstore","driver":7,"method":"flush","test_mode":true}"#, 200, ""),
        (r#"{"interface":"puter-kvstore","driver":"x","method":"flush"}"#, 404, "not_found"),
    ] {
        let answer = server.send("POST", "/drivers/call", &headers, Some(body.to_owned())).await;
        assert_eq!(answer.status(), status, "{body}");
        let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(body["code"].as_str().unwrap_or_default(), code);
    }
}

#[tokio::test]
async fn tokens_are_checked_before_serving() {
    for fake in [
        Fake::new().with_token("", kv_fakes::puter::Grant::user("u")),
        Fake::new()
            .with_token("t", kv_fakes::puter::Grant::user("u"))
            .with_token("t", kv_fakes::puter::Grant::user("v")),
    ] {
        let refused = fake.serve(kv_fakes::ServerOptions::new()).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
    }
    let fake = Fake::new().with_token("canary", kv_fakes::puter::Grant::user("u"));
    assert!(!format!("{fake:?}").contains("canary"));
}
