//! The static table (RFC 7541 appendix A), and what a name means to a client.

use crate::http2::engine::answer::Field;

/// The static table, whose first index is 1.
pub(super) const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// The index of the first entry with this name.
pub(super) fn static_name(name: &str) -> Option<u8> {
    (1_u8..).zip(STATIC).find_map(|(index, (known, _))| (known == name).then_some(index))
}

/// The index of the entry with this name and value.
pub(super) fn static_entry(name: &str, value: &[u8]) -> Option<u8> {
    (1_u8..).zip(STATIC).find_map(|(index, (known, text))| (known == name && text.as_bytes() == value).then_some(index))
}

/// What the name of a field means to a client. Found out once, when the name comes into a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http2::engine) enum Name {
    /// `:status`.
    Status,
    /// Another name with a colon. Answers have none.
    Pseudo,
    /// `content-length`.
    ContentLength,
    /// A field that is kept.
    Known(Field),
    /// A field that is passed over.
    Other,
    /// A name that no message of HTTP/2 may have (RFC 9113 sections 8.2.1 and 8.2.2).
    Forbidden,
}

impl Name {
    /// For a name of the peer.
    pub(super) fn of(name: &[u8]) -> Self {
        match name {
            b":status" => Self::Status,
            b"content-length" => Self::ContentLength,
            b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade" | b"" => {
                Self::Forbidden
            }
            [b':', ..] => Self::Pseudo,
            _ => match Field::named(name) {
                Some(field) => Self::Known(field),
                None if name.iter().any(|&byte| is_forbidden(byte)) => Self::Forbidden,
                None => Self::Other,
            },
        }
    }

    /// For the entry of the static table with this index.
    pub(super) const fn of_static(index: usize) -> Self {
        match index {
            8..=14 => Self::Status,
            1..=7 => Self::Pseudo,
            28 => Self::ContentLength,
            33 => Self::Known(Field::Date),
            53 => Self::Known(Field::RetryAfter),
            57 => Self::Forbidden,
            _ => Self::Other,
        }
    }
}

/// RFC 9113 section 8.2.1.
const fn is_forbidden(byte: u8) -> bool {
    matches!(byte, 0..=0x20 | b'A'..=b'Z' | b':' | 0x7f..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_static_name_means_what_its_text_means() {
        for (index, (name, _)) in (1..).zip(STATIC) {
            assert_eq!(Name::of_static(index), Name::of(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn names_that_http2_forbids_are_told() {
        for name in ["", "A", "a b", "a:b", "a\0", "caf\u{e9}", "connection", "transfer-encoding", "a\x7f"] {
            assert_eq!(Name::of(name.as_bytes()), Name::Forbidden, "{name:?}");
        }
        assert_eq!(Name::of(b"x-anything_1"), Name::Other);
        assert_eq!(Name::of(b":path"), Name::Pseudo);
    }
}
