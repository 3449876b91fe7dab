//! Counting by valgrind's callgrind: instructions, and calls of what allocates.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::process::Command;

use crate::Result;
use crate::cases;

/// What a call costs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Cost {
    /// Without those of the C library's allocator, which depend on what was allocated before, and how.
    pub(crate) instructions: f64,
    pub(crate) allocations: f64,
}

/// What one profile holds, over all calls that were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Totals {
    instructions: u64,
    allocations: u64,
}

/// The function around what is counted, as callgrind names it: counts begin at zero when it is entered, and are written
/// when it is left.
const MEASURED: &str = "kv_costs::cases::measured";

/// Functions of the C library that make room. They call each other; such calls do not count.
const ALLOCATE: &[&str] = &["malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign"];
const FREE: &str = "free";

/// The C library chooses by processor how it copies and searches. Without these features it has one way to go.
const TUNABLES: &str = "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX2,-AVX,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM,\
                        -BMI2,-BMI1,-LZCNT,-SSE4_2,-SSE4_1,-SSSE3,-Fast_Unaligned_Copy";

/// Runs this program under callgrind: the cases whose names hold one of `names`, or all.
pub(crate) fn count(run: &str, names: &[String]) -> Result<BTreeMap<String, Cost>> {
    let folder = tempfile::tempdir()?;
    let profile = folder.path().join("profile");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--compress-strings=no", "--compress-pos=no"])
        .arg(format!("--zero-before={MEASURED}"))
        .arg(format!("--dump-after={MEASURED}"))
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(env::current_exe()?)
        .arg(run)
        .args(names)
        .env("GLIBC_TUNABLES", TUNABLES)
        .output()?;
    if !output.status.success() {
        return Err(format!("the run under valgrind failed:\n{}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let mut costs = BTreeMap::new();
    for (at, case) in cases::named(names).enumerate() {
        let path = folder.path().join(format!("profile.{}", at + 1));
        let text = fs::read_to_string(&path).map_err(|error| format!("no profile of {}: {error}", case.name))?;
        let totals = totals(&text)?;
        let each = |total: u64| total as f64 / case.calls as f64;
        let cost = Cost { instructions: each(totals.instructions), allocations: each(totals.allocations) };
        costs.insert(case.name.to_owned(), cost);
    }
    Ok(costs)
}

/// Reads a profile with names and positions in full. `fn=` names the function that the lines below are of, `cfn=` one
/// that it calls; `calls=` says how often, and the line below that what it cost, with all that was called in there.
fn totals(profile: &str) -> Result<Totals> {
    let mut totals = Totals::default();
    let (mut function, mut called) = ("", "");
    let mut lines = profile.lines();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("fn=") {
            function = name;
        } else if let Some(name) = line.strip_prefix("cfn=") {
            called = name;
        } else if let Some(calls) = line.strip_prefix("calls=") {
            let is_allocator = |name: &str| name == FREE || ALLOCATE.contains(&name);
            let cost = lines.next().unwrap_or_default();
            if is_allocator(called) && !is_allocator(function) {
                let cost: u64 = cost.split(' ').nth(1).unwrap_or_default().parse()?;
                totals.instructions = totals.instructions.saturating_sub(cost);
                let calls: u64 = calls.split(' ').next().unwrap_or_default().parse()?;
                totals.allocations += if called == FREE { 0 } else { calls };
            }
        } else if let Some(summary) = line.strip_prefix("summary:") {
            // It stands before all functions.
            totals.instructions = summary.trim().parse()?;
        }
    }
    if totals.instructions == 0 {
        return Err("a profile without instructions: was the function around the measured calls inlined?".into());
    }
    Ok(totals)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_says_instructions_and_who_allocates() {
        let profile = "version: 1\nsummary: 1000\n\nfn=kv_api::x\n3 10\ncfn=malloc\ncalls=4 0\n3 200\ncfn=other\n\
                       calls=9 0\n3 7\nfn=realloc\n0 5\ncfn=malloc\ncalls=2 0\n0 30\nfn=y\ncfn=realloc\ncalls=1 0\n\
                       0 40\ncfn=free\ncalls=5 0\n0 60\n\ntotals: 1000\n";
        assert_eq!(totals(profile).unwrap(), Totals { instructions: 700, allocations: 5 });
    }

    #[test]
    fn a_profile_of_nothing_is_refused() {
        assert!(totals("version: 1\nsummary: 0\n").is_err());
        assert!(totals("version: 1\n").is_err());
    }
}
