//! Leases: a job that one worker has at a time, and that is free again when the worker is gone.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use kv_backends::{DeleteOutcome, Error, Feature, Result, Store, Version};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::secret::secret;

/// How long a lease lasts unless it is renewed.
const LIFE: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
pub(crate) struct Worker {
    worker: String,
}

/// What its holder has to show: the version of the entry, which another holder's would not have.
#[derive(Deserialize, Serialize)]
pub(crate) struct Lease {
    token: String,
}

/// `POST /jobs/NAME/lease`: 201 with the lease, or 409
pub(crate) async fn take(
    State(store): State<Store>,
    Path(job): Path<String>,
    Json(worker): Json<Worker>,
) -> Result<Result<(StatusCode, Json<Lease>), StatusCode>, Failure> {
    if !store.capabilities().supports(Feature::IfVersion) {
        // Before it is taken: without a version nobody could give it back.
        return Err(Error::unsupported(Feature::IfVersion).into());
    }
    // A version can be that of the content (VER-1): so no two leases have the same, not even of one worker.
    let holder = format!("{} {}", worker.worker, secret());
    let outcome = store.set(key(&job), holder).ttl(LIFE).if_not_exists().await?;
    let lease = outcome.version().map(|version| Json(Lease { token: version.to_string() }));
    Ok(lease.map(|lease| (StatusCode::CREATED, lease)).ok_or(StatusCode::CONFLICT))
}

/// `PUT /jobs/NAME/lease`: 204, or 409 when the lease has ended
pub(crate) async fn renew(
    State(store): State<Store>,
    Path(job): Path<String>,
    Json(lease): Json<Lease>,
) -> Result<StatusCode, Failure> {
    let is_ours = store.expire(key(&job)).ttl(LIFE).if_version(lease.version()?).await?;
    Ok(if is_ours { StatusCode::NO_CONTENT } else { StatusCode::CONFLICT })
}

/// `DELETE /jobs/NAME/lease`: 204, or 409 when the lease has ended
pub(crate) async fn give_back(
    State(store): State<Store>,
    Path(job): Path<String>,
    Json(lease): Json<Lease>,
) -> Result<StatusCode, Failure> {
    let outcome = store.delete(key(&job)).if_version(lease.version()?).await?;
    Ok(if outcome == DeleteOutcome::Deleted { StatusCode::NO_CONTENT } else { StatusCode::CONFLICT })
}

impl Lease {
    fn version(&self) -> Result<Version> {
        self.token.parse()
    }
}

fn key(job: &str) -> String {
    format!("lease/{job}")
}
