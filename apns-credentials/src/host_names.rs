//! Whether a certificate is for a host.

use std::net::IpAddr;

use crate::tlv::{self, Elements};

/// Tags of `GeneralName` (RFC 5280 section 4.2.1.6).
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;

/// The names of a server's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct HostNames {
    names: Vec<String>,
    /// Four bytes or sixteen.
    addresses: Vec<Vec<u8>>,
}

impl HostNames {
    /// Those of a subject alternative name.
    pub(crate) fn from_der(extension: &[u8]) -> Self {
        let mut found = Self::default();
        for element in Elements::inside(extension, tlv::SEQUENCE).into_iter().flatten() {
            match element.tag {
                DNS_NAME => found.names.extend(str::from_utf8(element.value).ok().map(str::to_owned)),
                IP_ADDRESS => found.addresses.push(element.value.to_vec()),
                _ => {}
            }
        }
        found
    }

    /// The common name, which counts where there is no subject alternative name: a certificate of version 1 has no
    /// other place.
    pub(crate) fn common_name(name: Option<&str>) -> Self {
        Self { names: name.map(str::to_owned).into_iter().collect(), addresses: Vec::new() }
    }

    /// Whether `host`, a name or an address, is among them (RFC 9525 section 6.3).
    pub(crate) fn include(&self, host: &str) -> bool {
        match host.parse() {
            Ok(IpAddr::V4(address)) => self.addresses.iter().any(|one| *one == address.octets()),
            Ok(IpAddr::V6(address)) => self.addresses.iter().any(|one| *one == address.octets()),
            Err(_) => {
                let host = host.strip_suffix('.').unwrap_or(host);
                self.names.iter().any(|name| matches(name.strip_suffix('.').unwrap_or(name), host))
            }
        }
    }
}

/// An asterisk stands for the whole first label, and for one label only.
fn matches(name: &str, host: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(rest) => host.split_once('.').is_some_and(|(first, domain)| {
            !first.is_empty() && rest.contains('.') && domain.eq_ignore_ascii_case(rest)
        }),
        None => !host.is_empty() && name.eq_ignore_ascii_case(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_by_label_and_addresses_by_value() {
        let names = |name: &str| HostNames::common_name(Some(name));
        for (name, host, matches) in [
            ("localhost", "localhost", true),
            ("LocalHost", "localhost", true),
            ("localhost", "localhost.", true),
            ("localhost", "localhost.example.com", false),
            ("*.example.com", "push.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "a.push.example.com", false),
            ("*.example.com", ".example.com", false),
            ("*.com", "example.com", false),
            ("p*.example.com", "push.example.com", false),
            ("*", "localhost", false),
            ("", "", false),
            // An address is no name.
            ("127.0.0.1", "127.0.0.1", false),
        ] {
            assert_eq!(names(name).include(host), matches, "{name} {host}");
        }
        let both = [&[0x82, 1, b'a'][..], &[0x87, 4, 127, 0, 0, 1], &[0x81, 1, b'b']].concat();
        let both = HostNames::from_der(&tlv::join(tlv::SEQUENCE, &[&both]));
        assert!(both.include("a") && both.include("127.0.0.1"));
        assert!(!both.include("b") && !both.include("127.0.0.2") && !both.include("::1"));
        assert!(!HostNames::common_name(None).include("localhost"));
    }
}
