//! The binary gateway.

use std::collections::HashMap;
use std::pin::pin;
use std::time::Duration;

use crate::common::{self, BAD_TOKENS, bad, client, good};
use apns_sim::{Cut, Faults, HandshakeFault, Junk, Keep, Script, Simulator, Stall, TlsVersion};
use apns_tokio::proto::binary::Config;
use apns_tokio::proto::{LossPolicy, NotSentCause, Outcome, Payload, Proof, UnknownCause};
use apns_tokio::{ClientEvent, Delivery, TrySendError};
use futures_util::{StreamExt, stream};

const LIMIT: Duration = Duration::from_secs(60);

fn script(json: &str) -> Script {
    Script::from_json(json).expect("a script of these tests")
}

async fn settle_all(
    client: &apns_tokio::Client,
    notifications: impl Iterator<Item = apns_tokio::proto::Notification>,
) -> Vec<Delivery> {
    let mut run = pin!(client.send_all(stream::iter(notifications.enumerate())));
    let mut found: HashMap<usize, Delivery> = HashMap::new();
    while let Some((key, delivery)) = run.next().await {
        assert!(found.insert(key, delivery).is_none(), "{key} ended twice");
    }
    let mut ordered: Vec<_> = found.into_iter().collect();
    ordered.sort_by_key(|(key, _)| *key);
    assert!(ordered.iter().enumerate().all(|(place, (key, _))| place == *key), "one has no end");
    ordered.into_iter().map(|(_, delivery)| delivery).collect()
}

/// One bad token in a hundred costs nothing but itself, and what is written again stays within bounds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_with_one_bad_in_a_hundred_agree_with_the_gateway() {
    const COUNT: u32 = 100_000;
    let simulator = Simulator::builder().script(script(BAD_TOKENS)).keep(Keep::TokenCounts).start().await.unwrap();
    let client = client(&simulator).start().unwrap();
    let payload = Payload::alert("Tea is ready");
    let is_bad = |number: u32| number % 100 == 50;
    let all = (0..COUNT).map(|n| if is_bad(n) { bad(n, &payload) } else { good(n, &payload) });
    let deliveries = settle_all(&client, all).await;

    let mut written = 0_u64;
    for (number, delivery) in (0..COUNT).zip(&deliveries) {
        written += u64::from(delivery.attempts);
        if is_bad(number) {
            let Outcome::Rejected(rejection) = &delivery.outcome else { panic!("{number}: {delivery:?}") };
            assert_eq!(rejection.status(), 8);
        } else {
            assert_eq!(delivery.outcome, Outcome::accepted(Proof::Confirmed), "{number}");
        }
    }
    simulator.inspect(|log| {
        let (mut tokens, mut copies) = (0, 0);
        for (token, count) in log.accepted_by_token() {
            assert_eq!(token[0], 0xaa, "a bad token was taken");
            tokens += 1;
            copies += count;
        }
        assert_eq!((tokens, copies), (COUNT * 99 / 100, u64::from(COUNT) * 99 / 100), "each good one once");
        assert_eq!(log.counts().refused, u64::from(COUNT) / 100);
    });
    assert!(written < 5 * u64::from(COUNT), "each was written {} times on average", written as f64 / f64::from(COUNT));
    assert_eq!(client.close(LIMIT).await.unsettled, []);
}

/// A full window is proven, not waited for: nothing of a million is presumed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_that_share_one_payload_are_all_confirmed() {
    const COUNT: u32 = 1_000_000;
    let simulator = Simulator::builder().keep(Keep::Counts).start().await.unwrap();
    let client = client(&simulator).start().unwrap();
    let payload = Payload::alert("Tea is ready");
    let mut run = pin!(client.send_all(stream::iter((0..COUNT).map(|n| (n, good(n, &payload))))));
    let mut confirmed = 0;
    while let Some((number, delivery)) = run.next().await {
        assert_eq!(delivery.outcome, Outcome::accepted(Proof::Confirmed), "{number}");
        confirmed += 1;
    }
    assert_eq!(confirmed, COUNT);
    assert_eq!(simulator.counts().accepted, u64::from(COUNT));
}

/// Whatever byte the connection is cut at, nothing is called accepted that the gateway did not take.
async fn cut_at_every_byte(policy: LossPolicy) {
    const COUNT: u32 = 4;
    let payload = Payload::alert("x");
    // Command 2 with a token of 32 bytes: 5 + 7 + 35 + 3 bytes and the payload.
    let frame = 50 + payload.size() as u64;
    for offset in 0..=frame * u64::from(COUNT) + 20 {
        let faults = Faults::default().connection(1).cut(Cut::after_read(offset));
        let script = Script::default().gateway_faults(faults);
        let simulator = Simulator::builder().script(script).start().await.expect("loopback has free ports");
        let client = client(&simulator)
            .loss_policy(policy)
            .backoff(Duration::from_millis(1), Duration::from_millis(5))
            .start()
            .expect("the settings are good");
        let deliveries = settle_all(&client, (0..COUNT).map(|n| good(n, &payload))).await;
        for (number, delivery) in (0..COUNT).zip(&deliveries) {
            let taken = simulator.inspect(|log| log.accepted_for(common::token(0xaa, number).as_bytes()));
            match &delivery.outcome {
                Outcome::Accepted { .. } => assert!(taken > 0, "cut at {offset}: {number} was not taken"),
                Outcome::Unknown { .. } => assert_eq!(policy, LossPolicy::Report, "cut at {offset}: {number} is lost"),
                other => panic!("cut at {offset}: {number} ended as {other:?}"),
            }
            match policy {
                LossPolicy::Report => assert!(taken <= 1, "cut at {offset}: {number} was taken {taken} times"),
                LossPolicy::Resend { .. } => assert!(taken >= 1, "cut at {offset}: {number} was never taken"),
            }
        }
        client.close(LIMIT).await;
    }
}

#[tokio::test]
async fn cut_at_every_byte_and_reported() {
    cut_at_every_byte(LossPolicy::Report).await;
}

#[tokio::test]
async fn cut_at_every_byte_and_sent_again() {
    cut_at_every_byte(LossPolicy::RESEND).await;
}

#[tokio::test]
async fn p15_one_notification_takes_a_round_trip_and_is_proven() {
    let simulator = Simulator::start().await.unwrap();
    let client = client(&simulator).start().unwrap();
    let pending = client.try_send(good(1, &Payload::alert("x"))).unwrap();
    assert_eq!(client.close(LIMIT).await.unsettled, []);
    // Presumed is what the quiet time would have made of it.
    assert_eq!(pending.await.outcome, Outcome::accepted(Proof::Confirmed));
}

#[tokio::test]
async fn silence_for_the_quiet_time_is_a_presumption() {
    let simulator = Simulator::start().await.unwrap();
    let config = Config::default().with_quiet_time(Duration::from_millis(50));
    let client = client(&simulator).config(config).start().unwrap();
    assert_eq!(client.send(good(1, &Payload::alert("x"))).await, Outcome::accepted(Proof::Presumed));
    assert_eq!(simulator.counts().accepted, 1);
}

#[tokio::test]
async fn p7_a_peer_that_stops_reading_ends_in_time_with_an_outcome_for_all() {
    const COUNT: u32 = 50_000;
    let faults = Faults::default().stall(Stall::after_read(1000));
    let simulator = Simulator::builder().script(Script::default().gateway_faults(faults)).start().await.unwrap();
    let config = Config::default().with_write_timeout(Duration::from_millis(300));
    let client = client(&simulator)
        .config(config)
        .patience(Duration::from_millis(300))
        .backoff(Duration::from_secs(5), Duration::from_secs(5))
        .start()
        .unwrap();
    // 100 MB: more than all the buffers between here and there.
    let payload = Payload::alert("x".repeat(2000));
    let deliveries = settle_all(&client, (0..COUNT).map(|n| good(n, &payload))).await;
    assert!(deliveries.iter().all(|delivery| !delivery.outcome.is_accepted()));
    let unknown = deliveries.iter().filter(|one| matches!(one.outcome, Outcome::Unknown { .. })).count();
    let window = 16 * 1024 * 1024 / 2000;
    assert!(unknown > 0 && unknown <= window, "{unknown} were written, more than one window");
}

#[tokio::test]
async fn p9_a_handshake_that_never_ends_is_given_up() {
    let faults = Faults::default().handshake(HandshakeFault::Never);
    let simulator = Simulator::builder().script(Script::default().gateway_faults(faults)).start().await.unwrap();
    let client = client(&simulator)
        .connect_timeout(Duration::from_millis(100))
        .patience(Duration::from_millis(300))
        .start()
        .unwrap();
    let outcome = client.send(good(1, &Payload::alert("x"))).await;
    let Outcome::NotSent { cause: NotSentCause::NoConnection(why) } = outcome else { panic!("{outcome:?}") };
    assert!(why.contains("handshake"), "{why}");
}

#[tokio::test]
async fn a_gigabyte_of_junk_ends_at_its_first_byte() {
    let junk = Junk::Bytes(1_000_000_000.try_into().unwrap());
    let faults = Faults::default().junk(junk);
    let simulator = Simulator::builder().script(Script::default().gateway_faults(faults)).start().await.unwrap();
    let client = client(&simulator)
        .patience(Duration::from_millis(200))
        .backoff(Duration::from_millis(50), Duration::from_millis(50))
        .start()
        .unwrap();
    let outcome = client.send(good(1, &Payload::alert("x"))).await;
    match &outcome {
        Outcome::Unknown { cause: UnknownCause::ConnectionLost(why) } => assert!(why.contains("protocol"), "{why}"),
        Outcome::NotSent { cause: NotSentCause::NoConnection(why) } => assert!(why.contains("protocol"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn junk_in_the_place_of_the_handshake_is_not_trusted() {
    let faults = Faults::default().junk(Junk::BytesBeforeTls(1_000_000.try_into().unwrap()));
    let simulator = Simulator::builder().script(Script::default().gateway_faults(faults)).start().await.unwrap();
    let client = client(&simulator).patience(Duration::from_millis(100)).start().unwrap();
    let outcome = client.send(good(1, &Payload::alert("x"))).await;
    assert!(matches!(outcome, Outcome::NotSent { cause: NotSentCause::NoConnection(_) }), "{outcome:?}");
}

#[tokio::test]
async fn p8_session_tickets_do_not_end_the_connection() {
    let simulator = Simulator::builder().highest_tls(TlsVersion::V1_3).start().await.unwrap();
    let config = Config::default().with_quiet_time(Duration::from_millis(50));
    let client = client(&simulator).config(config).start().unwrap();
    let payload = Payload::alert("x");
    for number in 0..5 {
        assert!(client.send(good(number, &payload)).await.is_accepted());
    }
    assert_eq!(simulator.counts().gateway_connections, 1);
}

#[tokio::test]
async fn tls_1_2_works_as_well() {
    let simulator = Simulator::builder().highest_tls(TlsVersion::V1_2).start().await.unwrap();
    let client = client(&simulator).start().unwrap();
    let pending = client.try_send(good(1, &Payload::alert("x"))).unwrap();
    client.close(LIMIT).await;
    assert_eq!(pending.await.outcome, Outcome::accepted(Proof::Confirmed));
}

#[tokio::test]
async fn p10_many_callers_share_the_first_connection() {
    let simulator = Simulator::start().await.unwrap();
    let client = client(&simulator).start().unwrap();
    let payload = Payload::alert("x");
    let pendings: Vec<_> = (0..1000).map(|n| client.try_send(good(n, &payload)).unwrap()).collect();
    client.close(LIMIT).await;
    for pending in pendings {
        assert_eq!(pending.await.outcome, Outcome::accepted(Proof::Confirmed));
    }
    assert_eq!(simulator.counts().gateway_connections, 1);
}

#[tokio::test]
async fn b22_the_reason_is_read_while_a_write_is_pending() {
    // The first one is refused, and nothing more is read: only a client that reads while it writes learns of it.
    let faults = Faults::default().connection(1).stall(Stall::after_read(40_000));
    let simulator = Simulator::builder().script(script(BAD_TOKENS).gateway_faults(faults)).start().await.unwrap();
    let client = client(&simulator).start().unwrap();
    let payload = Payload::alert("x".repeat(2000));
    let all = (0..2000).map(|n| if n == 0 { bad(n, &payload) } else { good(n, &payload) });
    let deliveries = settle_all(&client, all).await;
    assert!(matches!(&deliveries[0].outcome, Outcome::Rejected(rejection) if rejection.status() == 8));
    assert!(deliveries[1..].iter().all(|one| one.outcome == Outcome::accepted(Proof::Confirmed)));
}

#[tokio::test]
async fn b121_a_full_queue_is_said_and_not_grown() {
    let faults = Faults::default().handshake(HandshakeFault::Never);
    let simulator = Simulator::builder().script(Script::default().gateway_faults(faults)).start().await.unwrap();
    let client = client(&simulator).queue(10).start().unwrap();
    let payload = Payload::alert("x");
    // The session holds one while it connects.
    let first = client.try_send(good(0, &payload)).unwrap();
    while client.queued() > 0 {
        tokio::task::yield_now().await;
    }
    let pendings: Vec<_> = (1..=10).map(|n| client.try_send(good(n, &payload)).unwrap()).collect();
    let refused = client.try_send(good(11, &payload)).unwrap_err();
    assert!(matches!(refused, TrySendError::Full(_)));
    assert_eq!(refused.into_notification(), good(11, &payload));

    let report = client.close(Duration::from_millis(50)).await;
    assert_eq!(report.unsettled.len(), 11);
    for pending in pendings.into_iter().chain([first]) {
        assert_eq!(pending.await.outcome, Outcome::NotSent { cause: NotSentCause::Closed });
    }
    assert!(matches!(client.try_send(good(12, &payload)), Err(TrySendError::Closed(_))));
}

#[tokio::test]
async fn b122_closing_leaves_no_task() {
    let simulator = Simulator::start().await.unwrap();
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let client = client(&simulator).connections(3).start().unwrap();
    let payload = Payload::alert("x");
    let pendings: Vec<_> = (0..100).map(|n| client.try_send(good(n, &payload)).unwrap()).collect();
    client.close(LIMIT).await;
    for pending in pendings {
        assert!(pending.await.outcome.is_accepted());
    }
    simulator.wait_for(|log| log.counts().closed == log.counts().gateway_connections).await;
    wait_for_tasks(before).await;
}

#[tokio::test]
async fn dropping_the_last_handle_sends_what_was_taken_and_leaves_no_task() {
    let simulator = Simulator::start().await.unwrap();
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let client = client(&simulator).start().unwrap();
    let pending = client.submit(good(1, &Payload::alert("x"))).await;
    drop(client);
    assert_eq!(pending.await.outcome, Outcome::accepted(Proof::Confirmed));
    wait_for_tasks(before).await;
}

async fn wait_for_tasks(count: usize) {
    tokio::time::timeout(LIMIT, async {
        while tokio::runtime::Handle::current().metrics().num_alive_tasks() > count {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("every task ends");
}

#[tokio::test]
async fn a_refused_client_certificate_stops_the_client_and_says_so() {
    for fault in [HandshakeFault::RefuseRevoked, HandshakeFault::RefuseExpired, HandshakeFault::RefuseUnknownAuthority]
    {
        for tls in [TlsVersion::V1_2, TlsVersion::V1_3] {
            let script = Script::default().gateway_faults(Faults::default().handshake(fault));
            let simulator = Simulator::builder().script(script).highest_tls(tls).start().await.unwrap();
            let client = client(&simulator).start().unwrap();
            let outcome = client.send(good(1, &Payload::alert("x"))).await;
            let Outcome::NotSent { cause: NotSentCause::Stopped(why) } = outcome else {
                panic!("{fault:?}, {tls:?}: {outcome:?}")
            };
            assert!(why.contains("client certificate"), "{fault:?}, {tls:?}: {why}");
            let later = client.send(good(2, &Payload::alert("x"))).await;
            assert!(matches!(later, Outcome::NotSent { cause: NotSentCause::Stopped(_) }), "{later:?}");
        }
    }
}

#[tokio::test]
async fn b85_an_untrusted_server_is_named_by_its_issuer() {
    let simulator = Simulator::start().await.unwrap();
    let other = Simulator::start().await.unwrap();
    let client = client(&simulator).roots(common::roots(&other)).start().unwrap();
    let mut events = client.events();
    let outcome = client.send(good(1, &Payload::alert("x"))).await;
    let Outcome::NotSent { cause: NotSentCause::Stopped(why) } = outcome else { panic!("{outcome:?}") };
    assert!(why.contains("not trusted") && why.contains("CN="), "{why}");
    let attempts =
        std::iter::from_fn(|| events.try_next()).filter(|event| matches!(event, ClientEvent::Dialling { .. })).count();
    assert_eq!(attempts, 1, "what cannot succeed is not tried again");
}

#[tokio::test]
async fn a_server_by_another_name_is_not_trusted() {
    let simulator = Simulator::builder().gateway_address("127.0.0.2:0".parse().unwrap()).start().await.unwrap();
    let client = client(&simulator).start().unwrap();
    let outcome = client.send(good(1, &Payload::alert("x"))).await;
    let Outcome::NotSent { cause: NotSentCause::Stopped(why) } = outcome else { panic!("{outcome:?}") };
    assert!(why.contains("not for 127.0.0.2"), "{why}");
}

/// Attempts are counted by the clock of the test, which runs ahead as soon as everything waits.
#[tokio::test(start_paused = true)]
async fn b62_a_refused_connection_is_tried_at_growing_intervals() {
    let simulator = Simulator::start().await.unwrap();
    let (endpoint, identity) = (common::gateway(&simulator), common::identity(&simulator));
    simulator.stop().await;
    let client = apns_tokio::Client::binary(endpoint, identity).patience(Duration::from_secs(10)).start().unwrap();
    let mut events = client.events();
    // B120: all of them wait for the same attempts.
    let pendings: Vec<_> = (0..100).map(|n| client.try_send(good(n, &Payload::alert("x"))).unwrap()).collect();
    for pending in pendings {
        let outcome = pending.await.outcome;
        assert!(matches!(outcome, Outcome::NotSent { cause: NotSentCause::NoConnection(_) }), "{outcome:?}");
    }
    let attempts =
        std::iter::from_fn(|| events.try_next()).filter(|event| matches!(event, ClientEvent::Dialling { .. })).count();
    assert!((2..=5).contains(&attempts), "{attempts} attempts in ten seconds");
}
