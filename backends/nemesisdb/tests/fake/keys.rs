//! Lengths, prefixes, and what a key may hold (KEY-1, KEY-2, NS-1).

use kv_api::{ErrorKind, Reason, SetItem, Value};

use crate::harness::{System, open};

#[tokio::test]
async fn key_1_six_bytes_of_utf_8_are_enough_and_five_are_not() {
    let system = System::start().await;
    let store = system.store().await;
    for key in ["sixsix", "ééé", "日本", "      "] {
        store.set(key, key).await.unwrap();
        assert_eq!(store.get(key).await.unwrap(), Some(Value::from(key)));
    }
    assert_eq!(system.server.keys(), ["      ", "sixsix", "ééé", "日本"]);
    let (_, sent) = system
        .counted(async {
            for key in ["short", "éé1"] {
                let limit = Reason::Limit { name: "key_bytes_min".into(), allowed: 6, found: 5 };
                let errors = [
                    store.get(key).await.map(drop).unwrap_err(),
                    store.set(key, 1).await.map(drop).unwrap_err(),
                    store.delete(key).await.map(drop).unwrap_err(),
                    store.get_many(["sixsix", key]).await.map(drop).unwrap_err(),
                ];
                for error in errors {
                    assert_eq!((error.kind(), error.reason()), (ErrorKind::InvalidArgument, Some(&limit)), "{error}");
                }
            }
        })
        .await;
    assert_eq!(sent, 0, "what the server would refuse is refused here");
}

#[tokio::test]
async fn ns_1_a_namespace_makes_short_keys_legal_and_its_store_sees_no_others() {
    let system = System::start().await;
    let sessions = open(system.config().with_namespace("sessions").unwrap()).await.unwrap();
    let users = open(system.config().with_namespace("users").unwrap()).await.unwrap();
    let whole = system.store().await;
    sessions.set("k", "of a session").await.unwrap();
    users.set("k", "of a user").await.unwrap();
    assert_eq!(system.server.keys(), ["sessions:k", "users:k"]);
    assert_eq!(sessions.get("k").await.unwrap(), Some(Value::from("of a session")));
    assert_eq!(sessions.get("users:k").await.unwrap(), None);
    // Without a name the server is seen whole, so what others wrote is reachable.
    assert_eq!(whole.get("users:k").await.unwrap(), Some(Value::from("of a user")));
    system.foreign(r#"{"SET":{"plain_key":7}}"#.to_owned()).await;
    assert_eq!(whole.get("plain_key").await.unwrap(), Some(Value::from(7)));
    assert_eq!(users.get("plain_key").await.unwrap(), None);

    let error = whole.with_prefix("a").set("key", 1).await.unwrap_err();
    assert_eq!(error.reason(), Some(&Reason::Limit { name: "key_bytes_min".into(), allowed: 6, found: 4 }));
    whole.with_prefix("abc").set("key", 1).await.unwrap();
}

#[tokio::test]
async fn chk_2_a_key_that_no_message_can_hold_is_refused_before_it_is_sent() {
    let system = System::start().await;
    let named = open(system.config().with_namespace("sessions").unwrap()).await.unwrap();
    for (store, taken, allowed) in [(system.store().await, 0, 1024), (named, "sessions:".len(), 1015)] {
        // Each of these is six bytes in JSON.
        let fits = "\u{1}".repeat((1012 - taken) / 6);
        let over = "\u{1}".repeat((1012 - taken) / 6 + 1);
        assert_eq!(store.get(&fits).await.unwrap(), None);
        let limit = Reason::Limit { name: "message_bytes_max".into(), allowed, found: 12 + 6 * over.len() as u64 };
        let (_, sent) = system
            .counted(async {
                let many = [fits.as_str(), over.as_str()];
                let errors = [
                    store.get(&over).await.map(drop).unwrap_err(),
                    store.exists(&over).await.map(drop).unwrap_err(),
                    store.delete(&over).await.map(drop).unwrap_err(),
                ];
                for error in errors {
                    assert_eq!((error.reason(), error.key()), (Some(&limit), Some(over.as_str())), "{error}");
                }
                let error = store.get_many(many).await.unwrap_err();
                assert_eq!((error.reason(), error.key()), (Some(&limit), Some(over.as_str())), "{error}");
                let mut deleted = store.delete_many(many).await;
                assert_eq!(deleted.pop().unwrap().unwrap_err().reason(), Some(&limit));
                deleted.pop().unwrap().unwrap();
                let set = store.set_many([SetItem::new(&over, 1)]).await.remove(0).unwrap_err();
                assert!(
                    matches!(set.reason(), Some(Reason::Limit { name, .. }) if name == "message_bytes_max"),
                    "{set}"
                );
            })
            .await;
        assert_eq!(sent, 1, "the delete of the key that fits");
    }
    assert_eq!(system.server.connections(), 2, "nothing was too long for the server");
}
