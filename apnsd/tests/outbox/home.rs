//! Where an outbox is kept, while those who use it come and go.

use std::path::PathBuf;
use std::sync::Arc;
#[cfg(feature = "postgres")]
use std::time::Duration;

#[cfg(feature = "postgres")]
use apnsd::outbox::postgres::{PostgresOutbox, PostgresSettings};
use apnsd::outbox::sqlite::SqliteOutbox;
use apnsd::outbox::{Bounds, Outbox};
use tempfile::TempDir;

/// A directory that is not there yet, in one that goes away.
pub(crate) struct Folder(pub(crate) PathBuf, #[expect(dead_code, reason = "it is there to be dropped")] TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        let parent = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        Self(parent.path().join("outbox"), parent)
    }

    pub(crate) fn open(&self, bounds: Bounds) -> SqliteOutbox {
        SqliteOutbox::open(&self.0, bounds).unwrap()
    }

    /// As after a loss of power: what was not synced is of another start of the machine.
    fn forget_sent(&self) {
        let path = self.0.join("outbox.sent");
        let text = std::fs::read_to_string(&path).unwrap();
        let (first, rest) = text.split_once('\n').unwrap();
        let begun: serde_json::Value = serde_json::from_str(first).unwrap();
        let boot = begun["begun"]["boot"].as_str().unwrap();
        std::fs::write(&path, format!("{}\n{rest}", first.replace(boot, "another"))).unwrap();
    }
}

/// Any store.
pub(crate) enum Home {
    Folder(Folder),
    /// The URL of a database.
    #[cfg(feature = "postgres")]
    Database(String),
}

/// The names under which a store that several processes share is opened.
pub(crate) const NODES: [&str; 2] = ["one", "two"];

impl Home {
    pub(crate) fn folder() -> Self {
        Self::Folder(Folder::new())
    }

    /// `None` where there is no server.
    #[cfg(feature = "postgres")]
    pub(crate) async fn database() -> Option<Self> {
        Some(Self::Database(crate::postgres::server()?.database().await))
    }

    pub(crate) async fn open(&self, bounds: Bounds) -> Arc<dyn Outbox> {
        self.open_as(NODES[0], bounds).await
    }

    /// Opens it beside others.
    pub(crate) async fn open_as(&self, node: &str, bounds: Bounds) -> Arc<dyn Outbox> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Database(url) => {
                let settings = PostgresSettings::new(url, node).unwrap().with_lease(Duration::from_secs(120));
                Arc::new(PostgresOutbox::open(&settings, bounds).await.unwrap())
            }
            Self::Folder(folder) => {
                let _alone = node;
                Arc::new(folder.open(bounds))
            }
        }
    }

    /// How many processes may have it open.
    pub(crate) const fn most(&self) -> usize {
        match self {
            Self::Folder(_) => 1,
            #[cfg(feature = "postgres")]
            Self::Database(_) => 2,
        }
    }

    /// Whether it keeps notes of what left and what was heard beside the tables.
    pub(crate) const fn keeps_notes(&self) -> bool {
        match self {
            Self::Folder(_) => true,
            #[cfg(feature = "postgres")]
            Self::Database(_) => false,
        }
    }

    /// The process that has it open under this name dies, and the machine with it where the power fails.
    pub(crate) async fn crash(&self, outbox: Arc<dyn Outbox>, power: bool) {
        match self {
            Self::Folder(folder) => {
                outbox.close().await.unwrap();
                drop(outbox);
                if power {
                    folder.forget_sent();
                }
            }
            // Nothing is given back.
            #[cfg(feature = "postgres")]
            Self::Database(_) => drop(outbox),
        }
    }

    /// The process that has it open under this name is not heard of for too long.
    pub(crate) async fn lapse(&self, node: &str) {
        match self {
            Self::Folder(_) => unreachable!("there is no process beside {node}"),
            #[cfg(feature = "postgres")]
            Self::Database(url) => {
                let lapse = format!("UPDATE apnsd.node SET until = '-infinity' WHERE name = '{node}'");
                crate::postgres::execute(url, &lapse).await;
            }
        }
    }
}
