//! Another client of a system.

/// A client of a fake or another server on this machine, without TLS: it reads none of the machine's certificates,
/// which for each client takes longer than most tests.
///
/// # Panics
/// When the client cannot be set up.
#[must_use]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
pub fn http_client() -> reqwest::Client {
    reqwest::Client::builder().tls_certs_only([]).no_proxy().build().unwrap()
}
