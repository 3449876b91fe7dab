//! Pages: the text a page arrives as. Pure.

use kv_api::{ListItem, ListedMetadata, Metadata, Result};
use kv_sql::{damaged_row, entry_expiry};

use crate::packed_text::PackedText;

/// A page as it arrived.
#[derive(Debug, Default)]
pub(crate) struct ListedPage {
    pub(crate) items: Vec<ListItem>,
    /// The length of each item's metadata.
    metadata_bytes: Vec<usize>,
    /// Whether metadata was left out for its length.
    withheld: bool,
}

impl ListedPage {
    /// If metadata was left out: how many of the items can be asked for again with all of it, at least one, so that
    /// together it has no more than `bytes_max`.
    pub(crate) fn fitting(&self, bytes_max: usize) -> Option<usize> {
        let fit = |total: &mut usize, bytes: &usize| {
            *total = total.saturating_add(*bytes);
            (*total <= bytes_max).then_some(())
        };
        self.withheld.then(|| self.metadata_bytes.iter().scan(0, fit).count().max(1))
    }
}

/// Takes apart what [`crate::queries::read::PAGE`] answers when metadata longer than `inline_max` is left out.
pub(crate) fn decode_page(page: &[u8], inline_max: i64) -> Result<ListedPage> {
    let mut page = PackedText::new(page);
    let mut listed = ListedPage::default();
    while !page.is_empty() {
        let (value_bytes, key_bytes) = lengths(page.some_number()?)?;
        let expires_at = page.number()?;
        let metadata_bytes = page.number()?;
        let key = page.take(key_bytes)?;
        let key = String::from_utf8(key.to_vec()).map_err(|_| damaged_row("its key is not UTF-8"))?;
        let metadata = match metadata_bytes {
            None => ListedMetadata::None,
            Some(bytes) if bytes > inline_max => {
                listed.withheld = true;
                ListedMetadata::NotReported
            }
            Some(bytes) => ListedMetadata::Some(Metadata::from_stored(page.take(bytes)?.to_vec().into())),
        };
        listed.metadata_bytes.push(metadata_bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0));
        let item = ListItem::new(key).with_metadata(metadata).with_expiry(entry_expiry(expires_at));
        listed.items.push(item.with_value_bytes(value_bytes));
    }
    Ok(listed)
}

/// The bytes of a value and of its key, out of the number that holds both.
fn lengths(number: i64) -> Result<(u64, i64)> {
    let value_bytes = u64::try_from(number >> 32).map_err(|_| damaged_row("its value has a negative length"))?;
    Ok((value_bytes, number & 0xFFFF_FFFF))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_api::{EntryExpiry, Timestamp};

    #[test]
    fn a_page_is_taken_apart_by_lengths_alone() {
        // 70,000 times 2^32, and 1.
        let page = "4,,,a,\0\"300647710720001,5,2,b{}".as_bytes();
        let listed = decode_page(page, 100).unwrap();
        assert_eq!(listed.fitting(0), None);
        let items = listed.items;
        assert_eq!(items[0].key, "a,\0\"");
        assert_eq!((&items[0].metadata, items[0].expiry), (&ListedMetadata::None, EntryExpiry::Never));
        assert_eq!(items[1].key, "b");
        assert_eq!(items[1].expiry, EntryExpiry::At(Timestamp::from_unix_millis(5)));
        assert_eq!((items[0].value_bytes, items[1].value_bytes), (Some(0), Some(70_000)));
        for damaged in ["4", "4,,", "x,,,a", ",,,a", "9,,,a", "-1,,,a", "1,,,\u{e9}"] {
            assert!(decode_page(damaged.as_bytes(), 100).is_err(), "{damaged}");
        }
    }

    #[test]
    fn a_page_with_long_metadata_says_how_much_of_it_can_be_had() {
        let listed = decode_page(b"1,,2,a{}1,,,b1,,70,c1,,40,d", 10).unwrap();
        assert_eq!(listed.items[0].metadata, ListedMetadata::Some(Metadata::from_stored(b"{}".to_vec().into())));
        assert_eq!(listed.items[2].metadata, ListedMetadata::NotReported);
        assert_eq!(listed.fitting(112), Some(4));
        assert_eq!(listed.fitting(111), Some(3));
        assert_eq!(listed.fitting(1), Some(1));
    }
}
