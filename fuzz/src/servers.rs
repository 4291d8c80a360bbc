//! The other sides, which read what any client may write.

use std::time::Duration;

use apns_proto::binary::server::{GatewayEvent, GatewayServer, Judge, Verdict as GatewayVerdict};
use apns_proto::binary::{DecodedNotification, Limits, Status};
use apns_proto::{End, Machine, Now, Transmit};
use apns_sim::machine::{
    Answer, ProviderEvent, ProviderRequest, ProviderServer, ServerConfig, Step, Verdict as ProviderVerdict,
};
use bytes::{Bytes, BytesMut};

use crate::clock::{Undisturbed, after, start};
use crate::feed::Feed;
use crate::frames;

/// Takes a server through any input to its end. Gives what it said.
fn drive<M: Machine>(
    machine: &mut M,
    feed: &mut Feed<'_>,
    split: usize,
    next: impl Fn(&mut Feed<'_>) -> Vec<u8>,
    mut event: impl FnMut(M::Event),
) -> BytesMut {
    let mut now = start();
    let mut out = BytesMut::new();
    let mut over = false;
    while !feed.is_empty() {
        match feed.byte() % 8 {
            0..5 => next(feed).chunks(split).for_each(|piece| machine.handle_input(now, piece)),
            5 => {
                now = after(now, Duration::from_millis(u64::from(feed.byte()) * 20));
                machine.handle_timeout(now);
            }
            6 => {
                over |= machine.poll_transmit(now, &mut out) == Transmit::Shutdown;
            }
            _ => {
                if feed.byte() < 16 {
                    machine.handle_end(now, feed.of(&[End::Clean, End::Cut]));
                }
            }
        }
        while let Some(told) = machine.poll_event() {
            event(told);
        }
    }
    machine.handle_end(now, End::Clean);
    for _ in 0..10_000 {
        if over {
            while let Some(told) = machine.poll_event() {
                event(told);
            }
            assert_eq!(machine.poll_timeout(), None, "a closed machine waits for nothing");
            return out;
        }
        over = machine.poll_transmit(now, &mut out) == Transmit::Shutdown;
        while let Some(told) = machine.poll_event() {
            event(told);
        }
        if let Some(due) = machine.poll_timeout() {
            now = after(now, due.saturating_duration_since(now.instant));
            machine.handle_timeout(now);
        }
    }
    panic!("it does not end");
}

struct Clerk;

impl Judge for Clerk {
    fn judge(&mut self, _now: Now, notification: &DecodedNotification) -> GatewayVerdict {
        let after = Duration::from_millis(u64::from(notification.token[0]));
        match notification.token[0] % 16 {
            1 => GatewayVerdict::refuse(Status::INVALID_TOKEN),
            2 => GatewayVerdict::Refuse { status: Status::INVALID_TOKEN, identifier: Some(7), after },
            3 => GatewayVerdict::AcceptAndShutDown { after },
            4 => GatewayVerdict::Close,
            5 => GatewayVerdict::AcceptAndClose,
            6 => GatewayVerdict::FallSilent,
            _ => GatewayVerdict::Accept,
        }
    }
}

fn gateway(data: &[u8], split: usize) -> (Vec<GatewayEvent>, BytesMut) {
    let mut machine = GatewayServer::new(Clerk, Limits::default());
    let mut events = Vec::new();
    let out =
        drive(&mut machine, &mut Feed::new(data), split, |feed| feed.short().to_vec(), |event| events.push(event));
    let ends = events.iter().filter(|event| matches!(event, GatewayEvent::Closed(_))).count();
    assert!(ends == 1 && matches!(events.last(), Some(GatewayEvent::Closed(_))), "{events:?}");
    assert!(machine.is_closed());
    (events, out)
}

fn judge(_now: Now, request: &ProviderRequest) -> ProviderVerdict {
    let topic = request.header("apns-topic").unwrap_or_default();
    let (kind, wait) =
        (topic.first().copied().unwrap_or(0), Duration::from_millis(u64::from(topic.get(1).copied().unwrap_or(0))));
    match kind % 12 {
        1 => ProviderVerdict::answer(Answer::refusal(400, "BadDeviceToken")).after(wait),
        2 => ProviderVerdict::reset(7).after(wait),
        3 => ProviderVerdict::silence(),
        4 => ProviderVerdict::close().after(wait),
        5 => ProviderVerdict::answer(Answer::new(200)).then(Step::GoAway {
            last_stream: None,
            code: 0,
            debug: Bytes::new(),
        }),
        6 => ProviderVerdict::answer(Answer::new(200)).then(Step::StreamLimit(1)),
        7 => ProviderVerdict::answer(Answer::new(200).with_header("\n", &b"\0"[..]).with_body(vec![b'x'; 100_000])),
        8 => ProviderVerdict::answer(Answer::new(999)).then(Step::Reset { code: 2 }).then(Step::Ping(*b"12345678")),
        9 => ProviderVerdict::answer(Answer::new(200)).then(Step::Inject(Bytes::copy_from_slice(topic))),
        _ => ProviderVerdict::answer(Answer::new(200)).after(wait),
    }
}

fn provider(data: &[u8], split: usize) -> usize {
    let mut machine = ProviderServer::new(judge, &ServerConfig::default());
    let mut feed = Feed::new(data);
    if !feed.byte().is_multiple_of(8) {
        machine.handle_input(start(), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    }
    let (mut received, mut ended) = (0, false);
    drive(
        &mut machine,
        &mut feed,
        split,
        |feed| {
            if feed.byte() % 8 == 0 { feed.short().to_vec() } else { frames::from_client(feed) }
        },
        |event| {
            assert!(!ended, "{event:?} follows the end");
            match event {
                ProviderEvent::Received { .. } => received += 1,
                ProviderEvent::Closed(_) => ended = true,
                _ => {}
            }
        },
    );
    assert!(ended && machine.is_closed());
    received
}

/// Input for a gateway, or for a provider API.
pub fn servers(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    if kind & 1 == 0 {
        assert_eq!(gateway(data, 1), gateway(data, usize::MAX));
    } else {
        let undisturbed = Undisturbed::begin();
        let (pieces, whole) = (provider(data, 1), provider(data, usize::MAX));
        assert!(pieces == whole || !undisturbed.lasts(), "{pieces} requests were read in pieces, {whole} at once");
    }
}
