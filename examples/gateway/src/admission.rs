//! A bounded number of requests under way, and a bounded number of bytes that their bodies and answers hold.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::budget::{Budget, Room};
use crate::fault::Fault;
use crate::limits::Limits;
use crate::metrics::REJECTED;

/// Answers up to this length do not count: so many of them as can be under way are little.
const SMALL_BYTES: usize = 16 * 1024;

#[derive(Debug)]
pub(crate) struct Admission {
    places: Arc<Semaphore>,
    places_max: usize,
    bodies: Budget,
    answers: Budget,
}

/// A request that is under way.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    room: Option<Room>,
}

/// One too many, by this limit.
pub(crate) fn rejected(limit: &'static str) -> Fault {
    metrics::counter!(REJECTED, "limit" => limit).increment(1);
    Fault::overloaded()
}

impl Admission {
    pub(crate) fn new(limits: &Limits) -> Self {
        let places_max = limits.in_flight.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(places_max)),
            places_max,
            bodies: Budget::new("bodies_bytes", limits.bodies_bytes, Fault::body_too_long),
            answers: Budget::new("answers_bytes", limits.answers_bytes, Fault::answer_too_long),
        }
    }

    /// 429 when too many requests are under way.
    pub(crate) fn enter(&self) -> Result<Place, Fault> {
        let permit = Arc::clone(&self.places).try_acquire_owned().map_err(|_| rejected("in_flight"))?;
        Ok(Place { _permit: permit, room: None })
    }

    /// How many requests are under way.
    pub(crate) fn under_way(&self) -> usize {
        self.places_max - self.places.available_permits()
    }

    /// What the bodies of requests may hold.
    pub(crate) const fn bodies(&self) -> &Budget {
        &self.bodies
    }

    /// What answers may hold.
    pub(crate) const fn answers(&self) -> &Budget {
        &self.answers
    }

    /// The bytes of an answer, which count for as long as any part of them is held; 429 when there is no room.
    pub(crate) fn answer(&self, bytes: Bytes) -> Result<Bytes, Fault> {
        if bytes.len() <= SMALL_BYTES { Ok(bytes) } else { Ok(self.answers.room(bytes.len())?.with(bytes)) }
    }
}

impl Place {
    /// Keeps this room too.
    pub(crate) fn keep(&mut self, room: Room) {
        self.room = Some(room);
    }

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

    fn admission() -> Admission {
        Admission::new(&Limits { in_flight: 1, ..Limits::default() })
    }

    #[test]
    fn a_place_is_taken_until_the_answer_is_gone() {
        let admission = admission();
        let place = admission.enter().unwrap();
        assert_eq!(admission.enter().unwrap_err().status.as_u16(), 429);
        let response = place.keep_with(Response::new(Body::from("a long answer")));
        assert_eq!((admission.under_way(), response.body().size_hint().exact()), (1, Some(13)));
        drop(response);
        assert!(admission.enter().is_ok());
        let empty = admission.enter().unwrap().keep_with(Response::new(Body::empty()));
        assert_eq!(admission.under_way(), 0);
        drop(empty);
    }

    #[tokio::test]
    async fn a_long_answer_goes_out_in_pieces() {
        let admission = admission();
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
}
