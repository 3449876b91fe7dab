//! A report as JSON: one line a case, so that two reports can be compared line by line; and nothing in it that would
//! steer a terminal.

use std::io;

use kv_conformance::Report;
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};

use super::text::shown;

/// The report itself. Nothing is lost: reading it back gives the same report.
pub(crate) fn json(report: &Report) -> serde_json::Result<String> {
    let mut bytes = Vec::new();
    report.serialize(&mut Serializer::with_formatter(&mut bytes, LineAnItem::default()))?;
    bytes.push(b'\n');
    String::from_utf8(bytes).map_err(serde::ser::Error::custom)
}

/// How deep a member or an item gets a line of its own: the members of the report, and the items of its lists.
const DEEPEST: usize = 2;

#[derive(Default)]
struct LineAnItem {
    depth: usize,
    has_items: bool,
}

impl LineAnItem {
    fn begin(&mut self) {
        self.depth += 1;
        self.has_items = false;
    }

    fn item<W: ?Sized + io::Write>(&mut self, writer: &mut W, is_first: bool) -> io::Result<()> {
        if !is_first {
            writer.write_all(b",")?;
        }
        self.new_line(writer)
    }

    fn end<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        let had_items = self.has_items;
        if had_items && self.depth <= DEEPEST {
            writer.write_all(b"\n")?;
            self.indent(writer, self.depth - 1)?;
        }
        self.depth -= 1;
        self.has_items = true;
        Ok(())
    }

    fn new_line<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.has_items = true;
        if self.depth > DEEPEST {
            return Ok(());
        }
        writer.write_all(b"\n")?;
        self.indent(writer, self.depth)
    }

    fn indent<W: ?Sized + io::Write>(&self, writer: &mut W, depth: usize) -> io::Result<()> {
        (0..depth).try_for_each(|_| writer.write_all(b" "))
    }
}

impl Formatter for LineAnItem {
    /// serde_json itself escapes what JSON asks for, which leaves the upper control characters and the directions of text.
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut units = [0; 2];
        for character in fragment.chars() {
            let mut bytes = [0; 4];
            let text = &*character.encode_utf8(&mut bytes);
            if character.is_ascii() || shown(text) == text {
                writer.write_all(text.as_bytes())?;
            } else {
                for unit in character.encode_utf16(&mut units) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin();
        CompactFormatter.begin_array(writer)
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.end(writer)?;
        CompactFormatter.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, is_first: bool) -> io::Result<()> {
        self.item(writer, is_first)
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin();
        CompactFormatter.begin_object(writer)
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.end(writer)?;
        CompactFormatter.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, is_first: bool) -> io::Result<()> {
        self.item(writer, is_first)
    }
}

#[cfg(test)]
mod tests {
    use kv_conformance::CaseReport;

    use super::*;
    use crate::render::tests::{hostile, report};

    #[test]
    fn nothing_is_lost_and_a_case_has_one_line() {
        for report in [hostile(), report(&[]), report(&["set_1_a", "set_1_b"])] {
            let text = json(&report).expect("a report is JSON");
            assert_eq!(serde_json::from_str::<Report>(&text).expect("it is read back"), report);
            for case in &report.cases {
                let is_it = |line: &str| serde_json::from_str(line).is_ok_and(|found: CaseReport| found == *case);
                assert!(text.lines().any(|line| is_it(line.trim_end_matches(','))), "{text}");
            }
        }
        let text = json(&report(&[])).expect("a report is JSON");
        assert!(text.starts_with("{\n \"format\":1,\n") && text.ends_with("\n \"cases\":[]\n}\n"), "{text}");
    }
}
