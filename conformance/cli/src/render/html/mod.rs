//! Reports as one page that needs nothing else: no file beside it, no network.

use kv_api::Timestamp;
use kv_conformance::{CaseReport, Outcome, kv_api, rule_text};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::ending::{Ending, totals};
use super::grid::{Column, Family, Row, Rule, families};
use super::text::{line, shown, time};
use crate::matrix;

const STYLE: &str = include_str!("style.css");
/// Filters rows. Without it everything is shown.
const SCRIPT: &str = include_str!("filter.js");

/// A page around a body.
pub(crate) fn page(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (line(title)) }
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    };
    page.into_string() + "\n"
}

/// Totals, failures in full, every case by its rule, capabilities, and requests for each operation.
pub(crate) fn html(columns: &[Column<'_>]) -> String {
    let names: Vec<String> = columns.iter().map(|column| line(&column.name)).collect();
    let title = format!("Conformance of {}", names.join(", "));
    let families = families(columns);
    let has_failures = columns.iter().any(|column| !column.report.is_ok());
    let body = html! {
        header {
            h1 { (title) }
            div.cards { @for column in columns { (card(column)) } }
            nav {
                @if has_failures { a href="#failures" { "Failures" } }
                a href="#rules" { "Rules" }
                a href="#capabilities" { "Capabilities and requests" }
            }
        }
        main {
            @if has_failures {
                section #failures {
                    h2 { "Failures" }
                    @for column in columns { (failures(column, columns.len() > 1)) }
                }
            }
            section #rules {
                h2 { "Rules" }
                (filter(columns))
                @for family in &families { (family_table(family, columns)) }
                p #nothing hidden { "No case is like this." }
            }
            section #capabilities {
                h2 { "Capabilities and requests" }
                (matrix::tables(columns))
                p.note { "A dash: refused before anything is sent. A dot: it works, and no requests were counted." }
            }
        }
        script { (PreEscaped(SCRIPT)) }
    };
    page(&title, &body)
}

/// One report at a glance.
fn card(column: &Column<'_>) -> Markup {
    let report = column.report;
    let totals = totals(report.cases.iter().map(|case| &case.outcome));
    let (sign, word) = if report.is_ok() { (Ending::Passed, "nothing failed") } else { (Ending::Failed, "failed") };
    html! {
        article.card {
            h2 { (line(&column.name)) " " span class={ "badge " (sign.class()) } { (sign.sign()) " " (word) } }
            div.bar role="presentation" {
                @for (ending, count) in &totals {
                    @if *count > 0 { span class=(ending.class()) style={ "flex-grow:" (count) } {} }
                }
            }
            dl.totals {
                @for (ending, count) in &totals {
                    div title=(ending.meaning()) {
                        dt class=(ending.class()) { (ending.sign()) " " (ending.word()) }
                        dd { (count) }
                    }
                }
            }
            p.note {
                (report.cases.len()) " cases, suite " (line(&report.suite_version))
                @if report.elapsed_micros > 0 { ", " (time(report.elapsed_micros)) }
                @if report.began_unix_micros > 0 {
                    ", " (Timestamp::from_unix_seconds(report.began_unix_micros.div_euclid(1_000_000)).to_string())
                }
            }
        }
    }
}

fn failures(column: &Column<'_>, is_named: bool) -> Markup {
    html! {
        @for case in column.report.cases.iter().filter(|case| !case.outcome.is_ok()) {
            article.failure {
                h3 {
                    (badge(&case.outcome)) " "
                    @if is_named { span.store { (line(&column.name)) } " " }
                    code { (line(&case.name)) }
                }
                p.rule { b { (line(&case.rule)) } " " (rule(&case.rule)) }
                pre { (shown(case.outcome.text().unwrap_or_default())) }
            }
        }
    }
}

/// Which cases are shown; the script makes it work.
fn filter(columns: &[Column<'_>]) -> Markup {
    let outcomes = columns.iter().flat_map(|column| column.report.cases.iter().map(|case| &case.outcome));
    html! {
        form #filter hidden {
            @for (ending, count) in totals(outcomes) {
                label class={ "chip " (ending.class()) } title=(ending.meaning()) {
                    input type="checkbox" name="outcome" value=(ending.class()) checked;
                    (ending.sign()) " " (ending.word()) " " span.count { (count) }
                }
            }
            input type="search" name="words" placeholder="rule or words" aria-label="Show cases with these words";
        }
    }
}

fn family_table(family: &Family<'_>, columns: &[Column<'_>]) -> Markup {
    let is_alone = columns.len() == 1;
    let counts = totals(family.outcomes());
    html! {
        section.family {
            h3 {
                (line(family.title())) " "
                span.counts {
                    @for (ending, count) in counts.iter().filter(|(_, count)| *count > 0) {
                        span class=(ending.class()) title=(ending.word()) { (ending.sign()) " " (count) } " "
                    }
                }
            }
            div.scroll tabindex="0" {
                table.cases {
                    thead {
                        tr {
                            th scope="col" { "case" }
                            @if is_alone {
                                th scope="col" { "outcome" }
                                th.number scope="col" { "time" }
                                th.number scope="col" { "requests" }
                            } @else {
                                @for column in columns { th scope="col" { (line(&column.name)) } }
                            }
                        }
                    }
                    @for rule in &family.rules { (rule_rows(rule, columns)) }
                }
            }
        }
    }
}

fn rule_rows(of: &Rule<'_>, columns: &[Column<'_>]) -> Markup {
    let width = if columns.len() == 1 { 4 } else { columns.len() + 1 };
    html! {
        tbody {
            tr.rule { th colspan=(width) scope="rowgroup" { b { (line(of.id)) } " " span { (rule(of.id)) } } }
            @for row in &of.cases { (case_rows(row, columns)) }
        }
    }
}

fn case_rows(row: &Row<'_>, columns: &[Column<'_>]) -> Markup {
    let endings: Vec<Ending> = Ending::ALL.into_iter().filter(|ending| has(row, *ending)).collect();
    let classes: Vec<&str> = endings.iter().map(|ending| ending.class()).collect();
    html! {
        tr.case data-outcomes=(classes.join(" ")) {
            th scope="row" {
                code { (line(row.name)) }
                (reasons(row, columns))
            }
            @if let [cell] = row.cells.as_slice() {
                (outcome_cell(*cell))
                td.number { @if let Some(case) = cell && case.elapsed_micros > 0 { (time(case.elapsed_micros)) } }
                td.number { @if let Some(requests) = cell.and_then(|case| case.requests) { (requests) } }
            } @else {
                @for cell in &row.cells { (outcome_cell(*cell)) }
            }
        }
    }
}

fn has(row: &Row<'_>, ending: Ending) -> bool {
    row.cells.iter().flatten().any(|case| Ending::of(&case.outcome) == ending)
}

fn outcome_cell(case: Option<&CaseReport>) -> Markup {
    html! {
        td {
            @match case {
                Some(case) => (badge(&case.outcome)),
                None => span.note { "not in this report" },
            }
        }
    }
}

/// Why a case did not pass: in full, and once for all stores of which the same is said.
fn reasons(row: &Row<'_>, columns: &[Column<'_>]) -> Markup {
    let mut reasons: Vec<(Ending, &str, Vec<String>)> = Vec::new();
    for (cell, column) in row.cells.iter().zip(columns) {
        let Some((case, text)) = cell.and_then(|case| Some((case, case.outcome.text()?))) else { continue };
        let ending = Ending::of(&case.outcome);
        match reasons.iter_mut().find(|(of, known, _)| (*of, *known) == (ending, text)) {
            Some((_, _, names)) => names.push(line(&column.name)),
            None => reasons.push((ending, text, vec![line(&column.name)])),
        }
    }
    html! {
        @for (ending, text, names) in reasons {
            div class={ "reason " (ending.class()) } {
                @if columns.len() > 1 { b { (names.join(", ")) ": " } }
                (shown(text))
            }
        }
    }
}

fn badge(outcome: &Outcome) -> Markup {
    let ending = Ending::of(outcome);
    html! { span class={ "badge " (ending.class()) } { (ending.sign()) " " (ending.word()) } }
}

/// What the contract says, with its code and without its links.
fn rule(id: &str) -> Markup {
    let text = rule_text(id).unwrap_or_default();
    html! {
        @for (number, part) in text.split('`').enumerate() {
            @if number % 2 == 1 { code { (part) } } @else { (without_links(part)) }
        }
    }
}

/// `[text](link)` as the text. Where the text is code, the brackets stand in parts of their own.
fn without_links(part: &str) -> String {
    let mut text = String::with_capacity(part.len());
    let mut rest = part;
    while let Some((before, after)) = rest.split_once("](") {
        text.push_str(&before.replacen('[', "", usize::from(before.contains('['))));
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    text.push_str(rest.strip_suffix('[').or_else(|| rest.strip_suffix("([")).unwrap_or(rest));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tests::{all_outcomes, hostile, report};
    use crate::render::text::tests::HOSTILE;

    #[test]
    fn what_a_system_answered_is_text_and_no_markup() {
        let report = hostile();
        for columns in [vec![Column::alone(&report)], vec![Column::alone(&report); 3]] {
            let page = html(&columns);
            // The page has one script and one style sheet, both its own.
            assert_eq!(page.matches("<script").count(), 1, "{page}");
            assert_eq!(
                (page.matches("</script").count(), page.matches("</table").count()),
                (1, page.matches("<table").count())
            );
            assert!(!page.contains("<!-- d") && page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{page}");
            let text =
                shown(HOSTILE).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
            assert!(page.contains(&format!("<pre>failed {text}</pre>")), "{page}");
        }
    }

    #[test]
    fn the_page_needs_nothing_else() {
        let report = all_outcomes();
        let page = html(&[Column::alone(&report)]);
        for outside in ["http:", "https:", "src=", "<link", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.contains("A set replaces value, expiry and metadata together."), "{page}");
        for ending in Ending::ALL {
            let badge = format!(r#"<span class="badge {}">{} {}</span>"#, ending.class(), ending.sign(), ending.word());
            assert!(page.contains(&badge), "{badge}");
            assert!(STYLE.contains(&format!(".{} ", ending.class())), "{}", ending.class());
        }
    }

    #[test]
    fn a_reason_that_several_stores_have_is_said_once() {
        let (one, two) = (all_outcomes(), all_outcomes());
        let two = Column { name: "two".to_owned(), report: &two };
        let page = html(&[Column::alone(&one), two]);
        assert_eq!(page.matches("<b>example, two: </b>why refused").count(), 1, "{page}");
        let (one, other) = (report(&["set_1_a"]), report(&["set_1_b"]));
        let page = html(&[Column::alone(&one), Column::alone(&other)]);
        assert_eq!(page.matches("not in this report").count(), 2, "a gap is no pass");
    }

    #[test]
    fn a_rule_keeps_its_code_and_loses_its_links() {
        assert_eq!(rule("CAP-1").into_string().matches("Capabilities").count(), 1, "{}", rule("CAP-1").into_string());
        for id in kv_conformance::RULES {
            let text = rule(id).into_string();
            assert!(!text.contains("](") && !text.contains("crate::") && !text.contains('`'), "{text}");
        }
    }
}
