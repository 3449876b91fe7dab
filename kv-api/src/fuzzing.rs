//! For the fuzz targets in `conformance/fuzz`. Built with `--cfg fuzzing` only.

use crate::cursor::{Cursor, CursorScope};
use crate::error::Result;
use crate::json::JsonText;
use crate::stable_hash::stable_hash;

/// A cursor over this position.
#[must_use]
pub fn seal_cursor(system: &str, scope: &str, prefix: &str, position: &[u8]) -> Cursor {
    CursorScope { system, scope, prefix }.seal(position)
}

/// The position in a cursor.
///
/// # Errors
/// As the handle has them.
pub fn open_cursor(system: &str, scope: &str, prefix: &str, cursor: &Cursor) -> Result<Vec<u8>> {
    CursorScope { system, scope, prefix }.open(cursor)
}

/// The check sum of a cursor's bytes, so that a target gets behind it.
#[must_use]
pub fn check_sum(bytes: &[u8]) -> [u8; 8] {
    stable_hash(&[bytes])
}

/// JSON as a tree.
#[must_use]
pub fn json_tree(json: JsonText<'_>) -> Option<serde_json::Value> {
    json.to_tree()
}
