//! Files and standard input, with a limit on what is read.

use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use apns_credentials::disclosure::shown;
use apns_proto::encoding::{self, EncodingError};

use crate::exit::Failure;

/// Where something is read from: a file, or `-` for standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// `-`.
    Stdin,
    /// A file.
    File(PathBuf),
}

impl FromStr for Source {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if text == "-" { Self::Stdin } else { Self::File(PathBuf::from(text)) })
    }
}

impl Source {
    /// How to call it in messages.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Stdin => "standard input".to_owned(),
            Self::File(path) => shown(path).to_string(),
        }
    }

    /// Opens it, to be read piece by piece.
    pub(crate) fn open(&self) -> Result<Box<dyn BufRead + Send>, Failure> {
        Ok(match self {
            Self::Stdin => Box::new(BufReader::new(io::stdin())),
            Self::File(path) => Box::new(BufReader::new(File::open(path).map_err(|error| self.unreadable(error))?)),
        })
    }

    /// How many bytes it has, where that is known.
    pub(crate) fn size(&self) -> Option<u64> {
        match self {
            Self::Stdin => None,
            Self::File(path) => path.metadata().ok().filter(Metadata::is_file).map(|metadata| metadata.len()),
        }
    }

    /// Reads all of it, if it has no more than `limit` bytes.
    pub(crate) fn read(&self, limit: u64) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        self.open()?.take(limit + 1).read_to_end(&mut bytes).map_err(|error| self.unreadable(error))?;
        if bytes.len() as u64 > limit {
            return Err(Failure::TooLarge { name: self.name(), limit });
        }
        Ok(bytes)
    }

    /// Reads all of it as text, if it has no more than `limit` bytes.
    pub(crate) fn read_text(&self, limit: u64) -> Result<String, Failure> {
        let bytes = self.read(limit)?;
        encoding::text(&bytes).map(str::to_owned).map_err(|error| self.not_text(error))
    }

    /// The failure that this encoding is.
    pub(crate) fn not_text(&self, error: EncodingError) -> Failure {
        self.unreadable(io::Error::new(ErrorKind::InvalidData, error))
    }

    /// The failure that this error is.
    pub(crate) fn unreadable(&self, error: io::Error) -> Failure {
        Failure::Read { name: self.name(), error }
    }
}

/// Reads all of a file, if it has no more than `limit` bytes.
pub(crate) fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    Source::File(path.to_owned()).read(limit)
}

/// Lines out of a stream of UTF-8, each of at most a given length. Longer ones are skipped, not kept.
pub(crate) struct Lines<R> {
    reader: R,
    limit: usize,
    line: Vec<u8>,
    consumed: u64,
    /// The first bytes of the stream, which tell its encoding.
    head: Vec<u8>,
}

/// So many bytes tell the encoding.
const HEAD: usize = 4;

/// A line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// The bytes.
    Whole(&'a [u8]),
    /// It was longer than the limit.
    TooLong,
}

impl<R: BufRead> Lines<R> {
    /// Lines of at most `limit` bytes, their ends not counted.
    pub(crate) const fn new(reader: R, limit: usize) -> Self {
        Self { reader, limit, line: Vec::new(), consumed: 0, head: Vec::new() }
    }

    /// How many bytes were read so far, the ends of lines included.
    pub(crate) const fn consumed(&self) -> u64 {
        self.consumed
    }

    /// The next line; `None` at the end. A stream that is not UTF-8 from its first bytes on has no lines: the error is
    /// [`InvalidData`](ErrorKind::InvalidData), and holds an [`EncodingError`].
    pub(crate) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        let first = self.consumed == 0;
        let (mut any, mut too_long) = (false, false);
        loop {
            let available = match self.reader.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() {
                break;
            }
            any = true;
            if first {
                self.head.extend(available.iter().take(HEAD - self.head.len()));
            }
            let end = available.iter().position(|byte| *byte == b'\n');
            let piece = &available[..end.unwrap_or(available.len())];
            // One byte more may be the carriage return of the line's end.
            too_long |= self.line.len() + piece.len() > self.limit + 1;
            if !too_long {
                self.line.extend_from_slice(piece);
            }
            let used = end.map_or(available.len(), |end| end + 1);
            self.reader.consume(used);
            self.consumed += used as u64;
            if end.is_some() {
                break;
            }
        }
        if !any {
            return Ok(None);
        }
        if first {
            encoding::skip_mark(&self.head).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        }
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        Ok(Some(if too_long || line.len() > self.limit { Line::TooLong } else { Line::Whole(line) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str, limit: usize, buffer: usize) -> Vec<Option<String>> {
        let mut lines = Lines::new(BufReader::with_capacity(buffer, text.as_bytes()), limit);
        let mut read = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            read.push(match line {
                Line::Whole(bytes) => Some(String::from_utf8(bytes.to_vec()).unwrap()),
                Line::TooLong => None,
            });
            assert!(lines.line.len() <= limit + 1, "a line that is too long is not kept");
        }
        read
    }

    #[test]
    fn lines_come_whole_however_the_stream_is_split() {
        for buffer in 1..12 {
            let read = lines("one\r\n\ntwelve\nseven77\nlong long\r\n1234567\r\nlast", 7, buffer);
            let expected =
                [Some("one"), Some(""), Some("twelve"), Some("seven77"), None, Some("1234567"), Some("last")];
            assert_eq!(read.iter().map(Option::as_deref).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn utf16_has_no_lines_however_the_stream_is_split() {
        for bytes in [
            "\u{feff}{}\n".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>(),
            "{}\n{}\n".encode_utf16().flat_map(u16::to_be_bytes).collect(),
        ] {
            for buffer in 1..6 {
                for limit in [0, 7] {
                    let mut lines = Lines::new(BufReader::with_capacity(buffer, &bytes[..]), limit);
                    let error = lines.next().unwrap_err();
                    assert_eq!(error.to_string(), EncodingError::Utf16.to_string());
                }
            }
        }
    }

    #[test]
    fn an_empty_input_has_no_line() {
        assert_eq!(lines("", 7, 4), Vec::<Option<String>>::new());
        assert_eq!(lines("\n", 7, 4), [Some(String::new())]);
    }

    #[test]
    fn a_dash_is_standard_input() {
        assert_eq!("-".parse(), Ok(Source::Stdin));
        assert_eq!("./-".parse(), Ok(Source::File(PathBuf::from("./-"))));
    }
}
