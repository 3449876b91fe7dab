//! What is known after each thing that can go wrong (ERR-3 to ERR-5, BATCH-3, BATCH-6).

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kv_api::{ErrorKind, ManualClock, Reason, Retry, SetItem, SetStatus, Timer, Timestamp, Value};
use kv_cloudflare::{CloudflareConfig, CloudflareStore, Credentials, RemoteSettings, RetryPolicy};
use kv_fakes::cloudflare::{ACCOUNT, EMAIL, GLOBAL_KEY, NAMESPACE};
use kv_fakes::{Applied, Fault};
use kv_testkit::{RemoteSystem as _, pages, until};

use crate::harness::{System, TOKEN, open};
use crate::scripted::{JSON, Scripted, success};

const KEYS: [&str; 6] = ["k0", "k1", "k2", "k3", "k4", "k5"];

fn items() -> [SetItem<'static>; 6] {
    KEYS.map(|key| SetItem::new(key, key))
}

#[tokio::test]
async fn batch_6_exactly_the_keys_that_were_left_out_are_sent_again() {
    let system = System::start().await;
    let store = system.store();
    system.server.inject(Fault::PartlyUnsuccessful { every: 2 }, 2);
    let (results, sent) = system.counted(store.set_many(items())).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(sent, 3, "six, of which three are left out, of which one is");
    assert_eq!(system.server.keys(), KEYS);

    system.server.inject(Fault::PartlyUnsuccessful { every: 2 }, 1);
    let (results, sent) = system.counted(store.delete_many(KEYS)).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!((sent, system.server.keys().len()), (2, 0));
}

#[tokio::test]
async fn batch_6_what_is_left_out_for_good_is_unknown_and_the_rest_is_written() {
    let system = System::start_as(|fake| fake.with_unsuccessful_keys(["k1", "k4"])).await;
    let store = system.store();
    let (results, sent) = system.counted(store.set_many(items())).await;
    assert_eq!(sent, 4, "as often as the policy allows");
    for (key, result) in KEYS.iter().zip(results) {
        if matches!(*key, "k1" | "k4") {
            let error = result.unwrap_err();
            assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::OutcomeUnknown));
            assert_eq!(error.key(), Some(*key));
        } else {
            assert_eq!(result.unwrap().status(), SetStatus::Stored);
        }
    }
    assert_eq!(system.server.keys(), ["k0", "k2", "k3", "k5"]);
    let once = system.store_with(|remote| remote.with_retry(RetryPolicy::default().without_unknown_retries()));
    assert_eq!(system.counted(once.set_many(items())).await.1, 1, "a write that may have been made is not repeated");
}

#[tokio::test]
async fn batch_6_an_answer_about_other_keys_says_nothing_of_ours() {
    for named in [serde_json::json!(["k1", "other"]), serde_json::json!(["k1", "k1"]), serde_json::json!(["other"])] {
        let done = KEYS.len() - named.as_array().unwrap().len();
        let server = Scripted::serve(move |_| {
            success(&serde_json::json!({"successful_key_count": done, "unsuccessful_keys": named}))
        })
        .await;
        for result in server.store.set_many(items()).await {
            let error = result.unwrap_err();
            assert_eq!((error.kind(), error.retry()), (ErrorKind::Protocol, Retry::OutcomeUnknown));
        }
    }
}

#[tokio::test]
async fn batch_6_a_lost_answer_to_a_bulk_request_leaves_every_item_unknown() {
    let system = System::start().await;
    let store = system.store_with(|remote| remote.with_retry(RetryPolicy::none()));
    for fault in [
        Fault::Cut { applied: Applied::Yes },
        Fault::ServerError { status: 524, applied: Applied::No },
        Fault::Truncated,
        Fault::Garbage,
    ] {
        system.server.inject(fault, 1);
        for result in store.set_many(items()).await {
            assert!(result.unwrap_err().is_outcome_unknown(), "{fault:?}");
        }
        system.server.inject(fault, 1);
        for result in store.delete_many(KEYS).await {
            assert!(result.unwrap_err().is_outcome_unknown(), "{fault:?}");
        }
    }
    system.server.inject(Fault::ThrottledUnderSuccess, 1);
    for result in store.set_many(items()).await {
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::RateLimited, Retry::Safe));
    }
}

/// The server's clock is ahead, so that an absolute expiry that is fine here is too near there.
async fn refused_by_the_service(
    count: usize,
    is_near: impl Fn(usize) -> bool,
) -> (System, Vec<kv_api::Result<()>>, u64) {
    let system = System::start().await;
    system.clock.advance(Duration::from_secs(30));
    let near = Timestamp::from_unix_seconds(1_795_161_822 + 70);
    let keys: Vec<String> = (0..count).map(|number| format!("k{number:04}")).collect();
    let items = keys.iter().enumerate().map(|(number, key)| {
        let item = SetItem::new(key, "v");
        if is_near(number) { item.expire_at(near) } else { item }
    });
    let (results, sent) = system.counted(system.store().set_many(items)).await;
    let results = results.into_iter().map(|result| result.map(drop)).collect();
    (system, results, sent)
}

#[tokio::test]
async fn batch_3_an_item_that_only_the_service_refuses_fails_alone() {
    let (system, results, sent) = refused_by_the_service(1000, |number| number == 617).await;
    for (number, result) in results.into_iter().enumerate() {
        if number == 617 {
            let error = result.unwrap_err();
            let reason = Reason::ExpiryTooSoon { minimum: Duration::from_secs(60) };
            assert_eq!((error.kind(), error.reason()), (ErrorKind::InvalidArgument, Some(&reason)), "{error}");
            assert_eq!((error.retry(), error.index()), (Retry::Never, Some(617)));
        } else {
            result.unwrap();
        }
    }
    assert_eq!(system.server.keys().len(), 999);
    assert!(sent <= 21, "one, and two for each of ten divisions: {sent}");
}

#[tokio::test]
async fn batch_3_a_request_that_is_refused_for_many_items_is_not_divided_for_ever() {
    let (system, results, sent) = refused_by_the_service(2000, |_| true).await;
    assert!(sent <= 65, "{sent}");
    for result in results {
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::InvalidArgument, Retry::Never), "{error}");
    }
    assert_eq!(system.server.keys(), [""; 0]);
}

#[tokio::test]
async fn batch_3_an_item_that_a_repeat_is_refused_for_fails_alone_and_stays_unknown() {
    let system = System::start().await;
    system.clock.advance(Duration::from_secs(30));
    let near = Timestamp::from_unix_seconds(1_795_161_822 + 70);
    let mut items = items();
    items[1] = SetItem::new("k1", "v").expire_at(near);
    system.server.inject(Fault::ServerError { status: 500, applied: Applied::No }, 1);
    for (number, result) in system.store().set_many(items).await.into_iter().enumerate() {
        if number == 1 {
            let error = result.unwrap_err();
            assert_eq!((error.kind(), error.retry()), (ErrorKind::InvalidArgument, Retry::OutcomeUnknown), "{error}");
        } else {
            assert_eq!(result.unwrap().status(), SetStatus::Stored);
        }
    }
    assert_eq!(system.server.keys(), ["k0", "k2", "k3", "k4", "k5"]);
}

#[tokio::test]
async fn err_4_a_condition_that_was_not_applied_is_repeated() {
    let system = System::start().await;
    let store = system.store().allow_best_effort();
    // What was certainly not applied is repeated, whatever it asks for.
    for fault in [Fault::Throttled { retry_after: None }, Fault::ThrottledUnderSuccess] {
        store.delete("k").await.unwrap();
        system.server.inject_into_writes(fault, 2);
        let (set, sent) = system.counted(store.set("k", "v").if_not_exists()).await;
        assert_eq!((set.unwrap().status(), sent), (SetStatus::Created, 4), "{fault:?}");
    }
}

#[tokio::test]
async fn err_3_a_throttled_read_of_bytes_is_no_value() {
    let system = System::start().await;
    let store = system.store();
    store.set("k", b"\xFF").await.unwrap();
    for count in 1..=3 {
        system.server.inject(Fault::ThrottledUnderSuccess, count);
        assert_eq!(store.get("k").await.unwrap(), Some(Value::from(b"\xFF")));
    }
    let patient = system.store_with(|remote| remote.with_retry(RetryPolicy::none()));
    system.server.inject(Fault::Throttled { retry_after: Some(Duration::from_secs(7)) }, 1);
    let error = patient.get("k").await.unwrap_err();
    assert_eq!((error.kind(), error.retry_after()), (ErrorKind::RateLimited, Some(Duration::from_secs(7))));
}

/// The documents say 300 seconds.
#[tokio::test]
async fn err_4_the_services_own_penalty_is_waited_out() {
    let system = System::start().await;
    let waits = Arc::new(Waits { clock: system.client_clock.clone(), begun: Mutex::default() });
    let timer = Arc::clone(&waits);
    let store = system.store_with(|remote| remote.with_timer(timer).with_retry(RetryPolicy::default()));
    let penalty = Duration::from_secs(300);

    system.server.inject(Fault::Throttled { retry_after: Some(penalty) }, 1);
    let own = store.clone();
    let call = tokio::spawn(async move { own.set("k", "v").await });
    // Only once the wait has begun: an answer under way would run out of time first.
    until(|| waits.begun.lock().unwrap().contains(&penalty)).await;
    system.client_clock.advance(penalty);
    assert_eq!(call.await.unwrap().unwrap().status(), SetStatus::Stored);

    let longer = penalty + Duration::from_secs(1);
    system.server.inject(Fault::Throttled { retry_after: Some(longer) }, 1);
    let error = store.set("k", "v").await.unwrap_err();
    assert_eq!((error.kind(), error.retry_after()), (ErrorKind::RateLimited, Some(longer)), "at once");
}

/// A timer that remembers the waits it was asked for.
#[derive(Debug)]
struct Waits {
    clock: ManualClock,
    begun: Mutex<Vec<Duration>>,
}

impl Timer for Waits {
    fn monotonic_now(&self) -> Duration {
        self.clock.monotonic_now()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        // The wait is there before it can be seen here: what is advanced after that ends it.
        let wait = self.clock.sleep(duration);
        self.begun.lock().unwrap().push(duration);
        wait
    }
}

#[tokio::test]
async fn plain_http_to_another_machine_has_to_be_allowed() {
    let config = || {
        let token = Credentials::Token(TOKEN.into());
        CloudflareConfig::new(ACCOUNT, NAMESPACE, token).unwrap().with_base_url("http://10.0.0.7/hidden").unwrap()
    };
    let error = CloudflareStore::open(config()).unwrap_err();
    assert_eq!((error.kind(), error.reason()), (ErrorKind::InvalidArgument, Some(&Reason::UnknownOption)));
    assert!(!format!("{error} {error:?}").contains("hidden"), "{error:?}");
    let allowed = config().with_remote(RemoteSettings::default().with_allow_http(true));
    CloudflareStore::open(allowed).unwrap();
}

kv_testkit::remote_tests!(unreachable for System);

#[tokio::test]
async fn list_1_an_empty_page_is_not_the_end() {
    let system = System::start_as(|fake| fake.with_page_keys_max(2)).await;
    let store = system.store();
    assert!(store.set_many(items()).await.iter().all(Result::is_ok));
    system.server.inject(Fault::EmptyPage, 2);
    let pages = pages(&store, "", None).await;
    let empty = pages.iter().filter(|page| page.is_empty()).count();
    assert_eq!((pages.concat(), empty), (KEYS.map(String::from).to_vec(), 2));
}

#[tokio::test]
async fn list_3_a_cursor_that_the_service_refuses_is_no_longer_valid() {
    let server = Scripted::serve(|asked| {
        if asked.path.contains("cursor=") {
            return (
                400,
                JSON,
                r#"{"success":false,"errors":[{"code":10022,"message":"m"}],"result":null}"#.to_owned(),
            );
        }
        let (status, content_type, _) = success(&serde_json::Value::Null);
        let body = r#"{"success":true,"errors":[],"result":[{"name":"a"}],"result_info":{"cursor":"x"}}"#;
        (status, content_type, body.to_owned())
    })
    .await;
    let first = server.store.list().await.unwrap();
    let error = server.store.list().cursor(first.cursor.unwrap()).await.unwrap_err();
    assert_eq!((error.kind(), error.reason()), (ErrorKind::InvalidArgument, Some(&Reason::CursorInvalid)));
}

#[tokio::test]
async fn err_1_wrong_credentials_and_namespaces_are_told_apart() {
    let system = System::start().await;
    let check = async |store: kv_api::Store, kind| {
        let errors = [
            store.ping().await.unwrap_err(),
            store.get("k").await.unwrap_err(),
            store.exists("k").await.unwrap_err(),
            store.set("k", "v").await.unwrap_err(),
            store.delete("k").await.unwrap_err(),
            store.list().await.unwrap_err(),
            store.set_many(items()).await.remove(5).unwrap_err(),
        ];
        for error in errors {
            assert_eq!((error.kind(), error.retry()), (kind, Retry::Never), "{error}");
        }
    };
    check(open(system.config("0a5e00000000000000000000000000ff")), ErrorKind::Misconfigured).await;
    check(open(system.config("nonsense")), ErrorKind::Misconfigured).await;
    let with = |credentials| {
        let config = CloudflareConfig::new(ACCOUNT, NAMESPACE, credentials).unwrap();
        open(config.with_base_url(system.server.base_url()).unwrap().with_remote(system.remote()))
    };
    check(with(Credentials::Token("another".into())), ErrorKind::Unauthorized).await;
    let key = |key: &str| Credentials::GlobalKey { email: EMAIL.into(), key: key.into() };
    check(with(key("another")), ErrorKind::Unauthorized).await;
    with(key(GLOBAL_KEY)).ping().await.unwrap();
}

#[tokio::test]
async fn err_2_no_text_of_the_service_is_shown_that_may_quote_a_value() {
    let server = Scripted::serve(|asked| {
        let errors = serde_json::json!([{"code": 10012, "message": format!("you sent {} {}", asked.path, asked.body)}]);
        (400, JSON, serde_json::json!({"success": false, "errors": errors, "result": null}).to_string())
    })
    .await;
    let mut errors = vec![server.store.set("k", "s3cr3t").await.unwrap_err()];
    let items = ["a", "b"].map(|key| SetItem::new(key, "s3cr3t").metadata(serde_json::json!("s3cr3t")));
    errors.extend(server.store.set_many(items).await.into_iter().map(|result| result.unwrap_err()));
    for error in errors {
        assert!(!format!("{error} {error:?}").contains("s3cr3t"), "{error:?}");
    }
    let shown = server.store.delete("k").await.unwrap_err();
    assert!(shown.message().contains("you sent /values/k"), "what carried no value is shown: {shown}");
}

#[tokio::test]
async fn err_2_the_entry_that_a_read_of_many_failed_at_is_named() {
    let system = System::start().await;
    let store = system.store();
    for (key, value) in [("text", Value::from("v")), ("bytes", Value::from(b"\xFF"))] {
        store.set(key, value).await.unwrap();
    }
    system.server.inject_after(1, Fault::ServerError { status: 500, applied: Applied::No }, 99);
    let error = store.get_many(["text", "bytes"]).await.unwrap_err();
    assert_eq!((error.kind(), error.key()), (ErrorKind::Unavailable, Some("bytes")));
}

#[tokio::test]
async fn err_2_debug_shows_the_store_and_no_credentials() {
    let store = System::start().await.store();
    let shown = format!("{store:?}");
    assert!(shown.contains("CloudflareStore") && !shown.contains(TOKEN), "{shown}");
}
