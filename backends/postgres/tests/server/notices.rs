//! What the server says beside its answers.

use kv_conformance::logs;
use kv_servers::{Postgres, PostgresOptions};

use crate::harness::{config, open};

/// The driver logs each notice of the server, and a function of another program may put a value into one (ERR-2).
pub(crate) async fn a_notice_with_a_value_is_not_logged() {
    const VALUE: &str = "h1dden-va1ue";
    logs::watch(VALUE);
    let server = Postgres::start(PostgresOptions::new()).await.unwrap();
    let store = open(config(server.address())).await.unwrap();
    let speak = "create function speak() returns trigger language plpgsql as $$ begin \
                 raise warning 'value %', convert_from(new.value, 'UTF8'); return new; end $$; \
                 create trigger speak before insert on kv for each row execute function speak()";
    server.sql(speak).await.unwrap();
    store.set("k", VALUE).await.unwrap();
    assert_eq!(logs::seen(VALUE), "");
}
