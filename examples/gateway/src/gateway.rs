//! What is served: namespaces, who may do what with them, and within which limits.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use futures_util::future::join_all;
use kv_api::{Clock, SystemClock, Timer, TokioTimer};
use tracing::{debug, warn};

use crate::access::Access;
use crate::admission::Admission;
use crate::fault::Fault;
use crate::health::Readiness;
use crate::limits::Limits;
use crate::metrics::{self, Metrics};
use crate::namespaces::{Namespace, NamespaceError, Namespaces};
use crate::record::{self, Call, Record};
use crate::tokens::Grant;
use crate::work::Workers;
use crate::{dialect, health, status};

/// Stores, served in Cloudflare's dialect. Cheap to clone; clones are the same.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// use axum::body::Body;
/// use axum::http::Request;
/// use kv_gateway::{Access, Gateway, Namespace};
/// use tower::ServiceExt;
///
/// let store = kv_api::Store::new(kv_memory::MemoryStore::default());
/// store.set("Japan", "The land of the rising sun").await?;
/// let namespace = Namespace::new("countries", store, "memory:")?;
/// let gateway = Gateway::builder([namespace], Access::Open { loopback: true }).build()?;
///
/// let path = "/client/v4/accounts/any/storage/kv/namespaces/countries/values/Japan";
/// let answer = gateway.router().oneshot(Request::get(path).body(Body::empty())?).await?;
/// assert_eq!(answer.status(), 200);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Gateway(Arc<Shared>);

struct Shared {
    namespaces: Namespaces,
    settings: Settings,
    admission: Admission,
    record: Record,
    readiness: Readiness,
    workers: Workers,
}

struct Settings {
    access: Access,
    accounts: Vec<String>,
    hosts: Vec<String>,
    limits: Limits,
    metrics: Option<Metrics>,
    clock: Arc<dyn Clock>,
    timer: Arc<dyn Timer>,
}

/// What a [`Gateway`] is made of.
#[must_use]
pub struct GatewayBuilder {
    namespaces: Vec<Namespace>,
    settings: Settings,
}

impl Gateway {
    /// Serves these namespaces.
    pub fn builder(namespaces: impl IntoIterator<Item = Namespace>, access: Access) -> GatewayBuilder {
        let settings = Settings {
            access,
            accounts: Vec::new(),
            hosts: Vec::new(),
            limits: Limits::default(),
            metrics: None,
            clock: Arc::new(SystemClock),
            timer: Arc::new(TokioTimer),
        };
        GatewayBuilder { namespaces: namespaces.into_iter().collect(), settings }
    }

    /// All routes: the dialect below `/client/v4`, `/healthz`, `/readyz`, `/metrics`, and the status page at `/`.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/healthz", get(health::alive))
            .route("/readyz", get(health::ready))
            .route("/metrics", get(metrics::render))
            .merge(status::routes())
            .fallback(dialect::handle)
            .with_state(self.clone())
    }

    /// Closes the stores (LIFE-2), each within the time that [`Limits::stop_time`] allows.
    pub async fn close(&self) {
        let closing = self.0.namespaces.all().iter().map(|namespace| async {
            let closed =
                crate::deadline::within(self.timer(), self.limits().stop_time, namespace.store().close()).await;
            match closed {
                Some(Ok(())) => {}
                Some(Err(error)) => warn!(namespace = namespace.name(), %error, "a store cannot be closed"),
                None => warn!(namespace = namespace.name(), "a store takes too long to close"),
            }
        });
        join_all(closing).await;
    }

    pub(crate) fn namespaces(&self) -> &Namespaces {
        &self.0.namespaces
    }

    /// What a call of the dialect may do.
    pub(crate) fn grant(&self, headers: &HeaderMap) -> Result<Grant, Fault> {
        self.0.settings.access.grant(headers, &self.0.settings.hosts)
    }

    /// What a person may see who looks at a page.
    pub(crate) fn grant_to_person(&self, headers: &HeaderMap) -> Result<Grant, Fault> {
        self.0.settings.access.grant_to_person(headers, &self.0.settings.hosts)
    }

    /// The namespace of this name or identifier. A caller that may know only some does not learn which others there
    /// are.
    pub(crate) fn find(
        &self,
        grant: &Grant,
        name_or_id: &str,
        operation: &'static str,
    ) -> Result<&Arc<Namespace>, Fault> {
        match self.namespaces().find(name_or_id) {
            Some(namespace) if grant.covers(namespace.name()) => Ok(namespace),
            None if grant.covers_all() => Err(Fault::namespace_not_found(operation)),
            _ => Err(Fault::forbidden()),
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.settings.limits
    }

    pub(crate) fn admission(&self) -> &Admission {
        &self.0.admission
    }

    pub(crate) fn workers(&self) -> &Workers {
        &self.0.workers
    }

    pub(crate) fn readiness(&self) -> &Readiness {
        &self.0.readiness
    }

    pub(crate) fn metrics(&self) -> Option<&Metrics> {
        self.0.settings.metrics.as_ref()
    }

    pub(crate) fn latest_calls(&self) -> Vec<Call> {
        self.0.record.latest()
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.0.settings.clock
    }

    pub(crate) fn timer(&self) -> &dyn Timer {
        &*self.0.settings.timer
    }

    pub(crate) fn shared_timer(&self) -> Arc<dyn Timer> {
        Arc::clone(&self.0.settings.timer)
    }

    /// Whether the account is served. Another one is as good as a wrong token.
    pub(crate) fn check_account(&self, account: &str) -> Result<(), Fault> {
        let accounts = &self.0.settings.accounts;
        if accounts.is_empty() || accounts.iter().any(|one| one == account) { Ok(()) } else { Err(Fault::forbidden()) }
    }

    /// A call has ended.
    fn ended(
        &self,
        operation: &'static str,
        writes: bool,
        namespace: Option<Arc<Namespace>>,
        status: StatusCode,
        took: Duration,
    ) {
        let name = namespace.as_ref().map_or("", |namespace| namespace.name());
        let (code, took_us) = (status.as_u16(), micros(took));
        debug!(target: "kv_gateway::call", operation, namespace = name, status = code, took_us);
        if let Some(metrics) = self.metrics() {
            metrics.ended(operation, status, took);
        }
        let at = self.clock().now();
        self.0.record.add(Call { at, operation, writes, namespace, status, took });
    }
}

/// A call that is under way. It is recorded also where its handler is dropped, since the client has hung up.
pub(crate) struct UnderWay<'g> {
    gateway: &'g Gateway,
    operation: &'static str,
    writes: bool,
    began: Duration,
    namespace: Option<Arc<Namespace>>,
    status: StatusCode,
}

impl<'g> UnderWay<'g> {
    pub(crate) fn new(gateway: &'g Gateway, operation: &'static str, writes: bool) -> Self {
        let began = gateway.timer().monotonic_now();
        Self { gateway, operation, writes, began, namespace: None, status: record::gone() }
    }

    /// What it is about, once that is known.
    pub(crate) const fn namespace(&mut self) -> &mut Option<Arc<Namespace>> {
        &mut self.namespace
    }

    /// It was answered so.
    pub(crate) fn ended(mut self, status: StatusCode) {
        self.status = status;
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let took = self.gateway.timer().monotonic_now().saturating_sub(self.began);
        self.gateway.ended(self.operation, self.writes, self.namespace.take(), self.status, took);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl GatewayBuilder {
    /// Serves this account only, and any other one that is given. Default: every account, since the name of the
    /// namespace already says what is meant, and clients insist on sending one.
    pub fn with_account(mut self, account: impl Into<String>) -> Self {
        self.settings.accounts.push(account.into());
        self
    }

    /// Serves calls to this host name also where there are no tokens, beside addresses and `localhost`. A page whose
    /// own name leads to this server is told by that name, so give only those that are this server's.
    pub fn with_host(mut self, host: impl Into<String>) -> Self {
        self.settings.hosts.push(host.into());
        self
    }

    /// How much is taken on, and for how long.
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// What `/metrics` answers. Without it, that is 404.
    pub fn with_metrics(mut self, metrics: Metrics) -> Self {
        self.settings.metrics = Some(metrics);
        self
    }

    /// What judges the items of a bulk write, and dates calls on the status page. Default: the system's clock.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.settings.clock = clock;
        self
    }

    /// What time-outs go by. Default: that of tokio.
    pub fn with_timer(mut self, timer: Arc<dyn Timer>) -> Self {
        self.settings.timer = timer;
        self
    }

    /// Puts it together.
    ///
    /// # Errors
    /// When there is no namespace, when two have one name or identifier, and when a token is for a namespace that is
    /// not there.
    pub fn build(self) -> Result<Gateway, NamespaceError> {
        let Self { namespaces, settings } = self;
        let namespaces = Namespaces::new(namespaces)?;
        if let Access::Tokens(tokens) = &settings.access
            && tokens.namespaces().any(|name| namespaces.find(name).is_none_or(|found| found.name() != name))
        {
            return Err(NamespaceError("a token is for a namespace that is not there".to_owned()));
        }
        Ok(Gateway(Arc::new(Shared {
            admission: Admission::new(&settings.limits),
            namespaces,
            settings,
            record: Record::default(),
            readiness: Readiness::default(),
            workers: Workers::default(),
        })))
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("namespaces", &self.0.namespaces).finish_non_exhaustive()
    }
}

impl fmt::Debug for GatewayBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayBuilder").field("namespaces", &self.namespaces).finish_non_exhaustive()
    }
}
