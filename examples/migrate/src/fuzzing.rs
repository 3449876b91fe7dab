//! Decoders for the fuzz targets in `conformance/fuzz`. Built with `--cfg fuzzing` only.

use crate::bulk::{BulkReader, Compression, item_text};
use crate::checkpoint;
use crate::error::Result;
use crate::keys::KeyReader;
use crate::record::Record;

const NAME: &str = "the file";

/// Reads a file in the bulk format.
#[must_use]
pub fn bulk(bytes: Vec<u8>, compression: Compression) -> BulkReader {
    BulkReader::over(NAME.to_owned(), Box::new(std::io::Cursor::new(bytes)), compression)
}

/// The line of an entry in such a file.
///
/// # Errors
/// For an entry that no file can have.
pub fn line(record: &Record) -> kv_api::Result<Vec<u8>> {
    item_text(record)
}

/// All keys of a file of keys, with their lines.
///
/// # Errors
/// For a file that is damaged.
pub fn keys(bytes: Vec<u8>) -> Result<Vec<(String, u64)>> {
    let mut reader = KeyReader::over(NAME.to_owned(), Box::new(std::io::Cursor::new(bytes)));
    let mut keys = Vec::new();
    while let Some(key) = reader.next_key()? {
        keys.push(key);
    }
    Ok(keys)
}

/// What a checkpoint says, printed; where its whole lines end; and a checkpoint that says the same of how far the copy
/// came. `None` for what is none.
#[must_use]
pub fn checkpoint(bytes: &[u8]) -> Option<(String, u64, Vec<u8>)> {
    checkpoint::journal::reading(bytes)
}
