//! What a number in JSON text is.

/// 2^64: a double from here on is no integer of 64 bits.
const BEYOND_64_BITS: f64 = 18_446_744_073_709_551_616.0;

/// A number by its literal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    /// An integer literal from -2^63 to 2^64-1.
    Integer(i128),
    /// A literal with a fraction or an exponent, or `-0`: the nearest double.
    Double(f64),
    /// An integer literal beyond 64 bits: the nearest double.
    Oversized(f64),
    /// Beyond the finite doubles.
    NotFinite,
}

impl Number {
    /// Of a literal that follows the grammar.
    pub(super) fn of(literal: &str) -> Self {
        let is_integer = !literal.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E')) && literal != "-0";
        if is_integer {
            if let Ok(integer) = literal.parse::<i64>() {
                return Self::Integer(integer.into());
            }
            if let Ok(integer) = literal.parse::<u64>() {
                return Self::Integer(integer.into());
            }
        }
        match literal.parse::<f64>() {
            Ok(double) if is_integer => Self::Oversized(double),
            Ok(double) if double.is_finite() => Self::Double(double),
            _ => Self::NotFinite,
        }
    }

    /// The nearest double, where that is finite.
    pub(super) fn as_f64(self) -> Option<f64> {
        match self {
            #[allow(clippy::cast_precision_loss, reason = "the nearest double is what is asked for")]
            Self::Integer(integer) => Some(integer as f64),
            Self::Double(double) | Self::Oversized(double) => Some(double).filter(|double| double.is_finite()),
            Self::NotFinite => None,
        }
    }

    /// Whether both are the same number: an integer of 64 bits is compared as an integer, never rounded to a double
    /// first (VAL-3). Nothing is known of a number beyond the doubles, so it equals none.
    pub(super) fn equals(self, other: Self) -> bool {
        match (self, other) {
            (Self::Integer(left), Self::Integer(right)) => left == right,
            (Self::Integer(integer), other) | (other, Self::Integer(integer)) => {
                other.as_f64().is_some_and(|double| double_is_integer(double, integer))
            }
            (left, right) => matches!((left.as_f64(), right.as_f64()), (Some(left), Some(right)) if left == right),
        }
    }
}

fn double_is_integer(double: f64, integer: i128) -> bool {
    if double.fract() != 0.0 || !(-BEYOND_64_BITS..BEYOND_64_BITS).contains(&double) {
        return false;
    }
    #[allow(clippy::cast_possible_truncation, reason = "whole and within range, by the line above")]
    let whole = double as i128;
    whole == integer
}
