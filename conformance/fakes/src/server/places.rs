//! The connections of a standing server: which of them are at work, and which have had no request for how long.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::select;
use kv_api::Timer;
use tokio::sync::Notify;

/// The open connections.
pub(super) struct Places {
    open: Mutex<Vec<Arc<Place>>>,
    /// Some connection has become idle.
    idled: Notify,
    timer: Arc<dyn Timer>,
}

/// One of them.
struct Place {
    state: Mutex<State>,
    given_up: Notify,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    /// Since this time.
    Idle(Duration),
    AtWork,
    GivenUp,
}

impl Places {
    pub(super) fn new(timer: Arc<dyn Timer>) -> Arc<Self> {
        Arc::new(Self { open: Mutex::default(), idled: Notify::new(), timer })
    }

    pub(super) fn take(self: &Arc<Self>) -> Taken {
        let idle = State::Idle(self.timer.monotonic_now());
        let place = Arc::new(Place { state: Mutex::new(idle), given_up: Notify::new() });
        lock(&self.open).push(Arc::clone(&place));
        Taken { places: Arc::clone(self), place }
    }

    /// Gives up the connection that has been idle for longest, if there is one, and none is going already.
    pub(super) fn make_room(&self) {
        let open = lock(&self.open);
        if open.iter().any(|place| place.state() == State::GivenUp) {
            return;
        }
        let idle = open.iter().filter_map(|place| match place.state() {
            State::Idle(since) => Some((since, place)),
            State::AtWork | State::GivenUp => None,
        });
        if let Some((since, place)) = idle.min_by_key(|(since, _)| *since) {
            place.give_up(since);
        }
    }

    /// Ends when a connection has become idle since the last time.
    pub(super) async fn one_idled(&self) {
        self.idled.notified().await;
    }
}

impl Place {
    fn state(&self) -> State {
        *lock(&self.state)
    }

    /// If nothing has been asked of it since.
    fn give_up(&self, idle_since: Duration) {
        let mut state = lock(&self.state);
        if *state == State::Idle(idle_since) {
            *state = State::GivenUp;
            self.given_up.notify_one();
        }
    }
}

/// The place of a connection, until it ends.
pub(super) struct Taken {
    places: Arc<Places>,
    place: Arc<Place>,
}

impl Taken {
    /// A request has come. It is answered when this is dropped.
    pub(super) fn work(&self) -> AtWork<'_> {
        let mut state = lock(&self.place.state);
        if *state != State::GivenUp {
            *state = State::AtWork;
        }
        AtWork(self)
    }

    /// Lets time pass.
    pub(super) async fn rest(&self, time: Duration) {
        self.places.timer.sleep(time).await;
    }

    /// Ends when the connection is to end: it has been idle for `idle_max` or somewhat more, or its place is needed.
    pub(super) async fn given_up(&self, idle_max: Duration) {
        let timer = &self.places.timer;
        loop {
            let wait = match self.place.state() {
                State::GivenUp => return,
                State::AtWork => idle_max,
                State::Idle(since) => {
                    let left = since.saturating_add(idle_max).saturating_sub(timer.monotonic_now());
                    if left.is_zero() {
                        self.place.give_up(since);
                        continue;
                    }
                    left
                }
            };
            select(timer.sleep(wait), Box::pin(self.place.given_up.notified())).await;
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        lock(&self.places.open).retain(|place| !Arc::ptr_eq(place, &self.place));
    }
}

pub(super) struct AtWork<'t>(&'t Taken);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        let Taken { places, place } = self.0;
        let mut state = lock(&place.state);
        if *state == State::AtWork {
            *state = State::Idle(places.timer.monotonic_now());
            places.idled.notify_one();
        }
    }
}

/// Nothing in here can panic half-way, so a poisoned lock still guards a whole state.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
