//! Pages of lists.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use kv_api::{EntryExpiry, ListItem, ListPage, RawPage};

use super::bug::Bug;
use super::odd::Odd;
use super::system::{Data, Record, Reference};

impl Reference {
    pub(super) fn page(&self, data: &Data, everything: &HashMap<String, Data>, page: &ListPage<'_>) -> RawPage {
        let run = self.system.restarts.load(Ordering::Relaxed);
        let place = page.position().filter(|_| !self.has(Bug::CursorStartsAgain)).map(Place::parse).unwrap_or_default();
        let is_of_another_run = place.run.is_some_and(|of| of != run);
        let after = place.after.as_deref();
        let mut found = self.listed(data, everything, page.prefix());
        let mut repeats = false;
        if let Some(after) = after {
            let skips = self.has(Bug::ListLosesTheKeyAtTheBorder)
                || (self.has(Bug::CursorSkipsAfterARestart) && is_of_another_run);
            let border = self.order(after);
            repeats = self.is(Odd::ListsByHash) && found.iter().any(|(key, _)| *key == after);
            let is_before =
                |(key, _): &(&str, &Record)| if repeats { self.order(key) < border } else { self.order(key) <= border };
            found = match after.parse() {
                Ok(offset) if self.has(Bug::CursorIsAnOffset) => found.into_iter().skip(offset).collect(),
                _ => found.into_iter().skip_while(is_before).skip(usize::from(skips)).collect(),
            };
        }
        let mut limit = page.limit().get();
        if self.is(Odd::GivesWholeBlocks) {
            limit = limit.max(100);
        }
        if self.is(Odd::GivesShortPages) {
            limit = if place.is_after_an_empty_page { limit.div_ceil(2) } else { 0 };
        }
        if limit > 0 {
            limit = limit.saturating_add(usize::from(self.has(Bug::PageIsLargerThanAsked) || repeats));
        }
        // A key that is repeated is nothing more.
        let has_more =
            if self.is(Odd::GivesShortPages) { found.len() > usize::from(repeats) } else { found.len() > limit };
        found.truncate(limit);
        let next = has_more.then(|| {
            let offset = after.and_then(|after| after.parse().ok()).unwrap_or(0) + limit;
            let offset = Some(offset.to_string()).filter(|_| self.has(Bug::CursorIsAnOffset));
            let last = offset.as_deref().or(found.last().map(|(key, _)| *key)).or(after);
            Place { run: Some(run), is_after_an_empty_page: limit == 0, after: last.map(str::to_owned) }.to_bytes()
        });
        RawPage::new(found.into_iter().map(|(key, record)| self.item(key, record)).collect(), next)
    }

    /// All that a list shows below a prefix, in its order.
    pub(super) fn listed<'d>(
        &self,
        data: &'d Data,
        everything: &'d HashMap<String, Data>,
        prefix: &str,
    ) -> Vec<(&'d str, &'d Record)> {
        let begins = |key: &str| match self.bug {
            Some(Bug::ListPrefixIsAPattern) => begins_like(key, prefix),
            Some(Bug::ListIgnoresThePrefix) => true,
            _ => key.starts_with(prefix),
        };
        let shown = |record: &Record| self.has(Bug::ExpiredIsListed) || self.is_live(record);
        let own = data.iter().filter_map(|(key, record)| Some((key.strip_prefix(&*self.root)?, record)));
        let mut found: Vec<(&str, &Record)> = own.filter(|(key, record)| begins(key) && shown(record)).collect();
        if self.has(Bug::NamespaceLeaksIntoLists) {
            let others = everything.values().flatten().filter(|(key, _)| begins(key) && !data.contains_key(*key));
            found.extend(others.map(|(key, record)| (key.as_str(), record)));
        }
        found.sort_by_cached_key(|(key, _)| self.order(key));
        found
    }

    fn order(&self, key: &str) -> Vec<u16> {
        match self.bug {
            Some(Bug::ListOrderIsUtf16) => key.encode_utf16().collect(),
            Some(Bug::ListIgnoresCaseInOrder) => key.to_lowercase().bytes().map(u16::from).collect(),
            _ if self.is(Odd::ListsByHash) => std::iter::once(hash(key)).chain(key.bytes().map(u16::from)).collect(),
            _ => key.bytes().map(u16::from).collect(),
        }
    }

    fn item(&self, key: &str, record: &Record) -> ListItem {
        let mut item = ListItem::new(key);
        if self.reported.list_metadata {
            let metadata = record.metadata.clone().filter(|_| !self.has(Bug::ListedMetadataIsMissing));
            item = item.with_metadata(metadata.into());
        }
        if self.reported.list_expiry {
            let end = record.end.filter(|_| !self.has(Bug::ListedExpiryIsMissing));
            item = item.with_expiry(end.map_or(EntryExpiry::Never, EntryExpiry::At));
        }
        if self.reported.list_value_bytes {
            item = item.with_value_bytes(record.listed_bytes as u64);
        }
        item
    }
}

/// Where a walk goes on.
#[derive(Debug, Default)]
struct Place {
    /// How often the system had been started again.
    run: Option<u8>,
    is_after_an_empty_page: bool,
    /// None before all keys.
    after: Option<String>,
}

impl Place {
    fn parse(position: &[u8]) -> Self {
        let (head, after) = position.split_at_checked(2).unwrap_or((position, &[]));
        let after = Some(String::from_utf8_lossy(after).into_owned()).filter(|after| !after.is_empty());
        Self { run: head.first().copied(), is_after_an_empty_page: head.get(1) == Some(&1), after }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let head = [self.run.unwrap_or_default(), u8::from(self.is_after_an_empty_page)];
        [&head, self.after.as_deref().unwrap_or_default().as_bytes()].concat()
    }
}

/// Anything but an order that somebody would expect.
pub(super) fn hash(key: &str) -> u16 {
    key.bytes().fold(5381, |hash, byte| hash.wrapping_mul(33) ^ u16::from(byte))
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
