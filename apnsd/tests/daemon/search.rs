//! Finding notifications over real sockets, through each interface that hands them in.

use apnsd::Daemon;
use serde_json::{Value, json};

use crate::http::{Answer, call, get, post};
use crate::support::{World, shop, token, until};

const SEARCH: &str = "/v1/apps/shop/search";

/// What was found, as state and id.
fn found(answer: &Answer) -> Vec<(String, String)> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let all = answer.json();
    let text = |one: &Value, member: &str| one[member].as_str().unwrap().to_owned();
    all["notifications"].as_array().unwrap().iter().map(|one| (text(one, "state"), text(one, "id"))).collect()
}

fn notification(number: u32, more: &Value) -> Value {
    let mut body = json!({"token": token(number).to_hex(), "payload": {"aps": {"alert": "Tea is ready"}}});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_got_nothing_is_told_why() {
    let script = json!({"invalid_tokens": [token(2).to_hex()]}).to_string();
    let world = World::with_script(&script).await;
    let daemon = Daemon::start(world.config("")).await.unwrap();
    let (service, api) = (daemon.service(), daemon.address("api.listen").unwrap());
    let submit = async |body: Value| post(api, "/v1/apps/shop/notifications?wait=30s", &body.to_string()).await.json();
    // One by one, in an array, as JSON lines, for many devices, and over XML-RPC.
    let one = submit(notification(1, &json!({"tag": "tea-17", "collapse_id": "tea"}))).await;
    assert_eq!(one["outcome"]["tag"], "tea-17", "{one}");
    let array = submit(json!([notification(2, &json!({"tag": "tea-17"})), notification(3, &json!({}))])).await;
    let many =
        submit(json!({"tokens": [token(4).to_hex()], "payload": {"aps": {"alert": "Tea"}}, "tag": "tea-17"})).await;
    let lines = format!("{}\n", notification(5, &json!({"tag": "tea-17"})));
    let lines =
        call(api, "POST", "/v1/apps/shop/notifications?wait=30s", "Content-Type: application/x-ndjson\r\n", &lines)
            .await;
    let line: Value = serde_json::from_str(lines.body.lines().next().unwrap()).unwrap();
    let id = |value: &Value| value["id"].as_str().unwrap().to_owned();
    let settled = |value: &Value| ("settled".to_owned(), id(value));

    let search = async |body: Value| post(api, SEARCH, &body.to_string()).await;
    let all = search(json!({"tag": "tea-17"})).await;
    assert_eq!(found(&all), [settled(&line), settled(&many[0]), settled(&array[0]), settled(&one)]);
    assert_eq!(all.json()["notifications"][3]["tag"], "tea-17");
    let by_token = search(json!({"token": token(3).to_hex()})).await;
    assert_eq!(found(&by_token), [settled(&array[1])]);
    assert_eq!(found(&search(json!({"collapse_id": "tea", "state": "settled"})).await), [settled(&one)]);
    assert_eq!(found(&search(json!({"apns_id": id(&one)})).await), [settled(&one)]);
    for why in
        [json!({"outcome": "rejected"}), json!({"reason": "BadDeviceToken"}), json!({"token": token(2).to_hex()})]
    {
        let mut body = json!({"tag": "tea-17"});
        body.as_object_mut().unwrap().extend(why.as_object().unwrap().clone());
        let why = search(body).await;
        assert_eq!(found(&why), [settled(&array[0])]);
        assert_eq!(why.json()["notifications"][0]["outcome"]["reason"], "BadDeviceToken", "{why:?}");
    }

    let rpc = daemon.address("pyapns.listen").unwrap();
    let call_text = format!(
        "<methodCall><methodName>notify</methodName><params><param><value>shop</value></param><param><value>{}</value></param>\
         <param><value><struct><member><name>aps</name><value><struct><member><name>alert</name><value>Tea</value></member>\
         </struct></value></member></struct></value></param></params></methodCall>",
        token(6).to_hex()
    );
    let answer = call(rpc, "POST", "/", "Content-Type: text/xml\r\n", &call_text).await;
    assert!(answer.body.contains("nil"), "{answer:?}");
    until("it ended", async || {
        !found(&search(json!({"token": token(6).to_hex(), "state": "settled"})).await).is_empty()
    })
    .await;

    // What waits comes first, page by page, and by its tag it is cancelled and purged.
    service.pause(&shop(), None).await.unwrap();
    let waiting =
        post(api, "/v1/apps/shop/notifications", &notification(1, &json!({"tag": "tea-17"})).to_string()).await.json();
    let page = search(json!({"token": token(1).to_hex(), "limit": 1})).await;
    assert_eq!(found(&page), [("waiting".to_owned(), id(&waiting))]);
    let next = page.json()["next"].as_str().unwrap().to_owned();
    let rest = search(json!({"token": token(1).to_hex(), "after": next})).await;
    assert_eq!((found(&rest), rest.json().get("next")), (vec![settled(&one)], None));
    let cancelled = post(api, "/v1/apps/shop/cancel", &json!({"tag": "tea-17"}).to_string()).await.json();
    assert_eq!(cancelled.as_array().unwrap().len(), 1, "what has ended is not meant: {cancelled}");
    assert_eq!((&cancelled[0]["state"], &cancelled[0]["id"]), (&json!("cancelled"), &waiting["id"]));
    for tag in ["tea-17", "tea-18"] {
        post(api, "/v1/apps/shop/notifications", &notification(1, &json!({"tag": tag})).to_string()).await;
    }
    let purged = post(api, "/v1/apps/shop/purge", &json!({"tag": "tea-18"}).to_string()).await.json();
    assert_eq!(purged["purged"], 1, "{purged}");
    let reason = search(json!({"reason": "purged"})).await;
    assert_eq!(reason.json()["notifications"][0]["outcome"]["tag"], "tea-18", "{reason:?}");

    for (body, field) in [
        (json!({"token": "zz"}), "token"),
        (json!({"tag": "two\nlines"}), "tag"),
        (json!({"since": 5, "until": 5}), "until"),
        (json!({"limit": 0}), "limit"),
        (json!({"limit": 1001}), "limit"),
        (json!({"after": "x"}), "after"),
        (json!({"state": "lost"}), "state"),
    ] {
        assert_eq!(search(body).await.fields(), [field]);
    }
    let long = notification(1, &json!({"tag": "x".repeat(65)}));
    assert_eq!(post(api, "/v1/apps/shop/notifications", &long.to_string()).await.fields(), ["tag"]);
    assert_eq!(post(api, "/v1/apps/nobody/search", "{}").await.status, 404);
    assert_eq!(get(api, SEARCH).await.status, 405, "a device token is in no URL");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_device_tokens_a_search_for_one_is_refused() {
    let world = World::new().await;
    let text = format!("{}\n[outbox]\ntokens = \"none\"\n", world.config_text(""));
    let config = apnsd::config::Config::parse(&text, world.folder.path()).unwrap();
    let daemon = Daemon::start(config).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let refused = post(api, SEARCH, &json!({"token": token(1).to_hex()}).to_string()).await;
    assert_eq!((refused.status, refused.fields()), (422, vec!["token".to_owned()]), "{refused:?}");
    assert_eq!(found(&post(api, SEARCH, "{}").await), []);
    daemon.stop().await;
}
