//! What a file was when it was read, for finding out that it is another one.

use std::path::Path;
use std::time::SystemTime;

/// A file at one moment, behind all links: its place on the disk, its length and when it was written. A link that is
/// swapped, as Kubernetes does it, leads to another place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileState(Option<State>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    length: u64,
    written: Option<SystemTime>,
    place: (u64, u64),
}

impl FileState {
    /// As it is now. Blocks for as long as the file system takes.
    pub(crate) fn of(path: &Path) -> Self {
        Self(std::fs::metadata(path).ok().map(|data| State {
            length: data.len(),
            written: data.modified().ok(),
            place: place(&data),
        }))
    }
}

#[cfg(unix)]
fn place(data: &std::fs::Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt as _;
    (data.dev(), data.ino())
}

#[cfg(not(unix))]
fn place(_data: &std::fs::Metadata) -> (u64, u64) {
    (0, 0)
}
