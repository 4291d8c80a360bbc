//! The decoder (RFC 7541 sections 3 and 6).

use std::collections::VecDeque;

use super::tables::STATIC;
use super::{ENTRY_OVERHEAD, Name, TABLE_SIZE, huffman};

/// What is wrong with a header block. The tables of both sides are no longer alike after any of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http2::engine) enum Error {
    /// It ends inside a field.
    Truncated,
    /// An integer beyond 28 bits.
    Integer,
    /// An index that no table has.
    Index,
    /// A string that is not in the Huffman code.
    Huffman,
    /// A size of the table above what was allowed, or not at the beginning.
    SizeUpdate,
    /// More than may be in a header list.
    TooLarge,
}

/// The peer's table, and what decodes its header blocks. Nothing is allocated for an entry.
#[derive(Debug)]
pub(in crate::http2::engine) struct Decoder {
    /// The texts of the entries. Twice the limit, so that none has to be cut where the ring ends.
    ring: Box<[u8]>,
    /// The newest first.
    entries: VecDeque<Entry>,
    write: usize,
    size: usize,
    max: usize,
    limit: usize,
    scratch: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    at: u16,
    name_len: u16,
    value_len: u16,
    name: Name,
}

impl Decoder {
    /// `limit` is our SETTINGS_HEADER_TABLE_SIZE, at most 16 KiB.
    pub(in crate::http2::engine) fn new(limit: usize) -> Self {
        let limit = limit.min(16 * 1024);
        Self {
            ring: vec![0; 2 * limit].into(),
            entries: VecDeque::new(),
            write: 0,
            size: 0,
            // A larger one is used when the peer says so (RFC 7541 section 4.2).
            max: limit.min(TABLE_SIZE),
            limit,
            scratch: Vec::new(),
        }
    }

    /// Decodes a whole header block, and gives each field with what its name means, its name and its value.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] as soon as the fields are more than `max_list` by the count of RFC 9113 section 6.5.2, so that a
    /// small block does not cost more than a large one. What came before was given then.
    pub(in crate::http2::engine) fn decode(
        &mut self,
        mut block: &[u8],
        max_list: usize,
        mut field: impl FnMut(Name, &[u8], &[u8]),
    ) -> Result<(), Error> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let (mut list, mut may_resize) = (0, true);
        let mut give = |id: Name, name: &[u8], value: &[u8]| {
            list += name.len() + value.len() + ENTRY_OVERHEAD;
            if list > max_list {
                return Err(Error::TooLarge);
            }
            field(id, name, value);
            Ok(())
        };
        let result = loop {
            let Some(&first) = block.first() else { break Ok(()) };
            let done = if first & 0xe0 == 0x20 {
                self.resize(&mut block, may_resize)
            } else {
                may_resize = false;
                if first & 0x80 != 0 {
                    self.indexed(&mut block, &mut give)
                } else {
                    self.literal(&mut block, &mut scratch, max_list, &mut give)
                }
            };
            if done.is_err() {
                break done;
            }
        };
        self.scratch = scratch;
        result
    }

    fn indexed(
        &self,
        block: &mut &[u8],
        give: &mut impl FnMut(Name, &[u8], &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (id, name, value) = self.entry(integer(block, 7)?)?;
        give(id, name, value)
    }

    fn literal(
        &mut self,
        block: &mut &[u8],
        scratch: &mut Vec<u8>,
        max_list: usize,
        give: &mut impl FnMut(Name, &[u8], &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let keep = block.first().is_some_and(|first| first & 0x40 != 0);
        let index = integer(block, if keep { 6 } else { 4 })?;
        scratch.clear();
        let id = if index == 0 {
            string(block, scratch, max_list)?;
            Name::of(scratch)
        } else {
            let (id, name, _) = self.entry(index)?;
            scratch.extend_from_slice(name);
            id
        };
        let name_len = scratch.len();
        string(block, scratch, max_list)?;
        let (name, value) = scratch.split_at(name_len);
        give(id, name, value)?;
        if keep {
            self.insert(scratch, name_len, id);
        }
        Ok(())
    }

    /// Only before the first field of a block, and never above what was allowed (RFC 7541 sections 4.2 and 6.3).
    fn resize(&mut self, block: &mut &[u8], allowed: bool) -> Result<(), Error> {
        let size = integer(block, 5)?;
        if !allowed || size > self.limit {
            return Err(Error::SizeUpdate);
        }
        self.max = size;
        self.evict(size);
        Ok(())
    }

    fn entry(&self, index: usize) -> Result<(Name, &[u8], &[u8]), Error> {
        let from_static = index.checked_sub(1).ok_or(Error::Index)?;
        if let Some((name, value)) = STATIC.get(from_static) {
            return Ok((Name::of_static(index), name.as_bytes(), value.as_bytes()));
        }
        let entry = self.entries.get(from_static - STATIC.len()).ok_or(Error::Index)?;
        let text = &self.ring[usize::from(entry.at)..];
        let (name, text) = text.split_at(usize::from(entry.name_len));
        Ok((entry.name, name, &text[..usize::from(entry.value_len)]))
    }

    fn evict(&mut self, to: usize) {
        while self.size > to
            && let Some(entry) = self.entries.pop_back()
        {
            self.size -= usize::from(entry.name_len) + usize::from(entry.value_len) + ENTRY_OVERHEAD;
        }
    }

    fn insert(&mut self, text: &[u8], name_len: usize, name: Name) {
        let size = text.len() + ENTRY_OVERHEAD;
        if size > self.max {
            // Too large for the table: it empties it (RFC 7541 section 4.4).
            self.evict(0);
            return;
        }
        self.evict(self.max - size);
        if self.write + text.len() > self.ring.len() {
            self.write = 0;
        }
        self.ring[self.write..self.write + text.len()].copy_from_slice(text);
        self.entries.push_front(Entry {
            at: self.write as u16,
            name_len: name_len as u16,
            value_len: (text.len() - name_len) as u16,
            name,
        });
        self.write += text.len();
        self.size += size;
    }

    /// The size of the entries by the count of RFC 7541 section 4.1.
    #[cfg(test)]
    pub(super) const fn size(&self) -> usize {
        self.size
    }

    /// The newest entry.
    #[cfg(test)]
    pub(super) fn newest(&self) -> Option<(&[u8], &[u8])> {
        self.entry(STATIC.len() + 1).ok().map(|(_, name, value)| (name, value))
    }
}

/// RFC 7541 section 5.1.
fn integer(input: &mut &[u8], prefix: u32) -> Result<usize, Error> {
    let mut next = || {
        let (&byte, rest) = input.split_first().ok_or(Error::Truncated)?;
        *input = rest;
        Ok(byte)
    };
    let mask = (1 << prefix) - 1;
    let mut value = usize::from(next()?) & mask;
    if value < mask {
        return Ok(value);
    }
    for shift in [0, 7, 14, 21] {
        let byte = next()?;
        value += usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(Error::Integer)
}

/// RFC 7541 section 5.2. Appends at most `room` bytes.
fn string(input: &mut &[u8], out: &mut Vec<u8>, room: usize) -> Result<(), Error> {
    let coded = input.first().ok_or(Error::Truncated)? & 0x80 != 0;
    let len = integer(input, 7)?;
    let (text, rest) = input.split_at_checked(len).ok_or(Error::Truncated)?;
    *input = rest;
    if coded {
        return huffman::decode(text, out, room);
    }
    if len > room {
        return Err(Error::TooLarge);
    }
    out.extend_from_slice(text);
    Ok(())
}
