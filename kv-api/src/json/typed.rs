//! Typed access to JSON through serde_json, without the meaning it gives to some names of members.

use std::sync::OnceLock;

use serde::de::DeserializeOwned;

use super::text::JsonText;

/// Names that `serde_json::Value`, and what is read through it, takes for its own when they come first in an object:
/// each under a feature of serde_json that any crate of the program may have turned on.
const RESERVED: [&str; 2] = ["$serde_json::private::RawValue", "$serde_json::private::Number"];

/// What `T` makes of JSON text; `None` when it does not fit, or when serde_json as it is built into this program would
/// make something else of the text than it says (VAL-3).
pub(crate) fn decode<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    if takes_reserved() && begins_with_reserved(json) {
        return None;
    }
    serde_json::from_slice(json).ok()
}

fn takes_reserved() -> bool {
    static TAKES: OnceLock<bool> = OnceLock::new();
    *TAKES.get_or_init(|| {
        RESERVED.iter().any(|name| {
            let read = serde_json::from_str::<serde_json::Value>(&format!(r#"{{"{name}":"1"}}"#));
            !read.is_ok_and(|json| json.is_object())
        })
    })
}

/// Whether an object at any depth begins with such a name.
fn begins_with_reserved(json: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(json) else { return false };
    // A name can also be written with escapes.
    if !text.contains("$serde_json::") && !text.contains("\\u") {
        return false;
    }
    let Ok(json) = JsonText::parse_foreign(text) else { return false };
    json.first_names().any(|name| RESERVED.contains(&&*name))
}
