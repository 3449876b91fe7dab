//! Reports as one page that needs nothing else: no file beside it, no network.

use kv_api::Timestamp;
use kv_conformance::{CaseReport, kv_api, rule_text};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::ending::{Ending, totals};
use super::grid::{Column, Failure, Family, Row, Rule, failures, families};
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
                    @for column in columns { (what_failed(column, columns.len() > 1)) }
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
                (matrix::capabilities(columns))
                p.note {
                    "Opt-in: with a race window, after " code { "allow_best_effort()" } ". "
                    "A dash: refused before anything is sent. A dot: it works, and no requests were counted."
                }
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
    let sign = Ending::of_all(report.cases.iter().map(|case| &case.outcome));
    let word = match sign {
        Ending::Failed | Ending::NotExercised => "failed",
        Ending::Passed | Ending::Refused => "nothing failed",
        Ending::NotApplicable | Ending::NotShown | Ending::LeftOut => "nothing shown",
    };
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
                    ", " time { (Timestamp::from_unix_seconds(report.began_unix_micros.div_euclid(1_000_000)).to_string()) }
                }
            }
        }
    }
}

fn what_failed(column: &Column<'_>, is_named: bool) -> Markup {
    html! {
        @for Failure { ending, cases, text } in failures(column.report) {
            article.failure {
                h3 {
                    (badge(ending)) " "
                    @if is_named { span.store { (line(&column.name)) } " " }
                    @for case in &cases { code { (line(&case.name)) } " " }
                }
                @if let [case] = cases.as_slice() {
                    p.rule { b { (line(&case.rule)) } " " (rule(&case.rule)) }
                }
                pre { (shown(text)) }
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
        details.legend {
            summary { "What the signs mean" }
            dl {
                @for ending in Ending::ALL {
                    dt { (badge(ending)) }
                    dd { (ending.meaning()) }
                }
            }
        }
    }
}

fn family_table(family: &Family<'_>, columns: &[Column<'_>]) -> Markup {
    let shown = Figures::of(columns);
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
                            @if columns.len() == 1 {
                                th scope="col" { "outcome" }
                            } @else {
                                @for column in columns { th scope="col" { (line(&column.name)) } }
                            }
                            @if shown.time { th.number scope="col" { "time" } }
                            @if shown.requests { th.number scope="col" { "requests" } }
                        }
                    }
                    @for rule in &family.rules { (rule_rows(rule, columns, shown)) }
                }
            }
        }
    }
}

/// Which figures have a column: those of a report that stands alone, where it says any.
#[derive(Clone, Copy)]
struct Figures {
    time: bool,
    requests: bool,
}

impl Figures {
    fn of(columns: &[Column<'_>]) -> Self {
        let says = |says: fn(&CaseReport) -> bool| match columns {
            [column] => column.report.cases.iter().any(says),
            _ => false,
        };
        Self { time: says(|case| case.elapsed_micros > 0), requests: says(|case| case.requests.is_some()) }
    }
}

fn rule_rows(of: &Rule<'_>, columns: &[Column<'_>], shown: Figures) -> Markup {
    let width = 1 + columns.len() + usize::from(shown.time) + usize::from(shown.requests);
    html! {
        tbody {
            tr.rule { th colspan=(width) scope="rowgroup" { b { (line(of.id)) } " " span { (rule(of.id)) } } }
            @for row in &of.cases { (case_row(row, columns, shown)) }
        }
    }
}

fn case_row(row: &Row<'_>, columns: &[Column<'_>], shown: Figures) -> Markup {
    let endings: Vec<Ending> = Ending::ALL.into_iter().filter(|ending| has(row, *ending)).collect();
    let classes: Vec<&str> = endings.iter().map(|ending| ending.class()).collect();
    html! {
        tr.case data-outcomes=(classes.join(" ")) {
            th scope="row" {
                code { (line(row.name)) }
                (reasons(row, columns))
            }
            @for (cell, column) in row.cells.iter().zip(columns) {
                (outcome_cell(*cell, (columns.len() > 1).then(|| line(&column.name))))
            }
            @let case = row.cells.first().copied().flatten();
            @if shown.time {
                td.number { @if let Some(case) = case && case.elapsed_micros > 0 { (time(case.elapsed_micros)) } }
            }
            @if shown.requests {
                td.number { @if let Some(requests) = case.and_then(|case| case.requests) { (requests) } }
            }
        }
    }
}

fn has(row: &Row<'_>, ending: Ending) -> bool {
    row.cells.iter().flatten().any(|case| Ending::of(&case.outcome) == ending)
}

/// On a narrow screen, where the heads of the columns are not shown, each outcome is named by its store.
fn outcome_cell(case: Option<&CaseReport>, store: Option<String>) -> Markup {
    html! {
        td.outcome data-store=[store] {
            @match case {
                Some(case) => (badge(Ending::of(&case.outcome))),
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

fn badge(ending: Ending) -> Markup {
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
    use serde_json::json;

    use super::*;
    use crate::render::tests::{all_outcomes, hostile, report, report_of};
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
    fn a_store_of_which_nothing_was_shown_has_no_sign_of_a_pass() {
        let why = |outcome: &str| json!({ "outcome": outcome, "text": "why" });
        let report = report_of(&[("set_1_a", why("not_shown")), ("set_2_a", why("not_applicable"))]);
        let page = html(&[Column::alone(&report)]);
        assert!(page.contains(r#"<span class="badge not-shown">? nothing shown</span>"#), "{page}");
        assert!(!page.contains("nothing failed"), "{page}");
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
