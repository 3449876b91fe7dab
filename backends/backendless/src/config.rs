//! Settings of a store, in Backendless' own nouns.

use std::fmt;
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;

use kv_api::{Clock, Error, ErrorKind, Reason, Result, StoreUrl};
use kv_remote::http::{self, Base, Url, encoded};
use kv_remote::{BulkLimits, ExposeSecret, RemoteSettings, SecretString, secret_from_env};

use crate::capabilities::BULK_ITEMS_MAX_DEFAULT;
use crate::wire::BODY_FRAME_BYTES;

/// The environment variable of the API key, where an application id is given without one.
const API_KEY_VARIABLE: &str = "BACKENDLESS_API_KEY";
/// The environment variable of the login token of an application's user.
const USER_TOKEN_VARIABLE: &str = "BACKENDLESS_USER_TOKEN";

/// Settings of a [`BackendlessStore`](crate::BackendlessStore): one hive of one application. `Debug` shows neither the
/// API key nor the user token.
///
/// ```
/// use kv_backendless::{BackendlessConfig, SecretString};
/// let by_domain = BackendlessConfig::of_domain("xxxx.backendless.app", "countries")?;
/// let by_id = BackendlessConfig::of_application("APP-ID", SecretString::from("API-KEY"), "countries")?;
/// assert!(!format!("{by_id:?}").contains("API-KEY"));
/// let self_hosted = by_id.with_base_url("http://10.0.0.7:8080/api")?;
/// # let _ = (by_domain, self_hosted);
/// # Ok::<(), kv_api::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct BackendlessConfig {
    base: Url,
    application: Option<Application>,
    hive: String,
    pub(crate) user_token: Option<SecretString>,
    pub(crate) bulk: BulkLimits,
    pub(crate) answer_bytes_max: usize,
    pub(crate) remote: RemoteSettings,
}

#[derive(Clone)]
struct Application {
    id: String,
    api_key: SecretString,
}

impl BackendlessConfig {
    /// The hive of the application behind a subdomain (`xxxx.backendless.app`) or a custom domain, as a whole host
    /// name, with a port if need be: `https://DOMAIN/api/hive/HIVE`.
    ///
    /// # Errors
    /// `InvalidArgument` when the domain is no host name with a dot, or the hive is empty, `.` or `..`.
    pub fn of_domain(domain: &str, hive: impl Into<String>) -> Result<Self> {
        Self::new(domain_url(domain)?, None, hive.into())
    }

    /// The hive of the application with this id: `https://api.backendless.com/ID/API-KEY/hive/HIVE`.
    ///
    /// # Errors
    /// `InvalidArgument` when the id or the hive is empty, `.` or `..`; `Unauthorized` when the key is.
    pub fn of_application(id: impl Into<String>, api_key: SecretString, hive: impl Into<String>) -> Result<Self> {
        let id = id.into();
        check_segment(&id, "the application id")?;
        check_segment(api_key.expose_secret(), "the API key")
            .map_err(|_| Error::new(ErrorKind::Unauthorized, "the API key is empty, \".\" or \"..\""))?;
        Self::new(base_url("https://api.backendless.com")?, Some(Application { id, api_key }), hive.into())
    }

    fn new(base: Url, application: Option<Application>, hive: String) -> Result<Self> {
        check_segment(&hive, "the name of the hive")?;
        Ok(Self {
            base,
            application,
            hive,
            user_token: None,
            bulk: BulkLimits {
                items_max: BULK_ITEMS_MAX_DEFAULT,
                bytes_max: 4 * 1024 * 1024,
                frame_bytes: BODY_FRAME_BYTES,
                separator_bytes: 1,
            },
            answer_bytes_max: 256 * 1024 * 1024,
            remote: RemoteSettings::default(),
        })
    }

    /// From a URL, in one of the forms
    ///
    /// - `backendless://DOMAIN/HIVE`: see [`of_domain`](Self::of_domain);
    /// - `backendless://APP-ID@HOST/HIVE`, with the API key in the environment variable `BACKENDLESS_API_KEY`;
    /// - `backendless://APP-ID:API-KEY@HOST/HIVE`, whose key is in no error, log or `Debug`.
    ///
    /// HOST is `api.backendless.com` unless the API is served elsewhere. The option `base_url` replaces
    /// `https://DOMAIN/api` or `https://HOST`; the host may then be left out. Further options: `bulk_items_max`,
    /// `bulk_bytes_max`, `answer_bytes_max`, and those of [`RemoteSettings::take_http_from_url`]. A user token is taken
    /// from the environment variable `BACKENDLESS_USER_TOKEN`, in every form.
    ///
    /// # Errors
    /// `InvalidArgument` for another scheme, another form, or an option that is not one of these; `Unauthorized`
    /// without an API key where one is needed.
    ///
    /// ```
    /// use kv_api::Reason;
    /// use kv_backendless::BackendlessConfig;
    /// BackendlessConfig::from_url("backendless://xxxx.backendless.app/countries?bulk_items_max=100".parse()?)?;
    /// BackendlessConfig::from_url("backendless://APP-ID:API-KEY@api.backendless.com/countries".parse()?)?;
    /// let unknown = "backendless://xxxx.backendless.app/countries?bulk=1".parse()?;
    /// let error = BackendlessConfig::from_url(unknown).unwrap_err();
    /// assert_eq!(error.reason(), Some(&Reason::UnknownOption));
    /// # Ok::<(), kv_api::Error>(())
    /// ```
    pub fn from_url(url: StoreUrl) -> Result<Self> {
        Self::from_url_and(url, secret_from_env)
    }

    /// With the secrets of the environment asked for by the names of their variables.
    fn from_url_and(mut url: StoreUrl, environment: impl Fn(&str) -> Result<Option<SecretString>>) -> Result<Self> {
        const FORMS: &str = "a Backendless URL is backendless://DOMAIN/HIVE or backendless://APP-ID@HOST/HIVE";
        if url.scheme() != "backendless" {
            return Err(invalid(FORMS).with_reason(Reason::UnknownScheme));
        }
        let authority = url.authority()?.ok_or_else(|| invalid(FORMS))?;
        let segments = url.segments();
        let hive = segments.first().ok_or_else(|| invalid(FORMS))?.clone();
        if segments.len() > 1 || hive.contains('/') {
            return Err(invalid(
                "after the host of a Backendless URL comes the name of a hive alone, without a slash; an application \
                 and its key stand before the host: APP-ID:API-KEY@HOST",
            ));
        }
        let host = authority.host_and_port();
        let user = authority.user().map(|id| (id.to_owned(), authority.password().map(SecretString::from)));
        let base = url.take_option("base_url").map(|base| base_url(&base)).transpose()?;
        let base = match base {
            Some(base) => base,
            None if user.is_none() => domain_url(&host)?,
            None => host_url(&host, "")?,
        };
        let mut config = match user {
            None => Self::new(base, None, hive)?,
            Some((id, key)) => {
                let key = match key {
                    Some(key) => key,
                    None => environment(API_KEY_VARIABLE)?.ok_or_else(|| {
                        let message = format!("no API key: set the environment variable {API_KEY_VARIABLE}");
                        Error::new(ErrorKind::Unauthorized, message)
                    })?,
                };
                Self { base, ..Self::of_application(id, key, hive)? }
            }
        };
        config.user_token = environment(USER_TOKEN_VARIABLE)?;
        let number = "a whole number, at least 1";
        if let Some(items_max) = url.take_parsed("bulk_items_max", number)? {
            config = config.with_bulk_items_max(items_max);
        }
        if let Some(bytes_max) = url.take_parsed("bulk_bytes_max", number)? {
            config = config.with_bulk_bytes_max(bytes_max);
        }
        if let Some(bytes_max) = url.take_parsed("answer_bytes_max", number)? {
            config = config.with_answer_bytes_max(bytes_max);
        }
        config.remote = config.remote.take_http_from_url(&mut url)?;
        url.finish()?;
        Ok(config)
    }

    /// Where the API is served, such as `http://HOST:8080/api` of a self-hosted Backendless; replaces
    /// `https://DOMAIN/api` and `https://api.backendless.com`. Plain `http` to another machine is refused when the
    /// store is opened, unless [`RemoteSettings::with_allow_http`] allows it.
    ///
    /// # Errors
    /// `InvalidArgument` when it is not a URL of HTTP or HTTPS without user information, query and fragment.
    pub fn with_base_url(self, base: &str) -> Result<Self> {
        Ok(Self { base: base_url(base)?, ..self })
    }

    /// The login token of a user of the application, sent as `user-token` with every request. Default: none.
    pub fn with_user_token(mut self, user_token: SecretString) -> Self {
        self.user_token = Some(user_token);
        self
    }

    /// The most keys of one bulk request. Default: 500; Backendless names no limit.
    pub const fn with_bulk_items_max(mut self, items_max: NonZeroUsize) -> Self {
        self.bulk.items_max = items_max.get();
        self
    }

    /// The most bytes of JSON in one bulk request of more than one key. Default: 4 MiB; Backendless names no limit.
    pub const fn with_bulk_bytes_max(mut self, bytes_max: NonZeroU64) -> Self {
        self.bulk.bytes_max = bytes_max.get();
        self
    }

    /// The longest answer that is read, in bytes; a longer one is a `Protocol` error. A bulk read answers with up to
    /// `bulk_items_max` values at once. Default: 256 MiB.
    pub const fn with_answer_bytes_max(mut self, bytes_max: NonZeroUsize) -> Self {
        self.answer_bytes_max = bytes_max.get();
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

    /// The address of the hive. It holds the API key.
    pub(crate) fn hive_url(&self) -> Result<Url> {
        let application = self.application.as_ref().map_or_else(String::new, |application| {
            format!("/{}/{}", encoded(&application.id), encoded(application.api_key.expose_secret()))
        });
        Base::new(&self.base).at(&format!("{application}/hive/{}", encoded(&self.hive)))
    }

    /// Names the data, by where the API is served, the application and the hive, whichever key opens it. Never shown.
    pub(crate) fn scope(&self) -> String {
        let base = self.base.as_str().trim_end_matches('/');
        let application = self.application.as_ref().map_or("", |application| &application.id);
        format!("{base} {} {}", encoded(application), encoded(&self.hive))
    }

    /// What no text may show: key and token, and the path of the base URL, which may hold another.
    pub(crate) fn secrets(&self) -> Vec<SecretString> {
        let api_key = self.application.as_ref().map(|application| application.api_key.clone());
        let path = SecretString::from(self.base.path().trim_end_matches('/'));
        api_key.into_iter().chain(self.user_token.clone()).chain([path]).collect()
    }
}

/// The path of the base URL, the application id and the hive are left out: they may hold a key.
impl fmt::Debug for BackendlessConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackendlessConfig")
            .field("origin", &self.base.origin().ascii_serialization())
            .field("has_application", &self.application.is_some())
            .field("user_token", &self.user_token.is_some())
            .field("bulk_items_max", &self.bulk.items_max)
            .field("bulk_bytes_max", &self.bulk.bytes_max)
            .field("answer_bytes_max", &self.answer_bytes_max)
            .field("remote", &self.remote)
            .finish_non_exhaustive()
    }
}

fn invalid(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

/// What stands alone between two slashes must be there, and be taken out of no path.
fn check_segment(segment: &str, what: &str) -> Result<()> {
    if matches!(segment, "" | "." | "..") {
        let message = format!("{what} must not be empty, \".\" or \"..\"");
        return Err(Error::new(ErrorKind::InvalidArgument, message));
    }
    Ok(())
}

/// The whole name is asked for: a bare `xxxx` could be a subdomain of Backendless or a host of one's own network.
fn domain_url(domain: &str) -> Result<Url> {
    if domain.contains('.') {
        host_url(domain, "/api")
    } else {
        Err(invalid(
            "write the domain as a whole host name, such as xxxx.backendless.app, or an application as APP-ID@HOST, \
             or give a base_url",
        ))
    }
}

fn host_url(host: &str, path: &str) -> Result<Url> {
    let refused = || invalid("the host of a Backendless URL is a host name, with a port if need be");
    if host.is_empty() || host.contains(['/', '\\', '@', '?', '#']) || host.chars().any(char::is_whitespace) {
        return Err(refused());
    }
    base_url(&format!("https://{host}{path}")).map_err(|_| refused())
}

/// Nothing of it is shown: it may hold a key.
fn base_url(text: &str) -> Result<Url> {
    http::base_url(text).map_err(|_| {
        invalid("the base URL must be of HTTP or HTTPS, with a host, and without user, query and fragment")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "c4nary-4pi-key";

    fn parsed(url: &str) -> Result<BackendlessConfig> {
        BackendlessConfig::from_url_and(url.parse()?, |name| {
            Ok(Some(SecretString::from(if name == API_KEY_VARIABLE { KEY } else { "c4nary-t0ken" })))
        })
    }

    fn without_environment(url: &str) -> Result<BackendlessConfig> {
        BackendlessConfig::from_url_and(url.parse()?, |_| Ok(None))
    }

    #[test]
    fn each_form_of_url_names_one_address() {
        for (url, address) in [
            ("backendless://xxxx.backendless.app/countries", "https://xxxx.backendless.app/api/hive/countries"),
            ("backendless://kv.example.com:8443/countries", "https://kv.example.com:8443/api/hive/countries"),
            ("backendless://APP@api.backendless.com/h", "https://api.backendless.com/APP/c4nary-4pi-key/hive/h"),
            ("backendless://APP:K@api.backendless.com/h", "https://api.backendless.com/APP/K/hive/h"),
            ("backendless://APP:K@eu-api.backendless.com/h", "https://eu-api.backendless.com/APP/K/hive/h"),
            ("backendless://APP:K@x/h?base_url=http://10.0.0.7:8080/api", "http://10.0.0.7:8080/api/APP/K/hive/h"),
            ("backendless://APP:K@/h?base_url=http://10.0.0.7:8080/api/", "http://10.0.0.7:8080/api/APP/K/hive/h"),
            ("backendless:///h?base_url=http://localhost:8080/api", "http://localhost:8080/api/hive/h"),
            ("backendless://a.b/h?base_url=http://localhost:8080", "http://localhost:8080/hive/h"),
            ("backendless://a.b/my%20hive", "https://a.b/api/hive/my%20hive"),
            ("backendless://a.b/50%25%3F%23", "https://a.b/api/hive/50%25%3F%23"),
        ] {
            assert_eq!(parsed(url).unwrap().hive_url().unwrap().as_str(), address, "{url}");
        }
    }

    #[test]
    fn what_names_no_address_is_refused() {
        for url in [
            "backendless:",
            "backendless://",
            "backendless://a.b",
            "backendless://a.b/",
            "backendless://a.b/.",
            "backendless://a.b/..",
            "backendless://a.b/%2E%2E",
            "backendless://a.b/h/",
            "backendless://a.b/h/x",
            "backendless://a.b/h%2Fx",
            "backendless://xxxx/h",
            "backendless:///h",
            "backendless://APP:K@/h",
            "backendless://:K@api.backendless.com/h",
            "backendless://..:K@api.backendless.com/h",
            "backendless://a.b%23/h",
            "backendless://a.b%5C/h",
            "backendless://a.b%20/h",
            "backendless://a.b:x/h",
            "backendless://a.b/h?base_url=ftp://host",
            "backendless://a.b/h?base_url=host:8080/api",
            "backendless://a.b/h?base_url=http://user:p@host/api",
            "backendless://a.b/h?base_url=http://host/api%3Fx=1",
            "backendless://a.b/h?bulk_items_max=0",
            "backendless://a.b/h?hive=x",
            "redis://a.b/h",
        ] {
            let refused = parsed(url).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidArgument, "{url}");
        }
    }

    #[test]
    fn a_key_that_is_needed_and_missing_is_asked_for() {
        let refused = without_environment("backendless://APP@api.backendless.com/h").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unauthorized);
        assert!(refused.to_string().contains(API_KEY_VARIABLE), "{refused}");
        for empty in ["backendless://APP:@api.backendless.com/h", "backendless://APP:..@api.backendless.com/h"] {
            assert_eq!(parsed(empty).unwrap_err().kind(), ErrorKind::Unauthorized, "{empty}");
        }
        assert!(without_environment("backendless://a.b/h").is_ok());
    }

    #[test]
    fn a_url_sets_every_option() {
        let url = "backendless://a.b/h?bulk_items_max=7&bulk_bytes_max=70&answer_bytes_max=700&requests_max=3";
        let config = parsed(url).unwrap();
        assert_eq!((config.bulk.items_max, config.bulk.bytes_max, config.answer_bytes_max), (7, 70, 700));
        assert_eq!(config.user_token.as_ref().map(ExposeSecret::expose_secret), Some("c4nary-t0ken"));
        assert_eq!(config.secrets().len(), 2, "the token, and the path of the base URL");
    }

    #[test]
    fn err_2_no_output_shows_a_secret() {
        let mut shown = String::new();
        for url in [
            "backendless://APP:c4nary-4pi-key@api.backendless.com/h",
            "backendless://APP@api.backendless.com/h",
            "backendless://APP:c4nary-4pi-key@x/h?base_url=http://host/c4nary-4pi-key",
            // Mistakes that put the key where something else should be.
            "backendless://APP:c4nary-4pi-key/h",
            "backendless://APP:c4nary-4pi-key@host/h/x",
            "backendless://APP:c4nary-4pi-key@ho st/h",
            "backendless://APP:c4nary-4pi-key@host",
            "backendless://APP:c4nary-4pi-key@host/h?base_url=c4nary-4pi-key",
            "backendless://APP:c4nary-4pi-key@host/h?attempts_max=c4nary-4pi-key",
            "backendless:APP:c4nary-4pi-key@host/h",
        ] {
            if url.contains('@') {
                shown.push_str(&format!("{:?}", url.parse::<StoreUrl>().unwrap()));
            }
            match parsed(url) {
                Ok(config) => {
                    shown.push_str(&format!("{config:?} {config:#?}"));
                    if !url.contains("base_url") {
                        shown.push_str(&config.scope());
                    }
                    let remote = RemoteSettings::default().with_allow_http(true);
                    let store = crate::BackendlessStore::open(config.with_remote(remote)).unwrap();
                    shown.push_str(&format!("{store:?}"));
                }
                Err(error) => shown.push_str(&format!("{error} {error:?}")),
            }
        }
        assert!(!shown.contains("c4nary"), "{shown}");
        for url in [
            "backendless://APP:x@api.backendless.com/c4nary-4pi-key",
            "backendless://c4nary-4pi-key:APP@api.backendless.com/h",
        ] {
            let config = parsed(url).unwrap();
            let shown = format!("{config:?} {:?}", crate::BackendlessStore::open(config.clone()).unwrap());
            assert!(!shown.contains("c4nary"), "{shown}");
        }
    }

    #[test]
    fn err_2_no_key_travels_unencrypted_to_another_machine_unless_that_is_allowed() {
        let opened = |url: &str| crate::BackendlessStore::open(parsed(url).unwrap()).map(drop);
        let refused = opened("backendless://APP:K@/h?base_url=http://10.0.0.7:8080/api").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
        assert!(refused.to_string().contains("allow_http"), "{refused}");
        for allowed in [
            "backendless://APP:K@/h?base_url=http://10.0.0.7:8080/api&allow_http=true",
            "backendless://APP:K@/h?base_url=http://127.0.0.1:8080/api",
            "backendless://APP:K@/h?base_url=https://10.0.0.7:8080/api",
        ] {
            assert!(opened(allowed).is_ok(), "{allowed}");
        }
    }

    #[test]
    fn list_3_the_scope_tells_hives_apart_and_holds_no_key() {
        let scope = |url: &str| parsed(url).unwrap().scope();
        let one = scope("backendless://APP:K1@api.backendless.com/h");
        assert_eq!(one, scope("backendless://APP:K2@api.backendless.com/h"), "another key to the same data");
        for other in [
            "backendless://APP:K1@api.backendless.com/i",
            "backendless://APQ:K1@api.backendless.com/h",
            "backendless://APP:K1@eu-api.backendless.com/h",
            "backendless://APP.h/h",
        ] {
            assert_ne!(scope(other), one, "{other}");
        }
    }
}
