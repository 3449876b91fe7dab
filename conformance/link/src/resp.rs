//! A connection that speaks RESP: what becomes of each command and of each answer.

use std::collections::VecDeque;
use std::sync::Arc;

use kv_conformance::Fault;

use crate::count::Shared;
use crate::dialect::Dialect;
use crate::lane::{LANE_BYTES, Lane};
use crate::orders::Deed;
use crate::protocol::Malformed;
use crate::protocol::resp::{Answers, Commands, InRequest};
use crate::protocol::topology::{announced, redirected};

/// How many commands may wait for their answers; the client's next ones wait until then.
const DUE_MAX: usize = 64 * 1024;

/// How much of an answer is kept to be changed or cut.
const HELD_MAX: usize = LANE_BYTES / 2;

/// How much of an answer about the topology is kept: some hundred nodes.
const TOPOLOGY_MAX: usize = LANE_BYTES - 4096;

/// An array of an array of a number below zero: no command answers so.
const GARBLED: &[u8] = b"*1\r\n*1\r\n:-7\r\n";

/// Neither a code that a server has, nor a word on what was carried out.
const FAILED: &[u8] = b"-ERR unexplained failure\r\n";

/// What a server says before it has read its data: nothing is carried out.
const LOADING: &[u8] = b"-LOADING Redis is loading the dataset in memory\r\n";

/// What a cursor of zero becomes where it is to be given back: zero would be the end.
const STANDING_CURSOR: u64 = 1 << 51;

/// What only RESP has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Own {
    /// A page without keys, and this cursor.
    Page(u64),
    /// The page as it is, but for this cursor.
    PageAgain(u64),
    /// A number below zero, where a count or a status belongs.
    Implausible,
    /// The answer names nodes of a cluster.
    Topology,
}

type Fate = crate::fate::Fate<Own>;

/// A command whose answer has not been passed on.
#[derive(Debug)]
struct Due {
    fate: Fate,
    is_request: bool,
}

/// Kinds of commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Sets a connection up or looks whether it lives: counts for nothing and meets nothing.
    SetUp,
    /// The same, about the nodes of a cluster.
    Topology,
    Read,
    Scan,
    Write,
    Multi,
    /// Ends what `MULTI` began.
    Exec,
    /// From here on answers no longer follow commands.
    Stream,
}

impl Kind {
    fn of(commands: &Commands) -> Self {
        let first = |word: &[u8]| commands.first().eq_ignore_ascii_case(word);
        match commands.name() {
            b"CLIENT" if first(b"REPLY") => Self::Stream,
            b"SUBSCRIBE" | b"PSUBSCRIBE" | b"SSUBSCRIBE" | b"MONITOR" | b"SYNC" | b"PSYNC" => Self::Stream,
            b"CLUSTER" => Self::Topology,
            b"HELLO" | b"AUTH" | b"CLIENT" | b"SELECT" | b"INFO" | b"COMMAND" | b"READONLY" | b"READWRITE"
            | b"ASKING" | b"QUIT" | b"CONFIG" | b"ACL" | b"ROLE" | b"PING" => Self::SetUp,
            b"SCRIPT" | b"FUNCTION" if first(b"LOAD") || first(b"EXISTS") || first(b"LIST") => Self::SetUp,
            b"SCAN" => Self::Scan,
            b"MULTI" => Self::Multi,
            b"EXEC" | b"DISCARD" => Self::Exec,
            b"ECHO" | b"TIME" | b"GET" | b"MGET" | b"STRLEN" | b"GETRANGE" | b"SUBSTR" | b"EXISTS" | b"TYPE"
            | b"TTL" | b"PTTL" | b"EXPIRETIME" | b"PEXPIRETIME" | b"KEYS" | b"RANDOMKEY" | b"DBSIZE" | b"DUMP"
            | b"OBJECT" | b"MEMORY" | b"LCS" | b"GETBIT" | b"BITCOUNT" | b"BITPOS" | b"BITFIELD_RO" | b"EVAL_RO"
            | b"EVALSHA_RO" | b"FCALL_RO" | b"SORT_RO" | b"HGET" | b"HMGET" | b"HGETALL" | b"HEXISTS" | b"HKEYS"
            | b"HVALS" | b"HLEN" | b"HSTRLEN" | b"HSCAN" | b"HRANDFIELD" | b"LRANGE" | b"LINDEX" | b"LLEN"
            | b"LPOS" | b"SMEMBERS" | b"SISMEMBER" | b"SMISMEMBER" | b"SCARD" | b"SINTER" | b"SUNION" | b"SDIFF"
            | b"SINTERCARD" | b"SRANDMEMBER" | b"SSCAN" | b"ZRANGE" | b"ZCARD" | b"ZCOUNT" | b"ZSCORE" | b"ZMSCORE"
            | b"ZRANK" | b"ZREVRANK" | b"ZRANGEBYSCORE" | b"ZSCAN" | b"XRANGE" | b"XREVRANGE" | b"XLEN" | b"XREAD"
            | b"XINFO" | b"WATCH" | b"UNWATCH" | b"WAIT" | b"WAITAOF" | b"TOUCH" | b"SCRIPT" | b"FUNCTION"
            | b"SLOWLOG" | b"LATENCY" | b"LASTSAVE" | b"DEBUG" | b"PUBSUB" => Self::Read,
            // What is not known may write.
            _ => Self::Write,
        }
    }

    const fn is_write(self) -> bool {
        matches!(self, Self::Write | Self::Multi)
    }
}

/// What a connection that speaks RESP is in the middle of.
#[derive(Debug)]
pub(crate) struct Resp {
    commands: Commands,
    answers: Answers,
    due: VecDeque<Due>,
    /// How many of them are requests.
    requests_due: usize,
    /// What the commands meet that were sent at once.
    batch: Option<Fate>,
    /// What the link answers to them.
    answer: Arc<[u8]>,
    /// What becomes of the command that has been named and not ended.
    current: Option<Fate>,
    /// Whether the command that is coming was begun before all requests were answered.
    is_more: bool,
    in_multi: bool,
    is_stream: bool,
    /// Ends once what is due has been answered.
    ends: bool,
}

impl Resp {
    pub(crate) fn new() -> Self {
        Self {
            commands: Commands::default(),
            answers: Answers::default(),
            due: VecDeque::new(),
            requests_due: 0,
            batch: None,
            answer: Arc::from(LOADING),
            current: None,
            is_more: false,
            in_multi: false,
            is_stream: false,
            ends: false,
        }
    }

    fn pass_on(up: &mut Lane, fate: Option<Fate>) {
        match fate {
            // Not named yet.
            None => {}
            Some(fate) if fate.reaches_the_server() => up.release(),
            Some(_) => up.discard_after(0),
        }
    }

    /// What becomes of the command that has just been named; its beginning is passed on, or dropped.
    fn decide(&mut self, up: &mut Lane, shared: &Shared) -> Fate {
        let kind = Kind::of(&self.commands);
        if self.ends && self.batch == Some(Fate::RequestLost) {
            up.discard_after(0);
            return Fate::RequestLost;
        }
        if kind == Kind::Stream {
            self.is_stream = true;
            up.release();
            return Fate::Pass;
        }
        let is_request = !matches!(kind, Kind::SetUp | Kind::Topology);
        let mut fate = if kind == Kind::Topology { Fate::Own(Own::Topology) } else { Fate::Pass };
        if is_request {
            shared.count_command();
            if !self.is_more {
                shared.count_request();
                if !self.in_multi {
                    self.batch = None;
                }
            }
            if self.batch.is_none() {
                let met = shared.order(kind.is_write(), |deed| self.fits(deed, kind));
                self.batch = met.map(|deed| self.fate_of(deed, shared)).filter(|fate| *fate != Fate::Pass);
            }
            fate = self.batch.unwrap_or(Fate::Pass);
            self.ends |= fate.ends_the_connection();
        }
        let of_one_command = matches!(fate, Fate::Own(Own::Page(_) | Own::PageAgain(_) | Own::Implausible));
        if of_one_command {
            self.batch = None;
        }
        match fate {
            Fate::Own(Own::PageAgain(_)) => {
                let words = self.commands.words();
                up.replace(format!("*{words}\r\n$4\r\nSCAN\r\n$1\r\n0\r\n").as_bytes());
            }
            _ => Self::pass_on(up, Some(fate)),
        }
        // Between the two a failure is said once, by what ends them.
        let was_in_multi = self.in_multi;
        match kind {
            Kind::Multi => self.in_multi = true,
            Kind::Exec => self.in_multi = false,
            _ => {}
        }
        let said_later = (was_in_multi || kind == Kind::Multi) && kind != Kind::Exec;
        let of_answer = if said_later && matches!(fate, Fate::Garbled | Fate::Failed) { Fate::Pass } else { fate };
        if fate != Fate::RequestLost {
            self.due.push_back(Due { fate: of_answer, is_request });
            self.requests_due += usize::from(is_request);
        }
        fate
    }

    fn fits(&self, deed: &Deed, kind: Kind) -> bool {
        match deed {
            Deed::Answer(_) => true,
            Deed::Fault(Fault::PageEmpty | Fault::PageStandsStill | Fault::PageInCircles) => {
                kind == Kind::Scan && !self.in_multi
            }
            Deed::Fault(Fault::BulkAnswerImplausible) => {
                let is_bulk = match self.commands.name() {
                    b"MSET" => true,
                    b"DEL" | b"UNLINK" => self.is_more || self.commands.words() > 2,
                    b"SET" => self.is_more,
                    // What a script or another command answers may be any number.
                    _ => false,
                };
                is_bulk && !self.in_multi
            }
            Deed::Fault(_) => true,
        }
    }

    fn fate_of(&mut self, deed: Deed, shared: &Shared) -> Fate {
        match deed {
            Deed::Answer(answer) => {
                self.answer = answer;
                Fate::Answered
            }
            Deed::Fault(Fault::Unavailable) => {
                self.answer = Arc::from(LOADING);
                Fate::Answered
            }
            Deed::Fault(Fault::BulkAnswerImplausible) => Fate::Own(Own::Implausible),
            Deed::Fault(Fault::PageEmpty) => Fate::Own(Own::Page(shared.fresh_cursor())),
            Deed::Fault(Fault::PageInCircles) => Fate::Own(Own::PageAgain(shared.fresh_cursor())),
            Deed::Fault(Fault::PageStandsStill) => {
                let asked = std::str::from_utf8(self.commands.first()).ok().and_then(|cursor| cursor.parse().ok());
                Fate::Own(Own::Page(asked.filter(|cursor| *cursor > 0).unwrap_or(STANDING_CURSOR)))
            }
            Deed::Fault(fault) => Fate::of(fault),
        }
    }

    /// Puts in the place of an answer what its command was to meet.
    fn end_answer(&mut self, down: &mut Lane, fate: Fate) {
        match fate {
            Fate::Pass | Fate::Own(Own::Topology) | Fate::Answered | Fate::RequestLost | Fate::AnswerLost => {}
            // An error, which has no cursor.
            Fate::Own(Own::PageAgain(_)) => down.release(),
            // The first answer of several is what breaks off.
            Fate::AnswerTruncated => {
                let half = down.held().len() / 2;
                down.discard_after(half);
                for due in &mut self.due {
                    due.fate = Fate::AnswerLost;
                }
                self.batch = Some(Fate::AnswerLost);
            }
            Fate::Garbled => down.replace(GARBLED),
            Fate::Failed => down.replace(FAILED),
            Fate::Own(Own::Implausible) => down.replace(b":-1\r\n"),
            Fate::Own(Own::Page(cursor)) => down.replace(&page(cursor, b"*0\r\n")),
        }
    }

    /// Once the old cursor has come, the new one is passed on, and the keys after it are as they are.
    fn change_cursor(&mut self, down: &mut Lane, cursor: u64) {
        if let Some(page) = keys_of_page(down.held()).map(|keys| page(cursor, keys)) {
            down.replace(&page);
            if let Some(due) = self.due.front_mut() {
                due.fate = Fate::Pass;
            }
        }
    }

    fn is_front(&self, fate: Fate) -> bool {
        self.due.front().is_some_and(|due| due.fate == fate)
    }

    fn answered(&mut self) {
        if let Some(due) = self.due.pop_front() {
            self.requests_due -= usize::from(due.is_request);
        }
    }
}

impl Dialect for Resp {
    fn take_requests(&mut self, up: &mut Lane, shared: &Shared) -> Result<(), Malformed> {
        while !up.unseen().is_empty() || self.current.is_some() {
            if self.is_stream {
                up.advance(up.unseen().len());
                up.release();
                return Ok(());
            }
            if self.due.len() >= DUE_MAX {
                return Ok(());
            }
            if self.commands.at_border() {
                self.is_more = self.requests_due > 0;
            }
            let (count, event) = self.commands.scan(up.unseen())?;
            up.advance(count);
            match event {
                Some(InRequest::Named) => {
                    let fate = self.decide(up, shared);
                    self.current = Some(fate);
                }
                Some(InRequest::End) => {
                    let fate = self.current.take();
                    Self::pass_on(up, fate);
                }
                None => {
                    Self::pass_on(up, self.current);
                    if up.held().len() > HELD_MAX {
                        return Err(Malformed("a command without a name"));
                    }
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn take_answers(&mut self, down: &mut Lane, shared: &Shared) -> Result<(), Malformed> {
        loop {
            while down.held().is_empty() && down.has_room() && self.is_front(Fate::Answered) {
                down.replace(&self.answer);
                self.answered();
            }
            if down.unseen().is_empty() {
                return Ok(());
            }
            if self.is_stream && self.due.is_empty() {
                down.advance(down.unseen().len());
                down.release();
                return Ok(());
            }
            let (count, has_ended) = self.answers.scan(down.unseen())?;
            down.advance(count);
            let fate = match self.due.front() {
                Some(due) if !self.answers.is_push() => due.fate,
                _ => Fate::Pass,
            };
            let ports = shared.ports();
            match fate {
                // An error can lead a client past the links. Of its line there is no more than a name of a host.
                Fate::Pass if ports.is_some() && down.held().starts_with(b"-") && down.held().len() < HELD_MAX => {
                    if has_ended && let Some(line) = ports.and_then(|ports| redirected(down.held(), ports)) {
                        down.replace(&line);
                    }
                    if has_ended {
                        down.release();
                    }
                }
                Fate::Own(Own::Topology) if ports.is_some() => {
                    if down.held().len() > TOPOLOGY_MAX {
                        return Err(Malformed("an answer about more nodes than are kept"));
                    }
                    if has_ended && let Some(ports) = ports {
                        let answer = announced(down.held(), ports);
                        down.replace(&answer);
                    }
                }
                Fate::Pass | Fate::Own(Own::Topology) | Fate::Answered | Fate::RequestLost => down.release(),
                // Cut once all of it is there.
                Fate::AnswerTruncated => down.hold_at_most(HELD_MAX),
                Fate::Own(Own::PageAgain(cursor)) => self.change_cursor(down, cursor),
                Fate::AnswerLost
                | Fate::Garbled
                | Fate::Failed
                | Fate::Own(Own::Page(_))
                | Fate::Own(Own::Implausible) => {
                    down.discard_after(0);
                }
            }
            if has_ended {
                self.end_answer(down, fate);
                if !self.answers.is_push() {
                    self.answered();
                }
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.due.is_empty() && self.commands.at_border()
    }

    fn has_to_end(&self) -> bool {
        self.ends && self.due.is_empty() && (self.batch == Some(Fate::RequestLost) || self.commands.at_border())
    }
}

/// A page of SCAN.
fn page(cursor: u64, keys: &[u8]) -> Vec<u8> {
    let cursor = cursor.to_string();
    let mut page = format!("*2\r\n${}\r\n{cursor}\r\n", cursor.len()).into_bytes();
    page.extend_from_slice(keys);
    page
}

/// The array of keys in a page of SCAN: what comes after its first bulk, once that is there.
fn keys_of_page(page: &[u8]) -> Option<&[u8]> {
    page.strip_prefix(b"*2\r\n$")?.splitn(3, |byte| *byte == b'\n').nth(2)
}
