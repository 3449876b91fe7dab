//! A server's process: its start, its log, its end.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use kv_api::{Timer, TokioTimer};
use rustix::process::{Pid, Signal, kill_process};

use crate::error::While;
use crate::home::home;
use crate::{Error, Result};

/// How long a server may take to start or to end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// By which signal a server is ended that nobody needs any more, here and by the watcher.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// At once.
    Kill,
    /// At once too, but it ends its own children and frees what the kernel keeps for it: PostgreSQL.
    Quit,
}

/// A running server, ended by its drop.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
    end: End,
}

impl Process {
    /// Starts it, with its output in `log`.
    pub(crate) fn start(command: &mut Command, log: &Path, end: End) -> Result<Self> {
        let output = File::options().create(true).append(true).open(log)?;
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .when(format_args!("{name} does not start"))?;
        let process = Self { child, log: log.to_owned(), end };
        home()?.watch(process.id(), end.name())?;
        Ok(process)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// An error with the end of the log, when it has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(self.failed(&format!("ended by itself ({status})"))),
        }
    }

    /// What happened to it, with the end of its log.
    pub(crate) fn failed(&self, what: &str) -> Error {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(15)..].join("\n");
        Error::Failed(format!("the server {what}; the end of its log:\n{last}"))
    }

    /// Sends a signal, unless it has ended: its id may be another's then.
    pub(crate) fn signal(&mut self, signal: Signal) -> Result<()> {
        self.check()?;
        let pid = i32::try_from(self.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| Error::failed("a process id out of range"))?;
        kill_process(pid, signal).when("a signal cannot be sent")
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(mut self) {
        self.end = End::Kill;
    }

    /// Waits until it has ended, which a signal asked it for.
    pub(crate) async fn ended(mut self) -> Result<()> {
        let mut patience = Patience::new(PATIENCE);
        while self.child.try_wait()?.is_none() {
            if !patience.pause().await {
                return Err(self.failed("does not end"));
            }
        }
        Ok(())
    }
}

impl End {
    /// As `kill -s` calls it.
    const fn name(self) -> &'static str {
        match self {
            Self::Kill => "KILL",
            Self::Quit => "QUIT",
        }
    }
}

/// Waits for its end, which is a matter of milliseconds.
impl Drop for Process {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = match self.end {
            End::Kill => self.signal(Signal::KILL),
            // One that a test has stopped goes on first.
            End::Quit => self.signal(Signal::QUIT).and_then(|()| self.signal(Signal::CONT)),
        };
        let _ = self.child.wait();
        if let Ok(home) = home() {
            home.unwatch(self.child.id());
        }
    }
}

/// What a program prints that ends by itself. Should this process end first, it ends too.
pub(crate) async fn output(mut command: Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let run = move || -> Result<Output> {
        let child = command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (home, id) = (home()?, child.id());
        home.watch(id, End::Kill.name())?;
        let output = child.wait_with_output();
        home.unwatch(id);
        Ok(output?)
    };
    let output = tokio::task::spawn_blocking(run).await.when(&name)?.when(&name)?;
    if !output.status.success() {
        return Err(Error::Failed(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim_end())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a server has failed because another process took its port first.
pub(crate) fn is_port_in_use(error: &Error) -> bool {
    matches!(error, Error::Failed(text) if text.contains("Address already in use"))
}

/// Waits in small steps, not for ever.
#[derive(Debug)]
pub(crate) struct Patience {
    started: Duration,
    limit: Duration,
}

impl Patience {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { started: TokioTimer.monotonic_now(), limit }
    }

    /// Waits a little. Whether there is still time.
    pub(crate) async fn pause(&mut self) -> bool {
        TokioTimer.sleep(Duration::from_millis(5)).await;
        TokioTimer.monotonic_now().saturating_sub(self.started) < self.limit
    }
}
