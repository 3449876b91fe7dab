//! What is known of the items of one pipeline, over all attempts to send it (BATCH-6).

use kv_api::{Error, ErrorKind, Result, Retry};
use kv_remote::Reply;

/// The items, in order. One that has its answer is not asked for again.
#[derive(Debug)]
pub(crate) struct Progress<T>(Vec<Item<T>>);

#[derive(Debug)]
struct Item<T> {
    result: Option<Result<Reply<T>>>,
    /// What the last attempt said.
    last: Option<Error>,
    /// An attempt is under way, or was dropped.
    is_asked: bool,
    /// An attempt that has ended may have been applied.
    maybe_applied: bool,
}

impl<T> Progress<T> {
    pub(crate) fn new(count: usize) -> Self {
        let item = |_| Item { result: None, last: None, is_asked: false, maybe_applied: false };
        Self((0..count).map(item).collect())
    }

    /// The items that an attempt has to ask for.
    pub(crate) fn open(&mut self) -> Vec<usize> {
        let mut open = Vec::new();
        for (at, item) in self.0.iter_mut().enumerate().filter(|(_, item)| item.result.is_none()) {
            item.maybe_applied |= std::mem::take(&mut item.is_asked);
            item.last = None;
            open.push(at);
        }
        open
    }

    /// These are sent from now on.
    pub(crate) fn ask(&mut self, open: &[usize]) {
        open.iter().for_each(|at| self.0[*at].is_asked = true);
    }

    /// The attempt has ended with these answers.
    ///
    /// # Errors
    /// That of an item that is to be asked for again.
    pub(crate) fn answer(
        &mut self,
        answers: impl Iterator<Item = (usize, Result<T>)>,
        may_repeat: impl Fn(&Error) -> bool,
    ) -> Result<()> {
        let mut again = None;
        for (at, answer) in answers {
            let item = &mut self.0[at];
            match answer {
                Ok(answer) => item.result = Some(Ok(Reply { answer, repeated: item.maybe_applied })),
                Err(error) if may_repeat(&error) => {
                    // Of two that are known in different ways the lesser is said of both.
                    if again.as_ref().is_none_or(|again: &Error| again.retry() == Retry::Safe) {
                        again = Some(error.clone());
                    }
                    item.fail(error);
                }
                Err(error) => {
                    let unknown = item.maybe_applied;
                    item.result = Some(Err(if unknown { error.with_retry(Retry::OutcomeUnknown) } else { error }));
                }
            }
        }
        again.map_or(Ok(()), Err)
    }

    /// The result of each item. `ended` is how the last attempt ended, for what it says nothing else of.
    pub(crate) fn results(self, ended: Option<Error>) -> Vec<Result<Reply<T>>> {
        let ended = ended.unwrap_or_else(lost_track);
        let result = |item: Item<T>| {
            item.result.unwrap_or_else(|| {
                let maybe_applied = item.maybe_applied || item.is_asked;
                let error = item.last.unwrap_or_else(|| ended.clone());
                Err(if maybe_applied { error.with_retry(Retry::OutcomeUnknown) } else { error })
            })
        };
        self.0.into_iter().map(result).collect()
    }
}

impl<T> Item<T> {
    fn fail(&mut self, error: Error) {
        self.is_asked = false;
        self.maybe_applied |= error.retry() == Retry::OutcomeUnknown;
        self.last = Some(error);
    }
}

/// What is known of an item before anything is known.
pub(crate) fn lost_track() -> Error {
    Error::new(ErrorKind::Internal, "an item of the batch was lost track of").with_retry(Retry::OutcomeUnknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(retry: Retry) -> Error {
        Error::new(ErrorKind::Unavailable, "").with_retry(retry)
    }

    fn retries(results: &[Result<Reply<u8>>]) -> Vec<Option<Retry>> {
        results.iter().map(|result| result.as_ref().err().map(Error::retry)).collect()
    }

    #[test]
    fn batch_6_only_what_was_turned_away_is_asked_for_again() {
        let mut progress = Progress::new(3);
        let open = progress.open();
        assert_eq!(open, [0, 1, 2]);
        progress.ask(&open);
        let answers = [(0, Ok(7_u8)), (1, Err(refused(Retry::Safe))), (2, Err(refused(Retry::Never)))];
        let again = progress.answer(answers.into_iter(), |error| error.retry() == Retry::Safe).unwrap_err();
        assert_eq!(again.retry(), Retry::Safe);
        assert_eq!(progress.open(), [1]);
        progress.ask(&[1]);
        progress.answer([(1, Ok(8))].into_iter(), |_| false).unwrap();
        assert!(progress.open().is_empty());
        let results = progress.results(None);
        assert_eq!(results[1].as_ref().unwrap(), &Reply { answer: 8, repeated: false });
        assert_eq!(retries(&results), [None, None, Some(Retry::Never)]);
    }

    #[test]
    fn err_5_what_may_have_been_applied_says_so_to_the_end() {
        let mut progress = Progress::new(3);
        let open = progress.open();
        progress.ask(&open);
        let lost = open.iter().map(|at| (*at, Err(refused(Retry::OutcomeUnknown))));
        progress.answer(lost, |_| true).unwrap_err();
        let open = progress.open();
        progress.ask(&open);
        let answers = [(0, Ok(7_u8)), (1, Err(refused(Retry::Safe))), (2, Err(refused(Retry::Never)))];
        progress.answer(answers.into_iter(), |error| error.retry() == Retry::Safe).unwrap_err();
        let results = progress.results(Some(refused(Retry::Safe)));
        assert_eq!(results[0].as_ref().unwrap(), &Reply { answer: 7, repeated: true });
        assert_eq!(retries(&results), [None, Some(Retry::OutcomeUnknown), Some(Retry::OutcomeUnknown)]);
    }

    #[test]
    fn err_3_an_attempt_that_was_dropped_may_have_been_applied_and_one_that_was_not_made_has_not() {
        let mut progress = Progress::<u8>::new(1);
        let open = progress.open();
        assert_eq!(retries(&Progress::<u8>::new(1).results(Some(refused(Retry::Safe)))), [Some(Retry::Safe)]);
        progress.ask(&open);
        let open = progress.open();
        progress.ask(&open);
        progress.answer([(0, Ok(1))].into_iter(), |_| false).unwrap();
        assert!(progress.results(None)[0].as_ref().unwrap().repeated);
        let mut dropped = Progress::<u8>::new(1);
        let open = dropped.open();
        dropped.ask(&open);
        assert_eq!(retries(&dropped.results(Some(refused(Retry::Safe)))), [Some(Retry::OutcomeUnknown)]);
    }
}
