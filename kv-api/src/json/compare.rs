//! When two JSON texts mean the same (VAL-3).

use std::borrow::Cow;

use super::NESTING_MAX;
use super::number::Number;
use super::text::JsonText;

/// Equal when both mean the same: numbers by their mathematical value, objects without the order of their members,
/// arrays with it. What is nested deeper than this library writes is compared as text.
impl PartialEq for JsonText<'_> {
    fn eq(&self, other: &Self) -> bool {
        equal_at(*self, *other, 0)
    }
}

fn equal_at(left: JsonText<'_>, right: JsonText<'_>, depth: usize) -> bool {
    if left.as_text() == right.as_text() {
        return true;
    }
    if depth > NESTING_MAX || left.first_byte() != right.first_byte() {
        // A number may begin with any digit or a sign.
        return match (left.number(), right.number()) {
            (Some(left), Some(right)) => Number::equals(left, right),
            _ => false,
        };
    }
    match left.first_byte() {
        b'"' => left.as_str() == right.as_str(),
        b'[' => {
            let (mut left, mut right) = (left.items_unchecked(), right.items_unchecked());
            loop {
                match (left.next(), right.next()) {
                    (None, None) => return true,
                    (Some(left), Some(right)) if equal_at(left, right, depth + 1) => {}
                    _ => return false,
                }
            }
        }
        b'{' => {
            let (left, right) = (sorted(left), sorted(right));
            left.len() == right.len()
                && left.iter().zip(&right).all(|(left, right)| left.0 == right.0)
                && left.iter().zip(&right).all(|(left, right)| equal_at(left.1, right.1, depth + 1))
        }
        _ => matches!((left.number(), right.number()), (Some(left), Some(right)) if left.equals(right)),
    }
}

/// The members by name; those of one name, as only others write them, in their order.
fn sorted(json: JsonText<'_>) -> Vec<(Cow<'_, str>, JsonText<'_>)> {
    let mut members: Vec<_> = json.members_unchecked().collect();
    members.sort_by(|left, right| left.0.cmp(&right.0));
    members
}
