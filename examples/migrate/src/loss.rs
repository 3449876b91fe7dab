//! What may get lost on the way.

use std::fmt;

/// What a target cannot keep, or a source does not report. Such a loss is refused unless
/// [`Options::allow_loss`](crate::Options::allow_loss) names it.
///
/// - `expiry`: a source that does not report expiries is refused before anything is written, and a target that keeps
///   none refuses each entry that has one. Allowed, such entries are copied as ones that never expire.
/// - `metadata`: a target that keeps none refuses each entry that has some. Allowed, it is copied without.
///
/// Nothing else is given up: a value of a kind that the target does not keep, or that is too large, is not copied in
/// any case. That the target rounds an expiry up (EXP-4) is no loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Loss {
    /// When an entry ends. [`Options::unknown_expiry_as_never`](crate::Options::unknown_expiry_as_never) allows the
    /// part of it that lies with the source alone.
    Expiry,
    /// The metadata of an entry.
    Metadata,
}

/// Its name: `expiry`, `metadata`.
impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expiry => "expiry",
            Self::Metadata => "metadata",
        })
    }
}
