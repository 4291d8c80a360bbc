//! A value of a row, on its way from one store to the other.

use std::error::Error;

use bytes::{BufMut as _, BytesMut};
use rusqlite::types::{ToSqlOutput, ValueRef};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

/// A value: a truth value is 0 or 1, a text is its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Number(i64),
    Bytes(Vec<u8>),
}

type Failed = Box<dyn Error + Sync + Send>;

impl Value {
    pub(super) fn from_sqlite(value: ValueRef<'_>) -> Result<Self, String> {
        match value {
            ValueRef::Null => Ok(Self::Null),
            ValueRef::Integer(number) => Ok(Self::Number(number)),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Ok(Self::Bytes(bytes.to_vec())),
            ValueRef::Real(_) => Err("it has a fraction".to_owned()),
        }
    }

    /// For a column of this type, as SQLite declares it.
    pub(super) fn for_sqlite(&self, declared: &str) -> Result<ToSqlOutput<'_>, String> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Number(number) => ValueRef::Integer(*number),
            Self::Bytes(bytes) if declared.eq_ignore_ascii_case("TEXT") => {
                str::from_utf8(bytes).map_err(|error| error.to_string())?;
                ValueRef::Text(bytes)
            }
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// The types of the tables.
const TYPES: [Type; 6] = [Type::BOOL, Type::INT2, Type::INT4, Type::INT8, Type::TEXT, Type::BYTEA];

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Failed> {
        match self {
            Self::Null => return Ok(IsNull::Yes),
            Self::Number(number) => match *ty {
                Type::BOOL => out.put_u8(u8::from(*number != 0)),
                Type::INT2 => out.put_i16((*number).try_into()?),
                Type::INT4 => out.put_i32((*number).try_into()?),
                Type::INT8 => out.put_i64(*number),
                _ => return Err("a number stands where a text is wanted".into()),
            },
            Self::Bytes(bytes) => match *ty {
                Type::BYTEA => out.put_slice(bytes),
                Type::TEXT => out.put_slice(str::from_utf8(bytes)?.as_bytes()),
                _ => return Err("a text stands where a number is wanted".into()),
            },
        }
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        TYPES.contains(ty)
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Failed> {
        Ok(match *ty {
            Type::BOOL => Self::Number(bool::from_sql(ty, raw)?.into()),
            Type::INT2 => Self::Number(i16::from_sql(ty, raw)?.into()),
            Type::INT4 => Self::Number(i32::from_sql(ty, raw)?.into()),
            Type::INT8 => Self::Number(i64::from_sql(ty, raw)?),
            _ => Self::Bytes(raw.to_vec()),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Failed> {
        Ok(Self::Null)
    }

    fn accepts(ty: &Type) -> bool {
        TYPES.contains(ty)
    }
}
