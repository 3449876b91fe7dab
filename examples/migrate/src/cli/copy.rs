//! `copy`, `export` and `import`: stops opened, one copy for each step.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use kv_api::{MinTtl, Store, Support};
use kv_migrate::{
    BulkFormat, BulkReader, BulkWriter, Difference, Entries, Error, Filter, KeyReader, Loss, Options, Result, Rewrite,
    Sink, Source, Summary, Verification, VerifyOptions, ZeroExpiry, copy, verify,
};

use super::arguments::{self, CopyOptions};
use super::display::{Display, Mode};
use super::exit::Exit;
use super::session::{Activity, Refused, Session};
use super::stop::{self, Opened, Stop};
use super::{off_thread, place, report};

/// What came of one step.
#[derive(Debug)]
pub(crate) struct StepReport {
    pub(crate) from: String,
    pub(crate) to: Stop,
    pub(crate) took: Duration,
    pub(crate) summary: Summary,
    pub(crate) verified: Option<Verified>,
}

/// What a comparison after the copy has found.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) to: String,
    pub(crate) verification: Verification,
    /// The first of the differences.
    pub(crate) shown: Vec<Difference>,
}

/// Which of the commands it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Copy,
    Export,
    Import,
}

impl Way {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Export => "export",
            Self::Import => "import",
        }
    }

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
    let stops = stop::parse_all(stops, arguments.verify, arguments.keys_from.as_deref()).map_err(Refused::usage)?;
    way.check(&stops).map_err(Refused::usage)?;
    check_keys_from(&stops, arguments).map_err(Refused::usage)?;
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
    let opened = open_all(&stops, arguments).await?;
    let result = match place::check_stores(&stops, &opened).map_err(Refused::usage) {
        Ok(()) => copy_all(&stops, &opened, arguments, &options, session).await,
        Err(refused) => Err(refused),
    };
    let closed = close_all(&stops, &opened).await;
    match result {
        Ok(Exit::Complete) => closed.map(|()| Exit::Complete),
        result => result,
    }
}

fn check_keys_from(stops: &[Stop], arguments: &CopyOptions) -> Result<(), String> {
    let Some(path) = arguments.keys_from.as_deref() else { return Ok(()) };
    if !matches!(stops.first(), Some(Stop::Store { .. })) {
        return Err("--keys-from names keys of a store, and the first stop is not a store".to_owned());
    }
    if !path.exists() && path.to_str().is_some_and(stop::may_hold_a_secret) {
        return Err("the file of --keys-from does not exist, and is not shown as it may hold a secret".to_owned());
    }
    if arguments.verify && stop::is_read_only_once(path) {
        return Err("--verify reads the file of --keys-from again, and only a regular file can be".to_owned());
    }
    Ok(())
}

fn options(arguments: &CopyOptions) -> Result<Options, String> {
    Ok(Options {
        prefix: arguments.prefix.clone(),
        filter: Filter::new(&arguments.include, &arguments.exclude)?,
        rewrite: Rewrite { strip_prefix: arguments.strip_prefix.clone(), add_prefix: arguments.add_prefix.clone() },
        batch_entries: Some(arguments.batch),
        fail_fast: arguments.fail_fast,
        unknown_expiry_as_never: arguments.unknown_expiry_as_never,
        zero_expiry: arguments.zero_expiry.map_or_else(Default::default, Into::into),
        allow_loss: arguments.allow_loss.iter().map(|loss| (*loss).into()).collect(),
        keep_partial: arguments.keep_partial,
        allow_empty: arguments.allow_empty,
        ..Options::default()
    })
}

async fn open_all(stops: &[Stop], arguments: &CopyOptions) -> Result<Vec<Opened>, Refused> {
    let mut opened = Vec::with_capacity(stops.len());
    for (position, stop) in stops.iter().enumerate() {
        let only_read = position == 0;
        let open = stop.open(only_read).await.map_err(|error| Refused::by_store(&stop.shown(), &error))?;
        opened.push(match open {
            Opened::Store(store) if arguments.min_ttl_round_up && !only_read => {
                Opened::Store(store.with_min_ttl(MinTtl::RoundUp))
            }
            open => open,
        });
    }
    Ok(opened)
}

async fn close_all(stops: &[Stop], opened: &[Opened]) -> Result<(), Refused> {
    let mut closed = Ok(());
    for (stop, opened) in stops.iter().zip(opened) {
        if let Opened::Store(store) = opened
            && let Err(error) = store.close().await
        {
            let refused = Refused::by_store(&stop.shown(), &error);
            if closed.is_err() {
                refused.tell();
            } else {
                closed = Err(refused);
            }
        }
    }
    closed
}

async fn copy_all(
    stops: &[Stop],
    opened: &[Opened],
    arguments: &CopyOptions,
    options: &Options,
    session: &Session,
) -> Result<Exit, Refused> {
    // The keys are those of the first stop; what comes after it lists its own.
    let mut keys_from = arguments.keys_from.as_deref();
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
            Opened::File(path) => {
                let path = path.clone();
                Sink::bulk(off_thread(move || BulkWriter::create(&path)).await?)
            }
            Opened::Stdio => Sink::bulk(BulkWriter::stdout(self.arguments.stdout_format.into())),
        };
        let display = self.display("copying");
        self.session.begin(Activity::copying(self.from_name, self.to_name, &display));
        let work = Box::pin(copy(source, sink, self.options, |event| display.observe(event)));
        let summary = display.during(self.counted(work, &display), |line| tell!("{line}")).await;
        display.clear();
        self.session.end();
        let mut report = StepReport {
            from: self.from_name.shown(),
            to: self.to_name.clone(),
            took: display.elapsed(),
            summary,
            verified: None,
        };
        if !self.arguments.json {
            report::summary(&report);
        }
        // What was copied is worth comparing also when something was not.
        let verified = if self.arguments.verify && report.summary.stopped.is_none() {
            match (report.summary.target_untouched, &report.summary.kept_beside) {
                (false, _) => self.verify(self.to, self.to_name, started).await.map(Some),
                (true, None) => Ok(None),
                (true, Some(path)) => {
                    let kept = Stop::File(path.clone());
                    self.verify(&Opened::File(path.clone()), &kept, started).await.map(Some)
                }
            }
        } else {
            Ok(None)
        };
        let verified = verified.map(|verified| report.verified = verified);
        let exit = exit(&report);
        self.session.report(report);
        verified.map(|()| exit)
    }

    fn display(&self, what: &'static str) -> Rc<Display> {
        let mode = Mode::choose(self.session.writes_stdout(), self.session.writes_log());
        Rc::new(Display::new(what, mode, &self.options.timer))
    }

    /// Counts the entries of a local store meanwhile, where a person waits for the end: its list costs little, and that
    /// of a remote one is paid for.
    async fn counted<T>(&self, work: impl Future<Output = T> + Unpin, display: &Display) -> T {
        let count = async {
            if let (Mode::Line, Opened::Store(store), true, None) =
                (display.mode(), self.from, self.is_countable(), self.keys_from)
                && let Some(entries) = count(store, &self.options.prefix).await
            {
                display.set_total(entries);
            }
        };
        let count = std::pin::pin!(count);
        match futures_util::future::select(work, count).await {
            futures_util::future::Either::Left((done, _)) => done,
            futures_util::future::Either::Right(((), work)) => work.await,
        }
    }

    fn is_countable(&self) -> bool {
        self.from_name.is_local() && self.options.filter == Filter::default()
    }

    async fn verify(&self, to: &Opened, to_name: &Stop, started: kv_api::Timestamp) -> Result<Verified> {
        let unreadable = || Error::Unsuitable("- cannot be read again".to_owned());
        let source = match (self.from, self.keys_from) {
            (Opened::Store(store), Some(path)) => Entries::Keys(store, path.to_owned()),
            (Opened::Store(store), None) => Entries::Store(store),
            (Opened::File(path), _) => Entries::File(path.clone()),
            (Opened::Stdio, _) => return Err(unreadable()),
        };
        let target = match to {
            Opened::Store(store) => Entries::Store(store),
            Opened::File(path) => Entries::File(path.clone()),
            Opened::Stdio => return Err(unreadable()),
        };
        // What a store held before the copy is no difference.
        let how = VerifyOptions { both_ways: false, started: Some(started), ..VerifyOptions::default() };
        let display = self.display("verifying");
        self.session.begin(Activity::verifying(self.from_name, to_name, &display));
        let observed = &*display;
        let mut shown = Vec::new();
        let found = |difference| {
            if shown.len() < report::DIFFERENCES_SHOWN {
                shown.push(difference);
            }
        };
        let work = Box::pin(verify(&source, &target, self.options, &how, |event| observed.observe(event), found));
        let verification = display.during(self.counted(work, &display), |line| tell!("{line}")).await;
        display.clear();
        self.session.end();
        let verified = Verified { to: to_name.shown(), verification, shown };
        if !self.arguments.json {
            report::verification(&verified, &self.from_name.shown());
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

/// What was not copied counts for more than that it differs.
fn exit(report: &StepReport) -> Exit {
    let summary = &report.summary;
    let verification = report.verified.as_ref().map(|verified| &verified.verification);
    match (&summary.stopped, verification) {
        (Some(error), _) => Exit::of(error),
        (None, Some(Verification { stopped: Some(error), .. })) => Exit::of(error),
        (None, _) if !summary.is_complete() => Exit::NotCopied,
        (None, Some(verification)) if !verification.is_clean() => Exit::Differs,
        (None, _) => Exit::Complete,
    }
}

/// `None` when it cannot be counted.
async fn count(store: &Store, prefix: &str) -> Option<u64> {
    use futures_util::TryStreamExt;
    let pages = store.list().prefix(prefix.to_owned()).stream();
    pages.try_fold(0_u64, |count, _| std::future::ready(Ok(count + 1))).await.ok()
}

impl From<arguments::ZeroExpiry> for ZeroExpiry {
    fn from(meaning: arguments::ZeroExpiry) -> Self {
        match meaning {
            arguments::ZeroExpiry::Never => Self::Never,
            arguments::ZeroExpiry::Skip => Self::Skip,
        }
    }
}

impl From<arguments::Loss> for Loss {
    fn from(loss: arguments::Loss) -> Self {
        match loss {
            arguments::Loss::Expiry => Self::Expiry,
            arguments::Loss::Metadata => Self::Metadata,
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
