//! Settings of a store, in Puter's own nouns.

use std::fmt;
use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use kv_api::{Clock, Error, ErrorKind, Reason, Result, StoreUrl};
use kv_remote::http::{Url, base_url};
use kv_remote::{ExposeSecret, RemoteSettings, RetryPolicy, SecretString, secret_from_env};

use crate::capabilities::BATCH_ITEMS_MAX_DEFAULT;

/// The host of the API, where none is named.
const HOST: &str = "api.puter.com";

/// The environment variable of the token, which the vendor's own command reads too.
const TOKEN_VARIABLE: &str = "PUTER_AUTH_TOKEN";

/// The longest name of an app: what it takes of the storage's limit of an entry is set aside.
const APP_BYTES_MAX: usize = 100;

/// What the system calls the place of the entries that belong to no app. As the name of one it would address the same
/// entries.
const NO_APP: &str = "os-global";

/// Settings of a [`PuterStore`](crate::PuterStore): one user's entries, or those of one app of the user. `Debug` does
/// not show the token.
///
/// ```
/// use kv_puter::{PuterConfig, SecretString};
/// let config = PuterConfig::new(SecretString::from("the-token"))?.with_app("my-app")?;
/// assert!(!format!("{config:?}").contains("the-token"));
/// // One's own server; the name of its API need not be known to any DNS.
/// let own = PuterConfig::new(SecretString::from("the-token"))?
///     .with_base_url("http://api.puter.localhost:4100")?
///     .with_connect("127.0.0.1".parse()?);
/// # let _ = own;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct PuterConfig {
    pub(crate) token: SecretString,
    pub(crate) base: Url,
    pub(crate) app: Option<String>,
    pub(crate) connect: Option<IpAddr>,
    pub(crate) batch_items_max: usize,
    pub(crate) remote: RemoteSettings,
}

impl PuterConfig {
    /// What this token sees, at `https://api.puter.com`: a user's own entries, or those of the app that the token was
    /// given to.
    ///
    /// # Errors
    /// `Unauthorized` when the token is empty.
    pub fn new(token: SecretString) -> Result<Self> {
        if token.expose_secret().is_empty() {
            return Err(Error::new(ErrorKind::Unauthorized, "the token is empty"));
        }
        let base = host_url(HOST)?;
        Ok(Self { token, base, app: None, connect: None, batch_items_max: BATCH_ITEMS_MAX_DEFAULT, remote: remote() })
    }

    /// From a URL `puter://HOST[:PORT][/APP]`, over HTTPS; without a host, as in `puter:///APP`, `api.puter.com`. The
    /// token is in the environment variable `PUTER_AUTH_TOKEN`. The option `base_url` replaces `https://HOST`; further
    /// options are `connect`, `batch_items_max`, and those of [`RemoteSettings::take_http_from_url`].
    ///
    /// # Errors
    /// `InvalidArgument` for another scheme, another form, or an option that is not one of these; `Unauthorized`
    /// without a token.
    pub fn from_url(url: StoreUrl) -> Result<Self> {
        Self::from_url_and(url, || secret_from_env(TOKEN_VARIABLE))
    }

    fn from_url_and(mut url: StoreUrl, token: impl FnOnce() -> Result<Option<SecretString>>) -> Result<Self> {
        const FORM: &str = "write puter://HOST/APP, or puter:///APP for the hosted service; the app may be left out";
        if url.scheme() != "puter" {
            return Err(invalid(FORM).with_reason(Reason::UnknownScheme));
        }
        let authority = url.authority()?.ok_or_else(|| invalid(FORM))?;
        if authority.user().is_some() {
            return Err(invalid("a Puter URL has no user: the token is taken from the environment"));
        }
        let segments = url.segments();
        let app = segments.first().cloned().unwrap_or_default();
        if segments.len() > 1 || app.contains('/') {
            return Err(invalid("the name of an app in a URL has no slash, and none follows it"));
        }
        let host = if authority.host().is_empty() { HOST.to_owned() } else { authority.host_and_port() };
        let base = match url.take_option("base_url") {
            Some(base) => base_url(&base)?,
            None => host_url(&host)?,
        };
        let connect = url.take_parsed("connect", "an IP address")?;
        let batch_items_max = url.take_parsed::<NonZeroUsize>("batch_items_max", "a whole number, at least 1")?;
        let remote = remote().take_http_from_url(&mut url)?;
        url.finish()?;
        let token = token()?.ok_or_else(|| {
            Error::new(ErrorKind::Unauthorized, format!("no token: set the environment variable {TOKEN_VARIABLE}"))
        })?;
        let mut config = Self { base, connect, ..Self::new(token)? }.with_remote(remote);
        if let Some(items_max) = batch_items_max {
            config = config.with_batch_items_max(items_max);
        }
        if app.is_empty() { Ok(config) } else { config.with_app(app) }
    }

    /// Another token than that of the environment, with which a URL is opened.
    ///
    /// # Errors
    /// `Unauthorized` when it is empty.
    pub fn with_token(self, token: SecretString) -> Result<Self> {
        let Self { token, .. } = Self::new(token)?;
        Ok(Self { token, ..self })
    }

    /// The entries of this app, of the same user. With a user's token any name is a namespace of its own, whether or
    /// not there is such an app; with the token of an app it takes a permission that the user gave. Default: what the
    /// token sees.
    ///
    /// # Errors
    /// `InvalidArgument` when it has not 1 to 100 bytes, or is `os-global`, which is how the system calls what belongs
    /// to no app.
    pub fn with_app(self, app: impl Into<String>) -> Result<Self> {
        let app = app.into();
        if !(1..=APP_BYTES_MAX).contains(&app.len()) || app == NO_APP {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("the name of an app has 1 to {APP_BYTES_MAX} bytes, and is not {NO_APP}"),
            ));
        }
        Ok(Self { app: Some(app), ..self })
    }

    /// The origin of the API, such as `http://api.puter.localhost:4100` of one's own server. A real server answers only
    /// under a name whose first label is `api` and that has two more. Plain `http` to another machine is refused when
    /// the store is opened, unless [`RemoteSettings::with_allow_http`] allows it. Default: `https://api.puter.com`.
    ///
    /// # Errors
    /// `InvalidArgument` unless it is `http` or `https` without user information, query and fragment.
    pub fn with_base_url(self, base_url_: &str) -> Result<Self> {
        Ok(Self { base: base_url(base_url_)?, ..self })
    }

    /// The address to connect to, in place of the one that the host name of the origin has; the port and the name that
    /// the server sees stay those of the origin. For a server of one's own whose name no DNS knows. Default:
    /// none.
    pub const fn with_connect(mut self, connect: IpAddr) -> Self {
        self.connect = Some(connect);
        self
    }

    /// The most items of one `batchPut`. A request that fails half-way leaves all its items unknown, so fewer items are
    /// fewer unknown ones, and more requests. The system stores 25 at a time. Default: 250.
    pub const fn with_batch_items_max(mut self, items_max: NonZeroUsize) -> Self {
        self.batch_items_max = items_max.get();
        self
    }

    /// Retries, time-outs, the window of requests, clock and timer. Default: up to 9 attempts with waits from 250
    /// milliseconds to 8 seconds, which outlast the system's rate of 400 calls in 10 seconds, and 8 requests under way
    /// at once, which every kind of account may have; else as [`RemoteSettings::default`].
    pub fn with_remote(mut self, remote: RemoteSettings) -> Self {
        self.remote = remote;
        self
    }

    /// Another clock, and all else of these settings as it is (EXP-10). Default: the system's.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.remote = self.remote.with_clock(clock);
        self
    }

    /// What no text may show: the token, and the path of the base URL, which may hold another.
    pub(crate) fn secrets(&self) -> Vec<SecretString> {
        vec![self.token.clone(), SecretString::from(self.base.path().trim_end_matches('/'))]
    }

    /// Names the data, by where the API is served and the app, whichever token opens it.
    pub(crate) fn scope(&self) -> String {
        let base = self.base.as_str().trim_end_matches('/');
        format!("{base} {}", self.app.as_deref().unwrap_or_default())
    }
}

/// The path of the base URL and the name of the app are left out: they may hold a secret.
impl fmt::Debug for PuterConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PuterConfig")
            .field("origin", &self.base.origin().ascii_serialization())
            .field("has_app", &self.app.is_some())
            .field("connect", &self.connect)
            .field("batch_items_max", &self.batch_items_max)
            .field("remote", &self.remote)
            .finish_non_exhaustive()
    }
}

fn remote() -> RemoteSettings {
    let retry = RetryPolicy::default()
        .with_attempts_max(const { NonZeroU32::new(9).expect("9 is not 0") })
        .with_delays(Duration::from_millis(250), Duration::from_secs(8));
    RemoteSettings::default().with_retry(retry).with_requests_max(const { NonZeroUsize::new(8).expect("8 is not 0") })
}

fn invalid(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

fn host_url(host: &str) -> Result<Url> {
    Url::parse(&format!("https://{host}"))
        .map_err(|_| invalid("the host of a Puter URL is no host name with an optional port"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_url(text: &str) -> Result<PuterConfig> {
        PuterConfig::from_url_and(text.parse().unwrap(), || Ok(Some(SecretString::from("hush"))))
    }

    #[test]
    fn a_url_names_host_app_and_options() {
        let check = |text: &str, base: &str, app: Option<&str>| {
            let config = from_url(text).unwrap();
            assert_eq!((config.base.as_str(), config.app.as_deref()), (base, app), "{text}");
        };
        check("puter:///app", "https://api.puter.com/", Some("app"));
        check("puter://", "https://api.puter.com/", None);
        check("puter:///", "https://api.puter.com/", None);
        check("puter://api.example.org:8443/an%20app", "https://api.example.org:8443/", Some("an app"));
        check("puter://api.example.org", "https://api.example.org/", None);
        check("puter:///a?base_url=http://api.puter.localhost:4100", "http://api.puter.localhost:4100/", Some("a"));
        let config = from_url("puter://?connect=127.0.0.1&batch_items_max=25&attempts_max=2").unwrap();
        assert_eq!((config.connect, config.batch_items_max), (Some(IpAddr::from([127, 0, 0, 1])), 25));
    }

    #[test]
    fn a_missing_token_is_told_by_the_name_of_its_variable() {
        let error = PuterConfig::from_url_and("puter:///app".parse().unwrap(), || Ok(None)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized);
        assert!(error.to_string().contains(TOKEN_VARIABLE), "{error}");
    }

    #[test]
    fn err_2_what_is_refused_is_not_shown() {
        for text in [
            "memory:///hush",
            "puter:hush",
            "puter://host/a/hush",
            "puter://hush@host/a",
            "puter://user:hush@host",
            "puter://ho st/hush",
            "puter://host:hush/a",
            "puter:///os-global?hush=1",
            "puter:///a?token=hush",
            "puter:///a?base_url=ftp://hush",
            "puter:///a?base_url=https://user:hush@host",
            "puter:///a?base_url=https://host%3Fq=hush",
            "puter:///a?connect=hush",
            "puter:///a?batch_items_max=hush",
            "puter:///a?deadline_ms=hush",
        ] {
            let error = from_url(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{text}");
            assert!(!format!("{error} {error:?}").contains("hush"), "{text}: {error}");
        }
    }

    #[test]
    fn err_2_no_token_travels_unencrypted_to_another_machine_unless_that_is_allowed() {
        let opened = |text: &str| crate::PuterStore::open(from_url(text).unwrap()).map(drop);
        let refused = opened("puter:///a?base_url=http://10.0.0.7:4100").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
        assert!(refused.to_string().contains("allow_http"), "{refused}");
        for allowed in [
            "puter:///a?base_url=http://10.0.0.7:4100&allow_http=true",
            "puter:///a?base_url=http://api.puter.localhost:4100",
            "puter:///a?base_url=http://api.example.org:4100&connect=127.0.0.1",
            "puter:///a?base_url=https://10.0.0.7",
        ] {
            assert!(opened(allowed).is_ok(), "{allowed}");
        }
        assert!(opened("puter:///a?base_url=http://api.example.org:4100&connect=10.0.0.7").is_err());
    }

    #[test]
    fn ns_1_no_name_of_an_app_addresses_what_another_does() {
        let config = || PuterConfig::new(SecretString::from("hush")).unwrap();
        for name in ["", "os-global", &"a".repeat(101)] {
            assert_eq!(config().with_app(name).unwrap_err().kind(), ErrorKind::InvalidArgument, "{name}");
        }
        assert_ne!(config().scope(), config().with_app("a").unwrap().scope());
        assert!(config().with_app("é".repeat(50)).is_ok());
    }

    #[test]
    fn an_empty_token_is_none() {
        assert_eq!(PuterConfig::new(SecretString::from("")).unwrap_err().kind(), ErrorKind::Unauthorized);
    }

    #[test]
    fn err_2_debug_shows_no_token() {
        let config = PuterConfig::new(SecretString::from("hush")).unwrap();
        let config = config.with_base_url("http://host/hush").unwrap().with_app("hush").unwrap();
        assert!(!format!("{config:?}").contains("hush"), "{config:?}");
    }
}
