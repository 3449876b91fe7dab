//! The first steps: each block does one thing, checks it, and says what it did.
//!
//! ```text
//! cargo run -p quickstart                      # in memory
//! cargo run -p quickstart -- sqlite:app.db     # the same, in a file
//! ```
//!
//! Against Cloudflare KV, Backendless Hive, Puter KV or NemesisDB, or, with no account, against their fakes on this
//! machine. In one terminal:
//!
//! ```text
//! cargo run -p kv-fakes -- cloudflare --port 8787
//! cargo run -p kv-fakes -- backendless --port 8788
//! cargo run -p kv-fakes -- puter --port 8789
//! cargo run -p kv-fakes -- nemesisdb --port 8790
//! ```
//!
//! It prints the credentials and the URLs to use in the other one; the quotation marks keep the shell from reading `?`:
//!
//! ```text
//! CLOUDFLARE_API_TOKEN=fake-cloudflare-token cargo run -p quickstart -- \
//!     'cloudflare://0acc0000000000000000000000000001/0a5e0000000000000000000000000001?base_url=http://127.0.0.1:8787/client/v4'
//! BACKENDLESS_API_KEY=API-KEY cargo run -p quickstart -- \
//!     'backendless://APP-ID@/hive?base_url=http://127.0.0.1:8788/api'
//! PUTER_AUTH_TOKEN=fake-puter-token cargo run -p quickstart -- 'puter://?base_url=http://127.0.0.1:8789'
//! cargo run -p quickstart -- 'nemesisdb://127.0.0.1:8790'
//! ```
#![allow(clippy::print_stdout, reason = "a program that shows what it does")]

use std::time::Duration;

use futures_util::TryStreamExt;
use kv_api::{EntryExpiry, SetStatus, Support, Value};
use serde::{Deserialize, Serialize};
use serde_json::json;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct User {
    name: String,
    admin: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "memory:".to_owned());
    let store = kv_backends::open(&url).await?;
    println!("opened a store of {}", store.capabilities().system);

    // The example can be run again on the same store: it works below a prefix of its own, and begins without its
    // entries.
    let store = store.with_prefix("quickstart/");
    for deleted in store.delete_many(["Japan", "photo", "user/1", "user/2", "visits", "page"]).await {
        deleted?;
    }

    // Where a store can only look first and then write, another program may come in between; that is refused unless we
    // accept it.
    let store = if store.capabilities().if_not_exists == Support::BestEffort {
        println!("conditions have a race window here, which this example accepts");
        store.allow_best_effort()
    } else {
        store
    };

    // Not every store has everything. What it does not support it refuses before anything is sent, so look first.
    let capabilities = store.capabilities();

    // Set with a time to live, but only if the key is free.
    let set = store.set("Japan", "The land of the rising sun").if_not_exists();
    let expires = capabilities.ttl != Support::None;
    let outcome = if expires { set.ttl(Duration::from_secs(100)).await? } else { set.await? };
    assert_eq!(outcome.status(), SetStatus::Created);
    let second = store.set("Japan", "something else").if_not_exists().await?;
    assert_eq!(second.status(), SetStatus::NotMet); // an outcome, not an error
    let how_long = if expires { "100 seconds" } else { "ever: this store knows no expiry" };
    println!("set Japan for {how_long}; the second set found it there and changed nothing");

    // Get. A missing key is None.
    assert_eq!(store.get("Japan").await?, Some(Value::from("The land of the rising sun")));
    assert_eq!(store.get("Atlantis").await?, None);
    println!("got Japan; Atlantis is missing");

    // Metadata lies beside the value and never leaks into it.
    store.set("photo", vec![0xff, 0xd8, 0xff]).metadata(json!({"type": "image/jpeg"})).await?;
    let photo = store.get_entry("photo").await?.ok_or("it was just set")?;
    let metadata = photo.metadata().ok_or("it was set with metadata")?;
    assert_eq!(metadata.as_json_text(), r#"{"type":"image/jpeg"}"#);
    assert!(matches!(photo.expiry(), EntryExpiry::Never | EntryExpiry::Unknown)); // not every store reports it
    println!("the photo is {} with metadata {}", photo.value().kind(), metadata.as_json_text());

    // Typed access goes through serde.
    let ada = User { name: "Ada".to_owned(), admin: true };
    store.set_as("user/1", &ada).await?;
    store.set_as("user/2", &User { name: "Grace".to_owned(), admin: false }).await?;
    assert_eq!(store.get_as::<User>("user/1").await?, Some(ada));
    println!("user/1 came back as the struct it was");

    // List by prefix; pages have a cursor, and `stream()` walks all of them.
    if capabilities.list == Support::None {
        println!("no lists here");
    } else {
        let mut users: Vec<String> =
            store.list().prefix("user/").stream().map_ok(|item| item.key).try_collect().await?;
        users.sort_unstable(); // not every store lists in order
        assert_eq!(users, ["user/1", "user/2"]);
        println!("listed {users:?}");
    }

    // Counters are atomic, and begin at 0.
    if capabilities.counters.is_full() {
        assert_eq!(store.increment("visits", 1).await?, 1);
        assert_eq!(store.increment("visits", 41).await?, 42);
        println!("counted 42 visits");
    } else if let Err(refusal) = store.increment("visits", 1).await {
        println!("no counters here: {refusal}");
    }

    // Compare and set: of two who read the same version, one is too late and knows it.
    if capabilities.if_version.is_full() {
        let version = store.set("page", "first draft").await?.version().ok_or("this store has versions")?.clone();
        let mine = store.set("page", "my draft").if_version(version.clone()).await?;
        let theirs = store.set("page", "their draft").if_version(version).await?;
        assert!(mine.is_written() && !theirs.is_written());
        assert_eq!(store.get("page").await?, Some(Value::from("my draft")));
        println!("of two drafts on one version, the second was refused");
    } else {
        println!("no versions here, so no compare and set");
    }

    store.close().await?;
    println!("done");
    Ok(())
}
