//! What can be asked for. The help comes from these definitions.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use kv_terminal::arguments::without_secrets;

use super::exit::Exit;
use super::given::{LimitsGiven, LogFormat, LogLevel};

/// Serves any store in Cloudflare's REST dialect for Workers KV.
#[derive(Debug, Parser)]
#[command(name = "kv-gateway", version, max_term_width = 120, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(Box<Serve>),
}

/// Serve namespaces until a signal asks to stop
///
/// Each option can also be given by the environment, as KV_GATEWAY_LISTEN for --listen, and in a file; an option counts
/// before the environment, and that before the file.
#[derive(Args, Debug, Default)]
pub(crate) struct Serve {
    /// A file with settings, in TOML, or in JSON where its name ends in .json
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// A namespace and the URL of its store; several can be given
    #[arg(long = "namespace", value_name = "NAME=URL")]
    pub(crate) namespaces: Vec<String>,

    /// A namespace that nobody may change; several can be given
    #[arg(long, value_name = "NAME")]
    pub(crate) read_only: Vec<String>,

    /// A namespace whose reads are kept in memory for so many seconds at most; several can be given
    #[arg(long, value_name = "NAME=SECONDS")]
    pub(crate) cache: Vec<String>,

    /// A namespace whose store is sent so many requests a second at most; several can be given
    #[arg(long, value_name = "NAME=N")]
    pub(crate) rate: Vec<String>,

    /// An account that is served; several can be given. Default: any
    #[arg(long = "account", value_name = "ID")]
    pub(crate) accounts: Vec<String>,

    /// A name by which the server is reached, for a server without tokens: it answers only to addresses, localhost and
    /// these; several can be given
    #[arg(long = "host", value_name = "NAME")]
    pub(crate) hosts: Vec<String>,

    /// The address and port to listen on; port 0 is any free one. Default: 127.0.0.1:8787
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<String>,

    /// A file with the tokens that are let in, which only its owner may read: a line holds token, scopes and namespaces
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,

    /// Listen on an address that other machines reach, though there are no tokens
    #[arg(long)]
    pub(crate) insecure_no_token: bool,

    /// The certificate and its chain, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// The private key of the certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,

    /// How the log is written to standard error. Default: text
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub(crate) log: Option<LogFormat>,

    /// What is logged; debug is every call. Default: info
    #[arg(long, value_name = "LEVEL", value_enum)]
    pub(crate) log_level: Option<LogLevel>,

    #[command(flatten)]
    pub(crate) limits: LimitsGiven,
}

/// What clap has to say: help, or what is wrong with the arguments. It quotes them as they are, also a URL with a
/// secret (ERR-2).
pub(crate) fn refused(error: &clap::Error) -> Exit {
    if !error.use_stderr() {
        return if error.print().is_ok() { Exit::Stopped } else { Exit::Failed };
    }
    let message = error.render().to_string();
    let message = without_secrets(&message, std::env::args_os().skip(1), |part| part.contains([':', '@', '?']));
    for line in message.lines() {
        let _ = writeln!(std::io::stderr(), "{}", kv_api::Escaped(line));
    }
    Exit::Usage
}
