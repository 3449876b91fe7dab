//! JSON as a tree that keeps the order of members.
//!
//! The fakes do not read JSON into the tree of `serde_json`: there the order of members, the meaning of numbers and two
//! member names depend on features that any other crate of the program may turn on.

mod parse;
mod write;

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::fmt;
use std::ops::{Index, IndexMut};

pub(crate) use parse::{Dialect, parse, parse_bytes, parse_nested};
pub(crate) use write::{quoted, write};

/// Any JSON.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Value {
    #[default]
    Null,
    Bool(bool),
    Number(Number),
    String(String),
    Array(Vec<Self>),
    Object(Map),
}

/// A number: an integer of 64 bits, or else a double, which is infinite only where JavaScript reads one beyond all
/// doubles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    Unsigned(u64),
    /// Below zero.
    Negative(i64),
    Double(f64),
}

/// The members of an object, each name once, in the order in which the names were first added. Two are equal whatever
/// the order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Map(Vec<(String, Value)>);

static NULL: Value = Value::Null;

impl Value {
    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    pub(crate) fn is_array(&self) -> bool {
        matches!(self, Self::Array(_))
    }

    pub(crate) fn is_object(&self) -> bool {
        matches!(self, Self::Object(_))
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    pub(crate) fn as_i64(&self) -> Option<i64> {
        if let Self::Number(number) = self { number.as_i64() } else { None }
    }

    pub(crate) fn as_f64(&self) -> Option<f64> {
        if let Self::Number(number) = self { Some(number.as_f64()) } else { None }
    }

    pub(crate) fn as_array(&self) -> Option<&Vec<Self>> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    pub(crate) fn as_object(&self) -> Option<&Map> {
        if let Self::Object(members) = self { Some(members) } else { None }
    }

    /// A member; `None` also where this is no object.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        self.as_object()?.get(name)
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Self> {
        if let Self::Object(members) = self { members.get_mut(name) } else { None }
    }

    /// Leaves null behind.
    pub(crate) fn take(&mut self) -> Self {
        std::mem::take(self)
    }
}

impl Number {
    /// `None` for what JSON has no number for.
    pub(crate) fn from_f64(number: f64) -> Option<Self> {
        number.is_finite().then_some(Self::Double(number))
    }

    pub(crate) fn as_i64(self) -> Option<i64> {
        match self {
            Self::Unsigned(number) => i64::try_from(number).ok(),
            Self::Negative(number) => Some(number),
            Self::Double(_) => None,
        }
    }

    /// The nearest double.
    #[allow(clippy::cast_precision_loss, reason = "the nearest double is what is asked for")]
    pub(crate) fn as_f64(self) -> f64 {
        match self {
            Self::Unsigned(number) => number as f64,
            Self::Negative(number) => number as f64,
            Self::Double(number) => number,
        }
    }
}

impl Map {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.iter().find(|(own, _)| *own == name).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        self.0.iter_mut().find(|(own, _)| own == name).map(|(_, value)| value)
    }

    pub(crate) fn contains_key(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// At the end, or in the place that the name has.
    pub(crate) fn insert(&mut self, name: String, value: Value) {
        match self.get_mut(&name) {
            Some(old) => *old = value,
            None => self.0.push((name, value)),
        }
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<Value> {
        let at = self.0.iter().position(|(own, _)| own == name)?;
        Some(self.0.remove(at).1)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(name, _)| name)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Value> {
        self.iter().map(|(_, value)| value)
    }

    fn sorted(&self) -> Vec<&(String, Value)> {
        let mut members: Vec<_> = self.0.iter().collect();
        members.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        members
    }
}

impl PartialEq for Map {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.sorted() == other.sorted()
    }
}

/// Of a name that is repeated the last value counts, in the place of the first.
impl FromIterator<(String, Value)> for Map {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(members: I) -> Self {
        let mut all: Vec<(String, Value)> = Vec::new();
        let mut places = HashMap::new();
        for (name, value) in members {
            match places.entry(name.clone()) {
                Slot::Vacant(place) => {
                    place.insert(all.len());
                    all.push((name, value));
                }
                Slot::Occupied(place) => all[*place.get()].1 = value,
            }
        }
        Self(all)
    }
}

impl IntoIterator for Map {
    type Item = (String, Value);
    type IntoIter = std::vec::IntoIter<(String, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// A member; null where it is missing.
impl Index<&str> for Value {
    type Output = Self;

    fn index(&self, name: &str) -> &Self {
        self.get(name).unwrap_or(&NULL)
    }
}

/// A member, which is made where it is missing. What is no object becomes one.
impl IndexMut<&str> for Value {
    fn index_mut(&mut self, name: &str) -> &mut Self {
        if !self.is_object() {
            *self = Self::Object(Map::new());
        }
        let Self::Object(Map(members)) = self else { unreachable!("it was made an object") };
        let at = members.iter().position(|(own, _)| own == name).unwrap_or_else(|| {
            members.push((name.to_owned(), Self::Null));
            members.len() - 1
        });
        &mut members[at].1
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&write(self, &|number| number.to_string()))
    }
}

/// A double always has a point or an exponent.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned(number) => number.fmt(f),
            Self::Negative(number) => number.fmt(f),
            Self::Double(number) => {
                let text = format!("{number:?}");
                let sign = if text.contains("e-") { "e" } else { "e+" };
                f.write_str(&text.replace('e', sign))
            }
        }
    }
}

impl From<i64> for Number {
    fn from(number: i64) -> Self {
        u64::try_from(number).map_or(Self::Negative(number), Self::Unsigned)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number.into())
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Self {
        i64::from(number).into()
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        i64::from(number).into()
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        i64::from(number).into()
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(Number::Unsigned(number))
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        // No address space has more than 64 bits.
        u64::try_from(number).unwrap_or(u64::MAX).into()
    }
}

/// Null for what JSON has no number for.
impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Number::from_f64(number).map_or(Self::Null, Self::Number)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<&Self> for Value {
    fn from(value: &Self) -> Self {
        value.clone()
    }
}

impl From<Map> for Value {
    fn from(members: Map) -> Self {
        Self::Object(members)
    }
}

/// Null where there is nothing.
impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl<T: Into<Self>> From<Vec<T>> for Value {
    fn from(items: Vec<T>) -> Self {
        Self::Array(items.into_iter().map(Into::into).collect())
    }
}

impl FromIterator<Self> for Value {
    fn from_iter<I: IntoIterator<Item = Self>>(items: I) -> Self {
        Self::Array(items.into_iter().collect())
    }
}

impl FromIterator<(String, Self)> for Value {
    fn from_iter<I: IntoIterator<Item = (String, Self)>>(members: I) -> Self {
        Self::Object(members.into_iter().collect())
    }
}

impl PartialEq<str> for Value {
    fn eq(&self, text: &str) -> bool {
        self.as_str() == Some(text)
    }
}

impl PartialEq<&str> for Value {
    fn eq(&self, text: &&str) -> bool {
        self == *text
    }
}

impl PartialEq<bool> for Value {
    fn eq(&self, truth: &bool) -> bool {
        matches!(self, Self::Bool(own) if own == truth)
    }
}

/// JSON as it is written, with expressions for values.
macro_rules! json {
    (@items $items:ident) => {};
    (@items $items:ident null $(, $($rest:tt)*)?) => { json!(@item $items null; $($($rest)*)?) };
    (@items $items:ident [$($own:tt)*] $(, $($rest:tt)*)?) => { json!(@item $items [$($own)*]; $($($rest)*)?) };
    (@items $items:ident {$($own:tt)*} $(, $($rest:tt)*)?) => { json!(@item $items {$($own)*}; $($($rest)*)?) };
    (@items $items:ident $own:expr $(, $($rest:tt)*)?) => {
        $items.extend([$crate::json::Value::from($own)]);
        json!(@items $items $($($rest)*)?)
    };
    (@item $items:ident $own:tt; $($rest:tt)*) => {
        $items.extend([json!($own)]);
        json!(@items $items $($rest)*)
    };
    (@members $all:ident) => {};
    (@members $all:ident $name:literal: null $(, $($rest:tt)*)?) => { json!(@member $all $name null; $($($rest)*)?) };
    (@members $all:ident $name:literal: [$($own:tt)*] $(, $($rest:tt)*)?) => {
        json!(@member $all $name [$($own)*]; $($($rest)*)?)
    };
    (@members $all:ident $name:literal: {$($own:tt)*} $(, $($rest:tt)*)?) => {
        json!(@member $all $name {$($own)*}; $($($rest)*)?)
    };
    (@members $all:ident $name:literal: $own:expr $(, $($rest:tt)*)?) => {
        $all.insert($name.to_owned(), $crate::json::Value::from($own));
        json!(@members $all $($($rest)*)?)
    };
    (@member $all:ident $name:literal $own:tt; $($rest:tt)*) => {
        $all.insert($name.to_owned(), json!($own));
        json!(@members $all $($rest)*)
    };
    (null) => { $crate::json::Value::Null };
    ([]) => { $crate::json::Value::Array(Vec::new()) };
    ({}) => { $crate::json::Value::Object($crate::json::Map::new()) };
    ([$($items:tt)+]) => {{
        let mut items = Vec::new();
        json!(@items items $($items)+);
        $crate::json::Value::Array(items)
    }};
    ({$($members:tt)+}) => {{
        let mut members = $crate::json::Map::new();
        json!(@members members $($members)+);
        $crate::json::Value::Object(members)
    }};
    ($value:expr) => { $crate::json::Value::from($value) };
}
pub(crate) use json;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order_and_are_equal_in_any() {
        let mut value = json!({"b": 1, "a": [null, {"z": 1, "y": 2.5}], "c": [1].len()});
        assert_eq!(value.to_string(), r#"{"b":1,"a":[null,{"z":1,"y":2.5}],"c":1}"#);
        assert_eq!(value, json!({"c": 1, "a": [null, {"y": 2.5, "z": 1}], "b": 1}));
        assert_ne!(value, json!({"c": 1, "a": [null, {"y": 2.5, "z": 1}], "b": 1.0}));
        value["b"] = json!("new");
        value["d"]["e"] = json!(true);
        assert_eq!(value["d"]["e"], true);
        assert_eq!(value["none"]["e"], Value::Null);
        let Value::Object(mut members) = value else { panic!("no object") };
        assert_eq!(members.remove("a").map(|own| own.is_array()), Some(true));
        assert_eq!(members.keys().collect::<Vec<_>>(), ["b", "c", "d"]);
    }

    #[test]
    fn a_repeated_name_keeps_its_place_and_the_last_value() {
        let members = [("b", 1), ("a", 2), ("b", 3)].map(|(name, value)| (name.to_owned(), Value::from(value)));
        assert_eq!(members.into_iter().collect::<Value>().to_string(), r#"{"b":3,"a":2}"#);
    }
}
