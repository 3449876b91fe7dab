//! Time, injected: what "now" is and how to wait (EXP-10). The one file that reads the system clock.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
#[cfg(feature = "tokio")]
use std::sync::OnceLock;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point in time: microseconds since 1970-01-01T00:00:00Z, before it negative.
///
/// Finer than any backend keeps (the finest resolution of any is 1 ms), and wide enough for the year 9999, above
/// which no expiry is accepted (EXP-5).
///
/// ```
/// use kv_api::Timestamp;
/// let time = Timestamp::from_unix_seconds(1_795_161_822);
/// assert_eq!(time.as_unix_millis_floor(), 1_795_161_822_000);
/// assert_eq!(time.to_string(), "2026-11-20T08:03:42Z");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

const MICROS_PER_SECOND: i64 = 1_000_000;

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const UNIX_EPOCH: Self = Self(0);

    /// The last instant of the year 9999 in whole seconds: no later expiry is accepted (EXP-5).
    pub const YEAR_9999_END: Self = Self(253_402_300_799 * MICROS_PER_SECOND);

    /// From whole seconds since the Unix epoch; beyond what fits, the nearest time that does (292,000 years away).
    #[must_use]
    pub const fn from_unix_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(MICROS_PER_SECOND))
    }

    /// From milliseconds since the Unix epoch; beyond what fits, the nearest time that does (292,000 years away).
    #[must_use]
    pub const fn from_unix_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// From microseconds since the Unix epoch.
    #[must_use]
    pub const fn from_unix_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn as_unix_micros(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn as_unix_millis_floor(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Whole milliseconds since the Unix epoch, rounded up: an expiry is never rounded towards the past (EXP-4).
    #[must_use]
    pub const fn as_unix_millis_ceil(self) -> i64 {
        let floor = self.0.div_euclid(1000);
        if self.0.rem_euclid(1000) == 0 { floor } else { floor + 1 }
    }

    /// Whole seconds since the Unix epoch, rounded up: an expiry is never rounded towards the past (EXP-4).
    #[must_use]
    pub const fn as_unix_seconds_ceil(self) -> i64 {
        let floor = self.0.div_euclid(MICROS_PER_SECOND);
        if self.0.rem_euclid(MICROS_PER_SECOND) == 0 { floor } else { floor + 1 }
    }

    /// `self + duration`, with the sub-microsecond part of `duration` rounded up; `None` when it does not fit.
    #[must_use]
    pub fn checked_add(self, duration: Duration) -> Option<Self> {
        self.0.checked_add(micros_ceil(duration)?).map(Self)
    }

    /// `self - duration`, with the sub-microsecond part of `duration` rounded up; `None` when it does not fit.
    pub(crate) fn checked_sub(self, duration: Duration) -> Option<Self> {
        self.0.checked_sub(micros_ceil(duration)?).map(Self)
    }

    /// How long after `earlier` this is; zero when it is not after it.
    #[must_use]
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The next multiple of `resolution` since the epoch that is not before `self`; `None` when it does not fit.
    #[must_use]
    pub fn checked_ceil_to(self, resolution: Duration) -> Option<Self> {
        let step = i64::try_from(resolution.as_micros()).ok()?.max(1);
        match self.0.rem_euclid(step) {
            0 => Some(self),
            rest => self.0.checked_add(step - rest).map(Self),
        }
    }
}

/// In 64 bits throughout: a division in 128 takes longer than reading the clock.
fn micros_ceil(duration: Duration) -> Option<i64> {
    let seconds = i64::try_from(duration.as_secs()).ok()?;
    seconds.checked_mul(MICROS_PER_SECOND)?.checked_add(i64::from(duration.subsec_nanos().div_ceil(1000)))
}

/// A sub-microsecond part is rounded up, so that an expiry taken from it is never early; a time beyond 292,000 years
/// becomes the nearest that fits, which every expiry check refuses.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(since) => Self(micros_ceil(since).unwrap_or(i64::MAX)),
            Err(before) => Self(i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros)),
        }
    }
}

/// RFC 3339 in UTC, with as many decimals as the time has: `2026-11-20T08:03:42.5Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.div_euclid(MICROS_PER_SECOND);
        let micros = self.0.rem_euclid(MICROS_PER_SECOND);
        let (days, second_of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = civil_from_days(days);
        let (hour, minute, second) = (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if micros != 0 {
            let fraction = format!("{micros:06}");
            write!(f, ".{}", fraction.trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Year, month and day of a day number since 1970-01-01 in the proleptic Gregorian calendar: count 400-year cycles of
/// 146,097 days from a year that begins in March, so that the leap day is the last of its year.
const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (cycle, day_of_cycle) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_cycle = (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
    let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = 400 * cycle + year_of_cycle + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

/// What time it is. One per store: a backend's settings hold it and [`Backend::clock`](crate::Backend::clock) lends it
/// to the handle, so that both decide by the same reading (EXP-10).
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The present time. Need not be monotonic; entries live by what it says.
    fn now(&self) -> Timestamp;

    /// Whether `time` is so much later than [`now`](Self::now) that the clock knows it at less cost than the time
    /// itself. `false`, the default, says nothing: then ask for the time.
    ///
    /// ```
    /// use kv_api::{Clock, SystemClock, Timestamp};
    /// assert!(!SystemClock.is_far_ahead(SystemClock.now()));
    /// # #[cfg(target_os = "linux")]
    /// assert!(SystemClock.is_far_ahead(Timestamp::YEAR_9999_END));
    /// ```
    fn is_far_ahead(&self, time: Timestamp) -> bool {
        let _ = time;
        false
    }
}

/// How to wait, and how long a wait has been: back-off, polling, deadlines (EXP-10). Its time is not the wall clock's:
/// a deadline counts by [`monotonic_now`](Self::monotonic_now), an expiry by [`Clock::now`].
///
/// ```
/// use kv_api::{ManualClock, Timer, Timestamp};
/// use std::time::Duration;
/// let timer = ManualClock::new(Timestamp::from_unix_seconds(1_000));
/// let started = timer.monotonic_now();
/// timer.advance(Duration::from_secs(3));
/// timer.set(Timestamp::UNIX_EPOCH); // a step of the wall clock is no time that passes
/// assert_eq!(timer.monotonic_now() - started, Duration::from_secs(3));
/// ```
pub trait Timer: fmt::Debug + Send + Sync + 'static {
    /// The time since a fixed, arbitrary start. It never goes back, and no step of the wall clock moves it. Only the
    /// difference of two readings of one timer means something.
    fn monotonic_now(&self) -> Duration;

    /// Ends once `duration` has passed. Dropping the future cancels the wait.
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    /// As [`Timestamp::from`] the system's time, but read as seconds and nanoseconds.
    #[cfg(target_os = "linux")]
    fn now(&self) -> Timestamp {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        let nanos = u32::try_from(now.tv_nsec).unwrap_or(0);
        Timestamp(Timestamp::from_unix_seconds(now.tv_sec).0.saturating_add(i64::from(nanos.div_ceil(1000))))
    }

    #[cfg(not(target_os = "linux"))]
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the system clock (EXP-10)")]
    fn now(&self) -> Timestamp {
        Timestamp::from(SystemTime::now())
    }

    /// By the coarse clock, which shows the time of the last tick. It is never ahead, and behind by milliseconds, or by
    /// a few seconds where the machine is starved of its processors.
    #[cfg(target_os = "linux")]
    fn is_far_ahead(&self, time: Timestamp) -> bool {
        const BEHIND_MAX_SECONDS: i64 = 60;
        let last_tick = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        Timestamp::from_unix_seconds(last_tick.tv_sec.saturating_add(1 + BEHIND_MAX_SECONDS)) < time
    }
}

/// Waits on tokio's timers. Needs the feature `tokio`, and a tokio runtime with time enabled: elsewhere tokio panics.
#[cfg(feature = "tokio")]
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioTimer;

/// tokio's clock, so that it stands still where tokio's time is paused. The time while the machine is suspended counts
/// only where the operating system's monotonic clock counts it; Linux's does not.
#[cfg(feature = "tokio")]
impl Timer for TokioTimer {
    fn monotonic_now(&self) -> Duration {
        use tokio::time::Instant;
        // Far from zero: the paused clock of another runtime may stand before the first reading of all.
        const START: Duration = Duration::from_secs(1 << 32);
        static FIRST: OnceLock<Instant> = OnceLock::new();
        let now = Instant::now();
        let first = *FIRST.get_or_init(|| now);
        (START + now.saturating_duration_since(first)).saturating_sub(first.saturating_duration_since(now))
    }

    #[allow(clippy::disallowed_methods, reason = "this is the Timer that all waiting goes through (EXP-10)")]
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// A clock and timer that move only when a test moves them. Clones share the same time. [`advance`](Self::advance) lets
/// time pass; [`set`](Self::set) steps the wall clock alone, as an administrator or a time service does.
///
/// ```
/// use kv_api::{Clock, ManualClock, Timestamp};
/// use std::time::Duration;
/// let clock = ManualClock::new(Timestamp::from_unix_seconds(1_000));
/// clock.advance(Duration::from_millis(1500));
/// assert_eq!(clock.now(), Timestamp::from_unix_millis(1_001_500));
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Mutex<ManualTime>>);

#[derive(Debug)]
struct ManualTime {
    now: Timestamp,
    /// How much time has passed since the clock was made.
    passed: Duration,
    next_sleeper: u64,
    /// End and waker of every sleep; the number keeps sleeps with one end apart.
    sleepers: BTreeMap<(Duration, u64), Waker>,
}

impl ManualClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(ManualTime {
            now,
            passed: Duration::ZERO,
            next_sleeper: 0,
            sleepers: BTreeMap::new(),
        })))
    }

    /// Lets time pass: moves the wall clock and the monotonic time, and wakes every sleep that has ended. Beyond the
    /// last representable time each stays there.
    pub fn advance(&self, by: Duration) {
        let due = {
            let mut time = self.lock();
            time.now = time.now.checked_add(by).unwrap_or(Timestamp(i64::MAX));
            let passed = time.passed.saturating_add(by);
            time.passed = passed;
            let later = time.sleepers.split_off(&(passed, u64::MAX));
            std::mem::replace(&mut time.sleepers, later)
        };
        due.into_values().for_each(Waker::wake);
    }

    /// Steps the wall clock, backwards too. No time passes by that: it wakes no sleep.
    pub fn set(&self, now: Timestamp) {
        self.lock().now = now;
    }

    /// How many waits have not ended: what a test polls before it moves the time.
    #[must_use]
    pub fn sleepers(&self) -> usize {
        self.lock().sleepers.len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ManualTime> {
        // Nothing in here can panic half-way, so a poisoned lock still guards a whole state.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.lock().now
    }
}

impl Timer for ManualClock {
    fn monotonic_now(&self) -> Duration {
        self.lock().passed
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let until = self.monotonic_now().saturating_add(duration);
        Box::pin(ManualSleep { clock: self.clone(), until, registered: None })
    }
}

struct ManualSleep {
    clock: ManualClock,
    until: Duration,
    registered: Option<u64>,
}

impl Future for ManualSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut time = this.clock.lock();
        if time.passed >= this.until {
            return Poll::Ready(());
        }
        let number = *this.registered.get_or_insert_with(|| {
            time.next_sleeper += 1;
            time.next_sleeper
        });
        time.sleepers.insert((this.until, number), cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for ManualSleep {
    fn drop(&mut self) {
        if let Some(number) = self.registered {
            self.clock.lock().sleepers.remove(&(self.until, number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn prints_dates_as_rfc_3339() {
        let check = |micros, expected: &str| assert_eq!(Timestamp::from_unix_micros(micros).to_string(), expected);
        check(0, "1970-01-01T00:00:00Z");
        check(-1, "1969-12-31T23:59:59.999999Z");
        check(951_782_400_000_000, "2000-02-29T00:00:00Z");
        check(1_795_161_822_500_000, "2026-11-20T08:03:42.5Z");
        check(Timestamp::YEAR_9999_END.as_unix_micros(), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn rounds_up_and_never_down() {
        let time = Timestamp::from_unix_micros(1_000_001);
        assert_eq!(time.as_unix_millis_ceil(), 1001);
        assert_eq!(time.as_unix_seconds_ceil(), 2);
        assert_eq!(time.checked_ceil_to(Duration::from_secs(1)), Some(Timestamp::from_unix_seconds(2)));
        assert_eq!(
            Timestamp::from_unix_seconds(2).checked_ceil_to(Duration::from_secs(1)),
            Some(Timestamp::from_unix_seconds(2))
        );
        assert_eq!(Timestamp::UNIX_EPOCH.checked_add(Duration::from_nanos(1)), Some(Timestamp::from_unix_micros(1)));
        assert_eq!(Timestamp::UNIX_EPOCH.checked_add(Duration::MAX), None);
        assert_eq!(Timestamp::UNIX_EPOCH.checked_sub(Duration::from_nanos(1)), Some(Timestamp::from_unix_micros(-1)));
        assert_eq!(Timestamp::UNIX_EPOCH.checked_sub(Duration::MAX), None);
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "the clock of the system is what is tested")]
    fn the_system_clock_tells_the_system_s_time() {
        let before = Timestamp::from(SystemTime::now());
        let now = SystemClock.now();
        assert!(before <= now && now <= Timestamp::from(SystemTime::now()));
        let after = |seconds| now.checked_add(Duration::from_secs(seconds)).unwrap();
        // Nearer than the coarse clock may be behind: the time decides.
        assert!(![0, 1, 59].into_iter().any(|seconds| SystemClock.is_far_ahead(after(seconds))));
        assert_eq!(SystemClock.is_far_ahead(after(86_400)), cfg!(target_os = "linux"));
    }

    #[test]
    fn no_step_of_a_manual_clock_is_lost() {
        const STEPS: i64 = 2_000;
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..STEPS).for_each(|_| clock.advance(Duration::from_micros(1))));
            }
        });
        assert_eq!(clock.now(), Timestamp::from_unix_micros(4 * STEPS));
        assert_eq!(clock.monotonic_now().as_micros(), 4 * STEPS.unsigned_abs() as u128);
    }

    #[tokio::test]
    async fn exp_10_a_step_of_the_wall_clock_ends_no_wait_and_prolongs_none() {
        let clock = ManualClock::new(Timestamp::from_unix_seconds(1_000));
        let mut sleep = clock.sleep(Duration::from_secs(5));
        assert!((&mut sleep).now_or_never().is_none());
        for wall in [9_000, 0] {
            clock.set(Timestamp::from_unix_seconds(wall));
            assert_eq!((clock.now(), clock.monotonic_now()), (Timestamp::from_unix_seconds(wall), Duration::ZERO));
            assert!((&mut sleep).now_or_never().is_none() && clock.sleepers() == 1);
        }
        clock.advance(Duration::from_secs(5));
        assert!(sleep.now_or_never().is_some());
        assert_eq!(clock.now(), Timestamp::from_unix_seconds(5));
    }

    #[cfg(feature = "tokio")]
    #[tokio::test]
    async fn exp_10_tokios_timer_counts_what_it_waited() {
        let started = TokioTimer.monotonic_now();
        TokioTimer.sleep(Duration::from_millis(1)).await;
        assert!(TokioTimer.monotonic_now() - started >= Duration::from_millis(1));
    }

    #[tokio::test]
    async fn a_manual_clock_wakes_its_sleepers_when_their_time_has_come() {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        let mut short = clock.sleep(Duration::from_secs(1));
        let mut long = clock.sleep(Duration::from_secs(9));
        assert!((&mut short).now_or_never().is_none() && (&mut long).now_or_never().is_none());
        assert_eq!(clock.sleepers(), 2);
        clock.advance(Duration::from_secs(1));
        assert!(short.now_or_never().is_some());
        assert!((&mut long).now_or_never().is_none());
        drop(long);
        assert_eq!(clock.sleepers(), 0);
    }
}
