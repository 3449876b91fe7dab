//! What becomes of a request, whatever engine carries it: the model's answer, or the fault that it was ordered to meet.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kv_api::{Clock, Timestamp};

use super::exchange::{Exchange, Log, Observer};
use super::window::Window;
use crate::chance::Chance;
use crate::fault::{Applied, Fault};
use crate::model::{Answer, Model, Request};
use crate::order::Orders;

/// What the gateway of [`Fault::ServerError`] says.
const GATEWAY_PAGE: &[u8] =
    b"<html><head><title>Bad gateway</title></head><body>The origin did not answer.</body></html>";

/// What [`Fault::Garbage`] sends: it begins like an answer and ends in the middle of a string, with a byte that is not
/// UTF-8.
const GARBAGE: &[u8] = b"{\"success\":true,\"result\":\"\xff";

/// What becomes of a request.
pub(super) enum Decision {
    /// It is answered, after this time.
    Answer { answer: Answer, delay: Duration },
    /// The answer announces its whole length and breaks off half-way through its body.
    Truncated(Answer),
    /// The connection stays open, and nothing ever comes.
    Silent,
    /// The connection is closed without an answer.
    Cut,
}

/// What a handle and the engine of its server share.
pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) latency: Duration,
    pub(super) observer: Option<Observer>,
    pub(super) secrets: Vec<String>,
}

pub(super) struct State {
    pub(super) model: Box<dyn Model>,
    pub(super) window: Window,
    pub(super) orders: Orders,
    pub(super) chance: Option<Chance>,
    pub(super) requests: u64,
    pub(super) log: Log,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in a model has already failed the test that caused it; the others go on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn redacted(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }

    /// Carries a request out, unless a fault keeps it from that.
    pub(super) fn decide(&self, request: &Request<'_>) -> Decision {
        let now = self.clock.now();
        let mut state = self.lock();
        let mut decision = state.decide(request, now);
        if self.observer.is_some() || !state.log.is_off() {
            let exchange = self.exchange(request, &decision);
            if let Some(observer) = &self.observer {
                observer(&exchange);
            }
            state.log.push(exchange);
        }
        if let Decision::Answer { delay, .. } = &mut decision {
            *delay = delay.saturating_add(self.latency);
        }
        decision
    }

    fn exchange(&self, request: &Request<'_>, decision: &Decision) -> Exchange {
        Exchange {
            method: request.method.to_owned(),
            path: self.redacted(request.path),
            query: self.redacted(request.query),
            status: match decision {
                Decision::Answer { answer, .. } | Decision::Truncated(answer) => Some(answer.status),
                Decision::Silent | Decision::Cut => None,
            },
        }
    }
}

impl State {
    fn decide(&mut self, request: &Request<'_>, now: Timestamp) -> Decision {
        self.requests += 1;
        let (quota, let_through) = self.window.take(now);
        let mut decision = if let_through {
            self.decide_by_order(request, now)
        } else {
            let retry_after = Some(Duration::from_secs(quota.reset_seconds));
            // Every model knows this fault; if one did not, the limit would not hold there.
            match self.model.answer_faulty(Fault::Throttled { retry_after }, request, now) {
                Some(answer) => Decision::Answer { answer, delay: Duration::ZERO },
                None => self.decide_by_order(request, now),
            }
        };
        if let Decision::Answer { answer, .. } | Decision::Truncated(answer) = &mut decision {
            answer.headers.extend(self.model.quota_headers(&quota));
        }
        decision
    }

    fn decide_by_order(&mut self, request: &Request<'_>, now: Timestamp) -> Decision {
        let Some(fault) = self.orders.next(|| self.model.is_write(request)) else {
            return self.decide_by_chance(request, now);
        };
        let (decision, met) = self.decide_faulty(fault, request, now);
        if met {
            self.orders.met();
        }
        decision
    }

    fn decide_by_chance(&mut self, request: &Request<'_>, now: Timestamp) -> Decision {
        match self.chance.as_mut().and_then(Chance::next) {
            Some(fault) => self.decide_faulty(fault, request, now).0,
            None => Decision::Answer { answer: self.model.answer(request, now), delay: Duration::ZERO },
        }
    }

    /// The decision, and whether the fault fitted.
    fn decide_faulty(&mut self, fault: Fault, request: &Request<'_>, now: Timestamp) -> (Decision, bool) {
        let at_once = |answer| Decision::Answer { answer, delay: Duration::ZERO };
        match fault {
            Fault::Throttled { .. }
            | Fault::ThrottledUnderSuccess
            | Fault::EmptyPage
            | Fault::StuckPage
            | Fault::FirstPageAgain
            | Fault::Implausible
            | Fault::Stale
            | Fault::PartlyUnsuccessful { .. }
            | Fault::BrokenOff { .. }
            | Fault::Refused { .. } => match self.model.answer_faulty(fault, request, now) {
                Some(answer) => (at_once(answer), true),
                None => (at_once(self.model.answer(request, now)), false),
            },
            Fault::ServerError { status, applied } => {
                self.apply(applied, request, now);
                let status = if (500..=599).contains(&status) { status } else { 500 };
                let headers = vec![("content-type", "text/html; charset=UTF-8".to_owned())];
                (at_once(Answer { status, headers, body: GATEWAY_PAGE.to_vec() }), true)
            }
            Fault::Slow { delay } => (Decision::Answer { answer: self.model.answer(request, now), delay }, true),
            Fault::Silent { applied } => {
                self.apply(applied, request, now);
                (Decision::Silent, true)
            }
            Fault::Cut { applied } => {
                self.apply(applied, request, now);
                (Decision::Cut, true)
            }
            Fault::Truncated => {
                let answer = self.model.answer(request, now);
                // Without a body to break off in, the answer breaks off before one.
                (if answer.body.len() < 2 { Decision::Cut } else { Decision::Truncated(answer) }, true)
            }
            Fault::Garbage => {
                let answer = self.model.answer(request, now);
                let untyped = !answer.headers.iter().any(|(name, _)| *name == "content-type");
                if answer.is_json() || untyped && answer.body.is_empty() {
                    (at_once(Answer { status: 200, body: GARBAGE.to_vec(), ..answer }), true)
                } else {
                    (at_once(answer), false)
                }
            }
        }
    }

    fn apply(&mut self, applied: Applied, request: &Request<'_>, now: Timestamp) {
        if applied == Applied::Yes {
            self.model.answer(request, now);
        }
    }
}
