//! Layers: what turns one backend into another.

use std::fmt;
use std::sync::Arc;

use crate::backend::Backend;
use crate::store::Store;

/// Turns a backend into another that stands before it (LAYER-1 to LAYER-5): one that counts, caches, seals or refuses.
/// The package kv-layers has some.
///
/// `Display` names the layer and what it was given, without secrets, such as `cached(10000 entries)`. That is how a
/// [`Stack`] prints itself.
pub trait Layer: fmt::Debug + fmt::Display + Send + Sync + 'static {
    /// Puts the layer before `inner`.
    fn layer(&self, inner: Arc<dyn Backend>) -> Arc<dyn Backend>;
}

/// What callers do with any [`Backend`].
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// use kv_api::{BackendExt, Stack};
/// let store = kv_memory::MemoryStore::default().layer(&Stack::new()).into_store();
/// store.set("k", "v").await?;
/// # Ok::<(), kv_api::Error>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait BackendExt: Backend + Sized {
    /// This backend with a layer before it.
    #[must_use]
    fn layer(self, layer: &dyn Layer) -> Arc<dyn Backend> {
        layer.layer(Arc::new(self))
    }

    /// A handle on this backend, as [`Store::new`] makes it.
    #[must_use]
    fn into_store(self) -> Store {
        Store::new(self)
    }
}

impl<B: Backend> BackendExt for B {}

/// Layers, one before the other. The first one added is the outermost: it sees a call first, and its answer last.
///
/// ```
/// use kv_api::{Backend, Layer, Stack};
/// use std::fmt;
/// use std::sync::Arc;
/// #[derive(Debug)]
/// struct Named(&'static str);
/// impl fmt::Display for Named {
///     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
///         f.write_str(self.0)
///     }
/// }
/// impl Layer for Named {
///     fn layer(&self, inner: Arc<dyn Backend>) -> Arc<dyn Backend> {
///         inner
///     }
/// }
/// let stack = Stack::new().with(Named("traced")).with(Named("cached"));
/// assert_eq!(stack.to_string(), "traced > cached");
/// assert_eq!(Stack::new().to_string(), "no layers");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Stack {
    layers: Vec<Arc<dyn Layer>>,
}

impl Stack {
    /// No layers: the backend as it is.
    #[must_use]
    pub const fn new() -> Self {
        Self { layers: Vec::new() }
    }

    /// Adds a layer inside those that are there.
    #[must_use]
    pub fn with(mut self, layer: impl Layer) -> Self {
        self.layers.push(Arc::new(layer));
        self
    }
}

impl Layer for Stack {
    fn layer(&self, inner: Arc<dyn Backend>) -> Arc<dyn Backend> {
        self.layers.iter().rev().fold(inner, |inner, layer| layer.layer(inner))
    }
}

impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((outermost, inside)) = self.layers.split_first() else { return f.write_str("no layers") };
        write!(f, "{outermost}")?;
        inside.iter().try_for_each(|layer| write!(f, " > {layer}"))
    }
}
