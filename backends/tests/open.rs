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
    let same = ["memory", "sqlite", "redis", "postgres", "cloudflare", "backendless", "puter", "nemesisdb"];
    let others =
        [("rediss", "redis"), ("redis-cluster", "redis"), ("rediss-cluster", "redis"), ("postgresql", "postgres")];
    for (scheme, feature) in same.map(|name| (name, name)).into_iter().chain(others) {
        if kv_backends::schemes().contains(&scheme) {
            continue; // the tests below open it
        }
        let error = refusal(&format!("{scheme}:")).await;
        assert_eq!((error.kind(), error.reason()), (ErrorKind::InvalidArgument, Some(&Reason::UnknownScheme)));
        assert!(error.to_string().contains(&format!("enable the feature {feature:?}")), "{error}");
    }
}

#[tokio::test]
async fn err_2_no_part_of_a_url_is_shown_wherever_a_secret_stands() {
    let mut urls: Vec<String> = [
        "hunter2",
        "hunter2:",
        "hunter2:@host/db",
        "user:hunter2@host/db",
        "hunter2@host:80/db",
        "hunter2://host",
        "?hunter2=1",
    ]
    .map(str::to_owned)
    .to_vec();
    for scheme in kv_backends::schemes() {
        for rest in [
            "hunter2:hunter2@host/x",
            "//hunter2@host/a/b",
            "//user:hunter2@host/a/b",
            "//user:hunter2/db",
            "//host:hunter2/db",
            "//host/a/hunter2/b",
            "?hunter2=1",
            "//host/a?hunter2=1",
            "//host/a?hunter2",
            "//host/a?best_effort=hunter2",
            "//host/a?min_ttl=hunter2",
            "?like=hunter2",
            "?like=cloudflare&stale_reads=hunter2",
            "//host/a?namespace=hunter2:/hunter2&hunter2=1",
            "//host/a?base_url=hunter2",
            "//host/a?base_url=ftp://host/hunter2",
            "//host/a?base_url=http://user:hunter2@host/hunter2",
        ] {
            urls.push(format!("{scheme}:{rest}"));
        }
    }
    for url in urls {
        match kv_backends::open(&url).await {
            Err(error) => assert!(!format!("{error} {error:?}").contains("hunter2"), "{url}: {error:?}"),
            // A SQLite URL without slashes is the name of a file.
            Ok(_) => assert!(url.starts_with("sqlite:hunter2"), "{url} is no store"),
        }
    }
}

#[test]
fn outside_a_runtime_a_backend_that_needs_one_says_so() {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    let opened_outside = |url: &str| {
        let mut opening = pin!(kv_backends::open(url));
        match opening.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(opened) => opened,
            Poll::Pending => panic!("{url}: it waits for what will never come"),
        }
    };
    for scheme in kv_backends::schemes() {
        let url = match *scheme {
            "memory" => {
                assert!(opened_outside("memory:").is_ok(), "it needs no runtime");
                continue;
            }
            "sqlite" => "sqlite:never-made.db",
            "nemesisdb" => "nemesisdb://127.0.0.1:1",
            "redis" => "redis://127.0.0.1:1",
            "rediss" => "rediss://127.0.0.1:1",
            "redis-cluster" => "redis-cluster://127.0.0.1:1",
            "rediss-cluster" => "rediss-cluster://127.0.0.1:1",
            "postgres" => "postgres://user@127.0.0.1:1/db",
            "postgresql" => "postgresql://user@127.0.0.1:1/db",
            "backendless" => "backendless://xxxx.backendless.app/hive",
            // These are opened with a credential of the environment, which is asked for first.
            _ => continue,
        };
        let error = opened_outside(url).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
        assert!(error.to_string().contains("needs a tokio runtime"), "{error}");
    }
    assert!(!std::path::Path::new("never-made.db").exists());
}

#[cfg(feature = "memory")]
#[tokio::test]
async fn a_url_says_what_the_handle_may_do() {
    use std::time::Duration;
    let store = kv_backends::open("memory:?min_ttl=round_up&best_effort=true&entries_max=1").await.unwrap();
    let least = kv_backends::Capabilities::new("least")
        .with_value_kinds(kv_backends::ValueKinds::ALL)
        .with_ttl(kv_backends::Support::Native)
        .with_expiry_min(Duration::from_secs(60))
        .with_if_not_exists(kv_backends::Support::BestEffort);
    let attempt = |store: kv_backends::Store| async move {
        store.restricted_to([&least.clone()]).set("k", "v").ttl(Duration::from_secs(1)).if_not_exists().await
    };
    assert!(attempt.clone()(store).await.unwrap().is_written());
    let store = kv_backends::open("memory:?min_ttl=reject&best_effort=true").await.unwrap();
    assert_eq!(attempt.clone()(store).await.unwrap_err().kind(), ErrorKind::InvalidArgument);
    for url in ["memory:", "memory:?best_effort=false", "memory:?min_ttl=round_up"] {
        let store = kv_backends::open(url).await.unwrap();
        assert_eq!(attempt.clone()(store).await.unwrap_err().kind(), ErrorKind::Unsupported, "{url}");
    }
    for url in ["memory:?best_effort=yes", "memory:?min_ttl=60", "memory:?best_effort=true&best_effort=true"] {
        assert_eq!(refusal(url).await.reason(), Some(&Reason::UnknownOption), "{url}");
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

#[cfg(feature = "memory")]
#[tokio::test]
async fn a_backend_is_opened_by_its_url_and_a_choice_of_a_handle_is_refused() {
    use kv_backends::{BackendExt, Stack, open_backend};
    let store = open_backend("memory:").await.unwrap().layer(&Stack::new()).into_store();
    store.set("k", "v").await.unwrap();
    assert!(store.exists("k").await.unwrap());
    for (url, named) in
        [("memory:?best_effort=true", "allow_best_effort"), ("memory:?min_ttl=round_up", "with_min_ttl")]
    {
        let error = open_backend(url).await.unwrap_err();
        assert_eq!(error.reason(), Some(&Reason::UnknownOption), "{error}");
        assert!(error.to_string().contains(named), "{error}");
    }
    assert_eq!(open_backend("gopher:x").await.unwrap_err().reason(), Some(&Reason::UnknownScheme));
}

#[cfg(all(feature = "memory", not(feature = "layers")))]
#[tokio::test]
async fn what_memory_cannot_be_like_without_layers_names_the_feature() {
    for url in ["memory:?like=cloudflare", "memory:?stale_reads=1"] {
        let error = refusal(url).await;
        assert_eq!(error.reason(), Some(&Reason::UnknownOption));
        assert!(error.to_string().contains("\"layers\""), "{error}");
    }
}
