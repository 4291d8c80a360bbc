//! Text that travels in a request header: topic and collapse id.

use crate::text::{TextError, check};
use crate::text_newtype;

text_newtype! {
    /// The topic of a notification: the bundle id of the app, with a suffix for some push types.
    ///
    /// Visible ASCII, 1 to 255 bytes. Cheap to clone. The binary protocol does not send it: there the certificate decides.
    pub struct Topic: "the topic", at most 255 bytes, |what, text: &str| {
        check(what, text, Self::MAX, |character| character.is_ascii_graphic())
    };
}

text_newtype! {
    /// Replaces an earlier notification with the same value on the device.
    ///
    /// 1 to 64 **bytes** (*Sending notification requests to APNs*), without control characters. The binary protocol does
    /// not send it. No space at either end, which HTTP/2 forbids in a header field (RFC 9113 section 8.2.1).
    pub struct CollapseId: "the collapse id", at most 64 bytes, check_collapse_id;
}

fn check_collapse_id(what: &'static str, text: &str) -> Result<(), TextError> {
    check(what, text, CollapseId::MAX, |character| character >= ' ' && character != '\x7f')?;
    let last = text.chars().count() - 1;
    match (text.starts_with(' '), text.ends_with(' ')) {
        (true, _) => Err(TextError::Character { what, found: ' ', position: 0 }),
        (false, true) => Err(TextError::Character { what, found: ' ', position: last }),
        (false, false) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b107_a_collapse_id_is_measured_in_bytes() {
        assert!(CollapseId::new("a".repeat(64)).is_ok());
        assert_eq!(
            CollapseId::new("é".repeat(64)),
            Err(TextError::TooLong { what: "the collapse id", found: 128, limit: 64 })
        );
    }

    #[test]
    fn nothing_that_could_end_a_header_gets_through() {
        assert_eq!(
            Topic::new("com.example\r\nx: y"),
            Err(TextError::Character { what: "the topic", found: '\r', position: 11 })
        );
        assert_eq!(
            CollapseId::new("a\0"),
            Err(TextError::Character { what: "the collapse id", found: '\0', position: 1 })
        );
        assert_eq!(
            CollapseId::new(" a"),
            Err(TextError::Character { what: "the collapse id", found: ' ', position: 0 })
        );
        assert_eq!(
            CollapseId::new("a b "),
            Err(TextError::Character { what: "the collapse id", found: ' ', position: 3 })
        );
        assert!(CollapseId::new("a b").is_ok());
        assert_eq!(Topic::new(""), Err(TextError::Empty { what: "the topic" }));
    }
}
