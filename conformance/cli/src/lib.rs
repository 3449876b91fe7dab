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
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Kept };
            // A reader that is gone changes nothing.
            let _ = error.print();
            exit
        }
    };
    exit.code().into()
}
