//! The command line: settings in, a server, and an exit code out.

mod arguments;
mod exit;
mod given;
mod log;
mod opening;
mod settings;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use kv_gateway::{Access, Ended, Gateway, Metrics, Server, Tokens};
use kv_terminal::signals;
use tokio::net::TcpListener;
use tracing::{info, warn};

use arguments::{Arguments, Command};
use exit::{Exit, Refused};
use settings::Settings;

pub(crate) fn main() -> ExitCode {
    let exit = match Arguments::try_parse() {
        Ok(Arguments { command: Command::Serve(given) }) => serve(&given).unwrap_or_else(|refused| refused.tell()),
        Err(error) => arguments::refused(&error),
    };
    exit.code().into()
}

fn serve(given: &arguments::Serve) -> Result<Exit, Refused> {
    check_environment()?;
    let variable = |name: &str| std::env::var(name).ok();
    let settings = Settings::new(given, variable).map_err(Refused::usage)?;
    log::start(settings.log, settings.log_level);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Refused::failed(format!("cannot start: {error}")))?;
    let exit = runtime.block_on(async {
        // First, so that it is listened to before anything is opened.
        let stop = signals::stop();
        run(settings, stop).await
    });
    // What still runs was given its time.
    runtime.shutdown_timeout(Duration::from_secs(1));
    exit
}

/// A setting that is not text would be passed over, and the tokens with it.
fn check_environment() -> Result<(), Refused> {
    for (name, value) in std::env::vars_os() {
        if let Some(name) = name.to_str().filter(|name| name.starts_with("KV_GATEWAY_"))
            && value.to_str().is_none()
        {
            return Err(Refused::usage(format!("{}: its value is not UTF-8", kv_api::Escaped(name))));
        }
    }
    Ok(())
}

async fn run(settings: Settings, stop: impl Future<Output = signals::Signal>) -> Result<Exit, Refused> {
    let access = match &settings.token_file {
        None => Access::Open { loopback: settings.listen.ip().is_loopback() },
        Some(path) => {
            let shown = kv_api::Escaped(&path.display().to_string()).to_string();
            let tokens = Tokens::from_file(path).map_err(|error| Refused::usage(format!("{shown}: {error}")))?;
            info!(tokens = tokens.len(), file = shown, "tokens are read");
            Access::Tokens(tokens)
        }
    };
    // Before the stores, so that their metrics are described.
    let metrics = Metrics::install().map_err(|error| Refused::failed(error.to_string()))?;
    let namespaces = opening::all(settings.namespaces).await?;
    let mut gateway = Gateway::builder(namespaces, access).with_limits(settings.limits.clone()).with_metrics(metrics);
    for account in settings.accounts {
        gateway = gateway.with_account(account);
    }
    for host in settings.hosts {
        gateway = gateway.with_host(host);
    }
    let gateway = gateway.build().map_err(|error| Refused::usage(error.to_string()))?;
    let server = Server::new(gateway);
    #[cfg(feature = "tls")]
    let server = match &settings.tls {
        None => server,
        Some((certificate, key)) => {
            let tls = kv_gateway::Tls::from_files(certificate, key);
            server.with_tls(tls.map_err(|error| Refused::usage(error.to_string()))?)
        }
    };
    let listener = TcpListener::bind(settings.listen).await;
    let cannot = |error| Refused::failed(format!("cannot listen on {}: {error}", settings.listen));
    let listener = listener.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    info!(%address, "listening");
    // For a script that starts it with port 0. One that does not read it may be gone.
    let _ = writeln!(std::io::stdout(), "listening on {scheme}://{address}");
    if settings.token_file.is_none() {
        warn!("no tokens: whoever reaches this address may do everything");
    }
    let stop = async {
        let signal = stop.await;
        info!(?signal, "stopping");
    };
    Ok(match server.serve(listener, stop).await {
        Ended::InOrder => Exit::Stopped,
        _ => {
            warn!("requests under way took too long and were broken off");
            Exit::BrokenOff
        }
    })
}
