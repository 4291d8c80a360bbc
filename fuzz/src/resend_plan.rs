//! The resend plan against a list that is searched from end to end.

use std::time::Duration;

use apns_proto::binary::{Client, Config, ErrorResponse, Format, Status};
use apns_proto::{
    CloseReason, Closed, Connection, ConnectionEvent, End, Fate, Machine, Outcome, Proof, Rejection, Submission,
    Transmit, UnknownCause,
};
use bytes::BytesMut;

use crate::clock::{after, start};
use crate::feed::Feed;
use crate::notifications::notification;

/// What became of a notification, in few words.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fortune {
    Presumed,
    Confirmed,
    Rejected(u8),
    NamedWithoutError,
    Discarded,
    Suspected,
    Unknown,
    NotWritten,
    CredentialRefused,
}

const QUIET: Duration = Duration::from_secs(3);

/// How a connection went: so many presumed, so many written behind them, so many not written, and how it ended.
#[derive(Debug, Clone, Copy)]
struct Story {
    format: Format,
    presumed: usize,
    written: usize,
    unwritten: usize,
    probed: bool,
    ending: Ending,
}

#[derive(Debug, Clone, Copy)]
enum Ending {
    Response {
        status: u8,
        identifier: u32,
    },
    Clean,
    /// The gateway let nobody in.
    Refused,
}

fn story(feed: &mut Feed<'_>) -> Story {
    let format = feed.of(&[Format::Items, Format::Enhanced, Format::Simple]);
    let (presumed, written) = (feed.below(40), feed.below(40));
    let probed = feed.flag();
    // A connection that is asked for its proof writes everything first.
    let unwritten = if probed { 0 } else { feed.below(5) };
    let ending = match feed.byte() % 8 {
        0 => Ending::Clean,
        1 => Ending::Refused,
        kind => {
            let status = feed.of(&[8, 10, 2, 0, 1, 5, 7, 128, 255, 3, 9]);
            let status = if kind == 2 { feed.byte() } else { status };
            let near = feed.below(presumed + written + 4) as u32;
            let identifier = if kind == 3 { feed.u32() } else { near };
            Ending::Response { status, identifier }
        }
    };
    Story { format, presumed, written, unwritten, probed, ending }
}

/// The rules word by word, on a list of everything that was ever written.
fn expected(story: &Story) -> Vec<Fortune> {
    let all = story.presumed + story.written;
    let mut fortunes: Vec<Fortune> = (0..all + story.unwritten)
        .map(|place| if place < story.presumed { Fortune::Presumed } else { Fortune::NotWritten })
        .collect();
    let mut set = |places: std::ops::Range<usize>, fortune: &Fortune| {
        for place in places {
            if story.presumed <= place && place < all {
                fortunes[place] = fortune.clone();
            }
        }
    };
    match story.ending {
        Ending::Clean => set(0..all, &Fortune::Unknown),
        // Where quiet time has passed the connection counts as one that answered.
        Ending::Refused if story.presumed > 0 => set(0..all, &Fortune::Unknown),
        Ending::Refused => set(0..all, &Fortune::CredentialRefused),
        Ending::Response { status, identifier } => {
            let names_probe = story.probed && identifier as usize == all + 1;
            // Only the probe has an empty token.
            let means_probe = story.probed && identifier == 0 && status == 2;
            let named =
                (0..all).find(|place| *place as u32 + 1 == identifier).filter(|_| story.format != Format::Simple);
            match named {
                _ if names_probe || means_probe => set(0..all, &Fortune::Confirmed),
                None => set(0..all, &Fortune::Suspected),
                Some(place) => {
                    set(0..place, &Fortune::Confirmed);
                    let fortune = match status {
                        10 => Fortune::Confirmed,
                        0 => Fortune::NamedWithoutError,
                        // The topic of the certificate: no verdict on the notification.
                        3 | 6 => Fortune::CredentialRefused,
                        status => Fortune::Rejected(status),
                    };
                    set(place..place + 1, &fortune);
                    // Also where the one named had been presumed accepted.
                    let topic = fortune == Fortune::CredentialRefused;
                    set(place + 1..all, if topic { &Fortune::CredentialRefused } else { &Fortune::Discarded });
                }
            }
        }
    }
    fortunes
}

struct Told {
    fortunes: Vec<Option<Fortune>>,
    closed: Option<CloseReason>,
}

impl Told {
    fn put(&mut self, key: usize, fortune: Fortune) {
        assert_eq!(self.fortunes[key].replace(fortune), None, "{key} has two outcomes");
    }

    fn take(&mut self, client: &mut Client<usize>) {
        while let Some(event) = client.poll_event() {
            assert_eq!(self.closed, None, "{event:?} follows the end");
            match event {
                ConnectionEvent::Settled(settled) => {
                    let fortune = match settled.outcome {
                        Outcome::Accepted { proof: Proof::Presumed, .. } => Fortune::Presumed,
                        Outcome::Accepted { proof: Proof::Confirmed, .. } => Fortune::Confirmed,
                        Outcome::Rejected(Rejection::Gateway(status)) => Fortune::Rejected(status.raw()),
                        Outcome::Unknown { cause: UnknownCause::NamedWithoutError } => Fortune::NamedWithoutError,
                        other => panic!("{other:?} is no outcome of this"),
                    };
                    self.put(settled.key, fortune);
                }
                ConnectionEvent::Closed(Closed { reason, unsettled }) => {
                    let keys: Vec<usize> = unsettled.iter().map(|one| one.submission.key).collect();
                    assert!(keys.is_sorted(), "they come back in the order of submission: {keys:?}");
                    for one in unsettled {
                        let fortune = match one.fate {
                            Fate::NotWritten => Fortune::NotWritten,
                            Fate::Discarded => Fortune::Discarded,
                            Fate::Unknown(_) => Fortune::Unknown,
                            Fate::Suspected(_) => Fortune::Suspected,
                            Fate::CredentialRefused { .. } => Fortune::CredentialRefused,
                            other => panic!("{other:?} is new"),
                        };
                        self.put(one.submission.key, fortune);
                    }
                    self.closed = Some(reason);
                }
                ConnectionEvent::Answered | ConnectionEvent::Retired | ConnectionEvent::Warning(_) => {}
                other => panic!("{other:?} is no event of this protocol"),
            }
        }
    }
}

/// One connection, told as a [`Story`].
pub fn resend_plan(data: &[u8]) {
    let story = story(&mut Feed::new(data));
    let mut now = start();
    let mut client = Client::new(Config::default().with_format(story.format).with_quiet_time(QUIET), now);
    let total = story.presumed + story.written + story.unwritten;
    let mut told = Told { fortunes: vec![None; total], closed: None };
    let mut out = BytesMut::new();
    let submit = |client: &mut Client<usize>, now, places: std::ops::Range<usize>| {
        for place in places {
            client.submit(now, Submission::new(place, notification(place as u32))).expect("the window is large");
        }
    };
    // Everything here fits two chunks; the call after the last says that the transport took it.
    let mut write = |client: &mut Client<usize>, now| while client.poll_transmit(now, &mut out) == Transmit::Ready {};

    submit(&mut client, now, 0..story.presumed);
    write(&mut client, now);
    if story.presumed > 0 {
        now = after(now, QUIET);
        client.handle_timeout(now);
        told.take(&mut client);
    }
    submit(&mut client, now, story.presumed..story.presumed + story.written);
    if story.probed {
        client.drain(now, None);
    }
    write(&mut client, now);
    if client.is_closed() {
        // Nothing was left to prove.
        assert!(story.probed && story.written == 0);
        told.take(&mut client);
        return;
    }
    submit(&mut client, now, story.presumed + story.written..total);

    match story.ending {
        Ending::Response { status, identifier } => {
            let mut bytes = BytesMut::new();
            ErrorResponse { status: Status::from_raw(status), identifier }.emit(&mut bytes);
            client.handle_input(now, &bytes);
        }
        Ending::Clean => client.handle_end(now, End::Clean),
        Ending::Refused => client.handle_end(now, End::Refused("certificate revoked".into())),
    }
    told.take(&mut client);
    assert!(told.closed.is_some(), "every one of these is an end: {story:?}");
    let fortunes: Vec<Fortune> = told.fortunes.into_iter().map(|one| one.expect("each has an outcome")).collect();
    assert_eq!(fortunes, expected(&story), "{story:?}");
}
