//! What a value serialises to, as text, refusing what serde_json would write as null (VAL-3).

use std::cell::Cell;
use std::fmt;

use serde::ser::{
    Error as _, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use crate::error::{Error, Reason, Result};

/// The JSON text of `value`, not yet checked.
pub(super) fn to_text<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    let is_finite = Cell::new(true);
    let mut text = Vec::new();
    let written = Finite { inner: value, is_finite: &is_finite }.serialize(&mut serde_json::Serializer::new(&mut text));
    let message = if is_finite.get() {
        "the value cannot be represented as JSON"
    } else {
        "NaN and infinities cannot be represented as JSON"
    };
    let text = written.ok().and_then(|()| String::from_utf8(text).ok());
    text.ok_or_else(|| Error::invalid(Reason::InvalidJson, message))
}

/// A value, a serializer, or what a serializer writes parts with, for which a number that is not finite is an error.
struct Finite<'c, I> {
    inner: I,
    is_finite: &'c Cell<bool>,
}

impl<'c, I> Finite<'c, I> {
    const fn same<J>(&self, inner: J) -> Finite<'c, J> {
        Finite { inner, is_finite: self.is_finite }
    }
}

impl<T: Serialize + ?Sized> Serialize for Finite<'_, &T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.inner.serialize(self.same(serializer))
    }
}

macro_rules! forward {
    ($($method:ident($($name:ident: $type:ty),*);)*) => {$(
        fn $method(self, $($name: $type),*) -> Result<S::Ok, S::Error> {
            self.inner.$method($($name),*)
        }
    )*};
}

macro_rules! forward_parts {
    ($($method:ident($($name:ident: $type:ty),*) -> $parts:ident;)*) => {$(
        fn $method(self, $($name: $type),*) -> Result<Self::$parts, S::Error> {
            let parts = self.inner.$method($($name),*)?;
            Ok(Finite { inner: parts, is_finite: self.is_finite })
        }
    )*};
}

impl<'c, S: Serializer> Finite<'c, S> {
    fn check(&self, is_finite: bool) -> Result<(), S::Error> {
        if is_finite {
            return Ok(());
        }
        self.is_finite.set(false);
        Err(S::Error::custom("not a finite number"))
    }
}

impl<'c, S: Serializer> Serializer for Finite<'c, S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Finite<'c, S::SerializeSeq>;
    type SerializeTuple = Finite<'c, S::SerializeTuple>;
    type SerializeTupleStruct = Finite<'c, S::SerializeTupleStruct>;
    type SerializeTupleVariant = Finite<'c, S::SerializeTupleVariant>;
    type SerializeMap = Finite<'c, S::SerializeMap>;
    type SerializeStruct = Finite<'c, S::SerializeStruct>;
    type SerializeStructVariant = Finite<'c, S::SerializeStructVariant>;

    fn serialize_f32(self, value: f32) -> Result<S::Ok, S::Error> {
        self.check(value.is_finite())?;
        self.inner.serialize_f32(value)
    }

    fn serialize_f64(self, value: f64) -> Result<S::Ok, S::Error> {
        self.check(value.is_finite())?;
        self.inner.serialize_f64(value)
    }

    forward! {
        serialize_bool(value: bool);
        serialize_i8(value: i8);
        serialize_i16(value: i16);
        serialize_i32(value: i32);
        serialize_i64(value: i64);
        serialize_i128(value: i128);
        serialize_u8(value: u8);
        serialize_u16(value: u16);
        serialize_u32(value: u32);
        serialize_u64(value: u64);
        serialize_u128(value: u128);
        serialize_char(value: char);
        serialize_str(value: &str);
        serialize_bytes(value: &[u8]);
        serialize_none();
        serialize_unit();
        serialize_unit_struct(name: &'static str);
        serialize_unit_variant(name: &'static str, index: u32, variant: &'static str);
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.collect_str(value)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        let value = self.same(value);
        self.inner.serialize_some(&value)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<S::Ok, S::Error> {
        let value = self.same(value);
        self.inner.serialize_newtype_struct(name, &value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let value = self.same(value);
        self.inner.serialize_newtype_variant(name, index, variant, &value)
    }

    forward_parts! {
        serialize_seq(len: Option<usize>) -> SerializeSeq;
        serialize_tuple(len: usize) -> SerializeTuple;
        serialize_tuple_struct(name: &'static str, len: usize) -> SerializeTupleStruct;
        serialize_tuple_variant(
            name: &'static str, index: u32, variant: &'static str, len: usize
        ) -> SerializeTupleVariant;
        serialize_map(len: Option<usize>) -> SerializeMap;
        serialize_struct(name: &'static str, len: usize) -> SerializeStruct;
        serialize_struct_variant(
            name: &'static str, index: u32, variant: &'static str, len: usize
        ) -> SerializeStructVariant;
    }
}

macro_rules! forward_items {
    ($($parts:ident::$method:ident),*) => {$(
        impl<P: $parts> $parts for Finite<'_, P> {
            type Ok = P::Ok;
            type Error = P::Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), P::Error> {
                let value = self.same(value);
                self.inner.$method(&value)
            }

            fn end(self) -> Result<P::Ok, P::Error> {
                self.inner.end()
            }
        }
    )*};
}

forward_items!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);

macro_rules! forward_fields {
    ($($parts:ident),*) => {$(
        impl<P: $parts> $parts for Finite<'_, P> {
            type Ok = P::Ok;
            type Error = P::Error;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), P::Error> {
                let value = self.same(value);
                self.inner.serialize_field(name, &value)
            }

            fn skip_field(&mut self, name: &'static str) -> Result<(), P::Error> {
                self.inner.skip_field(name)
            }

            fn end(self) -> Result<P::Ok, P::Error> {
                self.inner.end()
            }
        }
    )*};
}

forward_fields!(SerializeStruct, SerializeStructVariant);

impl<P: SerializeMap> SerializeMap for Finite<'_, P> {
    type Ok = P::Ok;
    type Error = P::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), P::Error> {
        let key = self.same(key);
        self.inner.serialize_key(&key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), P::Error> {
        let value = self.same(value);
        self.inner.serialize_value(&value)
    }

    fn end(self) -> Result<P::Ok, P::Error> {
        self.inner.end()
    }
}
