//! Settings of a store, in PostgreSQL's own nouns.

use std::env;
use std::fmt;
use std::fs::File;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use kv_api::{Clock, Error, ErrorKind, Reason, Result, StoreUrl};
use kv_remote::{ExposeSecret, RemoteSettings, SecretString};
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

use crate::arguments::Protocol;
use crate::connection::Connector;

const NAMESPACE: &str = "default";
const NAMESPACE_BYTES_MAX: usize = 255;
const CONNECTIONS_MAX: NonZeroU32 = NonZeroU32::new(8).expect("8 is not 0");

/// As many calls as there may be at once: those that wait for a statement share the next one, so that more of them are
/// no more load.
const REQUESTS_MAX: NonZeroUsize = NonZeroUsize::new(1024).expect("1024 is not 0");

const FORM: &str = "a PostgreSQL URL is postgres://USER:PASSWORD@HOST:PORT/DATABASE";

/// Whether the connection is encrypted, and whom it trusts: the values of libpq's `sslmode`, without `allow`, which the
/// driver does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SslMode {
    /// Never encrypted.
    Disable,
    /// Encrypted where the server offers it, with any certificate.
    Prefer,
    /// Encrypted, with any certificate.
    Require,
    /// Encrypted, with a certificate of a known authority.
    VerifyCa,
    /// Encrypted, with a certificate of a known authority for this host.
    VerifyFull,
}

impl FromStr for SslMode {
    type Err = Error;

    /// # Errors
    /// `InvalidArgument` unless it is `disable`, `prefer`, `require`, `verify-ca` or `verify-full`.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "disable" => Ok(Self::Disable),
            "prefer" => Ok(Self::Prefer),
            "require" => Ok(Self::Require),
            "verify-ca" => Ok(Self::VerifyCa),
            "verify-full" => Ok(Self::VerifyFull),
            _ => Err(invalid("sslmode is disable, prefer, require, verify-ca or verify-full")),
        }
    }
}

/// Settings of a [`PostgresStore`](crate::PostgresStore): one namespace of the table `kv` in one database.
///
/// What is not set comes from the environment variables of libpq: `PGHOST`, `PGHOSTADDR`, `PGPORT`, `PGUSER`,
/// `PGPASSWORD`, `PGPASSFILE`, `PGDATABASE`, `PGSSLMODE`, `PGSSLROOTCERT`, `PGSSLCERT`, `PGSSLKEY`, `PGAPPNAME`,
/// `PGOPTIONS`; then from libpq's defaults.
///
/// ```
/// use kv_postgres::{PostgresConfig, SslMode};
/// let config = PostgresConfig::new()
///     .with_host("db.example.com", 5432)
///     .with_user("app")
///     .with_password("hush".into())
///     .with_database("app")
///     .with_ssl_mode(SslMode::VerifyFull)
///     .with_namespace("users")?;
/// assert!(!format!("{config:?}").contains("hush"));
/// # Ok::<(), kv_api::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct PostgresConfig {
    host: Option<String>,
    port: Option<u16>,
    user: Option<String>,
    password: Option<SecretString>,
    database: Option<String>,
    ssl_mode: Option<SslMode>,
    ssl_root_cert: Option<PathBuf>,
    ssl_client_cert: Option<PathBuf>,
    ssl_client_key: Option<PathBuf>,
    application_name: Option<String>,
    pgbouncer: bool,
    pub(crate) namespace: String,
    pub(crate) connections_max: NonZeroU32,
    pub(crate) remote: RemoteSettings,
}

/// Without names, in whose place a secret may stand by mistake (ERR-2).
impl fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresConfig")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("ssl_mode", &self.ssl_mode)
            .field("pgbouncer", &self.pgbouncer)
            .field("connections_max", &self.connections_max)
            .field("remote", &self.remote)
            .finish_non_exhaustive()
    }
}

impl Default for PostgresConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl PostgresConfig {
    /// The server, user and database of the environment, and the namespace `default`.
    pub fn new() -> Self {
        Self {
            host: None,
            port: None,
            user: None,
            password: None,
            database: None,
            ssl_mode: None,
            ssl_root_cert: None,
            ssl_client_cert: None,
            ssl_client_key: None,
            application_name: None,
            pgbouncer: false,
            namespace: NAMESPACE.to_owned(),
            connections_max: CONNECTIONS_MAX,
            remote: RemoteSettings::default().with_requests_max(REQUESTS_MAX),
        }
    }

    /// From a URL `postgres://USER:PASSWORD@HOST:PORT/DATABASE` (or `postgresql://`), each part of which may be left
    /// out, and the options `namespace`, `sslmode`, `sslrootcert`, `sslcert`, `sslkey`, `application_name`,
    /// `connections` ([`with_connections_max`](Self::with_connections_max)), `pgbouncer` (`true` or `false`, the
    /// default: [`with_pgbouncer`](Self::with_pgbouncer)) and those of [`RemoteSettings::take_from_url`].
    ///
    /// # Errors
    /// `InvalidArgument` for another scheme, another form, or an option that is not one of these.
    ///
    /// ```
    /// use kv_api::Reason;
    /// use kv_postgres::PostgresConfig;
    /// let url = "postgres://app@db.example.com:5432/app?namespace=users&sslmode=verify-full";
    /// let config = PostgresConfig::from_url(url.parse()?)?;
    /// assert!(format!("{config:?}").contains("VerifyFull"));
    /// let error = PostgresConfig::from_url("postgres://db/app?ssl=true".parse()?).unwrap_err();
    /// assert_eq!(error.reason(), Some(&Reason::UnknownOption));
    /// # Ok::<(), kv_api::Error>(())
    /// ```
    pub fn from_url(mut url: StoreUrl) -> Result<Self> {
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(Error::invalid(Reason::UnknownScheme, FORM));
        }
        let authority = url.authority()?.ok_or_else(|| invalid(FORM))?;
        let mut segments = url.segments().into_iter();
        let database = segments.next().filter(|database| !database.is_empty());
        if segments.next().is_some() {
            return Err(invalid(FORM));
        }
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let mut config = Self {
            host: given(authority.host()),
            port: authority.port(),
            user: authority.user().and_then(given),
            password: authority.password().map(SecretString::from),
            database,
            ..Self::new()
        };
        config.ssl_mode = url.take_parsed("sslmode", "disable, prefer, require, verify-ca or verify-full")?;
        config.ssl_root_cert = url.take_option("sslrootcert").map(PathBuf::from);
        config.ssl_client_cert = url.take_option("sslcert").map(PathBuf::from);
        config.ssl_client_key = url.take_option("sslkey").map(PathBuf::from);
        config.application_name = url.take_option("application_name");
        if let Some(connections_max) = url.take_parsed("connections", "a whole number, at least 1")? {
            config.connections_max = connections_max;
        }
        if let Some(pgbouncer) = url.take_parsed("pgbouncer", "true or false")? {
            config.pgbouncer = pgbouncer;
        }
        if let Some(namespace) = url.take_option("namespace") {
            config = config.with_namespace(&namespace)?;
        }
        config.remote = config.remote.take_from_url(&mut url)?;
        url.finish()?;
        Ok(config)
    }

    /// Host name, address, or the directory of a Unix socket; and the port.
    pub fn with_host(mut self, host: impl Into<String>, port: u16) -> Self {
        (self.host, self.port) = (Some(host.into()), Some(port));
        self
    }

    /// The user.
    pub fn with_user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// The password. Without one, `PGPASSWORD` and the password file are looked at.
    pub fn with_password(mut self, password: SecretString) -> Self {
        self.password = Some(password);
        self
    }

    /// The database.
    pub fn with_database(mut self, database: impl Into<String>) -> Self {
        self.database = Some(database.into());
        self
    }

    /// Whether the connection is encrypted, and whom it trusts. Default: [`SslMode::Prefer`], as libpq's.
    pub const fn with_ssl_mode(mut self, ssl_mode: SslMode) -> Self {
        self.ssl_mode = Some(ssl_mode);
        self
    }

    /// A file with the certificates of the authorities that are trusted. Default: those that Mozilla trusts.
    pub fn with_ssl_root_cert(mut self, path: impl Into<PathBuf>) -> Self {
        self.ssl_root_cert = Some(path.into());
        self
    }

    /// The files with the certificate and the key of this client. Default: none.
    pub fn with_ssl_client_cert(mut self, cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        (self.ssl_client_cert, self.ssl_client_key) = (Some(cert.into()), Some(key.into()));
        self
    }

    /// The name that the server shows for the connections. Default: none.
    pub fn with_application_name(mut self, name: impl Into<String>) -> Self {
        self.application_name = Some(name.into());
        self
    }

    /// The namespace: 1 to 255 bytes of any characters but NUL. Default: `default`. Nothing in it is visible through
    /// another (NS-1).
    ///
    /// # Errors
    /// `InvalidArgument` when it is empty, too long, or holds a NUL, which a text of PostgreSQL cannot.
    pub fn with_namespace(mut self, namespace: &str) -> Result<Self> {
        if namespace.is_empty() || namespace.contains('\0') {
            return Err(invalid("the name of a namespace must not be empty, nor hold a NUL"));
        }
        if namespace.len() > NAMESPACE_BYTES_MAX {
            return Err(Error::limit("namespace_bytes_max", NAMESPACE_BYTES_MAX as u64, namespace.len() as u64));
        }
        namespace.clone_into(&mut self.namespace);
        Ok(self)
    }

    /// How many connections the store has at most. Default: 8. They are made when they are needed: a lone caller needs
    /// one, and many that set or get at once need four.
    pub const fn with_connections_max(mut self, connections_max: NonZeroU32) -> Self {
        self.connections_max = connections_max;
        self
    }

    /// Whether a PgBouncer in transaction mode stands between: then nothing is left in a session, no statement is
    /// prepared, no time-out is set on the server, and statements travel as text with hexadecimal literals. Default:
    /// no.
    pub const fn with_pgbouncer(mut self, pgbouncer: bool) -> Self {
        self.pgbouncer = pgbouncer;
        self
    }

    /// Retries, time-outs, the window of calls, clock and timer. Default: 1,024 calls at once, else as
    /// [`RemoteSettings::default`].
    pub fn with_remote(mut self, remote: RemoteSettings) -> Self {
        self.remote = remote;
        self
    }

    /// Another clock, and all else of these settings as it is (EXP-10). Default: the system's.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.remote = self.remote.with_clock(clock);
        self
    }

    /// What connections are made with.
    pub(crate) fn connector(&self) -> Result<Connector> {
        self.check_environment()?;
        // Only a URL makes the driver look into the password file for this host and user.
        let mut url =
            Url::parse("postgres:///").map_err(|_| Error::new(ErrorKind::Internal, "a URL does not parse"))?;
        for (name, value) in [("host", &self.host), ("user", &self.user), ("dbname", &self.database)] {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, value);
            }
        }
        if let Some(port) = self.port {
            url.query_pairs_mut().append_pair("port", &port.to_string());
        }
        if let Some(password) = &self.password {
            url.query_pairs_mut().append_pair("password", password.expose_secret());
        }
        // Its error may show a part of the URL.
        let options = PgConnectOptions::from_url(&url)
            .map_err(|_| Error::new(ErrorKind::InvalidArgument, "host, user or database cannot be used"))?;
        let options = self.with_tls(options)?;
        let options = match &self.application_name {
            Some(name) => options.application_name(name),
            None => options,
        };
        // Texts of statements can hold values.
        let options = options.disable_statement_logging();
        let host = match options.get_host() {
            path if path.starts_with('/') => "the Unix socket".to_owned(),
            host if host.contains(':') => format!("[{host}]:{}", options.get_port()),
            host => format!("{host}:{}", options.get_port()),
        };
        Ok(if self.pgbouncer {
            // The settings that PgBouncer refuses in the first message of a connection.
            Connector { options: options.extra_float_digits(None), host, protocol: Protocol::Simple }
        } else {
            Connector { options: self.with_session_settings(options), host, protocol: Protocol::Prepared }
        })
    }

    fn with_tls(&self, mut options: PgConnectOptions) -> Result<PgConnectOptions> {
        if let Some(ssl_mode) = self.ssl_mode {
            options = options.ssl_mode(match ssl_mode {
                SslMode::Disable => PgSslMode::Disable,
                SslMode::Prefer => PgSslMode::Prefer,
                SslMode::Require => PgSslMode::Require,
                SslMode::VerifyCa => PgSslMode::VerifyCa,
                SslMode::VerifyFull => PgSslMode::VerifyFull,
            });
        }
        for path in [&self.ssl_root_cert, &self.ssl_client_cert, &self.ssl_client_key].into_iter().flatten() {
            File::open(path).map_err(|error| {
                let message = "a certificate or key file of the settings cannot be read";
                Error::new(ErrorKind::Misconfigured, message).with_source(error)
            })?;
        }
        if let Some(path) = &self.ssl_root_cert {
            options = options.ssl_root_cert(path);
        }
        if let Some(path) = &self.ssl_client_cert {
            options = options.ssl_client_cert(path);
        }
        if let Some(path) = &self.ssl_client_key {
            options = options.ssl_client_key(path);
        }
        Ok(options)
    }

    /// The server gives up before this side does, so that it says what became of a statement. And it sends no notices.
    fn with_session_settings(&self, options: PgConnectOptions) -> PgConnectOptions {
        let millis = |part: u32| {
            let timeout: Duration = self.remote.request_timeout() / 4 * part;
            // Zero would be no time-out at all.
            timeout.as_millis().clamp(1, i32::MAX.unsigned_abs().into())
        };
        options.options([
            ("statement_timeout", millis(3).to_string()),
            ("lock_timeout", millis(2).to_string()),
            // The driver logs them, and a function of another program may put a value into one (ERR-2).
            ("client_min_messages", "error".to_owned()),
        ])
    }

    /// What the driver would read as its default, without a word.
    fn check_environment(&self) -> Result<()> {
        let is_bad = |name: &str, is_good: fn(&str) -> bool| env::var(name).is_ok_and(|value| !is_good(&value));
        if self.ssl_mode.is_none() && is_bad("PGSSLMODE", |value| value.parse::<SslMode>().is_ok()) {
            let message =
                "the environment variable PGSSLMODE is not disable, prefer, require, verify-ca or verify-full";
            return Err(invalid(message));
        }
        if self.port.is_none() && is_bad("PGPORT", |value| value.parse::<u16>().is_ok()) {
            return Err(invalid("the environment variable PGPORT is not a number from 1 to 65535"));
        }
        Ok(())
    }
}

fn invalid(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Result<PostgresConfig> {
        PostgresConfig::from_url(url.parse().unwrap())
    }

    #[test]
    fn a_url_names_server_user_database_and_options() {
        for (url, host, port, user, database) in [
            ("postgres://db.example/app", "db.example", None, None, Some("app")),
            ("postgresql://ada@db.example:6432/app", "db.example", Some(6432), Some("ada"), Some("app")),
            ("postgres://a%40b:p%40ss@[::1]:5433", "::1", Some(5433), Some("a@b"), None),
            ("postgres://db.example/", "db.example", None, None, None),
            ("postgres://db.example/a%2Fb", "db.example", None, None, Some("a/b")),
        ] {
            let config = parsed(url).unwrap();
            assert_eq!(config.host.as_deref(), Some(host), "{url}");
            assert_eq!((config.port, config.user.as_deref(), config.database.as_deref()), (port, user, database));
        }
        let config =
            parsed("postgres://h?namespace=a%20b&sslmode=verify-ca&connections=3&pgbouncer=true&attempts_max=2");
        let config = config.unwrap();
        assert_eq!((config.namespace.as_str(), config.ssl_mode), ("a b", Some(SslMode::VerifyCa)));
        assert_eq!((config.connections_max.get(), config.pgbouncer), (3, true));
        assert_eq!(parsed("postgres://").unwrap().host, None);
    }

    #[test]
    fn the_driver_gets_what_the_url_says() {
        let config = parsed("postgres://a%26b:p%26q@[::1]:5433/d%26e?sslmode=require").unwrap();
        let connector = config.connector().unwrap();
        let options = &connector.options;
        assert_eq!((options.get_host(), options.get_port()), ("::1", 5433));
        assert_eq!((options.get_username(), options.get_database()), ("a&b", Some("d&e")));
        assert!(matches!(options.get_ssl_mode(), PgSslMode::Require));
        assert_eq!(connector.host, "[::1]:5433");
        let settings = "-c statement_timeout=22500 -c lock_timeout=15000 -c client_min_messages=error";
        assert!(options.get_options().unwrap().ends_with(settings), "{:?}", options.get_options());
        assert!(format!("{options:?}").contains("p&q"), "the password as it is");
        let pooled = parsed("postgres://h?pgbouncer=true").unwrap().connector().unwrap();
        assert_eq!((pooled.protocol, pooled.host.as_str()), (Protocol::Simple, "h:5432"));
        let lost = parsed("postgres://h?sslrootcert=/nowhere/hush").unwrap().connector().err().unwrap();
        assert_eq!(lost.kind(), ErrorKind::Misconfigured);
    }

    #[test]
    fn err_2_what_is_refused_is_not_shown() {
        for url in [
            "memory://hush",
            "postgres:hush",
            "postgres://host:hush/app",
            "postgres://host:70000/app",
            "postgres://ho st/hush",
            "postgres://host/app/hush",
            "postgres://host?namespace=",
            "postgres://host?namespace=hush%00",
            "postgres://host?sslmode=hush",
            "postgres://host?sslmode=allow&hush=1",
            "postgres://host?connections=0&hush=1",
            "postgres://host?pgbouncer=hush",
            "postgres://host?password=hush",
            "postgres://host?deadline_ms=hush",
        ] {
            let error = parsed(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{url}");
            assert!(!format!("{error} {error:?}").contains("hush"), "{url}: {error:?}");
        }
        let config = parsed("postgres://hush:hush@host/hush?namespace=hush&application_name=hush").unwrap();
        assert!(!format!("{config:?} {config:#?}").contains("hush"));
    }

    #[test]
    fn key_1_a_namespace_is_short_enough_to_lie_in_an_index_with_a_key() {
        let error = PostgresConfig::new().with_namespace(&"n".repeat(256)).unwrap_err();
        assert_eq!(
            error.reason(),
            Some(&Reason::Limit { name: "namespace_bytes_max".into(), allowed: 255, found: 256 })
        );
        assert!(PostgresConfig::new().with_namespace(&"n".repeat(255)).is_ok());
    }
}
