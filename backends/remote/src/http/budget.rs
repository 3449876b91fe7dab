//! A bound on the bytes that the answers of one store hold together.

use std::num::NonZeroUsize;
use std::sync::Arc;

use futures_util::future::{Either, select};
use std::pin::pin;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes for the bodies of all answers. A part is set aside for one body at a time, which may use it when the rest is
/// used up: else bodies that have come half-way would wait for each other's rest.
#[derive(Clone, Debug)]
pub(super) struct ByteBudget {
    room_max: usize,
    room: Arc<Semaphore>,
    beyond: Arc<Semaphore>,
}

/// The bytes of one body. They are free again when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Reservation {
    room: Option<OwnedSemaphorePermit>,
    beyond: Option<OwnedSemaphorePermit>,
}

impl ByteBudget {
    /// Of `bytes_max`, so much is set aside as the longest body may have, and at most three quarters. So all of them
    /// hold no more than `bytes_max`, or than the longest one and a quarter of it where that is more.
    pub(super) fn new(bytes_max: NonZeroUsize, longest: usize) -> Self {
        let bytes_max = bytes_max.get().min(Semaphore::MAX_PERMITS);
        let room = bytes_max - longest.min(bytes_max / 4 * 3);
        Self { room_max: room, room: Arc::new(Semaphore::new(room)), beyond: Arc::new(Semaphore::new(1)) }
    }

    /// Room for so many bytes more of a body.
    pub(super) async fn extend(&self, reservation: &mut Reservation, bytes: usize) {
        if reservation.beyond.is_some() {
            return;
        }
        let permits = u32::try_from(bytes.min(self.room_max)).unwrap_or(u32::MAX);
        if permits == 0 {
            return;
        }
        // Mostly there is room. What is free goes to those who wait first, so nobody is overtaken here.
        if let Ok(more) = Arc::clone(&self.room).try_acquire_many_owned(permits) {
            reservation.add(more);
            return;
        }
        let room = pin!(Arc::clone(&self.room).acquire_many_owned(permits));
        let beyond = pin!(Arc::clone(&self.beyond).acquire_owned());
        // They are never closed.
        match select(room, beyond).await {
            Either::Left((more, _)) => more.into_iter().for_each(|more| reservation.add(more)),
            Either::Right((beyond, _)) => reservation.beyond = beyond.ok(),
        }
    }
}

impl Reservation {
    fn add(&mut self, more: OwnedSemaphorePermit) {
        match &mut self.room {
            Some(room) => room.merge(more),
            None => self.room = Some(more),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use futures_util::future::poll_immediate;

    #[test]
    fn what_is_set_aside_is_what_one_body_may_need() {
        for (longest, room) in [(0, 100), (40, 60), (75, 25), (76, 25), (usize::MAX, 25)] {
            let budget = ByteBudget::new(NonZeroUsize::new(100).unwrap(), longest);
            assert_eq!(budget.room.available_permits(), room, "{longest}");
        }
        assert_eq!(ByteBudget::new(NonZeroUsize::MIN, 9).room.available_permits(), 1);
    }

    #[test]
    fn of_bodies_that_come_in_pieces_one_always_goes_on() {
        let budget = ByteBudget::new(NonZeroUsize::new(10).unwrap(), 0);
        let mut bodies: Vec<Reservation> = (0..3).map(|_| Reservation::default()).collect();
        for body in &mut bodies {
            budget.extend(body, 3).now_or_never().unwrap();
        }
        // No room: the first to ask goes beyond, and the others wait.
        budget.extend(&mut bodies[1], 1_000).now_or_never().unwrap();
        budget.extend(&mut bodies[1], 1_000_000).now_or_never().unwrap();
        assert!(budget.extend(&mut bodies[0], 3).now_or_never().is_none());
        let mut waiting = Reservation::default();
        assert!(budget.extend(&mut waiting, 3).now_or_never().is_none());
        // It ends, and the next goes on, with room or beyond it.
        drop(bodies.remove(1));
        for body in &mut bodies {
            budget.extend(body, 3).now_or_never();
        }
        bodies.pop();
        budget.extend(&mut waiting, 3).now_or_never().unwrap();
        drop((bodies, waiting));
        assert_eq!(budget.room.available_permits(), 10);
        assert_eq!(budget.beyond.available_permits(), 1);
    }

    #[test]
    fn a_body_that_waits_for_much_is_not_overtaken_by_those_that_ask_for_little() {
        let budget = ByteBudget::new(NonZeroUsize::new(10).unwrap(), 0);
        let [mut here, mut beyond, mut long, mut short] = [(); 4].map(|()| Reservation::default());
        budget.extend(&mut here, 6).now_or_never().unwrap();
        budget.extend(&mut beyond, 5).now_or_never().unwrap();
        assert!(beyond.beyond.is_some());
        let mut long = Box::pin(budget.extend(&mut long, 8));
        assert!(poll_immediate(&mut long).now_or_never().unwrap().is_none());
        // Four were free.
        assert!(budget.extend(&mut short, 1).now_or_never().is_none());
        drop(here);
        assert!(budget.extend(&mut short, 3).now_or_never().is_none());
        assert!(poll_immediate(&mut long).now_or_never().unwrap().is_some());
        budget.extend(&mut short, 2).now_or_never().unwrap();
    }
}
