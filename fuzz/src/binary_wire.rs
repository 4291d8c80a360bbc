//! The messages of the binary protocol.

use std::fmt::Debug;

use apns_proto::binary::{
    DecodedNotification, ErrorResponse, ErrorResponseDecoder, FeedbackClient, FeedbackDecoder, FeedbackEnd,
    FeedbackEvent, FeedbackRecord, Format, Frame, Limits, NotificationDecoder, Status, encode,
};
use apns_proto::{End, Machine, Rejection, WallTime};
use bytes::BytesMut;

use crate::clock::start;
use crate::feed::{Feed, pieces};

/// What a decoder makes of a stream: its messages, the error that stopped it, and how the stream ended for it.
#[derive(Debug, PartialEq)]
struct Read<M, E> {
    messages: Vec<M>,
    stopped: Option<E>,
    end: Result<(), E>,
}

/// Feeds a decoder piece by piece.
fn read<D, M, E: Debug>(
    mut decoder: D,
    pieces: &[&[u8]],
    decode: impl Fn(&mut D, &mut &[u8]) -> Result<Option<M>, E>,
    finish: impl Fn(&mut D) -> Result<(), E>,
    check: impl Fn(&D),
) -> Read<M, E> {
    let mut messages = Vec::new();
    let mut stopped = None;
    for mut piece in pieces.iter().copied() {
        loop {
            match decode(&mut decoder, &mut piece) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => {
                    assert!(piece.is_empty(), "a decoder takes all it is given");
                    break;
                }
                Err(error) => {
                    stopped.get_or_insert(error);
                    break;
                }
            }
        }
        check(&decoder);
    }
    let end = finish(&mut decoder);
    Read { messages, stopped, end }
}

/// Whole and split are the same.
fn whole_equals_split<M: PartialEq + Debug, E: PartialEq + Debug>(
    bytes: &[u8],
    sizes: &[usize],
    read: impl Fn(&[&[u8]]) -> Read<M, E>,
) -> Read<M, E> {
    let whole = read(&[bytes]);
    for sizes in [&[1][..], sizes] {
        assert_eq!(read(&pieces(bytes, sizes)), whole, "split by {sizes:?}");
    }
    whole
}

fn sizes(feed: &mut Feed<'_>) -> Vec<usize> {
    (0..3).map(|_| 1 + usize::from(feed.byte())).collect()
}

fn limits(feed: &mut Feed<'_>) -> Limits {
    match feed.byte() % 4 {
        0 => Limits::default(),
        1 => Limits::PRE_2014,
        2 => Limits::default().with_token_max(32).with_payload_max(u16::MAX),
        _ => Limits::default().with_token_max(feed.byte().into()).with_payload_max(feed.byte().into()),
    }
}

fn encoded(message: &DecodedNotification) -> BytesMut {
    let frame = Frame {
        format: message.format,
        identifier: message.identifier.unwrap_or(0),
        expiration: message.expiration,
        priority: message.priority,
        token: &message.token,
        payload: &message.payload,
    };
    let mut out = BytesMut::new();
    encode(&frame, &mut out).expect("what came within 16 bits of length fits them again");
    assert_eq!(out.len(), frame.encoded_len());
    out
}

/// A stream of notifications: one byte for the limits, three for the split, then the stream.
pub fn notification(data: &[u8]) {
    let mut feed = Feed::new(data);
    let limits = limits(&mut feed);
    let sizes = sizes(&mut feed);
    let stream = feed.rest();
    let whole = whole_equals_split(stream, &sizes, |pieces| {
        read(
            NotificationDecoder::new(limits),
            pieces,
            NotificationDecoder::decode,
            |decoder| decoder.finish(),
            |decoder| {
                assert!(decoder.buffered() < limits.message_max(), "{} bytes are kept", decoder.buffered());
            },
        )
    });

    for message in &whole.messages {
        assert!(!message.token.is_empty() && message.token.len() <= limits.token_max());
        assert!(!message.payload.is_empty() && message.payload.len() <= limits.payload_max());
        let again = DecodedNotification::parse(&encoded(message), limits).expect("a frame that was read can be read");
        // A frame of items may come without an identifier, and is never written so; their order is the writer's own.
        assert_eq!(again.identifier.unwrap_or(0), message.identifier.unwrap_or(0));
        assert_eq!(
            (again.format, again.expiration, again.priority, &again.token, &again.payload),
            (message.format, message.expiration, message.priority, &message.token, &message.payload)
        );
        assert_eq!(encoded(&again), encoded(message));
    }

    // The reader of one message agrees with the reader of a stream.
    match DecodedNotification::parse(stream, limits) {
        Ok(message) => assert_eq!((whole.messages, whole.stopped, whole.end), (vec![message], None, Ok(()))),
        Err(error) => {
            assert!(
                whole.messages.len() != 1 || whole.stopped.is_some() || whole.end.is_err(),
                "refused alone: {error}"
            );
            if whole.messages.is_empty()
                && let Some(stopped) = whole.stopped
            {
                assert_eq!(error, stopped);
            }
        }
    }
}

/// A frame made of choices.
pub fn frame(data: &[u8]) {
    let mut feed = Feed::new(data);
    let format = feed.of(&[Format::Items, Format::Enhanced, Format::Simple]);
    let identifier = feed.u32();
    let expiration = feed.flag().then(|| feed.u32());
    let priority = feed.of(&[None, Some(5), Some(10)]);
    let token = feed.short();
    let payload = feed.rest();
    let frame = Frame { format, identifier, expiration, priority, token, payload };
    let limits = Limits::default().with_token_max(u16::MAX).with_payload_max(u16::MAX);

    let mut out = BytesMut::from(&b"before"[..]);
    if encode(&frame, &mut out).is_err() {
        assert!(payload.len() > usize::from(u16::MAX));
        assert_eq!(out, b"before"[..], "what is refused leaves no bytes");
        return;
    }
    let bytes = out.split_off(6);
    assert_eq!(bytes.len(), frame.encoded_len());
    let read = DecodedNotification::parse(&bytes, limits);
    if token.is_empty() || payload.is_empty() {
        assert!(read.is_err());
        return;
    }
    let read = read.expect("a frame with a token and a payload is a notification");
    assert_eq!((read.format, &read.token[..], &read.payload[..]), (format, token, payload));
    match format {
        Format::Simple => assert_eq!((read.identifier, read.expiration, read.priority), (None, None, None)),
        Format::Enhanced => assert_eq!(
            (read.identifier, read.expiration, read.priority),
            (Some(identifier), Some(expiration.unwrap_or(0)), None)
        ),
        Format::Items => {
            assert_eq!((read.identifier, read.expiration, read.priority), (Some(identifier), expiration, priority));
        }
    }
    for end in 0..bytes.len() {
        assert!(
            DecodedNotification::parse(&bytes[..end], limits).is_err(),
            "{end} of {} bytes are no frame",
            bytes.len()
        );
    }
}

/// What the gateway says: three bytes for the split, then the stream.
pub fn error_response(data: &[u8]) {
    let mut feed = Feed::new(data);
    let sizes = sizes(&mut feed);
    let stream = feed.rest();
    let whole = whole_equals_split(stream, &sizes, |pieces| {
        read(ErrorResponseDecoder::new(), pieces, ErrorResponseDecoder::decode, |decoder| decoder.finish(), |_| {})
    });
    assert!(whole.messages.len() <= 1, "a gateway says one thing and closes");
    if let [response] = whole.messages[..] {
        let mut out = BytesMut::new();
        response.emit(&mut out);
        assert_eq!(out, stream[..ErrorResponse::LEN]);
        assert_eq!(ErrorResponse::parse(&out), Ok(response));
        assert_eq!(Status::from_raw(response.status.raw()), response.status);
        // Every status can be explained.
        let rejection = Rejection::Gateway(response.status);
        assert!(!rejection.reason().is_empty());
        let _ = (rejection.reaction(), rejection.retry(), rejection.token_verdict(), rejection.explain());
    }
    assert_eq!(ErrorResponse::parse(stream).is_ok(), stream.len() == ErrorResponse::LEN && whole.messages.len() == 1);
}

/// A list of the feedback service: three bytes for the split, one for the end, then the stream.
pub fn feedback(data: &[u8]) {
    let mut feed = Feed::new(data);
    let sizes = sizes(&mut feed);
    let end = feed.of(&[End::Clean, End::Cut, End::Refused("no".into())]);
    let stream = feed.rest();
    let whole = whole_equals_split(stream, &sizes, |pieces| {
        read(FeedbackDecoder::default(), pieces, FeedbackDecoder::decode, FeedbackDecoder::finish, |decoder| {
            assert!(decoder.buffered() < FeedbackRecord::HEADER_LEN + Limits::default().token_max());
        })
    });

    let mut written = BytesMut::new();
    for record in &whole.messages {
        assert!(record.timestamp <= WallTime::from_secs(u32::MAX.into()));
        record.emit(&mut written).expect("what was read can be written");
    }
    assert_eq!(written, stream[..written.len()], "records are written as they were read");

    // The machine says the same, and then how complete it is.
    for size in [1, stream.len().max(1)] {
        let mut client = FeedbackClient::new(start());
        stream.chunks(size).for_each(|piece| client.handle_input(start(), piece));
        client.handle_end(start(), end.clone());
        let mut records = Vec::new();
        let told = loop {
            match client.poll_event().expect("every reading ends") {
                FeedbackEvent::Record(record) => records.push(record),
                FeedbackEvent::End(end) => break end,
                other => panic!("{other:?} is new"),
            }
        };
        assert_eq!(client.poll_event(), None, "nothing follows the end");
        assert_eq!(client.poll_timeout(), None);
        assert_eq!(records, whole.messages);
        match (&whole.stopped, &whole.end, &end) {
            (Some(error), ..) => assert_eq!(told, FeedbackEnd::Malformed(error.clone())),
            (None, _, End::Refused(words)) => assert_eq!(told, FeedbackEnd::Refused(words.clone())),
            (None, Err(error), _) => assert_eq!(told, FeedbackEnd::Truncated(error.clone())),
            (None, Ok(()), _) => assert_eq!(told, FeedbackEnd::Complete),
        }
        assert_eq!(told.is_complete(), told == FeedbackEnd::Complete);
    }
}
