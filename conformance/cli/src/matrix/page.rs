//! The matrix as a page.

use maud::{Markup, html};

use super::table::{Group, Tone, capabilities_and_requests, groups};
use crate::render::{Column, line, page};

/// The whole page, which needs nothing else.
pub(crate) fn matrix(columns: &[Column<'_>]) -> String {
    let body = html! {
        header {
            h1 { "What each store supports" }
            p.lead {
                "Made from what the conformance suite found and what the stores report. "
                "Opt-in means: with a race window, after " code { "allow_best_effort()" } ". "
                "A dash means: refused before anything is sent. A dot means: it works, and no requests were counted."
            }
        }
        main { (table(columns, groups(columns))) }
    };
    page("What each store supports", &body)
}

/// What stores report and how many requests they take, for a page that says elsewhere what became of the cases.
pub(crate) fn capabilities(columns: &[Column<'_>]) -> Markup {
    table(columns, capabilities_and_requests(columns))
}

/// One table for all subjects, so that the columns stand below each other.
fn table(columns: &[Column<'_>], groups: Vec<Group>) -> Markup {
    html! {
        div.scroll tabindex="0" {
            table.matrix {
                thead {
                    tr {
                        td {}
                        @for column in columns { th scope="col" { (line(&column.name)) } }
                    }
                }
                @for Group { title, rows } in groups {
                    tbody {
                        tr.group { th colspan=(columns.len() + 1) scope="rowgroup" { (line(&title)) } }
                        @for row in rows {
                            tr {
                                th scope="row" { (line(&row.title)) }
                                @for cell in &row.cells {
                                    td class=(class(cell.tone)) {
                                        (line(&cell.text))
                                        @if let Some(note) = &cell.note { div.reason { (line(note)) } }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

const fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Full => "full",
        Tone::Weak => "weak",
        Tone::Absent => "absent",
        Tone::Plain => "plain",
        Tone::Bad => "bad",
    }
}
