//! Header compression (RFC 7541).

mod decode;
mod encode;
pub(super) mod huffman;
mod tables;
#[cfg(test)]
mod tests;

pub(super) use decode::{Decoder, Error};
pub(super) use encode::Encoder;
pub(super) use tables::Name;

/// The size of a table unless SETTINGS say otherwise (RFC 9113 section 6.5.2).
pub(super) const TABLE_SIZE: usize = 4096;

/// What an entry takes in a table beside its name and value (RFC 7541 section 4.1).
const ENTRY_OVERHEAD: usize = 32;
