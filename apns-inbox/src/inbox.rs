//! The inbox as its user holds it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use apns_proto::internal::to_hex;
use apns_sim::{Entry, Simulator};
use parking_lot::Mutex;
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::sync::watch;

#[cfg(feature = "file")]
use crate::file::{File, FileError, Writing};
use crate::http::{FileView, Inner, Listener, Listening, Shared, router};
use crate::names::Names;
use crate::store::Store;

/// How many pushes are kept.
const KEEP: usize = 10_000;

/// Why the inbox could not be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InboxError {
    /// The address is taken or is none of this machine's.
    #[error("the inbox cannot listen at {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The system has no random numbers.
    #[error("the system has no random numbers to protect forms with")]
    Random,
}

/// Settings of an [`Inbox`]. All have a default.
#[derive(Debug, Clone)]
pub struct Settings {
    keep: usize,
    names: Names,
    hosts: Vec<String>,
    certs: String,
    signing_key: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { keep: KEEP, names: Names::default(), hosts: Vec::new(), certs: "certs".to_owned(), signing_key: None }
    }
}

impl Settings {
    /// How many pushes are kept, the last ones; from 1. Each takes its payload and about 2 KiB, three times as much once it
    /// was looked at or searched. Default: 10 000.
    #[must_use]
    pub fn keep(mut self, pushes: usize) -> Self {
        self.keep = pushes.max(1);
        self
    }

    /// What devices, apps and buttons are called. Default: nothing.
    #[must_use]
    pub fn names(mut self, names: Names) -> Self {
        self.names = names;
        self
    }

    /// Adds a host name that the inbox answers to. It answers to `localhost`, to addresses and to names without a dot
    /// always; to others not, as any site can give its own name this machine's address.
    #[must_use]
    pub fn host(mut self, name: impl Into<String>) -> Self {
        self.hosts.push(name.into());
        self
    }

    /// The folder in which the simulator's certificates are, as the commands on the page name it. Default: `certs`.
    #[must_use]
    pub fn certificates(mut self, folder: impl Into<String>) -> Self {
        self.certs = folder.into();
        self
    }

    /// The file of the simulator's signing key, as the commands on the page name it. Default: the file that the simulator
    /// writes into the folder of its certificates.
    #[must_use]
    pub fn signing_key(mut self, file: impl Into<String>) -> Self {
        self.signing_key = Some(file.into());
        self
    }
}

/// Keeps what a simulator takes, and shows it. See the crate's documentation.
pub struct Inbox {
    store: Arc<Store>,
    settings: Settings,
    #[cfg(feature = "file")]
    file: Option<Arc<File>>,
}

impl Inbox {
    /// One that has nothing yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            store: Arc::new(Store::new(settings.keep)),
            settings,
            #[cfg(feature = "file")]
            file: None,
        }
    }

    /// One that has what the file has, and that is written to it while it is served. A file that is not there is made,
    /// readable for its owner alone. What cannot be written stays in memory and is tried again; the page says so.
    ///
    /// # Errors
    ///
    /// [`FileError`] when the file cannot be opened, is another program's, or another inbox has it open.
    #[cfg(feature = "file")]
    pub fn in_file(settings: Settings, path: impl AsRef<std::path::Path>) -> Result<Self, FileError> {
        let mut inbox = Self::new(settings);
        inbox.file = Some(Arc::new(File::open(path.as_ref(), &inbox.store)?));
        Ok(inbox)
    }

    /// What tells it of a simulator, by [`Builder::on_entry`](apns_sim::Builder::on_entry).
    #[must_use]
    pub fn recorder(&self) -> Recorder {
        Recorder(Arc::clone(&self.store))
    }

    /// Serves the page and the API at an address, port 0 for any that is free. Bad days are made on this simulator.
    ///
    /// # Errors
    ///
    /// When the address cannot be listened at.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with its I/O and time drivers.
    pub async fn serve(&self, address: SocketAddr, simulator: Arc<Simulator>) -> Result<Serving, InboxError> {
        let listener = Listener::bind(address).await.map_err(|source| InboxError::Bind { address, source })?;
        let mut secret = [0; 16];
        SystemRandom::new().fill(&mut secret).map_err(|_| InboxError::Random)?;
        self.store.set_default_topic(simulator.topic());
        let (stop, stopped) = watch::channel(false);
        let shared = Shared::new(Inner {
            store: Arc::clone(&self.store),
            simulator,
            names: self.settings.names.clone(),
            hosts: self.settings.hosts.clone(),
            certs: self.settings.certs.clone(),
            signing_key: self.settings.signing_key.clone(),
            secret: to_hex(&secret),
            stop: stopped,
            gone_away: Mutex::new(None),
            file: self.file_view(),
        });
        let address = listener.address();
        Ok(Serving {
            address,
            listening: listener.serve(router(shared), stop),
            #[cfg(feature = "file")]
            writing: self.file.as_ref().map(|file| file.write(Arc::clone(&self.store))),
        })
    }

    #[cfg(feature = "file")]
    fn file_view(&self) -> Option<FileView> {
        let file = self.file.as_ref()?;
        Some(FileView { path: file.path().display().to_string(), trouble: file.trouble() })
    }

    #[cfg(not(feature = "file"))]
    const fn file_view(&self) -> Option<FileView> {
        None
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Tells an inbox what happens. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Recorder(Arc<Store>);

impl Recorder {
    /// Takes note of an entry. It does not block, and costs a copy of what is kept.
    pub fn note(&self, entry: &Entry) {
        self.0.note(entry);
    }
}

/// An inbox that is served. Dropping it closes its port.
pub struct Serving {
    address: SocketAddr,
    listening: Listening,
    #[cfg(feature = "file")]
    writing: Option<Writing>,
}

impl Serving {
    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes everything and waits until it is, for two seconds at most; then what is to be kept in a file is written.
    pub async fn stop(self) {
        self.listening.stop().await;
        #[cfg(feature = "file")]
        if let Some(writing) = self.writing {
            writing.stop().await;
        }
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving").field("address", &self.address).finish_non_exhaustive()
    }
}
