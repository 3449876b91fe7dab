//! What can be asked for.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Moves data between key-value stores and files in Cloudflare's bulk format.
#[derive(Debug, Parser)]
#[command(name = "kv-migrate", version, about)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Copy(CopyArguments),
}

/// Copy all entries from one stop to the next.
///
/// A stop is a store URL (memory:, sqlite:app.db?namespace=users, cloudflare://ACCOUNT/NAMESPACE,
/// backendless://APP-ID@HOST/HIVE), a file in the bulk format (.json is an array, .jsonl and .ndjson hold one item a
/// line, each also with .gz), or - for standard input or output. With more than two stops, each is copied to the next
/// in turn.
///
/// What begins with another word and a colon is an error: write ./name:with.json for such a file. No file or store may
/// be named twice, by whatever name.
///
/// Other entries of a target store stay; a target file is replaced, but only by a complete result. An incomplete one is
/// kept beside it, as out.incomplete.jsonl for out.jsonl.
#[derive(Args, Debug)]
#[command(
    override_usage = "kv-migrate copy [OPTIONS] <FROM> [VIA]... <TO>",
    after_help = "Exit codes:\n  0  everything was copied and, with --verify, is the same\n  \
                  1  something was not copied or differs\n  2  the command cannot be understood\n  130, 143  interrupted, terminated"
)]
pub(crate) struct CopyArguments {
    /// Where from, by way of what, and where to
    #[arg(required = true, num_args = 1.., value_name = "STOP", hide = true)]
    pub(crate) stops: Vec<String>,

    /// Only entries whose key begins with this
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    pub(crate) prefix: String,

    /// The keys to copy, one a line, for a source that cannot list its own; a line that begins with a double quote is a
    /// JSON string
    #[arg(long, value_name = "FILE")]
    pub(crate) keys_from: Option<PathBuf>,

    /// Read every entry of the source again afterwards and compare it with the target
    #[arg(long)]
    pub(crate) verify: bool,

    /// Stop at the first batch with an entry that was not copied
    #[arg(long)]
    pub(crate) fail_fast: bool,

    /// Copy entries whose expiry the source cannot tell as entries that never expire
    #[arg(long)]
    pub(crate) unknown_expiry_as_never: bool,

    /// Copy entries although this gets lost; can be given for several kinds
    #[arg(long, value_name = "KIND", value_enum)]
    pub(crate) allow_loss: Vec<Loss>,

    /// What an expiry of zero or less means in a file; without it such entries are refused
    #[arg(long, value_name = "MEANING", value_enum)]
    pub(crate) zero_expiry: Option<ZeroExpiry>,

    /// Replace a target file also when not everything was copied
    #[arg(long)]
    pub(crate) keep_partial: bool,

    /// Replace a target file that holds entries also when there is none to copy
    #[arg(long)]
    pub(crate) allow_empty: bool,

    /// The most entries of a batch; it ends at 4 MiB in any case
    #[arg(long, value_name = "N", default_value = "500")]
    pub(crate) batch: NonZeroUsize,

    /// The format of standard output; that of standard input is recognised
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Jsonl)]
    pub(crate) stdout_format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Loss {
    /// When entries end: where the source does not report it, or the target keeps none, they are kept for ever
    Expiry,
    /// Metadata, where the target keeps none
    Metadata,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ZeroExpiry {
    /// The entry never expires
    Never,
    /// The entry has expired: it is skipped and counted
    Skip,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    /// One item a line
    Jsonl,
    /// A JSON array
    Json,
}
