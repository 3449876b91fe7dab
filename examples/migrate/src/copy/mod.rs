//! The copy: one reader, several batches that are written at once, and a checkpoint behind them.

mod account;
mod batch;
mod books;
mod concurrency;
mod conflict;
mod end;
mod file;
mod ledger;
mod run;
mod write;

use std::path::PathBuf;

use kv_api::{Support, Timestamp};

use crate::bulk::{BulkWriter, Rejects};
use crate::checkpoint::{Checkpoint, Earlier, Identity, Place};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::options::{OnConflict, Options};
use crate::patience::Observer;
use crate::progress::{Event, Resumed};
use crate::settle::check_source;
use crate::sink::{Sink, To};
use crate::source::{Order, Source, blocking};
use crate::summary::Summary;
use crate::written_keys::{KeyHasher, WrittenKeys};

use books::Books;
use file::FileTarget;
use ledger::Ledger;
use run::{Run, Target};

/// Copies the entries of `source` that the options select to `sink`, and reports what became of them. `observe` is
/// called after each batch, and before each wait.
///
/// An entry that the target refuses does not stop the others, unless [`Options::fail_fast`] says so. The copy stops
/// when the source cannot be read on, when the target takes nothing any more for a reason that lies with itself, such
/// as a full disk, or when patience is at its end ([`Options::max_wait`]). What was written before stays in a store.
///
/// A source of which every entry would lose something is refused before anything is written, see
/// [`Loss`](crate::Loss).
///
/// A target file is replaced, or appears, only when the result is complete. Otherwise the result is kept beside it, see
/// [`Summary::kept_beside`], unless [`Options::keep_partial`] says so.
///
/// With a checkpoint ([`Options::checkpoint`]) the same copy goes on where it ended, whatever ended it, and the
/// checkpoint goes when nothing is left to go on with. When the future is dropped, the checkpoint stays.
///
/// It runs on tokio, whose time must be enabled unless [`Options::timer`] is another one.
pub async fn copy(
    source: Source<'_>,
    sink: Sink,
    options: &Options,
    mut observe: impl FnMut(Event<'_>) + Send,
) -> Summary {
    let observer = Observer::new(&mut observe);
    let context = Context::new(options, &observer);
    let is_file = !matches!(sink.0, To::Store(_));
    match begin(source, sink, &context).await {
        Ok((mut run, source, resumed)) => {
            if let Some(resumed) = resumed {
                context.resumed(resumed);
            }
            let stop = run.copy_all(source).await.err();
            Summary { resumed, ..end::end(run, stop).await }
        }
        Err(error) => Summary { stopped: Some(error), target_untouched: is_file, ..Summary::default() },
    }
}

/// Opens what is to be opened, and goes to where an earlier run ended.
async fn begin<'c, 's>(
    source: Source<'s>,
    sink: Sink,
    context: &'c Context<'c>,
) -> Result<(Run<'c>, Source<'s>, Option<Resumed>)> {
    let options = context.options;
    check_source(&source, options)?;
    check_target(&sink, options)?;
    let began = options.clock.now();
    let mut checkpoint = open_checkpoint(&source, &sink, options, began).await?;
    let mut earlier = checkpoint.as_mut().and_then(Checkpoint::take_earlier);
    // The file was put in its place, and the run ended before the checkpoint went; or its part was removed. No later
    // run may take what is written now for what was written then.
    if let (To::File(path), Some(checkpoint)) = (&sink.0, &mut checkpoint)
        && earlier.as_ref().is_some_and(|earlier| earlier.place.mark.is_some())
        && !has_part(path.clone()).await
    {
        earlier = None;
        checkpoint.reached(&Place::default())?;
        checkpoint.sync().await?;
    }
    let is_new = earlier.is_none();
    match prepare(source, sink, context, earlier, began).await {
        Ok(Prepared { source, target, ledger, rejects, hasher, started, resumed }) => {
            let books = Books::new(ledger, checkpoint, rejects);
            Ok((Run { context, target, books, hasher, started }, source, resumed))
        }
        Err(error) => {
            // Nothing has begun that could be gone on with, and it would be in the way of other copies.
            if let Some(checkpoint) = checkpoint.filter(|_| is_new) {
                let _ = checkpoint.remove().await;
            }
            Err(error)
        }
    }
}

/// A copy that can begin, but for its checkpoint.
struct Prepared<'s> {
    source: Source<'s>,
    target: Target,
    ledger: Ledger,
    rejects: Option<Rejects>,
    hasher: Option<KeyHasher>,
    started: Timestamp,
    resumed: Option<Resumed>,
}

async fn prepare<'s>(
    mut source: Source<'s>,
    sink: Sink,
    context: &Context<'_>,
    earlier: Option<Earlier>,
    began: Timestamp,
) -> Result<Prepared<'s>> {
    let options = context.options;
    let started = earlier.as_ref().map_or(began, |earlier| Timestamp::from_unix_micros(earlier.started));
    // A list names no key twice, and a file keeps all that is written to it.
    let tells_repeats = source.order() == Order::Fixed && matches!(sink.0, To::Store(_));
    let mut written_keys = tells_repeats.then(|| WrittenKeys::new(Summary::KEYS_MAX));
    let hasher = written_keys.as_ref().map(WrittenKeys::hasher);
    let now = options.timer.monotonic_now();
    let target = match sink.0 {
        To::Store(store) => Target::Store(store),
        To::File(path) => {
            let mark = earlier.as_ref().and_then(|earlier| earlier.place.mark);
            Target::File(FileTarget::open(path, mark, now).await?)
        }
        To::Writer(writer) => Target::File(FileTarget::new(writer, now)),
    };
    let (place, resumed, failures) = match earlier {
        Some(Earlier { place, resumed, failures, .. }) => (place, Some(resumed), failures),
        None => (Place::default(), None, Vec::new()),
    };
    let rejects = open_rejects(options, place.rejects_bytes).await?;
    let remember = |key: &str| {
        if let Some(keys) = &mut written_keys {
            keys.add_key(key);
        }
    };
    source.restore(&place.position, remember).await?;
    let ledger = Ledger::new(place, failures, written_keys);
    let resumed = resumed.filter(|at| at.entries > 0);
    Ok(Prepared { source, target, ledger, rejects, hasher, started, resumed })
}

/// Whether an earlier run has left a part file beside this file.
async fn has_part(path: PathBuf) -> bool {
    blocking(move || BulkWriter::part_path(&path).exists()).await
}

/// Refuses a target that cannot say by itself whether it has an entry already, where what is there is to stay.
fn check_target(sink: &Sink, options: &Options) -> Result<()> {
    if options.on_conflict == OnConflict::Overwrite {
        return Ok(());
    }
    let To::Store(store) = &sink.0 else {
        let message = "a file is replaced as a whole: it has no entries that could stay";
        return Err(Error::Unsuitable(message.to_owned()));
    };
    let capabilities = store.capabilities();
    let message = match capabilities.if_not_exists {
        Support::None => "cannot write an entry only where there is none",
        Support::BestEffort if !options.allow_race => {
            "can only look before it writes, so that an entry which another program writes meanwhile could be \
             overwritten; --allow-race accepts that"
        }
        _ => return Ok(()),
    };
    Err(Error::Unsuitable(format!("{}: this store {message}", capabilities.system)))
}

async fn open_checkpoint(
    source: &Source<'_>,
    sink: &Sink,
    options: &Options,
    began: Timestamp,
) -> Result<Option<Checkpoint>> {
    let Some(file) = options.checkpoint.clone() else { return Ok(None) };
    let (Some(from), Some(to)) = (source.identity(), sink.identity().await?) else {
        let message = "a copy from or to a pipe or a device cannot be resumed, so it has no checkpoint";
        return Err(Error::Unsuitable(message.to_owned()));
    };
    let identity = identity(from, to, options);
    blocking(move || Checkpoint::open(&file, &identity, began.as_unix_micros())).await.map(Some)
}

/// Source, target, and each option that decides what is copied.
fn identity(source: String, target: String, options: &Options) -> Identity {
    let Options { prefix, filter, rewrite, on_conflict, zero_expiry, skip_bad_lines, .. } = options;
    let named = [
        ("the source", source),
        ("the target", target),
        ("the prefix", prefix.clone()),
        ("the selection of keys", format!("{filter:?}")),
        ("the rewriting of keys", format!("{rewrite:?}")),
        ("what happens to conflicts", format!("{on_conflict:?}")),
        ("the meaning of zero expiries", format!("{zero_expiry:?}")),
        ("what may get lost", format!("{:?} {:?}", options.unknown_expiry_as_never, options.allow_loss)),
        ("whether bad items are passed over", format!("{skip_bad_lines}")),
        ("the file of rejects", format!("{:?}", options.rejects)),
    ];
    named.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

async fn open_rejects(options: &Options, bytes: Option<u64>) -> Result<Option<Rejects>> {
    let Some(path) = options.rejects.clone() else { return Ok(None) };
    blocking(move || match bytes {
        Some(bytes) => Rejects::resume(&path, bytes),
        None => Rejects::create(&path),
    })
    .await
    .map(Some)
}
