//! The command line: arguments in, an account and an exit code out.

/// Writes a line to standard error. One that takes no more, such as a closed pipe, must not change what is done, nor
/// the exit code.
macro_rules! tell {
    ($($message:tt)*) => {{
        let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{}\n", format_args!($($message)*)));
    }};
}

mod arguments;
mod checkpoint;
mod clean;
mod copy;
mod display;
mod exit;
mod help;
mod json;
mod log;
mod place;
mod plan;
mod progress;
mod report;
mod selection;
mod session;
mod shell;
mod stdio;
mod stop;
mod values;
mod verify;

use std::panic;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use futures_util::future::{Either, select};
use kv_api::{Timer, TokioTimer};
use kv_terminal::arguments::without_secrets;
use kv_terminal::signals;

use arguments::{Arguments, Command, CopyArguments};
use copy::Way;
use exit::Exit;
use session::{Refused, Session};

pub(crate) fn main() -> ExitCode {
    let exit = match Arguments::try_parse() {
        Ok(arguments) => run(&arguments),
        Err(error) => refused(&error),
    };
    exit.code().into()
}

fn run(arguments: &Arguments) -> Exit {
    log::start(arguments.verbose);
    match &arguments.command {
        Command::Completions(of) => printed(Ok(shell::completions(of.shell))),
        Command::Man => printed(shell::man()),
        command => job(command, arguments.verbose > 0),
    }
}

/// A text for standard output.
fn printed(text: std::io::Result<Vec<u8>>) -> Exit {
    match text.and_then(|text| shell::print(&text)) {
        Ok(()) => Exit::Complete,
        // Its reader has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Complete,
        Err(error) => {
            tell!("error: standard output: cannot write: {error}");
            Exit::Stopped
        }
    }
}

/// Does what is asked for.
async fn work(command: &Command, session: &Session) -> Result<Exit, Refused> {
    if command.writes_output() {
        stdio::check_output().map_err(|error| Refused::by(&error))?;
    }
    match command {
        Command::Copy(CopyArguments { stops, options }) if options.dry_run => {
            plan::run(plan::Job::of_copy(stops, options)?, session).await
        }
        Command::Copy(of) => copy::run(Way::Copy, &of.stops, &of.options, session).await,
        Command::Export(of) => {
            let stops = [of.from.clone(), of.file.clone()];
            copy::run(Way::Export, &stops, &of.options, session).await
        }
        Command::Import(of) => {
            let stdin: &[_] = if of.stops.len() == 1 { &["-".to_owned()] } else { &[] };
            copy::run(Way::Import, &[stdin, &of.stops].concat(), &of.options, session).await
        }
        Command::Plan(of) => plan::run(plan::Job::of(of)?, session).await,
        Command::Verify(of) => verify::run(of, session).await,
        Command::Clean(of) => clean::run(&of.target).await,
        Command::Completions(_) | Command::Man => Ok(Exit::Complete),
    }
}

/// Works until it is done or a signal comes.
fn job(command: &Command, writes_log: bool) -> Exit {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tell!("error: cannot start: {error}");
            return Exit::Stopped;
        }
    };
    let (session, began) = (Session::new(writes_log), TokioTimer.monotonic_now());
    let mut result = runtime.block_on(async {
        // First, so that it is listened to before there is anything to clean up.
        let stop = pin!(signals::stop());
        let work = pin!(work(command, &session));
        match select(stop, work).await {
            Either::Left((signal, _)) => Err(session.interrupted(signal.into())),
            Either::Right((result, _)) => result,
        }
    });
    if let Err(refused) = &result {
        refused.tell();
    }
    // After an interrupt a thread may still write to a file, which is put in order when it is done; one that waits for
    // standard input or for the other end of a pipe may wait for ever.
    runtime.shutdown_timeout(Duration::from_secs(1));
    if let (Err(refused), Some(stays)) = (&mut result, session.stays()) {
        tell!("{stays}");
        refused.message = format!("{}; {stays}", refused.message);
    }
    let (exit, refused) = match result {
        Ok(exit) => (exit, None),
        Err(refused) => (refused.exit, Some(refused)),
    };
    if command.json() {
        let took = TokioTimer.monotonic_now().saturating_sub(began);
        return json::print(command.name(), &session, refused.as_ref(), exit, took);
    }
    exit
}

/// What clap has to say: help, or what is wrong with the arguments. It quotes them as they are, also a URL with a
/// secret that stands in the wrong place (ERR-2).
fn refused(error: &clap::Error) -> Exit {
    if !error.use_stderr() {
        return printed(stdio::is_output_there().and_then(|()| error.print()).map(|()| Vec::new()));
    }
    let message = without_secrets(&error.render().to_string(), std::env::args_os().skip(1), stop::may_hold_a_secret);
    for line in message.lines() {
        tell!("{}", kv_api::Escaped(line));
    }
    Exit::Usage
}

/// Runs what blocks, such as opening a pipe without its other end, on a thread that may be blocked, so that a signal is
/// heard meanwhile.
async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => panic::resume_unwind(panic),
            Err(_) => unreachable!("work that blocks is never cancelled once it runs"),
        },
    }
}
