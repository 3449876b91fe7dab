//! Tests that every adapter passes that sends its requests through `kv-remote`, so that their text stands once.

use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use kv_api::{ManualClock, Store, TokioTimer};
use kv_fakes::FakeServer;
use kv_remote::{RemoteSettings, RetryPolicy};

use crate::{BothClocks, until};

pub mod keys;
#[doc(hidden)]
pub mod logs;
#[doc(hidden)]
pub mod looks;
#[doc(hidden)]
pub mod timing;
#[doc(hidden)]
pub mod unreachable;

/// A running fake, and stores of one adapter on it.
pub trait RemoteSystem: Sized {
    /// What the stores are opened with and no output may show.
    const SECRET: &'static str;

    /// A new, empty system. It watches for the secret in what is logged.
    fn start() -> impl Future<Output = Self>;

    /// The fake.
    fn server(&self) -> &FakeServer;

    /// The clock of the system, which only the test moves.
    fn clock(&self) -> &ManualClock;

    /// The clock of this side, which only the test moves.
    fn client_clock(&self) -> &ManualClock;

    /// A store with other settings; `set` gets [`remote`](Self::remote).
    fn store_with(&self, set: impl FnOnce(RemoteSettings) -> RemoteSettings) -> Store;

    /// A store that looks for the system at another address.
    fn store_at(&self, base_url: &str) -> Store;

    /// Settings that repeat without waits and time out by real time.
    fn remote(&self) -> RemoteSettings {
        RemoteSettings::default()
            .with_clock(Arc::new(self.client_clock().clone()))
            .with_timer(Arc::new(TokioTimer))
            .with_retry(RetryPolicy::default().with_delays(Duration::ZERO, Duration::ZERO))
    }

    /// Both clocks, to be moved together.
    fn clocks(&self) -> BothClocks {
        BothClocks { system: self.clock().clone(), client: self.client_clock().clone() }
    }

    /// A store.
    fn store(&self) -> Store {
        self.store_with(|remote| remote)
    }

    /// A store that has at most so many requests under way.
    ///
    /// # Panics
    ///
    /// When that is none.
    #[expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
    fn store_with_window(&self, requests: usize) -> Store {
        self.store_with(|remote| remote.with_requests_max(NonZeroUsize::new(requests).unwrap()))
    }

    /// What a call gives, and how many requests it took.
    fn counted<T>(&self, call: impl Future<Output = T>) -> impl Future<Output = (T, u64)> {
        async {
            let before = self.server().requests();
            let result = call.await;
            (result, self.server().requests() - before)
        }
    }

    /// What a call gives; `None` when it was dropped because so many of its requests had arrived.
    fn dropped_after<T>(&self, requests: u64, call: impl Future<Output = T>) -> impl Future<Output = Option<T>> {
        async move {
            let enough = self.server().requests() + requests;
            match select(pin!(call), pin!(until(|| self.server().requests() >= enough))).await {
                Either::Left((result, _)) => Some(result),
                Either::Right(_) => None,
            }
        }
    }
}

/// Makes a `#[tokio::test]` of each shared test of a subject, on a [`RemoteSystem`].
///
/// The subjects are:
/// - `logs`: the suite's look at the log sees the HTTP client;
/// - `timing`: time-outs, dropped calls, many callers at once;
/// - `looks`: faults, deadlines and batches, for a system where a condition is a look and then a write;
/// - `unreachable`: nobody listens where the system should be;
/// - `keys`: the empty key is refused, and each named key reaches its own entry.
///
/// The package that calls it needs `tokio` with `macros` and `rt-multi-thread`.
#[macro_export]
macro_rules! remote_tests {
    (logs for $system:ty) => {
        $crate::remote_tests! { @each logs, $system: err_2_what_is_logged_is_looked_at }
    };
    (unreachable for $system:ty) => {
        $crate::remote_tests! { @each unreachable, $system: err_3_nothing_is_sent_where_nobody_listens }
    };
    (looks for $system:ty) => {
        $crate::remote_tests! { @each looks, $system:
            err_4_one_deadline_ends_all_requests_of_a_batch
            err_4_a_set_is_repeated_and_a_condition_is_not
            batch_5_what_needs_a_condition_goes_singly
        }
    };
    (keys for $system:ty: $($name:ident: $key:expr;)*) => {
        #[tokio::test]
        async fn key_1_the_empty_key_is_refused() {
            $crate::remote::keys::is_refused::<$system>("", ::kv_api::Reason::KeyEmpty).await;
        }

        $(#[tokio::test]
        async fn $name() {
            let system = <$system as $crate::RemoteSystem>::start().await;
            $crate::remote::keys::reaches_its_own_entry(&system, &$key).await;
        })*
    };
    (timing for $system:ty) => {
        $crate::remote_tests! { @each timing, $system:
            err_3_a_request_without_an_answer_ends_when_its_time_is_up
            err_3_a_body_that_waits_for_room_was_not_sent
            err_6_a_dropped_call_gives_its_place_to_the_next
            the_window_bounds_the_requests_under_way
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn sixty_four_callers_get_their_own_answers() {
            $crate::remote::timing::sixty_four_callers_get_their_own_answers::<$system>().await;
        }
    };
    (@each $subject:ident, $system:ty: $($name:ident)*) => {$(
        #[tokio::test]
        async fn $name() {
            $crate::remote::$subject::$name::<$system>().await;
        }
    )*};
}
