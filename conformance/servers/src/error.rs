//! What can go wrong with a server.

use std::{fmt, io};

use crate::System;

/// The result of what is done with a server.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a server could not be started, asked or ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A program is not installed.
    Missing {
        /// The system that needs it.
        system: System,
        /// Its name.
        program: &'static str,
    },
    /// Everything else, in words.
    Failed(String),
}

impl Error {
    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self::Failed(text.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { system, program } => write!(
                f,
                "{system} cannot be started: there is no `{program}`; on Debian: apt-get install {}",
                system.packages()
            ),
            Self::Failed(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// So that a harness can say `?`.
impl From<Error> for kv_api::Error {
    fn from(error: Error) -> Self {
        Self::new(kv_api::ErrorKind::Misconfigured, error.to_string()).with_source(error)
    }
}

/// Says what was being done when it failed.
pub(crate) trait While<T> {
    fn when(self, what: impl fmt::Display) -> Result<T>;
}

impl<T, E: fmt::Display> While<T> for std::result::Result<T, E> {
    fn when(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(|error| Error::Failed(format!("{what}: {error}")))
    }
}
