//! Where a list of an ordered system goes on (LIST-1 to LIST-3).

use kv_api::{Error, ErrorKind, Reason, Result, Retry};

/// The system's cursor that begins a page, and the last key of that page that was handed out, when not all of it was
/// wanted. The key is remembered on later pages too, as new keys may push others onto them (LIST-2).
///
/// ```
/// use kv_remote::ListPosition;
/// let mut keys = vec!["a".to_owned(), "b".to_owned(), "c".to_owned()];
/// // Two of three are wanted: the next call asks for the same page again.
/// let next = ListPosition::default().cut(&mut keys, |key| key, 2, Some("c1".to_owned()))?;
/// assert_eq!(keys, ["a", "b"]);
/// let next = ListPosition::decode(&next.ok_or("more")?.encode()?)?;
/// let mut keys = vec!["a".to_owned(), "b".to_owned(), "c".to_owned()];
/// let next = next.cut(&mut keys, |key| key, 2, Some("c1".to_owned()))?;
/// assert_eq!(keys, ["c"]);
/// assert_eq!(next.ok_or("more")?.cursor(), Some("c1"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListPosition {
    cursor: Option<String>,
    after: Option<String>,
}

impl ListPosition {
    /// The system's cursor; `None` for the first page.
    #[must_use]
    pub fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// As the bytes of a cursor that the handle hands out.
    ///
    /// # Errors
    /// None in fact: a position is two texts.
    pub fn encode(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(&(&self.cursor, &self.after))
            .map_err(|error| Error::new(ErrorKind::Internal, "a position cannot be written").with_source(error))
    }

    /// From the bytes that [`encode`](Self::encode) gave.
    ///
    /// # Errors
    /// `InvalidArgument` with [`Reason::CursorInvalid`] for other bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let (cursor, after) = serde_json::from_slice(bytes)
            .map_err(|_| Error::invalid(Reason::CursorInvalid, "the cursor is not one of this store"))?;
        Ok(Self { cursor, after })
    }

    /// Cuts the items of the page that begins here to those that are wanted: after the last one handed out, and at most
    /// `limit`. `next` is the system's cursor of the page after it. The position of what follows; `None` at the end.
    ///
    /// # Errors
    /// `Protocol` when keys repeat or do not ascend by their bytes (LIST-2), or when `next` is the cursor of this page,
    /// so that a walk would have no end.
    pub fn cut<T>(
        self,
        items: &mut Vec<T>,
        key: impl Fn(&T) -> &str,
        limit: usize,
        next: Option<String>,
    ) -> Result<Option<Self>> {
        if !items.windows(2).all(|pair| key(&pair[0]) < key(&pair[1])) {
            return Err(lost("the keys of a page repeat, or are not in their order"));
        }
        if next.is_some() && next == self.cursor {
            return Err(lost("the cursor of the next page is that of this page"));
        }
        if let Some(after) = &self.after {
            items.retain(|item| key(item) > after.as_str());
        }
        let is_cut = items.len() > limit;
        items.truncate(limit);
        Ok(if is_cut {
            let after = items.last().map(|last| key(last).to_owned());
            Some(Self { after, ..self })
        } else {
            next.map(|cursor| Self { cursor: Some(cursor), ..self })
        })
    }

    /// The error of a list that was refused: where the request had a cursor and was else acceptable, the cursor is no
    /// longer valid (LIST-3).
    #[must_use]
    pub fn explain(&self, error: Error) -> Error {
        if error.kind() == ErrorKind::InvalidArgument && self.cursor.is_some() {
            error.with_reason(Reason::CursorInvalid)
        } else {
            error
        }
    }
}

/// A list changes nothing, so it may be asked for again.
fn lost(message: &'static str) -> Error {
    Error::new(ErrorKind::Protocol, message).with_retry(Retry::Safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(position: ListPosition, keys: &[&str], limit: usize, next: Option<&str>) -> Result<(String, ListPosition)> {
        let mut keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
        let next = position.cut(&mut keys, |key| key, limit, next.map(ToOwned::to_owned))?;
        Ok((keys.concat(), next.unwrap_or_default()))
    }

    fn at(cursor: Option<&str>, after: Option<&str>) -> ListPosition {
        ListPosition { cursor: cursor.map(ToOwned::to_owned), after: after.map(ToOwned::to_owned) }
    }

    #[test]
    fn list_2_a_page_that_was_cut_is_asked_for_again_and_goes_on_after_its_last_key() {
        assert_eq!(cut(at(None, None), &["a", "b", "c"], 2, None).unwrap(), ("ab".to_owned(), at(None, Some("b"))));
        let (keys, next) = cut(at(None, Some("b")), &["a", "a2", "b", "c"], 9, Some("x")).unwrap();
        assert_eq!((keys.as_str(), &next), ("c", &at(Some("x"), Some("b"))));
        assert_eq!(
            cut(next, &["b", "d"], 1, None).unwrap(),
            ("d".to_owned(), at(None, None)),
            "pushed onto a later page"
        );
        assert_eq!(cut(at(Some("x"), None), &[], 5, Some("y")).unwrap(), (String::new(), at(Some("y"), None)));
    }

    #[test]
    fn list_2_a_list_that_does_not_advance_or_is_not_in_order_is_refused() {
        for (position, keys, next) in [
            (at(None, None), &["a", "a"][..], None),
            (at(None, None), &["b", "a"], Some("x")),
            (at(None, Some("z")), &["b", "c", "b"], None),
            (at(Some("x"), None), &["a"], Some("x")),
            (at(Some("x"), None), &[], Some("x")),
        ] {
            let error = cut(position.clone(), keys, 9, next).unwrap_err();
            assert_eq!((error.kind(), error.retry()), (ErrorKind::Protocol, Retry::Safe), "{position:?} {keys:?}");
        }
    }

    #[test]
    fn list_3_only_its_own_bytes_are_a_position() {
        for position in [at(None, None), at(Some(""), Some("k\n")), at(Some("c"), None)] {
            assert_eq!(ListPosition::decode(&position.encode().unwrap()).unwrap(), position);
        }
        for bytes in [&b""[..], b"[]", b"[1,2]", b"{}", b"\xFF"] {
            assert_eq!(ListPosition::decode(bytes).unwrap_err().reason(), Some(&Reason::CursorInvalid));
        }
        let refused = Error::new(ErrorKind::InvalidArgument, "");
        assert_eq!(at(Some("c"), None).explain(refused.clone()).reason(), Some(&Reason::CursorInvalid));
        assert_eq!(at(None, None).explain(refused).reason(), None);
    }
}
