//! Lists of keys.

use std::fmt::Write;

use axum::http::StatusCode;
use kv_api::{Entry, EntryExpiry, Feature, ListItem, ListedMetadata, Store, json_quoted};

use super::expiry::{reported, whole_seconds};
use super::{Answer, OPENING, json, metadata};
use crate::budget::{Budget, Buffer};
use crate::fault::Fault;
use crate::gateway::Gateway;
use crate::namespaces::Namespace;
use crate::query::first;

const LIMIT_MIN: usize = 10;
const LIMIT_MAX: usize = 1000;
/// How many entries are read at once for what a list does not report of them.
const READ_AT_ONCE: usize = 8;

/// A page, with expiry and metadata of each key.
pub(super) async fn list(gateway: &Gateway, namespace: &Namespace, parameters: &[(String, String)]) -> Answer {
    let limit = limit(first(parameters, "limit"))?;
    let mut list = namespace.store().list().prefix(first(parameters, "prefix").unwrap_or_default()).limit(limit);
    if let Some(cursor) = first(parameters, "cursor").filter(|cursor| !cursor.is_empty()) {
        list = list.cursor(cursor.parse()?);
    }
    let mut page = list.await?;
    let answers = gateway.admission().answers();
    let mut held = answers.room(page.items.iter().map(bytes).sum())?;
    complete(namespace.store(), &mut page.items, answers).await?;
    held.grow_to(page.items.iter().map(bytes).sum())?;
    let mut text = Buffer::new(answers.room(0)?, usize::MAX);
    text.push(format!("{OPENING}[").as_bytes())?;
    for (place, item) in page.items.iter().enumerate() {
        text.push(if place > 0 { b"," } else { b"" })?;
        text.push(shown(item).as_bytes())?;
    }
    let cursor = page.cursor.map_or_else(String::new, |cursor| cursor.to_string());
    let (count, cursor) = (page.items.len(), json_quoted(&cursor));
    text.push(format!(r#"],"result_info":{{"count":{count},"cursor":{cursor}}}}}"#).as_bytes())?;
    Ok(json(StatusCode::OK, text.into_bytes()))
}

/// How much a key of a page holds.
fn bytes(item: &ListItem) -> usize {
    let metadata = match &item.metadata {
        ListedMetadata::Some(metadata) => metadata.as_json_text().len(),
        _ => 0,
    };
    item.key.len().saturating_add(metadata)
}

fn limit(text: Option<&str>) -> Result<usize, Fault> {
    let Some(text) = text else { return Ok(LIMIT_MAX) };
    let number = whole_seconds(text).ok_or_else(|| Fault::invalid("limit: Expected query param to be number"))?;
    let limit = usize::try_from(number).unwrap_or(0);
    if limit < LIMIT_MIN {
        Err(Fault::invalid(format!("limit: Too small: expected number to be >={LIMIT_MIN}")))
    } else if limit > LIMIT_MAX {
        Err(Fault::invalid(format!("limit: Too big: expected number to be <={LIMIT_MAX}")))
    } else {
        Ok(limit)
    }
}

/// Reads what the list of this store does not report, and the dialect promises. An entry that is gone meanwhile stays
/// listed, without it.
async fn complete(store: &Store, items: &mut [ListItem], answers: &Budget) -> Result<(), Fault> {
    let capabilities = store.capabilities();
    let lacks_metadata = !capabilities.list_metadata && capabilities.supports(Feature::Metadata);
    let lacks_expiry = !capabilities.list_expiry && capabilities.expiry_read;
    if !lacks_metadata && !lacks_expiry {
        return Ok(());
    }
    for chunk in items.chunks_mut(READ_AT_ONCE) {
        let entries = store.get_entry_many(chunk.iter().map(|item| item.key.clone())).await?;
        let _held = answers.room(entries.iter().flatten().map(|entry| entry.value().as_bytes().len()).sum())?;
        for (item, entry) in chunk.iter_mut().zip(entries) {
            if lacks_metadata {
                item.metadata = entry.as_ref().and_then(Entry::metadata).cloned().into();
            }
            if lacks_expiry {
                item.expiry = entry.as_ref().map_or(EntryExpiry::Never, Entry::expiry);
            }
        }
    }
    Ok(())
}

fn shown(item: &ListItem) -> String {
    let mut result = format!(r#"{{"name":{}"#, json_quoted(&item.key));
    // Writing to a string cannot fail.
    if let Some(second) = reported(item.expiry) {
        let _ = write!(result, r#","expiration":{second}"#);
    }
    if let ListedMetadata::Some(metadata) = &item.metadata {
        let _ = write!(result, r#","metadata":{}"#, metadata::shown(Some(metadata)));
    }
    result.push('}');
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_one_of_the_dialect() {
        for (text, expected) in [
            (None, Some(1000)),
            (Some("10"), Some(10)),
            (Some("10.5"), Some(10)),
            (Some("1000"), Some(1000)),
            (Some("9"), None),
            (Some("0"), None),
            (Some("-1"), None),
            (Some("1001"), None),
            (Some("abc"), None),
            (Some(""), None),
        ] {
            assert_eq!(limit(text).ok(), expected, "{text:?}");
        }
    }
}
