//! Broadcasts and channels, client against server in memory and in pretend time.

#![cfg(all(feature = "http2", feature = "server"))]
#![allow(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use apns_credentials::{SigningKey, SigningSource};
use apns_proto::http2::{
    Broadcast, BundleId, ChannelAnswer, ChannelCall, ChannelId, ChannelRequest, ChannelStorage, Client, Config,
    Credential, Exchange, KeyId, ProviderApi, Response, TeamId, TokenSource,
};
use apns_proto::{
    CloseReason, Connection, ConnectionEvent, End, Fate, Machine, Now, Outcome, Payload, Settled, Submission,
    SubmitError, Transmit, UnknownCause, Unsettled,
};
use apns_sim::machine::{Answer, ProviderRequest, ProviderServer, ServerConfig, Step, Verdict};
use bytes::{Bytes, BytesMut};
use world::{SPLITS, refuse, seconds, start};

type Judged = Box<dyn FnMut(Now, &ProviderRequest) -> Verdict>;

/// A client and a service, with a perfect network between them.
struct Pair<M: Exchange> {
    client: Client<u32, M>,
    server: ProviderServer<Judged>,
    split: usize,
    now: Now,
    settled: BTreeMap<u32, Settled<u32, M>>,
    /// What came back unsettled, and what is known of it.
    returned: BTreeMap<u32, Fate>,
    closed: Option<CloseReason>,
}

impl<M: Exchange> Pair<M> {
    fn new(api: ProviderApi, judge: impl FnMut(Now, &ProviderRequest) -> Verdict + 'static) -> Self {
        let now = start();
        Self {
            client: api.of().connect(now),
            server: ProviderServer::new(Box::new(judge), &ServerConfig::default()),
            split: usize::MAX,
            now,
            settled: BTreeMap::new(),
            returned: BTreeMap::new(),
            closed: None,
        }
    }

    fn split(mut self, split: usize) -> Self {
        self.split = split;
        self
    }

    fn ask(&mut self, key: u32, message: M) {
        self.client.submit(self.now, Submission::new(key, message)).map_err(|refused| refused.cause).unwrap();
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
                    ConnectionEvent::Settled(settled) => self.note_settled(settled),
                    ConnectionEvent::Returned(unsettled) => self.note_returned(unsettled),
                    ConnectionEvent::Closed(closed) => {
                        self.closed = Some(closed.reason);
                        closed.unsettled.into_iter().for_each(|unsettled| self.note_returned(unsettled));
                    }
                    _ => {}
                }
            }
        }
    }

    fn note_settled(&mut self, settled: Settled<u32, M>) {
        let key = settled.key;
        assert!(!self.returned.contains_key(&key), "{key} ended twice");
        assert!(self.settled.insert(key, settled).is_none(), "{key} ended twice");
    }

    fn note_returned(&mut self, Unsettled { submission, fate }: Unsettled<u32, M>) {
        let key = submission.key;
        assert!(!self.settled.contains_key(&key), "{key} ended twice");
        assert!(self.returned.insert(key, fate).is_none(), "{key} ended twice");
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
}

impl Pair<ChannelCall> {
    fn response(&self, key: u32) -> Response {
        *self.settled[&key].answer.clone().unwrap()
    }
}

fn api() -> ProviderApi {
    ProviderApi::new("api-manage-broadcast.push.apple.com:2196", Credential::Certificate).unwrap()
}

fn bundle_id() -> BundleId {
    BundleId::new("com.example.app").unwrap()
}

fn list() -> ChannelCall {
    ChannelRequest::List.of(bundle_id())
}

fn broadcast() -> Broadcast {
    let channel = ChannelId::new("dHN0LXNyY2gtY2hubA==").unwrap();
    Broadcast::new(bundle_id(), channel, Payload::alert("Tea is ready"))
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
        let mut pair = Pair::new(api(), channels).split(split);
        let create = ChannelRequest::Create { storage: ChannelStorage::Latest };
        pair.ask(1, create.clone().of(bundle_id()));
        let Ok(ChannelAnswer::Created(id)) = create.answer(pair.response(1)) else { panic!("{:?}", pair.settled) };
        assert!(pair.settled[&1].outcome.is_accepted(), "201 is a success here");
        pair.ask(2, list());
        assert_eq!(ChannelRequest::List.answer(pair.response(2)), Ok(ChannelAnswer::Channels(vec![id.clone()])));
        let read = ChannelRequest::Read(id.clone());
        pair.ask(3, read.clone().of(bundle_id()));
        assert!(read.answer(pair.response(3)).unwrap_err().to_string().contains("ChannelNotRegistered"));
        let delete = ChannelRequest::Delete(id);
        pair.ask(4, delete.clone().of(bundle_id()));
        assert_eq!(delete.answer(pair.response(4)), Ok(ChannelAnswer::Deleted));
        assert_eq!(pair.closed, None);
        assert!(pair.settled[&4].outcome.is_accepted(), "204 is one as well");
        pair.client.drain(pair.now, None);
        pair.run();
        assert_eq!(pair.closed, Some(CloseReason::Finished));
    }
}

#[test]
fn a_list_of_ten_thousand_channels_arrives_whole() {
    let ids: Vec<String> = (0..10_000).map(|id| format!("\"dHN0LXNyY2gtY2hubA{id:06}\"")).collect();
    let body = format!(r#"{{"channels":[{}]}}"#, ids.join(","));
    let mut pair = Pair::new(api(), move |_, _| Verdict::answer(Answer::new(200).with_body(body.clone())));
    pair.ask(1, list());
    let Ok(ChannelAnswer::Channels(found)) = ChannelRequest::List.answer(pair.response(1)) else { panic!("a list") };
    assert_eq!(found.len(), 10_000);
}

#[test]
fn a_broadcast_is_answered() {
    let mut pair = Pair::new(api(), |_, request| {
        assert_eq!((request.method(), request.path()), ("POST", "/4/broadcasts/apps/com.example.app"));
        assert_eq!(request.header("apns-push-type"), Some(&b"liveactivity"[..]));
        Verdict::answer(Answer::new(200).with_header("apns-request-id", "eabeca8d-6f2b-4c0f-9a4a-4e2b8a3b6c7d"))
    });
    pair.ask(1, broadcast());
    assert!(pair.settled[&1].outcome.is_accepted());
    assert_eq!(pair.settled[&1].answer, Some("eabeca8d-6f2b-4c0f-9a4a-4e2b8a3b6c7d".parse().unwrap()));
}

#[test]
fn what_goes_unanswered_ends_in_one_of_three_ways() {
    let mut first = true;
    let mut pair = Pair::new(api().with_config(Config::default().with_max_streams(3)), move |_, _| {
        if std::mem::take(&mut first) { Verdict::answer(Answer::new(200)) } else { Verdict::silence() }
    });
    // With the first answer the credential is taken.
    pair.ask(0, broadcast());
    assert_eq!(pair.settled.remove(&0).map(|one| one.outcome.is_accepted()), Some(true));
    for key in 1..=3 {
        pair.ask(key, broadcast());
    }
    let refused = pair.client.submit(pair.now, Submission::new(4, broadcast())).unwrap_err();
    assert_eq!(refused.cause, SubmitError::Full);
    let go_away =
        Step::GoAway { last_stream: Some(5), code: 0, debug: Bytes::from_static(br#"{"reason":"Shutdown"}"#) };
    pair.server.perform(pair.now, go_away);
    pair.run();
    assert!(pair.settled.is_empty());
    assert_eq!(pair.returned, BTreeMap::from([(3, Fate::Discarded)]), "not processed");
    let refused = pair.client.submit(pair.now, Submission::new(5, broadcast())).unwrap_err();
    assert_eq!(refused.cause, SubmitError::Retired, "after the end of taking");
    pair.client.handle_end(pair.now, End::Cut);
    pair.run();
    let reason = CloseReason::GoAway { reason: Some("Shutdown".into()), code: 0, fatal: false };
    let lost = Fate::Unknown(UnknownCause::ConnectionLost(reason.to_string().into()));
    assert_eq!((&pair.returned[&1], &pair.returned[&2]), (&lost, &lost));
    assert_eq!(pair.closed, Some(reason));
}

#[test]
fn every_wait_has_an_end() {
    let config = Config::default().with_max_streams(1);
    let mut pair = Pair::new(api().with_config(config), |_, _| Verdict::silence());
    pair.ask(1, list());
    pair.pass(seconds(29));
    assert!(pair.settled.is_empty() && pair.returned.is_empty());
    pair.pass(seconds(1));
    assert_eq!(pair.returned[&1], Fate::Unknown(UnknownCause::NoAnswer));
    assert_eq!(pair.client.unsettled(), 0);
    pair.client.close(pair.now);
    pair.run();
    assert_eq!(pair.closed, Some(CloseReason::ClosedHere));

    // A peer that never says a word.
    let now = start();
    let mut client = api().of::<ChannelCall>().connect::<u32>(now);
    assert!(client.submit(now, Submission::new(1, list())).is_ok());
    let later = Now::new(client.poll_timeout().unwrap(), now.wall);
    assert_eq!(later.instant - now.instant, seconds(10));
    client.handle_timeout(later);
    let Some(ConnectionEvent::Closed(closed)) = client.poll_event() else { panic!("it is over") };
    assert_eq!(closed.reason, CloseReason::NoAnswer);
    assert_eq!(closed.unsettled.len(), 1);
    assert_eq!(closed.unsettled[0].fate, Fate::NotWritten, "it never left");
    assert_eq!(client.poll_timeout(), None);
}

#[test]
fn with_a_token_the_first_answer_comes_before_the_second_request() {
    let key = SigningKey::read(include_bytes!("../../apns-credentials/tests/keys/p8.pem")).unwrap();
    let source = SigningSource::new(key, KeyId::new("ABC123DEFG").unwrap(), TeamId::new("DEF123GHIJ").unwrap());
    let source = Arc::new(source);
    let api = ProviderApi::new("api.push.apple.com", Credential::Token(source.clone())).unwrap();
    let mut arrived = 0;
    let mut pair = Pair::new(api, move |_, request| {
        assert!(request.header("authorization").is_some_and(|value| value.starts_with(b"bearer ")));
        arrived += 1;
        match arrived {
            1 => refuse(400, "BadExpirationDate").after(seconds(1)),
            _ => refuse(403, "ExpiredProviderToken"),
        }
    });
    pair.ask(1, broadcast());
    assert!(!pair.client.has_room(), "one until the credential is taken");
    assert_eq!(pair.server.open_requests(), 1);
    pair.pass(seconds(1));
    let Outcome::Rejected(rejection) = &pair.settled[&1].outcome else { panic!("{:?}", pair.settled) };
    assert_eq!(rejection.status(), 400);
    for key in 2..=3 {
        assert!(pair.client.submit(pair.now, Submission::new(key, broadcast())).is_ok());
    }
    pair.run();
    for key in 2..=3 {
        // The service did not look at it.
        let Fate::CredentialRefused { refusal, .. } = &pair.returned[&key] else { panic!("{:?}", pair.returned) };
        assert_eq!(refusal.reason(), Some("ExpiredProviderToken"));
    }
    let refusal = pair.closed.as_ref().and_then(CloseReason::credential_refusal).expect("the credential is refused");
    assert_eq!(refusal.reason(), Some("ExpiredProviderToken"));
    let renewed = source.token(pair.now).unwrap();
    assert_eq!(renewed.issued_at(), pair.now.wall, "the source knows that the token was refused");
}
