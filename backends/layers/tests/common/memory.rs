//! Over the memory store.

use std::future::ready;
use std::sync::Arc;

use kv_api::{Result, Store, async_trait};
use kv_conformance::{Fixture, Harness, Means};
use kv_memory::{MemoryConfig, MemoryStore};

use super::{System, Wrap, clock, wrapped};

pub(crate) struct Memory(Wrap);

impl System for Memory {
    const NAME: &'static str = "memory";

    fn wrapped(wrap: Wrap) -> Self {
        Self(wrap)
    }
}

#[async_trait]
impl Harness for Memory {
    async fn open(&self) -> Result<Fixture> {
        let (wrap, clock) = (self.0, clock());
        let config = MemoryConfig::new().with_clock(Arc::new(clock.clone()));
        let store = MemoryStore::with_config(config.clone());
        let (again, time, other_time) = (store.clone(), clock.clone(), clock.clone());
        let plain = Store::new(store.clone());
        Ok(Fixture::new(wrapped(store, wrap, &clock))
            .embedded()
            .without(Means::ForeignTypeWriter, "it holds nothing but values")
            .with_time(clock.clone())
            .with_client_clock(clock)
            // What a client without the layer writes.
            .with_foreign_writer(move |key, text| {
                let plain = plain.clone();
                async move { plain.set(key, text).await.map(drop) }
            })
            // A clone is a second handle to the same entries; each store is a namespace of its own.
            .with_reopen(move || ready(Ok(wrapped(again.clone(), wrap, &time))))
            .with_namespaces(move |_| ready(Ok(wrapped(MemoryStore::with_config(config.clone()), wrap, &other_time)))))
    }
}
