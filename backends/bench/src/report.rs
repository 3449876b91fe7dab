//! Results as text.

use std::fmt::Write;

use crate::measure::{Finish, Row, Unit, Verdict};

/// The races of one backend, with what a reader must know about them.
#[derive(Debug)]
pub(crate) struct Section {
    /// The name of the backend, and of the files of its results.
    pub(crate) name: &'static str,
    /// The results.
    pub(crate) finishes: Vec<Finish>,
    /// What is not like for like.
    pub(crate) notes: Vec<String>,
}

impl Section {
    /// The results as tables that are readable both as plain text and as Markdown.
    pub(crate) fn table(&self) -> String {
        let mut text = format!("# {}\n", self.name);
        for finish in &self.finishes {
            let _ = write!(text, "\n## {}\n\n{}", finish.title, columns(finish));
        }
        text.push_str("\n## Notes\n\n");
        for note in &self.notes {
            let _ = writeln!(text, "- {note}");
        }
        let rows = || self.finishes.iter().flat_map(|finish| &finish.rows);
        let count = |verdict| rows().filter(|row| row.verdict() == verdict).count();
        let _ = writeln!(text, "\nTargets met: {}. Targets missed: {}.", count(Verdict::Met), count(Verdict::Missed));
        text
    }
}

const HEAD: [&str; 9] = ["fixture", "its figure", "against", "its figure", "ratio", "min", "max", "target", "verdict"];

fn columns(finish: &Finish) -> String {
    let rows: Vec<[String; 9]> = finish.rows.iter().map(|row| cells(row, finish.unit)).collect();
    let widths: Vec<usize> = (0..HEAD.len())
        .map(|column| rows.iter().map(|row| row[column].len()).chain([HEAD[column].len()]).max().unwrap_or(0))
        .collect();
    let line = |cells: &[&str]| {
        let mut text = String::from("|");
        for (column, cell) in cells.iter().enumerate() {
            let width = widths[column];
            let _ = if is_text(column) { write!(text, " {cell:<width$} |") } else { write!(text, " {cell:>width$} |") };
        }
        text.push('\n');
        text
    };
    let mut text = line(&HEAD);
    text.push('|');
    for (column, width) in widths.iter().enumerate() {
        let (dashes, end) = if is_text(column) { (width + 2, "") } else { (width + 1, ":") };
        let _ = write!(text, "{}{end}|", "-".repeat(dashes));
    }
    text.push('\n');
    for row in &rows {
        text.push_str(&line(&row.each_ref().map(String::as_str)));
    }
    text
}

/// Names stand left, figures right.
const fn is_text(column: usize) -> bool {
    matches!(column, 0 | 2 | 8)
}

fn cells(row: &Row, unit: Unit) -> [String; 9] {
    let verdict = match row.verdict() {
        Verdict::Met => "met",
        Verdict::Missed => "MISSED",
        Verdict::Ahead => "ahead",
        Verdict::Tie => "tie",
        Verdict::Behind => "behind",
    };
    [
        row.fixture.name.clone(),
        figure(row.fixture.figure, unit),
        row.baseline.name.clone(),
        figure(row.baseline.figure, unit),
        ratio(row.ratio.median),
        ratio(row.ratio.min),
        ratio(row.ratio.max),
        row.target.map(|target| format!(">= {}", ratio(target))).unwrap_or_default(),
        verdict.to_owned(),
    ]
}

/// Three significant digits or so.
pub(crate) fn ratio(ratio: f64) -> String {
    if ratio >= 99.95 {
        format!("{ratio:.0}")
    } else if ratio >= 9.995 {
        format!("{ratio:.1}")
    } else {
        format!("{ratio:.2}")
    }
}

/// `1,000,000`.
pub(crate) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `10 k`, `4,096`.
pub(crate) fn short(number: usize) -> String {
    const MILLION: usize = 1_000_000;
    const THOUSAND: usize = 1000;
    if number >= MILLION && number.is_multiple_of(MILLION) {
        format!("{} M", number / MILLION)
    } else if number >= THOUSAND && number.is_multiple_of(THOUSAND) {
        format!("{} k", number / THOUSAND)
    } else {
        thousands(number)
    }
}

/// A figure with its unit.
pub(crate) fn figure(figure: f64, unit: Unit) -> String {
    match unit {
        Unit::Bytes => format!("{figure:.0} B"),
        Unit::Nanoseconds if figure < 1e3 => format!("{figure:.0} ns"),
        Unit::Nanoseconds if figure < 1e6 => format!("{} us", ratio(figure / 1e3)),
        Unit::Nanoseconds => format!("{} ms", ratio(figure / 1e6)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Side, Spread};

    #[test]
    fn a_missed_target_is_shown_as_missed() {
        let side = |name: &str, figure| Side { name: name.to_owned(), figure };
        let row = Row {
            fixture: side("ours", 2000.0),
            baseline: side("theirs", 3000.0),
            ratio: Spread { median: 1.5, min: 1.0, max: 2.0 },
            target: Some(3.0),
        };
        let finish = Finish { title: "get".to_owned(), unit: Unit::Nanoseconds, rows: vec![row] };
        let section = Section { name: "memory", finishes: vec![finish], notes: vec!["A note.".to_owned()] };
        let table = section.table();
        let expected = "| ours    |    2.00 us | theirs  |    3.00 us |  1.50 | 1.00 | 2.00 | >= 3.00 | MISSED  |";
        assert!(table.contains(expected), "{table}");
        assert!(table.ends_with("- A note.\n\nTargets met: 0. Targets missed: 1.\n"), "{table}");
    }

    #[test]
    fn figures_have_three_digits() {
        assert_eq!(figure(271.4, Unit::Bytes), "271 B");
        assert_eq!(figure(999.0, Unit::Nanoseconds), "999 ns");
        assert_eq!(figure(43_210.0, Unit::Nanoseconds), "43.2 us");
        assert_eq!(figure(1_234_567.0, Unit::Nanoseconds), "1.23 ms");
        assert_eq!(ratio(133.3), "133");
        assert_eq!([1_000_000, 10_000, 100].map(thousands), ["1,000,000", "10,000", "100"]);
    }

    #[test]
    fn round_numbers_are_short() {
        let numbers = [64, 1024, 10_000, 1_000_000, 10_000_000];
        assert_eq!(numbers.map(short), ["64", "1,024", "10 k", "1 M", "10 M"]);
    }
}
