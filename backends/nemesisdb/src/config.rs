//! Settings of a store, in NemesisDB's own nouns.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use kv_api::{Clock, Error, ErrorKind, Reason, Result, StoreUrl, json_quoted_len};
use kv_remote::RemoteSettings;

use crate::wire::message::PAIR_BYTES_LEAST;

/// The port of the server where none is named.
const PORT: u16 = 1987;

/// Between the name of a namespace and a key, and so in no name.
const SEPARATOR: char = ':';

/// The shortest message limit that the server's documents allow.
const MESSAGE_BYTES_LEAST: usize = 64;

/// What replies, and again requests, may hold together where nothing else is set.
const BUFFER_BYTES_MAX: NonZeroUsize = NonZeroUsize::new(128 * 1024 * 1024).expect("128 MiB is not 0");

/// Settings of a [`NemesisdbStore`](crate::NemesisdbStore): one server, and which of its keys.
///
/// ```
/// use kv_nemesisdb::NemesisdbConfig;
/// let config = NemesisdbConfig::new("127.0.0.1", 1987)?.with_namespace("sessions")?.with_expiry_in_envelope(true);
/// # let _ = config;
/// # Ok::<(), kv_api::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct NemesisdbConfig {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) namespace: Option<String>,
    pub(crate) message_bytes_max: usize,
    pub(crate) buffer_bytes_max: NonZeroUsize,
    pub(crate) expiry: bool,
    pub(crate) remote: RemoteSettings,
}

/// Without the name of the namespace, in whose place a secret may stand by mistake (ERR-2).
impl fmt::Debug for NemesisdbConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NemesisdbConfig")
            .field("server", &self.authority())
            .field("has_namespace", &self.namespace.is_some())
            .field("message_bytes_max", &self.message_bytes_max)
            .field("buffer_bytes_max", &self.buffer_bytes_max)
            .field("expiry", &self.expiry)
            .field("remote", &self.remote)
            .finish()
    }
}

impl NemesisdbConfig {
    /// The server at this host name or address, with the message limit of 1024 bytes that it has unless configured
    /// otherwise, all of its keys, and no expiry.
    ///
    /// # Errors
    /// `InvalidArgument` when this is no host name and no address.
    pub fn new(host: impl Into<String>, port: u16) -> Result<Self> {
        let host = host.into();
        if host.is_empty()
            || host.contains(['/', '\\', '@', '?', '#'])
            || host.chars().any(|c| c.is_whitespace() || c.is_control())
        {
            return Err(Error::new(ErrorKind::InvalidArgument, "the host is no host name and no address"));
        }
        Ok(Self {
            host,
            port,
            namespace: None,
            message_bytes_max: 1024,
            buffer_bytes_max: BUFFER_BYTES_MAX,
            expiry: false,
            remote: RemoteSettings::default(),
        })
    }

    /// From a URL `nemesisdb://HOST:PORT`, the port 1987 where none is named, and the options `namespace`
    /// ([`with_namespace`](Self::with_namespace)), `max_message_bytes`
    /// ([`with_message_bytes_max`](Self::with_message_bytes_max)), `buffer_bytes_max`
    /// ([`with_buffer_bytes_max`](Self::with_buffer_bytes_max)), `expiry` (`none`, the default, or `envelope`:
    /// [`with_expiry_in_envelope`](Self::with_expiry_in_envelope)) and those of [`RemoteSettings::take_from_url`].
    ///
    /// # Errors
    /// `InvalidArgument` for another scheme, another form, or an option that is not one of these.
    ///
    /// ```
    /// use kv_api::Reason;
    /// use kv_nemesisdb::NemesisdbConfig;
    /// NemesisdbConfig::from_url("nemesisdb://127.0.0.1:1987?namespace=sessions&expiry=envelope".parse()?)?;
    /// let error = NemesisdbConfig::from_url("nemesisdb://127.0.0.1?expiry=native".parse()?).unwrap_err();
    /// assert_eq!(error.reason(), Some(&Reason::UnknownOption));
    /// # Ok::<(), kv_api::Error>(())
    /// ```
    pub fn from_url(mut url: StoreUrl) -> Result<Self> {
        const FORM: &str = "a NemesisDB URL is nemesisdb://HOST:PORT";
        if url.scheme() != "nemesisdb" {
            return Err(Error::invalid(Reason::UnknownScheme, FORM));
        }
        let invalid = || Error::new(ErrorKind::InvalidArgument, FORM);
        let authority = url.authority()?.ok_or_else(invalid)?;
        if authority.user().is_some() || url.segments().concat() != "" {
            return Err(invalid());
        }
        let mut config = Self::new(authority.host(), authority.port().unwrap_or(PORT))?;
        if let Some(bytes_max) = url.take_parsed("max_message_bytes", "a whole number of bytes, at least 64")? {
            config = config.with_message_bytes_max(bytes_max)?;
        }
        if let Some(bytes_max) = url.take_parsed("buffer_bytes_max", "a whole number of bytes, at least 1")? {
            config = config.with_buffer_bytes_max(bytes_max);
        }
        config.expiry = match url.take_option("expiry").as_deref() {
            None | Some("none") => false,
            Some("envelope") => true,
            Some(_) => {
                let message = "the option expiry of the store URL must be none or envelope";
                return Err(Error::invalid(Reason::UnknownOption, message));
            }
        };
        if let Some(namespace) = url.take_option("namespace") {
            config = config.with_namespace(namespace)?;
        }
        config.remote = config.remote.take_from_url(&mut url)?;
        url.finish()?;
        Ok(config)
    }

    /// Only the keys that begin with `NAME:` on the server, which is put before every key and never shown (NS-1). It
    /// counts towards the 6 bytes that a key must have there, so a name of five bytes makes every key legal. Default:
    /// all keys, as they are.
    ///
    /// # Errors
    /// `InvalidArgument` when the name is empty, holds a colon, or leaves no room for keys in a message.
    pub fn with_namespace(mut self, name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        if name.is_empty() || name.contains(SEPARATOR) {
            let message = "the name of a namespace must not be empty, nor hold a colon";
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        self.namespace = Some(name);
        self.check_room()
    }

    /// The longest message that the server takes, in bytes: its setting `maxRead`. A greater number than the server's
    /// own makes it close the connection (code 1009). Default: 1024, as the server's.
    ///
    /// # Errors
    /// `InvalidArgument` below 64, or when the namespace leaves no room for keys.
    pub fn with_message_bytes_max(mut self, bytes_max: usize) -> Result<Self> {
        if bytes_max < MESSAGE_BYTES_LEAST {
            let message = "the longest message of the server is at least 64 bytes";
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        self.message_bytes_max = bytes_max;
        self.check_room()
    }

    /// How many bytes the values in replies may hold together, until the calls that asked for them end; and again how
    /// many the messages that are being sent or wait for replies may. A read beyond it is refused as `Exhausted`, a
    /// message waits. A reply that is longer than this, or than 64 MiB, ends the connection. Default: 128 MiB.
    pub const fn with_buffer_bytes_max(mut self, bytes_max: NonZeroUsize) -> Self {
        self.buffer_bytes_max = bytes_max;
        self
    }

    /// Keeps expiries in the envelope, by the clock of this side: then a ttl and an absolute expiry are `Emulated`, the
    /// condition `IfNotExists` is only `BestEffort`, and sets do not report created or updated. All clients of the keys
    /// must have the same setting. Default: no expiry.
    pub const fn with_expiry_in_envelope(mut self, expiry: bool) -> Self {
        self.expiry = expiry;
        self
    }

    /// Retries, time-outs, the window of messages, clock and timer.
    pub fn with_remote(mut self, remote: RemoteSettings) -> Self {
        self.remote = remote;
        self
    }

    /// Another clock, and all else of these settings as it is (EXP-10). Default: the system's.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.remote = self.remote.with_clock(clock);
        self
    }

    /// What stands before every key on the server.
    pub(crate) fn prefix(&self) -> String {
        self.namespace.as_ref().map_or_else(String::new, |name| format!("{name}{SEPARATOR}"))
    }

    /// How host and port are written together.
    pub(crate) fn authority(&self) -> String {
        let (host, port) = (&self.host, self.port);
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    fn check_room(self) -> Result<Self> {
        // A key of the least length that the server takes must fit.
        if json_quoted_len(&self.prefix()) + 6 + PAIR_BYTES_LEAST > self.message_bytes_max {
            let message = "the namespace leaves no room for keys in a message";
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Result<NemesisdbConfig> {
        NemesisdbConfig::from_url(url.parse().unwrap())
    }

    #[test]
    fn a_url_names_server_namespace_and_options() {
        for (url, authority) in [
            ("nemesisdb://localhost", "localhost:1987"),
            ("nemesisdb://localhost/", "localhost:1987"),
            ("nemesisdb://10.0.0.7:2000", "10.0.0.7:2000"),
            ("nemesisdb://[::1]", "[::1]:1987"),
            ("nemesisdb://[::1]:2000", "[::1]:2000"),
        ] {
            assert_eq!(parsed(url).unwrap().authority(), authority, "{url}");
        }
        let config =
            parsed("nemesisdb://h?namespace=a%20b&max_message_bytes=65536&expiry=envelope&attempts_max=2").unwrap();
        assert_eq!((config.prefix().as_str(), config.message_bytes_max, config.expiry), ("a b:", 65_536, true));
        let plain = parsed("nemesisdb://h?expiry=none").unwrap();
        assert_eq!((plain.prefix().as_str(), plain.message_bytes_max, plain.expiry), ("", 1024, false));
    }

    #[test]
    fn err_2_debug_shows_no_namespace_and_no_control_character_is_a_host() {
        let config = parsed("nemesisdb://127.0.0.1?namespace=hush").unwrap();
        assert!(!format!("{config:?}").contains("hush"));
        for host in ["a\u{1b}[2J", "a\u{7}", "a b", "a\nb"] {
            assert!(NemesisdbConfig::new(host, 1).is_err(), "{host:?}");
        }
    }

    #[test]
    fn err_2_what_is_refused_is_not_shown() {
        for url in [
            "memory://hush",
            "nemesisdb:hush",
            "nemesisdb://",
            "nemesisdb:///",
            "nemesisdb://:1987",
            "nemesisdb://host:hush",
            "nemesisdb://host:70000",
            "nemesisdb://::1",
            "nemesisdb://user:hush@host",
            "nemesisdb://host/hush",
            "nemesisdb://host?namespace=",
            "nemesisdb://host?namespace=hush:hush",
            "nemesisdb://host?max_message_bytes=63",
            "nemesisdb://host?max_message_bytes=hush",
            "nemesisdb://host?max_message_bytes=64&namespace=hushhushhushhushhushhushhushhushhushhush",
            "nemesisdb://host?expiry=hush",
            "nemesisdb://host?password=hush",
        ] {
            let error = parsed(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{url}");
            assert!(!format!("{error} {error:?}").contains("hush"), "{url}: {error:?}");
        }
    }
}
