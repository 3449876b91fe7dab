#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod batch;
mod call;
mod env;
#[cfg(feature = "http")]
pub mod http;
mod idempotency;
mod list_position;
mod look_then_write;
mod no_connection;
mod places;
mod redaction;
mod retry;
mod settings;
#[cfg(feature = "tcp")]
mod tcp;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};

pub use batch::{BulkAnswer, BulkLimits, rejected_batch_item, send_bulk};
pub use call::{Call, Remote, Reply, as_not_applied};
pub use env::secret_from_env;
pub use idempotency::Idempotency;
pub use kv_api::KeyTurn;
pub use list_position::ListPosition;
pub use look_then_write::look_then_write;
pub use no_connection::no_connection;
pub use places::Places;
pub use redaction::Redaction;
pub use retry::RetryPolicy;
pub use secrecy::{ExposeSecret, SecretString};
pub use settings::RemoteSettings;
#[cfg(feature = "tcp")]
pub use tcp::connect_tcp;

/// Everything but letters, digits, `-`, `_`, `.` and `~`: nothing that is left can mean more than itself.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
