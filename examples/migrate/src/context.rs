//! What all parts of one copy or verification share.

use std::future::Future;

use crate::error::Result;
use crate::options::Options;
use crate::pace::Pace;
use crate::patience::{Observer, Patience};
use crate::progress::{Event, Progress, Resumed, Side};
use crate::summary::Counts;

/// What all parts of one copy or verification share.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) options: &'a Options,
    observer: &'a Observer<'a>,
    pub(crate) patience: Patience<'a>,
    pub(crate) source_pace: Pace<'a>,
    pub(crate) target_pace: Pace<'a>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(options: &'a Options, observer: &'a Observer<'a>) -> Self {
        let pace = || Pace::new(&*options.timer, options.rate);
        Self { options, observer, patience: Patience::new(options, observer), source_pace: pace(), target_pace: pace() }
    }

    /// Says how far a plan or a verification has come.
    pub(crate) fn progressed(&self, entries: u64, bytes: Option<(u64, u64)>) {
        self.observer.report(Event::Progress(Progress { entries, bytes, ..Progress::default() }));
    }

    /// Says how far a copy has come.
    pub(crate) fn copied(&self, counts: Counts, bytes: Option<(u64, u64)>) {
        self.observer.report(Event::Progress(Progress { entries: counts.read, bytes, counts }));
    }

    /// Says that it goes on where an earlier run ended.
    pub(crate) fn resumed(&self, at: Resumed) {
        self.observer.report(Event::Resumed(at));
    }

    /// Asks the store of a side until it answers, see [`Patience::ask`], at the rate that it may be asked. The question
    /// takes so many requests.
    ///
    /// # Errors
    /// As [`Patience::ask`].
    pub(crate) async fn ask<T, F>(&self, side: Side, requests: usize, question: impl FnMut() -> F + Send) -> Result<T>
    where
        F: Future<Output = kv_api::Result<T>> + Send,
    {
        self.pace(side).admit(requests).await;
        self.patience.ask(side, question).await
    }

    /// How often the store of a side may be asked.
    pub(crate) const fn pace(&self, side: Side) -> &Pace<'a> {
        match side {
            Side::Source => &self.source_pace,
            Side::Target => &self.target_pace,
        }
    }
}
