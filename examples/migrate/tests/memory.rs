//! What a copy holds is bounded before it is read: large values behind small ones do not add up.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const MEGABYTE: usize = 1024 * 1024;
const SMALL: usize = 3000;
const LARGE: usize = 60;
const LARGE_BYTES: usize = 4 * MEGABYTE;

/// 64 MiB and four times the largest value, and what a program without optimisation takes for itself.
const PROMISED: u64 = (64 * MEGABYTE + 4 * LARGE_BYTES + 16 * MEGABYTE) as u64;

/// The most memory that the command had, as the system counts it.
fn peak(here: &Path, from: &str, to: &str) -> u64 {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kv-migrate"));
    command.current_dir(here).args(["copy", from, to]).stdin(Stdio::null()).stderr(Stdio::null());
    // So that the allocator of glibc gives back what it was given back, and what is held shows.
    let mut child = command.env("MALLOC_MMAP_THRESHOLD_", "1048576").spawn().unwrap();
    let (status, mut peak) = (format!("/proc/{}/status", child.id()), 0);
    while child.try_wait().unwrap().is_none() {
        let status = fs::read_to_string(&status).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
        peak = peak.max(line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024);
        std::thread::yield_now();
    }
    assert!(child.wait().unwrap().success(), "{from} {to}");
    peak
}

#[tokio::test]
async fn large_values_behind_small_ones_do_not_add_up() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let store = kv_backends::open(&format!("sqlite:{}", here.join("a.db").display())).await.unwrap();
    let small = (0..SMALL).map(|at| kv_api::SetItem::new(format!("a{at:05}"), "small"));
    assert!(store.set_many(small).await.iter().all(Result::is_ok));
    for at in 0..LARGE {
        store.set(format!("b{at:05}"), "y".repeat(LARGE_BYTES)).await.unwrap();
    }
    store.close().await.unwrap();
    for (from, to) in
        [("sqlite:a.db", "b.jsonl"), ("b.jsonl", "c.jsonl"), ("b.jsonl", "sqlite:d.db"), ("sqlite:a.db", "sqlite:e.db")]
    {
        let peak = peak(here, from, to);
        assert!(peak > 0 && peak <= PROMISED, "{from} {to}: {} MiB", peak / MEGABYTE as u64);
    }
}
