//! Where the figures come from: machine, compiler, versions. No names of hosts or paths.

use std::fs;
use std::thread;

use kv_api::{Clock, SystemClock};

const LOCK: &str = include_str!("../Cargo.lock");

/// The contenders and what they stand on.
const CRATES: [&str; 9] =
    ["object_store", "opendal", "dashmap", "moka", "mini-moka", "sqlx", "rusqlite", "redis", "tokio"];

/// The lines that go above saved results.
pub(crate) fn description() -> String {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor = processor.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let processor = processor.trim_start_matches([' ', '\t', ':']);
    let now = SystemClock.now().to_string();
    let date = now.split('T').next().unwrap_or_default();
    format!(
        "Measured {date} on {cores} cores ({processor}), {} {}, {}, release build with thin LTO.\n{}, SQLite {}.\n",
        std::env::consts::OS,
        kernel.trim(),
        env!("KV_BENCH_COMPILER"),
        versions(LOCK, &CRATES).join(", "),
        rusqlite::version(),
    )
}

/// How busy the machine was: a line for the end of a run.
pub(crate) fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let quarter_of_an_hour = load.split_whitespace().nth(2).unwrap_or("unknown");
    format!(
        "Load average over the 15 minutes before the end: {quarter_of_an_hour}. Well above 2, other programs had the \
         cores too: figures scatter, and a caller that sleeps often (one at a time, one sync after the other) waits for a core.\n"
    )
}

/// `name version` of each of `names`; of a package that is there more than once, each version.
fn versions(lock: &str, names: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for name in names {
        let mut lines = lock.lines();
        while lines
            .by_ref()
            .any(|line| line.strip_prefix("name = ").is_some_and(|rest| rest.trim_matches('"') == *name))
        {
            if let Some(version) = lines.next().and_then(|line| line.strip_prefix("version = ")) {
                found.push(format!("{name} {}", version.trim_matches('"')));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_contender_has_a_version() {
        let found = versions(LOCK, &CRATES);
        for name in CRATES {
            assert!(found.iter().any(|entry| entry.starts_with(&format!("{name} "))), "{name}: {found:?}");
        }
        // OpenDAL's and ours.
        assert_eq!(found.iter().filter(|entry| entry.starts_with("sqlx ")).count(), 2);
    }
}
