//! Counting: what can be counted in, and how far (CNT-1, CNT-2).

use kv_api::{Error, Result, ValueKind};

use crate::row::kind_from_number;

/// What an increment has to know of a stored entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCounter {
    /// The number of its kind.
    pub kind: i64,
    /// Whether it has metadata.
    pub has_metadata: bool,
    /// The first bytes of the value, more than the longest integer has.
    pub head: Vec<u8>,
}

impl StoredCounter {
    /// The value it counts from (CNT-1, CNT-2).
    ///
    /// # Errors
    /// `WrongType` for what is no JSON integer within 64 bits without metadata; `Protocol` for a kind without meaning.
    pub fn value(&self) -> Result<i64> {
        if self.has_metadata {
            return Err(Error::not_a_counter("the entry has metadata"));
        }
        match kind_from_number(self.kind)? {
            ValueKind::Json => counter_value(&self.head),
            _ => Err(Error::not_a_counter("the value is no JSON integer")),
        }
    }
}

/// The new value of a counter that holds `old`, where it is in range (CNT-1).
///
/// # Errors
/// `InvalidArgument` with [`Reason::CounterRange`](kv_api::Reason::CounterRange) when it is out of range or overflows.
pub fn incremented(old: i64, by: i64, min: i64, max: i64) -> Result<i64> {
    old.checked_add(by).filter(|new| (min..=max).contains(new)).ok_or_else(|| Error::counter_range(min, max))
}

/// The integer that a JSON text is. It has one form for each; everything else (`5.0`, `007`) is no counter.
///
/// # Errors
/// `WrongType` for any other text.
pub fn counter_value(json: &[u8]) -> Result<i64> {
    std::str::from_utf8(json)
        .ok()
        .and_then(|text| text.parse::<i64>().ok().filter(|value| value.to_string() == text))
        .ok_or_else(|| Error::not_a_counter("the value is no JSON integer within 64 bits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cnt_1_only_the_one_form_of_an_integer_counts() {
        for (json, value) in
            [("0", 0), ("-5", -5), ("9223372036854775807", i64::MAX), ("-9223372036854775808", i64::MIN)]
        {
            assert_eq!(counter_value(json.as_bytes()).unwrap(), value);
        }
        for json in ["", "-0", "007", "+5", "5.0", "5e0", " 5", "9223372036854775808", "[5]", "\"5\""] {
            assert_eq!(
                counter_value(json.as_bytes()).unwrap_err().reason(),
                Some(&kv_api::Reason::NotACounter),
                "{json}"
            );
        }
    }
}
