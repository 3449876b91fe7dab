//! Where a list goes on (LIST-3), and how far it can go (LIST-5).

use std::sync::Arc;

use kv_api::{Error, ErrorKind, Reason, Result, Retry};

/// How many places a list may look at on a server, for each of its keys and beside them, until it cannot be right any
/// more: a table has at most ten places for a key, and while it is made larger or smaller two of them are looked at. Of
/// a table that has just lost most of its keys, and is not yet smaller, a step looks at ten times as many places as it
/// is asked to.
const PLACES_PER_KEY_MAX: u64 = 64;
const PLACES_MORE_MAX: u64 = 512 * 1024;

/// A place in the table of one server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Of a cluster: the node, and the fingerprint of the topology in which the list began.
    pub(crate) node: Option<(String, String)>,
    /// The run of the server that knows the cursor; `None` at its beginning.
    pub(crate) run: Option<Arc<str>>,
    pub(crate) cursor: u64,
    /// How many places of the table were looked at before.
    pub(crate) looked_at: u64,
    /// The most keys that the server had meanwhile, of all kinds and namespaces.
    pub(crate) keys: u64,
}

impl Place {
    /// From the bytes of a cursor; `None` is the beginning.
    ///
    /// # Errors
    /// `InvalidArgument` with [`Reason::CursorInvalid`] for other bytes.
    pub(crate) fn read(position: Option<&[u8]>) -> Result<Self> {
        let Some(position) = position else { return Ok(Self::default()) };
        let parsed = || {
            let words: Vec<&str> = std::str::from_utf8(position).ok()?.split(' ').collect();
            let [run, cursor, looked_at, keys, ref node @ ..] = words[..] else { return None };
            let node = match node {
                [] => None,
                [id, topology] => Some(((*id).to_owned(), (*topology).to_owned())),
                _ => return None,
            };
            let run = (!run.is_empty()).then(|| Arc::from(run));
            let [cursor, looked_at, keys] = [cursor.parse().ok()?, looked_at.parse().ok()?, keys.parse().ok()?];
            Some(Self { node, run, cursor, looked_at, keys })
        };
        parsed().ok_or_else(|| lost("the cursor is not one of this store"))
    }

    /// As the bytes of a cursor.
    pub(crate) fn write(&self) -> Vec<u8> {
        let Self { node, run, cursor, looked_at, keys } = self;
        let mut text = format!("{} {cursor} {looked_at} {keys}", run.as_deref().unwrap_or_default());
        if let Some((id, topology)) = node {
            text += &format!(" {id} {topology}");
        }
        text.into_bytes()
    }

    /// The place behind a step of `count` places, on a server with so many keys; `None` at the end of its table.
    ///
    /// # Errors
    /// `Protocol` when the step leads nowhere, or the list has gone too far.
    pub(crate) fn after_step(&self, run: Arc<str>, cursor: u64, count: usize, keys: u64) -> Result<Option<Self>> {
        if cursor == 0 {
            return Ok(None);
        }
        let looked_at = self.looked_at.saturating_add(count as u64);
        let keys = self.keys.max(keys);
        if self.run.is_some() && cursor == self.cursor {
            return Err(astray("a list does not go on"));
        }
        if looked_at > keys.saturating_mul(PLACES_PER_KEY_MAX).saturating_add(PLACES_MORE_MAX) {
            return Err(astray("a list has no end"));
        }
        Ok(Some(Self { node: self.node.clone(), run: Some(run), cursor, looked_at, keys }))
    }
}

/// The system has lost the place (LIST-3).
pub(crate) fn lost(message: &'static str) -> Error {
    Error::invalid(Reason::CursorInvalid, message)
}

/// The server leads a list astray. It changes nothing, so it may be asked for again.
fn astray(message: &'static str) -> Error {
    Error::new(ErrorKind::Protocol, message).with_retry(Retry::Safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_3_a_place_survives_the_process() {
        let node = Some(("id".to_owned(), "f".to_owned()));
        for place in [
            Place { node: None, run: Some(Arc::from("run")), cursor: u64::MAX, looked_at: 7, keys: 9 },
            Place { node: node.clone(), run: Some(Arc::from("run")), cursor: 1, looked_at: 0, keys: 0 },
            Place { node, run: None, cursor: 0, looked_at: 0, keys: 0 },
        ] {
            assert_eq!(Place::read(Some(&place.write())).unwrap(), place);
        }
        assert_eq!(Place::read(None).unwrap(), Place::default());
        for other in
            [&b""[..], b"run", b"run x 0 0", b"run 1 0 0 id", b"run 1 0 0 id f more", b"run -1 0 0", b"\xff 1 0 0"]
        {
            assert_eq!(Place::read(Some(other)).unwrap_err().reason(), Some(&Reason::CursorInvalid), "{other:?}");
        }
    }

    #[test]
    fn list_5_a_list_that_leads_nowhere_ends() {
        let run = || Arc::<str>::from("run");
        let place = Place { run: Some(run()), cursor: 5, ..Place::default() };
        assert_eq!(place.after_step(run(), 0, 10, 0).unwrap(), None);
        let next = place.after_step(run(), 6, 10, 0).unwrap().unwrap();
        assert_eq!((next.cursor, next.looked_at), (6, 10));
        assert_eq!(place.after_step(run(), 5, 10, 0).unwrap_err().kind(), ErrorKind::Protocol);
        let far = Place { looked_at: PLACES_MORE_MAX, ..place };
        assert_eq!(far.after_step(run(), 6, 1, 0).unwrap_err().kind(), ErrorKind::Protocol);
        // A server with as many keys can have as many places, and they stay while what was listed is deleted.
        let next = far.after_step(run(), 6, 1, 100).unwrap().unwrap();
        assert!(next.after_step(run(), 7, 6_000, 0).unwrap().is_some());
    }
}
