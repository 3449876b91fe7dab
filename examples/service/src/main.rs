//! `service [STORE_URL] [ADDRESS]`: serves until it is interrupted.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that says where it listens")]

use std::process::ExitCode;

use tokio::net::TcpListener;

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "memory:".to_owned());
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    match serve(&url, &address).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(url: &str, address: &str) -> Result<(), Box<dyn std::error::Error>> {
    let store = kv_backends::open(url).await?;
    let listener = TcpListener::bind(address).await.map_err(|error| format!("cannot listen on {address}: {error}"))?;
    println!("on {}, listening on http://{}", store.capabilities().system, listener.local_addr()?);
    for (part, feature) in service::missing(&store) {
        println!("this store carries no {part}: it does not offer {feature}");
    }
    let interrupted = async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            eprintln!("cannot listen for the interrupt: {error}");
            std::future::pending::<()>().await;
        }
    };
    axum::serve(listener, service::router(store.clone())).with_graceful_shutdown(interrupted).await?;
    store.close().await?;
    Ok(())
}
