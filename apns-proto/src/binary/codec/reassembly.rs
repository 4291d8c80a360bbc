//! Messages out of a stream that may be split anywhere.

use std::fmt;

use super::cursor::{NeedMore, Parsed, Stop};

/// Puts the pieces of one message together, and remembers how many bytes it still wants.
///
/// A message that lies whole in the input is read in place. Only the one that is cut by the end of the input is kept,
/// and it is looked at again when the bytes that it is known to need are there: as often as it has length fields, not
/// as often as bytes arrive. So the cost is linear in the bytes, however they are split. What is kept is at most
/// one message, and a declared length is refused by the parser before its bytes are kept.
#[derive(Clone)]
pub(super) struct Reassembly<E> {
    partial: Vec<u8>,
    /// Length that the message in `partial` is known to reach; above `partial.len()` whenever that is not empty.
    needed: usize,
    /// Where in the stream the current message starts.
    position: u64,
    failed: Option<E>,
    #[cfg(test)]
    work: Work,
}

/// What was done, to show that it is linear.
#[cfg(test)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Work {
    pub(super) bytes_kept: u64,
    pub(super) bytes_moved_by_growth: u64,
    pub(super) looks: u64,
}

impl<E: Clone> Reassembly<E> {
    pub(super) fn new() -> Self {
        Self {
            partial: Vec::new(),
            needed: 0,
            position: 0,
            failed: None,
            #[cfg(test)]
            work: Work::default(),
        }
    }

    /// Takes bytes from the front of `input` until a message is complete or the input is used up.
    ///
    /// `parse` gets the message so far and its place in the stream. After an error the rest of the input is thrown
    /// away and every later call gives the same error.
    pub(super) fn next<T>(
        &mut self,
        input: &mut &[u8],
        parse: impl Fn(&[u8], u64) -> Result<Parsed<T>, Stop<E>>,
    ) -> Result<Option<T>, E> {
        let outcome = match &self.failed {
            Some(error) => Err(error.clone()),
            None => self.advance(input, parse),
        };
        if let Err(error) = &outcome {
            *input = &[];
            self.partial = Vec::new();
            self.failed = Some(error.clone());
        }
        outcome
    }

    /// The stream has ended. `truncated` makes the error for an end inside a message, from the number of bytes in the
    /// stream and the number it would have needed.
    pub(super) fn finish(&self, truncated: impl FnOnce(u64, u64) -> E) -> Result<(), E> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if self.partial.is_empty() {
            return Ok(());
        }
        Err(truncated(self.position + self.partial.len() as u64, self.position + self.needed as u64))
    }

    /// Where in the stream the current message starts.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// How many bytes of the stream were taken.
    pub(super) fn end(&self) -> u64 {
        self.position + self.partial.len() as u64
    }

    /// Bytes kept of a message that is not complete.
    pub(super) fn buffered(&self) -> usize {
        self.partial.len()
    }

    #[cfg(test)]
    pub(super) fn work(&self) -> Work {
        self.work
    }

    fn advance<T>(
        &mut self,
        input: &mut &[u8],
        parse: impl Fn(&[u8], u64) -> Result<Parsed<T>, Stop<E>>,
    ) -> Result<Option<T>, E> {
        if self.partial.is_empty() {
            if input.is_empty() {
                return Ok(None);
            }
            #[cfg(test)]
            {
                self.work.looks += 1;
            }
            match parse(input, self.position) {
                Ok(Parsed { message, length }) => {
                    *input = &input[length..];
                    self.position += length as u64;
                    return Ok(Some(message));
                }
                Err(Stop::NeedMore(NeedMore { total })) => {
                    self.needed = total;
                    self.keep(input);
                    return Ok(None);
                }
                Err(Stop::Malformed(error)) => return Err(error),
            }
        }
        loop {
            self.keep(input);
            if self.partial.len() < self.needed {
                return Ok(None);
            }
            #[cfg(test)]
            {
                self.work.looks += 1;
            }
            match parse(&self.partial, self.position) {
                Ok(Parsed { message, length }) => {
                    debug_assert_eq!(
                        length,
                        self.partial.len(),
                        "never more is kept than the message is known to need"
                    );
                    self.position += length as u64;
                    self.partial.clear();
                    return Ok(Some(message));
                }
                Err(Stop::NeedMore(NeedMore { total })) => {
                    debug_assert!(total > self.partial.len(), "a parser that has what it asked for asks for more");
                    self.needed = total;
                }
                Err(Stop::Malformed(error)) => return Err(error),
            }
        }
    }

    /// Moves what the current message is known to need from the front of `input`.
    fn keep(&mut self, input: &mut &[u8]) {
        let (taken, rest) = input.split_at((self.needed - self.partial.len()).min(input.len()));
        #[cfg(test)]
        {
            self.work.bytes_kept += taken.len() as u64;
            if self.partial.capacity() - self.partial.len() < taken.len() {
                self.work.bytes_moved_by_growth += self.partial.len() as u64;
            }
        }
        self.partial.extend_from_slice(taken);
        *input = rest;
    }
}

impl<E: fmt::Debug> fmt::Debug for Reassembly<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is kept holds a piece of a token or payload.
        f.debug_struct("Reassembly")
            .field("partial", &format_args!("<{} bytes>", self.partial.len()))
            .field("needed", &self.needed)
            .field("position", &self.position)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}
