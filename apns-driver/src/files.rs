//! Files with secrets in them, and names of files that may be secrets themselves.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use apns_proto::Escaped;

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

/// A path for a message, unless it may be a secret.
///
/// People give a key or a password where the path of its file belongs: `--p8 "$(cat key.p8)"`. So a path is shown when there
/// is such a file, or when its name ends as names of files do (`.p8`, `.pem`, `.json`, …). Of any other one only the folder
/// is shown, where that is there. Control characters are [`Escaped`].
#[must_use]
pub const fn shown(path: &Path) -> Shown<'_> {
    Shown(path)
}

/// See [`shown`].
#[derive(Clone, Copy)]
pub struct Shown<'a>(&'a Path);

/// What names of files end in that belong to this field.
const ENDINGS: [&str; 26] = [
    "cer", "cfg", "conf", "crt", "csv", "db", "der", "gz", "journal", "json", "jsonl", "key", "log", "ndjson", "new",
    "out", "p12", "p8", "pem", "pfx", "prom", "rows", "sqlite", "toml", "txt", "yaml",
];

/// The longest path that systems take.
const LONGEST: usize = 4096;

impl Shown<'_> {
    fn may_be_shown(&self) -> bool {
        let Some(text) = self.0.to_str() else { return exists(self.0) };
        let ending = self.0.extension().and_then(|ending| ending.to_str());
        let named = ending.is_some_and(|ending| ENDINGS.iter().any(|known| known.eq_ignore_ascii_case(ending)));
        let plain = text.len() <= LONGEST && !text.contains(char::is_control) && !text.contains("-----");
        (named && plain) || exists(self.0)
    }
}

fn exists(path: &Path) -> bool {
    // A file that may not be looked at is there; a path that is none is not.
    fs::symlink_metadata(path).is_ok()
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.may_be_shown() {
            return Escaped(self.0.to_string_lossy()).fmt(f);
        }
        match self.0.parent().filter(|folder| !folder.as_os_str().is_empty() && exists(folder)) {
            Some(folder) => Escaped(folder.join("…").to_string_lossy()).fmt(f)?,
            None => f.write_str("a path")?,
        }
        f.write_str(" (not shown whole: it may be a secret)")
    }
}

/// The same as [`Display`](fmt::Display).
impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
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

    #[test]
    fn a_path_that_may_be_a_secret_is_not_shown() {
        let pem = "-----BEGIN PRIVATE KEY-----\nMIGHAgEA\n-----END PRIVATE KEY-----";
        let line = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg/abc";
        for secret in [pem, line, "hunter2secret", "eyJhbGciOiJFUzI1NiJ9.e30.c2ln", "-----BEGIN.pem", "a\n.pem"] {
            let text = shown(Path::new(secret)).to_string();
            assert_eq!(text, "a path (not shown whole: it may be a secret)");
        }
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("password");
        let hidden = format!("{}/… (not shown whole: it may be a secret)", folder.path().display());
        assert_eq!(shown(&path).to_string(), hidden);
        fs::write(&path, "").unwrap();
        assert_eq!(shown(&path).to_string(), path.display().to_string());
        assert_eq!(shown(Path::new("gone/AuthKey_ABC.p8")).to_string(), "gone/AuthKey_ABC.p8");
        let odd = folder.path().join("a\n\u{1b}[2J");
        fs::write(&odd, "").unwrap();
        assert!(shown(&odd).to_string().ends_with(r"/a\n\u{1b}[2J"));
    }
}
