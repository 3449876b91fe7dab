//! `clean`: removes what interrupted copies have left behind.

use kv_api::Escaped;
use kv_migrate::BulkWriter;

use super::exit::Exit;
use super::session::Refused;
use super::stop::Stop;

pub(crate) fn run(target: &str) -> Result<Exit, Refused> {
    let stop = Stop::parse(target, 1).map_err(Refused::usage)?;
    let Stop::File(path) = &stop else {
        return Err(Refused::usage(format!("{}: a copy leaves something beside a file alone", stop.shown())));
    };
    let removed = BulkWriter::clean(path).map_err(|error| Refused::by(&error))?;
    for path in &removed {
        tell!("removed {}", Escaped(&path.display().to_string()));
    }
    if removed.is_empty() {
        tell!("nothing was left beside {}", stop.shown());
    }
    Ok(Exit::Complete)
}
