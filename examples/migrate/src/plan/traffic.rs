//! How many requests a copy takes, and how long they take at the rate that a system's documents allow.

use std::time::Duration;

use kv_api::{Capabilities, RequestRate};

use super::{Plan, PlanTarget};
use crate::options::Options;

/// Requests to one of the two stores, or transactions where it has no requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// How many at least: as many items in each as the store takes at most (CAP-5). A store that does not take all it
    /// is asked for together, such as the expiries, needs more.
    pub requests: u64,
    /// The rate that the documents of the system allow.
    pub rate: Option<RequestRate>,
}

impl Traffic {
    const fn new(capabilities: &Capabilities, requests: u64) -> Self {
        Self { requests, rate: capabilities.request_rate }
    }

    /// How long they take at that rate, evenly spread; `None` without one. A small number can be sent at once instead.
    #[must_use]
    pub fn time(&self) -> Option<Duration> {
        let rate = self.rate?;
        let nanos = rate.per.as_nanos().saturating_mul(self.requests.into()) / u128::from(rate.requests.max(1));
        Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }
}

/// Those that list so many keys, unless a file names them, and read the entries of so many.
pub(super) fn of_source(source: &Capabilities, listed: Option<u64>, read: u64) -> Traffic {
    // An empty list is a page too.
    let pages = listed.map_or(0, |listed| parts(listed, source.list_page_max).max(1));
    Traffic::new(source, pages + parts(read, source.bulk_read_items))
}

/// Those that write what would be written.
pub(super) fn of_target(target: PlanTarget<'_>, plan: &Plan, options: &Options) -> Option<Traffic> {
    let PlanTarget::Store(store) = target else { return None };
    let target = store.capabilities();
    let items = options.batch_entries.map_or(usize::MAX, Into::into).min(target.bulk_write_items);
    let bytes = plan.key_bytes + plan.value_bytes + plan.metadata_bytes;
    let written = plan.counts.written + plan.counts.repeated;
    // The bytes are those of all that is read, so they count only as far as each batch can hold several entries.
    let by_bytes = parts(bytes, options.batch_bytes).min(written);
    Some(Traffic::new(target, parts(written, items).max(by_bytes)))
}

/// How many parts of at most so many.
fn parts(all: u64, most: usize) -> u64 {
    all.div_ceil(u64::try_from(most).unwrap_or(u64::MAX).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_hold_as_much_as_they_can_and_take_their_time() {
        static SYSTEM: Capabilities = Capabilities::new("system")
            .with_list_page_max(1000)
            .with_bulk_items(10_000, 100)
            .with_request_rate(RequestRate::new(1200, Duration::from_secs(300)));
        let requests = |listed, read| of_source(&SYSTEM, listed, read).requests;
        assert_eq!(requests(Some(171_075), 171_075), 172 + 1711);
        assert_eq!((requests(Some(0), 0), requests(Some(1), 1), requests(None, 101)), (1, 2, 2));
        let traffic = of_source(&SYSTEM, None, 1_000);
        assert_eq!((traffic.requests, traffic.time()), (10, Some(Duration::from_millis(2_500))));
        let endless = Traffic { requests: u64::MAX, ..traffic };
        assert_eq!(endless.time(), Some(Duration::from_nanos(u64::MAX)));
        // Without figures each entry is a request, and a list one page.
        let traffic = of_source(&Capabilities::new("unknown"), Some(500), 500);
        assert_eq!((traffic.requests, traffic.time()), (501, None));
    }
}
