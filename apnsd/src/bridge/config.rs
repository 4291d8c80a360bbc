//! The table `[bridge]`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use apns_tokio::Certificate;
use serde::Deserialize;

use super::Bridge;
use crate::AppName;
use crate::config::{Config, ConfigError, FilesToldTo, Span, at_least, read_file};
use crate::daemon::DaemonError;
use crate::interface::{Bound, Interface};
use crate::listen::CertificateFiles;
use apns_proto::internal::read_digits;

/// The bridge: clients of the binary protocol connect here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BridgeConfig {
    /// Where the push gateway listens. Default: 127.0.0.1:2195.
    pub listen: SocketAddr,
    /// Where the feedback service listens. Default: 127.0.0.1:2196.
    pub feedback_listen: SocketAddr,
    /// The PEM files with the certificate and its key; `None` for one that the bridge makes for itself.
    pub server: Option<(PathBuf, PathBuf)>,
    /// More names that the certificate is good for that the bridge makes for itself.
    pub names: Vec<String>,
    /// What becomes of a bad device token. Default: an error response.
    pub errors: BridgeErrors,
    /// Whether the topic in a client's certificate says which app it is, regardless of its issuer. Default: when only
    /// this machine can connect and there are no access tokens.
    pub by_topic: Option<bool>,
    /// The largest payload in bytes. Default: 2048.
    pub max_payload: u16,
    /// Which certificates belong to which apps, beside those that apps have themselves.
    pub clients: Vec<BridgeClient>,
    /// What clients may take up.
    pub limits: BridgeLimits,
}

/// What becomes of a bad device token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum BridgeErrors {
    /// An error response with status 8, and the connection ends, as with the original.
    #[default]
    Frame,
    /// The connection goes on, and the feedback service lists the token.
    Feedback,
}

/// A client of the bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BridgeClient {
    /// The app that it sends for.
    pub app: AppName,
    /// What it is known by.
    pub known_by: KnownBy,
}

/// What a client of the bridge is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KnownBy {
    /// The SHA-256 of its certificate.
    Fingerprint([u8; 32]),
    /// A topic that its certificate names.
    Topic(String),
}

impl BridgeClient {
    /// A client with this certificate, as SHA-256 of its DER.
    #[must_use]
    pub const fn with_fingerprint(app: AppName, fingerprint: [u8; 32]) -> Self {
        Self { app, known_by: KnownBy::Fingerprint(fingerprint) }
    }

    /// A client with the first certificate of this PEM file.
    ///
    /// # Errors
    ///
    /// When there is none that can be read.
    pub fn with_certificate_file(app: AppName, path: &Path) -> Result<Self, ConfigError> {
        let at = |problem: &dyn std::fmt::Display| ConfigError::at("certificate", problem);
        let found = Certificate::all_in(&read_file("certificate", path, FilesToldTo::Owner)?, None)
            .map_err(|error| at(&error))?;
        let first = found.first().ok_or_else(|| at(&"there is no certificate in this file"))?;
        Ok(Self::with_fingerprint(app, *first.fingerprint().as_bytes()))
    }
}

/// What clients of the bridge may take up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BridgeLimits {
    /// The most connections of each of the two ports. Default: 800. The longest idle one makes room for a new one.
    pub connections: usize,
    /// How long a TLS handshake may take. Default: 15 s.
    pub handshake_within: Duration,
    /// How long a connection may be idle. Default: one day. What an old client writes into a connection that was closed
    /// meanwhile is lost.
    pub idle: Duration,
}

impl Default for BridgeLimits {
    fn default() -> Self {
        Self { connections: 800, handshake_within: Duration::from_secs(15), idle: Duration::from_secs(24 * 60 * 60) }
    }
}

impl Default for BridgeConfig {
    fn default() -> Self {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            listen: local(2195),
            feedback_listen: local(2196),
            server: None,
            names: Vec::new(),
            errors: BridgeErrors::default(),
            by_topic: None,
            max_payload: 2048,
            clients: Vec::new(),
            limits: BridgeLimits::default(),
        }
    }
}

impl BridgeConfig {
    /// Checks whom it lets in.
    pub(super) fn check_clients(&self, tokens: bool) -> Result<(), ConfigError> {
        let by_topic = |client: &BridgeClient| matches!(client.known_by, KnownBy::Topic(_));
        match self.clients.iter().position(by_topic).filter(|_| !self.topics_count(tokens)) {
            None => Ok(()),
            Some(index) => {
                let problem = "anybody who can connect can make a certificate with this topic: give a fingerprint or a \
                               certificate, or say by_topic = true";
                Err(ConfigError::at(format!("bridge.client[{index}].topic"), problem))
            }
        }
    }

    /// Whether a topic alone is enough to be let in. Where nobody says so: not beside access tokens, which a certificate
    /// that anybody can make would pass by.
    pub(super) fn topics_count(&self, tokens: bool) -> bool {
        self.by_topic.unwrap_or(!tokens && self.listen.ip().is_loopback() && self.feedback_listen.ip().is_loopback())
    }
}

/// The table `[bridge]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BridgeTable {
    enabled: Option<bool>,
    listen: Option<SocketAddr>,
    feedback_listen: Option<SocketAddr>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    errors: BridgeErrors,
    by_topic: Option<bool>,
    max_payload: Option<u16>,
    max_connections: Option<usize>,
    handshake_within: Option<Span>,
    idle: Option<Span>,
    #[serde(default)]
    client: Vec<ClientSection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientSection {
    app: AppName,
    fingerprint: Option<String>,
    certificate: Option<PathBuf>,
    topic: Option<String>,
}

/// The largest payload of any push type, and the smallest limit that lets anything through.
const PAYLOADS: std::ops::RangeInclusive<u16> = 2..=5120;

impl Interface for Option<BridgeConfig> {
    type Table = BridgeTable;

    fn read(table: Option<BridgeTable>, base: &Path) -> Result<Self, ConfigError> {
        table.filter(|table| table.enabled != Some(false)).map(|table| table.read(base)).transpose()
    }

    fn check(&self, tokens: bool) -> Result<(), ConfigError> {
        self.as_ref().map_or(Ok(()), |bridge| bridge.check_clients(tokens))
    }

    fn certificate(&self) -> Option<CertificateFiles> {
        let (certificate, key) = self.as_ref()?.server.clone()?;
        Some(CertificateFiles { table: "bridge", certificate, key })
    }

    fn bind(&self, config: &Config) -> Result<Bound, DaemonError> {
        self.as_ref().map_or_else(|| Ok(Bound::default()), |bridge| Bridge::bind(bridge, config))
    }
}

impl BridgeTable {
    fn read(self, base: &Path) -> Result<BridgeConfig, ConfigError> {
        let usual = BridgeConfig::default();
        let server = match (self.certificate, self.key) {
            (Some(certificate), Some(key)) => Some((base.join(certificate), base.join(key))),
            (None, None) => None,
            (Some(_), None) => return Err(ConfigError::at("bridge.key", "the certificate needs its key")),
            (None, Some(_)) => return Err(ConfigError::at("bridge.certificate", "the key needs its certificate")),
        };
        let max_payload = self.max_payload.unwrap_or(usual.max_payload);
        if !PAYLOADS.contains(&max_payload) {
            let problem = format_args!("it has to be a number from {} to {}", PAYLOADS.start(), PAYLOADS.end());
            return Err(ConfigError::at("bridge.max_payload", problem));
        }
        let connections = at_least("bridge.max_connections", self.max_connections, 1)?;
        let mut clients = Vec::with_capacity(self.client.len());
        for (index, client) in self.client.into_iter().enumerate() {
            clients.push(client.read(base).map_err(|error| error.within(&format!("bridge.client[{index}]")))?);
        }
        Ok(BridgeConfig {
            listen: self.listen.unwrap_or(usual.listen),
            feedback_listen: self.feedback_listen.unwrap_or(usual.feedback_listen),
            server,
            names: self.names,
            errors: self.errors,
            by_topic: self.by_topic,
            max_payload,
            clients,
            limits: BridgeLimits {
                connections: connections.unwrap_or(usual.limits.connections),
                handshake_within: self.handshake_within.map_or(usual.limits.handshake_within, |span| span.0),
                idle: self.idle.map_or(usual.limits.idle, |span| span.0),
            },
        })
    }
}

impl ClientSection {
    fn read(self, base: &Path) -> Result<BridgeClient, ConfigError> {
        let Self { app, fingerprint, certificate, topic } = self;
        match (fingerprint, certificate, topic) {
            (Some(text), None, None) => Ok(BridgeClient::with_fingerprint(app, parse_fingerprint(&text)?)),
            (None, Some(path), None) => BridgeClient::with_certificate_file(app, &base.join(path)),
            (None, None, Some(topic)) => Ok(BridgeClient { app, known_by: KnownBy::Topic(topic) }),
            _ => Err(ConfigError::at("fingerprint", "give one of fingerprint, certificate and topic")),
        }
    }
}

/// In the forms in which tools print one: with colons or without, in any case.
fn parse_fingerprint(text: &str) -> Result<[u8; 32], ConfigError> {
    let expected = "it has to be the SHA-256 of the certificate, 64 hexadecimal digits: openssl x509 -noout \
                    -fingerprint -sha256 -in FILE prints it";
    let wrong = || ConfigError::at("fingerprint", expected);
    let mut bytes = [0; 32];
    let digits = read_digits(text, |found| found == ':', &mut bytes).map_err(|_| wrong())?;
    if digits == 64 { Ok(bytes) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn parse(text: &str) -> Result<Option<BridgeConfig>, String> {
        Config::parse(text, Path::new("/etc/apnsd")).map(|config| config.bridge).map_err(|error| error.to_string())
    }

    #[test]
    fn without_a_word_there_is_no_bridge_and_a_table_is_enough_for_one() {
        assert_eq!(parse(""), Ok(None));
        assert_eq!(parse("[bridge]\nenabled = false"), Ok(None));
        let bridge = parse("[bridge]").unwrap().unwrap();
        assert_eq!(bridge, BridgeConfig::default());
        assert!(bridge.topics_count(false));
    }

    #[test]
    fn everything_has_its_place() {
        let digits = "AB:".repeat(31) + "ab";
        let text = format!(
            "[bridge]\nlisten = \"0.0.0.0:1\"\nfeedback_listen = \"0.0.0.0:2\"\ncertificate = \"a.pem\"\n\
             key = \"a.key\"\nnames = [\"push.example.com\"]\nerrors = \"feedback\"\nby_topic = true\nmax_payload = 4096\n\
             max_connections = 5\nhandshake_within = \"1s\"\nidle = \"2h\"\n\
             [[bridge.client]]\napp = \"shop\"\nfingerprint = \"{digits}\"\n\
             [[bridge.client]]\napp = \"news\"\ntopic = \"com.example.news\"\n"
        );
        let bridge = parse(&text).unwrap().unwrap();
        assert_eq!(bridge.server, Some(("/etc/apnsd/a.pem".into(), "/etc/apnsd/a.key".into())));
        assert_eq!((bridge.errors, bridge.max_payload, bridge.limits.connections), (BridgeErrors::Feedback, 4096, 5));
        assert_eq!(bridge.limits.idle, Duration::from_secs(7200));
        assert_eq!(bridge.clients[0].known_by, KnownBy::Fingerprint([0xab; 32]));
        assert_eq!(bridge.clients[1].known_by, KnownBy::Topic("com.example.news".to_owned()));
        let open = parse("[bridge]\nlisten = \"0.0.0.0:1\"").unwrap().unwrap();
        assert!(bridge.topics_count(false) && !open.topics_count(false), "others can reach it");
        let token = "[[token]]\nname = \"x\"\nsecret = \"secret-0123456789\"\nadmin = true\n";
        let beside = |more: &str| parse(&format!("[bridge]\n{more}\n{token}")).unwrap().unwrap();
        assert!(!beside("").topics_count(true), "a certificate that anybody can make is no access token");
        assert!(beside("by_topic = true").topics_count(true), "unless it is said");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let client = "[bridge]\n[[bridge.client]]\napp = \"shop\"\n";
        for (text, field) in [
            ("[bridge]\nkey = \"a\"", "bridge.certificate: "),
            ("[bridge]\ncertificate = \"a\"", "bridge.key: "),
            ("[bridge]\nmax_payload = 1", "bridge.max_payload: "),
            ("[bridge]\nmax_connections = 0", "bridge.max_connections: "),
            ("[bridge]\nerrors = \"x\"", "bridge.errors: "),
            (client, "bridge.client[0].fingerprint: give one of"),
            (
                "[bridge]\nlisten = \"0.0.0.0:1\"\n[[bridge.client]]\napp = \"shop\"\ntopic = \"a\"",
                "bridge.client[0].topic: anybody who can connect",
            ),
            (&format!("{client}fingerprint = \"ab\""), "bridge.client[0].fingerprint: it has to be the SHA-256"),
            (&format!("{client}fingerprint = \"{}\"", "x".repeat(64)), "bridge.client[0].fingerprint: "),
            (&format!("{client}certificate = \"gone.pem\""), "bridge.client[0].certificate: /etc/apnsd/gone.pem"),
        ] {
            let problem = parse(text).unwrap_err();
            assert!(problem.starts_with(field), "{text}: {problem}");
        }
    }
}
