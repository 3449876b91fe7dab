//! What the libraries log, on standard error.

use std::io;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

/// What is noteworthy with one, also every repeated request with two. Only of the crates of this workspace: what others
/// log may show a body or a header.
pub(crate) fn start(verbose: u8) {
    let level = match verbose {
        0 => return,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    let written = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false).without_time();
    let _ = tracing_subscriber::registry().with(written.with_filter(targets(level))).try_init();
}

fn targets(level: LevelFilter) -> Targets {
    // The beginning of the names of all its crates.
    Targets::new().with_target("kv_", level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_crates_of_this_workspace_are_logged() {
        let would_log =
            |target, level: LevelFilter| targets(LevelFilter::DEBUG).would_enable(target, &level.into_level().unwrap());
        assert!(would_log("kv_remote::call", LevelFilter::DEBUG));
        assert!(!would_log("kv_remote::call", LevelFilter::TRACE));
        assert!(!would_log("tungstenite::protocol", LevelFilter::ERROR));
        assert!(!would_log("hyper", LevelFilter::INFO));
    }
}
