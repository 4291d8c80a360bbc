//! The provider API's part of a script: as text, and as it is played.

use std::num::NonZeroUsize;

use apns_sim::{
    Cut, CutHow, Faults, HexBytes, Http2Answer, Http2Condition, Http2GoAway, Http2Key, Http2Rule, Http2Script,
    Http2Session, Http2Step, LastStream, RequestKind, Script, Simulator, TokenPattern, Unregistered,
};
use serde_json::{Value, json};

use crate::client::{Client, Request, TOKEN, TOPIC, bearer};

const SAMPLE: &str = include_str!("../../scripts/bad-day-http2.json");

fn pattern(text: &str) -> TokenPattern {
    text.parse().unwrap()
}

async fn with(http2: Http2Script) -> Simulator {
    Simulator::builder().script(Script::default().http2(http2)).start().await.unwrap()
}

/// Answers so that it can be seen which rule it was.
fn mark(when: Http2Condition, status: u16) -> Http2Rule {
    Http2Rule::new(when, [Http2Answer::new(status, "Marked").into()])
}

#[test]
fn the_sample_survives_reading_and_printing() {
    let script = Script::from_json(SAMPLE).unwrap();
    let printed = script.to_json();
    assert_eq!(Script::from_json(&printed).unwrap(), script);
    // What is printed is what was written, word for word.
    assert_eq!(serde_json::from_str::<Value>(&printed).unwrap(), serde_json::from_str::<Value>(SAMPLE).unwrap());
}

#[test]
fn everything_that_can_be_built_survives_printing() {
    let any = Http2Condition::default;
    let conditions = [
        any(),
        any().kind(RequestKind::Broadcast).token(pattern("0a1*")).topic("a").push_type("alert"),
        any().kind(RequestKind::Channels).payload_contains("é\"").connection(1).arrival(2),
        any().kind(RequestKind::Other).arrival_in_connection(3).every(4).probability(0.25),
    ];
    let full_answer = Http2Answer::new(410, "Unregistered")
        .timestamp_ms(u64::MAX)
        .retry_after("Wed, 21 Oct 2015 07:28:00 GMT")
        .header("x", "y")
        .header("x", "z")
        .body("no JSON");
    let go_aways = [
        Http2GoAway::default(),
        Http2GoAway::new("Shutdown").last_stream(LastStream::Before).code(u32::MAX).debug(""),
        Http2GoAway::default().last_stream(LastStream::At(7)),
    ];
    let mut steps = vec![
        Http2Step::Answer,
        Http2Answer::accepted().into(),
        full_answer.clone().into(),
        Http2Step::WaitMs(0),
        Http2Step::Reset(7),
        Http2Step::StreamLimit(0),
        Http2Step::Settings(vec![]),
        Http2Step::Settings(vec![(3, 1), (u16::MAX, u32::MAX)]),
        Http2Step::Ping,
        Http2Step::Inject(HexBytes::from(vec![0, 255])),
        Http2Step::Close,
        Http2Step::Cut(CutHow::Reset),
        Http2Step::Cut(CutHow::End),
    ];
    steps.extend(go_aways.map(Http2Step::GoAway));

    let mut http2 = Http2Script::default();
    for when in conditions {
        http2 = http2.rule(Http2Rule::new(when.clone(), steps.clone()).times(3)).rule(Http2Rule::new(when, []));
    }
    let mut session = Http2Session::default().connection(2).settings([(3, 1)]);
    for step in steps {
        session = session.step(step);
    }
    let faults = Faults::default().cut(Cut::after_written(2)).write_pieces(NonZeroUsize::MIN).close_after(0);
    let http2 = http2
        .faults(faults)
        .session(session)
        .session(Http2Session::default())
        .stream_limit(0)
        .token_start_limit(false)
        .topic(TOPIC)
        .token_topic(pattern("77*"), TOPIC)
        .unregistered(Unregistered::new(pattern("*")).timestamp_ms(0).reason("ExpiredToken"))
        .key(Http2Key::new("K").team_id("T").other_environment())
        .clock_offset_s(i64::MIN)
        .token_update_interval_s(0)
        .stale_token(full_answer)
        .stale_for_good(true)
        .unique_ids(true)
        .no_broadcast("com.example.mute")
        .max_channels(0);
    let script = Script::default().seed(u64::MAX).invalid_token(pattern("00")).http2(http2);
    assert_eq!(Script::from_json(&script.to_json()).unwrap(), script);
    assert_eq!(Script::default().http2(Http2Script::default()).to_json(), "{}");
}

#[test]
fn an_error_names_the_field() {
    let rule = |rule: Value| json!({"http2": {"rules": [{"then": ["answer"]}, rule]}});
    let step = |step: Value| rule(json!({"then": ["answer", step]}));
    let when = |when: Value| rule(json!({"when": when, "then": []}));
    let cases = [
        (json!({"http2": {"rule": []}}), "http2.rule", "unknown field `rule`"),
        (rule(json!({"when": {}})), "http2.rules[1]", "missing field `then`"),
        (rule(json!({"then": [], "time": 1})), "http2.rules[1].time", "unknown field `time`"),
        (when(json!({"kind": "pushes"})), "http2.rules[1].when.kind", "pushes"),
        (when(json!({"token": "abc"})), "http2.rules[1].when.token", "odd"),
        (when(json!({"identifier": 1})), "http2.rules[1].when.identifier", "unknown field"),
        (when(json!({"connection": 0})), "http2.rules[1].when.connection", "from 1"),
        (when(json!({"arrival": 0})), "http2.rules[1].when.arrival", "from 1"),
        (when(json!({"arrival_in_connection": 0})), "http2.rules[1].when.arrival_in_connection", "from 1"),
        (when(json!({"every": 0})), "http2.rules[1].when.every", "from 1"),
        (when(json!({"probability": 1.5})), "http2.rules[1].when.probability", "0 to 1"),
        (step(json!("explode")), "http2.rules[1].then[1]", "explode"),
        (step(json!({"reset": -1})), "http2.rules[1].then[1].reset", "-1"),
        (step(json!({"inject": "0g"})), "http2.rules[1].then[1].inject", "'g' at position 1"),
        (step(json!({"cut": "half"})), "http2.rules[1].then[1].cut", "half"),
        (step(json!({"settings": [[3, 1], [65_536, 1]]})), "http2.rules[1].then[1].settings[1][0]", "65536"),
        (step(json!({"go_away": {"why": ""}})), "http2.rules[1].then[1].go_away.why", "unknown field `why`"),
        (step(json!({"answer_with": {}})), "http2.rules[1].then[1].answer_with", "missing field `status`"),
        (step(json!({"answer_with": {"status": 20}})), "http2.rules[1].then[1].answer_with.status", "200 to 999"),
        (step(json!({"answer_with": {"status": 100}})), "http2.rules[1].then[1].answer_with.status", "200 to 999"),
        (json!({"http2": {"stale_token": {"status": 1000}}}), "http2.stale_token.status", "200 to 999"),
        (json!({"http2": {"sessions": [{"connection": 0}]}}), "http2.sessions[0].connection", "from 1"),
        (json!({"http2": {"connections": [{"close": 0}]}}), "http2.connections[0].close", "unknown field"),
        (json!({"http2": {"unregistered": [{"token": "x"}]}}), "http2.unregistered[0].token", "'x'"),
        (json!({"http2": {"token_topics": [{"token": "*"}]}}), "http2.token_topics[0]", "missing field `topic`"),
        (json!({"http2": {"keys": [{}]}}), "http2.keys[0]", "missing field `key_id`"),
        (json!({"http2": {"stream_limit": "1"}}), "http2.stream_limit", "invalid type"),
    ];
    for (text, field, message) in cases {
        let error = Script::from_json(&text.to_string()).unwrap_err();
        assert_eq!(error.field, field, "{error}");
        assert!(error.to_string().contains(message), "{error}");
        assert!(error.to_string().contains(field), "{error}");
    }
}

#[test]
fn a_status_that_is_none_becomes_500() {
    for status in [0, 99, 100, 199, 1000, u16::MAX] {
        assert_eq!(Http2Answer::new(status, "x"), Http2Answer::new(500, "x"), "{status}");
    }
    for status in [200, 599, 999] {
        assert_ne!(Http2Answer::new(status, "x"), Http2Answer::new(500, "x"));
    }
}

#[tokio::test]
async fn each_condition_counts() {
    let any = Http2Condition::default;
    let rules = [
        mark(any().kind(RequestKind::Other), 501),
        mark(any().kind(RequestKind::Channels), 502),
        mark(any().kind(RequestKind::Broadcast).topic("com.example.cast"), 503),
        mark(any().token(pattern("aa*")), 504),
        mark(any().topic("com.example.other"), 505),
        mark(any().push_type("background"), 506),
        mark(any().payload_contains("needle"), 507),
        mark(any().connection(2).arrival_in_connection(2), 508),
        mark(any().arrival(9), 509),
        mark(any().every(11), 510),
    ];
    let http2 = rules.into_iter().fold(Http2Script::default(), Http2Script::rule);
    let simulator = with(http2).await;
    let mut client = Client::certified(&simulator).await;
    let push = || Request::bare("bb");
    let requests = [
        (Request::empty("GET", "/"), 501),
        (Request::empty("GET", "/1/apps/x/channels"), 502),
        (Request::empty("POST", "/4/broadcasts/apps/com.example.cast"), 503),
        (Request::empty("POST", "/4/broadcasts/apps/com.example.app"), 400),
        (Request::bare("aabb"), 504),
        (push().with("apns-topic", "com.example.other"), 505),
        (push().with("apns-push-type", "background"), 506),
        (push().body(r#"{"needle":1}"#), 507),
        (push(), 509),
        (push(), 200),
        (push(), 510),
    ];
    for (place, (request, status)) in requests.into_iter().enumerate() {
        assert_eq!(client.send(&request).await.status, status, "request {}", place + 1);
    }
    let mut second = Client::certified(&simulator).await;
    assert_eq!(second.send(&push()).await.status, 200);
    assert_eq!(second.send(&push()).await.status, 508);
    assert_eq!(client.send(&push()).await.status, 200, "a rule about the other connection");
}

#[tokio::test]
async fn the_first_rule_that_fits_decides_until_it_is_used_up() {
    let any = Http2Condition::default;
    let http2 = Http2Script::default().rule(mark(any(), 503).times(2)).rule(mark(any(), 500).times(1));
    let simulator = with(http2).await;
    let mut client = Client::certified(&simulator).await;
    let mut told = Vec::new();
    for _ in 0..4 {
        told.push(client.send(&Request::bare(TOKEN)).await.status);
    }
    assert_eq!(told, [503, 503, 500, 200]);
}

#[tokio::test]
async fn a_rule_that_stays_keeps_its_count() {
    let any = Http2Condition::default;
    let simulator = with(Http2Script::default().rule(mark(any(), 503).times(1))).await;
    let mut client = Client::certified(&simulator).await;
    let push = Request::bare(TOKEN);
    assert_eq!(client.send(&push).await.status, 503);
    simulator.change_script(|script| script.http2_rule(mark(any(), 500).times(1)));
    assert_eq!(client.send(&push).await.status, 500, "the first is used up");
    assert_eq!(client.send(&push).await.status, 200);
    simulator.set_script(simulator.script());
    assert_eq!(client.send(&push).await.status, 503, "from its beginning");
}

#[tokio::test]
async fn an_answer_says_what_the_script_says() {
    let gone = Http2Answer::new(410, "Unregistered").timestamp_ms(7);
    let busy = Http2Answer::new(429, "TooManyRequests").retry_after("3").header("x-more", "1");
    let page = Http2Answer::new(503, "ServiceUnavailable").body("<html>");
    let nothing = Http2Answer::new(500, "x").body("");
    let answers = [gone, busy, page, nothing, Http2Answer::accepted()];
    let mut http2 = Http2Script::default();
    for answer in answers {
        http2 = http2.rule(Http2Rule::new(Http2Condition::default(), [answer.into()]).times(1));
    }
    let simulator = with(http2).await;
    let mut client = Client::certified(&simulator).await;
    // The rules come before the checks.
    let push = Request::bare("nothex");
    assert_eq!(client.send(&push).await.json(), json!({"reason": "Unregistered", "timestamp": 7}));
    let answer = client.send(&push).await;
    assert_eq!(answer.told(), (429, "TooManyRequests".to_owned()));
    assert_eq!((answer.header("retry-after"), answer.header("x-more")), ("3", "1"));
    let answer = client.send(&push).await;
    assert_eq!((answer.status, &answer.body[..]), (503, &b"<html>"[..]));
    let answer = client.send(&push).await;
    assert_eq!((answer.status, answer.ended_on_headers), (500, true));
    assert_eq!(client.send(&push).await.status, 200);
    assert_eq!(client.send(&push).await.status, 400, "judged as ever");
}

/// Sends so many pushes over two connections in turn, and says what each was told.
async fn play(simulator: &Simulator, count: usize) -> Vec<u16> {
    let mut clients = [Client::new(simulator).await, Client::new(simulator).await];
    let mut told = Vec::new();
    for place in 0..count {
        told.push(clients[place % 2].send(&Request::push(simulator, TOKEN)).await.status);
    }
    told
}

#[tokio::test]
async fn a_printed_script_plays_the_same_day_again() {
    let chance = |probability| Http2Condition::default().probability(probability);
    let http2 = Http2Script::default().rule(mark(chance(0.1), 503)).rule(mark(chance(0.1), 500));
    let script = Script::default().seed(11).http2(http2);
    let simulator = Simulator::builder().script(script.clone()).start().await.unwrap();
    let first = play(&simulator, 200).await;
    for status in [500, 503] {
        let hit = first.iter().filter(|told| **told == status).count();
        assert!((5..50).contains(&hit), "{status}: {hit} of 200");
    }

    let again = Simulator::builder().script(simulator.script().to_json().parse().unwrap()).start().await.unwrap();
    assert_eq!(play(&again, 200).await, first);
    let ids = |simulator: &Simulator| -> Vec<String> {
        simulator.requests().into_iter().map(|request| request.apns_id).collect()
    };
    assert_eq!(ids(&again), ids(&simulator), "made ids are the same as well");
    simulator.forget();
    assert_eq!(play(&simulator, 200).await, first, "counted from the beginning");

    let other = Simulator::builder().script(script.seed(12)).start().await.unwrap();
    assert_ne!(play(&other, 200).await, first);
}

#[tokio::test]
async fn the_sample_can_be_played() {
    let simulator = Simulator::builder().script(SAMPLE.parse().unwrap()).start().await.unwrap();
    let mut client = Client::new(&simulator).await;
    let push = |token: &str| Request::push(&simulator, token);
    let told = |status: u16, reason: &str| (status, reason.to_owned());
    let stale = Request::bare(TOKEN).with("authorization", bearer(&simulator, 3700));
    assert_eq!(client.send(&stale).await.told(), told(500, "InternalServerError"));
    assert_eq!(client.send(&push(TOKEN)).await.told(), told(200, ""));
    client.wait_for_limit(500).await;
    assert_eq!(client.send(&push(TOKEN)).await.told(), told(500, "InternalServerError"));
    for _ in 0..2 {
        assert_eq!(client.send(&push("b500")).await.header("retry-after"), "3");
    }
    assert_eq!(client.send(&push("b500")).await.told(), told(200, ""));
    assert_eq!(client.send(&push("bad0")).await.told(), told(400, "BadDeviceToken"));
    assert_eq!(client.send(&push("dead01")).await.json()["timestamp"], 1_527_206_400_000_u64);
    assert_eq!(client.send(&push("dead02")).await.told(), told(410, "ExpiredToken"));
    assert_eq!(client.send(&push("7700")).await.told(), told(400, "DeviceTokenNotForTopic"));
    let quiet = client.begin(&push(TOKEN).with("apns-topic", "com.example.quiet")).await.unwrap();
    let maintenance = client.send(&push(TOKEN).body(r#"{"aps":{"alert":"maintenance"}}"#)).await;
    assert_eq!(maintenance.told(), told(200, ""));
    drop(quiet);
    crate::support::seen(&simulator, |log| log.counts().closed == 1).await;
}

#[tokio::test]
async fn debug_output_shows_neither_tokens_nor_payloads() {
    let secret = || pattern("5ec2e7");
    let http2 = Http2Script::default()
        .rule(mark(Http2Condition::default().token(secret()).payload_contains("whisper"), 503))
        .unregistered(Unregistered::new(secret()))
        .token_topic(secret(), TOPIC)
        .session(Http2Session::default().step(Http2Step::Inject(HexBytes::from(vec![0x5e, 0xc2, 0xe7]))));
    let script = Script::default().http2(http2);
    let shown = format!("{script:?} {:?}", Simulator::builder().script(script.clone())).to_lowercase();
    for secret in ["5ec2e7", "whisper", "94, 194", "\\xc2"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}
