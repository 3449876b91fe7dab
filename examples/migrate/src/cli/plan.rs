//! `plan`, and `copy --dry-run`: what a copy would do, without writing.

use std::num::NonZeroUsize;
use std::sync::Arc;

use kv_api::{ErrorKind, MinTtl, Store};
use kv_migrate::{BulkReader, Error, KeyReader, Options, Plan, PlanTarget, Source, plan, plan_sample};

use super::arguments::{CopyOptions, Fit, PlanArguments, Selection};
use super::display::{Display, Mode};
use super::exit::Exit;
use super::session::{Activity, Refused, Session};
use super::stop::{self, Opened, Stop};
use super::verify::counted;
use super::{off_thread, place, selection, shell};

/// What is to be planned, and how.
pub(crate) struct Job<'a> {
    pub(crate) stops: Vec<String>,
    pub(crate) selection: &'a Selection,
    pub(crate) fit: &'a Fit,
    pub(crate) options: Options,
    pub(crate) sample: Option<NonZeroUsize>,
    pub(crate) existing: bool,
    pub(crate) json: bool,
}

impl<'a> Job<'a> {
    pub(crate) fn of(arguments: &'a PlanArguments) -> Result<Self, Refused> {
        let PlanArguments { from, to, sample, existing, json, selection, fit } = arguments;
        Ok(Self {
            stops: vec![from.clone(), to.clone()],
            selection,
            fit,
            options: selection::options_to_fit(selection, fit).map_err(Refused::usage)?,
            sample: *sample,
            existing: *existing,
            json: *json,
        })
    }

    pub(crate) fn of_copy(stops: &[String], arguments: &'a CopyOptions) -> Result<Self, Refused> {
        let CopyOptions { selection, fit, json, .. } = arguments;
        let options = super::copy::options(arguments).map_err(Refused::usage)?;
        Ok(Self { stops: stops.to_vec(), selection, fit, options, sample: None, existing: false, json: *json })
    }
}

/// What a plan says.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) plan: Plan,
}

pub(crate) async fn run(job: Job<'_>, session: &Session) -> Result<Exit, Refused> {
    let keys_from = job.selection.keys_from.as_deref();
    let keys: Vec<_> = keys_from.map(|path| ("--keys-from", path)).into_iter().collect();
    let stops = stop::parse_all(&job.stops, false, &keys).map_err(Refused::usage)?;
    let [from, to] = stops.as_slice() else {
        return Err(Refused::usage("what several stops would do cannot be planned at once: name two".to_owned()));
    };
    selection::check_keys_from(&stops, job.selection, false).map_err(Refused::usage)?;
    if job.sample.is_some() && (keys_from.is_some() || !matches!(from, Stop::Store { .. })) {
        return Err(Refused::usage("--sample needs a store that lists its keys to choose from".to_owned()));
    }
    from.check_source().map_err(|error| Refused::by(&error))?;
    let opened_from = from.open(true).await.map_err(|error| Refused::by_store(&from.shown(), &error))?;
    let target = Target::open(to).await.map_err(|error| Refused::by_store(&to.shown(), &error))?;
    let result = match target.check_apart(&stops, &opened_from) {
        Ok(()) => run_opened(&job, (from, &opened_from), (to, &target), session).await,
        Err(message) => Err(Refused::usage(message)),
    };
    let closed = stop::close_all(&stops, &[opened_from, target.opened]).await;
    match result {
        Ok(Exit::Complete) => closed.map(|()| Exit::Complete),
        result => result,
    }
}

async fn run_opened(
    job: &Job<'_>,
    (from, opened): (&Stop, &Opened),
    (to, target): (&Stop, &Target),
    session: &Session,
) -> Result<Exit, Refused> {
    let store = target.store(job.fit);
    let plan_target = store.as_ref().map_or(PlanTarget::File, PlanTarget::Store);
    let mode = Mode::choose(false, session.writes_log());
    let display = Arc::new(Display::new("planning", mode, &job.options.timer));
    session.begin(Activity::planning(from, to, &display));
    let (options, existing, observed) = (&job.options, job.existing, &*display);
    let result = match (opened, job.sample) {
        (Opened::Store(store), Some(entries)) => {
            let work = plan_sample(store, entries, plan_target, options, existing, |event| observed.observe(event));
            Ok(display.during(Box::pin(work), |line| tell!("{line}")).await)
        }
        _ => match source(opened, job).await {
            Ok(source) => {
                let work = Box::pin(plan(source, plan_target, options, existing, |event| observed.observe(event)));
                let countable = match opened {
                    Opened::Store(store) if from.is_local() && job.selection.keys_from.is_none() => Some(store),
                    _ => None,
                };
                Ok(display.during(counted(work, countable, options, &display), |line| tell!("{line}")).await)
            }
            Err(error) => Err(Refused::by(&error)),
        },
    };
    display.clear();
    session.end();
    let plan = result?;
    let exit = match &plan.stopped {
        Some(error) => Exit::of(error),
        None if plan.is_complete() => Exit::Complete,
        None => Exit::NotCopied,
    };
    let planned = Planned { from: from.shown(), to: to.shown(), plan };
    if !job.json {
        tell(&planned)?;
    }
    session.set_planned(planned);
    Ok(exit)
}

/// The plan is what was asked for, and goes to standard output.
fn tell(planned: &Planned) -> Result<(), Refused> {
    let Planned { from, to, plan } = planned;
    let mut text = format!("plan of a copy from {from} to {to}; nothing was written\n{plan}\n");
    if let Some(error) = &plan.stopped {
        text.push_str(&format!("the copy would end: {error}\n"));
    }
    shell::print(text.as_bytes())
        .map_err(|source| Refused::by(&Error::File { file: "standard output".to_owned(), action: "write", source }))
}

async fn source<'a>(opened: &'a Opened, job: &Job<'_>) -> kv_migrate::Result<Source<'a>> {
    let options = &job.options;
    match (opened, job.selection.keys_from.clone()) {
        (Opened::Store(store), Some(path)) => {
            let keys = off_thread(move || KeyReader::open(&path)).await?;
            Ok(Source::keys(store, keys, options))
        }
        (Opened::Store(store), None) => Source::store(store, options),
        (Opened::File(path), _) => {
            let path = path.clone();
            Ok(Source::bulk(off_thread(move || BulkReader::open(&path)).await?, options))
        }
        (Opened::Stdio, _) => Ok(Source::bulk(BulkReader::stdin(), options)),
    }
}

/// Where entries would go: opened, and nothing made.
struct Target {
    opened: Opened,
    /// It is another one of its kind, in a folder that goes with it: the store itself is not there yet.
    stand_in: Option<tempfile::TempDir>,
}

impl Target {
    async fn open(stop: &Stop) -> kv_api::Result<Self> {
        match stop.open(true).await {
            Ok(opened) => Ok(Self { opened, stand_in: None }),
            // A file, or a namespace of it, that the copy would make.
            Err(error) if error.kind() == ErrorKind::Misconfigured && error.reason().is_none() => {
                match stop.stand_in().await? {
                    Some((store, folder)) => Ok(Self { opened: Opened::Store(store), stand_in: Some(folder) }),
                    None => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    fn check_apart(&self, stops: &[Stop], from: &Opened) -> Result<(), String> {
        match (&self.opened, &self.stand_in) {
            (Opened::Store(_), None) => place::check_stores(stops, [from, &self.opened]),
            _ => Ok(()),
        }
    }

    /// `None` for a file.
    fn store(&self, fit: &Fit) -> Option<Store> {
        match &self.opened {
            Opened::Store(store) if fit.min_ttl_round_up => Some(store.with_min_ttl(MinTtl::RoundUp)),
            Opened::Store(store) => Some(store.clone()),
            Opened::File(_) | Opened::Stdio => None,
        }
    }
}
