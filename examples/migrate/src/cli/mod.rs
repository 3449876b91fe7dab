//! The command line: arguments in, stops opened, one copy for each step, an account and an exit code out.

/// Writes a line to standard error. One that takes no more, such as a closed pipe, must not change what is done, nor
/// the exit code.
macro_rules! tell {
    ($($message:tt)*) => {{
        let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{}\n", format_args!($($message)*)));
    }};
}

mod arguments;
mod place;
mod report;
mod stop;
mod terminal;

use std::future::pending;
use std::path::Path;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use futures_util::future::{Either, select};
use kv_api::Support;
use kv_migrate::{
    BulkFormat, BulkReader, BulkWriter, Error, KeyReader, Loss, Options, Result, Sink, Source, Target, ZeroExpiry,
    copy, verify,
};

use arguments::{Arguments, Command, CopyArguments};
use stop::{Opened, Stop};
use terminal::Bar;

/// Everything was copied, and is as it should be where that was asked for.
const COMPLETE: u8 = 0;
/// Something was not copied, differs, or ended the copy.
const INCOMPLETE: u8 = 1;
/// The command cannot be understood.
const USAGE: u8 = 2;
/// Ended by the interrupt key: 128 and the number of the signal, as shells have it.
const INTERRUPTED: u8 = 130;
/// Ended by a request to terminate, likewise.
#[cfg(unix)]
const TERMINATED: u8 = 143;

pub(crate) fn main() -> ExitCode {
    let Command::Copy(arguments) = match Arguments::try_parse() {
        Ok(arguments) => arguments.command,
        Err(error) => return refused(&error),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tell!("error: cannot start: {error}");
            return INCOMPLETE.into();
        }
    };
    let code = runtime.block_on(async {
        // First, so that it is listened to before there is anything to clean up.
        let signal = pin!(signal());
        let work = pin!(run(&arguments));
        match select(signal, work).await {
            Either::Left((code, _)) => {
                tell!("interrupted; what a store has acknowledged stays, a file is whole or as it was before");
                code
            }
            Either::Right((code, _)) => code,
        }
    });
    // After an interrupt a thread may still write to the temporary file, which goes when it is done; one that waits for
    // standard input may wait for ever.
    runtime.shutdown_timeout(Duration::from_secs(1));
    code.into()
}

/// What clap has to say: help, or what is wrong with the arguments. It quotes them as they are, also a URL with a
/// secret that stands in the wrong place (ERR-2).
fn refused(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        let _ = error.print();
        return COMPLETE.into();
    }
    let mut message = error.render().to_string();
    for argument in std::env::args_os().skip(1) {
        let argument = argument.to_string_lossy();
        let value = argument.split_once('=').map_or("", |(_, value)| value);
        for part in [&*argument, value] {
            if stop::may_hold_a_secret(part) {
                message = message.replace(part, "...");
            }
        }
    }
    for line in message.lines() {
        tell!("{}", kv_api::Escaped(line));
    }
    USAGE.into()
}

/// Ends when a signal asks the program to stop, with the exit code for it.
async fn signal() -> u8 {
    let interrupt = pin!(async {
        if tokio::signal::ctrl_c().await.is_err() {
            pending::<()>().await; // it cannot be listened for, which is not a signal
        }
    });
    #[cfg(unix)]
    if let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        return match select(interrupt, pin!(terminate.recv())).await {
            Either::Left(_) => INTERRUPTED,
            Either::Right(_) => TERMINATED,
        };
    }
    interrupt.await;
    INTERRUPTED
}

async fn run(arguments: &CopyArguments) -> u8 {
    let stops = match stop::parse_all(&arguments.stops, arguments.verify, arguments.keys_from.as_deref()) {
        Ok(stops) => stops,
        Err(message) => {
            tell!("error: {message}\n\nFor more information, try '--help'.");
            return USAGE;
        }
    };
    if arguments.keys_from.is_some() && !matches!(stops.first(), Some(Stop::Store { .. })) {
        tell!(
            "error: --keys-from names keys of a store, and the first stop is not a store\n\nFor more information, try '--help'."
        );
        return USAGE;
    }
    if let Some(name) = arguments.keys_from.as_ref().filter(|path| !path.exists()).and_then(|path| path.to_str())
        && stop::may_hold_a_secret(name)
    {
        tell!("error: the file of --keys-from does not exist, and is not shown as it may hold a secret");
        return USAGE;
    }
    if arguments.verify && arguments.keys_from.as_deref().is_some_and(stop::is_read_only_once) {
        tell!("error: --verify reads the file of --keys-from again, and only a regular file can be");
        return USAGE;
    }
    let options = Options {
        prefix: arguments.prefix.clone(),
        batch_entries: Some(arguments.batch),
        fail_fast: arguments.fail_fast,
        unknown_expiry_as_never: arguments.unknown_expiry_as_never,
        allow_loss: arguments.allow_loss.iter().map(|loss| (*loss).into()).collect(),
        zero_expiry: arguments.zero_expiry.map_or_else(Default::default, Into::into),
        keep_partial: arguments.keep_partial,
        allow_empty: arguments.allow_empty,
        ..Options::default()
    };
    // Before a store is opened, which would create it.
    if let Some(Err(error)) = stops.first().map(Stop::check_source) {
        report::error(&error);
        return INCOMPLETE;
    }
    let mut opened = Vec::with_capacity(stops.len());
    for (position, stop) in stops.iter().enumerate() {
        match stop.open(position == 0).await {
            Ok(stop) => opened.push(stop),
            Err(error) => {
                tell!("error: {}: {}", stop.shown(), report::reason(&error));
                return if error.kind() == kv_api::ErrorKind::InvalidArgument { USAGE } else { INCOMPLETE };
            }
        }
    }
    let mut code = COMPLETE;
    if let Err(message) = place::check_stores(&stops, &opened) {
        tell!("error: {message}");
        code = USAGE;
    } else if arguments.verify
        && let Err(message) = check_comparable(&stops, &opened, arguments.keys_from.is_some(), &options)
    {
        tell!("error: {message}");
        code = INCOMPLETE;
    }
    // The keys are those of the first stop; what comes after it lists its own.
    let mut keys_from = arguments.keys_from.as_deref();
    for (names, step) in stops.windows(2).zip(opened.windows(2)) {
        if code != COMPLETE {
            break; // a later step would copy what is known to be incomplete
        }
        if let ([from_name, to_name], [from, to]) = (names, step) {
            let step = Step { from_name, to_name, from, to, keys_from: keys_from.take() };
            code = match step.run(arguments, &options).await {
                Ok(code) => code,
                Err(error) => {
                    report::error(&error);
                    INCOMPLETE
                }
            };
        }
    }
    for (stop, opened) in stops.iter().zip(&opened) {
        if let Opened::Store(store) = opened
            && let Err(error) = store.close().await
        {
            tell!("error: {}: {}", stop.shown(), report::reason(&error));
            code = code.max(INCOMPLETE);
        }
    }
    code
}

/// Finds the stop whose copy could not be verified, before anything is copied. Keys from a file come in the order of
/// the file.
fn check_comparable(stops: &[Stop], opened: &[Opened], keys_named: bool, options: &Options) -> Result<(), String> {
    for (stop, step) in stops.iter().zip(opened.windows(2)).skip(usize::from(keys_named)) {
        if let [Opened::Store(store), Opened::File(_)] = step {
            let checked = Source::store(store, options).and_then(|source| source.check_comparable_with_file());
            checked.map_err(|error| format!("{}: {error}", stop.shown()))?;
        }
    }
    Ok(())
}

/// One way from a stop to the next.
struct Step<'a> {
    from_name: &'a Stop,
    to_name: &'a Stop,
    from: &'a Opened,
    to: &'a Opened,
    keys_from: Option<&'a Path>,
}

impl Step<'_> {
    async fn run(&self, arguments: &CopyArguments, options: &Options) -> Result<u8> {
        let started = options.clock.now();
        let source = self.source(options)?;
        let sink = match self.to {
            Opened::Store(store) => Sink::store(store),
            Opened::File(path) => Sink::bulk(BulkWriter::create(path)?),
            Opened::Stdio => Sink::bulk(BulkWriter::stdout(arguments.stdout_format.into())),
        };
        let bar = Bar::new("copying", matches!(self.to, Opened::Stdio));
        let summary = Box::pin(copy(source, sink, options, |event| bar.observe(event))).await;
        bar.clear();
        report::summary(&summary, self.from_name, self.to_name, bar.elapsed());
        // What was copied is worth comparing also when something was not.
        let mut complete = summary.is_complete();
        if arguments.verify && summary.stopped.is_none() {
            complete &= match (summary.target_untouched, summary.kept_beside) {
                (false, _) => self.verify(self.to, self.to_name, options, started).await?,
                (true, None) => false,
                (true, Some(path)) => {
                    let kept = Stop::File(path.clone());
                    self.verify(&Opened::File(path), &kept, options, started).await?
                }
            };
        }
        Ok(if complete { COMPLETE } else { INCOMPLETE })
    }

    async fn verify(&self, to: &Opened, to_name: &Stop, options: &Options, started: kv_api::Timestamp) -> Result<bool> {
        let target = match to {
            Opened::Store(store) => Target::Store(store),
            Opened::File(path) => Target::Bulk(BulkReader::open(path)?),
            Opened::Stdio => return Ok(false),
        };
        let bar = Bar::new("verifying", false);
        let source = self.source(options)?;
        let verification = Box::pin(verify(source, target, options, started, |event| bar.observe(event))).await;
        bar.clear();
        report::verification(&verification, self.from_name, to_name);
        Ok(verification.is_clean())
    }

    fn source(&self, options: &Options) -> Result<Source<'_>> {
        match (self.from, self.keys_from) {
            (Opened::Store(store), Some(path)) => Ok(Source::keys(store, KeyReader::open(path)?, options)),
            (Opened::Store(store), None) if store.capabilities().list == Support::None => {
                Err(Error::Unsuitable(format!(
                    "{}: this store cannot list its keys; name those to copy with --keys-from",
                    self.from_name.shown()
                )))
            }
            (Opened::Store(store), None) => Source::store(store, options),
            (Opened::File(path), _) => Ok(Source::bulk(BulkReader::open(path)?, options)),
            (Opened::Stdio, _) => Ok(Source::bulk(BulkReader::stdin(), options)),
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

impl From<arguments::ZeroExpiry> for ZeroExpiry {
    fn from(meaning: arguments::ZeroExpiry) -> Self {
        match meaning {
            arguments::ZeroExpiry::Never => Self::Never,
            arguments::ZeroExpiry::Skip => Self::Skip,
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
