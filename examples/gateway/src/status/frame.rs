//! What stands around every page.

use maud::{DOCTYPE, Markup, html};

use crate::fault::Fault;
use crate::namespaces::Namespace;

pub(super) fn page(title: &str, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " – kv-gateway" }
                link rel="stylesheet" href="/style.css";
            }
            body {
                a.skip href="#content" { "Skip to the content" }
                header {
                    a.home href="/" { "kv-gateway" }
                    span.version { (env!("CARGO_PKG_VERSION")) }
                }
                main #content { (content) }
            }
        }
    }
}

/// Asks for keys of a namespace that begin with something, at first with `prefix`.
pub(super) fn search(namespace: &Namespace, prefix: &str) -> Markup {
    html! {
        form action="/keys" {
            input type="hidden" name="namespace" value=(namespace.name());
            label { "Keys that begin with " input type="search" name="prefix" value=(prefix) autocomplete="off"; }
            button { "List" }
        }
    }
}

pub(super) fn refusal(fault: &Fault) -> Markup {
    let title = fault.status.canonical_reason().unwrap_or("Refused");
    page(
        title,
        &html! {
            h1 { (title) }
            p { (fault.message) " (code " (fault.code) ")" }
            @if fault.status == axum::http::StatusCode::UNAUTHORIZED {
                p { "Give one of the tokens as the password. The user name does not matter." }
            }
            p { a href="/" { "Back to the overview" } }
        },
    )
}

/// A time as people count it.
pub(super) fn took(time: std::time::Duration) -> String {
    let micros = time.as_micros();
    match micros {
        0..1000 => format!("{micros} µs"),
        1000..1_000_000 => format!("{}.{} ms", micros / 1000, micros % 1000 / 100),
        _ => format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_time_is_short() {
        for (micros, shown) in [(0, "0 µs"), (999, "999 µs"), (1_250, "1.2 ms"), (61_500_000, "61.5 s")] {
            assert_eq!(took(Duration::from_micros(micros)), shown);
        }
    }
}
