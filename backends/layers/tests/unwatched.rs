//! What the layer that traces does while nobody looks. Alone in its process: a subscriber that another test sets for
//! its thread makes others take the way of watched calls, too.

use std::time::Duration;

use kv_api::{Backend, BackendExt, Fields, RequestRate, Resolver, SetItem};
use kv_layers::{RateLimited, Traced};
use kv_memory::MemoryStore;
use metrics_exporter_prometheus::PrometheusBuilder;
use tracing::subscriber::set_default;
use tracing_subscriber::Registry;

#[test]
fn a_store_answers_at_once_as_without_the_layer_unless_a_span_is_wanted() {
    let memory = MemoryStore::default();
    let wrapped = memory.clone().layer(&Traced::new().with_namespace("n"));
    let waiting = memory.clone().layer(&RateLimited::new(RequestRate::new(1000, Duration::from_secs(1))));
    let waiting = waiting.layer(&Traced::new().with_namespace("waits"));
    let resolver = Resolver::new(memory.capabilities());
    let write = || resolver.write(SetItem::new("k", 1), memory.clock()).unwrap();
    let read = resolver.read("k", Fields::Value).unwrap();
    let is_at_once = || wrapped.write_now(&write()).is_some() && wrapped.read_now(&read).is_some();
    assert!(is_at_once());
    let recorder = PrometheusBuilder::new().build_recorder();
    let _recording = metrics::set_default_local_recorder(&recorder);
    assert!(is_at_once() && waiting.write_now(&write()).is_none() && waiting.read_now(&read).is_none());
    let text = recorder.handle().render();
    for operation in ["get", "set"] {
        let count = |namespace: &str| {
            format!(
                "db_client_operation_duration_count{{db_system_name=\"memory\",db_namespace=\"{namespace}\",\
                 db_operation_name=\"{operation}\"}}"
            )
        };
        // A call that has to wait is counted when it is made in the other way.
        assert!(text.contains(&(count("n") + " 1\n")) && !text.contains(&(count("waits") + " 1\n")), "{text}");
    }
    let _guard = set_default(Registry::default());
    assert!(wrapped.read_now(&read).is_none() && wrapped.write_now(&write()).is_none());
}
