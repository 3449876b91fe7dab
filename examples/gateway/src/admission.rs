//! A bounded number of requests under way, and a bounded number of bytes that their bodies hold.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::Limits;

/// What a permit for bytes stands for: 1 KiB, so that their number fits where the runtime counts them.
const UNIT_BYTES: usize = 1024;

#[derive(Debug)]
pub(crate) struct Admission {
    places: Arc<Semaphore>,
    places_max: usize,
    bodies: Arc<Semaphore>,
}

/// A request that is under way.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
}

/// Bytes that a body may hold.
#[derive(Debug)]
pub(crate) struct Room(OwnedSemaphorePermit);

impl Admission {
    pub(crate) fn new(limits: &Limits) -> Self {
        let places_max = limits.in_flight.clamp(1, Semaphore::MAX_PERMITS);
        let units = (limits.bodies_bytes / UNIT_BYTES).clamp(1, Semaphore::MAX_PERMITS);
        Self { places: Arc::new(Semaphore::new(places_max)), places_max, bodies: Arc::new(Semaphore::new(units)) }
    }

    /// `None` when too many requests are under way.
    pub(crate) fn enter(&self) -> Option<Place> {
        Arc::clone(&self.places).try_acquire_owned().ok().map(|permit| Place { _permit: permit })
    }

    /// How many requests are under way.
    pub(crate) fn under_way(&self) -> usize {
        self.places_max - self.places.available_permits()
    }

    /// `None` when the bodies under way hold too much.
    pub(crate) fn room(&self, bytes: usize) -> Option<Room> {
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).ok()?;
        Arc::clone(&self.bodies).try_acquire_many_owned(units).ok().map(Room)
    }
}

impl Room {
    /// Both together.
    pub(crate) fn join(&mut self, other: Self) {
        self.0.merge(other.0);
    }
}

impl Place {
    /// Keeps the place until all but the end of the answer is sent, so that a client that reads slowly holds no more
    /// than its share.
    pub(crate) fn keep_with(self, response: Response) -> Response {
        response.map(|body| {
            if body.is_end_stream() { body } else { Body::new(Held { body, piece: Bytes::new(), _place: self }) }
        })
    }
}

/// A body with what is given back when it is gone. It goes out in pieces: of a single one the server would take the
/// whole at once, and be done with the body long before the client is.
struct Held {
    body: Body,
    piece: Bytes,
    _place: Place,
}

/// How long the pieces are.
const PIECE_BYTES: usize = 64 * 1024;

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if self.piece.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)).transpose()?.map(Frame::into_data) {
                Some(Ok(data)) => self.piece = data,
                Some(Err(other)) => return Poll::Ready(Some(Ok(other))),
                None => return Poll::Ready(None),
            }
        }
        let length = self.piece.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.piece.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.piece.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, piece) = (self.body.size_hint(), self.piece.len() as u64);
        match rest.exact() {
            Some(rest) => SizeHint::with_exact(rest.saturating_add(piece)),
            None => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    fn admission(in_flight: usize, bodies_bytes: usize) -> Admission {
        Admission::new(&Limits { in_flight, bodies_bytes, ..Limits::default() })
    }

    #[test]
    fn a_place_is_taken_until_the_answer_is_gone() {
        let admission = admission(1, 1);
        let place = admission.enter().unwrap();
        assert!(admission.enter().is_none());
        let response = place.keep_with(Response::new(Body::from("a long answer")));
        assert_eq!((admission.under_way(), response.body().size_hint().exact()), (1, Some(13)));
        drop(response);
        assert!(admission.enter().is_some());
        let empty = admission.enter().unwrap().keep_with(Response::new(Body::empty()));
        assert_eq!(admission.under_way(), 0);
        drop(empty);
    }

    #[tokio::test]
    async fn a_long_answer_goes_out_in_pieces() {
        let admission = admission(1, 1);
        let whole = Bytes::from_iter((0..PIECE_BYTES * 2 + 1).map(|at| at.to_le_bytes()[0]));
        let mut body = admission.enter().unwrap().keep_with(Response::new(Body::from(whole.clone()))).into_body();
        let mut came = Vec::new();
        while let Some(frame) = body.frame().await {
            let piece = frame.unwrap().into_data().unwrap();
            assert!(piece.len() <= PIECE_BYTES);
            came.extend_from_slice(&piece);
            assert_eq!(body.size_hint().exact(), Some((whole.len() - came.len()) as u64));
        }
        assert_eq!(came, whole);
    }

    #[test]
    fn bodies_share_their_room() {
        let admission = admission(1, 10 * UNIT_BYTES);
        let mut first = admission.room(4 * UNIT_BYTES).unwrap();
        first.join(admission.room(5 * UNIT_BYTES).unwrap());
        assert!(admission.room(UNIT_BYTES + 1).is_none());
        drop(first);
        assert!(admission.room(10 * UNIT_BYTES).is_some());
        assert!(admission.room(usize::MAX).is_none());
    }
}
