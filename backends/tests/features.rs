//! The table of the root README that says what each backend supports is what the capabilities say.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use kv_api::{Capabilities, Consistency, Feature, ListOrder, Support};

/// Set, it has the test write the table.
const WRITE: &str = "UPDATE_README";

const BEGIN: &str = "<!-- features: made by `UPDATE_README=1 cargo test -p kv-backends --test features` -->\n";
const END: &str = "<!-- /features -->\n";

const BACKENDS: [(&str, &Capabilities); 9] = [
    ("memory", &kv_memory::CAPABILITIES),
    ("SQLite", &kv_sqlite::CAPABILITIES),
    ("Redis", &kv_redis::CAPABILITIES),
    ("PostgreSQL", &kv_postgres::CAPABILITIES),
    ("Cloudflare", &kv_cloudflare::CAPABILITIES),
    ("Backendless", &kv_backendless::CAPABILITIES),
    ("Puter", &kv_puter::CAPABILITIES),
    ("NemesisDB", &kv_nemesisdb::CAPABILITIES),
    ("NemesisDB, `expiry=envelope`", &kv_nemesisdb::CAPABILITIES_WITH_EXPIRY),
];

#[test]
fn cap_1_the_table_of_the_readme_is_what_the_capabilities_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(&path).expect("the root README lies above this package");
    let (before, rest) = readme.split_once(BEGIN).expect("the README has the mark before the table");
    let (found, after) = rest.split_once(END).expect("the README has the mark after the table");
    let expected = table();
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, [before, BEGIN, &expected, END, after].concat()).expect("the README can be written");
        return;
    }
    assert_eq!(found, expected, "to write the table, run this test with {WRITE}=1");
}

fn table() -> String {
    let mut table = String::from("\n");
    row(&mut table, "feature", |(name, _)| name.to_string());
    row(&mut table, "---", |_| "---".to_owned());
    for feature in Feature::ALL {
        row(&mut table, &feature.to_string(), |(_, capabilities)| supports(capabilities.support(*feature)));
    }
    row(&mut table, "lists in the order of keys", |(_, capabilities)| {
        yes(capabilities.list_order == ListOrder::Lexicographic)
    });
    row(&mut table, "a read reports the expiry", |(_, capabilities)| yes(capabilities.expiry_read));
    row(&mut table, "a read sees each acknowledged write", |(_, capabilities)| {
        yes(capabilities.consistency == Consistency::Strong)
    });
    row(&mut table, "shortest expiry", |(_, capabilities)| match capabilities {
        capabilities if capabilities.ttl == Support::None && capabilities.expire_at == Support::None => yes(false),
        capabilities => seconds(capabilities.expiry_min.max(capabilities.expiry_resolution)),
    });
    row(&mut table, "longest key in bytes", |(_, capabilities)| match capabilities.key_bytes_max {
        usize::MAX => "any".to_owned(),
        bytes => bytes.to_string(),
    });
    table.push('\n');
    table
}

fn row(table: &mut String, name: &str, cell: impl Fn(&(&str, &Capabilities)) -> String) {
    let cells: Vec<String> = BACKENDS.iter().map(cell).collect();
    writeln!(table, "| {name} | {} |", cells.join(" | ")).expect("a string takes all");
}

fn supports(support: Support) -> String {
    match support {
        Support::BestEffort => "opt-in".to_owned(),
        support => yes(support.is_full()),
    }
}

fn yes(yes: bool) -> String {
    if yes { "yes" } else { "-" }.to_owned()
}

fn seconds(duration: Duration) -> String {
    if duration.subsec_millis() == 0 {
        format!("{} s", duration.as_secs())
    } else {
        format!("{} ms", duration.as_millis())
    }
}
