//! Files with secrets in them.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// Opens a file whose path comes from somebody else, to read it.
///
/// It is a regular file, or an error: a pipe would hold up the reader for ever, and reading a device can do anything.
/// Opening does not wait for a pipe's other end either.
///
/// # Errors
///
/// Those of the system; [`InvalidInput`](ErrorKind::InvalidInput) for what is no regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK | libc::O_NOCTTY);
    regular(options.open(path)?)
}

/// Makes a file that only its owner can read and write (mode 0600), and opens it for both. It must not be there yet, as a
/// symbolic link neither.
///
/// # Errors
///
/// Those of the system; [`AlreadyExists`](ErrorKind::AlreadyExists) for what is there.
pub fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, PRIVATE);
    options.open(path)
}

/// Opens a file that is there, to read and write it, and makes it private as by [`create_private`].
///
/// # Errors
///
/// Those of the system; [`InvalidInput`](ErrorKind::InvalidInput) for a symbolic link and for what is no regular file.
pub fn open_private(path: &Path) -> io::Result<File> {
    refuse_other_than_file(path)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK | libc::O_NOFOLLOW);
    let file = regular(options.open(path)?)?;
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(PRIVATE))?;
    Ok(file)
}

/// Puts a private file with these contents in the place of another one, or of none: after a crash there is the one or the
/// other, whole. The file comes open for writing.
///
/// What is written first lies beside it, under the same name with `.new` behind, and is on disk before it takes the place.
///
/// # Errors
///
/// Those of the system; [`InvalidInput`](ErrorKind::InvalidInput) where a symbolic link or something else that is no regular
/// file has the name.
pub fn replace_private(path: &Path, contents: &[u8]) -> io::Result<File> {
    match refuse_other_than_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let new = beside(path, ".new");
    // Left by a process that was killed, or put there by somebody else as a link to what is to be overwritten.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = create_private(&new)?;
    let written = file.write_all(contents).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&new, path));
    if let Err(error) = written {
        // Half of it is of no use to anybody; why it is half is what counts.
        drop(fs::remove_file(&new));
        return Err(error);
    }
    sync_folder_of(path)?;
    Ok(file)
}

/// Has the names in the folder of a file on disk.
///
/// # Errors
///
/// Those of the system.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        // Elsewhere a folder cannot be opened as a file.
        return Ok(());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(folder)?.sync_all()
}

/// The path with something behind its name.
#[must_use]
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// For the owner to read and write.
#[cfg(unix)]
const PRIVATE: u32 = 0o600;

fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() { Ok(file) } else { Err(no_file("it is no regular file")) }
}

/// Judges the name itself, not where it may lead to.
fn refuse_other_than_file(path: &Path) -> io::Result<()> {
    let kind = fs::symlink_metadata(path)?.file_type();
    if kind.is_file() {
        Ok(())
    } else if kind.is_symlink() {
        Err(no_file("it is a symbolic link: name the file itself"))
    } else {
        Err(no_file("it is no regular file"))
    }
}

fn no_file(why: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, why)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use tempfile::TempDir;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_private_file_is_made_without_following_a_link() {
        let folder = TempDir::new().unwrap();
        let (file, link, target) = (folder.path().join("a"), folder.path().join("b"), folder.path().join("c"));
        create_private(&file).unwrap();
        assert_eq!(mode(&file), 0o600);
        assert_eq!(create_private(&file).unwrap_err().kind(), ErrorKind::AlreadyExists);
        symlink(&target, &link).unwrap();
        assert_eq!(create_private(&link).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(open_private(&link).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert!(!target.exists());
    }

    #[test]
    fn what_is_there_becomes_private_when_it_is_opened() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "x").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        open_private(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn nothing_but_the_file_itself_is_replaced() {
        let folder = TempDir::new().unwrap();
        let [path, new, other] = ["list", "list.new", "other"].map(|name| folder.path().join(name));
        fs::write(&other, "kept").unwrap();
        // A link where the new contents are written first, and one in the place of the file.
        symlink(&other, &new).unwrap();
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        replace_private(&path, b"fresh").unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), mode(&path)), ("fresh", 0o600));
        assert!(fs::symlink_metadata(&new).is_err());
        fs::remove_file(&path).unwrap();
        symlink(&other, &path).unwrap();
        assert_eq!(replace_private(&path, b"fresh").unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(fs::read_to_string(&other).unwrap(), "kept");
        assert_eq!(replace_private(folder.path(), b"").unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn only_regular_files_are_opened_and_a_pipe_is_not_waited_for() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        for path in [&*path, folder.path(), Path::new("/dev/zero")] {
            assert_eq!(open_regular(path).unwrap_err().kind(), ErrorKind::InvalidInput, "{path:?}");
        }
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        let link = folder.path().join("link");
        symlink(&file, &link).unwrap();
        open_regular(&link).expect("secrets are mounted as links");
    }
}
