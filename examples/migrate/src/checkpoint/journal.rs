//! The file of a checkpoint: a header, and a line for each batch that began or ended. It only grows, so that a line is
//! whole or is the last one, which then does not count.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use kv_api::{ErrorKind, Retry};
use serde::{Deserialize, Serialize};

use super::{Earlier, Identity, Place};
use crate::error::{Error, Result};
use crate::folder;
use crate::progress::Resumed;
use crate::summary::Failure;

const VERSION: u32 = 1;

/// No line is longer, but for keys and cursors that are.
const LINE_BYTES_MAX: u64 = 64 * 1024 * 1024;

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Copy { version: u32, started: i64, of: Identity },
    Begins { batch: u64, entries: u64 },
    Failed(SavedFailure),
    Reached(Place),
}

/// A failure as it is written down. The reason is in the message.
#[derive(Debug, Deserialize, Serialize)]
struct SavedFailure {
    key: String,
    line: Option<u64>,
    kind: String,
    message: String,
    code: Option<String>,
    is_unknown: bool,
}

impl SavedFailure {
    fn of(failure: &Failure) -> Self {
        let Failure { key, line, error } = failure;
        Self {
            key: key.clone(),
            line: *line,
            kind: error.kind().to_string(),
            message: error.message().to_owned(),
            code: error.native_code().map(str::to_owned),
            is_unknown: error.is_outcome_unknown(),
        }
    }

    fn into_failure(self) -> Failure {
        /// A kind that this version does not know is one that nobody foresaw.
        const KINDS: [ErrorKind; 10] = [
            ErrorKind::InvalidArgument,
            ErrorKind::Unsupported,
            ErrorKind::WrongType,
            ErrorKind::Unauthorized,
            ErrorKind::Misconfigured,
            ErrorKind::Exhausted,
            ErrorKind::RateLimited,
            ErrorKind::Unavailable,
            ErrorKind::Protocol,
            ErrorKind::Closed,
        ];
        let kind = KINDS.into_iter().find(|kind| kind.to_string() == self.kind).unwrap_or(ErrorKind::Internal);
        let retry = if self.is_unknown { Retry::OutcomeUnknown } else { Retry::Never };
        let mut error = kv_api::Error::new(kind, self.message).with_retry(retry);
        if let Some(code) = self.code {
            error = error.with_native_code(code);
        }
        Failure { key: self.key, line: self.line, error }
    }
}

#[derive(Debug)]
pub(super) struct Journal {
    file: File,
}

impl Journal {
    /// Opens or creates it, for this run alone.
    pub(super) fn open(
        path: &Path,
        restart: bool,
        identity: &Identity,
        started: i64,
    ) -> Result<(Self, Option<Earlier>)> {
        let name = path.display().to_string();
        let failed = |error| Error::file(&name, "open the checkpoint", error);
        let mut file =
            File::options().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Unsuitable(format!("{name}: another copy that is running uses this checkpoint")));
            }
            // A file system without locks: nothing says whether another run uses it.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(Error::Unsuitable(format!("{name}: not a regular file, and no checkpoint")));
        }
        let is_new = file.metadata().map_err(failed)?.len() == 0;
        let (earlier, length) = match read(&mut file).map_err(failed)? {
            Some(found) if !restart && found.has_begun => {
                if let Some(difference) = difference(&found.of, identity) {
                    return Err(Error::Unsuitable(format!(
                        "{name}: the checkpoint of another copy: {difference}; finish that one, name another file \
                         with --checkpoint, or discard it with --restart"
                    )));
                }
                (Some(found.earlier), found.length)
            }
            // What is not ours is not overwritten, whatever was asked for.
            None if !is_new && !is_cut_header(&mut file).map_err(failed)? => {
                return Err(Error::Unsuitable(format!("{name}: a file, and no checkpoint")));
            }
            _ => (None, 0),
        };
        file.set_len(length).and_then(|()| file.seek(SeekFrom::End(0))).map_err(failed)?;
        let mut journal = Self { file };
        if length == 0 {
            let header = Line::Copy { version: VERSION, started, of: identity.clone() };
            journal.append(&header).and_then(|()| journal.file.sync_all()).map_err(failed)?;
            // A new name is lasting when its folder is on the disk.
            let folder = folder::open(path).map_err(failed)?;
            folder.map_or(Ok(()), |folder| folder.sync_all()).map_err(failed)?;
        }
        Ok((journal, earlier))
    }

    pub(super) fn begins(&mut self, batch: u64, entries: u64) -> io::Result<()> {
        self.append(&Line::Begins { batch, entries })
    }

    pub(super) fn failed_with(&mut self, failure: &Failure) -> io::Result<()> {
        self.append(&Line::Failed(SavedFailure::of(failure)))
    }

    pub(super) fn reached(&mut self, place: &Place) -> io::Result<()> {
        self.append(&Line::Reached(place.clone()))
    }

    /// The file, for a thread that may wait for the disk.
    pub(super) fn handle(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// One call of the system for a line: a killed process has written all of it, or nothing.
    fn append(&mut self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.file.write_all(&text)
    }
}

struct Found {
    of: Identity,
    earlier: Earlier,
    /// Whether the copy had begun to write: else there is nothing to go on with, and any other may begin.
    has_begun: bool,
    /// Up to the last whole line.
    length: u64,
}

/// `None` for what is no checkpoint.
fn read(file: impl Read) -> io::Result<Option<Found>> {
    let mut lines = BufReader::new(file);
    let Some((Line::Copy { version: VERSION, started, of }, mut length)) = next(&mut lines)? else { return Ok(None) };
    let mut place = Place::default();
    let (mut begun, mut has_begun) = (BTreeMap::new(), false);
    let (mut failures, mut new_failures) = (Vec::new(), Vec::new());
    while let Some((line, bytes)) = next(&mut lines)? {
        has_begun = true;
        match line {
            // A batch that began in several runs is written again once: the largest, where their sizes differ.
            Line::Begins { batch, entries } => {
                let most = begun.entry(batch).or_insert(entries);
                *most = entries.max(*most);
            }
            Line::Failed(failure) => new_failures.push(failure.into_failure()),
            Line::Reached(reached) => {
                if reached.batch == 0 {
                    failures.clear(); // a run that began anew
                }
                failures.append(&mut new_failures);
                begun.retain(|batch, _| *batch > reached.batch);
                place = reached;
            }
            Line::Copy { .. } => break,
        }
        length += bytes;
    }
    // A figure of a damaged file may be anything.
    let again = begun.values().fold(0, |sum: u64, entries| sum.saturating_add(*entries));
    let resumed = Resumed { entries: place.counts.read, counts: place.counts, again };
    Ok(Some(Found { of, earlier: Earlier { place, resumed, failures, started }, has_begun, length }))
}

/// What a checkpoint says, printed; where its whole lines end; and one that says the same of how far the copy came.
#[cfg(fuzzing)]
pub(crate) fn reading(bytes: &[u8]) -> Option<(String, u64, Vec<u8>)> {
    let Found { of, earlier, length, .. } = read(bytes).ok()??;
    let printed = format!("{of:?} {earlier:?}");
    let lines = [Line::Copy { version: VERSION, started: earlier.started, of }, Line::Reached(earlier.place)];
    let written = lines.iter().map(|line| serde_json::to_string(line).expect("it was read") + "\n").collect::<String>();
    Some((printed, length, written.into_bytes()))
}

/// The next whole line and its length. What cannot be read was being written when the machine stopped.
fn next(lines: &mut impl BufRead) -> io::Result<Option<(Line, u64)>> {
    let mut text = Vec::new();
    let bytes = lines.take(LINE_BYTES_MAX).read_until(b'\n', &mut text)?;
    if text.last() != Some(&b'\n') {
        return Ok(None);
    }
    Ok(serde_json::from_slice(&text).ok().map(|line| (line, bytes as u64)))
}

/// Whether the machine stopped while the first line was being written.
fn is_cut_header(file: &mut File) -> io::Result<bool> {
    const BEGINNING: &[u8] = b"{\"copy\":{";
    let mut text = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(LINE_BYTES_MAX).read_to_end(&mut text)?;
    Ok(!text.contains(&b'\n') && text.starts_with(&BEGINNING[..BEGINNING.len().min(text.len())]))
}

/// The first thing in which two copies differ.
fn difference(one: &Identity, other: &Identity) -> Option<String> {
    let names = one.keys().chain(other.keys());
    let differing = names.into_iter().find(|name| one.get(*name) != other.get(*name))?;
    Some(format!("{differing} is not the same"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_damaged_file_do_not_overflow() {
        let text = r#"{"copy":{"version":1,"started":0,"of":{}}}
{"begins":{"batch":1,"entries":18446744073709551615}}
{"begins":{"batch":2,"entries":9}}
"#;
        let found = read(text.as_bytes()).unwrap().unwrap();
        assert_eq!((found.earlier.resumed.again, found.length), (u64::MAX, text.len() as u64));
    }
}
