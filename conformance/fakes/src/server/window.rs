//! The rate limit of a server.

use std::time::Duration;

use kv_api::Timestamp;

use crate::model::Quota;

/// What the quota headers promise while no rate limit is set: Cloudflare's documented 1200 requests in five minutes.
const UNLIMITED_QUOTA: RateLimit = RateLimit { requests: 1200, window: Duration::from_secs(300) };

/// How many requests are let through in a window of time; the first request after a window has ended begins the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// How many requests; those beyond are answered as too many and not carried out.
    pub requests: u32,
    /// How long the window is, by the clock of the server.
    pub window: Duration,
}

/// The present window.
pub(super) struct Window {
    limit: Option<RateLimit>,
    ends: Timestamp,
    used: u32,
}

impl Window {
    pub(super) const fn new(limit: Option<RateLimit>) -> Self {
        Self { limit, ends: Timestamp::UNIX_EPOCH, used: 0 }
    }

    /// Counts one request: what is left after it, and whether it is let through.
    pub(super) fn take(&mut self, now: Timestamp) -> (Quota, bool) {
        let Some(limit) = self.limit else {
            let RateLimit { requests, window } = UNLIMITED_QUOTA;
            return (Quota { requests, window, remaining: requests, reset_seconds: window.as_secs() }, true);
        };
        if now >= self.ends {
            self.ends = now.checked_add(limit.window).unwrap_or(now);
            self.used = 0;
        }
        self.used = self.used.saturating_add(1);
        let until = self.ends.saturating_since(now);
        let quota = Quota {
            requests: limit.requests,
            window: limit.window,
            remaining: limit.requests.saturating_sub(self.used),
            reset_seconds: until.as_secs() + u64::from(until.subsec_nanos() > 0),
        };
        (quota, self.used <= limit.requests)
    }
}
