//! Reading fields from the front of a message that may not be complete yet.

/// The message goes on after the bytes at hand; it has at least `total` bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NeedMore {
    pub(super) total: usize,
}

/// Why a message could not be read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop<E> {
    NeedMore(NeedMore),
    Malformed(E),
}

impl<E> From<NeedMore> for Stop<E> {
    fn from(need: NeedMore) -> Self {
        Self::NeedMore(need)
    }
}

/// A message that was read to its end, and how many bytes it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parsed<T> {
    pub(super) message: T,
    pub(super) length: usize,
}

/// A place in a message.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], NeedMore> {
        let end = self.at.saturating_add(length);
        let taken = self.bytes.get(self.at..end).ok_or(NeedMore { total: end })?;
        self.at = end;
        Ok(taken)
    }

    pub(super) fn take_u8(&mut self) -> Result<u8, NeedMore> {
        self.take_array().map(u8::from_be_bytes)
    }

    pub(super) fn take_u16(&mut self) -> Result<u16, NeedMore> {
        self.take_array().map(u16::from_be_bytes)
    }

    pub(super) fn take_u32(&mut self) -> Result<u32, NeedMore> {
        self.take_array().map(u32::from_be_bytes)
    }

    /// Bytes read so far.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], NeedMore> {
        let (array, _) =
            self.bytes[self.at..].split_first_chunk().ok_or(NeedMore { total: self.at.saturating_add(N) })?;
        self.at += N;
        Ok(*array)
    }
}
