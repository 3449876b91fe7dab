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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
        let (time, now) = (self.time()?, self.now()?);
        self.pace.let_pass(now, now.checked_add(by).unwrap_or(Timestamp::from_unix_micros(i64::MAX)));
        time.advance(by).await;
        Ok(())
    }

    /// Whether the clock runs while the case acts.
    pub(crate) fn runs(&self) -> Result<bool, Stop> {
        Ok(!self.time()?.granularity().is_zero())
    }

    /// Whether the clock has run past an end before the case came to what it wanted to see until then.
    pub(crate) fn is_late(&self) -> bool {
        self.runs().is_ok_and(|runs| runs) && self.now().is_ok_and(|now| self.pace.is_late(now))
    }

    /// How much time a case may take between two looks at a clock that runs; zero for one that stands still.
    pub(crate) fn room(&self) -> Result<Duration, Stop> {
        Ok(self.time()?.granularity() * self.pace.stretch())
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

    /// Moves to a multiple of the resolution, so that nothing is rounded on the way and ends can be checked exactly. A
    /// clock that runs does not stay there, and nothing is moved.
    pub(crate) async fn align(&self) -> CaseResult {
        if self.runs()? {
            return Ok(());
        }
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
        let room = self.room()? + self.time()?.lateness();
        // On a clock that runs an absolute time comes nearer on its way, and must still be above the minimum.
        let least = (self.capabilities().expiry_min + self.room()? * 4).max(resolution * 4).max(room * 4);
        let steps = least.as_nanos().div_ceil(resolution.as_nanos().max(1));
        let life = resolution * u32::try_from(steps).unwrap_or(u32::MAX);
        let ttl = life * lives;
        self.begin(form, ttl)
    }

    /// An expiry in this form, for a life that begins now.
    pub(crate) fn begin(&self, form: Form, ttl: Duration) -> Result<Life, Stop> {
        let now = self.now()?;
        let Some(end) = now.checked_add(ttl) else {
            return not_exercised("the harness's time is too near to the end of time");
        };
        let life = Life { form, ttl, end };
        let act_within = match form {
            Form::Ttl => ttl,
            // Later it is too near for the store, or past.
            Form::At => ttl.saturating_sub(self.capabilities().expiry_min),
        };
        self.pace.begin(life, now.checked_add(act_within).unwrap_or(end));
        Ok(life)
    }

    /// The time that shows that an entry does not end, beyond what it might have ended at: ten lives, and one on a clock
    /// that runs.
    pub(crate) fn long(&self, life: Life) -> Result<Duration, Stop> {
        Ok(if self.runs()? { life.ttl } else { life.ttl * 10 })
    }

    /// The room to leave before an end: until then the entry must be there.
    pub(crate) fn before(&self) -> Result<Duration, Stop> {
        Ok(self.room()?.max(Duration::from_micros(1)))
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
        let now = self.now()?;
        let end = self.pace.latest_end(life, now).saturating_since(now);
        self.pass(end + self.after()?).await
    }

    /// Until when an entry may be reported to live that was just set with this life.
    pub(crate) fn latest_reported(&self, life: Life) -> Result<Timestamp, Stop> {
        let end = self.pace.latest_end(life, self.now()?);
        Ok(end.checked_add(self.capabilities().expiry_resolution * 2 + self.after()?).unwrap_or(end))
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
