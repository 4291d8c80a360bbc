//! HTTP/2 frames as a peer may write them (RFC 9113 section 6), right and wrong.

use crate::feed::Feed;

/// A frame with any header.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = (payload.len() as u32).to_be_bytes();
    let mut bytes = vec![a, b, c, kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// A field that is written out, without Huffman codes (RFC 7541 section 6.2.2).
fn field(name: &str, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, name.len() as u8];
    bytes.extend_from_slice(name.as_bytes());
    bytes.push(value.len().min(126) as u8);
    bytes.extend_from_slice(&value[..value.len().min(126)]);
    bytes
}

/// The stream that a frame is about: one of the first, now and then 0 or any.
fn stream(feed: &mut Feed<'_>, first: u32) -> u32 {
    match feed.byte() {
        255 => feed.u32(),
        254 => 0,
        number => u32::from(number % 16) * 2 + first,
    }
}

/// What a server says.
pub fn from_server(feed: &mut Feed<'_>) -> Vec<u8> {
    match feed.byte() % 16 {
        0 | 1 => settings(feed),
        2..6 => {
            let status = feed.of(&["200", "400", "403", "410", "429", "500", "503", "100", "999", "x"]);
            let mut block = field(":status", status.as_bytes());
            match feed.byte() % 5 {
                0 => block.extend(field("apns-id", b"eabeca8d-6f2b-4c0f-9a4a-4e2b8a3b6c7d")),
                1 => block.extend(field("retry-after", feed.short())),
                2 => block.extend(field("date", b"Tue, 14 Nov 2023 22:13:20 GMT")),
                3 => block.extend(field(":status", b"200")),
                _ => {}
            }
            let flags = feed.of(&[END_HEADERS | END_STREAM, END_HEADERS, END_STREAM, 0]);
            frame(HEADERS, flags, stream(feed, 1), &block)
        }
        6 | 7 => {
            const BODIES: [&[u8]; 6] = [
                b"{\"reason\":\"BadDeviceToken\"}",
                b"{\"reason\":\"ExpiredProviderToken\"}",
                b"{\"reason\":\"Unregistered\",\"timestamp\":1700000000000}",
                b"{\"reason\":\"Shutdown\"}",
                b"",
                b"{\"reason\":",
            ];
            let body = feed.of(&BODIES);
            let flags = feed.of(&[END_STREAM, 0]);
            frame(DATA, flags, stream(feed, 1), body)
        }
        8 | 9 => {
            let code = feed.of(&[7_u32, 0, 1, 2, 8, 11, 13]);
            frame(RST_STREAM, 0, stream(feed, 1), &code.to_be_bytes())
        }
        10 | 11 => {
            let mut payload = stream(feed, 1).to_be_bytes().to_vec();
            payload.extend_from_slice(&feed.of(&[0_u32, 1, 2, 11]).to_be_bytes());
            payload.extend_from_slice(feed.of(&[
                &b""[..],
                b"{\"reason\":\"Shutdown\"}",
                b"{\"reason\":\"BadCertificate\"}",
            ]));
            frame(GOAWAY, 0, 0, &payload)
        }
        12 => frame(PING, feed.of(&[0, ACK]), 0, feed.take(8)),
        13 => frame(WINDOW_UPDATE, 0, stream(feed, 1), &feed.u32().to_be_bytes()),
        14 => settings_ack(),
        _ => anything(feed),
    }
}

/// What a client says, after its preface.
pub fn from_client(feed: &mut Feed<'_>) -> Vec<u8> {
    match feed.byte() % 12 {
        0 => settings(feed),
        1..5 => {
            let mut block = field(":method", feed.of(&["POST", "GET"]).as_bytes());
            block.extend(field(":scheme", b"https"));
            block.extend(field(":path", feed.of(&[&b"/3/device/00fc13adff785122b4ad28809a34"[..], b"/", b""])));
            block.extend(field(":authority", b"api.push.apple.com"));
            if feed.flag() {
                block.extend(field("apns-topic", feed.short()));
            }
            let flags = feed.of(&[END_HEADERS | END_STREAM, END_HEADERS, 0]);
            frame(HEADERS, flags, stream(feed, 1), &block)
        }
        5 | 6 => frame(DATA, feed.of(&[END_STREAM, 0]), stream(feed, 1), feed.short()),
        7 => frame(RST_STREAM, 0, stream(feed, 1), &feed.of(&[8_u32, 0, 7]).to_be_bytes()),
        8 => frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, feed.byte()]),
        9 => frame(PING, feed.of(&[0, ACK]), 0, feed.take(8)),
        10 => settings_ack(),
        _ => anything(feed),
    }
}

pub fn settings(feed: &mut Feed<'_>) -> Vec<u8> {
    let mut payload = Vec::new();
    for _ in 0..feed.below(4) {
        let name = feed.of(&[3_u16, 1, 2, 4, 5, 6, 8, 99]);
        let value = match feed.byte() % 4 {
            0 => u32::from(feed.byte()),
            1 => 65_535,
            2 => 16_384,
            _ => feed.u32(),
        };
        payload.extend_from_slice(&name.to_be_bytes());
        payload.extend_from_slice(&value.to_be_bytes());
    }
    frame(SETTINGS, 0, 0, &payload)
}

/// A thousand streams, and the acknowledgement of the client's.
pub fn settings_of_a_service() -> Vec<u8> {
    let mut bytes = frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 3, 0xe8]);
    bytes.extend(settings_ack());
    bytes
}

pub fn settings_ack() -> Vec<u8> {
    frame(SETTINGS, ACK, 0, &[])
}

/// Any header with any payload.
fn anything(feed: &mut Feed<'_>) -> Vec<u8> {
    let (kind, flags, stream) = (feed.byte(), feed.byte(), stream(feed, 1));
    frame(kind, flags, stream, feed.short())
}
