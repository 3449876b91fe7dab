//! Uses the backend of `lib.rs` as any other: `cargo run -p your-own-backend -- some-folder`.

use futures_util::TryStreamExt;
use kv_api::{ErrorKind, Store};
use your_own_backend::Folder;

#[tokio::main(flavor = "current_thread")]
#[allow(clippy::print_stdout, reason = "a program may speak to its user")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: your-own-backend <folder>")?;
    let store = Store::new(Folder::open(folder).await?);

    let first = store.set("greeting", "hello").if_not_exists().await?;
    println!("written: {}", first.is_written());
    println!("greeting: {:?}", store.get_as::<String>("greeting").await?);

    // What the store does not support is refused before the adapter hears of it.
    match store.increment("visits", 1).await {
        Err(error) if error.kind() == ErrorKind::Unsupported => println!("{error}"),
        other => println!("{other:?}"),
    }

    let keys: Vec<String> = store.list().stream().map_ok(|item| item.key).try_collect().await?;
    println!("keys: {keys:?}");
    store.close().await?;
    Ok(())
}
