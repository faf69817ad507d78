//! The names that a settings' type knows, asked from serde.

use serde::Deserialize;
use serde::de::value::{Error, MapDeserializer};
use serde::de::{Deserializer, Error as _, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

/// The fields of `T`; none if it is no struct, and knows every name.
pub(super) fn of<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut fields: &[&str] = &[];
    let _ = T::deserialize(Names(&mut fields));
    fields
}

/// The fields of what `T` has under `name`.
pub(super) fn below<'de, T: Deserialize<'de>>(name: &'static str) -> &'static [&'static str] {
    let mut fields: &[&str] = &[];
    let entry = std::iter::once((name, Names(&mut fields)));
    let _ = T::deserialize(MapDeserializer::<_, Error>::new(entry));
    fields
}

/// Writes down the fields that it is asked for, and fails.
struct Names<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Names<'_> {
    type Error = Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Error> {
        *self.0 = fields;
        Err(Error::custom("only its fields are asked for"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Error> {
        Err(Error::custom("it has no fields"))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Error> for Names<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    #[test]
    fn the_names_are_those_of_the_type() {
        assert!(of::<Settings>().contains(&"broker_url"));
        assert!(below::<Settings>("broker_transport_options").contains(&"visibility_timeout"));
        assert!(below::<Settings>("broker_url").is_empty());
        assert!(of::<std::collections::HashMap<String, u8>>().is_empty());
    }
}
