//! A report for a terminal: a line for each family of rules, and in full what is not as it should be.

use std::fmt::Write;

use super::ending::{Ending, totals};
use super::grid::{Column, Failure, failures, families};
use super::style::Style;
use super::text::{line, shown, time};

/// One report after the other.
pub(crate) fn table(columns: &[Column<'_>], style: Style) -> String {
    let parts: Vec<String> = columns.iter().map(|column| one(column, style)).collect();
    parts.join("\n")
}

fn one(column: &Column<'_>, style: Style) -> String {
    let report = column.report;
    let outcomes = || report.cases.iter().map(|case| &case.outcome);
    // A column only for what there is.
    let endings: Vec<Ending> = totals(outcomes()).into_iter().map(|(ending, _)| ending).collect();
    let columns = [column.clone()];
    let families = families(&columns);
    let titles: Vec<String> = families.iter().map(|family| line(family.title())).collect();
    let width = titles.iter().map(|title| title.chars().count()).max().unwrap_or(0);

    let mut out = String::new();
    let mut print = |arguments: std::fmt::Arguments<'_>| {
        // A string takes all.
        let _ = out.write_fmt(arguments);
        out.push('\n');
    };
    let took = if report.elapsed_micros > 0 { format!(", {}", time(report.elapsed_micros)) } else { String::new() };
    let about = format!("suite {}{took}", line(&report.suite_version));
    print(format_args!("{}  {}", style.strong(line(&column.name)), style.faint(about)));
    if !families.is_empty() {
        let heads: Vec<String> = endings.iter().map(|ending| format!("  {}", head(*ending))).collect();
        print(format_args!("{:width$}  {}", "", style.faint(heads.concat())));
    }
    for (family, title) in families.iter().zip(&titles) {
        let counts = totals(family.outcomes());
        let sign = Ending::of_all(family.outcomes());
        let mut cells = String::new();
        for ending in &endings {
            let count = counts.iter().find(|(counted, _)| counted == ending).map_or(0, |(_, count)| *count);
            let wide = head(*ending).len() + 2;
            let _ = match count {
                0 => write!(cells, "{:>wide$}", style.faint("·")),
                count => write!(cells, "{:>wide$}", style.ending(*ending, count)),
            };
        }
        print(format_args!("{} {title:width$}{cells}", style.ending(sign, sign.sign())));
    }
    for Failure { ending, cases, text } in failures(report) {
        let names: Vec<String> = cases.iter().map(|case| line(&case.name)).collect();
        let head = format!("{} {} {}", ending.sign(), ending.word().to_uppercase(), names.join(", "));
        let text = shown(text).replace('\n', "\n    ");
        print(format_args!("\n{}\n    {text}", style.ending(ending, head)));
    }
    let said: Vec<String> = totals(outcomes())
        .into_iter()
        .map(|(ending, count)| match count {
            0 => format!("{count} {}", ending.word()),
            count => style.ending(ending, format!("{count} {}", ending.word())).to_string(),
        })
        .collect();
    print(format_args!("\n{} cases: {}", report.cases.len(), said.join(", ")));
    out
}

/// The head of a column. Short where it can be, so that the table of a usual run has room in 80 columns; the totals have
/// the whole word.
const fn head(ending: Ending) -> &'static str {
    match ending {
        Ending::NotApplicable => "n/a",
        ending => ending.word(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::render::tests::{all_outcomes, report, report_of};

    #[test]
    fn a_family_has_one_line_and_a_failure_all_of_its_text() {
        let text = table(&[Column::alone(&all_outcomes())], Style::PLAIN);
        let expected = "\
example  suite 1.2.3, 1.50 s
          passed  refused  n/a  not shown  left out  not exercised  failed
✓ set          1        ·    ·          ·         ·              ·       ·
✗ expiry       ·        1    1          1         1              1       1

! NOT EXERCISED exp_2_not_exercised
    why not exercised

✗ FAILED exp_2_failed
    why failed

7 cases: 1 passed, 1 refused, 1 not applicable, 1 not shown, 1 left out, 1 not exercised, 1 failed
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_family_of_which_nothing_was_shown_has_no_sign_of_a_pass() {
        let why = |outcome: &str| json!({ "outcome": outcome, "text": "why" });
        let report = report_of(&[
            ("set_1_a", why("refused")),
            ("exp_1_a", why("not_shown")),
            ("exp_2_a", why("not_applicable")),
            ("list_1_a", why("left_out")),
            ("cnt_1_a", why("not_applicable")),
        ]);
        let text = table(&[Column::alone(&report)], Style::PLAIN);
        for line in ["\n⊘ set ", "\n? expiry ", "\n… lists ", "\n– counters "] {
            assert!(text.contains(line), "{text}");
        }
        assert!(!text.contains('✓'), "{text}");
    }

    #[test]
    fn what_there_is_none_of_has_no_column() {
        let text = table(&[Column::alone(&report(&["set_1_a", "set_2_b"]))], Style::PLAIN);
        assert!(text.contains("\n✓ set       2        ·       ·\n"), "{text}");
        assert!(text.ends_with("\n\n2 cases: 2 passed, 0 refused, 0 failed\n"), "{text}");
    }
}
