//! From bytes to what can be stored.

use std::sync::Arc;
use std::time::Instant;

use apns_proto::binary::{DecodedNotification, Limits, NotificationDecoder, Status};
use apns_proto::{DeviceToken, Expiration, Notification, Payload, Priority, Topic, WallTime};
use ring::digest::{Context, SHA256};

use super::clients::Client;
use super::resend::Likeness;
use super::status::{bad_payload, malformed};
use super::taken::Taken;

/// Something that came, in its place.
#[derive(Debug)]
pub(super) struct Arrival {
    /// What an error response would name.
    pub(super) identifier: Option<u32>,
    pub(super) what: What,
}

/// What it is.
#[derive(Debug)]
pub(super) enum What {
    /// To be stored.
    New(Likeness, Notification),
    /// Taken on an earlier connection, and sent again.
    Again(Arc<Taken>),
    /// Not to be taken. Nothing behind it is read.
    Refused(Status),
}

/// The longest frame that is read, so that the largest payload that its item can have is still refused by name.
const LONGEST_FRAME: usize = 64 * 1024 + 1024;

/// Reads one connection.
#[derive(Debug)]
pub(super) struct Reading {
    decoder: NotificationDecoder,
    /// Of every notification: what the client's certificate says, for an app without a topic.
    topic: Option<Topic>,
    over: bool,
}

impl Reading {
    pub(super) fn new(max_payload: u16, topic: Option<Topic>) -> Self {
        let limits = Limits::FROM_2014.with_payload_max(max_payload).with_longest_frame(LONGEST_FRAME);
        Self { decoder: NotificationDecoder::new(limits), topic, over: false }
    }

    /// Nothing that comes is looked at any more.
    pub(super) fn end(&mut self) {
        self.over = true;
    }

    /// Takes all of `bytes`, and appends what was whole by now.
    pub(super) fn read(&mut self, now: Instant, mut bytes: &[u8], client: &Client, out: &mut impl Extend<Arrival>) {
        while !self.over {
            let arrival = match self.decoder.decode(&mut bytes) {
                Ok(None) => return,
                Ok(Some(decoded)) => {
                    let identifier = decoded.identifier;
                    let what = match self.notification(&decoded) {
                        Ok(notification) => {
                            let likeness = likeness(&decoded);
                            match client.recall(now, &likeness) {
                                Some(taken) => What::Again(taken),
                                None => What::New(likeness, notification),
                            }
                        }
                        Err(status) => What::Refused(status),
                    };
                    Arrival { identifier, what }
                }
                Err(error) => Arrival { identifier: error.identifier, what: What::Refused(malformed(&error)) },
            };
            self.over = matches!(arrival.what, What::Refused(_));
            out.extend([arrival]);
        }
    }

    fn notification(&self, decoded: &DecodedNotification) -> Result<Notification, Status> {
        let token = DeviceToken::from_bytes(&decoded.token).map_err(|_| Status::INVALID_TOKEN_SIZE)?;
        let payload = Payload::from_json(decoded.payload.clone()).map_err(|error| bad_payload(&error))?;
        let mut notification = Notification::new(token, payload);
        if let Some(seconds) = decoded.expiration {
            notification = notification.with_expiration(match seconds {
                0 => Expiration::Immediately,
                seconds => Expiration::At(WallTime::from_secs(seconds.into())),
            });
        }
        if let Some(number) = decoded.priority {
            notification = notification.with_priority(Priority::from_number(number).ok_or(Status::PROTOCOL_ERROR)?);
        }
        if let Some(topic) = &self.topic {
            notification = notification.with_topic(topic.clone());
        }
        Ok(notification)
    }
}

/// Token, payload and expiration. The app is the client's.
fn likeness(decoded: &DecodedNotification) -> Likeness {
    let mut digest = Context::new(&SHA256);
    // Lengths first, so that nothing can move from one part to the next.
    digest.update(&(decoded.token.len() as u64).to_be_bytes());
    digest.update(&decoded.token);
    digest.update(&(decoded.payload.len() as u64).to_be_bytes());
    digest.update(&decoded.payload);
    match decoded.expiration {
        None => digest.update(&[0]),
        Some(seconds) => {
            digest.update(&[1]);
            digest.update(&seconds.to_be_bytes());
        }
    }
    let mut likeness = [0; 32];
    likeness.copy_from_slice(digest.finish().as_ref());
    likeness
}

#[cfg(test)]
mod tests {
    use apns_proto::binary::{Format, Frame, encode};
    use bytes::BytesMut;

    use super::*;
    use crate::bridge::clients::{Admitted, Clients};

    fn read(topic: Option<&str>, chunk: usize, bytes: &[u8]) -> Vec<Arrival> {
        let admitted = Admitted { app: "shop".parse().unwrap(), environment: None, topic: None, fingerprint: [0; 32] };
        let now = Instant::now();
        let client = Clients::default().enter(now, admitted);
        let mut reading = Reading::new(2048, topic.map(|topic| Topic::new(topic).unwrap()));
        let mut arrivals = Vec::new();
        for bytes in bytes.chunks(chunk) {
            reading.read(now, bytes, &client, &mut arrivals);
        }
        arrivals
    }

    fn stream() -> BytesMut {
        let mut out = BytesMut::new();
        for (identifier, expiration) in [(1, None), (2, Some(0)), (3, Some(9))] {
            let (format, token, payload) = (Format::Items, &b"secret token"[..], &b"{\"secret\":\"text\"}"[..]);
            encode(&Frame { format, identifier, expiration, priority: Some(5), token, payload }, &mut out).unwrap();
        }
        out
    }

    #[test]
    fn however_it_is_split_the_same_is_read_and_nothing_behind_a_fault() {
        let mut bytes = stream();
        bytes.extend_from_slice(&[7]);
        bytes.extend_from_slice(&stream());
        for chunk in [1, 7, bytes.len()] {
            let arrivals = read(None, chunk, &bytes);
            let identifiers: Vec<_> = arrivals.iter().map(|arrival| arrival.identifier).collect();
            assert_eq!(identifiers, [Some(1), Some(2), Some(3), None]);
            assert!(matches!(arrivals[3].what, What::Refused(Status::PROTOCOL_ERROR)));
        }
    }

    #[test]
    fn the_expiration_makes_a_difference_and_the_topic_of_the_certificate_is_kept() {
        let likeness = |arrival: &Arrival| match &arrival.what {
            What::New(likeness, _) => *likeness,
            what => panic!("{what:?}"),
        };
        let arrivals = read(Some("com.example.app.voip"), 1000, &stream());
        let all: std::collections::BTreeSet<_> = arrivals.iter().map(likeness).collect();
        assert_eq!(all.len(), 3);
        let What::New(_, notification) = &arrivals[0].what else { panic!("it is new") };
        assert_eq!(notification.topic().map(Topic::as_str), Some("com.example.app.voip"));
    }

    #[test]
    fn nothing_of_what_came_is_shown() {
        let shown = format!("{:?}", read(None, 1000, &stream()));
        let hex: String = b"secret token".iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!shown.contains("secret") && !shown.contains(&hex) && !shown.contains("115, 101"), "{shown}");
    }
}
