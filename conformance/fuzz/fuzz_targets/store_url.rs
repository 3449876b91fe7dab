//! Store URLs, through the settings of every backend. Nothing of a URL is echoed (ERR-2).
#![no_main]

use kv_api::StoreUrl;
use kv_fuzz::{SECRET, assert_silent, assert_unsaid, bounded};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let url: StoreUrl = match bounded(input.len(), 16, || text.parse()) {
        Ok(url) => url,
        Err(error) => return assert_silent(&error),
    };
    assert_unsaid(&format!("{url} {url:?}"));
    let authorities = bounded(input.len(), 512, || url.authorities());
    let names_it = |part: &str| part.contains(SECRET);
    let mut is_named = url.segments().iter().any(|part| names_it(part)) || names_it(url.rest());
    match &authorities {
        Err(error) => assert_silent(error),
        Ok(nodes) => is_named |= nodes.iter().flatten().any(|node| names_it(node.host())),
    }
    if let Err(error) = url.authority() {
        assert_silent(&error);
    }
    let finished = [
        kv_cloudflare::CloudflareConfig::from_url(url.clone()).map(|config| format!("{config:?}")),
        kv_backendless::BackendlessConfig::from_url(url.clone()).map(|config| format!("{config:?}")),
        kv_puter::PuterConfig::from_url(url.clone()).map(|config| format!("{config:?}")),
        kv_nemesisdb::NemesisdbConfig::from_url(url.clone()).map(|config| format!("{config:?}")),
        kv_redis::RedisConfig::from_url(url.clone()).map(|config| format!("{config:?}")),
        kv_postgres::PostgresConfig::from_url(url.clone()).map(|config| format!("{config:?}")),
        kv_sqlite::SqliteConfig::from_url(url.clone()).map(|config| format!("{config:?}")),
        kv_memory::MemoryConfig::from_url(url).map(|config| format!("{config:?}")),
    ];
    assert!(finished.iter().filter(|config| config.is_ok()).count() <= 1, "a URL is of one backend");
    for config in finished {
        match config {
            Err(error) => assert_silent(&error),
            // A host, a path or a database may be shown; a password or an option may not.
            Ok(config) if !is_named => assert_unsaid(&config),
            Ok(_) => {}
        }
    }
});
