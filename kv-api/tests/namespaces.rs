//! Typed views: what their default ttl gives way to (NS-4).

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::Duration;

use kv_api::{EntryExpiry, Error, ExpiryPrecedence, ManualClock, Namespace, Store, Timestamp};
use kv_memory::{MemoryConfig, MemoryStore};

#[tokio::test]
async fn ns_4_an_expiry_of_the_request_wins_over_the_default_whatever_the_precedence() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_000)));
    let store = Store::new(MemoryStore::with_config(MemoryConfig::new().with_clock(clock)));
    let at = Timestamp::from_unix_seconds(1_500);
    for precedence in
        [ExpiryPrecedence::ExpireAt, ExpiryPrecedence::Ttl, ExpiryPrecedence::Earliest, ExpiryPrecedence::Reject]
    {
        let store = store.with_expiry_precedence(precedence);
        let view: Namespace<u32, u32> = Namespace::new(&store, "n/").with_ttl(Duration::from_secs(60));
        let expiry = async || {
            let expiry = store.get_entry("n/1").await.unwrap().unwrap().expiry();
            store.delete("n/1").await.unwrap();
            expiry
        };
        let load = async || Ok::<_, Error>(1);
        view.set(&1, &1).expire_at(at).await.unwrap();
        assert_eq!(expiry().await, EntryExpiry::At(at), "{precedence:?}");
        view.get_or_set(&1, load).expire_at(at).await.unwrap();
        assert_eq!(expiry().await, EntryExpiry::At(at), "{precedence:?}");
        view.update(&1, |_| Some(1)).expire_at(at).await.unwrap();
        assert_eq!(expiry().await, EntryExpiry::At(at), "{precedence:?}");
        for ttl in [None, Some(Duration::from_secs(5))] {
            let end = EntryExpiry::At(Timestamp::from_unix_seconds(ttl.map_or(1_060, |_| 1_005)));
            let (set, get_or_set) = (view.set(&1, &1), view.get_or_set(&1, load));
            match ttl {
                None => set.await.unwrap(),
                Some(ttl) => set.ttl(ttl).await.unwrap(),
            };
            assert_eq!(expiry().await, end, "{precedence:?}");
            match ttl {
                None => get_or_set.await.unwrap(),
                Some(ttl) => get_or_set.ttl(ttl).await.unwrap(),
            };
            assert_eq!(expiry().await, end, "{precedence:?}");
        }
    }
}
