//! Files that hold the matrix.

use std::fmt;
use std::path::{Path, PathBuf};

use super::{markdown, page};
use crate::render::{Column, Format, line};

/// Before the table in a Markdown file; the rest of the line is the file's own.
const BEGIN: &str = "<!-- matrix";
/// After it.
const END: &str = "<!-- /matrix -->";

/// Why a file cannot hold the matrix.
#[derive(Debug)]
pub(crate) struct NoPlace {
    path: PathBuf,
    why: String,
}

impl fmt::Display for NoPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", line(&self.path.display().to_string()), line(&self.why))
    }
}

pub(crate) fn write(path: &Path, columns: &[Column<'_>]) -> Result<(), NoPlace> {
    let text = text(path, columns)?;
    std::fs::write(path, text).map_err(|error| no_place(path, format!("cannot be written: {error}")))
}

pub(crate) fn is_current(path: &Path, columns: &[Column<'_>]) -> Result<bool, NoPlace> {
    Ok(text(path, columns)? == read(path)?)
}

/// What the file should hold.
fn text(path: &Path, columns: &[Column<'_>]) -> Result<String, NoPlace> {
    match Format::of_file(path) {
        Some(Format::Html) => Ok(page::matrix(columns)),
        Some(Format::Markdown) => {
            let found = read(path)?;
            let missing = || no_place(path, format!("has no lines that begin with {BEGIN:?} and {END:?}"));
            let begin = place_of(&found, BEGIN).ok_or_else(missing)?;
            let table = begin + found[begin..].find('\n').ok_or_else(missing)? + 1;
            let end = table + place_of(&found[table..], END).ok_or_else(missing)?;
            Ok([&found[..table], "\n", &markdown::compact(columns), "\n", &found[end..]].concat())
        }
        _ => Err(no_place(path, "is neither a page (.html) nor a Markdown file (.md)".to_owned())),
    }
}

/// Where the first line begins that begins with `mark`.
fn place_of(text: &str, mark: &str) -> Option<usize> {
    let mut place = 0;
    for line in text.split_inclusive('\n') {
        if line.starts_with(mark) {
            return Some(place);
        }
        place += line.len();
    }
    None
}

fn read(path: &Path) -> Result<String, NoPlace> {
    std::fs::read_to_string(path).map_err(|error| no_place(path, format!("cannot be read: {error}")))
}

fn no_place(path: &Path, why: String) -> NoPlace {
    NoPlace { path: path.to_owned(), why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tests::{all_outcomes, report};

    #[test]
    fn only_what_stands_between_the_marks_is_written() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("README.md");
        let put = |text: &str| std::fs::write(&path, text).expect("the folder can be written");
        let (one, other) = (all_outcomes(), report(&["set_1_a"]));
        let (columns, others) = ([Column::alone(&one)], [Column::alone(&other)]);
        put("before\n<!-- matrix: made by a command -->\nold\n<!-- /matrix -->\nafter <!-- matrix\n");
        assert_eq!(is_current(&path, &columns).ok(), Some(false));
        write(&path, &columns).expect("it has the marks");
        assert_eq!(is_current(&path, &columns).ok(), Some(true));
        assert_eq!(is_current(&path, &others).ok(), Some(false), "other reports say something else");
        let text = std::fs::read_to_string(&path).expect("it is there");
        assert!(text.starts_with("before\n<!-- matrix: made by a command -->\n\n|  | `example` |\n"), "{text}");
        assert!(text.contains("\n| a relative ttl | native |\n"), "{text}");
        assert!(text.ends_with(" |\n\n<!-- /matrix -->\nafter <!-- matrix\n"), "{text}");
        for without in ["", "<!-- matrix -->\n", "<!-- /matrix -->\n<!-- matrix -->\n"] {
            put(without);
            let error = is_current(&path, &columns).expect_err("there is no place").to_string();
            assert!(error.contains("has no lines that begin with"), "{error}");
        }
    }

    #[test]
    fn a_page_is_written_as_a_whole() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("matrix.html");
        let report = all_outcomes();
        let columns = [Column::alone(&report)];
        assert!(is_current(&path, &columns).is_err(), "there is no page yet");
        write(&path, &columns).expect("the folder can be written");
        assert_eq!(is_current(&path, &columns).ok(), Some(true));
        assert!(write(&folder.path().join("matrix.txt"), &columns).is_err(), "no such form");
    }
}
