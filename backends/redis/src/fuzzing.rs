//! Decoders for the fuzz targets in `conformance/fuzz`. Built with `--cfg fuzzing` only.

use kv_api::{
    Capabilities, DeleteOutcome, Entry, Fields, IncrementOptions, Metadata, Resolver, Result, SetStatus, SystemClock,
    Value,
};
use redis::Value as Reply;

use crate::CAPABILITIES;
use crate::config::Node;
use crate::list::Place;
use crate::wire::hello::{Hello, run_id};
use crate::wire::reply::ReadAndChanged;
use crate::wire::slot::SLOTS;
use crate::wire::topology::{Topology, is_of_another_topology, redirect};
use crate::wire::{reply, value};

const SCOPE: &str = "scope";

pub fn decode(stored: Vec<u8>) -> Result<(Value, Option<Metadata>)> {
    value::decode(stored)
}

pub fn encode(value: &Value, metadata: Option<&Metadata>) -> Vec<u8> {
    value::encode(value, metadata).into_owned()
}

#[must_use]
pub fn is_integer(bytes: &[u8]) -> bool {
    value::is_integer(bytes)
}

pub fn read(reply: Reply, fields: Fields) -> Result<Option<Entry>> {
    reply::read(reply, fields, SCOPE)
}

/// The entry that was there; `None` too where nothing was changed.
pub fn read_and_changed(reply: Reply, fields: Fields) -> Result<Option<Entry>> {
    Ok(match reply::read_and_changed(reply, fields, SCOPE)? {
        ReadAndChanged::Done(entry) => entry,
        ReadAndChanged::Left(_) => None,
    })
}

pub fn values(reply: Reply, count: usize) -> Result<Vec<Option<Entry>>> {
    reply::values(reply, count)
}

pub fn entries(reply: Reply, count: usize) -> Result<Vec<Option<Entry>>> {
    reply::entries(reply, count, SCOPE)
}

pub fn stored(reply: Reply) -> Result<SetStatus> {
    reply::stored(reply)
}

pub fn set_if(reply: Reply) -> Result<SetStatus> {
    reply::set_if(reply, SetStatus::Created)
}

pub fn set_if_version(reply: Reply) -> Result<SetStatus> {
    reply::set_if_version(reply)
}

pub fn first_unmet(reply: Reply, count: usize) -> Result<Option<usize>> {
    reply::first_unmet(reply, count)
}

pub fn deleted(reply: Reply, with_version: bool) -> Result<DeleteOutcome> {
    reply::deleted(reply, with_version)
}

/// Of a store that counts from `min` to `max`.
pub fn incremented(reply: Reply, min: i64, max: i64) -> Result<i64> {
    let mut capabilities: Capabilities = CAPABILITIES.clone();
    (capabilities.counter_min, capabilities.counter_max) = (min, max);
    let increment = Resolver::new(&capabilities).increment("k", 1, IncrementOptions::default(), &SystemClock)?;
    reply::incremented(reply, &increment)
}

pub fn scanned(reply: Reply) -> Result<(u64, Vec<Vec<u8>>)> {
    reply::scanned(reply)
}

pub fn sized(reply: Reply) -> Result<u64> {
    reply::sized(reply)
}

pub fn run(reply: Reply) -> Result<String> {
    run_id(reply).map(|run| run.as_ref().to_owned())
}

/// Whether a server is new enough and no replica.
pub fn hello(reply: Reply) -> Result<bool> {
    Hello::read(reply).map(|hello| hello.is_new_enough() && !hello.is_replica)
}

fn asked() -> Node {
    Node { host: "asked.example".to_owned(), port: 7 }
}

/// For each slot whether it has a master, after looking every master up in every way.
pub fn topology(reply: Reply) -> Result<Vec<bool>> {
    let topology = Topology::read(reply, &asked())?;
    let slots: Vec<_> = (0..SLOTS).map(|slot| topology.master_of(slot)).collect();
    for master in slots.iter().flatten() {
        assert_eq!(topology.master(&master.id), Some(*master), "a master is found by its identity");
    }
    let mut walked = Vec::new();
    while let Some(next) = topology.master_after(walked.last().map_or("", |id: &String| id.as_str())) {
        walked.push(next.id.clone());
        assert!(walked.len() <= topology.masters.len(), "a walk over the masters ends");
    }
    assert_eq!(topology.is_whole(), slots.iter().all(Option::is_some));
    Ok(slots.iter().map(Option::is_some).collect())
}

/// Whether a reply leads elsewhere.
#[must_use]
pub fn is_redirect(reply: &Reply) -> bool {
    redirect(reply, &asked()).is_some() || is_of_another_topology(reply)
}

/// A list position, written again.
///
/// # Errors
/// `InvalidArgument` for what is none.
pub fn position(bytes: &[u8]) -> Result<Vec<u8>> {
    Place::read(Some(bytes)).map(|place| place.write())
}
