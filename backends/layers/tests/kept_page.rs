//! The kept page of all layers has those that are tested, and the cases of the suite.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[allow(dead_code, reason = "the tests of the layers compare what they have found")]
#[path = "common/kept.rs"]
mod kept;

use std::collections::BTreeSet;
use std::path::Path;

use kv_conformance::Case;

#[test]
fn every_layer_of_the_page_has_its_tests_and_every_case_a_row() {
    let page = kept::page();
    assert!(page.len() > 10, "{:?}", page.keys());
    let cases: BTreeSet<&str> = Case::ALL.iter().map(Case::name).collect();
    for (store, outcomes) in page {
        let of_layer = store.split('-').next().unwrap();
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/{of_layer}.rs"));
        assert!(tests.exists(), "nothing tests {store}");
        assert_eq!(outcomes.keys().map(String::as_str).collect::<BTreeSet<_>>(), cases, "{store}");
    }
}
