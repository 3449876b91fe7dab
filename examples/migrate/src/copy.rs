//! The copy: one batch is written while the next one is read.

use futures_util::future;
use kv_api::ErrorKind;

use crate::error::{Error, Result};
use crate::options::Options;
use crate::progress::{Event, Progress};
use crate::record::Record;
use crate::settle::{Settled, check_source, settle};
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
/// A source of which every entry would lose something is refused before anything is written, see
/// [`Loss`](crate::Loss).
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
    check_source(source, options)?;
    // A list names no key twice, and a file keeps all that is written to it.
    let mut written = (source.order() == Order::Fixed && sink.is_store()).then(|| WrittenKeys::new(Summary::KEYS_MAX));
    let mut next = source.next_batch().await;
    while let Some(batch) = next? {
        for Failure { key, line, error } in source.take_unreadable() {
            summary.counts.read += 1;
            summary.add_failure(key, line, error);
        }
        let batch = settle_all(batch, options, sink, summary);
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

/// Settles what becomes of each entry, and takes out those that are not to be written.
fn settle_all(batch: Vec<Record>, options: &Options, sink: &Sink, summary: &mut Summary) -> Vec<Record> {
    let mut kept = Vec::with_capacity(batch.len());
    for mut record in batch {
        match settle(&mut record, options, sink.capabilities()) {
            Settled::Write(lost) => {
                summary.counts.expiry_lost += u64::from(lost.expiry);
                summary.counts.metadata_lost += u64::from(lost.metadata);
                kept.push(record);
                continue;
            }
            Settled::Skip => summary.counts.skipped += 1,
            Settled::Expired => summary.counts.expired += 1,
            Settled::Refuse(error) => {
                let error = error.with_key(&record.key);
                summary.add_failure(record.key, record.line, error);
            }
        }
        summary.counts.read += 1;
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
