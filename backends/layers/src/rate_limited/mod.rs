//! Keeps to a rate of requests: waits, or refuses.

mod admission;
mod cost;
mod keys;
mod requests;

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use kv_api::{
    Backend, BatchOutcome, Capabilities, Delete, DeleteMany, DeleteOutcome, Entry, Expire, GetAndDelete, Increment,
    Layer, ListPage, RawPage, Read, ReadMany, RequestRate, Resolver, Result, SetOutcome, Slots, Timer, TokioTimer,
    Touch, Write, WriteMany, WriteParts, async_trait, forward_backend,
};

use admission::Admission;
use cost::Costs;

/// A layer that keeps to a rate of requests. A call waits until it may be sent. If that would take longer than the
/// [longest wait](Self::with_max_wait), it is `RateLimited` at once, before anything is sent, with the wait as
/// `retry_after` and the retry class `Safe` (ERR-3). The retry class is `Never`, and there is no `retry_after`, where the
/// call takes so many requests that it would wait too long even if nobody else were there.
///
/// No stretch of time as long as the rate's holds more than its requests. So what may go at once is taken off what may
/// go steadily: of 1,200 requests in five minutes, 240 at once and 3.2 a second thereafter, unless
/// [`with_burst`](Self::with_burst) divides them in another way.
///
/// A call counts as the requests that it takes by the capabilities of the backend inside: a batch by `bulk_write_items`
/// and `bulk_read_items`, and twice for what is not done natively, which is a look and a write: a condition, an
/// increment, `expire`, `touch`, `get_and_delete`. What the backend repeats by itself is not counted. A batch of more
/// requests than may go at once goes in parts, and a part that would have to wait for too long fails without the others;
/// a read of many fails as a whole. Callers are served in the order in which they come.
/// Dropping a call that waits takes nothing from the others.
///
/// `capabilities().request_rate` is what the layer keeps to. Clock, scope, versions and list positions are handed
/// through. Each backend that the layer is put before has a rate of its own, unless [`shared`](Self::shared) makes it
/// one.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// use kv_api::{BackendExt, ErrorKind, RequestRate, Retry};
/// use kv_layers::RateLimited;
/// use std::time::Duration;
/// let limit = RateLimited::new(RequestRate::new(1, Duration::from_secs(60))).with_max_wait(Duration::from_secs(5));
/// assert_eq!(limit.to_string(), "rate_limited(1 in 60s, wait at most 5s)");
/// let store = kv_memory::MemoryStore::default().layer(&limit).into_store();
/// store.set("k", "v").await?;
/// let error = store.set("k", "v").await.unwrap_err();
/// assert_eq!((error.kind(), error.retry()), (ErrorKind::RateLimited, Retry::Safe));
/// assert!(error.retry_after().is_some_and(|wait| wait > Duration::from_secs(55)));
/// # Ok::<(), kv_api::Error>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct RateLimited {
    /// `None`: what the documents of the system allow.
    rate: Option<RequestRate>,
    burst: Option<NonZeroU32>,
    key_write_interval: Option<Duration>,
    max_wait: Duration,
    timer: Arc<dyn Timer>,
    /// Of all backends, as the first of them has it.
    common: Option<Arc<OnceLock<Arc<Admission>>>>,
}

impl RateLimited {
    /// How long a call waits at most, unless [`with_max_wait`](Self::with_max_wait) says otherwise.
    pub const MAX_WAIT: Duration = Duration::from_secs(10);

    /// At most this rate. Of a rate that allows nothing, or in no time, it is one request, or a nanosecond.
    #[must_use]
    pub fn new(rate: RequestRate) -> Self {
        Self { rate: Some(rate), ..Self::documented() }
    }

    /// The rate that the documents of the system allow, as the capabilities of the backend report it (CAP-5). Where
    /// they report none, requests are not limited.
    #[must_use]
    pub fn documented() -> Self {
        Self {
            rate: None,
            burst: None,
            key_write_interval: None,
            max_wait: Self::MAX_WAIT,
            timer: Arc::new(TokioTimer),
            common: None,
        }
    }

    /// What Cloudflare documents for Workers KV: 1,200 requests in five minutes for a user, and one write in a second
    /// to a key.
    #[must_use]
    pub fn cloudflare_defaults() -> Self {
        Self::new(RequestRate::new(1200, Duration::from_secs(300))).with_key_write_interval(Duration::from_secs(1))
    }

    /// How many requests may go at once after a pause: at most those of the rate, at least 1. A fifth of them by
    /// default.
    ///
    /// So many go at once; the rest of the rate is what goes steadily. A burst of 1 spreads all of them evenly. It is
    /// smaller than asked for where it would otherwise take more than a century to come back.
    #[must_use]
    pub const fn with_burst(mut self, requests: NonZeroU32) -> Self {
        self.burst = Some(requests);
        self
    }

    /// At least this long between two writes to one key; without it, there may be any number. A million keys are
    /// remembered at most, each for one interval. Beyond that every write waits.
    #[must_use]
    pub const fn with_key_write_interval(mut self, interval: Duration) -> Self {
        self.key_write_interval = Some(interval);
        self
    }

    /// How long a call waits at most, all its waits together; 10 seconds by default. With zero it never waits.
    #[must_use]
    pub const fn with_max_wait(mut self, max_wait: Duration) -> Self {
        self.max_wait = max_wait;
        self
    }

    /// What counts time and waits; [`TokioTimer`] by default.
    #[must_use]
    pub fn with_timer(mut self, timer: Arc<dyn Timer>) -> Self {
        self.timer = timer;
        self
    }
}

impl RateLimited {
    /// One rate for all backends that this layer and its clones are put before, such as several namespaces of one
    /// account: that of the first of them. A key counts as the same in all of them. Settings come before it: what is
    /// set later counts only until there is a first backend.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
    /// use kv_api::{BackendExt, ErrorKind, RequestRate};
    /// use kv_layers::RateLimited;
    /// use kv_memory::MemoryStore;
    /// use std::time::Duration;
    /// let rate = RequestRate::new(1, Duration::from_secs(60));
    /// let limit = RateLimited::new(rate).with_max_wait(Duration::ZERO).shared();
    /// let [users, orders] = [(); 2].map(|()| MemoryStore::default().layer(&limit).into_store());
    /// users.set("k", "v").await?;
    /// assert_eq!(orders.set("k", "v").await.unwrap_err().kind(), ErrorKind::RateLimited);
    /// # Ok::<(), kv_api::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn shared(mut self) -> Self {
        self.common = Some(Arc::default());
        self
    }
}

impl Layer for RateLimited {
    fn layer(&self, inner: Arc<dyn Backend>) -> Arc<dyn Backend> {
        let rate = self.rate.or(inner.capabilities().request_rate);
        let mut capabilities = inner.capabilities().clone();
        capabilities.request_rate = rate;
        let costs = Costs::of(&Capabilities::offered_by(&*inner));
        let own = || Arc::new(Admission::new(rate, self.burst, self.key_write_interval, self.max_wait, &self.timer));
        let admission = self.common.as_ref().map_or_else(own, |common| Arc::clone(common.get_or_init(own)));
        Arc::new(RateLimitedBackend { inner, capabilities, costs, admission })
    }
}

impl fmt::Display for RateLimited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rate {
            Some(rate) => write!(f, "rate_limited({} in {:?}", rate.requests, rate.per)?,
            None => f.write_str("rate_limited(as documented")?,
        }
        if let Some(burst) = self.burst {
            write!(f, ", {burst} at once")?;
        }
        if let Some(interval) = self.key_write_interval {
            write!(f, ", a write to a key each {interval:?}")?;
        }
        write!(f, ", wait at most {:?})", self.max_wait)
    }
}

struct RateLimitedBackend {
    inner: Arc<dyn Backend>,
    capabilities: Capabilities,
    costs: Costs,
    admission: Arc<Admission>,
}

impl fmt::Debug for RateLimitedBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RateLimited").field(&self.inner).finish()
    }
}

impl RateLimitedBackend {
    /// Writes what may go together. An item whose key must rest for too long fails alone.
    async fn write_part(&self, writes: Vec<Write<'_>>, deadline: Duration) -> Vec<Result<SetOutcome>> {
        let admitted = {
            let keys: Vec<&str> = writes.iter().map(Write::key).collect();
            let requests = |items: &[usize]| self.costs.of_writes(items.iter().map(|item| &writes[*item]));
            self.admission.of_each(&keys, requests, deadline).await
        };
        let items = writes.into_iter().zip(admitted).map(|(write, admitted)| admitted.map(|()| write.into_parts()));
        let (batch, slots) = WriteParts::resolve_many(items, &*self.inner);
        match batch {
            Some(batch) => slots.outcomes(self.inner.write_many(batch).await),
            None => slots.outcomes(Vec::new()),
        }
    }

    /// The same for deletes.
    async fn delete_part(&self, keys: &[Cow<'_, str>], deadline: Duration) -> Vec<Result<DeleteOutcome>> {
        let admitted = {
            let keys: Vec<&str> = keys.iter().map(|key| &**key).collect();
            self.admission.of_each(&keys, |items| self.costs.of_deletes(items.len()), deadline).await
        };
        let going = keys.iter().zip(&admitted).filter(|(_, admitted)| admitted.is_ok());
        let (batch, _) = Resolver::new(self.inner.capabilities()).delete_many(going.map(|(key, _)| key.clone()));
        // The keys are distinct, and the backend inside has the limits of this one: each has a slot of its own.
        let mut taken = 0;
        let mut slot = || {
            taken += 1;
            taken - 1
        };
        let slots: Vec<_> = admitted.into_iter().map(|admitted| admitted.map(|()| slot())).collect();
        let slots = Slots::from(slots);
        match batch {
            Some(batch) => slots.outcomes(self.inner.delete_many(batch).await),
            None => slots.outcomes(Vec::new()),
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods, reason = "a wrapper must not fall back to a default")]
impl Backend for RateLimitedBackend {
    forward_backend!(@forward self, self.inner, methods);
    forward_backend!(@forward self, self.inner, scope);
    forward_backend!(@forward self, self.inner, clock);
    forward_backend!(@forward self, self.inner, close);

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// It may have to wait.
    fn read_now(&self, _: &Read<'_>) -> Option<Result<Option<Entry>>> {
        None
    }

    fn write_now(&self, _: &Write<'_>) -> Option<Result<SetOutcome>> {
        None
    }

    async fn read(&self, read: Read<'_>) -> Result<Option<Entry>> {
        self.admission.of_read(1, self.admission.deadline()).await?;
        self.inner.read(read).await
    }

    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        self.admission
            .of_write(&[write.key()], self.costs.of_condition(write.condition()), self.admission.deadline())
            .await?;
        self.inner.write(write).await
    }

    async fn delete(&self, delete: Delete<'_>) -> Result<DeleteOutcome> {
        let requests = self.costs.of_delete(delete.if_version().is_some());
        self.admission.of_write(&[delete.key()], requests, self.admission.deadline()).await?;
        self.inner.delete(delete).await
    }

    async fn read_many(&self, reads: ReadMany<'_>) -> Result<Vec<Option<Entry>>> {
        let deadline = self.admission.deadline();
        let (at_once, _) = self.costs.items_in(self.admission.burst());
        let requests = self.costs.of_reads(reads.keys().len());
        if reads.keys().len() <= at_once {
            self.admission.of_read(requests, deadline).await?;
            return self.inner.read_many(reads).await;
        }
        self.admission.check_possible(requests)?;
        let fields = reads.fields();
        let mut found = Vec::with_capacity(reads.keys().len());
        for part in reads.keys().chunks(at_once) {
            self.admission.of_read(self.costs.of_reads(part.len()), deadline).await?;
            if let Some((part, _)) = Resolver::new(self.inner.capabilities()).read_many(part.to_vec(), fields)? {
                found.extend(self.inner.read_many(part).await?);
            }
        }
        Ok(found)
    }

    async fn write_many(&self, writes: WriteMany<'_>) -> Vec<Result<SetOutcome>> {
        let deadline = self.admission.deadline();
        let mut results = Vec::with_capacity(writes.writes().len());
        for part in self.costs.parts(writes.into_writes(), self.admission.burst()) {
            results.extend(self.write_part(part, deadline).await);
        }
        results
    }

    async fn delete_many(&self, deletes: DeleteMany<'_>) -> Vec<Result<DeleteOutcome>> {
        let (_, at_once) = self.costs.items_in(self.admission.burst());
        let deadline = self.admission.deadline();
        let mut results = Vec::with_capacity(deletes.keys().len());
        for part in deletes.keys().chunks(at_once) {
            results.extend(self.delete_part(part, deadline).await);
        }
        results
    }

    async fn write_all_or_nothing(&self, writes: WriteMany<'_>) -> Result<BatchOutcome> {
        {
            let keys: Vec<&str> = writes.writes().iter().map(Write::key).collect();
            self.admission.of_write(&keys, self.costs.of_writes(writes.writes()), self.admission.deadline()).await?;
        }
        self.inner.write_all_or_nothing(writes).await
    }

    async fn list(&self, page: ListPage<'_>) -> Result<RawPage> {
        self.admission.of_read(1, self.admission.deadline()).await?;
        self.inner.list(page).await
    }

    async fn increment(&self, increment: Increment<'_>) -> Result<i64> {
        self.admission
            .of_write(&[increment.key()], self.costs.of_increment(&increment), self.admission.deadline())
            .await?;
        self.inner.increment(increment).await
    }

    async fn expire(&self, expire: Expire<'_>) -> Result<bool> {
        self.admission.of_write(&[expire.key()], self.costs.of_expire(&expire), self.admission.deadline()).await?;
        self.inner.expire(expire).await
    }

    async fn touch(&self, touch: Touch<'_>) -> Result<Option<Entry>> {
        let deadline = self.admission.deadline();
        self.admission.of_write(&[touch.key()], self.costs.touch, deadline).await?;
        self.inner.touch(touch).await
    }

    async fn get_and_delete(&self, taken: GetAndDelete<'_>) -> Result<Option<Entry>> {
        let deadline = self.admission.deadline();
        self.admission.of_write(&[taken.key()], self.costs.get_and_delete, deadline).await?;
        self.inner.get_and_delete(taken).await
    }

    async fn ping(&self) -> Result<()> {
        self.admission.of_read(1, self.admission.deadline()).await?;
        self.inner.ping().await
    }
}
