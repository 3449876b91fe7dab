//! What each method does with the entries of a namespace.

use std::collections::{BTreeMap, BTreeSet};

use kv_api::Timestamp;

use super::document::{self, RESERVED_NAMES};
use super::entry::{Entry, check_numbers, seconds};
use super::listing::Listing;
use super::method::Method;
use super::namespace::{Namespace, PAGE_BYTES, Start};
use super::refusal::Refusal;
use super::switches::{Poison, Switches, Unread};
use crate::javascript::{is_truthy, number_of, stringify, to_number, to_text};
use crate::json::{Map, Number, Value, json};

/// Of a key, in UTF-8.
const KEY_BYTES_MAX: usize = 1024;

/// Of a value, as the text of its JSON: 399 KiB.
const VALUE_BYTES_MAX: usize = 399 * 1024;

/// How many items of a batch the storage takes at once.
const WRITE_CHUNK: usize = 25;

/// How many keys the storage reads at once.
const READ_CHUNK: usize = 100;

/// What a method answers; `None` where it answers nothing.
pub(super) type Result<T = Option<Value>> = std::result::Result<T, Refusal>;

pub(super) type Arguments = Map;

/// The driver at work on one call.
pub(super) struct Driver<'a> {
    pub(super) namespace: &'a mut Namespace,
    pub(super) switches: &'a Switches,
    /// Whether the entries are another app's.
    pub(super) foreign: bool,
    /// How many gets of many keys there were before.
    pub(super) gets_of_many: usize,
    /// How many items of a batch are written before the storage fails.
    pub(super) items_until_failure: Option<usize>,
    pub(super) now: Timestamp,
}

impl Driver<'_> {
    pub(super) fn call(&mut self, method: Method, arguments: &Arguments) -> Result {
        match method {
            Method::Set => self.set(arguments),
            Method::Get => self.get(arguments),
            Method::BatchPut => self.batch_put(arguments),
            Method::Del => self.del(arguments),
            Method::List => self.list(arguments),
            Method::Flush => self.flush(),
            Method::ExpireAt => self.expire_at(arguments),
            Method::Expire => self.expire(arguments),
            Method::Incr => self.incr(arguments),
            Method::Decr => self.decr(arguments),
            Method::Update => self.update(arguments),
            Method::Add => self.add(arguments),
            Method::Remove => self.remove(arguments),
        }
    }

    fn set(&mut self, arguments: &Arguments) -> Result {
        let key = key(arguments.get("key"))?;
        let value = arguments.get("value").ok_or_else(|| Refusal::bad_request("Missing `value`"))?;
        check_key(&key)?;
        check_value(value)?;
        self.check_private(&key)?;
        let entry = Entry {
            value: Some(value.clone()),
            expire_at: arguments.get("expireAt").cloned(),
            private: disables_sharing(arguments),
        };
        entry.check(self.namespace.name(), &key)?;
        self.namespace.put(&key, Some(entry));
        Ok(Some(json!(true)))
    }

    fn get(&mut self, arguments: &Arguments) -> Result {
        let keys = match arguments.get("key") {
            Some(Value::Array(keys)) => keys.iter().map(|own| key(Some(own))).collect::<Result<Vec<_>>>()?,
            one => {
                let key = key(one)?;
                check_key(&key)?;
                return self.visible(&key).map(Some);
            }
        };
        keys.iter().try_for_each(|key| check_key(key))?;
        let unread = self.unread(&keys);
        let values = keys.iter().map(|key| if unread.contains(key) { Ok(Value::Null) } else { self.visible(key) });
        values.collect::<Result<Vec<_>>>().map(|values| Some(Value::Array(values)))
    }

    /// The value of an entry that a get sees, or null.
    fn visible(&self, key: &str) -> Result<Value> {
        match self.namespace.get(key) {
            // It is read before it is looked at.
            Some(entry) if entry.is_poisoned() => Err(Refusal::internal()),
            Some(entry) if entry.is_got(self.now) && !(self.foreign && entry.private) => {
                Ok(entry.value.clone().unwrap_or_default())
            }
            _ => Ok(Value::Null),
        }
    }

    /// The keys that the storage leaves out: it reads a chunk until it comes to a page, and is not asked for the rest.
    fn unread<'k>(&self, keys: &'k [String]) -> BTreeSet<&'k String> {
        let begin = match self.switches.unread {
            Unread::None => return BTreeSet::new(),
            Unread::Last => 0,
            Unread::Rotating => self.gets_of_many,
        };
        let mut wanted: Vec<&String> = Vec::with_capacity(keys.len());
        let mut known = BTreeSet::new();
        wanted.extend(keys.iter().filter(|key| known.insert(*key)));
        let mut unread = BTreeSet::new();
        for chunk in wanted.chunks(READ_CHUNK) {
            let mut bytes = 0;
            for index in 0..chunk.len() {
                let key = chunk[(begin + index) % chunk.len()];
                if bytes >= PAGE_BYTES {
                    unread.insert(key);
                } else if let Some(entry) = self.namespace.get(key) {
                    bytes += entry.bytes(self.namespace.name(), key);
                }
            }
        }
        unread
    }

    fn batch_put(&mut self, arguments: &Arguments) -> Result {
        let items = match arguments.get("items") {
            Some(Value::Array(items)) if !items.is_empty() => items,
            _ => return Err(Refusal::bad_request("Missing or empty `items`")),
        };
        let mut keys = Vec::with_capacity(items.len());
        for item in items {
            if item.is_null() {
                return Err(Refusal::internal());
            }
            keys.push(key(item.get("key"))?);
        }
        let private = disables_sharing(arguments);
        let mut entries: Vec<(String, Entry)> = Vec::with_capacity(items.len());
        let mut places = BTreeMap::new();
        for (key, item) in keys.into_iter().zip(items) {
            check_key(&key)?;
            let value = item.get("value").cloned();
            check_value(value.as_ref().unwrap_or(&Value::Null))?;
            let entry = Entry { value, expire_at: item.get("expireAt").cloned(), private };
            // The last one wins, in the place of the first.
            let place = *places.entry(key.clone()).or_insert(entries.len());
            match entries.get_mut(place) {
                Some(earlier) => earlier.1 = entry,
                None => entries.push((key, entry)),
            }
        }
        for (key, _) in &entries {
            self.check_private(key)?;
        }
        let until_failure = self.items_until_failure.unwrap_or(usize::MAX);
        let fails = until_failure < entries.len();
        entries.truncate(until_failure);
        for chunk in entries.chunks(WRITE_CHUNK) {
            // The storage refuses a chunk whole. Those before it stay.
            for (key, entry) in chunk {
                entry.check(self.namespace.name(), key)?;
            }
            for (key, entry) in chunk {
                self.namespace.put(key, Some(entry.clone()));
            }
        }
        if fails { Err(Refusal::batch_not_stored()) } else { Ok(Some(json!(true))) }
    }

    fn del(&mut self, arguments: &Arguments) -> Result {
        let key = key(arguments.get("key"))?;
        if key.len() > KEY_BYTES_MAX {
            return Err(Refusal::storage(
                "One or more parameter values were invalid: Aggregated size of all range keys has exceeded the size limit of \
                 1024 bytes",
            ));
        }
        self.check_private(&key)?;
        if self.namespace.get(&key).is_some() {
            self.namespace.put(&key, None);
        }
        Ok(Some(json!(true)))
    }

    fn list(&mut self, arguments: &Arguments) -> Result {
        let listing = Listing::read(arguments, self.namespace.name())?;
        listing.answer(self.namespace, self.foreign, self.switches.poison, self.now).map(Some)
    }

    fn flush(&mut self) -> Result {
        let page = self.namespace.page("", &Start::First, None);
        let unreadable = page.entries.iter().any(|(_, entry)| entry.is_poisoned());
        if unreadable && self.switches.poison == Poison::Everything {
            return Err(Refusal::internal());
        }
        let keys: Vec<String> = page.entries.into_iter().map(|(key, _)| key.to_owned()).collect();
        for key in keys {
            self.namespace.put(&key, None);
        }
        Ok(Some(json!(true)))
    }

    fn expire_at(&mut self, arguments: &Arguments) -> Result {
        let key = key(arguments.get("key"))?;
        let Some(time @ Value::Number(_)) = arguments.get("timestamp") else {
            return Err(Refusal::bad_request("`timestamp` must be a number"));
        };
        self.put_time(&key, time.clone())
    }

    fn expire(&mut self, arguments: &Arguments) -> Result {
        let key = key(arguments.get("key"))?;
        let Some(ttl @ Value::Number(_)) = arguments.get("ttl") else {
            return Err(Refusal::bad_request("`ttl` must be a number (seconds)"));
        };
        self.put_time(&key, self.after(to_number(ttl)))
    }

    /// A time so many seconds from now, counted from the last whole second.
    fn after(&self, ttl: f64) -> Value {
        number_of(seconds(self.now).floor() + ttl)
    }

    /// On an entry that has expired too, and, where the key is missing, on a new one whose value is null.
    fn put_time(&mut self, key: &str, time: Value) -> Result {
        check_key(key)?;
        self.check_private(key)?;
        let mut entry = self.namespace.get(key).cloned().unwrap_or_default();
        entry.value.get_or_insert_default();
        entry.expire_at = Some(time.clone());
        check_numbers(&time)?;
        self.write_updated(key, entry)?;
        Ok(None)
    }

    fn incr(&mut self, arguments: &Arguments) -> Result {
        self.count(arguments, |amount| match amount {
            Value::Number(amount) => Ok(Some(*amount)),
            _ => Err(Refusal::bad_request("kv: all values in pathAndAmountMap must be numbers")),
        })
    }

    /// Negated before anything else is looked at, so that a text becomes a number, and any other text `NaN`.
    fn decr(&mut self, arguments: &Arguments) -> Result {
        self.count(arguments, |amount| match number_of(-to_number(amount)) {
            Value::Number(amount) => Ok(Some(amount)),
            _ => Ok(None),
        })
    }

    fn count(&mut self, arguments: &Arguments, amount: fn(&Value) -> Result<Option<Number>>) -> Result {
        let key = key(arguments.get("key"))?;
        let amounts = object(arguments, "pathAndAmountMap")?;
        check_key(&key)?;
        if amounts.is_empty() {
            return Err(Refusal::bad_request("kv: incr requires pathAndAmountMap"));
        }
        let numbers = amounts.values().map(amount).collect::<Result<Vec<_>>>()?;
        let paths: Vec<&str> = amounts.keys().collect();
        let mut entry = self.with_parents(&key, &paths)?;
        let mut changes = Vec::with_capacity(paths.len());
        for (steps, by) in document::paths_to_set(&paths)?.into_iter().zip(numbers) {
            let by = by.ok_or_else(Refusal::internal)?;
            check_numbers(&Value::Number(by))?;
            let sum = document::sum(document::get(entry.value.as_ref(), &steps), by)?;
            changes.push((steps, sum));
        }
        document::set_all(&mut entry.value, changes)?;
        self.put_document(&key, entry)
    }

    fn update(&mut self, arguments: &Arguments) -> Result {
        let key = key(arguments.get("key"))?;
        let values = object(arguments, "pathAndValueMap")?;
        check_key(&key)?;
        if values.is_empty() {
            return Err(Refusal::bad_request("kv: update requires pathAndValueMap"));
        }
        values.values().try_for_each(check_value)?;
        let ttl = arguments.get("ttl").map(to_number);
        if ttl.is_some_and(f64::is_nan) {
            return Err(Refusal::bad_request("kv: ttl must be a number"));
        }
        let paths: Vec<&str> = values.keys().collect();
        let mut entry = self.with_parents(&key, &paths)?;
        let steps = document::paths_to_set(&paths)?;
        values.values().try_for_each(check_numbers)?;
        document::set_all(&mut entry.value, steps.into_iter().zip(values.values().cloned()).collect())?;
        if let Some(ttl) = ttl {
            let time = self.after(ttl);
            check_numbers(&time)?;
            entry.expire_at = Some(time);
        }
        self.put_document(&key, entry)
    }

    fn add(&mut self, arguments: &Arguments) -> Result {
        let key = key(arguments.get("key"))?;
        let values = object(arguments, "pathAndValueMap")?;
        check_key(&key)?;
        if values.is_empty() {
            return Err(Refusal::bad_request("kv: add requires pathAndValueMap"));
        }
        values.values().try_for_each(check_value)?;
        let paths: Vec<&str> = values.keys().collect();
        let mut entry = self.with_parents(&key, &paths)?;
        let mut changes = Vec::with_capacity(paths.len());
        for (steps, more) in document::paths_to_set(&paths)?.into_iter().zip(values.values()) {
            check_numbers(more)?;
            let longer = document::appended(document::get(entry.value.as_ref(), &steps), more.clone())?;
            changes.push((steps, longer));
        }
        document::set_all(&mut entry.value, changes)?;
        self.put_document(&key, entry)
    }

    fn remove(&mut self, arguments: &Arguments) -> Result {
        let key = key(arguments.get("key"))?;
        let paths = match arguments.get("paths") {
            Some(Value::Array(paths)) if !paths.is_empty() => paths,
            _ => return Err(Refusal::bad_request("Missing or invalid `paths`")),
        };
        check_key(&key)?;
        let paths: Option<Vec<&str>> = paths.iter().map(Value::as_str).collect();
        let paths = paths.ok_or_else(|| Refusal::bad_request("kv: path must be a string"))?;
        document::check_paths(paths.iter().copied())?;
        self.check_private(&key)?;
        if let Some(mut entry) = self.namespace.get(&key).cloned()
            && document::remove(&mut entry.value, &paths)
        {
            return self.put_document(&key, entry);
        }
        self.visible(&key).map(Some)
    }

    /// The entry with the objects that the paths lead through. Those that were missing are written first, by
    /// themselves.
    fn with_parents(&mut self, key: &str, paths: &[&str]) -> Result<Entry> {
        document::check_paths(paths.iter().copied())?;
        self.check_private(key)?;
        let old = self.namespace.get(key);
        let mut entry = old.cloned().unwrap_or_default();
        let created = document::create_parents(&mut entry.value, paths);
        if entry.value != old.and_then(|old| old.value.clone()) {
            self.namespace.put(key, Some(entry.clone()));
        }
        created.map(|()| entry)
    }

    /// Writes, and then reads what it has written, which can fail.
    fn put_document(&mut self, key: &str, entry: Entry) -> Result {
        let (value, poisoned) = (entry.value.clone(), entry.is_poisoned());
        self.write_updated(key, entry)?;
        if poisoned { Err(Refusal::internal()) } else { Ok(value) }
    }

    /// Writes what the storage has worked out itself, numbers that the program could not have sent included.
    fn write_updated(&mut self, key: &str, entry: Entry) -> Result<()> {
        if !entry.fits(self.namespace.name(), key) {
            return Err(Refusal::storage("Item size to update has exceeded the maximum allowed size"));
        }
        self.namespace.put(key, Some(entry));
        Ok(())
    }

    /// Keeps another app from changing what is private.
    fn check_private(&self, key: &str) -> Result<()> {
        if self.foreign && self.namespace.get(key).is_some_and(|entry| entry.private) {
            return Err(Refusal::forbidden("kv: this entry is private to the app that wrote it"));
        }
        Ok(())
    }
}

/// Any key becomes a text; an empty one does not count as a key.
fn key(key: Option<&Value>) -> Result<String> {
    let key = key.filter(|key| !key.is_null()).map(to_text);
    key.filter(|key| !key.is_empty()).ok_or_else(Refusal::missing_key)
}

fn check_key(key: &str) -> Result<()> {
    if key.len() > KEY_BYTES_MAX {
        return Err(Refusal::bad_request(format!("kv: key exceeds {KEY_BYTES_MAX} byte limit")));
    }
    Ok(())
}

fn check_value(value: &Value) -> Result<()> {
    if stringify(value).len() > VALUE_BYTES_MAX {
        return Err(Refusal::bad_request(format!("kv: value exceeds {VALUE_BYTES_MAX} byte limit")));
    }
    match reserved_name(value) {
        Some(name) => Err(Refusal::bad_request(format!("kv: value key `{name}` is not allowed"))),
        None => Ok(()),
    }
}

fn reserved_name(value: &Value) -> Option<&str> {
    match value {
        Value::Array(items) => items.iter().find_map(reserved_name),
        Value::Object(members) => {
            let own = members.keys().find(|name| RESERVED_NAMES.contains(name));
            own.or_else(|| members.values().find_map(reserved_name))
        }
        _ => None,
    }
}

fn object<'a>(arguments: &'a Arguments, name: &str) -> Result<&'a Map> {
    let own = arguments.get(name).and_then(Value::as_object);
    own.ok_or_else(|| Refusal::bad_request(format!("Missing or invalid `{name}`")))
}

/// Whether the call marks what it writes as private.
pub(super) fn disables_sharing(arguments: &Arguments) -> bool {
    arguments.get("optConfig").and_then(|config| config.get("disableSharing")).is_some_and(is_truthy)
}
