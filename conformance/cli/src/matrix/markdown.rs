//! The matrix as Markdown.

use super::table::{Group, REQUESTS, Row, capabilities_and_requests, groups};
use crate::render::{Column, cell, code, row};

/// What the table of a README has room for: what decides whether a program can use a store, and what it costs.
const COMPACT: &[&str] = &[
    "passed",
    "refused",
    "not-shown",
    "left-out",
    "not-exercised",
    "failed",
    "value_kinds.text",
    "value_kinds.json",
    "value_kinds.bytes",
    "metadata",
    "if_not_exists",
    "if_exists",
    "if_version",
    "get_and_delete",
    "ttl",
    "expire_at",
    "expire",
    "touch",
    "expiry_min",
    "expiry_read",
    "expiry_clock",
    "consistency",
    "list",
    "list_order",
    "list_page_max",
    "counters",
    "counter_max",
    "counter_ttl",
    "all_or_nothing",
    "bulk_write_items",
    "request_rate",
    "key_bytes_max",
    "item_limits.value_bytes_max",
    "item_limits.metadata_bytes_max",
];

/// The same of the operations.
const COMPACT_OPERATIONS: &[&str] = &[
    "get",
    "get_many of 10",
    "set",
    "set if_not_exists",
    "set_many of 10",
    "delete_many of 10",
    "update",
    "increment",
    "list of one page",
];

/// The part that a README has room for.
pub(crate) fn compact(columns: &[Column<'_>]) -> String {
    table(columns, groups(columns), |row| match row.name.strip_prefix(REQUESTS) {
        Some(operation) => COMPACT_OPERATIONS.contains(&operation),
        None => COMPACT.contains(&row.name.as_str()),
    })
}

/// What stores report and how many requests they take, for a report that says elsewhere what became of the cases.
pub(crate) fn markdown_of_capabilities(columns: &[Column<'_>]) -> String {
    table(columns, capabilities_and_requests(columns), |_| true)
}

fn table(columns: &[Column<'_>], groups: Vec<Group>, is_shown: impl Fn(&Row) -> bool) -> String {
    let mut out = String::new();
    row(&mut out, [String::new()].into_iter().chain(columns.iter().map(|column| code(&column.name))));
    row(&mut out, std::iter::repeat_n("---", 1 + columns.len()));
    for Group { title, rows } in groups {
        let mut rows = rows.iter().filter(|row| is_shown(row)).peekable();
        if rows.peek().is_some() {
            let empty = std::iter::repeat_n(String::new(), columns.len());
            row(&mut out, [format!("**{}**", cell(&title))].into_iter().chain(empty));
        }
        for of in rows {
            let cells = of.cells.iter().map(|of| cell(&of.text));
            row(&mut out, [cell(&of.title)].into_iter().chain(cells));
        }
    }
    out
}
