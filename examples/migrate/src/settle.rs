//! What an entry becomes before the target sees it: what its expiry means, and what it loses.

use kv_api::{Capabilities, ErrorKind, Feature, Reason, Support};

use crate::error::{Error, Result};
use crate::loss::Loss;
use crate::options::{Options, ZeroExpiry};
use crate::record::{Record, RecordExpiry};
use crate::source::Source;

/// What an entry becomes.
#[derive(Debug)]
pub(crate) enum Settled {
    /// It is to be written, without these.
    Write(Lost),
    /// It is passed over, see [`ZeroExpiry::Skip`].
    Skip,
    /// It has expired, and the target would keep it for ever.
    Expired,
    /// It cannot be written.
    Refuse(kv_api::Error),
}

/// What an entry loses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) expiry: bool,
    pub(crate) metadata: bool,
}

/// Refuses a source that loses something of every entry, unless that is allowed.
pub(crate) fn check_source(source: &Source<'_>, options: &Options) -> Result<()> {
    let hides_expiry = source.capabilities().is_some_and(|source| !source.expiry_read);
    if hides_expiry && !options.keeps_unknown_expiry() { Err(Error::Lossy(Loss::Expiry)) } else { Ok(()) }
}

/// Settles what the expiry of an entry means, and takes from it what the target cannot keep, as far as the options
/// allow it. `None` for a file, which keeps everything. What is not allowed is left for the target to refuse.
pub(crate) fn settle(record: &mut Record, options: &Options, target: Option<&Capabilities>) -> Settled {
    let mut lost = Lost::default();
    let keeps_no_expiry = target.is_some_and(|target| target.ttl == Support::None && target.expire_at == Support::None);
    match record.expiry {
        RecordExpiry::Never => {}
        RecordExpiry::Unknown if options.keeps_unknown_expiry() => lost.expiry = true,
        RecordExpiry::Unknown => {
            let message = "the source cannot tell when this entry expires";
            let error = kv_api::Error::new(ErrorKind::Unsupported, message);
            return Settled::Refuse(error.with_reason(Reason::Unsupported(Feature::ExpireAt)));
        }
        RecordExpiry::NotPositive => match options.zero_expiry {
            ZeroExpiry::Never => record.expiry = RecordExpiry::Never,
            ZeroExpiry::Skip => return Settled::Skip,
            ZeroExpiry::Refuse => {
                return Settled::Refuse(kv_api::Error::new(
                    ErrorKind::InvalidArgument,
                    "its expiry is zero or less, which some tools write for \"never\" and others for \"at once\"; \
                     --zero-expiry says which",
                ));
            }
        },
        RecordExpiry::After(_) | RecordExpiry::At(_)
            if !keeps_no_expiry || !options.allow_loss.contains(&Loss::Expiry) => {}
        // What has ended must not come back for ever.
        RecordExpiry::At(at) if at <= options.clock.now() => return Settled::Expired,
        RecordExpiry::After(_) | RecordExpiry::At(_) => lost.expiry = true,
    }
    if lost.expiry {
        record.expiry = RecordExpiry::Never;
    }
    let keeps_no_metadata = target.is_some_and(|target| target.metadata == Support::None);
    if keeps_no_metadata && options.allow_loss.contains(&Loss::Metadata) {
        lost.metadata = record.metadata.take().is_some();
    }
    Settled::Write(lost)
}
