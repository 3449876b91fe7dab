//! What is known after each thing that can go wrong (ERR-1 to ERR-5, BATCH-3, BATCH-6).

use std::time::Duration;

use kv_api::{ErrorKind, Reason, Retry, SetItem, SetStatus, Store, Value};
use kv_fakes::puter::{Access, Failures, Grant, Rates, Switches, Tier, USER};
use kv_fakes::{Applied, Fault, Refused};
use kv_puter::RetryPolicy;
use kv_testkit::{RemoteSystem as _, pages};
use serde_json::json;

use crate::harness::{System, TOKEN, open};
use crate::scripted::{Scripted, failure, success};

const KEYS: [&str; 6] = ["k0", "k1", "k2", "k3", "k4", "k5"];

fn items() -> [SetItem<'static>; 6] {
    KEYS.map(|key| SetItem::new(key, key))
}

#[tokio::test]
async fn batch_3_a_bad_thirtieth_item_fails_alone() {
    let system = System::start().await;
    let keys: Vec<String> = (0..60).map(|number| format!("k{number:02}")).collect();
    for bad in [SetItem::new("k".repeat(1025), "v"), SetItem::new("k29", "v".repeat(408_575))] {
        let mut items: Vec<SetItem<'_>> = keys.iter().map(|key| SetItem::new(key, "v")).collect();
        items[29] = bad;
        let (results, sent) = system.counted(system.store().set_many(items)).await;
        for (number, result) in results.into_iter().enumerate() {
            if number == 29 {
                let error = result.unwrap_err();
                assert!(matches!(error.reason(), Some(Reason::Limit { .. })), "{error}");
                assert_eq!((error.index(), error.retry()), (Some(29), Retry::Never));
            } else {
                result.unwrap();
            }
        }
        assert_eq!((system.server.keys().len(), sent), (59, 1));
    }
}

/// A refusal may quote what was sent, and a proxy answers with a page of its own.
#[tokio::test]
async fn err_1_a_long_refusal_says_what_a_short_one_says() {
    let long = "v".repeat(200_000);
    let refused = json!({"error": long, "message": long, "code": "bad_request"});
    let older = json!({"success": false, "error": {"code": "bad_request", "message": long}});
    for refusal in [(400, refused.to_string()), (200, older.to_string())] {
        let long = long.clone();
        let server = Scripted::serve(move |asked| match asked.method {
            "get" if asked.number == 0 => (503, format!("<html>{long}</html>")),
            "get" => success(&json!("v")),
            _ if asked.arguments.to_string().contains("k2") => refusal.clone(),
            _ => success(&json!(true)),
        })
        .await;
        assert_eq!(server.store.get("k").await.unwrap(), Some(Value::from("v")));
        for (item, result) in server.store.set_many(items()).await.into_iter().enumerate() {
            let error = result.err().map(|error| (error.kind(), error.retry()));
            assert_eq!(error, (item == 2).then_some((ErrorKind::InvalidArgument, Retry::Never)), "{item}");
        }
    }
}

#[tokio::test]
async fn batch_4_of_a_repeated_key_the_last_counts() {
    let system = System::start().await;
    let items = [SetItem::new("a", 1), SetItem::new("b", 2), SetItem::new("a", 3)];
    let (results, sent) = system.counted(system.store().set_many(items)).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!((system.raw("a").await, system.raw("b").await, sent), (json!(3), json!(2), 1));
}

/// A system that refuses one item, for a reason that nobody here knows of.
async fn disliking(code: &'static str, bad: fn(&str) -> bool) -> Scripted {
    Scripted::serve(move |asked| {
        let keys: Vec<&str> = match asked.arguments["items"].as_array() {
            Some(items) => items.iter().map(|item| item["key"].as_str().unwrap()).collect(),
            None => vec![asked.arguments["key"].as_str().unwrap()],
        };
        if keys.into_iter().any(bad) { failure(400, code) } else { success(&json!(true)) }
    })
    .await
}

#[tokio::test]
async fn batch_3_an_item_that_only_the_system_refuses_fails_alone() {
    let keys: Vec<String> = (0..250).map(|number| format!("k{number:03}")).collect();
    // What the storage refuses of many may have been preceded by others.
    for (code, retry) in [("bad_request", Retry::Never), ("upstream_bad_request", Retry::OutcomeUnknown)] {
        let server = disliking(code, |key| key == "k137").await;
        for (number, result) in
            server.store.set_many(keys.iter().map(|key| SetItem::new(key, "v"))).await.into_iter().enumerate()
        {
            if number == 137 {
                let error = result.unwrap_err();
                assert_eq!((error.kind(), error.retry()), (ErrorKind::InvalidArgument, retry), "{error}");
                assert_eq!((error.index(), error.key()), (Some(137), Some("k137")));
            } else {
                result.unwrap();
            }
        }
        assert!(server.requests() <= 17, "one, and two for each of eight divisions: {}", server.requests());
    }
}

#[tokio::test]
async fn batch_6_what_the_storage_refuses_of_one_item_was_preceded_by_none() {
    let server = disliking("upstream_bad_request", |_| true).await;
    let error = server.store.set_many([SetItem::new("k", "v")]).await.remove(0).unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::InvalidArgument, Retry::Never), "{error}");
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn batch_3_a_request_that_is_refused_for_many_items_is_not_divided_for_ever() {
    let keys: Vec<String> = (0..250).map(|number| format!("k{number:03}")).collect();
    for (code, retry) in [("bad_request", Retry::Never), ("upstream_bad_request", Retry::OutcomeUnknown)] {
        let server = disliking(code, |_| true).await;
        for result in server.store.set_many(keys.iter().map(|key| SetItem::new(key, "v"))).await {
            let error = result.unwrap_err();
            assert_eq!((error.kind(), error.retry()), (ErrorKind::InvalidArgument, retry), "{error}");
        }
        assert!(server.requests() <= 65, "{}", server.requests());
    }
}

#[tokio::test]
async fn batch_6_a_batch_that_breaks_off_is_written_again_or_unknown() {
    let system = System::start().await;
    let keys: Vec<String> = (0..60).map(|number| format!("k{number:02}")).collect();
    let items = || keys.iter().map(|key| SetItem::new(key, "v"));
    system.server.inject(Fault::BrokenOff { items: 25 }, 1);
    assert!(system.store().set_many(items()).await.iter().all(Result::is_ok));
    assert_eq!(system.server.keys(), keys);

    system.store().clear().await.unwrap();
    system.server.inject(Fault::BrokenOff { items: 25 }, 1);
    let once = system.store_with(|remote| remote.with_retry(RetryPolicy::default().without_unknown_retries()));
    let (results, sent) = system.counted(once.set_many(items())).await;
    assert_eq!((sent, system.server.keys().len()), (1, 25), "what may have been written is not sent again");
    for result in results {
        let error = result.unwrap_err();
        assert!(error.is_outcome_unknown(), "{error}");
    }
}

#[tokio::test]
async fn batch_6_a_storage_that_fails_half_way_leaves_every_item_unknown() {
    // The first has the code of what is refused before anything is written; only its text tells.
    let drained = "Failed to batch write all items to DynamoDB";
    for (status, code, said, kind) in [
        (400, "bad_request", drained, ErrorKind::Unavailable),
        (400, "upstream_provider_unavailable", "AI provider unavailable", ErrorKind::Unavailable),
        (429, "upstream_rate_limited", "said", ErrorKind::RateLimited),
    ] {
        let server = Scripted::serve(move |asked| match asked.number {
            0 => (status, json!({"error": said, "message": said, "code": code}).to_string()),
            _ => success(&json!(true)),
        })
        .await;
        for result in server.store.clone().set_many(items()).await {
            result.unwrap();
        }
        assert_eq!(server.requests(), 2, "{code}: a state is asked for again, whole");

        let server =
            Scripted::serve(move |_| (status, json!({"error": said, "message": said, "code": code}).to_string())).await;
        for result in server.store.set_many(items()).await {
            let error = result.unwrap_err();
            assert_eq!((error.kind(), error.retry()), (kind, Retry::OutcomeUnknown), "{code}: {error}");
        }
    }
}

#[tokio::test]
async fn batch_6_a_lost_answer_leaves_every_item_unknown() {
    let system = System::start().await;
    let store = system.store_with(|remote| remote.with_retry(RetryPolicy::none()));
    for fault in [
        Fault::Cut { applied: Applied::Yes },
        Fault::ServerError { status: 502, applied: Applied::No },
        Fault::Truncated,
        Fault::Garbage,
    ] {
        system.server.inject(fault, 1);
        for result in store.set_many(items()).await {
            assert!(result.unwrap_err().is_outcome_unknown(), "{fault:?}");
        }
    }
    system.server.inject(Fault::Throttled { retry_after: None }, 1);
    for result in store.set_many(items()).await {
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::RateLimited, Retry::Safe));
    }
}

#[tokio::test]
async fn batch_6_deletes_fail_one_by_one() {
    let system = System::start().await;
    let store = system.store_with(|remote| remote.with_retry(RetryPolicy::none()));
    assert!(store.set_many(items()).await.iter().all(Result::is_ok));
    system.server.inject(Fault::Cut { applied: Applied::No }, 2);
    let results = store.delete_many(KEYS).await;
    assert_eq!(results.iter().filter(|result| result.is_err()).count(), 2);
    assert!(results.into_iter().filter_map(Result::err).all(|error| error.is_outcome_unknown()));
    assert_eq!(system.server.keys().len(), 2);
}

#[tokio::test]
async fn err_4_a_step_is_not_repeated() {
    let system = System::start().await;
    let store = system.store().allow_best_effort();
    for fault in [
        Fault::Cut { applied: Applied::Yes },
        Fault::Cut { applied: Applied::No },
        Fault::ServerError { status: 500, applied: Applied::Yes },
        Fault::Truncated,
        Fault::Garbage,
    ] {
        store.delete("c").await.unwrap();
        store.set("k", "v").await.unwrap();
        system.server.inject_into_writes(fault, 1);
        assert!(store.expire("k").ttl(Duration::from_secs(60)).await.unwrap_err().is_outcome_unknown(), "{fault:?}");
        system.server.inject_into_writes(fault, 1);
        let (sum, sent) = system.counted(store.increment("c", 1)).await;
        assert!(sum.unwrap_err().is_outcome_unknown(), "{fault:?}");
        assert_eq!(sent, 2, "{fault:?}: one look, one step");
    }
    // A look that fails has written nothing.
    system.server.inject(Fault::Cut { applied: Applied::No }, 99);
    let error = store.expire("k").never().await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Safe));
}

#[tokio::test]
async fn err_3_a_rate_without_a_word_on_the_wait_is_waited_out() {
    let system = System::start().await;
    let store = system.store();
    store.set("c", 5).await.unwrap();
    system.server.inject(Fault::Throttled { retry_after: None }, 3);
    assert_eq!(store.increment("c", 1).await.unwrap(), 6, "certainly not applied, so a step is repeated too");
    system.server.inject(Fault::Refused { reason: Refused::TooManyAtOnce }, 3);
    assert!(store.set_many(items()).await.iter().all(Result::is_ok));
    system.server.inject(Fault::Throttled { retry_after: None }, 99);
    let error = store.get("c").await.unwrap_err();
    assert_eq!((error.kind(), error.retry(), error.retry_after()), (ErrorKind::RateLimited, Retry::Safe, None));
}

#[tokio::test]
async fn err_3_the_default_policy_outlasts_the_rate_of_the_system() {
    use std::sync::Arc;
    // However slow the machine is: only the waits between the attempts are to end.
    const FOR_EVER: Duration = Duration::from_secs(1_000_000_000);
    let switches = Switches { rates: Rates::Enforced, ..Switches::default() };
    let system = System::start_as(|fake| {
        fake.with_token(TOKEN, Grant::user(USER).with_tier(Tier::Temporary)).with_switches(switches)
    })
    .await;
    // Waits as they are by default, on clocks that only this test moves.
    let patient = RetryPolicy::default()
        .with_attempts_max(9.try_into().unwrap())
        .with_delays(Duration::from_millis(250), Duration::from_secs(8))
        .with_deadline(FOR_EVER);
    let store = system.store_with(|remote| {
        remote.with_retry(patient).with_timer(Arc::new(system.client_clock.clone())).with_request_timeout(FOR_EVER)
    });
    for _ in 0..200 {
        assert_eq!(store.get("k").await.unwrap(), None);
    }
    let call = tokio::spawn(async move { store.get("k").await });
    while !call.is_finished() {
        tokio::task::yield_now().await;
        // The time-out of the attempt and the deadline of the call sleep too.
        system.clock.advance(Duration::from_millis(10));
        system.client_clock.advance(Duration::from_millis(10));
    }
    assert_eq!(call.await.unwrap().unwrap(), None);
}

async fn all_fail(store: &Store, kind: ErrorKind, retry: Retry) {
    let store = store.clone().allow_best_effort();
    let errors = [
        store.get("k").await.unwrap_err(),
        store.exists("k").await.unwrap_err(),
        store.get_many(["k", "l"]).await.unwrap_err(),
        store.set("k", "v").await.unwrap_err(),
        store.set("k", "v").if_exists().await.unwrap_err(),
        store.increment("k", 1).await.unwrap_err(),
        store.expire("k").never().await.unwrap_err(),
        store.set_many(items()).await.remove(5).unwrap_err(),
    ];
    for error in errors {
        assert_eq!((error.kind(), error.retry()), (kind, retry), "{error}");
    }
}

#[tokio::test]
async fn err_1_credit_permission_and_suspension_are_told_apart() {
    for failures in [Failures::Status, Failures::UnderSuccess] {
        let system = System::start_with(Switches { failures, ..Switches::default() }).await;
        let store = system.store();
        for (reason, kind) in [
            (Refused::Unauthorized, ErrorKind::Unauthorized),
            (Refused::SessionEnded, ErrorKind::Unauthorized),
            (Refused::NoCredit, ErrorKind::Exhausted),
            (Refused::Forbidden, ErrorKind::Unauthorized),
            (Refused::Unconfirmed, ErrorKind::Unauthorized),
            (Refused::Suspended, ErrorKind::Unauthorized),
            (Refused::ProgramBlocked, ErrorKind::Unauthorized),
        ] {
            system.server.inject(Fault::Refused { reason }, 99);
            all_fail(&store, kind, Retry::Never).await;
            system.server.inject(Fault::Refused { reason }, 0);
        }
    }
}

#[tokio::test]
async fn err_1_without_credit_an_account_can_still_be_emptied() {
    let system = System::start().await;
    let store = system.store();
    assert!(store.set_many(items()).await.iter().all(Result::is_ok));
    system.server.inject(Fault::Refused { reason: Refused::NoCredit }, 99);
    assert_eq!(store.set("k", "v").await.unwrap_err().kind(), ErrorKind::Exhausted);
    assert_eq!(store.clear().await.unwrap(), 6);
}

#[tokio::test]
async fn err_3_an_overload_is_waited_out_where_nothing_can_be_written_twice() {
    let system = System::start().await;
    let store = system.store_with(|remote| remote.with_retry(RetryPolicy::none()));
    system.server.inject(Fault::Refused { reason: Refused::Overloaded }, 1);
    let read = store.get("k").await.unwrap_err();
    system.server.inject_into_writes(Fault::Refused { reason: Refused::Overloaded }, 1);
    let step = store.increment("k", 1).await.unwrap_err();
    for (error, retry) in [(read, Retry::Safe), (step, Retry::OutcomeUnknown)] {
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, retry));
        assert_eq!(error.retry_after(), Some(Duration::from_secs(5)));
    }
}

#[tokio::test]
async fn err_1_wrong_tokens_are_unauthorized_and_wrong_places_misconfigured() {
    let scoped = Grant::user(USER).with_access(Access::Scoped);
    let system = System::start_as(|fake| {
        fake.with_token(TOKEN, Grant::user(USER))
            .with_token("scoped", scoped)
            .with_token("app", Grant::app(USER, "own"))
    })
    .await;
    all_fail(&open(system.config_of("another")), ErrorKind::Unauthorized, Retry::Never).await;
    all_fail(&open(system.config_of("scoped")), ErrorKind::Unauthorized, Retry::Never).await;
    all_fail(&open(system.config_of("app").with_app("none").unwrap()), ErrorKind::Misconfigured, Retry::Never).await;
    let elsewhere = system.config().with_base_url(&format!("{}/elsewhere", system.server.base_url())).unwrap();
    all_fail(&open(elsewhere), ErrorKind::Misconfigured, Retry::Never).await;
    let own = open(system.config_of("app"));
    own.set("k", "v").await.unwrap();
    assert_eq!(own.get("k").await.unwrap(), Some(Value::from("v")));
}

kv_testkit::remote_tests!(unreachable for System);

#[tokio::test]
async fn list_1_an_empty_page_is_not_the_end() {
    let system = System::start().await;
    let store = system.store();
    assert!(store.set_many(items()).await.iter().all(Result::is_ok));
    system.server.inject(Fault::EmptyPage, 2);
    let pages = pages(&store, "", Some(2)).await;
    let empty = pages.iter().filter(|page| page.is_empty()).count();
    // The limit counts what is looked at, so that the last full page may be followed by an empty one.
    assert_eq!((pages.concat(), empty), (KEYS.map(String::from).to_vec(), 3));
}

#[tokio::test]
async fn list_3_a_cursor_that_the_system_refuses_is_no_longer_valid() {
    for code in ["bad_request", "upstream_bad_request"] {
        let server = Scripted::serve(move |asked| match asked.arguments["cursor"].as_str() {
            Some(_) => failure(400, code),
            None => success(&json!({"items": ["a"], "cursor": "x"})),
        })
        .await;
        let first = server.store.list().await.unwrap();
        let error = server.store.list().cursor(first.cursor.unwrap()).await.unwrap_err();
        assert_eq!((error.kind(), error.reason()), (ErrorKind::InvalidArgument, Some(&Reason::CursorInvalid)));
    }
}

#[tokio::test]
async fn err_2_no_text_of_the_system_is_shown_that_may_quote_a_value() {
    let server = Scripted::serve(|asked| {
        let said = format!("you sent {} {}", asked.method, asked.arguments);
        (400, json!({"error": said, "message": said, "code": said}).to_string())
    })
    .await;
    let mut errors = vec![server.store.set("k", "s3cr3t").await.unwrap_err()];
    let items = ["a", "b"].map(|key| SetItem::new(key, "s3cr3t").metadata(json!("s3cr3t")));
    errors.extend(server.store.set_many(items).await.into_iter().map(|result| result.unwrap_err()));
    for error in errors {
        assert!(!format!("{error} {error:?}").contains("s3cr3t"), "{error:?}");
    }
    let shown = server.store.delete("k").await.unwrap_err();
    assert!(shown.message().contains("you sent del"), "what carried no value is shown: {shown}");
}

#[tokio::test]
async fn batch_3_a_batch_that_only_its_repeat_is_refused_for_is_divided_and_unknown() {
    // Nobody hears of the first batch, which may have been written.
    let server = Scripted::serve(|asked| {
        let names_bad = asked.arguments.to_string().contains(r#""key":"k1""#);
        match asked.number {
            0 => failure(502, "no code of the system"),
            _ if names_bad => failure(400, "bad_request"),
            _ => success(&json!(true)),
        }
    })
    .await;
    for (key, result) in KEYS.iter().zip(server.store.set_many(items()).await) {
        if *key == "k1" {
            let error = result.unwrap_err();
            assert_eq!((error.kind(), error.retry()), (ErrorKind::InvalidArgument, Retry::OutcomeUnknown), "{error}");
        } else {
            result.unwrap();
        }
    }
}

#[tokio::test]
async fn list_2_a_page_that_repeats_or_is_not_in_order_and_a_cursor_that_stays_are_refused() {
    for page in
        [json!({"items": ["a", "a"]}), json!({"items": ["b", "a"], "cursor": "x"}), json!({"items": ["a", "c", "b"]})]
    {
        let server = Scripted::serve(move |_| success(&page)).await;
        let error = server.store.list().await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Protocol, Retry::Safe), "{error}");
    }
    let server = Scripted::serve(|_| success(&json!({"items": [], "cursor": "x"}))).await;
    let first = server.store.list().await.unwrap();
    let error = server.store.list().cursor(first.cursor.unwrap()).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Protocol, Retry::Safe), "{error}");
}

#[tokio::test]
async fn batch_6_a_success_that_cannot_be_read_makes_no_item_written() {
    for said in [
        (206, success(&json!(true)).1),
        (200, "{}".to_owned()),
        (200, json!({"success": true}).to_string()),
        (200, json!({"success": true, "result": "true"}).to_string()),
        (200, r#"{"success":true,"success":true,"result":true}"#.to_owned()),
    ] {
        let answer = said.clone();
        let server = Scripted::serve(move |_| answer.clone()).await;
        for result in server.store.set_many(items()).await {
            let error = result.unwrap_err();
            assert_eq!((error.kind(), error.retry()), (ErrorKind::Protocol, Retry::OutcomeUnknown), "{said:?}");
        }
    }
}

#[tokio::test]
async fn set_6_of_many_sets_through_one_store_one_creates() {
    let system = System::start().await;
    let store = system.store().allow_best_effort();
    let sets = (0..200).map(|number| store.set("k", number).if_not_exists());
    let outcomes = futures_util::future::join_all(sets).await;
    let created: Vec<usize> =
        (0..200).filter(|at| outcomes[*at].as_ref().unwrap().status() == SetStatus::Created).collect();
    assert_eq!(created.len(), 1);
    assert_eq!(store.get("k").await.unwrap(), Some(Value::from(i64::try_from(created[0]).unwrap())));
}

#[tokio::test]
async fn err_2_debug_shows_the_store_and_no_token() {
    let store = System::start().await.store();
    let shown = format!("{store:?}");
    assert!(shown.contains("PuterStore { batch_items_max: 250") && !shown.contains(TOKEN), "{shown}");
}
