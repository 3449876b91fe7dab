//! Batches in bulk requests: planned by count and bytes, divided where one is refused, and a result for each item that
//! is only ever taken from evidence for that item (BATCH-1, BATCH-3, BATCH-6).

use std::ops::Range;

use futures_util::{FutureExt, StreamExt, stream};
use kv_api::{Error, ErrorKind, Result, Retry};

use crate::call::Call;
use crate::idempotency::Idempotency;

/// How often the items of one refused request are divided to find those that the system does not like. One among 10,000
/// takes 14; a request whose items are all refused must not become 20,000 requests.
const DIVISIONS_MAX: usize = 32;

/// How much one bulk request may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BulkLimits {
    /// The most items.
    pub items_max: usize,
    /// The most bytes of the body.
    pub bytes_max: u64,
    /// The bytes of a body without items.
    pub frame_bytes: u64,
    /// The bytes between two items.
    pub separator_bytes: u64,
}

impl BulkLimits {
    /// The fewest requests for items of these sizes in bytes, in order. An item that is too long for any gets a request
    /// of its own.
    ///
    /// ```
    /// use kv_remote::BulkLimits;
    /// let limits = BulkLimits { items_max: 10, bytes_max: 12, frame_bytes: 2, separator_bytes: 1 };
    /// assert_eq!(limits.plan([3, 3, 3, 99]), [0..2, 2..3, 3..4]);
    /// ```
    #[must_use]
    pub fn plan(&self, sizes: impl IntoIterator<Item = u64>) -> Vec<Range<usize>> {
        let mut requests: Vec<Range<usize>> = Vec::new();
        let mut bytes = 0u64;
        for (at, size) in sizes.into_iter().enumerate() {
            let longer = bytes.saturating_add(self.separator_bytes).saturating_add(size);
            match requests.last_mut() {
                Some(request) if request.len() < self.items_max && longer <= self.bytes_max => {
                    request.end = at + 1;
                    bytes = longer;
                }
                _ => {
                    requests.push(at..at + 1);
                    bytes = self.frame_bytes.saturating_add(size);
                }
            }
        }
        requests
    }
}

/// What is known after a bulk request.
#[derive(Debug)]
pub struct BulkAnswer<T> {
    /// Items for which the answer is evidence, by their position in the batch, and what it says of each.
    pub known: Vec<(usize, Result<T>)>,
    /// The error of all other items of the request. `InvalidArgument` says that they were refused together. `None` says
    /// nothing: they stay unknown.
    pub rest: Option<Error>,
}

impl<T> BulkAnswer<T> {
    /// The answer is one error for all items of the request.
    #[must_use]
    pub fn refused(error: Error) -> Self {
        Self { known: Vec::new(), rest: Some(error) }
    }
}

/// Sends a planned batch, at most `requests_max` of its requests at once, and gives one result for each item, in order.
///
/// `send` makes one request of the items at these positions, with its repeats. A request that is refused with
/// `InvalidArgument` is divided, at most 32 times, so that an item that the system does not like fails alone (BATCH-3);
/// the parts of what may have been written are sent only where the policy repeats unknown outcomes (ERR-4).
///
/// Every item begins with an unknown outcome, and keeps it until an answer is evidence for that item (BATCH-6).
pub async fn send_bulk<T, F>(
    call: &Call<'_>,
    plan: Vec<Range<usize>>,
    requests_max: usize,
    send: impl Fn(Vec<usize>) -> F + Send + Sync,
) -> Vec<Result<T>>
where
    T: Send,
    F: Future<Output = BulkAnswer<T>> + Send,
{
    let count = plan.last().map_or(0, |last| last.end);
    let groups = plan.into_iter().map(|items| send_group(call, items.collect(), &send).boxed());
    // Boxed: see `Remote::in_window`.
    let known: Vec<_> = stream::iter(groups).buffered(requests_max.max(1)).boxed().collect().await;
    let mut results: Vec<Result<T>> = (0..count).map(|_| Err(unknown_outcome())).collect();
    for (item, result) in known.into_iter().flatten() {
        results[item] = result;
    }
    results
}

/// What became of the items of one planned request; what is not among it is unknown.
async fn send_group<T, F>(
    call: &Call<'_>,
    items: Vec<usize>,
    send: &(impl Fn(Vec<usize>) -> F + Send + Sync),
) -> Vec<(usize, Result<T>)>
where
    F: Future<Output = BulkAnswer<T>> + Send,
{
    let mut results = Vec::with_capacity(items.len());
    // With each part, whether a request that its items were in may have been carried out.
    let mut parts = vec![(items, false)];
    let mut divisions = 0;
    while let Some((items, maybe_applied)) = parts.pop() {
        let BulkAnswer { mut known, rest } = send(items.clone()).await;
        // What is said of an item that was not asked about is no evidence.
        known.retain(|(item, _)| items.binary_search(item).is_ok());
        known.sort_by_key(|(item, _)| *item);
        let is_left = |item: &usize| known.binary_search_by_key(item, |(item, _)| *item).is_err();
        let mut left: Vec<usize> = items.into_iter().filter(is_left).collect();
        results.append(&mut known);
        let Some(error) = rest.filter(|_| !left.is_empty()) else { continue };
        let maybe_applied = maybe_applied || error.retry() == Retry::OutcomeUnknown;
        let error = if maybe_applied { error.with_retry(Retry::OutcomeUnknown) } else { error };
        let is_together = error.kind() == ErrorKind::InvalidArgument && left.len() > 1;
        // To divide what may have been written is to write it again.
        let may_divide = !maybe_applied || call.allows(Idempotency::Idempotent, &error);
        if is_together && may_divide && divisions < DIVISIONS_MAX {
            divisions += 1;
            parts.push((left.split_off(left.len() / 2), maybe_applied));
            parts.push((left, maybe_applied));
            continue;
        }
        let error = if is_together { rejected_batch_item(error) } else { error };
        results.extend(left.into_iter().map(|item| (item, Err(error.clone()))));
    }
    results
}

/// The error of an item of which no answer says anything.
fn unknown_outcome() -> Error {
    Error::new(ErrorKind::Protocol, "no answer says what became of this item").with_retry(Retry::OutcomeUnknown)
}

/// The error of each item of a bulk request that was refused whole by a system that does not say which item it
/// dislikes: this one may be innocent (BATCH-3). It keeps the refusal's code and retry class.
#[must_use]
pub fn rejected_batch_item(refusal: Error) -> Error {
    let message = "refused together with other items of its request, of which at least one is not acceptable";
    let code = refusal.native_code().map(ToOwned::to_owned);
    let together = Error::new(ErrorKind::InvalidArgument, message).with_retry(refusal.retry()).with_source(refusal);
    match code {
        Some(code) => together.with_native_code(code),
        None => together,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Remote;
    use crate::retry::RetryPolicy;
    use crate::settings::RemoteSettings;
    use proptest::prelude::*;
    use std::sync::Mutex;

    const ALL: BulkLimits =
        BulkLimits { items_max: usize::MAX, bytes_max: u64::MAX, frame_bytes: 0, separator_bytes: 0 };

    fn refusal(retry: Retry) -> Error {
        Error::new(ErrorKind::InvalidArgument, "").with_retry(retry)
    }

    /// The results of `count` items in one planned request, and the items of each request that was sent.
    async fn sent(
        count: usize,
        policy: RetryPolicy,
        answer: impl Fn(&[usize]) -> BulkAnswer<u8> + Send + Sync,
    ) -> (Vec<Result<u8>>, Vec<Vec<usize>>) {
        let remote = Remote::new(RemoteSettings::default().with_retry(policy));
        let requests = Mutex::new(Vec::new());
        let send = |items: Vec<usize>| {
            let answer = answer(&items);
            requests.lock().unwrap().push(items);
            std::future::ready(answer)
        };
        let results = send_bulk(&remote.call(), ALL.plan(vec![1; count]), 4, send).await;
        (results, requests.into_inner().unwrap())
    }

    fn done(items: &[usize]) -> BulkAnswer<u8> {
        BulkAnswer { known: items.iter().map(|item| (*item, Ok(1))).collect(), rest: None }
    }

    #[tokio::test]
    async fn batch_6_an_item_without_evidence_of_its_own_is_unknown() {
        let silent = |_: &[usize]| BulkAnswer { known: vec![(1, Ok(1)), (7, Ok(1))], rest: None };
        let (results, _) = sent(3, RetryPolicy::none(), silent).await;
        assert_eq!(results.len(), 3, "evidence for an item that was not asked about is none");
        assert_eq!(*results[1].as_ref().unwrap(), 1);
        for item in [0, 2] {
            let error = results[item].as_ref().unwrap_err();
            assert_eq!((error.kind(), error.retry()), (ErrorKind::Protocol, Retry::OutcomeUnknown));
        }
    }

    #[tokio::test]
    async fn batch_3_an_item_that_is_refused_fails_alone() {
        let answer = |items: &[usize]| match items.contains(&617) {
            true => BulkAnswer::refused(refusal(Retry::Never)),
            false => done(items),
        };
        let (results, requests) = sent(1000, RetryPolicy::none(), answer).await;
        for (item, result) in results.iter().enumerate() {
            assert_eq!(result.as_ref().err().map(Error::retry), (item == 617).then_some(Retry::Never), "{item}");
        }
        assert!(requests.len() <= 21, "one, and two for each of ten divisions: {}", requests.len());
    }

    #[tokio::test]
    async fn batch_3_divisions_are_bounded_and_never_for_what_is_no_refusal() {
        let (results, requests) = sent(2000, RetryPolicy::none(), |_| BulkAnswer::refused(refusal(Retry::Never))).await;
        assert!(requests.len() <= 65 && results.iter().all(Result::is_err), "{}", requests.len());
        let failed = |_: &[usize]| BulkAnswer::refused(Error::new(ErrorKind::Unavailable, ""));
        let (results, requests) = sent(9, RetryPolicy::none(), failed).await;
        assert_eq!(requests.len(), 1);
        assert!(results.into_iter().all(|result| result.unwrap_err().is_outcome_unknown()));
    }

    #[tokio::test]
    async fn err_4_what_may_have_been_written_is_divided_only_where_it_may_be_repeated() {
        let answer = |items: &[usize]| match items.len() {
            1 => BulkAnswer::refused(refusal(Retry::Never)),
            _ => BulkAnswer::refused(refusal(Retry::OutcomeUnknown)),
        };
        let (results, requests) = sent(2, RetryPolicy::default(), answer).await;
        assert_eq!(requests, [vec![0, 1], vec![0], vec![1]]);
        assert!(
            results.into_iter().all(|result| result.unwrap_err().is_outcome_unknown()),
            "the first may have written"
        );
        let (_, requests) = sent(2, RetryPolicy::default().without_unknown_retries(), answer).await;
        assert_eq!(requests.len(), 1);
    }

    proptest! {
        #[test]
        fn batch_1_every_item_is_in_one_request_within_its_limits(
            sizes in prop::collection::vec(0u64..30, 0..60),
            items_max in 1usize..9,
            bytes_max in 0u64..60,
        ) {
            let limits = BulkLimits { items_max, bytes_max, frame_bytes: 2, separator_bytes: 1 };
            let bytes = |range: &Range<usize>| 1 + sizes[range.clone()].iter().map(|size| size + 1).sum::<u64>();
            let plan = limits.plan(sizes.iter().copied());
            let mut next = 0;
            for (at, range) in plan.iter().enumerate() {
                prop_assert_eq!(range.start, next);
                next = range.end;
                prop_assert!(!range.is_empty() && range.len() <= items_max);
                prop_assert!(range.len() == 1 || bytes(range) <= bytes_max);
                // As few as may be: the first item of the next one had no room here.
                if plan.get(at + 1).is_some() {
                    prop_assert!(range.len() == items_max || bytes(&(range.start..range.end + 1)) > bytes_max);
                }
            }
            prop_assert_eq!(next, sizes.len());
        }
    }
}
