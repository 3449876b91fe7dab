#![doc = include_str!("../README.md")]

/// Writes a line to standard error. One that takes no more, such as a closed pipe, must not change what is done, nor
/// the exit code.
macro_rules! tell {
    ($($message:tt)*) => {{
        let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{}\n", format_args!($($message)*)));
    }};
}

/// Writes a line to standard output. One that takes no more changes nothing, as above.
macro_rules! say {
    ($($message:tt)*) => {{
        let _ = std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("{}\n", format_args!($($message)*)));
    }};
}

mod arguments;
mod compare;
mod exit;
mod figures;
mod kept;
mod matrix;
mod render;
mod run;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};
use exit::Exit;
use kv_terminal::arguments::without_secrets;

/// What the binary does: arguments in, reports and an exit code out.
#[must_use]
pub fn main() -> ExitCode {
    let exit = match Arguments::try_parse() {
        Ok(arguments) => match &arguments.command {
            Command::Run(arguments) => run::main(arguments),
            Command::Render(arguments) => render::main(arguments),
            Command::Compare(arguments) => compare::main(arguments),
            Command::Matrix(arguments) => matrix::main(arguments),
        },
        Err(error) => refused(&error),
    };
    exit.code().into()
}

/// What clap has to say: help, or what is wrong with the arguments. It quotes them as they are, also a URL with a
/// secret (ERR-2).
fn refused(error: &clap::Error) -> Exit {
    if !error.use_stderr() {
        // A reader that is gone changes nothing.
        let _ = error.print();
        return Exit::Kept;
    }
    let message = error.render().to_string();
    let message = without_secrets(&message, std::env::args_os().skip(1), |part| part.contains([':', '@', '?']));
    for line in message.lines() {
        tell!("{}", kv_api::Escaped(line));
    }
    Exit::Usage
}
