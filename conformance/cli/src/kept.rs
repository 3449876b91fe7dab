//! Reports that were kept in files.

use std::fmt;
use std::path::{Path, PathBuf};

use kv_conformance::Report;
use serde::Deserialize;

use crate::render::{Column, line};

/// A report, and the name of its file.
#[derive(Debug)]
pub(crate) struct Kept {
    /// Without folder and ending: what it is called beside others.
    pub(crate) name: String,
    pub(crate) report: Report,
}

/// Why a file is no report.
#[derive(Debug)]
pub(crate) struct Unreadable {
    path: PathBuf,
    why: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", line(&self.path.display().to_string()), line(&self.why))
    }
}

/// All that can be known of a report in another format.
#[derive(Deserialize)]
struct Head {
    format: u32,
}

impl Kept {
    pub(crate) fn read(path: &Path) -> Result<Self, Unreadable> {
        let wrong = |why: String| Unreadable { path: path.to_owned(), why };
        let text = std::fs::read_to_string(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
        let no_report = |error: serde_json::Error| wrong(format!("is no report of this suite: {error}"));
        let head: Head = serde_json::from_str(&text).map_err(no_report)?;
        if head.format != Report::FORMAT {
            let ours = Report::FORMAT;
            return Err(wrong(format!("is a report in format {}; this version reads format {ours}", head.format)));
        }
        let report = serde_json::from_str(&text).map_err(no_report)?;
        let name = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        Ok(Self { name, report })
    }

    /// Each of the files, or why the first of them that cannot be read cannot.
    pub(crate) fn read_all(paths: &[PathBuf]) -> Result<Vec<Self>, Unreadable> {
        paths.iter().map(|path| Self::read(path)).collect()
    }

    pub(crate) fn column(&self) -> Column<'_> {
        Column { name: self.name.clone(), report: &self.report }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::Format;
    use crate::render::Style;
    use crate::render::tests::all_outcomes;

    #[test]
    fn a_report_is_read_by_the_name_of_its_file_and_another_format_is_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("redis-cluster.json");
        let report = all_outcomes();
        let text = Format::Json.render(&[Column::alone(&report)], Style::PLAIN).expect("a report is JSON");
        std::fs::write(&path, &text).expect("the folder can be written");
        let kept = Kept::read(&path).expect("it is a report");
        assert_eq!((kept.name.as_str(), &kept.report), ("redis-cluster", &report));
        let wrong = |text: &str| {
            std::fs::write(&path, text).expect("the folder can be written");
            Kept::read(&path).expect_err("it is no report").to_string()
        };
        let later = wrong(&text.replacen("\"format\":1", "\"format\":2", 1));
        assert!(later.ends_with("is a report in format 2; this version reads format 1"), "{later}");
        assert!(wrong("{\"format\":1}").contains("is no report of this suite: missing field"));
        assert!(wrong("[]").contains("is no report of this suite"));
        let missing = Kept::read(&folder.path().join("none.json")).expect_err("there is none").to_string();
        assert!(missing.contains("none.json: cannot be read"), "{missing}");
    }
}
