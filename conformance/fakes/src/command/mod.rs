//! The command line: arguments in, one line with the URL out, and a server until it is stopped.

mod arguments;
mod backendless;
mod chaos;
mod cloudflare;
mod nemesisdb;
mod order;
mod puter;

use std::any::Any;
use std::fmt::Display;
use std::future::pending;
use std::io::{self, Write};
use std::pin::pin;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use kv_api::Escaped;
use kv_fakes::FakeServer;

/// Serves a stateful fake of a remote key-value system on 127.0.0.1, until interrupted.
///
/// Standard output gets one line, the URL, when it is ready; all else goes to standard error.
#[derive(Parser)]
#[command(name = "kv-fakes", version, max_term_width = 120)]
struct Arguments {
    #[command(subcommand)]
    system: System,
}

/// One arm a system: its arguments, and how to serve it with them.
#[derive(Subcommand)]
enum System {
    Backendless(backendless::Arguments),
    Cloudflare(cloudflare::Arguments),
    Nemesisdb(nemesisdb::Arguments),
    Puter(puter::Arguments),
}

impl System {
    async fn serve(self) -> io::Result<Running> {
        match self {
            Self::Backendless(arguments) => arguments.serve().await.map(Running::from),
            Self::Cloudflare(arguments) => arguments.serve().await.map(Running::from),
            Self::Nemesisdb(arguments) => arguments.serve().await,
            Self::Puter(arguments) => arguments.serve().await.map(Running::from),
        }
    }
}

/// A server that is ready, whatever it speaks.
struct Running {
    /// What is printed for the person who started the program.
    url: String,
    /// How to point clients at it, line by line.
    hints: Vec<String>,
    /// Ends when this is dropped.
    _server: Box<dyn Any>,
}

impl From<Served> for Running {
    fn from(Served { server, hints }: Served) -> Self {
        Self { url: server.base_url().to_owned(), hints, _server: Box::new(server) }
    }
}

/// A server of HTTP that is ready.
struct Served {
    server: FakeServer,
    /// How to point clients at it, line by line.
    hints: Vec<String>,
}

pub(crate) fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refused(&error),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    runtime.block_on(async {
        // Listened for from the beginning, so that no signal falls between the line below and the wait for it.
        let mut stop = pin!(stop());
        let running = tokio::select! {
            biased;
            () = &mut stop => return ExitCode::SUCCESS,
            running = arguments.system.serve() => running,
        };
        let running = match running {
            Ok(running) => running,
            Err(error) => return failed(&error),
        };
        for hint in &running.hints {
            tell(hint);
        }
        // The program that started it waits for this line; if it cannot be read, no client will come.
        if let Err(error) = writeln!(io::stdout(), "{}", running.url) {
            return failed(&error);
        }
        stop.await;
        ExitCode::SUCCESS
    })
}

/// What clap has to say: help, or what is wrong with the arguments, which it quotes as they are.
fn refused(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        error.render().to_string().lines().for_each(tell);
    } else {
        let _ = error.print();
    }
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

fn failed(error: &io::Error) -> ExitCode {
    tell(format_args!("error: {error}"));
    ExitCode::FAILURE
}

/// Writes a line to standard error, with the control characters in it escaped (ERR-2). One that takes no more, such as
/// a closed pipe, must not stop the server.
fn tell(line: impl Display) {
    let _ = writeln!(io::stderr(), "{}", Escaped(&line.to_string()));
}

/// Ends when the program is interrupted or terminated; listens from its first poll on.
async fn stop() {
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_err() {
            pending::<()>().await; // it cannot be listened for, which is no interrupt
        }
    };
    #[cfg(unix)]
    if let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            () = interrupted => {}
            _ = terminate.recv() => {}
        }
        return;
    }
    interrupted.await;
}
