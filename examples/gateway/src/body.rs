//! The body of a request, within its bounds.

use axum::body::{Body, Bytes, HttpBody};
use http_body_util::BodyExt;

use crate::admission::Room;
use crate::deadline::within;
use crate::fault::Fault;
use crate::gateway::Gateway;

/// A whole body, and the room that it takes while it is in use.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    _room: Option<Room>,
}

/// Reads a body: 413 when it is too long, 429 when all bodies together would be, 408 when it takes too long.
pub(crate) async fn receive(gateway: &Gateway, body: Body) -> Result<Received, Fault> {
    within(gateway.timer(), gateway.limits().body_time, read(gateway, body))
        .await
        .unwrap_or_else(|| Err(Fault::slow_body()))
}

async fn read(gateway: &Gateway, mut body: Body) -> Result<Received, Fault> {
    let bytes_max = gateway.limits().body_bytes;
    let too_long = || Fault::body_too_long(bytes_max);
    let room_for = |bytes| gateway.admission().room(bytes).ok_or_else(Fault::overloaded);
    // What is declared is reserved at once; what is not, as it comes.
    let declared = usize::try_from(body.size_hint().lower()).map_err(|_| too_long())?;
    if declared > bytes_max {
        return Err(too_long());
    }
    let mut room = if declared > 0 { Some(room_for(declared)?) } else { None };
    let mut reserved = declared;
    // A buffer of its own: what the server reads into is shared with other requests, and a store may keep what it gets.
    let mut bytes = Vec::with_capacity(declared);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Fault::broken_body())?;
        let Ok(data) = frame.into_data() else { continue };
        let length = bytes.len().checked_add(data.len()).filter(|length| *length <= bytes_max).ok_or_else(too_long)?;
        if length > reserved {
            // In larger and larger steps, as the buffer grows.
            let more = (length - reserved).max(reserved / 2);
            let taken = room_for(more)?;
            reserved += more;
            match &mut room {
                Some(room) => room.join(taken),
                none => *none = Some(taken),
            }
        }
        bytes.extend_from_slice(&data);
    }
    bytes.shrink_to_fit();
    Ok(Received { bytes: bytes.into(), _room: room })
}
