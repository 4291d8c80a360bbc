//! The examples of RFC 7541 appendix C, and public stories where they are there.

use bytes::Bytes;
use proptest::prelude::*;

use super::{Decoder, Encoder, Error, TABLE_SIZE};
use crate::http2::Indexing;

type Fields = Vec<(String, String)>;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Fields, Error> {
    let mut fields = Vec::new();
    decoder.decode(block, usize::MAX, |_, name, value| {
        fields.push((String::from_utf8_lossy(name).into(), String::from_utf8_lossy(value).into()));
    })?;
    Ok(fields)
}

fn fields(text: &[(&str, &str)]) -> Fields {
    text.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

/// A block in hexadecimal digits, the fields in it, and the size of the table after it.
type Example<'a> = (&'a str, &'a [(&'a str, &'a str)], usize);

/// Decodes blocks one after the other; each gives these fields, and leaves a table of this size.
fn blocks(limit: usize, blocks: &[Example<'_>]) {
    let mut decoder = Decoder::new(limit);
    for (hex, expected, size) in blocks {
        assert_eq!(decode(&mut decoder, &bytes(hex)), Ok(fields(expected)), "{hex}");
        assert_eq!(decoder.size(), *size, "{hex}");
    }
}

#[test]
fn c2_one_field_at_a_time() {
    blocks(
        TABLE_SIZE,
        &[("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", &[("custom-key", "custom-header")], 55)],
    );
    blocks(TABLE_SIZE, &[("040c 2f73 616d 706c 652f 7061 7468", &[(":path", "/sample/path")], 0)]);
    blocks(TABLE_SIZE, &[("1008 7061 7373 776f 7264 0673 6563 7265 74", &[("password", "secret")], 0)]);
    blocks(TABLE_SIZE, &[("82", &[(":method", "GET")], 0)]);
}

const REQUESTS: [&[(&str, &str)]; 3] = [
    &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")],
    &[
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "www.example.com"),
        ("cache-control", "no-cache"),
    ],
    &[
        (":method", "GET"),
        (":scheme", "https"),
        (":path", "/index.html"),
        (":authority", "www.example.com"),
        ("custom-key", "custom-value"),
    ],
];

#[test]
fn c3_and_c4_requests_without_and_with_huffman() {
    for hex in [
        [
            "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "8286 84be 5808 6e6f 2d63 6163 6865",
            "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
        ],
        [
            "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
            "8286 84be 5886 a8eb 1064 9cbf",
            "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
        ],
    ] {
        blocks(TABLE_SIZE, &[(hex[0], REQUESTS[0], 57), (hex[1], REQUESTS[1], 110), (hex[2], REQUESTS[2], 164)]);
    }
}

#[test]
fn c5_and_c6_responses_in_a_table_that_is_too_small() {
    let date = ("date", "Mon, 21 Oct 2013 20:13:21 GMT");
    let private = ("cache-control", "private");
    let location = ("location", "https://www.example.com");
    let cookie = ("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1");
    let later = ("date", "Mon, 21 Oct 2013 20:13:22 GMT");
    for hex in [
        [
            "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 \
             474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "4803 3330 37c1 c0bf",
            "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 \
             666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 \
             3630 303b 2076 6572 7369 6f6e 3d31",
        ],
        [
            "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 \
             63c7 8f0b 97c8 e9ae 82ae 43d3",
            "4883 640e ffc1 c0bf",
            "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 \
             b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
        ],
    ] {
        blocks(
            256,
            &[
                (hex[0], &[(":status", "302"), private, date, location], 222),
                (hex[1], &[(":status", "307"), private, date, location], 222),
                (hex[2], &[(":status", "200"), private, later, location, ("content-encoding", "gzip"), cookie], 215),
            ],
        );
    }
}

#[test]
fn broken_blocks_are_told() {
    let broken = |hex| decode(&mut Decoder::new(TABLE_SIZE), &bytes(hex)).unwrap_err();
    assert_eq!(broken("80"), Error::Index, "index 0");
    assert_eq!(broken("be"), Error::Index, "the table is empty");
    assert_eq!(broken("ff80808080807f"), Error::Integer);
    for cut in ["ff", "40", "4003", "400361", "40016105", "0f"] {
        assert_eq!(broken(cut), Error::Truncated, "{cut}");
    }
    assert_eq!(broken("3fe21f"), Error::SizeUpdate, "4097");
    assert_eq!(broken("8220"), Error::SizeUpdate, "behind a field");
    assert_eq!(broken("4081fe0161"), Error::Huffman);
}

#[test]
fn a_table_size_may_change_twice_before_a_block() {
    let mut decoder = Decoder::new(TABLE_SIZE);
    decode(&mut decoder, b"\x40\x01a\x01b").unwrap();
    assert_eq!((decoder.size(), decoder.newest()), (34, Some((&b"a"[..], &b"b"[..]))));
    assert_eq!(decode(&mut decoder, &bytes("20 3fe11f 82")), Ok(fields(&[(":method", "GET")])));
    assert_eq!((decoder.size(), decoder.newest()), (0, None));
}

#[test]
fn a_table_in_use_for_long_stays_right() {
    // More than the ring holds, many times, with entries of all sizes.
    let mut decoder = Decoder::new(200);
    for round in 0..5000_usize {
        let value = format!("{round}-").repeat(1 + round % 12);
        let mut block = vec![0x40, 1, b'n', value.len() as u8];
        block.extend_from_slice(value.as_bytes());
        decode(&mut decoder, &block).unwrap();
        assert!(decoder.size() <= 200);
        assert_eq!(decoder.newest(), (value.len() + 33 <= 200).then_some((&b"n"[..], value.as_bytes())));
    }
}

#[test]
fn what_does_not_fit_is_not_put_in_the_table() {
    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(TABLE_SIZE));
    let value = |index: usize| Bytes::from(format!("{index}").repeat(300));
    let mut first = Vec::new();
    for index in 0..50 {
        let mut block = Vec::new();
        encoder.begin(&mut block);
        encoder.field("apns-topic", &value(index), Indexing::Incremental, &mut block);
        assert_eq!(decode(&mut decoder, &block).unwrap()[0].1.as_bytes(), value(index));
        first.push(block);
    }
    let mut again = Vec::new();
    encoder.field("apns-topic", &value(0), Indexing::Incremental, &mut again);
    assert!(again.len() <= 2, "the first is still there");
}

proptest! {
    /// Any fields, sizes of the peer's table between them: what is encoded is decoded.
    #[test]
    fn what_is_encoded_is_decoded(
        blocks in proptest::collection::vec(
            (
                proptest::option::of(0_u32..5000),
                proptest::option::of(0_u32..5000),
                proptest::collection::vec((0_usize..6, 0_usize..3, "[a-z0-9]{0,40}"), 0..8),
            ),
            1..12,
        ),
    ) {
        const NAMES: [&str; 6] = ["apns-topic", "apns-id", "authorization", "x", ":authority", "content-type"];
        const WAYS: [Indexing; 3] = [Indexing::Incremental, Indexing::Without, Indexing::Never];
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(TABLE_SIZE));
        for (first, second, list) in blocks {
            [first, second].into_iter().flatten().for_each(|size| encoder.resize(size));
            let (mut block, mut expected) = (Vec::new(), Vec::new());
            encoder.begin(&mut block);
            for (name, way, value) in list {
                let text = Bytes::from(value.clone());
                encoder.field(NAMES[name], &text, WAYS[way], &mut block);
                expected.push((NAMES[name].to_owned(), value));
            }
            prop_assert_eq!(decode(&mut decoder, &block), Ok(expected));
        }
    }

    #[test]
    fn nothing_from_outside_panics(blocks in proptest::collection::vec(any::<Vec<u8>>(), 1..6)) {
        let mut decoder = Decoder::new(256);
        for block in blocks {
            if decode(&mut decoder, &block).is_err() {
                break;
            }
            prop_assert!(decoder.size() <= 256);
        }
    }
}

/// Stories of other implementations, one JSON object a line: where the file is not there, nothing is checked.
#[test]
fn public_stories_are_decoded_as_they_were_meant() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/reference/hpack-stories.jsonl.xz");
    let unpacked = std::process::Command::new("xz").args(["-dc", file]).output();
    let Some(unpacked) = unpacked.ok().filter(|output| output.status.success()) else {
        std::io::Write::write_all(&mut std::io::stderr(), b"no stories here: not checked\n").unwrap();
        return;
    };
    let (mut stories, mut count) = (0, 0);
    for line in unpacked.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let story: serde_json::Value = serde_json::from_slice(line).unwrap();
        // Some change the size of the table.
        let mut decoder = Decoder::new(16 * 1024);
        for block in story["blocks"].as_array().unwrap() {
            let expected: Fields = serde_json::from_value(block["headers"].clone()).unwrap();
            let wire = bytes(block["wire"].as_str().unwrap());
            assert_eq!(decode(&mut decoder, &wire), Ok(expected), "{} {}", story["encoder"], story["story"]);
            count += 1;
        }
        stories += 1;
    }
    assert!(stories > 100 && count > 1000, "{stories} stories");
}
