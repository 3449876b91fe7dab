//! Every rule of the contract, on the backend of this example: what it declares works, and the rest is refused.

use std::future::ready;
use std::path::{Path, PathBuf};

use futures_util::FutureExt;
use kv_api::{Error, ErrorKind, Result, Store, async_trait};
use kv_conformance::{Fixture, Harness, Means, conformance_tests};
use your_own_backend::Folder;

struct Fresh;

#[async_trait]
impl Harness for Fresh {
    async fn open(&self) -> Result<Fixture> {
        let folder = tempfile::tempdir()
            .map_err(|error| Error::new(ErrorKind::Misconfigured, "no temporary folder").with_source(error))?;
        let (main, other) = (folder.path().join("main"), folder.path().to_owned());
        let foreign = main.clone();
        let store = Store::new(Folder::open(&main).await?);
        Ok(Fixture::new(store)
            .embedded()
            .without(Means::ForeignTypeWriter, "a file whose name is a key holds a value")
            .with_foreign_writer(move |key, text| ready(write(&foreign, &key, &text)))
            .with_guard(folder)
            .with_reopen(move || open(main.clone()))
            .with_namespaces(move |name| open(other.join(name))))
    }
}

/// What another program writes into the folder.
fn write(folder: &Path, key: &str, text: &str) -> Result<()> {
    let name: String = key.bytes().map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(folder.join(name), format!("t{text}"))
        .map_err(|error| Error::new(ErrorKind::Internal, "the file was not written").with_source(error))
}

async fn open(folder: PathBuf) -> Result<Store> {
    Ok(Store::new(Folder::open(folder).await?))
}

conformance_tests!(Fresh);

/// While a slow write waits for its disk, everything else on the thread goes on.
#[test]
fn no_call_blocks_its_thread() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    runtime.block_on(async {
        let store = open(folder.path().to_owned()).await.unwrap();
        let mut write = store.set("key", vec![0u8; 1 << 20]);
        // Whatever the speed of the disk: a call that did its work here would have ended at its first poll.
        assert!((&mut write).now_or_never().is_none());
        write.await.unwrap();
    });
}

/// However the folder is named, a cursor fits it (NS-3).
#[cfg(unix)]
#[tokio::test]
async fn one_folder_under_two_names_is_one_store_to_cursors() {
    let parent = tempfile::tempdir().unwrap();
    let (folder, link) = (parent.path().join("folder"), parent.path().join("link"));
    let store = open(folder.clone()).await.unwrap();
    std::os::unix::fs::symlink(&folder, &link).unwrap();
    for key in ["a", "b"] {
        store.set(key, "").await.unwrap();
    }
    let cursor = store.list().limit(1).await.unwrap().cursor.unwrap();
    for name in [link, folder.join("../folder")] {
        let page = open(name).await.unwrap().list().cursor(cursor.clone()).await.unwrap();
        assert_eq!(page.items.iter().map(|item| item.key.as_str()).collect::<Vec<_>>(), ["b"]);
    }
}
