//! `run`: the suite against the store at a URL.

use kv_api::Store;
use kv_conformance::{Fixture, Harness, Suite, async_trait};

use crate::arguments::RunArguments;
use crate::exit::Exit;
use crate::render::Column;

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
    let report = Suite::new().with_probe().run(&harness).await;
    if harness.store.capabilities().list.is_full()
        && let Err(error) = harness.store.with_prefix(harness.prefix.as_str()).clear().await
    {
        tell!("error: keys that begin with {:?} could not be removed: {error}", harness.prefix);
    }
    let is_ok = report.is_ok();
    let report = if arguments.stable { report.without_figures_of_this_run() } else { report };
    if let Err(error) = arguments.output.write(&[Column::alone(&report)]) {
        tell!("error: {error}");
        return Exit::Usage;
    }
    if is_ok { Exit::Kept } else { Exit::Broken }
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
