//! The certificates that ports show, taken again when their files change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::config::{Config, FileState};
use crate::listen::ServerCertificate;

/// How often their files are looked at.
const EVERY: Duration = Duration::from_secs(15);

/// The files of all ports.
#[derive(Debug, Default)]
pub(crate) struct ServerFiles(Mutex<Vec<Watched>>);

#[derive(Debug, Clone)]
struct Watched {
    /// The table of the configuration that names them.
    table: &'static str,
    certificate: PathBuf,
    key: PathBuf,
    shown: Arc<ServerCertificate>,
    seen: [FileState; 2],
}

fn states(certificate: &Path, key: &Path) -> [FileState; 2] {
    [FileState::of(certificate), FileState::of(key)]
}

impl ServerFiles {
    /// Follows the files that a configuration names, for the ports that show these.
    pub(crate) fn follow(
        &self,
        config: &Config,
        api: Option<&Arc<ServerCertificate>>,
        bridge: Option<&Arc<ServerCertificate>>,
    ) {
        let api = api.zip(config.api.tls.as_ref()).map(|(shown, tls)| ("api.tls", &tls.certificate, &tls.key, shown));
        let server = config.bridge.as_ref().and_then(|bridge| bridge.server.as_ref());
        let bridge = bridge.zip(server).map(|(shown, (certificate, key))| ("bridge", certificate, key, shown));
        let watched = [api, bridge].into_iter().flatten().map(|(table, certificate, key, shown)| Watched {
            table,
            certificate: certificate.clone(),
            key: key.clone(),
            shown: shown.clone(),
            seen: states(certificate, key),
        });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = watched.collect();
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
        for watched in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            let Watched { table, certificate, key, shown, seen } = watched;
            let found = states(certificate, key);
            if found == *seen {
                continue;
            }
            *seen = found;
            match ServerCertificate::read_files(table, certificate, key) {
                Ok(read) => {
                    shown.replace(read);
                    tracing::info!("{table}: the certificate changed, and new connections are shown the new one");
                }
                Err(error) => {
                    tracing::warn!("the certificate changed and cannot be used, so the old one stays: {error}");
                }
            }
        }
    }
}
