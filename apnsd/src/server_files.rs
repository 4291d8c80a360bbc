//! The certificates that ports show, taken again when their files change.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio_rustls::rustls::sign::CertifiedKey;

use crate::config::{Config, ConfigError, FileState};
use crate::listen::{CertificateFiles, ServerCertificate};

/// How often their files are looked at.
const EVERY: Duration = Duration::from_secs(15);

/// The files of all ports.
#[derive(Debug)]
pub(crate) struct ServerFiles {
    /// The certificates, each with the table of the configuration that names its files.
    shown: Vec<(&'static str, Arc<ServerCertificate>)>,
    watched: Mutex<Vec<Watched>>,
}

#[derive(Debug)]
struct Watched {
    files: CertificateFiles,
    shown: Arc<ServerCertificate>,
    seen: [FileState; 2],
}

/// What was read, and is not shown yet.
pub(crate) struct Read(Vec<(Watched, Arc<CertifiedKey>)>);

fn states(files: &CertificateFiles) -> [FileState; 2] {
    [FileState::of(&files.certificate), FileState::of(&files.key)]
}

impl ServerFiles {
    pub(crate) fn new(shown: Vec<(&'static str, Arc<ServerCertificate>)>) -> Self {
        Self { shown, watched: Mutex::default() }
    }

    /// Reads the files that a configuration names for the ports that there are.
    pub(crate) fn read(&self, config: &Config) -> Result<Read, ConfigError> {
        let read = config.certificates().into_iter().filter_map(|files| {
            let (_, shown) = self.shown.iter().find(|(table, _)| *table == files.table)?;
            let seen = states(&files);
            Some(files.read().map(|read| (Watched { files, shown: shown.clone(), seen }, read)))
        });
        read.collect::<Result<_, _>>().map(Read)
    }

    /// Shows what was read, and follows its files.
    pub(crate) fn show(&self, Read(read): Read) {
        let watched = read.into_iter().map(|(watched, read)| {
            watched.shown.replace(read);
            watched
        });
        *self.watched.lock() = watched.collect();
    }

    /// Looks again and again.
    pub(crate) async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(EVERY).await;
            self.look_now().await;
        }
    }

    /// Looks on a thread that may block.
    pub(crate) async fn look_now(self: &Arc<Self>) {
        let files = self.clone();
        // Where there is no such thread any more, the process ends.
        drop(tokio::task::spawn_blocking(move || files.look()).await);
    }

    fn look(&self) {
        for Watched { files, shown, seen } in self.watched.lock().iter_mut() {
            let found = states(files);
            if found == *seen {
                continue;
            }
            *seen = found;
            match files.read() {
                Ok(read) => {
                    shown.replace(read);
                    tracing::info!(
                        "{}: the certificate changed, and new connections are shown the new one",
                        files.table
                    );
                }
                Err(error) => {
                    tracing::warn!("the certificate changed and cannot be used, so the old one stays: {error}");
                }
            }
        }
    }
}
