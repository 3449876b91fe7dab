//! A connection that speaks WebSocket: what becomes of each message.

use std::sync::Arc;

use crate::count::Shared;
use crate::dialect::Dialect;
use crate::fate::Fate;
use crate::http::Http;
use crate::lane::{LANE_BYTES, Lane};
use crate::orders::Deed;
use crate::protocol::Malformed;
use crate::protocol::websocket::{Frame, Frames, Piece, text};
use crate::target::{REQUEST_BODY_MAX, Request, Target};

/// How much of a message is kept until it is known what becomes of it.
const HELD_MAX: usize = LANE_BYTES / 2;

/// A text that is neither JSON nor a word.
const GARBLED: &str = "?";

/// What a connection that speaks WebSocket is in the middle of.
#[derive(Debug)]
pub(crate) struct WebSocket {
    target: Arc<Target>,
    /// Until the WebSocket is open.
    opening: Http,
    client: Frames,
    server: Frames,
    /// The client's frame and the server's, once their heads have come.
    asking: Option<Frame>,
    answering: Option<Frame>,
    /// What becomes of the client's message; `None` while too little of it has come.
    fate: Option<Fate>,
    begun: Vec<u8>,
    /// What becomes of the server's next message, after one of the client that ends the connection.
    last: Option<Fate>,
    /// What becomes of the server's message that is coming.
    passing: Fate,
    /// How many of the server's next messages are garbled.
    to_garble: u32,
    /// How many messages the link answers itself.
    to_answer: u32,
    answer: Arc<[u8]>,
    /// Whether the client was the last to send a message.
    waits: bool,
    has_to_end: bool,
}

impl WebSocket {
    pub(crate) fn new(target: Arc<Target>) -> Self {
        Self {
            opening: Http::set_up(Arc::clone(&target)),
            target,
            client: Frames::of_client(),
            server: Frames::of_server(),
            asking: None,
            answering: None,
            fate: None,
            begun: Vec::new(),
            last: None,
            passing: Fate::Pass,
            to_garble: 0,
            to_answer: 0,
            answer: Arc::from([]),
            waits: false,
            has_to_end: false,
        }
    }

    /// What becomes of the client's message, by what has come of it.
    fn decide(&mut self, shared: &Shared) {
        if self.fate.is_some() {
            return;
        }
        shared.count_request();
        shared.count_command();
        let body = std::mem::take(&mut self.begun);
        let is_write = self.target.is_write(&Request { method: "", path: "", body: &body });
        let fate = match shared.order(is_write, |_| true) {
            Some(Deed::Answer(text)) => {
                self.answer = text;
                Fate::Answered
            }
            Some(Deed::Fault(fault)) => Fate::of(fault),
            None => Fate::Pass,
        };
        self.fate = Some(fate);
        self.waits = true;
        self.has_to_end |= fate == Fate::RequestLost;
    }

    fn pass_on(&self, up: &mut Lane) {
        match self.fate {
            None => {}
            Some(fate) if fate.reaches_the_server() => up.release(),
            Some(_) => up.discard_after(0),
        }
    }

    /// A frame of the client has ended.
    fn end_frame(&mut self, frame: Frame, up: &mut Lane, shared: &Shared) {
        self.asking = None;
        if frame.is_control {
            up.release();
            return;
        }
        // Of a message in several frames the first one decides.
        self.decide(shared);
        self.pass_on(up);
        if !frame.ends {
            return;
        }
        match self.fate.take() {
            Some(fate @ (Fate::AnswerLost | Fate::AnswerTruncated)) => self.last = Some(fate),
            Some(Fate::Garbled) => self.to_garble = self.to_garble.saturating_add(1),
            Some(Fate::Answered) => self.to_answer = self.to_answer.saturating_add(1),
            Some(Fate::Pass | Fate::RequestLost | Fate::Failed) | None => {}
        }
    }

    /// What becomes of a message of the server that begins.
    fn begin_answer(&mut self) {
        self.passing = match self.last {
            Some(fate) => fate,
            None if self.to_garble > 0 => Fate::Garbled,
            None => Fate::Pass,
        };
    }

    /// A frame of the server has ended.
    fn end_answer(&mut self, frame: Frame, down: &mut Lane) {
        self.answering = None;
        if frame.is_control {
            down.release();
            return;
        }
        let passing = self.passing;
        match passing {
            // The first frame of several is what breaks off.
            Fate::AnswerTruncated => {
                let half = down.held().len() / 2;
                down.discard_after(half);
                self.has_to_end = true;
            }
            Fate::AnswerLost => {
                down.discard_after(0);
                self.has_to_end |= frame.ends;
            }
            Fate::Garbled if frame.ends => {
                down.replace(&text(GARBLED));
                self.to_garble -= 1;
            }
            Fate::Garbled => down.discard_after(0),
            Fate::Pass | Fate::Answered | Fate::RequestLost | Fate::Failed => down.release(),
        }
        if frame.ends {
            self.waits = false;
        }
    }
}

impl Dialect for WebSocket {
    fn take_requests(&mut self, up: &mut Lane, shared: &Shared) -> Result<(), Malformed> {
        if !self.opening.is_tunnel() {
            return self.opening.take_requests(up, shared);
        }
        loop {
            // What comes after a message that ends the connection reaches nobody.
            if self.has_to_end || self.last.is_some() {
                up.advance(up.unseen().len());
                up.discard_after(0);
                return Ok(());
            }
            let unseen = up.unseen();
            let (count, piece) = self.client.scan(unseen)?;
            if let (Piece::Payload, Some(Frame { is_control: false, .. }), None) = (piece, self.asking, self.fate) {
                self.client.read(&unseen[..count], &mut self.begun, REQUEST_BODY_MAX);
            }
            up.advance(count);
            match (piece, self.asking) {
                (Piece::Nothing, _) => return Ok(()),
                (Piece::Head(frame), _) => self.asking = Some(frame),
                (Piece::Payload, Some(Frame { is_control: false, .. })) => {
                    let is_enough = !self.target.has_writes() || self.begun.len() >= REQUEST_BODY_MAX;
                    if is_enough || up.held().len() > HELD_MAX {
                        self.decide(shared);
                    }
                    self.pass_on(up);
                }
                (Piece::Payload, _) => {}
                (Piece::End, Some(frame)) => self.end_frame(frame, up, shared),
                (Piece::End, None) => {}
            }
        }
    }

    fn take_answers(&mut self, down: &mut Lane, shared: &Shared) -> Result<(), Malformed> {
        if !self.opening.is_tunnel() {
            self.opening.take_answers(down, shared)?;
            if !self.opening.is_tunnel() {
                return Ok(());
            }
        }
        loop {
            if self.to_answer > 0 && self.server.at_border() && down.held().is_empty() && down.has_room() {
                down.replace(&self.answer);
                self.to_answer -= 1;
                self.waits = false;
                continue;
            }
            if self.has_to_end {
                down.advance(down.unseen().len());
                down.discard_after(0);
                return Ok(());
            }
            let (count, piece) = self.server.scan(down.unseen())?;
            down.advance(count);
            let passing = self.passing;
            match (piece, self.answering) {
                (Piece::Nothing, _) => return Ok(()),
                (Piece::Head(frame), _) => {
                    self.answering = Some(frame);
                    if frame.begins {
                        self.begin_answer();
                    }
                }
                (Piece::Payload, Some(Frame { is_control: false, .. })) => match passing {
                    // Cut once all of it is there.
                    Fate::AnswerTruncated => down.hold_at_most(HELD_MAX),
                    Fate::AnswerLost | Fate::Garbled => down.discard_after(0),
                    Fate::Pass | Fate::Answered | Fate::RequestLost | Fate::Failed => down.release(),
                },
                (Piece::Payload, _) => {}
                (Piece::End, Some(frame)) => self.end_answer(frame, down),
                (Piece::End, None) => {}
            }
        }
    }

    fn is_idle(&self) -> bool {
        if !self.opening.is_tunnel() {
            return self.opening.is_idle();
        }
        !self.waits && self.client.at_border() && self.server.at_border()
    }

    fn has_to_end(&self) -> bool {
        self.has_to_end || self.opening.has_to_end()
    }

    fn spares_the_server(&self) -> bool {
        true
    }
}
