//! The client: one request and its answer, within a bound on memory.

use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kv_api::{Error, ErrorKind, Reason, Result};
use reqwest::header::HeaderMap;
use reqwest::multipart::{Form, Part};
use reqwest::{RequestBuilder, Url, Version};
use tokio::sync::Semaphore;

use super::address::{host_and_port, is_this_machine};
use super::budget::{ByteBudget, Reservation};
use super::failure::failed;
use super::{Answer, Body, FormPart, Request, malformed};
use crate::settings::RemoteSettings;

/// How long connecting may take at most. A connection that was not made has sent nothing, so connecting has a limit of
/// its own: this one, or half the time of an attempt where that is less.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A body shorter than this is copied out of the connection's buffer, which a small value would else keep alive whole.
const COPIED_BELOW: usize = 4096;

/// An answer longer than this is read on a thread for blocking work: parsing it takes more than a millisecond or two,
/// and meanwhile no other task of its thread would go on, its own deadline included.
const READ_IN_PLACE_MAX: usize = 256 * 1024;

/// How many long answers of a store are read at once. One whose call has ended counts until its thread is done with it.
const READERS_MAX: usize = 4;

/// A pooled HTTP client. It follows no redirect (whatever answers elsewhere is not the system that was configured, and
/// must not get its credentials) and repeats nothing by itself. Plain `http` goes to this machine alone, unless that
/// was allowed; what goes to this machine goes through no proxy.
#[derive(Clone, Debug)]
pub struct Client {
    client: reqwest::Client,
    /// Host and port of the system, for errors.
    host: Arc<str>,
    answer_bytes_max: usize,
    answers: ByteBudget,
    readers: Arc<Semaphore>,
}

/// An answer, and its share in the memory for answers, which ends when this is dropped.
#[derive(Debug)]
pub struct Received {
    answer: Answer,
    reservation: Reservation,
    readers: Arc<Semaphore>,
}

impl Client {
    /// A client for requests below `base`. It adds `headers` to every request and reads answers of at most
    /// `answer_bytes_max` bytes, or fewer where a request [says so](Request::with_answer_bytes_max).
    ///
    /// # Errors
    /// `InvalidArgument` with [`Reason::UnknownOption`] for plain `http` to another machine, unless that is
    /// [allowed](RemoteSettings::with_allow_http). `Internal` when TLS cannot be set up.
    pub fn new(settings: &RemoteSettings, base: &Url, headers: HeaderMap, answer_bytes_max: usize) -> Result<Self> {
        let is_local = is_this_machine(base);
        Self::build(settings, base, is_local, reqwest::Client::builder(), headers, answer_bytes_max)
    }

    /// As [`new`](Self::new), but connects to `address` where the host of `base` is a name: for a server whose name is
    /// nowhere known. Port and `Host` header stay those of the request.
    ///
    /// # Errors
    /// As [`new`](Self::new); it is `address` that decides what this machine is.
    pub fn connecting_to(
        settings: &RemoteSettings,
        base: &Url,
        address: IpAddr,
        headers: HeaderMap,
        answer_bytes_max: usize,
    ) -> Result<Self> {
        // The port of the request counts, or that of its scheme.
        let builder =
            reqwest::Client::builder().resolve(base.host_str().unwrap_or_default(), SocketAddr::new(address, 0));
        Self::build(settings, base, address.to_canonical().is_loopback(), builder, headers, answer_bytes_max)
    }

    fn build(
        settings: &RemoteSettings,
        base: &Url,
        is_local: bool,
        builder: reqwest::ClientBuilder,
        headers: HeaderMap,
        answer_bytes_max: usize,
    ) -> Result<Self> {
        if base.scheme() != "https" && !is_local && !settings.allow_http {
            return Err(Error::invalid(
                Reason::UnknownOption,
                "plain http to another machine would show it, and everybody on the way, credentials and data: \
                 use https, or allow it with allow_http=true",
            ));
        }
        let builder = if is_local || !settings.use_proxies { builder.no_proxy() } else { builder };
        // What goes over TLS nowhere needs none of the machine's certificates, which take a while to read.
        let builder = if is_local && base.scheme() == "http" { builder.tls_certs_only([]) } else { builder };
        let client = builder
            // Another crate of the program may turn on more features of reqwest. They change nothing here: neither how
            // certificates and names are checked, nor what a body is.
            .tls_backend_rustls()
            .no_hickory_dns()
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .default_headers(headers)
            .user_agent(concat!("kv-remote/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_TIMEOUT.min(settings.request_timeout / 2))
            .build()
            .map_err(|error| {
                Error::new(ErrorKind::Internal, "the HTTP client cannot be set up").with_source(error.without_url())
            })?;
        Ok(Self {
            client,
            host: host_and_port(base).into(),
            answer_bytes_max,
            answers: ByteBudget::new(settings.buffer_bytes_max, answer_bytes_max),
            readers: Arc::new(Semaphore::new(READERS_MAX)),
        })
    }

    /// Sends `request` once and reads the whole answer, whatever its status. It waits for room for the answer; for room
    /// for the body, [`Call::send_body`](crate::Call::send_body) waits.
    ///
    /// # Errors
    /// By what is known, and what its reader does next. Without a connection nothing was sent:
    /// [`no_connection`](crate::no_connection) says why. Else `Unavailable` with `OutcomeUnknown`. `Protocol` when the
    /// answer is too long.
    pub async fn send(&self, request: Request) -> Result<Received> {
        let Request { method, url, headers, body, answer_bytes_max } = request;
        let failed = |error| failed(error, &self.host);
        let mut outgoing = reqwest::Request::new(method, url);
        *outgoing.headers_mut() = headers;
        match body {
            Body::Empty => {}
            Body::Bytes(bytes) => *outgoing.body_mut() = Some(bytes.into()),
            Body::Multipart(parts) => {
                let builder = RequestBuilder::from_parts(self.client.clone(), outgoing).multipart(form(parts)?);
                outgoing = builder.build().map_err(failed)?;
            }
        }
        let mut response = self.client.execute(outgoing).await.map_err(failed)?;
        let mut reservation = Reservation::default();
        let bytes_max = answer_bytes_max.min(self.answer_bytes_max);
        let mut body = self.read(&mut response, &mut reservation, bytes_max).await?;
        if body.len() < COPIED_BELOW {
            body = Bytes::copy_from_slice(&body);
        }
        let answer = Answer { status: response.status(), headers: mem::take(response.headers_mut()), body };
        Ok(Received { answer, reservation, readers: Arc::clone(&self.readers) })
    }

    /// The body. Usually it comes in one piece, which is handed on without a copy.
    async fn read(
        &self,
        response: &mut reqwest::Response,
        reservation: &mut Reservation,
        bytes_max: usize,
    ) -> Result<Bytes> {
        let check = |bytes: usize| match bytes > bytes_max {
            true => Err(malformed(format!("the answer has more than {bytes_max} bytes"))),
            false => Ok(()),
        };
        let length = response.content_length();
        check(length.map_or(0, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX)))?;
        let first = self.chunk(response, reservation).await?.unwrap_or_default();
        check(first.len())?;
        // What has come to its length is whole. Over HTTP/2 the stream has not ended yet, and would be reset.
        if length == Some(first.len() as u64) && response.version() <= Version::HTTP_11 {
            return Ok(first);
        }
        let Some(mut next) = self.chunk(response, reservation).await? else { return Ok(first) };
        let mut body = Vec::from(first);
        loop {
            check(body.len().saturating_add(next.len()))?;
            body.extend_from_slice(&next);
            match self.chunk(response, reservation).await? {
                Some(chunk) => next = chunk,
                None => return Ok(body.into()),
            }
        }
    }

    /// The next piece of a body, with room for it. Nothing more is read from the connection before there is.
    async fn chunk(&self, response: &mut reqwest::Response, reservation: &mut Reservation) -> Result<Option<Bytes>> {
        let chunk = response.chunk().await.map_err(|error| failed(error, &self.host))?;
        if let Some(chunk) = &chunk {
            self.answers.extend(reservation, chunk.len()).await;
        }
        Ok(chunk)
    }
}

impl Received {
    /// The answer.
    #[must_use]
    pub fn answer(&self) -> &Answer {
        &self.answer
    }

    /// What `read` makes of the answer. One longer than 256 KiB is read on one of at most four threads for blocking
    /// work, so that time-outs keep their time however long that takes; it keeps its memory until then, also when its
    /// call has ended.
    ///
    /// # Errors
    /// Those of `read`; `Internal` when it panics.
    pub async fn read_with<T: Send + 'static>(
        self,
        read: impl FnOnce(Answer) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let Self { answer, reservation, readers } = self;
        if answer.body.len() <= READ_IN_PLACE_MAX {
            return read(answer);
        }
        let failed = || Error::new(ErrorKind::Internal, "the reading of an answer has ended before its time");
        let reader = readers.acquire_owned().await.map_err(|_| failed())?;
        let reading = tokio::task::spawn_blocking(move || {
            let read = read(answer);
            drop((reservation, reader));
            read
        });
        reading.await.map_err(|_| failed())?
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
