//! `verify`, and the comparison that follows a copy.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};
use kv_api::{Escaped, Store};
use kv_migrate::{Difference, Entries, Error, Options, Rewrite, Verification, VerifyOptions, What, count, verify};
use serde::Serialize;

use super::arguments::VerifyArguments;
use super::display::{Display, Mode};
use super::exit::Exit;
use super::session::{Activity, Refused, Session};
use super::stop::{self, Opened, Stop};
use super::{place, report, selection};

/// What a comparison has found.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) verification: Verification,
    /// The first of the differences.
    pub(crate) shown: Vec<Difference>,
}

/// A side of a comparison: its name, what it is, and the file that names its keys.
pub(crate) type Side<'a> = (&'a Stop, &'a Opened, Option<&'a Path>);

/// Compares two stores or files.
pub(crate) async fn run(arguments: &VerifyArguments, session: &Session) -> Result<Exit, Refused> {
    let stops = stops(arguments).map_err(Refused::usage)?;
    selection::check_keys_from(&stops, &arguments.selection, true).map_err(Refused::usage)?;
    let options = selection::options_to_fit(&arguments.selection, &arguments.fit).map_err(Refused::usage)?;
    for stop in &stops {
        stop.check_source().map_err(|error| Refused::by(&error))?;
    }
    let [from, to] = &stops;
    let opened = [open(from).await?, open(to).await?];
    let [opened_from, opened_to] = &opened;
    let is_one_store = matches!(
        [opened_from, opened_to],
        [Opened::Store(one), Opened::Store(other)] if one.has_same_scope(other)
    );
    // Nothing differs from itself, and that looks like a good copy. Under other keys it may be one.
    if (place::are_one_file(&stops) || is_one_store) && options.rewrite == Rewrite::default() {
        let message = format!("{} and {} are the same: there is nothing to compare", from.shown(), to.shown());
        return Err(Refused::usage(message));
    }
    let sides = [(from, opened_from, arguments.selection.keys_from.as_deref()), (to, opened_to, None)];
    let result = run_opened(sides, arguments, &options, session).await;
    match (result, stop::close_all(&stops, &opened).await) {
        (Ok(Exit::Complete), Err(refused)) => Err(refused),
        (result, _) => result,
    }
}

async fn open(stop: &Stop) -> Result<Opened, Refused> {
    stop.open(true).await.map_err(|error| Refused::by_store(&stop.shown(), &error))
}

fn stops(arguments: &VerifyArguments) -> Result<[Stop; 2], String> {
    let stops = [Stop::parse(&arguments.from, 1)?, Stop::parse(&arguments.to, 2)?];
    for stop in &stops {
        match stop {
            Stop::Stdio => return Err("verify reads each side again, and - can be read only once".to_owned()),
            Stop::File(path) if stop::is_read_only_once(path) => {
                return Err(format!("{}: verify reads it again, and only a regular file can be", stop.shown()));
            }
            _ => {}
        }
    }
    Ok(stops)
}

async fn run_opened(
    pair: [Side<'_>; 2],
    arguments: &VerifyArguments,
    options: &Options,
    session: &Session,
) -> Result<Exit, Refused> {
    let how = VerifyOptions {
        both_ways: !arguments.one_way,
        sample: arguments.sample,
        recheck: arguments.recheck,
        min_ttl: selection::min_ttl(&arguments.fit),
        ..VerifyOptions::default()
    };
    let mode = Mode::choose(false, session.writes_log());
    let display = Arc::new(Display::new("verifying", mode, &options.timer));
    let mut shown = Vec::new();
    let mut written = Ok(());
    let above = &*display;
    let found = |difference: Difference| {
        if written.is_ok() {
            written = above.above(|| print(&difference));
        }
        if shown.len() < report::DIFFERENCES_SHOWN {
            shown.push(difference);
        }
    };
    let verification =
        compare(pair, options, &how, &display, session, found).await.map_err(|error| Refused::by(&error))?;
    let [(from, ..), (to, ..)] = pair;
    let exit = match &verification.stopped {
        Some(error) => Exit::of(error),
        None if verification.is_clean() => Exit::Complete,
        None => Exit::Differs,
    };
    let verified = Verified { from: from.shown(), to: to.shown(), verification, shown };
    if !arguments.json {
        report::comparison(&verified);
    }
    session.set_verified(verified);
    match written {
        Ok(()) => Ok(exit),
        // The reader of standard output has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(exit),
        Err(error) => {
            Err(Refused::by(&Error::File { file: "standard output".to_owned(), action: "write", source: error }))
        }
    }
}

/// Compares two sides, and shows how it comes along.
pub(crate) async fn compare(
    [(from_name, from, keys), (to_name, to, _)]: [Side<'_>; 2],
    options: &Options,
    how: &VerifyOptions,
    display: &Arc<Display>,
    session: &Session,
    found: impl FnMut(Difference) + Send,
) -> kv_migrate::Result<Verification> {
    let (source, target) = (entries(from, keys)?, entries(to, None)?);
    session.begin(Activity::verifying(from_name, to_name, display));
    let observed = &**display;
    let work = Box::pin(verify(&source, &target, options, how, |event| observed.observe(event), found));
    let countable = match from {
        Opened::Store(store) if from_name.is_local() && keys.is_none() && how.sample.is_none() => Some(store),
        _ => None,
    };
    let verification = display.during(counted(work, countable, options, display), |line| tell!("{line}")).await;
    display.clear();
    session.end();
    Ok(verification)
}

fn entries<'a>(opened: &'a Opened, keys: Option<&Path>) -> kv_migrate::Result<Entries<'a>> {
    match (opened, keys) {
        (Opened::Store(store), Some(path)) => Ok(Entries::Keys(store, path.to_owned())),
        (Opened::Store(store), None) => Ok(Entries::Store(store)),
        (Opened::File(path), _) => Ok(Entries::File(path.clone())),
        (Opened::Stdio, _) => Err(Error::Unsuitable("- cannot be read again".to_owned())),
    }
}

/// Counts the entries of a local store meanwhile, where a person waits for the end: its list costs little, and that of
/// a remote one is paid for.
pub(crate) async fn counted<T>(
    work: impl Future<Output = T> + Unpin,
    countable: Option<&Store>,
    options: &Options,
    display: &Display,
) -> T {
    let count = pin!(async {
        if let (Mode::Line, Some(store)) = (display.mode(), countable)
            && let Ok(entries) = count(store, options).await
        {
            display.set_total(entries);
        }
    });
    match select(work, count).await {
        Either::Left((done, _)) => done,
        Either::Right(((), work)) => work.await,
    }
}

/// A difference for programs.
#[derive(Serialize)]
pub(crate) struct Differs<'a> {
    mark: char,
    key: &'a str,
    line: Option<u64>,
    what: &'static str,
}

impl<'a> Differs<'a> {
    pub(crate) fn new(difference: &'a Difference) -> Self {
        let Difference { mark, key, line, what, .. } = difference;
        Self { mark: mark.as_char(), key, line: *line, what: name(*what) }
    }
}

/// A line of JSON, in which nothing moves the cursor of a terminal (ERR-2).
fn print(difference: &Difference) -> io::Result<()> {
    let mut text = serde_json::to_string(&Differs::new(difference))?;
    let mut output = io::stdout().lock();
    if output.is_terminal() {
        text = escaped(&text);
    }
    writeln!(output, "{text}")
}

/// JSON that means the same, with what a terminal would act on as escapes.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        let mut bytes = [0; 4];
        let plain = character.encode_utf8(&mut bytes);
        if Escaped(plain).to_string() == *plain {
            text.push(character);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
    }
    text
}

const fn name(what: What) -> &'static str {
    match what {
        What::NoValue => "no_value",
        What::Missing => "missing",
        What::Extra => "extra",
        What::Kind => "kind",
        What::Value => "value",
        What::Metadata => "metadata",
        What::Expiry => "expiry",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn err_2_a_terminal_gets_escapes_that_read_back_as_the_same() {
        let json = serde_json::to_string("a\u{1b}[2J\u{9b}\u{202e}\u{e0001}é\\\"").unwrap();
        let shown = escaped(&json);
        assert_eq!(shown, "\"a\\u001b[2J\\u009b\\u202e\\udb40\\udc01é\\\\\\\"\"");
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), serde_json::from_str::<String>(&json).unwrap());
    }
}
