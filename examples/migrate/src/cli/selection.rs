//! Which entries are meant: what `copy`, `verify` and `plan` have in common.

use kv_api::MinTtl;
use kv_migrate::{Filter, Loss, Options, Rewrite, ZeroExpiry};

use super::arguments::{self, Fit, Selection};
use super::stop::{self, Stop};

/// The options that say so; the others are as by default.
pub(crate) fn options(selection: &Selection) -> Result<Options, String> {
    let Selection { strip_prefix, add_prefix, .. } = selection;
    Ok(Options {
        prefix: selection.prefix.clone(),
        filter: Filter::new(&selection.include, &selection.exclude)?,
        rewrite: Rewrite { strip_prefix: strip_prefix.clone(), add_prefix: add_prefix.clone() },
        zero_expiry: selection.zero_expiry.map_or_else(Default::default, Into::into),
        ..Options::default()
    })
}

/// The same, and what becomes of entries that do not fit.
pub(crate) fn options_to_fit(selection: &Selection, fit: &Fit) -> Result<Options, String> {
    Ok(Options {
        unknown_expiry_as_never: fit.unknown_expiry_as_never,
        allow_loss: fit.allow_loss.iter().map(|loss| (*loss).into()).collect(),
        skip_bad_lines: fit.skip_bad_lines,
        ..options(selection)?
    })
}

/// What becomes of an expiry that is too near for the target (EXP-6).
pub(crate) fn min_ttl(fit: &Fit) -> MinTtl {
    if fit.min_ttl_round_up { MinTtl::RoundUp } else { MinTtl::default() }
}

/// Finds a file of keys that cannot be what was meant; `again` where it is read more than once.
pub(crate) fn check_keys_from(stops: &[Stop], selection: &Selection, again: bool) -> Result<(), String> {
    let Some(path) = selection.keys_from.as_deref() else { return Ok(()) };
    if !matches!(stops.first(), Some(Stop::Store { .. })) {
        return Err("--keys-from names keys of a store, and the first stop is not a store".to_owned());
    }
    if !path.exists() && path.to_str().is_some_and(stop::may_hold_a_secret) {
        return Err("the file of --keys-from does not exist, and is not shown as it may hold a secret".to_owned());
    }
    if again && stop::is_read_only_once(path) {
        return Err("to verify, the file of --keys-from is read again, and only a regular file can be".to_owned());
    }
    Ok(())
}

impl From<arguments::ZeroExpiry> for ZeroExpiry {
    fn from(meaning: arguments::ZeroExpiry) -> Self {
        match meaning {
            arguments::ZeroExpiry::Never => Self::Never,
            arguments::ZeroExpiry::Skip => Self::Skip,
        }
    }
}

impl From<arguments::Loss> for Loss {
    fn from(loss: arguments::Loss) -> Self {
        match loss {
            arguments::Loss::Expiry => Self::Expiry,
            arguments::Loss::Metadata => Self::Metadata,
        }
    }
}
