//! Keeps the compiler's version for the machine's description: a figure without it cannot be compared.

use std::process::Command;

fn main() {
    let compiler = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let version = Command::new(compiler).arg("--version").output().ok();
    let version = version.and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    // "rustc 1.95.0 (commit date)": the first two words.
    let version: Vec<&str> = version.split_whitespace().take(2).collect();
    println!("cargo::rustc-env=KV_BENCH_COMPILER={}", version.join(" "));
    println!("cargo::rerun-if-changed=build.rs");
}
