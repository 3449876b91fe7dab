#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod access;
mod admission;
mod body;
mod browser;
mod budget;
mod deadline;
mod dialect;
mod fault;
mod gateway;
mod health;
mod limits;
mod metrics;
mod namespaces;
mod query;
mod record;
mod server;
mod status;
mod stream;
#[cfg(feature = "tls")]
mod tls;
mod tokens;
mod work;

pub use access::Access;
pub use gateway::{Gateway, GatewayBuilder};
pub use limits::Limits;
pub use metrics::{Metrics, MetricsError};
pub use namespaces::{Namespace, NamespaceError};
pub use server::{Ended, Server};
#[cfg(feature = "tls")]
pub use tls::{Tls, TlsError};
pub use tokens::{Tokens, TokensError};
