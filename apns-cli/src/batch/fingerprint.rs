//! How to know a batch again.

use std::fmt;
use std::io::{self, ErrorKind, Read};

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use apns_proto::internal::to_hex;

/// The size of a file, and the SHA-256 of all that is in it, so that no change of the batch goes unnoticed wherever it is:
/// line numbers in results and journal mean lines of this file and of no other. It costs a reading of the file before the
/// first notification leaves, some seconds for a gigabyte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fingerprint {
    /// The size in bytes.
    pub(crate) bytes: u64,
    /// The digest in hexadecimal.
    digest: String,
}

/// How much is read at once.
const PIECE: usize = 256 * 1024;

impl Fingerprint {
    /// Takes it of a file, from where it is read to its end.
    pub(crate) fn of(file: &mut impl Read) -> io::Result<Self> {
        let mut digest = Context::new(&SHA256);
        let mut buffer = vec![0; PIECE];
        let mut bytes = 0;
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => {
                    digest.update(&buffer[..read]);
                    bytes += read as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { bytes, digest: to_hex(digest.finish().as_ref()) })
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let beginning = self.digest.get(..12).unwrap_or(&self.digest);
        write!(f, "{} bytes, digest {beginning}", self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(bytes: &[u8]) -> Fingerprint {
        Fingerprint::of(&mut &*bytes).unwrap()
    }

    #[test]
    fn a_changed_byte_changes_it_wherever_it_is() {
        let mut bytes: Vec<u8> = (0..PIECE * 5).map(|n| (n % 251) as u8).collect();
        let before = fingerprint(&bytes);
        assert_eq!(before, fingerprint(&bytes));
        for place in (0..bytes.len()).step_by(bytes.len() / 31).chain([bytes.len() - 1]) {
            bytes[place] ^= 1;
            assert_ne!(before, fingerprint(&bytes), "{place}");
            bytes[place] ^= 1;
        }
        bytes.push(0);
        assert_ne!(before, fingerprint(&bytes));
        assert_eq!(before.bytes, PIECE as u64 * 5);
    }
}
