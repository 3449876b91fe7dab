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
    let in_use: Vec<_> = left(&stop, &opened).into_iter().filter(|path| path.exists()).collect();
    stop::close_all(std::slice::from_ref(&stop), &[opened]).await?;
    let removed = removed?;
    for path in &removed {
        tell!("removed {}", Escaped(&path.display().to_string()));
    }
    if !in_use.is_empty() {
        let in_use: Vec<_> = in_use.iter().map(|path| Escaped(&path.display().to_string()).to_string()).collect();
        tell!("error: a copy that is running uses {}", in_use.join(" and "));
        return Ok(Exit::Usage);
    }
    if removed.is_empty() {
        tell!("nothing was left beside {}", stop.shown());
    }
    Ok(Exit::Complete)
}

/// Where a copy to this target keeps something.
fn left(stop: &Stop, opened: &Opened) -> Vec<PathBuf> {
    let part = match stop {
        Stop::File(path) => Some(BulkWriter::part_path(path)),
        Stop::Store { .. } | Stop::Stdio => None,
    };
    part.into_iter().chain(checkpoint::beside(stop, opened)).collect()
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
