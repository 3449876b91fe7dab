//! Metadata, as it comes and as it is shown.

use kv_api::{Capabilities, Error, JsonText, Metadata};

use crate::fault::Fault;

/// The metadata of an entry to be written; null is none.
pub(super) fn given(json: JsonText<'_>, capabilities: &Capabilities) -> Result<Option<Metadata>, Fault> {
    if json.is_null() {
        return Ok(None);
    }
    let text = json.compact();
    // First, since what is looked at closely takes several times its length.
    let (name, found) = ("metadata_bytes_max", text.len() as u64);
    match capabilities.item_limit(name) {
        Some(max) if found > max => Err(Error::limit(name, max, found).into()),
        _ => Metadata::from_json_text(&text).map(Some).map_err(|_| not_json()),
    }
}

pub(super) fn not_json() -> Fault {
    Fault::invalid("Invalid metadata JSON")
}

/// A store may have handed out anything; the answer must stay JSON.
pub(super) fn shown(metadata: Option<&Metadata>) -> &str {
    metadata.filter(|metadata| metadata.as_json().is_ok()).map_or("null", Metadata::as_json_text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_api::ItemLimit;

    #[test]
    fn metadata_is_json_within_the_limit_of_the_store() {
        let capabilities = Capabilities::new("test").with_item_limits(const { &[ItemLimit::metadata_bytes(20)] });
        for (text, expected) in [
            (r#"{ "n": 1.50, "a": [] }"#, Ok(Some(r#"{"n":1.50,"a":[]}"#))),
            ("null", Ok(None)),
            (r#"{"a":1,"a":2}"#, Err(400)),
            (r#""01234567890123456""#, Ok(Some(r#""01234567890123456""#))),
            (r#""0123456789012345678""#, Err(413)),
        ] {
            let given = given(JsonText::parse_foreign(text).unwrap(), &capabilities);
            let given = given.map_err(|fault| fault.status.as_u16());
            let found =
                given.as_ref().map(|given| given.as_ref().map(Metadata::as_json_text)).map_err(|status| *status);
            assert_eq!(found, expected, "{text}");
        }
    }
}
