//! Finding and reaching the service.

use std::time::Duration;

use apns_driver::{Client, ClientEvent, Endpoint, Runtime};
use apns_proto::{DialStep, NotSentCause, Outcome, Payload, Proof, TlsCause};
use apns_sim::{Faults, HandshakeFault, Junk};

use super::common::*;
use super::watched::{self, ONE_AT_A_TIME, Watched};

pub async fn b114_every_address_is_tried_and_found_afresh_for_each_connection<R: Runtime + Default>() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let simulator = simulator();
    // Port 1 of loopback: nobody listens there.
    watched::answer_with(vec!["127.0.0.1:1".parse().unwrap(), simulator.gateway_address()]);
    let endpoint = Endpoint::new("localhost", 2195);
    let client = Client::<Watched<R>>::binary(endpoint, identity(&simulator)).roots(roots(&simulator)).start().unwrap();
    for number in 1..=3 {
        let pending = client.submit(good(number, &Payload::alert("x"))).await;
        client.prove(LIMIT).await;
        assert_eq!(pending.await.outcome, Outcome::accepted(Proof::Confirmed));
        // Each proof costs the connection, so each round needs a new one.
        assert_eq!(watched::asked(), number as usize);
    }
    drop(client.close(LIMIT).await);
    until(|| watched::tasks() == 0).await;
    watched::answer_with(Vec::new());
}

pub async fn b118_two_environments_never_mix<R: Runtime + Default>() {
    let (production, sandbox) = (simulator(), simulator());
    let clients = [client::<R>(&production).start().unwrap(), client::<R>(&sandbox).start().unwrap()];
    let payload = Payload::alert("x");
    for number in 0..20 {
        clients[number as usize % 2].try_send(good(number, &payload)).unwrap();
    }
    for client in clients {
        drop(client.close(LIMIT).await);
    }
    for (place, simulator) in [production, sandbox].iter().enumerate() {
        let mut tokens: Vec<_> = simulator.received().iter().map(|record| record.token.clone()).collect();
        tokens.sort();
        let expected: Vec<_> = (0..20).filter(|number| number % 2 == place as u32).collect();
        assert_eq!(tokens, expected.iter().map(|n| token(0xaa, *n).as_bytes().to_vec()).collect::<Vec<_>>());
    }
}

/// How many attempts ten seconds may have is tried where the clock can be paused; here, that each waits for the last.
pub async fn b62_a_refused_connection_is_tried_at_growing_intervals<R: Runtime + Default>() {
    let simulator = simulator();
    let (endpoint, identity) = (gateway(&simulator), identity(&simulator));
    simulator.stop().await;
    let client = Client::<R>::binary(endpoint, identity)
        .patience(Duration::from_millis(500))
        .backoff(Duration::from_millis(50), Duration::from_secs(1))
        .start()
        .unwrap();
    let mut events = client.events();
    // B120: all of them wait for the same attempts.
    let pendings: Vec<_> = (0..100).map(|n| client.try_send(good(n, &Payload::alert("x"))).unwrap()).collect();
    for pending in pendings {
        let outcome = pending.await.outcome;
        assert!(matches!(outcome, Outcome::NotSent { cause: NotSentCause::NoConnection(_) }), "{outcome:?}");
    }
    let events = told(&mut events);
    let attempts = events.iter().filter(|event| matches!(event, ClientEvent::Dialling { .. })).count();
    // At 0, 50, 150, 350 ms, each moved by a fifth at most.
    assert!((2..=5).contains(&attempts), "{attempts} attempts");
    for event in events {
        let ClientEvent::DialFailed { failure, .. } = event else { continue };
        assert_eq!((failure.step, failure.tls, failure.fatal), (DialStep::Connect, None, false));
    }
}

pub async fn an_unknown_name_is_said<R: Runtime + Default>() {
    let simulator = simulator();
    // RFC 6761 section 6.4: never a name.
    let client = Client::<R>::binary(Endpoint::new("gateway.invalid", 2195), identity(&simulator)).start().unwrap();
    let mut events = client.events();
    let _pending = client.submit(good(1, &Payload::alert("x"))).await;
    let failure = dial_failure(&mut events).await;
    assert_eq!((failure.step, failure.tls, failure.fatal), (DialStep::Resolve, None, false));
    assert!(failure.message.contains("gateway.invalid"), "{failure}");
}

pub async fn p9_a_handshake_that_never_ends_is_given_up<R: Runtime + Default>() {
    let simulator = with_gateway_faults(Faults::default().handshake(HandshakeFault::Never));
    let limit = Duration::from_millis(500);
    let client = client::<R>(&simulator).connect_timeout(limit).patience(limit * 3).start().unwrap();
    let mut events = client.events();
    let pending = client.submit(good(1, &Payload::alert("x"))).await;
    let failure = dial_failure(&mut events).await;
    assert_eq!((failure.step, failure.tls, failure.fatal), (DialStep::Tls, None, false), "{failure}");
    assert!(failure.message.contains("did not finish the handshake"), "{failure}");
    let outcome = pending.await.outcome;
    let Outcome::NotSent { cause: NotSentCause::NoConnection(why) } = outcome else { panic!("{outcome:?}") };
    assert!(why.contains("handshake"), "{why}");
}

/// It takes the greeting of the client, and answers with junk.
pub async fn junk_in_the_place_of_the_handshake_is_not_trusted<R: Runtime + Default>() {
    let junk = Junk::BytesBeforeTls(1_000_000.try_into().unwrap());
    let simulator = with_gateway_faults(Faults::default().junk(junk));
    let client = client::<R>(&simulator).start().unwrap();
    let mut events = client.events();
    let pending = client.submit(good(1, &Payload::alert("x"))).await;
    let failure = dial_failure(&mut events).await;
    // It may be over the next time: something may stand in for the service that speaks no TLS.
    assert_eq!((failure.step, failure.tls, failure.fatal), (DialStep::Tls, Some(TlsCause::Other), false), "{failure}");
    drop(client.close(Duration::from_millis(1)).await);
    let outcome = pending.await.outcome;
    assert!(matches!(outcome, Outcome::NotSent { .. }), "{outcome:?}");
}
