//! Settings of a client of a binary gateway, and its start.

use apns_proto::binary::{BinaryApi, Config, Format};

use crate::builder::{BuildError, Common, common_settings};
use crate::tls::TlsSettings;
use crate::{Client, Endpoint, Identity, Runtime};

/// Settings of a client of a binary gateway. All have a default; [`start`](Self::start) ends the chain.
#[derive(Debug, Clone)]
pub struct BinaryBuilder<R> {
    common: Common<R>,
    config: Config,
}

impl<R: Runtime> BinaryBuilder<R> {
    common_settings!();

    /// Begins a client of a binary gateway on this runtime. [`Client::binary`] does so on the default one.
    #[must_use]
    pub fn on(runtime: R, endpoint: Endpoint, identity: Identity) -> Self {
        let tls = TlsSettings { identity: Some(identity), ..TlsSettings::default() };
        Self { common: Common::new(runtime, endpoint, tls), config: Config::default() }
    }

    /// The format that notifications are written in. Default: command 2.
    #[must_use]
    pub fn format(mut self, format: Format) -> Self {
        self.config = self.config.with_format(format);
        self
    }

    /// Everything that concerns one connection: window, quiet time, limits, timeouts.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Starts the client on the runtime. It connects when there is something to send.
    ///
    /// # Errors
    ///
    /// When the client certificate has expired or is not valid yet, or the TLS settings cannot be used.
    ///
    /// # Panics
    ///
    /// Where the runtime panics when a task is spawned outside of it.
    pub fn start(mut self) -> Result<Client<R>, BuildError> {
        let config = self.config;
        // A full window is proven, not waited for; so each has to become full, and a next one to be begun meanwhile.
        // What is begun costs memory beside the full one: a tenth keeps the peak within a tenth.
        let window = config.window_count();
        self.common.under_way = self.common.connections.saturating_mul(window + (window / 10).max(1));
        self.common.start(None, || BinaryApi::new(config.clone()))
    }
}
