//! Stores, opened by their URLs.

use std::time::Duration;

use kv_api::{Escaped, RequestRate, StoreUrl};
use kv_gateway::Namespace;
use kv_layers::{Cached, RateLimited};

use super::exit::Refused;
use super::settings::NamespaceSettings;

/// All of them, or why one cannot be opened.
pub(crate) async fn all(settings: Vec<NamespaceSettings>) -> Result<Vec<Namespace>, Refused> {
    let mut namespaces = Vec::with_capacity(settings.len());
    for settings in settings {
        namespaces.push(one(&settings).await?);
    }
    Ok(namespaces)
}

async fn one(settings: &NamespaceSettings) -> Result<Namespace, Refused> {
    let name = &settings.given.name;
    let refused = |error: &kv_api::Error| Refused::by_store(&Escaped(name).to_string(), error);
    let url: StoreUrl = settings.given.url().parse().map_err(|error| refused(&error))?;
    let mut store = kv_backends::open(settings.given.url()).await.map_err(|error| refused(&error))?;
    if let Some(requests) = settings.requests_per_second {
        store = store.layer(&RateLimited::new(RequestRate::new(requests.get(), Duration::from_secs(1))));
    }
    // Before the limit, so that what is kept costs no request.
    if let Some(seconds) = settings.cache_seconds {
        store = store.layer(&Cached::new().with_ttl(Duration::from_secs(seconds.get())));
    }
    let namespace = Namespace::new(name, store, shown(&url));
    let namespace = namespace.map_err(|error| Refused::usage(error.to_string()))?;
    Ok(if settings.is_read_only { namespace.read_only() } else { namespace })
}

/// A store by what tells it from others, without its secrets (ERR-2). A file knows none.
fn shown(url: &StoreUrl) -> String {
    match url.scheme() {
        scheme @ "sqlite" => format!("{scheme}:{}", Escaped(url.rest())),
        scheme if url.rest().is_empty() => format!("{scheme}:"),
        scheme if !url.rest().starts_with("//") => format!("{scheme}:..."),
        _ => url.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn err_2_a_url_is_shown_without_its_secrets() {
        for (url, expected) in [
            ("memory:?like=cloudflare", "memory:"),
            ("sqlite:data/app.db?namespace=n", "sqlite:data/app.db"),
            ("redis://user:hunter2@db.example/0", "redis://...@db.example/..."),
            ("redis:user:hunter2@host", "redis:..."),
        ] {
            assert_eq!(shown(&url.parse().unwrap()), expected);
        }
    }
}
