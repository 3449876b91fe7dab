//! What a person reads at the end, on standard error.

use std::path::Path;
use std::time::Duration;

use kv_api::Escaped;
use kv_migrate::{BulkWriter, Cause, Error, Failure, Summary};

use super::copy::StepReport;
use super::progress::per_second;
use super::stop::Stop;
use super::verify::Verified;

/// How many differences are shown; the count goes on.
pub(crate) const DIFFERENCES_SHOWN: usize = 20;

pub(crate) fn summary(step: &StepReport) {
    let StepReport { summary, from, to, took, .. } = step;
    let took = *took;
    if matches!(to, Stop::Stdio) && summary.stopped.as_ref().is_some_and(Error::is_broken_pipe) {
        return; // as `yes | head` ends: the reader of standard output has seen enough
    }
    let seconds = took.as_secs_f64();
    let before = summary.resumed.map_or(0, |resumed| resumed.entries);
    let rate = rate(summary.counts.written.saturating_sub(before), took);
    let target = to;
    // Where the entries are that were written.
    let to = match (&summary.kept_beside, summary.target_untouched) {
        (Some(path), _) => Some(Stop::File(path.clone()).shown()),
        (None, false) => Some(target.shown()),
        (None, true) => None,
    };
    let written = entries(summary.counts.written);
    let were_written = were(summary.counts.written);
    match (&summary.stopped, to) {
        (None, Some(to)) => tell!("copied {written} from {from} to {to} in {seconds:.1} s{rate}"),
        (None, None) => tell!("copied no entry from {from}"),
        (Some(error), to) => {
            self::error(error);
            match to {
                Some(to) => {
                    tell!("the copy from {from} was stopped; {written} {were_written} written to {to} before that");
                }
                None if matches!(error, Error::EmptyResult(_)) => {}
                None => tell!("the copy from {from} was stopped"),
            }
        }
    }
    if summary.target_untouched {
        untouched(summary, target);
    }
    if let Some(resumed) = &summary.resumed {
        let again = match resumed.again {
            0 => String::new(),
            again => format!("; up to {} after these were copied again", grouped(again)),
        };
        tell!("  {} {} dealt with by earlier runs{again}", entries(resumed.entries), were(resumed.entries));
    }
    if summary.counts.read != summary.counts.written {
        tell!("  {} {} read in all", entries(summary.counts.read), were(summary.counts.read));
    }
    if summary.counts.unchanged > 0 {
        let (count, were) = (entries(summary.counts.unchanged), were(summary.counts.unchanged));
        tell!("  {count} {were} there already, just so");
    }
    if summary.counts.kept > 0 {
        let count = entries(summary.counts.kept);
        tell!("  {count} gave way to what the target has under the same key");
    }
    if summary.counts.expired > 0 {
        tell!("  {} had expired by then and {} skipped", entries(summary.counts.expired), were(summary.counts.expired));
    }
    if summary.counts.skipped > 0 {
        tell!(
            "  {} {} skipped: the expiry is zero or less",
            entries(summary.counts.skipped),
            were(summary.counts.skipped)
        );
    }
    for (count, lost) in [
        (summary.counts.expiry_lost, "as ones that never expire, though they may have had an end"),
        (summary.counts.metadata_lost, "without their metadata"),
    ] {
        if count > 0 {
            tell!("  {} {} to be copied {lost}", entries(count), were(count));
        }
    }
    if summary.counts.repeated > 0 {
        let (repeated, were) = (entries(summary.counts.repeated), were(summary.counts.repeated));
        tell!("  {repeated} {were} replaced by a later one with the same key");
    }
    if summary.repeated_at_least {
        tell!("  more may have been: of so many keys not all are kept in mind");
    }
    if summary.counts.missing > 0 {
        let (count, were) = (grouped(summary.counts.missing), were(summary.counts.missing));
        tell!("  {count} of the keys that were named {were} not in {from}");
    }
    if summary.counts.failed > 0 {
        tell!("  {} {} not copied", entries(summary.counts.failed), were(summary.counts.failed));
    }
    if summary.counts.unknown > 0 {
        tell!(
            "  {} may or may not have been copied: no answer came that could be trusted",
            entries(summary.counts.unknown)
        );
    }
    for cause in summary.failures.causes() {
        tell!("    {}", describe(cause));
    }
    let named: u64 = summary.failures.causes().iter().map(|cause| cause.count).sum();
    let more = (summary.counts.failed + summary.counts.unknown).saturating_sub(named);
    if more > 0 {
        tell!("    and {} more", grouped(more));
    }
    if let Some(checkpoint) = &summary.checkpoint {
        tell!("  {}", goes_on(checkpoint, target));
    }
}

/// What a copy that was ended leaves, and what for.
pub(crate) fn goes_on(checkpoint: &Path, to: &Stop) -> String {
    let part = part_file(to).map_or_else(String::new, |part| format!(" and {part}"));
    let checkpoint = Escaped(&checkpoint.display().to_string()).to_string();
    format!("the same command goes on from there, without --restart; kept for it: {checkpoint}{part}")
}

/// The part file of a target, if it is there.
pub(crate) fn part_file(to: &Stop) -> Option<String> {
    let Stop::File(path) = to else { return None };
    let part = Some(BulkWriter::part_path(path)).filter(|part| part.exists())?;
    Some(Escaped(&part.display().to_string()).to_string())
}

/// What became of a target file that was not replaced, and what would replace it.
fn untouched(summary: &Summary, target: &Stop) {
    let shown = target.shown();
    let what = match target {
        Stop::File(path) if path.exists() => format!("{shown} is as it was before"),
        _ => format!("no file {shown} was written"),
    };
    match &summary.stopped {
        Some(Error::EmptyResult(_)) => tell!("  {what}; --allow-empty replaces it all the same"),
        _ if summary.kept_beside.is_some() => {
            tell!("  {what}, since not everything was copied; --keep-partial writes it all the same");
        }
        _ => tell!("  {what}"),
    }
}

/// What was compared after a copy.
pub(crate) fn verification(verified: &Verified) {
    outcome(verified);
    for difference in &verified.shown {
        tell!("    {} {}", place(difference.line, &difference.key), difference.what);
    }
    let more = verified.verification.differences().saturating_sub(verified.shown.len() as u64);
    if more > 0 {
        tell!("    and {} more", grouped(more));
    }
}

/// What was compared for its own sake; the differences are on standard output already.
pub(crate) fn comparison(verified: &Verified) {
    outcome(verified);
    let Verified { from, to, verification, .. } = verified;
    if verification.differences() > 0 {
        tell!("  = {} the same", grouped(verification.same));
        tell!("  - {} only in {from}", grouped(verification.only_in_source));
        tell!("  + {} only in {to}", grouped(verification.only_in_target));
        tell!("  * {} in both, and not alike", grouped(verification.different));
    }
    if verification.changed_meanwhile > 0 {
        tell!("  {} differed at first, and no more", entries(verification.changed_meanwhile));
    }
    if verification.target_not_listed {
        tell!("  entries that only {to} has could not be looked for: it cannot list its keys");
    }
    if verification.is_sample {
        tell!("  this was a sample: the other entries were not compared");
    }
}

fn outcome(verified: &Verified) {
    let Verified { from, to, verification, .. } = verified;
    let differing = verification.differences();
    if let Some(error) = &verification.stopped {
        self::error(error);
        tell!("the verification was stopped after {}", entries(verification.compared));
    } else {
        let result = match differing {
            0 if verification.compared == 0 => "nothing to compare".to_owned(),
            0 => "all the same".to_owned(),
            1 => "1 differs".to_owned(),
            more => format!("{} differ", grouped(more)),
        };
        tell!("verified {} of {from} against {to}, {result}", entries(verification.compared));
    }
    if verification.expired > 0 {
        let (expired, were) = (entries(verification.expired), were(verification.expired));
        tell!("  {expired} had expired by then and {were} not compared");
    }
    if verification.skipped > 0 {
        let (skipped, were) = (entries(verification.skipped), were(verification.skipped));
        tell!("  {skipped} {were} skipped, and not compared: the expiry is zero or less");
    }
    if verification.unreadable > 0 {
        let (unreadable, were) = (entries(verification.unreadable), were(verification.unreadable));
        tell!("  {unreadable} cannot be read and {were} not compared");
    }
    if verification.missing > 0 {
        let (missing, were) = (grouped(verification.missing), were(verification.missing));
        tell!("  {missing} of the keys that were named {were} in neither of the two");
    }
    if verification.expiry_not_reported > 0 {
        let count = entries(verification.expiry_not_reported);
        tell!("  of {count} the expiry could not be compared: a store does not tell it");
    }
}

pub(crate) fn error(error: &Error) {
    tell!("error: {error}");
}

/// One line for all failures of one cause: the first of them, and how many more there are.
fn describe(cause: &Cause) -> String {
    let Some(Failure { key, line, error, .. }) = cause.examples.first() else { return String::new() };
    let place = place(*line, key);
    let unknown = if error.is_outcome_unknown() { " (may have been copied)" } else { "" };
    let more = match cause.count.saturating_sub(1) {
        0 => String::new(),
        more => format!("; and {} more for this reason", grouped(more)),
    };
    format!("{place}: {}{unknown}{more}", reason(error))
}

/// The kind of what ended a copy, for programs.
pub(crate) fn kind(error: &Error) -> String {
    match error {
        Error::Store(error) | Error::GaveUp { error, .. } => store_kind(error),
        Error::Damaged { .. } => "damaged".to_owned(),
        Error::File { .. } => "file".to_owned(),
        Error::Unsuitable(_) => "unsuitable".to_owned(),
        Error::EmptyResult(_) => "empty_result".to_owned(),
        Error::FailFast => "fail_fast".to_owned(),
        Error::Lossy(_) => "lossy".to_owned(),
        _ => "other".to_owned(),
    }
}

/// `rate_limited`
pub(crate) fn store_kind(error: &kv_api::Error) -> String {
    error.kind().to_string().replace(' ', "_")
}

/// What a store said, without the context that stands before it already.
pub(crate) fn reason(error: &kv_api::Error) -> String {
    let mut reason = error.kind().to_string();
    if !error.message().is_empty() {
        reason.push_str(&format!(": {}", Escaped(error.message())));
    }
    if let Some(code) = error.native_code() {
        reason.push_str(&format!(" (code {})", Escaped(code)));
    }
    reason
}

/// A key as a person can read it: quoted, control characters escaped, long ones cut.
fn place(line: Option<u64>, key: &str) -> String {
    const CHARS_SHOWN: usize = 80;
    let key = match key.char_indices().nth(CHARS_SHOWN) {
        Some((cut, _)) => format!("{:?}... ({} bytes)", &key[..cut], grouped(key.len() as u64)),
        None => format!("{key:?}"),
    };
    match line {
        Some(line) => format!("line {line}, {key}"),
        None => key,
    }
}

pub(crate) fn entries(count: u64) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{} entries", grouped(count)) }
}

const fn were(count: u64) -> &'static str {
    if count == 1 { "was" } else { "were" }
}

/// `, 81,464/s`, where enough time has passed to tell.
fn rate(entries: u64, took: Duration) -> String {
    if took < Duration::from_millis(100) {
        return String::new();
    }
    format!(", {}/s", grouped(per_second(entries, took)))
}

/// `171,075`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_three() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (171_075, "171,075"), (1_000_000, "1,000,000")]
        {
            assert_eq!(grouped(number), text);
        }
    }
}
