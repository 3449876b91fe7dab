//! Files in the bulk format of Cloudflare KV: a JSON array of items, or one item a line; see the README.

mod compress;
mod decompress;
mod format;
mod frame;
mod gzip;
mod item;
mod part;
mod read;
mod rejects;
mod write;

use crate::record::Record;

pub(crate) use decompress::{Decompressed, damaged, decompressed, input_error};
pub use format::{BulkFormat, Compression};
pub(crate) use frame::{FrameError, Frames};
pub use read::BulkReader;
pub use rejects::Rejects;
pub use write::{BulkWriter, Mark};

/// Whether a file takes an entry.
pub(crate) fn check(record: &Record) -> kv_api::Result<()> {
    item::Item::fitting(record).map(drop)
}

/// The text of an entry in a file.
#[cfg(fuzzing)]
pub(crate) fn item_text(record: &Record) -> kv_api::Result<Vec<u8>> {
    let mut text = Vec::new();
    item::Item::fitting(record)?.write(&mut text).expect("memory takes it");
    Ok(text)
}

/// The most bytes of one item in a file: 1 GiB. More is refused in both directions, so that a file without line ends
/// cannot fill the memory and what was written can be read.
pub const ITEM_BYTES_MAX: usize = 1 << 30;
