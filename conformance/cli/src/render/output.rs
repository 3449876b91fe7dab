//! Where a report goes: to standard output, and into files of any form.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Column, Format, Style, line};
use crate::exit::Exit;
use crate::kept::Kept;

/// Where a report goes.
#[derive(Args, Debug)]
pub(crate) struct OutputArguments {
    /// Write the report to a file too, in the form of its ending: .json, .html, .md, .xml (JUnit) or .txt; repeatable
    #[arg(long, short, visible_alias = "report", value_name = "FILE", value_parser = file)]
    output: Vec<Output>,
    /// The form of what goes to standard output
    #[arg(long, default_value = "table")]
    format: Format,
}

/// A file to write. Its name is understood before anything is done.
#[derive(Clone, Debug)]
struct Output {
    path: PathBuf,
    format: Format,
}

fn file(name: &str) -> Result<Output, String> {
    let path = PathBuf::from(name);
    let format = Format::of_file(&path).ok_or("it ends in none of .json, .html, .md, .xml and .txt")?;
    Ok(Output { path, format })
}

impl OutputArguments {
    /// Finds out whether all files can be written, and leaves them as they are.
    ///
    /// # Errors
    /// Which of them cannot.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.output
            .iter()
            .try_for_each(|Output { path, .. }| check_file(path).map_err(|error| cannot_be_written(path, &error)))
    }

    /// Writes all files, however the others end, and standard output.
    pub(crate) fn write(&self, columns: &[Column<'_>]) -> Result<(), String> {
        let mut written = Ok(());
        for Output { path, format } in &self.output {
            if let Err(error) = write_file(path, *format, columns) {
                written = Err(cannot_be_written(path, &error));
            }
        }
        let text = self.format.render(columns, Style::of_stdout()).map_err(|error| error.to_string())?;
        say!("{}", text.trim_end());
        written
    }

    fn asks_for(&self, format: Format) -> bool {
        self.format == format || self.output.iter().any(|output| output.format == format)
    }
}

fn cannot_be_written(path: &Path, error: &std::io::Error) -> String {
    format!("{} cannot be written: {error}", line(&path.display().to_string()))
}

fn check_file(path: &Path) -> std::io::Result<()> {
    // A link that leads nowhere yet stays.
    let is_there = path.symlink_metadata().is_ok();
    drop(std::fs::OpenOptions::new().append(true).create(true).open(path)?);
    if is_there { Ok(()) } else { std::fs::remove_file(path) }
}

fn write_file(path: &Path, format: Format, columns: &[Column<'_>]) -> std::io::Result<()> {
    std::fs::write(path, format.render(columns, Style::PLAIN)?)
}

/// Show kept reports in any form, several side by side
#[derive(Args, Debug)]
pub(crate) struct RenderArguments {
    /// Reports in JSON; each is called after its file
    #[arg(value_name = "REPORT.json", required = true)]
    reports: Vec<PathBuf>,
    #[command(flatten)]
    output: OutputArguments,
}

/// `render`: kept reports in any form.
pub(crate) fn main(arguments: &RenderArguments) -> Exit {
    let kept = match Kept::read_all(&arguments.reports) {
        Ok(kept) => kept,
        Err(error) => {
            tell!("error: {error}");
            return Exit::Usage;
        }
    };
    let columns: Vec<Column<'_>> = kept.iter().map(Kept::column).collect();
    if columns.len() > 1 && arguments.output.asks_for(Format::Json) {
        tell!("error: JSON holds one report");
        return Exit::Usage;
    }
    match arguments.output.write(&columns) {
        Ok(()) => Exit::Kept,
        Err(error) => {
            tell!("error: {error}");
            Exit::Usage
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tests::all_outcomes;

    #[test]
    fn a_file_without_a_known_ending_is_refused_before_anything_is_done() {
        assert!(file("report").is_err() && file("report.yaml").is_err());
        assert_eq!(file("a/report.xml").map(|output| output.format), Ok(Format::Junit));
    }

    #[test]
    fn files_are_as_they_were_when_they_have_been_checked() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [kept, new, missing] = ["kept.md", "new.md", "missing/report.md"].map(|name| folder.path().join(name));
        std::fs::write(&kept, "kept").expect("a file");
        let check = |path: &Path| {
            let output = file(path.to_str().expect("a name in UTF-8")).expect("a known ending");
            OutputArguments { output: vec![output], format: Format::Table }.check()
        };
        assert_eq!((check(&kept), check(&new)), (Ok(()), Ok(())));
        assert!(check(&missing).is_err_and(|error| error.contains("report.md cannot be written")));
        assert_eq!(std::fs::read_to_string(kept).expect("it is there"), "kept");
        assert!(!new.exists());
    }

    #[test]
    fn one_file_that_cannot_be_written_does_not_take_the_others_with_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let missing = folder.path().join("missing/report.md");
        let page = folder.path().join("report.html");
        let output =
            [&missing, &page].map(|path| file(path.to_str().expect("a name in UTF-8")).expect("known endings"));
        let arguments = OutputArguments { output: output.to_vec(), format: Format::Table };
        let report = all_outcomes();
        let error = arguments.write(&[Column::alone(&report)]).expect_err("there is no such folder");
        assert!(error.contains("report.md cannot be written"), "{error}");
        assert!(std::fs::read_to_string(page).expect("it is there").starts_with("<!DOCTYPE html>"));
    }
}
