//! One HTTP request and its answer, over a pooled client; and addresses in which no key can change the route.

mod address;
mod answer;
mod budget;
mod client;
mod failure;
mod request;

pub use address::{Base, base_url, encoded};
pub use answer::{Answer, malformed};
pub use client::{Client, Received};
pub use request::{Body, FormPart, Request, secret_header};
pub use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
pub use reqwest::{Method, StatusCode, Url};
