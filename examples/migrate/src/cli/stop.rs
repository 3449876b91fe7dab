//! What a stop on the way is: a store, a file, or standard input or output.

use std::fs;
use std::path::{Path, PathBuf};

use kv_api::{Escaped, Store, StoreUrl};
use kv_migrate::{BulkFormat, BulkReader};
use tempfile::TempDir;

use super::session::Refused;
use super::{place, report, stdio};

/// A stop as it was written.
#[derive(Clone, Debug, PartialEq)]
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

/// Reads the stops of a command, and refuses what cannot work before anything is touched. `files` are those that
/// options name.
pub(crate) fn parse_all(texts: &[String], verify: bool, files: &[(&str, &Path)]) -> Result<Vec<Stop>, String> {
    if texts.len() < 2 {
        return Err("a copy needs a stop to copy from and one to copy to".to_owned());
    }
    let stops = texts.iter().zip(1..).map(|(text, number)| Stop::parse(text, number));
    let stops = stops.collect::<Result<Vec<_>, _>>()?;
    let last = stops.len() - 1;
    for (position, stop) in stops.iter().enumerate() {
        match stop {
            Stop::Stdio if position != 0 && position != last => {
                return Err("- can only be the first stop (standard input) or the last (standard output)".to_owned());
            }
            Stop::Stdio if verify => {
                return Err("--verify reads source and target again, and - cannot be read again".to_owned());
            }
            Stop::File(path) if verify && is_read_only_once(path) => {
                return Err(format!("{}: --verify reads it again, and only a regular file can be", stop.shown()));
            }
            Stop::File(path) if position != 0 => {
                BulkFormat::of_target(path).map_err(|error| error.to_string())?;
            }
            _ => {}
        }
    }
    place::check_files(&stops, files)?;
    Ok(stops)
}

/// A pipe or a device: read a second time it gives something else, or nothing, and nothing differs from nothing.
pub(crate) fn is_read_only_once(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|about| !about.is_file() && !about.is_dir())
}

impl Stop {
    /// The scheme of a backend that is built in makes a store URL. What else begins with a word and a colon, or
    /// contains `://`, is an error, also where a file has that name: a misspelt scheme must not become the name of a
    /// file. Otherwise the name of a file that exists, or one with a known ending, is a file. `number` is the place of
    /// the stop, from 1.
    pub(crate) fn parse(text: &str, number: usize) -> Result<Self, String> {
        if text == "-" {
            return Ok(Self::Stdio);
        }
        let url = text.parse::<StoreUrl>();
        let known = kv_backends::schemes().join(":, ");
        if names_a_scheme(text) {
            return match url {
                Ok(url) => Ok(Self::Store { url: text.to_owned(), shown: shown(&url) }),
                Err(error) => Err(report::reason(&error)),
            };
        }
        if begins_like_a_url(text) {
            let word = scheme_to_show(text);
            let shown =
                word.map_or_else(|| format!("stop {number}, which is not shown,"), |word| format!("{word}:..."));
            return Err(format!(
                "{shown} begins like the URL of a store, and no store has this scheme; known are {known}:; \
                 a file of such a name is written with ./ in front"
            ));
        }
        let path = Path::new(text);
        let is_named_like_one =
            BulkFormat::of_path(path).is_some() || BulkFormat::unsupported_compression(path).is_some();
        if path.exists() || is_named_like_one {
            return Ok(Self::File(path.to_owned()));
        }
        let shown = if may_hold_a_secret(text) {
            format!("stop {number}, which is not shown as it may hold a secret")
        } else {
            Escaped(text).to_string()
        };
        Err(format!(
            "{shown}: neither a store URL ({known}:) nor a file that exists or ends in .json, .jsonl or .ndjson"
        ))
    }

    /// Finds a file that is not there, or cannot be read, before anything is touched. A pipe is not opened: its writer
    /// would lose its reader.
    pub(crate) fn check_source(&self) -> kv_migrate::Result<()> {
        match self {
            Self::File(path) if fs::metadata(path).map_or(true, |about| about.is_file() || about.is_dir()) => {
                BulkReader::open(path).map(drop)
            }
            Self::Stdio => stdio::check_input(),
            _ => Ok(()),
        }
    }

    /// Opens it, and of a store makes sure that it is there and open to us: what is wrong with its address or
    /// credentials is said once, and not of each entry. What is only read from must exist: a misspelt name must not
    /// make an empty store and copy that.
    pub(crate) async fn open(&self, only_read: bool) -> kv_api::Result<Opened> {
        match self {
            Self::Stdio => Ok(Opened::Stdio),
            Self::File(path) => Ok(Opened::File(path.clone())),
            Self::Store { url, .. } => {
                // With the store's own patience, so that a wrong address is reported soon.
                let mut store = kv_backends::open(&if only_read { reading(url)? } else { url.clone() }).await?;
                store.ping().await?;
                if let Some(patient) = patient(url)? {
                    store.close().await?;
                    store = kv_backends::open(&patient).await?;
                }
                Ok(Opened::Store(store))
            }
        }
    }

    /// Whether it is a store that no network lies before.
    pub(crate) fn is_local(&self) -> bool {
        matches!(self, Self::Store { url, .. } if is_local(url).unwrap_or(false))
    }

    /// Whether it is gone with this process.
    pub(crate) fn is_in_memory(&self) -> bool {
        matches!(self, Self::Store { url, .. } if url.parse().is_ok_and(|url: StoreUrl| url.scheme() == "memory"))
    }

    /// For a SQLite file that is not there yet, and may be made: another one in a folder of its own, with the same
    /// options.
    pub(crate) async fn stand_in(&self) -> kv_api::Result<Option<(Store, TempDir)>> {
        let Self::Store { url, .. } = self else { return Ok(None) };
        let mut parsed: StoreUrl = url.parse()?;
        if parsed.scheme() != "sqlite" || parsed.take_option("mode").is_some() {
            return Ok(None);
        }
        let folder = tempfile::tempdir().map_err(|error| {
            let message = format!("no folder for a stand-in of the file can be made: {error}");
            kv_api::Error::new(kv_api::ErrorKind::Misconfigured, message)
        })?;
        let options = url.split_once('?').map_or_else(String::new, |(_, options)| format!("?{options}"));
        let path = folder.path().join("stand-in.db");
        let store = kv_backends::open(&format!("sqlite:{}{options}", path.display())).await?;
        Ok(Some((store, folder)))
    }

    /// What a person reads.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Store { shown, .. } => shown.clone(),
            Self::File(path) => shown_path(path),
            Self::Stdio => "-".to_owned(),
        }
    }
}

/// Closes the stores; the first that cannot be closed is answered, and others are reported.
pub(crate) async fn close_all(stops: &[Stop], opened: &[Opened]) -> Result<(), Refused> {
    let mut closed = Ok(());
    for (stop, opened) in stops.iter().zip(opened) {
        if let Opened::Store(store) = opened
            && let Err(error) = store.close().await
        {
            let refused = Refused::by_store(&stop.shown(), &error);
            if closed.is_err() {
                refused.tell();
            } else {
                closed = Err(refused);
            }
        }
    }
    closed
}

/// A store by what tells it from others. The scheme is that of a backend; of a file, which knows no secret, it is path
/// and namespace, of others what the URL shows of itself.
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

/// What a long job wants of a store over a network, where the URL does not say otherwise: the copy itself waits for it,
/// and shows that, so that the store shall not do so for long; but a large batch may be long on its way. See
/// `RetryPolicy` of kv-remote.
const PATIENCE: [(&str, &str); 3] = [("attempts_max", "3"), ("retry_after_max_ms", "1000"), ("deadline_ms", "600000")];

/// The schemes of stores that no network lies before.
const LOCAL: [&str; 2] = ["memory", "sqlite"];

/// SQLite creates a missing file or namespace unless its URL says otherwise.
fn reading(url: &str) -> kv_api::Result<String> {
    let is_sqlite = url.parse::<StoreUrl>()?.scheme() == "sqlite";
    completed(url, if is_sqlite { &[("mode", "ro")] } else { &[] })
}

/// The URL for the job itself; `None` for a store that no network lies before.
fn patient(url: &str) -> kv_api::Result<Option<String>> {
    if is_local(url)? { Ok(None) } else { completed(url, &PATIENCE).map(Some) }
}

fn is_local(url: &str) -> kv_api::Result<bool> {
    Ok(LOCAL.contains(&url.parse::<StoreUrl>()?.scheme()))
}

/// The URL with the options that it does not have yet.
fn completed(url: &str, defaults: &[(&str, &str)]) -> kv_api::Result<String> {
    let mut parsed: StoreUrl = url.parse()?;
    let mut completed = url.to_owned();
    for (name, value) in defaults {
        if parsed.take_option(name).is_none() {
            completed.push(if completed.contains('?') { '&' } else { '?' });
            completed.push_str(&format!("{name}={value}"));
        }
    }
    Ok(completed)
}

fn shown_path(path: &Path) -> String {
    Escaped(&path.display().to_string()).to_string()
}

/// Whether it is taken for a URL, and not for the name of a file: a word and a colon, or a `://` anywhere. A path
/// before the colon is no word, nor is the letter of a drive.
pub(crate) fn begins_like_a_url(text: &str) -> bool {
    let is_word = |(word, rest): (&str, &str)| {
        let is_drive = word.len() == 1 && rest.starts_with('\\');
        !word.is_empty()
            && !is_drive
            && !word.contains(|c: char| c.is_whitespace() || c.is_control() || "/\\".contains(c))
    };
    text.contains("://") || text.split_once(':').is_some_and(is_word)
}

/// The word before the colon, where it looks like a scheme, and not like a user or a key whose scheme was forgotten
/// (ERR-2).
fn scheme_to_show(text: &str) -> Option<&str> {
    const LONGEST: usize = 16;
    let (word, rest) = text.split_once(':')?;
    let is_url = rest.starts_with("//");
    let is_scheme = word.len() <= LONGEST
        && word.starts_with(|c: char| c.is_ascii_alphabetic())
        && word.bytes().all(|byte| byte.is_ascii_alphabetic() || (is_url && byte.is_ascii_digit()));
    (is_scheme && (is_url || !rest.contains('@'))).then_some(word)
}

fn names_a_scheme(text: &str) -> bool {
    text.split_once(':')
        .is_some_and(|(scheme, _)| kv_backends::schemes().contains(&scheme.to_ascii_lowercase().as_str()))
}

/// Whether what is no URL may be a part of one (ERR-2).
pub(crate) fn may_hold_a_secret(text: &str) -> bool {
    text.contains(['@', '?', '=', '#']) || text.contains("//") || begins_like_a_url(text)
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
            ("./a:b.ndjson", Stop::File("./a:b.ndjson".into())),
            ("data/12:30.json", Stop::File("data/12:30.json".into())),
            ("my file: 2.json", Stop::File("my file: 2.json".into())),
            ("Cargo.toml", Stop::File("Cargo.toml".into())), // exists, so it is read and its content decides
        ] {
            assert_eq!(Stop::parse(text, 1), Ok(expected), "{text}");
        }
        for (text, message) in [
            ("redsi://user:hunter2@host", "redsi:... begins like the URL of a store"),
            ("redsi://user:hunter2@host/x.json", "redsi:... "),
            ("redsi://user:hunter2@host?option", "redsi:... "),
            ("redsi:user:hunter2@host?option", "stop 1, which is not shown, "),
            ("redsi://user:hunter2%ff@host", "redsi:... "),
            ("sqllite:hunter2.json", "sqllite:... "),
            ("file:hunter2.jsonl", "file:... "),
            ("https://u:hunter2@h/x.jsonl", "https:... "),
            ("HTTPS://u:hunter2@h/x.jsonl", "HTTPS:... "),
            ("./https://u:hunter2@h/x.jsonl", "stop 1, which is not shown, "),
            ("hunter2:pass@host/x", "stop 1, which is not shown, "),
            ("hunter2:x.json", "stop 1, which is not shown, "),
            ("s3://hunter2/x.json", "s3:... "),
            ("s3cr3t_hunter2:x.json", "stop 1, which is not shown, "),
            ("u@hunter2:x.json", "stop 1, which is not shown, "),
            ("a:b.ndjson", "a:... "),
            ("12:30.json", "stop 1, which is not shown, "),
            ("hunter2@host/x", "stop 1, which is not shown as it may hold a secret: neither a store URL"),
            ("user:hunter2@host/x.json", "stop 1, which is not shown, "),
            ("//user:hunter2@host/x", "neither a store URL"),
            ("account/namespace?api_token=hunter2", "neither a store URL"),
            ("api_token=hunter2", "neither a store URL"),
            ("account/namespace#hunter2", "neither a store URL"),
            ("a\u{1b}[31m\u{202e}b", "a\\u{1b}[31m\\u{202e}b: neither a store URL"),
            ("nothing.txt", "neither a store URL"),
            ("sqlite:app.db?namespace", "has no value"),
            ("", "neither a store URL"),
        ] {
            let error = Stop::parse(text, 1).expect_err(text);
            assert!(error.contains(message) && !error.contains("hunter2"), "{text}: {error}");
        }
    }

    #[test]
    fn a_store_that_is_only_read_is_not_created() {
        let reading = |url| reading(url).unwrap();
        assert_eq!(reading("memory:"), "memory:");
        assert_eq!(reading("sqlite:a.db"), "sqlite:a.db?mode=ro");
        assert_eq!(reading("sqlite:a.db?namespace=n"), "sqlite:a.db?namespace=n&mode=ro");
        assert_eq!(reading("sqlite:a.db?mode=rw"), "sqlite:a.db?mode=rw");
    }

    #[test]
    fn err_4_a_store_waits_for_short_where_the_url_does_not_say_otherwise() {
        let patience = "attempts_max=3&retry_after_max_ms=1000&deadline_ms=600000";
        assert_eq!(patient("puter:///app").unwrap(), Some(format!("puter:///app?{patience}")));
        assert_eq!(
            patient("cloudflare://a/n?deadline_ms=5&attempts_max=1").unwrap().as_deref(),
            Some("cloudflare://a/n?deadline_ms=5&attempts_max=1&retry_after_max_ms=1000")
        );
        assert_eq!((patient("memory:").unwrap(), patient("sqlite:a.db?mode=ro").unwrap()), (None, None));
    }
}
