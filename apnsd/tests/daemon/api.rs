//! The JSON API as it is meant to be used.

use std::collections::BTreeSet;

use apnsd::Daemon;
use serde_json::{Value, json};

use crate::http::{EventSource, call, get, post};
use crate::support::{SOON, World, token};

const NOTIFICATIONS: &str = "/v1/apps/shop/notifications";

fn body(number: u32) -> Value {
    json!({"token": token(number).to_hex(), "payload": {"aps": {"alert": "Tea is ready"}}})
}

#[tokio::test(flavor = "multi_thread")]
async fn one_notification_is_stored_delivered_and_told() {
    let world = World::new().await;
    let daemon = Daemon::start(world.config("")).await.unwrap();
    let api = daemon.address("api.listen").unwrap();

    let accepted = post(api, NOTIFICATIONS, &body(1).to_string()).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let id = accepted.json()["id"].as_str().unwrap().to_owned();

    let mut events = EventSource::open(api, "/v1/apps/shop/outcomes?after=0", "").await;
    let (_, outcome) = events.next().await;
    assert_eq!((&outcome["id"], &outcome["outcome"]), (&json!(id), &json!("accepted")));

    let told = get(api, &format!("/v1/notifications/{id}")).await;
    assert_eq!(told.status, 200);
    assert_eq!(told.json()["state"], "settled");
    assert_eq!(told.json()["outcome"]["proof"], "confirmed");
    let request = &world.simulator.requests()[0];
    assert_eq!(request.apns_id, id, "a copy could be recognised");
    assert_eq!(request.push_type.as_deref(), Some("alert"));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_can_be_waited_for_and_refusals_say_what_to_do() {
    let gone = token(2).to_hex();
    let script = format!(r#"{{"http2": {{"unregistered": [{{"token": "{gone}", "timestamp_ms": 1700000000000}}]}}}}"#);
    let world = World::with_script(&script).await;
    let daemon = Daemon::start(world.config("")).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let all = json!([body(1), body(2), body(3)]).to_string();
    let answer = post(api, &format!("{NOTIFICATIONS}?wait=30s"), &all).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let outcomes: Vec<_> = answer.json().as_array().unwrap().iter().map(|one| one["outcome"].clone()).collect();
    assert_eq!(outcomes[0]["outcome"], "accepted");
    assert_eq!(outcomes[1]["outcome"], "rejected");
    assert_eq!(outcomes[1]["reason"], "Unregistered");
    assert_eq!(outcomes[1]["status"], 410);
    assert_eq!(outcomes[1]["token"], "drop_if_registered_before");
    assert_eq!(outcomes[2]["outcome"], "accepted");

    let invalid = get(api, "/v1/apps/shop/invalid-tokens").await.json();
    assert_eq!(invalid["tokens"][0]["token"], gone);
    assert_eq!(invalid["tokens"][0]["gone_since"], 1_700_000_000_000_u64);
    let next = invalid["next"].as_str().unwrap();
    let rest = get(api, &format!("/v1/apps/shop/invalid-tokens?after={next}")).await.json();
    assert_eq!(rest["tokens"], json!([]));
    let found_at = invalid["tokens"][0]["found_at"].as_u64().unwrap();
    let later = get(api, &format!("/v1/apps/shop/invalid-tokens?since={}", found_at + 1)).await.json();
    assert_eq!(later["tokens"], json!([]));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_lines_are_answered_line_by_line() {
    let world = World::new().await;
    let daemon = Daemon::start(world.config("")).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let mut lines = String::new();
    for number in 0..3000 {
        lines.push_str(&body(number).to_string());
        lines.push('\n');
        if number == 1500 {
            lines.push_str("{\"token\": \"zz\", \"payload\": {}}\n\n");
        }
    }
    let answer = call(api, "POST", NOTIFICATIONS, "Content-Type: application/x-ndjson\r\n", &lines).await;
    assert_eq!(answer.status, 202);
    let answers: Vec<Value> = answer.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 3002);
    let ids: BTreeSet<_> = answers.iter().filter_map(|answer| answer["id"].as_str()).collect();
    assert_eq!(ids.len(), 3000);
    let refused: Vec<_> = answers.iter().filter(|answer| answer["problem"].is_object()).collect();
    assert_eq!(refused.len(), 1);
    assert_eq!((&refused[0]["line"], &refused[0]["problem"]["errors"][0]["field"]), (&json!(1502), &json!("token")));
    assert_eq!(answers[3001], json!({"done": true, "accepted": 3000, "refused": 1}));
    world.simulator.wait_for(|log| log.counts().requests == 3000).await;

    // And with the outcomes.
    let two = format!("{}\n{}", body(1), body(2));
    let path = format!("{NOTIFICATIONS}?wait=30s");
    let answer = call(api, "POST", &path, "Content-Type: application/x-ndjson\r\n", &two).await;
    let answers: Vec<Value> = answer.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers[1]["outcome"]["outcome"], "accepted", "{answers:?}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_lines_do_not_wait_for_a_rate_that_lets_them_in_much_later() {
    let world = World::new().await;
    let daemon = Daemon::start(world.config("rate = 1\n")).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    // Minutes have to pass before there is anything to take again.
    let many: Vec<_> = (0..300).map(body).collect();
    assert_eq!(post(api, NOTIFICATIONS, &json!(many).to_string()).await.status, 202);
    let lines = format!("{}\n{}\n", body(1), body(2));
    let answer = call(api, "POST", NOTIFICATIONS, "Content-Type: application/x-ndjson\r\n", &lines);
    let answer = tokio::time::timeout(SOON, answer).await.expect("there is an answer");
    let answers: Vec<Value> = answer.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 3, "{answers:?}");
    assert_eq!((&answers[0]["line"], &answers[0]["problem"]["type"]), (&json!(1), &json!("#too-fast")));
    assert_eq!(answers[2], json!({"done": false, "accepted": 0, "refused": 2}));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_is_not_refused_because_its_outcome_cannot_be_read() {
    let world = World::new().await;
    let config = world.config("");
    let data = config.data.clone();
    let daemon = Daemon::start(config).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let mut keyed = body(1);
    keyed["idempotency_key"] = json!("tea");
    let path = format!("{NOTIFICATIONS}?wait=30s");
    let first = post(api, &path, &keyed.to_string()).await;
    assert_eq!(first.json()["outcome"]["outcome"], "accepted", "{first:?}");
    // The store takes notifications, and cannot tell outcomes.
    let file = rusqlite::Connection::open(data.join("outbox.sqlite3")).unwrap();
    file.execute_batch("ALTER TABLE outcome RENAME TO away").unwrap();
    let again = post(api, &path, &keyed.to_string()).await;
    assert_eq!(again.status, 202, "{again:?}");
    assert_eq!(again.json(), json!({"id": first.json()["id"], "duplicate": true}));
    let lines = format!("{keyed}\n{keyed}\n");
    let answer = call(api, "POST", &path, "Content-Type: application/x-ndjson\r\n", &lines).await;
    let answers: Vec<Value> = answer.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers[1], json!({"line": 2, "id": first.json()["id"], "duplicate": true}), "{answers:?}");
    assert_eq!(answers[2], json!({"done": true, "accepted": 2, "refused": 0}));
    file.execute_batch("ALTER TABLE away RENAME TO outcome").unwrap();
    drop(file);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_idempotency_key_is_queued_once() {
    let world = World::new().await;
    let daemon = Daemon::start(world.config("")).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let mut keyed = body(1);
    keyed["idempotency_key"] = json!("order-17");
    let first = post(api, &format!("{NOTIFICATIONS}?wait=30s"), &keyed.to_string()).await.json();
    let headers = "Content-Type: application/json\r\nIdempotency-Key: order-17\r\n";
    let second = call(api, "POST", &format!("{NOTIFICATIONS}?wait=30s"), headers, &body(1).to_string()).await.json();
    assert_eq!(second["duplicate"], true);
    assert_eq!(first["id"], second["id"]);
    assert_eq!(second["outcome"]["idempotency_key"], "order-17", "the outcome of the first one");
    let both = post(api, NOTIFICATIONS, &json!([keyed, keyed]).to_string()).await.json();
    assert_eq!((&both[0]["id"], &both[1]["id"]), (&first["id"], &first["id"]));
    assert_eq!(world.simulator.counts().requests, 1);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_outcomes_goes_on_where_it_was() {
    let world = World::new().await;
    let daemon = Daemon::start(world.config("")).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let mut live = EventSource::open(api, "/v1/apps/shop/outcomes", "").await;
    let all: Vec<Value> = (0..20).map(body).collect();
    let receipts = post(api, NOTIFICATIONS, &json!(all).to_string()).await.json();
    let ids: BTreeSet<String> =
        receipts.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
    let mut seen = BTreeSet::new();
    let mut last = String::new();
    for _ in 0..7 {
        let (cursor, outcome) = live.next().await;
        seen.insert(outcome["id"].as_str().unwrap().to_owned());
        last = cursor;
    }
    drop(live);
    let mut resumed = EventSource::open(api, "/v1/apps/shop/outcomes", &format!("Last-Event-ID: {last}\r\n")).await;
    while seen.len() < 20 {
        let (_, outcome) = resumed.next().await;
        assert!(seen.insert(outcome["id"].as_str().unwrap().to_owned()), "told once: {outcome}");
    }
    assert_eq!(seen, ids);
    let refused = get(api, "/v1/apps/shop/outcomes?after=x").await;
    assert_eq!((refused.status, refused.fields()), (422, vec!["after".to_owned()]));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn apps_come_change_and_go_while_others_send() {
    let world = World::new().await;
    let daemon = Daemon::start(world.config("")).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let path = "/v1/apps/caf%C3%A9";
    let definition = json!({
        "environment": "sandbox",
        "certificate": world.folder.path().join("client.pem"),
        "key_data": world.simulator.client_key_pem(),
        "host": "localhost",
        "port": world.simulator.http2_address().port(),
        "ca": world.folder.path().join("ca.pem"),
    });
    let headers = "Content-Type: application/json\r\n";
    let made = call(api, "PUT", path, headers, &definition.to_string()).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.json()["topic"], "com.example.app", "read from the certificate");
    assert!(!made.body.contains("PRIVATE"), "keys are never echoed");
    let sent = post(api, &format!("{path}/notifications?wait=30s"), &body(1).to_string()).await;
    assert_eq!(sent.json()["outcome"]["outcome"], "accepted", "{sent:?}");

    let mut wrong = definition.clone();
    wrong["certificate"] = json!("/nowhere/client.pem");
    let refused = call(api, "PUT", path, headers, &wrong.to_string()).await;
    assert_eq!((refused.status, refused.fields()), (422, vec!["certificate".to_owned()]));
    wrong = definition.clone();
    wrong["retry"] = json!({"attempts": "many"});
    let refused = call(api, "PUT", path, headers, &wrong.to_string()).await;
    assert_eq!((refused.status, refused.fields()), (422, vec!["retry.attempts".to_owned()]));
    assert!(!refused.body.contains("many"), "values are not repeated: {}", refused.body);
    let sent = post(api, &format!("{path}/notifications?wait=30s"), &body(2).to_string()).await;
    assert_eq!(sent.json()["outcome"]["outcome"], "accepted", "it is what it was");

    let mut replaced = definition.clone();
    replaced["topic"] = json!("com.example.other");
    assert_eq!(call(api, "PUT", path, headers, &replaced.to_string()).await.status, 200);
    assert_eq!(get(api, path).await.json()["topic"], "com.example.other");
    let names: Vec<_> =
        get(api, "/v1/apps").await.json().as_array().unwrap().iter().map(|app| app["name"].clone()).collect();
    assert_eq!(names, ["café", "shop"]);

    assert_eq!(call(api, "DELETE", path, "", "").await.status, 204);
    assert_eq!(get(api, path).await.problem(), "#unknown-app");
    assert_eq!(call(api, "DELETE", "/v1/apps/shop", "", "").await.problem(), "#filed");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_request_is_named() {
    let world = World::new().await;
    let daemon = Daemon::start(world.config("")).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let hex = token(1).to_hex();
    let table = [
        (json!({"payload": {}}), "(the whole)"),
        (json!({"token": "xyz", "payload": {}}), "token"),
        (json!({"token": hex, "payload": []}), "payload"),
        (json!({"token": hex, "payload": {}, "priority": 3}), "priority"),
        (json!({"token": hex, "payload": {}, "priority": "high"}), "priority"),
        (json!({"token": hex, "payload": {}, "expiration": 1, "ttl": 1}), "ttl"),
        (json!({"token": hex, "payload": {}, "collapse_id": "x".repeat(65)}), "collapse_id"),
        (json!({"token": hex, "payload": {}, "apns_id": "1"}), "apns_id"),
        (json!({"token": hex, "payload": {}, "topic": "a b"}), "topic"),
        (json!({"token": hex, "payload": {}, "push_type": ""}), "push_type"),
        (json!({"token": hex, "payload": {}, "idempotency_key": ""}), "idempotency_key"),
        (json!({"token": hex, "payload": {}, "sound": "x"}), "sound"),
        (json!({"token": hex, "payload": {"aps": {"alert": "x".repeat(5000)}}}), "(the whole)"),
    ];
    for (body, field) in table {
        let answer = post(api, NOTIFICATIONS, &body.to_string()).await;
        assert_eq!((answer.status, answer.fields()), (422, vec![field.to_owned()]), "{answer:?}");
    }
    let array = json!([body(1), {"token": "", "payload": {}}, body(2), {"token": hex, "payload": 7}]);
    let answer = post(api, NOTIFICATIONS, &array.to_string()).await;
    assert_eq!(answer.fields(), ["[1].token", "[3].payload"]);
    assert_eq!(world.simulator.counts().requests, 0, "all or none");

    assert_eq!(post(api, NOTIFICATIONS, "{").await.status, 422);
    assert_eq!(post(api, NOTIFICATIONS, "[{]").await.problem(), "#json");
    assert_eq!(post(api, "/v1/apps/bank/notifications", "{}").await.problem(), "#unknown-app");
    assert_eq!(post(api, &format!("{NOTIFICATIONS}?wait=x"), "{}").await.fields(), ["wait"]);
    assert_eq!(post(api, &format!("{NOTIFICATIONS}?for=x"), "{}").await.fields(), ["for"]);
    assert_eq!(call(api, "POST", NOTIFICATIONS, "", "{}").await.problem(), "#media-type");
    assert_eq!(get(api, NOTIFICATIONS).await.problem(), "#method");
    assert_eq!(get(api, "/v2").await.problem(), "#not-found");
    assert_eq!(get(api, "/v1/notifications/1").await.fields(), ["id"]);
    let foreign = get(api, "/v1/notifications/eabeca8d-6f2b-8c0f-9a4a-4e2b8a3b6c7d").await;
    assert_eq!(foreign.problem(), "#unknown-notification");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_when_the_daemon_stops_is_told_what_is_known() {
    // One app gets no answers, the other no connection.
    let script = r#"{"http2": {"rules": [{"then": []}]}}"#;
    let world = World::with_script(script).await;
    let mut config = world.config("");
    config.stop_within = std::time::Duration::from_secs(1);
    let mut away = config.apps["shop"].clone();
    away.port = Some(std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port());
    config.apps.insert("away".parse().unwrap(), away);
    let daemon = Daemon::start(config).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let wait_for = |app: &str| {
        let (path, all) = (format!("/v1/apps/{app}/notifications?wait=60s"), json!([body(1)]).to_string());
        tokio::spawn(async move { post(api, &path, &all).await })
    };
    let (shop, away) = (wait_for("shop"), wait_for("away"));
    world.simulator.wait_for(|log| log.counts().requests == 1).await;
    while daemon.service().snapshot(&"away".parse().unwrap()).unwrap().taken == 0 {
        tokio::task::yield_now().await;
    }
    daemon.stop().await;
    let shop = shop.await.unwrap();
    assert_eq!(shop.status, 200);
    assert_eq!(shop.json()[0]["outcome"]["outcome"], "unknown", "the policy is to report it: {shop:?}");
    let away = away.await.unwrap();
    assert_eq!(away.status, 202, "it stays on disk: {away:?}");
    assert!(away.json()[0]["id"].is_string() && away.json()[0]["outcome"].is_null());
}
