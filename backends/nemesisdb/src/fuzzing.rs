//! Decoders for the fuzz targets in `conformance/fuzz`. Built with `--cfg fuzzing` only.

use std::sync::Arc;

use kv_api::{DeleteOutcome, Metadata, Result, SetStatus, Timestamp, Value};
use tokio::sync::{Semaphore, oneshot};

use crate::budget::ReplyBudget;
use crate::matcher::Matcher;
use crate::request::Request;
use crate::wire::message::Command;
use crate::wire::reply::parse;

type Content = (Value, Option<Metadata>);

/// A reply, read as the answer to each command.
#[derive(Debug)]
pub struct Reply {
    pub command: &'static str,
    pub key: String,
    pub set: Result<SetStatus>,
    pub added: Result<SetStatus>,
    pub removed: Result<DeleteOutcome>,
    pub found: Result<Option<(Content, Option<Timestamp>)>>,
    pub info: Result<()>,
}

/// Takes a message apart.
///
/// # Errors
/// For what is no reply.
pub fn reply(text: &str) -> Result<Reply> {
    let reply = parse(text)?;
    let answer = reply.answer(&ReplyBudget::new(usize::MAX));
    Ok(Reply {
        command: reply.command.name(),
        key: reply.key.clone().into_owned(),
        set: answer.set(),
        added: answer.added(),
        removed: answer.removed(),
        found: answer.found().map(|found| found.map(|found| ((found.value, found.metadata), found.expires_at))),
        info: answer.info(),
    })
}

/// Sends each command about these keys, twice, and hands over the messages until one of them fits nothing. How many
/// fitted; how many replies are outstanding then; and how many answers the callers got.
#[must_use]
pub fn matched(keys: &[&str], messages: &[&str]) -> (usize, usize, usize) {
    let mut matcher = Matcher::new(ReplyBudget::new(1024));
    let room = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
    let mut callers = Vec::new();
    for command in [Command::ALL, Command::ALL].concat() {
        let (caller, replies) = oneshot::channel();
        let Ok(room) = Arc::clone(&room).try_acquire_owned() else { continue };
        let keys = if command == Command::ServerInfo { &[""][..] } else { keys };
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        matcher.register(Request::new(command, keys, String::new(), caller, room), 0);
        callers.push(replies);
    }
    let mut fits = |message: &&str| parse(message).is_ok_and(|reply| matcher.on_reply(&reply).is_ok());
    let fitted = messages.iter().take_while(|message| fits(message)).count();
    let outstanding = matcher.outstanding();
    matcher.give_up(&crate::wire::error::violation("the end"));
    let answers = callers.into_iter().filter_map(|mut caller| caller.try_recv().ok());
    let answered = answers.map(|replies| replies.answers.iter().flatten().count()).sum();
    (fitted, outstanding, answered)
}
