//! Lists: LIST-1 to LIST-3.

use kv_api::{EntryExpiry, ErrorKind, ListedMetadata, Metadata, Reason, SetItem, Timestamp};
use serde_json::json;

use super::{Fixture, millis, seconds};

#[test]
fn list_1_prefixes_are_literal() {
    let fixture = Fixture::new();
    for key in ["a", "a*", "a*b", "a b", "a%", "A", " a", "ä"] {
        fixture.put(key, "");
    }
    assert_eq!(fixture.keys("a*", 1), ["a*", "a*b"]);
    assert_eq!(fixture.keys("a ", 1), ["a b"]);
    assert_eq!(fixture.keys("", 3), [" a", "A", "a", "a b", "a%", "a*", "a*b", "ä"]);
}

#[test]
fn list_1_metadata_and_expiry_are_told() {
    let fixture = Fixture::new();
    fixture.put("plain", "v");
    fixture.set(SetItem::new("both", "v").ttl(seconds(1)).metadata(json!({"m": 1})));
    fixture.set(SetItem::new("metadata", "v").metadata(json!([2])));
    let items = fixture.page("", 10, None).unwrap().items;
    let told: Vec<_> = items.iter().map(|item| (item.key.as_str(), &item.metadata, item.expiry)).collect();
    let (m1, m2) =
        (ListedMetadata::Some(Metadata::from(json!({"m": 1}))), ListedMetadata::Some(Metadata::from(json!([2]))));
    let at = EntryExpiry::At(Timestamp::from_unix_seconds(1_000_001));
    let never = EntryExpiry::Never;
    assert_eq!(told, [("both", &m1, at), ("metadata", &m2, never), ("plain", &ListedMetadata::None, never)]);
    // Overwritten plainly, they are plain.
    fixture.put("both", "v");
    fixture.put("metadata", "v");
    for item in fixture.page("", 10, None).unwrap().items {
        assert_eq!((item.metadata, item.expiry), (ListedMetadata::None, never), "{}", item.key);
    }
}

#[test]
fn list_1_the_only_end_is_the_absence_of_a_position() {
    let fixture = Fixture::new();
    for number in 0..2500 {
        fixture.put(&format!("k{number:04}"), "");
    }
    assert_eq!(fixture.page("", 2500, None).unwrap().next, None, "exactly full, and nothing follows");
    let page = fixture.page("", 2499, None).unwrap();
    assert_eq!((page.items.len(), page.next.as_deref()), (2499, Some(&b"k2498"[..])));
    assert_eq!(fixture.page("", usize::MAX, None).unwrap().items.len(), 2500);
    assert_eq!(fixture.keys("", 999).len(), 2500);
}

#[test]
fn list_2_a_walk_is_not_disturbed_by_deletes_and_inserts() {
    let fixture = Fixture::new();
    for key in ["b", "d", "f", "h"] {
        fixture.put(key, "");
    }
    let first = fixture.page("", 2, None).unwrap();
    assert_eq!(first.next.as_deref(), Some(&b"d"[..]));
    fixture.delete("d");
    fixture.put("c", "");
    fixture.put("e", "");
    let second = fixture.page("", 9, first.next).unwrap();
    let keys: Vec<_> = second.items.iter().map(|item| item.key.as_str()).collect();
    assert_eq!(keys, ["e", "f", "h"]);
}

#[test]
fn list_3_a_position_of_something_else_is_refused() {
    let fixture = Fixture::new();
    fixture.put("a/1", "");
    for position in [&b"\xff\xfe"[..], b"b/1", b"a", b""] {
        let error = fixture.page("a/", 9, Some(position.to_vec())).unwrap_err();
        assert_eq!((error.kind(), error.reason()), (ErrorKind::InvalidArgument, Some(&Reason::CursorInvalid)));
    }
    assert!(fixture.page("a/", 9, Some(b"a/0".to_vec())).is_ok());
}

#[test]
fn exp_7_expired_entries_are_not_listed_and_do_not_hold_a_page_up() {
    let fixture = Fixture::new();
    for number in 0..5000 {
        fixture.put_for(&format!("gone/{number:04}"), "", millis(1));
    }
    fixture.put("live", "");
    fixture.clock.advance(millis(1));
    let page = fixture.page("", 10, None).unwrap();
    assert!(page.items.is_empty() && page.next.is_some(), "short, and not the end");
    assert!(page.next.unwrap().starts_with(b"gone/1"), "a bounded number of keys was passed over");
    assert_eq!(fixture.keys("", 10), ["live"]);
    assert_eq!(fixture.audit(), 1, "what the walk met is gone");
}
