//! The end of a copy: what comes of a target file, and of the checkpoint.

use crate::error::Error;
use crate::summary::Summary;

use super::file::FileTarget;
use super::run::{Run, Target};

/// Ends a copy, `stop` being why it has not come to its end.
pub(super) async fn end(run: Run<'_>, stop: Option<Error>) -> Summary {
    let Run { context, target, mut books, .. } = run;
    let options = context.options;
    let mut goes_on = books.has_checkpoint() && stop.as_ref().is_some_and(can_go_on);
    let mut file = match target {
        Target::File(file) => Some(file),
        Target::Store(_) => None,
    };
    if let Some(file) = &mut file {
        goes_on &= !options.keep_partial;
        if goes_on {
            let now = options.timer.monotonic_now();
            // What stopped the copy is the reason, not what came of it. An earlier mark is as good.
            if let Ok(Some(mark)) = file.mark(now).await {
                let _ = books.reached(Some(mark), now).await;
            }
            goes_on = file.has_mark();
        }
    }
    books.enter_the_rest();
    let mut summary = Summary { stopped: stop, ..books.take_summary() };
    match file {
        Some(file) if !goes_on => end_file(file, options, &mut summary).await,
        Some(_) => summary.target_untouched = true,
        None => {}
    }
    match books.close(goes_on).await {
        Ok(checkpoint) => summary.checkpoint = checkpoint,
        Err(error) => {
            summary.stopped.get_or_insert(error);
        }
    }
    summary
}

async fn end_file(file: FileTarget, options: &crate::options::Options, summary: &mut Summary) {
    if file.is_direct() {
        // After an error the end of an array is not written, so that its reader sees that it is cut.
        if summary.stopped.is_none() {
            summary.stopped = file.finish(options).await.err();
        }
        return;
    }
    let finished = if summary.is_complete() || (options.keep_partial && !file.is_broken()) {
        file.finish(options).await
    } else {
        summary.target_untouched = true;
        file.finish_beside().await.map(|path| summary.kept_beside = path)
    };
    if let Err(error) = finished {
        summary.target_untouched = true;
        summary.stopped.get_or_insert(error);
    }
}

/// Whether the same copy may come further another time.
const fn can_go_on(stop: &Error) -> bool {
    match stop {
        Error::Store(_) | Error::GaveUp { .. } | Error::File { .. } | Error::FailFast => true,
        Error::Damaged { .. } | Error::Unsuitable(_) | Error::Lossy(_) | Error::EmptyResult(_) => false,
    }
}
