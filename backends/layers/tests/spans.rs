//! What the layer that traces puts into spans and metrics. No test here sets a subscriber or recorder for the process.
#![allow(clippy::unwrap_used, reason = "a panic is how these tests and what they share fail")]

use std::fmt::Debug;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use kv_api::{
    Backend, BackendExt, Entry, Error, ErrorKind, Layer, ManualClock, Read, Result, SetItem, SetOutcome, Store,
    Timestamp, Write, WriteMany, async_trait, forward_backend,
};
use kv_layers::Traced;
use kv_memory::MemoryStore;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::set_default;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Registry, fmt as terminal};

/// The fields of each span that has ended, as `name=value`.
#[derive(Clone, Default)]
struct Ended(Arc<Mutex<Vec<Named>>>);

/// Fields with their values.
type Named = Vec<(&'static str, String)>;

struct Collected(Named);

impl Visit for Collected {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push((field.name(), format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.name(), value.to_owned()));
    }
}

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> tracing_subscriber::Layer<S> for Ended {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut collected = Collected(vec![
            ("name", attributes.metadata().name().to_owned()),
            ("target", attributes.metadata().target().to_owned()),
        ]);
        attributes.record(&mut collected);
        context.span(id).unwrap().extensions_mut().insert(collected);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        values.record(context.span(id).unwrap().extensions_mut().get_mut::<Collected>().unwrap());
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let collected = context.span(&id).unwrap().extensions_mut().remove::<Collected>().unwrap();
        self.0.lock().unwrap().push(collected.0);
    }
}

impl Ended {
    /// The one span that has ended since the last look.
    fn one(&self) -> Span {
        let mut spans = std::mem::take(&mut *self.0.lock().unwrap());
        assert_eq!(spans.len(), 1, "{spans:?}");
        Span(spans.pop().unwrap())
    }
}

struct Span(Named);

impl Span {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(field, _)| *field == name).map(|(_, value)| value.as_str())
    }

    /// The value of each field, `-` where it is missing.
    fn all<const N: usize>(&self, names: [&str; N]) -> [&str; N] {
        names.map(|name| self.get(name).unwrap_or("-"))
    }
}

/// Takes two milliseconds for each call, never answers a read of `never`, refuses writes of `refused`.
#[derive(Debug)]
struct Slow {
    memory: MemoryStore,
    clock: ManualClock,
}

impl Slow {
    fn takes_time(&self) {
        self.clock.advance(Duration::from_millis(2));
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Backend for Slow {
    forward_backend!(@forward self, self.memory, capabilities);
    forward_backend!(self => self.memory;
        forward: [scope, clock, read_now, write_now, delete, read_many, delete_many, write_all_or_nothing, list,
            increment, expire, touch, get_and_delete, ping, close],
        implement: [read, write, write_many]);

    async fn read(&self, read: Read<'_>) -> Result<Option<Entry>> {
        self.takes_time();
        if read.key() == "never" { pending().await } else { self.memory.read(read).await }
    }

    async fn write(&self, write: Write<'_>) -> Result<SetOutcome> {
        self.takes_time();
        if write.key().ends_with("refused") {
            return Err(Error::new(ErrorKind::RateLimited, "too much").with_native_code("429"));
        }
        self.memory.write(write).await
    }

    async fn write_many(&self, writes: WriteMany<'_>) -> Vec<Result<SetOutcome>> {
        let mut results = Vec::new();
        for write in writes.into_writes() {
            results.push(self.write(write).await);
        }
        results
    }
}

fn store(set: impl FnOnce(Traced) -> Traced) -> Store {
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
    let traced = Traced::new().with_namespace("sessions").with_timer(Arc::new(clock.clone()));
    Slow { memory: MemoryStore::default(), clock }.layer(&set(traced)).into_store()
}

#[tokio::test]
async fn a_span_says_what_was_asked_and_how_it_ended() {
    let ended = Ended::default();
    let _guard = set_default(Registry::default().with(ended.clone()));
    let store = store(Traced::with_plain_keys);
    let names = ["name", "otel.kind", "db.system.name", "db.namespace", "db.operation.name", "kv.key", "kv.outcome"];
    store.set("k", 1).await.unwrap();
    assert_eq!(ended.one().all(names), ["kv_call", "client", "memory", "sessions", "set", "\"k\"", "created"]);
    store.get("k").await.unwrap();
    let span = ended.one();
    assert_eq!(span.all(names), ["kv_call", "client", "memory", "sessions", "get", "\"k\"", "found"]);
    assert_eq!(span.all(["kv.duration_us", "db.response.returned_rows", "error.type"]), ["2000", "1", "-"]);
    assert_eq!(span.get("target"), Some("kv_layers::traced"), "what a filter names");
    store.with_prefix("a\n").list().await.unwrap();
    let span = ended.one();
    assert_eq!(span.all(["otel.name", "kv.prefix", "kv.key"]), ["list", r#""a\n""#, "-"], "escaped");
    assert_eq!(span.get("db.response.returned_rows"), Some("0"));
}

#[tokio::test]
async fn a_failed_call_has_the_kind_of_error_and_the_systems_code() {
    let ended = Ended::default();
    let _guard = set_default(Registry::default().with(ended.clone()));
    let store = store(|traced| traced);
    store.set("refused", 1).await.unwrap_err();
    let names = ["kv.outcome", "error.type", "db.response.status_code", "otel.status_code", "kv.failed_items"];
    assert_eq!(ended.one().all(names), ["failed", "rate_limited", "429", "ERROR", "-"]);
    store.set_many(["a", "refused", "b"].map(|key| SetItem::new(key, 1))).await;
    let span = ended.one();
    assert_eq!(span.all(names), ["partly_failed", "rate_limited", "429", "ERROR", "1"]);
    assert_eq!(span.all(["db.operation.batch.size", "kv.key", "kv.key_hash"]), ["3", "-", "-"]);
    store.get_many(["a"]).await.unwrap();
    assert_eq!(ended.one().get("db.operation.batch.size"), None, "one item is no batch");
}

#[tokio::test]
async fn a_dropped_call_is_recorded_as_cancelled_with_the_time_it_had() {
    let ended = Ended::default();
    let _guard = set_default(Registry::default().with(ended.clone()));
    let recorder = PrometheusBuilder::new().build_recorder();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let store = store(|traced| traced);
    let mut get = store.get("never");
    assert!((&mut get).now_or_never().is_none());
    assert!(ended.0.lock().unwrap().is_empty());
    drop(get);
    let names = ["kv.outcome", "error.type", "otel.status_code", "kv.duration_us"];
    assert_eq!(ended.one().all(names), ["cancelled", "cancelled", "ERROR", "2000"]);
    let metrics = recorder.handle().render();
    assert!(metrics.contains(&count_of("get", r#",error_type="cancelled""#, 1)), "{metrics}");
}

#[tokio::test]
async fn neither_values_nor_keys_are_shown_unless_keys_are_asked_for() {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = terminal()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(terminal::format::FmtSpan::FULL)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = set_default(subscriber);
    let recorder = PrometheusBuilder::new().build_recorder();
    let _recording = metrics::set_default_local_recorder(&recorder);

    async fn call_everything(store: &Store) {
        store.set("the-key", "the-value").metadata("the-metadata").await.unwrap();
        store.set("the-key-refused", "the-value").await.unwrap_err();
        store.get_entry("the-key").await.unwrap();
        store.get_many(["the-key", "the-key-2"]).await.unwrap();
        store.set_many([SetItem::new("the-key-2", "the-value"), SetItem::new("the-key-refused", "the-value")]).await;
        store.set_many_all_or_nothing([SetItem::new("the-key-3", "the-value")]).await.unwrap();
        store.list().prefix("the-key").await.unwrap();
        store.increment("the-key", 1).await.unwrap_err();
        store.expire("the-key").never().await.unwrap();
        store.delete("the-key").await.unwrap();
        store.delete_many(["the-key-2", "the-key-3"]).await;
        store.ping().await.unwrap();
    }
    let text = || String::from_utf8(std::mem::take(&mut *lines.0.lock().unwrap())).unwrap();
    call_everything(&store(|traced| traced)).await;
    let hashed = text() + &recorder.handle().render();
    assert!(hashed.contains("kv.key_hash") && hashed.contains("kv.prefix_hash"), "{hashed}");
    for hidden in ["the-key", "the-value", "the-metadata"] {
        assert!(!hashed.contains(hidden), "{hashed}");
    }
    call_everything(&store(Traced::with_plain_keys)).await;
    let (plain, metrics) = (text(), recorder.handle().render());
    assert!(plain.contains(r#"kv.key="the-key""#) && !plain.contains("the-value"), "{plain}");
    assert!(!plain.contains("the-metadata") && !metrics.contains("the-"), "{plain} {metrics}");
}

/// The line of the number of calls.
fn count_of(operation: &str, labels: &str, calls: u64) -> String {
    format!(
        "db_client_operation_duration_count{{db_system_name=\"memory\",db_namespace=\"sessions\",\
         db_operation_name=\"{operation}\"{labels}}} {calls}\n"
    )
}

fn recorder() -> PrometheusRecorder {
    let duration = Matcher::Full("db.client.operation.duration".to_owned());
    let builder = PrometheusBuilder::new().set_buckets_for_metric(duration, &Traced::DURATION_BUCKETS).unwrap();
    builder.build_recorder()
}

#[tokio::test]
async fn metrics_have_the_names_of_the_conventions() {
    let recorder = recorder();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let store = store(|traced| traced);
    store.set("k", 1).await.unwrap();
    store.get("k").await.unwrap();
    store.get("none").await.unwrap();
    store.set("refused", 1).await.unwrap_err();
    store.set_many(["a", "refused", "b"].map(|key| SetItem::new(key, 1))).await;
    store.list().await.unwrap();
    let text = recorder.handle().render();
    let labels = r#"db_system_name="memory",db_namespace="sessions""#;
    for line in [
        "# TYPE db_client_operation_duration histogram\n".to_owned(),
        "# HELP db_client_operation_duration Duration of calls on the key-value store.\n".to_owned(),
        count_of("get", "", 2),
        count_of("set", "", 1),
        count_of("set", r#",error_type="rate_limited""#, 1),
        count_of("set_many", r#",error_type="rate_limited""#, 1),
        format!("db_client_operation_duration_sum{{{labels},db_operation_name=\"get\"}} 0.004\n"),
        format!("db_client_operation_duration_bucket{{{labels},db_operation_name=\"get\",le=\"0.001\"}} 0\n"),
        format!("db_client_operation_duration_bucket{{{labels},db_operation_name=\"get\",le=\"0.005\"}} 2\n"),
        format!("kv_client_batch_items{{{labels},db_operation_name=\"set_many\"}} 3\n"),
        format!(
            "kv_client_batch_failed_items{{{labels},db_operation_name=\"set_many\",error_type=\"rate_limited\"}} 1\n"
        ),
        format!("db_client_response_returned_rows_sum{{{labels},db_operation_name=\"list\"}} 3\n"),
    ] {
        assert!(text.contains(&line), "no {line}in\n{text}");
    }
}

#[tokio::test]
async fn a_recorder_that_comes_later_is_found() {
    let store = store(|traced| traced);
    store.set("k", 1).await.unwrap();
    let recorder = recorder();
    let _recording = metrics::set_default_local_recorder(&recorder);
    store.get("k").await.unwrap();
    let text = recorder.handle().render();
    assert!(text.contains(&count_of("get", "", 1)) && !text.contains(r#""set""#), "{text}");
}

#[test]
fn the_namespace_is_the_fingerprint_of_the_scope_unless_it_is_given_a_name() {
    let ended = Ended::default();
    let _guard = set_default(Registry::default().with(ended.clone()));
    let memory = MemoryStore::default();
    let fingerprint = memory.clone().into_store().scope_fingerprint();
    memory.layer(&Traced::new()).into_store().ping().now_or_never().unwrap().unwrap();
    assert_eq!(ended.one().get("db.namespace"), Some(&*fingerprint));
}

#[test]
fn prints_itself_and_what_it_wraps() {
    assert_eq!(Traced::new().to_string(), "traced");
    assert_eq!(Traced::new().with_plain_keys().to_string(), "traced(plain keys)");
    let both = Traced::new().with_namespace("a").with_plain_keys();
    assert_eq!(both.to_string(), "traced(namespace a, plain keys)");
    let wrapped = both.layer(Arc::new(MemoryStore::default()));
    assert!(format!("{wrapped:?}").starts_with("Traced(MemoryStore"), "{wrapped:?}");
}

/// A filter may know the spans by their documented name.
#[tokio::test]
async fn a_filter_by_the_name_of_the_spans_finds_them() {
    use tracing_subscriber::Layer as _;
    use tracing_subscriber::filter::filter_fn;
    let ended = Ended::default();
    let subscriber = Registry::default().with(ended.clone().with_filter(filter_fn(|span| span.name() == "kv_call")));
    let _guard = set_default(subscriber);
    let store = MemoryStore::default().layer(&Traced::new()).into_store();
    store.set("k", "v").await.unwrap();
    assert_eq!(ended.0.lock().unwrap().len(), 1);
}
