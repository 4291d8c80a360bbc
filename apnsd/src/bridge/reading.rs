//! From bytes to what can be stored.

use std::time::Instant;

use apns_proto::binary::{DecodedNotification, Limits, NotificationDecoder, Status};
use apns_proto::{DeviceToken, Expiration, Notification, Payload, Priority, PushType, Topic, WallTime};
use ring::digest::{Context, SHA256};
use std::sync::Arc;

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
        let limits = Limits::FROM_2014.with_payload_max(max_payload);
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
            // The one thing that a payload does not tell, and that the topics of old certificates do.
            if topic.as_str().ends_with(".voip") {
                notification = notification.with_push_type(PushType::Voip);
            }
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
