//! Payloads that a device would drop, told or refused at intake.

use apns_proto::{Notification, Payload};
use apnsd::{Daemon, Submission, SubmitError};
use serde_json::{Value, json};

use crate::http::{call, get, post};
use crate::support::{World, shop, token};

const NOTIFICATIONS: &str = "/v1/apps/shop/notifications";

fn body(number: u32, payload: &Value) -> Value {
    json!({"token": token(number).to_hex(), "payload": payload})
}

/// The service accepts it, and no device shows the badge.
fn dropped() -> Value {
    json!({"aps": {"alert": "Tea is ready", "badge": "1"}})
}

fn fine() -> Value {
    json!({"aps": {"alert": "Tea is ready", "badge": 1}})
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_word_payloads_are_not_looked_at() {
    let world = World::new().await;
    let daemon = Daemon::start(world.config("")).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let answer = post(api, &format!("{NOTIFICATIONS}?wait=30s"), &body(1, &dropped()).to_string()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["findings"], Value::Null);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warning_comes_with_the_answer_and_all_is_sent() {
    let world = World::new().await;
    let daemon = Daemon::start(world.config("validate = \"warn\"")).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let all = json!([body(1, &fine()), body(2, &dropped())]).to_string();
    let answer = post(api, &format!("{NOTIFICATIONS}?wait=30s"), &all).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = answer.json();
    assert_eq!(answer[0]["findings"], Value::Null);
    let found = &answer[1]["findings"][0];
    assert_eq!((&found["severity"], &found["at"]), (&json!("dropped"), &json!("aps.badge")), "{answer}");
    assert_eq!(answer[1]["outcome"]["outcome"], "accepted");
    assert_eq!(world.simulator.requests().len(), 2);
    let lines = format!("{}\n{}\n", body(3, &dropped()), body(4, &fine()));
    let told = call(api, "POST", NOTIFICATIONS, "Content-Type: application/x-ndjson\r\n", &lines).await;
    let first: Value = serde_json::from_str(told.body.lines().next().unwrap()).unwrap();
    assert_eq!(first["findings"][0]["at"], "aps.badge", "{told:?}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_device_would_drop_is_refused_where_the_app_wants_it() {
    let world = World::new().await;
    let daemon = Daemon::start(world.config("validate = \"refuse\"")).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let one = post(api, NOTIFICATIONS, &body(1, &dropped()).to_string()).await;
    assert_eq!(one.status, 422, "{one:?}");
    assert_eq!(one.json()["errors"][0]["field"], "payload.aps.badge");
    // All of an array or none of it.
    let all = json!([body(1, &fine()), body(2, &dropped())]).to_string();
    let many = post(api, NOTIFICATIONS, &all).await;
    assert_eq!((many.status, &many.json()["errors"][0]["field"]), (422, &json!("[1].payload.aps.badge")), "{many:?}");
    // A bad line stops no other.
    let lines = format!("{}\n{}\n", body(3, &dropped()), body(4, &fine()));
    let told = call(api, "POST", NOTIFICATIONS, "Content-Type: application/x-ndjson\r\n", &lines).await;
    let told: Vec<Value> = told.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(told[0]["problem"]["errors"][0]["field"], "payload.aps.badge", "{told:?}");
    assert!(told[1]["id"].is_string(), "{told:?}");
    assert_eq!(told[2]["accepted"], 1, "{told:?}");
    let payload = Payload::from_json(dropped().to_string()).unwrap();
    let submission = Submission::from(Notification::new(token(5), payload));
    let error = daemon.service().submit(&shop(), vec![submission]).await.unwrap_err();
    let SubmitError::Payload { index: 0, findings } = &error else { panic!("{error:?}") };
    assert_eq!(findings[0].at, "aps.badge");
    assert!(!format!("{error} {error:?}").contains("Tea"), "a finding names keys and no value");
    let shown = get(api, "/v1/apps/shop").await;
    assert_eq!(shown.status, 200);
    daemon.stop().await;
}
