//! The gateway, judged by the bytes that a client sees.

#![allow(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

mod support;

use apns_proto::binary::{Format, Status};
use apns_sim::{Action, Armed, Condition, Entry, Kind, Rule, Script, Simulator, TokenPattern};
use support::{PAYLOAD, gateway, in_format, notification, notifications, probe, response, seen, token};

fn pattern(text: &str) -> TokenPattern {
    text.parse().unwrap()
}

fn identifiers(simulator: &Simulator) -> Vec<Option<u32>> {
    simulator.received().iter().map(|record| record.identifier).collect()
}

#[tokio::test]
async fn all_three_commands_are_taken_in_silence_and_a_probe_proves_it() {
    let simulator = Simulator::start().await.unwrap();
    let mut client = gateway(&simulator).await;
    client.write(&in_format(Format::Simple, 1, &token(1), PAYLOAD)).await;
    client.write(&in_format(Format::Enhanced, 2, &token(2), PAYLOAD)).await;
    client.write(&in_format(Format::Items, 3, &token(3), PAYLOAD)).await;
    client.write(&probe(4)).await;
    assert_eq!(response(&client.read_all().await), (2, 4));

    let received = simulator.received();
    assert_eq!(identifiers(&simulator), [None, Some(2), Some(3)]);
    assert!(received.iter().all(|record| record.accepted() && record.payload == PAYLOAD && record.connection == 1));
    assert_eq!(received[2].token, token(3));
    assert_eq!(received[2].item_order.as_slice(), [3, 1, 2, 4, 5]);
    assert_eq!((received[1].expiration, received[2].priority), (Some(1_700_000_000), Some(10)));
    let counts = simulator.counts();
    assert_eq!((counts.notifications, counts.accepted, counts.refused, counts.probes), (3, 3, 0, 1));
}

#[tokio::test]
async fn what_follows_a_refused_notification_is_thrown_away() {
    let script = Script::default().invalid_token(TokenPattern::exact(token(3)));
    let simulator = Simulator::builder().script(script).start().await.unwrap();
    let mut client = gateway(&simulator).await;
    client.write(&notifications(1..=5)).await;
    assert_eq!(response(&client.read_all().await), (8, 3));
    assert_eq!(identifiers(&simulator), [Some(1), Some(2), Some(3)]);
    assert_eq!(simulator.received().iter().filter(|record| record.accepted()).count(), 2);

    // The client sends the rest again, as it must.
    let mut client = gateway(&simulator).await;
    client.write(&notifications(4..=5)).await;
    client.write(&probe(6)).await;
    assert_eq!(response(&client.read_all().await), (2, 6));
    let counts = simulator.counts();
    assert_eq!((counts.accepted, counts.refused, counts.gateway_connections), (4, 1, 2));
    drop(client);
    seen(&simulator, |log| log.counts().closed == 2).await;
    let discarded = simulator.inspect(|log| {
        log.entries().iter().find_map(|entry| match entry {
            Entry::Closed { connection: 1, discarded, .. } => Some(*discarded),
            _ => None,
        })
    });
    assert_eq!(discarded, Some(notifications(4..=5).len() as u64));
}

#[tokio::test]
async fn malformed_frames_get_the_status_that_apple_names() {
    let long_token = notification(9, &[7; 101], PAYLOAD);
    let long_payload = notification(9, &token(9), &[b' '; 2049]);
    let no_payload = notification(9, &token(9), b"");
    let in_command_1 = in_format(Format::Enhanced, 9, b"", PAYLOAD);
    let unknown_item = [2, 0, 0, 0, 3, 6, 0, 0];
    let cases: [(&[u8], u8, u32); 6] = [
        (&long_token, 5, 9),
        (&long_payload, 7, 9),
        (&no_payload, 4, 9),
        (&in_command_1, 2, 9),
        (&unknown_item, 128, 0),
        (&[3], 128, 0),
    ];
    for (bytes, status, identifier) in cases {
        let simulator = Simulator::start().await.unwrap();
        let mut client = gateway(&simulator).await;
        client.write(bytes).await;
        assert_eq!(response(&client.read_all().await), (status, identifier), "{bytes:?}");
    }
}

#[tokio::test]
async fn a_malformed_command_0_has_the_connection_closed_without_a_word() {
    let simulator = Simulator::start().await.unwrap();
    let mut client = gateway(&simulator).await;
    client.write(&in_format(Format::Simple, 0, b"", PAYLOAD)).await;
    assert_eq!(client.read_all().await, b"");
    let counts = simulator.counts();
    assert_eq!((counts.malformed, counts.probes), (1, 0));
}

#[tokio::test]
async fn a_refused_command_0_is_answered_with_identifier_0() {
    let script = Script::default().invalid_token(pattern("*"));
    let simulator = Simulator::builder().script(script).start().await.unwrap();
    let mut client = gateway(&simulator).await;
    client.write(&in_format(Format::Simple, 0, &token(1), PAYLOAD)).await;
    assert_eq!(response(&client.read_all().await), (8, 0));
}

#[tokio::test]
async fn each_action_of_a_rule() {
    let rule = |arrival, action| Rule::new(Condition::default().arrival(arrival), action);
    let refuse = Action::Refuse { status: Status::PROCESSING_ERROR, identifier: Some(77), after_ms: 1 };
    let cases = [
        (Action::AcceptAndShutDown { after_ms: 0 }, Some((10, 2)), 2),
        (refuse, Some((1, 77)), 1),
        (Action::Close, None, 1),
        (Action::AcceptAndClose, None, 2),
    ];
    for (action, answer, accepted) in cases {
        let script = Script::default().rule(rule(2, action.clone()));
        let simulator = Simulator::builder().script(script).start().await.unwrap();
        let mut client = gateway(&simulator).await;
        client.write(&notifications(1..=3)).await;
        let heard = client.read_all().await;
        assert_eq!((!heard.is_empty()).then(|| response(&heard)), answer, "{action:?}");
        let counts = simulator.counts();
        assert_eq!((counts.notifications, counts.accepted), (2, accepted), "{action:?}");
    }
}

#[tokio::test]
async fn silence_swallows_everything_and_ends_with_the_client() {
    let script = Script::default().rule(Rule::new(Condition::default().identifier(2), Action::FallSilent));
    let simulator = Simulator::builder().script(script).start().await.unwrap();
    let mut client = gateway(&simulator).await;
    client.write(&notifications(1..=3)).await;
    client.write(&probe(4)).await;
    seen(&simulator, |log| log.counts().notifications == 2).await;
    drop(client);
    seen(&simulator, |log| log.counts().closed == 1).await;
    let counts = simulator.counts();
    assert_eq!((counts.notifications, counts.accepted, counts.probes), (2, 1, 0));
}

#[tokio::test]
async fn a_probe_may_be_answered_otherwise_or_not_at_all() {
    let probes = |action| Rule::new(Condition::default().kind(Kind::Probe), action).times(1);
    let simulator = Simulator::start().await.unwrap();

    let identifier_0 = Action::Refuse { status: Status::MISSING_DEVICE_TOKEN, identifier: Some(0), after_ms: 0 };
    simulator.change_script(|script| script.rule(probes(identifier_0)));
    let mut client = gateway(&simulator).await;
    client.write(&probe(5)).await;
    assert_eq!(response(&client.read_all().await), (2, 0));

    simulator.change_script(|script| script.rule(probes(Action::FallSilent)));
    let mut client = gateway(&simulator).await;
    client.write(&probe(6)).await;
    seen(&simulator, |log| log.counts().probes == 2).await;
    drop(client);

    // Both rules are used up.
    let mut client = gateway(&simulator).await;
    client.write(&probe(7)).await;
    assert_eq!(response(&client.read_all().await), (2, 7));
}

#[tokio::test]
async fn a_slow_answer_finds_more_thrown_away() {
    let refuse = Action::Refuse { status: Status::INVALID_TOKEN, identifier: None, after_ms: 200 };
    let script = Script::default().rule(Rule::new(Condition::default().identifier(1), refuse));
    let simulator = Simulator::builder().script(script).start().await.unwrap();
    let mut client = gateway(&simulator).await;
    let begun = std::time::Instant::now();
    client.write(&notifications(1..=1)).await;
    client.write(&notifications(2..=500)).await;
    assert_eq!(response(&client.read_all().await), (8, 1));
    assert!(begun.elapsed().as_millis() >= 200);
    assert_eq!(simulator.counts().notifications, 1);
}

#[tokio::test]
async fn what_is_armed_by_hand_decides_once() {
    let simulator = Simulator::start().await.unwrap();
    simulator.arm(Armed::new(TokenPattern::exact(token(2))).gateway(Action::refuse(Status::INVALID_TOKEN)));
    let mut client = gateway(&simulator).await;
    client.write(&notifications(1..=2)).await;
    assert_eq!(response(&client.read_all().await), (8, 2));
    let mut client = gateway(&simulator).await;
    client.write(&notifications(2..=2)).await;
    client.write(&probe(3)).await;
    assert_eq!(response(&client.read_all().await), (2, 3));
    let armed: Vec<bool> = simulator.received().iter().map(|record| record.armed).collect();
    assert_eq!(armed, [false, true, false]);
}
