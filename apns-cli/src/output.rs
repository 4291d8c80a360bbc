//! Standard output and standard error.

use std::fmt;
use std::io::{self, BufWriter, ErrorKind, Stdout, Write};

use serde::Serialize;

use crate::exit::Failure;

/// Standard output, written in pieces.
///
/// A reader that has seen enough (`apns … | head`) is no error: what follows is thrown away quietly.
#[derive(Debug)]
pub(crate) struct Output {
    writer: BufWriter<Stdout>,
    closed: bool,
}

impl Output {
    pub(crate) fn new() -> Self {
        Self { writer: BufWriter::new(io::stdout()), closed: false }
    }

    /// Writes one line of text.
    pub(crate) fn line(&mut self, line: impl fmt::Display) -> Result<(), Failure> {
        let written = writeln!(self.writer, "{line}");
        self.heed(written)
    }

    /// Writes one line of JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let written = serde_json::to_writer(&mut self.writer, value)
            .map_err(io::Error::from)
            .and_then(|()| writeln!(self.writer));
        self.heed(written)
    }

    /// Hands everything over to the reader.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        let flushed = self.writer.flush();
        self.heed(flushed)
    }

    /// Whether nobody reads any more.
    pub(crate) const fn is_closed(&self) -> bool {
        self.closed
    }

    fn heed(&mut self, result: io::Result<()>) -> Result<(), Failure> {
        match result {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            result => result.map_err(|error| Failure::Write { name: "standard output".to_owned(), error }),
        }
    }
}

/// Says something to the person on standard error. Where that is closed, nobody wants to know.
pub(crate) fn say(words: fmt::Arguments<'_>) {
    drop(writeln!(io::stderr().lock(), "{words}"));
}
