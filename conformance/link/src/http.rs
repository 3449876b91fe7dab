//! A connection that speaks HTTP/1.1: what becomes of each request and of each answer.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use kv_conformance::Fault;

use crate::count::Shared;
use crate::dialect::Dialect;
use crate::fate::Fate;
use crate::lane::{LANE_BYTES, Lane};
use crate::orders::Deed;
use crate::protocol::Malformed;
use crate::protocol::http::{AnswerHead, Body, HeadEnd, RequestHead, with_host};
use crate::target::{REQUEST_BODY_MAX, Request, Target};

/// How many requests may wait for their answers; the client's next ones wait until then.
const DUE_MAX: usize = 1_024;

/// How long a head may be.
const HEAD_MAX: usize = LANE_BYTES / 4;

/// How much of a request or an answer is kept until it is known what becomes of it.
const HELD_MAX: usize = LANE_BYTES / 2;

/// Neither JSON nor text.
const GARBLED: &[u8] = b"{\"?\":\"\xff";

/// No word on what was carried out.
const FAILED: &[u8] = b"Internal Server Error\n";

const THROTTLED: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 0\r\nContent-Type: text/plain\r\n\
    Content-Length: 18\r\n\r\nToo Many Requests\n";

/// A request whose answer has not been passed on.
#[derive(Debug)]
struct Due {
    fate: Fate,
    /// What the link answers, where it does.
    text: Arc<[u8]>,
    is_write: bool,
    /// It can meet a fault that depends on what is answered.
    may_meet: bool,
    is_head: bool,
    is_upgrade: bool,
    expects: bool,
    /// Nothing follows its answer.
    closes: bool,
    /// All of the request has come.
    has_come: bool,
}

/// What comes next from the client.
#[derive(Debug)]
enum Coming {
    Head(HeadEnd),
    /// What becomes of the request is not known before more of its body has come.
    Undecided(RequestHead, Vec<u8>),
    Body(Body),
}

/// What comes next from the server.
#[derive(Debug)]
enum Answer {
    Head(HeadEnd),
    /// With the length of its head.
    Body(Body, usize),
}

#[derive(Debug)]
pub(crate) struct Http {
    target: Arc<Target>,
    /// Requests are set-up, such as the opening of a WebSocket: not counted, and without faults.
    is_set_up: bool,
    coming: Coming,
    /// What becomes of the request that is coming.
    fate: Fate,
    answer: Answer,
    due: VecDeque<Due>,
    /// What the link answers to the request that met such an order last.
    text: Arc<[u8]>,
    /// Both sides have left HTTP.
    is_tunnel: bool,
    /// Ends once what is due has been answered.
    ends: bool,
    /// The rest of the request that ends the connection is not waited for: it has been answered, or the client waits
    /// for a word before it sends it.
    ends_now: bool,
}

impl Http {
    pub(crate) fn new(target: Arc<Target>) -> Self {
        Self {
            target,
            is_set_up: false,
            coming: Coming::Head(HeadEnd::default()),
            fate: Fate::Pass,
            answer: Answer::Head(HeadEnd::default()),
            due: VecDeque::new(),
            text: Arc::from(THROTTLED),
            is_tunnel: false,
            ends: false,
            ends_now: false,
        }
    }

    /// What only opens something else.
    pub(crate) fn set_up(target: Arc<Target>) -> Self {
        Self { is_set_up: true, ..Self::new(target) }
    }

    pub(crate) const fn is_tunnel(&self) -> bool {
        self.is_tunnel
    }

    fn at_border(&self) -> bool {
        matches!(&self.coming, Coming::Head(end) if end.at_border())
    }

    /// Takes what is there of the client; whether there may be more to take.
    fn take(&mut self, up: &mut Lane, shared: &Shared) -> Result<bool, Malformed> {
        let at_border = self.at_border();
        if self.is_tunnel {
            up.advance(up.unseen().len());
            up.release();
            return Ok(false);
        }
        // What comes after a request that ends the connection reaches nobody.
        if (self.ends && at_border) || self.ends_now {
            up.advance(up.unseen().len());
            up.discard_after(0);
            return Ok(false);
        }
        // What follows an upgrade is not known before it is answered.
        if at_border && (self.due.len() >= DUE_MAX || self.due.back().is_some_and(|due| due.is_upgrade)) {
            return Ok(false);
        }
        match &mut self.coming {
            Coming::Head(end) => {
                if up.unseen().is_empty() {
                    return Ok(false);
                }
                let (count, has_ended) = end.scan(up.unseen());
                up.advance(count);
                if up.held().len() > HEAD_MAX {
                    return Err(Malformed("a head that is too long"));
                }
                if has_ended {
                    self.begin(up, shared)?;
                } else if end.at_border() {
                    // Empty lines before a request mean nothing. Held, they would look like the beginning of one.
                    up.discard_after(0);
                }
            }
            Coming::Undecided(head, prefix) => {
                if up.unseen().is_empty() {
                    return Ok(false);
                }
                let piece = head.body.scan(up.unseen())?;
                if piece.is_data {
                    let room = REQUEST_BODY_MAX.saturating_sub(prefix.len()).min(piece.count);
                    prefix.extend_from_slice(&up.unseen()[..room]);
                }
                let is_enough = piece.has_ended || prefix.len() >= REQUEST_BODY_MAX;
                up.advance(piece.count);
                if is_enough || up.held().len() > HELD_MAX {
                    let Coming::Undecided(head, prefix) =
                        std::mem::replace(&mut self.coming, Coming::Head(HeadEnd::default()))
                    else {
                        return Ok(false);
                    };
                    self.decide(head, &prefix, shared);
                    self.pass_on(up);
                    if piece.has_ended {
                        self.end_request();
                    }
                }
            }
            Coming::Body(body) => {
                let piece = body.scan(up.unseen())?;
                up.advance(piece.count);
                self.pass_on(up);
                if piece.has_ended {
                    self.end_request();
                } else if piece.count == 0 {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// A head has come as a whole.
    fn begin(&mut self, up: &mut Lane, shared: &Shared) -> Result<(), Malformed> {
        let head = RequestHead::parse(up.held())?;
        if let Some(host) = self.target.host() {
            up.put(&with_host(up.held(), host)?);
        }
        // A client that waits for a word sends no body before it is passed on.
        let has_body = !matches!(head.body, Body::None | Body::Length(0)) && !head.expects;
        if has_body && self.target.has_writes() && !self.is_set_up {
            self.coming = Coming::Undecided(head, Vec::new());
        } else {
            self.decide(head, &[], shared);
            self.pass_on(up);
        }
        Ok(())
    }

    /// What becomes of the request whose head has come, and so much of its body.
    fn decide(&mut self, head: RequestHead, body: &[u8], shared: &Shared) {
        let RequestHead { method, path, body: rest, expects, is_upgrade, closes } = head;
        let is_write = self.target.is_write(&Request { method: &method, path: &path, body });
        let is_set_up = self.is_set_up || is_upgrade;
        self.fate = Fate::Pass;
        let mut may_meet = false;
        if !is_set_up {
            shared.count_request();
            shared.count_command();
            if let Some(deed) = shared.order(is_write, fits) {
                self.fate = self.fate_of(deed);
            } else {
                may_meet = true;
            }
        }
        // The server gets nothing of what the link answers, so the link does what the client asks of it.
        self.ends |= self.fate.ends_the_connection() || (closes && self.fate == Fate::Answered);
        if expects && !self.fate.reaches_the_server() {
            (self.ends, self.ends_now) = (true, true);
        }
        if self.fate != Fate::RequestLost {
            self.due.push_back(Due {
                fate: self.fate,
                text: Arc::clone(&self.text),
                is_write,
                may_meet,
                is_head: method == "HEAD",
                is_upgrade,
                expects,
                closes: self.ends_now || (closes && self.fate == Fate::Answered),
                has_come: self.ends_now,
            });
        }
        self.coming = Coming::Body(rest);
    }

    fn fate_of(&mut self, deed: Deed) -> Fate {
        match deed {
            Deed::Answer(text) => {
                self.text = text;
                Fate::Answered
            }
            Deed::Fault(Fault::Throttled) => {
                self.text = Arc::from(THROTTLED);
                Fate::Answered
            }
            Deed::Fault(fault) => Fate::of(fault),
        }
    }

    fn pass_on(&self, up: &mut Lane) {
        if self.fate.reaches_the_server() { up.release() } else { up.discard_after(0) }
    }

    fn end_request(&mut self) {
        self.coming = Coming::Head(HeadEnd::default());
        if self.fate != Fate::RequestLost
            && let Some(due) = self.due.back_mut()
        {
            due.has_come = true;
        }
    }

    /// The fate of what the server answers now.
    fn front(&self) -> Fate {
        self.due.front().map_or(Fate::Pass, |due| due.fate)
    }

    /// The head of an answer has come as a whole.
    fn begin_answer(&mut self, down: &mut Lane, shared: &Shared) -> Result<(), Malformed> {
        let is_head = self.due.front().is_some_and(|due| due.is_head);
        let head = AnswerHead::parse(down.held(), is_head)?;
        let is_upgrade = self.due.front().is_some_and(|due| due.is_upgrade);
        if is_upgrade && head.status == 101 {
            self.is_tunnel = true;
            self.due.pop_front();
            down.release();
            return Ok(());
        }
        if matches!(head.status, 100..=199) {
            let is_awaited = self.due.front().is_none_or(|due| due.fate == Fate::Pass || due.expects);
            if is_awaited {
                down.release()
            } else {
                down.discard_after(0)
            }
            return Ok(());
        }
        if let Some(due) = self.due.front_mut() {
            due.closes |= head.closes;
            let can_be_garbled = !due.is_head && (head.is_json || (!head.has_type && !has_body(&head.body)));
            let garbled = |deed: &Deed| matches!(deed, Deed::Fault(Fault::AnswerGarbled));
            if due.may_meet && can_be_garbled && shared.order(due.is_write, garbled).is_some() {
                due.fate = Fate::Garbled;
            }
        }
        let length = down.held().len();
        let has_ended = matches!(head.body, Body::None);
        self.answer = Answer::Body(head.body, length);
        if has_ended {
            self.end_answer(down)
        } else {
            self.pass_on_answer(down)
        }
        Ok(())
    }

    fn pass_on_answer(&self, down: &mut Lane) {
        match self.front() {
            Fate::Pass | Fate::Answered | Fate::RequestLost => down.release(),
            // Cut once all of it is there.
            Fate::AnswerTruncated => down.hold_at_most(HELD_MAX),
            Fate::AnswerLost | Fate::Garbled | Fate::Failed => down.discard_after(0),
        }
    }

    /// The answer has come as a whole.
    fn end_answer(&mut self, down: &mut Lane) {
        let Answer::Body(body, head) = std::mem::replace(&mut self.answer, Answer::Head(HeadEnd::default())) else {
            return;
        };
        let due = self.due.pop_front();
        let (is_head, closes) = due.as_ref().map_or((false, false), |due| (due.is_head, due.closes));
        let fate = due.map_or(Fate::Pass, |due| due.fate);
        self.ends_now |= fate.ends_the_connection();
        match fate {
            Fate::Pass | Fate::Answered | Fate::RequestLost => down.release(),
            Fate::AnswerLost => down.discard_after(0),
            // Half of the body, where a client sees that the rest is missing, else half of the head.
            Fate::AnswerTruncated => {
                let held = down.held().len();
                let kept = if body.has_an_end() && held > head { head + (held - head) / 2 } else { head / 2 };
                down.discard_after(kept);
            }
            Fate::Garbled => down.replace(&last_if(closes, &answer("200 OK", "application/json", GARBLED, is_head))),
            Fate::Failed => {
                let failed = answer("500 Internal Server Error", "text/plain", FAILED, is_head);
                down.replace(&last_if(closes, &failed));
            }
        }
    }
}

impl Dialect for Http {
    fn take_requests(&mut self, up: &mut Lane, shared: &Shared) -> Result<(), Malformed> {
        while self.take(up, shared)? {}
        Ok(())
    }

    fn take_answers(&mut self, down: &mut Lane, shared: &Shared) -> Result<(), Malformed> {
        loop {
            let at_border = matches!(&self.answer, Answer::Head(end) if end.at_border()) && down.held().is_empty();
            if at_border
                && down.has_room()
                && let Some(due) = self.due.pop_front_if(|due| due.fate == Fate::Answered && due.has_come)
            {
                down.replace(&last_if(due.closes, if due.is_head { head_of(&due.text) } else { &due.text }));
                continue;
            }
            // What it opens is not for HTTP to read.
            if down.unseen().is_empty() || (self.is_tunnel && self.is_set_up) {
                return Ok(());
            }
            if self.is_tunnel {
                down.advance(down.unseen().len());
                down.release();
                return Ok(());
            }
            match &mut self.answer {
                Answer::Head(end) => {
                    let (count, has_ended) = end.scan(down.unseen());
                    down.advance(count);
                    if down.held().len() > HEAD_MAX {
                        return Err(Malformed("a head that is too long"));
                    }
                    if has_ended {
                        self.begin_answer(down, shared)?;
                    }
                }
                Answer::Body(body, _) => {
                    let piece = body.scan(down.unseen())?;
                    down.advance(piece.count);
                    self.pass_on_answer(down);
                    if piece.has_ended {
                        self.end_answer(down);
                    }
                }
            }
        }
    }

    fn end_of_answers(&mut self, down: &mut Lane) {
        if matches!(self.answer, Answer::Body(Body::UntilTheEnd, _)) {
            self.end_answer(down);
        }
    }

    fn is_idle(&self) -> bool {
        self.due.is_empty() && self.at_border() && !self.is_tunnel
    }

    fn has_to_end(&self) -> bool {
        self.ends && self.due.is_empty() && (self.at_border() || self.ends_now)
    }
}

fn fits(deed: &Deed) -> bool {
    !matches!(deed, Deed::Fault(Fault::AnswerGarbled))
}

const fn has_body(body: &Body) -> bool {
    !matches!(body, Body::None)
}

/// An answer without its body.
fn head_of(answer: &[u8]) -> &[u8] {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    end.map_or(answer, |end| &answer[..end + 4])
}

/// An answer that says that the connection ends after it, where it does.
fn last_if(closes: bool, answer: &[u8]) -> Cow<'_, [u8]> {
    match answer.windows(2).position(|bytes| bytes == b"\r\n") {
        Some(end) if closes => Cow::Owned([&answer[..end], b"\r\nConnection: close", &answer[end..]].concat()),
        _ => Cow::Borrowed(answer),
    }
}

/// An answer of the link's own.
pub(crate) fn answer(status: &str, content_type: &str, body: &[u8], to_head: bool) -> Vec<u8> {
    let length = body.len();
    let mut answer =
        format!("HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n").into_bytes();
    if !to_head {
        answer.extend_from_slice(body);
    }
    answer
}
