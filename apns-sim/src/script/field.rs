//! Fields with limits, and how they look in JSON.

use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer};

/// Left out of the printed script.
pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Connections and arrivals are counted from 1.
pub(super) fn from_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    match Option::deserialize(deserializer)? {
        Some(0) => Err(D::Error::invalid_value(Unexpected::Unsigned(0), &"a number from 1")),
        number => Ok(number),
    }
}

pub(super) fn probability<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    match Option::<f64>::deserialize(deserializer)? {
        Some(value) if !(0.0..=1.0).contains(&value) => {
            Err(D::Error::invalid_value(Unexpected::Float(value), &"a number from 0 to 1"))
        }
        value => Ok(value),
    }
}

/// What can be the status of an answer: three digits, and not one that announces another answer (RFC 9110 section 15).
pub(super) const fn is_final_status(status: u16) -> bool {
    200 <= status && status <= 999
}

pub(super) fn final_status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    let number = u64::deserialize(deserializer)?;
    let status = u16::try_from(number).ok().filter(|status| is_final_status(*status));
    status.ok_or_else(|| D::Error::invalid_value(Unexpected::Unsigned(number), &"a number from 200 to 999"))
}

/// A status is written as a number and read as a number or a name.
pub(super) mod status {
    use std::fmt;

    use apns_proto::binary::Status;
    use serde::de::{Error, Unexpected, Visitor};
    use serde::{Deserializer, Serializer};

    pub(in super::super) fn serialize<S: Serializer>(status: &Status, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(status.raw())
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Status, D::Error> {
        deserializer.deserialize_any(StatusVisitor)
    }

    struct StatusVisitor;

    impl Visitor<'_> for StatusVisitor {
        type Value = Status;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a status: a number from 0 to 255 or a name such as \"invalid_token\"")
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<Status, E> {
            let byte = u8::try_from(number).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))?;
            Ok(Status::from_raw(byte))
        }

        fn visit_str<E: Error>(self, name: &str) -> Result<Status, E> {
            (0..=u8::MAX)
                .map(Status::from_raw)
                .find(|status| status.name() == Some(name))
                .ok_or_else(|| E::invalid_value(Unexpected::Str(name), &self))
        }
    }
}
