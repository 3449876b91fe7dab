//! Benchmarks of the backends against what a user would pick instead: one process, contenders that take turns, ratios.
//! See README.md.

#[cfg(test)]
mod checks;
mod database;
mod drawing;
mod entries;
mod layers;
mod machine;
mod measure;
mod memory;
mod opendal;
mod payload;
mod plot;
mod postgres;
mod redis;
mod remote;
mod report;
mod row;
mod scale;
mod sqlite;
mod store;

use std::fs;
use std::path::Path;

use clap::{Parser, ValueEnum};

use crate::measure::Result;

/// Measures the backends against their peers and prints ratios. Targets that are missed are printed as missed.
#[derive(Debug, Parser)]
struct Arguments {
    /// What to measure; everything but `scale` unless given.
    #[arg(value_enum)]
    sections: Vec<Name>,

    /// Smaller sizes and fewer rounds, for trying out: the figures mean little.
    #[arg(long)]
    quick: bool,

    /// Only the races with this text in their title.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,

    /// Keeps tables and plots in this package's folder `results`.
    #[arg(long, conflicts_with_all = ["quick", "only"])]
    save: bool,

    /// Loads one in-memory store and prints the bytes an entry takes; the program calls itself with this.
    #[arg(long, hide = true, value_enum, requires = "entries")]
    resident: Option<memory::Kind>,

    /// How many entries that store gets.
    #[arg(long, hide = true)]
    entries: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    Memory,
    Sqlite,
    Redis,
    Postgres,
    Remote,
    Layers,
    Scale,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    // The same runtime for every contender.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(run(arguments))
}

async fn run(arguments: Arguments) -> Result<()> {
    if let (Some(kind), Some(entries)) = (arguments.resident, arguments.entries) {
        print(&format!("{}\n", memory::bytes_an_entry(kind, entries).await?));
        return Ok(());
    }
    let description = machine::description();
    print(&format!("{description}\n"));
    let output = Output { description, saves: arguments.save };
    // The last one takes long and compares no contenders, so it is run only when it is named.
    let all = [Name::Memory, Name::Sqlite, Name::Redis, Name::Postgres, Name::Remote, Name::Layers, Name::Scale];
    let wanted = |name: &Name| match arguments.sections.as_slice() {
        [] => *name != Name::Scale,
        sections => sections.contains(name),
    };
    for name in all.into_iter().filter(wanted) {
        let only = arguments.only.clone();
        let section = match name {
            Name::Memory => {
                let sizes = if arguments.quick { memory::Sizes::QUICK } else { memory::Sizes::FULL };
                memory::run(sizes, only).await?
            }
            Name::Sqlite => {
                let sizes = if arguments.quick { sqlite::Sizes::QUICK } else { sqlite::Sizes::FULL };
                sqlite::run(sizes, only).await?
            }
            Name::Redis => {
                let sizes = if arguments.quick { redis::Sizes::QUICK } else { redis::Sizes::FULL };
                redis::run(sizes, only).await?
            }
            Name::Postgres => {
                let sizes = if arguments.quick { postgres::Sizes::QUICK } else { postgres::Sizes::FULL };
                postgres::run(sizes, only).await?
            }
            Name::Remote => {
                let sizes = if arguments.quick { remote::Sizes::QUICK } else { remote::Sizes::FULL };
                remote::run(sizes, only).await?
            }
            Name::Layers => {
                let sizes = if arguments.quick { layers::Sizes::QUICK } else { layers::Sizes::FULL };
                layers::run(sizes, only).await?
            }
            Name::Scale => {
                let sizes = if arguments.quick { scale::Sizes::QUICK } else { scale::Sizes::FULL };
                for subject in scale::Subject::ALL {
                    if let Some(chart) = scale::run(subject, &sizes, only.as_deref()).await? {
                        output.add(chart.name, &chart.table(), &scale::svg(&chart))?;
                    }
                }
                continue;
            }
        };
        output.add(section.name, &section.table(), &plot::svg(&section))?;
    }
    Ok(())
}

/// Where results go.
struct Output {
    description: String,
    saves: bool,
}

impl Output {
    /// Prints a table, and keeps it with its picture if that is wanted.
    fn add(&self, name: &str, table: &str, picture: &str) -> Result<()> {
        let table = format!("{table}\n{}", machine::load());
        print(&format!("{table}\n"));
        if self.saves {
            let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
            fs::create_dir_all(&results)?;
            fs::write(results.join(format!("{name}.txt")), format!("{}\n{table}", self.description))?;
            fs::write(results.join(format!("{name}.svg")), picture)?;
        }
        Ok(())
    }
}

#[allow(clippy::print_stdout, reason = "tables on the standard output are what this program is for")]
fn print(text: &str) {
    print!("{text}");
}
