//! Requests.

use std::fmt;

use bytes::Bytes;
use kv_api::{Error, ErrorKind, Result};
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use secrecy::{ExposeSecret, SecretString};

/// The body of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
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

/// A request, made by the pure part of an adapter. It is not printed: address and headers may be secrets, the body a
/// value.
#[derive(Clone, PartialEq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The address.
    pub url: Url,
    /// The headers beside those that the [`Client`](super::Client) adds to all.
    pub headers: HeaderMap,
    /// The body.
    pub body: Body,
    /// The longest answer that makes sense, in bytes, where that is less than for the [`Client`](super::Client) in
    /// general.
    pub answer_bytes_max: usize,
}

impl Request {
    /// A request without body.
    #[must_use]
    pub fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: Body::Empty, answer_bytes_max: usize::MAX }
    }

    /// Adds bytes of this type as the body.
    #[must_use]
    pub fn with_bytes(mut self, content_type: &'static str, bytes: impl Into<Bytes>) -> Self {
        self.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        self.body = Body::Bytes(bytes.into());
        self
    }

    /// Limits the answer: a longer one is a `Protocol` error, and is not read to its end.
    #[must_use]
    pub fn with_answer_bytes_max(mut self, answer_bytes_max: usize) -> Self {
        self.answer_bytes_max = answer_bytes_max;
        self
    }

    /// Adds a form as the body.
    #[must_use]
    pub fn with_form(mut self, parts: Vec<FormPart>) -> Self {
        self.body = Body::Multipart(parts);
        self
    }

    /// How many bytes its body holds, for [`Call::send_body`](crate::Call::send_body).
    #[must_use]
    pub fn body_bytes(&self) -> usize {
        match &self.body {
            Body::Empty => 0,
            Body::Bytes(bytes) => bytes.len(),
            Body::Multipart(parts) => parts.iter().map(|part| part.bytes.len()).sum(),
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("method", &self.method).finish_non_exhaustive()
    }
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
