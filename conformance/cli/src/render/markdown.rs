//! Reports as Markdown, for a repository or a comment.

use std::fmt::{Display, Write};

use kv_conformance::Report;

use super::ending::{Ending, totals};
use super::grid::{Column, Failure, Family, failures, families};
use super::text::{line, shown, time};
use crate::matrix;

/// Totals, failures in full, a line for each family of rules, capabilities, and requests for each operation.
pub(crate) fn markdown(columns: &[Column<'_>]) -> String {
    let mut out = String::new();
    let names: Vec<String> = columns.iter().map(|column| code(&column.name)).collect();
    let _ = writeln!(out, "# Conformance of {}\n", names.join(", "));
    summary(&mut out, columns);
    for column in columns {
        what_failed(&mut out, column);
    }
    by_family(&mut out, columns);
    reasons(&mut out, columns);
    let _ = writeln!(out, "\n## Capabilities and requests\n");
    out.push_str(&matrix::markdown_of_capabilities(columns));
    out
}

fn summary(out: &mut String, columns: &[Column<'_>]) {
    let said: Vec<Ending> =
        totals(columns.iter().flat_map(|column| column.report.cases.iter().map(|case| &case.outcome)))
            .into_iter()
            .map(|(ending, _)| ending)
            .collect();
    row(out, ["store", "suite", "time"].into_iter().chain(said.iter().map(|ending| ending.word())));
    row(out, std::iter::repeat_n("---", 3 + said.len()));
    for Column { name, report } in columns {
        let counts = said.iter().map(|ending| count(report, *ending).to_string());
        let head = [code(name), cell(&report.suite_version), elapsed(report)];
        row(out, head.into_iter().chain(counts));
    }
    out.push('\n');
    for ending in said {
        let _ = writeln!(out, "- {} {}: {}", ending.sign(), ending.word(), ending.meaning());
    }
}

fn what_failed(out: &mut String, column: &Column<'_>) {
    let failures = failures(column.report);
    if failures.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n## What failed on {}", code(&column.name));
    for Failure { ending, cases, text } in failures {
        let names: Vec<String> = cases.iter().map(|case| code(&case.name)).collect();
        let _ = writeln!(out, "\n{} {} {}:\n", ending.sign(), ending.word(), names.join(", "));
        // A block that is indented takes any text as it is.
        for text in shown(text).lines() {
            let _ = writeln!(out, "    {text}");
        }
    }
}

fn by_family(out: &mut String, columns: &[Column<'_>]) {
    let _ = writeln!(out, "\n## Rules\n");
    row(out, ["rules".to_owned()].into_iter().chain(columns.iter().map(|column| code(&column.name))));
    row(out, std::iter::repeat_n("---", 1 + columns.len()));
    for family in families(columns) {
        let cells = (0..columns.len()).map(|place| of_family(&family, place));
        row(out, [cell(family.title())].into_iter().chain(cells));
    }
}

/// What became of a family in one report: `✓ 12, ⊘ 2`. It begins with a pass only where there was one.
fn of_family(family: &Family<'_>, place: usize) -> String {
    let rows = family.rules.iter().flat_map(|rule| &rule.cases);
    let outcomes = rows.filter_map(|row| row.cells[place].map(|case| &case.outcome));
    let counts = totals(outcomes).into_iter().filter(|(_, count)| *count > 0);
    let counts: Vec<String> = counts.map(|(ending, count)| format!("{} {count}", ending.sign())).collect();
    counts.join(", ")
}

/// Why cases did not pass that did not fail either, said once for all that say the same.
fn reasons(out: &mut String, columns: &[Column<'_>]) {
    for Column { name, report } in columns {
        let mut reasons: Vec<(Ending, String, Vec<String>)> = Vec::new();
        for case in report.cases.iter().filter(|case| case.outcome.is_ok()) {
            let Some(text) = case.outcome.text() else { continue };
            let (ending, text) = (Ending::of(&case.outcome), line(text));
            match reasons.iter_mut().find(|(of, why, _)| *of == ending && *why == text) {
                Some((_, _, cases)) => cases.push(code(&case.name)),
                None => reasons.push((ending, text, vec![code(&case.name)])),
            }
        }
        if reasons.is_empty() {
            continue;
        }
        let _ = writeln!(out, "\n## Neither passed nor failed on {}\n", code(name));
        reasons.sort_by_key(|(ending, _, _)| *ending);
        for (ending, why, cases) in reasons {
            let _ = writeln!(out, "- {} {}: {}: {}", ending.sign(), ending.word(), code(&why), cases.join(", "));
        }
    }
}

fn count(report: &Report, ending: Ending) -> usize {
    report.cases.iter().filter(|case| Ending::of(&case.outcome) == ending).count()
}

fn elapsed(report: &Report) -> String {
    if report.elapsed_micros == 0 { String::new() } else { time(report.elapsed_micros) }
}

/// A row of a table; the cells are Markdown already.
pub(crate) fn row<T: Display>(out: &mut String, cells: impl IntoIterator<Item = T>) {
    out.push('|');
    for cell in cells {
        let _ = write!(out, " {cell} |");
    }
    out.push('\n');
}

/// Text from outside on one line, so that it means nothing to a reader of Markdown.
pub(crate) fn cell(text: &str) -> String {
    let text = line(text);
    let mut escaped = String::with_capacity(text.len());
    let mut before = ' ';
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let is_inside_a_word = before.is_alphanumeric() && characters.peek().is_some_and(|next| next.is_alphanumeric());
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '_' if is_inside_a_word => escaped.push('_'),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' => escaped.extend(['\\', character]),
            character => escaped.push(character),
        }
        before = character;
    }
    escaped
}

/// Text from outside as code. A pipe would end a cell even there.
pub(crate) fn code(text: &str) -> String {
    let text = line(text);
    if text.contains(['`', '|']) || text.is_empty() { cell(&text) } else { format!("`{text}`") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tests::{all_outcomes, hostile, report};
    use crate::render::text::tests::HOSTILE;

    #[test]
    fn totals_come_first_and_failures_in_full() {
        let (one, other) = (all_outcomes(), report(&["set_1_passed"]));
        let other = Column { name: "other".to_owned(), report: &other };
        let text = markdown(&[Column::alone(&one), other]);
        assert!(text.starts_with("# Conformance of `example`, `other`\n"), "{text}");
        assert!(text.contains("| `example` | 1.2.3 | 1.50 s | 1 | 1 | 1 | 1 | 1 | 1 | 1 |"), "{text}");
        assert!(text.contains("## What failed on `example`\n\n! not exercised `exp_2_not_exercised`:"), "{text}");
        assert!(text.contains("\n    why failed\n"), "{text}");
        assert!(text.contains("| set | ✓ 1 | ✓ 1 |\n| expiry | ⊘ 1, – 1, ? 1, … 1, ! 1, ✗ 1 |  |"), "{text}");
        assert!(text.contains("- ⊘ refused: `why refused`: `exp_2_refused`"), "{text}");
        assert!(!text.contains("on `other`"), "{text}");
    }

    #[test]
    fn what_a_system_answered_is_no_markup() {
        let text = markdown(&[Column::alone(&hostile())]);
        for text in text.lines().filter(|line| line.contains("script")) {
            assert!(text.starts_with("    ") || !text.contains("<script>"), "{text}");
        }
        for text in text.lines().filter(|line| line.starts_with('|')) {
            let bars = text.replace("\\|", "").matches('|').count();
            assert!(bars >= 3, "{text}");
        }
        assert_eq!(code("a`b"), "a\\`b");
        assert_eq!(code("a_b"), "`a_b`");
        assert_eq!(cell("set_many _x_ *"), "set_many \\_x\\_ \\*");
        assert!(!cell(HOSTILE).contains(['<', '\n']), "{}", cell(HOSTILE));
    }
}
