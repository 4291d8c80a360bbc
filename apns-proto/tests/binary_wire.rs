//! What goes wrong on the wire of the binary protocol, case by case, and what holds for any message.

#![allow(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

mod vectors;

use apns_proto::WallTime;
use apns_proto::binary::{
    DecodedNotification, EncodeError, ErrorResponse, ErrorResponseDecoder, ErrorResponseErrorKind, FeedbackDecoder,
    FeedbackError, FeedbackErrorKind, FeedbackRecord, Format, Frame, Limits, NotificationDecoder, NotificationError,
    NotificationErrorKind, Status, StatusKind, encode, encode_probe,
};
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use vectors::unhex;

const FRAME: Frame<'static> = Frame {
    format: Format::Items,
    identifier: 7,
    expiration: None,
    priority: None,
    token: &[0xde, 0xad, 0xbe, 0xef],
    payload: b"{}",
};

fn encoded(frame: &Frame<'_>) -> BytesMut {
    let mut out = BytesMut::new();
    encode(frame, &mut out).unwrap();
    out
}

fn parse(bytes: &[u8]) -> Result<DecodedNotification, NotificationError> {
    DecodedNotification::parse(bytes, Limits::default())
}

// Error responses

fn responses(pieces: &[&[u8]]) -> Vec<ErrorResponse> {
    let mut decoder = ErrorResponseDecoder::new();
    let mut read = Vec::new();
    for mut piece in pieces.iter().copied() {
        read.extend(decoder.decode(&mut piece).unwrap());
    }
    decoder.finish().unwrap();
    read
}

#[test]
fn b9_an_error_response_reads_the_same_in_any_split() {
    let whole = ErrorResponse { status: Status::INVALID_TOKEN, identifier: 5 };
    assert_eq!(responses(&[&[8, 8, 0, 0, 0, 5]]), [whole]);
    assert_eq!(responses(&[&[8], &[8, 0], &[0, 0, 5]]), [whole]);
    assert_eq!(responses(&[&[8, 8, 0, 0, 0], &[5]]), [whole]);
    assert_eq!(responses(&[&[8], &[], &[8, 0, 0, 0], &[], &[5], &[]]), [whole]);
}

#[test]
fn b9_an_end_without_a_whole_error_response_says_how_much_was_there() {
    let whole = [8, 8, 0, 0, 0, 5];
    for present in 0..whole.len() {
        let mut decoder = ErrorResponseDecoder::new();
        assert_eq!(decoder.decode(&mut &whole[..present]), Ok(None));
        let error = decoder.finish().unwrap_err();
        assert_eq!(error.kind, ErrorResponseErrorKind::Truncated { needed_total: 6 });
        assert_eq!(error.offset, present as u64);
        assert!(!decoder.is_complete());
    }
}

#[test]
fn p4_an_error_response_byte_by_byte_and_bytes_behind_it_are_one_response() {
    let bytes = [8, 8, 0, 0, 0, 5, 8, 8, 0, 0, 0, 6, 255];
    let expected = [ErrorResponse { status: Status::INVALID_TOKEN, identifier: 5 }];
    assert_eq!(responses(&[&bytes]), expected);
    assert_eq!(responses(&bytes.chunks(1).collect::<Vec<_>>()), expected);
}

#[test]
fn a_stream_that_starts_with_something_else_is_no_error_response() {
    let mut decoder = ErrorResponseDecoder::new();
    let error = decoder.decode(&mut &b"HTTP/1.1 400"[..]).unwrap_err();
    assert_eq!(error.kind, ErrorResponseErrorKind::UnknownCommand { command: b'H' });
    assert_eq!(decoder.decode(&mut &[8, 8, 0, 0, 0, 5][..]), Err(error.clone()));
    assert_eq!(decoder.finish(), Err(error));
}

#[test]
fn p5_statuses_keep_their_byte_and_an_unassigned_one_counts_as_255() {
    let kind = |byte| Status::from_raw(byte).kind();
    assert_eq!(kind(0), StatusKind::NoErrors);
    assert_eq!(kind(9), StatusKind::Unknown);
    assert_eq!(kind(10), StatusKind::Shutdown);
    assert_eq!(kind(128), StatusKind::ProtocolError);
    assert_eq!(kind(255), StatusKind::Unknown);
    for byte in 0..=u8::MAX {
        let response = ErrorResponse::parse(&[8, byte, 0, 0, 0, 1]).unwrap();
        assert_eq!(response.status.raw(), byte);
        let mut out = BytesMut::new();
        response.emit(&mut out);
        assert_eq!(&out[..], [8, byte, 0, 0, 0, 1]);
    }
    assert_eq!(Status::from_raw(9).to_string(), "9 (unassigned)");
    assert_eq!(Status::INVALID_TOKEN.to_string(), "8 (invalid_token)");
}

// Notifications

#[test]
fn b10_the_length_of_each_item_is_the_bytes_written() {
    let out = encoded(&Frame { expiration: Some(1_700_000_000), priority: Some(5), ..FRAME });
    let expected = unhex("02 0000001e  03 0004 00000007  01 0004 deadbeef  02 0002 7b7d  04 0004 6553f100  05 0001 05");
    assert_eq!(out, expected);
    let read = parse(&out).unwrap();
    assert_eq!((read.priority, read.item_order.as_slice()), (Some(5), &[3, 1, 2, 4, 5][..]));
    assert_eq!(u32::from_be_bytes(out[1..5].try_into().unwrap()) as usize, out.len() - 5);
}

#[test]
fn b19_the_length_of_a_token_is_written_as_it_is() {
    for format in [Format::Simple, Format::Enhanced, Format::Items] {
        for length in [1_u16, 28, 31, 32, 54, 80, 100, 101, 65_535] {
            let token = vec![0xab; usize::from(length)];
            let out = encoded(&Frame { format, token: &token, ..FRAME });
            let at = match format {
                Format::Simple => 1,
                Format::Enhanced => 9,
                Format::Items => 13,
            };
            assert_eq!(out[at..at + 2], length.to_be_bytes());
            assert_eq!(out[at + 2..][..token.len()], token);
            let limits = Limits::default().with_token_max(u16::MAX);
            assert_eq!(DecodedNotification::parse(&out, limits).unwrap().token, token);
        }
    }
}

#[test]
fn b19_a_token_that_no_length_field_can_hold_is_refused() {
    let token = vec![0; 65_536];
    let mut out = BytesMut::new();
    let error = encode(&Frame { format: Format::Simple, token: &token, ..FRAME }, &mut out).unwrap_err();
    assert_eq!(error, EncodeError::TokenTooLong { length: 65_536 });
    assert!(out.is_empty());
}

#[test]
fn b20_the_expiration_is_an_absolute_time_in_its_field() {
    let at = 1_000_060_u32;
    let enhanced = Frame { format: Format::Enhanced, expiration: Some(at), ..FRAME };
    assert_eq!(encoded(&enhanced)[5..9], at.to_be_bytes());
    let items = Frame { expiration: Some(at), ..FRAME };
    assert_eq!(encoded(&items)[24..], unhex("04 0004 000f427c"));

    assert_eq!(encoded(&Frame { expiration: None, ..enhanced })[5..9], [0; 4]);
    let absent = parse(&encoded(&Frame { expiration: None, ..items })).unwrap();
    assert_eq!((absent.expiration, absent.item_order.as_slice()), (None, &[3, 1, 2][..]));
    let zero = parse(&encoded(&Frame { expiration: Some(0), ..items })).unwrap();
    assert_eq!(zero.expiration, Some(0));
}

#[test]
fn commands_0_and_1_leave_out_what_they_have_no_place_for() {
    let all = Frame { expiration: Some(9), priority: Some(5), ..FRAME };
    assert_eq!(encoded(&Frame { format: Format::Simple, ..all }), unhex("00 0004 deadbeef 0002 7b7d"));
    let enhanced = encoded(&Frame { format: Format::Enhanced, ..all });
    assert_eq!(enhanced, unhex("01 00000007 00000009 0004 deadbeef 0002 7b7d"));
}

#[test]
fn the_probe_is_refused_for_its_token_and_names_itself() {
    let mut out = BytesMut::new();
    encode_probe(0x0102_0304, &mut out);
    assert_eq!(out, encoded(&Frame { identifier: 0x0102_0304, token: &[], ..FRAME }));
    let error = parse(&out).unwrap_err();
    assert_eq!(error.kind, NotificationErrorKind::ZeroLengthToken);
    assert_eq!(error.identifier, Some(0x0102_0304));
    assert_eq!(error.item_id, Some(1));
    assert_eq!(error.gateway_status_hint(), Some(Status::MISSING_DEVICE_TOKEN));
}

#[test]
fn an_error_names_the_notification_when_its_identifier_had_been_read() {
    let identifier = |hex: &str| parse(&unhex(hex)).unwrap_err().identifier;
    // Command 1 starts with it; command 0 has none.
    assert_eq!(identifier("01 00000009 00000000 0000"), Some(9));
    assert_eq!(identifier("01 00000009 00000000 0004 deadbeef 0000"), Some(9));
    assert_eq!(identifier("00 0000"), None);
    // Before and behind the bad item of command 2, and at the end of the frame.
    assert_eq!(identifier("02 0000000c  03 0004 00000009  06 0002 0000"), Some(9));
    assert_eq!(identifier("02 0000000c  06 0002 0000  03 0004 00000009"), Some(9));
    assert_eq!(identifier("02 00000005  06 0002 0000"), None);
    assert_eq!(identifier("02 00000007  03 0004 00000009"), Some(9));
    assert_eq!(identifier("02 0000000e  03 0004 00000009  03 0004 00000008"), Some(9));
}

#[test]
fn a_bad_length_is_reported_before_the_bytes_behind_it() {
    let after = |bytes: &[u8]| {
        let mut decoder = NotificationDecoder::new(Limits::default());
        let (last, before) = bytes.split_last().unwrap();
        for byte in before {
            assert_eq!(decoder.decode(&mut &[*byte][..]), Ok(None));
        }
        decoder.decode(&mut &[*last][..]).unwrap_err()
    };
    let error = after(&unhex("00 0065"));
    assert_eq!((error.kind, error.offset), (NotificationErrorKind::TokenTooLong { length: 101, limit: 100 }, 1));
    let error = after(&unhex("01 00000001 00000000 0000"));
    assert_eq!((error.kind, error.offset), (NotificationErrorKind::ZeroLengthToken, 9));
    let error = after(&unhex("00 0004 deadbeef ffff"));
    assert_eq!((error.kind, error.offset), (NotificationErrorKind::PayloadTooLong { length: 65_535, limit: 2048 }, 7));
    let error = after(&unhex("02 0000087d"));
    assert_eq!((error.kind, error.offset), (NotificationErrorKind::FrameTooLong { length: 2173, limit: 2172 }, 1));
    let error = after(&unhex("02 ffffffff"));
    assert_eq!(error.kind, NotificationErrorKind::FrameTooLong { length: u32::MAX, limit: 2172 });
    // A frame is looked at when it is whole: the bad item in front waits for its end.
    let error = after(&unhex("02 0000000c  07 0004 00000000  02 0002 7b7d"));
    assert_eq!((error.kind, error.offset), (NotificationErrorKind::UnknownItemId, 5));
}

#[test]
fn errors_hold_no_byte_of_token_or_payload() {
    let cases = [
        &b"\0\0\x06secret\0\x06secretX"[..],
        &b"\0\0\x06secret\0\0"[..],
        &b"\x02\0\0\0\x12\x01\0\x06secret\x07\0\x06secret"[..],
        &b"\x02\0\0\0\x13\x01\0\x06secret\x02\0\x06secret\x07"[..],
    ];
    for case in cases {
        let error = parse(case).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("secret") && !shown.contains("115, 101"), "{shown}");
    }
}

// Feedback

fn token32() -> Vec<u8> {
    (0..32).collect()
}

fn two_records() -> (Vec<u8>, [FeedbackRecord; 2]) {
    let record = |seconds| FeedbackRecord { timestamp: WallTime::from_secs(seconds), token: Bytes::from(token32()) };
    let records = [record(1_386_604_500), record(1_700_000_000)];
    let mut out = BytesMut::new();
    for record in &records {
        record.emit(&mut out).unwrap();
    }
    (out.to_vec(), records)
}

fn feedback(pieces: &[&[u8]]) -> (Vec<FeedbackRecord>, Result<(), FeedbackError>) {
    let mut decoder = FeedbackDecoder::default();
    let mut read = Vec::new();
    for mut piece in pieces.iter().copied() {
        loop {
            match decoder.decode(&mut piece) {
                Ok(Some(record)) => read.push(record),
                Ok(None) => break,
                Err(error) => return (read, Err(error)),
            }
        }
    }
    (read, decoder.finish())
}

#[test]
fn b23_feedback_reads_the_same_at_any_split() {
    let (bytes, records) = two_records();
    assert_eq!(bytes.len(), 76);
    for at in [1, 5, 37, 39] {
        let (read, end) = feedback(&[&bytes[..at], &bytes[at..]]);
        assert_eq!((read.as_slice(), end), (&records[..], Ok(())), "split at {at}");
    }
}

#[test]
fn b23_feedback_that_ends_inside_a_record_is_one_error_and_no_garbage() {
    let (bytes, records) = two_records();
    let (read, end) = feedback(&[&bytes[..37]]);
    let error = end.unwrap_err();
    assert_eq!((read.len(), error.kind, error.offset), (0, FeedbackErrorKind::Truncated { needed_total: 38 }, 37));

    let (read, end) = feedback(&[&bytes[..75]]);
    let error = end.unwrap_err();
    assert_eq!(read, records[..1]);
    assert_eq!((error.kind, error.offset), (FeedbackErrorKind::Truncated { needed_total: 76 }, 75));
}

#[test]
fn p11_feedback_tokens_of_any_length_are_read_by_their_length() {
    for length in [1, 28, 31, 33, 54, 80, 100] {
        let record = FeedbackRecord { timestamp: WallTime::from_secs(1), token: Bytes::from(vec![7; length]) };
        let mut out = BytesMut::new();
        record.emit(&mut out).unwrap();
        assert_eq!(out.len(), record.encoded_len());
        record.emit(&mut out).unwrap();
        assert_eq!(feedback(&[&out]), (vec![record.clone(), record], Ok(())));
    }
}

#[test]
fn p11_feedback_that_ends_at_a_record_or_at_once_is_a_list() {
    assert_eq!(feedback(&[]), (vec![], Ok(())));
    let (bytes, records) = two_records();
    assert_eq!(feedback(&[&bytes[..38]]), (records[..1].to_vec(), Ok(())));
}

#[test]
fn s18_a_feedback_token_of_no_bytes_is_an_error() {
    let (read, end) = feedback(&[&unhex("00000001 0004 deadbeef  00000002 0000")]);
    let error = end.unwrap_err();
    assert_eq!((read.len(), error.kind, error.offset), (1, FeedbackErrorKind::ZeroLengthToken, 14));
}

#[test]
fn s18_a_long_feedback_token_is_refused_by_default_and_waited_for_on_request() {
    let header = unhex("00000001 ffff");
    let (_, end) = feedback(&[&header]);
    let error = end.unwrap_err();
    assert_eq!(error.kind, FeedbackErrorKind::TokenTooLong { length: 65_535, limit: 100 });
    assert_eq!(error.offset, 4);

    let mut decoder = FeedbackDecoder::new(u16::MAX);
    assert_eq!(decoder.decode(&mut &header[..]), Ok(None));
    let token = vec![7; 65_535];
    for piece in token[1..].chunks(1000) {
        assert_eq!(decoder.decode(&mut &piece[..]), Ok(None));
    }
    assert_eq!(decoder.buffered(), 6 + 65_534);
    assert!(matches!(
        decoder.clone().finish(),
        Err(FeedbackError { kind: FeedbackErrorKind::Truncated { needed_total: 65_541 }, offset: 65_540, .. })
    ));
    let record = decoder.decode(&mut &[7][..]).unwrap().unwrap();
    assert_eq!(record.token, token);
    assert_eq!(decoder.buffered(), 0);
}

#[test]
fn a_feedback_record_shows_no_token_and_refuses_what_does_not_fit() {
    let record = FeedbackRecord { timestamp: WallTime::from_secs(1), token: Bytes::from_static(b"secret") };
    let shown = format!("{record:?}");
    assert!(shown.contains("<6 bytes>") && !shown.contains("secret"), "{shown}");

    let mut out = BytesMut::new();
    let late = FeedbackRecord { timestamp: WallTime::from_secs(1 << 32), ..record.clone() };
    assert_eq!(late.emit(&mut out), Err(EncodeError::TimestampTooLate { seconds: 1 << 32 }));
    let long = FeedbackRecord { token: Bytes::from(vec![0; 65_536]), ..record };
    assert_eq!(long.emit(&mut out), Err(EncodeError::TokenTooLong { length: 65_536 }));
    assert!(out.is_empty());
}

// For any message

/// What a caller can put into a frame.
#[derive(Debug, Clone)]
struct Owned {
    format: Format,
    identifier: u32,
    expiration: Option<u32>,
    priority: Option<u8>,
    token: Vec<u8>,
    payload: Vec<u8>,
}

impl Owned {
    fn frame(&self) -> Frame<'_> {
        Frame {
            format: self.format,
            identifier: self.identifier,
            expiration: self.expiration,
            priority: self.priority,
            token: &self.token,
            payload: &self.payload,
        }
    }
}

fn owned() -> impl Strategy<Value = Owned> {
    (
        prop_oneof![Just(Format::Simple), Just(Format::Enhanced), Just(Format::Items)],
        any::<u32>(),
        any::<Option<u32>>(),
        prop_oneof![Just(None), Just(Some(5)), Just(Some(10))],
        prop::collection::vec(any::<u8>(), 1..=100),
        prop::collection::vec(any::<u8>(), 1..=2048),
    )
        .prop_map(|(format, identifier, expiration, priority, token, payload)| Owned {
            format,
            identifier,
            expiration,
            priority,
            token,
            payload,
        })
}

/// Bytes that look enough like the protocol to get past the first check.
fn nearly_protocol() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => (prop::sample::select(vec![0_u8, 1, 2, 3, 4, 5, 6, 8]), any::<u8>()).prop_map(|(id, n)| vec![id, 0, n % 6]),
        2 => prop::collection::vec(0_u8..=10, 0..8),
        2 => owned().prop_map(|mut owned| {
            owned.token.truncate(4);
            owned.payload.truncate(4);
            encoded(&owned.frame()).to_vec()
        }),
        1 => any::<u8>().prop_map(|length| vec![2, 0, 0, 0, length % 40]),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

fn cut<'a>(bytes: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut rest = bytes;
    let mut pieces = Vec::new();
    for &size in sizes {
        let (piece, behind) = rest.split_at(size.min(rest.len()));
        pieces.push(piece);
        rest = behind;
    }
    pieces.push(rest);
    pieces
}

type Everything = (Vec<DecodedNotification>, Result<(), NotificationError>);

fn notifications(pieces: &[&[u8]], limits: Limits) -> Everything {
    let mut decoder = NotificationDecoder::new(limits);
    let mut read = Vec::new();
    for mut piece in pieces.iter().copied() {
        loop {
            match decoder.decode(&mut piece) {
                Ok(Some(notification)) => read.push(notification),
                Ok(None) => break,
                Err(error) => return (read, Err(error)),
            }
        }
        assert!(decoder.buffered() < limits.message_max());
    }
    (read, decoder.finish())
}

proptest! {
    #[test]
    fn what_is_written_is_read(owned in owned()) {
        let frame = owned.frame();
        let out = encoded(&frame);
        prop_assert_eq!(out.len(), frame.encoded_len());
        let read = parse(&out).unwrap();
        prop_assert_eq!(read.format, owned.format);
        prop_assert_eq!(&read.token, &owned.token);
        prop_assert_eq!(&read.payload, &owned.payload);
        let (identifier, expiration, priority) = match owned.format {
            Format::Simple => (None, None, None),
            Format::Enhanced => (Some(owned.identifier), Some(owned.expiration.unwrap_or(0)), None),
            Format::Items => (Some(owned.identifier), owned.expiration, owned.priority),
        };
        prop_assert_eq!((read.identifier, read.expiration, read.priority), (identifier, expiration, priority));
    }

    #[test]
    fn a_stream_reads_the_same_whole_and_split(
        written in prop::collection::vec(owned(), 0..6),
        sizes in prop::collection::vec(0_usize..3000, 0..12),
        keep in 0.0..=1.0_f64,
    ) {
        let mut bytes = BytesMut::new();
        for owned in &written {
            encode(&owned.frame(), &mut bytes).unwrap();
        }
        let whole = notifications(&[&bytes], Limits::default());
        prop_assert_eq!(whole.0.len(), written.len());
        prop_assert_eq!(&whole.1, &Ok(()));
        prop_assert_eq!(notifications(&cut(&bytes, &sizes), Limits::default()), whole);

        let part = &bytes[..(bytes.len() as f64 * keep) as usize];
        let expected = notifications(&[part], Limits::default());
        prop_assert_eq!(notifications(&cut(part, &sizes), Limits::default()), expected);
    }

    #[test]
    fn any_bytes_read_the_same_whole_and_split(
        bytes in prop_oneof![nearly_protocol(), prop::collection::vec(any::<u8>(), 0..200)],
        sizes in prop::collection::vec(0_usize..9, 0..40),
    ) {
        let limits = Limits::default().with_token_max(5).with_payload_max(5);
        let whole = notifications(&[&bytes], limits);
        prop_assert_eq!(notifications(&cut(&bytes, &sizes), limits), whole.clone());
        prop_assert_eq!(notifications(&bytes.chunks(1).collect::<Vec<_>>(), limits), whole.clone());

        // The decoder of one message agrees with the decoder of a stream.
        let single = DecodedNotification::parse(&bytes, limits);
        match whole.0.first() {
            Some(first) => match single {
                Ok(only) => {
                    prop_assert_eq!(&only, first);
                    prop_assert_eq!(whole.0.len(), 1);
                }
                Err(error) => prop_assert_eq!(error.kind, NotificationErrorKind::TrailingBytes),
            },
            None if bytes.is_empty() => prop_assert!(single.is_err()),
            None => prop_assert_eq!(single.unwrap_err(), whole.1.unwrap_err()),
        }
    }

    #[test]
    fn any_bytes_are_feedback_the_same_whole_and_split(
        bytes in prop::collection::vec(prop_oneof![3 => Just(0_u8), 2 => 0_u8..8, 1 => any::<u8>()], 0..120),
        sizes in prop::collection::vec(0_usize..9, 0..40),
    ) {
        let whole = feedback(&[&bytes]);
        prop_assert_eq!(feedback(&cut(&bytes, &sizes)), whole.clone());
        let mut again = BytesMut::new();
        for record in &whole.0 {
            record.emit(&mut again).unwrap();
        }
        prop_assert_eq!(&again[..], &bytes[..again.len()]);
    }
}
