//! The span of a call.

use std::time::Duration;

use tracing::callsite::{DefaultCallsite, Identifier};
use tracing::dispatcher::get_default;
use tracing::field::{Empty, FieldSet, debug, display};
use tracing::level_filters::{LevelFilter, STATIC_MAX_LEVEL};
use tracing::metadata::Kind;
use tracing::{Level, Metadata, Span, debug_span};

use super::TracedBackend;
use super::key_shown::KeyHash;
use crate::call::{Outcome, Request};

/// What filters know the spans by.
const TARGET: &str = "kv_layers::traced";

/// Stands for the spans where one is asked for: `span_enabled!` asks by a name of its own, and a filter may know them by
/// theirs.
static ASKED: DefaultCallsite = DefaultCallsite::new(&METADATA);
static METADATA: Metadata<'static> = Metadata::new(
    "kv_call",
    TARGET,
    Level::DEBUG,
    Some(file!()),
    Some(line!()),
    Some(module_path!()),
    FieldSet::new(&[], Identifier(&ASKED)),
    Kind::SPAN,
);

/// Whether a subscriber wants the spans. Without one this is a look at one number.
pub(super) fn is_wanted() -> bool {
    if Level::DEBUG > STATIC_MAX_LEVEL || Level::DEBUG > LevelFilter::current() {
        return false;
    }
    let interest = ASKED.interest();
    !interest.is_never() && (interest.is_always() || get_default(|subscriber| subscriber.enabled(&METADATA)))
}

/// The span, with all that is known before the call is made.
pub(super) fn begin<Q: Request>(traced: &TracedBackend, request: &Q) -> Span {
    let operation = Q::OPERATION.name();
    let span = debug_span!(
        target: TARGET,
        "kv_call",
        otel.name = operation,
        otel.kind = "client",
        db.system.name = traced.system,
        db.namespace = traced.namespace,
        db.operation.name = operation,
        // The conventions: a batch of one is none.
        db.operation.batch.size = request.batch_size().filter(|items| *items != 1),
        kv.key = Empty,
        kv.key_hash = Empty,
        kv.prefix = Empty,
        kv.prefix_hash = Empty,
        kv.outcome = Empty,
        kv.failed_items = Empty,
        db.response.returned_rows = Empty,
        error.r#type = Empty,
        db.response.status_code = Empty,
        otel.status_code = Empty,
        kv.duration_us = Empty,
    );
    if span.is_disabled() {
        return span;
    }
    if request.batch_size().is_none() {
        request.each_key(&mut |key| record_text(&span, traced.plain_keys, ["kv.key", "kv.key_hash"], key));
    }
    if let Some(prefix) = request.prefix() {
        record_text(&span, traced.plain_keys, ["kv.prefix", "kv.prefix_hash"], prefix);
    }
    span
}

fn record_text(span: &Span, is_plain: bool, [plain, hashed]: [&str; 2], text: &str) {
    if is_plain {
        // Quoted and escaped: a key may hold control characters.
        span.record(plain, debug(text));
    } else {
        span.record(hashed, display(KeyHash::of(text)));
    }
}

/// All that is known after the call.
pub(super) fn end(span: &Span, outcome: &Outcome<'_>, error_type: Option<&str>, took: Duration) {
    if span.is_disabled() {
        return;
    }
    span.record("kv.outcome", outcome.status());
    if outcome.failed_items() > 0 {
        span.record("kv.failed_items", outcome.failed_items());
    }
    if let Some(returned) = outcome.returned() {
        span.record("db.response.returned_rows", returned);
    }
    if let Some(error_type) = error_type {
        span.record("error.type", error_type);
        span.record("otel.status_code", "ERROR");
    }
    if let Some(code) = outcome.error().and_then(|error| error.native_code()) {
        span.record("db.response.status_code", code);
    }
    span.record("kv.duration_us", u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
}
