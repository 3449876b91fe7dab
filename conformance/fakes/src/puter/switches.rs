//! How the system can differ from what it is by default, as switches: a test sets each both ways.

use clap::{Args, ValueEnum};

/// Where servers differ, where no source settles the matter, or where a test asks for less than everything at once.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Switches {
    /// Which host names are served.
    #[arg(long, value_enum, default_value_t)]
    pub hosts: Hosts,
    /// How a failure of the driver is answered.
    #[arg(long, value_enum, default_value_t)]
    pub failures: Failures,
    /// Which existing keys a get of many answers with null when they are more than the storage reads at once.
    #[arg(long, value_enum, default_value_t)]
    pub unread: Unread,
    /// What fails besides reads of the value when a counter has gone beyond 2^53 - 1.
    #[arg(long, value_enum, default_value_t)]
    pub poison: Poison,
    /// When expired entries are removed.
    #[arg(long, value_enum, default_value_t)]
    pub sweep: Sweep,
    /// Whether the documented rates per user and method hold.
    #[arg(long, value_enum, default_value_t)]
    pub rates: Rates,
    /// How many milliseconds, by the clock of the server, a call counts as being in flight where rates are enforced;
    /// calls of a user and a method beyond a number at once are refused.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub busy_millis: u64,
}

/// Which host names are served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Hosts {
    /// Every one, 127.0.0.1 included.
    #[default]
    Any,
    /// Only those whose first label is `api` and that have two more, as on a real server; others get 404.
    Api,
}

/// How a failure of the driver is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Failures {
    /// With a status of 400 or more.
    #[default]
    Status,
    /// With status 200 and `"success": false`, as older servers did. Credentials, routes and rates keep their status.
    UnderSuccess,
}

/// Which existing keys a get of many answers with null, once the values before them have passed 1 MB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Unread {
    /// Others at each request: the storage begins one key further on than the time before.
    #[default]
    Rotating,
    /// The last ones, at each request.
    Last,
    /// None: all are read, whatever they come to.
    None,
}

/// What fails when a counter has gone beyond what the program can read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Poison {
    /// Reads of its value, in listings too.
    #[default]
    Values,
    /// Listings of keys and flushes as well, as the source suggests: they read whole entries.
    Everything,
}

/// When expired entries are removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Sweep {
    /// Not until they are overwritten or deleted, or a [`Sweeper`](super::Sweeper) sweeps: they go on counting, and can
    /// be revived.
    #[default]
    OnCall,
    /// Before every request.
    AtOnce,
}

/// Whether the documented rates hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Rates {
    /// Anything goes.
    #[default]
    Unlimited,
    /// Those of the user's tier.
    Enforced,
}
