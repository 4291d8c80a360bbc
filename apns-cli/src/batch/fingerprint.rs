//! How to know a batch again.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use crate::hex;

/// The size of a file, and a digest of pieces of it. Files up to half a megabyte are read whole; of larger ones the
/// beginning, the end, and pieces in between, so that it costs the same for any size. An edit in the middle of a large
/// file that keeps its length may go unnoticed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fingerprint {
    /// The size in bytes.
    pub(crate) bytes: u64,
    /// The digest in hexadecimal.
    digest: String,
}

/// How much is read at the beginning and at the end.
const EDGE: u64 = 64 * 1024;

/// How many pieces are read in between, and how much of each.
const PIECES: u64 = 96;
const PIECE: u64 = 4 * 1024;

/// Files up to this size are read whole.
const WHOLE: u64 = 2 * EDGE + PIECES * PIECE;

impl Fingerprint {
    /// Takes it of a file.
    pub(crate) fn of(file: &mut File) -> io::Result<Self> {
        let bytes = file.metadata()?.len();
        let mut digest = Context::new(&SHA256);
        digest.update(&bytes.to_be_bytes());
        let mut buffer = Vec::new();
        let mut take = |start: u64, length: u64| -> io::Result<()> {
            file.seek(SeekFrom::Start(start))?;
            buffer.clear();
            Read::by_ref(file).take(length).read_to_end(&mut buffer)?;
            digest.update(&buffer);
            Ok(())
        };
        if bytes <= WHOLE {
            take(0, bytes)?;
        } else {
            take(0, EDGE)?;
            let step = (bytes - 2 * EDGE) / PIECES;
            for piece in 0..PIECES {
                take(EDGE + piece * step, PIECE)?;
            }
            take(bytes - EDGE, EDGE)?;
        }
        Ok(Self { bytes, digest: hex::text(digest.finish().as_ref()) })
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
    use std::io::Write;

    use super::*;

    fn fingerprint(bytes: &[u8]) -> Fingerprint {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Fingerprint::of(&mut file).unwrap()
    }

    #[test]
    fn a_changed_byte_changes_it() {
        let mut bytes: Vec<u8> = (0..WHOLE).map(|n| (n % 251) as u8).collect();
        let whole = fingerprint(&bytes);
        assert_eq!(whole, fingerprint(&bytes));
        for place in [0, 70_000, bytes.len() - 1] {
            bytes[place] ^= 1;
            assert_ne!(whole, fingerprint(&bytes), "{place}");
            bytes[place] ^= 1;
        }
        bytes.push(0);
        let large = fingerprint(&bytes);
        assert_ne!(whole, large);
        for place in [0, 65_535, bytes.len() - 65_536, bytes.len() - 1] {
            bytes[place] ^= 1;
            assert_ne!(large, fingerprint(&bytes), "{place}");
            bytes[place] ^= 1;
        }
        bytes.pop();
        assert_eq!(whole, fingerprint(&bytes));
    }
}
