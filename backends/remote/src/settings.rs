//! The settings that every adapter of a remote system has.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use kv_api::{Clock, Error, Reason, Result, StoreUrl, SystemClock, Timer, TokioTimer};
use tokio::sync::Semaphore;

use crate::retry::RetryPolicy;

/// Retries, time-outs, the window of requests, memory, connections, clock and timer of one store.
#[derive(Clone, Debug)]
#[must_use]
pub struct RemoteSettings {
    pub(crate) retry: RetryPolicy,
    pub(crate) request_timeout: Duration,
    pub(crate) requests_max: NonZeroUsize,
    pub(crate) buffer_bytes_max: NonZeroUsize,
    pub(crate) allow_http: bool,
    pub(crate) use_proxies: bool,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) timer: Arc<dyn Timer>,
}

impl Default for RemoteSettings {
    fn default() -> Self {
        Self {
            retry: RetryPolicy::default(),
            request_timeout: Duration::from_secs(30),
            requests_max: const { NonZeroUsize::new(64).expect("64 is not 0") },
            buffer_bytes_max: const { NonZeroUsize::new(128 * 1024 * 1024).expect("128 MiB is not 0") },
            allow_http: false,
            use_proxies: true,
            clock: Arc::new(SystemClock),
            timer: Arc::new(TokioTimer),
        }
    }
}

impl RemoteSettings {
    /// When a request is sent again (ERR-4).
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// How long one attempt may take until its whole answer is here. Default: 30 seconds. After that its outcome is
    /// unknown.
    pub const fn with_request_timeout(mut self, request_timeout: Duration) -> Self {
        self.request_timeout = request_timeout;
        self
    }

    /// How many requests of the store are under way at once; further ones wait for their turn. Default: 64.
    pub const fn with_requests_max(mut self, requests_max: NonZeroUsize) -> Self {
        self.requests_max = requests_max;
        self
    }

    /// How many bytes the answers under way hold together, and again the bodies of requests, in a store over HTTP.
    /// Where they are used up, one answer after the other goes on and the rest wait, within their time-out. Where one
    /// answer may be longer than three quarters of this, they hold at most that answer and a quarter of this. Default:
    /// 128 MiB.
    pub const fn with_buffer_bytes_max(mut self, buffer_bytes_max: NonZeroUsize) -> Self {
        self.buffer_bytes_max = buffer_bytes_max;
        self
    }

    /// Allows plain `http` to a host that is not this machine. Default: `false`, since everybody on the way could read
    /// the credential and the data, and change both.
    pub const fn with_allow_http(mut self, allow_http: bool) -> Self {
        self.allow_http = allow_http;
        self
    }

    /// Whether requests go through the proxy that the environment names (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`,
    /// `NO_PROXY`). Requests to this machine never do. Default: `true`.
    pub const fn with_proxies(mut self, use_proxies: bool) -> Self {
        self.use_proxies = use_proxies;
        self
    }

    /// The clock that the handle shares (EXP-10). Default: the system's.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The timer of waits, time-outs and deadlines (EXP-10). Default: tokio's.
    pub fn with_timer(mut self, timer: Arc<dyn Timer>) -> Self {
        self.timer = timer;
        self
    }

    /// How long one attempt may take, for an adapter that watches over a connection of its own.
    #[must_use]
    pub const fn request_timeout(&self) -> Duration {
        self.request_timeout
    }

    /// The clock, for the reading of an answer.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// The timer, for an adapter that waits by itself.
    #[must_use]
    pub fn timer(&self) -> Arc<dyn Timer> {
        Arc::clone(&self.timer)
    }

    /// How many bytes the bodies of all requests under way hold together: no more than one semaphore can count.
    pub(crate) fn body_bytes_max(&self) -> usize {
        let counted_max = usize::try_from(u32::MAX).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        self.buffer_bytes_max.get().min(counted_max)
    }

    /// Takes the options that every remote store's URL knows: `attempts_max`, `retry_after_max_ms`, `deadline_ms`,
    /// `request_timeout_ms`, `requests_max`, and `retry_unknown` (`true`, the default, or `false`: see
    /// [`RetryPolicy::without_unknown_retries`]).
    ///
    /// # Errors
    /// `InvalidArgument` with [`Reason::UnknownOption`] when one does not parse.
    pub fn take_from_url(mut self, url: &mut StoreUrl) -> Result<Self> {
        if let Some(attempts_max) = url.take_parsed::<NonZeroU32>("attempts_max", "a whole number, at least 1")? {
            self.retry = self.retry.with_attempts_max(attempts_max);
        }
        if let Some(millis) = url.take_parsed("retry_after_max_ms", "a whole number of milliseconds")? {
            self.retry = self.retry.with_retry_after_max(Duration::from_millis(millis));
        }
        if let Some(millis) = url.take_parsed("deadline_ms", "a whole number of milliseconds")? {
            self.retry = self.retry.with_deadline(Duration::from_millis(millis));
        }
        if let Some(millis) = url.take_parsed("request_timeout_ms", "a whole number of milliseconds")? {
            self.request_timeout = Duration::from_millis(millis);
        }
        if let Some(requests_max) = url.take_parsed::<NonZeroUsize>("requests_max", "a whole number, at least 1")? {
            if requests_max.get() > Semaphore::MAX_PERMITS {
                return Err(Error::invalid(
                    Reason::UnknownOption,
                    "the option requests_max of the store URL is too great",
                ));
            }
            self.requests_max = requests_max;
        }
        if url.take_parsed("retry_unknown", "true or false")? == Some(false) {
            self.retry = self.retry.without_unknown_retries();
        }
        Ok(self)
    }

    /// Takes the options that every store over HTTP knows: those of [`take_from_url`](Self::take_from_url), and
    /// `buffer_bytes_max`, `allow_http` (`true` or `false`) and `proxy` (`environment`, the default, or `none`).
    ///
    /// # Errors
    /// `InvalidArgument` with [`Reason::UnknownOption`] when one does not parse.
    pub fn take_http_from_url(self, url: &mut StoreUrl) -> Result<Self> {
        let mut settings = self.take_from_url(url)?;
        if let Some(buffer_bytes_max) = url.take_parsed("buffer_bytes_max", "a whole number of bytes, at least 1")? {
            settings.buffer_bytes_max = buffer_bytes_max;
        }
        if let Some(allow_http) = url.take_parsed("allow_http", "true or false")? {
            settings.allow_http = allow_http;
        }
        settings.use_proxies = match url.take_option("proxy").as_deref() {
            None => settings.use_proxies,
            Some("environment") => true,
            Some("none") => false,
            Some(_) => {
                let message = "the option proxy of the store URL is not environment or none";
                return Err(Error::invalid(Reason::UnknownOption, message));
            }
        };
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_sets_every_option() {
        let mut url: StoreUrl =
            "x:?attempts_max=2&retry_after_max_ms=9&deadline_ms=7&request_timeout_ms=5&requests_max=3\
             &retry_unknown=false&buffer_bytes_max=11&allow_http=true&proxy=none"
                .parse()
                .unwrap();
        let settings = RemoteSettings::default().take_http_from_url(&mut url).unwrap();
        url.finish().unwrap();
        let retry = RetryPolicy::default()
            .with_attempts_max(NonZeroU32::new(2).unwrap())
            .with_retry_after_max(Duration::from_millis(9))
            .with_deadline(Duration::from_millis(7))
            .without_unknown_retries();
        assert_eq!(settings.retry, retry);
        assert_eq!((settings.request_timeout, settings.requests_max.get()), (Duration::from_millis(5), 3));
        assert_eq!((settings.buffer_bytes_max.get(), settings.allow_http, settings.use_proxies), (11, true, false));
    }

    #[test]
    fn what_does_not_parse_is_refused() {
        for option in [
            "attempts_max=0",
            "deadline_ms=-1",
            "requests_max=0",
            "requests_max=9999999999999999999",
            "retry_unknown=no",
            "retry_after_max_ms=soon",
            "buffer_bytes_max=0",
            "allow_http=yes",
            "proxy=http://proxy",
        ] {
            let mut url: StoreUrl = format!("x:?{option}").parse().unwrap();
            let refused = RemoteSettings::default().take_http_from_url(&mut url).unwrap_err();
            assert_eq!(refused.reason(), Some(&Reason::UnknownOption), "{option}");
        }
    }
}
