//! Conditions: `ETag`, `If-Match` and `If-None-Match`, which the vendor does not have.

use std::fmt::Write;

use axum::http::header::{IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use kv_api::{Capabilities, Error, Feature, Version};

use crate::fault::Fault;

/// Under which condition something is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Precondition {
    Always,
    /// `If-None-Match: *`
    IfNotExists,
    /// `If-Match: *`
    IfExists,
    /// `If-Match: "version"`
    IfVersion(Version),
}

impl Precondition {
    /// One that never holds is refused at once.
    pub(super) fn of(headers: &HeaderMap, capabilities: &Capabilities) -> Result<Self, Fault> {
        let (matches, differs) = (single(headers, &IF_MATCH)?, single(headers, &IF_NONE_MATCH)?);
        match (matches, differs) {
            (None, None) => Ok(Self::Always),
            (None, Some("*")) => Ok(Self::IfNotExists),
            (Some("*"), None) => Ok(Self::IfExists),
            (Some(tag), None) => {
                // A weak tag never matches, by the rule of HTTP for changes.
                let tag = tag.strip_prefix("W/").map_or(Some(tag), |_| None);
                let Some(tag) = tag else { return Err(never(capabilities)) };
                let version = unquoted(tag).ok_or_else(|| Fault::invalid("If-Match is not * or one entity tag"))?;
                version.parse().map(Self::IfVersion).map_err(|_| never(capabilities))
            }
            (None, Some(_)) => Err(Fault::invalid("If-None-Match of a change is not *")),
            (Some(_), Some(_)) => Err(Fault::invalid("If-Match and If-None-Match exclude each other")),
        }
    }
}

/// A version that no entry has, such as one of another server.
fn never(capabilities: &Capabilities) -> Fault {
    if capabilities.supports(Feature::IfVersion) {
        Fault::not_met()
    } else {
        Error::unsupported(Feature::IfVersion).into()
    }
}

/// Of a call that takes no condition: one that was passed over would look as if it held.
pub(super) fn refuse(headers: &HeaderMap) -> Result<(), Fault> {
    for name in [IF_MATCH, IF_NONE_MATCH] {
        if headers.contains_key(&name) {
            return Err(Fault::invalid(format!("{name} is a condition of a single value")));
        }
    }
    Ok(())
}

/// Whether a reader has the version already: `If-None-Match` of a read, which may name several.
pub(super) fn is_known(headers: &HeaderMap, version: &Version) -> bool {
    // Most reads name none: then the version is not even printed.
    let Some(version) = headers.contains_key(IF_NONE_MATCH).then(|| version.to_string()) else { return false };
    headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).any(|tags| {
        tags.split(',').map(str::trim).any(|tag| {
            tag == "*" || unquoted(tag.strip_prefix("W/").unwrap_or(tag)).is_some_and(|known| known == version)
        })
    })
}

/// The entity tag of a version.
pub(super) fn tag(version: &Version) -> Option<HeaderValue> {
    let mut tag = String::with_capacity(Version::BYTES_MAX + 2);
    // Writing to a string cannot fail.
    let _ = write!(tag, "\"{version}\"");
    // A quote is what an entity tag cannot hold. No store of ours has such versions.
    unquoted(&tag).and_then(|_| HeaderValue::from_str(&tag).ok())
}

fn unquoted(tag: &str) -> Option<&str> {
    tag.strip_prefix('"')?.strip_suffix('"').filter(|text| !text.contains('"'))
}

fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Fault> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            let text = value.to_str().map_err(|_| Fault::invalid(format!("{name} is not text")))?;
            Ok(Some(text.trim()))
        }
        (Some(_), Some(_)) => Err(Fault::invalid(format!("{name} is there twice"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn headers_are_conditions() {
        let version = Version::numbered(7, 1);
        let tag = format!("\"{version}\"");
        for (pairs, expected) in [
            (&[][..], Ok(Precondition::Always)),
            (&[("if-none-match", "*")], Ok(Precondition::IfNotExists)),
            (&[("if-match", "*")], Ok(Precondition::IfExists)),
            (&[("if-match", &tag)], Ok(Precondition::IfVersion(version.clone()))),
            (&[("if-match", &format!("W/{tag}"))], Err(412)),
            (&[("if-match", "\"\"")], Err(412)),
            (&[("if-match", &format!("\"{}\"", "v".repeat(65)))], Err(412)),
            (&[("if-match", "unquoted")], Err(400)),
            (&[("if-match", &format!("{tag}, {tag}"))], Err(400)),
            (&[("if-match", &tag), ("if-match", &tag)], Err(400)),
            (&[("if-none-match", &tag)], Err(400)),
            (&[("if-match", "*"), ("if-none-match", "*")], Err(400)),
        ] {
            let found = Precondition::of(&headers(pairs), &kv_memory::CAPABILITIES);
            assert_eq!(found.map_err(|fault| fault.status.as_u16()), expected, "{pairs:?}");
        }
        // Where there are no versions, none is one of another entry.
        let fault = Precondition::of(&headers(&[("if-match", "\"\"")]), &Capabilities::new("none")).unwrap_err();
        assert_eq!(fault.status.as_u16(), 501);
    }

    #[test]
    fn a_reader_may_have_the_version() {
        let version = Version::numbered(7, 1);
        let tag = format!("\"{version}\"");
        for (value, known) in [
            (tag.clone(), true),
            (format!("W/{tag}"), true),
            (format!("\"x\", {tag}"), true),
            ("*".to_owned(), true),
            ("\"x\"".to_owned(), false),
            (version.to_string(), false),
        ] {
            assert_eq!(is_known(&headers(&[("if-none-match", &value)]), &version), known, "{value}");
        }
        assert!(!is_known(&HeaderMap::new(), &version));
        assert_eq!(super::tag(&version).unwrap(), tag.as_str());
    }
}
