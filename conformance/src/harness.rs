//! What an adapter's author provides: a fresh store, and what can be done around it.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kv_api::{Clock, ManualClock, Result, Store, Timer, Timestamp};

use crate::clock::ClientClock;
use crate::means::Means;
use crate::patience::Patience;

/// Opens stores for the suite. One value stands for one way to set up a backend: settings that change its capabilities
/// are harnesses of their own.
#[async_trait]
pub trait Harness: Send + Sync {
    /// An empty store that nothing else uses; or a handle with a prefix of its own ([`Store::with_prefix`]) on one that
    /// others use too, and whatever else the fixture opens has that prefix. Called at least once for each case, and often for the random sequences.
    ///
    /// # Errors
    /// What opening ran into; the case fails with it.
    async fn open(&self) -> Result<Fixture>;
}

type Reopen = Box<dyn Fn() -> BoxFuture<'static, Result<Store>> + Send + Sync>;
type OpenNamespace = Box<dyn Fn(String) -> BoxFuture<'static, Result<Store>> + Send + Sync>;
type Restart = Box<dyn Fn() -> BoxFuture<'static, Result<()>> + Send + Sync>;
type WriteForeign = Box<dyn Fn(String, String) -> BoxFuture<'static, Result<()>> + Send + Sync>;
type WriteForeignType = Box<dyn Fn(String) -> BoxFuture<'static, Result<()>> + Send + Sync>;
pub(crate) type Teardown = Box<dyn FnOnce() -> BoxFuture<'static, Result<()>> + Send + Sync>;

/// A fresh store, and what can be done around it. Everything but the store is optional: a case that needs what is
/// absent says so in its outcome and does not pass.
pub struct Fixture {
    pub(crate) store: Store,
    pub(crate) time: Option<Box<dyn Time>>,
    pub(crate) reopen: Option<Reopen>,
    pub(crate) open_namespace: Option<OpenNamespace>,
    pub(crate) open_with_wrong_credentials: Option<Reopen>,
    pub(crate) restart: Option<Restart>,
    pub(crate) write_foreign: Option<WriteForeign>,
    pub(crate) byte_order_marks_taken_off: bool,
    pub(crate) json_rewritten: bool,
    pub(crate) write_foreign_type: Option<WriteForeignType>,
    pub(crate) requests: Option<Box<dyn Fn() -> u64 + Send + Sync>>,
    pub(crate) faults: Option<Box<dyn Faults>>,
    pub(crate) client_clock: Option<Box<dyn ClientClock>>,
    pub(crate) secret: Option<Secret>,
    /// What the system has nothing of, and why.
    absent: Vec<(Means, &'static str)>,
    pub(crate) teardown: Option<Teardown>,
    /// Declared last and so dropped last: what the rest lives in.
    pub(crate) guard: Option<Box<dyn Any + Send + Sync>>,
}

impl Fixture {
    /// A store and nothing around it.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self {
            store,
            time: None,
            reopen: None,
            open_namespace: None,
            open_with_wrong_credentials: None,
            restart: None,
            write_foreign: None,
            byte_order_marks_taken_off: false,
            json_rewritten: false,
            write_foreign_type: None,
            requests: None,
            faults: None,
            client_clock: None,
            secret: None,
            absent: Vec::new(),
            teardown: None,
            guard: None,
        }
    }

    /// The store.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// The same around a wrapped store. `key` is under which key the system keeps what the wrapped store shows under
    /// one.
    pub(crate) fn wrapped<W>(mut self, wrap: W, key: fn(String) -> String) -> Self
    where
        W: Fn(Store) -> Store + Clone + Send + Sync + 'static,
    {
        let opened = |opening: BoxFuture<'static, Result<Store>>, wrap: &W| {
            let wrap = wrap.clone();
            Box::pin(opening.map(move |store| store.map(wrap))) as BoxFuture<'static, Result<Store>>
        };
        let again = |open: Reopen| {
            let wrap = wrap.clone();
            Box::new(move || opened(open(), &wrap)) as Reopen
        };
        self.reopen = self.reopen.map(again);
        self.open_with_wrong_credentials = self.open_with_wrong_credentials.map(again);
        let elsewhere = wrap.clone();
        self.open_namespace =
            self.open_namespace.map(|open| Box::new(move |name| opened(open(name), &elsewhere)) as OpenNamespace);
        self.write_foreign =
            self.write_foreign.map(|write| Box::new(move |name, text| write(key(name), text)) as WriteForeign);
        self.write_foreign_type =
            self.write_foreign_type.map(|write| Box::new(move |name| write(key(name))) as WriteForeignType);
        self.store = wrap(self.store);
        self
    }

    /// Says that reads may be late, as they may where the reported `consistency` is eventual: every store of the
    /// fixture gets [`Patience`] before it, and waits by `timer` until a read shows the last write, or the bound is
    /// over that the store reports. Elsewhere it changes nothing. It comes after all that opens a store. How many
    /// requests there are says little then, so they are not counted.
    #[must_use]
    pub fn with_patience(mut self, timer: Arc<dyn Timer>) -> Self {
        const WHY: &str = "reads are made again until they show the last write, so their number says nothing";
        let patience = |store: &Store, timer| Patience::of(store.capabilities(), timer).map(Patience::thorough);
        let Some(own) = patience(&self.store, Arc::clone(&timer)) else { return self };
        // Other data, of which this one must know nothing.
        let namespaces = self.open_namespace.take();
        let mut fixture = self.wrapped(move |store| store.layer(&own), std::convert::identity);
        fixture.open_namespace = namespaces.map(|open| {
            Box::new(move |name| {
                let timer = Arc::clone(&timer);
                let patient = move |store: Store| match patience(&store, timer) {
                    Some(patience) => store.layer(&patience),
                    None => store,
                };
                Box::pin(open(name).map(move |store| store.map(patient))) as BoxFuture<'static, Result<Store>>
            }) as OpenNamespace
        });
        fixture.requests = None;
        fixture.without(Means::Requests, WHY)
    }

    /// Keeps `guard` until the case has ended: a temporary folder, a server.
    #[must_use]
    pub fn with_guard(mut self, guard: impl Any + Send + Sync) -> Self {
        self.guard = Some(Box::new(guard));
        self
    }

    /// What undoes all that [`open`](Harness::open) has done outside this process, such as a namespace that was made for
    /// the case. It runs once when the case has ended, whatever became of it, and also when the run is stopped in the
    /// middle. A case that passed fails when it fails.
    #[must_use]
    pub fn with_teardown<F>(mut self, teardown: impl FnOnce() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        self.teardown = Some(Box::new(move || Box::pin(teardown())));
        self
    }

    /// Says that the system has nothing of the kind, and why: a store inside the process has no credentials. Cases that
    /// need it are not applicable then, and count as no gap of the harness. What is given all the same counts as given.
    #[must_use]
    pub fn without(mut self, means: Means, why: &'static str) -> Self {
        self.absent.push((means, why));
        self
    }

    /// Says that the store is embedded in this process: there are no credentials and no secret, no requests and no
    /// connection that could break, and no system to start again. The same as [`without`](Self::without) for each.
    #[must_use]
    pub fn embedded(self) -> Self {
        const WHY: &str =
            "the store is embedded in the process: there is no connection, and no system at its other end";
        let absent = [Means::Restart, Means::WrongCredentials, Means::Secret, Means::Requests, Means::Faults];
        absent.into_iter().fold(self, |fixture, means| fixture.without(means, WHY))
    }

    /// Why the system has nothing of the kind, if that was said.
    pub(crate) fn absence(&self, means: Means) -> Option<&'static str> {
        let of_it = |of: Means| self.absent.iter().find(|(absent, _)| *absent == of).map(|(_, why)| *why);
        match means {
            // Without any faults there is none of each kind.
            Means::Fault(_) => of_it(means).or_else(|| of_it(Means::Faults)),
            _ => of_it(means),
        }
    }

    /// How to let time pass. Without it every case of a declared expiry ends as claimed but not exercised.
    #[must_use]
    pub fn with_time(mut self, time: impl Time) -> Self {
        self.time = Some(Box::new(time));
        self
    }

    /// How to open another handle to the same data, as another process would: nothing may be shared with the first but
    /// what the system keeps.
    #[must_use]
    pub fn with_reopen<F>(mut self, reopen: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Store>> + Send + 'static,
    {
        self.reopen = Some(Box::new(move || Box::pin(reopen())));
        self
    }

    /// How to open another namespace of the same system by its name (NS-1). The suite asks for names of ASCII letters
    /// and digits; none of them may be that of the store itself.
    #[must_use]
    pub fn with_namespaces<F>(mut self, open: impl Fn(String) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Store>> + Send + 'static,
    {
        self.open_namespace = Some(Box::new(move |name| Box::pin(open(name))));
        self
    }

    /// How another client of the system would put a text under a key, without this library (VAL-5). Where the store is a
    /// handle with a prefix, the key is the one below it.
    #[must_use]
    pub fn with_foreign_writer<F>(mut self, write: impl Fn(String, String) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        self.write_foreign = Some(Box::new(move |key, text| Box::pin(write(key, text))));
        self
    }

    /// How another client of the system would put under a key what is no value at all: another type of the system, such
    /// as a list (VAL-7).
    #[must_use]
    pub fn with_foreign_type_writer<F>(mut self, write: impl Fn(String) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        self.write_foreign_type = Some(Box::new(move |key| Box::pin(write(key))));
        self
    }

    /// Says that the system itself takes a byte order mark off a text that another client wrote, for every reader: such
    /// a text may come back without it.
    #[must_use]
    pub const fn with_byte_order_marks_taken_off(mut self) -> Self {
        self.byte_order_marks_taken_off = true;
        self
    }

    /// Says that the system itself changes JSON: the order of members, or how a number is spelled (VAL-3). Meaning must
    /// survive all the same.
    #[must_use]
    pub const fn with_json_rewritten(mut self) -> Self {
        self.json_rewritten = true;
        self
    }

    /// How many requests have reached the system since it was opened, so that "refused before anything is sent" can be
    /// asserted. Where the system has connections, a request is a round trip: what is sent together before an answer is
    /// awaited is one. Connecting is none, with all that belongs to it, and neither is what a store does by itself in
    /// the background.
    #[must_use]
    pub fn with_requests(mut self, requests: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        self.requests = Some(Box::new(requests));
        self
    }

    /// How to break the connection on purpose. A store that retries must do so here without waiting.
    #[must_use]
    pub fn with_faults(mut self, faults: impl Faults) -> Self {
        self.faults = Some(Box::new(faults));
        self
    }

    /// The clock that the store was opened with. Where the system's decides, the suite sets this one wrong to show that
    /// no expiry hangs on it (EXP-3); where the store's is reported to decide, that it does so alone (EXP-10).
    /// `with_time` must move both. [`OffsetClock`](crate::OffsetClock) is one for a system whose time runs, or is moved
    /// by other means.
    #[must_use]
    pub fn with_client_clock(mut self, clock: impl ClientClock) -> Self {
        self.client_clock = Some(Box::new(clock));
        self
    }

    /// How to open the store with credentials that are wrong, and all else right (LIFE-1).
    #[must_use]
    pub fn with_wrong_credentials<F>(mut self, open: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Store>> + Send + 'static,
    {
        self.open_with_wrong_credentials = Some(Box::new(move || Box::pin(open())));
        self
    }

    /// How to end the system and start it again, with all its data (LIST-3). The future ends when the system answers
    /// again; the store stays open, and its connections may be gone.
    #[must_use]
    pub fn with_restart<F>(mut self, restart: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        self.restart = Some(Box::new(move || Box::pin(restart())));
        self
    }

    /// The secret that the store was opened with, and what has been logged so far, in any form and at every level: the
    /// suite looks for the one in the other and in all that it is shown (ERR-2). [`logs`](crate::logs) sees what is
    /// logged.
    #[must_use]
    pub fn with_secret(
        mut self,
        secret: impl Into<String>,
        logged: impl Fn() -> String + Send + Sync + 'static,
    ) -> Self {
        self.secret = Some(Secret { text: secret.into(), logged: Box::new(logged) });
        self
    }
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").field("store", &self.store).finish_non_exhaustive()
    }
}

/// What must not be shown, and where it could be.
pub(crate) struct Secret {
    pub(crate) text: String,
    pub(crate) logged: Box<dyn Fn() -> String + Send + Sync>,
}

/// Time as the store sees it.
#[async_trait]
pub trait Time: Send + Sync + 'static {
    /// The present time, by the clock the store lives by.
    fn now(&self) -> Timestamp;

    /// Lets at least `by` pass.
    async fn advance(&self, by: Duration);

    /// How far [`advance`](Self::advance) may overshoot: a case leaves this much room on both sides of an expiry. Zero,
    /// the default, for a clock that stands still between two calls; then every expiry is checked to the microsecond.
    /// For a clock that runs, a few times what a call takes: a case that fails and has come too late is tried again
    /// with longer lives, up to eight times as long.
    fn granularity(&self) -> Duration {
        Duration::ZERO
    }

    /// How late the system may notice that an entry has ended, for one that looks at its clock in ticks: a case leaves
    /// this much room after an expiry, and none before it (EXP-7). Zero by default.
    fn lateness(&self) -> Duration {
        Duration::ZERO
    }
}

/// The clock that the store was opened with.
#[async_trait]
impl Time for ManualClock {
    fn now(&self) -> Timestamp {
        Clock::now(self)
    }

    async fn advance(&self, by: Duration) {
        Self::advance(self, by);
    }
}

/// What can happen to a request on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// It never leaves, and the client knows: a connection refused.
    Refused,
    /// The system turns it away because too many came. It is not carried out, and the client is told so.
    Throttled,
    /// The system turns it away because it does not serve for now: it starts, or has lost a part of itself. It is not
    /// carried out, and the client is told so. Only for a system that has such an answer: where that may also mean that
    /// something was carried out, it is [`FailureReported`](Self::FailureReported).
    Unavailable,
    /// It is lost before the system carries it out, and the client cannot know that.
    RequestLost,
    /// The system carries it out and the answer is lost, which to the client looks like
    /// [`RequestLost`](Self::RequestLost).
    AnswerLost,
    /// The system carries it out and the answer breaks off half-way.
    AnswerTruncated,
    /// The system carries it out and answers what its documentation does not know.
    AnswerGarbled,
    /// The system carries it out and answers that something went wrong, which tells nothing.
    FailureReported,
    /// A bulk write or delete is carried out in part, and its answer is well formed and cannot be: figures below zero,
    /// a count of more than was sent, the wrong type. Other requests are served as usual and leave the fault for a
    /// later one.
    BulkAnswerImplausible,
    /// A page of a list has no keys, and a cursor that was not given before. Other requests as above.
    PageEmpty,
    /// A page of a list has no keys, and the cursor that it was asked with. Other requests as above.
    PageStandsStill,
    /// A page of a list has the first keys again, with a cursor that was not given before. Other requests as above.
    PageInCircles,
}

impl Fault {
    /// Every fault.
    pub const ALL: &[Self] = &[
        Self::Refused,
        Self::Throttled,
        Self::Unavailable,
        Self::RequestLost,
        Self::AnswerLost,
        Self::AnswerTruncated,
        Self::AnswerGarbled,
        Self::FailureReported,
        Self::BulkAnswerImplausible,
        Self::PageEmpty,
        Self::PageStandsStill,
        Self::PageInCircles,
    ];

    /// Whether it can happen to every request.
    pub(crate) const fn is_of_every_request(self) -> bool {
        !matches!(self, Self::BulkAnswerImplausible | Self::PageEmpty | Self::PageStandsStill | Self::PageInCircles)
    }

    /// Whether the client can know that the request was not carried out.
    pub(crate) const fn is_certain(self) -> bool {
        matches!(self, Self::Refused | Self::Throttled | Self::Unavailable)
    }
}

/// Breaks requests on purpose.
pub trait Faults: Send + Sync + 'static {
    /// Whether this fault can be made here. Unless said otherwise those of the connection can.
    fn offers(&self, fault: Fault) -> bool {
        matches!(fault, Fault::Refused | Fault::RequestLost | Fault::AnswerLost)
    }

    /// From now on the next `count` requests meet `fault`; what was ordered before is forgotten. A `count` of zero ends
    /// it.
    fn inject(&self, fault: Fault, count: u32);

    /// The same for the next `count` requests that change something, for a system where one call takes several
    /// requests, the first of which only look. Unless said otherwise each request counts.
    fn inject_into_writes(&self, fault: Fault, count: u32) {
        self.inject(fault, count);
    }
}
