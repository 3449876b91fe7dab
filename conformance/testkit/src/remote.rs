//! Tests that every adapter passes that sends its requests through `kv-remote`, so that their text stands once.

use std::num::NonZeroUsize;

use kv_api::{ManualClock, Store};
use kv_fakes::FakeServer;
use kv_remote::RemoteSettings;

#[doc(hidden)]
pub mod logs;
#[doc(hidden)]
pub mod looks;
#[doc(hidden)]
pub mod timing;

/// A running fake, and stores of one adapter on it.
pub trait RemoteSystem: Sized {
    /// What the stores are opened with and no output may show.
    const SECRET: &'static str;

    /// A new, empty system. It watches for the secret in what is logged.
    fn start() -> impl Future<Output = Self>;

    /// The fake.
    fn server(&self) -> &FakeServer;

    /// The clock of this side, which only the test moves.
    fn client_clock(&self) -> &ManualClock;

    /// A store with other settings. The ones that `set` gets repeat without waits and time out by real time.
    fn store_with(&self, set: impl FnOnce(RemoteSettings) -> RemoteSettings) -> Store;

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
}

/// Makes a `#[tokio::test]` of each shared test of a subject, on a [`RemoteSystem`].
///
/// The subjects are:
/// - `logs`: the suite's look at the log sees the HTTP client;
/// - `timing`: time-outs, dropped calls, many callers at once;
/// - `looks`: deadlines, for a system where a condition is a look and then a write.
///
/// The package that calls it needs `tokio` with `macros` and `rt-multi-thread`.
#[macro_export]
macro_rules! remote_tests {
    (logs for $system:ty) => {
        $crate::remote_tests! { @each logs, $system: err_2_what_is_logged_is_looked_at }
    };
    (looks for $system:ty) => {
        $crate::remote_tests! { @each looks, $system: err_4_one_deadline_ends_all_requests_of_a_batch }
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
