//! `run`: the suite against the store at a URL.

use std::io::{self, Write};

use kv_api::Store;
use kv_conformance::{Fixture, Harness, async_trait, run_all};

use crate::arguments::RunArguments;
use crate::exit::Exit;

/// Runs the suite on a runtime of its own: the races find more on several threads.
pub(crate) fn main(arguments: &RunArguments) -> Exit {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(run(arguments)),
        Err(error) => {
            tell!("error: cannot start: {error}");
            Exit::Stopped
        }
    }
}

async fn run(arguments: &RunArguments) -> Exit {
    let store = match open(&arguments.url).await {
        Ok(store) => store,
        Err(error) => {
            tell!("error: {error}");
            return Exit::of_store(&error);
        }
    };
    let harness = Live { store, prefix: format!("{:08x}/", fastrand::u32(..)) };
    let report = run_all(&harness).await;
    if harness.store.capabilities().list.is_full()
        && let Err(error) = harness.store.with_prefix(harness.prefix.as_str()).clear().await
    {
        tell!("error: keys that begin with {:?} could not be removed: {error}", harness.prefix);
    }
    // A reader that is gone changes nothing.
    let _ = writeln!(io::stdout(), "{report}");
    if report.is_ok() { Exit::Kept } else { Exit::Broken }
}

async fn open(url: &str) -> kv_api::Result<Store> {
    let store = kv_backends::open(url).await?;
    store.ping().await?;
    Ok(store)
}

/// Stores at a URL, each below a prefix of its own.
struct Live {
    store: Store,
    prefix: String,
}

#[async_trait]
impl Harness for Live {
    async fn open(&self) -> kv_api::Result<Fixture> {
        Ok(Fixture::new(self.store.with_prefix(&format!("{}{:08x}/", self.prefix, fastrand::u32(..)))))
    }
}
