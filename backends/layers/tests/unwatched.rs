//! What the layer that traces does while nobody looks. Alone in its process: a subscriber that another test sets for
//! its thread makes others take the way of watched calls, too.

use kv_api::{Backend, BackendExt, Fields, Resolver, SetItem};
use kv_layers::Traced;
use kv_memory::MemoryStore;
use metrics_exporter_prometheus::PrometheusBuilder;
use tracing::subscriber::set_default;
use tracing_subscriber::Registry;

#[test]
fn without_subscriber_and_recorder_a_store_answers_at_once_as_without_the_layer() {
    let memory = MemoryStore::default();
    let wrapped = memory.clone().layer(&Traced::new());
    let resolver = Resolver::new(memory.capabilities());
    let write = || resolver.write(SetItem::new("k", 1), memory.clock()).unwrap();
    let read = resolver.read("k", Fields::Value).unwrap();
    assert!(wrapped.write_now(&write()).unwrap().is_ok());
    assert!(wrapped.read_now(&read).unwrap().unwrap().is_some());
    {
        let _guard = set_default(Registry::default());
        assert!(wrapped.read_now(&read).is_none() && wrapped.write_now(&write()).is_none());
    }
    let recorder = PrometheusBuilder::new().build_recorder();
    let _recording = metrics::set_default_local_recorder(&recorder);
    assert!(wrapped.read_now(&read).is_none() && wrapped.write_now(&write()).is_none());
}
