//! `copy`, `export` and `import`: stops opened, one copy for each step.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kv_api::{Escaped, MinTtl, Store, Support};
use kv_migrate::{
    BulkFormat, BulkReader, BulkWriter, Error, KeyReader, OnConflict, Options, Result, Rewrite, Sink, Source, Summary,
    Verification, VerifyOptions, copy,
};

use super::arguments::{self, CopyOptions};
use super::display::{Display, Mode};
use super::exit::Exit;
use super::session::{Activity, Refused, Session};
use super::stop::{self, Opened, Stop};
use super::verify::{self as compare, Verified};
use super::{checkpoint, off_thread, place, report, selection, stdio};

/// What came of one step.
#[derive(Debug)]
pub(crate) struct StepReport {
    pub(crate) from: String,
    pub(crate) to: Stop,
    pub(crate) took: Duration,
    pub(crate) summary: Summary,
    /// A signal has ended it.
    pub(crate) is_cut_off: bool,
    pub(crate) verified: Option<Verified>,
}

/// Which of the commands it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Copy,
    Export,
    Import,
}

impl Way {
    /// So that a mistyped stop is no copy of another kind.
    fn check(self, stops: &[Stop]) -> Result<(), String> {
        let (Some(from), Some(to)) = (stops.first(), stops.last()) else { return Ok(()) };
        let is_store = |stop: &Stop| matches!(stop, Stop::Store { .. });
        match self {
            Self::Export if !is_store(from) => Err(format!("{}: export copies from a store", from.shown())),
            Self::Export if is_store(to) => Err(format!("{}: export copies to a file or to -", to.shown())),
            Self::Import if is_store(from) => Err(format!("{}: import copies from a file or from -", from.shown())),
            Self::Import if !is_store(to) => Err(format!("{}: import copies to a store", to.shown())),
            _ => Ok(()),
        }
    }
}

/// Copies from each of the stops to the next.
pub(crate) async fn run(
    way: Way,
    stops: &[String],
    arguments: &CopyOptions,
    session: &Session,
) -> Result<Exit, Refused> {
    let files = files(arguments).map_err(Refused::usage)?;
    let stops = stop::parse_all(stops, arguments.verify, &files).map_err(Refused::usage)?;
    way.check(&stops).map_err(Refused::usage)?;
    selection::check_keys_from(&stops, &arguments.selection, arguments.verify).map_err(Refused::usage)?;
    let options = options(arguments).map_err(Refused::usage)?;
    if stops.len() > 2 && options.rewrite != Rewrite::default() {
        let message = "--strip-prefix and --add-prefix change keys once, and need exactly two stops";
        return Err(Refused::usage(message.to_owned()));
    }
    session.set_writes_stdout(matches!(stops.last(), Some(Stop::Stdio)));
    // Before a store is opened, which would create it.
    if let Some(first) = stops.first() {
        first.check_source().map_err(|error| Refused::by(&error))?;
    }
    if session.writes_stdout() {
        stdio::check_output().map_err(|error| Refused::by(&error))?;
    }
    let opened = open_all(&stops, arguments).await?;
    let result = match place::check_stores(&stops, &opened).map_err(Refused::usage) {
        Ok(()) => match checkpoint::of(&stops, &opened, arguments).map_err(Refused::usage) {
            Ok(checkpoint) => {
                let options = Options { checkpoint, ..options };
                copy_all(&stops, &opened, arguments, &options, session).await
            }
            Err(refused) => Err(refused),
        },
        Err(refused) => Err(refused),
    };
    let closed = stop::close_all(&stops, &opened).await;
    match result {
        Ok(Exit::Complete) => closed.map(|()| Exit::Complete),
        result => result,
    }
}

/// The files that options name.
fn files(arguments: &CopyOptions) -> Result<Vec<(&'static str, &Path)>, String> {
    let written = [("--rejects", &arguments.rejects), ("--checkpoint", &arguments.checkpoint)];
    for (option, path) in written {
        if path.as_ref().and_then(|path| path.to_str()).is_some_and(stop::begins_like_a_url) {
            return Err(format!(
                "the file of {option} begins like a URL, and is not shown as it may hold a secret; a file of such a \
                 name is written with ./ in front"
            ));
        }
    }
    let all = [written[0], written[1], ("--keys-from", &arguments.selection.keys_from)];
    Ok(all.into_iter().filter_map(|(option, path)| Some((option, path.as_deref()?))).collect())
}

pub(crate) fn options(arguments: &CopyOptions) -> Result<Options, String> {
    Ok(Options {
        batch_entries: arguments.batch,
        concurrency: arguments.concurrency,
        rate: arguments.rate,
        max_wait: arguments.max_wait,
        on_conflict: arguments.on_conflict.into(),
        allow_race: arguments.allow_race,
        rejects: arguments.rejects.clone(),
        fail_fast: arguments.fail_fast,
        keep_partial: arguments.keep_partial,
        allow_empty: arguments.allow_empty,
        ..selection::options_to_fit(&arguments.selection, &arguments.fit)?
    })
}

async fn open_all(stops: &[Stop], arguments: &CopyOptions) -> Result<Vec<Opened>, Refused> {
    let mut opened = Vec::with_capacity(stops.len());
    for (position, stop) in stops.iter().enumerate() {
        let only_read = position == 0;
        let open = stop.open(only_read).await.map_err(|error| Refused::by_store(&stop.shown(), &error))?;
        opened.push(match open {
            Opened::Store(store) if arguments.fit.min_ttl_round_up && !only_read => {
                Opened::Store(store.with_min_ttl(MinTtl::RoundUp))
            }
            open => open,
        });
    }
    Ok(opened)
}

async fn copy_all(
    stops: &[Stop],
    opened: &[Opened],
    arguments: &CopyOptions,
    options: &Options,
    session: &Session,
) -> Result<Exit, Refused> {
    // The keys are those of the first stop; what comes after it lists its own.
    let mut keys_from = arguments.selection.keys_from.as_deref();
    for (names, step) in stops.windows(2).zip(opened.windows(2)) {
        if let ([from_name, to_name], [from, to]) = (names, step) {
            let keys_from = keys_from.take();
            let step = Step { from_name, to_name, from, to, keys_from, arguments, options, session };
            let exit = step.run().await.map_err(|error| Refused::by(&error))?;
            if exit != Exit::Complete {
                return Ok(exit); // a later step would copy what is known to be incomplete
            }
        }
    }
    Ok(Exit::Complete)
}

/// One way from a stop to the next.
struct Step<'a> {
    from_name: &'a Stop,
    to_name: &'a Stop,
    from: &'a Opened,
    to: &'a Opened,
    keys_from: Option<&'a Path>,
    arguments: &'a CopyOptions,
    options: &'a Options,
    session: &'a Session,
}

impl Step<'_> {
    async fn run(&self) -> Result<Exit> {
        let started = self.options.clock.now();
        let source = self.source().await?;
        let sink = match self.to {
            Opened::Store(store) => Sink::store(store),
            Opened::File(path) => Sink::file(path),
            Opened::Stdio => Sink::bulk(BulkWriter::stdout(self.arguments.stdout_format.into())),
        };
        let left_over = self.left_over();
        let display = self.display("copying");
        let checkpoint = self.options.checkpoint.as_ref().map(|checkpoint| checkpoint.path.clone());
        self.session.begin(Activity::copying(self.from_name, self.to_name, &display, checkpoint));
        let work = Box::pin(copy(source, sink, self.options, |event| display.observe(event)));
        let summary = display
            .during(compare::counted(work, self.countable(), self.options, &display), |line| tell!("{line}"))
            .await;
        display.clear();
        self.session.end();
        let report = StepReport {
            from: self.from_name.shown(),
            to: self.to_name.clone(),
            took: display.elapsed(),
            summary,
            is_cut_off: false,
            verified: None,
        };
        if !self.arguments.json {
            report::summary(&report);
            let has_begun = report.summary.stopped.is_none() || report.summary.counts.read > 0;
            if let Some(part) = left_over.filter(|_| has_begun && report.summary.resumed.is_none()) {
                tell!("  {}, which an interrupted copy had left, was discarded", Escaped(&part.display().to_string()));
            }
        }
        let copied = exit(&report.summary);
        // What was copied is worth comparing also when something was not.
        let compared = match (report.summary.target_untouched, &report.summary.kept_beside) {
            _ if !self.arguments.verify || report.summary.stopped.is_some() => None,
            (false, _) => Some(None),
            (true, kept) => kept.clone().map(Some),
        };
        // Before the comparison, which a signal may end.
        self.session.report(report);
        let verified = match compared {
            None => return Ok(copied),
            Some(None) => self.verify(self.to, self.to_name, started).await?,
            Some(Some(kept)) => self.verify(&Opened::File(kept.clone()), &Stop::File(kept), started).await?,
        };
        let differs = match &verified.verification {
            Verification { stopped: Some(error), .. } => Exit::of(error),
            verification if !verification.is_clean() => Exit::Differs,
            _ => Exit::Complete,
        };
        self.session.report_verified(verified);
        // What was not copied counts for more than that it differs, but not for more than that this is not known.
        Ok(if copied == Exit::Complete || !matches!(differs, Exit::Complete | Exit::Differs) {
            differs
        } else {
            copied
        })
    }

    /// The part file that another copy has left beside the target.
    fn left_over(&self) -> Option<PathBuf> {
        match self.to {
            Opened::File(path) => Some(BulkWriter::part_path(path)).filter(|part| part.exists()),
            Opened::Store(_) | Opened::Stdio => None,
        }
    }

    fn display(&self, what: &'static str) -> Arc<Display> {
        let mode = Mode::choose(self.session.writes_stdout(), self.session.writes_log());
        Arc::new(Display::new(what, mode, &self.options.timer))
    }

    /// The store whose entries can be counted.
    fn countable(&self) -> Option<&Store> {
        match self.from {
            Opened::Store(store) if self.from_name.is_local() && self.keys_from.is_none() => Some(store),
            _ => None,
        }
    }

    async fn verify(&self, to: &Opened, to_name: &Stop, started: kv_api::Timestamp) -> Result<Verified> {
        let pair = [(self.from_name, self.from, self.keys_from), (to_name, to, None)];
        // What a store held before the copy is no difference.
        let min_ttl = selection::min_ttl(&self.arguments.fit);
        let how = VerifyOptions { both_ways: false, started: Some(started), min_ttl, ..VerifyOptions::default() };
        let display = self.display("verifying");
        let mut shown = Vec::new();
        let found = |difference| {
            if shown.len() < report::DIFFERENCES_SHOWN {
                shown.push(difference);
            }
        };
        let verification = compare::compare(pair, self.options, &how, &display, self.session, found).await?;
        let verified = Verified { from: self.from_name.shown(), to: to_name.shown(), verification, shown };
        if !self.arguments.json {
            report::verification(&verified);
        }
        Ok(verified)
    }

    async fn source(&self) -> Result<Source<'_>> {
        match (self.from, self.keys_from) {
            (Opened::Store(store), Some(path)) => {
                let path = path.to_owned();
                let keys = off_thread(move || KeyReader::open(&path)).await?;
                Ok(Source::keys(store, keys, self.options))
            }
            (Opened::Store(store), None) if store.capabilities().list == Support::None => {
                Err(Error::Unsuitable(format!(
                    "{}: this store cannot list its keys; name those to copy with --keys-from",
                    self.from_name.shown()
                )))
            }
            (Opened::Store(store), None) => Source::store(store, self.options),
            (Opened::File(path), _) => {
                let path = path.clone();
                Ok(Source::bulk(off_thread(move || BulkReader::open(&path)).await?, self.options))
            }
            (Opened::Stdio, _) => Ok(Source::bulk(BulkReader::stdin(), self.options)),
        }
    }
}

fn exit(summary: &Summary) -> Exit {
    match &summary.stopped {
        Some(error) => Exit::of(error),
        None if summary.is_complete() => Exit::Complete,
        None => Exit::NotCopied,
    }
}

impl From<arguments::OnConflict> for OnConflict {
    fn from(on_conflict: arguments::OnConflict) -> Self {
        match on_conflict {
            arguments::OnConflict::Overwrite => Self::Overwrite,
            arguments::OnConflict::Skip => Self::Skip,
            arguments::OnConflict::Fail => Self::Fail,
        }
    }
}

impl From<arguments::Format> for BulkFormat {
    fn from(format: arguments::Format) -> Self {
        match format {
            arguments::Format::Jsonl => Self::Lines,
            arguments::Format::Json => Self::Array,
        }
    }
}
