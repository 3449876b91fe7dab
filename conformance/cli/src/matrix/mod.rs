//! `matrix`: one table from the reports of many stores.

mod file;
mod markdown;
mod page;
mod table;

use std::path::PathBuf;

use clap::Args;

use crate::exit::Exit;
use crate::kept::Kept;
use crate::render::{Column, line};

pub(crate) use markdown::markdown_of_capabilities;
pub(crate) use page::capabilities;

/// One table of what many stores support, from their reports
///
/// A column is named after the file of its report. Without a file to write or check the table is printed as Markdown.
#[derive(Args, Debug)]
pub(crate) struct MatrixArguments {
    /// Reports in JSON, one for each store
    #[arg(value_name = "REPORT.json", required = true)]
    reports: Vec<PathBuf>,
    /// Write the table: into a page, or between the marks of a Markdown file, `<!-- matrix` and `<!-- /matrix -->`
    #[arg(long, value_name = "FILE", conflicts_with = "check")]
    write: Vec<PathBuf>,
    /// Fail where the table in this file is another one
    #[arg(long, value_name = "FILE")]
    check: Vec<PathBuf>,
}

pub(crate) fn main(arguments: &MatrixArguments) -> Exit {
    let kept = match Kept::read_all(&arguments.reports) {
        Ok(kept) => kept,
        Err(error) => {
            tell!("error: {error}");
            return Exit::Usage;
        }
    };
    let mut columns: Vec<Column<'_>> = kept.iter().map(Kept::column).collect();
    columns.sort_by(|one, other| place(&one.name).cmp(&place(&other.name)));
    if arguments.write.is_empty() && arguments.check.is_empty() {
        say!("{}", markdown::compact(&columns).trim_end());
        return Exit::Kept;
    }
    let mut exit = Exit::Kept;
    for path in &arguments.write {
        if let Err(error) = file::write(path, &columns) {
            tell!("error: {error}");
            return Exit::Usage;
        }
    }
    for path in &arguments.check {
        match file::is_current(path, &columns) {
            Ok(true) => {}
            Ok(false) => {
                let path = line(&path.display().to_string());
                tell!("error: {path} is not what the reports say; write it again with --write");
                exit = Exit::Broken;
            }
            Err(error) => {
                tell!("error: {error}");
                return Exit::Usage;
            }
        }
    }
    exit
}

/// Columns stand in the same order however the files are given: what runs in the program itself, servers, services,
/// then whatever else there is by its name.
fn place(name: &str) -> (usize, &str) {
    const ORDER: [&str; 8] =
        ["memory", "sqlite", "redis", "postgres", "cloudflare", "backendless", "puter", "nemesisdb"];
    let is_of = |system: &&str| name.strip_prefix(*system).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    (ORDER.iter().position(is_of).unwrap_or(ORDER.len()), name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_in_one_order() {
        let mut names = ["zoo", "nemesisdb", "redis-cluster", "sqlite", "redis", "memory", "memory-cached", "redisson"];
        names.sort_by(|one, other| place(one).cmp(&place(other)));
        let expected = ["memory", "memory-cached", "sqlite", "redis", "redis-cluster", "nemesisdb", "redisson", "zoo"];
        assert_eq!(names, expected);
    }
}
