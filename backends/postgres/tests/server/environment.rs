//! What libpq's variables say.

use std::os::unix::fs::PermissionsExt;

use kv_servers::{Postgres, PostgresOptions};

use crate::harness::PASSWORD;
use crate::roles::{leading_to, process};

pub(crate) async fn what_the_url_leaves_out_comes_from_libpqs_variables() {
    let server = Postgres::start(PostgresOptions::new().password(PASSWORD)).await.unwrap();
    let port = server.address().port().to_string();
    let to_server = leading_to(&port);

    let output = process("open", &[&to_server[..], &[("PGPASSWORD", PASSWORD)]].concat()).await;
    assert!(output.status.success(), "{output:?}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("passwords");
    std::fs::write(&file, format!("127.0.0.1:{port}:*:postgres:{PASSWORD}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let output = process("open", &[&to_server[..], &[("PGPASSFILE", file.to_str().unwrap())]].concat()).await;
    assert!(output.status.success(), "{output:?}");

    for (name, value, said) in [
        ("PGPASSWORD", "wrong", "unauthorized"),
        ("PGSSLMODE", "verify_full", "PGSSLMODE"),
        ("PGSSLMODE", "allow", "PGSSLMODE"),
        ("PGPORT", "5432x", "PGPORT"),
        ("PGDATABASE", "nowhere", "misconfigured"),
    ] {
        let output = process("open", &[&to_server[..], &[("PGPASSWORD", PASSWORD), (name, value)]].concat()).await;
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains(said), "{name}={value}: {error}");
        assert!(!error.contains(PASSWORD) && !error.contains("nowhere"), "{error}");
    }
}
