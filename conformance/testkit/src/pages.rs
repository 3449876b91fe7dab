//! A walk page by page.

use kv_api::Store;

/// The keys of each page of a listing, with the empty pages.
///
/// # Panics
///
/// When a page cannot be had, or holds more keys than the limit.
#[expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
pub async fn pages(store: &Store, prefix: &str, limit: Option<usize>) -> Vec<Vec<String>> {
    let (mut pages, mut cursor) = (Vec::new(), None);
    loop {
        let mut list = store.list().prefix(prefix);
        if let Some(limit) = limit {
            list = list.limit(limit);
        }
        let page = match cursor.take() {
            None => list.await.unwrap(),
            Some(cursor) => list.cursor(cursor).await.unwrap(),
        };
        assert!(limit.is_none_or(|limit| page.items.len() <= limit));
        pages.push(page.items.into_iter().map(|item| item.key).collect());
        cursor = page.cursor;
        if cursor.is_none() {
            return pages;
        }
    }
}
