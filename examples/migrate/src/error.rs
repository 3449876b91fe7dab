//! What ends a copy before its end.

use std::fmt;
use std::io;
use std::time::Duration;

use kv_api::Escaped;

use crate::loss::Loss;
use crate::printing::Shortened;
use crate::progress::Side;

/// The result of everything that can end a copy.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a copy or a verification could not go on. What a single entry fails with is a [`Failure`](crate::Failure)
/// instead.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A store refused to list or to be read, or takes no writes any more.
    Store(kv_api::Error),
    /// A file is not in the bulk format, or its compression is damaged.
    Damaged {
        /// The file, as the user named it.
        file: String,
        /// The line in it, from 1.
        line: u64,
        /// Which item of the file it is, from 1, where it is in one.
        item: Option<u64>,
        /// The key of the item, where it has one.
        key: Option<String>,
        /// The member of the item, where one is to blame.
        member: Option<String>,
        /// What is wrong; shows no value.
        problem: String,
    },
    /// The operating system refused.
    File {
        /// The file, as the user named it.
        file: String,
        /// What was tried: `read`, `write`, ...
        action: &'static str,
        /// Its answer.
        source: io::Error,
    },
    /// The source or target cannot serve for what was asked.
    Unsuitable(String),
    /// Every entry would lose this, which [`Options::allow_loss`](crate::Options::allow_loss) does not allow. Nothing
    /// was written.
    Lossy(Loss),
    /// Nothing was copied, and the target file of this name holds entries; see
    /// [`Options::allow_empty`](crate::Options::allow_empty).
    EmptyResult(String),
    /// A store asked for a wait, or could not be reached, for longer than
    /// [`Options::max_wait`](crate::Options::max_wait) without any progress.
    GaveUp {
        /// Which of the two.
        side: Side,
        /// What it answered last.
        error: kv_api::Error,
        /// How long there was no progress.
        waited: Duration,
    },
    /// An entry was not copied, and [`Options::fail_fast`](crate::Options::fail_fast) says that this is the end.
    FailFast,
}

impl Error {
    pub(crate) fn file(file: &str, action: &'static str, source: io::Error) -> Self {
        Self::File { file: file.to_owned(), action, source }
    }

    /// Whether the reader of the pipe that was written to went away.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::File { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// One line; of a file its name, line and member first. Control characters are escaped.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Damaged { file, line, item, key, member, problem } => {
                write!(f, "{}: line {line}: ", Escaped(file))?;
                if let Some(member) = member {
                    write!(f, "member {} ", Shortened(member))?;
                }
                write!(f, "{}", Escaped(problem))?;
                match (item, key) {
                    (Some(item), Some(key)) => write!(f, " (item {item}, key {})", Shortened(key)),
                    (Some(item), None) => write!(f, " (item {item})"),
                    (None, _) => Ok(()),
                }
            }
            Self::File { file, action, source } => {
                write!(f, "{}: cannot {action}: {}", Escaped(file), Escaped(&source.to_string()))
            }
            Self::Unsuitable(message) => write!(f, "{}", Escaped(message)),
            Self::Lossy(Loss::Expiry) => f.write_str(
                "the source does not report when its entries expire; --allow-loss expiry copies them as entries that \
                 never do",
            ),
            Self::Lossy(loss) => write!(f, "every entry would lose its {loss}; --allow-loss {loss} accepts that"),
            Self::EmptyResult(file) => write!(f, "{}: not replaced, since no entry was copied", Escaped(file)),
            Self::GaveUp { error, waited, .. } => {
                write!(f, "{error}; gave up after {} s without progress", waited.as_secs())?;
                match error.retry_after() {
                    Some(asked) => write!(f, " (it asks to wait for {} s)", asked.as_secs()),
                    None => Ok(()),
                }
            }
            Self::FailFast => f.write_str("stopped at the first entry that was not copied"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // Its own text is in ours already.
            Self::Store(error) | Self::GaveUp { error, .. } => error.source(),
            _ => None,
        }
    }
}

impl From<kv_api::Error> for Error {
    fn from(error: kv_api::Error) -> Self {
        Self::Store(error)
    }
}
