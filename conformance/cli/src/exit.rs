//! The exit codes. Help and README say what stands here.

use kv_api::ErrorKind;

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Kept = 0,
    Broken = 1,
    Usage = 2,
    Stopped = 4,
    NoAccess = 5,
}

impl Exit {
    pub(crate) const ALL: [Self; 5] = [Self::Kept, Self::Broken, Self::Usage, Self::Stopped, Self::NoAccess];

    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Kept => "every case that was run is kept; or nothing that was compared got worse or is out of date",
            Self::Broken => {
                "a rule is broken, or something is claimed and cannot be tried; or what was compared got worse or is out of date"
            }
            Self::Usage => "the command cannot be understood, or cannot be done as it stands",
            Self::Stopped => "stopped before the end: the store cannot be reached, or does not answer any more",
            Self::NoAccess => "the store is not there, or does not let this user in",
        }
    }

    /// Of what a store answered when it was opened.
    pub(crate) fn of_store(error: &kv_api::Error) -> Self {
        match error.kind() {
            ErrorKind::InvalidArgument => Self::Usage,
            ErrorKind::Unauthorized | ErrorKind::Misconfigured => Self::NoAccess,
            _ => Self::Stopped,
        }
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
