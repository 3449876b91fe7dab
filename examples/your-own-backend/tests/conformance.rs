//! Every rule of the contract, on the backend of this example: what it declares works, and the rest is refused.

use kv_api::{Error, ErrorKind, Result, Store, async_trait};
use kv_conformance::{Fixture, Harness, conformance_tests};
use your_own_backend::Folder;

struct Fresh;

#[async_trait]
impl Harness for Fresh {
    async fn open(&self) -> Result<Fixture> {
        let folder = tempfile::tempdir()
            .map_err(|error| Error::new(ErrorKind::Misconfigured, "no temporary folder").with_source(error))?;
        let (main, other) = (folder.path().join("main"), folder.path().to_owned());
        let store = Store::new(Folder::open(&main)?);
        Ok(Fixture::new(store)
            .with_guard(folder)
            .with_reopen(move || std::future::ready(Folder::open(&main).map(Store::new)))
            .with_namespaces(move |name| std::future::ready(Folder::open(other.join(name)).map(Store::new))))
    }
}

conformance_tests!(Fresh);
