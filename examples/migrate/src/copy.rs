//! The copy: one batch is written while the next one is read.

use futures_util::future;
use kv_api::{ErrorKind, Feature, Reason};

use crate::error::{Error, Result};
use crate::options::{Options, ZeroExpiry};
use crate::progress::{Event, Progress};
use crate::record::{Record, RecordExpiry};
use crate::sink::Sink;
use crate::source::{Order, Source};
use crate::summary::{Failure, Summary};
use crate::written_keys::{Seen, WrittenKeys};

/// Copies all entries of `source` to `sink`, and reports what became of them. `observe` is called after each batch.
///
/// An entry that the target refuses does not stop the others, unless [`Options::fail_fast`] says so. The copy stops
/// when the source cannot be read on, or when the target has refused a whole batch for a reason that lies with itself,
/// such as a full disk: then what was written before stays in a store.
///
/// A target file is replaced, or appears, only when the result is complete. Otherwise the result is kept beside it, see
/// [`Summary::kept_beside`], unless [`Options::keep_partial`] says so.
pub async fn copy(
    mut source: Source<'_>,
    mut sink: Sink,
    options: &Options,
    mut observe: impl FnMut(Event<'_>),
) -> Summary {
    let mut summary = Summary::default();
    summary.stopped = copy_batches(&mut source, &mut sink, options, &mut summary, &mut observe).await.err();
    summary.counts.missing = source.missing();
    finish(sink, options, &mut summary).await;
    summary
}

async fn finish(sink: Sink, options: &Options, summary: &mut Summary) {
    if sink.is_direct() {
        // After an error the end of an array is not written, so that its reader sees that it is cut.
        if summary.stopped.is_none() {
            summary.stopped = sink.finish(options).await.err();
        }
        return;
    }
    let finished = if summary.is_complete() || (options.keep_partial && !sink.is_broken()) {
        sink.finish(options).await
    } else {
        summary.target_untouched = true;
        sink.finish_beside().await.map(|path| summary.kept_beside = path)
    };
    if let Err(error) = finished {
        summary.target_untouched = true;
        // What stopped the copy is the reason, not what came of it.
        summary.stopped.get_or_insert(error);
    }
}

async fn copy_batches(
    source: &mut Source<'_>,
    sink: &mut Sink,
    options: &Options,
    summary: &mut Summary,
    observe: &mut impl FnMut(Event<'_>),
) -> Result<()> {
    // A list names no key twice, and a file keeps all that is written to it.
    let mut written = (source.order() == Order::Fixed && sink.is_store()).then(|| WrittenKeys::new(Summary::KEYS_MAX));
    let mut next = source.next_batch().await;
    while let Some(batch) = next? {
        for Failure { key, line, error } in source.take_unreadable() {
            summary.counts.read += 1;
            summary.add_failure(key, line, error);
        }
        let batch = settle_expiries(batch, options, summary);
        let (batch, origins) = rewrite_keys(batch, options, summary);
        let (results, following) = future::join(sink.write(batch), source.next_batch()).await;
        let refused = account(origins, results?, written.as_mut(), summary);
        observe(Event::Progress(Progress { entries: summary.counts.read, bytes: source.position() }));
        if let Some(error) = refused {
            return Err(Error::Store(error));
        }
        if options.fail_fast && summary.counts.failed + summary.counts.unknown > 0 {
            return Err(Error::FailFast);
        }
        next = following;
    }
    Ok(())
}

/// Takes out the entries whose end is not known, unless they are to be kept for ever, and those whose expiry means one
/// thing to one tool and another to the next, unless that was said.
fn settle_expiries(batch: Vec<Record>, options: &Options, summary: &mut Summary) -> Vec<Record> {
    let mut kept = Vec::with_capacity(batch.len());
    for mut record in batch {
        record.expiry = options.settled(record.expiry);
        let error = match record.expiry {
            RecordExpiry::Unknown if !options.unknown_expiry_as_never => {
                let message = "the source cannot tell when this entry expires";
                kv_api::Error::new(ErrorKind::Unsupported, message).with_reason(Reason::Unsupported(Feature::ExpireAt))
            }
            RecordExpiry::NotPositive if options.zero_expiry == ZeroExpiry::Skip => {
                summary.counts.read += 1;
                summary.counts.skipped += 1;
                continue;
            }
            RecordExpiry::NotPositive => kv_api::Error::new(
                ErrorKind::InvalidArgument,
                "its expiry is zero or less, which some tools write for \"never\" and others for \"at once\"; \
                 --zero-expiry says which",
            ),
            _ => {
                kept.push(record);
                continue;
            }
        };
        summary.counts.read += 1;
        summary.add_failure(record.key.clone(), record.line, error.with_key(&record.key));
    }
    kept
}

/// Gives the entries the keys of the target, and answers beside them where they come from, by which they are named.
fn rewrite_keys(
    batch: Vec<Record>,
    options: &Options,
    summary: &mut Summary,
) -> (Vec<Record>, Vec<(String, Option<u64>)>) {
    let mut origins = Vec::with_capacity(batch.len());
    let mut kept = Vec::with_capacity(batch.len());
    for record in batch {
        match options.rewrite.target_key(&*record.key) {
            Ok(key) => {
                origins.push((record.key, record.line));
                kept.push(Record { key, ..record });
            }
            Err(error) => {
                summary.counts.read += 1;
                summary.add_failure(record.key, record.line, error);
            }
        }
    }
    (kept, origins)
}

/// Counts the results of a batch. Answers an error when all of them were refused for a reason that is not theirs.
fn account(
    origins: Vec<(String, Option<u64>)>,
    results: Vec<kv_api::Result<()>>,
    mut written: Option<&mut WrittenKeys>,
    summary: &mut Summary,
) -> Option<kv_api::Error> {
    let mut refused = None;
    let mut goes_on = results.is_empty();
    for ((key, line), result) in origins.into_iter().zip(results) {
        summary.counts.read += 1;
        match result {
            Ok(()) => {
                goes_on = true;
                match written.as_mut().map_or(Seen::New, |written| written.add(&key)) {
                    Seen::New => summary.counts.written += 1,
                    // The one before it was counted as written, and is there no more.
                    Seen::Before => summary.counts.repeated += 1,
                    Seen::NotKept => {
                        summary.counts.written += 1;
                        summary.repeated_at_least = true;
                    }
                }
            }
            Err(error) if error.is_expired() => {
                summary.counts.expired += 1;
                goes_on = true;
            }
            Err(error) => {
                goes_on |= is_about_the_entry(error.kind());
                refused.get_or_insert_with(|| error.clone());
                summary.add_failure(key, line, error);
            }
        }
    }
    refused.filter(|_| !goes_on)
}

const fn is_about_the_entry(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::InvalidArgument | ErrorKind::Unsupported | ErrorKind::WrongType)
}
