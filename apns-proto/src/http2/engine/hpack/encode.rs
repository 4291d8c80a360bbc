//! The encoder (RFC 7541 sections 3 and 6).

use std::collections::VecDeque;

use bytes::Bytes;

use super::tables::{STATIC, static_entry, static_name};
use super::{ENTRY_OVERHEAD, Name, TABLE_SIZE, huffman};
use crate::http2::Indexing;

/// Our table at the peer, and what writes header blocks.
///
/// A field comes into the table only where there is room: nothing has to leave for it. So the few values that come back,
/// which are there first, stay, and values that do not cannot push them out.
#[derive(Debug)]
pub(in crate::http2::engine) struct Encoder {
    /// The newest first.
    entries: VecDeque<Entry>,
    size: usize,
    max: usize,
    /// The least size since the last block, when it has to be said before the next one.
    update: Option<usize>,
    /// The names that were used. There are about a dozen.
    names: Vec<KnownName>,
    /// How often the table, or what has to be said about it, has changed.
    version: u64,
}

#[derive(Debug)]
struct Entry {
    name: &'static str,
    value: Bytes,
}

#[derive(Debug)]
struct KnownName {
    name: &'static str,
    /// Its index in the static table, or 0.
    index: usize,
}

impl Encoder {
    pub(in crate::http2::engine) const fn new() -> Self {
        Self { entries: VecDeque::new(), size: 0, max: TABLE_SIZE, update: None, names: Vec::new(), version: 0 }
    }

    /// What was encoded under this number stays good for as long as it is the same.
    pub(in crate::http2::engine) const fn version(&self) -> u64 {
        self.version
    }

    /// The peer's SETTINGS_HEADER_TABLE_SIZE. More than the default is not used.
    pub(in crate::http2::engine) fn resize(&mut self, peer: u32) {
        let max = (peer as usize).min(TABLE_SIZE);
        if max == self.max {
            return;
        }
        // A size between two blocks that is below the last has to be said as well (RFC 7541 section 4.2).
        self.update = Some(self.update.map_or(max, |least| least.min(max)));
        self.max = max;
        self.version += 1;
        while self.size > max
            && let Some(entry) = self.entries.pop_back()
        {
            self.size -= entry.name.len() + entry.value.len() + ENTRY_OVERHEAD;
        }
    }

    /// Writes what has to stand before the first field of a block.
    pub(in crate::http2::engine) fn begin(&mut self, out: &mut Vec<u8>) {
        if let Some(least) = self.update.take() {
            self.version += 1;
            if least < self.max {
                put_integer(out, 0x20, 5, least);
            }
            put_integer(out, 0x20, 5, self.max);
        }
    }

    /// Writes an entry of the static table, by its index.
    pub(in crate::http2::engine) fn static_field(index: u8, out: &mut Vec<u8>) {
        out.push(0x80 | index);
    }

    /// Writes `:path`, which is another one each time.
    pub(in crate::http2::engine) fn path(path: &[u8], out: &mut Vec<u8>) {
        out.push(4);
        put_plain(out, path);
    }

    /// Whether a field may stand in a request: not one of those that HTTP/2 forbids (RFC 9113 section 8.2.2).
    pub(in crate::http2::engine) fn knows(&mut self, name: &'static str) -> bool {
        if name.starts_with(':') {
            return false;
        }
        if self.names.iter().any(|known| known.name == name) {
            return true;
        }
        let allowed = Name::of(name.as_bytes()) != Name::Forbidden;
        if allowed {
            self.know(name);
        }
        allowed
    }

    fn know(&mut self, name: &'static str) -> usize {
        let index = static_name(name).unwrap_or_default().into();
        self.names.push(KnownName { name, index });
        index
    }

    /// Writes a field.
    pub(in crate::http2::engine) fn field(
        &mut self,
        name: &'static str,
        value: &Bytes,
        indexing: Indexing,
        out: &mut Vec<u8>,
    ) {
        let mut by_name = 0;
        for (index, entry) in (STATIC.len() + 1..).zip(&self.entries) {
            if entry.name == name {
                if entry.value == value && indexing != Indexing::Never {
                    put_integer(out, 0x80, 7, index);
                    return;
                }
                by_name = index;
            }
        }
        let known = self.names.iter().find(|known| known.name == name).map(|known| known.index);
        let in_static = known.unwrap_or_else(|| self.know(name));
        if in_static != 0 {
            by_name = in_static;
        }
        let size = name.len() + value.len() + ENTRY_OVERHEAD;
        let keep = match indexing {
            Indexing::Incremental => true,
            // The first value brings the name into the table (Apple, "Sending notification requests to APNs").
            Indexing::Without => by_name == 0,
            Indexing::Never => false,
        } && self.size + size <= self.max;
        if keep && let Some(index) = static_entry(name, value) {
            put_integer(out, 0x80, 7, index.into());
            return;
        }
        match (keep, indexing) {
            (true, _) => put_integer(out, 0x40, 6, by_name),
            (false, Indexing::Never) => put_integer(out, 0x10, 4, by_name),
            (false, Indexing::Incremental | Indexing::Without) => put_integer(out, 0, 4, by_name),
        }
        if by_name == 0 {
            put_string(out, name.as_bytes());
        }
        if keep {
            put_string(out, value);
            self.entries.push_front(Entry { name, value: value.clone() });
            self.size += size;
            self.version += 1;
        } else {
            // Compressing what is written each time costs more than its bytes do.
            put_plain(out, value);
        }
    }
}

/// RFC 7541 section 5.1.
fn put_integer(out: &mut Vec<u8>, first: u8, prefix: u32, mut value: usize) {
    let mask = (1 << prefix) - 1;
    if value < mask {
        out.push(first | value as u8);
        return;
    }
    out.push(first | mask as u8);
    value -= mask;
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// In the Huffman code where that is shorter.
fn put_string(out: &mut Vec<u8>, text: &[u8]) {
    let coded = huffman::encoded_len(text);
    if coded < text.len() {
        put_integer(out, 0x80, 7, coded);
        huffman::encode(text, out);
    } else {
        put_plain(out, text);
    }
}

fn put_plain(out: &mut Vec<u8>, text: &[u8]) {
    put_integer(out, 0, 7, text.len());
    out.extend_from_slice(text);
}
