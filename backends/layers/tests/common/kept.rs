//! The page of what the suite finds through each layer over the memory store, `conformance/reports/layers.html`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kv_conformance::Report;

/// What a failure says to do.
const RENEW: &str = "make it again: conformance/reports/renew-layers.sh";

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/reports/layers.html")
}

/// What the page says: by its store, how each case ended.
pub(crate) fn page() -> BTreeMap<String, BTreeMap<String, String>> {
    const STORE: &str = "data-store=\"";
    let text = std::fs::read_to_string(path()).unwrap();
    let mut found: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for row in text.split("<tr class=\"case\"").skip(1) {
        let case = between(row, "<code>", "</code>");
        for (at, _) in row.match_indices(STORE) {
            let cell = &row[at..];
            let outcome = between(cell, "class=\"badge ", "\"").replace('-', " ");
            found.entry(between(cell, STORE, "\"")).or_default().insert(case.clone(), outcome);
        }
    }
    found
}

fn between(text: &str, before: &str, after: &str) -> String {
    let (_, rest) = text.split_once(before).unwrap();
    rest.split_once(after).unwrap().0.to_owned()
}

/// Compares a report with the page, where it belongs there. Where `KV_LAYER_REPORTS` names a folder it is written into
/// that instead, under the name of the layer, for the script that makes the page.
pub(crate) fn compare_or_write(name: &str, report: Report) {
    let store = name.replace("::", "-").replace(' ', "-");
    if let Some(folder) = std::env::var_os("KV_LAYER_REPORTS") {
        let mut report = report.without_figures_of_this_run();
        name.clone_into(&mut report.system);
        let file = Path::new(&folder).join(format!("{store}.json"));
        return std::fs::write(file, serde_json::to_string(&report).unwrap()).unwrap();
    }
    // Those that the script takes.
    if store.contains("memory") {
        let found = report.cases.iter().map(|case| (case.name.clone(), case.outcome.label().to_lowercase()));
        let kept = page().remove(&store).unwrap_or_default();
        assert_eq!(kept, found.collect(), "{store} in layers.html is not what this version does; {RENEW}");
    }
}
