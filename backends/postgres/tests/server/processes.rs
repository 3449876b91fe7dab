//! Two processes and the same keys.

use std::collections::HashMap;

use futures_util::future::join_all;
use kv_servers::{Postgres, PostgresOptions};

use crate::roles::{CLAIMS, leading_to, process};

pub(crate) async fn each_key_has_one_creator() {
    let server = Postgres::start(PostgresOptions::new()).await.unwrap();
    let port = server.address().port().to_string();
    let to_server = leading_to(&port);
    let mut creators: HashMap<String, usize> = HashMap::new();
    let mut shares = Vec::new();
    for output in join_all((0..2).map(|_| process("claim", &to_server))).await {
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        let created: Vec<&str> = said.lines().filter(|line| line.starts_with("claim/")).collect();
        shares.push(created.len());
        for key in created {
            *creators.entry(key.to_owned()).or_default() += 1;
        }
    }
    assert_eq!(creators.len(), CLAIMS, "each key was created");
    assert!(creators.values().all(|count| *count == 1), "none was created twice");
    assert!(shares.iter().all(|share| *share > 0), "the two came at the same time: {shares:?}");
    assert_eq!(
        server.sql("select count(*) from kv where key >= 'claim/' and key < 'claim0'").await.unwrap(),
        CLAIMS.to_string()
    );
}
