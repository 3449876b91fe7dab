//! Free ports.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

use crate::{Error, Result};

/// How far the port of a Redis node for its cluster is from the one for its clients.
pub(crate) const BUS: u16 = 10_000;

/// Outside the range that Linux takes the ports of outgoing connections from, which begins at 32,768: so no connection
/// takes the port of a server that is to be started again, and none that looks for a killed server meets itself.
const RANGE: std::ops::Range<u16> = 11_000..21_000;

/// A port that nothing on this machine listens on, never given twice to this process. The port [`BUS`] above is free
/// too. Another process may still come first: a server that finds its port in use is started again on another.
pub(crate) fn free_port() -> Result<u16> {
    static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let given = given.get_or_insert_default();
    for _ in 0..1_000 {
        let port = fastrand::u16(RANGE);
        let is_free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if is_free(port) && is_free(port + BUS) && given.insert(port) {
            return Ok(port);
        }
    }
    Err(Error::failed("no free port"))
}
