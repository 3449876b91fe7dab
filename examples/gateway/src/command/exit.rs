//! The exit codes. The README says what stands here.

use std::io::Write;

use kv_api::ErrorKind;

/// How the command ended. A second signal ends it at once, with 128 and the number of the signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Asked to stop, and every request was answered.
    Stopped = 0,
    /// Asked to stop, and some requests were broken off.
    BrokenOff = 1,
    /// The settings cannot be understood, or cannot be done as they stand.
    Usage = 2,
    /// A store cannot be reached, or the address is taken.
    Failed = 4,
    /// A store is not there, or does not let this server in.
    NoAccess = 5,
}

impl Exit {
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }
}

/// Why nothing is served.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) exit: Exit,
    /// One line; shows no secret.
    pub(crate) message: String,
}

impl Refused {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into() }
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, message: message.into() }
    }

    pub(crate) fn by_store(namespace: &str, error: &kv_api::Error) -> Self {
        let exit = match error.kind() {
            ErrorKind::InvalidArgument => Exit::Usage,
            ErrorKind::Unauthorized | ErrorKind::Misconfigured => Exit::NoAccess,
            _ => Exit::Failed,
        };
        Self { exit, message: format!("the store of namespace {namespace}: {error}") }
    }

    pub(crate) fn tell(&self) -> Exit {
        // A closed standard error must not change the exit code.
        let _ = writeln!(std::io::stderr(), "error: {}", self.message);
        self.exit
    }
}
