//! Scripts and logs as text.

#![allow(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

mod support;

use std::num::NonZeroU64;

use apns_proto::binary::Status;
use apns_sim::{
    Action, Condition, Cut, CutHow, Faults, FeedbackEnding, FeedbackScript, GatewayScript, HandshakeFault, Junk, Kind,
    Rule, Script, Simulator, Stall, TokenPattern,
};
use support::{Client, gateway, notification, notifications, probe, token};

const SAMPLE: &str = include_str!("../scripts/bad-day.json");

fn pattern(text: &str) -> TokenPattern {
    text.parse().unwrap()
}

#[test]
fn the_sample_survives_reading_and_printing() {
    let script = Script::from_json(SAMPLE).unwrap();
    let printed = script.to_json();
    assert_eq!(Script::from_json(&printed).unwrap(), script);
    // Apart from one name for a status and values that are defaults, it is what was written.
    let mut written: serde_json::Value = serde_json::from_str(SAMPLE).unwrap();
    written["gateway"]["rules"][0]["then"]["refuse"]["status"] = 5.into();
    written["gateway"]["connections"][0]["cut"] = serde_json::json!({"after_read": 1000});
    assert_eq!(serde_json::from_str::<serde_json::Value>(&printed).unwrap(), written);
}

#[test]
fn everything_that_can_be_built_survives_printing() {
    let every_condition = Condition::default()
        .kind(Kind::Malformed)
        .token(pattern("0a1*"))
        .payload_contains("é\"")
        .identifier(0)
        .connection(2)
        .arrival(3)
        .arrival_in_connection(4)
        .every(5)
        .probability(0.25);
    let actions = [
        Action::Accept,
        Action::Refuse { status: Status::from_raw(99), identifier: Some(0), after_ms: 7 },
        Action::AcceptAndShutDown { after_ms: 1 },
        Action::Close,
        Action::AcceptAndClose,
        Action::FallSilent,
    ];
    let mut script = Script::default().seed(u64::MAX).invalid_token(TokenPattern::starting_with([1, 2]));
    for action in actions {
        script = script.rule(Rule::new(every_condition.clone(), action).times(3));
    }
    let faults = Faults::default()
        .connection(1)
        .handshake(HandshakeFault::RefuseExpired)
        .handshake_delay_ms(1)
        .junk(Junk::BytesBeforeTls(NonZeroU64::MIN))
        .cut(Cut::after_written(2).how(CutHow::Reset))
        .stall(Stall::after_read(3).for_ms(4))
        .write_pieces(std::num::NonZeroUsize::MIN)
        .write_delay_ms(5)
        .close_after(0);
    script = script.gateway_faults(faults.clone()).feedback(
        FeedbackScript::default().record([1, 2], 3).tail([4]).ending(FeedbackEnding::StayOpen).faults(faults),
    );
    assert_eq!(Script::from_json(&script.to_json()).unwrap(), script);
    assert_eq!(Script::from_json(&Script::default().to_json()).unwrap(), Script::default());
    assert_eq!(Script::default().to_json(), "{}");
    let small = GatewayScript::default().payload_max(256.try_into().unwrap()).token_max(32.try_into().unwrap());
    let small = Script::default().gateway(small);
    assert_eq!(Script::from_json(&small.to_json()).unwrap(), small);
}

#[test]
fn an_error_names_the_field() {
    let cases = [
        (r#"{"invalid_tokens": ["00", "0x1"]}"#, "invalid_tokens[1]", "'x' at position 1"),
        (
            r#"{"gateway": {"rules": [{"when": {"token": "abc"}, "then": "close"}]}}"#,
            "gateway.rules[0].when.token",
            "odd",
        ),
        (
            r#"{"gateway": {"rules": [{"then": {"refuse": {"status": 256}}}]}}"#,
            "gateway.rules[0].then.refuse.status",
            "256",
        ),
        (
            r#"{"gateway": {"rules": [{"then": {"refuse": {"status": "bad"}}}]}}"#,
            "gateway.rules[0].then.refuse.status",
            "bad",
        ),
        (r#"{"gateway": {"rules": [{"then": "explode"}]}}"#, "gateway.rules[0].then", "explode"),
        (
            r#"{"gateway": {"rules": [{"when": {"arrival": 0}, "then": "close"}]}}"#,
            "gateway.rules[0].when.arrival",
            "from 1",
        ),
        (
            r#"{"gateway": {"rules": [{"when": {"probability": 2}, "then": "close"}]}}"#,
            "gateway.rules[0].when.probability",
            "0 to 1",
        ),
        (r#"{"gateway": {"rules": [{"when": {}}]}}"#, "gateway.rules[0]", "then"),
        (
            r#"{"gateway": {"connections": [{"cut": {"after": 1}}]}}"#,
            "gateway.connections[0].cut.after",
            "unknown field `after`",
        ),
        (r#"{"gateway": {"payload_max": 0}}"#, "gateway.payload_max", "nonzero"),
        (r#"{"feedback": {"records": [{"token": "00"}]}}"#, "feedback.records[0]", "timestamp"),
        (r#"{"gatway": {}}"#, "gatway", "unknown field `gatway`"),
        ("{} {}", "", "trailing"),
        ("[", "", "EOF"),
    ];
    for (text, field, message) in cases {
        let error = Script::from_json(text).unwrap_err();
        assert_eq!(error.field, field, "{error}");
        assert!(error.to_string().contains(message), "{error}");
        assert!(error.to_string().contains(field), "{error}");
    }
}

/// Sends `count` notifications, as often as it takes, and says which were named by error responses.
async fn send_all(simulator: &Simulator, count: u32) -> Vec<u32> {
    let mut named = Vec::new();
    let mut next = 1;
    loop {
        let mut client: Client = gateway(simulator).await;
        client.write(&notifications(next..=count)).await;
        client.write(&probe(count + 1)).await;
        let (_, identifier) = support::response(&client.read_all().await);
        if identifier == count + 1 {
            return named;
        }
        named.push(identifier);
        next = identifier + 1;
    }
}

#[tokio::test]
async fn a_printed_script_plays_the_same_day_again() {
    let chance = Rule::new(Condition::default().probability(0.1), Action::refuse(Status::INVALID_TOKEN));
    let script = Script::default().seed(11).rule(chance);
    let simulator = Simulator::builder().script(script).start().await.unwrap();
    let first = send_all(&simulator, 200).await;
    assert!((5..60).contains(&first.len()), "{first:?}");

    let again = Simulator::builder().script(simulator.script().to_json().parse().unwrap()).start().await.unwrap();
    assert_eq!(send_all(&again, 200).await, first);
    simulator.forget();
    assert_eq!(send_all(&simulator, 200).await, first, "also in the same simulator, counted from the beginning");
}

#[tokio::test]
async fn the_script_can_be_changed_while_it_is_played() {
    let simulator = Simulator::start().await.unwrap();
    let mut client = gateway(&simulator).await;
    client.write(&notifications(1..=2)).await;
    support::seen(&simulator, |log| log.counts().accepted == 2).await;
    simulator.set_script(Script::default().invalid_token(TokenPattern::any()));
    client.write(&notifications(3..=4)).await;
    assert_eq!(support::response(&client.read_all().await), (8, 3));
}

#[tokio::test]
async fn every_entry_is_one_line_with_stable_names() {
    let script = Script::default().invalid_token(TokenPattern::exact([0xab, 0xcd]));
    let simulator = Simulator::builder().script(script).start().await.unwrap();
    let mut client = gateway(&simulator).await;
    client.write(&notification(7, &token(7), b"{\"aps\":\r\n {\"badge\": 1.0}}\n")).await;
    client.write(&notification(8, &token(8), "grüß\n{".as_bytes())).await;
    client.write(&notification(9, &token(9), &[0xff, 0])).await;
    client.write(&support::in_format(apns_proto::binary::Format::Simple, 0, &[0xab, 0xcd], b"1")).await;
    client.read_all().await;
    drop(client);
    let mut client = gateway(&simulator).await;
    client.write(&probe(3)).await;
    client.read_all().await;
    drop(client);
    let mut client = gateway(&simulator).await;
    client.write(&[9]).await;
    client.read_all().await;
    support::feedback(&simulator).await.read_all().await;
    drop(client);
    support::seen(&simulator, |log| log.counts().closed == 4).await;

    let lines: Vec<String> = simulator.inspect(|log| log.entries().iter().map(apns_sim::Entry::to_json).collect());
    assert!(lines.iter().all(|line| !line.contains(['\n', '\r'])));
    let mut lines: Vec<serde_json::Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &mut lines {
        let at = line.as_object_mut().unwrap().remove("at").unwrap();
        assert!(at.as_u64().unwrap() > 1_600_000_000_000, "milliseconds");
    }
    let of = |event: &str| lines.iter().filter(|line| line["event"] == event).cloned().collect::<Vec<_>>();

    let items = |seq: u64, payload: serde_json::Value| {
        serde_json::json!({
            "event": "notification", "seq": seq, "connection": 1, "command": 2, "identifier": seq + 6,
            "expiration": 1_700_000_000, "priority": 10, "token": support::hex(&token(seq as u32 + 6)),
            "payload": payload, "item_order": [3, 1, 2, 4, 5], "verdict": "accept", "status": null, "accepted": true,
        })
    };
    let mut text = items(2, serde_json::Value::Null);
    text["payload_text"] = "grüß\n{".into();
    let mut binary = items(3, serde_json::Value::Null);
    binary["payload_hex"] = "ff00".into();
    let refused = serde_json::json!({
        "event": "notification", "seq": 4, "connection": 1, "command": 0, "identifier": null, "expiration": null,
        "priority": null, "token": "abcd", "payload": 1, "item_order": [], "verdict": "refuse", "status": 8,
        "accepted": false,
    });
    let json = items(1, serde_json::json!({"aps": {"badge": 1.0}}));
    assert_eq!(of("notification"), [json, text, binary, refused]);

    let probe = &of("probe")[0];
    assert_eq!((&probe["connection"], &probe["identifier"]), (&2.into(), &3.into()));
    assert_eq!((&probe["verdict"], &probe["status"]), (&"refuse".into(), &2.into()));
    assert_eq!(of("malformed")[0]["error"], "notification, at byte 0: unknown command 9");
    let mut connected = of("connected")[0].clone();
    let peer = connected.as_object_mut().unwrap().remove("peer").unwrap();
    assert!(peer.as_str().unwrap().starts_with("127.0.0.1:"), "{peer}");
    let rest = serde_json::json!({"event": "connected", "service": "gateway", "connection": 1, "tls": "1.3"});
    assert_eq!(connected, rest);
    assert_eq!(of("feedback_taken")[0]["records"], 0);
    assert_eq!(of("closed").len(), 4);
}

#[tokio::test]
async fn debug_output_shows_neither_tokens_nor_payloads() {
    let script = Script::default()
        .invalid_token(pattern("5ec2e7*"))
        .rule(Rule::new(Condition::default().payload_contains("whisper").token(pattern("5ec2e7")), Action::Close))
        .feedback(FeedbackScript::default().record([0x5e, 0xc2, 0xe7], 1).tail([0x5e, 0xc2, 0xe7]));
    let builder = Simulator::builder().script(script);
    let shown = format!("{builder:?}");
    let simulator = builder.start().await.unwrap();
    let mut client = gateway(&simulator).await;
    client.write(&notification(1, &[0x5e, 0xc2, 0xe7], b"whisper")).await;
    client.read_all().await;
    let entries = simulator.inspect(|log| format!("{log:?} {:?}", log.entries()));
    let shown = format!("{shown} {entries} {simulator:?} {:?}", simulator.script()).to_lowercase();
    for secret in ["5ec2e7", "whisper", "[94, 194, 231]", "\\xc2", "private"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}
