//! The methods of the driver.

/// What a call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Set,
    Get,
    BatchPut,
    Del,
    List,
    Flush,
    ExpireAt,
    Expire,
    Incr,
    Decr,
    Update,
    Add,
    Remove,
}

impl Method {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "set" => Self::Set,
            "get" => Self::Get,
            "batchPut" => Self::BatchPut,
            "del" => Self::Del,
            "list" => Self::List,
            "flush" => Self::Flush,
            "expireAt" => Self::ExpireAt,
            "expire" => Self::Expire,
            "incr" => Self::Incr,
            "decr" => Self::Decr,
            "update" => Self::Update,
            "add" => Self::Add,
            "remove" => Self::Remove,
            _ => return None,
        })
    }

    /// Whether entries are read and not changed.
    pub(super) fn reads(self) -> bool {
        matches!(self, Self::Get | Self::List)
    }

    /// Whether it can mark entries as private.
    pub(super) fn marks_private(self) -> bool {
        matches!(self, Self::Set | Self::BatchPut)
    }

    /// Whether it is carried out when all credit is used up; listings of keys are too.
    pub(super) fn is_free(self) -> bool {
        matches!(self, Self::Del | Self::Remove | Self::Flush)
    }
}
