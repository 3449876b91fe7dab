//! Shows what the layer `Traced` makes: spans on the terminal, and metrics as Prometheus reads them.
//!
//! `cargo run -p kv-layers --example observe --features metrics`

use std::error::Error;
use std::io::{self, Write};

use kv_api::{BackendExt, SetItem};
use kv_layers::Traced;
use kv_memory::MemoryStore;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use tracing::Level;
use tracing_subscriber::fmt::format::FmtSpan;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // A line for each span when it ends. A program would give a filter instead, such as `kv_layers::traced=debug`.
    tracing_subscriber::fmt()
        .with_max_level(Level::DEBUG)
        .with_span_events(FmtSpan::CLOSE)
        .with_writer(io::stderr)
        .without_time()
        .init();
    // Before the layer is put before a backend, so that it can describe its metrics.
    let metrics = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full("db.client.operation.duration".to_owned()), &Traced::DURATION_BUCKETS)?
        .install_recorder()?;

    let traced = Traced::new().with_namespace("countries").with_plain_keys();
    let store = MemoryStore::default().layer(&traced).into_store();
    store.set("Japan", "The land of the rising sun").await?;
    store.get("Japan").await?;
    store.get("Atlantis").await?;
    store.set_many(["Chad", "Cuba", "Chile"].map(|key| SetItem::new(key, 1i64))).await;
    store.list().prefix("C").await?;
    // No counter: a failed call has the kind of its error.
    if let Err(error) = store.increment("Japan", 1).await {
        writeln!(io::stderr(), "{error}")?;
    }

    // What `GET /metrics` of a program would answer.
    io::stdout().write_all(metrics.render().as_bytes())?;
    Ok(())
}
