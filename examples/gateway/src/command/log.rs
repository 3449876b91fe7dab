//! The log, on standard error.

use std::io;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

use super::given::{LogFormat, LogLevel};

/// Only of the crates of this workspace: what others log may show a body or a header.
pub(crate) fn start(format: LogFormat, level: LogLevel) {
    let targets = Targets::new().with_target("kv_", filter(level));
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let registry = tracing_subscriber::registry();
    // One that is there already stays.
    let _ = match format {
        LogFormat::Text => registry.with(layer.with_ansi(false).with_filter(targets)).try_init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true).with_filter(targets)).try_init(),
    };
}

const fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    }
}
