//! The exit codes. Help and README say what stands here.

use kv_api::ErrorKind;
use kv_terminal::signals::Signal;

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Kept,
    Broken,
    Usage,
    NotRemoved,
    Stopped,
    NoAccess,
    Signalled(Signal),
}

impl Exit {
    pub(crate) const ALL: [Self; 9] = [
        Self::Kept,
        Self::Broken,
        Self::Usage,
        Self::NotRemoved,
        Self::Stopped,
        Self::NoAccess,
        Self::Signalled(Signal::HungUp),
        Self::Signalled(Signal::Interrupted),
        Self::Signalled(Signal::Terminated),
    ];

    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Kept => 0,
            Self::Broken => 1,
            Self::Usage => 2,
            Self::NotRemoved => 3,
            Self::Stopped => 4,
            Self::NoAccess => 5,
            Self::Signalled(signal) => signal.exit_code(),
        }
    }

    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Kept => "every rule that was tried is kept; or nothing that was compared got worse or is out of date",
            Self::Broken => {
                "a rule is broken, or something is claimed and cannot be tried; or what was compared got worse or is out of date"
            }
            Self::Usage => "the command cannot be understood, or cannot be done as it stands",
            Self::NotRemoved => "every rule that was tried is kept, but some keys could not be removed",
            Self::Stopped => "the store cannot be reached, or does not answer",
            Self::NoAccess => "the store is not there, or does not let this user in",
            Self::Signalled(signal) => signal.meaning(),
        }
    }

    /// Of what a store answered before the run began.
    fn of_store(error: &kv_api::Error) -> Self {
        match error.kind() {
            ErrorKind::InvalidArgument => Self::Usage,
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

/// Why nothing is done.
#[derive(Debug)]
pub(crate) struct Refused {
    exit: Exit,
    /// One line; shows no secret.
    message: String,
}

impl Refused {
    pub(crate) const fn new(exit: Exit, message: String) -> Self {
        Self { exit, message }
    }

    /// By what is wrong with a URL, of which an error shows nothing.
    pub(crate) fn by(error: &kv_api::Error) -> Self {
        Self::new(Exit::of_store(error), error.to_string())
    }

    /// By a store, under the name that is shown of it.
    pub(crate) fn by_store(shown: &str, error: &kv_api::Error) -> Self {
        Self::new(Exit::of_store(error), format!("{shown}: {error}"))
    }

    /// Says it on standard error, and answers how the command ends.
    pub(crate) fn tell(self) -> Exit {
        let Self { exit, message } = self;
        tell!("error: {message}");
        if exit == Exit::Usage {
            tell!("\nFor more information, try '--help'.");
        }
        exit
    }
}

/// Below the help.
pub(crate) fn help() -> String {
    let mut text = "Exit codes:\n".to_owned();
    for exit in Exit::ALL {
        text.push_str(&format!("  {:<3}  {}\n", exit.code(), exit.meaning()));
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readme_gives_the_exit_codes_the_same_meaning() {
        const README: &str = include_str!("../README.md");
        for exit in Exit::ALL {
            assert!(README.contains(&format!("| {} | {} |", exit.code(), exit.meaning())), "{exit:?}");
        }
    }
}
