//! What help and man page say beside the options.

use super::exit::Exit;

/// What a person needs to know of the stores of a scheme.
struct System {
    scheme: &'static str,
    example: &'static str,
    /// Where it is, and which environment variables hold its credentials.
    about: &'static str,
}

const SYSTEMS: [System; 9] = [
    System { scheme: "memory", example: "memory:", about: "in this process, gone with it" },
    System { scheme: "sqlite", example: "sqlite:app.db?namespace=users", about: "a file" },
    System {
        scheme: "redis",
        example: "redis://HOST?namespace=users",
        about: "Redis, or rediss:// over TLS; REDIS_USERNAME, REDIS_PASSWORD",
    },
    System {
        scheme: "redis-cluster",
        example: "redis-cluster://HOST1,HOST2?namespace=users",
        about: "a Redis Cluster, or rediss-cluster:// over TLS; as for Redis",
    },
    System {
        scheme: "postgres",
        example: "postgres://USER@HOST/DATABASE?namespace=users",
        about: "PostgreSQL, or postgresql://; PGPASSWORD, PGPASSFILE and the like",
    },
    System {
        scheme: "cloudflare",
        example: "cloudflare://ACCOUNT/NAMESPACE",
        about: "Workers KV; CLOUDFLARE_API_TOKEN, or CLOUDFLARE_EMAIL and CLOUDFLARE_API_KEY",
    },
    System {
        scheme: "backendless",
        example: "backendless://APP-ID@HOST/HIVE",
        about: "a hive; BACKENDLESS_API_KEY, and BACKENDLESS_USER_TOKEN for a user of the application",
    },
    System { scheme: "puter", example: "puter:///APP", about: "Puter KV; PUTER_AUTH_TOKEN" },
    System { scheme: "nemesisdb", example: "nemesisdb://HOST:1987", about: "NemesisDB; knows no credentials" },
];

/// Below the short help.
pub(crate) fn brief() -> String {
    let schemes = kv_backends::schemes().join(":, ");
    format!("Stores: {schemes}:. Credentials come from the environment. Examples and exit codes: --help.")
}

/// Below the long help, and in the man page.
pub(crate) fn full() -> String {
    let mut text = "Examples:\n  \
        kv-migrate copy sqlite:app.db backup.jsonl.gz\n  \
        kv-migrate copy --verify backup.jsonl.gz sqlite:new.db\n  \
        zcat dump.jsonl.gz | kv-migrate import sqlite:app.db\n\n\
        Stores, and the environment variables with their credentials:\n"
        .to_owned();
    for System { example, about, .. } in SYSTEMS.iter().filter(|system| is_built_in(system)) {
        text.push_str(&format!("  {example}\n      {about}\n"));
    }
    text.push_str("\nExit codes:\n");
    for exit in Exit::ALL {
        text.push_str(&format!("  {:<3}  {}\n", exit.code(), exit.meaning()));
    }
    text.truncate(text.trim_end().len());
    text
}

fn is_built_in(system: &System) -> bool {
    kv_backends::schemes().contains(&system.scheme)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scheme_has_an_example_that_begins_with_it_or_is_named_beside_one() {
        for System { scheme, example, .. } in &SYSTEMS {
            assert!(kv_backends::schemes().contains(scheme), "{scheme}");
            assert!(example.starts_with(&format!("{scheme}:")), "{example}");
        }
        for scheme in kv_backends::schemes() {
            let is_named =
                |system: &System| system.scheme == *scheme || system.about.contains(&format!(", or {scheme}://"));
            assert!(SYSTEMS.iter().any(is_named), "{scheme}");
        }
    }
}
