//! HTTP/1.1: where heads and bodies begin and end.

use httparse::{EMPTY_HEADER, Header, Status};

use super::Malformed;

/// How many headers a head may have.
const HEADERS_MAX: usize = 128;

/// How many bytes of a chunked body may come that are none of its data: sizes, extensions and trailers in a row.
const FRAMING_MAX: u32 = 16 * 1024;

/// Looks for the end of a head. Empty lines before it belong to it.
#[derive(Debug, Default)]
pub(crate) struct HeadEnd {
    line: usize,
    has_begun: bool,
}

impl HeadEnd {
    /// How many of these bytes belong to the head, and whether it ends with them.
    pub(crate) fn scan(&mut self, bytes: &[u8]) -> (usize, bool) {
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                b'\n' if self.line == 0 && self.has_begun => {
                    *self = Self::default();
                    return (at + 1, true);
                }
                b'\n' => self.line = 0,
                b'\r' => {}
                _ => {
                    self.line += 1;
                    self.has_begun = true;
                }
            }
        }
        (bytes.len(), false)
    }

    pub(crate) const fn at_border(&self) -> bool {
        !self.has_begun
    }
}

/// What the head of a request says.
#[derive(Debug)]
pub(crate) struct RequestHead {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) body: Body,
    /// The client waits for 100 before it sends the body.
    pub(crate) expects: bool,
    pub(crate) is_upgrade: bool,
    /// The connection is to end after the answer.
    pub(crate) closes: bool,
}

impl RequestHead {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut headers = [EMPTY_HEADER; HEADERS_MAX];
        let request = request(bytes, &mut headers)?;
        let method = request.method.unwrap_or_default();
        let framing = Framing::of(request.headers)?;
        let body = match framing {
            Framing::Chunked => Body::Chunked(Chunked::new()),
            Framing::Length(length) => Body::Length(length),
            Framing::None => Body::None,
            Framing::Unknown => return Err(Malformed("a request in a coding that has no end")),
        };
        let expects = headers_named(request.headers, "expect").any(|value| value.eq_ignore_ascii_case(b"100-continue"));
        Ok(Self {
            method: method.to_owned(),
            path: request.path.unwrap_or_default().to_owned(),
            body,
            expects,
            is_upgrade: headers_named(request.headers, "upgrade").next().is_some(),
            closes: closes(request.version, request.headers),
        })
    }
}

/// The head of a request with this host in it.
pub(crate) fn with_host(bytes: &[u8], host: &str) -> Result<Vec<u8>, Malformed> {
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let request = request(bytes, &mut headers)?;
    let (method, path) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
    let version = request.version.unwrap_or_default();
    let mut head = format!("{method} {path} HTTP/1.{version}\r\nHost: {host}\r\n").into_bytes();
    for header in request.headers.iter().filter(|header| !header.name.eq_ignore_ascii_case("host")) {
        head.extend_from_slice(header.name.as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(header.value);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    Ok(head)
}

fn request<'h, 'b>(bytes: &'b [u8], headers: &'h mut [Header<'b>]) -> Result<httparse::Request<'h, 'b>, Malformed> {
    let mut request = httparse::Request::new(headers);
    match request.parse(bytes) {
        Ok(Status::Complete(_)) => Ok(request),
        _ => Err(Malformed("no request of HTTP/1.1")),
    }
}

/// What the head of an answer says.
#[derive(Debug)]
pub(crate) struct AnswerHead {
    pub(crate) status: u16,
    pub(crate) body: Body,
    pub(crate) is_json: bool,
    pub(crate) has_type: bool,
    /// The connection ends after it.
    pub(crate) closes: bool,
}

impl AnswerHead {
    /// `to_head`: the answer to a `HEAD`, which has no body whatever it says.
    pub(crate) fn parse(bytes: &[u8], to_head: bool) -> Result<Self, Malformed> {
        let mut headers = [EMPTY_HEADER; HEADERS_MAX];
        let mut answer = httparse::Response::new(&mut headers);
        let status = match answer.parse(bytes) {
            Ok(Status::Complete(_)) => answer.code.unwrap_or_default(),
            _ => return Err(Malformed("no answer of HTTP/1.1")),
        };
        let body = if to_head || matches!(status, 100..=199 | 204 | 304) {
            Body::None
        } else {
            match Framing::of(answer.headers)? {
                Framing::Chunked => Body::Chunked(Chunked::new()),
                Framing::Length(0) => Body::None,
                Framing::Length(length) => Body::Length(length),
                Framing::None | Framing::Unknown => Body::UntilTheEnd,
            }
        };
        let mut types = headers_named(answer.headers, "content-type");
        let content_type = types.next().map(|value| String::from_utf8_lossy(value).to_ascii_lowercase());
        let essence = content_type.as_deref().and_then(|value| value.split(';').next()).unwrap_or_default().trim();
        Ok(Self {
            status,
            closes: closes(answer.version, answer.headers) || matches!(body, Body::UntilTheEnd),
            body,
            is_json: essence == "application/json" || essence.ends_with("+json"),
            has_type: content_type.is_some(),
        })
    }
}

fn headers_named<'a>(headers: &'a [Header<'a>], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value.trim_ascii())
}

/// Whether the one whose head has these headers ends the connection after this exchange.
fn closes(version: Option<u8>, headers: &[Header<'_>]) -> bool {
    let mut options = headers_named(headers, "connection").flat_map(|value| value.split(|byte| *byte == b','));
    let mut has = |name: &[u8]| options.any(|option| option.trim_ascii().eq_ignore_ascii_case(name));
    if version == Some(0) { !has(b"keep-alive") } else { has(b"close") }
}

/// How the end of a body is known.
enum Framing {
    Chunked,
    Length(u64),
    None,
    /// It is coded, and not in chunks.
    Unknown,
}

impl Framing {
    fn of(headers: &[Header<'_>]) -> Result<Self, Malformed> {
        let last = headers_named(headers, "transfer-encoding").last();
        let coding = last.map(|value| value.rsplit(|byte| *byte == b',').next().unwrap_or_default().trim_ascii());
        let mut lengths = headers_named(headers, "content-length").map(|value| {
            let digits = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            digits.and_then(|text| text.parse::<u64>().ok())
        });
        let first = lengths.next();
        if first.is_some_and(|first| first.is_none() || lengths.any(|other| other != first)) {
            return Err(Malformed("a length that is none"));
        }
        Ok(match (coding, first.flatten()) {
            (Some(_), Some(_)) => return Err(Malformed("a body with two ends")),
            (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Self::Chunked,
            (Some(_), None) => Self::Unknown,
            (None, Some(length)) => Self::Length(length),
            (None, None) => Self::None,
        })
    }
}

/// What is still to come of a body.
#[derive(Debug)]
pub(crate) enum Body {
    None,
    Length(u64),
    Chunked(Chunked),
    /// Until the connection ends.
    UntilTheEnd,
}

/// A piece of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) count: usize,
    pub(crate) is_data: bool,
    pub(crate) has_ended: bool,
}

impl Body {
    pub(crate) fn scan(&mut self, bytes: &[u8]) -> Result<Piece, Malformed> {
        match self {
            Self::None => Ok(Piece { count: 0, is_data: false, has_ended: true }),
            Self::Length(left) => {
                let count = at_most(bytes.len(), *left);
                *left -= count as u64;
                Ok(Piece { count, is_data: true, has_ended: *left == 0 })
            }
            Self::Chunked(chunked) => chunked.scan(bytes),
            Self::UntilTheEnd => Ok(Piece { count: bytes.len(), is_data: true, has_ended: false }),
        }
    }

    /// Whether a client can see that a part of it is missing.
    pub(crate) const fn has_an_end(&self) -> bool {
        matches!(self, Self::Length(_) | Self::Chunked(_))
    }
}

fn at_most(count: usize, left: u64) -> usize {
    usize::try_from(left).map_or(count, |left| left.min(count))
}

/// A body in chunks.
#[derive(Debug)]
pub(crate) struct Chunked {
    state: In,
    framing: u32,
}

#[derive(Clone, Copy, Debug)]
enum In {
    /// Digits, and how many.
    Size(u64, u32),
    /// After the digits, up to the end of the line.
    Extension(u64),
    Data(u64),
    /// After the data, up to the end of the line.
    DataEnd,
    /// How much of the line has come.
    Trailer(u32),
}

impl Chunked {
    const fn new() -> Self {
        Self { state: In::Size(0, 0), framing: 0 }
    }

    fn scan(&mut self, bytes: &[u8]) -> Result<Piece, Malformed> {
        if let In::Data(left) = self.state {
            let count = at_most(bytes.len(), left);
            let left = left - count as u64;
            self.state = if left == 0 { In::DataEnd } else { In::Data(left) };
            self.framing = 0;
            return Ok(Piece { count, is_data: true, has_ended: false });
        }
        for (at, byte) in bytes.iter().enumerate() {
            self.framing += 1;
            if self.framing > FRAMING_MAX {
                return Err(Malformed("chunks without data"));
            }
            let piece = |has_ended| Ok(Piece { count: at + 1, is_data: false, has_ended });
            self.state = match (self.state, byte) {
                (In::Size(size, digits), byte) if byte.is_ascii_hexdigit() && digits < 16 => {
                    let digit = char::from(*byte).to_digit(16).unwrap_or_default();
                    In::Size(size * 16 + u64::from(digit), digits + 1)
                }
                (In::Size(size, 1..) | In::Extension(size), b'\n') => {
                    if size == 0 {
                        In::Trailer(0)
                    } else {
                        self.state = In::Data(size);
                        return piece(false);
                    }
                }
                (In::Size(size, 1..), b'\r' | b';' | b' ' | b'\t') | (In::Extension(size), _) => In::Extension(size),
                (In::DataEnd, b'\r') => In::DataEnd,
                (In::DataEnd, b'\n') => In::Size(0, 0),
                (In::Trailer(0), b'\n') => return piece(true),
                (In::Trailer(_), b'\n') => In::Trailer(0),
                (In::Trailer(count), b'\r') => In::Trailer(count),
                (In::Trailer(count), _) => In::Trailer(count + 1),
                _ => return Err(Malformed("no chunk")),
            };
        }
        Ok(Piece { count: bytes.len(), is_data: false, has_ended: false })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The data of a body in chunks, and how many bytes it took, read in pieces of this size.
    fn read(bytes: &[u8], size: usize) -> Result<Option<(Vec<u8>, usize)>, Malformed> {
        let (mut body, mut data, mut at) = (Body::Chunked(Chunked::new()), Vec::new(), 0);
        while at < bytes.len() {
            let end = (at + size).min(bytes.len());
            let piece = body.scan(&bytes[at..end])?;
            if piece.is_data {
                data.extend_from_slice(&bytes[at..at + piece.count]);
            }
            at += piece.count;
            if piece.has_ended {
                return Ok(Some((data, at)));
            }
        }
        Ok(None)
    }

    #[test]
    fn chunks_end_where_they_end() {
        for (text, data) in [
            ("0\r\n\r\n", ""),
            ("3\r\nabc\r\n0\r\n\r\n", "abc"),
            ("3;a=b\r\nabc\r\n0a \r\n0123456789\r\n000\r\nA: b\r\nC: d\r\n\r\n", "abc0123456789"),
            ("1\na\n0\n\n", "a"),
        ] {
            for size in 1..9 {
                let found = read(format!("{text}GET").as_bytes(), size).unwrap();
                assert_eq!(found, Some((data.as_bytes().to_vec(), text.len())), "{text:?} {size}");
            }
        }
        for text in ["\r\n", "x\r\n", "3\r\nabcd", "3\r\nabc0\r\n", "12345678123456781\r\n", ";\r\n", "-1\r\n"] {
            assert!(read(text.as_bytes(), 9).is_err(), "{text:?}");
        }
        assert!(read(&[b"1;".as_slice(), &vec![b'x'; 20_000]].concat(), 9).is_err());
    }

    #[test]
    fn a_head_ends_at_its_empty_line() {
        for (text, length) in [
            ("GET / HTTP/1.1\r\n\r\nrest", 18),
            ("\r\n\r\nGET / HTTP/1.1\r\nA: b\r\n\r\n", 28),
            ("GET / HTTP/1.1\nA: b\n\nGET", 21),
        ] {
            let mut end = HeadEnd::default();
            assert_eq!(end.scan(text.as_bytes()), (length, true), "{text:?}");
            assert!(end.at_border());
        }
        assert_eq!(HeadEnd::default().scan(b"GET / HTTP/1.1\r\n"), (16, false));
    }

    fn request(headers: &str) -> Result<RequestHead, Malformed> {
        RequestHead::parse(format!("POST /a?b=c HTTP/1.1\r\n{headers}\r\n").as_bytes())
    }

    #[test]
    fn a_request_says_how_it_ends() {
        let head = request("Content-Length: 12\r\nExpect: 100-Continue\r\n").unwrap();
        assert_eq!((&*head.method, &*head.path, head.expects, head.is_upgrade), ("POST", "/a?b=c", true, false));
        assert!(matches!(head.body, Body::Length(12)));
        assert!(matches!(request("").unwrap().body, Body::None));
        assert!(matches!(request("Transfer-Encoding: gzip, Chunked\r\n").unwrap().body, Body::Chunked(_)));
        assert!(request("Upgrade: websocket\r\n").unwrap().is_upgrade);
        for headers in [
            "Content-Length: 1\r\nContent-Length: 2\r\n",
            "Content-Length: +1\r\n",
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: gzip\r\n",
        ] {
            assert!(request(headers).is_err(), "{headers:?}");
        }
    }

    #[test]
    fn an_answer_says_how_it_ends() {
        let answer = |text: &str, to_head| AnswerHead::parse(format!("HTTP/1.1 {text}\r\n\r\n").as_bytes(), to_head);
        let typed =
            answer("200 OK\r\nContent-Type: application/problem+JSON; a=b\r\nContent-Length: 2", false).unwrap();
        assert!(typed.is_json && typed.has_type && matches!(typed.body, Body::Length(2)));
        assert!(matches!(answer("200 OK\r\nContent-Length: 2", true).unwrap().body, Body::None));
        assert!(matches!(answer("304 x\r\nContent-Length: 2", false).unwrap().body, Body::None));
        assert!(matches!(answer("204 x", false).unwrap().body, Body::None));
        assert!(matches!(answer("200 x", false).unwrap().body, Body::UntilTheEnd));
        assert!(matches!(answer("200 x\r\nTransfer-Encoding: chunked", false).unwrap().body, Body::Chunked(_)));
        assert!(answer("x", false).is_err());
    }

    #[test]
    fn another_host_is_put_in_a_head() {
        let head = with_host(b"GET /a HTTP/1.1\r\nA: b\r\nhost: 127.0.0.1:7\r\n\r\n", "api.example.com").unwrap();
        assert_eq!(head, b"GET /a HTTP/1.1\r\nHost: api.example.com\r\nA: b\r\n\r\n");
    }

    proptest! {
        #[test]
        fn any_pieces_have_the_same_end(
            chunks in prop::collection::vec("[ -~]{1,40}", 0..5),
            size in 1..60_usize,
        ) {
            let framed: String = chunks.iter().map(|chunk| format!("{:X}\r\n{chunk}\r\n", chunk.len())).collect();
            let framed = format!("{framed}0\r\n\r\n");
            let expected = Some((chunks.concat().into_bytes(), framed.len()));
            prop_assert_eq!(read(framed.as_bytes(), size).unwrap(), expected);
        }

        #[test]
        fn no_bytes_are_too_much(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes, 7);
            let _ = RequestHead::parse(&bytes);
            let _ = AnswerHead::parse(&bytes, false);
        }
    }
}
