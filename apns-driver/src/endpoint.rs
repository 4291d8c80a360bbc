//! Where the services are.

use std::fmt;

use apns_proto::Environment;

/// A host name and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    host: String,
    port: u16,
}

impl Endpoint {
    /// Any host. A name is what the server's certificate is checked against; an address works if the certificate has it.
    /// An address of IPv6 may stand in brackets, as in URLs.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        let host = host.into();
        let inside = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        match inside.filter(|inside| inside.contains(':')) {
            Some(address) => Self { host: address.to_owned(), port },
            None => Self { host, port },
        }
    }

    /// The binary gateway at Apple's names, which Apple switched off on 31 March 2021. Private gateways answer to them
    /// where the name service says so.
    #[must_use]
    pub fn gateway(environment: Environment) -> Self {
        Self::new(
            match environment {
                Environment::Production => "gateway.push.apple.com",
                Environment::Sandbox => "gateway.sandbox.push.apple.com",
            },
            2195,
        )
    }

    /// The feedback service at Apple's names; see [`gateway`](Self::gateway).
    #[must_use]
    pub fn feedback(environment: Environment) -> Self {
        Self::new(
            match environment {
                Environment::Production => "feedback.push.apple.com",
                Environment::Sandbox => "feedback.sandbox.push.apple.com",
            },
            2196,
        )
    }

    /// The HTTP/2 provider API: pushes to devices, and broadcasts.
    #[cfg(feature = "http2")]
    #[must_use]
    pub fn provider_api(environment: Environment) -> Self {
        use apns_proto::http2::host;
        Self::new(
            match environment {
                Environment::Production => host::PRODUCTION,
                Environment::Sandbox => host::SANDBOX,
            },
            host::PORT,
        )
    }

    /// Channel management of the HTTP/2 provider API.
    #[cfg(feature = "http2")]
    #[must_use]
    pub fn channels(environment: Environment) -> Self {
        use apns_proto::http2::host;
        match environment {
            Environment::Production => Self::new(host::CHANNELS_PRODUCTION, host::CHANNELS_PRODUCTION_PORT),
            Environment::Sandbox => Self::new(host::CHANNELS_SANDBOX, host::CHANNELS_SANDBOX_PORT),
        }
    }

    /// The same host with another port, such as 2197 where a firewall does not let 443 through.
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// The host.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            return write!(f, "[{}]:{}", self.host, self.port);
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n14_an_address_may_stand_in_brackets() {
        for (given, host, shown) in [
            ("[::1]", "::1", "[::1]:443"),
            ("::1", "::1", "[::1]:443"),
            ("127.0.0.1", "127.0.0.1", "127.0.0.1:443"),
            ("localhost", "localhost", "localhost:443"),
            // Not an address: the name service has the last word.
            ("[localhost]", "[localhost]", "[localhost]:443"),
            ("[", "[", "[:443"),
        ] {
            let endpoint = Endpoint::new(given, 443);
            assert_eq!((endpoint.host(), &*endpoint.to_string()), (host, shown));
        }
    }
}
