//! What a peer's TLS alerts mean.

use std::fmt;

use apns_proto::{End, TlsCause};

/// A TLS alert that the server sent, by its number (RFC 8446 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Alert(pub u8);

impl Alert {
    /// What it says is wrong. [`TlsCause::Other`] where that says nothing about what a person could do.
    #[must_use]
    pub const fn cause(self) -> TlsCause {
        match self.0 {
            42..=46 | 48 | 49 => TlsCause::ClientRefused,
            116 => TlsCause::ClientMissing,
            120 => TlsCause::NoCommonProtocol,
            _ => TlsCause::Other,
        }
    }

    /// How a stream ended on which it came. With TLS 1.3 the verdict on the client certificate comes after the
    /// handshake. An alert about a handshake (`handshake_failure`, `decrypt_error`) is a part of that verdict then: the
    /// certificate and its signature are all that the server has not judged before.
    #[must_use]
    pub fn end(self) -> End {
        match (self.cause(), self.0) {
            (TlsCause::ClientRefused | TlsCause::ClientMissing, _) => End::Refused(self.to_string()),
            (_, 40 | 51) => End::Refused(format!("{self}, after the client certificate was shown")),
            _ => End::Cut,
        }
    }

    /// Its name in RFC 8446: `unknown_ca`. `None` for those that do not end a handshake.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            10 => "unexpected_message",
            40 => "handshake_failure",
            42 => "bad_certificate",
            43 => "unsupported_certificate",
            44 => "certificate_revoked",
            45 => "certificate_expired",
            46 => "certificate_unknown",
            48 => "unknown_ca",
            49 => "access_denied",
            70 => "protocol_version",
            47 => "illegal_parameter",
            50 => "decode_error",
            51 => "decrypt_error",
            71 => "insufficient_security",
            80 => "internal_error",
            109 => "missing_extension",
            112 => "unrecognized_name",
            116 => "certificate_required",
            120 => "no_application_protocol",
            _ => return None,
        })
    }
}

/// In the server's own words, as far as there are any: "it says that the client certificate has expired (TLS alert
/// certificate_expired)".
impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            44 => "it says that the client certificate was revoked",
            45 => "it says that the client certificate has expired",
            48 => "it does not know the issuer of the client certificate",
            42 | 43 | 46 | 49 => "it does not accept the client certificate",
            116 => "it demands a client certificate",
            120 => "it does not speak the protocol that was asked for",
            _ => "it ended the handshake",
        })?;
        match self.name() {
            Some(name) => write!(f, " (TLS alert {name})"),
            None => write!(f, " (TLS alert {})", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_concerns_the_client_certificate_is_a_refusal() {
        for number in 0..=255 {
            let alert = Alert(number);
            let refuses = matches!(alert.end(), End::Refused(_));
            assert_eq!(refuses, matches!(number, 40 | 42..=46 | 48 | 49 | 51 | 116), "{number}");
            if let End::Refused(words) = alert.end() {
                assert!(words.contains("client certificate"), "{number}: {words}");
            }
            // Within a handshake these two may be about anything.
            let about_it = alert.to_string().contains("client certificate");
            assert_eq!(about_it, refuses && !matches!(number, 40 | 51), "{number}");
        }
        assert_eq!(
            Alert(45).to_string(),
            "it says that the client certificate has expired (TLS alert certificate_expired)"
        );
        assert_eq!(Alert(7).to_string(), "it ended the handshake (TLS alert 7)");
    }
}
