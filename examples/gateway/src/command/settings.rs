//! Settings, as they count.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;

use kv_gateway::Limits;

use super::arguments::Serve;
use super::given::{Given, LogFormat, LogLevel, NamespaceGiven};

const LISTEN: &str = "127.0.0.1:8787";

/// What is served, and how.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) namespaces: Vec<NamespaceSettings>,
    pub(crate) accounts: Vec<String>,
    pub(crate) hosts: Vec<String>,
    pub(crate) listen: SocketAddr,
    pub(crate) token_file: Option<PathBuf>,
    /// Certificate and key.
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
    pub(crate) log: LogFormat,
    pub(crate) log_level: LogLevel,
    pub(crate) limits: Limits,
}

/// A namespace, and the layers before its store.
#[derive(Debug)]
pub(crate) struct NamespaceSettings {
    pub(crate) given: NamespaceGiven,
    pub(crate) is_read_only: bool,
    pub(crate) cache_seconds: Option<NonZeroU64>,
    pub(crate) requests_per_second: Option<NonZeroU32>,
}

impl Settings {
    /// Options count before the environment, and that before the file. A list is taken whole from one of them, but for
    /// what is read-only.
    pub(crate) fn new(options: &Serve, variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let mut given = Given::of_arguments(options)?.or(Given::of_environment(&variable)?);
        let file = options.config.clone().or_else(|| variable("KV_GATEWAY_CONFIG").map(PathBuf::from));
        if let Some(file) = file {
            let file = Given::of_file(&file)?;
            let file = match &given.namespaces {
                Some(served) => file.only_of(served),
                None => file,
            };
            given = given.or(file);
        }
        Self::of(given)
    }

    fn of(given: Given) -> Result<Self, String> {
        let listen = given.listen.as_deref().unwrap_or(LISTEN);
        let listen = listen.replace("localhost:", "127.0.0.1:").parse::<SocketAddr>();
        let listen = listen.map_err(|_| "the address to listen on is not of the form 127.0.0.1:8787".to_owned())?;
        let is_open = given.token_file.is_none() && !given.insecure_no_token.unwrap_or(false);
        if is_open && !listen.ip().is_loopback() {
            return Err(format!(
                "without tokens only this machine is served, and {listen} is reached from others: give --token-file, \
                 or --insecure-no-token"
            ));
        }
        let tls = match (given.tls_cert, given.tls_key) {
            (None, None) => None,
            (Some(_), Some(_)) if cfg!(not(feature = "tls")) => {
                return Err("TLS is not built in: enable the feature \"tls\" of kv-gateway".to_owned());
            }
            (Some(certificate), Some(key)) => Some((certificate, key)),
            _ => return Err("TLS needs a certificate and its key".to_owned()),
        };
        let mut namespaces: Vec<_> = given
            .namespaces
            .unwrap_or_default()
            .into_iter()
            .map(|given| NamespaceSettings {
                given,
                is_read_only: false,
                cache_seconds: None,
                requests_per_second: None,
            })
            .collect();
        if namespaces.is_empty() {
            return Err("there is nothing to serve: give --namespace NAME=URL".to_owned());
        }
        for name in given.read_only.unwrap_or_default() {
            named(&mut namespaces, &name)?.is_read_only = true;
        }
        for (name, seconds) in given.cache.unwrap_or_default() {
            named(&mut namespaces, &name)?.cache_seconds = Some(seconds);
        }
        for (name, requests) in given.rate.unwrap_or_default() {
            named(&mut namespaces, &name)?.requests_per_second = Some(requests);
        }
        let limits = given.limits.to_limits();
        // A bulk write counts twice while it is taken apart.
        if limits.bodies_bytes / 2 < limits.body_bytes {
            return Err(
                "the longest body (body_bytes) does not fit twice where all are counted (bodies_bytes)".to_owned()
            );
        }
        Ok(Self {
            namespaces,
            accounts: given.accounts.unwrap_or_default(),
            hosts: given.hosts.unwrap_or_default(),
            listen,
            token_file: given.token_file,
            tls,
            log: given.log.unwrap_or_default(),
            log_level: given.log_level.unwrap_or_default(),
            limits,
        })
    }
}

/// A misspelt name must not leave a namespace open to writing.
fn named<'n>(namespaces: &'n mut [NamespaceSettings], name: &str) -> Result<&'n mut NamespaceSettings, String> {
    let found = namespaces.iter_mut().find(|namespace| namespace.given.name == name);
    found.ok_or_else(|| format!("there is no namespace {}", kv_api::Escaped(name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    use crate::command::arguments::{Arguments, Command};

    fn options(arguments: &[&str]) -> Serve {
        let all = ["kv-gateway", "serve"].iter().chain(arguments);
        let Command::Serve(serve) = Arguments::try_parse_from(all).unwrap().command;
        *serve
    }

    fn settings(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Settings, String> {
        let variable = |name: &str| {
            let found = environment.iter().find(|(given, _)| *given == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Settings::new(&options(arguments), variable)
    }

    fn names(settings: &Settings) -> Vec<&str> {
        settings.namespaces.iter().map(|namespace| namespace.given.name.as_str()).collect()
    }

    fn file(folder: &tempfile::TempDir, name: &str, text: &str) -> String {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    #[test]
    fn options_count_before_the_environment_and_that_before_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let text = "listen = \"127.0.0.1:1\"\naccounts = [\"f\"]\nlog = \"json\"\n[namespaces.f]\nurl = \"memory:\"\n\
            read_only = true\n[limits]\nin_flight = 1\nheaders = 9\nstop_seconds = 7";
        let file = file(&folder, "settings.toml", text);
        let read = settings(&["--config", &file], &[]).unwrap();
        assert_eq!((read.listen.port(), names(&read)), (1, vec!["f"]));
        assert!(read.namespaces[0].is_read_only && read.log == LogFormat::Json && read.accounts == ["f"]);

        let environment = [
            ("KV_GATEWAY_CONFIG", file.as_str()),
            ("KV_GATEWAY_LISTEN", "127.0.0.1:2"),
            ("KV_GATEWAY_NAMESPACE", "e=memory: f=sqlite:x.db?a=b"),
            ("KV_GATEWAY_IN_FLIGHT", "2"),
            ("KV_GATEWAY_LOG_LEVEL", "debug"),
        ];
        let read = settings(&["--in-flight", "3", "--account", "o"], &environment).unwrap();
        assert_eq!((read.listen.port(), names(&read)), (2, vec!["e", "f"]));
        assert_eq!((read.limits.in_flight, read.limits.headers, read.limits.stop_time.as_secs()), (3, 9, 7));
        assert_eq!((read.accounts.as_slice(), read.log_level), (&["o".to_owned()][..], LogLevel::Debug));
        assert_eq!(read.namespaces[1].given.url(), "sqlite:x.db?a=b");
    }

    #[test]
    fn what_is_read_only_in_one_of_them_stays_so() {
        let folder = tempfile::tempdir().unwrap();
        let text = "[namespaces.f]\nurl = \"memory:\"\nread_only = true\n[namespaces.g]\nurl = \"memory:\"";
        let file = file(&folder, "settings.toml", text);
        let read_only = |arguments: &[&str], environment: &[(&str, &str)]| {
            let read = settings(&[&["--config", &file], arguments].concat(), environment).unwrap();
            read.namespaces.iter().map(|one| (one.given.name.clone(), one.is_read_only)).collect::<Vec<_>>()
        };
        let both = [("f".to_owned(), true), ("g".to_owned(), true)];
        assert_eq!(read_only(&[], &[("KV_GATEWAY_READ_ONLY", "g")]), both);
        assert_eq!(read_only(&["--read-only", "g"], &[("KV_GATEWAY_READ_ONLY", "f")]), both);
        // One that is not served is no mistake of the file.
        let other = ["--namespace", "o=memory:", "--read-only", "o"];
        assert_eq!(read_only(&other, &[]), [("o".to_owned(), true)]);
    }

    #[test]
    fn a_file_can_be_json_and_layers_are_named_by_namespace() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"{"namespaces": {"a": {"url": "memory:", "cache_seconds": 5, "requests_per_second": 10}}}"#;
        let read = settings(&["--config", &file(&folder, "settings.json", text)], &[]).unwrap();
        let namespace = &read.namespaces[0];
        assert_eq!(namespace.cache_seconds.map(NonZeroU64::get), Some(5));
        assert_eq!(namespace.requests_per_second.map(NonZeroU32::get), Some(10));
        let read = settings(&["--namespace", "a=memory:", "--cache", "a=1", "--rate", "a=2"], &[]).unwrap();
        assert_eq!(read.namespaces[0].cache_seconds.map(NonZeroU64::get), Some(1));
    }

    #[test]
    fn without_tokens_only_this_machine_is_served() {
        let listens = |address, more: &[&str]| {
            let arguments = [&["--namespace", "a=memory:", "--listen", address], more].concat();
            settings(&arguments, &[]).is_ok()
        };
        for address in ["127.0.0.1:0", "localhost:80", "[::1]:80", "127.9.9.9:1"] {
            assert!(listens(address, &[]), "{address}");
        }
        for address in ["0.0.0.0:80", "[::]:80", "10.0.0.1:80"] {
            assert!(!listens(address, &[]), "{address}");
            assert!(listens(address, &["--insecure-no-token"]) && listens(address, &["--token-file", "t"]));
        }
    }

    #[test]
    fn err_2_what_is_refused_is_named_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let toml = file(&folder, "a.toml", "[namespaces.a]\nurl = \"redis://:hunter2@h\"\nhunter2 = 1");
        let json = file(&folder, "a.json", r#"{"namespaces": {"a": {"url": ["hunter2"]}}}"#);
        for (arguments, message) in [
            (&["--config", toml.as_str()][..], "a.toml"),
            (&["--config", json.as_str()], "a.json"),
            (&["--namespace", "redis://:hunter2@host/0"], "NAME=URL"),
            (&["--namespace", "redis://:hunter2@host?a=b"], "NAME=URL"),
            (&["--namespace", "a=memory:", "--read-only", "b"], "no namespace b"),
            (&["--namespace", "a=memory:", "--cache", "a=0"], "--cache"),
            (&["--namespace", "a=memory:", "--listen", "hunter2"], "address"),
            (&["--namespace", "a=memory:", "--bodies-bytes", "199999999"], "bodies_bytes"),
            (&[], "nothing to serve"),
        ] {
            let error = settings(arguments, &[]).unwrap_err();
            assert!(error.contains(message) && !error.contains("hunter2"), "{arguments:?}: {error}");
        }
        let error = settings(&["--namespace", "a=memory:"], &[("KV_GATEWAY_HEADERS", "hunter2")]).unwrap_err();
        assert!(error.contains("KV_GATEWAY_HEADERS") && !error.contains("hunter2"));
        let shown = format!("{:?}", settings(&["--namespace", "a=redis://:hunter2@h"], &[]).unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
