//! Copies entries between key-value stores and files in Cloudflare's bulk format, with bounded memory, an honest
//! account of what was not copied, and verification. The command `kv-migrate` is a thin front; see the README.
//!
//! This library sees stores only as [`kv_api::Store`]: it knows no backend.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! use kv_migrate::{Options, Sink, Source, copy};
//! let from = kv_backends::open("memory:").await?;
//! let to = kv_backends::open("memory:").await?;
//! from.set("user/1", "Ada").await?;
//! from.set("other", "left behind").await?;
//!
//! let options = Options { prefix: "user/".to_owned(), ..Options::default() };
//! let summary = copy(Source::store(&from, &options)?, Sink::store(&to), &options, |_| {}).await;
//! assert!(summary.is_complete());
//! assert_eq!(summary.counts.written, 1);
//! assert!(to.exists("user/1").await?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bulk;
mod checkpoint;
mod context;
mod copy;
mod error;
mod filter;
mod folder;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod identity;
mod keys;
mod loss;
mod options;
mod pace;
mod patience;
mod plan;
mod printing;
mod progress;
mod record;
mod rewrite;
mod settle;
mod sink;
mod source;
mod summary;
mod verify;
mod written_keys;

pub use bulk::{BulkFormat, BulkReader, BulkWriter, Compression, ITEM_BYTES_MAX, Mark, Rejects};
pub use copy::copy;
pub use error::{Error, Result};
pub use filter::Filter;
pub use keys::KeyReader;
pub use loss::Loss;
pub use options::{CheckpointFile, OnConflict, Options, Rate, ZeroExpiry};
pub use plan::{Note, Plan, PlanTarget, Sample, Traffic, count, plan, plan_sample};
pub use progress::{Event, Progress, Resumed, Side, Wait};
pub use record::{Record, RecordExpiry};
pub use rewrite::Rewrite;
pub use sink::Sink;
pub use source::Source;
pub use summary::{Cause, Counts, Failure, Failures, Summary};
pub use verify::{Difference, DifferenceMark, Entries, Verification, VerifyOptions, What, verify};
