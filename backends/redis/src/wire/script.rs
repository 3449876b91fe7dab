//! The scripts: what takes several commands and must be one step. Each is one round trip and atomic.

use std::sync::LazyLock;

use super::value::digest;

/// A script, known to the server by its hash once it was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Script {
    DeleteIfVersion,
    ExpireAt,
    ExpireIfVersion,
    Increment,
    NeverExpire,
    ReadAndChange,
    ReadEntry,
    SetIfVersion,
    WriteAll,
}

impl Script {
    /// Every script, in the order in which they are declared.
    const ALL: [Self; 9] = [
        Self::DeleteIfVersion,
        Self::ExpireAt,
        Self::ExpireIfVersion,
        Self::Increment,
        Self::NeverExpire,
        Self::ReadAndChange,
        Self::ReadEntry,
        Self::SetIfVersion,
        Self::WriteAll,
    ];

    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::DeleteIfVersion => include_str!("scripts/delete_if_version.lua"),
            Self::ExpireAt => include_str!("scripts/expire_at.lua"),
            Self::ExpireIfVersion => include_str!("scripts/expire_if_version.lua"),
            Self::Increment => include_str!("scripts/increment.lua"),
            Self::NeverExpire => include_str!("scripts/never_expire.lua"),
            Self::ReadAndChange => include_str!("scripts/read_and_change.lua"),
            Self::ReadEntry => include_str!("scripts/read_entry.lua"),
            Self::SetIfVersion => include_str!("scripts/set_if_version.lua"),
            Self::WriteAll => include_str!("scripts/write_all.lua"),
        }
    }

    pub(crate) fn hash(self) -> &'static str {
        static HASHES: LazyLock<[String; 9]> =
            LazyLock::new(|| Script::ALL.map(|script| digest(script.text().as_bytes())));
        &HASHES[self as usize]
    }

    /// The commands that run it: by its hash, and by its text.
    pub(crate) const fn commands(self) -> (&'static str, &'static str) {
        match self {
            Self::ReadEntry => ("EVALSHA_RO", "EVAL_RO"),
            _ => ("EVALSHA", "EVAL"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_script_has_its_own_hash() {
        for script in Script::ALL {
            assert_eq!(script.hash(), digest(script.text().as_bytes()), "{script:?}");
        }
    }
}
