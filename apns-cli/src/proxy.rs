//! The proxy to go through: options, variables and profiles say which.

use std::path::PathBuf;

use apnsd::config::Secret;
use clap::Args;
use serde::{Deserialize, Deserializer};

/// The proxy on the way to the service.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ProxyFlags {
    /// The proxy to go through: http://, https:// or socks5h://USER:PASSWORD@HOST:PORT, of which only HOST is needed; without this, what
    /// HTTPS_PROXY or ALL_PROXY names, unless NO_PROXY lists the host
    #[arg(long, value_name = "URL", help_heading = "Connection")]
    pub(crate) proxy: Option<String>,
    /// Go through no proxy, whatever variables and profile say
    #[arg(long, conflicts_with = "proxy", help_heading = "Connection")]
    pub(crate) no_proxy: bool,
    /// A file whose first line is the password for the proxy; its user stands in the URL
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    pub(crate) proxy_password_file: Option<PathBuf>,
    /// A PEM file with the certificate authorities to trust for a proxy with https://, in place of those of the system
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    pub(crate) proxy_ca: Option<PathBuf>,
}

impl ProxyFlags {
    /// What the options say.
    pub(crate) fn choice(&self) -> Option<ProxyChoice> {
        if self.no_proxy { Some(ProxyChoice::Off) } else { self.proxy.clone().map(ProxyChoice::from) }
    }
}

/// What one layer says about the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ProxyChoice {
    /// None, whatever the layers behind it say.
    Off,
    /// This one. The URL may have a password in it.
    Url(Secret),
}

impl From<String> for ProxyChoice {
    fn from(text: String) -> Self {
        if text == "none" { Self::Off } else { Self::Url(Secret::new(text)) }
    }
}

impl<'de> Deserialize<'de> for ProxyChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Secret::deserialize(deserializer).map(|text| Self::from(text.expose().to_owned()))
    }
}
