//! Standard output and standard error.

use std::fmt;
use std::io::{self, BufWriter, ErrorKind, Stdout, Write};

use serde::Serialize;

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
        self.attempt(|writer| writeln!(writer, "{line}"));
    }

    /// Writes one line of JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) {
        self.attempt(|writer| {
            serde_json::to_writer(&mut *writer, value)?;
            writeln!(writer)
        });
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

/// Says something to the person on standard error. Where that is closed, nobody wants to know.
pub(crate) fn say(words: fmt::Arguments<'_>) {
    drop(writeln!(io::stderr().lock(), "{words}"));
}
