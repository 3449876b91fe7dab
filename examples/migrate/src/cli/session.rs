//! What one run of the command has done and is doing, also for the case that a signal ends it.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::sync::Arc;

use kv_migrate::{Error, Summary};

use super::copy::StepReport;
use super::display::Display;
use super::exit::Exit;
use super::plan::Planned;
use super::report;
use super::stop::{self, Stop};
use super::verify::Verified;

/// Shared by the work and by what ends it.
#[derive(Default)]
pub(crate) struct Session {
    activity: RefCell<Option<Activity>>,
    steps: RefCell<Vec<StepReport>>,
    verified: RefCell<Option<Verified>>,
    planned: RefCell<Option<Planned>>,
    writes_stdout: Cell<bool>,
    writes_log: bool,
}

impl Session {
    /// `writes_log`: the log goes to standard error too.
    pub(crate) fn new(writes_log: bool) -> Self {
        Self { writes_log, ..Self::default() }
    }

    pub(crate) fn begin(&self, activity: Activity) {
        self.activity.replace(Some(activity));
    }

    pub(crate) fn end(&self) {
        self.activity.replace(None);
    }

    pub(crate) fn report(&self, step: StepReport) {
        self.steps.borrow_mut().push(step);
    }

    /// What was found after the last step.
    pub(crate) fn report_verified(&self, verified: Verified) {
        if let Some(step) = self.steps.borrow_mut().last_mut() {
            step.verified = Some(verified);
        }
    }

    pub(crate) fn take_steps(&self) -> Vec<StepReport> {
        self.steps.take()
    }

    pub(crate) fn set_verified(&self, verified: Verified) {
        self.verified.replace(Some(verified));
    }

    pub(crate) fn set_planned(&self, planned: Planned) {
        self.planned.replace(Some(planned));
    }

    pub(crate) fn take_planned(&self) -> Option<Planned> {
        self.planned.take()
    }

    pub(crate) fn take_verified(&self) -> Option<Verified> {
        self.verified.take()
    }

    pub(crate) fn set_writes_stdout(&self, writes_stdout: bool) {
        self.writes_stdout.set(writes_stdout);
    }

    pub(crate) fn writes_stdout(&self) -> bool {
        self.writes_stdout.get()
    }

    pub(crate) const fn writes_log(&self) -> bool {
        self.writes_log
    }

    /// What a signal has ended.
    pub(crate) fn interrupted(&self, exit: Exit) -> Refused {
        let what = match &*self.activity.borrow() {
            Some(activity) => activity.ended(),
            None => "nothing was copied or compared yet".to_owned(),
        };
        Refused { exit, kind: "interrupted".to_owned(), message: format!("interrupted: {what}") }
    }

    /// What stays of it, when all that was still being written has come to rest. A step that was cut off is reported
    /// then.
    pub(crate) fn stays(&self) -> Option<String> {
        let activity = self.activity.take()?;
        let stays = activity.stays();
        if let Some(step) = activity.cut_off() {
            self.report(step);
        }
        stays
    }
}

/// What is being done.
pub(crate) struct Activity {
    what: What,
    from: String,
    to: Stop,
    display: Arc<Display>,
}

enum What {
    /// With the checkpoint that it keeps.
    Copy(Option<PathBuf>),
    Verify,
    Plan,
}

impl Activity {
    pub(crate) fn copying(from: &Stop, to: &Stop, display: &Arc<Display>, checkpoint: Option<PathBuf>) -> Self {
        Self::new(What::Copy(checkpoint), from, to, display)
    }

    pub(crate) fn verifying(from: &Stop, to: &Stop, display: &Arc<Display>) -> Self {
        Self::new(What::Verify, from, to, display)
    }

    pub(crate) fn planning(from: &Stop, to: &Stop, display: &Arc<Display>) -> Self {
        Self::new(What::Plan, from, to, display)
    }

    fn new(what: What, from: &Stop, to: &Stop, display: &Arc<Display>) -> Self {
        Self { what, from: from.shown(), to: to.clone(), display: Arc::clone(display) }
    }

    /// How far it came.
    fn ended(&self) -> String {
        self.display.clear();
        let (entries, from) = (report::entries(self.display.entries()), &self.from);
        match self.what {
            What::Copy(_) => {
                let (counts, _) = self.display.account();
                let failed = match counts.failed.saturating_add(counts.unknown) {
                    0 => String::new(),
                    failed => format!(", {} of them not copied, or not certainly", report::grouped(failed)),
                };
                format!("{entries} of {from} were dealt with{failed}")
            }
            What::Verify => format!("{entries} of {from} were compared with {}", self.to.shown()),
            What::Plan => format!("{entries} of {from} were read, and nothing was written"),
        }
    }

    /// The account of a copy up to here. Why entries were not copied is not known of it.
    fn cut_off(self) -> Option<StepReport> {
        let What::Copy(checkpoint) = self.what else { return None };
        let mut summary = Summary::default();
        (summary.counts, summary.resumed) = self.display.account();
        summary.checkpoint = checkpoint.filter(|path| path.exists());
        summary.target_untouched = matches!(&self.to, Stop::File(path) if !stop::is_read_only_once(path));
        let took = self.display.elapsed();
        Some(StepReport { from: self.from, to: self.to, took, summary, is_cut_off: true, verified: None })
    }

    fn stays(&self) -> Option<String> {
        let What::Copy(checkpoint) = &self.what else { return None };
        let to = self.to.shown();
        if let Some(checkpoint) = checkpoint.as_deref().filter(|path| path.exists()) {
            return Some(report::goes_on(checkpoint, &self.to));
        }
        let part = report::part_file(&self.to);
        Some(match (&self.to, part) {
            (_, Some(part)) => format!("left behind: {part}"),
            (Stop::Store { .. }, _) => format!("what {to} has acknowledged stays there"),
            (Stop::Stdio, _) => "what was written stays written".to_owned(),
            (Stop::File(path), _) if path.exists() => format!("{to} is as it was before"),
            (Stop::File(_), _) => format!("no file {to} was written"),
        })
    }
}

/// Why there is no more to report: what was asked for cannot be done, or was ended.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) exit: Exit,
    /// For programs.
    pub(crate) kind: String,
    /// One line; shows no secret.
    pub(crate) message: String,
}

impl Refused {
    pub(crate) fn usage(message: String) -> Self {
        Self { exit: Exit::Usage, kind: "usage".to_owned(), message }
    }

    pub(crate) fn by(error: &Error) -> Self {
        Self { exit: Exit::of(error), kind: report::kind(error), message: error.to_string() }
    }

    /// What a store, by the name that is shown of it, answered when it was opened or closed.
    pub(crate) fn by_store(shown: &str, error: &kv_api::Error) -> Self {
        let exit = match error.kind() {
            kv_api::ErrorKind::InvalidArgument => Exit::Usage,
            _ => Exit::of_store(error),
        };
        Self { exit, kind: report::store_kind(error), message: format!("{shown}: {}", report::reason(error)) }
    }

    pub(crate) fn tell(&self) {
        let Self { exit, message, .. } = self;
        match exit {
            Exit::Usage => tell!("error: {message}\n\nFor more information, try '--help'."),
            Exit::Signalled(_) => tell!("{message}"),
            _ => tell!("error: {message}"),
        }
    }
}
