//! One connection to the gateway, as transcripts: who says what at which time, what must come back, and that nothing
//! else does. Each runs with one-byte chunks, seven-byte chunks and whole buffers in both directions.
//!
//! Cases that are impossible by construction:
//!
//! | case | why |
//! |---|---|
//! | B18, identifiers that go on after a reconnect | each connection has a machine of its own that counts from 1; the session test hands it an old link's bytes all the same |
//! | B19, a length field that differs from the token | `encode` takes both from one slice, and nothing pads |
//! | B1, a token of no bytes | a `DeviceToken` has at least one |
//! | B22, a lock held across a write | there is none: input is handled while output waits, which the test shows |

#![allow(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

mod pretend;

use apns_proto::binary::{Client, Config, ErrorResponse, Format, Limits, NotificationDecoder, Status};
use apns_proto::machine::CHUNK;
use apns_proto::{
    Connection, DeviceToken, End, Expiration, Machine, Notification, Now, Payload, Priority, Submission, SubmitError,
    Transmit, WallTime,
};
use bytes::{Bytes, BytesMut};
use pretend::{WALL, after, lines, ms, notification, number_of, secs, start};

const FORMATS: [Format; 3] = [Format::Simple, Format::Enhanced, Format::Items];

/// A client, a transport that takes or does not take its bytes, and a peer that reads them.
struct Talk {
    client: Client<u32>,
    begun: Now,
    now: Now,
    chunk: usize,
    /// Handed out, not taken yet.
    held: BytesMut,
    peer: NotificationDecoder,
    /// All bytes that the peer got.
    wire: Vec<u8>,
    transcript: Vec<String>,
    told: usize,
}

impl Talk {
    fn new(config: &Config, chunk: usize) -> Self {
        let now = start();
        Self {
            client: Client::new(config.clone(), now),
            begun: now,
            now,
            chunk,
            held: BytesMut::new(),
            peer: NotificationDecoder::new(Limits::default()),
            wire: Vec::new(),
            transcript: Vec::new(),
            told: 0,
        }
    }

    fn submit(&mut self, numbers: impl IntoIterator<Item = u32>) {
        for number in numbers {
            self.submit_as(number, notification(number));
        }
    }

    fn submit_as(&mut self, number: u32, notification: Notification) {
        let refused = self.client.submit(self.now, Submission::new(number, notification)).err();
        assert_eq!(refused.map(|refused| refused.cause), None, "{number}");
    }

    fn refuses(&mut self, number: u32) -> SubmitError {
        let submission = Submission::new(number, notification(number));
        let refused = self.client.submit(self.now, submission.clone()).expect_err("it must be refused");
        assert_eq!(refused.submission, submission, "it comes back unchanged");
        refused.cause
    }

    /// The machine hands out bytes and the transport sits on them.
    fn offer(&mut self) -> usize {
        let before = self.held.len();
        match self.client.poll_transmit(self.now, &mut self.held) {
            Transmit::Shutdown => self.note("shutdown".into()),
            Transmit::Ready => assert!(self.held.len() > before),
            Transmit::Idle => assert_eq!(self.held.len(), before),
        }
        self.collect();
        self.held.len() - before
    }

    /// The transport takes so many of the bytes that it sits on.
    fn take(&mut self, count: usize) {
        let bytes = self.held.split_to(count);
        self.wire.extend_from_slice(&bytes);
        for piece in bytes.chunks(self.chunk) {
            let mut piece = piece;
            loop {
                let line = match self.peer.decode(&mut piece) {
                    Ok(None) => break,
                    Ok(Some(got)) => match got.identifier {
                        Some(identifier) => format!("> {} as {identifier}", number_of(&got.token)),
                        None => format!("> {}", number_of(&got.token)),
                    },
                    Err(error) => {
                        self.note(format!("> probe {}", error.identifier.unwrap()));
                        break;
                    }
                };
                self.note(line);
            }
        }
    }

    /// Everything that waits to be written is taken at once.
    fn send(&mut self) {
        while self.offer() > 0 {
            self.take(self.held.len());
        }
    }

    fn receive(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(self.chunk) {
            self.client.handle_input(self.now, piece);
        }
        self.collect();
    }

    fn respond(&mut self, status: u8, identifier: u32) {
        let mut bytes = BytesMut::new();
        ErrorResponse { status: Status::from_raw(status), identifier }.emit(&mut bytes);
        self.receive(&bytes);
    }

    fn end(&mut self, end: End) {
        self.client.handle_end(self.now, end);
        self.collect();
    }

    fn drain(&mut self, deadline: Option<std::time::Duration>) {
        self.client.drain(self.now, deadline.map(|span| self.now.instant + span));
        self.collect();
    }

    fn fail_write(&mut self, unsent: usize) {
        self.client.handle_write_failure(self.now, unsent);
        self.held.clear();
        self.collect();
    }

    /// Time passes; what is due on the way is done when it is due.
    fn wait(&mut self, span: std::time::Duration) {
        let target = after(self.now, span);
        while let Some(due) = self.client.poll_timeout().filter(|due| *due <= target.instant) {
            self.now = after(self.now, due.saturating_duration_since(self.now.instant));
            self.client.handle_timeout(self.now);
            self.collect();
        }
        self.now = target;
        self.client.handle_timeout(self.now);
        self.collect();
    }

    fn collect(&mut self) {
        while let Some(event) = self.client.poll_event() {
            for line in lines(&event) {
                self.note(line);
            }
        }
    }

    fn note(&mut self, line: String) {
        self.transcript.push(line);
    }

    /// What was said since the last time, all of it.
    #[track_caller]
    fn expect(&mut self, expected: &[&str]) {
        let told = &self.transcript[self.told..];
        assert_eq!(told, expected, "at {:?}", self.now.instant - self.begun.instant);
        self.told = self.transcript.len();
    }

    fn expect_lines(&mut self, expected: impl IntoIterator<Item = String>) {
        let told: Vec<String> = self.transcript.drain(self.told..).collect();
        assert_eq!(told, expected.into_iter().collect::<Vec<_>>());
    }

    /// Nothing more can come.
    #[track_caller]
    fn expect_silence_for_ever(&mut self) {
        self.expect(&[]);
        for _ in 0..3 {
            self.respond(8, 1);
            self.end(End::Cut);
            self.fail_write(1_000_000);
            self.drain(Some(secs(1)));
            self.client.make_room(self.now);
            self.client.prove(self.now, None);
            self.client.close(self.now);
            self.wait(secs(1000));
            assert_eq!(self.client.poll_timeout(), None);
            assert_eq!(self.client.poll_transmit(self.now, &mut self.held), Transmit::Shutdown);
            assert!(self.held.is_empty() && self.client.is_closed() && !self.client.has_room());
            assert_eq!((self.client.unsettled(), self.refuses(99)), (0, SubmitError::Retired));
        }
        self.expect(&[]);
    }
}

#[track_caller]
fn converse(config: &Config, conversation: impl Fn(&mut Talk)) {
    let mut transcripts = Vec::new();
    for chunk in [1, 7, usize::MAX] {
        let mut talk = Talk::new(config, chunk);
        conversation(&mut talk);
        transcripts.push((talk.transcript, talk.wire));
    }
    assert!(transcripts.windows(2).all(|pair| pair[0] == pair[1]), "the split of the stream shows");
}

fn with(format: Format) -> Config {
    Config::default().with_format(format)
}

fn frame_len(format: Format) -> usize {
    let mut talk = Talk::new(&with(format), usize::MAX);
    talk.submit([1]);
    talk.offer()
}

// ---- the error response -----------------------------------------------------------------------------------------

#[test]
fn b4_an_error_response_sorts_all_into_three() {
    for format in [Format::Enhanced, Format::Items] {
        converse(&with(format), |talk| {
            talk.submit(1..=10);
            talk.send();
            talk.expect_lines((1..=10).map(|n| format!("> {n} as {n}")));
            talk.respond(8, 6);
            talk.expect(&[
                "answered",
                "1 confirmed",
                "2 confirmed",
                "3 confirmed",
                "4 confirmed",
                "5 confirmed",
                "6 rejected 8",
                "closed: status 8 for 6",
                "  7 discarded",
                "  8 discarded",
                "  9 discarded",
                "  10 discarded",
            ]);
            talk.expect_silence_for_ever();
        });
    }
}

#[test]
fn b1_what_cannot_be_placed_is_suspected_and_never_resent() {
    for text in ["(null)", "", "abc", "<>"] {
        assert!(DeviceToken::from_hex(text).is_err(), "{text:?} is no token");
        assert!(text.parse::<DeviceToken>().is_err(), "{text:?} is no token");
    }
    for format in FORMATS {
        for status in [2, 5, 8, 10, 0, 255] {
            converse(&with(format), |talk| {
                talk.submit(1..=3);
                talk.send();
                talk.submit([4]);
                talk.told = talk.transcript.len();
                talk.respond(status, 0);
                let suspected = |n: u32| format!("  {n} suspected, status {status} for 0");
                talk.expect(&[
                    &format!("closed: status {status} for 0"),
                    &suspected(1),
                    &suspected(2),
                    &suspected(3),
                    "  4 not written",
                ]);
                talk.expect_silence_for_ever();
            });
        }
    }
}

#[test]
fn b5_the_response_may_come_inside_the_first_write() {
    converse(&Config::default(), |talk| {
        talk.submit(1..=3);
        assert!(talk.offer() > 0);
        talk.respond(8, 1);
        talk.expect(&["answered", "1 rejected 8", "closed: status 8 for 1", "  2 discarded", "  3 discarded"]);
        talk.expect_silence_for_ever();
    });
}

#[test]
fn b8_the_end_inside_a_response_is_an_end() {
    let frame = [8, 8, 0, 0, 0, 2];
    for present in 0..=5 {
        for end in [End::Clean, End::Cut] {
            converse(&Config::default(), |talk| {
                talk.submit(1..=2);
                talk.send();
                talk.expect(&["> 1 as 1", "> 2 as 2"]);
                talk.receive(&frame[..present]);
                talk.end(end.clone());
                let closed = match (present, &end) {
                    (0, End::Clean) => "closed: peer closed".into(),
                    (0, _) => "closed: cut".into(),
                    _ => format!("closed: truncated after {present}"),
                };
                talk.expect(&[&closed, "  1 unknown, lost", "  2 unknown, lost"]);
                talk.expect_silence_for_ever();
            });
        }
    }
}

#[test]
fn b9_any_split_of_the_response_is_one_response() {
    let frame = [8, 8, 0, 0, 0, 5];
    let told = |cuts: &[usize]| {
        let mut talk = Talk::new(&Config::default(), usize::MAX);
        talk.submit(1..=6);
        talk.send();
        let mut from = 0;
        for &cut in cuts.iter().chain([&6]) {
            talk.client.handle_input(talk.now, &frame[from..cut]);
            talk.client.handle_input(talk.now, &[]);
            from = cut;
        }
        talk.collect();
        talk.transcript
    };
    let whole = told(&[]);
    assert!(whole.contains(&"5 rejected 8".to_string()));
    for first in 1..6 {
        assert_eq!(told(&[first]), whole);
        for second in first..6 {
            assert_eq!(told(&[first, second]), whole);
        }
    }
}

#[test]
fn b11_shutdown_names_the_last_one_accepted() {
    converse(&Config::default(), |talk| {
        talk.submit(1..=5);
        talk.send();
        talk.told = talk.transcript.len();
        talk.respond(10, 3);
        talk.expect(&[
            "answered",
            "1 confirmed",
            "2 confirmed",
            "3 confirmed",
            "closed: status 10 for 3",
            "  4 discarded",
            "  5 discarded",
        ]);
    });
}

#[test]
fn p1_a_close_without_a_word_leaves_all_unknown() {
    for format in FORMATS {
        converse(&with(format), |talk| {
            talk.submit(1..=2);
            talk.send();
            talk.submit([3]);
            talk.told = talk.transcript.len();
            talk.end(End::Clean);
            talk.expect(&["closed: peer closed", "  1 unknown, lost", "  2 unknown, lost", "  3 not written"]);
            talk.expect_silence_for_ever();
        });
    }
}

#[test]
fn p2_the_response_to_batch_1_arrives_in_the_middle_of_batch_2() {
    converse(&Config::default(), |talk| {
        talk.submit(1..=3);
        talk.send();
        talk.submit(4..=5);
        talk.offer();
        talk.take(10);
        talk.submit([6]);
        talk.told = talk.transcript.len();
        talk.respond(8, 2);
        talk.expect(&[
            "answered",
            "1 confirmed",
            "2 rejected 8",
            "closed: status 8 for 2",
            "  3 discarded",
            "  4 discarded",
            "  5 discarded",
            "  6 not written",
        ]);
    });
}

#[test]
fn p3_an_identifier_that_was_never_sent_blames_nobody() {
    for identifier in [4, 99, u32::MAX] {
        converse(&Config::default(), |talk| {
            talk.submit(1..=3);
            talk.send();
            talk.told = talk.transcript.len();
            talk.respond(8, identifier);
            let suspected = |n: u32| format!("  {n} suspected, status 8 for {identifier}");
            talk.expect(&[
                &format!(
                    "warning: the gateway's error response names identifier {identifier}, which was never sent here \
                     (status 8)"
                ),
                &format!("closed: status 8 for {identifier}"),
                &suspected(1),
                &suspected(2),
                &suspected(3),
            ]);
            talk.expect_silence_for_ever();
        });
    }
}

#[test]
fn p4_extra_bytes_behind_the_response_are_ignored() {
    converse(&Config::default(), |talk| {
        talk.submit(1..=2);
        talk.send();
        talk.told = talk.transcript.len();
        talk.receive(b"\x08\x08\0\0\0\x01\x08\x08\0\0\0\x02junk");
        talk.expect(&["answered", "1 rejected 8", "closed: status 8 for 1", "  2 discarded"]);
        talk.expect_silence_for_ever();
    });
}

#[test]
fn p5_every_status_byte_has_its_place_in_the_table() {
    for status in 0..=255_u8 {
        converse(&Config::default(), |talk| {
            talk.submit(1..=3);
            talk.send();
            talk.told = talk.transcript.len();
            talk.respond(status, 2);
            let closed = format!("closed: status {status} for 2");
            if let 3 | 6 = status {
                // About the certificate, and so about none of these.
                let name = Status::from_raw(status).name().unwrap();
                let unread = |number| format!("  {number} not looked at: {status} {name}");
                return talk.expect(&["1 confirmed", &closed, &unread(2), &unread(3)]);
            }
            let named = match status {
                0 => "2 unknown, named without error".to_string(),
                10 => "2 confirmed".into(),
                _ => format!("2 rejected {status}"),
            };
            talk.expect(&["answered", "1 confirmed", &named, &closed, "  3 discarded"]);
        });
    }
}

#[test]
fn p6_identifiers_stay_unique_past_16_bits() {
    let mut talk = Talk::new(&Config::default(), usize::MAX);
    talk.submit(1..=70_000);
    talk.send();
    let sent: Vec<String> = (1..=70_000).map(|n| format!("> {n} as {n}")).collect();
    talk.expect_lines(sent);
    talk.respond(8, 66_000);
    let told = std::mem::take(&mut talk.transcript);
    assert_eq!(told[66_000], "66000 rejected 8");
    assert_eq!(told.iter().filter(|line| line.contains("confirmed")).count(), 65_999);
    assert_eq!(told.iter().filter(|line| line.contains("discarded")).count(), 4000);
    assert_eq!(told.len(), 1 + 70_000 + 1);
}

#[test]
fn a_first_byte_that_is_not_8_ends_the_conversation_and_is_not_interpreted() {
    for format in FORMATS {
        converse(&with(format), |talk| {
            talk.submit(1..=2);
            talk.send();
            talk.told = talk.transcript.len();
            talk.receive(b"HTTP/1.1 400 Bad Request\r\n\x08\x08\0\0\0\x01");
            talk.expect(&["closed: first byte 0x48", "  1 unknown, lost", "  2 unknown, lost"]);
            talk.expect_silence_for_ever();
        });
    }
}

#[test]
fn a_peer_that_never_let_us_in_has_read_nothing() {
    converse(&Config::default(), |talk| {
        talk.submit([1]);
        talk.send();
        talk.told = talk.transcript.len();
        talk.end(End::Refused("certificate revoked".into()));
        // With TLS 1.3 the verdict on the client certificate arrives behind the first notifications.
        talk.expect(&[
            "closed: refused: certificate revoked",
            "  1 not looked at: the server refused the client certificate: certificate revoked",
        ]);
        talk.expect_silence_for_ever();
    });
}

#[test]
fn command_0_cannot_be_named() {
    converse(&with(Format::Simple), |talk| {
        talk.submit(1..=2);
        talk.send();
        talk.expect(&["> 1", "> 2"]);
        // There is no 1 to name on the wire.
        talk.respond(8, 1);
        talk.expect(&[
            "warning: the gateway's error response names identifier 1, which was never sent here (status 8)",
            "closed: status 8 for 1",
            "  1 suspected, status 8 for 1",
            "  2 suspected, status 8 for 1",
        ]);
    });
}

// ---- proof ------------------------------------------------------------------------------------------------------

#[test]
fn the_probe_is_answered_by_its_name_or_by_an_unnamed_missing_token() {
    for format in FORMATS {
        for (status, identifier) in [(2, 3), (5, 3), (8, 3), (0, 3), (128, 3), (255, 3), (2, 0)] {
            converse(&with(format), |talk| {
                talk.submit(1..=2);
                talk.send();
                talk.drain(None);
                talk.told = talk.transcript.len();
                talk.send();
                talk.expect(&["> probe 3"]);
                talk.respond(status, identifier);
                talk.expect(&["answered", "1 confirmed", "2 confirmed", "closed: probe answered"]);
                talk.expect_silence_for_ever();
            });
        }
    }
}

#[test]
fn p15_one_notification_is_proven_in_a_round_trip() {
    converse(&Config::default(), |talk| {
        talk.submit([1]);
        talk.drain(None);
        talk.expect(&["retired"]);
        talk.send();
        talk.expect(&["> 1 as 1", "> probe 2"]);
        talk.wait(ms(40));
        talk.respond(2, 2);
        talk.expect(&["answered", "1 confirmed", "closed: probe answered"]);
        assert_eq!(talk.offer(), 0);
        talk.expect(&["shutdown"]);
    });
}

#[test]
fn shutdown_that_names_the_probe_proves_all_before_it() {
    converse(&Config::default(), |talk| {
        talk.submit(1..=2);
        talk.drain(None);
        talk.send();
        talk.told = talk.transcript.len();
        talk.respond(10, 3);
        talk.expect(&["answered", "1 confirmed", "2 confirmed", "closed: status 10 for 3"]);
    });
}

#[test]
fn another_response_may_come_before_the_answer_to_the_probe() {
    for (status, named) in [(8, "2 rejected 8"), (10, "2 confirmed"), (0, "2 unknown, named without error")] {
        converse(&Config::default(), |talk| {
            talk.submit(1..=3);
            talk.drain(None);
            talk.send();
            talk.told = talk.transcript.len();
            talk.respond(status, 2);
            talk.expect(&[
                "answered",
                "1 confirmed",
                named,
                &format!("closed: status {status} for 2"),
                "  3 discarded",
            ]);
            talk.expect_silence_for_ever();
        });
    }
}

#[test]
fn an_unnamed_response_with_another_status_does_not_answer_the_probe() {
    for (status, identifier) in [(8, 0), (10, 0), (5, 0), (2, 4)] {
        converse(&Config::default(), |talk| {
            talk.submit([1]);
            talk.drain(None);
            talk.send();
            talk.told = talk.transcript.len();
            talk.respond(status, identifier);
            let told = talk.transcript.split_off(talk.told);
            let closed = [
                format!("closed: status {status} for {identifier}"),
                format!("  1 suspected, status {status} for {identifier}"),
            ];
            assert_eq!(told[told.len() - 2..], closed);
            assert!(!told.contains(&"1 confirmed".to_string()));
        });
    }
}

#[test]
fn b3_a_drain_ends_at_its_deadline() {
    for format in FORMATS {
        converse(&with(format), |talk| {
            talk.submit(1..=2);
            talk.send();
            talk.drain(Some(secs(5)));
            talk.send();
            talk.told = talk.transcript.len();
            talk.wait(ms(4_999));
            talk.expect(&["answered"]);
            talk.wait(ms(1));
            talk.expect(&["closed: no answer", "  1 unknown, no answer", "  2 unknown, no answer"]);
            talk.expect_silence_for_ever();
        });
    }
}

#[test]
fn b3_a_drain_that_cannot_even_write_ends_at_its_deadline() {
    converse(&Config::default(), |talk| {
        talk.submit([1]);
        talk.offer();
        talk.submit([2]);
        talk.drain(Some(secs(5)));
        talk.wait(secs(5));
        talk.expect(&["retired", "answered", "closed: no answer", "  1 unknown, no answer", "  2 not written"]);
    });
}

#[test]
fn a_probe_without_a_deadline_is_given_the_answer_timeout() {
    converse(&Config::default().with_answer_timeout(secs(20)), |talk| {
        talk.submit([1]);
        talk.drain(None);
        talk.send();
        talk.told = talk.transcript.len();
        talk.wait(ms(19_999));
        talk.expect(&["answered"]);
        talk.wait(ms(1));
        talk.expect(&["closed: no answer", "  1 unknown, no answer"]);
    });
}

#[test]
fn a_second_drain_only_brings_the_deadline_nearer() {
    converse(&Config::default(), |talk| {
        talk.submit([1]);
        talk.drain(Some(secs(10)));
        talk.send();
        talk.drain(Some(secs(20)));
        talk.drain(None);
        talk.expect(&["retired", "> 1 as 1", "> probe 2"]);
        talk.drain(Some(secs(4)));
        talk.wait(secs(4));
        talk.expect(&["answered", "closed: no answer", "  1 unknown, no answer"]);
    });
}

#[test]
fn a_drain_with_nothing_unproven_closes_at_once_and_sends_no_probe() {
    converse(&Config::default(), |talk| {
        talk.drain(Some(secs(5)));
        talk.expect(&["retired", "closed: finished"]);
        assert_eq!(talk.offer(), 0);
        talk.expect(&["shutdown"]);
        talk.expect_silence_for_ever();
    });
    converse(&Config::default(), |talk| {
        talk.submit([1]);
        talk.send();
        talk.wait(secs(3));
        talk.expect(&["> 1 as 1", "answered", "1 presumed"]);
        talk.drain(None);
        talk.expect(&["retired", "closed: finished"]);
        assert!(talk.wire.len() == frame_len(Format::Items));
    });
}

#[test]
fn a_drain_with_everything_presumed_but_not_told_sends_no_probe() {
    let mut talk = Talk::new(&Config::default(), usize::MAX);
    talk.submit([1]);
    talk.send();
    talk.now = after(talk.now, secs(3));
    talk.client.handle_timeout(talk.now);
    talk.drain(None);
    assert_eq!(talk.offer(), 0);
    talk.expect(&["> 1 as 1", "answered", "retired", "1 presumed", "closed: finished", "shutdown"]);
}

#[test]
fn a_second_drain_does_not_put_off_the_first_before_the_probe_left() {
    converse(&Config::default(), |talk| {
        talk.submit([1]);
        talk.offer();
        talk.drain(Some(secs(4)));
        talk.drain(Some(secs(20)));
        talk.wait(secs(4));
        talk.expect(&["retired", "answered", "closed: no answer", "  1 unknown, no answer"]);
    });
}

#[test]
fn to_prove_an_empty_window_costs_nothing() {
    converse(&Config::default(), |talk| {
        talk.client.prove(talk.now, None);
        talk.collect();
        talk.expect(&[]);
        assert!(talk.client.has_room());
        talk.submit([1]);
        talk.client.prove(talk.now, None);
        talk.send();
        talk.expect(&["retired", "> 1 as 1", "> probe 2"]);
    });
}

#[test]
fn a_draining_connection_takes_no_more() {
    converse(&Config::default(), |talk| {
        talk.submit([1]);
        talk.client.make_room(talk.now);
        assert_eq!(talk.refuses(2), SubmitError::Retired);
        assert!(!talk.client.has_room());
    });
}

// ---- silence ----------------------------------------------------------------------------------------------------

#[test]
fn silence_counts_as_a_yes_after_the_quiet_time() {
    for format in FORMATS {
        converse(&with(format), |talk| {
            talk.submit([1]);
            talk.send();
            talk.wait(secs(1));
            talk.submit([2]);
            talk.send();
            talk.told = talk.transcript.len();
            talk.wait(ms(1_999));
            talk.expect(&[]);
            talk.wait(ms(1));
            talk.expect(&["answered", "1 presumed"]);
            talk.wait(ms(999));
            talk.expect(&[]);
            talk.wait(ms(1));
            talk.expect(&["2 presumed"]);
            talk.wait(secs(10_000));
            talk.expect(&[]);
            assert_eq!(talk.client.poll_timeout(), None, "an idle connection has no timer");
        });
    }
}

#[test]
fn the_quiet_time_counts_from_when_the_transport_took_the_bytes() {
    converse(&Config::default(), |talk| {
        talk.submit([1]);
        talk.offer();
        talk.wait(secs(10));
        talk.expect(&["answered"]);
        talk.take(talk.held.len());
        talk.send();
        talk.expect(&["> 1 as 1"]);
        talk.wait(ms(2_999));
        talk.expect(&[]);
        talk.wait(ms(1));
        talk.expect(&["1 presumed"]);
    });
}

#[test]
fn nothing_is_presumed_while_bytes_are_not_taken() {
    converse(&Config::default(), |talk| {
        talk.submit([1]);
        talk.send();
        talk.submit([2]);
        talk.offer();
        talk.wait(secs(20));
        talk.expect(&["> 1 as 1", "answered"]);
        talk.take(talk.held.len());
        talk.send();
        talk.told = talk.transcript.len();
        talk.wait(secs(3));
        let told = talk.transcript.split_off(talk.told);
        assert_eq!(told, ["1 presumed", "2 presumed"]);
    });
}

#[test]
fn nothing_is_presumed_while_a_probe_is_unanswered() {
    converse(&Config::default(), |talk| {
        talk.submit([1]);
        talk.send();
        talk.wait(ms(2_900));
        talk.drain(None);
        talk.send();
        talk.wait(secs(20));
        talk.expect(&["> 1 as 1", "retired", "> probe 2", "answered"]);
        talk.respond(2, 2);
        talk.expect(&["1 confirmed", "closed: probe answered"]);
    });
}

#[test]
fn nothing_is_presumed_after_a_failed_write() {
    converse(&Config::default(), |talk| {
        talk.submit([1]);
        talk.send();
        talk.fail_write(0);
        talk.wait(secs(10));
        talk.expect(&["> 1 as 1", "answered"]);
        talk.end(End::Cut);
        talk.expect(&["closed: cut", "  1 unknown, lost"]);
    });
}

#[test]
fn b13_a_late_response_names_what_was_presumed() {
    converse(&Config::default(), |talk| {
        talk.submit(1..=10);
        talk.send();
        talk.wait(secs(3));
        talk.submit(11..=12);
        talk.send();
        talk.told = talk.transcript.len();
        talk.respond(8, 3);
        talk.expect(&[
            "warning: the gateway answered late: the notification with identifier 3 had been presumed accepted, and 7 \
             after it are lost too; a longer quiet time prevents this",
            "closed: status 8 for 3",
            "  11 discarded",
            "  12 discarded",
        ]);
        talk.expect_silence_for_ever();
    });
}

#[test]
fn b13_the_range_is_named_and_is_empty_behind_the_last_one() {
    use apns_proto::{ConnectionEvent, Warning};
    for (named, range) in [(1, Some((2, 4))), (3, Some((4, 4))), (4, None)] {
        let mut talk = Talk::new(&Config::default(), usize::MAX);
        talk.submit(1..=4);
        talk.send();
        talk.wait(secs(3));
        let mut frame = BytesMut::new();
        ErrorResponse { status: Status::INVALID_TOKEN, identifier: named }.emit(&mut frame);
        talk.client.handle_input(talk.now, &frame);
        let Some(ConnectionEvent::Warning(warning)) = talk.client.poll_event() else { panic!("no warning") };
        let lost = range.map_or(0, |(first, last): (u32, u32)| u64::from(last - first + 1));
        assert_eq!(warning, Warning::AnsweredTooLate { named, status: 8, lost, range });
    }
}

#[test]
fn what_is_presumed_and_not_told_yet_is_still_corrected() {
    let mut talk = Talk::new(&Config::default(), usize::MAX);
    talk.submit(1..=3);
    talk.send();
    talk.expect(&["> 1 as 1", "> 2 as 2", "> 3 as 3"]);
    talk.now = after(talk.now, secs(3));
    talk.client.handle_timeout(talk.now);
    talk.respond(8, 2);
    talk.expect(&["answered", "1 confirmed", "2 rejected 8", "closed: status 8 for 2", "  3 discarded"]);
}

#[test]
fn what_lies_in_the_socket_counts_however_late_it_is_read() {
    // The process stood still, by a little or by much, and the answer came meanwhile. It is read before or after the
    // transport is asked for more, and the deadline is judged last.
    for held_up in [ms(3_001), ms(3_500), secs(60)] {
        for writes_first in [false, true] {
            let hasty = Config::default().with_answer_timeout(secs(3)).with_write_timeout(secs(3));
            converse(&Config::default(), |talk| {
                talk.submit(1..=2);
                talk.send();
                talk.now = after(talk.now, held_up);
                if writes_first {
                    talk.offer();
                }
                talk.respond(8, 1);
                talk.client.handle_timeout(talk.now);
                talk.expect(&[
                    "> 1 as 1",
                    "> 2 as 2",
                    "answered",
                    "1 rejected 8",
                    "closed: status 8 for 1",
                    "  2 discarded",
                ]);
            });
            // Nothing had come: the silence counts at once.
            converse(&Config::default(), |talk| {
                talk.submit([1]);
                talk.send();
                talk.now = after(talk.now, held_up);
                if writes_first {
                    talk.offer();
                }
                talk.client.handle_timeout(talk.now);
                talk.collect();
                talk.expect(&["> 1 as 1", "answered", "1 presumed"]);
            });
            // The same for the answer to a probe.
            converse(&hasty, |talk| {
                talk.submit([1]);
                talk.drain(None);
                talk.send();
                talk.now = after(talk.now, held_up);
                if writes_first {
                    talk.offer();
                }
                talk.respond(2, 2);
                talk.client.handle_timeout(talk.now);
                talk.expect(&["retired", "> 1 as 1", "> probe 2", "answered", "1 confirmed", "closed: probe answered"]);
            });
        }
        // And for a transport that took the bytes meanwhile.
        let hasty = Config::default().with_write_timeout(secs(3));
        converse(&hasty, |talk| {
            talk.submit([1]);
            talk.offer();
            talk.now = after(talk.now, held_up);
            talk.take(talk.held.len());
            talk.send();
            talk.client.handle_timeout(talk.now);
            talk.wait(secs(3));
            talk.expect(&["> 1 as 1", "answered", "1 presumed"]);
        });
        converse(&hasty, |talk| {
            talk.submit([1]);
            talk.offer();
            talk.now = after(talk.now, held_up);
            talk.client.handle_timeout(talk.now);
            talk.collect();
            talk.expect(&["answered", "closed: write stalled", "  1 unknown, lost"]);
        });
    }
}

#[test]
fn nothing_new_is_written_where_a_deadline_waits_to_be_judged() {
    let hasty = Config::default().with_answer_timeout(secs(3));
    converse(&hasty, |talk| {
        talk.submit([1]);
        talk.drain(Some(secs(2)));
        talk.now = after(talk.now, secs(60));
        talk.offer();
        assert!(talk.held.is_empty());
        talk.client.handle_timeout(talk.now);
        talk.collect();
        talk.expect(&["retired", "answered", "closed: no answer", "  1 not written"]);
    });
}

// ---- the write side ---------------------------------------------------------------------------------------------

#[test]
fn b14_a_failed_write_is_no_reason_to_stop_reading() {
    for format in [Format::Enhanced, Format::Items] {
        converse(&with(format), |talk| {
            talk.submit(1..=4);
            talk.send();
            talk.submit([5]);
            talk.told = talk.transcript.len();
            talk.fail_write(0);
            assert_eq!(talk.offer(), 0);
            assert_eq!(talk.refuses(6), SubmitError::Retired);
            talk.respond(8, 2);
            talk.expect(&[
                "answered",
                "1 confirmed",
                "2 rejected 8",
                "closed: status 8 for 2",
                "  3 discarded",
                "  4 discarded",
                "  5 not written",
            ]);
            talk.expect_silence_for_ever();
        });
    }
}

#[test]
fn b15_what_did_not_leave_whole_counts_as_not_written() {
    for format in FORMATS {
        let one = frame_len(format);
        for unsent in 0..=3 * one {
            let mut talk = Talk::new(&with(format), usize::MAX);
            talk.submit(1..=3);
            assert_eq!(talk.offer(), 3 * one);
            talk.fail_write(unsent);
            talk.end(End::Cut);
            let whole = (3 * one - unsent) / one;
            let mut expected = vec!["closed: cut".to_string()];
            expected.extend((1..=3).map(|n| match n <= whole {
                true => format!("  {n} unknown, lost"),
                false => format!("  {n} not written"),
            }));
            talk.expect_lines(expected);
        }
    }
}

#[test]
fn what_left_in_part_may_be_named() {
    let one = frame_len(Format::Items);
    // The second left in part; its identifier comes first, so the gateway can name it before it has the rest.
    for (status, named) in [(7, "2 rejected 7"), (10, "2 confirmed")] {
        converse(&Config::default(), |talk| {
            talk.submit(1..=3);
            talk.offer();
            talk.fail_write(one + one / 2);
            talk.respond(status, 2);
            talk.expect(&[
                "answered",
                "1 confirmed",
                named,
                &format!("closed: status {status} for 2"),
                "  3 not written",
            ]);
        });
    }
    // Of the third not one byte left, so nobody can know its name.
    converse(&Config::default(), |talk| {
        talk.submit(1..=3);
        talk.offer();
        talk.fail_write(one + one / 2);
        talk.respond(8, 3);
        talk.expect(&[
            "warning: the gateway's error response names identifier 3, which was never sent here (status 8)",
            "closed: status 8 for 3",
            "  1 suspected, status 8 for 3",
            "  2 not written",
            "  3 not written",
        ]);
    });
}

#[test]
fn attempts_count_what_left_at_least_in_part() {
    let one = frame_len(Format::Items);
    let mut talk = Talk::new(&Config::default(), usize::MAX);
    talk.submit(1..=3);
    talk.offer();
    talk.client.handle_write_failure(talk.now, one + 1);
    talk.client.handle_end(talk.now, End::Cut);
    let Some(apns_proto::ConnectionEvent::Closed(closed)) = talk.client.poll_event() else { panic!("not closed") };
    let attempts: Vec<u32> = closed.unsettled.iter().map(|one| one.submission.attempts).collect();
    assert_eq!(attempts, [1, 1, 0]);
}

#[test]
fn a_probe_that_left_in_part_may_be_answered_and_one_that_did_not_cannot() {
    let probe = 20; // bytes on the wire
    for unsent in 1..probe {
        converse(&Config::default(), |talk| {
            talk.submit(1..=2);
            talk.drain(None);
            talk.offer();
            talk.fail_write(unsent);
            talk.respond(2, 3);
            talk.expect(&["retired", "answered", "1 confirmed", "2 confirmed", "closed: probe answered"]);
        });
    }
    converse(&Config::default(), |talk| {
        talk.submit(1..=2);
        talk.drain(None);
        talk.offer();
        talk.fail_write(probe);
        talk.respond(2, 0);
        talk.expect(&[
            "retired",
            "closed: status 2 for 0",
            "  1 suspected, status 2 for 0",
            "  2 suspected, status 2 for 0",
        ]);
    });
}

#[test]
fn an_absurd_count_of_unsent_bytes_takes_back_nothing_that_was_taken() {
    for unsent in [0, 1, 1000, usize::MAX] {
        converse(&Config::default(), |talk| {
            talk.submit(1..=2);
            talk.send();
            talk.expect(&["> 1 as 1", "> 2 as 2"]);
            talk.fail_write(unsent);
            talk.fail_write(unsent);
            talk.end(End::Cut);
            talk.expect(&["closed: cut", "  1 unknown, lost", "  2 unknown, lost"]);
        });
    }
    converse(&Config::default(), |talk| {
        talk.submit(1..=2);
        talk.send();
        talk.expect(&["> 1 as 1", "> 2 as 2"]);
        talk.submit([3]);
        talk.offer();
        talk.fail_write(usize::MAX);
        talk.end(End::Cut);
        talk.expect(&["closed: cut", "  1 unknown, lost", "  2 unknown, lost", "  3 not written"]);
    });
}

#[test]
fn p12_a_write_that_fails_at_a_chunk_edge_skips_nothing() {
    let one = frame_len(Format::Items);
    let total = 3 * CHUNK / one;
    let mut talk = Talk::new(&Config::default(), usize::MAX);
    talk.submit(1..=u32::try_from(total).unwrap());
    let first = talk.offer();
    assert!(first >= CHUNK && first < CHUNK + one, "about a chunk");
    talk.take(first);
    let second = talk.offer();
    talk.transcript.clear();
    talk.fail_write(second);
    talk.end(End::Cut);
    let written = first / one;
    let expected = (1..=total).map(|n| match n <= written {
        true => format!("  {n} unknown, lost"),
        false => format!("  {n} not written"),
    });
    talk.expect_lines(std::iter::once("closed: cut".to_string()).chain(expected));
}

#[test]
fn p7_a_peer_that_stops_reading_is_noticed_and_memory_is_bounded() {
    converse(&Config::default().with_window_count(10).with_write_timeout(secs(30)), |talk| {
        talk.submit(1..=10);
        assert_eq!(talk.refuses(11), SubmitError::Full);
        talk.offer();
        talk.wait(ms(29_999));
        assert_eq!(talk.refuses(11), SubmitError::Full);
        talk.expect(&["answered"]);
        talk.wait(ms(1));
        let told = std::mem::take(&mut talk.transcript);
        assert_eq!(told[1], "closed: write stalled");
        assert_eq!(told[2..], (1..=10).map(|n| format!("  {n} unknown, lost")).collect::<Vec<_>>());
        talk.told = 0;
        assert_eq!(talk.offer(), 0);
        talk.expect(&["shutdown"]);
    });
}

#[test]
fn b22_a_response_is_heard_while_a_write_waits() {
    let big = Payload::from_json(format!(r#"{{"aps":{{"alert":"{}"}}}}"#, "x".repeat(1900))).unwrap();
    let mut talk = Talk::new(&Config::default(), usize::MAX);
    for number in 1..=520 {
        let token = notification(number).token().clone();
        talk.submit_as(number, Notification::new(token, big.clone()));
    }
    let mut moved = 0;
    while moved < 1024 * 1024 - 2 * CHUNK {
        moved += talk.offer();
        talk.take(talk.held.len());
    }
    talk.offer();
    talk.take(100);
    talk.transcript.clear();
    talk.told = 0;
    talk.respond(8, 2);
    assert_eq!(talk.transcript[..4], ["answered", "1 confirmed", "2 rejected 8", "closed: status 8 for 2"]);
    assert_eq!(talk.transcript.len(), 4 + 518);
}

// ---- the window -------------------------------------------------------------------------------------------------

#[test]
fn b12_a_full_window_holds_the_caller_back() {
    converse(&Config::default().with_window_count(100), |talk| {
        talk.submit(1..=100);
        assert!(!talk.client.has_room());
        assert_eq!(talk.refuses(101), SubmitError::Full);
        talk.send();
        assert_eq!(talk.refuses(101), SubmitError::Full);
        talk.wait(secs(3));
        assert!(talk.client.has_room());
        talk.submit([101]);
        talk.send();
        assert_eq!(talk.transcript.last().unwrap(), "> 101 as 101");
        assert_eq!(talk.client.unsettled(), 1);
    });
}

#[test]
fn the_window_is_bounded_by_bytes_too() {
    for format in FORMATS {
        let one = frame_len(format);
        converse(&with(format).with_window_bytes(3 * one), |talk| {
            talk.submit(1..=3);
            assert_eq!(talk.refuses(4), SubmitError::Full);
            talk.send();
            talk.wait(secs(3));
            talk.submit(4..=6);
            assert_eq!(talk.refuses(7), SubmitError::Full);
        });
        converse(&with(format).with_window_bytes(0).with_window_count(0), |talk| {
            talk.submit([1]);
            assert_eq!(talk.refuses(2), SubmitError::Full);
        });
    }
}

#[test]
fn what_no_gateway_takes_is_refused_here() {
    use apns_proto::InvalidNotification::{PayloadTooLarge, PriorityNotSupported};
    let text = format!(r#"{{"aps":{{"alert":"{}"}}}}"#, "x".repeat(2048));
    let large = Notification::new(notification(1).token().clone(), Payload::from_json(text.clone()).unwrap());
    let never_wake = notification(2).with_priority(Priority::NeverWake);
    for format in FORMATS {
        let mut talk = Talk::new(&with(format), usize::MAX);
        let mut cause =
            |n: &Notification| talk.client.submit(talk.now, Submission::new(1, n.clone())).unwrap_err().cause;
        let size = text.len();
        assert_eq!(cause(&large), SubmitError::Invalid(PayloadTooLarge { size, limit: 2048 }));
        assert_eq!(cause(&never_wake), SubmitError::Invalid(PriorityNotSupported { priority: 1 }));
        assert_eq!(talk.client.unsettled(), 0);
    }
}

// ---- expirations ------------------------------------------------------------------------------------------------

fn expiring(number: u32, seconds: u64) -> Notification {
    notification(number).with_expiration(Expiration::At(WallTime::from_secs(WALL + seconds)))
}

#[test]
fn p13_what_expires_before_it_is_written_is_not_sent() {
    for format in FORMATS {
        converse(&with(format), |talk| {
            talk.submit_as(1, expiring(1, 10));
            talk.submit_as(2, expiring(2, 1000));
            talk.submit_as(3, expiring(3, 10));
            talk.wait(secs(10));
            talk.send();
            let two = if format == Format::Simple { "> 2" } else { "> 2 as 1" };
            talk.expect(&["answered", "1 expired", "3 expired", two]);
        });
    }
}

#[test]
fn p13_what_expires_in_flight_is_not_handed_back_to_be_sent_again() {
    converse(&Config::default(), |talk| {
        talk.submit([1]);
        talk.submit_as(2, expiring(2, 1));
        talk.submit_as(3, expiring(3, 100));
        talk.send();
        talk.submit_as(4, expiring(4, 1));
        talk.told = talk.transcript.len();
        talk.wait(ms(1_000));
        talk.respond(8, 1);
        talk.expect(&["answered", "1 rejected 8", "2 expired", "4 expired", "closed: status 8 for 1", "  3 discarded"]);
    });
}

#[test]
fn what_expires_in_flight_and_may_have_arrived_is_unknown() {
    converse(&Config::default(), |talk| {
        talk.submit_as(1, expiring(1, 1));
        talk.send();
        talk.wait(secs(2));
        talk.told = talk.transcript.len();
        talk.end(End::Clean);
        talk.expect(&["closed: peer closed", "  1 unknown, lost"]);
    });
    // Lost once before, and now too late to be sent again: the first copy may have arrived.
    converse(&Config::default(), |talk| {
        let replay = Submission { replays: 1, attempts: 1, ..Submission::new(1, expiring(1, 1)) };
        assert!(talk.client.submit(talk.now, replay).is_ok());
        talk.wait(secs(1));
        talk.send();
        talk.expect(&["1 unknown, lost"]);
    });
    // Lost once before, sent again, thrown away this time, and now too late.
    converse(&Config::default(), |talk| {
        talk.submit([1]);
        let replay = Submission { replays: 1, attempts: 1, ..Submission::new(2, expiring(2, 1)) };
        assert!(talk.client.submit(talk.now, replay).is_ok());
        talk.send();
        talk.wait(secs(2));
        talk.told = talk.transcript.len();
        talk.respond(8, 1);
        talk.expect(&["answered", "1 rejected 8", "2 unknown, lost", "closed: status 8 for 1"]);
    });
}

#[test]
fn b20_a_span_is_written_as_an_absolute_time() {
    let field = |format, expiration: Expiration| {
        let mut talk = Talk::new(&with(format), usize::MAX);
        talk.submit_as(1, notification(1).with_expiration(expiration));
        // Waiting does not prolong it.
        talk.wait(secs(30));
        talk.send();
        let mut decoder = NotificationDecoder::new(Limits::default());
        decoder.decode(&mut &talk.wire[..]).unwrap().unwrap().expiration
    };
    let span = Expiration::After(secs(60));
    let absolute = Some(u32::try_from(WALL + 60).unwrap());
    assert_eq!(field(Format::Items, span), absolute);
    assert_eq!(field(Format::Enhanced, span), absolute);
    assert_eq!(field(Format::Items, Expiration::Omitted), None);
    assert_eq!(field(Format::Enhanced, Expiration::Omitted), Some(0));
    assert_eq!(field(Format::Items, Expiration::Immediately), Some(0));
}

#[test]
fn b10_an_item_is_as_long_as_it_says() {
    let mut talk = Talk::new(&Config::default(), usize::MAX);
    talk.submit_as(1, notification(1).with_priority(Priority::PowerSaving).with_expiration(Expiration::Immediately));
    talk.send();
    talk.expect(&["> 1 as 1"]);
    let length = u32::from_be_bytes(talk.wire[1..5].try_into().unwrap()) as usize;
    assert_eq!(length, talk.wire.len() - 5, "the frame length is what follows it");
    assert!(talk.wire.ends_with(&[4, 0, 4, 0, 0, 0, 0, 5, 0, 1, 5]), "{:02x?}", talk.wire);
}

#[test]
fn p14_a_token_of_28_bytes_is_sent_with_its_true_length() {
    for format in FORMATS {
        let mut talk = Talk::new(&with(format), usize::MAX);
        let token = DeviceToken::from_bytes([7; 28]).unwrap();
        talk.submit_as(1, Notification::new(token, Payload::alert("x")));
        talk.send();
        let mut decoder = NotificationDecoder::new(Limits::default());
        let got = decoder.decode(&mut &talk.wire[..]).unwrap().unwrap();
        assert_eq!(got.token, Bytes::from_static(&[7; 28]));
    }
}

// ---- misuse -----------------------------------------------------------------------------------------------------

#[test]
fn a_close_from_this_side_is_told_once() {
    for format in FORMATS {
        converse(&with(format), |talk| {
            talk.submit([1]);
            talk.send();
            talk.submit([2]);
            talk.told = talk.transcript.len();
            talk.client.close(talk.now);
            talk.collect();
            talk.expect(&["closed: closed here", "  1 unknown, closed", "  2 not written"]);
            talk.expect_silence_for_ever();
        });
    }
}

#[test]
fn early_timeouts_are_harmless() {
    converse(&Config::default(), |talk| {
        talk.submit([1]);
        for _ in 0..1000 {
            talk.client.handle_timeout(talk.now);
            talk.collect();
        }
        talk.send();
        talk.expect(&["> 1 as 1"]);
    });
}

#[test]
fn time_that_goes_backwards_is_ignored() {
    converse(&Config::default(), |talk| {
        talk.submit([1]);
        talk.send();
        let early = Now::new(talk.now.instant - secs(3600), WallTime::from_secs(1));
        talk.submit([2]);
        talk.wait(secs(1));
        let late = talk.now;
        talk.now = early;
        talk.client.handle_timeout(early);
        talk.offer();
        talk.take(talk.held.len());
        talk.offer();
        talk.collect();
        talk.expect(&["> 1 as 1", "> 2 as 2"]);
        // Neither a stall, nor a presumption of what was taken just now.
        talk.now = late;
        talk.wait(ms(2_000));
        talk.expect(&["answered", "1 presumed"]);
        talk.wait(ms(1_000));
        talk.expect(&["2 presumed"]);
    });
}

#[test]
fn neither_token_nor_payload_is_shown() {
    let mut talk = Talk::new(&Config::default(), usize::MAX);
    let token = DeviceToken::from_bytes([0xab; 32]).unwrap();
    talk.submit_as(1, Notification::new(token, Payload::alert("a secret")));
    talk.send();
    let submission =
        Submission::new(2, Notification::new(DeviceToken::from_bytes([0xab; 32]).unwrap(), Payload::alert("a secret")));
    let before = format!("{:?} {submission:?}", talk.client);
    talk.client.handle_input(talk.now, b"\x08\x08\0\0\0\x01");
    let events: Vec<_> = std::iter::from_fn(|| talk.client.poll_event()).collect();
    let refused = talk.client.submit(talk.now, submission).unwrap_err();
    for text in [before, format!("{events:?}"), format!("{refused:?}")] {
        assert!(!text.contains("secret") && !text.contains("abab") && !text.contains("171, 171"), "{text}");
    }
}
