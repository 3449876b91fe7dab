//! How many requests a call takes.

use kv_api::{Capabilities, Condition, Expire, Expiry, Increment, Support, Write};

/// What calls cost, by the capabilities of the backend that makes the requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Costs {
    write_items: usize,
    read_items: usize,
    if_not_exists: u32,
    if_exists: u32,
    if_version: u32,
    increment: u32,
    increment_with_ttl: u32,
    expire: u32,
    expire_if_version: u32,
    pub(super) touch: u32,
    pub(super) get_and_delete: u32,
}

impl Costs {
    pub(super) fn of(capabilities: &Capabilities) -> Self {
        // What is not the system's own is a look and a write.
        let of = |support| if support == Support::Native { 1 } else { 2 };
        Self {
            write_items: capabilities.bulk_write_items.max(1),
            read_items: capabilities.bulk_read_items.max(1),
            if_not_exists: of(capabilities.if_not_exists),
            if_exists: of(capabilities.if_exists),
            if_version: of(capabilities.if_version),
            increment: of(capabilities.counters),
            increment_with_ttl: of(capabilities.counter_ttl.min(capabilities.counters)),
            expire: of(capabilities.expire),
            expire_if_version: of(capabilities.expire_if_version.min(capabilities.expire)),
            touch: of(capabilities.touch),
            get_and_delete: of(capabilities.get_and_delete),
        }
    }

    pub(super) const fn of_condition(&self, condition: &Condition) -> u32 {
        match condition {
            Condition::Always => 1,
            Condition::IfNotExists => self.if_not_exists,
            Condition::IfExists => self.if_exists,
            Condition::IfVersion(_) => self.if_version,
            _ => 2,
        }
    }

    pub(super) const fn of_delete(&self, is_conditional: bool) -> u32 {
        if is_conditional { self.if_version } else { 1 }
    }

    pub(super) fn of_increment(&self, increment: &Increment<'_>) -> u32 {
        if increment.created_expiry() != Expiry::Never { self.increment_with_ttl } else { self.increment }
    }

    pub(super) fn of_expire(&self, expire: &Expire<'_>) -> u32 {
        if expire.if_version().is_some() { self.expire_if_version } else { self.expire }
    }

    pub(super) fn of_reads(&self, items: usize) -> u32 {
        requests(items, self.read_items)
    }

    pub(super) fn of_deletes(&self, items: usize) -> u32 {
        requests(items, self.write_items)
    }

    /// Items that share requests, and those that have some of their own.
    pub(super) fn of_writes<'w, 'a: 'w>(&self, writes: impl IntoIterator<Item = &'w Write<'a>>) -> u32 {
        let mut tally = Tally::default();
        writes.into_iter().for_each(|write| tally.add(self, write));
        tally.requests(self)
    }

    /// Divides writes into parts of which each takes at most so many requests, or is a single write.
    pub(super) fn parts<'a>(&self, writes: Vec<Write<'a>>, requests_max: u32) -> Vec<Vec<Write<'a>>> {
        let mut parts: Vec<Vec<Write<'a>>> = Vec::new();
        let mut tally = Tally::default();
        for write in writes {
            let mut grown = tally;
            grown.add(self, &write);
            match parts.last_mut() {
                Some(part) if grown.requests(self) <= requests_max => {
                    part.push(write);
                    tally = grown;
                }
                _ => {
                    tally = Tally::default();
                    tally.add(self, &write);
                    parts.push(vec![write]);
                }
            }
        }
        parts
    }

    /// How many items of a read of many, and of a delete of many, take so many requests.
    pub(super) fn items_in(&self, requests: u32) -> (usize, usize) {
        let requests = usize::try_from(requests).unwrap_or(usize::MAX);
        (self.read_items.saturating_mul(requests), self.write_items.saturating_mul(requests))
    }
}

#[derive(Clone, Copy, Default)]
struct Tally {
    /// Items that share requests.
    shared: usize,
    /// The requests of the others.
    own: u32,
}

impl Tally {
    fn add(&mut self, costs: &Costs, write: &Write<'_>) {
        match costs.of_condition(write.condition()) {
            1 => self.shared += 1,
            own => self.own = self.own.saturating_add(own),
        }
    }

    fn requests(self, costs: &Costs) -> u32 {
        requests(self.shared, costs.write_items).saturating_add(self.own)
    }
}

fn requests(items: usize, in_one: usize) -> u32 {
    u32::try_from(items.div_ceil(in_one)).unwrap_or(u32::MAX)
}
