//! Settings of a store, in Redis's own nouns.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use kv_api::{Clock, Error, ErrorKind, Reason, Result, StoreUrl};
use kv_remote::{RemoteSettings, SecretString, secret_from_env};

use crate::wire::key::{SEPARATOR, is_namespace};

/// The port of the server where none is named.
const PORT: u16 = 6379;

/// The environment variables of the user and of the password, for URLs that name none.
const USERNAME_VARIABLE: &str = "REDIS_USERNAME";
const PASSWORD_VARIABLE: &str = "REDIS_PASSWORD";

/// What one answer may take where nothing else is set: the longest string of the server, and some room around it.
const ANSWER_BYTES_MAX: NonZeroUsize = NonZeroUsize::new(576 * 1024 * 1024).expect("576 MiB is not 0");

/// Settings of a [`RedisStore`](crate::RedisStore): one server, and which of its keys. `Debug` shows neither user nor
/// password, nor the namespace, in whose place a secret may stand by mistake (ERR-2).
///
/// ```
/// use kv_redis::{RedisConfig, SecretString};
/// let config = RedisConfig::new("127.0.0.1", 6379)?
///     .with_password(SecretString::from("the-password"))
///     .with_namespace("sessions")?;
/// assert!(!format!("{config:?}").contains("the-password"));
/// # Ok::<(), kv_api::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct RedisConfig {
    /// One server, or nodes of a cluster to begin with.
    pub(crate) nodes: Vec<Node>,
    pub(crate) is_cluster: bool,
    pub(crate) tls: bool,
    pub(crate) tls_ca: Option<PathBuf>,
    pub(crate) login: Login,
    pub(crate) namespace: Option<String>,
    pub(crate) answer_bytes_max: NonZeroUsize,
    pub(crate) read_from_replicas: bool,
    pub(crate) remote: RemoteSettings,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Node {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Node {
    pub(crate) fn new(host: impl Into<String>, port: u16) -> Result<Self> {
        let host = host.into();
        if host.is_empty()
            || host.contains(['/', '\\', '@', '?', '#', ','])
            || host.chars().any(|c| c.is_whitespace() || c.is_control())
        {
            return Err(invalid("the host is no host name and no address"));
        }
        Ok(Self { host, port })
    }

    /// How host and port are written together.
    pub(crate) fn authority(&self) -> String {
        let (host, port) = (&self.host, self.port);
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

/// What a connection begins with.
#[derive(Clone, Default)]
pub(crate) struct Login {
    pub(crate) username: Option<SecretString>,
    pub(crate) password: Option<SecretString>,
    pub(crate) database: u32,
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("servers", &self.nodes.iter().map(Node::authority).collect::<Vec<_>>())
            .field("is_cluster", &self.is_cluster)
            .field("tls", &self.tls)
            .field("tls_ca", &self.tls_ca)
            .field("has_username", &self.login.username.is_some())
            .field("has_password", &self.login.password.is_some())
            .field("database", &self.login.database)
            .field("has_namespace", &self.namespace.is_some())
            .field("answer_bytes_max", &self.answer_bytes_max)
            .field("read_from_replicas", &self.read_from_replicas)
            .field("remote", &self.remote)
            .finish()
    }
}

impl RedisConfig {
    /// The server at this host name or address, without TLS, user and password, and all keys of its database 0.
    ///
    /// # Errors
    /// `InvalidArgument` when this is no host name and no address.
    pub fn new(host: impl Into<String>, port: u16) -> Result<Self> {
        Ok(Self::of(vec![Node::new(host, port)?], false))
    }

    /// The cluster of which these are nodes, host name or address and port each: as many as are there to begin with
    /// when some are down. The rest are found. Otherwise as [`new`](Self::new).
    ///
    /// # Errors
    /// `InvalidArgument` when there is no node, or one has no host name and no address.
    ///
    /// ```
    /// use kv_redis::RedisConfig;
    /// let config = RedisConfig::cluster([("10.0.0.7", 7000), ("10.0.0.8", 7000)])?.with_namespace("sessions")?;
    /// # let _ = config;
    /// # Ok::<(), kv_api::Error>(())
    /// ```
    pub fn cluster<H: Into<String>>(nodes: impl IntoIterator<Item = (H, u16)>) -> Result<Self> {
        let nodes: Vec<Node> = nodes.into_iter().map(|(host, port)| Node::new(host, port)).collect::<Result<_>>()?;
        if nodes.is_empty() {
            return Err(invalid("a cluster without a node to begin with"));
        }
        Ok(Self::of(nodes, true))
    }

    fn of(nodes: Vec<Node>, is_cluster: bool) -> Self {
        Self {
            nodes,
            is_cluster,
            tls: false,
            tls_ca: None,
            login: Login::default(),
            namespace: None,
            answer_bytes_max: ANSWER_BYTES_MAX,
            read_from_replicas: false,
            remote: RemoteSettings::default(),
        }
    }

    /// From a URL `redis://USER:PASSWORD@HOST:PORT/DATABASE`, or for a cluster
    /// `redis-cluster://USER:PASSWORD@HOST:PORT,HOST:PORT,...`; for TLS `rediss://` and `rediss-cluster://`. All but
    /// one host may be left out. The port is then 6379, the database 0, and user and password are in the environment
    /// variables `REDIS_USERNAME` and `REDIS_PASSWORD`, where there are any. The options are `namespace`
    /// ([`with_namespace`](Self::with_namespace)), `tls_ca` ([`with_tls_ca`](Self::with_tls_ca)), `answer_bytes_max`
    /// ([`with_answer_bytes_max`](Self::with_answer_bytes_max)), `read_from_replicas`
    /// ([`with_read_from_replicas`](Self::with_read_from_replicas)), and those of [`RemoteSettings::take_from_url`].
    ///
    /// # Errors
    /// `InvalidArgument` for another scheme, another form, or an option that is not one of these; `Unauthorized` when a
    /// variable is not UTF-8.
    ///
    /// ```
    /// use kv_api::Reason;
    /// use kv_redis::RedisConfig;
    /// RedisConfig::from_url("redis://127.0.0.1:6379/2?namespace=sessions".parse()?)?;
    /// let error = RedisConfig::from_url("redis://127.0.0.1?namepsace=sessions".parse()?).unwrap_err();
    /// assert_eq!(error.reason(), Some(&Reason::UnknownOption));
    /// # Ok::<(), kv_api::Error>(())
    /// ```
    pub fn from_url(url: StoreUrl) -> Result<Self> {
        Self::from_url_and(url, secret_from_env)
    }

    fn from_url_and(mut url: StoreUrl, secret: impl Fn(&str) -> Result<Option<SecretString>>) -> Result<Self> {
        const FORM: &str =
            "a Redis URL is redis://HOST:PORT/DATABASE or redis-cluster://HOST:PORT,HOST:PORT, with rediss for TLS";
        let (tls, is_cluster) = match url.scheme() {
            "redis" => (false, false),
            "rediss" => (true, false),
            "redis-cluster" => (false, true),
            "rediss-cluster" => (true, true),
            _ => return Err(Error::invalid(Reason::UnknownScheme, FORM)),
        };
        let authorities = url.authorities()?.ok_or_else(|| invalid(FORM))?;
        let nodes = authorities.iter().map(|node| (node.host(), node.port().unwrap_or(PORT)));
        let mut config = Self::cluster(nodes)?;
        (config.tls, config.is_cluster) = (tls, is_cluster);
        if !is_cluster && config.nodes.len() > 1 {
            return Err(invalid("a redis:// URL names one server; redis-cluster:// names nodes of a cluster"));
        }
        config.login.database = match &url.segments()[..] {
            [] => 0,
            [database] if database.is_empty() => 0,
            [_, ..] if is_cluster => return Err(invalid("a cluster has no numbered databases")),
            [database] => database.parse().map_err(|_| invalid("the database of a Redis URL is a number"))?,
            _ => return Err(invalid(FORM)),
        };
        let authority = authorities.first().ok_or_else(|| invalid(FORM))?;
        let named = |secret: Option<&str>| secret.filter(|secret| !secret.is_empty()).map(SecretString::from);
        (config.login.username, config.login.password) = (named(authority.user()), named(authority.password()));
        if config.login.password.is_none() {
            config.login.password = secret(PASSWORD_VARIABLE)?;
            if config.login.username.is_none() {
                config.login.username = secret(USERNAME_VARIABLE)?;
            }
        }
        if let Some(path) = url.take_option("tls_ca") {
            if !tls {
                return Err(invalid("a file of certificates is for TLS: write rediss://"));
            }
            config = config.with_tls_ca(path)?;
        }
        if let Some(bytes_max) = url.take_parsed("answer_bytes_max", "a whole number of bytes, at least 1")? {
            config = config.with_answer_bytes_max(bytes_max);
        }
        if let Some(read_from_replicas) = url.take_parsed("read_from_replicas", "true or false")? {
            config = config.with_read_from_replicas(read_from_replicas);
            config.check_replicas()?;
        }
        if let Some(namespace) = url.take_option("namespace") {
            config = config.with_namespace(namespace)?;
        }
        config.remote = config.remote.take_from_url(&mut url)?;
        url.finish()?;
        if config.login.username.is_some() && config.login.password.is_none() {
            return Err(invalid("a user without a password"));
        }
        Ok(config)
    }

    /// Encrypts the connection; the server's certificate must be one that this machine trusts. Default: no, and then
    /// everybody on the way can read the password and the data, and change both.
    pub const fn with_tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Encrypts the connection, and trusts the certificates in this file of PEM texts and no other. The file is read
    /// when the store is opened.
    ///
    /// # Errors
    /// `InvalidArgument` when the path is empty.
    pub fn with_tls_ca(mut self, path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        if path.as_os_str().is_empty() {
            return Err(invalid("the path of the file of certificates is empty"));
        }
        (self.tls, self.tls_ca) = (true, Some(path));
        Ok(self)
    }

    /// The user, of the server's access control lists; without one it is the user `default`.
    pub fn with_username(mut self, username: SecretString) -> Self {
        self.login.username = Some(username);
        self
    }

    /// The password.
    pub fn with_password(mut self, password: SecretString) -> Self {
        self.login.password = Some(password);
        self
    }

    /// The number of the database. Default: 0, the only one of a cluster.
    pub const fn with_database(mut self, database: u32) -> Self {
        self.login.database = database;
        self
    }

    /// Only the keys that begin with `NAME:` on the server, which is put before every key and never shown (NS-1).
    /// Default: all keys of the database, as they are.
    ///
    /// # Errors
    /// `InvalidArgument` when the name is empty, or holds a colon or a brace; one pair of braces may stand around it as
    /// a whole: the hash tag of the namespace.
    ///
    /// ```
    /// use kv_redis::RedisConfig;
    /// for (name, is_taken) in [("sessions", true), ("{sessions}", true), ("a:b", false), ("{a}b", false)] {
    ///     assert_eq!(RedisConfig::new("localhost", 6379)?.with_namespace(name).is_ok(), is_taken);
    /// }
    /// # Ok::<(), kv_api::Error>(())
    /// ```
    pub fn with_namespace(mut self, name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        if !is_namespace(&name) {
            let message =
                "the name of a namespace must not be empty, nor hold a colon, nor braces but around all of it";
            return Err(invalid(message));
        }
        self.namespace = Some(name);
        Ok(self)
    }

    /// How many bytes the answers on a connection may hold together that have not come whole. An answer beyond it is
    /// `Exhausted`, and ends the connection. Default: 576 MiB, since the longest value has 512.
    pub const fn with_answer_bytes_max(mut self, bytes_max: NonZeroUsize) -> Self {
        self.answer_bytes_max = bytes_max;
        self
    }

    /// On a cluster, whether reads go to a replica of the node that has the key. A replica follows its master after a
    /// delay without a bound, so the store then reports `Consistency::Eventual`: a read may not see a write that was
    /// acknowledged before it (SET-7). Writes, conditions, counters and lists stay with the masters, which are also
    /// read where no replica answers. Default: no. A store on one server, which names no replicas, does not open with
    /// it.
    ///
    /// ```
    /// use kv_redis::RedisConfig;
    /// RedisConfig::from_url("redis-cluster://10.0.0.7?read_from_replicas=true".parse()?)?;
    /// assert!(RedisConfig::from_url("redis://10.0.0.7?read_from_replicas=true".parse()?).is_err());
    /// # Ok::<(), kv_api::Error>(())
    /// ```
    pub const fn with_read_from_replicas(mut self, read_from_replicas: bool) -> Self {
        self.read_from_replicas = read_from_replicas;
        self
    }

    /// Retries, time-outs, the window of requests, clock and timer.
    pub fn with_remote(mut self, remote: RemoteSettings) -> Self {
        self.remote = remote;
        self
    }

    /// Another clock, and all else of these settings as it is (EXP-10). Default: the system's.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.remote = self.remote.with_clock(clock);
        self
    }

    /// # Errors
    /// `InvalidArgument` when replicas of one server are to be read, since nothing says where they are.
    pub(crate) fn check_replicas(&self) -> Result<()> {
        if self.read_from_replicas && !self.is_cluster {
            return Err(invalid(
                "read_from_replicas is for redis-cluster://: one server does not say where replicas are",
            ));
        }
        Ok(())
    }

    /// What stands before every key on the server.
    pub(crate) fn prefix(&self) -> String {
        self.namespace.as_ref().map_or_else(String::new, |name| format!("{name}{SEPARATOR}"))
    }

    /// Names the data: where it is, and which part of it (NS-3).
    pub(crate) fn scope(&self) -> String {
        let Self { nodes, login, namespace, .. } = self;
        let mut nodes: Vec<String> = nodes.iter().map(Node::authority).collect();
        nodes.sort();
        format!("{}/{} {}", nodes.join(","), login.database, namespace.as_deref().unwrap_or_default())
    }
}

fn invalid(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_remote::ExposeSecret;

    fn parsed_in(url: &str, environment: &[(&str, &str)]) -> Result<RedisConfig> {
        RedisConfig::from_url_and(url.parse().unwrap(), |name| {
            Ok(environment.iter().find(|(own, _)| *own == name).map(|(_, value)| SecretString::from(*value)))
        })
    }

    fn parsed(url: &str) -> Result<RedisConfig> {
        parsed_in(url, &[])
    }

    fn login(config: &RedisConfig) -> (Option<&str>, Option<&str>, u32) {
        let Login { username, password, database } = &config.login;
        let shown = |secret: &'_ Option<SecretString>| secret.as_ref().map(|secret| secret.expose_secret().to_owned());
        (leak(shown(username)), leak(shown(password)), *database)
    }

    fn leak(text: Option<String>) -> Option<&'static str> {
        text.map(|text| &*Box::leak(text.into_boxed_str()))
    }

    #[test]
    fn a_url_names_server_database_namespace_and_options() {
        for (url, authority, database) in [
            ("redis://localhost", "localhost:6379", 0),
            ("redis://localhost/", "localhost:6379", 0),
            ("redis://10.0.0.7:7000/3", "10.0.0.7:7000", 3),
            ("rediss://[::1]/0", "[::1]:6379", 0),
        ] {
            let config = parsed(url).unwrap();
            assert_eq!((config.nodes[0].authority().as_str(), config.login.database), (authority, database), "{url}");
            assert_eq!(config.tls, url.starts_with("rediss"));
        }
        let cluster = parsed("rediss-cluster://ada:s@b:7001,a,[::1]:7002?namespace=n").unwrap();
        assert!(cluster.is_cluster && cluster.tls && !parsed("rediss://h").unwrap().is_cluster);
        assert_eq!(cluster.nodes.iter().map(Node::authority).collect::<Vec<_>>(), ["b:7001", "a:6379", "[::1]:7002"]);
        assert_eq!(cluster.scope(), "[::1]:7002,a:6379,b:7001/0 n");
        let config = parsed("rediss://h?namespace=a%20b&answer_bytes_max=7&tls_ca=%2Fca.pem&attempts_max=2").unwrap();
        assert_eq!((config.prefix().as_str(), config.answer_bytes_max.get()), ("a b:", 7));
        assert_eq!(config.tls_ca, Some("/ca.pem".into()));
        assert_eq!(parsed("redis://h").unwrap().prefix(), "");
        assert!(!cluster.read_from_replicas);
        assert!(parsed("redis-cluster://h?read_from_replicas=true").unwrap().read_from_replicas);
    }

    #[test]
    fn user_and_password_come_from_the_url_or_else_from_the_environment() {
        let environment = [("REDIS_USERNAME", "eve"), ("REDIS_PASSWORD", "e")];
        for (url, expected) in [
            ("redis://h", (Some("eve"), Some("e"), 0)),
            ("redis://ada@h", (Some("ada"), Some("e"), 0)),
            ("redis://ada:s%40crets@h/1", (Some("ada"), Some("s@crets"), 1)),
            ("redis://:s@h", (None, Some("s"), 0)),
        ] {
            assert_eq!(login(&parsed_in(url, &environment).unwrap()), expected, "{url}");
        }
        assert_eq!(login(&parsed("redis://h").unwrap()), (None, None, 0));
    }

    #[test]
    fn ns_3_a_scope_holds_no_credential() {
        let config = parsed("redis://ada:hush@h:7000/2?namespace=n").unwrap();
        assert_eq!(config.scope(), "h:7000/2 n");
        assert_eq!(parsed("redis://h").unwrap().scope(), "h:6379/0 ");
    }

    #[test]
    fn err_2_debug_shows_no_secret() {
        let config = parsed("redis://hush:hush@127.0.0.1?namespace=hush").unwrap();
        assert!(!format!("{config:?}").contains("hush"));
        for host in ["a\u{1b}[2J", "a\u{7}", "a b", "a\nb", "", "a,b"] {
            assert!(RedisConfig::new(host, 1).is_err(), "{host:?}");
        }
    }

    #[test]
    fn err_2_what_is_refused_is_not_shown() {
        for url in [
            "memory://hush",
            "redis:hush",
            "redis://",
            "redis://:6379",
            "redis://host:hush",
            "redis://host/hush",
            "redis://host/1/hush",
            "redis://hush@host",
            "redis://host?namespace=",
            "redis://host?namespace=hush:hush",
            "redis://host?namespace=hush%7B",
            "redis://host?answer_bytes_max=0",
            "redis://host?tls_ca=%2Fhush",
            "rediss://host?tls_ca=",
            "redis://host?password=hush",
            "redis://host1,hush",
            "redis-cluster://host/1",
            "redis-cluster://host,",
            "redis-cluster://",
            "redis-cluster://host,hush:hush",
            "redis-cluster://host?read_from_replicas=hush",
            "redis://host?read_from_replicas=true",
        ] {
            let error = parsed(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{url}");
            assert!(!format!("{error} {error:?}").contains("hush"), "{url}: {error:?}");
        }
    }
}
