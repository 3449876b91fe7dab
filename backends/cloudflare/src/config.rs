//! The settings of a store.

use std::fmt;
use std::sync::Arc;

use kv_api::{Clock, Error, ErrorKind, Reason, Result, StoreUrl};
use kv_remote::http::{self, Url};
use kv_remote::{RemoteSettings, SecretString, secret_from_env};

/// The address of the service.
const BASE_URL: &str = "https://api.cloudflare.com/client/v4";

/// The longest identifier of an account or a namespace.
const ID_BYTES_MAX: usize = 32;

const TOKEN_VARIABLE: &str = "CLOUDFLARE_API_TOKEN";
const EMAIL_VARIABLE: &str = "CLOUDFLARE_EMAIL";
const KEY_VARIABLE: &str = "CLOUDFLARE_API_KEY";

/// What a client shows to be let in. Never part of a URL, and not printed.
#[derive(Clone)]
#[non_exhaustive]
pub enum Credentials {
    /// An API token, with the permission `Workers KV Storage Write`, or `Read` where nothing is written.
    Token(SecretString),
    /// The older form: an e-mail address and the global API key.
    GlobalKey {
        /// The address.
        email: SecretString,
        /// The key.
        key: SecretString,
    },
}

impl Credentials {
    /// From the variables that the vendor's own tools read: `CLOUDFLARE_API_TOKEN`, or else `CLOUDFLARE_EMAIL` and
    /// `CLOUDFLARE_API_KEY`.
    ///
    /// # Errors
    /// `Unauthorized`, naming the variables, when neither is set.
    pub fn from_env() -> Result<Self> {
        if let Some(token) = secret_from_env(TOKEN_VARIABLE)? {
            return Ok(Self::Token(token));
        }
        match (secret_from_env(EMAIL_VARIABLE)?, secret_from_env(KEY_VARIABLE)?) {
            (Some(email), Some(key)) => Ok(Self::GlobalKey { email, key }),
            _ => Err(Error::new(
                ErrorKind::Unauthorized,
                format!("no credentials: set {TOKEN_VARIABLE}, or {EMAIL_VARIABLE} and {KEY_VARIABLE}"),
            )),
        }
    }

    pub(crate) fn secrets(&self) -> Vec<SecretString> {
        match self {
            Self::Token(token) => vec![token.clone()],
            Self::GlobalKey { email, key } => vec![email.clone(), key.clone()],
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Token(..)",
            Self::GlobalKey { .. } => "GlobalKey(..)",
        })
    }
}

/// Which namespace a [`CloudflareStore`](crate::CloudflareStore) is, and how it is reached.
///
/// ```
/// use kv_cloudflare::{CloudflareConfig, CloudflareStore, Credentials};
/// let token = Credentials::Token("the-token".into());
/// let config =
///     CloudflareConfig::new("023e105f4ecef8ad9ca31a8372d0c353", "0f2ac74b498b48028cb68387c421e279", token)?;
/// assert!(!format!("{config:?}").contains("the-token"));
/// let store = CloudflareStore::open(config)?; // nothing is sent yet
/// # let _ = store;
/// # Ok::<(), kv_api::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct CloudflareConfig {
    pub(crate) account_id: String,
    pub(crate) namespace_id: String,
    pub(crate) credentials: Credentials,
    pub(crate) base_url: Url,
    pub(crate) remote: RemoteSettings,
}

impl CloudflareConfig {
    /// The namespace of an account, both by their identifiers.
    ///
    /// # Errors
    /// `InvalidArgument` when an identifier is not 1 to 32 ASCII letters, digits, `-` or `_`.
    pub fn new(
        account_id: impl Into<String>,
        namespace_id: impl Into<String>,
        credentials: Credentials,
    ) -> Result<Self> {
        let (account_id, namespace_id) = (account_id.into(), namespace_id.into());
        check_id("account", &account_id)?;
        check_id("namespace", &namespace_id)?;
        let (base_url, remote) = (http::base_url(BASE_URL)?, RemoteSettings::default());
        Ok(Self { account_id, namespace_id, credentials, base_url, remote })
    }

    /// From a URL `cloudflare://ACCOUNT/NAMESPACE`, with the credentials of the environment
    /// ([`Credentials::from_env`]) and the options `base_url` and those of [`RemoteSettings::take_http_from_url`].
    ///
    /// # Errors
    /// `InvalidArgument` for another scheme, a malformed identifier, or an unknown option; `Unauthorized` without
    /// credentials.
    pub fn from_url(url: StoreUrl) -> Result<Self> {
        Self::from_url_with(url, Credentials::from_env)
    }

    fn from_url_with(mut url: StoreUrl, credentials: impl FnOnce() -> Result<Credentials>) -> Result<Self> {
        const FORM: &str = "a Cloudflare URL is cloudflare://ACCOUNT/NAMESPACE, with both identifiers";
        if url.scheme() != "cloudflare" {
            return Err(Error::invalid(Reason::UnknownScheme, FORM));
        }
        let refused = || Error::new(ErrorKind::InvalidArgument, FORM);
        let authority = url.authority()?.ok_or_else(refused)?;
        let [namespace_id] = <[String; 1]>::try_from(url.segments()).map_err(|_| refused())?;
        if authority.user().is_some() || authority.port().is_some() {
            return Err(refused());
        }
        let account_id = authority.host().to_owned();
        check_id("account", &account_id)?;
        check_id("namespace", &namespace_id)?;
        let base_url = http::base_url(url.take_option("base_url").as_deref().unwrap_or(BASE_URL))?;
        let remote = RemoteSettings::default().take_http_from_url(&mut url)?;
        url.finish()?;
        Ok(Self { account_id, namespace_id, credentials: credentials()?, base_url, remote })
    }

    /// The address of the API, for a proxy or a server of one's own. Default: `https://api.cloudflare.com/client/v4`.
    ///
    /// # Errors
    /// `InvalidArgument` unless it is `http` or `https` without user information, query and fragment.
    pub fn with_base_url(mut self, base_url: &str) -> Result<Self> {
        self.base_url = http::base_url(base_url)?;
        Ok(self)
    }

    /// Other credentials than those of the environment, with which a URL is opened.
    pub fn with_credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
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

    /// Names the data, by where the API is served, account and namespace, whichever credentials open it: a server for
    /// tests may have the same identifiers. Never shown.
    pub(crate) fn scope(&self) -> String {
        let base = self.base_url.as_str().trim_end_matches('/');
        format!("{base} {}/{}", self.account_id, self.namespace_id)
    }
}

/// No credentials, and not the path of the base URL: it may hold a secret by mistake.
impl fmt::Debug for CloudflareConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudflareConfig")
            .field("account_id", &self.account_id)
            .field("namespace_id", &self.namespace_id)
            .field("credentials", &self.credentials)
            .field("origin", &self.base_url.origin().ascii_serialization())
            .field("remote", &self.remote)
            .finish()
    }
}

/// What stands in the path of every request must not be able to change it.
fn check_id(what: &'static str, id: &str) -> Result<()> {
    let is_id = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(is_id) {
        Ok(())
    } else {
        let message = format!("the {what} identifier is not 1 to {ID_BYTES_MAX} ASCII letters, digits, - or _");
        Err(Error::new(ErrorKind::InvalidArgument, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "023e105f4ecef8ad9ca31a8372d0c353";

    fn from_url(text: &str) -> Result<CloudflareConfig> {
        CloudflareConfig::from_url_with(text.parse().unwrap(), || Ok(Credentials::Token("hush".into())))
    }

    #[test]
    fn a_url_names_account_namespace_and_options() {
        let config =
            from_url(&format!("cloudflare://{ACCOUNT}/n?base_url=http%3A%2F%2F127.0.0.1%3A1%2Fx&attempts_max=2"));
        let config = config.unwrap();
        assert_eq!((config.account_id.as_str(), config.namespace_id.as_str()), (ACCOUNT, "n"));
        assert_eq!(config.base_url.as_str(), "http://127.0.0.1:1/x");
        assert_eq!(from_url("cloudflare://a/n").unwrap().base_url.as_str(), BASE_URL);
    }

    #[test]
    fn ns_3_a_server_elsewhere_is_another_store() {
        let scope = |options: &str| from_url(&format!("cloudflare://a/n{options}")).unwrap().scope();
        assert_eq!(scope("?attempts_max=2"), scope(""));
        assert_eq!(scope(&format!("?base_url={BASE_URL}/")), scope(""));
        assert_ne!(scope("?base_url=http://127.0.0.1:1"), scope(""));
    }

    #[test]
    fn err_2_what_is_refused_is_not_shown() {
        for text in [
            "memory://a/n",
            "cloudflare:a/n",
            "cloudflare://a",
            "cloudflare://a/",
            "cloudflare:///n",
            "cloudflare://a/n/more",
            "cloudflare://a/..",
            "cloudflare://hush@a/n",
            "cloudflare://user:hush@a/n",
            "cloudflare://a/hushhushhushhushhushhushhushhushh",
            "cloudflare://a/n?api_token=hush",
            "cloudflare://a/n?base_url=ftp://hush",
            "cloudflare://a/n?base_url=https://user:hush@host",
            "cloudflare://a/n?base_url=https://host%3Fq=hush",
            "cloudflare://a/n?deadline_ms=hush",
        ] {
            let error = from_url(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{text}");
            assert!(!format!("{error} {error:?}").contains("hush"), "{text}: {error:?}");
        }
    }

    #[test]
    fn err_2_debug_shows_no_credentials() {
        let key = Credentials::GlobalKey { email: "hush@example.com".into(), key: "hush".into() };
        for credentials in [key, Credentials::Token("hush".into())] {
            let config = CloudflareConfig::new("a", "n", credentials).unwrap();
            assert!(!format!("{config:?} {:?}", config.credentials.secrets()).contains("hush"));
        }
    }
}
