//! The exit codes. Help, man page and README say what stands here.

use std::io;

use kv_api::ErrorKind;
use kv_migrate::Error;
use kv_terminal::signals::Signal;

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Complete,
    NotCopied,
    Usage,
    Differs,
    Stopped,
    NoAccess,
    Signalled(Signal),
}

impl Exit {
    pub(crate) const ALL: [Self; 9] = [
        Self::Complete,
        Self::NotCopied,
        Self::Usage,
        Self::Differs,
        Self::Stopped,
        Self::NoAccess,
        Self::Signalled(Signal::HungUp),
        Self::Signalled(Signal::Interrupted),
        Self::Signalled(Signal::Terminated),
    ];

    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Complete => 0,
            Self::NotCopied => 1,
            Self::Usage => 2,
            Self::Differs => 3,
            Self::Stopped => 4,
            Self::NoAccess => 5,
            Self::Signalled(signal) => signal.exit_code(),
        }
    }

    /// What it is called in a summary for programs.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::NotCopied => "not_copied",
            Self::Usage => "usage",
            Self::Differs => "differs",
            Self::Stopped => "stopped",
            Self::NoAccess => "no_access",
            Self::Signalled(Signal::HungUp) => "hung_up",
            Self::Signalled(Signal::Interrupted) => "interrupted",
            Self::Signalled(Signal::Terminated) => "terminated",
        }
    }

    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Complete => "all of it was done, and is the same where that was checked",
            Self::NotCopied => "something was refused and is not copied; the rest is",
            Self::Usage => "the command cannot be understood, or cannot be done as it stands",
            Self::Differs => "source and target differ",
            Self::Stopped => "stopped before the end: an outage, a quota, a full disk, a damaged source",
            Self::NoAccess => "a store or file is not there, or does not let this user in",
            Self::Signalled(signal) => signal.meaning(),
        }
    }

    /// Of what ended a copy or a verification.
    pub(crate) fn of(error: &Error) -> Self {
        match error {
            Error::Store(error) => Self::of_store(error),
            Error::File { source, .. } => match source.kind() {
                io::ErrorKind::NotFound
                | io::ErrorKind::PermissionDenied
                | io::ErrorKind::IsADirectory
                | io::ErrorKind::NotADirectory => Self::NoAccess,
                _ => Self::Stopped,
            },
            Error::Unsuitable(_) => Self::Usage,
            Error::EmptyResult(_) | Error::FailFast | Error::Lossy(_) => Self::NotCopied,
            _ => Self::Stopped,
        }
    }

    pub(crate) fn of_store(error: &kv_api::Error) -> Self {
        match error.kind() {
            ErrorKind::Unauthorized | ErrorKind::Misconfigured => Self::NoAccess,
            _ => Self::Stopped,
        }
    }
}

impl From<Signal> for Exit {
    fn from(signal: Signal) -> Self {
        Self::Signalled(signal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_follows_from_what_the_reader_does_next() {
        let file = |kind: io::ErrorKind| Error::File { file: "f".to_owned(), action: "read", source: kind.into() };
        let store = |kind| Error::Store(kv_api::Error::new(kind, "m"));
        for (error, expected) in [
            (store(ErrorKind::Unauthorized), Exit::NoAccess),
            (store(ErrorKind::Misconfigured), Exit::NoAccess),
            (store(ErrorKind::Exhausted), Exit::Stopped),
            (store(ErrorKind::Unavailable), Exit::Stopped),
            (file(io::ErrorKind::NotFound), Exit::NoAccess),
            (file(io::ErrorKind::StorageFull), Exit::Stopped),
            (Error::Unsuitable(String::new()), Exit::Usage),
            (Error::EmptyResult(String::new()), Exit::NotCopied),
            (Error::FailFast, Exit::NotCopied),
        ] {
            assert_eq!(Exit::of(&error), expected, "{error}");
        }
    }
}
