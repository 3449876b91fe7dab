//! What a namespace holds: keys by prefix, and one entry.

use std::fmt::Write;

use kv_api::{Entry, EntryExpiry, Escaped, ListedMetadata, Metadata};
use maud::{Markup, html};

use super::frame;
use crate::fault::Fault;
use crate::namespaces::Namespace;

const KEYS_MAX: usize = 100;
/// How much of a value is shown.
const SHOWN_BYTES_MAX: usize = 16 * 1024;
const SHOWN_HEX_BYTES_MAX: usize = 1024;

pub(super) async fn keys(namespace: &Namespace, prefix: &str, cursor: &str) -> Result<Markup, Fault> {
    let mut list = namespace.store().list().prefix(prefix).limit(KEYS_MAX);
    if !cursor.is_empty() {
        list = list.cursor(cursor.parse()?);
    }
    let page = list.await?;
    Ok(frame::page(
        namespace.name(),
        &html! {
            h1 { "Keys of " (namespace.name()) }
            (frame::search(namespace, prefix))
            @if page.items.is_empty() {
                p { "No key on this page." }
            } @else {
                div.wide tabindex="0" role="region" aria-label="Keys" {
                    table {
                        thead { tr {
                            th scope="col" { "Key" }
                            th scope="col" { "Ends" }
                            th scope="col" { "Metadata" }
                        } }
                        tbody {
                            @for item in &page.items { tr {
                                td.key { a href=(link(namespace, &[("key", &item.key)])) { (Escaped(&item.key)) } }
                                td.time { (ends(item.expiry)) }
                                td.metadata { @if let ListedMetadata::Some(metadata) = &item.metadata { (json(metadata)) } }
                            } }
                        }
                    }
                }
            }
            @if let Some(cursor) = &page.cursor {
                @let next = link(namespace, &[("prefix", prefix), ("cursor", &cursor.to_string())]);
                p { a rel="next" href=(next) { "Next page" } }
            }
        },
    ))
}

pub(super) async fn entry(namespace: &Namespace, key: &str) -> Result<Markup, Fault> {
    let entry = namespace.store().get_entry(key).await?.ok_or_else(Fault::key_not_found)?;
    Ok(frame::page(
        namespace.name(),
        &html! {
            h1 { (Escaped(key)) }
            dl {
                dt { "Namespace" } dd { a href=(link(namespace, &[])) { (namespace.name()) } }
                dt { "Value" } dd { (entry.value().kind()) ", " (length(entry.value().as_bytes().len())) }
                dt { "Ends" } dd { (ends(entry.expiry())) }
                @if let Some(metadata) = entry.metadata() { dt { "Metadata" } dd { (json(metadata)) } }
                @if let Some(version) = entry.version() { dt { "Version" } dd { code { (version) } } }
            }
            (value(&entry))
        },
    ))
}

fn length(bytes: usize) -> String {
    if bytes == 1 { "1 byte".to_owned() } else { format!("{bytes} bytes") }
}

fn value(entry: &Entry) -> Markup {
    let bytes = entry.value().as_bytes();
    if bytes.is_empty() {
        return html! { p { "The value is empty." } };
    }
    let text = std::str::from_utf8(bytes).ok();
    let max = if text.is_some() { SHOWN_BYTES_MAX } else { SHOWN_HEX_BYTES_MAX };
    let shown = match text {
        Some(text) => text.get(..text.floor_char_boundary(max)).unwrap_or_default().to_owned(),
        None => hex(bytes.get(..max).unwrap_or(bytes)),
    };
    html! {
        h2 #value { @if text.is_some() { "Value" } @else { "Value in hexadecimal digits" } }
        pre tabindex="0" role="region" aria-labelledby="value" { (shown) }
        @if bytes.len() > max { p { "Only the first " (max) " bytes are shown." } }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.chunks(32).fold(String::new(), |mut text, line| {
        for byte in line {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x} ");
        }
        text.push('\n');
        text
    })
}

fn ends(expiry: EntryExpiry) -> String {
    match expiry {
        EntryExpiry::Never => "never".to_owned(),
        EntryExpiry::At(at) => at.to_string(),
        _ => "not reported".to_owned(),
    }
}

fn json(metadata: &Metadata) -> Markup {
    html! { code { (Escaped(metadata.as_json_text())) } }
}

fn link(namespace: &Namespace, parameters: &[(&str, &str)]) -> String {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    let mut link = format!("/keys?namespace={}", namespace.name());
    for (name, value) in parameters {
        // Writing to a string cannot fail.
        let _ = write!(link, "&{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
    }
    link
}
