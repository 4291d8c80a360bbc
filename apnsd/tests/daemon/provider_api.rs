//! Apple's provider API, answered by the daemon.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use apns_sim::Script;
use apnsd::Daemon;
use apnsd::config::Config;
use apnsd::outbox::Cursor;
use serde_json::{Value, json};

use crate::http::{call, get};
use crate::http2::Http2;
use crate::store::Flaky;
use crate::support::{SOON, World, shop, token, until, until_some};

pub(crate) const BODY: &str = r#"{"aps": {"alert": "Tea is ready"}}"#;
pub(crate) const TOPIC: (&str, &str) = ("apns-topic", "com.example.app");

/// What a daemon with a port for it says; `app` comes into the app's table, `door` into that of the interface.
pub(crate) fn text(world: &World, app: &str, door: &str) -> String {
    world.config_text(&format!("{app}\n[provider_api]\nlisten = \"127.0.0.1:0\"\n{door}\n"))
}

pub(crate) async fn start(world: &World, app: &str, door: &str) -> Daemon {
    Daemon::start(Config::parse(&text(world, app, door), world.folder.path()).unwrap()).await.unwrap()
}

pub(crate) fn path(number: u32) -> String {
    format!("/3/device/{}", token(number).to_hex())
}

/// A simulator that does not know token 1, and knows that the app is gone from token 2.
fn script() -> String {
    let (bad, gone) = (token(1).to_hex(), token(2).to_hex());
    json!({
        "invalid_tokens": [bad],
        "http2": {"unregistered": [{"token": gone, "timestamp_ms": 1_700_000_000_123_u64}], "unique_ids": true},
    })
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn apples_answers_come_through_over_both_versions_of_http_with_tls_and_without() {
    let world = World::with_script(&script()).await;
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(world.folder.path().join("door.pem"), cert.pem()).unwrap();
    std::fs::write(world.folder.path().join("door.key"), signing_key.serialize_pem()).unwrap();
    let tls = "[provider_api.tls]\nlisten = \"127.0.0.1:0\"\ncertificate = \"door.pem\"\nkey = \"door.key\"\n";
    let daemon = start(&world, "", tls).await;
    let plain = daemon.address("provider_api.listen").unwrap();
    let secure = daemon.address("provider_api.tls.listen").unwrap();
    let id = "7F5A1B60-3C2D-4E5F-8A9B-0C1D2E3F4A5B";
    for caller in [
        Http2::connect(plain).await,
        Http2::connect_tls(secure, &cert, &[b"h2"]).await,
        // Some clients say nothing of it.
        Http2::connect_tls(secure, &cert, &[]).await,
    ] {
        let taken = caller.post(&path(0), &[TOPIC, ("apns-id", id), ("apns-priority", "5")], BODY).await;
        assert_eq!((taken.status, taken.header("apns-id")), (200, Some(id)), "as it was sent: {taken:?}");
        assert!(taken.ends_with_headers && taken.header("apns-unique-id").is_some(), "{taken:?}");
        assert_eq!(taken.header("apnsd-state"), None);
        let bad = caller.post(&path(1), &[TOPIC], BODY).await;
        assert_eq!((bad.status, bad.reason()), (400, "BadDeviceToken".to_owned()), "{bad:?}");
        assert!(bad.header("apns-id").is_some_and(|id| id.len() == 36));
        let gone = caller.post(&path(2), &[TOPIC, ("apns-id", id)], BODY).await;
        let told: Value = serde_json::from_str(&gone.body).unwrap();
        assert_eq!(told, json!({"reason": "Unregistered", "timestamp": 1_700_000_000_123_u64}));
        assert_eq!((gone.status, gone.header("apns-id")), (410, Some(id)));
    }
    let taken = call(plain, "POST", &path(0), "apns-topic: com.example.app\r\n", BODY).await;
    assert_eq!((taken.status, &*taken.body), (200, ""), "{taken:?}");
    let gone = call(plain, "POST", &path(2), "apns-topic: com.example.app\r\n", BODY).await;
    assert_eq!((gone.status, gone.json()["reason"].as_str()), (410, Some("Unregistered")));
    let requests = world.simulator.requests();
    assert_eq!(requests.len(), 11);
    assert_eq!(requests[0].apns_id, id.to_ascii_lowercase());
    assert_eq!((requests[0].priority, requests[0].topic.as_deref()), (Some(5), Some("com.example.app")));
    assert_eq!(&requests[0].payload[..], br#"{"aps":{"alert":"Tea is ready"}}"#);

    // What Apple refuses is no call that the daemon refuses.
    let api = daemon.address("api.listen").unwrap();
    let figures = get(api, "/metrics").await.body;
    assert!(figures.contains("interface=\"provider_api\",status=\"401\"} 0"), "{figures}");
    assert!(!figures.contains("interface=\"provider_api\",status=\"400\"}"), "{figures}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_says_so_and_is_delivered_once_however_often_it_is_sent_again() {
    let world = World::new().await;
    let daemon = start(&world, "provider_api = \"stored\"", "").await;
    let caller = Http2::connect(daemon.address("provider_api.listen").unwrap()).await;
    let named = caller.post(&path(0), &[TOPIC], BODY).await;
    assert_eq!((named.status, named.header("apnsd-state")), (200, Some("stored")), "{named:?}");
    assert!(named.ends_with_headers && named.header("apns-id") == named.header("apnsd-id"), "{named:?}");
    let id = named.header("apnsd-id").unwrap().parse().unwrap();
    let record = daemon.service().wait(id, SOON).await.unwrap().unwrap();
    assert_eq!(record.apns_id.as_deref(), named.header("apns-id"), "it has the same name at Apple's");

    // A client that lost the answer sends again under the same id.
    let sent = ("apns-id", "00000000-0000-4000-8000-00000000000A");
    let mut ids = BTreeSet::new();
    // It counts the expiration anew each time.
    for expiration in ["4000000000", "4000000001", "4000000001"] {
        let again = caller.post(&path(1), &[TOPIC, sent, ("apns-expiration", expiration)], BODY).await;
        assert_eq!((again.status, again.header("apns-id")), (200, Some(sent.1)));
        ids.insert(again.header("apnsd-id").unwrap().to_owned());
    }
    assert_eq!(ids.len(), 1, "{ids:?}");
    // One id for a message to many devices is many notifications.
    let other = caller.post(&path(2), &[TOPIC, sent], BODY).await;
    assert!(!ids.contains(other.header("apnsd-id").unwrap()));
    // The header is the daemon's own, and finds them.
    let tagged = caller.post(&path(1), &[TOPIC, sent, ("apnsd-tag", "late")], BODY).await;
    assert!(ids.contains(tagged.header("apnsd-id").unwrap()), "it is the same one all the same");
    let refused = caller.post(&path(3), &[TOPIC, ("apnsd-tag", &"x".repeat(65))], BODY).await;
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("BadTag"), "{refused:?}");
    world.simulator.wait_for(|log| log.counts().requests == 3).await;
    until("all are settled", async || daemon.service().total().await.unwrap().waiting == 0).await;
    assert_eq!(world.simulator.counts().requests, 3);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_for_the_time_being_is_the_answer_and_leaves_nothing_behind() {
    let script = r#"{"http2": {"rules": [
        {"when": {"arrival": 1}, "then": [{"answer_with": {"status": 429, "reason": "TooManyRequests", "retry_after": "7"}}]}
    ]}}"#;
    let world = World::with_script(script).await;
    let daemon = start(&world, "", "").await;
    let caller = Http2::connect(daemon.address("provider_api.listen").unwrap()).await;
    let busy = caller.post(&path(0), &[TOPIC], BODY).await;
    assert_eq!(
        (busy.status, busy.reason(), busy.header("retry-after")),
        (429, "TooManyRequests".to_owned(), Some("7"))
    );
    let total = daemon.service().total().await.unwrap();
    assert_eq!((total.waiting, total.in_flight), (0, 0), "the caller sends it again, nobody else does");
    let id = busy.header("apnsd-id").unwrap().parse().unwrap();
    let record = daemon.service().wait(id, Duration::ZERO).await.unwrap().unwrap();
    assert_eq!((&*record.outcome, record.reason.as_deref()), ("not_sent", Some("cancelled")));
    assert_eq!(caller.post(&path(0), &[TOPIC], BODY).await.status, 200);
    assert_eq!(world.simulator.counts().requests, 2);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_gets_no_answer_in_time_hears_whether_it_may_have_left() {
    let world = World::new().await;
    let daemon = start(&world, "", "answer_within = \"300ms\"").await;
    let caller = Http2::connect(daemon.address("provider_api.listen").unwrap()).await;
    daemon.service().pause(&shop(), None).await.unwrap();
    let late = caller.post(&path(0), &[TOPIC], BODY).await;
    assert_eq!((late.status, late.reason()), (503, "ServiceUnavailable".to_owned()), "{late:?}");
    assert_eq!((late.header("retry-after"), late.header("apnsd-state")), (Some("1"), Some("not_sent")));
    assert_eq!(daemon.service().total().await.unwrap().waiting, 0, "it was taken back");
    daemon.service().resume(&shop()).await.unwrap();

    let silent = r#"{"http2": {"rules": [{"when": {}, "then": [{"wait_ms": 1500}, "answer"]}]}}"#;
    world.simulator.set_script(Script::from_json(silent).unwrap());
    let doubt = caller.post(&path(1), &[TOPIC], BODY).await;
    assert_eq!((doubt.status, doubt.reason()), (504, "OutcomeUnknown".to_owned()), "{doubt:?}");
    assert_eq!(doubt.header("apnsd-state"), Some("unknown"));
    // What became of it is told all the same.
    let id = doubt.header("apnsd-id").unwrap().parse().unwrap();
    assert!(daemon.service().wait(id, SOON).await.unwrap().unwrap().is_accepted());
    assert_eq!(world.simulator.counts().requests, 1);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_hangs_up_takes_back_what_has_not_left() {
    let world = World::new().await;
    let daemon = start(&world, "", "").await;
    let address = daemon.address("provider_api.listen").unwrap();
    daemon.service().pause(&shop(), None).await.unwrap();
    let waiting = async || daemon.service().total().await.unwrap().waiting;
    let caller = Http2::connect(address).await;
    let (number, two) = (path(0), [TOPIC]);
    {
        let mut post = Box::pin(caller.try_post(&number, &two, BODY));
        tokio::select! {
            answer = &mut post => panic!("{answer:?}"),
            () = until("it is stored", async || waiting().await == 1) => {}
        }
    }
    // Dropping it resets the stream.
    until("it is taken back", async || waiting().await == 0).await;
    let mut post = Box::pin(caller.try_post(&number, &two, BODY));
    tokio::select! {
        answer = &mut post => panic!("{answer:?}"),
        () = until("it is stored", async || waiting().await == 1) => {}
    }
    drop(post);
    caller.hang_up();
    until("it is taken back", async || waiting().await == 0).await;
    let plain = tokio::spawn(async move {
        call(address, "POST", &path(2), "apns-topic: com.example.app\r\n", BODY).await;
    });
    until("it is stored", async || waiting().await == 1).await;
    plain.abort();
    until("it is taken back", async || waiting().await == 0).await;
    daemon.service().resume(&shop()).await.unwrap();
    assert_eq!(Http2::connect(address).await.post(&path(3), &two, BODY).await.status, 200);
    assert_eq!(world.simulator.counts().requests, 1, "nothing of those that hung up was sent");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_who_wait_when_the_daemon_stops_hear_that_nothing_left() {
    let world = World::new().await;
    let daemon = start(&world, "", "").await;
    let address = daemon.address("provider_api.listen").unwrap();
    daemon.service().pause(&shop(), None).await.unwrap();
    let caller = Http2::connect(address).await;
    let waits = tokio::spawn(async move {
        let answer = caller.post(&path(0), &[TOPIC], BODY).await;
        caller.closed().await;
        answer
    });
    until("it is stored", async || daemon.service().total().await.unwrap().waiting == 1).await;
    daemon.stop().await;
    let answer = waits.await.unwrap();
    assert_eq!((answer.status, answer.reason()), (503, "Shutdown".to_owned()), "{answer:?}");
    assert_eq!(answer.header("apnsd-state"), Some("not_sent"));
    assert_eq!(world.simulator.counts().requests, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_apple_refuses_by_its_headers_is_refused_with_apples_reason() {
    let world = World::new().await;
    let daemon = start(&world, "validate = \"refuse\"", "").await;
    let caller = Http2::connect(daemon.address("provider_api.listen").unwrap()).await;
    let long = "x".repeat(65);
    let large = format!(r#"{{"aps": {{"alert": "{}"}}}}"#, "x".repeat(4096));
    let huge = "x".repeat(100_000);
    let device = path(0);
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, (u16, &'a str));
    let cases: &[Case<'_>] = &[
        ("/3/device/", &[TOPIC], BODY, (400, "MissingDeviceToken")),
        ("/3/device/ab/cd", &[TOPIC], BODY, (404, "BadPath")),
        ("/3/device/zz", &[TOPIC], BODY, (400, "BadDeviceToken")),
        ("/3/devices/ab", &[TOPIC], BODY, (404, "BadPath")),
        (&device, &[TOPIC, TOPIC], BODY, (400, "DuplicateHeaders")),
        (&device, &[("apns-topic", "com.example.other")], BODY, (400, "TopicDisallowed")),
        (&device, &[("apns-topic", "no topic")], BODY, (400, "BadTopic")),
        (&device, &[TOPIC, ("apns-push-type", "voip")], BODY, (400, "InvalidPushType")),
        (&device, &[TOPIC, ("apns-id", "17")], BODY, (400, "BadMessageId")),
        (&device, &[TOPIC, ("apns-expiration", "soon")], BODY, (400, "BadExpirationDate")),
        (&device, &[TOPIC, ("apns-expiration", "1700000000000")], BODY, (400, "BadExpirationDate")),
        (&device, &[TOPIC, ("apns-priority", "7")], BODY, (400, "BadPriority")),
        (&device, &[TOPIC, ("apns-collapse-id", &long)], BODY, (400, "BadCollapseId")),
        (&device, &[TOPIC], "", (400, "PayloadEmpty")),
        (&device, &[TOPIC], "[]", (400, "PayloadEmpty")),
        (&device, &[TOPIC], &large, (413, "PayloadTooLarge")),
        (&device, &[TOPIC], &huge, (413, "PayloadTooLarge")),
        (&device, &[TOPIC], r#"{"aps": {"badge": "1"}}"#, (400, "PayloadInvalid")),
    ];
    for (path, headers, body, (status, reason)) in cases {
        let answer = caller.post(path, headers, body).await;
        assert_eq!((answer.status, &*answer.reason()), (*status, *reason), "{path} {headers:?}: {answer:?}");
        assert!(answer.header("apns-id").is_some(), "some clients find their request by it: {answer:?}");
    }
    let address = daemon.address("provider_api.listen").unwrap();
    let wrong = call(address, "GET", &device, "", "").await;
    assert_eq!((wrong.status, wrong.json()["reason"].as_str()), (405, Some("MethodNotAllowed")));
    // A type of tomorrow is left to Apple, and one of today goes with its topic.
    let voip = [("apns-topic", "com.example.app.voip"), ("apns-push-type", "voip")];
    assert_eq!(caller.post(&device, &voip, BODY).await.status, 200);
    let tomorrow = [TOPIC, ("apns-push-type", "hologram")];
    assert_eq!(caller.post(&device, &tomorrow, BODY).await.reason(), "InvalidPushType");
    let requests = world.simulator.requests();
    assert_eq!(requests.len(), 2, "all others are refused before they leave");
    assert_eq!(requests[0].topic.as_deref(), Some("com.example.app.voip"));
    assert_eq!(requests[1].push_type.as_deref(), Some("hologram"));
    let figures = get(daemon.address("api.listen").unwrap(), "/metrics").await.body;
    assert!(figures.contains("apnsd_refused_calls_total{interface=\"provider_api\",status=\"413\"} 2"), "{figures}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_beyond_what_may_be_under_way_are_told_to_come_again() {
    let world = World::new().await;
    let daemon = start(&world, "rate = 2", "max_requests = 1").await;
    let address = daemon.address("provider_api.listen").unwrap();
    daemon.service().pause(&shop(), None).await.unwrap();
    let first = tokio::spawn(async move { Http2::connect(address).await.post(&path(0), &[TOPIC], BODY).await });
    until("it is under way", async || daemon.service().total().await.unwrap().waiting == 1).await;
    let caller = Http2::connect(address).await;
    let second = caller.post(&path(1), &[TOPIC], BODY).await;
    assert_eq!(
        (second.status, second.reason(), second.header("retry-after")),
        (429, "TooManyRequests".into(), Some("1"))
    );
    daemon.service().resume(&shop()).await.unwrap();
    assert_eq!(first.await.unwrap().status, 200);
    // The app's own rate is said in the same words.
    let slowed = until_some("the rate is used up", async || {
        let answer = caller.post(&path(2), &[TOPIC], BODY).await;
        (answer.status != 200).then_some(answer)
    });
    let slowed = slowed.await;
    assert_eq!((slowed.status, slowed.reason()), (429, "TooManyRequests".to_owned()));
    assert!(slowed.header("retry-after").is_some());
    daemon.stop().await;
}

/// A daemon on a store that the test slows down or cuts off.
async fn start_on_flaky(world: &World) -> (Daemon, Arc<Flaky>) {
    let config = Config::parse(&text(world, "", ""), world.folder.path()).unwrap();
    let outbox = Arc::new(Flaky::never(&config));
    (Daemon::start_with(config, outbox.clone()).await.unwrap(), outbox)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_hangs_up_while_it_is_stored_takes_it_back_too() {
    let world = World::new().await;
    let (daemon, outbox) = start_on_flaky(&world).await;
    // Nothing leaves, so that it can be taken back whatever is quicker.
    daemon.service().pause(&shop(), None).await.unwrap();
    outbox.held.store(1, Ordering::SeqCst);
    let address = daemon.address("provider_api.listen").unwrap();
    let caller = Http2::connect(address).await;
    let number = path(0);
    let mut post = Box::pin(caller.try_post(&number, &[TOPIC], BODY));
    tokio::select! {
        answer = &mut post => panic!("{answer:?}"),
        () = until("it is being stored", async || outbox.held.load(Ordering::SeqCst) == 0) => {}
    }
    drop(post);
    caller.hang_up();
    // The daemon has seen that by the time it answers somebody who came later.
    let later = Http2::connect(address).await.post("/3/device/none", &[TOPIC], BODY).await;
    assert_eq!(later.status, 400);
    outbox.gate.add_permits(1);
    let mut outcomes = daemon.service().outcomes(&shop(), Some(Cursor::default())).await.unwrap();
    let (_, record) = outcomes.next().await.unwrap().unwrap();
    assert_eq!((&*record.outcome, record.reason.as_deref()), ("not_sent", Some("cancelled")), "{record:?}");
    assert_eq!(world.simulator.counts().requests, 0);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_stored_is_not_said_to_be_refused() {
    let world = World::new().await;
    let (daemon, outbox) = start_on_flaky(&world).await;
    outbox.lost.store(1, Ordering::SeqCst);
    let caller = Http2::connect(daemon.address("provider_api.listen").unwrap()).await;
    let doubt = caller.post(&path(0), &[TOPIC], BODY).await;
    assert_eq!((doubt.status, doubt.reason()), (504, "OutcomeUnknown".to_owned()), "{doubt:?}");
    assert_eq!(doubt.header("apnsd-state"), Some("unknown"));
    world.simulator.wait_for(|log| log.counts().requests == 1).await;
    daemon.stop().await;
}
