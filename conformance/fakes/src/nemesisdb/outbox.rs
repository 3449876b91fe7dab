//! What a connection is still to send, and in which order.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use fastrand::Rng;
use kv_api::Timestamp;

use super::system::{Answer, Order};

/// One thing to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outgoing {
    /// A text message.
    Text(String),
    /// An empty ping.
    Ping,
    /// Nothing comes after it.
    Last(Last),
}

/// How a connection ends by what was decided about a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Last {
    /// Dropped without a close frame, once the client has had the chance to read what was sent before.
    Drop,
    /// Dropped without a close frame and at once.
    Cut,
    /// Half of a frame with this text, then as [`Drop`](Self::Drop).
    Torn(String),
}

/// Answers of one connection, each with the time at which it may go.
#[derive(Debug)]
pub(super) struct Outbox {
    random: Rng,
    /// Within what time answers are strewn; zero keeps the messages apart.
    spread: Duration,
    /// By time, then by number.
    pending: BTreeMap<(Timestamp, u64), Outgoing>,
    number: u64,
    /// The time of the latest answer about each key. Forgotten when nothing is pending.
    keys: HashMap<String, Timestamp>,
    /// Nothing new goes before this.
    earliest: Timestamp,
    /// The time of the latest.
    latest: Timestamp,
    /// How many texts are pending.
    waiting: usize,
    /// How many texts were taken out and are not known to have left.
    leaving: usize,
}

impl Outbox {
    pub(super) fn new(random: Rng, spread: Duration) -> Self {
        Self {
            random,
            spread,
            pending: BTreeMap::new(),
            number: 0,
            keys: HashMap::new(),
            earliest: Timestamp::UNIX_EPOCH,
            latest: Timestamp::UNIX_EPOCH,
            waiting: 0,
            leaving: 0,
        }
    }

    /// Takes in the answers to one message, which may go from `from` on, and what ends the connection after them.
    pub(super) fn put(&mut self, answers: Vec<Answer>, last: Option<Last>, from: Timestamp) {
        let mut after_refusals = from;
        for Answer { order, text } in answers {
            let at = match order {
                Order::Refusal => {
                    // In the order found, and not after an answer to the same message.
                    let at = self.strewn(after_refusals);
                    after_refusals = at;
                    at
                }
                Order::Key(key) => {
                    let at = self.strewn(after_refusals);
                    let at = at.max(self.keys.get(&key).copied().unwrap_or(at));
                    self.keys.insert(key, at);
                    at
                }
                Order::Barrier => {
                    let at = self.latest.max(after_refusals);
                    self.earliest = at;
                    at
                }
            };
            self.insert(at, Outgoing::Text(text));
        }
        if let Some(last) = last {
            self.insert(self.latest.max(from), Outgoing::Last(last));
        }
    }

    /// A ping goes at once.
    pub(super) fn ping(&mut self) {
        self.insert(Timestamp::UNIX_EPOCH, Outgoing::Ping);
    }

    /// The next thing whose time has come.
    pub(super) fn take(&mut self, now: Timestamp) -> Option<Outgoing> {
        let first = self.pending.first_entry().filter(|first| first.key().0 <= now)?;
        let outgoing = first.remove();
        if matches!(outgoing, Outgoing::Text(_)) {
            self.waiting -= 1;
            self.leaving += 1;
        }
        Some(outgoing)
    }

    /// What was taken has left.
    pub(super) fn left(&mut self) {
        self.leaving = 0;
        if self.pending.is_empty() {
            self.keys.clear();
        }
    }

    /// How long until the next thing may go; `None` when there is nothing.
    pub(super) fn wait(&self, now: Timestamp) -> Option<Duration> {
        self.pending.first_key_value().map(|((at, _), _)| at.saturating_since(now))
    }

    /// How many answers have not left.
    pub(super) fn due(&self) -> usize {
        self.waiting + self.leaving
    }

    /// A time from `from` on: without a spread none is before another.
    fn strewn(&mut self, from: Timestamp) -> Timestamp {
        if self.spread.is_zero() {
            return from.max(self.latest);
        }
        let from = from.max(self.earliest);
        let span = u64::try_from(self.spread.as_micros()).unwrap_or(u64::MAX);
        from.checked_add(Duration::from_micros(self.random.u64(0..=span))).unwrap_or(from)
    }

    fn insert(&mut self, at: Timestamp, outgoing: Outgoing) {
        self.number += 1;
        self.latest = self.latest.max(at);
        self.waiting += usize::from(matches!(outgoing, Outgoing::Text(_)));
        self.pending.insert((at, self.number), outgoing);
    }
}

/// Mixes the answers of the workers to one message, those about one key in their order; what stands before them, and
/// what is about all keys, keeps its place.
pub(super) fn shuffle(answers: &mut [Answer], random: &mut Rng) {
    let first = answers.iter().take_while(|answer| answer.order == Order::Refusal).count();
    let answers = &mut answers[first..];
    if answers.iter().any(|answer| !matches!(answer.order, Order::Key(_))) {
        return;
    }
    let mut by_key: HashMap<String, VecDeque<Answer>> = HashMap::new();
    let mut places = Vec::with_capacity(answers.len());
    for answer in &*answers {
        if let Order::Key(key) = &answer.order {
            places.push(key.clone());
            by_key.entry(key.clone()).or_default().push_back(answer.clone());
        }
    }
    random.shuffle(&mut places);
    for (answer, key) in answers.iter_mut().zip(places) {
        if let Some(next) = by_key.get_mut(&key).and_then(VecDeque::pop_front) {
            *answer = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(order: Order, text: &str) -> Answer {
        Answer { order, text: text.to_owned() }
    }

    fn about(key: &str, text: &str) -> Answer {
        answer(Order::Key(key.to_owned()), text)
    }

    fn texts(outbox: &mut Outbox, now: Timestamp) -> Vec<String> {
        let mut texts = Vec::new();
        while let Some(Outgoing::Text(text)) = outbox.take(now) {
            texts.push(text);
        }
        texts
    }

    #[test]
    fn shuffles_all_but_refusals_and_keeps_the_order_of_a_key() {
        let answers = [
            answer(Order::Refusal, "r1"),
            answer(Order::Refusal, "r2"),
            about("a", "a1"),
            about("b", "b1"),
            about("a", "a2"),
            about("c", "c1"),
            about("a", "a3"),
        ];
        let mut orders = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let mut shuffled = answers.clone();
            shuffle(&mut shuffled, &mut Rng::with_seed(seed));
            let mut again = answers.clone();
            shuffle(&mut again, &mut Rng::with_seed(seed));
            assert_eq!(shuffled, again);
            let order: Vec<_> = shuffled.iter().map(|answer| answer.text.as_str()).collect();
            assert_eq!(order[..2], ["r1", "r2"]);
            let of_a: Vec<_> = order.iter().copied().filter(|text| text.starts_with('a')).collect();
            assert_eq!(of_a, ["a1", "a2", "a3"]);
            orders.insert(order.join(" "));
        }
        // All ways to put two others among three.
        assert_eq!(orders.len(), 20);
    }

    #[test]
    fn without_a_spread_messages_stay_apart_and_wait_their_time() {
        let at = Timestamp::from_unix_seconds;
        let mut outbox = Outbox::new(Rng::with_seed(1), Duration::ZERO);
        outbox.put(vec![about("a", "1"), about("b", "2")], None, at(20));
        outbox.put(vec![answer(Order::Refusal, "3")], None, at(10));
        assert_eq!(outbox.wait(at(15)), Some(Duration::from_secs(5)));
        assert_eq!(outbox.take(at(15)), None);
        outbox.ping();
        assert_eq!(outbox.take(at(15)), Some(Outgoing::Ping));
        assert_eq!(outbox.due(), 3);
        assert_eq!(texts(&mut outbox, at(20)), ["1", "2", "3"]);
        assert_eq!(outbox.due(), 3);
        outbox.left();
        assert_eq!((outbox.due(), outbox.wait(at(20))), (0, None));
    }

    #[test]
    fn a_spread_mixes_messages_and_keeps_what_must_be_kept() {
        let (now, end) = (Timestamp::from_unix_seconds(0), Timestamp::from_unix_seconds(9));
        let mut mixed = 0;
        for seed in 0..300 {
            let mut outbox = Outbox::new(Rng::with_seed(seed), Duration::from_secs(1));
            outbox.put(vec![about("a", "a1"), about("b", "b1")], None, now);
            outbox.put(vec![answer(Order::Refusal, "r1"), answer(Order::Refusal, "r2"), about("a", "a2")], None, now);
            outbox.put(vec![answer(Order::Barrier, "all")], None, now);
            outbox.put(vec![about("c", "c1")], Some(Last::Cut), now);
            let order = texts(&mut outbox, end);
            let place = |text: &str| order.iter().position(|other| other == text).unwrap();
            assert!(place("a1") < place("a2") && place("r1") < place("r2") && place("r2") < place("a2"), "{order:?}");
            assert_eq!((place("all"), place("c1")), (5, 6), "{order:?}");
            mixed += usize::from(place("r1") < place("b1"));
        }
        assert!((50..250).contains(&mixed), "{mixed}");
    }
}
