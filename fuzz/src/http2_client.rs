//! The client's side of a connection to the provider API under any sequence of operations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use apns_proto::http2::{
    AfterRejection, Client, ClockSkew, Config, Credential, ProviderApi, ProviderToken, Reason, TokenError, TokenSource,
};
use apns_proto::{
    Connection, ConnectionEvent, End, Fate, Machine, Now, Outcome, Submission, Topic, Transmit, WallTime,
};
use bytes::BytesMut;

use crate::clock::{Undisturbed, after, start};
use crate::feed::Feed;
use crate::frames;
use crate::notifications::any_notification;

/// Hands out one token after another, or none.
#[derive(Debug)]
struct Source {
    empty: AtomicBool,
    first: Now,
}

impl TokenSource for Source {
    fn token(&self, now: Now) -> Result<ProviderToken, TokenError> {
        if self.empty.load(Ordering::Relaxed) {
            return Err(TokenError::Unavailable("none is left".into()));
        }
        // A new one every 50 minutes, as the service wants it.
        let age = now.instant.saturating_duration_since(self.first.instant).as_secs() / 3000 * 3000;
        let signed = after(self.first, Duration::from_secs(age));
        Ok(ProviderToken::from_jwt("e30.eyJpYXQiOjE3MDAwMDAwMDB9.c2ln", signed).expect("this is a token"))
    }

    fn rejected(&self, _: Now, _: &ProviderToken, reason: &Reason, skew: Option<ClockSkew>) -> AfterRejection {
        match reason {
            Reason::ExpiredProviderToken => AfterRejection::NewConnection,
            Reason::TooManyProviderTokenUpdates => AfterRejection::Stop(TokenError::Clock { skew }),
            other => AfterRejection::Stop(TokenError::Refused(other.clone())),
        }
    }
}

/// How each notification ended, in a word.
type Words = BTreeMap<u32, String>;

struct Run {
    client: Client<u32>,
    source: Arc<Source>,
    now: Now,
    split: usize,
    submitted: u32,
    open: BTreeSet<u32>,
    words: Words,
    closed: Option<String>,
    handed: usize,
}

impl Run {
    fn new(feed: &mut Feed<'_>, split: usize) -> Self {
        let now = start();
        let source = Arc::new(Source { empty: AtomicBool::new(feed.byte() > 250), first: now });
        let credential = match feed.flag() {
            true => Credential::Token(source.clone()),
            false => Credential::Certificate,
        };
        let mut config = Config::default();
        match feed.byte() % 4 {
            0 => {}
            1 => config = config.with_max_requests(feed.byte().into()),
            2 => config = config.with_max_streams(feed.byte().into()),
            _ => {
                config =
                    config.with_max_idle(Duration::from_secs(feed.byte().into())).with_max_age(Duration::from_secs(200))
            }
        }
        let api = ProviderApi::new("api.push.apple.com", credential).expect("this is a name").with_config(config);
        let api =
            if feed.flag() { api } else { api.with_topic(Topic::new("com.example.app").expect("this is a topic")) };
        let client = api.connect(now);
        Self {
            client,
            source,
            now,
            split,
            submitted: 0,
            open: BTreeSet::new(),
            words: Words::new(),
            closed: None,
            handed: 0,
        }
    }

    fn end_of(&mut self, key: u32, word: String) {
        assert!(self.open.remove(&key), "{key} was not open");
        assert_eq!(self.words.insert(key, word), None, "{key} ends twice");
    }

    fn take_events(&mut self) {
        while let Some(event) = self.client.poll_event() {
            assert_eq!(self.closed, None, "{event:?} follows the end");
            match event {
                ConnectionEvent::Settled(settled) => {
                    assert_eq!(
                        settled.returned.is_some(),
                        !settled.outcome.is_accepted(),
                        "what is not taken comes back"
                    );
                    assert!(
                        settled.attempts > 0 || matches!(settled.outcome, Outcome::NotSent { .. } | Outcome::Expired),
                        "{settled:?} was never sent"
                    );
                    self.end_of(settled.key, settled.outcome.word().into());
                }
                ConnectionEvent::Returned(one) => self.end_of(one.submission.key, fate(&one.fate).into()),
                ConnectionEvent::Closed(closed) => {
                    for one in closed.unsettled {
                        self.end_of(one.submission.key, fate(&one.fate).into());
                    }
                    assert!(self.open.is_empty(), "{:?} have no outcome", self.open);
                    self.closed = Some(closed.reason.to_string());
                }
                ConnectionEvent::Answered
                | ConnectionEvent::Silent
                | ConnectionEvent::Retired
                | ConnectionEvent::Warning(_)
                | ConnectionEvent::TokenWanted => {}
                other => panic!("{other:?} is new"),
            }
        }
        assert_eq!(self.client.is_closed(), self.closed.is_some());
        if self.closed.is_some() {
            assert!(self.client.poll_timeout().is_none() && !self.client.has_room());
            assert_eq!(self.client.unsettled(), 0);
        }
    }

    fn submit(&mut self, feed: &mut Feed<'_>) {
        let key = self.submitted;
        self.submitted += 1;
        let submission = Submission::new(key, any_notification(feed, key));
        match self.client.submit(self.now, submission.clone()) {
            Ok(()) => assert!(self.open.insert(key)),
            Err(refused) => assert_eq!(refused.submission, submission, "what is refused comes back unchanged"),
        }
    }

    fn transmit(&mut self) {
        let mut out = BytesMut::new();
        let was_closed = self.closed.is_some();
        let transmit = self.client.poll_transmit(self.now, &mut out);
        self.handed = out.len();
        match transmit {
            Transmit::Ready => assert!(!out.is_empty() && !was_closed),
            Transmit::Idle => assert!(out.is_empty()),
            Transmit::Shutdown => assert!(self.client.is_closed()),
        }
    }

    fn input(&mut self, bytes: &[u8]) {
        bytes.chunks(self.split).for_each(|piece| self.client.handle_input(self.now, piece));
    }

    fn operate(&mut self, feed: &mut Feed<'_>) {
        match feed.byte() % 20 {
            0..4 => self.submit(feed),
            4..7 => self.transmit(),
            7..13 => {
                // Several at once, so that frames share a piece.
                let count = 1 + feed.below(4);
                let bytes: Vec<u8> = (0..count).flat_map(|_| frames::from_server(feed)).collect();
                self.input(&bytes);
            }
            13 => {
                let bytes = feed.short();
                self.input(bytes);
            }
            14 => {
                let span = feed.of(&[0, 1, 100, 1_000, 10_000, 31_000, 300_000, 4_000_000]);
                self.now = after(self.now, Duration::from_millis(span));
                self.client.handle_timeout(self.now);
            }
            15 => {
                self.now.wall = WallTime::from_secs(u64::from(feed.u32()));
                self.client.handle_timeout(self.now);
            }
            16 => {
                let end = feed.of(&[End::Clean, End::Cut, End::Refused("no".into())]);
                self.client.handle_end(self.now, end);
            }
            17 => {
                let unsent = feed.below(self.handed + 2);
                self.client.handle_write_failure(self.now, unsent);
            }
            18 => self.source.empty.store(feed.flag(), Ordering::Relaxed),
            _ => {
                let deadline = feed.flag().then(|| self.now.instant + Duration::from_secs(u64::from(feed.byte())));
                match feed.byte() % 8 {
                    0 => self.client.drain(self.now, deadline),
                    1 => self.client.close(self.now),
                    2 => self.client.prove(self.now, deadline),
                    _ => self.take_events(),
                }
            }
        }
        self.take_events();
    }

    /// Nothing comes from the peer any more, and the driver keeps to the contract: it has to end.
    fn finish(&mut self) {
        self.client.drain(self.now, None);
        for _ in 0..2_000 {
            self.transmit();
            self.take_events();
            if self.closed.is_some() {
                return;
            }
            if let Some(due) = self.client.poll_timeout() {
                self.now = after(self.now, due.saturating_duration_since(self.now.instant));
                self.client.handle_timeout(self.now);
            } else {
                self.client.handle_end(self.now, End::Cut);
            }
        }
        panic!("it does not end: {:?}", self.client);
    }
}

fn fate(fate: &Fate) -> &'static str {
    match fate {
        Fate::NotWritten => "not written",
        Fate::Discarded => "discarded",
        Fate::Unknown(_) => "unknown",
        Fate::Suspected(_) => "suspected",
        Fate::CredentialRefused { .. } => "credential refused",
        other => panic!("{other:?} is new"),
    }
}

fn run(data: &[u8], split: usize) -> Words {
    let mut feed = Feed::new(data);
    let mut run = Run::new(&mut feed, split);
    // Most stories begin with a service that says hello.
    if !feed.byte().is_multiple_of(8) {
        run.transmit();
        let hello = frames::settings(&mut feed);
        run.input(&hello);
        run.input(&frames::settings_ack());
    }
    while !feed.is_empty() {
        run.operate(&mut feed);
    }
    run.finish();
    run.words
}

/// Whether a request was made of it at all.
fn was_sent(word: &str) -> bool {
    !matches!(word, "not written" | "not_sent" | "invalid" | "expired")
}

/// Operations on a client, by its user, its driver, the service and the clocks.
///
/// Pieces may change what else is said, when, and what is still sent: of a malformed answer with a reset right behind it,
/// the engine sees the reset alone where both come together, and the connection goes on. How a notification ends that was
/// sent either way, they may not change.
pub fn http2_client(data: &[u8]) {
    let undisturbed = Undisturbed::begin();
    let whole = run(data, usize::MAX);
    for split in [1, 13] {
        for (key, word) in run(data, split) {
            if !undisturbed.lasts() {
                return;
            }
            if let Some(other) = whole.get(&key)
                && was_sent(other)
                && was_sent(&word)
            {
                assert_eq!(*other, word, "{key} in pieces of {split}");
            }
        }
    }
}
