//! Names of notifications: a UUID of version 8 (RFC 9562 section 5.8) made of the store's random number and the row.

use crate::NotificationId;

/// The random part that all names of one store share: 60 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Names(u64);

/// Bits of the random number.
const RANDOM_BITS: u32 = 60;
/// Bits of the row.
const ROW_BITS: u32 = 62;

impl Names {
    /// From any number; only the lower bits count.
    pub(super) const fn new(number: u64) -> Self {
        Self(number & ((1 << RANDOM_BITS) - 1))
    }

    /// The name of a row.
    pub(super) fn name(self, row: i64) -> NotificationId {
        let row = u64::try_from(row).unwrap_or_default() & ((1 << ROW_BITS) - 1);
        let high = ((self.0 >> 12) << 16) | 0x8000 | (self.0 & 0x0fff);
        let low = (0b10 << ROW_BITS) | row;
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&high.to_be_bytes());
        bytes[8..].copy_from_slice(&low.to_be_bytes());
        NotificationId::from_bytes(bytes)
    }

    /// The row of a name; `None` for one that this store did not give.
    pub(super) fn row(self, id: NotificationId) -> Option<i64> {
        let low = u64::from_be_bytes(id.as_bytes()[8..].try_into().ok()?);
        let row = i64::try_from(low & ((1 << ROW_BITS) - 1)).ok()?;
        (self.name(row) == id).then_some(row)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_name_leads_back_to_its_row(names: u64, row in 0..i64::MAX >> 1, other: u64) {
            let (names, other) = (Names::new(names), Names::new(other));
            let name = names.name(row);
            prop_assert_eq!(names.row(name), Some(row));
            prop_assert_eq!(other.row(name).is_some(), other == names);
            let text = name.to_string();
            prop_assert_eq!(&text[14..15], "8");
            prop_assert!(matches!(&text[19..20], "8" | "9" | "a" | "b"));
        }
    }
}
