//! One set as a caller describes it: by itself in a batch, or inside [`Set`](crate::Set).

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::condition::Condition;
use crate::error::Error;
use crate::expiry::{ExpiryPrecedence, MinTtl};
use crate::metadata::Metadata;
use crate::value::Value;

/// What an entry is written with beside its value, said once for all that write one.
macro_rules! entry_options {
    () => {
        /// The entry ends this long after the backend stores it. Rounded up to the store's resolution (EXP-4); zero is
        /// an error (EXP-5). The last one given counts.
        pub fn ttl(mut self, ttl: std::time::Duration) -> Self {
            *self.ttl_mut() = Some(ttl);
            self
        }

        /// The entry ends at this time. Rounded up to the store's resolution (EXP-4); a time that is not in the future
        /// is an error (EXP-5). Wins over a ttl unless [`expiry_precedence`](Self::expiry_precedence) says otherwise
        /// (EXP-2). The last one given counts.
        pub fn expire_at(mut self, at: impl Into<crate::Timestamp>) -> Self {
            self.options().expire_at = Some(at.into());
            self
        }

        /// Which form of expiry counts when both are given; the handle's choice unless set here (EXP-2).
        pub fn expiry_precedence(mut self, precedence: crate::ExpiryPrecedence) -> Self {
            self.options().precedence = Some(precedence);
            self
        }

        /// What happens to an expiry below the store's minimum; the handle's choice unless set here (EXP-6).
        pub fn min_ttl(mut self, min_ttl: crate::MinTtl) -> Self {
            self.options().min_ttl = Some(min_ttl);
            self
        }

        /// JSON stored beside the value (META-1): [`Metadata`](crate::Metadata), or anything that serde can serialise.
        /// What JSON cannot represent is `InvalidArgument` when the request is carried out (VAL-3). The last one given
        /// counts.
        pub fn metadata(mut self, metadata: impl crate::IntoMetadata) -> Self {
            let options = self.options();
            (options.metadata, options.metadata_error) = match metadata.into_metadata() {
                Ok(metadata) => (Some(metadata), None),
                Err(error) => (None, Some(error)),
            };
            self
        }

        /// Accepts a race window for this request, where the store can do no better (SET-6).
        pub fn allow_best_effort(mut self) -> Self {
            self.options().best_effort = true;
            self
        }

        fn options(&mut self) -> &mut SetOptions {
            self.options.get_or_insert_default()
        }
    };
}
pub(crate) use entry_options;

/// The options of a set, said once for [`SetItem`] and [`Set`](crate::calls::Set).
macro_rules! set_options {
    () => {
        crate::set_item::entry_options!();

        fn ttl_mut(&mut self) -> &mut Option<std::time::Duration> {
            &mut self.ttl
        }

        /// Only when there is no live entry (SET-2).
        pub fn if_not_exists(self) -> Self {
            self.condition(crate::Condition::IfNotExists)
        }

        /// Only over a live entry (SET-2).
        pub fn if_exists(self) -> Self {
            self.condition(crate::Condition::IfExists)
        }

        /// Only over a live entry of this version: compare-and-set (SET-2, VER-2). `None` says that nothing was there
        /// to read: then only when there is still no live entry, on a store that supports versions.
        ///
        /// ```
        /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
        /// let store = kv_api::Store::new(kv_memory::MemoryStore::default());
        /// for expected in [true, false] {
        ///     let read = store.get_entry("k").await?;
        ///     store.delete("k").await?; // meanwhile another client deletes it
        ///     let version = read.as_ref().and_then(kv_api::Entry::version);
        ///     assert_eq!(store.set("k", "v").if_version(version).await?.is_written(), expected);
        /// }
        /// # Ok::<(), kv_api::Error>(())
        /// # })?;
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        pub fn if_version(mut self, version: impl Into<crate::ExpectedVersion>) -> Self {
            match version.into().0 {
                Some(version) => self.condition(crate::Condition::IfVersion(version)),
                None => {
                    self.options().version_missing = true;
                    self.condition(crate::Condition::IfNotExists)
                }
            }
        }

        /// The condition. A second, different one is `InvalidArgument` when the request is carried out, never "the last
        /// one wins" (SET-2); `Always` is no condition and conflicts with none.
        pub fn condition(mut self, condition: crate::Condition) -> Self {
            if condition != crate::Condition::Always {
                let options = self.options();
                options.conflicting |= options.condition != crate::Condition::Always && options.condition != condition;
                options.condition = condition;
            }
            self
        }
    };
}
pub(crate) use set_options;

/// A key, a value, and the options of one set. An item replaces value, expiry and metadata together (SET-1).
///
/// ```
/// use kv_api::SetItem;
/// use std::time::Duration;
/// let item = SetItem::new("session/1", "open").ttl(Duration::from_secs(60)).if_not_exists();
/// assert_eq!(item.key(), "session/1");
/// ```
#[derive(Clone)]
#[must_use = "an item does nothing until it is part of a batch"]
pub struct SetItem<'a> {
    pub(crate) key: Cow<'a, str>,
    pub(crate) value: Value,
    /// Not among the options, so that a set with a ttl and nothing else allocates nothing.
    pub(crate) ttl: Option<Duration>,
    /// Behind a pointer, so that a plain set moves few bytes.
    pub(crate) options: Option<Box<SetOptions>>,
}

/// What a plain set does without.
#[derive(Clone, Debug, Default)]
pub(crate) struct SetOptions {
    pub(crate) condition: Condition,
    pub(crate) conflicting: bool,
    /// `IfNotExists` because there was no version to ask for.
    pub(crate) version_missing: bool,
    /// Of a request that writes only after it has read. A set has its own.
    pub(crate) ttl: Option<Duration>,
    pub(crate) expire_at: Option<Timestamp>,
    /// Of a typed view: counts where neither form is given (NS-4).
    pub(crate) default_ttl: Option<Duration>,
    pub(crate) precedence: Option<ExpiryPrecedence>,
    pub(crate) min_ttl: Option<MinTtl>,
    pub(crate) best_effort: bool,
    pub(crate) metadata: Option<Metadata>,
    /// Why what was given cannot be metadata.
    pub(crate) metadata_error: Option<Error>,
}

impl<'a> SetItem<'a> {
    /// An unconditional set without expiry and metadata.
    pub fn new(key: impl Into<Cow<'a, str>>, value: impl Into<Value>) -> Self {
        Self { key: key.into(), value: value.into(), ttl: None, options: None }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The value.
    #[must_use]
    pub const fn value(&self) -> &Value {
        &self.value
    }

    set_options!();
}

/// Key, kind and length of the value, options; never the content (ERR-2).
impl fmt::Debug for SetItem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetItem")
            .field("key", &self.key)
            .field("value", &self.value)
            .field("ttl", &self.ttl)
            .field("options", &self.options)
            .finish()
    }
}
