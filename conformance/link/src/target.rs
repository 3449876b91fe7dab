//! Where a link leads.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use kv_api::StoreUrl;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::dialect::Protocol;
use crate::stream::ServerStream;

/// How much of the body of a request [`Request::body`] can hold, in bytes.
pub(crate) const REQUEST_BODY_MAX: usize = 4_096;

/// How long to connect to the server may take, all of its addresses and TLS together.
const CONNECT_MAX: Duration = Duration::from_secs(30);

/// How a PostgreSQL client asks for encryption.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// The server that a [`Link`](crate::Link) leads to, and how it is reached.
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// use kv_link::{Link, Protocol, Target};
///
/// // Reads are sent as POST here, and the body names what is done.
/// let target = Target::of_url("https://api.puter.com", Protocol::Http).await?;
/// let link = Link::open_to(target.with_writes(|request| {
///     request.method == "POST" && !request.body.windows(14).any(|part| part == b"\"method\":\"get\"")
/// }))?;
/// let base_url = link.url("https://api.puter.com");
/// assert_eq!(base_url, format!("http://{}", link.address()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Target {
    pub(crate) addresses: Vec<SocketAddr>,
    protocol: Protocol,
    /// What the client's `Host` becomes.
    host: Option<String>,
    tls: Option<ServerName<'static>>,
    authority: Option<Arc<[u8]>>,
    is_write: Option<Arc<IsWrite>>,
}

type IsWrite = dyn Fn(&Request<'_>) -> bool + Send + Sync;

/// What is seen of a request to tell whether it changes something: see [`Target::with_writes`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Request<'a> {
    /// The method of HTTP, as it was sent. Empty for a message of a WebSocket.
    pub method: &'a str,
    /// Path and query, as they were sent. Empty for a message of a WebSocket.
    pub path: &'a str,
    /// The first 4,096 bytes of the body or message, or all of it where it is shorter. Less where the client waits with
    /// the body until it is asked for it, and where a message comes in several frames: then the first one.
    pub body: &'a [u8],
}

impl Target {
    /// A server at this address, without encryption.
    #[must_use]
    pub fn new(address: SocketAddr, protocol: Protocol) -> Self {
        Self { addresses: vec![address], protocol, host: None, tls: None, authority: None, is_write: None }
    }

    /// The server that this URL names by its scheme, host and port: a base URL of HTTP, or a store URL. `https`, `wss`
    /// and `rediss` mean TLS. With HTTP and WebSocket the client's `Host` becomes that of the URL. All addresses of the
    /// host are found now, and tried in order for each connection, each for an equal share of 30 seconds. A name below
    /// `localhost` is this machine.
    ///
    /// # Errors
    /// The URL names no host, or none that can be found. No error shows the URL: it may hold a password.
    pub async fn of_url(url: &str, protocol: Protocol) -> io::Result<Self> {
        Self::of_url_or(url, protocol, protocol.port()).await
    }

    /// The same, with the port of a URL that names none and asks for no TLS.
    pub(crate) async fn of_url_or(url: &str, protocol: Protocol, port: u16) -> io::Result<Self> {
        let named = url.parse::<StoreUrl>().ok();
        let authority = named.as_ref().and_then(|parsed| parsed.authority().ok().flatten());
        let (Some(parsed), Some(authority)) = (&named, authority.filter(|authority| !authority.host().is_empty()))
        else {
            return Err(invalid("the URL names no host"));
        };
        let is_encrypted = matches!(parsed.scheme(), "https" | "wss" | "rediss");
        let port = authority.port().unwrap_or(if is_encrypted { protocol.tls_port() } else { port });
        let host = authority.host();
        let addresses: Vec<SocketAddr> = if host.ends_with(".localhost") {
            [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)].map(|ip| (ip, port).into()).to_vec()
        } else {
            lookup_host((host, port)).await?.collect()
        };
        if addresses.is_empty() {
            return Err(invalid("the host of the URL has no address"));
        }
        let has_host = matches!(protocol, Protocol::Http | Protocol::WebSocket);
        let mut target = Self {
            addresses,
            protocol,
            host: has_host.then(|| authority.host_and_port()),
            tls: None,
            authority: None,
            is_write: None,
        };
        if is_encrypted {
            target = target.with_tls(host)?;
        }
        Ok(target)
    }

    /// Another `Host` than the client's, such as `api.example.com:8443`; for HTTP and WebSocket.
    ///
    /// # Errors
    /// It has something in it that is no part of a host and port.
    pub fn with_host(self, host: &str) -> io::Result<Self> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
        if host.is_empty() || !host.bytes().all(is_plain) {
            return Err(invalid("not a host"));
        }
        Ok(Self { host: Some(host.to_owned()), ..self })
    }

    /// TLS to the server, whose certificate must be for this name or address and signed by who this machine trusts.
    /// With PostgreSQL the server is asked for it first. The client's side stays as it is.
    ///
    /// # Errors
    /// It is neither a name nor an address.
    pub fn with_tls(self, name: &str) -> io::Result<Self> {
        let name = ServerName::try_from(name.to_owned()).map_err(|_| invalid("neither a name nor an address"))?;
        Ok(Self { tls: Some(name), ..self })
    }

    /// Whose signature counts under the certificate of the server, in PEM, instead of those that this machine trusts.
    #[must_use]
    pub fn with_tls_ca(self, pem: &[u8]) -> Self {
        Self { authority: Some(Arc::from(pem)), ..self }
    }

    /// Which requests change something, for [`inject_into_writes`](kv_conformance::Faults::inject_into_writes). Without
    /// it all do but `GET`, `HEAD`, `OPTIONS` and `TRACE` of HTTP, and all messages of a WebSocket. Other protocols
    /// know for themselves.
    #[must_use]
    pub fn with_writes(self, is_write: impl Fn(&Request<'_>) -> bool + Send + Sync + 'static) -> Self {
        Self { is_write: Some(Arc::new(is_write)), ..self }
    }

    pub(crate) const fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub(crate) fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// Whether the caller says what a write is.
    pub(crate) const fn has_writes(&self) -> bool {
        self.is_write.is_some()
    }

    pub(crate) fn is_write(&self, request: &Request<'_>) -> bool {
        match &self.is_write {
            Some(is_write) => is_write(request),
            None => !matches!(request.method, "GET" | "HEAD" | "OPTIONS" | "TRACE"),
        }
    }

    /// Reads the certificates that count.
    pub(crate) fn connector(&self) -> io::Result<Connector> {
        let tls = match &self.tls {
            None => None,
            Some(name) => Some((tls(self.authority.as_deref())?, name.clone())),
        };
        Ok(Connector { addresses: self.addresses.clone(), asks_first: self.protocol == Protocol::Postgres, tls })
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("addresses", &self.addresses)
            .field("protocol", &self.protocol)
            .field("host", &self.host)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// Makes connections to a server.
#[derive(Clone)]
pub(crate) struct Connector {
    addresses: Vec<SocketAddr>,
    asks_first: bool,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Connector {
    pub(crate) async fn connect(&self) -> io::Result<ServerStream> {
        tokio::time::timeout(CONNECT_MAX, self.connect_at_last()).await?
    }

    async fn connect_at_last(&self) -> io::Result<ServerStream> {
        let mut stream = first(&self.addresses, CONNECT_MAX, TcpStream::connect).await?;
        stream.set_nodelay(true)?;
        let Some((connector, name)) = &self.tls else { return Ok(ServerStream::Plain(stream)) };
        if self.asks_first {
            stream.write_all(&SSL_REQUEST).await?;
            if stream.read_u8().await? != b'S' {
                return Err(invalid("the server has no TLS"));
            }
        }
        let stream = connector.connect(name.clone(), stream).await?;
        Ok(ServerStream::Encrypted(Box::new(stream)))
    }
}

/// What comes of the first address that answers. Each is tried for as long as the others, so that one that is silent
/// leaves them their time; the error is the last one's.
async fn first<T, F>(addresses: &[SocketAddr], time: Duration, connect: impl Fn(SocketAddr) -> F) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let share = time / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match tokio::time::timeout(share, connect(*address)).await {
            Ok(Ok(connected)) => return Ok(connected),
            Ok(Err(error)) => failure = error,
            Err(elapsed) => failure = elapsed.into(),
        }
    }
    Err(failure)
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

fn tls(authority: Option<&[u8]>) -> io::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    match authority {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|_| invalid("no certificates in PEM"))?;
                roots.add(certificate).map_err(io::Error::other)?;
            }
        }
        // One that rustls does not understand is no reason to trust none.
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(invalid("there are no certificates to trust"));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

pub(crate) fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn an_address_that_is_silent_leaves_the_others_their_time() {
        let addresses: Vec<SocketAddr> = (1..=4).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect();
        let connect = |address: SocketAddr| async move {
            match address.port() {
                1 | 3 => pending().await,
                2 => Err(io::ErrorKind::ConnectionRefused.into()),
                port => Ok(port),
            }
        };
        let time = Duration::from_millis(40);
        // With all of the time for the first one there is none left for the fourth.
        let connected = tokio::time::timeout(time * 1000, first(&addresses, time, connect)).await.unwrap();
        assert_eq!(connected.unwrap(), 4);
        let failed = first(&addresses[..3], time, connect).await.unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::TimedOut);
        let failed = first(&addresses[..2], time, connect).await.unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::ConnectionRefused);
    }
}
