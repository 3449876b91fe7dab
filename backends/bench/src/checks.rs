//! That a contender does what it is timed for.

use std::sync::Arc;

use kv_api::Value;

use crate::database::{Batches, Conditions, Database, Pages, batch_gets, batch_sets, gets, inserts, pages, sets};
use crate::entries::Entries;
use crate::payload::{KEYS_PER_PREFIX, SMALL, key, prefix};
use crate::row::Row;

/// What is set is got, and what is not there is missed.
pub(crate) async fn keeps_what_it_is_given<D: Database>(database: &Arc<D>, entries: &Entries) {
    let value = Value::from("longer than one hundred bytes ".repeat(4));
    let row = |number| Row::new(number, &value).without_metadata();
    sets(Arc::clone(database), vec![vec![row(4)], vec![row(7)]]).await.unwrap();
    gets(Arc::clone(database), vec![vec![key(4)], vec![key(7)]], value.as_bytes().len()).await.unwrap();
    gets(Arc::clone(database), vec![vec![key(5)]], SMALL).await.unwrap();
    assert!(gets(Arc::clone(database), vec![vec![key(5)]], SMALL + 1).await.is_err());
    assert!(gets(Arc::clone(database), vec![vec![key(9 * entries.count)]], SMALL).await.is_err());
}

/// A condition is kept: each of these rows is new, once.
pub(crate) async fn sets_only_what_is_not_there<D: Conditions + Database>(database: &Arc<D>, fresh: &[Row]) {
    assert!(!database.set_if_not_exists(&Row::new(4, &Value::from("v")).without_metadata()).await.unwrap());
    inserts(Arc::clone(database), fresh.to_vec()).await.unwrap();
    assert!(inserts(Arc::clone(database), fresh.to_vec()).await.is_err());
    gets(Arc::clone(database), vec![vec![fresh[0].key.clone()]], SMALL).await.unwrap();
}

/// Batches write every entry and find what is there.
pub(crate) async fn answers_batches<D: Batches>(database: &Arc<D>, entries: &Entries) {
    const BATCH: usize = 1000;
    batch_sets(Arc::clone(database), entries.row_batches(2, BATCH)).await.unwrap();
    batch_sets(Arc::clone(database), vec![vec![Row::new(9 * entries.count, &Value::from("v")).without_metadata()]])
        .await
        .unwrap();
    batch_gets(Arc::clone(database), entries.key_batches(2, BATCH)).await.unwrap();
    batch_gets(Arc::clone(database), vec![vec![key(9 * entries.count)]]).await.unwrap();
    assert!(batch_gets(Arc::clone(database), vec![vec![key(0), key(8 * entries.count)]]).await.is_err());
}

/// A page has the keys below its prefix.
pub(crate) async fn answers_pages<D: Pages>(database: &Arc<D>, entries: &Entries) {
    pages(Arc::clone(database), vec![prefix(0), prefix(1)], KEYS_PER_PREFIX).await.unwrap();
    assert_eq!(database.page(&prefix(7 * entries.count / KEYS_PER_PREFIX), KEYS_PER_PREFIX).await.unwrap(), 0);
}
