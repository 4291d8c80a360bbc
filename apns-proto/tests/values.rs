//! Any notification that can be made arrives as it was made, over either protocol and however the bytes are split; and in
//! any batch exactly the bad ones are refused. What fails is shrunk to the smallest batch that does.

#![cfg(all(feature = "http2", feature = "server"))]
#![allow(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

mod pretend;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use apns_proto::binary::server::{GatewayServer, Judge, Verdict as GatewayVerdict};
use apns_proto::binary::{Client, Config, DecodedNotification, Format, Limits};
use apns_proto::http2::{Credential, ProviderApi};
use apns_proto::{
    Connection, DeviceToken, Expiration, Machine, Notification, Now, Outcome, Payload, Priority, Proof, PushType,
    Rejection, SessionConfig, Submission, Topic, Transmit, WallTime,
};
use apns_sim::machine::{Answer, ProviderRequest, ProviderServer, ServerConfig, Verdict};
use bytes::BytesMut;
use pretend::world::{Dialled, Wire, World};
use pretend::{WALL, ms, notification, start};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

fn tokens() -> impl Strategy<Value = DeviceToken> {
    let bytes = prop_oneof![4 => vec(any::<u8>(), 32), 1 => vec(any::<u8>(), 1..=100)];
    bytes.prop_map(|bytes| DeviceToken::from_bytes(bytes).unwrap())
}

/// Texts with everything that JSON, UTF-8 and grapheme clusters know.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "(\\PC|[\"\\\\\n\u{0}\u{7f}]|👩🏽‍🚀|🇩🇪|\u{301}|\u{2028}|𝄞){0,20}"]
}

fn payloads() -> impl Strategy<Value = Payload> {
    let parts = (texts(), proptest::option::of(texts()), proptest::option::of(any::<u32>()), texts(), texts());
    parts.prop_filter_map("too long for the binary protocol", |(body, title, badge, key, value)| {
        let mut builder = Payload::builder().body(body);
        if let Some(title) = title {
            builder = builder.title(title);
        }
        if let Some(badge) = badge {
            builder = builder.badge(badge);
        }
        if key != "aps" {
            builder = builder.custom(key, value);
        }
        let payload = builder.build().unwrap();
        (payload.size() <= 2048).then_some(payload)
    })
}

/// None of them has passed when pretend time begins.
fn expirations() -> impl Strategy<Value = Expiration> {
    prop_oneof![
        Just(Expiration::Omitted),
        Just(Expiration::Immediately),
        (1_u64..u64::from(u32::MAX) - WALL).prop_map(|seconds| Expiration::At(WallTime::from_secs(WALL + seconds))),
        (1_u64..100_000_000).prop_map(|seconds| Expiration::After(Duration::from_secs(seconds))),
    ]
}

fn notifications() -> impl Strategy<Value = Notification> {
    let priority = prop_oneof![Just(None), Just(Some(Priority::Immediate)), Just(Some(Priority::PowerSaving))];
    (tokens(), payloads(), expirations(), priority).prop_map(|(token, payload, expiration, priority)| {
        let made = Notification::new(token, payload).with_expiration(expiration);
        match priority {
            Some(priority) => made.with_priority(priority),
            None => made,
        }
    })
}

/// Sizes of the pieces that a stream is cut into, again and again.
fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![Just(vec![1]), Just(vec![usize::MAX]), vec(1_usize..100, 1..4)]
}

fn in_pieces(bytes: &[u8], sizes: &[usize], mut take: impl FnMut(&[u8])) {
    let mut rest = bytes;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            return;
        }
        let (piece, behind) = rest.split_at((*size).min(rest.len()));
        take(piece);
        rest = behind;
    }
}

#[derive(Default)]
struct Keeper(Rc<RefCell<Vec<DecodedNotification>>>);

impl Judge for Keeper {
    fn judge(&mut self, _now: Now, notification: &DecodedNotification) -> GatewayVerdict {
        self.0.borrow_mut().push(notification.clone());
        GatewayVerdict::Accept
    }
}

/// Some of what a request says: path, expiration, priority, body.
type Read = (String, Option<String>, Option<String>, Vec<u8>);

fn read(request: &ProviderRequest) -> Read {
    let text = |name| request.header(name).map(|value| String::from_utf8(value.to_vec()).unwrap());
    (request.path().to_owned(), text("apns-expiration"), text("apns-priority"), request.body().to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_batch_arrives_at_a_gateway_as_it_was_made(batch in vec(notifications(), 0..30), sizes in sizes()) {
        for format in [Format::Simple, Format::Enhanced, Format::Items] {
            let now = start();
            let mut client: Client<usize> = Client::new(Config::default().with_format(format), now);
            for (key, one) in batch.iter().enumerate() {
                client.submit(now, Submission::new(key, one.clone())).unwrap();
            }
            let keeper = Keeper::default();
            let arrived = keeper.0.clone();
            let mut server = GatewayServer::new(keeper, Limits::default());
            let mut out = BytesMut::new();
            while client.poll_transmit(now, &mut out) == Transmit::Ready {
                in_pieces(&out, &sizes, |piece| server.handle_input(now, piece));
                out.clear();
            }
            let arrived = arrived.borrow();
            prop_assert_eq!(arrived.len(), batch.len());
            for (place, (got, sent)) in arrived.iter().zip(&batch).enumerate() {
                prop_assert_eq!(&got.token[..], sent.token().as_bytes());
                prop_assert_eq!(&got.payload[..], sent.payload().as_bytes());
                let seconds = sent.expiration().seconds(now.wall);
                let priority = sent.priority().map(Priority::number);
                let number = place as u32 + 1;
                let expected = match format {
                    Format::Simple => (None, None, None),
                    Format::Enhanced => (Some(number), Some(seconds.unwrap_or(0)), None),
                    Format::Items => (Some(number), seconds, priority),
                };
                prop_assert_eq!((got.identifier, got.expiration, got.priority), expected);
            }
        }
    }

    #[test]
    fn a_batch_arrives_at_the_provider_api_as_it_was_made(batch in vec(notifications(), 0..30), sizes in sizes()) {
        let now = start();
        let api = ProviderApi::new("api.push.apple.com", Credential::Certificate).unwrap();
        let mut client = api.with_topic(Topic::new("com.example.app").unwrap()).connect(now);
        let arrived = Rc::new(RefCell::new(Vec::new()));
        let mut server = {
            let arrived = arrived.clone();
            let judge = move |_: Now, request: &ProviderRequest| {
                arrived.borrow_mut().push(read(request));
                Verdict::answer(Answer::new(200))
            };
            ProviderServer::new(judge, &ServerConfig::default())
        };
        let mut waiting = batch.iter().cloned().enumerate();
        let (mut accepted, mut out) = (0, BytesMut::new());
        while accepted < batch.len() {
            while client.has_room() {
                let Some((key, one)) = waiting.next() else { break };
                client.submit(now, Submission::new(key, one)).unwrap();
            }
            out.clear();
            let _ = client.poll_transmit(now, &mut out);
            in_pieces(&out, &sizes, |piece| server.handle_input(now, piece));
            while server.poll_event().is_some() {}
            out.clear();
            let _ = server.poll_transmit(now, &mut out);
            in_pieces(&out, &sizes, |piece| client.handle_input(now, piece));
            while let Some(event) = client.poll_event() {
                if let apns_proto::ConnectionEvent::Settled(settled) = event {
                    prop_assert!(settled.outcome.is_accepted(), "{:?}", settled);
                    accepted += 1;
                }
            }
        }
        let arrived = arrived.borrow();
        prop_assert_eq!(arrived.len(), batch.len());
        for (got, sent) in arrived.iter().zip(&batch) {
            let background = sent.payload().inferred_push_type() == Some(PushType::Background);
            let priority = if background { Some(5) } else { sent.priority().map(Priority::number) };
            let expected: Read = (
                format!("/3/device/{}", sent.token().hex()),
                sent.expiration().seconds(now.wall).map(|seconds| seconds.to_string()),
                priority.map(|priority| priority.to_string()),
                sent.payload().as_bytes().to_vec(),
            );
            prop_assert_eq!(got, &expected);
        }
    }

    /// However many are bad, and with what: these are refused, each once and with its own status, and the others taken,
    /// each once.
    #[test]
    fn in_any_batch_exactly_the_bad_ones_are_refused(
        total in 0_u32..60,
        bad in btree_map(0_u32..60, prop_oneof![Just(1_u8), Just(5), Just(7), Just(8), Just(128), Just(255)], 0..12),
        window in prop_oneof![Just(1_usize), Just(3), Just(100_000)],
        piece in prop_oneof![Just(1_usize), Just(50), Just(usize::MAX)],
    ) {
        let config = Config::default().with_window_count(window);
        let wire = Wire { piece, ..Wire::default() };
        let mut world =
            World::new(config, SessionConfig::default(), move |_, _| Dialled::Open(ms(1), Box::new(wire.clone())));
        for (number, status) in &bad {
            world.is_bad(*number, *status);
        }
        for number in 0..total {
            world.want(number, notification(number));
        }
        world.at(Duration::from_secs(1_000), pretend::world::Happening::Close(None));
        world.run();
        let truth = world.truth.borrow();
        let ended: BTreeMap<u32, &Outcome> = (world.outcomes.iter())
            .map(|(number, outcomes)| {
                assert_eq!(outcomes.len(), 1, "{number} ends once");
                (*number, &outcomes[0].outcome)
            })
            .collect();
        prop_assert_eq!(ended.len(), total as usize);
        for (number, outcome) in ended {
            let taken = truth.accepted.get(&number).copied().unwrap_or(0);
            match (bad.get(&number), outcome) {
                (None, Outcome::Accepted { proof: Proof::Confirmed | Proof::Presumed, .. }) => prop_assert_eq!(taken, 1),
                (Some(status), Outcome::Rejected(Rejection::Gateway(told))) => {
                    prop_assert_eq!((told.raw(), taken), (*status, 0));
                }
                (wanted, told) => prop_assert!(false, "{} was to be refused with {:?} and is {:?}", number, wanted, told),
            }
        }
    }
}
