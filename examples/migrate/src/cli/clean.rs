//! `clean`: removes what interrupted copies have left behind.

use std::path::{Path, PathBuf};

use kv_api::Escaped;
use kv_migrate::{BulkWriter, Error};

use super::checkpoint;
use super::exit::Exit;
use super::session::Refused;
use super::stop::{self, Opened, Stop};

pub(crate) async fn run(target: &str) -> Result<Exit, Refused> {
    let stop = Stop::parse(target, 1).map_err(Refused::usage)?;
    let opened = stop.open(true).await.map_err(|error| Refused::by_store(&stop.shown(), &error))?;
    let removed = removed(&stop, &opened);
    stop::close_all(std::slice::from_ref(&stop), &[opened]).await?;
    let removed = removed?;
    for path in &removed {
        tell!("removed {}", Escaped(&path.display().to_string()));
    }
    if removed.is_empty() {
        tell!("nothing was left beside {}", stop.shown());
    }
    Ok(Exit::Complete)
}

fn removed(stop: &Stop, opened: &Opened) -> Result<Vec<PathBuf>, Refused> {
    let mut removed = match stop {
        Stop::File(path) => BulkWriter::clean(path).map_err(|error| Refused::by(&error))?,
        Stop::Store { .. } | Stop::Stdio => Vec::new(),
    };
    if let Some(path) = checkpoint::beside(stop, opened)
        && checkpoint::remove(&path).map_err(|source| by_file(&path, source))?
    {
        removed.push(path);
    }
    Ok(removed)
}

fn by_file(path: &Path, source: std::io::Error) -> Refused {
    Refused::by(&Error::File { file: path.display().to_string(), action: "remove", source })
}
