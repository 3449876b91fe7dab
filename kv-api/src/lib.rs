#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod authority;
mod backend;
mod batch;
pub mod calls;
mod capabilities;
mod clock;
mod condition;
mod cursor;
mod entry;
mod envelope;
mod error;
mod expiry;
mod flights;
mod forward;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod handle;
mod json;
mod key_codec;
#[cfg(feature = "key-locks")]
mod key_locks;
mod layer;
mod listing;
mod metadata;
mod methods;
mod namespace;
mod outcome;
mod page;
mod parts;
mod printing;
mod request;
mod request_rate;
mod resolver;
mod seen;
mod set_item;
mod shown;
mod single;
mod stable_hash;
mod store;
mod store_url;
mod tagged_metadata;
mod value;
mod value_kind;
mod version;
mod walk;

pub use authority::Authority;
pub use backend::Backend;
pub use capabilities::{Capabilities, Consistency, ExpiryClock, ItemLimit, ItemParts, ListOrder, Support, ValueKinds};
#[cfg(feature = "tokio")]
pub use clock::TokioTimer;
pub use clock::{Clock, ManualClock, SystemClock, Timer, Timestamp};
pub use condition::Condition;
pub use cursor::Cursor;
pub use entry::{Entry, EntryExpiry, Fields};
pub use envelope::{Envelope, JsonForm};
pub use error::{Error, ErrorKind, Feature, Reason, Result, Retry};
pub use expiry::{Expiry, ExpiryPrecedence, MinTtl};
pub use json::{
    JsonError, JsonProblem, JsonText, NESTING_MAX, quoted as json_quoted, quoted_into as json_quoted_into,
    quoted_len as json_quoted_len,
};
pub use key_codec::KeyCodec;
#[cfg(feature = "key-locks")]
pub use key_locks::{KeyLocks, KeyTurn};
pub use layer::{BackendExt, Layer, Stack};
pub use metadata::{IntoMetadata, Metadata};
pub use methods::{Method, Methods};
pub use namespace::Namespace;
pub use outcome::{BatchOutcome, DeleteOutcome, SetOutcome, SetStatus, UpdateOutcome};
pub use page::{ListItem, ListedMetadata, Page, RawPage};
pub use parts::{
    DeleteParts, ExpireParts, GetAndDeleteParts, IncrementParts, ListPageParts, ReadParts, Slots, TouchParts,
    WriteParts,
};
pub use printing::Escaped;
pub use request::{
    Delete, DeleteMany, Expire, GetAndDelete, Increment, ListPage, Read, ReadMany, Touch, Write, WriteMany,
};
pub use request_rate::RequestRate;
pub use resolver::{ExpireOptions, IncrementOptions, Resolver, TouchOptions};
pub use set_item::SetItem;
pub use store::Store;
pub use store_url::StoreUrl;
pub use tagged_metadata::{KindTag, TaggedMetadata};
pub use value::Value;
pub use value_kind::ValueKind;
pub use version::{ExpectedVersion, Version};

pub use async_trait::async_trait;

#[doc = include_str!("../docs/semantics.md")]
pub mod _semantics {
    /// The rules as Markdown, for a tool that shows one beside what became of it.
    pub const MARKDOWN: &str = include_str!("../docs/semantics.md");
}
