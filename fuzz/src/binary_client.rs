//! The client's side of a gateway connection under any sequence of operations.

use std::collections::BTreeMap;
use std::time::Duration;

use apns_proto::binary::{
    Client, Config, Format, Limits, NotificationDecoder, NotificationErrorKind, Status, StatusKind,
};
use apns_proto::{
    Connection, ConnectionEvent, End, Expiration, Fate, Machine, Now, Outcome, Proof, Rejection, Submission, Transmit,
    UnknownCause, WallTime,
};
use bytes::BytesMut;

use crate::clock::{after, start};
use crate::feed::Feed;
use crate::notifications::any_notification;

/// What became of a notification, in few words.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fortune {
    Presumed,
    Confirmed,
    Rejected(u8),
    NamedWithoutError,
    Expired,
    Discarded,
    Suspected,
    Unknown,
    NotWritten,
}

impl Fortune {
    fn of_outcome(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Accepted { proof: Proof::Presumed, .. } => Self::Presumed,
            Outcome::Accepted { proof: Proof::Confirmed, .. } => Self::Confirmed,
            Outcome::Rejected(Rejection::Gateway(status)) => Self::Rejected(status.raw()),
            Outcome::Unknown { cause: UnknownCause::NamedWithoutError } => Self::NamedWithoutError,
            Outcome::Expired => Self::Expired,
            other => panic!("{other:?} is no outcome of this"),
        }
    }

    fn of_fate(fate: &Fate) -> Self {
        match fate {
            Fate::NotWritten => Self::NotWritten,
            Fate::Discarded => Self::Discarded,
            Fate::Unknown(_) => Self::Unknown,
            Fate::Suspected(_) => Self::Suspected,
            other => panic!("{other:?} is new"),
        }
    }
}

/// A connection, its driver, and what it is known to have written.
struct Run {
    client: Client<u32>,
    now: Now,
    format: Format,
    /// The most bytes that the machine is handed at once.
    split: usize,
    submitted: u32,
    /// Taken and without an outcome, with the end of their lives.
    open: BTreeMap<u32, Expiration>,
    events: Vec<ConnectionEvent<u32>>,
    closed: bool,
    /// Bytes of the last hand-out, which the transport may not have taken.
    handed: usize,
    /// Everything written, in order.
    written: Vec<u32>,
    probe: Option<u32>,
    said: Vec<u8>,
    /// A failed write leaves open what arrived; from there on only the invariants count.
    modelled: bool,
}

impl Run {
    fn new(feed: &mut Feed<'_>, split: usize) -> Self {
        let format = feed.of(&[Format::Items, Format::Enhanced, Format::Simple]);
        let config = Config::default()
            .with_format(format)
            .with_window_count(feed.of(&[100_000, 1, 3, 20]))
            .with_window_bytes(feed.of(&[1 << 24, 0, 500]))
            .with_quiet_time(Duration::from_secs(3))
            .with_answer_timeout(Duration::from_secs(5));
        let now = start();
        Self {
            client: Client::new(config, now),
            now,
            format,
            split,
            submitted: 0,
            open: BTreeMap::new(),
            events: Vec::new(),
            closed: false,
            handed: 0,
            written: Vec::new(),
            probe: None,
            said: Vec::new(),
            modelled: true,
        }
    }

    fn take_events(&mut self) {
        while let Some(event) = self.client.poll_event() {
            assert!(!self.closed, "{event:?} follows the end");
            let mut settle = |key: u32| assert!(self.open.remove(&key).is_some(), "{key} was not open");
            match &event {
                ConnectionEvent::Settled(settled) => {
                    settle(settled.key);
                    assert_eq!(
                        settled.returned.is_some(),
                        !settled.outcome.is_accepted(),
                        "what is not taken comes back"
                    );
                }
                ConnectionEvent::Closed(closed) => {
                    self.closed = true;
                    closed.unsettled.iter().for_each(|one| settle(one.submission.key));
                    assert!(self.open.is_empty(), "{:?} have no outcome", self.open.keys());
                }
                ConnectionEvent::Answered | ConnectionEvent::Retired | ConnectionEvent::Warning(_) => {}
                other => panic!("{other:?} is no event of this protocol"),
            }
            self.events.push(event);
        }
        assert_eq!(self.client.unsettled(), self.open.len());
        assert_eq!(self.client.is_closed(), self.closed);
        if self.closed {
            assert!(self.client.poll_timeout().is_none() && !self.client.has_room());
        }
    }

    fn submit(&mut self, feed: &mut Feed<'_>) {
        let key = self.submitted;
        self.submitted += 1;
        let notification = any_notification(feed, key);
        let expiration = notification.expiration().resolve(self.now.wall);
        let submission = Submission::new(key, notification);
        match self.client.submit(self.now, submission.clone()) {
            Ok(()) => {
                assert!(!self.closed);
                self.open.insert(key, expiration);
            }
            Err(refused) => assert_eq!(refused.submission, submission, "what is refused comes back unchanged"),
        }
    }

    fn transmit(&mut self) {
        let mut out = BytesMut::new();
        let transmit = self.client.poll_transmit(self.now, &mut out);
        self.handed = out.len();
        match transmit {
            Transmit::Ready => assert!(!out.is_empty() && !self.closed),
            Transmit::Idle => assert!(out.is_empty()),
            Transmit::Shutdown => assert!(out.is_empty() && self.client.is_closed()),
        }
        let mut decoder = NotificationDecoder::new(Limits::default());
        let mut rest = &out[..];
        while !rest.is_empty() {
            assert_eq!(self.probe, None, "nothing is written behind the probe");
            let next = self.written.len() as u32 + 1;
            match decoder.decode(&mut rest) {
                Ok(Some(frame)) => {
                    assert_eq!(frame.format, self.format);
                    assert_eq!(frame.identifier, (self.format != Format::Simple).then_some(next), "they count from 1");
                    let key = u32::from_be_bytes(frame.token[..4].try_into().expect("four bytes"));
                    assert!(!self.written.contains(&key), "{key} is written twice");
                    assert!(!self.expired(key), "{key} has expired and is written");
                    self.written.push(key);
                }
                Ok(None) => panic!("half a frame is handed out"),
                Err(error) => {
                    assert_eq!(error.kind, NotificationErrorKind::ZeroLengthToken, "only the probe is no notification");
                    assert_eq!(error.identifier, Some(next));
                    self.probe = Some(next);
                }
            }
            if self.probe.is_some() {
                break;
            }
        }
    }

    fn expired(&self, key: u32) -> bool {
        self.open.get(&key).is_some_and(|expiration| expiration.has_passed(self.now.wall))
    }

    fn input(&mut self, bytes: &[u8]) {
        self.take_events();
        let expected = self.expected(bytes);
        let before = self.events.len();
        bytes.chunks(self.split).for_each(|piece| self.client.handle_input(self.now, piece));
        self.take_events();
        let Some(expected) = expected else { return };
        let mut told: BTreeMap<u32, Fortune> = BTreeMap::new();
        for event in &self.events[before..] {
            match event {
                ConnectionEvent::Settled(settled) => {
                    told.insert(settled.key, Fortune::of_outcome(&settled.outcome));
                }
                ConnectionEvent::Closed(closed) => {
                    told.extend(closed.unsettled.iter().map(|one| (one.submission.key, Fortune::of_fate(&one.fate))));
                }
                _ => {}
            }
        }
        assert_eq!(told, expected, "{:?} were written, the gateway said {:?}", self.written, self.said);
    }

    /// What an error response means, by searching the list of everything written; `None` until it is whole.
    fn expected(&mut self, bytes: &[u8]) -> Option<BTreeMap<u32, Fortune>> {
        let was_whole = self.said.len() >= 6;
        self.said.extend_from_slice(bytes);
        let [8, status, a, b, c, d, ..] = self.said[..] else { return None };
        if was_whole || self.closed || !self.modelled {
            return None;
        }
        let identifier = u32::from_be_bytes([a, b, c, d]);
        let kind = Status::from_raw(status).kind();
        let answers_probe = self
            .probe
            .is_some_and(|probe| identifier == probe || identifier == 0 && kind == StatusKind::MissingDeviceToken);
        let named =
            (0..self.written.len()).find(|place| *place as u32 + 1 == identifier && self.format != Format::Simple);
        let fortune = |key: u32| {
            let place = self.written.iter().position(|written| *written == key);
            let fortune = match (place, named) {
                (None, _) => Fortune::NotWritten,
                (Some(_), _) if answers_probe => Fortune::Confirmed,
                (Some(_), None) => Fortune::Suspected,
                (Some(place), Some(named)) if place < named => Fortune::Confirmed,
                (Some(place), Some(named)) if place > named => Fortune::Discarded,
                (Some(_), Some(_)) => match kind {
                    StatusKind::Shutdown => Fortune::Confirmed,
                    StatusKind::NoErrors => Fortune::NamedWithoutError,
                    _ => Fortune::Rejected(status),
                },
            };
            // What would be sent again and is too late for that has expired.
            let again = matches!(fortune, Fortune::Discarded | Fortune::NotWritten);
            if again && self.expired(key) { Fortune::Expired } else { fortune }
        };
        Some(self.open.keys().map(|key| (*key, fortune(*key))).collect())
    }

    fn operate(&mut self, feed: &mut Feed<'_>) {
        match feed.byte() % 16 {
            0..4 => self.submit(feed),
            4..7 => self.transmit(),
            7 => self.take_events(),
            8 => {
                let span = feed.of(&[0, 1, 100, 1_000, 3_000, 4_000, 5_000, 40_000, 100_000]);
                self.now = after(self.now, Duration::from_millis(span));
                self.client.handle_timeout(self.now);
            }
            9 => {
                // The clocks jump: the wall clock anywhere, the other back.
                let seconds = u64::from(feed.u32());
                self.now.wall = WallTime::from_secs(seconds);
                let back = Duration::from_millis(u64::from(feed.byte()) * 50);
                self.client.handle_timeout(Now::new(self.now.instant - back, self.now.wall));
            }
            10 => {
                let identifier = feed.below(self.written.len() + 3) as u32;
                let status = feed.of(&[8, 10, 0, 2, 5, 7, 255]);
                let [a, b, c, d] = identifier.to_be_bytes();
                self.input(&[8, status, a, b, c, d]);
            }
            11 => self.input(feed.short()),
            12 => {
                let end = feed.of(&[End::Clean, End::Cut, End::Refused("no".into())]);
                self.client.handle_end(self.now, end);
            }
            13 => {
                self.modelled = false;
                let unsent = feed.below(self.handed + 40);
                self.client.handle_write_failure(self.now, unsent);
            }
            14 => {
                let deadline = feed.flag().then(|| self.now.instant + Duration::from_secs(u64::from(feed.byte())));
                match feed.byte() % 3 {
                    0 => self.client.drain(self.now, deadline),
                    1 => self.client.prove(self.now, deadline),
                    _ => self.client.make_room(self.now),
                }
            }
            _ => {
                if feed.byte() > 200 {
                    self.client.close(self.now);
                }
            }
        }
    }

    /// Nothing comes from the peer any more, and the driver keeps to the contract: it has to end.
    fn finish(&mut self) {
        self.client.drain(self.now, None);
        for _ in 0..1_000 {
            self.transmit();
            self.take_events();
            if self.closed {
                return;
            }
            if let Some(due) = self.client.poll_timeout() {
                self.now = after(self.now, due.saturating_duration_since(self.now.instant));
                self.client.handle_timeout(self.now);
            } else {
                // It waits for the peer alone after a failed write, and the driver reports the end then.
                self.client.handle_end(self.now, End::Cut);
            }
        }
        panic!("it does not end: {:?}", self.client);
    }
}

fn run(data: &[u8], split: usize) -> Vec<ConnectionEvent<u32>> {
    let mut feed = Feed::new(data);
    let mut run = Run::new(&mut feed, split);
    while !feed.is_empty() {
        run.operate(&mut feed);
    }
    run.finish();
    run.events
}

/// Operations on a client, by its user, its driver, the gateway and the clocks.
pub fn binary_client(data: &[u8]) {
    let whole = run(data, usize::MAX);
    for split in [1, 5] {
        assert_eq!(run(data, split), whole, "in pieces of {split}");
    }
}
