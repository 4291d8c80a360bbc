//! Broadcasts and channels, client against server in memory and in pretend time.

#![cfg(all(feature = "http2", feature = "server"))]
#![allow(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use apns_proto::http2::{
    Ask, Broadcast, BundleId, ChannelAnswer, ChannelId, ChannelRequest, ChannelStorage, Config, Credential, KeyId,
    NoResponse, ProviderApi, RequestClient, RequestEvent, Response, SigningKey, SigningSource, TeamId, TokenSource,
};
use apns_proto::{CloseReason, End, Machine, Now, Payload, Transmit, UnknownCause};
use apns_sim::machine::{Answer, ProviderRequest, ProviderServer, ServerConfig, Step, Verdict};
use bytes::{Bytes, BytesMut};
use world::{SPLITS, refuse, seconds, start};

type Judged = Box<dyn FnMut(Now, &ProviderRequest) -> Verdict>;

/// A client and a service, with a perfect network between them.
struct Pair {
    client: RequestClient<u32>,
    server: ProviderServer<Judged>,
    split: usize,
    now: Now,
    ended: BTreeMap<u32, Result<Response, NoResponse>>,
    closed: Option<CloseReason>,
}

impl Pair {
    fn new(api: &ProviderApi, judge: impl FnMut(Now, &ProviderRequest) -> Verdict + 'static) -> Self {
        let now = start();
        Self {
            client: api.connect_requests(now),
            server: ProviderServer::new(Box::new(judge), &ServerConfig::default()),
            split: usize::MAX,
            now,
            ended: BTreeMap::new(),
            closed: None,
        }
    }

    fn split(mut self, split: usize) -> Self {
        self.split = split;
        self
    }

    fn ask(&mut self, key: u32, ask: Ask) {
        self.client.ask(self.now, key, ask);
        self.run();
    }

    fn run(&mut self) {
        let mut moved = true;
        while moved {
            let mut out = BytesMut::new();
            moved = self.client.poll_transmit(self.now, &mut out) == Transmit::Ready;
            out.chunks(self.split).for_each(|piece| self.server.handle_input(self.now, piece));
            out.clear();
            let transmit = self.server.poll_transmit(self.now, &mut out);
            moved |= !out.is_empty();
            out.chunks(self.split).for_each(|piece| self.client.handle_input(self.now, piece));
            if transmit == Transmit::Shutdown {
                self.client.handle_end(self.now, End::Clean);
            }
            while let Some(event) = self.client.poll_event() {
                assert_eq!(self.closed, None, "{event:?} follows the end");
                match event {
                    RequestEvent::Ended { key, result } => {
                        assert_eq!(self.ended.insert(key, result), None, "{key} ended twice");
                    }
                    RequestEvent::Closed(reason) => self.closed = Some(reason),
                    _ => {}
                }
            }
        }
    }

    fn pass(&mut self, span: Duration) {
        let end = self.now.instant + span;
        loop {
            let next = [self.client.poll_timeout(), self.server.poll_timeout()].into_iter().flatten().min();
            let stop = next.unwrap_or(end).min(end).max(self.now.instant);
            let step = stop - self.now.instant;
            self.now = Now::new(stop, self.now.wall.saturating_add(step));
            self.client.handle_timeout(self.now);
            self.server.handle_timeout(self.now);
            self.run();
            if next.is_none_or(|next| next > end) {
                return;
            }
        }
    }

    fn response(&self, key: u32) -> Response {
        self.ended[&key].clone().unwrap()
    }
}

fn api() -> ProviderApi {
    ProviderApi::new("api-manage-broadcast.push.apple.com:2196", Credential::Certificate).unwrap()
}

fn bundle_id() -> BundleId {
    BundleId::new("com.example.app").unwrap()
}

fn channel(request: ChannelRequest) -> Ask {
    Ask::Channel { bundle_id: bundle_id(), request, id: None }
}

fn list() -> Ask {
    channel(ChannelRequest::List)
}

fn broadcast() -> Ask {
    let channel = ChannelId::new("dHN0LXNyY2gtY2hubA==").unwrap();
    Ask::Broadcast(Broadcast::new(bundle_id(), channel, Payload::alert("Tea is ready")))
}

fn channels(_: Now, request: &ProviderRequest) -> Verdict {
    assert_eq!(request.authority(), Some("api-manage-broadcast.push.apple.com:2196"));
    match (request.method(), request.path()) {
        ("POST", "/1/apps/com.example.app/channels") => {
            assert_eq!(request.body(), r#"{"message-storage-policy":1,"push-type":"LiveActivity"}"#);
            Verdict::answer(Answer::new(201).with_header("apns-channel-id", "dHN0LXNyY2gtY2hubA=="))
        }
        ("GET", "/1/apps/com.example.app/all-channels") => {
            assert!(request.body().is_empty());
            Verdict::answer(Answer::new(200).with_body(r#"{"channels":["dHN0LXNyY2gtY2hubA=="]}"#))
        }
        ("GET", _) => {
            assert_eq!(request.header("apns-channel-id"), Some(&b"dHN0LXNyY2gtY2hubA=="[..]));
            refuse(400, "ChannelNotRegistered")
        }
        ("DELETE", _) => Verdict::answer(Answer::new(204)),
        _ => refuse(404, "BadPath"),
    }
}

#[test]
fn b103_channels_are_made_listed_read_and_deleted() {
    for split in SPLITS {
        let mut pair = Pair::new(&api(), channels).split(split);
        let create = ChannelRequest::Create { storage: ChannelStorage::Latest };
        pair.ask(1, channel(create.clone()));
        let Ok(ChannelAnswer::Created(id)) = create.answer(pair.response(1)) else { panic!("{:?}", pair.ended) };
        pair.ask(2, list());
        assert_eq!(ChannelRequest::List.answer(pair.response(2)), Ok(ChannelAnswer::Channels(vec![id.clone()])));
        let read = ChannelRequest::Read(id.clone());
        pair.ask(3, channel(read.clone()));
        assert!(read.answer(pair.response(3)).unwrap_err().to_string().contains("ChannelNotRegistered"));
        let delete = ChannelRequest::Delete(id);
        pair.ask(4, channel(delete.clone()));
        assert_eq!(delete.answer(pair.response(4)), Ok(ChannelAnswer::Deleted));
        assert_eq!(pair.closed, None);
        pair.client.finish();
        pair.run();
        assert_eq!(pair.closed, Some(CloseReason::Finished));
    }
}

#[test]
fn a_list_of_ten_thousand_channels_arrives_whole() {
    let ids: Vec<String> = (0..10_000).map(|id| format!("\"dHN0LXNyY2gtY2hubA{id:06}\"")).collect();
    let body = format!(r#"{{"channels":[{}]}}"#, ids.join(","));
    let mut pair = Pair::new(&api(), move |_, _| Verdict::answer(Answer::new(200).with_body(body.clone())));
    pair.ask(1, list());
    let Ok(ChannelAnswer::Channels(found)) = ChannelRequest::List.answer(pair.response(1)) else { panic!("a list") };
    assert_eq!(found.len(), 10_000);
}

#[test]
fn a_broadcast_is_answered() {
    let mut pair = Pair::new(&api(), |_, request| {
        assert_eq!((request.method(), request.path()), ("POST", "/4/broadcasts/apps/com.example.app"));
        assert_eq!(request.header("apns-push-type"), Some(&b"liveactivity"[..]));
        Verdict::answer(Answer::new(200).with_header("apns-request-id", "eabeca8d-6f2b-4c0f-9a4a-4e2b8a3b6c7d"))
    });
    pair.ask(1, broadcast());
    assert!(pair.response(1).is_success() && pair.response(1).request_id().is_some());
}

#[test]
fn what_goes_unanswered_ends_in_one_of_three_ways() {
    let mut first = true;
    let mut pair = Pair::new(&api().with_config(Config::default().with_max_streams(3)), move |_, _| {
        if std::mem::take(&mut first) { Verdict::answer(Answer::new(200)) } else { Verdict::silence() }
    });
    // With the first answer the credential is taken.
    pair.ask(0, list());
    assert_eq!(pair.ended.remove(&0).map(|answer| answer.is_ok()), Some(true));
    for key in 1..=4 {
        pair.ask(key, broadcast());
    }
    let go_away =
        Step::GoAway { last_stream: Some(5), code: 0, debug: Bytes::from_static(br#"{"reason":"Shutdown"}"#) };
    pair.server.perform(pair.now, go_away);
    pair.run();
    assert_eq!(pair.ended.len(), 2);
    assert!(pair.ended[&3].clone().unwrap_err().to_string().contains("not processed"));
    assert_eq!(pair.ended[&4], Err(NoResponse::NotProcessed("the service is going away: Shutdown".into())));
    pair.ask(5, broadcast());
    assert!(matches!(pair.ended[&5], Err(NoResponse::NotProcessed(_))), "after the end of taking");
    pair.client.handle_end(pair.now, End::Cut);
    pair.run();
    let reason = CloseReason::GoAway { reason: Some("Shutdown".into()), code: 0, fatal: false };
    let lost = Err(NoResponse::Unknown(UnknownCause::ConnectionLost(reason.to_string().into())));
    assert_eq!((&pair.ended[&1], &pair.ended[&2]), (&lost, &lost));
    assert_eq!(pair.closed, Some(reason));
}

#[test]
fn every_wait_has_an_end() {
    let mut pair = Pair::new(&api().with_config(Config::default().with_max_streams(1)), |_, _| Verdict::silence());
    pair.ask(1, list());
    pair.ask(2, list());
    pair.pass(seconds(29));
    assert!(pair.ended.is_empty());
    pair.pass(seconds(1));
    assert_eq!(pair.ended[&1], Err(NoResponse::Unknown(UnknownCause::NoAnswer)));
    assert!(matches!(pair.ended[&2], Err(NoResponse::NotProcessed(_))));
    assert_eq!(pair.client.unsettled(), 0);
    pair.client.close(pair.now);
    pair.run();
    assert_eq!(pair.closed, Some(CloseReason::ClosedHere));

    // A peer that never says a word.
    let now = start();
    let mut client = api().connect_requests::<u32>(now);
    client.ask(now, 1, list());
    let later = Now::new(client.poll_timeout().unwrap(), now.wall);
    assert_eq!(later.instant - now.instant, seconds(10));
    client.handle_timeout(later);
    assert!(matches!(client.poll_event(), Some(RequestEvent::Retired)));
    let Some(RequestEvent::Ended { key: 1, result: Err(NoResponse::NotProcessed(_)) }) = client.poll_event() else {
        panic!("it never left")
    };
    assert_eq!(client.poll_event(), Some(RequestEvent::Closed(CloseReason::NoAnswer)));
    assert_eq!(client.poll_timeout(), None);
}

#[test]
fn with_a_token_the_first_answer_comes_before_the_second_request() {
    let key = SigningKey::read(include_bytes!("keys/p8.pem")).unwrap();
    let source = SigningSource::new(key, KeyId::new("ABC123DEFG").unwrap(), TeamId::new("DEF123GHIJ").unwrap());
    let source = Arc::new(source);
    let api = ProviderApi::new("api.push.apple.com", Credential::Token(source.clone())).unwrap();
    let mut arrived = 0;
    let mut pair = Pair::new(&api, move |_, request| {
        assert!(request.header("authorization").is_some_and(|value| value.starts_with(b"bearer ")));
        arrived += 1;
        match arrived {
            1 => refuse(400, "BadExpirationDate").after(seconds(1)),
            _ => refuse(403, "ExpiredProviderToken"),
        }
    });
    for key in 1..=3 {
        pair.ask(key, broadcast());
    }
    assert_eq!(pair.server.open_requests(), 1);
    pair.pass(seconds(1));
    assert_eq!(pair.response(1).status(), 400);
    assert_eq!((pair.response(2).status(), pair.response(3).status()), (403, 403));
    let refusal = pair.closed.as_ref().and_then(CloseReason::credential_refusal).expect("the credential is refused");
    assert_eq!(refusal.reason(), Some("ExpiredProviderToken"));
    let renewed = source.token(pair.now).unwrap();
    assert_eq!(renewed.issued_at(), pair.now.wall, "the source knows that the token was refused");
}
