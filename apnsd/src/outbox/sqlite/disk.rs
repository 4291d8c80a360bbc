//! The disk that the file is on.

use std::path::{Path, PathBuf};

use crate::outbox::{Disk, OutboxError};

/// With less than this, the next commit may fail although a small one just did not.
const LEAST: u64 = 1 << 20;

/// How much room there is.
///
/// # Errors
///
/// When the file is gone, or the disk is as good as full.
pub(super) fn look(path: &Path) -> Result<Disk, OutboxError> {
    let size = |path: &Path| std::fs::metadata(path).map(|data| data.len());
    let file = size(path).map_err(|error| OutboxError::Failed(format!("its file: {error}")))?;
    // There is no log before the first commit.
    let log = size(&beside(path, "-wal")).unwrap_or_default();
    let disk = Disk { free: free(path), used: file + log };
    match disk.free {
        Some(free) if free < LEAST => Err(OutboxError::DiskFull { free }),
        Some(_) | None => Ok(disk),
    }
}

/// The file of this name with an ending.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

#[cfg(unix)]
fn free(path: &Path) -> Option<u64> {
    let told = rustix::fs::statvfs(path).ok()?;
    told.f_bavail.checked_mul(told.f_frsize)
}

#[cfg(not(unix))]
fn free(_path: &Path) -> Option<u64> {
    None
}
