//! Every SQL text, by who runs it: `group.rs` for `transaction.rs`, `single.rs` for the file of the same name,
//! `read.rs` for `reader.rs`, `open.rs` for `schema.rs`; here what all of them need.
//!
//! Parameters are written `$1`, not `?1`: SQLite numbers names by their first use, so each statement of a text with
//! several has exactly the parameters it uses, and the driver finds the argument by the number in the name. None of the
//! texts holds a value or a count, so the driver's cache of prepared statements holds them all.
//!
//! "Live" is the same everywhere: no expiry, or one that lies after now (EXP-7).

pub(crate) mod group;
pub(crate) mod open;
pub(crate) mod read;
pub(crate) mod single;

/// Takes the write lock first: a plain BEGIN would take it after the read, and another process in between could not be
/// waited out.
pub(crate) const BEGIN: &str = "BEGIN IMMEDIATE";
pub(crate) const COMMIT: &str = "COMMIT";
pub(crate) const ROLLBACK: &str = "ROLLBACK";

/// Around one operation of several in a transaction.
pub(crate) const SAVEPOINT: &str = "SAVEPOINT operation";
pub(crate) const ROLLBACK_TO_SAVEPOINT: &str = "ROLLBACK TO operation";
pub(crate) const RELEASE_SAVEPOINT: &str = "RELEASE operation";

/// Reserves `$1` version numbers and returns the first one after them. Synced to the disk whatever the durability: a
/// number handed out twice after a loss of power would be two contents under one version (VER-1).
pub(crate) const RESERVE_FULL: &str = "UPDATE meta SET next_version = next_version + $1 RETURNING next_version";
pub(crate) const RESERVE_NORMAL: &str = "PRAGMA synchronous = FULL; \
     UPDATE meta SET next_version = next_version + $1 RETURNING next_version; PRAGMA synchronous = NORMAL";

pub(crate) const CHECKPOINT: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

#[cfg(test)]
mod tests {
    use super::group::*;
    use super::read::*;
    use super::single::*;
    use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
    use sqlx::{AssertSqlSafe, ConnectOptions, Row};

    async fn connection() -> SqliteConnection {
        let mut connection = SqliteConnectOptions::new().in_memory(true).connect().await.unwrap();
        sqlx::raw_sql(include_str!("../schema.sql")).execute(&mut connection).await.unwrap();
        connection
    }

    /// The plan of a statement, one step a line.
    async fn plan(connection: &mut SqliteConnection, sql: &str, first: Option<&str>, beyond: Option<&str>) -> String {
        let query = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
        let query = sqlx::query(query).bind(1).bind(first.map(str::to_owned));
        let query = match beyond {
            Some(beyond) => query.bind(beyond.to_owned()),
            None => query.bind(Vec::new()),
        };
        let rows = query.bind(0).bind(10).bind(10).fetch_all(connection).await.unwrap();
        rows.iter().map(|row| row.get::<String, _>("detail") + "\n").collect()
    }

    #[tokio::test]
    async fn list_1_a_page_is_a_range_of_the_key_index_whatever_the_prefix_holds() {
        let mut connection = connection().await;
        for prefix in ["", "a", "%", "_", "*", "?", "[", "a%_", "\0", "'", "\u{10FFFF}"] {
            let beyond = kv_sql::key_after(prefix);
            let plan = plan(&mut connection, PAGE, Some(prefix), beyond.as_deref()).await;
            assert!(plan.contains("SEARCH kv USING INDEX"), "{prefix:?}: {plan}");
            assert!(plan.contains("(namespace=? AND key>? AND key<?)"), "{prefix:?}: {plan}");
            assert!(!plan.contains("TEMP B-TREE") && !plan.contains("SCAN kv"), "{prefix:?}: {plan}");
        }
    }

    /// SQLite reads a column for its length alone, from the header of the row, where the fifth operand says so.
    #[tokio::test]
    async fn list_6_a_page_asks_for_the_length_of_a_value_and_not_for_the_value() {
        const VALUE_COLUMN: i64 = 7;
        const LENGTH_ALONE: i64 = 0xC0;
        let mut connection = connection().await;
        let reads_of_the_value = async |connection: &mut SqliteConnection, sql: &str| -> Vec<i64> {
            let query = AssertSqlSafe(format!("EXPLAIN {sql}"));
            let rows = sqlx::query(query).fetch_all(&mut *connection).await.unwrap();
            let opened = |row: &sqlx::sqlite::SqliteRow| row.get::<String, _>("opcode") == "OpenRead";
            // The cursor of a table says how many columns are used; that of an index says how a key is made.
            let table = rows.iter().find(|row| opened(row) && row.get::<String, _>("p4").parse::<i64>().is_ok());
            let table: i64 = table.unwrap().get("p1");
            let of_the_value = rows.iter().filter(|row| {
                let column = (row.get::<i64, _>("p1"), row.get::<i64, _>("p2"));
                row.get::<String, _>("opcode") == "Column" && column == (table, VALUE_COLUMN)
            });
            of_the_value.map(|row| row.get("p5")).collect()
        };
        let of_a_page = reads_of_the_value(&mut connection, PAGE).await;
        assert!(
            !of_a_page.is_empty() && of_a_page.iter().all(|how| how & LENGTH_ALONE == LENGTH_ALONE),
            "{of_a_page:?}"
        );
        let of_a_read = reads_of_the_value(&mut connection, GET_VALUE).await;
        assert!(of_a_read.iter().any(|how| how & LENGTH_ALONE == 0), "the test sees a read of it: {of_a_read:?}");
    }

    #[tokio::test]
    async fn no_statement_reads_the_whole_table() {
        let mut connection = connection().await;
        let statements = [
            STATE,
            COUNTER_STATE,
            BOUNDS,
            CREATED,
            EXPIRE_ROWS,
            DELETE_ROWS,
            RECLAIM,
            PUT,
            PUT_IF_NOT_EXISTS,
            PUT_IF_EXISTS,
            PUT_IF_VERSION,
            DELETE,
            DELETE_IF_VERSION,
            EXPIRE,
            INCREMENT,
            COUNTER,
            GET_EXISTENCE,
            GET_VALUE,
            GET_ENTRY,
            GET_MANY_VALUES,
            GET_MANY_ENTRIES,
            GET_MANY_VALUE_ROWS,
            GET_MANY_ENTRY_ROWS,
            PING,
        ];
        for sql in statements {
            let plan = plan(&mut connection, sql, None, None).await;
            assert!(!plan.contains("SCAN kv"), "{sql}: {plan}");
        }
        let plan = plan(&mut connection, RECLAIM, None, None).await;
        assert!(plan.contains("kv_expires_at"), "{plan}");
    }
}
