//! What no source settles about the system, as switches: a test sets each both ways.

use clap::{Args, ValueEnum};

/// How the fake behaves where neither documents nor official clients say what the system does.
///
/// The defaults follow Redis, on which the system is built, and are otherwise the plainest choice.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Switches {
    /// How the seconds left until an expiry become a whole number.
    #[arg(long, value_enum, default_value_t)]
    pub rounding: Rounding,
    /// How names are cut into pages.
    #[arg(long, value_enum, default_value_t)]
    pub pages: Pages,
    /// How large the numbers are that a listing goes on from.
    #[arg(long, value_enum, default_value_t)]
    pub cursors: Cursors,
    /// What becomes of the numbers in a value that is set.
    #[arg(long, value_enum, default_value_t)]
    pub numbers: Numbers,
    /// Whether JSON null can be stored.
    #[arg(long, value_enum, default_value_t)]
    pub nulls: Nulls,
    /// How get-one answers for a missing key and for a stored null, which look alike.
    #[arg(long, value_enum, default_value_t)]
    pub no_value: NoValue,
    /// Whether counters take fractions.
    #[arg(long, value_enum, default_value_t)]
    pub fractions: Fractions,
}

/// How the time left until an expiry is rounded to seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Rounding {
    /// To the nearest, halves up, as Redis does.
    #[default]
    Nearest,
    /// Down, to zero within the last second.
    Floor,
    /// Up.
    Ceil,
}

/// How names are cut into pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Pages {
    /// As many matching names as asked for, each once, and the end comes with the last of them.
    #[default]
    Even,
    /// Everything a caller has to reckon with: empty pages before and after full ones, pages with one name more or
    /// fewer than asked for, names that repeat on a page and on the next, and names that do not match counted too.
    Uneven,
}

/// The size of cursors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Cursors {
    /// Below 2^53, so that a double holds them.
    #[default]
    Small,
    /// From 2^63 on, where a double or a signed integer loses the place.
    Large,
}

/// What becomes of the numbers in a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Numbers {
    /// 64-bit integers and doubles stay what they are.
    #[default]
    Kept,
    /// All pass through a double: integers beyond 2^53 are rounded, and `1.0` becomes `1`.
    AsDoubles,
}

/// Whether JSON null can be stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Nulls {
    /// A set of null is an error and writes nothing.
    #[default]
    Refused,
    /// Null is a value. Only get-many distinguishes it from a missing key.
    Stored,
}

/// How get-one answers where there is no value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum NoValue {
    /// `null`.
    #[default]
    Null,
    /// An empty body with status 200.
    EmptyBody,
}

/// Whether counters take fractions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Fractions {
    /// A step or a stored number that is no 64-bit integer is an error.
    #[default]
    Refused,
    /// The sum is taken as a double then.
    Taken,
}
