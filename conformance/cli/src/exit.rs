//! The exit codes. Help and README say what stands here.

use kv_api::ErrorKind;
use kv_terminal::signals::Signal;

/// How the command ended. Interruptions are 128 and the number of the signal, as shells have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Kept = 0,
    Broken = 1,
    Usage = 2,
    NotRemoved = 3,
    Stopped = 4,
    NoAccess = 5,
    HungUp = 129,
    Interrupted = 130,
    Terminated = 143,
}

impl Exit {
    pub(crate) const ALL: [Self; 9] = [
        Self::Kept,
        Self::Broken,
        Self::Usage,
        Self::NotRemoved,
        Self::Stopped,
        Self::NoAccess,
        Self::HungUp,
        Self::Interrupted,
        Self::Terminated,
    ];

    pub(crate) const fn code(self) -> u8 {
        self as u8
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
            Self::HungUp => "the terminal was closed (SIGHUP)",
            Self::Interrupted => "interrupted (SIGINT)",
            Self::Terminated => "terminated (SIGTERM)",
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
        match signal {
            Signal::HungUp => Self::HungUp,
            Signal::Interrupted => Self::Interrupted,
            Signal::Terminated => Self::Terminated,
        }
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
