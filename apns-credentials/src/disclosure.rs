//! What of a value that a person gave may be shown in a message.
//!
//! Keys and passwords end up where they do not belong: in the option for the path of their file, in the wrong field, without
//! the quotes that would have kept them one argument. So a message names the option or the field and what is expected
//! there, and never repeats the value. Every reader of options, variables, files and requests asks here.

use std::fmt;
use std::fs;
use std::path::Path;

use apns_proto::Escaped;

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

/// The message of a reader of JSON or TOML, without the values that it quotes. Names of fields stay, where they are like
/// names.
///
/// ```
/// use apns_credentials::disclosure::without_values;
///
/// let message = "invalid type: string \"hunter2\", expected u16";
/// assert_eq!(without_values(message), "invalid type: string \"…\", expected u16");
/// let message = "unknown variant `hunter2`, expected `production` or `sandbox`";
/// assert_eq!(without_values(message), "unknown variant `…`, expected `production` or `sandbox`");
/// ```
#[must_use]
pub fn without_values(message: &str) -> String {
    let message = between(message, '"', |_| false);
    // What is expected stands in backquotes as well, behind this word, and comes from the program.
    let (found, expected) = match message.find(", expected ") {
        Some(place) => message.split_at(place),
        None => (&*message, ""),
    };
    let names_a_field =
        ["unknown field", "missing field", "duplicate field"].iter().any(|kind| found.starts_with(kind));
    between(found, '`', |name| names_a_field && is_name(name)) + expected
}

/// Whether this is like the name of a field or an option.
#[must_use]
pub fn is_name(text: &str) -> bool {
    const LONGEST: usize = 40;
    text.len() <= LONGEST && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

/// Takes out what stands between the first and the last of these quotes: what is quoted may hold quotes of its own.
fn between(message: &str, quote: char, keep: impl Fn(&str) -> bool) -> String {
    let Some((before, rest)) = message.split_once(quote) else { return message.to_owned() };
    let (inside, behind) = rest.rsplit_once(quote).unwrap_or((rest, ""));
    if keep(inside) { message.to_owned() } else { format!("{before}{quote}…{quote}{behind}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_out_of_messages() {
        for (message, shown) in [
            ("invalid type: string \"s3cret\", expected u16", "invalid type: string \"…\", expected u16"),
            (r#"string "a\"b", expected x"#, "string \"…\", expected x"),
            ("string \"open", "string \"…\""),
            ("invalid value: integer `12345`, expected u16", "invalid value: integer `…`, expected u16"),
            ("unknown variant `a`b, expected `x`", "unknown variant `…`"),
            ("unknown field `ttls`, expected `ttl` or `x`", "unknown field `ttls`, expected `ttl` or `x`"),
            ("unknown field `MIGH+/=`, expected `x`", "unknown field `…`, expected `x`"),
            ("missing field `token`", "missing field `token`"),
            ("expected value at line 1 column 2", "expected value at line 1 column 2"),
        ] {
            let without = without_values(message);
            assert!(without.starts_with(shown), "{without}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_may_be_a_secret_is_not_shown() {
        let pem = "-----BEGIN PRIVATE KEY-----\nMIGHAgEA\n-----END PRIVATE KEY-----";
        let line = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg/abc";
        for secret in [pem, line, "hunter2secret", "eyJhbGciOiJFUzI1NiJ9.e30.c2ln", "-----BEGIN.pem", "a\n.pem"] {
            let text = shown(Path::new(secret)).to_string();
            assert_eq!(text, "a path (not shown whole: it may be a secret)");
        }
        let folder = tempfile::TempDir::new().unwrap();
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
