//! A server that says what it is told to, whatever it is asked: for answers that no faithful fake gives.

use std::sync::Arc;

use kv_api::Store;
use kv_backendless::{BackendlessConfig, RemoteSettings, RetryPolicy, SecretString};
use kv_testkit::Said;

use crate::harness::open;

/// Answers by a script, then never again; and remembers what it was asked.
#[derive(Clone)]
pub(crate) struct Scripted(Arc<kv_testkit::Scripted>);

impl Scripted {
    pub(crate) async fn start<'s>(script: impl IntoIterator<Item = (u16, &'s str)>) -> Self {
        let script: Vec<Said> = script.into_iter().map(|(status, body)| Said::new(status, body)).collect();
        let server = kv_testkit::Scripted::serve(move |asked| script.get(asked.number).cloned());
        Self(Arc::new(server.await.unwrap()))
    }

    /// Head and body of every request so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.0.asked().into_iter().map(|asked| asked.head + &asked.body).collect()
    }

    pub(crate) fn config(&self) -> BackendlessConfig {
        let key = SecretString::from(crate::harness::API_KEY);
        BackendlessConfig::of_application("APP-ID", key, "h")
            .unwrap()
            .with_base_url(&format!("{}/api", self.0.url()))
            .unwrap()
    }

    /// A store that sends each request once.
    pub(crate) fn store(&self) -> Store {
        open(self.config().with_remote(RemoteSettings::default().with_retry(RetryPolicy::none())))
    }
}
