//! A TCP connection to a host that may have several addresses.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use kv_api::{Result, Timer};
use tokio::net::{TcpStream, lookup_host};

use crate::no_connection::no_connection;

/// Connects to a host, within about this time, for an adapter that watches over a connection of its own. `authority` is
/// what errors call it. What is written goes out at once (`TCP_NODELAY`): a request must not wait for the reply to the
/// one before.
///
/// # Errors
/// As [`no_connection`] says.
pub async fn connect_tcp(
    host: &str,
    port: u16,
    authority: &str,
    timer: &dyn Timer,
    time: Duration,
) -> Result<TcpStream> {
    let unreachable = |error: io::Error| no_connection(error, &authority.escape_debug().to_string());
    let addresses: Vec<_> = lookup_host((host, port)).await.map_err(unreachable)?.collect();
    let stream = connect(&addresses, timer, time).await.map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    Ok(stream)
}

/// Connects to the first of these addresses that takes a connection. Each but the last has an equal share of the time,
/// so that one that never answers, such as that of a network that this machine cannot reach, leaves time for the next.
async fn connect(addresses: &[SocketAddr], timer: &dyn Timer, time: Duration) -> io::Result<TcpStream> {
    let Some((last, others)) = addresses.split_last() else { return Err(io::ErrorKind::AddrNotAvailable.into()) };
    let share = time / u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    for address in others {
        if let Either::Left((Ok(stream), _)) = select(pin!(TcpStream::connect(address)), timer.sleep(share)).await {
            return Ok(stream);
        }
    }
    TcpStream::connect(last).await
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use futures_util::future::poll_immediate;
    use kv_api::{ManualClock, Timestamp};
    use tokio::net::{TcpListener, TcpSocket};

    #[tokio::test]
    async fn an_address_that_never_answers_leaves_time_for_the_next() {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        let good = TcpListener::bind("127.0.0.1:0").await.unwrap();
        // Two connections that are not accepted fill the queue of this one, and it takes no other.
        let full = TcpSocket::new_v4().unwrap();
        full.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let full = full.listen(1).unwrap();
        let silent = full.local_addr().unwrap();
        let _queued = (TcpStream::connect(silent).await.unwrap(), TcpStream::connect(silent).await.unwrap());
        let addresses = [silent, good.local_addr().unwrap()];
        let mut connecting = pin!(connect(&addresses, &clock, Duration::from_secs(10)));
        assert!(poll_immediate(&mut connecting).await.is_none());
        clock.advance(Duration::from_secs(5));
        assert_eq!(connecting.await.unwrap().peer_addr().unwrap(), addresses[1]);
        assert!(connect(&[], &clock, Duration::ZERO).await.is_err());
    }
}
