#![doc = include_str!("../README.md")]

mod call;
mod env;
#[cfg(feature = "http")]
pub mod http;
mod retry;
mod settings;

pub use call::{Call, Idempotency, Remote, Reply, as_not_applied, rejected_batch_item};
pub use env::secret_from_env;
pub use retry::RetryPolicy;
pub use secrecy::{ExposeSecret, SecretString};
pub use settings::RemoteSettings;
