//! Standard output and standard error.

use std::fmt;
use std::io::{self, BufWriter, ErrorKind, Stdout, Write};

use apns_proto::Escaped;
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use crate::exit::Failure;

/// Standard output, written in pieces.
///
/// Once it cannot be written any more, what follows is thrown away, and [`finish`](Self::finish) tells why. That a reader
/// has seen enough (`apns … | head`) is no failure.
#[derive(Debug)]
pub(crate) struct Output {
    writer: BufWriter<Stdout>,
    /// The first failure, after which nothing is written.
    failed: Option<io::Error>,
}

impl Output {
    pub(crate) fn new() -> Self {
        Self { writer: BufWriter::new(io::stdout()), failed: None }
    }

    /// Writes one line of text.
    pub(crate) fn line(&mut self, line: impl fmt::Display) {
        self.attempt(|writer| writeln!(writer, "{}", Lines(&line.to_string())));
    }

    /// Writes one line of JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) {
        self.attempt(|writer| {
            value.serialize(&mut Serializer::with_formatter(&mut *writer, Printable))?;
            writeln!(writer)
        });
    }

    /// Writes a text that this program made for another one, as it is.
    pub(crate) fn program_text(&mut self, text: &[u8]) {
        self.attempt(|writer| writer.write_all(text));
    }

    /// Writes a row, for a program or for a person.
    pub(crate) fn row(&mut self, as_json: bool, row: &(impl Serialize + fmt::Display)) {
        if as_json { self.json(row) } else { self.line(row) }
    }

    /// Hands everything over to the reader.
    pub(crate) fn flush(&mut self) {
        self.attempt(Write::flush);
    }

    /// Whether nothing can be written any more.
    pub(crate) const fn is_closed(&self) -> bool {
        self.failed.is_some()
    }

    /// Hands everything over, and says whether all of it could be written.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        self.flush();
        match self.failed {
            Some(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(Failure::Write { name: "standard output".to_owned(), error })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn attempt(&mut self, write: impl FnOnce(&mut BufWriter<Stdout>) -> io::Result<()>) {
        if self.failed.is_none() {
            self.failed = write(&mut self.writer).err();
        }
    }
}

/// Lines for a terminal. What a peer said has its line breaks escaped where it becomes part of a message; what of it is left
/// here can only move the cursor.
struct Lines<'a>(&'a str);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = self.0.split('\n');
        if let Some(first) = lines.next() {
            Escaped(first).fmt(f)?;
        }
        lines.try_for_each(|line| write!(f, "\n{}", Escaped(line)))
    }
}

/// JSON without a character that does not print: such ones are written as escapes of JSON, which say the same.
pub(crate) struct Printable;

impl Formatter for Printable {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if fragment.is_ascii() && !fragment.contains('\u{7f}') {
            return writer.write_all(fragment.as_bytes());
        }
        for character in fragment.chars() {
            let mut text = [0; 4];
            let text = character.encode_utf8(&mut text);
            // A lone accent is escaped on its own, and prints behind a letter.
            if Escaped(format!("a{text}")).to_string().len() == text.len() + 1 {
                writer.write_all(text.as_bytes())?;
                continue;
            }
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }
}

/// Says something to the person on standard error. Where that is closed, nobody wants to know.
pub(crate) fn say(words: fmt::Arguments<'_>) {
    drop(writeln!(io::stderr().lock(), "{}", Lines(&words.to_string())));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moves_the_cursor_of_a_terminal() {
        assert_eq!(Lines("one\ntwo\u{1b}[2J\r\u{9b}K").to_string(), "one\ntwo\\u{1b}[2J\\r\\u{9b}K");
    }

    #[test]
    fn json_says_the_same_with_characters_that_print_alone() {
        let text = "a\u{7f}\u{9b}\u{202e}\u{e0041}é\u{301}\u{1f600}\n\"";
        let mut written = Vec::new();
        text.serialize(&mut Serializer::with_formatter(&mut written, Printable)).unwrap();
        let written = String::from_utf8(written).unwrap();
        assert_eq!(written, r#""a\u007f\u009b\u202e\udb40\udc41é\u{301}😀\n\"""#.replace(r"\u{301}", "\u{301}"));
        assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
    }
}
