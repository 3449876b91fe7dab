//! What a real server said, said again to the store. Its own reading of the recordings: the fake has another.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kv_api::{DeleteOutcome, SetItem, SetStatus, Store, Value};
use serde_json::{Map, Value as Json};

use crate::harness::open;
use crate::scripted::{Says, serve};

/// One command of a recorded message.
enum Recorded {
    Pairs(SetStatus, Map<String, Json>),
    Keys(Vec<String>),
    Removed(Vec<String>),
    Info,
}

/// What a store can say of what was sent; `None` where the contract refuses it: keys that are short, repeated or none,
/// and null.
fn sayable(sent: &Json) -> Option<Recorded> {
    let message = sent.as_object().filter(|message| message.len() == 1)?;
    let (command, body) = message.iter().next()?;
    let keys = |body: &Json| -> Option<Vec<String>> {
        let keys: Vec<String> =
            body.as_array()?.iter().map(|key| key.as_str().map(str::to_owned)).collect::<Option<_>>()?;
        let distinct: BTreeSet<&String> = keys.iter().collect();
        (distinct.len() == keys.len() && !keys.is_empty() && keys.iter().all(|key| key.len() >= 6)).then_some(keys)
    };
    let pairs = |body: &Json| {
        let pairs = body.as_object()?;
        // An integer beyond 64 bits is refused, where the parser of this test has kept it as one.
        let is_taken = |value: &Json| !value.is_null() && Value::from_json_text(&value.to_string()).is_ok();
        let fits = |(key, value): (&String, &Json)| key.len() >= 6 && is_taken(value);
        (!pairs.is_empty() && pairs.iter().all(fits)).then(|| pairs.clone())
    };
    match command.as_str() {
        "SET" => pairs(body).map(|pairs| Recorded::Pairs(SetStatus::Updated, pairs)),
        "ADD" => pairs(body).map(|pairs| Recorded::Pairs(SetStatus::NotMet, pairs)),
        "GET" => keys(body).map(Recorded::Keys),
        "RMV" => keys(body).map(Recorded::Removed),
        "SERVER_INFO" if body.as_object().is_some_and(Map::is_empty) => Some(Recorded::Info),
        _ => None,
    }
}

/// Of one message all that does not depend on an order that is not the server's to keep.
fn without_order(text: &str) -> Option<Json> {
    let mut message: Json = serde_json::from_str(text).ok()?;
    for body in message.as_object_mut()?.values_mut() {
        if let Some(keys) = body.as_array_mut() {
            keys.sort_unstable_by_key(Json::to_string);
        }
    }
    Some(message)
}

/// The status that was recorded for a key.
fn status(received: &[Json], key: &str) -> u64 {
    let body = received.iter().filter_map(|message| message.as_object()?.values().next());
    body.filter(|body| body["k"] == key).find_map(|body| body["st"].as_u64()).unwrap()
}

/// The value that was recorded for a key, where it was found.
fn value(received: &[Json], key: &str) -> Option<Json> {
    received.iter().find_map(|message| message["GET_RSP"].get(key).cloned())
}

async fn replay(store: &Store, recorded: Recorded, received: &[Json], what: &str) {
    match recorded {
        Recorded::Pairs(otherwise, pairs) => {
            let adds = otherwise == SetStatus::NotMet;
            let item = |(key, value): (&String, &Json)| {
                let item = SetItem::new(key.clone(), value.clone());
                if adds { item.if_not_exists() } else { item }
            };
            let outcomes = store.set_many(pairs.iter().map(item)).await;
            for (key, outcome) in pairs.keys().zip(outcomes) {
                let expected = if status(received, key) == 1 { SetStatus::Created } else { otherwise };
                assert_eq!(outcome.unwrap().status(), expected, "{what}: {key:?}");
            }
        }
        Recorded::Keys(keys) => {
            let found = store.get_many(keys.iter().map(String::as_str)).await.unwrap();
            for (key, found) in keys.iter().zip(found) {
                assert_eq!(found, value(received, key).map(Value::from), "{what}: {key:?}");
            }
        }
        Recorded::Removed(keys) => {
            let outcomes = store.delete_many(keys.iter().map(String::as_str)).await;
            for (key, outcome) in keys.iter().zip(outcomes) {
                let there = status(received, key) == 5;
                let expected = if there { DeleteOutcome::Deleted } else { DeleteOutcome::NotFound };
                assert_eq!(outcome.unwrap(), expected, "{what}: {key:?}");
            }
        }
        Recorded::Info => store.ping().await.unwrap(),
    }
}

#[tokio::test]
async fn the_store_takes_what_a_real_server_said() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/recordings/nemesisdb");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let (mut said, mut keys) = (0, 0);
    for file in files {
        let exchanges: Vec<Json> = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let texts: Arc<Vec<(Option<Json>, Vec<String>)>> = Arc::new(
            exchanges
                .iter()
                .map(|exchange| {
                    let receive = exchange["receive"].as_array().unwrap();
                    let receive = receive.iter().map(|text| text.as_str().unwrap().to_owned()).collect();
                    (exchange["send"].as_str().and_then(without_order), receive)
                })
                .collect(),
        );
        let at = Arc::new(AtomicUsize::new(0));
        let (script, now) = (Arc::clone(&texts), Arc::clone(&at));
        let config = serve(move |_, text| {
            let (expected, receive) = &script[now.load(Ordering::Acquire)];
            assert_eq!(without_order(text).as_ref(), expected.as_ref(), "what the store sends");
            Says::texts(receive.clone())
        })
        .await;
        let store = open(config.with_message_bytes_max(65_536).unwrap()).await.unwrap();
        for (number, exchange) in exchanges.iter().enumerate() {
            let sent = exchange["send"].as_str().and_then(|text| serde_json::from_str(text).ok());
            let Some(recorded) = sent.as_ref().and_then(sayable) else { continue };
            if exchange.get("closed").is_some() || exchange.get("frame").is_some() || texts[number].1.is_empty() {
                continue;
            }
            at.store(number, Ordering::Release);
            let received: Vec<Json> = texts[number].1.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
            let what = format!("{}, exchange {number}", file.display());
            replay(&store, recorded, &received, &what).await;
            (said, keys) = (said + 1, keys + received.len());
        }
        store.close().await.unwrap();
    }
    assert!(said >= 60 && keys >= 80, "{said} messages and {keys} replies were said again");
}
