//! One entry as the storage keeps it: what it holds, when it shows, how large it is.

use kv_api::Timestamp;

use super::refusal::Refusal;
use crate::javascript::{SAFE_INTEGER_MAX, is_truthy, to_number};
use crate::json::{Number, Value};

/// How large an entry may be in the storage: key, value and all else together.
const ITEM_BYTES_MAX: usize = 400 * 1024;

/// The smallest magnitude that the storage has a number for, zero apart. Documented by its vendor, not observed.
const MAGNITUDE_MIN: f64 = 1e-130;

/// How long after their time expired entries are still swept: later ones are taken for a mistake. Documented by the
/// vendor of the storage, not observed.
const SWEPT_WITHIN_SECONDS: f64 = 5.0 * 365.0 * 24.0 * 3600.0;

/// Seconds since the Unix epoch, as the program counts time.
pub(super) fn seconds(now: Timestamp) -> f64 {
    // Exact: a double holds the microseconds of 285 years.
    let micros = now.as_unix_micros();
    micros as f64 / 1e6
}

/// What is stored under a key.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Entry {
    /// `None` for an entry that is there without a value.
    pub(super) value: Option<Value>,
    /// As it was sent, whatever that was.
    pub(super) expire_at: Option<Value>,
    /// Whether other apps are kept out.
    pub(super) private: bool,
}

impl Entry {
    /// Whether a get sees it: unless its time, if it is something and not nothing, is at most now. Only numbers and
    /// what turns into one can be that.
    pub(super) fn is_got(&self, now: Timestamp) -> bool {
        // Written so that NaN, which is at most nothing, counts as a time that never comes.
        !self.expire_at.as_ref().is_some_and(|time| is_truthy(time) && to_number(time) <= seconds(now))
    }

    /// Whether a listing sees it: without a time, or with a number that is above now. Zero, null and texts are neither.
    pub(super) fn is_listed(&self, now: Timestamp) -> bool {
        match &self.expire_at {
            None => true,
            Some(Value::Number(time)) => time.as_f64() > seconds(now),
            Some(_) => false,
        }
    }

    /// Whether the storage removes it in time.
    pub(super) fn is_swept(&self, now: Timestamp) -> bool {
        let time = self.expire_at.as_ref().and_then(Value::as_f64);
        time.is_some_and(|time| time <= seconds(now) && time > seconds(now) - SWEPT_WITHIN_SECONDS)
    }

    /// Whether the program fails to read it: the storage counts on where its numbers end.
    pub(super) fn is_poisoned(&self) -> bool {
        self.value.as_ref().is_some_and(|value| any_number(value, &is_beyond))
    }

    /// Whether the program can hand it to the storage, and the storage keep it.
    pub(super) fn check(&self, namespace: &str, key: &str) -> Result<(), Refusal> {
        for part in [&self.value, &self.expire_at].into_iter().flatten() {
            check_numbers(part)?;
        }
        if self.fits(namespace, key) { Ok(()) } else { Err(Refusal::item_too_large()) }
    }

    /// Whether it is not too large for the storage.
    pub(super) fn fits(&self, namespace: &str, key: &str) -> bool {
        self.bytes(namespace, key) <= ITEM_BYTES_MAX
    }

    /// The size that the storage counts, by its vendor's documents: texts by their bytes, numbers by two digits a byte,
    /// and the names of the attributes too.
    pub(super) fn bytes(&self, namespace: &str, key: &str) -> usize {
        let attribute = |name: &str, value: &Option<Value>| value.as_ref().map_or(0, |value| name.len() + bytes(value));
        let private = if self.private { "noShare".len() + 1 } else { 0 };
        let own = "namespace".len() + namespace.len() + "key".len() + key.len();
        own + attribute("value", &self.value) + attribute("ttl", &self.expire_at) + private
    }
}

/// Whether the program can hand all numbers of a value to the storage.
pub(super) fn check_numbers(value: &Value) -> Result<(), Refusal> {
    if any_number(value, &is_beyond) {
        return Err(Refusal::internal());
    }
    if any_number(value, &|number| number != 0.0 && number.abs() < MAGNITUDE_MIN) {
        return Err(Refusal::storage(
            "Number underflow. Attempting to store a number with magnitude smaller than supported range",
        ));
    }
    Ok(())
}

fn is_beyond(number: f64) -> bool {
    number.abs() > SAFE_INTEGER_MAX as f64
}

fn any_number(value: &Value, test: &impl Fn(f64) -> bool) -> bool {
    match value {
        Value::Number(number) => test(number.as_f64()),
        Value::Array(items) => items.iter().any(|item| any_number(item, test)),
        Value::Object(members) => members.values().any(|member| any_number(member, test)),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

fn bytes(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 1,
        Value::Number(number) => number_bytes(*number),
        Value::String(text) => text.len(),
        Value::Array(items) => 3 + items.iter().map(|item| 1 + bytes(item)).sum::<usize>(),
        Value::Object(members) => {
            3 + members.iter().map(|(name, member)| 1 + name.len() + bytes(member)).sum::<usize>()
        }
    }
}

/// One byte for every two significant digits, and one more; one for a minus sign.
fn number_bytes(number: Number) -> usize {
    let text = format!("{:e}", number.as_f64());
    let mantissa = text.split('e').next().unwrap_or_default();
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count();
    1 + digits.div_ceil(2) + usize::from(mantissa.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::json;

    const NOW: Timestamp = Timestamp::from_unix_micros(1_000_500_000);

    #[test]
    fn odd_times_hide_an_entry_from_some() {
        let check = |time: Value, got: bool, listed: bool| {
            let entry = Entry { expire_at: Some(time.clone()), ..Entry::default() };
            assert_eq!((entry.is_got(NOW), entry.is_listed(NOW)), (got, listed), "{time}");
        };
        check(json!(1001), true, true);
        check(json!(1000.6), true, true);
        check(json!(1000.5), false, false);
        check(json!(1000), false, false);
        check(json!(-5), false, false);
        check(json!(true), false, false);
        check(json!(false), true, false);
        check(json!(0), true, false);
        check(json!(null), true, false);
        check(json!(""), true, false);
        check(json!("1001"), true, false);
        check(json!("1000"), false, false);
        check(json!("soon"), true, false);
        check(json!({}), true, false);
        let entry = Entry::default();
        assert!(entry.is_got(NOW) && entry.is_listed(NOW));
    }

    #[test]
    fn only_numbers_of_the_last_years_are_swept() {
        let now = Timestamp::from_unix_seconds(1_800_000_000);
        let swept = |time: Value| Entry { expire_at: Some(time), ..Entry::default() }.is_swept(now);
        assert!(swept(json!(1_800_000_000)) && swept(json!(1_700_000_000.5)));
        for time in [json!(1_800_000_001), json!(0), json!(-5), json!("5"), json!(true), json!(1_600_000_000)] {
            assert!(!swept(time.clone()), "{time}");
        }
        assert!(!Entry::default().is_swept(now));
    }

    #[test]
    fn numbers_that_cannot_be_stored_are_found_at_any_depth() {
        let check = |value: Value, status: Option<u16>| {
            let refused = check_numbers(&json!({"a": [value.clone()]})).err();
            assert_eq!(refused.map(|refused| refused.status), status, "{value}");
        };
        check(json!(SAFE_INTEGER_MAX), None);
        check(json!(-SAFE_INTEGER_MAX), None);
        check(json!(SAFE_INTEGER_MAX + 1), Some(500));
        check(json!(-1e20), Some(500));
        check(json!(1e-130), None);
        check(json!(9e-131), Some(400));
        check(json!(0), None);
        check(json!("1e20"), None);
    }

    #[test]
    fn sizes_count_names_digits_and_structure() {
        let check = |value: Value, expected: usize| assert_eq!(bytes(&value), expected, "{value}");
        check(json!("é"), 2);
        check(json!(true), 1);
        check(json!(0), 2);
        check(json!(42), 2);
        check(json!(-123), 4);
        check(json!(0.5), 2);
        check(json!([1, "ab"]), 3 + 3 + 3);
        check(json!({"a": {}}), 3 + 2 + 3);
        let entry = Entry { value: Some(json!("x")), expire_at: Some(json!(10)), private: true };
        assert_eq!(entry.bytes("ns", "k"), (9 + 2) + (3 + 1) + (5 + 1) + (3 + 2) + (7 + 1));
    }
}
