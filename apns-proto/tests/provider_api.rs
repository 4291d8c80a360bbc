//! Conversations between sessions and pretend services of the provider API, in memory and in pretend time.
//!
//! Cases that are tried elsewhere: B36, B39 to B46 (`src/http2/wire/tests`), B67, B68, B74 (`provider_token.rs`), B60's
//! waits (`src/http2/retry.rs`).

#![cfg(all(feature = "http2", feature = "server"))]
#![allow(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

mod world;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use apns_credentials::{SigningKey, SigningSource};
use apns_proto::http2::{
    AfterRejection, ClockSkew, Config, Credential, KeyId, ProviderApi, ProviderToken, Reason, TeamId, TokenError,
    TokenSource, format_http_date,
};
use apns_proto::{
    CloseReason, Connection, ConnectionEvent, End, Expiration, Fate, InvalidNotification, LossPolicy, Machine,
    NotSentCause, Now, Outcome, Proof, RefusalPolicy, Rejection, SessionConfig, Submission, SubmitError, Transmit,
    UnknownCause, WallTime, Warning,
};
use apns_sim::machine::{Answer, ProviderEvent, ServerConfig, Step, Verdict};
use bytes::{Bytes, BytesMut};
use world::*;

const NO_ERROR: u32 = 0;
const STREAM_CLOSED: u32 = 5;
const REFUSED_STREAM: u32 = 7;
const MAX_STREAM: u32 = (1 << 31) - 1;

/// HEADERS for stream 1, and its end: status 200.
const ACCEPTED: &[u8] = b"\0\0\x01\x01\x05\0\0\0\x01\x88";

fn go_away(last_stream: u32) -> Step {
    Step::GoAway { last_stream: Some(last_stream), code: NO_ERROR, debug: Bytes::new() }
}

fn rejection(outcome: &Outcome) -> (u16, &str) {
    let Outcome::Rejected(rejection) = outcome else { panic!("{outcome:?} is no rejection") };
    (rejection.status(), rejection.reason())
}

/// With which status and reason the credential was refused.
fn refused(outcome: &Outcome) -> (Option<u16>, Option<&str>) {
    let Outcome::NotSent { cause } = outcome else { panic!("{outcome:?} is no refusal of the credential") };
    let refusal = cause.credential_refusal().expect("a refusal of the credential");
    (refusal.status(), refusal.reason())
}

#[test]
fn each_notification_gets_its_own_answer() {
    for split in SPLITS {
        let mut world = World::of(|_, request| match key_of(request) {
            2 => refuse(400, "BadDeviceToken"),
            _ => accept(request),
        })
        .split(split);
        world.submit(1..=3);
        let accepted = |key| Outcome::Accepted { proof: Proof::Confirmed, apns_id: Some(id_of(key)), unique_id: None };
        assert_eq!(*world.outcome(1), accepted(1));
        assert_eq!(*world.outcome(3), accepted(3));
        assert_eq!(rejection(world.outcome(2)), (400, "BadDeviceToken"));
        assert_eq!(world.dials.len(), 1);
    }
}

mod streams {
    use super::*;

    #[test]
    fn b29_a_refused_stream_is_sent_again_once_and_ends_once() {
        for split in SPLITS {
            let seen = shared(BTreeMap::<u32, u32>::new());
            let record = seen.clone();
            let mut world = World::new(api(), move |_| {
                let record = record.clone();
                service_with(ServerConfig::default().with_stream_limit(1), move |_, request| {
                    let key = key_of(request);
                    let mut seen = record.borrow_mut();
                    let times = seen.entry(key).or_default();
                    *times += 1;
                    if (key, *times) == (3, 1) {
                        return Verdict::reset(REFUSED_STREAM).then(Step::Reset { code: STREAM_CLOSED });
                    }
                    accept(request)
                })
            })
            .split(split);
            world.submit(1..=4);
            world.pass(seconds(1));
            assert_eq!(world.words(), [("accepted", 4)].into());
            assert_eq!(*seen.borrow(), [(1, 1), (2, 1), (3, 2), (4, 1)].into());
            assert_eq!(world.dials.len(), 1);
            assert_eq!(world.settled[&3].replays, 0, "the service did not look at it: no duplicate is possible");
        }
    }

    #[test]
    fn b30_the_limit_falls_and_rises_while_requests_are_open() {
        let arrivals = shared(Vec::new());
        let record = arrivals.clone();
        let mut world = World::new(api(), move |_| {
            let record = record.clone();
            service_with(ServerConfig::default().with_stream_limit(500), move |now, request| {
                record.borrow_mut().push(now.instant);
                accept(request).after(seconds(1))
            })
        })
        .taken();
        world.submit(0..200);
        assert_eq!(arrivals.borrow().len(), 200);
        world.perform(Step::StreamLimit(1));
        world.submit(200..400);
        assert_eq!(arrivals.borrow().len(), 200, "none is sent above the new limit");
        world.pass(Duration::from_millis(1500));
        assert_eq!(world.words(), [("accepted", 200)].into());
        world.pass(seconds(3));
        assert_eq!(arrivals.borrow().len(), 204, "one at a time");
        assert!(arrivals.borrow()[200..].windows(2).all(|pair| pair[1] - pair[0] == seconds(1)));
        world.perform(Step::StreamLimit(500));
        assert_eq!(arrivals.borrow().len(), 400, "all that waited are sent");
        world.pass(seconds(2));
        assert_eq!(world.words(), [("accepted", 400)].into());
        assert_eq!(world.dials.len(), 1);
    }

    #[test]
    fn b32_a_limit_of_zero_ends_with_the_connection() {
        let mut world = World::new(api(), |attempt| match attempt {
            1 => service_with(ServerConfig::default().with_stream_limit(0), |_, request| accept(request)),
            _ => Dialled::Refused { fatal: false },
        });
        world.submit(1..=5);
        assert!(world.settled.is_empty());
        world.cut(End::Clean);
        world.pass(seconds(120));
        assert_eq!(world.words(), [("not_sent", 5)].into());
        assert_eq!(world.gave_up, 1);
    }

    #[test]
    fn a_limit_of_zero_for_ever_is_not_waited_for_for_ever() {
        let mut world = World::new(api(), |_| {
            service_with(ServerConfig::default().with_stream_limit(0), |_, request| accept(request))
        });
        world.submit(1..=5);
        world.pass(seconds(29));
        assert!(world.settled.is_empty() && world.reports.is_empty());
        world.pass(seconds(2));
        assert_eq!(world.reports[0].reason, CloseReason::NoAnswer);
        assert_eq!(world.reports[0].sent_again, 1);
        world.pass(seconds(120));
        assert_eq!(world.words(), [("not_sent", 5)].into());
    }

    #[test]
    fn b33_no_limit_is_no_limit_but_our_own() {
        let open = shared(0_usize);
        let count = open.clone();
        let mut world = World::new(api(), move |_| {
            let count = count.clone();
            service_with(ServerConfig::default().with_settings(Vec::new()), move |_, request| {
                *count.borrow_mut() += 1;
                accept(request).after(seconds(1))
            })
        })
        .taken();
        world.submit(0..2500);
        assert_eq!(*open.borrow(), 1000);
        world.pass(seconds(3));
        assert_eq!(world.words(), [("accepted", 2500)].into());
    }

    #[test]
    fn b37_a_thousand_requests_without_an_answer_free_their_places() {
        let mut world =
            World::of(|_, request| if key_of(request) < 1000 { Verdict::silence() } else { accept(request) }).taken();
        world.submit(0..1000);
        assert_eq!(world.last().server.as_ref().unwrap().open_requests(), 1000);
        world.submit(1000..1001);
        assert!(world.settled.is_empty(), "all places are taken");
        world.pass(seconds(31));
        assert_eq!(world.words(), [("accepted", 1), ("unknown", 1000)].into());
        assert_eq!(world.last().server.as_ref().unwrap().open_requests(), 0);
        let cancelled =
            world.last().events.iter().filter(|event| matches!(event, ProviderEvent::Cancelled { code: Some(8), .. }));
        assert_eq!(cancelled.count(), 1000, "each stream was reset with CANCEL");
        assert_eq!(world.dials.len(), 1, "the connection answered the pings");
    }

    #[test]
    fn b38_when_stream_identifiers_run_out_another_connection_takes_over() {
        let streams = shared(Vec::new());
        let record = streams.clone();
        let api = api().with_config(Config::default().with_max_requests(2));
        let mut world = World::new(api, move |attempt| {
            let record = record.clone();
            service(move |_, request| {
                record.borrow_mut().push((attempt, request.stream()));
                accept(request)
            })
        });
        world.submit(1..=5);
        assert_eq!(world.words(), [("accepted", 5)].into());
        assert_eq!(*streams.borrow(), [(1, 1), (1, 3), (2, 1), (2, 3), (3, 1)]);
        assert!(world.reports.iter().all(|report| report.reason == CloseReason::Finished));
    }

    #[test]
    fn b121_what_is_open_and_what_waits_is_bounded() {
        let api = api().with_config(Config::default().with_max_streams(10));
        let now = start();
        let mut client = api.connect::<u32>(now);
        client.handle_input(now, b"\0\0\0\x04\0\0\0\0\0");
        assert_eq!(client.room(), 1, "until the first answer");
        let mut out = BytesMut::new();
        client.submit(now, Submission::new(100, notification(100))).unwrap();
        assert_eq!(client.poll_transmit(now, &mut out), Transmit::Ready);
        client.handle_input(now, ACCEPTED);
        for key in 0..10 {
            assert!(client.has_room());
            client.submit(now, Submission::new(key, notification(key))).unwrap();
        }
        assert!(!client.has_room());
        let refused = client.submit(now, Submission::new(10, notification(10))).unwrap_err();
        assert_eq!((refused.submission.key, refused.cause), (10, SubmitError::Full));
        assert_eq!(client.poll_transmit(now, &mut BytesMut::new()), Transmit::Ready);
        assert!(!client.has_room(), "sent is not settled");
    }

    #[test]
    fn a_service_that_refuses_everything_is_not_asked_in_circles() {
        let seen = shared(0);
        let count = seen.clone();
        let mut world = World::new(api(), move |_| {
            let count = count.clone();
            service(move |_, _| {
                *count.borrow_mut() += 1;
                Verdict::reset(REFUSED_STREAM)
            })
        });
        world.submit(1..=3);
        world.pass(seconds(300));
        assert_eq!(world.words(), [("not_sent", 3)].into());
        assert!(*seen.borrow() <= 40, "{} attempts", seen.borrow());
        assert_eq!(world.reports[0].reason, CloseReason::RefusesRequests);
    }

    #[test]
    fn a_refusal_lowers_the_number_of_open_requests_until_the_next_answer() {
        let open = shared(0);
        let count = open.clone();
        let mut refused = false;
        let mut world = World::new(api(), move |_| {
            let count = count.clone();
            service(move |_, request| {
                if key_of(request) == 3 && !std::mem::replace(&mut refused, true) {
                    return Verdict::reset(REFUSED_STREAM);
                }
                *count.borrow_mut() += 1;
                accept(request).after(seconds(1))
            })
        })
        .taken();
        world.submit(1..=3);
        world.submit(4..=5);
        assert_eq!(*open.borrow(), 2, "no more than it took");
        world.pass(seconds(1));
        world.submit(6..=50);
        assert_eq!(*open.borrow(), 50);
        world.pass(seconds(1));
        assert_eq!(world.words(), [("accepted", 50)].into());
    }

    #[test]
    fn s13_headers_above_the_limit_are_refused_here_with_their_size() {
        let jwt = format!("{}.eyJpYXQiOjE3MDAwMDAwMDB9.x", "a".repeat(8000));
        let source = Fixed { token: Mutex::new(Some(ProviderToken::from_jwt(&jwt, start()).unwrap())) };
        let mut world = World::new(with_source(Arc::new(source)), |_| service(|_, request| accept(request)));
        world.submit([1]);
        let Outcome::NotSent { cause: NotSentCause::Invalid(InvalidNotification::HeadersTooLarge { size, limit }) } =
            world.outcome(1)
        else {
            panic!("{:?}", world.outcome(1))
        };
        assert!((8000..9000).contains(size) && *limit == 8000, "{size} of {limit}");
        assert_eq!(world.session.unsettled(), 0);
    }
}

mod leaving {
    use super::*;

    #[test]
    fn b47_a_reason_that_is_a_matter_of_credentials_stops_the_session() {
        for split in SPLITS {
            let mut world = World::of(|_, _| Verdict::silence()).split(split);
            world.submit([1, 2]);
            let now = world.now;
            let server = world.last().server.as_mut().unwrap();
            server.perform(now, Step::go_away(0, "BadCertificateEnvironment"));
            server.perform(now, go_away(0));
            server.perform(now, Step::Close);
            world.run();
            let reason = Some("BadCertificateEnvironment".into());
            assert_eq!(world.reports[0].reason, CloseReason::GoAway { reason, code: 0, fatal: true });
            assert!(world.stopped.as_ref().unwrap().contains("BadCertificateEnvironment"));
            assert_eq!(world.words(), [("not_sent", 2)].into());
            assert_eq!(world.dials.len(), 1);
        }
    }

    #[test]
    fn b48_a_second_goaway_only_lowers() {
        for split in SPLITS {
            let first = shared(true);
            let mut world = World::new(api(), move |_| {
                let first = first.replace(false);
                service(move |_, request| match (first, request.stream()) {
                    (true, 5) => accept(request).after(seconds(5)),
                    (true, 7..) => Verdict::silence(),
                    _ => accept(request),
                })
            })
            .split(split);
            world.submit(1..=5);
            assert_eq!(world.words(), [("accepted", 2)].into());
            let now = world.now;
            let server = world.last().server.as_mut().unwrap();
            server.perform(now, go_away(MAX_STREAM));
            server.perform(now, go_away(5));
            world.run();
            assert_eq!(
                world.words(),
                [("accepted", 4)].into(),
                "streams 7 and 9 were sent again on another connection"
            );
            assert_eq!(world.word(3), "open");
            assert_eq!(world.dials.len(), 2);
            world.pass(seconds(5));
            assert_eq!(world.word(3), "accepted");
            assert_eq!(world.settled[&5].attempts, 2);
            assert_eq!(world.reports[0].reason, CloseReason::GoAway { reason: None, code: 0, fatal: false });
        }
    }

    #[test]
    fn b50_after_goaway_the_next_goes_to_another_connection() {
        let mut world = World::of(|_, request| accept(request));
        world.submit([1]);
        world.perform(go_away(1));
        assert_eq!(world.dials.len(), 1, "nothing to send yet");
        world.submit([2]);
        assert_eq!(world.words(), [("accepted", 2)].into());
        assert_eq!(world.dials.len(), 2);
    }

    #[test]
    fn b52_a_goaway_that_was_not_read_before_the_next_request() {
        for split in SPLITS {
            let mut world = World::of(|_, request| accept(request)).split(split);
            world.submit([1]);
            let now = world.now;
            // It is on its way when the request leaves.
            world.last().server.as_mut().unwrap().perform(now, Step::go_away(1, "Shutdown"));
            world.submit([2]);
            assert_eq!(world.words(), [("accepted", 2)].into());
            assert_eq!((world.settled[&2].attempts, world.settled[&2].replays), (2, 0));
            let reason = Some("Shutdown".into());
            assert_eq!(world.reports[0].reason, CloseReason::GoAway { reason, code: 0, fatal: false });
        }
    }

    #[test]
    fn b53_above_the_last_stream_nothing_was_processed() {
        for split in SPLITS {
            let mut world = World::new(api(), |attempt| {
                service(move |_, request| match attempt {
                    1 if request.stream() == 1 => accept(request).after(seconds(1)),
                    1 => Verdict::silence(),
                    _ => accept(request),
                })
            })
            .split(split);
            world.submit([1, 2]);
            world.perform(go_away(1));
            assert_eq!(world.word(2), "accepted", "at once, on another connection");
            assert_eq!(world.word(1), "open");
            world.pass(seconds(1));
            assert_eq!(world.words(), [("accepted", 2)].into());
            assert_eq!(world.settled[&2].replays, 0);
        }
    }

    #[test]
    fn b55_after_the_end_nothing_follows() {
        let now = start();
        let mut client = api().connect::<u32>(now);
        client.handle_input(now, b"\0\0\0\x04\0\0\0\0\0");
        let frame = b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0";
        client.handle_input(now, &frame.repeat(1000));
        let mut closed = 0;
        while let Some(event) = client.poll_event() {
            closed += usize::from(matches!(event, ConnectionEvent::Closed(_)));
        }
        assert_eq!(closed, 1);
        let mut out = BytesMut::new();
        assert_eq!(client.poll_transmit(now, &mut out), Transmit::Shutdown);
        out.clear();
        for _ in 0..1000 {
            client.handle_input(now, frame);
            client.handle_timeout(now);
            client.handle_end(now, End::Cut);
            client.close(now);
            client.drain(now, None);
            assert_eq!(client.poll_transmit(now, &mut out), Transmit::Shutdown);
        }
        assert!(out.is_empty());
        assert_eq!(client.poll_timeout(), None);
        assert_eq!(client.poll_event(), None);
        assert!(client.is_closed() && !client.has_room());
        let refused = client.submit(now, Submission::new(1, notification(1))).unwrap_err();
        assert_eq!(refused.cause, SubmitError::Retired);
    }

    #[test]
    fn a_503_with_shutdown_replaces_the_connection() {
        let mut world = World::new(api(), |attempt| {
            service(move |_, request| if attempt == 1 { refuse(503, "Shutdown") } else { accept(request) })
        });
        world.submit([1]);
        assert_eq!(rejection(world.outcome(1)), (503, "Shutdown"));
        world.submit([2]);
        assert_eq!(world.word(2), "accepted");
        assert_eq!(world.dials.len(), 2);
    }

    #[test]
    fn an_answer_without_a_status_replaces_the_connection_and_leaves_the_others() {
        let mut world = World::new(api(), |attempt| {
            service(move |_, request| match (attempt, key_of(request)) {
                (1, 1) => accept(request).after(seconds(1)),
                // HEADERS for stream 5, with one field that is no status.
                (1, 2) => {
                    Verdict::default().then(Step::Inject(Bytes::from_static(b"\0\0\x05\x01\x05\0\0\0\x05\0\x01a\x011")))
                }
                _ => accept(request),
            })
        })
        .taken();
        world.submit([1, 2]);
        assert_eq!(*world.outcome(2), Outcome::Unknown { cause: UnknownCause::BrokenOff { code: 1 } });
        world.submit([3]);
        assert_eq!(world.dials.len(), 2);
        world.pass(seconds(1));
        assert_eq!(world.words(), [("accepted", 2), ("unknown", 1)].into());
        assert_eq!(world.reports[0].reason, CloseReason::Violation { code: 1 });
    }

    #[test]
    fn the_reason_is_read_although_nothing_can_be_written() {
        let mut world = World::of(|_, request| accept(request));
        world.submit([1]);
        let link = *world.peers.keys().next().unwrap();
        world.session.handle_write_failure(world.now, link, 0);
        world.last().network = Network::Full;
        world.perform(Step::go_away(1, "BadCertificate"));
        world.perform(Step::Close);
        assert!(world.stopped.as_ref().unwrap().contains("BadCertificate"));
    }

    #[test]
    fn draining_keeps_the_nearer_deadline() {
        let now = start();
        let mut client = api().connect::<u32>(now);
        client.handle_input(now, b"\0\0\0\x04\0\0\0\0\0");
        client.submit(now, Submission::new(1, notification(1))).unwrap();
        assert_eq!(client.poll_transmit(now, &mut BytesMut::new()), Transmit::Ready);
        let at = |count| Now::new(now.instant + seconds(count), now.wall);
        client.drain(now, Some(at(5).instant));
        client.drain(now, None);
        client.drain(now, Some(at(9).instant));
        assert_eq!(client.poll_timeout(), Some(at(5).instant));
        client.handle_timeout(at(5));
        assert_eq!(client.poll_event(), Some(ConnectionEvent::Retired));
        let Some(ConnectionEvent::Closed(closed)) = client.poll_event() else { panic!("it closes") };
        assert_eq!(closed.unsettled[0].fate, Fate::Unknown(UnknownCause::NoAnswer));
    }

    #[test]
    fn s12_a_header_block_that_cannot_be_decoded_replaces_the_connection_and_is_told() {
        for split in SPLITS {
            let mut world = World::new(api(), |attempt| {
                service(move |_, request| match (attempt, key_of(request)) {
                    (1, 1 | 3) => Verdict::silence(),
                    // HEADERS for stream 5 with an index that no table has.
                    (1, 2) => {
                        Verdict::default().then(Step::Inject(Bytes::from_static(b"\0\0\x01\x01\x05\0\0\0\x05\x80")))
                    }
                    _ => accept(request),
                })
            })
            .split(split)
            .taken();
            world.submit(1..=3);
            assert_eq!(world.words(), [("unknown", 3)].into(), "all were written");
            assert_eq!(world.reports[0].reason, CloseReason::Violation { code: 9 });
            world.pass(seconds(2));
            // The peer is told before the connection closes, through the session too.
            assert!(world.last_words.contains(&ProviderEvent::GoAway { code: 9 }), "{:?}", world.last_words);
            world.submit([4]);
            assert_eq!(world.word(4), "accepted");
            assert_eq!(world.dials.len(), 2);
        }
    }

    /// An answer that breaks a rule of HTTP says all the same what became of the notification: it is not sent again, a token
    /// is dropped, and the connection goes on.
    #[test]
    fn s12_a_malformed_answer_is_an_answer() {
        // A field with the name `A`; a length of 99 and a body of 35; a length of 0 and the same body.
        let body = b"{\"reason\":\"BadDeviceToken\"}     ";
        let upper = b"\0\0\x06\x01\x05\0\0\0\x01\x88\0\x01A\x011".to_vec();
        let lying = |stream: u8, length: &[u8; 2]| {
            let head = [b"\0\0\x06\x01\x04\0\0\0", &[stream][..], b"\x8c\x0f\x0d\x02", length].concat();
            [&head[..], b"\0\0", &[body.len() as u8], b"\0\x01\0\0\0", &[stream], body].concat()
        };
        for split in SPLITS {
            let bytes = [upper.clone(), lying(3, b"99"), lying(5, b"00")];
            let mut world = World::new(api(), move |_| {
                let bytes = bytes.clone();
                service(move |_, request| match key_of(request) {
                    key @ 1..=3 => Verdict::default().then(Step::Inject(Bytes::from(bytes[key as usize - 1].clone()))),
                    _ => accept(request),
                })
            })
            .split(split);
            world.submit(1..=4);
            let words: Vec<_> = (1..=4).map(|key| world.word(key)).collect();
            assert_eq!(words, ["accepted", "rejected", "rejected", "accepted"]);
            assert_eq!(world.dials.len(), 1);
        }
    }
}

mod silence {
    use super::*;

    #[test]
    fn b58_one_request_without_an_answer_ends_alone() {
        for split in SPLITS {
            let api = api().with_config(Config::default().with_request_timeout(seconds(2)));
            let mut world = World::new(api, |_| {
                service(|_, request| if request.stream() == 3 { Verdict::silence() } else { accept(request) })
            })
            .split(split);
            world.submit(1..=3);
            world.pass(Duration::from_millis(1999));
            assert_eq!(world.words(), [("accepted", 2)].into());
            world.pass(Duration::from_millis(1));
            assert_eq!(*world.outcome(2), Outcome::Unknown { cause: UnknownCause::NoAnswer });
            assert_eq!(world.last().server.as_ref().unwrap().open_requests(), 0);
            world.submit([4]);
            assert_eq!(world.word(4), "accepted");
            assert_eq!(world.dials.len(), 1);
        }
    }

    /// One request is out until the credential was taken, so each of many would wait for those before it.
    #[test]
    fn a_service_that_never_answers_costs_a_few_and_keeps_the_rest_waiting_no_longer_than_patience() {
        let api = api().with_config(Config::default().with_request_timeout(seconds(30)));
        let mut world = World::new(api, |_| service(|_, _| Verdict::silence()));
        world.submit(1..=1000);
        world.pass(seconds(100));
        assert_eq!(world.words(), [("not_sent", 998), ("unknown", 2)].into());
        let Outcome::NotSent { cause } = world.outcome(1000) else { panic!("it never left") };
        assert_eq!(cause.to_string(), "no connection in time: no answer came in time");
        world.submit([2000]);
        world.pass(seconds(30));
        assert_eq!(world.word(2000), "unknown", "it goes on trying");
    }

    #[test]
    fn a_service_that_answers_late_is_a_connection_from_then_on() {
        let api = api().with_config(Config::default().with_request_timeout(seconds(30)));
        let mut world = World::new(api, |_| {
            service(|_, request| if key_of(request) == 1 { Verdict::silence() } else { accept(request) })
        });
        world.submit(1..=1000);
        world.pass(seconds(30));
        assert_eq!(world.words(), [("accepted", 999), ("unknown", 1)].into());
    }

    #[test]
    fn b58_several_in_a_row_are_asked_about() {
        let api = api().with_config(Config::default().with_request_timeout(seconds(2)));
        let mut world = World::new(api, |attempt| {
            service(move |_, request| if attempt == 1 { Verdict::silence() } else { accept(request) })
        })
        .taken();
        world.submit(1..=3);
        world.last().network = Network::Black;
        world.pass(seconds(2));
        assert_eq!(world.words(), [("unknown", 3)].into());
        assert!(world.reports.is_empty());
        world.submit([4]);
        world.pass(seconds(10));
        assert_eq!(world.reports[0].reason, CloseReason::NoAnswer, "the PING after the third found nobody");
    }

    #[test]
    fn b58_an_answer_between_means_that_it_lives() {
        let config = Config::default().with_request_timeout(seconds(2)).with_ping_when_silent(Duration::MAX);
        let mut world = World::new(api().with_config(config), |_| {
            service(|_, request| if key_of(request) == 3 { accept(request) } else { Verdict::silence() })
        })
        .taken();
        world.submit([1, 2]);
        world.pass(seconds(2));
        world.submit([3]);
        world.submit([4]);
        world.last().network = Network::Black;
        world.pass(seconds(20));
        assert_eq!(world.words(), [("accepted", 1), ("unknown", 3)].into());
        assert!(world.reports.is_empty(), "one in a row is not asked about");
    }

    #[test]
    fn b124_a_dead_connection_has_three_classes() {
        for split in SPLITS {
            let mut world = World::new(api(), |attempt| {
                let config = ServerConfig::default().with_stream_limit(if attempt == 1 { 5 } else { 100 });
                service_with(config, move |_, request| if attempt == 1 { Verdict::silence() } else { accept(request) })
            })
            .split(split)
            .taken();
            world.submit(1..=15);
            world.last().network = Network::Black;
            world.pass(seconds(19));
            assert!(world.settled.is_empty());
            world.pass(seconds(3));
            assert_eq!(world.words(), [("accepted", 10), ("unknown", 5)].into());
            assert_eq!(*world.outcome(5), Outcome::Unknown { cause: UnknownCause::NoAnswer });
            assert!((6..=15).all(|key| world.settled[&key].attempts == 1));
        }
    }

    #[test]
    fn b125_what_is_unknown_is_reported_or_sent_again_if_asked() {
        let silent_once = || {
            let mut first = true;
            move |_: usize| {
                let silent = std::mem::replace(&mut first, false);
                service(move |_, request| if silent { Verdict::silence() } else { accept(request) })
            }
        };
        let mut world = World::new(api(), silent_once());
        world.submit([1]);
        world.cut(End::Cut);
        world.pass(seconds(5));
        assert_eq!(world.words(), [("unknown", 1)].into());

        let config = SessionConfig::default().with_loss_policy(LossPolicy::RESEND);
        let mut world = World::with(api(), config, silent_once());
        world.submit([1]);
        world.cut(End::Cut);
        world.pass(seconds(5));
        assert_eq!(world.words(), [("accepted", 1)].into());
        assert_eq!((world.settled[&1].attempts, world.settled[&1].replays), (2, 1));
    }

    #[test]
    fn b111_a_connection_that_died_while_idle_is_found_before_it_is_used() {
        let mut world = World::of(|_, request| accept(request));
        world.submit([1]);
        world.pass(seconds(35 * 60));
        world.last().network = Network::Black;
        world.submit([2]);
        assert_eq!(world.word(2), "open");
        world.pass(seconds(10));
        assert_eq!(world.word(2), "accepted");
        assert_eq!(world.settled[&2].attempts, 1, "nothing was written on the dead connection");
        assert_eq!(world.dials.len(), 2);
    }

    #[test]
    fn an_idle_connection_that_lives_is_used_after_one_round_trip() {
        let mut world = World::of(|_, request| accept(request));
        world.submit([1]);
        world.pass(seconds(6 * 60));
        world.submit([2]);
        assert_eq!(world.word(2), "accepted");
        assert_eq!(world.dials.len(), 1);
    }

    #[test]
    fn an_idle_connection_is_asked_every_hour() {
        let mut world = World::of(|_, request| accept(request));
        world.submit([1]);
        world.pass(seconds(5 * 3600));
        assert!(world.reports.is_empty());
        world.last().network = Network::Black;
        world.pass(seconds(3600 + 10));
        assert_eq!(world.reports[0].reason, CloseReason::NoAnswer);
        assert_eq!(world.dials.len(), 1, "nothing to send");
    }

    #[test]
    fn idle_and_age_have_limits_where_asked_for() {
        let idle = api().with_config(Config::default().with_max_idle(seconds(60)));
        let mut world = World::new(idle, |_| service(|_, request| accept(request).after(seconds(20))));
        world.submit([1]);
        world.pass(seconds(50));
        world.submit([2]);
        world.pass(seconds(79));
        assert!(world.reports.is_empty());
        world.pass(seconds(1));
        assert_eq!(world.reports[0].reason, CloseReason::Finished);

        let old = api().with_config(Config::default().with_max_age(seconds(60)));
        let mut world = World::new(old, |_| service(|_, request| accept(request).after(seconds(20))));
        world.submit([1]);
        world.pass(seconds(50));
        world.submit([2]);
        world.pass(seconds(11));
        world.submit([3]);
        assert_eq!(world.dials.len(), 2, "the old connection finishes, the new one takes over");
        world.pass(seconds(30));
        assert_eq!(world.words(), [("accepted", 3)].into());
        assert_eq!(world.reports.len(), 1);
    }

    #[test]
    fn a_transport_that_takes_nothing_is_given_up() {
        let mut world = World::new(api(), |attempt| {
            service(move |_, request| if attempt == 1 { Verdict::silence() } else { accept(request) })
        })
        .taken();
        world.submit([1]);
        let now = world.now;
        let link = *world.peers.keys().next().unwrap();
        // Its bytes are handed out and stay with the transport.
        world.session.submit(now, 2, notification(2));
        assert_eq!(world.session.poll_transmit(now, link, &mut BytesMut::new()), Transmit::Ready);
        world.last().network = Network::Full;
        let heard = b"\0\0\x08\x06\x01\0\0\0\0ignored.";
        for _ in 0..3 {
            world.pass(seconds(9));
            world.session.handle_input(world.now, link, heard);
        }
        world.pass(seconds(3));
        assert_eq!(world.reports[0].reason, CloseReason::WriteStalled);
        assert_eq!(world.words(), [("unknown", 2)].into());
    }

    #[test]
    fn what_never_left_is_sent_elsewhere() {
        let mut world = World::new(api(), |attempt| {
            service(move |_, request| if attempt == 1 { Verdict::silence() } else { accept(request) })
        })
        .taken();
        world.submit([1]);
        // 20 bytes of the next request get through.
        world.last().breaks_after = Some(20);
        let link = *world.peers.keys().next().unwrap();
        let mut out = BytesMut::new();
        world.session.submit(world.now, 2, notification(2));
        assert_eq!(world.session.poll_transmit(world.now, link, &mut out), Transmit::Ready);
        world.session.handle_write_failure(world.now, link, out.len() - 20);
        assert_eq!(world.session.unsettled(), 2);
        world.last().network = Network::Full;
        world.submit([3]);
        assert_eq!(world.word(3), "accepted", "on another connection");
        world.session.handle_end(world.now, link, End::Cut);
        world.run();
        assert_eq!(world.word(1), "unknown");
        assert_eq!(world.word(2), "accepted");
        assert_eq!(world.settled[&2].replays, 0);
    }

    #[test]
    fn an_answer_after_a_failed_write_still_counts() {
        let mut world = World::of(|_, request| accept(request).after(seconds(1)));
        world.submit([1]);
        let link = *world.peers.keys().next().unwrap();
        world.session.handle_write_failure(world.now, link, 0);
        world.last().network = Network::Full;
        world.pass(seconds(1));
        assert_eq!(world.word(1), "accepted");
    }
}

mod connecting {
    use super::*;

    #[test]
    fn b61_a_peer_that_closes_at_once_is_a_failed_attempt() {
        let mut world = World::new(api(), |_| service(|_, request| accept(request)));
        // The service closes before it says anything.
        world.session.submit(world.now, 1, notification(1));
        for _ in 0..600 {
            while let Some(event) = world.session.poll_event() {
                if let apns_proto::SessionEvent::Dial { link } = event {
                    world.dials.push(world.now.instant);
                    assert!(world.session.connected(world.now, link));
                    world.session.handle_end(world.now, link, End::Clean);
                }
            }
            let step = Duration::from_millis(100);
            world.now = Now::new(world.now.instant + step, world.now.wall.saturating_add(step));
            world.session.handle_timeout(world.now);
        }
        assert!((5..=7).contains(&world.dials.len()), "{} attempts in a minute", world.dials.len());
        let waits: Vec<Duration> = world.dials.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(waits.windows(2).all(|pair| pair[1] > pair[0]), "{waits:?}");
    }

    #[test]
    fn b62_refused_connects_come_ever_more_seldom() {
        let mut world = World::new(api(), |_| Dialled::Refused { fatal: false });
        world.submit(0..100);
        world.pass(seconds(10));
        assert!(world.dials.len() <= 5, "{} attempts", world.dials.len());
    }

    #[test]
    fn b63_closing_without_a_connection_settles_all() {
        let mut world = World::new(api(), |_| Dialled::Refused { fatal: false });
        world.submit(1..=5);
        world.session.close(world.now, Some(world.now.instant + seconds(1)));
        world.pass(seconds(1));
        assert_eq!(world.words(), [("not_sent", 5)].into());
        assert!(world.finished);
    }

    #[test]
    fn b115_a_peer_that_does_not_speak_http2_stops_the_session() {
        for split in SPLITS {
            let mut world = World::new(api(), |_| Dialled::Stranger(b"HTTP/1.1 400 Bad Request\r\n\r\n")).split(split);
            world.submit([1]);
            assert_eq!(world.reports[0].reason, CloseReason::NotHttp2 { received: "HTTP/1.1 ".into() });
            let why = world.stopped.as_ref().unwrap();
            assert!(why.contains("HTTP/1.1") && why.contains("h2"), "{why}");
            assert_eq!(world.words(), [("not_sent", 1)].into());
        }
    }

    #[test]
    fn a_peer_that_says_nothing_is_given_up() {
        let mut world = World::new(api(), |_| Dialled::Stranger(b""));
        world.submit([1]);
        world.pass(seconds(10));
        assert_eq!(world.reports[0].reason, CloseReason::NoAnswer);
        world.pass(seconds(120));
        assert_eq!(world.words(), [("not_sent", 1)].into());
    }

    #[test]
    fn a_client_certificate_that_is_refused_behind_the_handshake_leaves_all_unsent() {
        let mut world = World::of(|_, _| Verdict::silence());
        world.submit(1..=3);
        world.cut(End::Refused("certificate revoked".into()));
        assert!(world.stopped.as_ref().unwrap().contains("certificate revoked"));
        assert_eq!(world.words(), [("not_sent", 3)].into(), "who is not let in was not listened to");
        assert_eq!(world.settled[&1].attempts, 1);
    }

    #[test]
    fn closing_waits_for_the_answers() {
        let mut world = World::of(|_, request| accept(request).after(seconds(3))).taken();
        world.submit(1..=3);
        world.session.close(world.now, Some(world.now.instant + seconds(10)));
        world.pass(seconds(2));
        assert!(!world.finished);
        world.pass(seconds(1));
        assert_eq!(world.words(), [("accepted", 3)].into());
        assert!(world.finished);
        assert_eq!(world.reports[0].reason, CloseReason::Finished);
    }

    #[test]
    fn closing_has_a_deadline() {
        let mut world = World::new(api(), |_| {
            service_with(ServerConfig::default().with_stream_limit(2), |_, _| Verdict::silence())
        })
        .taken();
        world.submit(1..=5);
        world.session.close(world.now, Some(world.now.instant + seconds(10)));
        world.pass(seconds(9));
        assert!(!world.finished && world.settled.is_empty());
        world.pass(seconds(1));
        assert!(world.finished);
        assert_eq!(world.words(), [("not_sent", 3), ("unknown", 2)].into());
    }

    #[test]
    fn proving_ends_with_the_answers() {
        let mut world = World::of(|_, request| accept(request).after(seconds(1))).taken();
        world.submit(1..=3);
        world.session.prove(world.now, Some(world.now.instant + seconds(5)));
        world.pass(seconds(1));
        assert_eq!(world.words(), [("accepted", 3)].into());
        world.submit([4]);
        world.pass(seconds(1));
        assert_eq!(world.word(4), "accepted", "the session goes on");
    }

    #[test]
    fn an_expired_notification_is_not_sent() {
        let mut world = World::new(api(), |_| {
            service_with(ServerConfig::default().with_stream_limit(1), |_, request| accept(request).after(seconds(20)))
        });
        world.submit([1]);
        let short = notification(2).with_expiration(Expiration::After(seconds(5)));
        world.session.submit(world.now, 2, short);
        world.pass(seconds(21));
        assert_eq!(*world.outcome(2), Outcome::Expired);
        assert_eq!(world.settled[&2].attempts, 0);
    }
}

mod tokens {
    use super::*;

    fn signing() -> Arc<SigningSource> {
        let key = SigningKey::read(include_bytes!("../../apns-credentials/tests/keys/p8.pem")).unwrap();
        Arc::new(SigningSource::new(key, KeyId::new("ABC123DEFG").unwrap(), TeamId::new("DEF123GHIJ").unwrap()))
    }

    type Uses = Shared<Vec<(usize, Bytes)>>;

    /// Judges, and writes down which connection used which token.
    fn noting(
        uses: &Uses,
        attempt: usize,
        judge: impl Fn(Now, &apns_sim::machine::ProviderRequest) -> Verdict + 'static,
    ) -> Dialled {
        let uses = uses.clone();
        service(move |now, request| {
            let token = request.header("authorization").expect("each request has a token");
            uses.borrow_mut().push((attempt, Bytes::copy_from_slice(token)));
            judge(now, request)
        })
    }

    fn distinct(uses: &Uses) -> usize {
        uses.borrow().iter().map(|(_, token)| token.clone()).collect::<std::collections::BTreeSet<_>>().len()
    }

    #[test]
    fn one_stream_until_the_first_answer() {
        let arrived = shared(0);
        let count = arrived.clone();
        let mut world = World::new(with_source(signing()), move |_| {
            let count = count.clone();
            service(move |_, request| {
                *count.borrow_mut() += 1;
                accept(request).after(seconds(1))
            })
        });
        world.submit(1..=50);
        assert_eq!(*arrived.borrow(), 1);
        world.pass(seconds(1));
        assert_eq!(*arrived.borrow(), 50);
        world.pass(seconds(1));
        assert_eq!(world.words(), [("accepted", 50)].into());
    }

    #[test]
    fn b59_an_expired_token_is_renewed_once() {
        for split in SPLITS {
            let uses = Uses::default();
            let record = uses.clone();
            let mut world = World::new(with_source(signing()), move |attempt| {
                noting(&record, attempt, move |_, request| match attempt {
                    1 => refuse(403, "ExpiredProviderToken"),
                    _ => accept(request),
                })
            })
            .split(split);
            world.submit([1]);
            world.pass(seconds(2));
            assert_eq!(world.word(1), "accepted");
            assert_eq!(world.settled[&1].attempts, 2);
            assert_eq!(distinct(&uses), 2, "the second with a new token");
            assert_eq!(uses.borrow()[1].0, 2, "and on a new connection");
        }
    }

    #[test]
    fn b59_the_second_expired_token_is_a_refusal_of_the_credential() {
        let uses = Uses::default();
        let record = uses.clone();
        let mut world = World::new(with_source(signing()), move |attempt| {
            noting(&record, attempt, |_, _| refuse(403, "ExpiredProviderToken"))
        });
        world.submit([1]);
        world.pass(seconds(5));
        assert_eq!(refused(world.outcome(1)), (Some(403), Some("ExpiredProviderToken")));
        assert_eq!((uses.borrow().len(), distinct(&uses)), (2, 2));
    }

    #[test]
    fn b59_once_is_once_whatever_the_source_says() {
        /// Never runs out of new tokens.
        #[derive(Debug)]
        struct Stubborn(Arc<SigningSource>);

        impl TokenSource for Stubborn {
            fn token(&self, now: Now) -> Result<ProviderToken, TokenError> {
                self.0.token(now)
            }

            fn rejected(&self, _: Now, _: &ProviderToken, _: &Reason, _: Option<ClockSkew>) -> AfterRejection {
                AfterRejection::NewConnection
            }
        }

        let api = with_source(Arc::new(Stubborn(signing())));
        let mut world = World::new(api, |_| service(|_, _| refuse(403, "ExpiredProviderToken")));
        world.submit([1]);
        world.pass(seconds(30));
        assert_eq!(refused(world.outcome(1)), (Some(403), Some("ExpiredProviderToken")));
        assert_eq!((world.settled[&1].attempts, world.dials.len()), (2, 2));
    }

    #[test]
    fn b59_patience_begins_anew_with_the_connection_for_the_new_token() {
        let config = SessionConfig::default().with_patience(seconds(3));
        let mut world = World::with(with_source(signing()), config, |attempt| match attempt {
            1 => Dialled::Refused { fatal: false },
            2 => service(|_, _| refuse(403, "ExpiredProviderToken").after(Duration::from_millis(1_500))),
            _ => service(|_, request| accept(request)),
        });
        world.submit([1]);
        world.pass(seconds(30));
        assert!(world.outcome(1).is_accepted(), "{:?}", world.settled);
    }

    #[test]
    fn b73_a_wrong_clock_ends_in_its_name_and_not_in_a_loop_of_signatures() {
        let uses = Uses::default();
        let record = uses.clone();
        let mut world = World::new(with_source(signing()), move |attempt| {
            noting(&record, attempt, |now, _| {
                let right = WallTime::from_secs(now.wall.as_secs() + 7200);
                let answer = Answer::refusal(403, "ExpiredProviderToken").with_header("date", format_http_date(right));
                Verdict::answer(answer)
            })
        });
        world.submit(0..10);
        world.pass(seconds(30));
        world.submit(10..20);
        world.pass(seconds(30));
        assert_eq!(world.words(), [("not_sent", 20)].into());
        assert_eq!(distinct(&uses), 2);
        assert!(world.dials.len() <= 3, "{} connections", world.dials.len());
        let [Warning::Token(TokenError::Clock { skew: Some(ClockSkew::Behind(skew)) }), ..] = &world.warnings[..]
        else {
            panic!("{:?}", world.warnings)
        };
        // The header has whole seconds.
        assert!((7199..=7200).contains(&skew.as_secs()), "{skew:?}");
        assert!(world.warnings[0].to_string().contains(" s behind"), "{}", world.warnings[0]);
    }

    #[test]
    fn b71_too_many_token_updates_replace_the_connection_and_keep_the_token() {
        let uses = Uses::default();
        let record = uses.clone();
        let mut world = World::new(with_source(signing()), move |attempt| {
            noting(&record, attempt, move |_, request| match attempt {
                1 => refuse(429, "TooManyProviderTokenUpdates"),
                _ => accept(request),
            })
        });
        world.submit(1..=5);
        world.pass(seconds(2));
        assert_eq!(world.words(), [("accepted", 5)].into());
        assert_eq!(distinct(&uses), 1);
        assert_eq!(world.dials.len(), 2);
    }

    #[test]
    fn a_service_that_always_wants_fewer_updates_is_not_dialled_in_circles() {
        let wait = SessionConfig::default().with_refusal_policy(RefusalPolicy::Wait);
        let mut world =
            World::with(with_source(signing()), wait, |_| service(|_, _| refuse(429, "TooManyProviderTokenUpdates")));
        world.submit(0..200);
        world.pass(seconds(120));
        assert!(world.dials.len() <= 9, "{} connections in two minutes", world.dials.len());
        assert_eq!((world.session.unsettled(), world.settled.len()), (200, 0));
    }

    #[test]
    fn b69_a_connection_keeps_its_token_for_twenty_minutes() {
        let uses = Uses::default();
        let source = signing();
        let mut worlds: Vec<World> = (0..2)
            .map(|number| {
                let uses = uses.clone();
                World::new(with_source(source.clone()), move |attempt| {
                    noting(&uses, number * 100 + attempt, |_, request| accept(request))
                })
            })
            .collect();
        let begin = start();
        let minute = |world: &mut World, minute: u64| {
            world.now =
                Now::new(begin.instant + seconds(60 * minute), WallTime::from_secs(begin.wall.as_secs() + 60 * minute));
            world.session.handle_timeout(world.now);
            world.run();
        };
        minute(&mut worlds[0], 0);
        worlds[0].submit([1]);
        minute(&mut worlds[1], 46);
        worlds[1].submit([2]);
        // Rotation is due at 50 minutes; the second connection first used the old token 5 minutes ago.
        minute(&mut worlds[0], 51);
        worlds[0].submit([3]);
        minute(&mut worlds[1], 51);
        worlds[1].submit([4]);
        minute(&mut worlds[1], 57);
        worlds[1].submit([5]);
        let uses = uses.borrow();
        let [first, second, third, fourth, fifth] = &uses[..] else { panic!("{} requests", uses.len()) };
        assert_eq!(first.1, second.1, "one token for both");
        assert_ne!(third.1, first.1, "the first connection has had it for 51 minutes");
        assert_eq!((fourth.0, &fourth.1), (101, &first.1), "the second keeps it");
        assert_eq!(
            (fifth.0, &fifth.1),
            (102, &third.1),
            "until it is too old: then another connection has the new one"
        );
        assert!(worlds.iter().all(|world| world.words().len() == 1));
    }

    #[test]
    fn b75_after_an_idle_hour_the_first_request_has_a_new_token() {
        let uses = Uses::default();
        let record = uses.clone();
        let mut world =
            World::new(with_source(signing()), move |attempt| noting(&record, attempt, |_, request| accept(request)));
        world.submit([1]);
        world.pass(seconds(61 * 60));
        world.submit([2]);
        assert_eq!(world.words(), [("accepted", 2)].into());
        assert_eq!(distinct(&uses), 2);
    }

    #[test]
    fn b75_a_500_on_a_connection_with_an_old_token_replaces_it() {
        let mut world = World::new(with_source(signing()), |attempt| {
            service(move |_, request| match (attempt, key_of(request)) {
                (1, 1) => accept(request),
                (1, _) => refuse(500, "InternalServerError"),
                _ => accept(request),
            })
        });
        world.submit([1]);
        world.pass(seconds(61 * 60));
        world.submit([2]);
        assert_eq!(rejection(world.outcome(2)), (500, "InternalServerError"));
        world.submit([3]);
        assert_eq!(world.word(3), "accepted");
        assert_eq!(world.dials.len(), 2);
    }

    #[test]
    fn a_500_on_a_young_connection_is_an_answer_like_any_other() {
        let mut world = World::new(with_source(signing()), |_| service(|_, _| refuse(500, "InternalServerError")));
        world.submit(1..=100);
        assert_eq!(world.words(), [("rejected", 100)].into());
        assert_eq!(world.dials.len(), 1);
    }

    #[test]
    fn a_source_without_a_token_is_asked_for_one() {
        let source = Arc::new(Fixed { token: Mutex::new(None) });
        let mut world = World::new(with_source(source.clone()), |_| service(|_, request| accept(request)));
        world.submit(1..=3);
        world.pass(Duration::from_millis(300));
        assert_eq!((world.tokens_wanted, world.settled.len()), (1, 0));
        world.pass(seconds(5));
        assert_eq!((world.tokens_wanted, world.settled.len()), (1, 0), "it is said once");
        *source.token.lock().unwrap() = Some(signing().token(world.now).unwrap());
        world.pass(seconds(1));
        assert_eq!(world.words(), [("accepted", 3)].into());
    }

    #[test]
    fn a_source_that_got_its_token_by_itself_is_noticed() {
        let source = Arc::new(Fixed { token: Mutex::new(None) });
        let mut world = World::new(with_source(source.clone()), |_| service(|_, request| accept(request)));
        world.submit([1]);
        *source.token.lock().unwrap() = Some(signing().token(world.now).unwrap());
        world.pass(seconds(1));
        assert_eq!(world.words(), [("accepted", 1)].into());
    }

    #[test]
    fn a_source_that_never_has_a_token_is_not_waited_for_for_ever() {
        let source = Arc::new(Fixed { token: Mutex::new(None) });
        let mut world = World::new(with_source(source), |_| service(|_, request| accept(request)));
        world.submit(1..=3);
        world.pass(seconds(31));
        let why = "no provider token can be had: the vault is closed".into();
        assert_eq!(world.reports[0].reason, CloseReason::NoToken { why });
        world.pass(seconds(120));
        assert_eq!(world.words(), [("not_sent", 3)].into());
        let Outcome::NotSent { cause } = world.outcome(1) else { panic!("{:?}", world.outcome(1)) };
        assert!(cause.to_string().contains("the vault is closed"), "{cause}");
    }

    #[test]
    fn a_token_that_is_refused_for_good_is_reported() {
        let mut world = World::new(with_source(signing()), |_| service(|_, _| refuse(403, "InvalidProviderToken")));
        world.submit(1..=20);
        assert_eq!(world.words(), [("not_sent", 20)].into());
        assert_eq!(world.warnings, [Warning::Token(TokenError::Refused(Reason::InvalidProviderToken))], "once");
        assert_eq!(world.dials.len(), 1);
        assert_eq!(world.session.stopped(), None, "it tries again");
    }

    #[test]
    fn without_a_topic_nothing_is_sent_with_a_token() {
        let mut world = World::new(with_source(signing()), |_| service(|_, request| accept(request)));
        let token = *notification(1).token().as_bytes().first_chunk::<32>().unwrap();
        let bare = apns_proto::Notification::new(
            apns_proto::DeviceToken::from_bytes(token).unwrap(),
            apns_proto::Payload::alert("Tea is ready"),
        );
        world.session.submit(world.now, 1, bare);
        world.run();
        let missing = NotSentCause::Invalid(InvalidNotification::MissingTopic);
        assert_eq!(*world.outcome(1), Outcome::NotSent { cause: missing });
    }
}

mod reporting {
    use super::*;

    #[test]
    fn b60_the_wait_that_the_service_asks_for_is_in_the_outcome() {
        let mut world =
            World::of(|_, _| Verdict::answer(Answer::refusal(429, "TooManyRequests").with_header("retry-after", "3")));
        world.submit([1]);
        let Outcome::Rejected(Rejection::Provider(rejection)) = world.outcome(1) else { panic!("a refusal") };
        assert_eq!(rejection.retry_after(), Some(seconds(3)));
    }

    #[test]
    fn nothing_secret_shows() {
        let jwt = "c2VjcmV0LWhlYWRlcg.eyJpYXQiOjE3MDAwMDAwMDB9.c2VjcmV0LXNpZ25hdHVyZQ";
        let source = Fixed { token: Mutex::new(Some(ProviderToken::from_jwt(jwt, start()).unwrap())) };
        let api = with_source(Arc::new(source));
        let now = start();
        let mut client = api.connect::<u32>(now);
        client.handle_input(now, b"\0\0\0\x04\0\0\0\0\0");
        client.submit(now, Submission::new(7, notification(7))).unwrap();
        let mut out = BytesMut::new();
        assert_eq!(client.poll_transmit(now, &mut out), Transmit::Ready);
        let mut shown = format!("{api:?} {client:?}");
        let events = shared(Vec::new());
        let record = events.clone();
        let mut server = apns_sim::machine::ProviderServer::new(
            move |_: Now, request: &apns_sim::machine::ProviderRequest| {
                record.borrow_mut().push(format!("{request:?}"));
                Verdict::silence()
            },
            &ServerConfig::default(),
        );
        server.handle_input(now, &out);
        shown.push_str(&format!("{server:?} {:?} {:?}", server.poll_event().unwrap(), events.borrow()));
        client.close(now);
        while let Some(event) = client.poll_event() {
            shown.push_str(&format!("{event:?}"));
        }
        for secret in ["c2VjcmV0", "00000007", "ababab", "Tea is ready"] {
            assert!(!shown.contains(secret), "{secret} shows in {shown}");
        }
    }

    #[test]
    fn the_terminal_event_lists_what_is_left() {
        let now = start();
        let mut client = api().with_config(Config::default().with_max_streams(2)).connect::<u32>(now);
        client.handle_input(now, b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x01");
        let mut out = BytesMut::new();
        client.submit(now, Submission::new(0, notification(0))).unwrap();
        assert_eq!(client.poll_transmit(now, &mut out), Transmit::Ready);
        client.handle_input(now, ACCEPTED);
        while client.poll_event().is_some() {}
        client.submit(now, Submission::new(1, notification(1))).unwrap();
        assert_eq!(client.poll_transmit(now, &mut out), Transmit::Ready);
        // The limit rises, and is not used yet.
        client.handle_input(now, b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x05");
        client.submit(now, Submission::new(2, notification(2))).unwrap();
        client.close(now);
        let Some(ConnectionEvent::Closed(closed)) = client.poll_event() else { panic!("one event") };
        assert_eq!(closed.reason, CloseReason::ClosedHere);
        let fates: Vec<_> = closed.unsettled.into_iter().map(|one| (one.submission.key, one.fate)).collect();
        assert_eq!(fates, [(1, Fate::Unknown(UnknownCause::Closed)), (2, Fate::NotWritten)]);
        assert_eq!(client.poll_event(), None);
        assert_eq!(client.unsettled(), 0);
    }
}

/// A source that has what it was given.
#[derive(Debug)]
struct Fixed {
    token: Mutex<Option<ProviderToken>>,
}

impl TokenSource for Fixed {
    fn token(&self, _now: Now) -> Result<ProviderToken, TokenError> {
        self.token.lock().unwrap().clone().ok_or_else(|| TokenError::Unavailable("the vault is closed".into()))
    }

    fn rejected(&self, _: Now, _: &ProviderToken, reason: &Reason, _: Option<ClockSkew>) -> AfterRejection {
        AfterRejection::Stop(TokenError::Refused(reason.clone()))
    }
}

fn with_source(source: Arc<dyn TokenSource>) -> ProviderApi {
    ProviderApi::new("api.push.apple.com", Credential::Token(source)).unwrap()
}

/// Nothing else would wake the connection in time: its PINGs come later.
#[test]
fn the_deadline_of_a_request_is_armed() {
    let config = Config::default().with_request_timeout(seconds(7));
    let mut world = World::new(api().with_config(config), |_| service(|_, _| Verdict::silence()));
    world.submit([1]);
    assert_eq!(world.session.poll_timeout(), Some(world.now.instant + seconds(7)));
    world.pass(seconds(7));
    assert_eq!(world.word(1), "unknown");
}
