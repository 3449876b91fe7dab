//! A connection that speaks PostgreSQL's protocol: what becomes of each request and of each answer.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use kv_conformance::Fault;

use crate::count::Shared;
use crate::dialect::Dialect;
use crate::lane::{LANE_BYTES, Lane};
use crate::orders::Deed;
use crate::protocol::Malformed;
use crate::protocol::postgres::{Messages, Opening, Piece, SYNC, error, ready};
use crate::protocol::sql::{Effects, Sql};

/// How many requests may wait for their answers; the client's next ones wait until then.
const DUE_MAX: usize = 16 * 1024;

/// How much of a message or an answer is kept until it is known what becomes of it.
const HELD_MAX: usize = LANE_BYTES / 2;

/// How many prepared statements a connection's texts are remembered of; of others a write is assumed.
const STATEMENTS_MAX: usize = 10_000;

/// A message of a type that no documentation knows.
const GARBLED: [u8; 9] = *b"?\0\0\0\x08what";

/// `cannot_connect_now`: what a server says that starts or ends.
const UNAVAILABLE: &str = "57P03";

/// `too_many_connections`: the server has not begun.
const THROTTLED: &str = "53300";

/// `statement_completion_unknown`: what PostgreSQL has for a statement of which nothing is known.
const FAILED: &str = "40003";

/// No words of a server.
const MESSAGE: &str = "broken on purpose";

/// The link answers one byte to what asks for encryption: it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct NoEncryption;

/// Where the link answers, the server is only asked for the end of an answer, and an error is put before that.
type Fate = crate::fate::Fate<NoEncryption>;

/// The client's message that is being looked at.
#[derive(Debug)]
enum Message {
    /// Nothing in it matters.
    Other,
    Sync,
    /// A startup message, after which the server asks for what it needs.
    Startup,
    Encryption,
    /// The name of a statement, and then its text.
    Parse {
        name: Name,
        known: Option<u64>,
        text: Sql,
        text_has_ended: bool,
    },
    /// Two names, of which the second is the statement's.
    Bind {
        portal_has_ended: bool,
        statement: Name,
    },
    /// `S` for a statement, and its name.
    Close {
        is_statement: Option<bool>,
        name: Name,
    },
    /// A text that is carried out at once.
    Query {
        text: Sql,
        text_has_ended: bool,
    },
    /// A function that is called at once.
    Call,
}

/// The name of a statement, as a hash: names are the client's, and can be long.
type Name = <RandomState as BuildHasher>::Hasher;

/// What a connection that speaks PostgreSQL's protocol is in the middle of.
#[derive(Debug)]
pub(crate) struct Postgres {
    client: Messages,
    server: Messages,
    message: Message,
    names: RandomState,
    statements: HashMap<u64, Effects>,
    /// Requests whose answers have not been passed on.
    due: VecDeque<Fate>,
    /// What becomes of the messages up to the next `Sync`, once it is known.
    fate: Option<Fate>,
    /// Whether a message has come that a `Sync` has to follow.
    has_begun: bool,
    /// Whether a statement is prepared by them.
    has_parsed: bool,
    /// The SQLSTATE that the link answers with.
    answer: Arc<[u8]>,
    is_in_block: bool,
    /// Whether something has been written in the block.
    has_written: bool,
    /// Whether the answer that comes has had an error.
    has_error: bool,
    /// What the server's message is, and its last byte.
    tag: u8,
    status: u8,
    /// Ends once what is due has been answered.
    ends: bool,
    /// A connection that asks to cancel has no answer.
    is_cancel: bool,
}

impl Postgres {
    pub(crate) fn new() -> Self {
        Self {
            client: Messages::of_client(),
            server: Messages::of_server(),
            message: Message::Other,
            names: RandomState::new(),
            statements: HashMap::new(),
            due: VecDeque::new(),
            fate: None,
            has_begun: false,
            has_parsed: false,
            answer: Arc::from(THROTTLED.as_bytes()),
            is_in_block: false,
            has_written: false,
            has_error: false,
            tag: 0,
            status: b'I',
            ends: false,
            is_cancel: false,
        }
    }

    fn open(&mut self, opening: Opening) {
        self.message = match opening {
            Opening::Encryption => Message::Encryption,
            Opening::Startup => Message::Startup,
            Opening::Cancel => {
                self.is_cancel = true;
                Message::Other
            }
        };
    }

    fn begin(&mut self, tag: u8, shared: &Shared, up: &mut Lane) {
        self.message = match tag {
            b'P' => {
                self.has_parsed = true;
                Message::Parse { name: self.names.build_hasher(), known: None, text: Sql::new(), text_has_ended: false }
            }
            b'B' => Message::Bind { portal_has_ended: false, statement: self.names.build_hasher() },
            b'C' => Message::Close { is_statement: None, name: self.names.build_hasher() },
            b'Q' => Message::Query { text: Sql::new(), text_has_ended: false },
            b'S' => Message::Sync,
            b'F' => Message::Call,
            _ => Message::Other,
        };
        // `Terminate`, what belongs to a password, and what belongs to `COPY` are no requests.
        self.has_begun |= matches!(tag, b'P' | b'B' | b'C' | b'D' | b'E' | b'F' | b'H' | b'Q');
        match tag {
            b'E' => {
                shared.count_command();
                // Of a portal that was bound before.
                if self.fate.is_none() {
                    self.decide(Effects::UNKNOWN, shared, up);
                }
            }
            b'F' => {
                shared.count_command();
                self.decide(Effects::UNKNOWN, shared, up);
            }
            _ => {}
        }
    }

    /// Looks at bytes of a body; the effects of what is about to be carried out, when they are known with these bytes.
    fn look_at(&mut self, mut bytes: &[u8]) -> Option<Effects> {
        match &mut self.message {
            Message::Other | Message::Sync | Message::Startup | Message::Encryption | Message::Call => None,
            Message::Parse { name, known, text, text_has_ended } => {
                if known.is_none() {
                    bytes = take_name(name, bytes)?;
                    if self.statements.len() >= STATEMENTS_MAX {
                        self.statements.clear();
                    }
                    *known = Some(name.finish());
                }
                take_text(text, text_has_ended, bytes);
                if let Some(name) = known.filter(|_| *text_has_ended) {
                    self.statements.insert(name, text.effects());
                }
                None
            }
            Message::Bind { portal_has_ended, statement } => {
                if !*portal_has_ended {
                    let end = memchr::memchr(0, bytes)?;
                    *portal_has_ended = true;
                    bytes = &bytes[end + 1..];
                }
                take_name(statement, bytes)?;
                let effects = self.statements.get(&statement.finish()).copied().unwrap_or(Effects::UNKNOWN);
                self.message = Message::Other;
                Some(effects)
            }
            Message::Close { is_statement, name } => {
                if is_statement.is_none() {
                    let (kind, rest) = bytes.split_first()?;
                    *is_statement = Some(*kind == b'S');
                    bytes = rest;
                }
                take_name(name, bytes)?;
                if *is_statement == Some(true) {
                    self.statements.remove(&name.finish());
                }
                self.message = Message::Other;
                None
            }
            Message::Query { text, text_has_ended } => {
                take_text(text, text_has_ended, bytes);
                None
            }
        }
    }

    /// What becomes of the messages up to the next `Sync`.
    fn decide(&mut self, effects: Effects, shared: &Shared, up: &mut Lane) {
        if self.fate.is_some() {
            return;
        }
        let is_in_block = self.is_in_block || effects.begins;
        let has_written = self.has_written || effects.writes;
        // In a block nothing is written before it is committed.
        let is_write = if is_in_block { effects.commits && has_written } else { effects.writes };
        let is_set_up = effects.only_sets() && !self.is_in_block;
        self.is_in_block = is_in_block && !effects.commits && !effects.rolls_back;
        self.has_written = has_written && self.is_in_block;
        let mut fate = Fate::Pass;
        if !is_set_up {
            shared.count_request();
            if let Some(deed) = shared.order(is_write, fits) {
                fate = self.fate_of(deed);
            }
        }
        self.ends |= fate.ends_the_connection();
        self.fate = Some(fate);
        self.pass_on(up);
    }

    fn fate_of(&mut self, deed: Deed) -> Fate {
        match deed {
            Deed::Answer(sqlstate) => {
                self.answer = sqlstate;
                Fate::Answered
            }
            Deed::Fault(Fault::Throttled) => {
                self.answer = Arc::from(THROTTLED.as_bytes());
                Fate::Answered
            }
            Deed::Fault(Fault::Unavailable) => {
                self.answer = Arc::from(UNAVAILABLE.as_bytes());
                Fate::Answered
            }
            Deed::Fault(fault) => Fate::of(fault),
        }
    }

    /// Passes on or drops what has been looked at of a message, or leaves it held while that is not known.
    fn pass_on(&mut self, up: &mut Lane) {
        if matches!(self.message, Message::Encryption) {
            up.discard_after(0);
            return;
        }
        match (self.fate, &self.message) {
            // The text of a `Query`, or the name in a `Bind`, has not come.
            (None, Message::Query { .. } | Message::Bind { .. }) => {}
            // Without it a server that has prepared a statement on the way would keep its answer.
            (Some(Fate::Answered), Message::Sync) | (None, _) => up.release(),
            (Some(fate), _) if fate.reaches_the_server() => up.release(),
            (Some(_), _) => up.discard_after(0),
        }
    }

    /// What the message that is being looked at is known to do.
    fn effects_so_far(&mut self) -> Effects {
        match &mut self.message {
            Message::Query { text, .. } => text.effects(),
            _ => Effects::UNKNOWN,
        }
    }

    /// The message has ended.
    fn end(&mut self, shared: &Shared, up: &mut Lane) {
        match std::mem::replace(&mut self.message, Message::Other) {
            Message::Encryption => {
                up.discard_after(0);
                self.due.push_back(Fate::Own(NoEncryption));
            }
            Message::Startup => self.due.push_back(Fate::Pass),
            Message::Sync => {
                if self.fate.is_none() && self.has_parsed {
                    shared.count_prepare();
                }
                self.end_request();
            }
            Message::Query { mut text, .. } => {
                shared.count_command();
                self.decide(text.effects(), shared, up);
                self.end_call(up);
            }
            Message::Call => self.end_call(up),
            // A name without an end is the server's to refuse.
            Message::Bind { .. } => self.decide(Effects::UNKNOWN, shared, up),
            Message::Other | Message::Parse { .. } | Message::Close { .. } => {}
        }
    }

    /// What needs no `Sync` has ended.
    fn end_call(&mut self, up: &mut Lane) {
        if self.fate == Some(Fate::Answered) {
            up.replace(&SYNC);
        }
        self.end_request();
    }

    fn end_request(&mut self) {
        let fate = self.fate.take().unwrap_or(Fate::Pass);
        (self.has_begun, self.has_parsed) = (false, false);
        if fate != Fate::RequestLost {
            self.due.push_back(fate);
        }
    }

    /// The server has said that it is ready.
    fn end_answer(&mut self, fate: Fate, down: &mut Lane) {
        self.due.pop_front();
        let has_error = std::mem::take(&mut self.has_error);
        let failed = |sqlstate: &str, status: u8| {
            // In a block an error fails all of it.
            let status = if status == b'T' { b'E' } else { status };
            [error(sqlstate, MESSAGE), ready(status).to_vec()].concat()
        };
        match fate {
            Fate::Pass | Fate::AnswerLost | Fate::Own(NoEncryption) | Fate::RequestLost => {}
            Fate::AnswerTruncated => {
                let half = down.held().len() / 2;
                down.discard_after(half);
            }
            Fate::Answered if has_error => down.replace(&ready(self.status)),
            Fate::Answered => {
                let sqlstate = String::from_utf8_lossy(&self.answer).into_owned();
                down.replace(&failed(&sqlstate, self.status));
            }
            Fate::Garbled => down.replace(&[&GARBLED[..], &ready(self.status)].concat()),
            Fate::Failed => down.replace(&failed(FAILED, self.status)),
        }
        self.tag = 0;
        if self.due.is_empty() && !self.has_begun {
            self.is_in_block = self.status != b'I';
            self.has_written &= self.is_in_block;
        }
    }
}

impl Dialect for Postgres {
    fn take_requests(&mut self, up: &mut Lane, shared: &Shared) -> Result<(), Malformed> {
        loop {
            if self.is_cancel {
                up.advance(up.unseen().len());
                up.release();
                return Ok(());
            }
            // What comes after a request that ends the connection reaches nobody.
            if self.ends && !self.has_begun {
                up.advance(up.unseen().len());
                up.discard_after(0);
                return Ok(());
            }
            if self.due.len() >= DUE_MAX {
                return Ok(());
            }
            let unseen = up.unseen();
            let (count, piece) = self.client.scan(unseen)?;
            match piece {
                Piece::Opening(opening) => {
                    up.advance(count);
                    self.open(opening);
                }
                Piece::Head(tag) => {
                    up.advance(count);
                    self.begin(tag, shared, up);
                }
                Piece::Body => {
                    let effects = self.look_at(&unseen[..count]);
                    up.advance(count);
                    // More than this is not kept to be decided on later.
                    let effects = effects.or_else(|| (up.held().len() > HELD_MAX).then(|| self.effects_so_far()));
                    if let Some(effects) = effects {
                        self.decide(effects, shared, up);
                    }
                }
                Piece::End => self.end(shared, up),
                Piece::Nothing => up.advance(count),
            }
            // A head that is not whole may be a message that is not passed on.
            if piece == Piece::Nothing {
                return Ok(());
            }
            self.pass_on(up);
        }
    }

    fn take_answers(&mut self, down: &mut Lane, _shared: &Shared) -> Result<(), Malformed> {
        loop {
            if down.held().is_empty() && self.due.front() == Some(&Fate::Own(NoEncryption)) {
                down.replace(b"N");
                self.due.pop_front();
            }
            if self.is_cancel {
                down.advance(down.unseen().len());
                down.release();
                return Ok(());
            }
            // Before its `Sync` a request can be answered in part.
            let fate = self.due.front().copied().or(self.fate).unwrap_or(Fate::Pass);
            let (count, piece) = self.server.scan(down.unseen())?;
            if let (Piece::Body, Some(last)) = (piece, down.unseen()[..count].last()) {
                self.status = *last;
            }
            down.advance(count);
            if let Piece::Head(tag) = piece {
                self.tag = tag;
                self.has_error |= tag == b'E';
            }
            let is_end = self.tag == b'Z';
            match fate {
                Fate::AnswerTruncated => down.hold_at_most(HELD_MAX),
                Fate::AnswerLost | Fate::Garbled | Fate::Failed => down.discard_after(0),
                Fate::Answered if is_end => down.discard_after(0),
                Fate::Pass | Fate::Answered | Fate::Own(NoEncryption) | Fate::RequestLost => {
                    // Whole heads only, so that something can be put before the last message.
                    if piece != Piece::Nothing || self.server.at_border() {
                        down.release();
                    }
                }
            }
            match piece {
                Piece::End if is_end => self.end_answer(fate, down),
                Piece::Nothing => return Ok(()),
                _ => {}
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.due.is_empty() && !self.has_begun && self.client.at_border()
    }

    fn has_to_end(&self) -> bool {
        self.ends && self.due.is_empty() && (!self.has_begun || self.fate == Some(Fate::RequestLost))
    }
}

fn fits(deed: &Deed) -> bool {
    !matches!(
        deed,
        Deed::Fault(Fault::BulkAnswerImplausible | Fault::PageEmpty | Fault::PageStandsStill | Fault::PageInCircles)
    )
}

/// Takes a name up to its end; what comes after it, once that is there.
fn take_name<'a>(name: &mut Name, bytes: &'a [u8]) -> Option<&'a [u8]> {
    match memchr::memchr(0, bytes) {
        None => {
            bytes.iter().for_each(|byte| name.write_u8(*byte));
            None
        }
        Some(end) => {
            bytes[..end].iter().for_each(|byte| name.write_u8(*byte));
            Some(&bytes[end + 1..])
        }
    }
}

fn take_text(text: &mut Sql, has_ended: &mut bool, bytes: &[u8]) {
    if !*has_ended {
        let end = memchr::memchr(0, bytes);
        text.feed(&bytes[..end.unwrap_or(bytes.len())]);
        *has_ended = end.is_some();
    }
}
