//! One HTTP request and its answer, over a pooled client; and addresses in which no key can change the route.

use std::borrow::Cow;
use std::fmt;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kv_api::{Clock, Error, ErrorKind, Reason, Result, Retry, Timestamp};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::RETRY_AFTER;
use reqwest::multipart::{Form, Part};
use secrecy::{ExposeSecret, SecretString};

pub use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
pub use reqwest::{Method, StatusCode, Url};

/// Everything but letters, digits, `-`, `_`, `.` and `~`: nothing that is left can mean more than itself.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// How long connecting may take. A connection that was not made is known not to have sent anything, so it has a limit of
/// its own below that of the request.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A body shorter than this is copied out of the connection's buffer, which a small value would else keep alive whole.
const COPIED_BELOW: usize = 4096;

/// Text as one segment of a path, or one name or value in a query: percent-encoded.
///
/// ```
/// assert_eq!(kv_remote::http::encoded("a/b?#%\t é").to_string(), "a%2Fb%3F%23%25%09%20%C3%A9");
/// ```
#[must_use]
pub fn encoded(text: &str) -> impl fmt::Display + '_ {
    utf8_percent_encode(text, RESERVED)
}

/// The address of `path_and_query`, already encoded and beginning with a slash, below `base`.
///
/// # Errors
/// `Internal` when the address would not keep the path as it is: `.` and `..` are taken out of a path even when they are
/// percent-encoded, and what is left is the address of something else.
///
/// ```
/// use kv_remote::http::{Url, address};
/// let base = Url::parse("https://host/api")?;
/// assert_eq!(address(&base, "/values/a%2Fb?x=1")?.as_str(), "https://host/api/values/a%2Fb?x=1");
/// assert!(address(&base, "/values/%2E%2E").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn address(base: &Url, path_and_query: &str) -> Result<Url> {
    let changed = || Error::new(ErrorKind::Internal, "the key would change the address of the request");
    let (path, query) = match path_and_query.split_once('?') {
        None => (path_and_query, None),
        Some((path, query)) => (path, Some(query)),
    };
    let mut url = base.clone();
    let whole = format!("{}{path}", base.path().trim_end_matches('/'));
    url.set_path(&whole);
    url.set_query(query);
    if url.path() == whole && url.query() == query { Ok(url) } else { Err(changed()) }
}

/// The address of a system's API as a user gives it, below which [`address`] finds the requests.
///
/// # Errors
/// `InvalidArgument` with [`Reason::UnknownOption`] unless it is `http` or `https` without user information, query and
/// fragment. Nothing of it is shown: it may hold a secret.
///
/// ```
/// use kv_remote::http::base_url;
/// assert_eq!(base_url("http://127.0.0.1:8787/api")?.path(), "/api");
/// for wrong in ["ftp://host", "host:80", "https://user:password@host", "https://host?a=b", "https://host#a"] {
///     assert!(base_url(wrong).is_err());
/// }
/// # Ok::<(), kv_api::Error>(())
/// ```
pub fn base_url(text: &str) -> Result<Url> {
    Url::parse(text)
        .ok()
        .filter(|url| {
            let is_plain = url.username().is_empty() && url.password().is_none();
            matches!(url.scheme(), "http" | "https") && is_plain && url.query().is_none() && url.fragment().is_none()
        })
        .ok_or_else(|| {
            Error::invalid(
                Reason::UnknownOption,
                "base_url must be an http or https URL without user information, query and fragment",
            )
        })
}

/// The body of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Body {
    /// None.
    #[default]
    Empty,
    /// These bytes; the request has their `Content-Type` among its headers.
    Bytes(Bytes),
    /// A form of several parts, which brings its own `Content-Type`.
    Multipart(Vec<FormPart>),
}

/// One part of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormPart {
    /// The name of the field.
    pub name: &'static str,
    /// The name of the file, which keeps a server from taking the bytes for text.
    pub file_name: Option<&'static str>,
    /// The type of the bytes.
    pub content_type: &'static str,
    /// The bytes.
    pub bytes: Bytes,
}

/// A request, made by the pure part of an adapter. It is not printed: address and headers may be secrets, the body a value.
#[derive(Clone, PartialEq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The address.
    pub url: Url,
    /// The headers beside those that the [`Client`] adds to all.
    pub headers: HeaderMap,
    /// The body.
    pub body: Body,
}

impl Request {
    /// A request without body.
    #[must_use]
    pub fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: Body::Empty }
    }

    /// Adds bytes of this type as the body.
    #[must_use]
    pub fn with_bytes(mut self, content_type: &'static str, bytes: impl Into<Bytes>) -> Self {
        self.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        self.body = Body::Bytes(bytes.into());
        self
    }

    /// Adds a form as the body.
    #[must_use]
    pub fn with_form(mut self, parts: Vec<FormPart>) -> Self {
        self.body = Body::Multipart(parts);
        self
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("method", &self.method).finish_non_exhaustive()
    }
}

/// A whole answer. Its body is not printed: it may be a value.
#[derive(Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The wait that the header `Retry-After` asks for, in seconds or until a date; `None` without one that makes sense.
    #[must_use]
    pub fn retry_after(&self, clock: &dyn Clock) -> Option<Duration> {
        let text = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        if let Ok(seconds) = text.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let until = Timestamp::from(httpdate::parse_http_date(text).ok()?);
        Some(until.saturating_since(clock.now()))
    }

    /// An error of the kind and retry class that the status alone tells, with the status as native code and the wait that
    /// the system asked for: for a system whose own codes say no more.
    #[must_use]
    pub fn error(&self, clock: &dyn Clock, message: impl Into<Cow<'static, str>>) -> Error {
        let (kind, retry) = match self.status.as_u16() {
            401 | 403 => (ErrorKind::Unauthorized, Retry::Never),
            402 | 507 => (ErrorKind::Exhausted, Retry::Never),
            404 | 300..=399 => (ErrorKind::Misconfigured, Retry::Never),
            429 => (ErrorKind::RateLimited, Retry::Safe),
            408 | 500..=599 => (ErrorKind::Unavailable, Retry::OutcomeUnknown),
            400..=499 => (ErrorKind::InvalidArgument, Retry::Never),
            // Neither a success that the adapter understood, nor an error of HTTP.
            _ => (ErrorKind::Protocol, Retry::OutcomeUnknown),
        };
        let error =
            Error::new(kind, message).with_retry(retry).with_native_code(format_args!("HTTP {}", self.status.as_u16()));
        match self.retry_after(clock) {
            Some(wait) if retry != Retry::Never => error.with_retry_after(wait),
            _ => error,
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

/// A success whose content is not what the system documents: nobody knows what it means.
#[must_use]
pub fn malformed(message: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Protocol, message).with_retry(Retry::OutcomeUnknown)
}

/// A text of the server as an error may show it: one line of at most 200 characters, with the secrets taken out that the
/// server may have found in the request. Only for answers to requests that carried no value: a server may quote what it
/// was sent (ERR-2).
#[must_use]
pub fn quoted(text: &str, secrets: &[&SecretString]) -> String {
    const LONGEST: usize = 200;
    let mut text = text.to_owned();
    for secret in secrets.iter().map(|secret| secret.expose_secret()).filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, "...").replace(&encoded(secret).to_string(), "...");
    }
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect()
}

/// A header value that is not printed.
///
/// # Errors
/// `Unauthorized` when the secret cannot stand in a header.
pub fn secret_header(prefix: &str, secret: &SecretString) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("{prefix}{}", secret.expose_secret())).map_err(|_| {
        Error::new(ErrorKind::Unauthorized, "the secret holds characters that no HTTP header can carry")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// A pooled HTTP client. It follows no redirect (whoever answers elsewhere is not the system that was configured, and must
/// not get its credentials) and repeats nothing by itself.
#[derive(Clone, Debug)]
pub struct Client {
    client: reqwest::Client,
    answer_bytes_max: usize,
}

impl Client {
    /// A client that adds `headers` to every request and reads answers of at most `answer_bytes_max` bytes.
    ///
    /// # Errors
    /// `Internal` when TLS cannot be set up.
    pub fn new(headers: HeaderMap, answer_bytes_max: usize) -> Result<Self> {
        Self::build(reqwest::Client::builder(), headers, answer_bytes_max)
    }

    /// As [`new`](Self::new), but connects to `address` where a request goes to `host`: for a server whose name is nowhere
    /// known. Port and `Host` header stay those of the request.
    ///
    /// # Errors
    /// `Internal` when TLS cannot be set up.
    pub fn connecting_to(headers: HeaderMap, answer_bytes_max: usize, host: &str, address: IpAddr) -> Result<Self> {
        // The port of the request counts, or that of its scheme.
        let builder = reqwest::Client::builder().resolve(host, SocketAddr::new(address, 0));
        Self::build(builder, headers, answer_bytes_max)
    }

    fn build(builder: reqwest::ClientBuilder, headers: HeaderMap, answer_bytes_max: usize) -> Result<Self> {
        builder
            .default_headers(headers)
            .user_agent(concat!("kv-remote/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .map(|client| Self { client, answer_bytes_max })
            .map_err(|error| {
                Error::new(ErrorKind::Internal, "the HTTP client cannot be set up").with_source(error.without_url())
            })
    }

    /// Sends `request` once and reads the whole answer, whatever its status.
    ///
    /// # Errors
    /// `Unavailable`: with `Safe` when no connection was made, so that nothing was sent; else with `OutcomeUnknown`.
    /// `Protocol` when the answer is too long.
    pub async fn send(&self, request: Request) -> Result<Answer> {
        let Request { method, url, headers, body } = request;
        let builder = self.client.request(method, url).headers(headers);
        let builder = match body {
            Body::Empty => builder,
            Body::Bytes(bytes) => builder.body(bytes),
            Body::Multipart(parts) => builder.multipart(form(parts)?),
        };
        let mut response = builder.send().await.map_err(failed)?;
        let mut body = self.read(&mut response).await?;
        if body.len() < COPIED_BELOW {
            body = Bytes::copy_from_slice(&body);
        }
        Ok(Answer { status: response.status(), headers: mem::take(response.headers_mut()), body })
    }

    /// The body. Usually it comes in one piece, which is handed on without a copy.
    async fn read(&self, response: &mut reqwest::Response) -> Result<Bytes> {
        let Some(first) = response.chunk().await.map_err(failed)? else { return Ok(Bytes::new()) };
        self.check_length(first.len())?;
        let Some(second) = response.chunk().await.map_err(failed)? else { return Ok(first) };
        let mut body = BytesMut::from(first);
        let mut next = Some(second);
        while let Some(chunk) = next {
            self.check_length(body.len() + chunk.len())?;
            body.extend_from_slice(&chunk);
            next = response.chunk().await.map_err(failed)?;
        }
        Ok(body.freeze())
    }

    fn check_length(&self, bytes: usize) -> Result<()> {
        if bytes > self.answer_bytes_max {
            return Err(malformed(format!("the answer has more than {} bytes", self.answer_bytes_max)));
        }
        Ok(())
    }
}

fn form(parts: Vec<FormPart>) -> Result<Form> {
    parts.into_iter().try_fold(Form::new(), |form, part| {
        let length = part.bytes.len() as u64;
        let mut field = Part::stream_with_length(part.bytes, length);
        if let Some(file_name) = part.file_name {
            field = field.file_name(file_name);
        }
        let field = field
            .mime_str(part.content_type)
            .map_err(|_| Error::new(ErrorKind::Internal, "the type of a part of a form is not a media type"))?;
        Ok(form.part(part.name, field))
    })
}

/// What is known after an attempt without an answer. The address is taken out of the cause: it may hold a key or a secret.
fn failed(error: reqwest::Error) -> Error {
    let error = error.without_url();
    if error.is_builder() {
        return Error::new(ErrorKind::Internal, "the request cannot be built").with_source(error);
    }
    let (message, retry) = if error.is_connect() {
        ("no connection", Retry::Safe)
    } else {
        ("the connection broke before the whole answer was here", Retry::OutcomeUnknown)
    };
    Error::new(ErrorKind::Unavailable, message).with_retry(retry).with_source(error)
}
