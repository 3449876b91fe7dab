//! Repeats, deadlines, time-outs and the window, on a clock that the test moves (ERR-3 to ERR-6).

use std::future::{pending, ready};
use std::num::{NonZeroU32, NonZeroUsize};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use kv_api::{Clock, DeleteOutcome, Error, ErrorKind, ManualClock, Result, Retry, SetStatus, Timestamp};
use kv_remote::{Idempotency, Remote, RemoteSettings, Reply, RetryPolicy};

const SECOND: Duration = Duration::from_secs(1);

fn settings(clock: &ManualClock, policy: RetryPolicy) -> RemoteSettings {
    RemoteSettings::default()
        .with_clock(Arc::new(clock.clone()))
        .with_timer(Arc::new(clock.clone()))
        .with_request_timeout(10 * SECOND)
        .with_retry(policy)
}

fn at_once() -> RetryPolicy {
    RetryPolicy::default().with_delays(Duration::ZERO, Duration::ZERO)
}

fn failing(retry: Retry) -> Error {
    Error::new(ErrorKind::Unavailable, "as ordered").with_retry(retry)
}

fn polled<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Sends with answers in this order; the last one is given for ever. How often it was sent, and the result.
fn sent(policy: RetryPolicy, idempotency: Idempotency, answers: &[Result<u8, Retry>]) -> (u32, Result<Reply<u8>>) {
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
    let remote = Remote::new(settings(&clock, policy));
    let attempts = AtomicU32::new(0);
    let call = remote.call();
    let result = polled(pin!(call.send(idempotency, || {
        let number = attempts.fetch_add(1, Ordering::Relaxed) as usize;
        ready(answers[number.min(answers.len() - 1)].map_err(failing))
    })));
    let Poll::Ready(result) = result else { panic!("nothing here waits") };
    (attempts.into_inner(), result)
}

#[test]
fn err_4_what_was_certainly_not_applied_is_repeated_whatever_it_asks() {
    for idempotency in [Idempotency::Read, Idempotency::Idempotent, Idempotency::NonIdempotent] {
        let (attempts, result) = sent(at_once(), idempotency, &[Err(Retry::Safe), Err(Retry::Safe), Ok(7)]);
        assert_eq!((attempts, result.unwrap()), (3, Reply { answer: 7, repeated: false }), "{idempotency:?}");
        let (attempts, result) = sent(at_once(), idempotency, &[Err(Retry::Safe)]);
        assert_eq!((attempts, result.unwrap_err().retry()), (4, Retry::Safe), "{idempotency:?}");
    }
}

#[test]
fn err_4_an_unknown_outcome_is_repeated_for_answers_and_states_alone() {
    let answers = [Err(Retry::OutcomeUnknown), Ok(7)];
    let (_, result) = sent(at_once(), Idempotency::Read, &answers);
    assert_eq!(result.unwrap(), Reply { answer: 7, repeated: false }, "a read changes nothing");
    let (_, result) = sent(at_once(), Idempotency::Idempotent, &answers);
    assert_eq!(result.unwrap(), Reply { answer: 7, repeated: true });
    let (attempts, result) = sent(at_once(), Idempotency::NonIdempotent, &answers);
    assert_eq!((attempts, result.unwrap_err().retry()), (1, Retry::OutcomeUnknown));
    let (attempts, result) = sent(at_once().without_unknown_retries(), Idempotency::Idempotent, &answers);
    assert_eq!((attempts, result.unwrap_err().retry()), (1, Retry::OutcomeUnknown));
    let (attempts, _) = sent(RetryPolicy::none(), Idempotency::Read, &answers);
    assert_eq!(attempts, 1);
}

#[test]
fn err_3_a_write_that_may_have_been_applied_once_stays_unknown() {
    for last in [Retry::Never, Retry::Safe] {
        let (_, result) = sent(at_once(), Idempotency::Idempotent, &[Err(Retry::OutcomeUnknown), Err(last)]);
        assert_eq!(result.unwrap_err().retry(), Retry::OutcomeUnknown, "the first attempt may have been applied");
    }
    let (_, result) = sent(at_once(), Idempotency::NonIdempotent, &[Err(Retry::Safe), Err(Retry::Never)]);
    assert_eq!(result.unwrap_err().retry(), Retry::Never, "neither was applied");
}

#[test]
fn err_5_an_outcome_after_a_repeat_claims_nothing() {
    let set = |answer, repeated| Reply { answer, repeated }.set_outcome().status();
    assert_eq!(set(SetStatus::Updated, false), SetStatus::Updated);
    assert_eq!(set(SetStatus::Updated, true), SetStatus::Stored);
    assert_eq!(set(SetStatus::Created, true), SetStatus::Stored);
    let delete = |answer, repeated| Reply { answer, repeated }.delete_outcome();
    assert_eq!(delete(DeleteOutcome::Deleted, false), DeleteOutcome::Deleted);
    assert_eq!(delete(DeleteOutcome::NotFound, true), DeleteOutcome::Accepted);
}

#[test]
fn err_4_a_wait_the_system_asks_for_is_kept_and_one_that_does_not_fit_is_not_begun() {
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
    let remote = Remote::new(settings(&clock, at_once().with_deadline(60 * SECOND)));
    let asked = |wait| Error::new(ErrorKind::RateLimited, "").with_retry_after(wait);
    let call = remote.call();
    let mut left = vec![Ok(7), Err(asked(30 * SECOND))];
    let mut send = pin!(call.send(Idempotency::NonIdempotent, || ready(left.pop().unwrap_or(Ok(0)))));
    assert!(polled(send.as_mut()).is_pending());
    clock.advance(29 * SECOND);
    assert!(polled(send.as_mut()).is_pending());
    clock.advance(SECOND);
    assert!(matches!(polled(send.as_mut()), Poll::Ready(Ok(Reply { answer: 7, repeated: false }))));
    let mut send = pin!(call.send(Idempotency::NonIdempotent, || ready(Err::<u8, _>(asked(30 * SECOND)))));
    let Poll::Ready(Err(error)) = polled(send.as_mut()) else { panic!("30 of 60 seconds have passed") };
    assert_eq!((error.kind(), error.retry_after()), (ErrorKind::RateLimited, Some(30 * SECOND)));
}

#[test]
fn exp_10_a_step_of_the_wall_clock_neither_ends_a_call_nor_prolongs_it() {
    let clock = ManualClock::new(Timestamp::from_unix_seconds(1_000_000));
    let remote =
        Remote::new(settings(&clock, at_once().with_deadline(60 * SECOND)).with_requests_max(NonZeroUsize::MIN));
    for wall in [9_000_000, 0] {
        // One call has the window, one waits in the queue, one waits to be repeated.
        let (holder, queued, repeated) = (remote.call(), remote.call(), remote.call());
        let asked = Error::new(ErrorKind::RateLimited, "").with_retry_after(30 * SECOND);
        let mut answers = vec![Ok(7), Err(asked)];
        let mut repeat = pin!(repeated.send(Idempotency::NonIdempotent, || ready(answers.pop().unwrap_or(Ok(0)))));
        assert!(polled(repeat.as_mut()).is_pending());
        let mut hold = Box::pin(holder.send(Idempotency::NonIdempotent, pending::<Result<u8>>));
        assert!(polled(hold.as_mut()).is_pending());
        let mut queue = pin!(queued.send(Idempotency::NonIdempotent, || ready(Ok(5))));
        assert!(polled(queue.as_mut()).is_pending());
        clock.set(Timestamp::from_unix_seconds(wall));
        assert!(polled(queue.as_mut()).is_pending() && polled(repeat.as_mut()).is_pending());
        drop(hold);
        assert!(matches!(polled(queue.as_mut()), Poll::Ready(Ok(Reply { answer: 5, .. }))), "{wall}");
        clock.advance(30 * SECOND);
        assert!(matches!(polled(repeat.as_mut()), Poll::Ready(Ok(Reply { answer: 7, .. }))), "{wall}");
        // What is left of the deadline is what the timer says.
        let mut late = pin!(queued.send(Idempotency::Read, pending::<Result<u8>>));
        clock.set(Timestamp::from_unix_seconds(wall));
        assert!(polled(late.as_mut()).is_pending());
        clock.advance(10 * SECOND);
        assert!(polled(late.as_mut()).is_pending(), "the second attempt");
        clock.advance(20 * SECOND);
        assert!(matches!(polled(late.as_mut()), Poll::Ready(Err(_))), "{wall}");
    }
}

#[test]
fn err_4_a_wait_that_the_system_asks_for_is_granted_up_to_the_policys_longest() {
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
    let sent = |policy: RetryPolicy, seconds: u32| {
        let remote = Remote::new(settings(&clock, policy));
        let call = remote.call();
        let asked = Error::new(ErrorKind::RateLimited, "").with_retry_after(seconds * SECOND);
        let mut answers = vec![Ok(7), Err(asked)];
        let mut send = pin!(call.send(Idempotency::NonIdempotent, || ready(answers.pop().unwrap_or(Ok(0)))));
        match polled(send.as_mut()) {
            Poll::Ready(result) => result.map(|_| panic!("without a wait")),
            Poll::Pending => {
                clock.advance(seconds * SECOND);
                let Poll::Ready(result) = polled(send.as_mut()) else { panic!("longer than asked for") };
                result.map(|reply| reply.answer)
            }
        }
    };
    let default = RetryPolicy::default;
    assert_eq!(sent(default(), 300).unwrap(), 7, "the longest penalty that a supported system documents");
    let long_job = default().with_retry_after_max(3600 * SECOND).with_deadline(7200 * SECOND);
    assert_eq!(sent(long_job, 3600).unwrap(), 7);
    for (policy, seconds) in
        [(default(), 301), (default().with_retry_after_max(SECOND), 2), (default().with_deadline(60 * SECOND), 60)]
    {
        let error = sent(policy, seconds).unwrap_err();
        assert_eq!((error.kind(), error.retry_after()), (ErrorKind::RateLimited, Some(seconds * SECOND)), "{seconds}");
    }
}

#[tokio::test]
async fn err_4_the_longest_times_that_can_be_set_do_not_overflow() {
    let options = ["attempts_max=4294967295", "retry_after_max_ms", "deadline_ms", "request_timeout_ms"];
    let longest = options.map(|option| match option.contains('=') {
        true => option.to_owned(),
        false => format!("{option}={}", u64::MAX),
    });
    let url = || format!("x:?{}", longest.join("&")).parse().unwrap();
    let settings = || RemoteSettings::default().take_from_url(&mut url()).unwrap();
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
    for remote in [Remote::new(settings()), Remote::new(settings().with_timer(Arc::new(clock.clone())))] {
        let call = remote.call();
        let mut send = pin!(call.send(Idempotency::Read, pending::<Result<u8>>));
        assert!(polled(send.as_mut()).is_pending());
        clock.advance(Duration::MAX / 2);
        // More than the policy allows, and then exactly what it allows, which is all of the deadline.
        for wait in [Duration::MAX, Duration::from_millis(u64::MAX)] {
            let asked = || ready(Err::<u8, _>(failing(Retry::Safe).with_retry_after(wait)));
            let error = remote.call().send(Idempotency::Read, asked).await.unwrap_err();
            assert_eq!(error.retry_after(), Some(wait));
        }
        // A wait of half a million years is one.
        let asked =
            || ready(Err::<u8, _>(failing(Retry::Safe).with_retry_after(Duration::from_millis(u64::MAX / 1000))));
        let call = remote.call();
        assert!(polled(pin!(call.send(Idempotency::Read, asked))).is_pending());
    }
}

#[test]
fn err_3_an_attempt_without_answer_has_an_unknown_outcome() {
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
    let remote = Remote::new(settings(&clock, at_once()));
    let call = remote.call();
    let mut send = pin!(call.send(Idempotency::NonIdempotent, pending::<Result<u8>>));
    assert!(polled(send.as_mut()).is_pending());
    clock.advance(10 * SECOND);
    let Poll::Ready(Err(error)) = polled(send.as_mut()) else { panic!("the attempt had ten seconds") };
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::OutcomeUnknown));
    let mut read = pin!(call.send(Idempotency::Read, pending::<Result<u8>>));
    for _ in 0..4 {
        assert!(polled(read.as_mut()).is_pending());
        clock.advance(10 * SECOND);
    }
    let Poll::Ready(Err(error)) = polled(read.as_mut()) else { panic!("each attempt had ten seconds") };
    assert_eq!(error.retry(), Retry::Safe, "a read has nothing that could have been applied");
    assert!(!error.to_string().contains("applied"), "{error}");
    let mut again = pin!(call.send(Idempotency::Idempotent, pending::<Result<u8>>));
    for _ in 0..4 {
        assert!(polled(again.as_mut()).is_pending());
        clock.advance(10 * SECOND);
    }
    assert!(matches!(polled(again.as_mut()), Poll::Ready(Err(error)) if error.is_outcome_unknown()));
}

#[test]
fn err_4_one_deadline_ends_the_whole_call() {
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
    let policy = at_once().with_deadline(15 * SECOND).with_attempts_max(NonZeroU32::MAX);
    let remote = Remote::new(settings(&clock, policy));
    let call = remote.call();
    let mut send = pin!(call.send(Idempotency::Read, pending::<Result<u8>>));
    assert!(polled(send.as_mut()).is_pending());
    clock.advance(10 * SECOND);
    assert!(polled(send.as_mut()).is_pending(), "the second attempt");
    clock.advance(5 * SECOND);
    assert!(matches!(polled(send.as_mut()), Poll::Ready(Err(_))), "the deadline of the call, not of the attempt");
    let mut late = pin!(call.send(Idempotency::NonIdempotent, || ready(Err::<u8, _>(failing(Retry::Safe)))));
    assert!(matches!(polled(late.as_mut()), Poll::Ready(Err(error)) if error.retry() == Retry::Safe));
    assert_eq!(clock.now(), Timestamp::from_unix_seconds(15));
}

#[test]
fn err_4_after_the_deadline_nothing_more_of_a_batch_is_sent() {
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
    let policy = at_once().with_deadline(SECOND);
    let remote = Remote::new(settings(&clock, policy).with_requests_max(NonZeroUsize::MIN));
    let call = remote.call();
    let sent = AtomicU32::new(0);
    let parts: Vec<BoxFuture<'_, Result<Reply<u8>>>> = (0..100)
        .map(|_| {
            let attempt = || {
                sent.fetch_add(1, Ordering::Relaxed);
                pending::<Result<u8>>()
            };
            Box::pin(call.send(Idempotency::Idempotent, attempt)) as _
        })
        .collect();
    let mut batch = pin!(remote.in_window(parts).collect::<Vec<_>>());
    assert!(polled(batch.as_mut()).is_pending());
    clock.advance(SECOND);
    let Poll::Ready(results) = polled(batch.as_mut()) else { panic!("the deadline is over") };
    let classes: Vec<Retry> = results.into_iter().map(|result| result.unwrap_err().retry()).collect();
    assert_eq!(sent.load(Ordering::Relaxed), 1);
    assert_eq!(classes[0], Retry::OutcomeUnknown);
    assert!(classes[1..].iter().all(|class| *class == Retry::Safe), "{classes:?}");
}

#[test]
fn err_6_the_window_bounds_what_is_under_way_and_a_dropped_call_makes_room() {
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
    let window = NonZeroUsize::new(2).unwrap();
    let remote = Remote::new(settings(&clock, at_once().with_deadline(SECOND)).with_requests_max(window));
    let under_way = AtomicU32::new(0);
    let calls: Vec<_> = (0..3).map(|_| remote.call()).collect();
    let mut sends: Vec<_> = calls
        .iter()
        .map(|call| {
            Box::pin(call.send(Idempotency::NonIdempotent, || {
                under_way.fetch_add(1, Ordering::Relaxed);
                pending::<Result<u8>>()
            }))
        })
        .collect();
    for send in &mut sends {
        assert!(polled(send.as_mut()).is_pending());
    }
    assert_eq!(under_way.load(Ordering::Relaxed), 2);
    drop(sends.remove(0));
    for send in &mut sends {
        assert!(polled(send.as_mut()).is_pending());
    }
    assert_eq!(under_way.load(Ordering::Relaxed), 3);
    let fourth = remote.call();
    let mut waiting = pin!(fourth.send(Idempotency::NonIdempotent, || ready(Ok(1))));
    assert!(polled(waiting.as_mut()).is_pending());
    clock.advance(SECOND);
    let Poll::Ready(Err(error)) = polled(waiting.as_mut()) else { panic!("the deadline is over") };
    assert_eq!(error.retry(), Retry::Safe, "it was never sent");
}

#[test]
fn a_place_in_the_window_goes_to_who_has_waited_for_it() {
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
    let remote = Remote::new(settings(&clock, at_once()).with_requests_max(NonZeroUsize::MIN));
    let [first, second, third] = [(); 3].map(|()| remote.call());
    let mut holding = Box::pin(first.send(Idempotency::Read, pending::<Result<u8>>));
    assert!(polled(holding.as_mut()).is_pending());
    let mut waiting = pin!(second.send(Idempotency::Read, || ready(Ok(2))));
    assert!(polled(waiting.as_mut()).is_pending());
    drop(holding);
    // It is free, and nobody has been told yet.
    let mut late = pin!(third.send(Idempotency::Read, || ready(Ok(3))));
    assert!(polled(late.as_mut()).is_pending());
    assert!(polled(waiting.as_mut()).is_ready());
    assert!(polled(late.as_mut()).is_ready());
}

#[test]
fn err_3_a_body_waits_for_room_outside_the_time_of_its_attempt_and_is_not_sent_before() {
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
    let settings = settings(&clock, RetryPolicy::none().with_deadline(25 * SECOND));
    let (bytes_max, requests_max) = (NonZeroUsize::new(10).unwrap(), NonZeroUsize::new(2).unwrap());
    let remote = Remote::new(settings.with_buffer_bytes_max(bytes_max).with_requests_max(requests_max));
    let sent = AtomicU32::new(0);
    let silent = |body_bytes: usize| {
        let sent = &sent;
        let attempt = async move {
            sent.fetch_add(1, Ordering::Relaxed);
            pending::<Result<u8>>().await
        };
        (body_bytes, attempt)
    };
    let calls: Vec<_> = (0..5).map(|_| remote.call()).collect();
    let mut sends: Vec<_> = calls
        .iter()
        .zip([6, usize::MAX, 4, 0, 0])
        .map(|(call, body_bytes)| Box::pin(call.send_body(Idempotency::NonIdempotent, move || silent(body_bytes))))
        .collect();
    let mut poll = |at: usize| match polled(sends[at].as_mut()) {
        Poll::Ready(result) => Some(result.unwrap_err().retry()),
        Poll::Pending => None,
    };
    assert!((0..4).all(|at| poll(at).is_none()));
    assert_eq!(
        sent.load(Ordering::Relaxed),
        2,
        "the first, and the one without a body: what waits for room keeps no place in the window"
    );
    clock.advance(10 * SECOND);
    assert_eq!(poll(0), Some(Retry::OutcomeUnknown));
    assert!(poll(1).is_none() && poll(2).is_none());
    assert_eq!(sent.load(Ordering::Relaxed), 3, "one that is longer than all of it goes alone");
    clock.advance(10 * SECOND);
    assert_eq!(poll(1), Some(Retry::OutcomeUnknown), "it had the whole time of an attempt");
    assert!(poll(2).is_none());
    assert_eq!(sent.load(Ordering::Relaxed), 4);
    clock.advance(5 * SECOND);
    assert_eq!(poll(2), Some(Retry::OutcomeUnknown));
    assert_eq!(poll(4), Some(Retry::Safe), "the deadline has passed, and nothing was sent");
    assert_eq!(sent.load(Ordering::Relaxed), 4);
}

#[test]
fn a_call_is_made_when_its_turn_in_the_window_comes() {
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
    let window = NonZeroUsize::new(3).unwrap();
    let remote = Remote::new(settings(&clock, at_once()).with_requests_max(window));
    let made = AtomicU32::new(0);
    let calls = (0..1000).map(|_| {
        made.fetch_add(1, Ordering::Relaxed);
        Box::pin(pending::<()>()) as _
    });
    assert!(polled(pin!(remote.in_window(calls).collect::<Vec<()>>())).is_pending());
    assert_eq!(made.load(Ordering::Relaxed), 3);
}

#[test]
fn calls_in_the_window_answer_in_order() {
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
    let remote = Remote::new(settings(&clock, at_once()).with_requests_max(NonZeroUsize::MIN));
    let calls = (0u8..5).map(|number| Box::pin(ready(number)) as _);
    let Poll::Ready(numbers) = polled(pin!(remote.in_window(calls).collect::<Vec<u8>>())) else {
        panic!("all are ready")
    };
    assert_eq!(numbers, [0, 1, 2, 3, 4]);
}

#[test]
fn err_4_the_deadline_ends_a_wait_for_a_turn_too() {
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
    let remote = Remote::new(settings(&clock, at_once().with_deadline(SECOND)));
    let call = remote.call();
    assert!(matches!(polled(pin!(call.wait_for(ready(5)))), Poll::Ready(Ok(5))));
    let mut turn = pin!(call.wait_for(pending::<()>()));
    assert!(polled(turn.as_mut()).is_pending());
    clock.advance(SECOND);
    let Poll::Ready(Err(error)) = polled(turn.as_mut()) else { panic!("the deadline is over") };
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Safe));
}

#[test]
fn err_4_a_call_tells_what_may_be_sent_again_in_another_form() {
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
    let unknown = Error::new(ErrorKind::InvalidArgument, "").with_retry(Retry::OutcomeUnknown);
    let allows = |policy| Remote::new(settings(&clock, policy)).call().allows(Idempotency::Idempotent, &unknown);
    assert!(allows(at_once()) && !allows(at_once().without_unknown_retries()));
}
