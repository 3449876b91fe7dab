//! Memory an entry takes: growth of the resident set of a process that holds nothing else.

use std::env;
use std::fs;
use std::process::Command;

use clap::ValueEnum;

use super::contender::Work;
use super::kind::Kind;
use crate::measure::Result;
use crate::payload::key;

/// Runs this program again as a process that loads one store, and answers bytes an entry.
///
/// # Errors
/// When the process cannot be started or fails.
pub(crate) fn in_own_process(kind: Kind, entries: usize) -> Result<f64> {
    let name = kind.to_possible_value().ok_or("a contender without a name")?;
    let output = Command::new(env::current_exe()?)
        .args(["--resident", name.get_name(), "--entries", &entries.to_string()])
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// What that process does.
///
/// # Errors
/// The store's, or when the system does not tell the size of the process.
pub(crate) async fn bytes_an_entry(kind: Kind, entries: usize) -> Result<f64> {
    // Keys are made a few at a time, so that they leave nothing worth counting behind.
    const STEP: usize = 1000;
    let mut order: Vec<usize> = (0..entries).collect();
    fastrand::shuffle(&mut order);
    // Threads, buffers and code that any store needs once.
    kind.create()?.sets(work(order.chunks(STEP).next().unwrap_or_default())).await?;
    let store = kind.create()?;
    let before = resident_bytes()?;
    for step in order.chunks(STEP) {
        store.sets(work(step)).await?;
    }
    let growth = resident_bytes()?.saturating_sub(before);
    Ok(growth as f64 / entries as f64)
}

fn work(numbers: &[usize]) -> Work {
    Work { keys: vec![numbers.iter().map(|number| key(*number)).collect()], passes: 1 }
}

fn resident_bytes() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS in /proc/self/status")?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kibibytes * 1024)
}
