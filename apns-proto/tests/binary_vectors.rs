//! Every byte vector of the binary protocol, whole and in pieces.

#![allow(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

mod vectors;

use apns_proto::binary::{
    DecodedNotification, ErrorResponse, ErrorResponseDecoder, ErrorResponseError, ErrorResponseErrorKind,
    FeedbackDecoder, FeedbackError, FeedbackErrorKind, FeedbackRecord, Format, Frame, Limits, NotificationDecoder,
    NotificationError, NotificationErrorKind, Status, encode,
};
use bytes::BytesMut;
use vectors::{Decoded, Decoder, ExpectedError, File, Vector};

const CHUNKS: [usize; 3] = [1, 7, usize::MAX];

#[test]
fn every_notification_vector_is_read_as_it_says() {
    let file = File::load();
    let (mut valid, mut invalid) = (0, 0);
    for vector in file.of(Decoder::Notification) {
        let result = DecodedNotification::parse(&vector.bytes, limits_of(vector));
        if vector.valid {
            valid += 1;
            let notification = result.unwrap_or_else(|error| panic!("{}: {error}", vector.name));
            assert_eq!(vec![notification_as_vector(&notification)], vector.decoded, "{}", vector.name);
        } else {
            invalid += 1;
            let error = result.expect_err(&vector.name);
            assert_eq!(Some(notification_error_as_vector(&error)), vector.expected_error, "{}", vector.name);
            assert_eq!(error.gateway_status_hint().map(Status::raw), vector.gateway_status_hint, "{}", vector.name);
        }
    }
    assert_eq!((valid, invalid), (19, 51));
}

#[test]
fn every_notification_vector_gives_the_same_in_pieces() {
    let file = File::load();
    let mut seen = 0;
    for vector in file.of(Decoder::Notification) {
        for chunk in CHUNKS {
            let (read, error) = read_notifications(&vector.bytes, limits_of(vector), chunk);
            let name = format!("{} in chunks of {chunk}", vector.name);
            match vector.expected_error.as_ref() {
                None => {
                    assert_eq!(read, vector.decoded, "{name}");
                    assert_eq!(error, None, "{name}");
                }
                // In a stream the end of one notification is where the next may start, and no byte at all is no error.
                Some(expected) if expected.kind == "trailing_bytes" => {
                    let first =
                        DecodedNotification::parse(&vector.bytes[..expected.offset as usize], limits_of(vector));
                    assert_eq!(read, [notification_as_vector(&first.expect(&name))], "{name}");
                    assert!(error.expect(&name).offset > expected.offset, "{name}");
                }
                Some(_) if vector.bytes.is_empty() => assert_eq!((read, error), (vec![], None), "{name}"),
                Some(expected) => {
                    assert_eq!(read, [], "{name}");
                    let error = error.expect(&name);
                    assert_eq!(&notification_error_as_vector(&error), expected, "{name}");
                    assert_eq!(error.gateway_status_hint().map(Status::raw), vector.gateway_status_hint, "{name}");
                }
            }
        }
        seen += 1;
    }
    assert_eq!(seen, 70);
}

#[test]
fn every_notification_stream_vector_gives_the_same_in_pieces() {
    let file = File::load();
    let mut seen = 0;
    for vector in file.of(Decoder::NotificationStream) {
        for chunk in CHUNKS {
            let (read, error) = read_notifications(&vector.bytes, limits_of(vector), chunk);
            let name = format!("{} in chunks of {chunk}", vector.name);
            let expected = if vector.valid { &vector.decoded } else { &vector.decoded_before_error };
            assert_eq!(&read, expected, "{name}");
            assert_eq!(error.map(|error| notification_error_as_vector(&error)), vector.expected_error, "{name}");
        }
        for (index, &boundary) in vector.boundaries.iter().enumerate() {
            let (read, error) = read_notifications(&vector.bytes[..boundary], limits_of(vector), usize::MAX);
            assert_eq!((read.as_slice(), error), (&vector.decoded[..index], None), "{}", vector.name);
        }
        seen += 1;
    }
    assert_eq!(seen, 5);
}

#[test]
fn every_valid_notification_vector_in_our_order_is_written_as_it_says() {
    let file = File::load();
    let (mut same, mut reordered) = (0, 0);
    for vector in file.of(Decoder::Notification).filter(|vector| vector.valid) {
        let read = &vector.decoded[0];
        if read.command == Some(2) && read.identifier.is_none() {
            // We never leave it out.
            continue;
        }
        let frame = frame_of(read);
        let mut out = BytesMut::new();
        encode(&frame, &mut out).unwrap();
        assert_eq!(out.len(), vector.bytes.len(), "{}", vector.name);

        let canonical = [3, 1, 2, 4, 5].into_iter().filter(|id| read.item_order.contains(id));
        if read.item_order == canonical.collect::<Vec<u8>>() {
            assert_eq!(out, vector.bytes, "{}", vector.name);
            same += 1;
        } else {
            let again = DecodedNotification::parse(&out, limits_of(vector)).expect(&vector.name);
            let again = Decoded { item_order: read.item_order.clone(), ..notification_as_vector(&again) };
            assert_eq!(&again, read, "{}", vector.name);
            reordered += 1;
        }
    }
    assert_eq!((same, reordered), (8, 10));
}

#[test]
fn every_strict_prefix_of_a_short_valid_notification_is_truncated() {
    let file = File::load();
    let mut prefixes = 0;
    for vector in file.of(Decoder::Notification).filter(|vector| vector.valid && vector.bytes.len() < 300) {
        for length in 0..vector.bytes.len() {
            let prefix = &vector.bytes[..length];
            let error = DecodedNotification::parse(prefix, limits_of(vector)).expect_err(&vector.name);
            assert_eq!(error.offset, length as u64, "{}", vector.name);
            let NotificationErrorKind::Truncated { needed_total } = error.kind else {
                panic!("{} cut at {length}: {error}", vector.name)
            };
            assert!(needed_total > length as u64 && needed_total <= vector.bytes.len() as u64, "{}", vector.name);

            let in_stream = (length > 0).then_some(error);
            assert_eq!(read_notifications(prefix, limits_of(vector), 1), (vec![], in_stream), "{}", vector.name);
            prefixes += 1;
        }
    }
    assert!(prefixes > 1000, "{prefixes}");
}

#[test]
fn every_error_response_vector_is_read_as_it_says_whole_and_in_pieces() {
    let file = File::load();
    let (mut valid, mut invalid) = (0, 0);
    for vector in file.of(Decoder::ErrorResponse) {
        let result = ErrorResponse::parse(&vector.bytes);
        if vector.valid {
            valid += 1;
            let response = result.unwrap_or_else(|error| panic!("{}: {error}", vector.name));
            assert_eq!(vec![response_as_vector(response)], vector.decoded, "{}", vector.name);
            let mut out = BytesMut::new();
            response.emit(&mut out);
            assert_eq!(out, vector.bytes, "{}", vector.name);
        } else {
            invalid += 1;
            let error = result.expect_err(&vector.name);
            assert_eq!(Some(response_error_as_vector(&error)), vector.expected_error, "{}", vector.name);
        }
        for chunk in CHUNKS {
            let (read, error) = read_responses(&vector.bytes, chunk);
            let name = format!("{} in chunks of {chunk}", vector.name);
            let trailing = vector.expected_error.as_ref().is_some_and(|error| error.kind == "trailing_bytes");
            if trailing {
                // In a stream what follows the one response is thrown away.
                assert_eq!((read.len(), error), (1, None), "{name}");
            } else {
                assert_eq!(read.iter().map(|&read| response_as_vector(read)).collect::<Vec<_>>(), vector.decoded);
                assert_eq!(error.map(|error| response_error_as_vector(&error)), vector.expected_error, "{name}");
            }
        }
    }
    assert_eq!((valid, invalid), (16, 4));
}

#[test]
fn every_feedback_vector_is_read_as_it_says_in_any_pieces() {
    let file = File::load();
    let (mut valid, mut invalid) = (0, 0);
    for vector in file.of(Decoder::FeedbackStream) {
        for chunk in CHUNKS {
            let (read, error) = read_feedback(&vector.bytes, chunk);
            let name = format!("{} in chunks of {chunk}", vector.name);
            let expected = if vector.valid { &vector.decoded } else { &vector.decoded_before_error };
            assert_eq!(&read.iter().map(record_as_vector).collect::<Vec<_>>(), expected, "{name}");
            assert_eq!(error.map(|error| feedback_error_as_vector(&error)), vector.expected_error, "{name}");
            if vector.valid {
                let mut out = BytesMut::new();
                for record in &read {
                    record.emit(&mut out).unwrap();
                }
                assert_eq!(out, vector.bytes, "{name}");
            }
        }
        if vector.valid {
            valid += 1;
        } else {
            invalid += 1;
        }
    }
    assert_eq!((valid, invalid), (5, 3));
}

#[test]
fn the_file_is_what_it_says_it_is() {
    let file = File::load();
    assert_eq!(file.format_version, 1);
    assert_eq!((file.vectors.len(), file.resend_scenarios.len()), (103, 18));
    for vector in &file.vectors {
        assert_eq!(vector.bytes.len(), vector.length, "{}", vector.name);
        assert_eq!(vector.valid, vector.expected_error.is_none(), "{}", vector.name);
    }
}

#[test]
fn the_limits_are_those_of_the_file() {
    let file = File::load();
    let limits = Limits::default();
    assert_eq!(limits.token_max(), file.limits.token_max);
    assert_eq!(limits.payload_max(), file.limits.payload_max);
    assert_eq!(limits.frame_max(), file.limits.frame_max);
    assert_eq!(ErrorResponse::LEN, file.limits.error_response);
    assert_eq!(FeedbackRecord::HEADER_LEN, file.limits.feedback_header);
    for (name, profile) in &file.limit_profiles {
        assert_eq!(limits_named(name).payload_max(), profile.payload_max, "{name}");
    }
    assert_eq!(limits_named(&file.default_limit_profile), limits);
}

#[test]
fn p5_the_names_of_all_256_statuses_are_those_of_the_file() {
    let file = File::load();
    for byte in 0..=u8::MAX {
        let status = Status::from_raw(byte);
        assert_eq!(status.raw(), byte);
        assert_eq!(status.name(), file.statuses.get(&byte.to_string()).map(String::as_str), "{status}");
        assert_eq!(status.is_assigned(), status.name().is_some());
    }
}

fn limits_of(vector: &Vector) -> Limits {
    vector.limit_profile.as_deref().map_or_else(Limits::default, limits_named)
}

fn limits_named(name: &str) -> Limits {
    match name {
        "pre_2014" => Limits::PRE_2014,
        "2014_2021" => Limits::FROM_2014,
        _ => panic!("unknown limit profile {name}"),
    }
}

fn frame_of(read: &Decoded) -> Frame<'_> {
    Frame {
        format: Format::from_command(read.command.unwrap()).unwrap(),
        identifier: read.identifier.unwrap_or(0),
        expiration: read.expiration,
        priority: read.priority,
        token: read.token.as_deref().unwrap(),
        payload: read.payload.as_deref().unwrap().as_bytes(),
    }
}

fn read_notifications(bytes: &[u8], limits: Limits, chunk: usize) -> (Vec<Decoded>, Option<NotificationError>) {
    let mut decoder = NotificationDecoder::new(limits);
    let mut read = Vec::new();
    for mut input in bytes.chunks(chunk) {
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(notification)) => read.push(notification_as_vector(&notification)),
                Ok(None) => break,
                Err(error) => {
                    assert!(input.is_empty(), "what follows an error is thrown away");
                    assert_eq!(decoder.decode(&mut &[0][..]), Err(error.clone()), "an error stays");
                    assert_eq!(decoder.finish(), Err(error.clone()), "an error stays");
                    return (read, Some(error));
                }
            }
        }
        assert!(input.is_empty(), "all input is used");
    }
    (read, decoder.finish().err())
}

fn read_responses(bytes: &[u8], chunk: usize) -> (Vec<ErrorResponse>, Option<ErrorResponseError>) {
    let mut decoder = ErrorResponseDecoder::new();
    let mut read = Vec::new();
    for mut input in bytes.chunks(chunk) {
        match decoder.decode(&mut input) {
            Ok(response) => read.extend(response),
            Err(error) => {
                assert_eq!(decoder.decode(&mut &[8][..]), Err(error.clone()), "an error stays");
                assert_eq!(decoder.finish(), Err(error.clone()), "an error stays");
                return (read, Some(error));
            }
        }
        assert!(input.is_empty(), "all input is used");
    }
    (read, decoder.finish().err())
}

fn read_feedback(bytes: &[u8], chunk: usize) -> (Vec<FeedbackRecord>, Option<FeedbackError>) {
    let mut decoder = FeedbackDecoder::default();
    let mut read = Vec::new();
    for mut input in bytes.chunks(chunk) {
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(record)) => read.push(record),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.decode(&mut &[0][..]), Err(error.clone()), "an error stays");
                    assert_eq!(decoder.finish(), Err(error.clone()), "an error stays");
                    return (read, Some(error));
                }
            }
        }
    }
    (read, decoder.finish().err())
}

fn notification_as_vector(notification: &DecodedNotification) -> Decoded {
    Decoded {
        command: Some(notification.format.command()),
        token: Some(notification.token.to_vec()),
        payload: Some(String::from_utf8(notification.payload.to_vec()).unwrap()),
        identifier: notification.identifier,
        expiration: notification.expiration,
        priority: notification.priority,
        item_order: notification.item_order.as_slice().to_vec(),
        ..Decoded::default()
    }
}

fn response_as_vector(response: ErrorResponse) -> Decoded {
    Decoded {
        command: Some(8),
        identifier: Some(response.identifier),
        status: Some(response.status.raw()),
        status_name: response.status.name().map(str::to_owned),
        ..Decoded::default()
    }
}

fn record_as_vector(record: &FeedbackRecord) -> Decoded {
    Decoded { token: Some(record.token.to_vec()), timestamp: Some(record.timestamp.as_secs()), ..Decoded::default() }
}

fn notification_error_as_vector(error: &NotificationError) -> ExpectedError {
    let mut needed = None;
    let kind = match error.kind {
        NotificationErrorKind::Truncated { needed_total } => {
            needed = Some(needed_total);
            "truncated"
        }
        NotificationErrorKind::UnknownCommand { .. } => "unknown_command",
        NotificationErrorKind::TrailingBytes => "trailing_bytes",
        NotificationErrorKind::TrailingBytesInFrame => "trailing_bytes_in_frame",
        NotificationErrorKind::FrameTooLong { .. } => "frame_too_long",
        NotificationErrorKind::ItemLengthOverrun { .. } => "item_length_overrun",
        NotificationErrorKind::UnknownItemId => "unknown_item_id",
        NotificationErrorKind::DuplicateItem => "duplicate_item",
        NotificationErrorKind::MissingItem => "missing_item",
        NotificationErrorKind::BadItemLength { .. } => "bad_item_length",
        NotificationErrorKind::ZeroLengthToken => "zero_length_token",
        NotificationErrorKind::TokenTooLong { .. } => "token_too_long",
        NotificationErrorKind::ZeroLengthPayload => "zero_length_payload",
        NotificationErrorKind::PayloadTooLong { .. } => "payload_too_long",
        NotificationErrorKind::BadPriority { .. } => "bad_priority",
        _ => panic!("a kind without a name: {error}"),
    };
    ExpectedError { kind: kind.to_owned(), offset: error.offset, item_id: error.item_id, needed_total: needed }
}

fn response_error_as_vector(error: &ErrorResponseError) -> ExpectedError {
    let (kind, needed_total) = match error.kind {
        ErrorResponseErrorKind::Truncated { needed_total } => ("truncated", Some(needed_total)),
        ErrorResponseErrorKind::UnknownCommand { .. } => ("unknown_command", None),
        ErrorResponseErrorKind::TrailingBytes => ("trailing_bytes", None),
        _ => panic!("a kind without a name: {error}"),
    };
    ExpectedError { kind: kind.to_owned(), offset: error.offset, item_id: None, needed_total }
}

fn feedback_error_as_vector(error: &FeedbackError) -> ExpectedError {
    let (kind, needed_total) = match error.kind {
        FeedbackErrorKind::Truncated { needed_total } => ("truncated", Some(needed_total)),
        FeedbackErrorKind::ZeroLengthToken => ("zero_length_token", None),
        FeedbackErrorKind::TokenTooLong { .. } => ("token_too_long", None),
        _ => panic!("a kind without a name: {error}"),
    };
    ExpectedError { kind: kind.to_owned(), offset: error.offset, item_id: None, needed_total }
}
