//! A harness with a layer before every store that it opens.

use std::sync::Arc;

use async_trait::async_trait;
use kv_api::{Layer, Result, Store};

use crate::harness::{Fixture, Harness};

/// Runs the suite through a layer: every store of the harness inside gets the layer before it, those that are opened
/// again too. What a fixture does around a store (time, requests, faults) it does to the system, behind the layer.
///
/// ```no_run
/// # async fn example(memory: impl kv_conformance::Harness) {
/// use kv_conformance::{Layered, kv_api::Stack, run_all};
/// let report = run_all(&Layered::new(memory, Stack::new())).await;
/// assert!(report.is_ok(), "{report}");
/// # }
/// ```
#[derive(Debug)]
pub struct Layered<H> {
    inner: H,
    layer: Arc<dyn Layer>,
    key: fn(String) -> String,
}

impl<H: Harness> Layered<H> {
    /// The stores of `inner` behind `layer`.
    #[must_use]
    pub fn new(inner: H, layer: impl Layer) -> Self {
        Self { inner, layer: Arc::new(layer), key: std::convert::identity }
    }

    /// Says under which key the system keeps what the layer shows under one, for a layer that renames: another client
    /// of the system writes there.
    #[must_use]
    pub fn with_keys(self, key: fn(String) -> String) -> Self {
        Self { key, ..self }
    }
}

#[async_trait]
impl<H: Harness> Harness for Layered<H> {
    async fn open(&self) -> Result<Fixture> {
        let layer = Arc::clone(&self.layer);
        Ok(self.inner.open().await?.wrapped(move |store: Store| store.layer(&*layer), self.key))
    }
}
