//! How many requests each operation takes, where the harness counts them.

use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, select};
use kv_api::{Error, ErrorKind, Result, SetItem, Store, Version};
use serde::{Deserialize, Serialize};

use crate::case::{Stopped, panicked};
use crate::context::{Context, foreign_version};
use crate::harness::Harness;
use crate::pace::Pace;
use crate::trail::Trail;

/// How many items a batch has here.
const ITEMS: usize = 10;
/// Only the last one counts.
const ROUNDS: [usize; 2] = [1, 2];

/// How many requests one operation took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationRequests {
    /// The operation, as a call is written: `set if_not_exists`, `get_many of 10`.
    pub operation: String,
    /// How many requests it took.
    pub requests: Requests,
}

/// A number of requests, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Requests {
    /// So many. On a connection a request is a round trip.
    Counted(u64),
    /// It works, and the harness counts no requests.
    NotCounted,
    /// The store does not support it.
    NotSupported,
    /// It failed; the text says how.
    Failed(String),
}

/// Performs each operation on a fresh store of the harness, with race windows accepted, and notes how many requests it
/// took the second time: what a first call prepares, such as a script that the system is given once, is not counted.
///
/// # Errors
/// What opening the store, or undoing what the harness made for it, ran into. An operation that fails is noted as such.
pub async fn probe(harness: &dyn Harness) -> Result<Vec<OperationRequests>> {
    probe_until(harness, &pending().boxed().shared()).await
}

/// The same, until `stopped` is ready: then nothing is noted.
pub(crate) async fn probe_until(harness: &dyn Harness, stopped: &Stopped) -> Result<Vec<OperationRequests>> {
    let trail = Arc::new(Trail::default());
    let probe = async {
        let context = Context::open(harness, Arc::new(Pace::new()), Arc::clone(&trail)).await?;
        Ok(all(&context).await)
    };
    let noted = match select(pin!(probe), stopped.clone()).await {
        Either::Left((noted, _)) => noted,
        Either::Right(((), _)) => Ok(Vec::new()),
    };
    trail.tear_down().await?;
    noted
}

async fn all(context: &Context<'_>) -> Vec<OperationRequests> {
    let mut noted = Vec::with_capacity(Operation::ALL.len());
    for operation in Operation::ALL {
        let requests = match AssertUnwindSafe(count(context, *operation)).catch_unwind().await {
            Ok(Ok(Some(number))) => Requests::Counted(number),
            Ok(Ok(None)) => Requests::NotCounted,
            Ok(Err(error)) if error.kind() == ErrorKind::Unsupported => Requests::NotSupported,
            Ok(Err(error)) => Requests::Failed(error.to_string()),
            Err(panic) => Requests::Failed(panicked(&*panic)),
        };
        noted.push(OperationRequests { operation: operation.name(), requests });
    }
    noted
}

/// Those of the last round.
async fn count(context: &Context<'_>, operation: Operation) -> Result<Option<u64>> {
    let mut counted = None;
    for round in ROUNDS {
        let subject = Subject::of(context, operation, round);
        let version = operation.prepare(&subject).await?;
        let before = context.requests();
        operation.perform(&subject, version).await?;
        counted = context.requests().zip(before).map(|(after, before)| after.saturating_sub(before));
    }
    Ok(counted)
}

/// Keys that one operation has to itself, so that none waits for what a system allows one key.
struct Subject<'c> {
    context: &'c Context<'c>,
    store: &'c Store,
    prefix: String,
    key: String,
    keys: Vec<String>,
    life: Duration,
}

impl<'c> Subject<'c> {
    fn of(context: &'c Context<'c>, operation: Operation, round: usize) -> Self {
        // A cluster writes all or nothing only what lies together, which the braces see to.
        let name = format!("{:?}", operation).to_lowercase();
        let braces = if operation == Operation::SetManyAllOrNothing { ("{", "}") } else { ("", "") };
        let prefix = context.key(&format!("{}{name}{round}{}/", braces.0, braces.1));
        let capabilities = context.capabilities();
        Self {
            context,
            store: context.store(),
            key: format!("{prefix}key"),
            keys: (0..ITEMS).map(|number| format!("{prefix}{number}")).collect(),
            prefix,
            life: capabilities.expiry_min.max(capabilities.expiry_resolution).max(Duration::from_secs(3600)),
        }
    }

    fn items(&self) -> impl Iterator<Item = SetItem<'_>> {
        self.keys.iter().enumerate().map(|(number, key)| SetItem::new(key, self.context.value(number)))
    }

    async fn set(&self) -> Result<()> {
        self.store.set(&self.key, self.context.value(0)).await.map(drop)
    }

    async fn set_all(&self) -> Result<()> {
        self.store.set_many(self.items()).await.into_iter().try_for_each(|result| result.map(drop))
    }
}

macro_rules! operations {
    ($($operation:ident: $name:literal;)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Operation {
            $($operation,)*
        }

        impl Operation {
            const ALL: &[Self] = &[$(Self::$operation,)*];

            fn name(self) -> String {
                match self {
                    $(Self::$operation => $name.replace("10", &ITEMS.to_string()),)*
                }
            }
        }
    };
}
operations! {
    Get: "get";
    GetEntry: "get_entry";
    Exists: "exists";
    GetMany: "get_many of 10";
    ExistsMany: "exists_many of 10";
    Set: "set";
    SetIfNotExists: "set if_not_exists";
    SetIfExists: "set if_exists";
    SetIfVersion: "set if_version";
    SetMany: "set_many of 10";
    SetManyAllOrNothing: "set_many_all_or_nothing of 10";
    Delete: "delete";
    DeleteIfVersion: "delete if_version";
    DeleteMany: "delete_many of 10";
    GetAndDelete: "get_and_delete";
    Update: "update";
    GetOrSet: "get_or_set that loads";
    Expire: "expire";
    Touch: "get with touch";
    Increment: "increment";
    IncrementWithTtl: "increment with ttl_if_created";
    List: "list of one page";
    DeletePrefix: "delete_prefix of 10";
    Ping: "ping";
}

impl Operation {
    /// What has to be there before; and its version, where there is one to ask for.
    async fn prepare(self, subject: &Subject<'_>) -> Result<Option<Version>> {
        match self {
            Self::Get
            | Self::GetEntry
            | Self::Exists
            | Self::Set
            | Self::SetIfExists
            | Self::Delete
            | Self::GetAndDelete
            | Self::Update
            | Self::Expire
            | Self::Touch => subject.set().await?,
            Self::SetIfVersion | Self::DeleteIfVersion => {
                subject.set().await?;
                let entry = subject.store.get_entry(&subject.key).await?;
                return Ok(entry.and_then(|entry| entry.version().cloned()));
            }
            Self::GetMany | Self::ExistsMany | Self::DeleteMany | Self::List | Self::DeletePrefix => {
                subject.set_all().await?;
            }
            Self::Increment => drop(subject.store.increment(&subject.key, 1).await?),
            Self::SetIfNotExists
            | Self::SetMany
            | Self::SetManyAllOrNothing
            | Self::GetOrSet
            | Self::IncrementWithTtl
            | Self::Ping => {}
        }
        Ok(None)
    }

    async fn perform(self, subject: &Subject<'_>, version: Option<Version>) -> Result<()> {
        let Subject { store, key, keys, prefix, life, .. } = subject;
        let set = || store.set(key, subject.context.value(1));
        // Where versions are not supported, any stands for the refusal.
        let version = || version.unwrap_or_else(foreign_version);
        match self {
            Self::Get => store.get(key).await.map(drop),
            Self::GetEntry => store.get_entry(key).await.map(drop),
            Self::Exists => store.exists(key).await.map(drop),
            Self::GetMany => store.get_many(keys).await.map(drop),
            Self::ExistsMany => store.exists_many(keys).await.map(drop),
            Self::Set => set().await.map(drop),
            Self::SetIfNotExists => set().if_not_exists().await.map(drop),
            Self::SetIfExists => set().if_exists().await.map(drop),
            Self::SetIfVersion => set().if_version(version()).await.map(drop),
            Self::SetMany => subject.set_all().await,
            Self::SetManyAllOrNothing => store.set_many_all_or_nothing(subject.items()).await.map(drop),
            Self::Delete => store.delete(key).await.map(drop),
            Self::DeleteIfVersion => store.delete(key).if_version(version()).await.map(drop),
            Self::DeleteMany => store.delete_many(keys).await.into_iter().try_for_each(|result| result.map(drop)),
            Self::GetAndDelete => store.get_and_delete(key).await.map(drop),
            Self::Update => {
                let update = store.update(key, |_| Some(subject.context.value(1)));
                // Where expiries are not read it cannot keep the one that is there (SET-9), and is given one.
                let update = if subject.context.capabilities().expiry_read { update } else { update.never() };
                update.await.map(drop)
            }
            Self::GetOrSet => {
                let load = async || Ok::<_, Error>(subject.context.value(1));
                store.get_or_set(key, load).await.map(drop)
            }
            Self::Expire => store.expire(key).ttl(*life).await.map(drop),
            Self::Touch => store.get(key).touch(*life).await.map(drop),
            Self::Increment => store.increment(key, 1).await.map(drop),
            Self::IncrementWithTtl => store.increment(key, 1).ttl_if_created(*life).await.map(drop),
            Self::List => store.list().prefix(prefix).limit(ITEMS).await.map(drop),
            Self::DeletePrefix => store.delete_prefix(prefix).await.map(drop),
            Self::Ping => store.ping().await,
        }
    }
}
