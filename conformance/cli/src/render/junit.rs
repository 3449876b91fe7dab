//! Reports as JUnit XML, as CI systems read it: one suite a report, one test a case.

use std::io;

use kv_conformance::CaseReport;
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::ending::Ending;
use super::grid::Column;
use super::text::{line, shown};

/// A refusal that was checked is a test that passed and says so in its output. What is not applicable, not shown or left
/// out is skipped, with the reason. What is claimed and could not be tried fails.
pub(crate) fn junit(columns: &[Column<'_>]) -> io::Result<String> {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 1);
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    writer.create_element("testsuites").write_inner_content(|writer| {
        for column in columns {
            suite(writer, column)?;
        }
        Ok(())
    })?;
    let mut xml = writer.into_inner();
    xml.push(b'\n');
    String::from_utf8(xml).map_err(io::Error::other)
}

fn suite(writer: &mut Writer<Vec<u8>>, column: &Column<'_>) -> io::Result<()> {
    let report = column.report;
    let count = |is_counted: fn(Ending) -> bool| {
        report.cases.iter().filter(|case| is_counted(Ending::of(&case.outcome))).count().to_string()
    };
    let (failures, skipped) = (count(|ending| !ending.is_ok()), count(is_skipped));
    let element = writer
        .create_element("testsuite")
        .with_attribute(("name", line(&column.name).as_str()))
        .with_attribute(("tests", report.cases.len().to_string().as_str()))
        .with_attribute(("failures", failures.as_str()))
        .with_attribute(("errors", "0"))
        .with_attribute(("skipped", skipped.as_str()))
        .with_attribute(("time", seconds(report.elapsed_micros).as_str()));
    if report.cases.is_empty() {
        element.write_empty()?;
        return Ok(());
    }
    element.write_inner_content(|writer| report.cases.iter().try_for_each(|case| test(writer, column, case)))?;
    Ok(())
}

fn test(writer: &mut Writer<Vec<u8>>, column: &Column<'_>, case: &CaseReport) -> io::Result<()> {
    let ending = Ending::of(&case.outcome);
    let element = writer
        .create_element("testcase")
        .with_attribute(("classname", line(&format!("{}.{}", column.name, case.rule)).as_str()))
        .with_attribute(("name", line(&case.name).as_str()))
        .with_attribute(("time", seconds(case.elapsed_micros).as_str()));
    let Some(text) = case.outcome.text() else {
        element.write_empty()?;
        return Ok(());
    };
    element.write_inner_content(|writer| {
        if !ending.is_ok() {
            let first = line(text.lines().next().unwrap_or_default());
            writer
                .create_element("failure")
                .with_attribute(("type", ending.word()))
                .with_attribute(("message", first.as_str()))
                .write_text_content(BytesText::new(&shown(text)))?;
        } else if is_skipped(ending) {
            let why = format!("{}: {}", ending.word(), line(text));
            writer.create_element("skipped").with_attribute(("message", why.as_str())).write_empty()?;
        } else {
            let why = format!("{}: {}", ending.word(), shown(text));
            writer.create_element("system-out").write_text_content(BytesText::new(&why))?;
        }
        Ok(())
    })?;
    Ok(())
}

const fn is_skipped(ending: Ending) -> bool {
    matches!(ending, Ending::NotApplicable | Ending::NotShown | Ending::LeftOut)
}

fn seconds(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

#[cfg(test)]
mod tests {
    use quick_xml::Reader;

    use super::*;
    use crate::render::tests::{all_outcomes, hostile, report};
    use crate::render::text::tests::HOSTILE;

    /// Names of the elements, and the text of all of them; what is no XML is an error.
    fn read(xml: &str) -> (Vec<String>, String) {
        let (mut names, mut texts) = (Vec::new(), String::new());
        let mut reader = Reader::from_str(xml);
        reader.config_mut().check_end_names = true;
        loop {
            match reader.read_event().expect("it is XML") {
                Event::Start(start) | Event::Empty(start) => {
                    names.push(start.name().as_ref().to_owned());
                    for attribute in start.attributes() {
                        attribute.expect("an attribute is well formed");
                    }
                }
                Event::Text(text) => texts.push_str(&text),
                Event::GeneralRef(reference) => {
                    texts.push('&');
                    texts.push_str(&reference);
                    texts.push(';');
                }
                Event::Eof => return (names, texts),
                _ => {}
            }
        }
    }

    #[test]
    fn what_a_system_answered_is_text_and_no_markup() {
        let report = hostile();
        let xml = junit(&[Column::alone(&report)]).expect("a report is XML");
        let is_allowed = |character: char| character == '\n' || !(character.is_control() || character >= '\u{fffe}');
        assert!(xml.chars().all(|character| is_allowed(character) || character > '\u{ffff}'), "{xml}");
        assert!(!xml.contains("<script>") && !xml.contains("]]>"), "{xml}");
        let (names, texts) = read(&xml);
        let known = ["testsuites", "testsuite", "testcase", "failure", "skipped", "system-out"];
        assert!(names.iter().all(|name| known.contains(&name.as_str())), "{names:?}");
        let text = quick_xml::escape::unescape(&texts).expect("references are known");
        assert!(text.contains(&shown(HOSTILE)), "{text}");
    }

    #[test]
    fn a_checked_refusal_passes_and_what_shows_nothing_is_skipped() {
        let report_of_all = all_outcomes();
        let xml = junit(&[Column::alone(&report_of_all)]).expect("a report is XML");
        assert!(
            xml.contains(r#"<testsuite name="example" tests="7" failures="2" errors="0" skipped="3" time="1.500000">"#)
        );
        assert!(xml.contains("<system-out>refused: why refused</system-out>"), "{xml}");
        assert!(xml.contains(r#"<skipped message="not shown: why not shown"/>"#), "{xml}");
        assert!(xml.contains(r#"<failure type="not exercised" message="why not exercised">"#), "{xml}");
        assert!(xml.contains(r#"<testcase classname="example.SET-1" name="set_1_passed" time="0.250000"/>"#), "{xml}");
        let both = junit(&[Column::alone(&report(&[])), Column::alone(&report_of_all)]).expect("reports are XML");
        assert_eq!(read(&both).0[..3], ["testsuites", "testsuite", "testsuite"]);
    }

    #[test]
    fn a_report_without_cases_is_a_suite_without_tests() {
        let empty = report(&[]);
        let xml = junit(&[Column::alone(&empty)]).expect("a report is XML");
        assert!(xml.contains(r#"tests="0""#) && !xml.contains("testcase"), "{xml}");
    }
}
