//! What the system is, apart from any connection: a state that turns a message into answers.

use std::collections::HashMap;
use std::mem;

use super::text::{sorted_members, text, with_parsed};
use crate::json::{Map, Value, quoted};

/// The version that is imitated.
const VERSION: &str = "0.1.6";

/// Shorter keys are refused.
const KEY_BYTES_MIN: usize = 6;

/// On how many workers keys are spread, which shows in renaming alone.
const WORKERS: u32 = 2;

// The status numbers.
const OK: u32 = 0;
const KEY_SET: u32 = 1;
const KEY_UPDATED: u32 = 2;
const KEY_NOT_EXIST: u32 = 3;
const KEY_EXISTS: u32 = 4;
const KEY_REMOVED: u32 = 5;
const KEY_LENGTH_INVALID: u32 = 6;
const TYPE_INVALID: u32 = 7;
const BODY_TYPE_INVALID: u32 = 12;

// The numbers of errors that belong to no command.
const UNKNOWN_COMMAND: u32 = 3;
const NOT_ONE_COMMAND: u32 = 4;
const INVALID_JSON: u32 = 5;
const UNKNOWN: u32 = 6;

/// What the system says to a root that is no object, after which it drops the connection.
const WRONG_ROOT: &str = concat!(
    r#"{"SERVER_ERROR":{"_err":{"_c":5000,"_a":"[json.exception.invalid_iterator.207] "#,
    r#"cannot use key() for non-object iterators"}}}"#
);

/// One answer, a message of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) order: Order,
    pub(super) text: String,
}

/// What an answer keeps its place behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Found on parsing: before the answers of the workers to the same message.
    Refusal,
    /// After the answers about the same key.
    Key(String),
    /// After all answers to what the connection sent before, and before those to what it sends later.
    Barrier,
}

/// What a message leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reaction {
    /// Refusals first, then by mention, those to SET and ADD by the bytes of the keys; the connection shuffles them.
    pub(super) answers: Vec<Answer>,
    /// Whether the connection is dropped, without a close frame, when they are sent.
    pub(super) drops_connection: bool,
}

/// What a message asks for, as far as a log may show it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// The name of the command; empty when the message has none.
    pub(super) command: String,
    /// The keys in the order of the message, those of SET and ADD by their bytes.
    pub(super) keys: Vec<String>,
}

impl Asked {
    /// Whether the command asks for a change, not just for an answer.
    pub(super) fn is_write(&self) -> bool {
        matches!(self.command.as_str(), "SET" | "ADD" | "RMV" | "CLEAR" | "RNM_KEY")
    }
}

/// The store and the count of messages. A value is kept as its text.
#[derive(Debug, Default)]
pub(super) struct System {
    entries: HashMap<String, String>,
    messages: u64,
    /// After a renaming that no server survives no client is answered any more.
    hung: bool,
}

impl System {
    /// Carries out one text message that is not empty.
    pub(super) fn receive(&mut self, message: &str) -> Reaction {
        self.messages += 1;
        if self.hung {
            return Reaction::default();
        }
        with_parsed(message, |root| self.root(root))
            .unwrap_or_else(|| only(server_error(INVALID_JSON, "Query is invalid json")))
    }

    /// Carries a message about several keys out for every other one alone, and answers about all of them with a status
    /// below zero, which no system has. `None` for any other message; then nothing was carried out.
    pub(super) fn receive_implausibly(&mut self, message: &str) -> Option<Reaction> {
        let Asked { command, keys } = asked(message);
        if keys.len() < 2 || !matches!(command.as_str(), "SET" | "ADD" | "RMV") {
            return None;
        }
        let kept: Vec<_> = keys.iter().skip(1).step_by(2).map(|key| (key, self.entries.get(key).cloned())).collect();
        let mut reaction = self.receive(message);
        for (key, value) in kept {
            match value {
                Some(value) => self.entries.insert(key.clone(), value),
                None => self.entries.remove(key),
            };
        }
        for answer in &mut reaction.answers {
            if let Order::Key(key) = &answer.order {
                answer.text = format!(r#"{{"{command}_RSP":{{"k":{},"st":-1}}}}"#, quoted(key));
            }
        }
        Some(reaction)
    }

    /// The keys that exist, sorted by their bytes.
    pub(super) fn keys(&self) -> Vec<String> {
        let mut keys: Vec<_> = self.entries.keys().cloned().collect();
        keys.sort_unstable();
        keys
    }

    fn root(&mut self, root: Value) -> Reaction {
        let size = match &root {
            Value::Null => 0,
            Value::Array(items) => items.len(),
            Value::Object(members) => members.len(),
            _ => 1,
        };
        let mut reaction = Reaction::default();
        if size != 1 {
            reaction.answers.push(server_error(NOT_ONE_COMMAND, "Only one command permitted"));
        }
        let Value::Object(commands) = root else {
            reaction.answers.push(Answer { order: Order::Refusal, text: WRONG_ROOT.to_owned() });
            reaction.drops_connection = true;
            return reaction;
        };
        // The error does not keep the first command from being carried out; of none, the name is empty.
        let (command, body) = sorted_members(commands).into_iter().next().unwrap_or_default();
        reaction.answers.append(&mut self.command(&command, body));
        reaction
    }

    fn command(&mut self, command: &str, body: Value) -> Vec<Answer> {
        match (command, body) {
            ("SET", Value::Object(pairs)) => self.write(command, pairs, Self::set),
            ("ADD", Value::Object(pairs)) => self.write(command, pairs, Self::add),
            ("GET", Value::Array(keys)) => self.name(command, &keys, Self::get),
            ("RMV", Value::Array(keys)) => self.name(command, &keys, Self::remove),
            ("RNM_KEY", Value::Array(pairs)) => self.rename(&pairs),
            ("CLEAR", Value::Object(_)) => {
                let count = mem::take(&mut self.entries).len();
                vec![barrier(format!(r#"{{"CLEAR_RSP":{{"st":{OK},"cnt":{count}}}}}"#))]
            }
            ("SERVER_INFO", Value::Object(_)) => {
                let (keys, messages) = (self.entries.len(), self.messages);
                let body = format!(r#"{{"st":{OK},"keyCnt":{keys},"qryCnt":{messages},"version":"{VERSION}"}}"#);
                vec![barrier(format!(r#"{{"SERVER_INFO_RSP":{body}}}"#))]
            }
            ("SET" | "ADD" | "GET" | "RMV" | "RNM_KEY" | "CLEAR" | "SERVER_INFO", _) => {
                vec![refusal(command, BODY_TYPE_INVALID, "m", "")]
            }
            _ => vec![server_error(UNKNOWN_COMMAND, command)],
        }
    }

    fn write(&mut self, command: &str, pairs: Map, write: fn(&mut Self, &str, String) -> u32) -> Vec<Answer> {
        let (mut refusals, mut answers) = (Vec::new(), Vec::new());
        for (key, value) in sorted_members(pairs) {
            match refuse_key(command, &key) {
                Some(refusal) => refusals.push(refusal),
                None => {
                    let status = write(self, &key, text(value));
                    answers.push(about(command, key, status));
                }
            }
        }
        refusals.append(&mut answers);
        refusals
    }

    fn set(&mut self, key: &str, value: String) -> u32 {
        if self.entries.insert(key.to_owned(), value).is_some() { KEY_UPDATED } else { KEY_SET }
    }

    fn add(&mut self, key: &str, value: String) -> u32 {
        if self.entries.contains_key(key) {
            return KEY_EXISTS;
        }
        self.set(key, value)
    }

    fn name(&mut self, command: &str, keys: &[Value], answer: fn(&mut Self, &str) -> Answer) -> Vec<Answer> {
        let (mut refusals, mut answers) = (Vec::new(), Vec::new());
        for key in keys {
            let Some(key) = key.as_str() else {
                refusals.push(refusal(command, TYPE_INVALID, "k", "key is not a string"));
                continue;
            };
            match refuse_key(command, key) {
                Some(refusal) => refusals.push(refusal),
                None => answers.push(answer(self, key)),
            }
        }
        refusals.append(&mut answers);
        refusals
    }

    fn get(&mut self, key: &str) -> Answer {
        match self.entries.get(key) {
            Some(value) => Answer {
                order: Order::Key(key.to_owned()),
                text: format!(r#"{{"GET_RSP":{{{}:{value},"st":{OK}}}}}"#, quoted(key)),
            },
            None => about("GET", key.to_owned(), KEY_NOT_EXIST),
        }
    }

    fn remove(&mut self, key: &str) -> Answer {
        let status = if self.entries.remove(key).is_some() { KEY_REMOVED } else { KEY_NOT_EXIST };
        about("RMV", key.to_owned(), status)
    }

    /// With the defects of the real one, so that no client comes to rely on it.
    fn rename(&mut self, pairs: &[Value]) -> Vec<Answer> {
        let (mut refusals, mut answers) = (Vec::new(), Vec::new());
        for pair in pairs {
            let first = pair.as_object().and_then(|pair| pair.iter().min_by_key(|(old, _)| *old));
            let Some((old, new)) = first.and_then(|(old, new)| Some((old, new.as_str()?))) else {
                refusals.push(refusal("RNM_KEY", TYPE_INVALID, "k", "Existing and new key name must be strings"));
                continue;
            };
            if old.len().min(new.len()) < KEY_BYTES_MIN {
                refusals.push(refusal("RNM_KEY", KEY_LENGTH_INVALID, "k", &format!("{old} or {new}")));
                continue;
            }
            let Some(status) = self.rename_one(old, new) else {
                self.hung = true;
                return refusals;
            };
            let (old, new) = (quoted(old), quoted(new));
            answers.push(barrier(format!(r#"{{"RNM_KEY_RSP":{{{old}:{new},"st":{status}}}}}"#)));
        }
        refusals.append(&mut answers);
        refusals
    }

    /// The status; `None` when the server hangs.
    fn rename_one(&mut self, old: &str, new: &str) -> Option<u32> {
        let exists = self.entries.contains_key(old);
        if worker(old) != worker(new) {
            return exists.then_some(KEY_EXISTS);
        }
        if !exists {
            return Some(KEY_NOT_EXIST);
        }
        if self.entries.contains_key(new) {
            self.entries.insert(old.to_owned(), "null".to_owned());
            return Some(KEY_EXISTS);
        }
        let value = self.entries.remove(old)?;
        self.entries.insert(new.to_owned(), value);
        Some(KEY_SET)
    }
}

/// What a message asks for; nothing where it is not JSON with an object at its root.
pub(super) fn asked(message: &str) -> Asked {
    with_parsed(message, |root| {
        let Value::Object(commands) = root else { return Asked::default() };
        let Some((command, body)) = sorted_members(commands).into_iter().next() else { return Asked::default() };
        let keys = match (command.as_str(), body) {
            ("SET" | "ADD", Value::Object(pairs)) => sorted_members(pairs).into_iter().map(|(key, _)| key).collect(),
            ("GET" | "RMV", Value::Array(keys)) => {
                keys.iter().filter_map(|key| key.as_str().map(str::to_owned)).collect()
            }
            ("RNM_KEY", Value::Array(pairs)) => {
                let pairs = pairs.iter().filter_map(Value::as_object).flat_map(Map::iter);
                pairs.flat_map(|(old, new)| [Some(old), new.as_str()]).flatten().map(str::to_owned).collect()
            }
            _ => Vec::new(),
        };
        Asked { command, keys }
    })
    .unwrap_or_default()
}

/// What the system would say when something went wrong in it. Its source has this error; it has not been seen.
pub(super) fn failure() -> Answer {
    server_error(UNKNOWN, "Unknown")
}

fn only(answer: Answer) -> Reaction {
    Reaction { answers: vec![answer], drops_connection: false }
}

fn worker(key: &str) -> u32 {
    key.bytes().take(KEY_BYTES_MIN).map(u32::from).sum::<u32>() % WORKERS
}

fn refuse_key(command: &str, key: &str) -> Option<Answer> {
    match key.len() {
        0 => Some(refusal(command, KEY_LENGTH_INVALID, "m", "")),
        1..KEY_BYTES_MIN => Some(refusal(command, KEY_LENGTH_INVALID, "k", key)),
        _ => None,
    }
}

fn about(command: &str, key: String, status: u32) -> Answer {
    let text = format!(r#"{{"{command}_RSP":{{"k":{},"st":{status}}}}}"#, quoted(&key));
    Answer { order: Order::Key(key), text }
}

fn refusal(command: &str, status: u32, member: &str, text: &str) -> Answer {
    let text = format!(r#"{{"{command}_RSP":{{"st":{status},"{member}":{}}}}}"#, quoted(text));
    Answer { order: Order::Refusal, text }
}

fn server_error(number: u32, text: &str) -> Answer {
    let text = format!(r#"{{"SERVER_ERROR":{{"s":{number},"m":{}}}}}"#, quoted(text));
    Answer { order: Order::Refusal, text }
}

fn barrier(text: String) -> Answer {
    Answer { order: Order::Barrier, text }
}
