//! The Huffman code of header fields (RFC 7541 section 5.2 and appendix B).
//!
//! The code is canonical: codes of the same length are consecutive, in the order of their symbols, so the lengths say all.

use super::Error;

/// The length of each symbol's code in bits; the last symbol is the end of the string, which never stands in one.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
    28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12,
    10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6,
    5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22,
    22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20,
    22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28,
    27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28,
    27, 27, 27, 27, 27, 26, 30,
];

/// The symbol that ends a string.
const END: u16 = 256;

/// The longest code.
const LONGEST: usize = 30;

/// So many bits are looked up at once.
const STEP: u32 = 12;

struct Code {
    /// The code of each symbol, in its low bits.
    codes: [u32; 257],
    /// The first code of each length, at the top of 32 bits. A length without codes has its successor's.
    first: [u32; LONGEST + 2],
    /// Where the symbols of each length begin in `order`.
    offset: [u16; LONGEST + 1],
    /// The symbols in the order of their codes.
    order: [u16; 257],
}

const CODE: Code = {
    let mut code = Code { codes: [0; 257], first: [u32::MAX; LONGEST + 2], offset: [0; LONGEST + 1], order: [0; 257] };
    let (mut next, mut at, mut length) = (0_u64, 0, 1);
    while length <= LONGEST {
        next <<= 1;
        code.first[length] = (next << (32 - length)) as u32;
        code.offset[length] = at as u16;
        let mut symbol = 0;
        while symbol < 257 {
            if LENGTHS[symbol] as usize == length {
                code.codes[symbol] = next as u32;
                code.order[at] = symbol as u16;
                at += 1;
                next += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    code
};

/// What a step's bits begin with.
#[derive(Clone, Copy)]
struct Pair {
    /// Bits of the one or two symbols together; 0 if the first symbol has more than a step.
    used: u8,
    /// Bits of the first.
    first: u8,
    symbols: [u8; 2],
}

static PAIRS: [Pair; 1 << STEP] = {
    // The symbol that a step's bits begin with, and its length; 0 if it is longer.
    let mut one = [(0_u8, 0_u8); 1 << STEP];
    let mut symbol = 0;
    while symbol < 256 {
        let length = LENGTHS[symbol] as u32;
        if length <= STEP {
            let rest = STEP - length;
            let begin = (CODE.codes[symbol] as usize) << rest;
            let mut index = begin;
            while index < begin + (1 << rest) {
                one[index] = (length as u8, symbol as u8);
                index += 1;
            }
        }
        symbol += 1;
    }
    let mut pairs = [Pair { used: 0, first: 0, symbols: [0; 2] }; 1 << STEP];
    let mut bits = 0;
    while bits < 1 << STEP {
        let (length, symbol) = one[bits];
        if length != 0 {
            let (next_length, next) = one[(bits << length) & ((1 << STEP) - 1)];
            let both = length + next_length;
            let two = next_length != 0 && both as u32 <= STEP;
            pairs[bits] = Pair { used: if two { both } else { length }, first: length, symbols: [symbol, next] };
        }
        bits += 1;
    }
    pairs
};

/// Appends what `input` says, which may be at most `room` bytes.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>, room: usize) -> Result<(), Error> {
    let start = out.len();
    // No symbol has less than five bits, and two are written at a time.
    out.resize(start + input.len() * 8 / 5 + 4, 0);
    let written = decode_into(input, &mut out[start..]);
    out.truncate(start + *written.as_ref().unwrap_or(&0));
    if written? > room { Err(Error::TooLarge) } else { Ok(()) }
}

fn decode_into(mut input: &[u8], out: &mut [u8]) -> Result<usize, Error> {
    let (mut bits, mut have, mut at) = (0_u64, 0_u32, 0);
    loop {
        if have <= 32 {
            if let Some((four, rest)) = input.split_first_chunk::<4>() {
                bits |= u64::from(u32::from_be_bytes(*four)) << (32 - have);
                (have, input) = (have + 32, rest);
            } else {
                while have <= 56
                    && let Some((&byte, rest)) = input.split_first()
                {
                    bits |= u64::from(byte) << (56 - have);
                    (have, input) = (have + 8, rest);
                }
            }
        }
        let Pair { used, first, symbols } = PAIRS[(bits >> (64 - STEP)) as usize];
        let place = out.get_mut(at..at + 2).ok_or(Error::Huffman)?;
        if used != 0 && u32::from(used) <= have {
            place.copy_from_slice(&symbols);
            at += if used == first { 1 } else { 2 };
            (bits, have) = (bits << used, have - u32::from(used));
            continue;
        }
        let (length, symbol) = if used == 0 {
            let top = (bits >> 32) as u32;
            let mut length = STEP as usize + 1;
            while length < LONGEST && top >= CODE.first[length + 1] {
                length += 1;
            }
            let index = u32::from(CODE.offset[length]) + ((top - CODE.first[length]) >> (32 - length));
            (length as u32, CODE.order.get(index as usize).copied().unwrap_or(END))
        } else {
            (u32::from(first), u16::from(symbols[0]))
        };
        if length > have || symbol == END {
            // What is left is padding: fewer than eight bits, all of them ones.
            let padding = have < 8 && (have == 0 || bits >> (64 - have) == (1 << have) - 1);
            return if padding && input.is_empty() { Ok(at) } else { Err(Error::Huffman) };
        }
        place[0] = symbol as u8;
        at += 1;
        (bits, have) = (bits << length, have - length);
    }
}

/// How many bytes a text has in this code.
pub(super) fn encoded_len(text: &[u8]) -> usize {
    text.iter().map(|&byte| usize::from(LENGTHS[usize::from(byte)])).sum::<usize>().div_ceil(8)
}

/// Appends a text in this code.
pub(super) fn encode(text: &[u8], out: &mut Vec<u8>) {
    let (mut bits, mut have) = (0_u64, 0_u32);
    for &byte in text {
        let symbol = usize::from(byte);
        bits = (bits << LENGTHS[symbol]) | u64::from(CODE.codes[symbol]);
        have += u32::from(LENGTHS[symbol]);
        while have >= 8 {
            have -= 8;
            out.push((bits >> have) as u8);
        }
    }
    if have > 0 {
        out.push(((bits << (8 - have)) as u8) | (0xff >> have));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(input: &[u8]) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        decode(input, &mut out, usize::MAX).map(|()| out)
    }

    #[test]
    fn the_code_is_that_of_the_appendix() {
        for (symbol, code, length) in [
            (b'0', 0x0, 5),
            (b'a', 0x3, 5),
            (b' ', 0x14, 6),
            (b'z', 0x7b, 7),
            (b'&', 0xf8, 8),
            (b'?', 0x3fc, 10),
            (b'\\', 0x7fff0, 19),
            (0xff, 0x3ffffee, 26),
            (b'\n', 0x3ffffffc, 30),
        ] {
            assert_eq!((CODE.codes[usize::from(symbol)], LENGTHS[usize::from(symbol)]), (code, length), "{symbol}");
        }
        assert_eq!((CODE.codes[256], LENGTHS[256]), (0x3fff_ffff, 30));
        // A complete code: no string of bits is without a meaning.
        let sum: u64 = LENGTHS.iter().map(|length| 1 << (LONGEST as u32 - u32::from(*length))).sum();
        assert_eq!(sum, 1 << LONGEST);
    }

    #[test]
    fn every_symbol_comes_back_alone_and_among_others() {
        for symbol in 0..=255_u8 {
            for text in [vec![symbol], vec![b'0', symbol, b'0'], vec![symbol; 9]] {
                let mut coded = Vec::new();
                encode(&text, &mut coded);
                assert_eq!(coded.len(), encoded_len(&text));
                assert_eq!(decoded(&coded).as_ref(), Ok(&text));
            }
        }
    }

    #[test]
    fn padding_is_checked() {
        // "a" is 00011; three ones follow.
        assert_eq!(decoded(&[0x1f]), Ok(b"a".to_vec()));
        assert_eq!(decoded(&[0x1b]), Err(Error::Huffman), "a zero in the padding");
        assert_eq!(decoded(&[0x1f, 0xff]), Err(Error::Huffman), "eight bits of padding");
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xff]), Err(Error::Huffman), "the end of the string, coded");
        assert_eq!(decoded(&[]), Ok(Vec::new()));
    }

    #[test]
    fn more_than_there_is_room_for_is_refused() {
        let mut coded = Vec::new();
        encode(&[b'0'; 100], &mut coded);
        let mut out = Vec::new();
        assert_eq!(decode(&coded, &mut out, 99), Err(Error::TooLarge));
        assert_eq!(decode(&coded, &mut Vec::new(), 100), Ok(()));
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text: Vec<u8>) {
            let mut coded = Vec::new();
            encode(&text, &mut coded);
            prop_assert_eq!(decoded(&coded), Ok(text));
        }

        #[test]
        fn what_is_decoded_is_what_would_be_encoded(input: Vec<u8>) {
            if let Ok(text) = decoded(&input) {
                let mut coded = Vec::new();
                encode(&text, &mut coded);
                prop_assert_eq!(coded, input);
            }
        }
    }
}
