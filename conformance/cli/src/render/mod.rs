//! A report in the forms in which it is read: by a person at a terminal, in a browser or in a repository, by a program,
//! by a CI system.

mod ending;
mod grid;
mod html;
mod json;
mod junit;
mod markdown;
mod output;
mod style;
mod table;
mod text;

use std::path::Path;

use clap::ValueEnum;

pub(crate) use ending::{Ending, totals};
pub(crate) use grid::Column;
pub(crate) use html::page;
pub(crate) use markdown::{cell, code, row};
pub(crate) use output::{OutputArguments, RenderArguments, main};
pub(crate) use style::Style;
pub(crate) use text::{line, time};

/// The form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For a terminal: a line for each family of rules, and failures in full
    Table,
    /// For programs, and to be read again by `render`, `compare` and `matrix`
    Json,
    /// For CI systems: JUnit XML
    Junit,
    /// For a repository or a comment
    Markdown,
    /// For a browser: one page that needs nothing else
    Html,
}

impl Format {
    /// What the name of a file asks for.
    pub(crate) fn of_file(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "txt" => Some(Self::Table),
            "json" => Some(Self::Json),
            "xml" => Some(Self::Junit),
            "md" => Some(Self::Markdown),
            "html" => Some(Self::Html),
            _ => None,
        }
    }

    /// Reports in this form, with a line end at the end. JSON holds one report; of several it holds the first.
    ///
    /// # Errors
    /// None that a report can cause: the writers of JSON and XML have errors of their own.
    pub(crate) fn render(self, columns: &[Column<'_>], style: Style) -> std::io::Result<String> {
        match self {
            Self::Table => Ok(table::table(columns, style)),
            Self::Json => columns.first().map_or(Ok(String::new()), |column| Ok(json::json(column.report)?)),
            Self::Junit => junit::junit(columns),
            Self::Markdown => Ok(markdown::markdown(columns)),
            Self::Html => Ok(html::html(columns)),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use kv_conformance::Report;
    use serde_json::{Value, json};

    use super::*;
    use crate::render::text::tests::HOSTILE;

    /// A report of these cases, each of which ended as said; the rule is that of its name.
    pub(crate) fn report_of(cases: &[(&str, Value)]) -> Report {
        let case = |(name, outcome): &(&str, Value)| {
            let mut words = name.split('_');
            let rule = [words.next(), words.next()].map(|word| word.unwrap_or_default().to_uppercase()).join("-");
            let mut case = json!({ "name": name, "rule": rule, "elapsed_micros": 250_000, "requests": 3 });
            if let (Some(case), Some(outcome)) = (case.as_object_mut(), outcome.as_object()) {
                case.extend(outcome.clone());
            }
            case
        };
        let cases: Vec<Value> = cases.iter().map(case).collect();
        let report = json!({
            "format": Report::FORMAT, "system": "example", "suite_version": "1.2.3",
            "began_unix_micros": 1_795_161_822_000_000_u64, "elapsed_micros": 1_500_000,
            "capabilities": [
                { "name": "ttl", "group": "expiry", "title": "a relative ttl", "value": { "support": "native" } },
                { "name": "key_bytes_max", "group": "limits", "title": "longest key in bytes",
                  "value": { "at_most": 512 } },
            ],
            "operations": [{ "operation": "get", "requests": { "counted": 1 } },
                { "operation": "touch", "requests": "not_supported" }],
            "cases": cases,
        });
        serde_json::from_value(report).expect("it has the form of a report")
    }

    pub(crate) fn report(names: &[&str]) -> Report {
        let cases: Vec<_> = names.iter().map(|name| (*name, json!({ "outcome": "passed" }))).collect();
        report_of(&cases)
    }

    /// One case of each outcome.
    pub(crate) fn all_outcomes() -> Report {
        let others = ["refused", "not_applicable", "not_shown", "left_out", "not_exercised", "failed"];
        let names: Vec<String> = others.iter().map(|outcome| format!("exp_2_{outcome}")).collect();
        let mut cases = vec![("set_1_passed", json!({ "outcome": "passed" }))];
        cases.extend(names.iter().zip(others).map(|(name, outcome)| {
            (name.as_str(), json!({ "outcome": outcome, "text": format!("why {}", outcome.replace('_', " ")) }))
        }));
        report_of(&cases)
    }

    /// Whatever a report holds as text is hostile.
    pub(crate) fn hostile() -> Report {
        let ends = ["refused", "not_applicable", "not_shown", "left_out", "not_exercised", "failed"];
        let cases: Vec<_> =
            ends.iter().map(|end| (HOSTILE, json!({ "outcome": end, "text": format!("{end} {HOSTILE}") }))).collect();
        let mut report = serde_json::to_value(report_of(&cases)).expect("a report is JSON");
        for (number, case) in report["cases"].as_array_mut().expect("cases").iter_mut().enumerate() {
            case["name"] = json!(format!("{HOSTILE}{number}"));
            case["rule"] = json!(format!("{HOSTILE}-{number}"));
        }
        report["system"] = json!(HOSTILE);
        report["suite_version"] = json!(HOSTILE);
        for fact in report["capabilities"].as_array_mut().expect("facts") {
            fact["title"] = json!(HOSTILE);
            fact["value"] = json!({ "text": HOSTILE });
        }
        report["operations"][0] = json!({ "operation": HOSTILE, "requests": { "failed": HOSTILE } });
        serde_json::from_value(report).expect("it has the form of a report")
    }

    #[test]
    fn each_outcome_shows_apart_in_every_format() {
        let report = all_outcomes();
        let columns = [Column::alone(&report)];
        for format in Format::value_variants() {
            let text = format.render(&columns, Style::PLAIN).expect("it is rendered").to_lowercase();
            for word in ["refused", "not applicable", "not shown", "left out", "not exercised"] {
                let word = if *format == Format::Json { word.replace(' ', "_") } else { word.to_owned() };
                assert!(text.contains(&word), "{format:?} does not say {word}:\n{text}");
            }
            assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{format:?}");
        }
    }

    #[test]
    fn err_2_no_format_lets_what_a_system_answered_steer_its_reader() {
        let report = hostile();
        let columns = [Column::alone(&report), Column::alone(&report)];
        for format in Format::value_variants() {
            let text = format.render(&columns, Style::PLAIN).expect("it is rendered");
            let is_tame = |character: char| character == '\n' || !character.is_control();
            assert!(text.chars().all(is_tame), "{format:?}:\n{text}");
            assert!(!text.contains('\u{202e}'), "{format:?}:\n{text}");
        }
    }

    #[test]
    fn the_name_of_a_file_says_its_format() {
        let of = |name: &str| Format::of_file(Path::new(name));
        assert_eq!(of("a/b.json"), Some(Format::Json));
        assert_eq!(of("junit.xml"), Some(Format::Junit));
        assert_eq!((of("b"), of("b.yaml")), (None, None));
    }
}
