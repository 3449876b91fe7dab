//! What can be asked for. Help, man page and completions come from these definitions.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use kv_migrate::Rate;

use super::{help, values};

/// Copies entries between key-value stores and files in Cloudflare's bulk format, and says what was not copied.
#[derive(Debug, Parser)]
#[command(name = "kv-migrate", version, max_term_width = 120, after_help = help::brief(), after_long_help = help::full())]
#[command(disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Log to standard error what is noteworthy; twice, also every repeated request
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Copy(CopyArguments),
    Export(ExportArguments),
    Import(ImportArguments),
    Plan(PlanArguments),
    Verify(VerifyArguments),
    Clean(CleanArguments),
    Completions(CompletionsArguments),
    /// Write the man page to standard output
    Man,
}

impl Command {
    /// Of those that can be interrupted.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Copy(_) => "copy",
            Self::Export(_) => "export",
            Self::Import(_) => "import",
            Self::Plan(_) => "plan",
            Self::Verify(_) => "verify",
            Self::Clean(_) => "clean",
            Self::Completions(_) => "completions",
            Self::Man => "man",
        }
    }

    /// Whether something else than entries goes to standard output.
    pub(crate) const fn writes_output(&self) -> bool {
        let is_plan = match self {
            Self::Copy(CopyArguments { options, .. }) => options.dry_run,
            _ => matches!(self, Self::Plan(_) | Self::Verify(_)),
        };
        is_plan || self.json()
    }

    /// Whether the summary is for a program.
    pub(crate) const fn json(&self) -> bool {
        match self {
            Self::Copy(CopyArguments { options, .. })
            | Self::Export(ExportArguments { options, .. })
            | Self::Import(ImportArguments { options, .. }) => options.json,
            Self::Plan(arguments) => arguments.json,
            Self::Verify(arguments) => arguments.json,
            Self::Clean(_) | Self::Completions(_) | Self::Man => false,
        }
    }
}

/// Copy all entries from one stop to the next
///
/// A stop is a store URL, a file in the bulk format (.json is an array, .jsonl and .ndjson hold one item a line, each
/// also with .gz or .zst), or - for standard input or output. With more than two stops, each is copied to the next in
/// turn.
///
/// What begins with another word and a colon is an error: write ./name:with.json for such a file. No file or store may
/// be named twice, by whatever name.
///
/// Other entries of a target store stay; a target file is replaced, but only by a complete result. An incomplete one is
/// kept beside it, as out.incomplete.jsonl for out.jsonl.
#[derive(Args, Debug)]
#[command(
    override_usage = "kv-migrate copy [OPTIONS] <FROM> [VIA]... <TO>",
    after_help = help::brief(),
    after_long_help = help::full()
)]
pub(crate) struct CopyArguments {
    /// Where from, by way of what, and where to
    #[arg(required = true, num_args = 1.., value_name = "STOP", hide = true, value_hint = ValueHint::AnyPath)]
    pub(crate) stops: Vec<String>,

    #[command(flatten)]
    pub(crate) options: CopyOptions,
}

/// Copy all entries of a store to a file, or to standard output
///
/// The same as copy, with a target that is a file or -.
#[derive(Args, Debug)]
#[command(after_help = help::brief(), after_long_help = help::full())]
pub(crate) struct ExportArguments {
    /// The URL of the store
    #[arg(value_name = "FROM")]
    pub(crate) from: String,

    /// The file; - is standard output
    #[arg(value_name = "FILE", default_value = "-", value_hint = ValueHint::FilePath)]
    pub(crate) file: String,

    #[command(flatten)]
    pub(crate) options: CopyOptions,
}

/// Copy all entries of a file, or of standard input, to a store
///
/// The same as copy, with a source that is a file or -.
#[derive(Args, Debug)]
#[command(
    override_usage = "kv-migrate import [OPTIONS] [FILE] <TO>",
    after_help = help::brief(),
    after_long_help = help::full()
)]
pub(crate) struct ImportArguments {
    /// The file, unless it is standard input, and the URL of the store
    #[arg(required = true, num_args = 1..=2, value_name = "STOP", hide = true, value_hint = ValueHint::AnyPath)]
    pub(crate) stops: Vec<String>,

    #[command(flatten)]
    pub(crate) options: CopyOptions,
}

/// Say what a copy would do, and write nothing
///
/// Every entry is read and checked as the target would: what it would refuse, what would get lost, how much it is, and
/// how many requests it takes.
#[derive(Args, Debug)]
#[command(after_help = help::brief(), after_long_help = help::full())]
pub(crate) struct PlanArguments {
    /// The store or file that would be copied from; - is standard input
    #[arg(value_name = "FROM", value_hint = ValueHint::AnyPath)]
    pub(crate) from: String,

    /// The store or file that would be copied to
    #[arg(value_name = "TO", value_hint = ValueHint::AnyPath)]
    pub(crate) to: String,

    /// Read so many entries, chosen at random from the list of a store, in place of all, and estimate the rest
    #[arg(long, value_name = "N", help_heading = REPORT)]
    pub(crate) sample: Option<NonZeroUsize>,

    /// Ask the target for each key whether it has it already
    #[arg(long, help_heading = REPORT)]
    pub(crate) existing: bool,

    /// Write the plan as one line of JSON
    #[arg(long, help_heading = REPORT)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) selection: Selection,

    #[command(flatten)]
    pub(crate) fit: Fit,
}

/// Compare all entries of two stores or files, and name what differs
///
/// Each difference is a line of JSON on standard output, with key, line in the source, and mark: - is only in FROM, +
/// only in TO, * in both and not alike. The options that say which entries are copied, and what becomes of those that
/// do not fit, are those of the copy that is verified.
#[derive(Args, Debug)]
#[command(after_help = help::brief(), after_long_help = help::full())]
pub(crate) struct VerifyArguments {
    /// The store or file that was copied from
    #[arg(value_name = "FROM", value_hint = ValueHint::AnyPath)]
    pub(crate) from: String,

    /// The store or file that was copied to
    #[arg(value_name = "TO", value_hint = ValueHint::AnyPath)]
    pub(crate) to: String,

    /// Compare so many entries, chosen at random, in place of all
    #[arg(long, value_name = "N", help_heading = REPORT)]
    pub(crate) sample: Option<NonZeroU64>,

    /// Look once more at what differs, and name only what differs still
    #[arg(long, help_heading = REPORT)]
    pub(crate) recheck: bool,

    /// Do not look for entries that only TO has
    #[arg(long, help_heading = REPORT)]
    pub(crate) one_way: bool,

    /// Write the summary as one line of JSON, after the differences
    #[arg(long, help_heading = REPORT)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) selection: Selection,

    #[command(flatten)]
    pub(crate) fit: Fit,
}

/// Remove what interrupted copies have left beside a target
///
/// That is the part file of a file, and the checkpoint. They are not needed when the copy shall not go on. What a copy
/// that still runs is using stays.
#[derive(Args, Debug)]
pub(crate) struct CleanArguments {
    /// The file or store that was to be written
    #[arg(value_name = "TARGET", value_hint = ValueHint::AnyPath)]
    pub(crate) target: String,
}

/// Write the completions for a shell to standard output
#[derive(Args, Debug)]
pub(crate) struct CompletionsArguments {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

const WHICH: &str = "Which entries";
const UNFIT: &str = "Entries that do not fit";
const FILES: &str = "Target files";
const CONFLICTS: &str = "Conflicts";
const RESUME: &str = "Resuming";
const SPEED: &str = "Speed and patience";
const REPORT: &str = "Checks and report";

/// Which entries, under which keys, and what they mean.
#[derive(Args, Debug)]
pub(crate) struct Selection {
    /// Only entries whose key begins with this
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true, help_heading = WHICH)]
    pub(crate) prefix: String,

    /// Only entries whose key matches this glob, or another one that is given: * is any characters, ? one, [a-z] a
    /// class, {a,b} a choice, \* a star
    #[arg(long, value_name = "GLOB", help_heading = WHICH)]
    pub(crate) include: Vec<String>,

    /// No entries whose key matches this glob, or another one that is given
    #[arg(long, value_name = "GLOB", help_heading = WHICH)]
    pub(crate) exclude: Vec<String>,

    /// The keys to copy, one a line, for a source that cannot list its own; a line that begins with a double quote is a
    /// JSON string
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = WHICH)]
    pub(crate) keys_from: Option<PathBuf>,

    /// Take this off the beginning of each key; an entry whose key does not begin with it is refused
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true, help_heading = WHICH)]
    pub(crate) strip_prefix: String,

    /// Put this before each key, after --strip-prefix
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true, help_heading = WHICH)]
    pub(crate) add_prefix: String,

    /// What an expiry of zero or less means in a file; without it such entries are refused
    #[arg(long, value_name = "MEANING", value_enum, help_heading = UNFIT)]
    pub(crate) zero_expiry: Option<ZeroExpiry>,
}

/// What becomes of entries that do not fit.
#[derive(Args, Debug)]
pub(crate) struct Fit {
    /// Copy although this gets lost; can be given for several kinds
    #[arg(long, value_name = "KIND", value_enum, help_heading = UNFIT)]
    pub(crate) allow_loss: Vec<Loss>,

    /// Copy entries whose expiry the source does not report as entries that never expire
    #[arg(long, help_heading = UNFIT)]
    pub(crate) unknown_expiry_as_never: bool,

    /// Keep an entry that would end too soon for the target as long as the target keeps it at least
    #[arg(long, help_heading = UNFIT)]
    pub(crate) min_ttl_round_up: bool,

    /// Pass over items of a file that cannot be read, and count them as not copied
    #[arg(long, help_heading = UNFIT)]
    pub(crate) skip_bad_lines: bool,
}

/// How to copy.
#[derive(Args, Debug)]
pub(crate) struct CopyOptions {
    #[command(flatten)]
    pub(crate) selection: Selection,

    #[command(flatten)]
    pub(crate) fit: Fit,

    /// Stop at the first batch with an entry that was not copied
    #[arg(long, help_heading = UNFIT)]
    pub(crate) fail_fast: bool,

    /// Write the entries that are not copied to this file, each with its reason; it can be copied from
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = UNFIT)]
    pub(crate) rejects: Option<PathBuf>,

    /// What happens to an entry whose key the target has already; one that is the same there is no conflict
    #[arg(long, value_name = "HOW", value_enum, default_value_t = OnConflict::Overwrite, help_heading = CONFLICTS)]
    pub(crate) on_conflict: OnConflict,

    /// Accept that a target without conditions looks before it writes: what others write in between is overwritten
    #[arg(long, help_heading = CONFLICTS)]
    pub(crate) allow_race: bool,

    /// Keep in mind in this file how far the copy has come [default: a file beside the target]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = RESUME)]
    pub(crate) checkpoint: Option<PathBuf>,

    /// Keep nothing in mind: a copy that was ended begins anew
    #[arg(long, conflicts_with_all = ["checkpoint", "restart"], help_heading = RESUME)]
    pub(crate) no_checkpoint: bool,

    /// Begin anew, whatever the checkpoint says
    #[arg(long, help_heading = RESUME)]
    pub(crate) restart: bool,

    /// Replace a target file also when not everything was copied
    #[arg(long, help_heading = FILES)]
    pub(crate) keep_partial: bool,

    /// Replace a target file that holds entries also when there is none to copy
    #[arg(long, help_heading = FILES)]
    pub(crate) allow_empty: bool,

    /// The format of standard output; that of standard input is recognised
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Jsonl, help_heading = FILES)]
    pub(crate) stdout_format: Format,

    /// The most entries of a batch [default: as many as the target takes in one request]
    #[arg(long, value_name = "N", help_heading = SPEED)]
    pub(crate) batch: Option<NonZeroUsize>,

    /// The most batches that are written at once; the copy begins with one
    #[arg(long, value_name = "N", default_value = "4", help_heading = SPEED)]
    pub(crate) concurrency: NonZeroUsize,

    /// At most so many requests in so many seconds, to each of the two stores, such as 1000/300
    #[arg(long, value_name = "N/SECONDS", value_parser = values::rate, help_heading = SPEED)]
    pub(crate) rate: Option<Rate>,

    /// How long to wait, in all since it last went on, while a store asks for it or cannot be reached, such as 90s,
    /// 30m, 2h
    #[arg(long, value_name = "DURATION", value_parser = values::duration, default_value = "30m", help_heading = SPEED)]
    pub(crate) max_wait: Duration,

    /// Write nothing: read and check all entries, and say what would be done, as plan does
    #[arg(long, conflicts_with = "verify", help_heading = REPORT)]
    pub(crate) dry_run: bool,

    /// Read every entry of the source again afterwards and compare it with the target
    #[arg(long, help_heading = REPORT)]
    pub(crate) verify: bool,

    /// Write the summary as one line of JSON, to standard output, or to standard error when the entries go to standard
    /// output
    #[arg(long, help_heading = REPORT)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Loss {
    /// When entries end: where the source does not report it, or the target keeps none, they are kept for ever
    Expiry,
    /// Metadata, where the target keeps none
    Metadata,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum OnConflict {
    /// It replaces what is there
    Overwrite,
    /// What is there stays, and that is counted
    Skip,
    /// What is there stays, and the entry counts as not copied
    Fail,
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
