//! What can be asked for. Help comes from these definitions.

use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};

use clap::{Args, Parser, Subcommand, ValueEnum};
use kv_api::RequestRate;

use crate::compare::CompareArguments;
use crate::exit;
use crate::matrix::MatrixArguments;
use crate::render::{OutputArguments, RenderArguments};

/// Checks key-value stores against the contract of kv-api
#[derive(Debug, Parser)]
#[command(name = "kv-conformance", version, max_term_width = 120, after_help = exit::help())]
#[command(disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(RunArguments),
    Render(RenderArguments),
    Compare(CompareArguments),
    Matrix(MatrixArguments),
}

/// Run the suite against the store at a URL
///
/// All keys are below a random prefix and are removed afterwards, also when a case fails and after Ctrl-C. Other entries
/// of the store are not touched. Each case opens the store by the URL, which is shown nowhere; credentials come from the
/// environment.
#[derive(Args, Debug)]
#[command(after_help = exit::help())]
pub(crate) struct RunArguments {
    /// The URL of the store
    #[arg(value_name = "URL")]
    pub(crate) url: String,

    /// Which cases
    #[arg(long, value_enum, default_value_t = Profile::Quick)]
    pub(crate) profile: Profile,

    /// Only these rules (SET-3), families of rules (SET) or cases, separated by commas
    #[arg(long, value_name = "RULE", value_delimiter = ',')]
    pub(crate) filter: Vec<String>,

    /// Send no more requests than this; what has no room is left out
    #[arg(long, value_name = "N")]
    pub(crate) budget_requests: Option<NonZeroU64>,

    /// Take no longer than this; what has no room is left out
    #[arg(long, value_name = "S")]
    pub(crate) budget_seconds: Option<NonZeroU64>,

    /// How many cases run side by side, beside those that wait for time to pass
    #[arg(long, value_name = "N", default_value = "4")]
    pub(crate) concurrency: NonZeroUsize,

    /// What the random prefix of all keys begins with
    #[arg(long, value_name = "P", default_value = "kvc-")]
    pub(crate) prefix: String,

    /// Keep to so many requests in so many seconds, such as 1200/300; documented is what the system's documents allow,
    /// none is no limit. What is sent again after a failure counts only with --through-proxy: attempts_max=1 in the URL
    /// rules it out
    #[arg(long, value_name = "RATE", default_value = "documented", value_parser = Rate::parse)]
    pub(crate) rate: Rate,

    /// Reach the system through a proxy in this process, which counts requests and breaks them on purpose; not for
    /// memory, SQLite and a Redis Cluster. Each request is sent twice at most, unless attempts_max in the URL says
    /// otherwise
    #[arg(long)]
    pub(crate) through_proxy: bool,

    /// Begin without a question
    #[arg(short, long)]
    pub(crate) yes: bool,

    #[command(flatten)]
    pub(crate) output: OutputArguments,

    /// Leave out what differs from run to run (times, and requests of each case), for a report that is kept
    #[arg(long)]
    pub(crate) stable: bool,
}

/// Which cases are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// Those that wait for no more than a few seconds, and take no more than a few hundred requests
    Quick,
    /// All
    Full,
}

/// Which rate of requests is kept to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Rate {
    Documented,
    None,
    Of(RequestRate),
}

impl Rate {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "documented" => Ok(Self::Documented),
            "none" => Ok(Self::None),
            _ => {
                let figures = text.split_once('/').and_then(|(requests, seconds)| {
                    Some((requests.parse::<NonZeroU32>().ok()?, seconds.parse::<NonZeroU32>().ok()?))
                });
                let (requests, seconds) =
                    figures.ok_or("expected documented, none, or requests and seconds, such as 1200/300")?;
                let per = std::time::Duration::from_secs(seconds.get().into());
                Ok(Self::Of(RequestRate::new(requests.get(), per)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_definitions_hold_together() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_rate_is_requests_in_seconds() {
        let expected = Rate::Of(RequestRate::new(1200, Duration::from_secs(300)));
        assert_eq!(Rate::parse("1200/300"), Ok(expected));
        assert_eq!((Rate::parse("documented"), Rate::parse("none")), (Ok(Rate::Documented), Ok(Rate::None)));
        for text in ["", "1200", "0/1", "1/0", "a/b", "1/2/3"] {
            assert!(Rate::parse(text).is_err(), "{text}");
        }
    }
}
