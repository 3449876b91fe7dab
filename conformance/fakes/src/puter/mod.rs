//! Puter KV: the `puter-kvstore` driver of a Puter server, over its one endpoint `POST /drivers/call`.
//!
//! Rules, texts and limits are those that were observed on a self-hosted server of version 26.07; the recorded
//! exchanges are in the repository. Users and apps have namespaces of their own, chosen by the token and by
//! `optConfig.appUuid`. For the official JavaScript SDK there are `GET /whoami`, `POST /rao`, `GET /version` and `GET
//! /healthcheck` beside it, preflights are answered, and every answer has a content type.
//!
//! A value is kept as parsed JSON with every number a double, as the real program has it. What it calculates with a
//! counter beyond 2^53 - 1 is exact, as in the real storage, and cannot be read, as there.
//!
//! # What is assumed
//!
//! Where something was neither observed nor said by the source, or where the storage behind a hosted server may differ,
//! each choice is in one place, or one of the [`Switches`]:
//!
//! | matter | choice | where |
//! | --- | --- | --- |
//! | size of an entry in the storage | by the vendor's documents: digits by two, 3 bytes an array or object, 1 a member | `entry.rs`, `bytes` |
//! | numbers nearer to zero than 1e-130 | refused by the storage, by its vendor's documents | `entry.rs`, `MAGNITUDE_MIN` |
//! | what is swept | expired for at most five years, by the vendor's documents of the storage | `entry.rs`, `is_swept` |
//! | a text as `expireAt` | compared as a number where it spells one | `entry.rs`, `is_got` |
//! | `expire` and `update` with a ttl | count from the last whole second (source) | `driver.rs`, `after` |
//! | `.` and `..` in a path, `%2E` too | no such route: Express, which the server is built on, takes none back | `route.rs` |
//! | end of a page of 1 MB | after the entry that reaches it, and with a cursor | `namespace.rs`, `page` |
//! | a cursor outside the prefix; one without a key | refused by the storage | `listing.rs`, `start` |
//! | a chunk with an entry that is too large | refused whole, by the storage | `driver.rs`, `batch_put` |
//! | sums of fractions | of doubles; the storage has decimals | `document.rs`, `sum` |
//! | overlapping or unnameable paths | refused by the storage | `document.rs`, `resolve` and `steps` |
//! | remove on a missing key | writes nothing, whatever the path | `driver.rs`, `remove` |
//! | text of 400 for a batch that is not stored; `app_blocked`; reason of an ended session | plausible | `refusal.rs`, `system.rs` |
//! | refused calls | do not count for the rates | `rates.rs` |
//! | order of checks: host, body, token, kind of token, interface, driver, method, rate | plausible | `system.rs`, `call` |
//! | half of a surrogate pair, more than 600 levels in a body | malformed JSON | `system.rs`, `body` |
//! | listing keys beside a counter that cannot be read, and flushing it | works; the source suggests not | [`Poison`] |
//!
//! The read cache that a server can be configured with is not there: [`Fault::Stale`](crate::Fault::Stale) stands for
//! it.

mod document;
mod driver;
mod entry;
mod grant;
mod listing;
mod method;
mod namespace;
mod rates;
mod refusal;
mod route;
mod switches;
mod system;

use std::collections::{BTreeMap, BTreeSet};
use std::{fmt, io};

use crate::server::{FakeServer, ServerOptions};
use rates::Rates as Counts;
use system::System;

pub use grant::{Access, Grant, Tier};
pub use switches::{Failures, Hosts, Poison, Rates, Sweep, Switches, Unread};
pub use system::Sweeper;

/// The token of a fake that is given no other: a session of [`USER`].
pub const TOKEN: &str = "fake-puter-token";

/// The user of a fake that is given no other.
pub const USER: &str = "0a5e0000-0000-4000-8000-000000000001";

/// A Puter server to be served.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use kv_fakes::ServerOptions;
/// use kv_fakes::puter::{Fake, TOKEN};
///
/// let server = Fake::new().serve(ServerOptions::new()).await?;
/// let url = format!("{}/drivers/call", server.base_url());
/// let body = r#"{"interface": "puter-kvstore", "method": "incr", "args": {"key": "a", "pathAndAmountMap": {"": 2}}}"#;
/// let call = reqwest::Client::new().post(url).bearer_auth(TOKEN).header("content-type", "application/json").body(body);
/// let answer = call.send().await?.text().await?;
/// assert_eq!(answer, r#"{"success":true,"result":2,"service":{"name":"puter-kvstore"}}"#);
/// assert_eq!(server.keys(), ["a"]);
/// assert_eq!(server.requests(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Fake {
    /// In the order given.
    tokens: Vec<(String, Grant)>,
    apps: BTreeSet<String>,
    switches: Switches,
    sweeper: Sweeper,
}

impl Fake {
    /// One user, [`USER`], with one token, [`TOKEN`], no apps and no entries.
    #[must_use]
    pub fn new() -> Self {
        Self { tokens: Vec::new(), apps: BTreeSet::new(), switches: Switches::default(), sweeper: Sweeper::default() }
    }

    /// A token and what it stands for, in place of [`TOKEN`]; may be called again. What the first one sees is what
    /// [`FakeServer::keys`] looks into.
    #[must_use]
    pub fn with_token(mut self, token: impl Into<String>, grant: Grant) -> Self {
        self.tokens.push((token.into(), grant));
        self
    }

    /// An app that exists although there is no token for it; may be called again. To another app it is forbidden, while
    /// one that does not exist is not found.
    #[must_use]
    pub fn with_app(mut self, app: impl Into<String>) -> Self {
        self.apps.insert(app.into());
        self
    }

    /// How it differs from what is usual. Default: [`Switches::default`].
    #[must_use]
    pub fn with_switches(mut self, switches: Switches) -> Self {
        self.switches = switches;
        self
    }

    /// What removes its expired entries.
    #[must_use]
    pub fn sweeper(&self) -> Sweeper {
        self.sweeper.clone()
    }

    /// Serves it. The base URL is the origin of the API.
    ///
    /// # Errors
    /// `InvalidInput` when a token is empty or is given twice; else what listening on the port ran into.
    pub async fn serve(self, options: ServerOptions) -> io::Result<FakeServer> {
        let mut known = BTreeSet::new();
        if self.tokens.iter().any(|(token, _)| token.is_empty() || !known.insert(token)) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a token is empty or given twice"));
        }
        FakeServer::start(self.into_system(), "", options).await
    }

    fn into_system(self) -> System {
        let Self { mut tokens, mut apps, switches, sweeper } = self;
        if tokens.is_empty() {
            tokens.push((TOKEN.to_owned(), Grant::user(USER)));
        }
        apps.extend(tokens.iter().filter_map(|(_, grant)| grant.app_id().map(str::to_owned)));
        System {
            shown: tokens[0].1.namespace(None),
            tokens: tokens.into_iter().collect(),
            apps,
            namespaces: BTreeMap::new(),
            rates: Counts::default(),
            gets_of_many: 0,
            sweeper,
            switches,
        }
    }
}

impl Default for Fake {
    fn default() -> Self {
        Self::new()
    }
}

/// Without the tokens.
impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grants: Vec<&Grant> = self.tokens.iter().map(|(_, grant)| grant).collect();
        f.debug_struct("Fake")
            .field("grants", &grants)
            .field("apps", &self.apps)
            .field("switches", &self.switches)
            .finish_non_exhaustive()
    }
}
