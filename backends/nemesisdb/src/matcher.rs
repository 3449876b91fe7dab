//! Whose reply is it? Replies carry no number and come in any order; they name their command and their key. A pure
//! state machine.

use std::collections::{BTreeMap, HashMap, VecDeque};

use kv_api::Error;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::budget::ReplyBudget;
use crate::request::{Replies, Request};
use crate::wire::message::Command;
use crate::wire::reply::{Answer, Reply};

/// The messages that have been sent and not wholly answered.
///
/// The server answers each mention of a key with one message. It works on what concerns one key in the order in which
/// that came, so the replies to one command about one key come in the order of the requests, whatever else comes
/// between them. A caller that is gone keeps its place in that order: its reply is taken and thrown away (ERR-6).
#[derive(Debug)]
pub(crate) struct Matcher {
    budget: ReplyBudget,
    /// Who waits for a reply to this command about this key, the first first.
    awaited: HashMap<Command, HashMap<String, VecDeque<Place>>>,
    /// By number, so that the first is the one sent first.
    messages: BTreeMap<u64, Pending>,
    numbers: u64,
    outstanding: usize,
}

/// A key of a message.
#[derive(Clone, Copy, Debug)]
struct Place {
    message: u64,
    key: usize,
}

#[derive(Debug)]
struct Pending {
    answers: Vec<Option<Answer>>,
    missing: usize,
    caller: oneshot::Sender<Replies>,
    sent_in: u64,
    _room: OwnedSemaphorePermit,
}

/// A reply that fits no request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unexpected;

impl Matcher {
    /// Nothing has been sent. Values in replies take their room from the budget.
    pub(crate) fn new(budget: ReplyBudget) -> Self {
        Self { budget, awaited: HashMap::new(), messages: BTreeMap::new(), numbers: 0, outstanding: 0 }
    }

    /// A request was sent, in the period of this number.
    pub(crate) fn register(&mut self, request: Request, period: u64) {
        let Request { command, keys, caller, room, .. } = request;
        let message = self.numbers;
        self.numbers += 1;
        self.outstanding += keys.len();
        let answers = keys.iter().map(|_| None).collect();
        let pending = Pending { missing: keys.len(), answers, caller, sent_in: period, _room: room };
        self.messages.insert(message, pending);
        let awaited = self.awaited.entry(command).or_default();
        for (at, key) in keys.into_iter().enumerate() {
            awaited.entry(key).or_default().push_back(Place { message, key: at });
        }
    }

    /// A reply came.
    pub(crate) fn on_reply(&mut self, reply: &Reply<'_>) -> Result<(), Unexpected> {
        let awaited = self.awaited.get_mut(&reply.command).ok_or(Unexpected)?;
        let places = awaited.get_mut(&*reply.key).ok_or(Unexpected)?;
        let place = places.pop_front().ok_or(Unexpected)?;
        if places.is_empty() {
            awaited.remove(&*reply.key);
        }
        self.outstanding -= 1;
        let pending = self.messages.get_mut(&place.message).ok_or(Unexpected)?;
        if !pending.caller.is_closed() {
            pending.answers[place.key] = Some(reply.answer(&self.budget));
        }
        pending.missing -= 1;
        if pending.missing == 0
            && let Some(Pending { answers, caller, .. }) = self.messages.remove(&place.message)
        {
            // A caller that is gone wants none.
            let _ = caller.send(Replies { answers, lost: None });
        }
        Ok(())
    }

    /// Replies cannot be assigned any more, or none will come: every caller learns what is known. What is
    /// outstanding stays outstanding. Gives the number of replies to `SERVER_INFO` that are.
    pub(crate) fn give_up(&mut self, error: &Error) -> usize {
        let infos = self.awaited.get(&Command::ServerInfo).map_or(0, |keys| keys.values().map(VecDeque::len).sum());
        self.awaited.clear();
        for (_, Pending { answers, caller, .. }) in std::mem::take(&mut self.messages) {
            let _ = caller.send(Replies { answers, lost: Some(error.clone()) });
        }
        infos
    }

    /// All replies that were outstanding have come, or never will.
    pub(crate) fn nothing_is_outstanding(&mut self) {
        self.outstanding = 0;
    }

    /// How many replies have not come.
    pub(crate) const fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// How many messages wait for replies.
    pub(crate) fn messages(&self) -> usize {
        self.messages.len()
    }

    /// The period in which the message was sent that has waited longest.
    pub(crate) fn oldest_period(&self) -> Option<u64> {
        self.messages.first_key_value().map(|(_, pending)| pending.sent_in)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_api::ErrorKind;
    use proptest::prelude::*;
    use proptest::sample::Index;
    use std::sync::Arc;
    use tokio::sync::Semaphore;

    fn matcher() -> Matcher {
        Matcher::new(ReplyBudget::new(100))
    }

    fn reply(command: Command, key: &str, status: u64) -> Reply<'_> {
        Reply::without_value(command, key, status)
    }

    fn register(matcher: &mut Matcher, command: Command, keys: &[&str]) -> oneshot::Receiver<Replies> {
        let (caller, replies) = oneshot::channel();
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        let room = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        matcher.register(Request::new(command, keys, String::new(), caller, room), 0);
        replies
    }

    fn statuses(replies: &mut oneshot::Receiver<Replies>) -> Option<Vec<Option<u64>>> {
        let replies = replies.try_recv().ok()?;
        Some(replies.answers.into_iter().map(|answer| answer.map(|answer| answer.status())).collect())
    }

    #[test]
    fn err_6_a_caller_that_is_gone_keeps_its_place() {
        let mut matcher = matcher();
        drop(register(&mut matcher, Command::Get, &["sixsix"]));
        let mut second = register(&mut matcher, Command::Get, &["sixsix"]);
        matcher.on_reply(&reply(Command::Get, "sixsix", 0)).unwrap();
        assert_eq!(statuses(&mut second), None, "this one was the first one's");
        matcher.on_reply(&reply(Command::Get, "sixsix", 3)).unwrap();
        assert_eq!(statuses(&mut second), Some(vec![Some(3)]));
        assert_eq!((matcher.outstanding(), matcher.messages()), (0, 0));
    }

    #[test]
    fn what_nobody_waits_for_is_unexpected() {
        let mut matcher = matcher();
        assert_eq!(matcher.on_reply(&reply(Command::Get, "sixsix", 0)), Err(Unexpected));
        let _caller = register(&mut matcher, Command::Get, &["sixsix"]);
        assert_eq!(matcher.on_reply(&reply(Command::Set, "sixsix", 1)), Err(Unexpected));
        assert_eq!(matcher.on_reply(&reply(Command::Get, "seven77", 3)), Err(Unexpected));
        matcher.on_reply(&reply(Command::Get, "sixsix", 0)).unwrap();
        assert_eq!(matcher.on_reply(&reply(Command::Get, "sixsix", 0)), Err(Unexpected));
    }

    #[test]
    fn batch_6_giving_up_passes_on_what_has_come() {
        let mut matcher = matcher();
        let mut set = register(&mut matcher, Command::Set, &["first1", "second"]);
        let mut get = register(&mut matcher, Command::Get, &["first1"]);
        matcher.on_reply(&reply(Command::Set, "second", 2)).unwrap();
        let mut info = register(&mut matcher, Command::ServerInfo, &[""]);
        matcher.on_reply(&reply(Command::ServerInfo, "", 0)).unwrap();
        assert_eq!(statuses(&mut info), Some(vec![Some(0)]));
        assert_eq!(matcher.give_up(&Error::new(ErrorKind::Unavailable, "gone")), 0);
        let replies = set.try_recv().unwrap();
        assert_eq!(replies.lost.map(|error| error.kind()), Some(ErrorKind::Unavailable));
        assert!(replies.answers[0].is_none() && replies.answers[1].is_some());
        assert_eq!(statuses(&mut get), Some(vec![None]));
        assert_eq!((matcher.outstanding(), matcher.messages()), (2, 0), "they may still come");
        assert_eq!(matcher.on_reply(&reply(Command::Get, "first1", 0)), Err(Unexpected));
        matcher.nothing_is_outstanding();
        assert_eq!(matcher.outstanding(), 0);
    }

    /// A message of a caller, which may be gone by now.
    #[derive(Clone, Debug)]
    struct Message {
        command: Command,
        keys: Vec<usize>,
        is_gone: bool,
    }

    const KEYS: [&str; 5] = ["aaaaaa", "bbbbbb", "cccccc", "dddddd", "eeeeee"];

    fn message() -> impl Strategy<Value = Message> {
        let command = prop::sample::select(vec![Command::Get, Command::Set, Command::Add, Command::Remove]);
        (command, prop::collection::btree_set(0..KEYS.len(), 1..4), prop::bool::weighted(0.3))
            .prop_map(|(command, keys, is_gone)| Message { command, keys: keys.into_iter().collect(), is_gone })
    }

    proptest! {
        /// A server that answers in any order that it may: what concerns one command and one key in the order in which
        /// it came, and everything else as it likes, also while further messages come in.
        #[test]
        fn err_6_each_caller_gets_its_own_replies_in_every_legal_order(
            messages in prop::collection::vec(message(), 1..40),
            choices in prop::collection::vec((any::<bool>(), any::<Index>()), 400),
        ) {
            let mut matcher = matcher();
            // Of each command and key the replies to give, in order. The status is the number of message and key.
            let mut outstanding: BTreeMap<(&str, usize), VecDeque<(Command, u64)>> = BTreeMap::new();
            let mut callers = Vec::new();
            let mut unsent = messages.into_iter().enumerate();
            let mut choices = choices.into_iter().cycle();
            loop {
                let (sends, choice) = choices.next().unwrap();
                let next = if sends || outstanding.is_empty() { unsent.next() } else { None };
                if let Some((number, Message { command, keys, is_gone })) = next {
                    let number = u64::try_from(number).unwrap() * 10;
                    let names: Vec<&str> = keys.iter().map(|key| KEYS[*key]).collect();
                    let caller = register(&mut matcher, command, &names);
                    for (at, key) in (0..).zip(&keys) {
                        outstanding.entry((command.name(), *key)).or_default().push_back((command, number + at));
                    }
                    let expected: Vec<Option<u64>> = (number..).take(keys.len()).map(Some).collect();
                    if is_gone { drop(caller) } else { callers.push((caller, expected)) }
                    continue;
                }
                if outstanding.is_empty() {
                    break;
                }
                let chosen = *choice.get(&Vec::from_iter(outstanding.keys().copied()));
                let replies = outstanding.get_mut(&chosen).unwrap();
                let (command, status) = replies.pop_front().unwrap();
                if replies.is_empty() {
                    outstanding.remove(&chosen);
                }
                matcher.on_reply(&reply(command, KEYS[chosen.1], status)).unwrap();
                prop_assert_eq!(matcher.outstanding(), outstanding.values().map(VecDeque::len).sum::<usize>());
            }
            for (mut caller, expected) in callers {
                prop_assert_eq!(statuses(&mut caller), Some(expected));
            }
            prop_assert_eq!((matcher.outstanding(), matcher.messages()), (0, 0));
            prop_assert!(matcher.awaited.values().all(HashMap::is_empty));
        }
    }
}
