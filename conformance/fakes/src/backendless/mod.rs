//! Backendless Hive: the key-value buckets of an application, over the REST API.
//!
//! Every form of address is always served, side by side, with BASE for [`FakeServer::base_url`], which ends in `/api`:
//!
//! | root of the hives | as on |
//! | --- | --- |
//! | `BASE/hive` | a host name of the application's own; no credentials, since the host name stands for them |
//! | `BASE/<application id>/<API key>/hive` | a server of one's own |
//! | `/<application id>/<API key>/hive` | `api.backendless.com` |
//!
//! Another id or key is an error with status 401. `GET …/info` in place of `…/hive` describes the application.
//!
//! A value is kept as parsed JSON: the order of members, 64-bit integers and doubles survive, `1.0` stays apart from
//! `1`; escapes and integers beyond 64 bits do not. Of a repeated member the last value counts. No source says any of
//! it.
//!
//! # What is assumed
//!
//! Documents and official clients leave much open. Each choice is in one place, or one of the [`Switches`]:
//!
//! | matter | choice | where |
//! | --- | --- | --- |
//! | status of errors | 400 | `refusal.rs` |
//! | wrong id or key; no such address; too many requests | 401; 404; 429 | `refusal.rs` |
//! | codes that no source gives | 999001 and up, beyond all real ones | `refusal.rs` |
//! | missing hive | an error for reads and writes alike; nothing creates it but its own call | `refusal.rs` |
//! | a set without expiry over an entry with one | the old expiry goes | `hive.rs`, `set` |
//! | ttl of zero or less | an error | `system.rs`, `after_seconds` |
//! | time in the past | accepted, and the entry gone at once | `system.rs`, `at_seconds` |
//! | counters | start at 0, keep the expiry, are 64-bit; the text `"10"` is no number | `hive.rs`, `increment` |
//! | clearing the expiration of a missing key; of a key without one | 27003; no error | `system.rs`, `key_call` |
//! | key named twice | counts once in delete, twice in exist and touch | `hive.rs` |
//! | reads | restart the time since the last operation | `hive.rs` |
//! | rename onto itself | `true`, without overwrite `false` | `hive.rs`, `rename` |
//! | page size by default | 10,000 | `listing.rs` |
//! | pattern | as in Redis, by characters | `glob.rs` |
//! | `.` and `..` in a path, `%2E` too | as the URL standard reads them: deleting key `..` deletes the hive | `serve` |
//! | plus sign in a query | a space | `route.rs`, `parameter` |
//! | body without content type `application/json` | an error | `system.rs`, `json_body` |
//! | empty key in a body | an error where it would be stored | `system.rs`, `storable_key` |
//!
//! No limit of size, count or length is known, so nothing is limited.

mod glob;
mod hive;
mod listing;
mod refusal;
mod route;
mod switches;
mod system;

use std::collections::BTreeMap;
use std::{fmt, io};

use crate::path::ReadsPathsAsUrls;
use crate::server::{FakeServer, ServerOptions};
use hive::Hive;
use route::DOMAIN_PREFIX;
use system::System;

pub use switches::{Cursors, Fractions, NoValue, Nulls, Numbers, Pages, Rounding, Switches};

/// The application id of a fake that was given none.
pub const APP_ID: &str = "APP-ID";

/// The API key of a fake that was given none.
pub const API_KEY: &str = "API-KEY";

/// The hive of a fake that was given none.
pub const HIVE: &str = "hive";

/// A Backendless application to be served.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use kv_fakes::ServerOptions;
/// use kv_fakes::backendless::{API_KEY, APP_ID, Fake, HIVE};
///
/// let server = Fake::new().serve(ServerOptions::new()).await?;
/// let root = format!("{}/{APP_ID}/{API_KEY}/hive", server.base_url());
/// let url = format!("{root}/{HIVE}/key-value/a%2Fb/increment?value=2");
/// assert_eq!(reqwest::Client::new().put(url).send().await?.text().await?, "2");
/// let url = format!("{}/hive/{HIVE}/key-value/a%2Fb", server.base_url());
/// assert_eq!(reqwest::get(url).await?.text().await?, "2");
/// assert_eq!(server.keys(), ["a/b"]);
/// assert_eq!(server.requests(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Fake {
    app_id: String,
    api_key: String,
    hives: Vec<String>,
    user_tokens: Vec<String>,
    bad_user_token_status: u16,
    switches: Switches,
}

impl Fake {
    /// The application [`APP_ID`] with [`API_KEY`] and one empty hive, [`HIVE`]; no user is logged in.
    #[must_use]
    pub fn new() -> Self {
        Self {
            app_id: APP_ID.to_owned(),
            api_key: API_KEY.to_owned(),
            hives: Vec::new(),
            user_tokens: Vec::new(),
            bad_user_token_status: 400,
            switches: Switches::default(),
        }
    }

    /// The id of the application. Default: [`APP_ID`].
    #[must_use]
    pub fn with_app_id(mut self, app_id: impl Into<String>) -> Self {
        self.app_id = app_id.into();
        self
    }

    /// The key of its REST API, a secret where it is a part of the address. Default: [`API_KEY`].
    #[must_use]
    pub fn with_api_key(mut self, api_key: impl Into<String>) -> Self {
        self.api_key = api_key.into();
        self
    }

    /// A hive that exists from the start, in place of [`HIVE`]; may be called again. The first one is what
    /// [`FakeServer::keys`] looks into.
    #[must_use]
    pub fn with_hive(mut self, hive: impl Into<String>) -> Self {
        self.hives.push(hive.into());
        self
    }

    /// A token of a user that is logged in; may be called again. A request without a token is always accepted, one with
    /// another token never.
    #[must_use]
    pub fn with_user_token(mut self, token: impl Into<String>) -> Self {
        self.user_tokens.push(token.into());
        self
    }

    /// The status of the answer to a token that is not accepted; the code is 3064. Default: 400, which no source
    /// confirms.
    #[must_use]
    pub fn with_bad_user_token_status(mut self, status: u16) -> Self {
        self.bad_user_token_status = status;
        self
    }

    /// What no source settles. Default: [`Switches::default`].
    #[must_use]
    pub fn with_switches(mut self, switches: Switches) -> Self {
        self.switches = switches;
        self
    }

    /// Serves it. The base URL ends in `/api`; the module says what follows it.
    ///
    /// # Errors
    /// `InvalidInput` when the id, the key or a hive cannot be a segment of a path (it is empty, `.` or `..`); else
    /// what listening on the port ran into.
    pub async fn serve(self, options: ServerOptions) -> io::Result<FakeServer> {
        let names = [("application id", &self.app_id), ("API key", &self.api_key)];
        for (what, name) in names.into_iter().chain(self.hives.iter().map(|hive| ("hive", hive))) {
            if ["", ".", ".."].contains(&name.as_str()) {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("the {what} is empty or dots")));
            }
        }
        FakeServer::start(ReadsPathsAsUrls(self.into_system()), &format!("/{DOMAIN_PREFIX}"), options).await
    }

    fn into_system(self) -> System {
        let hives = if self.hives.is_empty() { vec![HIVE.to_owned()] } else { self.hives };
        System {
            hive: hives[0].clone(),
            hives: hives.into_iter().map(|hive| (hive, Hive::default())).collect::<BTreeMap<_, _>>(),
            application: self.app_id,
            api_key: self.api_key,
            user_tokens: self.user_tokens,
            bad_user_token_status: self.bad_user_token_status,
            switches: self.switches,
        }
    }
}

impl Default for Fake {
    fn default() -> Self {
        Self::new()
    }
}

/// Without the API key and the tokens.
impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fake")
            .field("app_id", &self.app_id)
            .field("hives", &self.hives)
            .field("bad_user_token_status", &self.bad_user_token_status)
            .field("switches", &self.switches)
            .finish_non_exhaustive()
    }
}
