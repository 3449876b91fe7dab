//! Entries that end, and the time until they do.

use std::time::Duration;

use kv_api::calls::{Expire, Set};
use kv_api::{Feature, SetItem, Timestamp};

use crate::context::Context;
use crate::harness::Time;
use crate::outcome::{CaseResult, Stop, not_exercised};

/// In which form an expiry is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Ttl,
    At,
}

/// An expiry to give: a form, a time to live, and when that ends if it begins now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub(crate) form: Form,
    pub(crate) ttl: Duration,
    pub(crate) end: Timestamp,
}

impl Life {
    pub(crate) fn set<'a>(self, set: Set<'a>) -> Set<'a> {
        match self.form {
            Form::Ttl => set.ttl(self.ttl),
            Form::At => set.expire_at(self.end),
        }
    }

    pub(crate) fn item<'a>(self, item: SetItem<'a>) -> SetItem<'a> {
        match self.form {
            Form::Ttl => item.ttl(self.ttl),
            Form::At => item.expire_at(self.end),
        }
    }

    pub(crate) fn expire<'a>(self, expire: Expire<'a>) -> Expire<'a> {
        match self.form {
            Form::Ttl => expire.ttl(self.ttl),
            Form::At => expire.expire_at(self.end),
        }
    }
}

impl Context<'_> {
    pub(crate) fn time(&self) -> Result<&dyn Time, Stop> {
        match &self.fixture.time {
            Some(time) => Ok(&**time),
            None => not_exercised("an expiry is declared, and the harness gives no way to let time pass"),
        }
    }

    pub(crate) fn now(&self) -> Result<Timestamp, Stop> {
        Ok(self.time()?.now())
    }

    pub(crate) async fn pass(&self, by: Duration) -> CaseResult {
        self.time()?.advance(by).await;
        Ok(())
    }

    /// The forms of expiry that are declared. With none, both refusals are checked and the case ends as not applicable.
    pub(crate) async fn forms(&self) -> Result<Vec<Form>, Stop> {
        let mut forms = Vec::new();
        for (feature, form) in [(Feature::Ttl, Form::Ttl), (Feature::ExpireAt, Form::At)] {
            if self.declares(feature) {
                forms.push(form);
            }
        }
        if forms.is_empty() {
            self.with(Feature::Ttl).await?;
        }
        self.time()?;
        Ok(forms)
    }

    /// The first form of expiry that is declared.
    pub(crate) async fn form(&self) -> Result<Form, Stop> {
        Ok(self.forms().await?[0])
    }

    /// Moves to a multiple of the resolution, so that nothing is rounded on the way and ends can be checked exactly.
    pub(crate) async fn align(&self) -> CaseResult {
        let now = self.now()?;
        if let Some(at) = now.checked_ceil_to(self.capabilities().expiry_resolution) {
            self.pass(at.saturating_since(now)).await?;
        }
        Ok(())
    }

    /// An expiry `lives` lives ahead. A life is a multiple of the resolution, above the minimum, and long enough for
    /// the harness to act within it.
    pub(crate) fn life(&self, form: Form, lives: u32) -> Result<Life, Stop> {
        let resolution = self.capabilities().expiry_resolution;
        let room = self.time()?.granularity() + self.time()?.lateness();
        let least = self.capabilities().expiry_min.max(resolution * 4).max(room * 4);
        let steps = least.as_nanos().div_ceil(resolution.as_nanos().max(1));
        let life = resolution * u32::try_from(steps).unwrap_or(u32::MAX);
        let ttl = life * lives;
        match self.now()?.checked_add(ttl) {
            Some(end) => Ok(Life { form, ttl, end }),
            None => not_exercised("the harness's time is too near to the end of time"),
        }
    }

    /// The room to leave before an end: until then the entry must be there.
    pub(crate) fn before(&self) -> Result<Duration, Stop> {
        Ok(self.time()?.granularity().max(Duration::from_micros(1)))
    }

    /// The room to leave after an end. None for a clock that stands still and a system that looks at it each time: at
    /// its expiry an entry is gone (EXP-7).
    pub(crate) fn after(&self) -> Result<Duration, Stop> {
        let time = self.time()?;
        let overshoot = time.granularity();
        let overshoot = if overshoot.is_zero() { overshoot } else { overshoot + self.capabilities().expiry_resolution };
        Ok(overshoot + time.lateness())
    }

    /// Lets time pass until just before the end of a life that has just begun.
    pub(crate) async fn pass_until_before_end(&self, life: Life) -> CaseResult {
        let end = life.end.saturating_since(self.now()?);
        self.pass(end.saturating_sub(self.before()?)).await
    }

    /// Lets time pass until a life has ended, and not longer.
    pub(crate) async fn pass_until_end(&self, life: Life) -> CaseResult {
        let end = life.end.saturating_since(self.now()?);
        self.pass(end + self.after()?).await
    }

    /// Puts an entry under `key` that has expired.
    pub(crate) async fn set_expired(&self, key: &str, number: usize) -> CaseResult {
        let form = self.form().await?;
        self.align().await?;
        let life = self.life(form, 1)?;
        life.set(self.store().set(key, self.value(number))).await?;
        self.pass_until_end(life).await
    }
}
