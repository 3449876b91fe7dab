//! What the name of a file says about its content.

use std::path::Path;

use crate::error::{Error, Result};

/// How the items stand in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BulkFormat {
    /// One item a line: `.jsonl` and `.ndjson`.
    Lines,
    /// A JSON array with one item a line: `.json`, as Cloudflare's bulk upload takes it.
    Array,
}

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// As gzip(1) does: `.gz`.
    Gzip,
    /// As zstd(1) does: `.zst`.
    Zstd,
}

impl Compression {
    /// The compression that a name in lower case ends in, and the name without that ending.
    pub(super) fn split(name: &str) -> (Self, &str) {
        if let Some(plain) = name.strip_suffix(".gz") {
            (Self::Gzip, plain)
        } else if let Some(plain) = name.strip_suffix(".zst") {
            (Self::Zstd, plain)
        } else {
            (Self::None, name)
        }
    }

    /// What the name of a file says.
    pub(crate) fn of_name(name: &str) -> Self {
        Self::split(&name.to_ascii_lowercase()).0
    }

    /// What a person calls it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::None => "uncompressed",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// Endings of files that other programs compress, and what they are called.
const UNSUPPORTED: [(&str, &str); 7] = [
    (".bz2", "bzip2"),
    (".zip", "zip"),
    (".xz", "xz"),
    (".lzma", "xz"),
    (".7z", "7-Zip"),
    (".lz4", "lz4"),
    (".br", "Brotli"),
];

impl BulkFormat {
    /// What the name of a file says: its format, and how it is compressed. `None` when it says nothing.
    ///
    /// ```
    /// use kv_migrate::{BulkFormat, Compression};
    /// use std::path::Path;
    /// assert_eq!(BulkFormat::of_path(Path::new("out.jsonl.gz")), Some((BulkFormat::Lines, Compression::Gzip)));
    /// assert_eq!(BulkFormat::of_path(Path::new("out.txt")), None);
    /// ```
    #[must_use]
    pub fn of_path(path: &Path) -> Option<(Self, Compression)> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let (compression, name) = Compression::split(&name);
        let (_, extension) = name.rsplit_once('.')?;
        match extension {
            "json" => Some((Self::Array, compression)),
            "jsonl" | "ndjson" => Some((Self::Lines, compression)),
            _ => None,
        }
    }

    /// The compression that the name of a file says, where it is one that is neither read nor written.
    ///
    /// ```
    /// use kv_migrate::BulkFormat;
    /// use std::path::Path;
    /// assert_eq!(BulkFormat::unsupported_compression(Path::new("out.jsonl.bz2")), Some("bzip2"));
    /// assert_eq!(BulkFormat::unsupported_compression(Path::new("out.jsonl.gz")), None);
    /// ```
    #[must_use]
    pub fn unsupported_compression(path: &Path) -> Option<&'static str> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        UNSUPPORTED.iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, compression)| *compression)
    }

    /// As [`of_path`](Self::of_path), for a file that is to be written.
    ///
    /// # Errors
    /// [`Error::Unsuitable`], with the endings that there are, when the name says no format.
    pub fn of_target(path: &Path) -> Result<(Self, Compression)> {
        Self::of_path(path).ok_or_else(|| {
            let name = path.display();
            Error::Unsuitable(match Self::unsupported_compression(path) {
                Some(compression) => format!(
                    "{name}: {compression} is not supported: end the name in .gz for gzip or in .zst for zstd instead"
                ),
                None => format!(
                    "{name}: the name does not say in which format to write: end it in .json, .jsonl or .ndjson, and \
                     .gz or .zst after that for gzip or zstd"
                ),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_says_format_and_compression() {
        for (name, expected) in [
            ("a.json", (BulkFormat::Array, Compression::None)),
            ("A.NDJSON.ZST", (BulkFormat::Lines, Compression::Zstd)),
            ("a.gz.json.gz", (BulkFormat::Array, Compression::Gzip)),
        ] {
            assert_eq!(BulkFormat::of_target(Path::new(name)).unwrap(), expected, "{name}");
        }
        for (name, message) in [
            ("a.jsonl.bz2", "a.jsonl.bz2: bzip2 is not supported"),
            ("a.ZIP", "a.ZIP: zip is not supported"),
            ("a.gz", "a.gz: the name does not say in which format"),
            ("json", "json: the name does not say in which format"),
        ] {
            assert_eq!(BulkFormat::of_path(Path::new(name)), None, "{name}");
            let error = BulkFormat::of_target(Path::new(name)).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }
}
