//! The URL of a proxy.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

use super::host;

/// Where a proxy is, how to speak to it, and who to be there. Read from a URL:
///
/// | URL | |
/// |---|---|
/// | `http://proxy.example:3128` | HTTP `CONNECT`; without a port 80 |
/// | `https://proxy.example:3129` | the same, with TLS to the proxy; without a port 443 |
/// | `socks5://proxy.example:1080`, `socks5h://…` | SOCKS version 5; without a port 1080. The proxy resolves the service's name with either |
/// | `http://user:password@proxy.example:3128` | with a user and a password, in each of them; what means something else in a URL as `%40` and so on |
/// | `proxy.example:3128` | the same as with `http://` |
///
/// Neither [`Debug`](fmt::Debug) nor [`Display`](fmt::Display) shows the user or the password, and no error shows any part
/// of the URL.
///
/// ```
/// use apns_proto::proxy::{Proxy, ProxyScheme};
///
/// let proxy: Proxy = "socks5h://me:se%40cret@[2001:db8::1]".parse()?;
/// assert_eq!((proxy.scheme(), proxy.host(), proxy.port()), (ProxyScheme::Socks5, "2001:db8::1", 1080));
/// assert_eq!(proxy.to_string(), "socks5h://[2001:db8::1]:1080");
/// # Ok::<(), apns_proto::proxy::ProxyUrlError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    scheme: ProxyScheme,
    host: Box<str>,
    port: u16,
    credentials: Option<Credentials>,
}

/// How to speak to a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProxyScheme {
    /// HTTP `CONNECT` in plain text.
    Http,
    /// HTTP `CONNECT` over TLS.
    Https,
    /// SOCKS version 5, where the proxy resolves names.
    Socks5,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) user: Box<str>,
    pub(super) password: Box<str>,
}

/// The URL of a proxy cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyUrlError {
    /// It is empty.
    #[error("the proxy's URL is empty")]
    Empty,
    /// It begins with something else than a scheme that is known.
    #[error("the proxy's URL has to begin with http://, https://, socks5h:// or socks5://")]
    Scheme,
    /// There is no host in it, or none that can be one.
    #[error(
        "the proxy's URL has no host that can be one: a name in ASCII, or an address, that of IPv6 in brackets; in a user \
         or a password write / as %2F, ? as %3F, # as %23 and @ as %40"
    )]
    Host,
    /// The port is no number from 1 to 65535.
    #[error("the port in the proxy's URL is no number from 1 to 65535; in a user or a password write / as %2F")]
    Port,
    /// There is something behind host and port.
    #[error("the proxy's URL has something behind host and port")]
    Path,
    /// There is white space or a control character in it.
    #[error("there is white space or a control character in the proxy's URL")]
    Character,
    /// The user or the password cannot be given to a proxy of this kind.
    #[error(
        "the proxy's user or password cannot be given to it: with SOCKS each has at most 255 bytes, with HTTP 1024, and \
         no user of HTTP has a colon"
    )]
    Credentials,
    /// There is a password and no user.
    #[error("there is a password for the proxy, and its URL names no user: write http://user@host:port")]
    NoUser,
    /// There is a password in the URL and another one beside it.
    #[error("there are two passwords for the proxy: leave out the one in its URL")]
    TwoPasswords,
}

/// The longest user and the longest password that are given to a proxy of HTTP, in bytes.
const LONGEST_HTTP: usize = 1024;

/// The same for SOCKS, by RFC 1929.
const LONGEST_SOCKS: usize = 255;

impl Proxy {
    /// How to speak to it.
    #[must_use]
    pub const fn scheme(&self) -> ProxyScheme {
        self.scheme
    }

    /// Its host, an address of IPv6 without brackets.
    #[must_use]
    pub const fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Whether a user, or a user with a password, is given to it.
    #[must_use]
    pub const fn has_credentials(&self) -> bool {
        self.credentials.is_some()
    }

    pub(super) const fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// With this user and password in place of those of the URL.
    ///
    /// # Errors
    ///
    /// [`ProxyUrlError::Credentials`].
    pub fn with_credentials(mut self, user: &str, password: &str) -> Result<Self, ProxyUrlError> {
        let longest = match self.scheme {
            ProxyScheme::Http | ProxyScheme::Https => LONGEST_HTTP,
            ProxyScheme::Socks5 => LONGEST_SOCKS,
        };
        let fits = user.len() <= longest && password.len() <= longest;
        // RFC 7617 section 2: neither has control characters, and the first colon ends the user.
        let is_http = self.scheme != ProxyScheme::Socks5;
        let ends_early = is_http && (user.contains(':') || user.chars().chain(password.chars()).any(char::is_control));
        if !fits || ends_early {
            return Err(ProxyUrlError::Credentials);
        }
        self.credentials = Some(Credentials { user: user.into(), password: password.into() });
        Ok(self)
    }

    /// With this password for the user of the URL, so that it can be kept apart, in a file for instance.
    ///
    /// # Errors
    ///
    /// [`ProxyUrlError::NoUser`], [`ProxyUrlError::TwoPasswords`], [`ProxyUrlError::Credentials`].
    pub fn with_password(self, password: &str) -> Result<Self, ProxyUrlError> {
        let user = match &self.credentials {
            None => return Err(ProxyUrlError::NoUser),
            Some(credentials) if !credentials.password.is_empty() => return Err(ProxyUrlError::TwoPasswords),
            Some(credentials) => credentials.user.clone(),
        };
        self.with_credentials(&user, password)
    }
}

impl ProxyScheme {
    /// Whether TLS is spoken to the proxy.
    #[must_use]
    pub const fn is_tls(self) -> bool {
        match self {
            Self::Https => true,
            Self::Http | Self::Socks5 => false,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Socks5 => "socks5h",
        }
    }

    const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
            Self::Socks5 => 1080,
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        let is = |other| word.eq_ignore_ascii_case(other);
        match () {
            () if is("http") => Some(Self::Http),
            () if is("https") => Some(Self::Https),
            () if is("socks5") || is("socks5h") => Some(Self::Socks5),
            () => None,
        }
    }
}

impl FromStr for Proxy {
    type Err = ProxyUrlError;

    fn from_str(text: &str) -> Result<Self, ProxyUrlError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(ProxyUrlError::Empty);
        }
        if text.contains(|character: char| character.is_whitespace() || character.is_control()) {
            return Err(ProxyUrlError::Character);
        }
        let (scheme, rest) = match text.split_once("://") {
            Some((word, rest)) => (ProxyScheme::from_word(word).ok_or(ProxyUrlError::Scheme)?, rest),
            None => (ProxyScheme::Http, text),
        };
        let (authority, behind) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        // An @ in a password that was not escaped is none that ends it.
        let (user_info, place) = match authority.rsplit_once('@') {
            Some((user_info, place)) => (Some(user_info), place),
            None => (None, authority),
        };
        let (host, port) = host_and_port(place)?;
        if !matches!(behind, "" | "/") {
            return Err(ProxyUrlError::Path);
        }
        let proxy = Self { scheme, host: host.into(), port: port.unwrap_or(scheme.port()), credentials: None };
        match user_info.filter(|info| !info.is_empty()) {
            None => Ok(proxy),
            Some(info) => {
                let (user, password) = info.split_once(':').unwrap_or((info, ""));
                proxy.with_credentials(&decoded(user)?, &decoded(password)?)
            }
        }
    }
}

fn host_and_port(place: &str) -> Result<(&str, Option<u16>), ProxyUrlError> {
    let (host, port) = match place.strip_prefix('[') {
        Some(bracketed) => {
            let (inside, behind) = bracketed.split_once(']').ok_or(ProxyUrlError::Host)?;
            if inside.parse::<Ipv6Addr>().is_err() {
                return Err(ProxyUrlError::Host);
            }
            match behind.strip_prefix(':') {
                Some(port) => (inside, Some(port)),
                None if behind.is_empty() => (inside, None),
                None => return Err(ProxyUrlError::Host),
            }
        }
        None => {
            let (host, port) = match place.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (place, None),
            };
            if !host::is_name(host) {
                return Err(ProxyUrlError::Host);
            }
            (host, port)
        }
    };
    // As in any URL, a port that is empty is the usual one.
    let Some(port) = port.filter(|port| !port.is_empty()) else { return Ok((host, None)) };
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let number = port.parse().ok().filter(|number: &u16| digits && *number > 0);
    number.map(|number| (host, Some(number))).ok_or(ProxyUrlError::Port)
}

/// With escapes undone. A percent sign without two digits behind it stands for itself.
fn decoded(text: &str) -> Result<Cow<'_, str>, ProxyUrlError> {
    percent_decode_str(text).decode_utf8().map_err(|_| ProxyUrlError::Credentials)
}

/// Without user and password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.word(), host::authority(&self.host, self.port))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self}{})", if self.has_credentials() { ", with credentials" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = (ProxyScheme, String, u16, Option<(String, String)>);

    fn read(text: &str) -> Result<Read, ProxyUrlError> {
        let proxy: Proxy = text.parse()?;
        let credentials = proxy.credentials.map(|one| (one.user.into(), one.password.into()));
        Ok((proxy.scheme, proxy.host.into(), proxy.port, credentials))
    }

    #[test]
    fn a_url_has_a_scheme_a_host_and_a_port_by_default() {
        use ProxyScheme::{Http, Https, Socks5};
        for (text, scheme, host, port) in [
            ("http://proxy.example:3128", Http, "proxy.example", 3128),
            ("HTTP://proxy.example:3128/", Http, "proxy.example", 3128),
            ("http://proxy.example", Http, "proxy.example", 80),
            ("http://proxy.example:/", Http, "proxy.example", 80),
            ("https://proxy.example", Https, "proxy.example", 443),
            ("socks5://proxy.example", Socks5, "proxy.example", 1080),
            ("socks5h://10.0.0.1:9", Socks5, "10.0.0.1", 9),
            ("proxy.example:3128", Http, "proxy.example", 3128),
            ("proxy", Http, "proxy", 80),
            (" http://[2001:db8::1]:3128\n", Http, "2001:db8::1", 3128),
            ("[::1]", Http, "::1", 80),
        ] {
            assert_eq!(read(text), Ok((scheme, host.to_owned(), port, None)), "{text}");
        }
    }

    #[test]
    fn user_and_password_are_read_with_their_escapes() {
        for (text, user, password) in [
            ("http://me:secret@proxy:1", "me", "secret"),
            ("http://me@proxy:1", "me", ""),
            ("http://:token@proxy:1", "", "token"),
            ("me:secret@proxy:1", "me", "secret"),
            ("http://me:a:b@proxy:1", "me", "a:b"),
            ("http://me:p@ss@proxy:1", "me", "p@ss"),
            ("http://m%65:%2F%3a%40%25%c3%A9@proxy:1", "me", "/:@%é"),
            ("http://me:100%@proxy:1", "me", "100%"),
            ("http://me:50%off@proxy:1", "me", "50%off"),
            ("socks5://a%3Ab:c@proxy:1", "a:b", "c"),
        ] {
            let (_, host, _, credentials) = read(text).unwrap();
            assert_eq!((host.as_str(), credentials), ("proxy", Some((user.into(), password.into()))), "{text}");
        }
        assert_eq!(read("http://@proxy:1").unwrap().3, None);
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said_without_any_of_it() {
        let long = "s3cret".repeat(200);
        for (text, error) in [
            ("", ProxyUrlError::Empty),
            (" \t", ProxyUrlError::Empty),
            ("socks4://s3cret:1", ProxyUrlError::Scheme),
            ("ftp://me:s3cret@proxy", ProxyUrlError::Scheme),
            ("://s3cret", ProxyUrlError::Scheme),
            ("http://", ProxyUrlError::Host),
            ("http://me:s3cret@", ProxyUrlError::Host),
            ("http://me:s3cret@:3128", ProxyUrlError::Host),
            ("http://s3crét", ProxyUrlError::Host),
            ("http://::1:3128", ProxyUrlError::Host),
            ("http://[::1", ProxyUrlError::Host),
            ("http://[::1]3128", ProxyUrlError::Host),
            ("http://[s3cret]:1", ProxyUrlError::Host),
            ("socks5:proxy:1080", ProxyUrlError::Port),
            ("http://proxy:s3cret", ProxyUrlError::Port),
            ("http://proxy:0", ProxyUrlError::Port),
            ("http://proxy:65536", ProxyUrlError::Port),
            ("http://proxy:+80", ProxyUrlError::Port),
            ("http://me:s3/cret@proxy:1", ProxyUrlError::Port),
            ("http://proxy:1/s3cret", ProxyUrlError::Path),
            ("http://proxy:1?s3cret", ProxyUrlError::Path),
            ("http://proxy:1#s3cret", ProxyUrlError::Path),
            ("http://me:s3 cret@proxy:1", ProxyUrlError::Character),
            ("http://proxy\r\nEvil: s3cret", ProxyUrlError::Character),
            ("http://me:%0as3cret@proxy", ProxyUrlError::Credentials),
            ("http://m%3ae:s3cret@proxy", ProxyUrlError::Credentials),
            ("http://me:%ff@proxy", ProxyUrlError::Credentials),
            (&format!("http://me:{long}@proxy"), ProxyUrlError::Credentials),
            (&format!("socks5://me:{}@proxy", &long[..256]), ProxyUrlError::Credentials),
        ] {
            let found = read(text).expect_err(text);
            assert_eq!(found, error, "{text}");
            assert!(!found.to_string().contains("s3cret"), "{found}");
        }
        assert!(read(&format!("http://me:{}@proxy", &long[..1024])).is_ok());
        assert!(read(&format!("socks5://me:{}@proxy", &long[..255])).is_ok());
    }

    #[test]
    fn neither_user_nor_password_is_shown() {
        let proxy: Proxy = "https://s3cret:s3cret@proxy:1".parse().unwrap();
        assert_eq!(proxy.to_string(), "https://proxy:1");
        assert_eq!(format!("{proxy:?}"), "Proxy(https://proxy:1, with credentials)");
        // What is shown is a URL of the same proxy.
        let again: Proxy = proxy.to_string().parse().unwrap();
        assert_eq!((again.scheme, again.host, again.port), (proxy.scheme, proxy.host, proxy.port));
    }

    #[test]
    fn a_password_may_stand_apart_from_its_user() {
        let with = |url: &str| url.parse::<Proxy>().unwrap().with_password("s3cret");
        assert_eq!(with("http://me@proxy").unwrap(), "http://me:s3cret@proxy".parse().unwrap());
        assert_eq!(with("http://proxy"), Err(ProxyUrlError::NoUser));
        assert_eq!(with("http://me:other@proxy"), Err(ProxyUrlError::TwoPasswords));
    }
}
