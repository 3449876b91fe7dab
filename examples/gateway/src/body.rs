//! The body of a request, within its bounds.

use axum::body::{Body, Bytes, HttpBody};
use http_body_util::BodyExt;

use crate::budget::{Buffer, Room};
use crate::deadline::within;
use crate::fault::Fault;
use crate::gateway::Gateway;

/// A whole body, and the room that it takes while it is in use.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    pub(crate) room: Room,
}

impl Received {
    /// Takes room for what a body is taken apart into, which is no longer than the body.
    pub(crate) fn take_apart(&mut self) -> Result<(), Fault> {
        self.room.grow_to(self.bytes.len().saturating_mul(2))
    }
}

/// Reads a body of at most so many bytes: 413 when it is too long, 429 when all bodies together would be, 408 when it
/// takes too long. It takes room as it comes, whatever length it says it has.
pub(crate) async fn receive(gateway: &Gateway, body: Body, bytes_max: usize) -> Result<Received, Fault> {
    let bytes_max = bytes_max.min(gateway.limits().body_bytes);
    within(gateway.timer(), gateway.limits().body_time, read(gateway, body, bytes_max))
        .await
        .unwrap_or_else(|| Err(Fault::slow_body()))
}

async fn read(gateway: &Gateway, mut body: Body, bytes_max: usize) -> Result<Received, Fault> {
    let too_long = || Fault::body_too_long(bytes_max);
    let declared = body.size_hint();
    if usize::try_from(declared.lower()).ok().is_none_or(|declared| declared > bytes_max) {
        return Err(too_long());
    }
    let declared = declared.upper().and_then(|upper| usize::try_from(upper).ok()).unwrap_or(bytes_max);
    // A buffer of its own: what the server reads into is shared with other requests, and a store may keep what it gets.
    let mut buffer = Buffer::new(gateway.admission().bodies().room(0)?, declared.min(bytes_max));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Fault::broken_body())?;
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > bytes_max - buffer.len() {
            return Err(too_long());
        }
        buffer.push(&data)?;
    }
    let (mut bytes, room) = buffer.into_parts();
    bytes.shrink_to_fit();
    Ok(Received { bytes: bytes.into(), room })
}
