//! `get_or_set`: what is there, or what a load gives (GET-3).

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::BoxFuture;
use crate::condition::Condition;
use crate::entry::{Entry, Fields};
use crate::error::{Error, Feature, Result};
use crate::flights::Joined;
use crate::handle::Handle;
use crate::set_item::{SetItem, SetOptions, entry_options};
use crate::single;
use crate::value::Value;

const OPERATION: &str = "get_or_set";

/// Makes the value where there is none.
pub(crate) type Load<'a, E> = Box<dyn FnOnce() -> BoxFuture<'a, Result<Value, E>> + Send + 'a>;

/// Reads a value, and loads and sets it where there is none; see [`Store::get_or_set`](crate::Store::get_or_set).
#[must_use = "a request does nothing until it is awaited"]
pub struct GetOrSet<'a, T = Value, E = Error> {
    handle: &'a Handle,
    key: Cow<'a, str>,
    options: Option<Box<SetOptions>>,
    /// Taken when the request starts.
    load: Option<Load<'a, E>>,
    finish: fn(Value) -> Result<T>,
    steps: Option<BoxFuture<'a, Result<T, E>>>,
}

impl<'a, T, E> GetOrSet<'a, T, E> {
    pub(crate) fn new(
        handle: &'a Handle,
        key: Cow<'a, str>,
        load: Load<'a, E>,
        finish: fn(Value) -> Result<T>,
    ) -> Self {
        Self { handle, key, options: None, load: Some(load), finish, steps: None }
    }

    /// The ttl of a typed view: for a request that gives no expiry (NS-4).
    pub(crate) fn default_ttl(mut self, ttl: Option<Duration>) -> Self {
        if ttl.is_some() {
            self.options().default_ttl = ttl;
        }
        self
    }

    entry_options!();

    fn ttl_mut(&mut self) -> &mut Option<Duration> {
        &mut self.options().ttl
    }
}

impl<'a, T: 'a, E: From<Error> + 'a> GetOrSet<'a, T, E> {
    fn start(&mut self) -> BoxFuture<'a, Result<T, E>> {
        let Some(load) = self.load.take() else { unreachable!("a request starts once") };
        let mut options = self.options.take().unwrap_or_default();
        options.condition = Condition::IfNotExists;
        let (handle, key, finish) = (self.handle, mem::take(&mut self.key), self.finish);
        Box::pin(async move {
            let explain = |error| handle.explain_key(error, OPERATION, &key);
            let value = get_or_load(handle, &key, options, load, &explain).await?;
            Ok(finish(value).map_err(explain)?)
        })
    }
}

async fn get_or_load<'a, E: From<Error>>(
    handle: &'a Handle,
    key: &str,
    options: Box<SetOptions>,
    load: Load<'a, E>,
    explain: &(impl Fn(Error) -> Error + Sync),
) -> Result<Value, E> {
    let clock = handle.backend().clock();
    handle.resolver().check(key, Feature::IfNotExists, &options, clock).map_err(explain)?;
    let flights = handle.flights();
    let landed = flights.landed();
    if let Some(entry) = single::read(handle, key, Fields::Value).await.map_err(explain)? {
        return Ok(entry.into_value());
    }
    let full_key = handle.resolver().prefixed(Cow::Borrowed(key));
    let turn = match flights.join(&full_key).await {
        Joined::Landed(value) => return Ok(value),
        Joined::Turn(turn) => turn,
    };
    if flights.landed() != landed {
        // It may have been this key, between the read and the turn.
        if let Some(entry) = single::read(handle, key, Fields::Value).await.map_err(explain)? {
            let value = entry.into_value();
            turn.land(value.clone());
            return Ok(value);
        }
    }
    let loaded = load().await?;
    let value = keep(handle, key, loaded, options).await.map_err(explain)?;
    turn.land(value.clone());
    Ok(value)
}

/// Sets what was loaded, and answers what is there: what another writer has set meanwhile stays.
async fn keep(handle: &Handle, key: &str, loaded: Value, options: Box<SetOptions>) -> Result<Value> {
    let item = SetItem { key: Cow::Borrowed(key), value: loaded.clone(), ttl: None, options: Some(options) };
    if single::write(handle, item).await?.is_written() {
        return Ok(loaded);
    }
    let there = single::read(handle, key, Fields::Value).await?;
    Ok(there.map_or(loaded, Entry::into_value))
}

impl<'a, T: 'a, E: From<Error> + 'a> Future for GetOrSet<'a, T, E> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.steps.is_none() {
            this.steps = Some(this.start());
        }
        let Some(steps) = &mut this.steps else { unreachable!("it was just started") };
        steps.as_mut().poll(cx)
    }
}

impl<T, E> fmt::Debug for GetOrSet<'_, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetOrSet").field("key", &self.key).field("options", &self.options).finish_non_exhaustive()
    }
}
