//! What can be asked for. Help comes from these definitions.

use clap::{Args, Parser, Subcommand};

use crate::compare::CompareArguments;
use crate::exit;
use crate::matrix::MatrixArguments;
use crate::render::{OutputArguments, RenderArguments};

/// Checks key-value stores against the contract of kv-api
#[derive(Debug, Parser)]
#[command(name = "kv-conformance", version, max_term_width = 120, after_help = exit::help())]
#[command(disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(RunArguments),
    Render(RenderArguments),
    Compare(CompareArguments),
    Matrix(MatrixArguments),
}

/// Run the suite against the store at a URL
#[derive(Args, Debug)]
#[command(after_help = exit::help())]
pub(crate) struct RunArguments {
    /// The URL of the store; credentials come from the environment
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
    /// Leave out what differs from run to run (times, and requests of each case), for a report that is kept
    #[arg(long)]
    pub(crate) stable: bool,
}
