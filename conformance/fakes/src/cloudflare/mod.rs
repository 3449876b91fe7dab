//! Cloudflare Workers KV: the REST API of one account, as documented and observed.

mod account;
mod bulk;
mod listing;
mod model;
mod multipart;
mod namespace;
mod refusal;
mod route;
mod rules;
mod single;

use std::collections::{BTreeMap, BTreeSet};
use std::{fmt, io};

use clap::ValueEnum;

use crate::path::ReadsPathsAsUrls;
use crate::server::{FakeServer, ServerOptions};
use account::Account;
use model::{Cloudflare, Credentials, Switches};

/// The account of a fake that is given no other.
pub const ACCOUNT: &str = "0acc0000000000000000000000000001";
/// The namespace of a fake that is given no other.
pub const NAMESPACE: &str = "0a5e0000000000000000000000000001";
/// The API token of a fake that is given no other.
pub const TOKEN: &str = "fake-cloudflare-token";
/// The e-mail address that goes with [`GLOBAL_KEY`].
pub const EMAIL: &str = "fake@example.com";
/// The global API key of a fake that is given no other, the older form of credentials.
pub const GLOBAL_KEY: &str = "fake-cloudflare-key";

/// What follows the address of the server, as it follows `https://api.cloudflare.com`.
const BASE_PATH: &str = "/client/v4";
/// The title of the namespace that is there from the beginning.
const TITLE: &str = "kv-fakes";

/// Whose codes and texts refusals have, where they differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
#[non_exhaustive]
pub enum Refusals {
    /// Those seen in production, and assumed where none has been seen: an expiry too soon has code 10034.
    #[default]
    Production,
    /// Those of the vendor's local implementation: an expiry too soon has code 10001, and a ttl too short the text of a
    /// validator.
    Local,
}

/// A Workers KV to be served: one account with one empty namespace.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use kv_fakes::ServerOptions;
/// use kv_fakes::cloudflare::{ACCOUNT, Fake, NAMESPACE, TOKEN};
///
/// let server = Fake::new().serve(ServerOptions::new()).await?;
/// let namespace = format!("accounts/{ACCOUNT}/storage/kv/namespaces/{NAMESPACE}");
/// let url = format!("{}/{namespace}/values/a%2Fb?expiration_ttl=60", server.base_url());
/// let answer = reqwest::Client::new().put(url).bearer_auth(TOKEN).body("plain").send().await?;
/// assert_eq!(answer.status(), 200);
/// assert_eq!(server.keys(), ["a/b"]);
/// assert_eq!(server.requests(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Fake {
    account: String,
    namespace: String,
    credentials: Credentials,
    switches: Switches,
}

impl Fake {
    /// With all the defaults, and none of the switches.
    #[must_use]
    pub fn new() -> Self {
        Self {
            account: ACCOUNT.to_owned(),
            namespace: NAMESPACE.to_owned(),
            credentials: Credentials { token: TOKEN.to_owned(), email: EMAIL.to_owned(), key: GLOBAL_KEY.to_owned() },
            switches: Switches {
                one_write_per_key_and_second: false,
                unsuccessful_keys: BTreeSet::new(),
                page_keys_max: usize::MAX,
                refusals: Refusals::default(),
            },
        }
    }

    /// The account, 32 hex digits. Default: [`ACCOUNT`].
    #[must_use]
    pub fn with_account(mut self, id: impl Into<String>) -> Self {
        self.account = id.into();
        self
    }

    /// The namespace that is there from the beginning, and the one that [`FakeServer::keys`] is about: 32 hex digits.
    /// Default: [`NAMESPACE`].
    #[must_use]
    pub fn with_namespace(mut self, id: impl Into<String>) -> Self {
        self.namespace = id.into();
        self
    }

    /// The one API token that is let in. Default: [`TOKEN`].
    #[must_use]
    pub fn with_token(mut self, token: impl Into<String>) -> Self {
        self.credentials.token = token.into();
        self
    }

    /// The one pair of e-mail and global key that is let in. Default: [`EMAIL`] and [`GLOBAL_KEY`].
    #[must_use]
    pub fn with_global_key(mut self, email: impl Into<String>, key: impl Into<String>) -> Self {
        self.credentials.email = email.into();
        self.credentials.key = key.into();
        self
    }

    /// Refuses a single write to a key within a second of the last one with 429. The documents contradict each other on
    /// whether the REST API does so. Default: no.
    #[must_use]
    pub fn with_one_write_per_key_and_second(mut self) -> Self {
        self.switches.one_write_per_key_and_second = true;
        self
    }

    /// Bulk writes and deletes leave these keys alone and name them as unsuccessful. Default: none.
    #[must_use]
    pub fn with_unsuccessful_keys<K: Into<String>>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.switches.unsuccessful_keys = keys.into_iter().map(Into::into).collect();
        self
    }

    /// Pages of a listing have at most this many keys, whatever the limit asked for; 0 counts as 1. Default: no such
    /// bound.
    #[must_use]
    pub fn with_page_keys_max(mut self, keys: usize) -> Self {
        self.switches.page_keys_max = keys.max(1);
        self
    }

    /// Whose codes and texts refusals have. Default: [`Refusals::Production`].
    #[must_use]
    pub fn with_refusals(mut self, refusals: Refusals) -> Self {
        self.switches.refusals = refusals;
        self
    }

    /// Serves it. The base URL ends in `/client/v4`, as the real one does.
    ///
    /// # Errors
    /// `InvalidInput` when account or namespace are not 32 hex digits, a credential is empty or holds what a header
    /// cannot; else what listening on the port ran into.
    pub async fn serve(self, options: ServerOptions) -> io::Result<FakeServer> {
        let Self { account, namespace, credentials, switches } = self;
        for (what, id) in [("account", &account), ("namespace", &namespace)] {
            if id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(invalid(format!("the {what} is not 32 hex digits")));
            }
        }
        for (what, text) in
            [("token", &credentials.token), ("e-mail", &credentials.email), ("global key", &credentials.key)]
        {
            if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(invalid(format!("the {what} must be printable ASCII without spaces, and not empty")));
            }
        }
        let model = Cloudflare {
            account: Account::with_namespace(&namespace, TITLE),
            account_id: account,
            namespace_id: namespace,
            credentials,
            switches,
            written: BTreeMap::new(),
        };
        FakeServer::start(ReadsPathsAsUrls(model), BASE_PATH, options).await
    }
}

impl Default for Fake {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fake")
            .field("account", &self.account)
            .field("namespace", &self.namespace)
            .field("credentials", &self.credentials)
            .field("switches", &self.switches)
            .finish()
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
