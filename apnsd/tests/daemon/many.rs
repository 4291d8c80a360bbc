//! One payload for many devices.

use std::collections::BTreeMap;

use apnsd::Daemon;
use apnsd::config::Config;
use serde_json::{Value, json};

use crate::http::{call, post};
use crate::support::{World, token};

const NOTIFICATIONS: &str = "/v1/apps/shop/notifications";

fn tokens(numbers: impl IntoIterator<Item = u32>) -> Vec<String> {
    numbers.into_iter().map(|number| token(number).to_hex()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_device_has_its_own_outcome_and_its_own_badge() {
    let bad = token(3).to_hex();
    let world = World::with_script(&json!({"invalid_tokens": [bad]}).to_string()).await;
    let daemon = Daemon::start(world.config("")).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let payload = json!({"aps": {"alert": "Tea is ready", "badge": 1}});
    let all = tokens(0..200);
    let body = json!({"tokens": all, "payload": payload, "priority": 5}).to_string();
    let answer = post(api, &format!("{NOTIFICATIONS}?wait=60s"), &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let receipts = answer.json();
    let told: Vec<&str> = receipts.as_array().unwrap().iter().map(|one| one["token"].as_str().unwrap()).collect();
    assert_eq!(told, all, "in the order of the call");
    for receipt in receipts.as_array().unwrap() {
        let wanted = if receipt["token"] == json!(bad) { "rejected" } else { "accepted" };
        assert_eq!(receipt["outcome"]["outcome"], wanted, "{receipt}");
    }
    assert!(world.simulator.requests().iter().all(|request| request.priority == Some(5)));

    world.simulator.forget();
    let to = json!([{"token": token(10).to_hex(), "badge": 7}, {"token": token(11).to_hex()}]);
    let answer =
        post(api, &format!("{NOTIFICATIONS}?wait=60s"), &json!({"to": to, "payload": payload}).to_string()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let requests = world.simulator.requests();
    let badges: BTreeMap<String, u64> = requests
        .iter()
        .map(|request| {
            let payload: Value = serde_json::from_slice(&request.payload).unwrap();
            let token = request.path.rsplit('/').next().unwrap().to_owned();
            (token, payload["aps"]["badge"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(badges, BTreeMap::from([(token(10).to_hex(), 7), (token(11).to_hex(), 1)]));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_call_is_taken_as_a_whole_or_not_at_all_and_once() {
    let world = World::new().await;
    let text = world.config_text("").replace("[pyapns]", "max_batch = 3\n[pyapns]");
    let daemon = Daemon::start(Config::parse(&text, world.folder.path()).unwrap()).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let payload = json!({"aps": {"alert": "Tea is ready"}});
    let send = async |body: Value| post(api, NOTIFICATIONS, &body.to_string()).await;
    let four = send(json!({"tokens": tokens(0..4), "payload": payload})).await;
    assert_eq!((four.status, four.problem()), (413, "#batch-too-large".to_owned()));
    let good = token(1).to_hex();
    let large = json!({"aps": {"alert": "x".repeat(5000)}});
    for (body, fields) in [
        (json!({"tokens": [good, "zz", ""], "payload": payload}), vec!["tokens[1]", "tokens[2]"]),
        (json!({"to": [{"token": good}, {"token": "zz"}], "payload": payload}), vec!["to[1].token"]),
        (json!({"to": [{"token": good, "badge": -1}], "payload": payload}), vec!["to[0].badge"]),
        (json!({"token": good, "tokens": [good], "payload": payload}), vec!["(the whole)"]),
        (
            json!({"tokens": [good], "payload": payload, "apns_id": "7f5a1b60-3c2d-4e5f-8a9b-0c1d2e3f4a5b"}),
            vec!["apns_id"],
        ),
        (json!({"tokens": [good], "payload": payload, "priority": 3}), vec!["priority"]),
        (json!({"tokens": [good, good], "payload": large}), vec!["tokens[0]"]),
        (json!({"payload": payload}), vec!["(the whole)"]),
    ] {
        let refused = send(body.clone()).await;
        assert_eq!(
            (refused.status, refused.fields()),
            (422, fields.iter().map(|&field| field.to_owned()).collect()),
            "{body}"
        );
    }
    let line = json!({"tokens": [good], "payload": payload}).to_string();
    let lines = call(api, "POST", NOTIFICATIONS, "Content-Type: application/x-ndjson\r\n", &line).await;
    assert!(lines.body.contains("\"tokens\""), "a line is one notification: {lines:?}");
    assert_eq!(daemon.service().total().await.unwrap().waiting, 0);

    let call = json!({"tokens": tokens(0..3), "payload": payload, "idempotency_key": "tea"});
    let first = send(call.clone()).await.json();
    let again = send(call).await.json();
    for (first, again) in first.as_array().unwrap().iter().zip(again.as_array().unwrap()) {
        assert_eq!((&first["id"], &again["duplicate"]), (&again["id"], &json!(true)));
    }
    world.simulator.wait_for(|log| log.counts().requests == 3).await;
    let key = format!("tea/{}", token(1).to_hex());
    let body = json!({"idempotency_keys": [key]}).to_string();
    let known = post(api, "/v1/apps/shop/cancel", &body).await.json();
    assert_ne!(known[0]["state"], "unknown", "{known}");
    daemon.stop().await;
}
