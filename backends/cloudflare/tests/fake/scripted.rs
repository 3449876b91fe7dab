//! A server that answers as a test says, for what the fake cannot be made to do.

use kv_api::Store;
use kv_cloudflare::{CloudflareConfig, Credentials};
use kv_fakes::cloudflare::{ACCOUNT, NAMESPACE};
use kv_testkit::RemoteSystem as _;

use crate::harness::{System, TOKEN, open};

/// A request: its method, what follows the namespace, and its body.
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) body: &'a str,
    /// How many came before it.
    pub(crate) number: usize,
}

/// Status, content type and body.
pub(crate) type Said = (u16, &'static str, String);

pub(crate) const JSON: &str = "application/json";

pub(crate) fn success(result: &serde_json::Value) -> Said {
    (200, JSON, serde_json::json!({"success": true, "errors": [], "messages": [], "result": result}).to_string())
}

/// Serves as long as this is kept.
pub(crate) struct Scripted {
    pub(crate) store: Store,
    server: kv_testkit::Scripted,
}

impl Scripted {
    pub(crate) async fn serve(answer: impl Fn(Asked<'_>) -> Said + Send + Sync + 'static) -> Self {
        let server = kv_testkit::Scripted::serve(move |asked| {
            let path = asked.path.split_once(NAMESPACE).unwrap().1;
            let asked = Asked { method: &asked.method, path, body: &asked.body, number: asked.number };
            let (status, content_type, body) = answer(asked);
            Some(kv_testkit::Said::new(status, body).with_content_type(content_type))
        });
        let server = server.await.unwrap();
        let config = CloudflareConfig::new(ACCOUNT, NAMESPACE, Credentials::Token(TOKEN.into())).unwrap();
        let config = config.with_base_url(&server.url()).unwrap();
        let system = System::start().await;
        Self { store: open(config.with_remote(system.remote())), server }
    }

    pub(crate) fn requests(&self) -> usize {
        self.server.requests()
    }
}
