//! What a stop on the way is: a store, a file, or standard input or output.

use std::fs;
use std::path::{Path, PathBuf};

use kv_api::{Escaped, Store, StoreUrl};
use kv_migrate::{BulkFormat, BulkReader};

/// A stop as it was written.
#[derive(Debug, PartialEq)]
pub(crate) enum Stop {
    /// The URL, and how to show it: without secrets (ERR-2).
    Store {
        url: String,
        shown: String,
    },
    File(PathBuf),
    Stdio,
}

/// A stop that can be copied from or to.
pub(crate) enum Opened {
    Store(Store),
    File(PathBuf),
    Stdio,
}

/// Reads the stops of a command, and refuses what cannot work before anything is touched.
pub(crate) fn parse_all(texts: &[String], verify: bool) -> Result<Vec<Stop>, String> {
    if texts.len() < 2 {
        return Err("a copy needs a stop to copy from and one to copy to".to_owned());
    }
    let stops = texts.iter().map(|text| Stop::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let last = stops.len() - 1;
    for (position, stop) in stops.iter().enumerate() {
        match stop {
            Stop::Stdio if position != 0 && position != last => {
                return Err("- can only be the first stop (standard input) or the last (standard output)".to_owned());
            }
            Stop::Stdio if verify => {
                return Err("--verify reads source and target again, and - cannot be read again".to_owned());
            }
            Stop::File(path) if position != 0 && BulkFormat::of_path(path).is_none() => {
                return Err(format!(
                    "{}: the name does not say in which format to write: end it in .json, .jsonl or .ndjson, \
                     and .gz after that for gzip",
                    path.display()
                ));
            }
            _ => {}
        }
    }
    for step in stops.windows(2) {
        if let [Stop::File(from), Stop::File(to)] = step
            && is_same_file(from, to)
        {
            return Err(format!(
                "{}: source and target are the same file; whatever is not copied, such as by --prefix, would be lost",
                to.display()
            ));
        }
    }
    Ok(stops)
}

/// Also by another path or link. What does not exist is no file yet.
fn is_same_file(left: &Path, right: &Path) -> bool {
    #[cfg(unix)]
    if let (Ok(left), Ok(right)) = (fs::metadata(left), fs::metadata(right)) {
        use std::os::unix::fs::MetadataExt;
        return left.is_file() && (left.dev(), left.ino()) == (right.dev(), right.ino());
    }
    matches!((fs::canonicalize(left), fs::canonicalize(right)), (Ok(left), Ok(right)) if left == right)
}

impl Stop {
    /// The scheme of a backend that is built in makes a store URL. Otherwise a name with a known ending, or of a file
    /// that exists, is a file. What is left is an error: a misspelt scheme must not become the name of a file.
    fn parse(text: &str) -> Result<Self, String> {
        if text == "-" {
            return Ok(Self::Stdio);
        }
        let url = text.parse::<StoreUrl>();
        if let Ok(url) = &url
            && kv_backends::schemes().contains(&url.scheme())
        {
            return Ok(Self::Store { url: text.to_owned(), shown: shown(url) });
        }
        let path = Path::new(text);
        if BulkFormat::of_path(path).is_some() || path.exists() {
            return Ok(Self::File(path.to_owned()));
        }
        let known = kv_backends::schemes().join(":, ");
        Err(match url {
            // Not as they were written: where the scheme was forgotten, or nothing can be taken apart, any part may be a
            // password (ERR-2).
            Ok(url) => format!("{url}: no store has this scheme; known are {known}:"),
            Err(error) if begins_like_a_url(text) => error.to_string(),
            Err(_) => format!(
                "{text}: neither a store URL ({known}:) nor a file that exists or ends in .json, .jsonl or .ndjson"
            ),
        })
    }

    /// Finds a file that is not there, or cannot be read, before anything is touched. A pipe is not opened: its writer
    /// would lose its reader.
    pub(crate) fn check_source(&self) -> kv_migrate::Result<()> {
        match self {
            Self::File(path) if fs::metadata(path).map_or(true, |about| about.is_file() || about.is_dir()) => {
                BulkReader::open(path).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Opens it, and of a store makes sure that it is there and open to us: what is wrong with its address or credentials
    /// is said once, and not of each entry. What is only read from must exist: a misspelt name must not make an empty
    /// store and copy that.
    pub(crate) async fn open(&self, only_read: bool) -> kv_api::Result<Opened> {
        match self {
            Self::Stdio => Ok(Opened::Stdio),
            Self::File(path) => Ok(Opened::File(path.clone())),
            Self::Store { url, .. } => {
                let url = if only_read { reading(url)? } else { url.clone() };
                let store = kv_backends::open(&url).await?;
                store.ping().await?;
                Ok(Opened::Store(store))
            }
        }
    }

    /// What a person reads.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Store { shown, .. } => shown.clone(),
            Self::File(path) => path.display().to_string(),
            Self::Stdio => "-".to_owned(),
        }
    }
}

/// A store by what tells it from others. The scheme is that of a backend; of a file, which knows no secret, it is path and
/// namespace, of others what the URL shows of itself.
fn shown(url: &StoreUrl) -> String {
    match url.scheme() {
        scheme @ "sqlite" => {
            let namespace = url.clone().take_option("namespace");
            let namespace = namespace.map_or_else(String::new, |name| format!("?namespace={}", Escaped(&name)));
            format!("{scheme}:{}{namespace}", Escaped(url.rest()))
        }
        scheme if url.rest().is_empty() => format!("{scheme}:"),
        scheme if !url.rest().starts_with("//") => format!("{scheme}:..."),
        _ => url.to_string(),
    }
}

/// SQLite creates a missing file or namespace unless its URL says otherwise.
fn reading(url: &str) -> kv_api::Result<String> {
    let mut parsed: StoreUrl = url.parse()?;
    if parsed.scheme() != "sqlite" || parsed.take_option("mode").is_some() {
        return Ok(url.to_owned());
    }
    Ok(format!("{url}{}mode=ro", if url.contains('?') { '&' } else { '?' }))
}

fn begins_like_a_url(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, rest)| {
        rest.starts_with("//")
            || rest.contains('@')
            || kv_backends::schemes().contains(&scheme.to_ascii_lowercase().as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_stores_from_files() {
        let store = |url: &str| Stop::Store { url: url.to_owned(), shown: url.to_owned() };
        for (text, expected) in [
            ("-", Stop::Stdio),
            ("memory:", store("memory:")),
            ("sqlite:data.json", store("sqlite:data.json")),
            ("./sqlite:data.json", Stop::File("./sqlite:data.json".into())),
            ("out.jsonl.gz", Stop::File("out.jsonl.gz".into())),
            ("C:\\data\\OUT.JSON", Stop::File("C:\\data\\OUT.JSON".into())),
            ("a:b.ndjson", Stop::File("a:b.ndjson".into())),
            ("Cargo.toml", Stop::File("Cargo.toml".into())), // exists, so it is read and its content decides
        ] {
            assert_eq!(Stop::parse(text), Ok(expected), "{text}");
        }
        for (text, message) in [
            ("redsi://user:hunter2@host", "no store has this scheme"),
            ("redsi://user:hunter2@host?option", "has no value"),
            ("redsi:user:hunter2@host?option", "has no value"),
            ("redsi://user:hunter2%ff@host", "not UTF-8"),
            ("redsi://user:hunter2?a=b@host", "redsi://...: no store has this scheme"),
            ("nothing.txt", "neither a store URL"),
            ("sqlite:app.db?namespace", "has no value"),
            ("", "neither a store URL"),
        ] {
            let error = Stop::parse(text).expect_err(text);
            assert!(error.contains(message) && !error.contains("hunter2"), "{text}: {error}");
        }
    }

    #[test]
    fn a_store_that_is_only_read_is_not_created() {
        assert_eq!(reading("memory:").unwrap(), "memory:");
        assert_eq!(reading("sqlite:a.db").unwrap(), "sqlite:a.db?mode=ro");
        assert_eq!(reading("sqlite:a.db?namespace=n").unwrap(), "sqlite:a.db?namespace=n&mode=ro");
        assert_eq!(reading("sqlite:a.db?mode=rw").unwrap(), "sqlite:a.db?mode=rw");
    }
}
