//! What no example of the guide can prove: its tables are what the capabilities say, and its code is read without
//! scrolling.

use std::path::Path;

use kv_api::{Capabilities, Consistency, Feature, ListOrder, Support};

const BACKENDS: [(&str, &Capabilities); 8] = [
    ("memory", &kv_memory::CAPABILITIES),
    ("SQLite", &kv_sqlite::CAPABILITIES),
    ("PostgreSQL", &kv_postgres::CAPABILITIES),
    ("Redis", &kv_redis::CAPABILITIES),
    ("Cloudflare", &kv_cloudflare::CAPABILITIES),
    ("Backendless", &kv_backendless::CAPABILITIES),
    ("Puter", &kv_puter::CAPABILITIES),
    ("NemesisDB", &kv_nemesisdb::CAPABILITIES),
];

fn pages() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guide");
    let files = std::fs::read_dir(folder).expect("the pages lie in docs/guide");
    let pages: Vec<_> = files
        .map(|file| {
            let path = file.expect("the folder can be read").path();
            let name = path.file_stem().expect("each page has a name").to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).expect("a page is text"))
        })
        .collect();
    assert!(pages.len() > 5, "{} pages", pages.len());
    pages
}

fn cells(row: &str) -> Vec<&str> {
    row.trim_matches(['|', ' ']).split('|').map(str::trim).collect()
}

#[test]
fn cap_1_the_table_of_choosing_is_what_the_capabilities_say() {
    let (_, page) = pages().into_iter().find(|(name, _)| name == "choosing").expect("there is a page on choosing");
    let mut lines = page.lines().skip_while(|line| !line.starts_with("| the program does | it needs |"));
    let names = cells(lines.next().expect("the table is there"));
    assert_eq!(names[2..], BACKENDS.map(|(name, _)| name));
    let rows: Vec<_> = lines.skip(1).take_while(|line| line.starts_with('|')).map(cells).collect();
    assert_eq!(rows.len(), 11, "{rows:?}");
    for row in rows {
        for (found, (name, capabilities)) in row[2..].iter().zip(BACKENDS) {
            assert_eq!(*found, expected(row[1], capabilities), "{} of {name}", row[1]);
        }
    }
}

fn expected(need: &str, capabilities: &Capabilities) -> &'static str {
    let support = |feature| match capabilities.support(feature) {
        Support::BestEffort => "race",
        support if support.is_full() => "yes",
        _ => "-",
    };
    match need {
        "if-not-exists" => support(Feature::IfNotExists),
        "if-version" => support(Feature::IfVersion),
        "ttl" if capabilities.expiry_min.as_secs() == 60 => "≥ 60 s",
        "ttl" if capabilities.system == "nemesisdb" => {
            assert!(kv_nemesisdb::CAPABILITIES_WITH_EXPIRY.supports(Feature::Ttl));
            assert!(!capabilities.supports(Feature::Ttl));
            "option"
        }
        "ttl" => support(Feature::Ttl),
        "expire" => support(Feature::Expire),
        "touch" => support(Feature::Touch),
        "get-and-delete" => support(Feature::GetAndDelete),
        "counters" => support(Feature::Counters),
        "counter-ttl" => support(Feature::CounterTtl),
        "list" if capabilities.supports(Feature::List) && capabilities.list_order == ListOrder::Lexicographic => {
            "ordered"
        }
        "list" => support(Feature::List),
        "all-or-nothing" => support(Feature::AllOrNothing),
        "consistency" if capabilities.consistency == Consistency::Strong => "yes",
        "consistency" => "-",
        other => panic!("the test knows no need {other:?}"),
    }
}

/// At 1,300 pixels rustdoc shows 94 characters of code in a line.
#[test]
fn no_example_scrolls_sideways() {
    for (name, page) in pages() {
        let mut is_code = false;
        for line in page.lines() {
            if line.starts_with("```") {
                is_code = !is_code;
            }
            let is_hidden = line == "#" || line.starts_with("# ");
            assert!(!is_code || is_hidden || line.chars().count() <= 94, "{name}: {line}");
        }
        assert!(!is_code, "{name} ends within an example");
    }
}
