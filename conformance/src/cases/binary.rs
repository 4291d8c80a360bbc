//! The binary gateway.

use std::pin::pin;
use std::time::Duration;

use apns_driver::{Runtime, TrySendError};
use apns_proto::binary::Config;
use apns_proto::{LossPolicy, NotSentCause, Outcome, Payload, Proof, UnknownCause};
use apns_sim::{Cut, Faults, HandshakeFault, Junk, Keep, Script, Simulator, Stall, TlsVersion};
use futures_util::{StreamExt, stream};

use super::common::*;
use super::watched::{self, ONE_AT_A_TIME, Watched};

/// One bad token in a hundred costs nothing but itself, and what is written again stays within bounds.
pub async fn a_hundred_thousand_with_one_bad_in_a_hundred_agree_with_the_gateway<R: Runtime + Default>() {
    const COUNT: u32 = 100_000;
    let simulator = start(Simulator::builder().script(script(BAD_TOKENS)).keep(Keep::TokenCounts));
    let client = client::<R>(&simulator).start().unwrap();
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

/// A full window is proven, not waited for.
pub async fn a_million_that_share_one_payload_are_all_confirmed<R: Runtime + Default>() {
    const COUNT: u32 = 1_000_000;
    let simulator = start(Simulator::builder().keep(Keep::Counts));
    // Waiting would take hours, and would presume.
    let config = Config::default().with_quiet_time(Duration::from_secs(3600));
    let client = client::<R>(&simulator).config(config).start().unwrap();
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
async fn cut_at_every_byte<R: Runtime + Default>(policy: LossPolicy) {
    const COUNT: u32 = 4;
    let payload = Payload::alert("x");
    // Command 2 with a token of 32 bytes: 5 + 7 + 35 + 3 bytes and the payload.
    let all = (50 + payload.size() as u64) * u64::from(COUNT);
    let simulator = simulator();
    let client = client::<R>(&simulator)
        .loss_policy(policy)
        .backoff(Duration::from_millis(1), Duration::from_millis(5))
        .start()
        .expect("the settings are good");
    let mut connections = 0;
    for offset in 0..=all + 20 {
        // The next connection is cut, and those behind it are not.
        let faults = Faults::default().connection(connections + 1).cut(Cut::after_read(offset));
        simulator.forget();
        simulator.set_script(Script::default().gateway_faults(faults));
        let deliveries = settle_all(&client, (0..COUNT).map(|n| good(n, &payload))).await;
        // What came before the cut may be noted a moment after it.
        simulator.wait_for(|log| log.counts().closed == log.counts().gateway_connections).await;
        for (number, delivery) in (0..COUNT).zip(&deliveries) {
            let taken = simulator.inspect(|log| log.accepted_for(token(0xaa, number).as_bytes()));
            match &delivery.outcome {
                Outcome::Accepted { .. } => assert!(taken > 0, "cut at {offset}: {number} was not taken"),
                Outcome::Unknown { .. } => assert_eq!(policy, LossPolicy::Report, "cut at {offset}: {number} is lost"),
                other => panic!("cut at {offset}: {number} ended as {other:?}"),
            }
            match policy {
                LossPolicy::Report => assert!(taken <= 1, "cut at {offset}: {number} was taken {taken} times"),
                LossPolicy::Resend { .. } => assert!(taken >= 1, "cut at {offset}: {number} was never taken"),
                other => panic!("no case has {other:?}"),
            }
        }
        let opened = simulator.counts().gateway_connections;
        connections += opened;
        let harmed = opened > 1 || deliveries.iter().any(|one| !one.outcome.is_accepted());
        assert!(harmed || offset >= all, "it was not cut at {offset}");
    }
    drop(client.close(LIMIT).await);
}

pub async fn cut_at_every_byte_and_reported<R: Runtime + Default>() {
    cut_at_every_byte::<R>(LossPolicy::Report).await;
}

pub async fn cut_at_every_byte_and_sent_again<R: Runtime + Default>() {
    cut_at_every_byte::<R>(LossPolicy::RESEND).await;
}

pub async fn p15_one_notification_takes_a_round_trip_and_is_proven<R: Runtime + Default>() {
    let simulator = simulator();
    let client = client::<R>(&simulator).start().unwrap();
    let pending = client.try_send(good(1, &Payload::alert("x"))).unwrap();
    assert_eq!(client.close(LIMIT).await.unsettled, []);
    // Presumed is what the quiet time would have made of it.
    assert_eq!(pending.await.outcome, Outcome::accepted(Proof::Confirmed));
}

pub async fn silence_for_the_quiet_time_is_a_presumption<R: Runtime + Default>() {
    let simulator = simulator();
    let config = Config::default().with_quiet_time(Duration::from_millis(50));
    let client = client::<R>(&simulator).config(config).start().unwrap();
    assert_eq!(client.send(good(1, &Payload::alert("x"))).await, Outcome::accepted(Proof::Presumed));
    assert_eq!(simulator.counts().accepted, 1);
}

pub async fn p7_a_peer_that_stops_reading_ends_in_time_with_an_outcome_for_all<R: Runtime + Default>() {
    const COUNT: u32 = 50_000;
    let faults = Faults::default().stall(Stall::after_read(1000));
    let simulator = with_gateway_faults(faults);
    let config = Config::default().with_write_timeout(Duration::from_millis(300));
    let client = client::<R>(&simulator)
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

pub async fn a_gigabyte_of_junk_ends_at_its_first_byte<R: Runtime + Default>() {
    let junk = Junk::Bytes(1_000_000_000.try_into().unwrap());
    let faults = Faults::default().junk(junk);
    let simulator = with_gateway_faults(faults);
    let client = client::<R>(&simulator)
        .patience(Duration::from_millis(200))
        .backoff(Duration::from_millis(50), Duration::from_millis(50))
        .start()
        .unwrap();
    let outcome = client.send(good(1, &Payload::alert("x"))).await;
    match &outcome {
        Outcome::Unknown { cause: UnknownCause::ConnectionLost(why) } => assert!(why.contains("protocol"), "{why}"),
        // The junk may be read before the notification is written.
        Outcome::NotSent { cause: NotSentCause::Stopped(why) } => assert!(why.contains("protocol"), "{why}"),
        other => panic!("{other:?}"),
    }
}

pub async fn p8_session_tickets_do_not_end_the_connection<R: Runtime + Default>() {
    let simulator = start(Simulator::builder().highest_tls(TlsVersion::V1_3));
    let config = Config::default().with_quiet_time(Duration::from_millis(50));
    let client = client::<R>(&simulator).config(config).start().unwrap();
    let payload = Payload::alert("x");
    for number in 0..5 {
        assert!(client.send(good(number, &payload)).await.is_accepted());
    }
    assert_eq!(simulator.counts().gateway_connections, 1);
}

pub async fn tls_1_2_works_as_well<R: Runtime + Default>() {
    let simulator = start(Simulator::builder().highest_tls(TlsVersion::V1_2));
    let client = client::<R>(&simulator).start().unwrap();
    let pending = client.try_send(good(1, &Payload::alert("x"))).unwrap();
    drop(client.close(LIMIT).await);
    assert_eq!(pending.await.outcome, Outcome::accepted(Proof::Confirmed));
}

pub async fn p10_many_callers_share_the_first_connection<R: Runtime + Default>() {
    let simulator = simulator();
    let client = client::<R>(&simulator).start().unwrap();
    let payload = Payload::alert("x");
    let pendings: Vec<_> = (0..1000).map(|n| client.try_send(good(n, &payload)).unwrap()).collect();
    drop(client.close(LIMIT).await);
    for pending in pendings {
        assert_eq!(pending.await.outcome, Outcome::accepted(Proof::Confirmed));
    }
    assert_eq!(simulator.counts().gateway_connections, 1);
}

pub async fn several_connections_share_one_queue<R: Runtime + Default>() {
    const COUNT: u32 = 2000;
    let simulator = simulator();
    let client = client::<R>(&simulator).connections(3).start().unwrap();
    let payload = Payload::alert("x".repeat(1000));
    let deliveries = settle_all(&client, (0..COUNT).map(|n| good(n, &payload))).await;
    assert!(deliveries.iter().all(|one| one.outcome == Outcome::accepted(Proof::Confirmed)));
    let mut tokens: Vec<_> = simulator.received().into_iter().map(|record| record.token).collect();
    tokens.sort();
    tokens.dedup();
    assert_eq!(tokens.len() as u32, COUNT, "each once");
}

pub async fn b22_the_reason_is_read_while_a_write_is_pending<R: Runtime + Default>() {
    // The first one is refused, and nothing more is read: only a client that reads while it writes learns of it.
    let faults = Faults::default().connection(1).stall(Stall::after_read(40_000));
    let simulator = start(Simulator::builder().script(script(BAD_TOKENS).gateway_faults(faults)));
    let client = client::<R>(&simulator).start().unwrap();
    let payload = Payload::alert("x".repeat(2000));
    let all = (0..2000).map(|n| if n == 0 { bad(n, &payload) } else { good(n, &payload) });
    let deliveries = settle_all(&client, all).await;
    assert!(matches!(&deliveries[0].outcome, Outcome::Rejected(rejection) if rejection.status() == 8));
    assert!(deliveries[1..].iter().all(|one| one.outcome == Outcome::accepted(Proof::Confirmed)));
}

pub async fn b121_a_full_queue_is_said_and_not_grown<R: Runtime + Default>() {
    let faults = Faults::default().handshake(HandshakeFault::Never);
    let simulator = with_gateway_faults(faults);
    let client = client::<R>(&simulator).queue(10).start().unwrap();
    let payload = Payload::alert("x");
    // The session holds one while it connects.
    let first = client.try_send(good(0, &payload)).unwrap();
    until(|| client.queued() == 0).await;
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

pub async fn b122_closing_leaves_no_task<R: Runtime + Default>() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let simulator = simulator();
    let client = client::<Watched<R>>(&simulator).connections(3).start().unwrap();
    assert_eq!(watched::tasks(), 3);
    let payload = Payload::alert("x");
    let pendings: Vec<_> = (0..100).map(|n| client.try_send(good(n, &payload)).unwrap()).collect();
    drop(client.close(LIMIT).await);
    for pending in pendings {
        assert!(pending.await.outcome.is_accepted());
    }
    simulator.wait_for(|log| log.counts().closed == log.counts().gateway_connections).await;
    until(|| watched::tasks() == 0).await;
}

pub async fn dropping_the_last_handle_sends_what_was_taken_and_leaves_no_task<R: Runtime + Default>() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let simulator = simulator();
    let client = client::<Watched<R>>(&simulator).start().unwrap();
    let pending = client.submit(good(1, &Payload::alert("x"))).await;
    assert_eq!(watched::tasks(), 1);
    drop(client);
    assert_eq!(pending.await.outcome, Outcome::accepted(Proof::Confirmed));
    until(|| watched::tasks() == 0).await;
}

pub async fn closing_ends_at_its_deadline_with_a_report<R: Runtime + Default>() {
    let simulator = with_gateway_faults(Faults::default().stall(Stall::after_read(0)));
    let client = client::<R>(&simulator).start().unwrap();
    let payload = Payload::alert("x");
    let pendings: Vec<_> = (0..5).map(|n| client.try_send(good(n, &payload)).unwrap()).collect();
    simulator.wait_for(|log| log.counts().gateway_connections == 1).await;
    let (report, took) = timed(client.close(Duration::from_millis(200))).await;
    assert!(took < LIMIT, "{took:?}");
    assert_eq!(report.unsettled.len(), 5);
    for pending in pendings {
        let outcome = pending.await.outcome;
        assert!(matches!(outcome, Outcome::Unknown { .. } | Outcome::NotSent { .. }), "{outcome:?}");
    }
}
