#![doc = include_str!("../README.md")]

mod counter;
mod error;
mod keys;
mod row;
mod version;

pub use counter::{StoredCounter, counter_value, incremented};
pub use error::damaged_row;
pub use keys::{first_key, key_after};
pub use row::{JSON, entry, entry_expiry, existing, kind_from_number, kind_number, stored_value};
pub use version::{PutCondition, put_outcome, version};
