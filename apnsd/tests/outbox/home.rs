//! Where an outbox is kept, while those who use it come and go.

use std::path::PathBuf;
use std::sync::Arc;

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
}

/// The names under which a store that several processes share is opened.
pub(crate) const NODES: [&str; 2] = ["one", "two"];

impl Home {
    pub(crate) fn folder() -> Self {
        Self::Folder(Folder::new())
    }

    pub(crate) async fn open(&self, bounds: Bounds) -> Arc<dyn Outbox> {
        self.open_as(NODES[0], bounds).await
    }

    /// Opens it beside others.
    pub(crate) async fn open_as(&self, _node: &str, bounds: Bounds) -> Arc<dyn Outbox> {
        match self {
            Self::Folder(folder) => Arc::new(folder.open(bounds)),
        }
    }

    /// How many processes may have it open.
    pub(crate) const fn most(&self) -> usize {
        match self {
            Self::Folder(_) => 1,
        }
    }

    /// Whether it keeps notes of what left and what was heard beside the tables.
    pub(crate) const fn keeps_notes(&self) -> bool {
        match self {
            Self::Folder(_) => true,
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
        }
    }

    /// The process that has it open under this name is not heard of for too long.
    pub(crate) async fn lapse(&self, _node: &str) {
        match self {
            Self::Folder(_) => unreachable!("there is no second process"),
        }
    }
}
