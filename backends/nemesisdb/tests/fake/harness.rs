//! A running fake, and what there is around a store on it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use kv_api::{ManualClock, Result, Store, Timestamp, TokioTimer, async_trait};
use kv_conformance::{Fixture, Harness, Means};
use kv_fakes::ServerOptions;
use kv_fakes::nemesisdb::{Fake, Server};
use kv_nemesisdb::{NemesisdbConfig, NemesisdbStore, RemoteSettings, RetryPolicy};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

/// A fake and the clock of this side.
#[derive(Clone)]
pub(crate) struct System {
    pub(crate) server: Server,
    pub(crate) clock: ManualClock,
}

impl System {
    pub(crate) async fn start() -> Self {
        Self::start_as(Fake::new(), ServerOptions::new()).await
    }

    pub(crate) async fn start_as(fake: Fake, options: ServerOptions) -> Self {
        // Between two milliseconds.
        let clock = ManualClock::new(Timestamp::from_unix_micros(1_795_161_822_123_456));
        Self { server: fake.serve(options).await.unwrap(), clock }
    }

    /// Retries without waits.
    pub(crate) fn remote(&self) -> RemoteSettings {
        RemoteSettings::default()
            .with_clock(Arc::new(self.clock.clone()))
            .with_timer(Arc::new(TokioTimer))
            .with_retry(RetryPolicy::default().with_delays(Duration::ZERO, Duration::ZERO))
    }

    pub(crate) fn config(&self) -> NemesisdbConfig {
        let config = NemesisdbConfig::from_url(self.server.store_url().parse().unwrap()).unwrap();
        config.with_remote(self.remote())
    }

    pub(crate) async fn store(&self) -> Store {
        open(self.config()).await.unwrap()
    }

    pub(crate) async fn store_with(&self, set: impl FnOnce(RemoteSettings) -> RemoteSettings) -> Store {
        open(self.config().with_remote(set(self.remote()))).await.unwrap()
    }

    /// What a call gives, and how many messages it took.
    pub(crate) async fn counted<T>(&self, call: impl Future<Output = T>) -> (T, u64) {
        let before = self.server.requests();
        let result = call.await;
        (result, self.server.requests() - before)
    }

    /// What another client of the server sends, and the one message that it gets back.
    pub(crate) async fn foreign(&self, text: String) -> String {
        let mut client = self.another_client().await;
        client.send(Message::text(text)).await.unwrap();
        let answer = client.next().await.unwrap().unwrap().into_text().unwrap();
        client.close(None).await.unwrap();
        answer.to_string()
    }

    pub(crate) async fn another_client(&self) -> WebSocketStream<TcpStream> {
        let url = self.server.url();
        let address = url.trim_start_matches("ws://").trim_end_matches('/');
        let stream = TcpStream::connect(address).await.unwrap();
        client_async(&url, stream).await.unwrap().0
    }
}

pub(crate) async fn open(config: NemesisdbConfig) -> Result<Store> {
    Ok(Store::new(NemesisdbStore::open(config).await?))
}

/// A setting that changes what a store supports, or which keys it is.
#[derive(Clone, Copy)]
pub(crate) struct OnFake {
    pub(crate) namespace: Option<&'static str>,
    pub(crate) expiry: bool,
    pub(crate) message_bytes_max: usize,
    /// The answers to different messages mix.
    pub(crate) spread: Duration,
}

impl OnFake {
    fn config(self, system: &System) -> Result<NemesisdbConfig> {
        let config =
            system.config().with_expiry_in_envelope(self.expiry).with_message_bytes_max(self.message_bytes_max)?;
        match self.namespace {
            Some(name) => config.with_namespace(name),
            None => Ok(config),
        }
    }
}

#[async_trait]
impl Harness for OnFake {
    async fn open(&self) -> Result<Fixture> {
        let setting = *self;
        let fake = Fake::new().with_max_message_bytes(self.message_bytes_max).with_spread(self.spread);
        let system = System::start_as(fake, ServerOptions::new()).await;
        let (again, foreign, counting) = (system.clone(), system.clone(), system.clone());
        let fixture = Fixture::new(open(setting.config(&system)?).await?)
            .with_time(system.clock.clone())
            .with_client_clock(system.clock.clone())
            .with_reopen(move || {
                let config = setting.config(&again);
                async { open(config?).await }
            })
            .without(Means::WrongCredentials, "the server has no credentials: who reaches it is let in")
            .without(Means::Secret, "the server has no credentials: no store is opened with a secret")
            .without(Means::ForeignTypeWriter, "this version keeps JSON alone, and all JSON is a value")
            .with_json_rewritten()
            .with_foreign_writer(move |key, text| {
                let (foreign, prefix) = (foreign.clone(), setting.namespace.map(|name| format!("{name}:")));
                async move {
                    let key = prefix.unwrap_or_default() + &key;
                    let message = serde_json::json!({"SET": {key: text}}).to_string();
                    assert!(foreign.foreign(message).await.contains("SET_RSP"));
                    Ok(())
                }
            })
            .with_requests(move || counting.server.requests())
            .with_faults(system.server.clone());
        let fixture = match self.namespace {
            None => fixture.without(
                Means::Namespaces,
                "a store of all keys has no namespace beside it: it sees those of every one (NS-1)",
            ),
            Some(_) => {
                let other = system.clone();
                fixture.with_namespaces(move |name| {
                    let config =
                        setting.config(&other).and_then(|config| config.with_namespace(format!("other {name}")));
                    async { open(config?).await }
                })
            }
        };
        Ok(fixture.with_guard(Watched { system, message_bytes_max: self.message_bytes_max }))
    }
}

/// Looks at the end of each case at all that was sent: nothing was too long for the server, and nothing was empty.
struct Watched {
    system: System,
    message_bytes_max: usize,
}

impl Drop for Watched {
    fn drop(&mut self) {
        for message in self.system.server.messages() {
            let fits = (1..=self.message_bytes_max).contains(&message.bytes);
            let is_empty = message.keys.is_empty() && message.command != "SERVER_INFO";
            assert!(std::thread::panicking() || (fits && !is_empty), "{message}");
        }
    }
}
