//! What each thing that can go wrong is told as, and what is sent again (ERR-1 to ERR-5, BATCH-6).

use std::time::Duration;

use futures_util::future::BoxFuture;
use kv_api::{DeleteOutcome, ErrorKind, Result, Retry, SetItem, SetStatus, Store};
use kv_backendless::{BackendlessConfig, RetryPolicy, SecretString};
use kv_fakes::backendless::Fake;
use kv_fakes::{Applied, Fault, ServerOptions};
use kv_testkit::RemoteSystem as _;

use crate::harness::{API_KEY, APP_ID, Form, HIVES, System, open};
use crate::scripted::Scripted;

type Call = fn(&Store) -> BoxFuture<'_, Result<()>>;

/// Each kind of request, by name; the first word says what its answer has for a body.
const CALLS: &[(&str, Call)] = &[
    ("json get", |store| Box::pin(async { store.get("k").await.map(drop) })),
    ("json get_many", |store| Box::pin(async { store.get_many(["k", "l"]).await.map(drop) })),
    ("json get_entry", |store| Box::pin(async { store.get_entry("k").await.map(drop) })),
    ("json list", |store| Box::pin(async { store.list().await.map(drop) })),
    ("json ping", |store| Box::pin(async { store.ping().await })),
    ("json set if_exists", |store| Box::pin(async { store.set("k", "v").if_exists().await.map(drop) })),
    ("json set ttl", |store| Box::pin(async { store.set("k", "v").ttl(Duration::from_secs(9)).await.map(drop) })),
    ("digit exists", |store| Box::pin(async { store.exists("k").await.map(drop) })),
    ("digit delete", |store| Box::pin(async { store.delete("k").await.map(drop) })),
    ("digit delete_many", |store| Box::pin(async { store.delete_many(["k"]).await.remove(0).map(drop) })),
    ("digit increment", |store| Box::pin(async { store.increment("n", 1).await.map(drop) })),
    ("empty set", |store| Box::pin(async { store.set("k", "v").await.map(drop) })),
    ("empty set_many", |store| Box::pin(async { store.set_many([SetItem::new("k", "v")]).await.remove(0).map(drop) })),
    ("empty expire", |store| Box::pin(async { store.expire("k").ttl(Duration::from_secs(9)).await.map(drop) })),
];

/// A read changes nothing, so its outcome is never unknown (ERR-3).
fn only_asks(name: &str) -> bool {
    let call = name.split_once(' ').unwrap().1;
    ["get", "get_many", "get_entry", "list", "ping", "exists"].contains(&call)
}

/// The answer to what a call sends before the request that its name stands for.
fn looked_first(name: &str) -> Option<(u16, &'static str)> {
    name.ends_with("increment").then_some((200, "{}"))
}

/// For the request that the name of a call stands for.
fn inject(system: &System, name: &str, fault: Fault) {
    if name.ends_with("increment") {
        system.server.inject_into_writes(fault, 1);
    } else {
        system.server.inject(fault, 1);
    }
}

fn once(system: &System) -> Store {
    let remote = system.remote().with_retry(RetryPolicy::none());
    open(system.config(Form::Application, HIVES[0]).with_remote(remote))
}

#[tokio::test]
async fn err_3_each_fault_of_each_request_is_told_for_what_it_is() {
    use ErrorKind::{Protocol, RateLimited, Unavailable};
    let system = System::start().await;
    let store = once(&system);
    let wait = Duration::from_secs(7);
    let faults = [
        (Fault::Throttled { retry_after: Some(wait) }, RateLimited, Retry::Safe),
        (Fault::ServerError { status: 500, applied: Applied::No }, Unavailable, Retry::OutcomeUnknown),
        (Fault::ServerError { status: 503, applied: Applied::Yes }, Unavailable, Retry::OutcomeUnknown),
        (Fault::Cut { applied: Applied::No }, Unavailable, Retry::OutcomeUnknown),
        (Fault::Cut { applied: Applied::Yes }, Unavailable, Retry::OutcomeUnknown),
        (Fault::Truncated, Unavailable, Retry::OutcomeUnknown),
        (Fault::Garbage, Protocol, Retry::OutcomeUnknown),
    ];
    for (fault, kind, retry) in faults {
        for (name, call) in CALLS {
            let fits = match fault {
                Fault::Truncated => name.starts_with("json"),
                Fault::Garbage => !name.starts_with("empty"),
                _ => true,
            };
            if !fits {
                continue;
            }
            store.set("k", "v").await.unwrap();
            inject(&system, name, fault);
            let error = call(&store).await.unwrap_err();
            assert_eq!(system.server.faults_left(), 0, "{name} did not meet {fault:?}");
            let retry = if only_asks(name) { Retry::Safe } else { retry };
            assert_eq!((error.kind(), error.retry()), (kind, retry), "{name} with {fault:?}: {error}");
            assert_eq!(error.retry_after(), (kind == RateLimited).then_some(wait), "{name} with {fault:?}");
        }
    }
}

#[tokio::test]
async fn err_4_a_state_is_asked_for_again_and_a_step_is_not() {
    let system = System::start().await;
    let store = system.store();
    let lost = [Fault::Cut { applied: Applied::No }, Fault::Cut { applied: Applied::Yes }];
    for fault in lost {
        for (name, call) in CALLS {
            let is_step = ["if_exists", "increment", "expire"].iter().any(|step| name.ends_with(step));
            store.set("k", "v").await.unwrap();
            inject(&system, name, fault);
            let (result, requests) = system.counted(call(&store)).await;
            if is_step {
                assert!(result.unwrap_err().is_outcome_unknown(), "{name} with {fault:?}");
                assert_eq!(requests, if name.ends_with("increment") { 2 } else { 1 }, "{name} with {fault:?}");
            } else {
                result.unwrap_or_else(|error| panic!("{name} with {fault:?}: {error}"));
                assert_eq!(requests, if *name == "json get_entry" { 3 } else { 2 }, "{name} with {fault:?}");
            }
        }
        // After a repeat nobody knows what the first attempt did (ERR-5).
        system.server.inject(fault, 1);
        assert_eq!(store.delete("k").await.unwrap(), DeleteOutcome::Accepted);
        system.server.inject(fault, 1);
        assert_eq!(*store.delete_many(["k"]).await[0].as_ref().unwrap(), DeleteOutcome::Accepted);
    }
    // What was certainly not carried out is repeated, whatever it is.
    system.server.inject(Fault::Throttled { retry_after: None }, 3);
    assert_eq!(store.set("new", "v").if_not_exists().await.unwrap().status(), SetStatus::Created);
    system.server.inject(Fault::Throttled { retry_after: None }, 3);
    assert_eq!(store.increment("counter", 5).await.unwrap(), 5);
    system.server.inject(Fault::Throttled { retry_after: None }, 4);
    assert_eq!(store.increment("counter", 5).await.unwrap_err().retry(), Retry::Safe, "four attempts and no more");

    let definite = RetryPolicy::default().with_delays(Duration::ZERO, Duration::ZERO).without_unknown_retries();
    let config = system.config(Form::Application, HIVES[0]).with_remote(system.remote().with_retry(definite));
    system.server.inject(Fault::Cut { applied: Applied::No }, 1);
    let (result, requests) = {
        let store = open(config);
        system.counted(async move { store.set("k", "v").await }).await
    };
    assert!(result.unwrap_err().is_outcome_unknown());
    assert_eq!(requests, 1);
}

#[tokio::test]
async fn batch_6_a_failed_body_is_told_for_each_of_its_items_alone() {
    let system = System::start().await;
    let remote = system.remote().with_retry(RetryPolicy::none());
    let config = system.config(Form::Application, HIVES[0]).with_remote(remote);
    let store = open(config.with_bulk_items_max(2.try_into().unwrap()));
    assert_eq!((store.capabilities().bulk_write_items, store.capabilities().bulk_read_items), (2, 2));
    let keys: Vec<String> = (0..6).map(|number| format!("k{number}")).collect();
    for (fault, unknown, written) in [
        (Fault::Cut { applied: Applied::No }, 2, 4),
        (Fault::Cut { applied: Applied::Yes }, 2, 6),
        (Fault::Throttled { retry_after: None }, 0, 4),
    ] {
        store.clear().await.unwrap();
        system.server.inject(fault, 1);
        let results = store.set_many(keys.iter().map(|key| SetItem::new(key, "v"))).await;
        let failed: Vec<usize> = (0..6).filter(|at| results[*at].is_err()).collect();
        assert_eq!(failed.len(), 2, "{fault:?}");
        assert_eq!(failed[0] % 2, 0, "two items of one body");
        assert_eq!(failed[1], failed[0] + 1, "two items of one body");
        let are_unknown = results.iter().flat_map(Result::as_ref).count() == 4
            && failed.iter().filter(|at| results[**at].as_ref().unwrap_err().is_outcome_unknown()).count() == unknown;
        assert!(are_unknown, "{fault:?}: {results:?}");
        assert_eq!(system.server.keys().len(), written, "{fault:?}");
    }
    // Many deletes alike.
    store.set_many(keys.iter().map(|key| SetItem::new(key, "v"))).await;
    system.server.inject(Fault::Cut { applied: Applied::No }, 1);
    let results = store.delete_many(&keys).await;
    assert_eq!(results.iter().filter(|result| result.is_err()).count(), 2);
    assert_eq!(system.server.keys().len(), 2);
    // A read fails as a whole.
    system.server.inject(Fault::Cut { applied: Applied::No }, 1);
    assert!(store.get_many(&keys).await.is_err());
}

#[tokio::test]
async fn err_1_what_is_wrong_with_the_settings_is_told() {
    let system = System::start().await;
    // As on api.backendless.com: behind `/api` the fake could not tell an id from a hive.
    let base = system.server.base_url().strip_suffix("/api").unwrap();
    let on = |id: &str, key: &str, hive: &str| {
        let config = BackendlessConfig::of_application(id, SecretString::from(key), hive).unwrap();
        open(config.with_base_url(base).unwrap().with_remote(system.remote()))
    };
    let wrong_key = on(APP_ID, "another", HIVES[0]);
    assert_eq!(wrong_key.ping().await.unwrap_err().kind(), ErrorKind::Unauthorized);
    assert_eq!(wrong_key.get("k").await.unwrap_err().kind(), ErrorKind::Unauthorized);
    let missing = on(APP_ID, API_KEY, "missing");
    let error = missing.ping().await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Misconfigured, Retry::Never));
    assert!(error.native_code().is_some() && error.to_string().contains("no such hive"), "{error}");
    let elsewhere = BackendlessConfig::of_application("another", SecretString::from(API_KEY), HIVES[0]).unwrap();
    let elsewhere = open(elsewhere.with_base_url(system.server.base_url()).unwrap());
    let error = elsewhere.ping().await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Misconfigured, Retry::Never));
    assert!(error.to_string().contains("no such application, API key or hive"), "{error}");
    let error = missing.set("k", "v").await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::InvalidArgument, Retry::Never));
    assert!(!error.to_string().contains("no such hive"), "a request with a value is not quoted: {error}");
}

#[tokio::test]
async fn err_2_a_user_token_is_sent_and_never_shown() {
    for status in [400, 401] {
        let fake = Fake::new().with_api_key(API_KEY).with_user_token("good-t0ken").with_bad_user_token_status(status);
        let server = fake.serve(ServerOptions::new()).await.unwrap();
        let config = || {
            let config = BackendlessConfig::of_application(APP_ID, SecretString::from(API_KEY), "hive").unwrap();
            config.with_base_url(server.base_url()).unwrap()
        };
        let good = open(config().with_user_token(SecretString::from("good-t0ken")));
        good.set("k", "v").await.unwrap();
        let bad_token = format!("bad-{API_KEY}");
        let bad = open(config().with_user_token(SecretString::from(bad_token.clone())));
        let error = bad.get("k").await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unauthorized, Retry::Never));
        assert!(error.to_string().contains("Relogin"), "{error}");
        assert!(!format!("{error} {error:?} {bad:?}").contains(API_KEY), "{error:?}");
        assert!(format!("{bad:?}").contains("BackendlessStore { client: Client {"), "{bad:?}");
    }
    let unfit = BackendlessConfig::of_domain("a.b", "h").unwrap().with_user_token(SecretString::from("two\nlines"));
    let refused = kv_backendless::BackendlessStore::open(unfit).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unauthorized);
}

kv_testkit::remote_tests!(unreachable for System);

#[tokio::test]
async fn a_success_that_is_no_answer_is_told_as_malformed() {
    let bodies =
        ["", "<html>", "\"text\"", "{}", "[]", "null", "-1", "1.5", "2", "{\"message\":\"m\"}", "true ", "false"];
    for (name, call) in CALLS {
        for body in bodies {
            // What each of them may say.
            let is_good = match name.split_once(' ').unwrap().1 {
                "get" | "get_many" | "get_entry" => body == "{}",
                "set if_exists" => matches!(body, "true " | "false"),
                "set ttl" => body == "true ",
                "increment" => matches!(body, "-1" | "2"),
                "set" | "set_many" | "expire" => matches!(body, "" | "null" | "true "),
                _ => false,
            };
            if is_good || (name.ends_with("increment") && body == "1.5") {
                continue;
            }
            let server = Scripted::start(looked_first(name).into_iter().chain([(200, body)])).await;
            let error = call(&server.store()).await.unwrap_err();
            let told = (error.kind(), error.retry());
            let retry = if only_asks(name) { Retry::Safe } else { Retry::OutcomeUnknown };
            assert_eq!(told, (ErrorKind::Protocol, retry), "{name} answered {body:?}: {error}");
        }
    }
}

#[tokio::test]
async fn an_error_under_a_status_of_success_is_an_error() {
    let bad_token = r#"{"code":3064,"message":"Not existing user token","errorData":{}}"#;
    let unknown = r#"{"code":27001,"message":"some reason","errorData":{}}"#;
    for (name, call) in CALLS {
        // The answer to a get holds values, which may look like errors; what nobody asked for is no value.
        let holds_values = name.contains("get");
        for (body, kind) in [(bad_token, ErrorKind::Unauthorized), (unknown, ErrorKind::InvalidArgument)] {
            // An increment that is refused is followed by a look at the entry.
            let server = Scripted::start(looked_first(name).into_iter().chain([(200, body), (200, "{}")])).await;
            let error = call(&server.store()).await.unwrap_err();
            let kind = match kind {
                _ if holds_values => ErrorKind::Protocol,
                ErrorKind::InvalidArgument if name.ends_with("ping") => ErrorKind::Misconfigured,
                kind => kind,
            };
            assert_eq!(error.kind(), kind, "{name} answered {body}: {error}");
            assert!(!error.is_outcome_unknown(), "{name} answered {body}: {error}");
        }
    }
}

/// A refusal may quote what was sent, and a proxy answers with a page of its own.
#[tokio::test]
async fn err_1_a_long_refusal_says_what_a_short_one_says() {
    let long = "v".repeat(200_000);
    let refused = format!(r#"{{"code":1,"message":"{long}","errorData":{{}}}}"#);
    for (status, body, kind, retry) in [
        (503, &long, ErrorKind::Unavailable, Retry::OutcomeUnknown),
        (400, &refused, ErrorKind::InvalidArgument, Retry::Never),
        (200, &refused, ErrorKind::InvalidArgument, Retry::Never),
    ] {
        let server = Scripted::start([(status, body.as_str())]).await;
        let error = server.store().set("k", "v").await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (kind, retry), "{status}: {error}");
    }
}

#[tokio::test]
async fn env_3_an_envelope_of_a_newer_version_is_named_by_its_key() {
    let newer = r#"{"a":"v","k":{"$kv-envelope":2},"l":"v"}"#;
    let server = Scripted::start([(200, newer), (200, newer)]).await;
    for error in [
        server.store().get_many(["a", "k", "l"]).await.unwrap_err(),
        server.store().get_entry_many(["a", "k", "l"]).await.unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.key()), (ErrorKind::Protocol, Some("k")), "{error}");
        assert!(error.to_string().contains("version 2"), "{error}");
    }
}

#[tokio::test]
async fn list_1_either_name_of_the_cursor_will_do() {
    let pages = [
        (200, r#"{"keys":["a","a","b"],"cursor":"18446744073709551615"}"#),
        (200, r#"{"keys":["c"],"cursorId":"7"}"#),
        (200, r#"{"keys":[],"cursorId":9}"#),
        (200, r#"{"keys":[],"cursor":10.0}"#),
        (200, r#"{"keys":["d"],"cursorId":0}"#),
    ];
    let server = Scripted::start(pages).await;
    let store = server.store();
    let mut cursor = None;
    let mut pages = Vec::new();
    loop {
        let list = store.list().limit(2);
        let page = match cursor.take() {
            Some(cursor) => list.cursor(cursor).await.unwrap(),
            None => list.await.unwrap(),
        };
        pages.push(page.items.into_iter().map(|item| item.key).collect::<Vec<_>>());
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(pages, [vec!["a", "b"], vec!["c"], vec![], vec![], vec!["d"]]);
    let asked = server.asked();
    for (asked, cursor) in asked.iter().zip(["0", "18446744073709551615", "7", "9", "10"]) {
        let line = asked.lines().next().unwrap();
        assert!(line.contains(&format!("cursor={cursor}&pageSize=2 ")), "{line}");
    }
    for unreadable in [
        r#"{"keys":[]}"#,
        r#"{"keys":[],"cursor":null}"#,
        r#"{"keys":[],"cursor":"-1"}"#,
        r#"{"keys":[1],"cursor":"0"}"#,
    ] {
        let error = Scripted::start([(200, unreadable)]).await.store().list().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{unreadable}");
    }
}

#[tokio::test]
async fn exp_9_what_the_system_says_of_an_expiry_is_true_false_or_an_error() {
    let missing = r#"{"code":27003,"message":"no such key","errorData":{}}"#;
    let none = r#"{"code":27010,"message":"Expiration for key wasn't set.","errorData":{}}"#;
    for status in [200, 400] {
        let server = Scripted::start([(status, missing), (status, none), (status, missing), (status, none)]).await;
        let store = server.store();
        assert!(!store.expire("k").never().await.unwrap(), "there is no key");
        assert!(store.expire("k").never().await.unwrap(), "there is one, and it never expired");
        let minute = Duration::from_secs(60);
        assert!(!store.expire("k").ttl(minute).await.unwrap(), "there is no key");
        let error = store.expire("k").ttl(minute).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "no answer to setting an expiry: {error}");
    }
    // An entry that ends between the reading of its value and of its expiry is gone (EXP-7).
    let server = Scripted::start([(200, r#"{"k":"v"}"#), (400, missing)]).await;
    assert_eq!(server.store().get_entry("k").await.unwrap(), None);
    let server = Scripted::start([(200, r#"{"k":null,"l":"v"}"#), (400, none)]).await;
    let entries = server.store().get_entry_many(["k", "l"]).await.unwrap();
    assert_eq!(entries[0], None, "null is what a missing key may be answered by");
    assert_eq!(entries[1].as_ref().unwrap().expiry(), kv_api::EntryExpiry::Never);
}

#[tokio::test]
async fn list_1_names_outside_of_the_prefix_are_left_out() {
    // As of a system whose patterns know no escapes.
    let server = Scripted::start([(200, r#"{"keys":["a*1","ab","a*2","*a","a*1"],"cursor":"0"}"#)]).await;
    let page = server.store().list().prefix("a*").await.unwrap();
    assert_eq!(page.items.iter().map(|item| item.key.as_str()).collect::<Vec<_>>(), ["a*1", "a*2"]);
    let line = server.asked().remove(0);
    assert!(line.contains("keys?filterPattern=a%5C%2A%2A&cursor=0&pageSize=1000 "), "{line}");
}

#[tokio::test]
async fn err_1_a_part_of_an_answer_is_no_answer() {
    for (name, call) in CALLS {
        for (status, body) in [(206, "{}"), (206, "true"), (206, "1"), (206, r#"{"keys":[],"cursor":"0"}"#), (201, "")]
        {
            let server = Scripted::start(looked_first(name).into_iter().chain([(status, body)])).await;
            let error = call(&server.store()).await.unwrap_err();
            let retry = if only_asks(name) { Retry::Safe } else { Retry::OutcomeUnknown };
            assert_eq!((error.kind(), error.retry()), (ErrorKind::Protocol, retry), "{name}: {status} {body}");
        }
    }
}

#[tokio::test]
async fn list_3_a_cursor_that_stays_is_refused() {
    let page = r#"{"keys":[],"cursor":"7"}"#;
    let server = Scripted::start([(200, page), (200, page)]).await;
    let first = server.store().list().await.unwrap();
    let error = server.store().list().cursor(first.cursor.unwrap()).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Protocol, Retry::Safe));
}

#[tokio::test]
async fn batch_3_a_body_that_is_refused_is_divided_until_an_item_fails_alone() {
    let refused = r#"{"code":27001,"message":"said","errorData":{}}"#;
    // Of four the third: all, the first half, the second half, each of it.
    let server = Scripted::start([(400, refused), (200, ""), (400, refused), (400, refused), (200, "")]).await;
    let items = ["a", "b", "c", "d"].map(|key| SetItem::new(key, "v"));
    let results = server.store().set_many(items).await;
    let failed: Vec<usize> = (0..4).filter(|at| results[*at].is_err()).collect();
    assert_eq!(failed, [2]);
    let error = results[2].as_ref().unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::InvalidArgument, Retry::Never));
}

#[tokio::test]
async fn batch_6_a_success_that_cannot_be_read_makes_no_item_written() {
    for (status, body) in [(206, ""), (200, "{}"), (200, "false"), (200, "[]"), (200, "1")] {
        let server = Scripted::start([(status, body)]).await;
        let items = ["a", "b"].map(|key| SetItem::new(key, "v"));
        for result in server.store().set_many(items).await {
            let error = result.unwrap_err();
            assert_eq!((error.kind(), error.retry()), (ErrorKind::Protocol, Retry::OutcomeUnknown), "{status} {body}");
        }
        if body != "1" {
            let server = Scripted::start([(status, body)]).await;
            for result in server.store().delete_many(["a", "b"]).await {
                let error = result.unwrap_err();
                assert_eq!((error.kind(), error.retry()), (ErrorKind::Protocol, Retry::OutcomeUnknown));
            }
        }
    }
}
