//! Pushes as programs find them.

use std::time::{Duration, Instant};

use apns_inbox::Settings;
use apns_tokio::proto::PushType;
use tokio::time::timeout;

use crate::support::{PATIENCE, TOPIC, World, alert, collapsing, device, hex, of_type, sent};

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_there_with_all_that_came_and_all_that_was_said() {
    let world = World::new().await;
    let client = world.client();
    assert!(sent(&client, collapsing(1, "Order 17", "order-17")).await.is_accepted());
    let pushes = world.pushes(1, "").await;
    let push = &pushes[0];
    assert_eq!((&push["seq"], &push["protocol"], &push["kind"]), (&1.into(), &"http2".into(), &"push".into()));
    assert_eq!((&push["device"], &push["app"]), (&hex(1).into(), &TOPIC.into()));
    assert_eq!((&push["type"], &push["push_type"]), (&"alert".into(), &"alert".into()));
    assert_eq!((&push["headline"], &push["collapse_id"]), (&"Order 17".into(), &"order-17".into()));
    assert_eq!(push["payload"]["aps"]["alert"]["body"], "It waits.");
    assert_eq!((&push["answer"]["status"], &push["answer"]["accepted"]), (&200.into(), &true.into()));
    assert_eq!(push["authenticated_by"]["token"]["key_id"], world.simulator.key_id());
    assert_eq!((&push["connection"]["tls"], &push["connection"]["number"]), (&"1.3".into(), &1.into()));
    assert!(push["connection"]["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
    let headers = push["request"]["headers"].to_string();
    assert!(headers.contains("apns-collapse-id") && !headers.contains("bearer"), "{headers}");
    assert_eq!(push["payload_limit"], 4096);

    let one = world.get("/v1/pushes/1").await.json();
    assert!(one["kept_rules"].as_array().unwrap().len() > 5 && one["broken"].as_array().unwrap().is_empty(), "{one}");
    assert!(one["again"]["curl"].as_str().unwrap().contains("apns-collapse-id: order-17"));
    for missing in ["/v1/pushes/2", "/v1/pushes/x", "/v1/pushes/-1"] {
        assert_eq!(world.get(missing).await.problem(), "#unknown-push");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_of_the_binary_protocol_is_there_as_well() {
    let world = World::new().await;
    let client = world.binary_client();
    drop(sent(&client, alert(2, "Freezer")).await);
    let pushes = world.pushes(1, "type=binary").await;
    let push = &pushes[0];
    assert_eq!((&push["protocol"], &push["app"], &push["device"]), (&"binary".into(), &TOPIC.into(), &hex(2).into()));
    assert_eq!((&push["frame"]["command"], &push["payload_limit"]), (&2.into(), &2048.into()));
    assert_eq!(push["answer"]["words"], "taken");
    assert_eq!(world.get("/v1/pushes?type=broadcast").await.json()["matched"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_find_what_they_say() {
    let world = World::new().await;
    let client = world.client();
    drop(sent(&client, alert(1, "Tea is ready")).await);
    drop(sent(&client, alert(2, "Grüße, “Bob”")).await);
    drop(sent(&client, of_type(1, PushType::Background, r#"{"aps":{"content-available":1},"x":"Mond"}"#)).await);
    drop(sent(&client, of_type(1, PushType::Voip, r#"{"call":1}"#)).await);
    world.pushes(4, "").await;
    world.json("PATCH", &format!("/v1/devices/{}", hex(2)), r#"{"name": "Bob's phone"}"#).await;
    let found = async |query: &str| {
        let answer = world.get(&format!("/v1/pushes?{query}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let pushes = answer.json()["pushes"].as_array().unwrap().clone();
        pushes.iter().map(|push| push["seq"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(found("").await, [4, 3, 2, 1]);
    assert_eq!(found("device=0101").await, [4, 3, 1]);
    assert_eq!(found("device=Bob%27s+phone").await, [2]);
    assert_eq!(found("type=voip").await, [4]);
    assert_eq!(found("app=com.example.app.voip").await, [4, 3, 2, 1]);
    assert_eq!(found("app=com.example.other").await, [0_u64; 0]);
    assert_eq!(found("q=gr%C3%BC%C3%9Fe%2C+%E2%80%9Cbob").await, [2]);
    assert_eq!(found("q=MOND&type=background").await, [3]);
    assert_eq!(found("answer=accepted&limit=2").await, [4, 3]);
    assert_eq!(found("answer=refused").await, [0_u64; 0]);
    assert_eq!(found("after=1").await, [2, 3, 4], "behind a number the oldest come first");
    assert_eq!(found("after=1&before=4&limit=1").await, [2]);
    assert_eq!(found("connection=1&answer=200").await, [4, 3, 2, 1]);
    assert_eq!(found("connection=g1").await, [0_u64; 0]);
    for slip in ["devce=1", "wait=later", "limit=0", "answer=good", "count=x"] {
        assert_eq!(world.get(&format!("/v1/pushes?{slip}")).await.problem(), "#invalid", "{slip}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_waits_for_the_push_that_it_expects() {
    let world = World::new().await;
    let client = world.client();
    let waiting = world.get("/v1/pushes?wait=30s&q=second&device=01");
    let sending = async {
        drop(sent(&client, alert(1, "first")).await);
        drop(sent(&client, alert(2, "second, elsewhere")).await);
        drop(sent(&client, alert(1, "second")).await);
    };
    let (answer, ()) = tokio::join!(waiting, sending);
    let answer = answer.json();
    assert_eq!((&answer["pushes"][0]["seq"], &answer["timed_out"]), (&3.into(), &false.into()));
    // What is there is told at once.
    let begun = Instant::now();
    assert_eq!(world.get("/v1/pushes?wait=30s&count=2&device=01").await.json()["matched"], 2);
    assert!(begun.elapsed() < Duration::from_secs(20));
    let answer = world.get("/v1/pushes?wait=50ms&q=never").await.json();
    assert_eq!((&answer["matched"], &answer["timed_out"]), (&0.into(), &true.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_inbox_is_bounded_counts_what_it_drops_and_can_be_emptied() {
    let world = World::with(Settings::default().keep(10)).await;
    let client = world.client();
    for number in 0..25 {
        assert!(sent(&client, alert(1, &format!("number {number}"))).await.is_accepted());
    }
    let answer = world.get("/v1/pushes?wait=30s&count=10").await.json();
    assert_eq!((&answer["kept"], &answer["dropped"], &answer["newest"]), (&10.into(), &15.into(), &25.into()));
    let export = world.get("/export.jsonl?after=20").await;
    assert_eq!(export.header("content-type"), Some("application/x-ndjson"));
    let lines: Vec<serde_json::Value> = export.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().map(|line| line["seq"].as_u64().unwrap()).collect::<Vec<_>>(), [21, 22, 23, 24, 25]);

    assert_eq!(world.json("DELETE", "/v1/pushes", "").await.status, 204);
    let answer = world.get("/v1/pushes").await.json();
    assert_eq!((&answer["kept"], &answer["dropped"], &answer["newest"]), (&0.into(), &0.into(), &25.into()));
    assert!(sent(&client, alert(1, "one more")).await.is_accepted());
    assert_eq!(world.pushes(1, "").await[0]["seq"], 26);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_answered_when_the_inbox_ends() {
    let world = World::new().await;
    let address = world.address();
    let waiting = tokio::spawn(crate::support::call(address, "GET", "/v1/pushes?wait=300s", "", ""));
    let events = tokio::spawn(crate::support::call(address, "GET", "/events", "", ""));
    // They are under way when a further request is answered on a connection behind theirs.
    while world.get("/v1/status").await.status != 200 {}
    let World { simulator, inbox } = world;
    timeout(PATIENCE, inbox.stop()).await.unwrap();
    drop(simulator);
    for answer in [waiting, events] {
        // A request that had not arrived has no answer; none hangs.
        drop(timeout(PATIENCE, answer).await.unwrap());
    }
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_of_things_is_told() {
    let world = World::new().await;
    assert_eq!(world.get("/healthz").await.json()["status"], "ok");
    // A client that trusts nobody here.
    let tcp = tokio::net::TcpStream::connect(world.simulator.http2_address()).await.unwrap();
    drop(tcp);
    let failed = async {
        loop {
            let status = world.get("/v1/status").await.json();
            if status["handshakes_failed"]["count"] == 1 {
                return status;
            }
            tokio::task::yield_now().await;
        }
    };
    let status = timeout(PATIENCE, failed).await.unwrap();
    assert_eq!(status["handshakes_failed"]["last"]["service"], "http2");
    assert_eq!(status["listeners"]["http2"], world.simulator.http2_address().to_string());
    assert_eq!((&status["keep"], &status["key_id"]), (&10_000.into(), &world.simulator.key_id().into()));
    assert!(world.get("/").await.body.contains("connections failed"));
    let token = device(1);
    drop(token);
    assert_eq!(world.get("/nowhere").await.problem(), "#not-found");
    assert_eq!(world.json("POST", "/v1/pushes", "{}").await.problem(), "#method");
}
