//! Settings as they are given, by options, environment and file. What is not given is left to the next of them.

use std::collections::BTreeMap;
use std::fs;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use kv_gateway::Limits;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::arguments::Serve;

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// A line for people
    #[default]
    Text,
    /// An object of JSON a line
    Json,
}

/// What is logged.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogLevel {
    /// What failed
    Error,
    /// What is wrong
    Warn,
    /// What is noteworthy
    #[default]
    Info,
    /// Every call
    Debug,
}

/// A namespace as it is given.
#[derive(Debug)]
pub(crate) struct NamespaceGiven {
    pub(crate) name: String,
    pub(crate) url: SecretString,
}

/// One source of settings.
#[derive(Debug, Default)]
pub(crate) struct Given {
    pub(crate) namespaces: Option<Vec<NamespaceGiven>>,
    pub(crate) read_only: Option<Vec<String>>,
    pub(crate) cache: Option<Vec<(String, NonZeroU64)>>,
    pub(crate) rate: Option<Vec<(String, NonZeroU32)>>,
    pub(crate) accounts: Option<Vec<String>>,
    pub(crate) hosts: Option<Vec<String>>,
    pub(crate) listen: Option<String>,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) insecure_no_token: Option<bool>,
    pub(crate) tls_cert: Option<PathBuf>,
    pub(crate) tls_key: Option<PathBuf>,
    pub(crate) log: Option<LogFormat>,
    pub(crate) log_level: Option<LogLevel>,
    pub(crate) limits: LimitsGiven,
}

macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident: $kind:ty = $variable:literal,)*) => {
        /// How much is taken on, and for how long.
        #[derive(Args, Clone, Debug, Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(crate) struct LimitsGiven {
            $($(#[$doc])* #[arg(long, value_name = "N")] $name: Option<$kind>,)*
        }

        impl LimitsGiven {
            fn of_environment(variable: &impl Fn(&str) -> Option<String>) -> Result<Self, String> {
                Ok(Self { $($name: parsed(variable, $variable)?,)* })
            }

            fn or(self, other: Self) -> Self {
                Self { $($name: self.$name.or(other.$name),)* }
            }
        }
    };
}

limits! {
    /// The most requests under way at once; more are 429. Default: 256
    in_flight: NonZeroUsize = "KV_GATEWAY_IN_FLIGHT",
    /// The most connections; more wait. Default: 1024
    connections: NonZeroUsize = "KV_GATEWAY_CONNECTIONS",
    /// The longest body, in bytes. Default: 100000000
    body_bytes: NonZeroUsize = "KV_GATEWAY_BODY_BYTES",
    /// What all bodies under way hold together, in bytes; more are 429. Default: 268435456
    bodies_bytes: NonZeroUsize = "KV_GATEWAY_BODIES_BYTES",
    /// What all answers under way hold together, in bytes; more are 429. Default: 268435456
    answers_bytes: NonZeroUsize = "KV_GATEWAY_ANSWERS_BYTES",
    /// The longest head of a request, in bytes, at least 8192. Default: 32768
    header_bytes: NonZeroUsize = "KV_GATEWAY_HEADER_BYTES",
    /// The most headers of a request. Default: 64
    headers: NonZeroUsize = "KV_GATEWAY_HEADERS",
    /// How long the head of a request may take, and a connection may idle. Default: 30
    header_seconds: NonZeroU64 = "KV_GATEWAY_HEADER_SECONDS",
    /// How long a body may take. Default: 60
    body_seconds: NonZeroU64 = "KV_GATEWAY_BODY_SECONDS",
    /// How long a request may take, its body included. Default: 120
    request_seconds: NonZeroU64 = "KV_GATEWAY_REQUEST_SECONDS",
    /// How long a client may take nothing of an answer. Default: 30
    write_seconds: NonZeroU64 = "KV_GATEWAY_WRITE_SECONDS",
    /// How long a client may take over a whole answer. Default: 300
    answer_seconds: NonZeroU64 = "KV_GATEWAY_ANSWER_SECONDS",
    /// How long requests under way have to end when the server is asked to stop. Default: 30
    stop_seconds: NonZeroU64 = "KV_GATEWAY_STOP_SECONDS",
}

impl LimitsGiven {
    pub(crate) fn to_limits(&self) -> Limits {
        let mut limits = Limits::default();
        let count = |limit: &mut usize, given: Option<NonZeroUsize>| *limit = given.map_or(*limit, NonZeroUsize::get);
        count(&mut limits.in_flight, self.in_flight);
        count(&mut limits.connections, self.connections);
        count(&mut limits.body_bytes, self.body_bytes);
        count(&mut limits.bodies_bytes, self.bodies_bytes);
        count(&mut limits.answers_bytes, self.answers_bytes);
        count(&mut limits.header_bytes, self.header_bytes);
        count(&mut limits.headers, self.headers);
        let time = |limit: &mut Duration, given: Option<NonZeroU64>| {
            *limit = given.map_or(*limit, |seconds| Duration::from_secs(seconds.get()));
        };
        time(&mut limits.header_time, self.header_seconds);
        time(&mut limits.body_time, self.body_seconds);
        time(&mut limits.request_time, self.request_seconds);
        time(&mut limits.write_time, self.write_seconds);
        time(&mut limits.answer_time, self.answer_seconds);
        time(&mut limits.stop_time, self.stop_seconds);
        limits
    }
}

impl Given {
    pub(crate) fn of_arguments(given: &Serve) -> Result<Self, String> {
        let some = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
        Ok(Self {
            namespaces: listed(&given.namespaces, namespace)?,
            read_only: some(&given.read_only),
            cache: listed(&given.cache, |text| pair("--cache NAME=SECONDS", text))?,
            rate: listed(&given.rate, |text| pair("--rate NAME=N", text))?,
            accounts: some(&given.accounts),
            hosts: some(&given.hosts),
            listen: given.listen.clone(),
            token_file: given.token_file.clone(),
            insecure_no_token: given.insecure_no_token.then_some(true),
            tls_cert: given.tls_cert.clone(),
            tls_key: given.tls_key.clone(),
            log: given.log,
            log_level: given.log_level,
            limits: given.limits.clone(),
        })
    }

    /// Lists are separated by blanks, which no URL holds.
    pub(crate) fn of_environment(variable: &impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let text = |name: &str| variable(name).filter(|text| !text.is_empty());
        let words = |name: &str| {
            let words = text(name)?;
            Some(words.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        };
        let list = |name: &str| words(name).unwrap_or_default();
        Ok(Self {
            namespaces: listed(&list("KV_GATEWAY_NAMESPACE"), namespace)?,
            read_only: words("KV_GATEWAY_READ_ONLY"),
            cache: listed(&list("KV_GATEWAY_CACHE"), |text| pair("KV_GATEWAY_CACHE: NAME=SECONDS", text))?,
            rate: listed(&list("KV_GATEWAY_RATE"), |text| pair("KV_GATEWAY_RATE: NAME=N", text))?,
            accounts: words("KV_GATEWAY_ACCOUNT"),
            hosts: words("KV_GATEWAY_HOST"),
            listen: text("KV_GATEWAY_LISTEN"),
            token_file: text("KV_GATEWAY_TOKEN_FILE").map(PathBuf::from),
            insecure_no_token: parsed(variable, "KV_GATEWAY_INSECURE_NO_TOKEN")?,
            tls_cert: text("KV_GATEWAY_TLS_CERT").map(PathBuf::from),
            tls_key: text("KV_GATEWAY_TLS_KEY").map(PathBuf::from),
            log: one_of(variable, "KV_GATEWAY_LOG")?,
            log_level: one_of(variable, "KV_GATEWAY_LOG_LEVEL")?,
            limits: LimitsGiven::of_environment(variable)?,
        })
    }

    /// # Errors
    /// Shows nothing of the file's content, which holds URLs (ERR-2).
    pub(crate) fn of_file(path: &Path) -> Result<Self, String> {
        let shown = kv_api::Escaped(&path.display().to_string()).to_string();
        let text = fs::read_to_string(path).map_err(|error| format!("{shown}: cannot read: {error}"))?;
        let is_json = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
        let file = if is_json {
            serde_json::from_str::<InFile>(&text)
                .map_err(|error| format!("{shown}: not what is expected, line {}", error.line()))?
        } else {
            toml::from_str::<InFile>(&text).map_err(|error| {
                let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
                format!("{shown}: not what is expected, line {}", before.matches('\n').count() + 1)
            })?
        };
        Ok(file.into())
    }

    /// Of a file whose namespaces are not served but these: what it says of the others counts no more.
    pub(crate) fn only_of(mut self, served: &[NamespaceGiven]) -> Self {
        let is_served = |name: &str| served.iter().any(|namespace| namespace.name == name);
        self.read_only.iter_mut().for_each(|names| names.retain(|name| is_served(name)));
        self.cache.iter_mut().for_each(|given| given.retain(|(name, _)| is_served(name)));
        self.rate.iter_mut().for_each(|given| given.retain(|(name, _)| is_served(name)));
        self
    }

    /// What counts first, and then the others. What is read-only in one of them is so: a list that leaves a namespace
    /// out must not open it to writing.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            namespaces: self.namespaces.or(other.namespaces),
            read_only: united(self.read_only, other.read_only),
            cache: self.cache.or(other.cache),
            rate: self.rate.or(other.rate),
            accounts: self.accounts.or(other.accounts),
            hosts: self.hosts.or(other.hosts),
            listen: self.listen.or(other.listen),
            token_file: self.token_file.or(other.token_file),
            insecure_no_token: self.insecure_no_token.or(other.insecure_no_token),
            tls_cert: self.tls_cert.or(other.tls_cert),
            tls_key: self.tls_key.or(other.tls_key),
            log: self.log.or(other.log),
            log_level: self.log_level.or(other.log_level),
            limits: self.limits.or(other.limits),
        }
    }
}

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InFile {
    #[serde(default)]
    namespaces: BTreeMap<String, NamespaceInFile>,
    accounts: Option<Vec<String>>,
    hosts: Option<Vec<String>>,
    listen: Option<String>,
    token_file: Option<PathBuf>,
    insecure_no_token: Option<bool>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    log: Option<LogFormat>,
    log_level: Option<LogLevel>,
    #[serde(default)]
    limits: LimitsGiven,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NamespaceInFile {
    url: String,
    #[serde(default)]
    read_only: bool,
    cache_seconds: Option<NonZeroU64>,
    requests_per_second: Option<NonZeroU32>,
}

impl From<InFile> for Given {
    fn from(file: InFile) -> Self {
        let (mut namespaces, mut read_only, mut cache, mut rate) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (name, namespace) in file.namespaces {
            read_only.extend(namespace.read_only.then(|| name.clone()));
            cache.extend(namespace.cache_seconds.map(|seconds| (name.clone(), seconds)));
            rate.extend(namespace.requests_per_second.map(|requests| (name.clone(), requests)));
            namespaces.push(NamespaceGiven { name, url: namespace.url.into() });
        }
        Self {
            namespaces: (!namespaces.is_empty()).then_some(namespaces),
            read_only: Some(read_only),
            cache: Some(cache),
            rate: Some(rate),
            accounts: file.accounts,
            hosts: file.hosts,
            listen: file.listen,
            token_file: file.token_file,
            insecure_no_token: file.insecure_no_token,
            tls_cert: file.tls_cert,
            tls_key: file.tls_key,
            log: file.log,
            log_level: file.log_level,
            limits: file.limits,
        }
    }
}

fn united(one: Option<Vec<String>>, other: Option<Vec<String>>) -> Option<Vec<String>> {
    match (one, other) {
        (Some(one), Some(other)) => Some([one, other].concat()),
        (one, other) => one.or(other),
    }
}

fn listed<T>(texts: &[String], read: impl Fn(&str) -> Result<T, String>) -> Result<Option<Vec<T>>, String> {
    if texts.is_empty() { Ok(None) } else { texts.iter().map(|text| read(text)).collect::<Result<_, _>>().map(Some) }
}

fn namespace(text: &str) -> Result<NamespaceGiven, String> {
    match text.split_once('=') {
        Some((name, url)) if !name.contains([':', '@', '/', '?']) => {
            Ok(NamespaceGiven { name: name.to_owned(), url: url.into() })
        }
        // Where the name was forgotten, it is a URL with whatever secret is in it.
        _ => Err("a namespace is given as NAME=URL".to_owned()),
    }
}

fn pair<T: FromStr>(form: &str, text: &str) -> Result<(String, T), String> {
    let pair = text.split_once('=').and_then(|(name, number)| Some((name.to_owned(), number.parse().ok()?)));
    pair.ok_or_else(|| format!("{form}: {} is not of this form, with a number from 1", kv_api::Escaped(text)))
}

fn parsed<T: FromStr>(variable: &impl Fn(&str) -> Option<String>, name: &str) -> Result<Option<T>, String> {
    let text = variable(name).filter(|text| !text.is_empty());
    text.map(|text| text.parse().map_err(|_| format!("{name}: its value is not understood"))).transpose()
}

fn one_of<T: ValueEnum>(variable: &impl Fn(&str) -> Option<String>, name: &str) -> Result<Option<T>, String> {
    let text = variable(name).filter(|text| !text.is_empty());
    text.map(|text| T::from_str(&text, true).map_err(|_| format!("{name}: its value is not understood"))).transpose()
}

impl NamespaceGiven {
    pub(crate) fn url(&self) -> &str {
        self.url.expose_secret()
    }
}
