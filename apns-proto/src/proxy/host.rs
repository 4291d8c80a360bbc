//! Hosts as they may stand in URLs and requests.

use std::net::{IpAddr, Ipv6Addr};

/// The longest host name, in bytes: what the length byte of SOCKS version 5 can say. Names of DNS have at most 253.
pub(super) const LONGEST: usize = 255;

/// Whether this is a host name or an address of IPv4, in letters that mean nothing else in a URL or a request.
pub(super) fn is_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    !text.is_empty() && text.len() <= LONGEST && text.bytes().all(is_plain)
}

/// Whether this is a host that may stand in a request: a name, or an address without brackets.
pub(super) fn is_host(text: &str) -> bool {
    is_name(text) || text.parse::<Ipv6Addr>().is_ok()
}

/// Host and port as URLs and requests have them: an address of IPv6 stands in brackets.
pub(super) fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Whether this is this machine itself: `localhost`, a name under it (RFC 6761 section 6.3), or a loopback address.
pub(super) fn is_loopback(host: &str) -> bool {
    let name = host.trim_end_matches('.');
    let under = |name: &str| name.len() > 10 && name[name.len() - 10..].eq_ignore_ascii_case(".localhost");
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => address.is_loopback(),
        Ok(IpAddr::V6(address)) => {
            address.is_loopback() || address.to_ipv4_mapped().is_some_and(|address| address.is_loopback())
        }
        Err(_) => name.eq_ignore_ascii_case("localhost") || name.is_ascii() && under(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_by_its_names_and_addresses() {
        for host in [
            "localhost",
            "LOCALHOST",
            "localhost.",
            "app.localhost",
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "::ffff:127.0.0.1",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in
            ["localhost.example", "notlocalhost", "x.notlocalhost", "128.0.0.1", "::2", "", "ünlocalhost", ".localhost"]
        {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn nothing_that_ends_a_line_or_a_part_of_a_url_is_a_host() {
        for host in ["", "a b", "a\r\nb", "a/b", "a@b", "a?b", "a#b", "a:b", "[::1]", "é", "a\0b", &"a".repeat(256)] {
            assert!(!is_host(host), "{host:?}");
        }
        for host in ["api.push.apple.com", "17.0.0.1", "::1", "fe80::1", "my_host", "xn--nxasmq6b", &"a".repeat(255)] {
            assert!(is_host(host), "{host:?}");
        }
    }
}
