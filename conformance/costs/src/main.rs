#![doc = include_str!("../README.md")]

mod callgrind;
mod cases;
mod kept;
mod machine;

use std::env;
use std::error::Error;
use std::fs;
use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::kept::{Kept, Verdict};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What this program gives to itself, under valgrind.
const RUN: &str = "--run-cases";

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let first = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    let done = if first == RUN { cases::run(&rest).map(|()| true) } else { hold(&first, &rest) };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "kv-costs: {error}");
            ExitCode::from(2)
        }
    }
}

/// Counts, and keeps the figures, shows them or holds them against what is kept. False: a call costs more.
fn hold(path: &str, arguments: &[String]) -> Result<bool> {
    if path.is_empty() || cfg!(not(costs)) {
        return Err("this program is started by conformance/costs/run".into());
    }
    let renews = arguments == ["renew"];
    let names = if renews { &[] } else { arguments };
    let counted = Kept { made_with: machine::made_with()?, costs: callgrind::count(RUN, names)? };
    let mut out = io::stdout().lock();
    if renews {
        fs::write(path, counted.to_string())?;
        writeln!(out, "{counted}\nkept in {path}")?;
        return Ok(true);
    }
    if !names.is_empty() {
        writeln!(out, "{counted}")?;
        return Ok(true);
    }
    let kept: Kept = fs::read_to_string(path)?.parse().map_err(|error| format!("{path}: {error}"))?;
    let Verdict { lines, fails, .. } = kept.judge(&counted);
    for line in lines {
        writeln!(out, "{line}")?;
    }
    Ok(!fails)
}
