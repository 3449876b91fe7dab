//! How a typed key is spelled (NS-4).

use std::borrow::Cow;

/// A type that stands for keys: each value of it has one spelling, and no two have the same.
///
/// Implemented for `String`, and for integers in decimal form, as other clients of a system write them. A list sorts
/// keys by their bytes, so `10` comes before `9`. A type of your own can spell numbers with zeros in front:
///
/// ```
/// use std::borrow::Cow;
/// use kv_api::KeyCodec;
///
/// #[derive(Debug, PartialEq)]
/// struct InvoiceNumber(u32);
///
/// impl KeyCodec for InvoiceNumber {
///     fn encode_key(&self) -> Cow<'_, str> {
///         Cow::Owned(format!("{:010}", self.0))
///     }
///     fn decode_key(key: &str) -> Option<Self> {
///         if key.len() == 10 { key.parse().ok().map(Self) } else { None }
///     }
/// }
///
/// assert!(InvoiceNumber(9).encode_key() < InvoiceNumber(10).encode_key());
/// assert_eq!(InvoiceNumber::decode_key("0000000010"), Some(InvoiceNumber(10)));
/// assert_eq!(InvoiceNumber::decode_key("10"), None);
/// ```
pub trait KeyCodec: Sized {
    /// The key, without any prefix.
    fn encode_key(&self) -> Cow<'_, str>;

    /// What [`encode_key`](Self::encode_key) spells this way; `None` where it spells nothing so.
    fn decode_key(key: &str) -> Option<Self>;
}

impl KeyCodec for String {
    fn encode_key(&self) -> Cow<'_, str> {
        Cow::Borrowed(self)
    }

    fn decode_key(key: &str) -> Option<Self> {
        Some(key.to_owned())
    }
}

macro_rules! decimal {
    ($($integer:ty),*) => {$(
        impl KeyCodec for $integer {
            fn encode_key(&self) -> Cow<'_, str> {
                Cow::Owned(self.to_string())
            }

            fn decode_key(key: &str) -> Option<Self> {
                let number: Self = key.parse().ok()?;
                // `+1` and `01` are no spelling of 1.
                (number.to_string() == key).then_some(number)
            }
        }
    )*};
}
decimal!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ns_4_an_integer_has_one_spelling() {
        for number in [0, 1, 10, i64::MAX, i64::MIN, -1] {
            assert_eq!(i64::decode_key(&number.encode_key()), Some(number));
        }
        for other in ["", "+1", "01", "-0", "1 ", "1.0", "9223372036854775808", "one"] {
            assert_eq!(i64::decode_key(other), None, "{other:?}");
        }
    }
}
