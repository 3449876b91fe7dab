//! What `open` makes of a URL, in each combination of features.

use kv_backends::{ErrorKind, Reason};

async fn refusal(url: &str) -> kv_backends::Error {
    kv_backends::open(url).await.expect_err("it must be refused")
}

#[tokio::test]
async fn an_unknown_scheme_is_refused_and_the_built_in_ones_are_named() {
    let error = refusal("gopher://host").await;
    assert_eq!((error.kind(), error.reason()), (ErrorKind::InvalidArgument, Some(&Reason::UnknownScheme)));
    for scheme in kv_backends::schemes() {
        assert!(error.to_string().contains(scheme), "{error}");
    }
    if kv_backends::schemes().is_empty() {
        assert!(error.to_string().contains("built in: none"), "{error}");
    }
}

#[tokio::test]
async fn what_is_no_url_is_refused() {
    for text in ["", "app.db", ":memory:", "memory"] {
        assert_eq!(refusal(text).await.kind(), ErrorKind::InvalidArgument, "{text:?}");
    }
}

#[tokio::test]
async fn a_backend_that_is_switched_off_names_its_feature() {
    for feature in ["memory", "sqlite", "cloudflare", "backendless", "puter", "nemesisdb"] {
        if kv_backends::schemes().contains(&feature) {
            continue; // the tests below open it
        }
        let error = refusal(&format!("{feature}:")).await;
        assert_eq!((error.kind(), error.reason()), (ErrorKind::InvalidArgument, Some(&Reason::UnknownScheme)));
        assert!(error.to_string().contains(&format!("enable the feature {feature:?}")), "{error}");
    }
}

#[cfg(feature = "memory")]
#[tokio::test]
async fn memory_opens_and_the_scheme_may_be_in_capitals() {
    for url in ["memory:", "MEMORY:"] {
        let store = kv_backends::open(url).await.unwrap();
        assert_eq!(store.capabilities().system, "memory");
        store.set("k", "v").await.unwrap();
        assert!(store.exists("k").await.unwrap());
    }
}

#[cfg(feature = "memory")]
#[tokio::test]
async fn every_memory_url_is_a_store_of_its_own() {
    let (one, other) = (kv_backends::open("memory:").await.unwrap(), kv_backends::open("memory:").await.unwrap());
    one.set("k", "v").await.unwrap();
    assert!(!other.exists("k").await.unwrap());
}

#[cfg(feature = "memory")]
#[tokio::test]
async fn a_misspelt_option_is_refused() {
    let error = refusal("memory:?entrys_max=1").await;
    assert_eq!(error.reason(), Some(&Reason::UnknownOption));
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn sqlite_opens_by_its_url_and_keeps_what_it_was_given() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", directory.path().join("app.db").display());
    let store = kv_backends::open(&url).await.unwrap();
    assert_eq!(store.capabilities().system, "sqlite");
    store.set("k", "v").await.unwrap();
    store.close().await.unwrap();

    let store = kv_backends::open(&url).await.unwrap();
    assert_eq!(store.get("k").await.unwrap(), Some(kv_backends::Value::from("v")));
}
