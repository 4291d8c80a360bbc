//! The proxy that environment variables name, by the rules that curl has.

use std::net::IpAddr;

use super::host::is_loopback;
use super::{Proxy, ProxyUrlError};

/// A variable that names a proxy cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {error}")]
pub struct ProxyVariableError {
    /// The name of the variable.
    pub name: &'static str,
    /// What is wrong with its value.
    pub error: ProxyUrlError,
}

/// Which variables are looked at, the first first. One that is empty counts as not set.
const PROXIES: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];

/// Which variables say what is reached without a proxy.
const EXCEPTIONS: [&str; 2] = ["no_proxy", "NO_PROXY"];

impl Proxy {
    /// The proxy that environment variables name for this service. `lookup` gives the value of a variable; nothing is read
    /// here.
    ///
    /// The rules are those of curl for `https://` URLs. Of `https_proxy`, `HTTPS_PROXY`, `all_proxy` and `ALL_PROXY` the
    /// first that is not empty is the proxy. What `no_proxy`, or else `NO_PROXY`, lists is reached without one: names, which
    /// stand for all names below them as well, addresses, networks such as `10.0.0.0/8`, each separated by commas or white
    /// space and with a port where only that is meant; `*` is everything.
    ///
    /// This machine itself (`localhost`, names below it, addresses of loopback) is never reached through a proxy that
    /// variables name, which would take it for itself.
    ///
    /// # Errors
    ///
    /// [`ProxyVariableError`], where the proxy would be used.
    ///
    /// ```
    /// use apns_proto::proxy::Proxy;
    ///
    /// let lookup = |name: &str| match name {
    ///     "HTTPS_PROXY" => Some("http://proxy.example:3128".to_owned()),
    ///     "NO_PROXY" => Some("intern.example, 10.0.0.0/8".to_owned()),
    ///     _ => None,
    /// };
    /// let proxy = Proxy::from_variables("api.push.apple.com", 443, lookup)?;
    /// assert_eq!(proxy.map(|proxy| proxy.to_string()).as_deref(), Some("http://proxy.example:3128"));
    /// assert_eq!(Proxy::from_variables("push.intern.example", 2195, lookup)?, None);
    /// # Ok::<(), apns_proto::proxy::ProxyVariableError>(())
    /// ```
    pub fn from_variables(
        host: &str,
        port: u16,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, ProxyVariableError> {
        let first = |names: &[&'static str]| {
            let value = |name: &'static str| lookup(name).filter(|value| !value.is_empty()).map(|value| (name, value));
            names.iter().find_map(|name| value(name))
        };
        let Some((name, url)) = first(&PROXIES) else { return Ok(None) };
        let is_excepted = first(&EXCEPTIONS).is_some_and(|(_, list)| lists(&list, host, port));
        if is_loopback(host) || is_excepted {
            return Ok(None);
        }
        url.parse().map(Some).map_err(|error| ProxyVariableError { name, error })
    }
}

/// Whether a list of exceptions has this service.
fn lists(list: &str, host: &str, port: u16) -> bool {
    let host = host.trim_end_matches('.');
    let address: Option<IpAddr> = host.parse().ok();
    let mut entries = list.split(|character: char| character == ',' || character.is_whitespace());
    entries.any(|entry| {
        let here = with_port(entry).filter(|(_, only)| *only == port).map(|(place, _)| place);
        entry == "*" || [Some(entry), here].into_iter().flatten().any(|entry| covers(entry, host, address))
    })
}

/// An entry and the port behind it. An address of IPv6 with a port stands in brackets.
fn with_port(entry: &str) -> Option<(&str, u16)> {
    let (place, port) = entry.rsplit_once(':')?;
    let is_one_place = !place.contains(':') || place.starts_with('[') && place.ends_with(']');
    port.parse().ok().filter(|_| is_one_place).map(|port| (place, port))
}

fn covers(entry: &str, host: &str, address: Option<IpAddr>) -> bool {
    let Some(address) = address else {
        let name = entry.strip_prefix('.').unwrap_or(entry).trim_end_matches('.');
        // Of bytes, because an entry may be anything.
        let (host, name) = (host.as_bytes(), name.as_bytes());
        let Some(before) = host.len().checked_sub(name.len()).filter(|_| !name.is_empty()) else { return false };
        return host[before..].eq_ignore_ascii_case(name) && (before == 0 || host[before - 1] == b'.');
    };
    let (network, bits) = match entry.split_once('/') {
        Some((network, bits)) => (network, bits.parse().ok()),
        None => (entry, Some(128)),
    };
    let network = network.strip_prefix('[').and_then(|inside| inside.strip_suffix(']')).unwrap_or(network);
    let (Ok(network), Some(bits)) = (network.parse(), bits) else { return false };
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            same(network.to_bits().into(), address.to_bits().into(), 32, bits)
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => same(network.to_bits(), address.to_bits(), 128, bits),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

/// Whether two addresses of this width begin with the same bits.
const fn same(one: u128, other: u128, width: u32, bits: u32) -> bool {
    match width.checked_sub(bits) {
        Some(_) if bits == 0 => true,
        Some(rest) => (one ^ other) >> rest == 0,
        // An address that stands for itself.
        None => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(host: &str, variables: &[(&str, &str)]) -> Result<Option<String>, ProxyVariableError> {
        let lookup =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Ok(Proxy::from_variables(host, 443, lookup)?.map(|proxy| proxy.host().to_owned()))
    }

    #[test]
    fn the_first_variable_that_says_something_names_the_proxy() {
        let all = [("ALL_PROXY", "d"), ("all_proxy", "c"), ("HTTPS_PROXY", "b"), ("https_proxy", "a")];
        for (count, expected) in [(0, None), (1, Some("d")), (2, Some("c")), (3, Some("b")), (4, Some("a"))] {
            assert_eq!(proxy("api.example", &all[..count]), Ok(expected.map(str::to_owned)), "{count}");
        }
        let empty = [("https_proxy", ""), ("ALL_PROXY", "d")];
        assert_eq!(proxy("api.example", &empty), Ok(Some("d".to_owned())));
        // It is for http:// URLs.
        assert_eq!(proxy("api.example", &[("http_proxy", "x"), ("HTTP_PROXY", "x")]), Ok(None));
    }

    #[test]
    fn a_variable_that_cannot_be_used_is_named_and_not_shown() {
        let variables = [("HTTPS_PROXY", "socks4://s3cret"), ("NO_PROXY", "intern.example")];
        let error = proxy("api.example", &variables).unwrap_err();
        assert_eq!((error.name, error.error), ("HTTPS_PROXY", ProxyUrlError::Scheme));
        assert!(!error.to_string().contains("s3cret"));
        assert_eq!(proxy("intern.example", &variables), Ok(None), "it is not used there");
    }

    #[test]
    fn this_machine_is_never_reached_through_a_proxy_of_the_environment() {
        for host in ["localhost", "127.0.0.1", "::1", "sim.localhost"] {
            assert_eq!(proxy(host, &[("ALL_PROXY", "proxy")]), Ok(None), "{host}");
        }
    }

    #[test]
    fn exceptions_are_names_addresses_and_networks() {
        for (list, host, excepted) in [
            ("example.com", "example.com", true),
            ("example.com", "api.example.com", true),
            ("example.com", "badexample.com", false),
            ("example.com", "example.com.evil", false),
            (".example.com", "api.example.com", true),
            (".example.com", "example.com", true),
            ("EXAMPLE.com.", "api.Example.COM.", true),
            ("a, b\texample.com", "example.com", true),
            (" ,, example.com ,", "example.com", true),
            ("*", "example.com", true),
            ("a,*", "10.0.0.1", true),
            ("*.example.com", "api.example.com", false),
            ("", "example.com", false),
            (".", "example.com", false),
            ("example.com:443", "example.com", true),
            ("example.com:2197", "example.com", false),
            ("é", "example.com", false),
            ("10.0.0.1", "10.0.0.1", true),
            ("0.0.1", "10.0.0.1", false),
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.1/32", "10.0.0.1", true),
            ("10.0.0.1/33", "10.0.0.2", false),
            ("0.0.0.0/0", "10.0.0.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("10.0.0.0/x", "10.0.0.0", false),
            ("10.0.0.0/8", "example.com", false),
            ("2001:db8::1", "2001:db8:0::1", true),
            ("[2001:db8::1]", "2001:db8::1", true),
            ("[2001:db8::1]:443", "2001:db8::1", true),
            ("[2001:db8::1]:80", "2001:db8::1", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "2001:db9::1", true),
        ] {
            assert_eq!(lists(list, host, 443), excepted, "{list} {host}");
        }
    }

    #[test]
    fn the_lower_case_list_goes_before_the_other() {
        let variables = [("ALL_PROXY", "proxy"), ("no_proxy", "a.example"), ("NO_PROXY", "b.example")];
        assert_eq!(proxy("a.example", &variables), Ok(None));
        assert_eq!(proxy("b.example", &variables), Ok(Some("proxy".to_owned())));
    }
}
