//! Pages of lists.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use kv_api::{EntryExpiry, ListItem, ListPage, RawPage};

use super::bug::Bug;
use super::system::{Data, Record, Reference};

impl Reference {
    pub(super) fn page(&self, data: &Data, everything: &HashMap<String, Data>, page: &ListPage<'_>) -> RawPage {
        let position = page.position().filter(|_| !self.has(Bug::CursorStartsAgain));
        let key = |position: &[u8]| String::from_utf8_lossy(position.get(1..).unwrap_or_default()).into_owned();
        let after = position.map(key);
        let run = self.system.restarts.load(Ordering::Relaxed);
        let is_of_another_run = position.is_some_and(|position| position.first() != Some(&run));
        let begins = |key: &str| match self.bug {
            Some(Bug::ListPrefixIsAPattern) => begins_like(key, page.prefix()),
            _ => key.starts_with(page.prefix()),
        };
        let shown = |record: &Record| self.has(Bug::ExpiredIsListed) || self.is_live(record);
        let mut found: Vec<(&String, &Record)> =
            data.iter().filter(|(key, record)| begins(key) && shown(record)).collect();
        if self.has(Bug::NamespaceLeaksIntoLists) {
            let others = everything.values().flatten().filter(|(key, _)| begins(key) && !data.contains_key(*key));
            found.extend(others);
        }
        let order = |key: &str| -> Vec<u16> {
            match self.bug {
                Some(Bug::ListOrderIsUtf16) => key.encode_utf16().collect(),
                Some(Bug::ListIgnoresCaseInOrder) => key.to_lowercase().bytes().map(u16::from).collect(),
                _ => key.bytes().map(u16::from).collect(),
            }
        };
        found.sort_by_cached_key(|(key, _)| order(key));
        if let Some(after) = &after {
            let skips = self.has(Bug::ListLosesTheKeyAtTheBorder)
                || (self.has(Bug::CursorSkipsAfterARestart) && is_of_another_run);
            let skipped = usize::from(skips);
            found = found.into_iter().skip_while(|(key, _)| order(key) <= order(after)).skip(skipped).collect();
        }
        let limit = page.limit().get().saturating_add(usize::from(self.has(Bug::PageIsLargerThanAsked)));
        let next = (found.len() > limit).then(|| [&[run], found[limit - 1].0.as_bytes()].concat());
        let item = |(key, record): &(&String, &Record)| {
            ListItem::new(key.as_str())
                .with_metadata(record.metadata.clone().into())
                .with_expiry(record.end.map_or(EntryExpiry::Never, EntryExpiry::At))
                .with_value_bytes(record.listed_bytes as u64)
        };
        RawPage::new(found.iter().take(limit).map(item).collect(), next)
    }
}

/// A prefix in which `%` stands for any text and `_` for any character, as in an unescaped `LIKE`.
fn begins_like(key: &str, pattern: &str) -> bool {
    let Some(first) = pattern.chars().next() else { return true };
    let rest = &pattern[first.len_utf8()..];
    match first {
        '%' => (0..=key.len()).filter(|at| key.is_char_boundary(*at)).any(|at| begins_like(&key[at..], rest)),
        '_' => key.chars().next().is_some_and(|found| begins_like(&key[found.len_utf8()..], rest)),
        _ => key.strip_prefix(first).is_some_and(|key| begins_like(key, rest)),
    }
}
