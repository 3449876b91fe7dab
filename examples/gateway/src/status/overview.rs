//! The first page: namespaces and calls.

use kv_api::{Capabilities, Consistency, Feature, ListOrder, Support, Timestamp};
use maud::{Markup, html};

use super::frame;
use crate::gateway::Gateway;
use crate::namespaces::Namespace;
use crate::tokens::Grant;

pub(super) fn page(gateway: &Gateway, grant: &Grant) -> Markup {
    let known: Vec<_> = gateway.namespaces().all().iter().filter(|one| grant.covers(one.name())).collect();
    let mut calls = gateway.latest_calls();
    calls.retain(|call| match &call.namespace {
        Some(namespace) => grant.covers(namespace.name()),
        None => grant.covers_all(),
    });
    frame::page(
        "Overview",
        &html! {
            h1 { "Namespaces" }
            p { (gateway.admission().under_way()) " of " (gateway.limits().in_flight) " requests under way." }
            @for namespace in known { (card(namespace, grant)) }
            h2 #calls { "Latest calls" }
            @if calls.is_empty() {
                p { "None yet." }
            } @else {
                div.wide tabindex="0" role="region" aria-labelledby="calls" {
                    table {
                        thead { tr {
                            th scope="col" { "When" }
                            th scope="col" { "Namespace" }
                            th scope="col" { "Call" }
                            th scope="col" { "Status" }
                            th.number scope="col" { "Took" }
                        } }
                        tbody {
                            @for call in calls { tr {
                                td.time { (second(call.at)) }
                                td.namespace { (call.namespace.as_ref().map_or("", |namespace| namespace.name())) }
                                td.operation { (call.operation) }
                                td.failed[call.status.is_server_error()] { (call.status.as_str()) }
                                td.number { (frame::took(call.took)) }
                            } }
                        }
                    }
                }
            }
        },
    )
}

/// The second of a time, which is short and of one length.
const fn second(time: Timestamp) -> Timestamp {
    Timestamp::from_unix_seconds(time.as_unix_micros().div_euclid(1_000_000))
}

fn card(namespace: &Namespace, grant: &Grant) -> Markup {
    let capabilities = namespace.store().capabilities();
    let [reads, writes, refused, failed] = namespace.counts.figures();
    html! {
        section aria-labelledby=(namespace.id()) {
            h2 id=(namespace.id()) {
                (namespace.name())
                @if namespace.is_read_only() { " " span.mark { "read-only" } }
            }
            dl {
                dt { "Identifier" } dd { code { (namespace.id()) } }
                dt { "Backend" } dd { (capabilities.system) ", " code { (namespace.shown()) } }
                dt { "Calls" }
                dd { "reads " (reads) ", writes " (writes) ", refused " (refused) ", failed " (failed) }
            }
            details {
                summary { "What the store can do" }
                (abilities(capabilities))
            }
            @if grant.allows(false) { (frame::search(namespace, "")) }
        }
    }
}

fn abilities(capabilities: &Capabilities) -> Markup {
    html! {
        ul.abilities {
            @for feature in Feature::ALL {
                @let support = capabilities.support(*feature);
                li.none[support == Support::None] { (feature.to_string()) ": " (support.to_string()) }
            }
        }
        dl {
            dt { "Key" } dd { (capabilities.key_bytes_min) " to " (bytes(capabilities.key_bytes_max)) }
            @for limit in capabilities.item_limits.iter() {
                dt { code { (limit.name) } } dd { (limit.max) }
            }
            dt { "Lists" }
            dd {
                @match capabilities.list_order {
                    ListOrder::Lexicographic => "in the order of the keys",
                    _ => "without an order",
                }
            }
            dt { "Reads" }
            dd {
                @match capabilities.consistency {
                    Consistency::Strong => "see every write that was acknowledged before",
                    _ => "may be old for a while",
                }
            }
        }
    }
}

fn bytes(max: usize) -> String {
    if max == usize::MAX { "any number of bytes".to_owned() } else { format!("{max} bytes") }
}
