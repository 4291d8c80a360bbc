//! Which addresses may be connected to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::Deserialize;

/// A range of addresses, such as `10.0.0.0/8`, `fd00::/8`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network {
    base: IpAddr,
    length: u8,
}

/// A text that is no range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it has to be an address or a range of addresses such as 10.0.0.0/8 or fd00::/8")]
pub struct NetworkError;

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (base, length) = match text.split_once('/') {
            None => (text, None),
            Some((base, length)) => (base, Some(length)),
        };
        let base: IpAddr = base.parse().map_err(|_| NetworkError)?;
        let longest = if base.is_ipv4() { 32 } else { 128 };
        let length = match length {
            None => longest,
            Some(length) if length.len() > 1 && length.starts_with(['0', '+']) => return Err(NetworkError),
            Some(length) => length.parse().ok().filter(|length| *length <= longest).ok_or(NetworkError)?,
        };
        Ok(Self { base, length })
    }
}

impl TryFrom<String> for Network {
    type Error = NetworkError;

    fn try_from(text: String) -> Result<Self, NetworkError> {
        text.parse()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.length)
    }
}

impl Network {
    /// Whether an address is in this range.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let same = |base: u128, address: u128, width: u32| {
            let beyond = width.saturating_sub(u32::from(self.length));
            base.checked_shr(beyond).unwrap_or(0) == address.checked_shr(beyond).unwrap_or(0)
        };
        match (self.base, address.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(address)) => same(base.to_bits().into(), address.to_bits().into(), 32),
            (IpAddr::V6(base), IpAddr::V6(address)) => same(base.to_bits(), address.to_bits(), 128),
            _ => false,
        }
    }
}

/// Blocks of IPv4 that are not of the public internet (IANA, special purpose), with multicast and what is reserved.
const NOT_PUBLIC_V4: [([u8; 4], u8); 15] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
];

/// Blocks within the global unicast addresses of IPv6 (2000::/3) that are not of the public internet. 6to4 (2002::/16) and
/// Teredo (2001::/32) lead to addresses of IPv4 that are not looked at.
const NOT_PUBLIC_V6: [([u16; 8], u8); 4] = [
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
];

/// Whether an address is of the public internet.
pub(crate) fn is_public(address: IpAddr) -> bool {
    let outside = |base: IpAddr, length| !Network { base, length }.contains(address);
    match address.to_canonical() {
        IpAddr::V4(_) => NOT_PUBLIC_V4.iter().all(|(base, length)| outside(Ipv4Addr::from(*base).into(), *length)),
        IpAddr::V6(v6) => {
            // NAT64 leads to the address of IPv4 that it has in it.
            if let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = v6.segments() {
                return is_public(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)).into());
            }
            v6.segments()[0] & 0xe000 == 0x2000
                && NOT_PUBLIC_V6.iter().all(|(base, length)| outside(Ipv6Addr::from(*base).into(), *length))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_its_addresses_and_no_others() {
        let has = |network: &str, address: &str| network.parse::<Network>().unwrap().contains(address.parse().unwrap());
        for (network, address) in [
            ("10.0.0.0/8", "10.255.255.255"),
            ("10.1.2.3/8", "10.0.0.0"),
            ("10.1.2.3", "10.1.2.3"),
            ("0.0.0.0/0", "203.0.113.9"),
            ("127.0.0.0/8", "::ffff:127.0.0.1"),
            ("::1", "::1"),
            ("fd00::/8", "fdff::1"),
            ("::/0", "2a00::1"),
        ] {
            assert!(has(network, address), "{network} {address}");
        }
        for (network, address) in [
            ("10.0.0.0/8", "11.0.0.0"),
            ("10.1.2.3/32", "10.1.2.4"),
            ("0.0.0.0/0", "::1"),
            ("::/0", "10.0.0.1"),
            ("::/0", "::ffff:10.0.0.1"),
            ("fd00::/8", "fe00::1"),
        ] {
            assert!(!has(network, address), "{network} {address}");
        }
        for wrong in
            ["", "10", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/08", "::/129", "a.example", "1/2/3"]
        {
            assert_eq!(wrong.parse::<Network>(), Err(NetworkError), "{wrong}");
        }
        assert_eq!("fd00::/8".parse::<Network>().unwrap().to_string(), "fd00::/8");
    }

    #[test]
    fn what_is_within_a_network_is_not_public() {
        let public = |address: &str| is_public(address.parse().unwrap());
        for address in ["1.1.1.1", "17.188.1.1", "100.128.0.1", "172.32.0.1", "2606:4700::1111", "2a00:1450::1"] {
            assert!(public(address), "{address}");
        }
        for address in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.8.8.8",
            "169.254.169.254",
            "172.31.255.255",
            "192.168.1.1",
            "198.19.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "2002:7f00:1::1",
            "3fff::1",
            "100::1",
        ] {
            assert!(!public(address), "{address}");
        }
        assert!(public("64:ff9b::101:101"), "a public address behind NAT64");
    }
}
