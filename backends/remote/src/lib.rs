#![doc = include_str!("../README.md")]

mod call;
mod env;
#[cfg(feature = "http")]
pub mod http;
mod retry;
mod settings;

pub use call::{Asks, Call, Remote, Reply, certainly_not_applied, refused_together};
pub use env::secret_from_env;
pub use retry::RetryPolicy;
pub use secrecy::{ExposeSecret, SecretString};
pub use settings::RemoteSettings;
