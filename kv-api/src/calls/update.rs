//! `update`: compare-and-set in a loop (SET-9).

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::BoxFuture;
use crate::capabilities::Support;
use crate::condition::Condition;
use crate::entry::{Entry, EntryExpiry, Fields};
use crate::error::{Error, ErrorKind, Feature, Reason, Result, Retry};
use crate::handle::Handle;
use crate::outcome::UpdateOutcome;
use crate::set_item::{SetItem, SetOptions, entry_options};
use crate::single;
use crate::value::Value;

const OPERATION: &str = "update";

/// What the caller makes of the old value; `None` leaves the entry as it is.
pub(crate) type Change<'a, E> = Box<dyn FnMut(Option<&Value>) -> Result<Option<Value>, E> + Send + 'a>;

/// Changes a value by what it is; see [`Store::update`](crate::Store::update).
///
/// What is not given here stays: the metadata, and the expiry as exactly as the store reports it (EXP-8).
#[must_use = "a request does nothing until it is awaited"]
pub struct Update<'a, E = Error> {
    handle: &'a Handle,
    key: Cow<'a, str>,
    attempts: u32,
    options: Option<Box<SetOptions>>,
    never: bool,
    ttl_if_created: Option<Duration>,
    /// Taken when the request starts.
    change: Option<Change<'a, E>>,
    steps: Option<BoxFuture<'a, Result<UpdateOutcome, E>>>,
}

impl<'a, E> Update<'a, E> {
    /// How often the change is tried, unless [`attempts`](Self::attempts) says otherwise.
    pub const ATTEMPTS_DEFAULT: u32 = 16;

    pub(crate) fn new(handle: &'a Handle, key: Cow<'a, str>, change: Change<'a, E>) -> Self {
        Self {
            handle,
            key,
            attempts: Self::ATTEMPTS_DEFAULT,
            options: None,
            never: false,
            ttl_if_created: None,
            change: Some(change),
            steps: None,
        }
    }

    /// How often the change is tried at most, where other writers come first; 16 unless given, and at least once. Each
    /// attempt reads, calls the closure and writes. There is no wait between two.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// The entry never ends, whatever its expiry was.
    pub fn never(mut self) -> Self {
        self.never = true;
        self
    }

    /// An entry that this creates ends this long after the backend stores it. One that is there keeps its expiry.
    pub fn ttl_if_created(mut self, ttl: Duration) -> Self {
        self.ttl_if_created = Some(ttl);
        self
    }

    entry_options!();

    fn ttl_mut(&mut self) -> &mut Option<Duration> {
        &mut self.options().ttl
    }
}

impl<'a, E: From<Error> + 'a> Update<'a, E> {
    fn start(&mut self) -> BoxFuture<'a, Result<UpdateOutcome, E>> {
        let Some(mut change) = self.change.take() else { unreachable!("a request starts once") };
        let wish = Wish {
            options: self.options.take().map_or_else(SetOptions::default, |options| *options),
            never: self.never,
            ttl_if_created: self.ttl_if_created,
        };
        let (handle, key, attempts) = (self.handle, mem::take(&mut self.key), self.attempts);
        Box::pin(async move {
            let explain = |error| handle.explain_key(error, OPERATION, &key);
            wish.check(handle, &key).map_err(explain)?;
            let mut ended = None;
            for _ in 0..attempts {
                let old = single::read(handle, &key, Fields::All).await.map_err(explain)?;
                let Some(new) = change(old.as_ref().map(Entry::value))? else {
                    return Ok(UpdateOutcome::declined(old));
                };
                let options = wish.options(handle, old.as_ref()).map_err(explain)?;
                let item = SetItem {
                    key: Cow::Borrowed(&*key),
                    value: new.clone(),
                    ttl: None,
                    options: Some(Box::new(options)),
                };
                match single::write(handle, item).await {
                    Ok(outcome) if outcome.is_written() => {
                        return Ok(UpdateOutcome::written(new, outcome.version().cloned()));
                    }
                    Ok(_) => ended = None,
                    // The entry has ended since it was read.
                    Err(error) if error.is_expired() && wish.keeps_expiry() => ended = Some(error),
                    // An unknown outcome too: a condition is never repeated blindly (SET-8).
                    Err(error) => return Err(explain(error).into()),
                }
            }
            Err(explain(ended.unwrap_or_else(|| contended(attempts))).into())
        })
    }
}

/// What the caller asks for beside the value.
struct Wish {
    options: SetOptions,
    never: bool,
    ttl_if_created: Option<Duration>,
}

impl Wish {
    fn keeps_expiry(&self) -> bool {
        !self.never && self.options.ttl.is_none() && self.options.expire_at.is_none()
    }

    /// Refuses what is known to fail, before anything is sent.
    fn check(&self, handle: &Handle, key: &str) -> Result<()> {
        if self.never && (self.options.ttl.is_some() || self.options.expire_at.is_some()) {
            return Err(Error::invalid(Reason::BothExpiries, "an expiry and \"never\" were given"));
        }
        let mut options = self.options.clone();
        if self.keeps_expiry() {
            options.ttl = self.ttl_if_created;
        }
        handle.resolver().check(key, Feature::IfVersion, &options, handle.backend().clock())?;
        if self.keeps_expiry() && !handle.capabilities().expiry_read {
            self.expiry_not_reported(handle)?;
        }
        Ok(())
    }

    /// The options of one attempt: what stays comes from the old entry.
    fn options(&self, handle: &Handle, old: Option<&Entry>) -> Result<SetOptions> {
        let mut options = self.options.clone();
        match old {
            // With no version, nothing was there to read (SET-2).
            None => (options.condition, options.version_missing) = (Condition::IfNotExists, true),
            Some(old) => match old.version() {
                Some(version) => options.condition = Condition::IfVersion(version.clone()),
                None => return Err(Error::new(ErrorKind::Internal, "the adapter supports versions and gave none")),
            },
        }
        if options.metadata.is_none() {
            options.metadata = old.and_then(Entry::metadata).cloned();
        }
        if self.keeps_expiry() {
            match old.map(Entry::expiry) {
                None => options.ttl = self.ttl_if_created,
                Some(EntryExpiry::Never) => {}
                Some(EntryExpiry::At(at)) => options.expire_at = Some(at),
                Some(EntryExpiry::Unknown) => self.expiry_not_reported(handle)?,
            }
        }
        Ok(options)
    }

    /// Where entries end and the store does not report when, an update would take that away unseen.
    fn expiry_not_reported(&self, handle: &Handle) -> Result<()> {
        let ends = |form| handle.capabilities().support(form) != Support::None;
        if !ends(Feature::Ttl) && !ends(Feature::ExpireAt) {
            return Ok(());
        }
        let message = "this store does not report when an entry ends, so an update would lose it; call ttl(), \
                       expire_at() or never() on the request";
        Err(Error::new(ErrorKind::Unsupported, message).with_reason(Reason::ExpiryNotReported))
    }
}

fn contended(attempts: u32) -> Error {
    let message = format!("other writers came first in all of {attempts} attempts");
    Error::new(ErrorKind::Unavailable, message).with_reason(Reason::Contended { attempts }).with_retry(Retry::Safe)
}

impl<'a, E: From<Error> + 'a> Future for Update<'a, E> {
    type Output = Result<UpdateOutcome, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.steps.is_none() {
            this.steps = Some(this.start());
        }
        let Some(steps) = &mut this.steps else { unreachable!("it was just started") };
        steps.as_mut().poll(cx)
    }
}

impl<E> fmt::Debug for Update<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Update")
            .field("key", &self.key)
            .field("attempts", &self.attempts)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
