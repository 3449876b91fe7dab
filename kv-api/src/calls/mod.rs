//! Single requests: builders that are themselves the future. They start at the first poll and not before, and take no
//! allocation beside the adapter's own.

mod delete;
mod expire;
mod get_and_delete;
mod get_or_set;
mod increment;
mod list;
mod owned;
mod read;
mod set;
mod touch;
mod update;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

pub use delete::Delete;
pub use expire::Expire;
pub use get_and_delete::GetAndDelete;
pub use get_or_set::GetOrSet;
pub use increment::Increment;
pub use list::List;
pub use read::{Exists, Get, GetEntry};
pub use set::Set;
pub use touch::Touch;
pub use update::Update;

use crate::error::Result;
use crate::gate::InFlight;

pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How far a request has come. `T` is what the adapter answers.
enum Phase<'a, T> {
    Fresh,
    Waiting {
        future: BoxFuture<'a, Result<T>>,
        /// Declared after the future and so dropped after it: the call ends when nothing of it is left.
        _call: InFlight<'a>,
    },
    Done,
}

/// What a request waits for, and the call in flight that it is until then.
type Start<'a, T> = (BoxFuture<'a, Result<T>>, InFlight<'a>);

impl<'a, T> Phase<'a, T> {
    fn poll(&mut self, cx: &mut Context<'_>, start: impl FnOnce() -> Result<Start<'a, T>>) -> Poll<Result<T>> {
        if matches!(self, Self::Fresh) {
            *self = Self::Done;
            match start() {
                Err(error) => return Poll::Ready(Err(error)),
                Ok(start) => self.wait_for(start),
            }
        }
        self.poll_started(cx)
    }

    fn wait_for(&mut self, (future, call): Start<'a, T>) {
        *self = Self::Waiting { future, _call: call };
    }

    fn poll_started(&mut self, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let Self::Waiting { future, .. } = self else {
            // As every future that is polled after its end.
            panic!("a request was polled after it had been answered");
        };
        let answer = ready!(future.as_mut().poll(cx));
        *self = Self::Done;
        Poll::Ready(answer)
    }
}

impl<T> fmt::Debug for Phase<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fresh => "not started",
            Self::Waiting { .. } => "waiting",
            Self::Done => "answered",
        })
    }
}
