//! A service on any store, chosen by URL. Each file is one thing that applications keep in a key-value store:
//!
//! - `sessions.rs`: an entry that lives as long as it is used;
//! - `orders.rs`: a step that is done once, however often it is asked for, and not too often;
//! - `flags.rs`: a setting that nobody overwrites unseen;
//! - `leases.rs`: a job that one worker has at a time.
//!
//! What a store cannot do is 501, with the name of the feature: the service promises nothing that the store does not.

mod failure;
mod flags;
mod leases;
mod orders;
mod secret;
mod sessions;

use axum::Router;
use axum::routing::{get, post};
use kv_backends::{Feature, Store};

/// The routes of the service on a store.
pub fn router(store: Store) -> Router {
    Router::new()
        .route("/sessions", post(sessions::open))
        .route("/sessions/{id}", get(sessions::read).delete(sessions::close))
        .route("/orders", post(orders::place))
        .route("/flags/{name}", get(flags::read).put(flags::write))
        .route("/jobs/{name}/lease", post(leases::take).put(leases::renew).delete(leases::give_back))
        .with_state(store)
}

/// What of the service a store cannot carry: each part with the feature that it lacks.
#[must_use]
pub fn missing(store: &Store) -> Vec<(&'static str, Feature)> {
    const NEEDS: [(&str, Feature); 9] = [
        ("sessions", Feature::Ttl),
        ("sessions that live on while they are used", Feature::Touch),
        ("orders", Feature::CounterTtl),
        ("orders", Feature::IfNotExists),
        ("flags", Feature::IfNotExists),
        ("flags", Feature::IfVersion),
        ("leases", Feature::IfNotExists),
        ("leases", Feature::IfVersion),
        ("renewed leases", Feature::ExpireIfVersion),
    ];
    let is_missing = |need: &(&str, Feature)| !store.capabilities().supports(need.1);
    NEEDS.into_iter().filter(is_missing).collect()
}
