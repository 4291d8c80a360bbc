//! Notifications that are to be sent later, and those that may not all be sent at once.

use std::time::SystemTime;

use apns_proto::WallTime;
use apnsd::{Daemon, Service};
use serde_json::{Value, json};

use crate::http::{get, post};
use crate::support::{SOON, World, shop, submit, token, until};

const NOTIFICATIONS: &str = "/v1/apps/shop/notifications";

fn now() -> u64 {
    WallTime::from(SystemTime::now()).as_millis()
}

fn at(send_at: u64, more: &Value) -> String {
    let mut body =
        json!({"token": token(1).to_hex(), "payload": {"aps": {"alert": "Tea is ready"}}, "send_at": send_at});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_sent_at_its_time_also_after_a_restart_and_expires_counted_from_then() {
    let world = World::new().await;
    let daemon = Daemon::start(world.config("")).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let send_at = now() + 3000;
    let accepted = post(api, NOTIFICATIONS, &at(send_at, &json!({"ttl": 600}))).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let path = format!("/v1/notifications/{}", accepted.json()["id"].as_str().unwrap());
    let told = get(api, &path).await.json();
    assert_eq!((&told["state"], &told["next_attempt_at"]), (&json!("waiting"), &json!(send_at)));
    daemon.stop().await;
    assert_eq!(world.simulator.counts().requests, 0);

    let daemon = Daemon::start(world.config("")).await.unwrap();
    world.simulator.wait_for(|log| log.counts().requests == 1).await;
    let request = world.simulator.requests().swap_remove(0);
    assert!(request.at.as_millis() >= send_at, "{} is before {send_at}", request.at.as_millis());
    assert_eq!(request.expiration, Some(send_at / 1000 + 600));
    let api = daemon.address("api.listen").unwrap();
    until("it has ended", async || get(api, &path).await.json()["state"] == "settled").await;
    assert_eq!(get(api, &path).await.json()["outcome"]["send_at"], send_at);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_can_be_cancelled_purged_and_paused_like_everything_that_waits() {
    let world = World::new().await;
    let daemon = Daemon::start(world.config("")).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let far = now() + 3_600_000;
    let first = post(api, NOTIFICATIONS, &at(far, &json!({}))).await.json();
    post(api, NOTIFICATIONS, &at(far, &json!({"collapse_id": "tea"}))).await;
    daemon.service().pause(&shop(), None).await.unwrap();
    let soon = now() + 200;
    post(api, NOTIFICATIONS, &at(soon, &json!({"collapse_id": "soon"}))).await;
    let cancelled = post(api, "/v1/apps/shop/cancel", &json!({"ids": [first["id"]]}).to_string()).await.json();
    assert_eq!(cancelled[0]["state"], "cancelled", "{cancelled}");
    let purged = post(api, "/v1/apps/shop/purge", r#"{"collapse_id": "tea"}"#).await.json();
    assert_eq!(purged["purged"], 1, "{purged}");
    // One whose time comes while the app is paused waits on.
    until("its time has come", async || now() > soon + 200).await;
    assert_eq!(world.simulator.counts().requests, 0);
    daemon.service().resume(&shop()).await.unwrap();
    world.simulator.wait_for(|log| log.counts().requests == 1).await;
    assert_eq!(world.simulator.requests()[0].collapse_id.as_deref(), Some("soon"));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_time_has_bounds_and_a_key_stands_for_one_time() {
    let world = World::new().await;
    let daemon = Daemon::start(world.config("[apps.shop.retry]\nwithin = \"2h\"\n")).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let soon = now() + 3_600_000;
    for (send_at, more, said) in [
        (now() + 7_300_000, json!({}), "2h"),
        (now() / 1000, json!({}), "milliseconds"),
        (soon, json!({"expiration": soon / 1000 - 60}), "expires before"),
    ] {
        let refused = post(api, NOTIFICATIONS, &at(send_at, &more)).await;
        assert_eq!((refused.status, refused.fields()), (422, vec!["send_at".to_owned()]), "{refused:?}");
        assert!(refused.body.contains(said), "{said}: {refused:?}");
    }
    let keyed = json!({"idempotency_key": "order 17"});
    let first = post(api, NOTIFICATIONS, &at(soon, &keyed)).await.json();
    let again = post(api, NOTIFICATIONS, &at(soon, &keyed)).await.json();
    assert_eq!((&again["id"], &again["duplicate"]), (&first["id"], &json!(true)));
    assert_eq!(post(api, NOTIFICATIONS, &at(soon + 1, &keyed)).await.fields(), ["idempotency_key"]);
    // What has passed is sent at once.
    let past = post(api, &format!("{NOTIFICATIONS}?wait=30s"), &at(now() - 60_000, &json!({}))).await;
    assert_eq!(past.json()["outcome"]["outcome"], "accepted", "{past:?}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_are_sent_in_a_second_than_the_app_may() {
    let world = World::new().await;
    let service = Service::start(&world.config("send_rate = 50\n")).await.unwrap();
    let ids = submit(&service, 120).await;
    let records = service.wait_all(&ids, SOON).await.unwrap();
    assert!(records.iter().all(|record| record.as_ref().is_some_and(|record| record.is_accepted())), "{records:?}");
    let mut times: Vec<u64> = world.simulator.requests().iter().map(|request| request.at.as_millis()).collect();
    times.sort_unstable();
    assert_eq!(times.len(), 120);
    let took = times[119] - times[0];
    assert!(took >= 2000, "{took} ms for 120 at 50 a second");
    service.stop(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_again_after_the_time_is_told_of_the_first() {
    let world = World::new().await;
    let daemon = Daemon::start(world.config("")).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let body = at(now() + 500, &json!({"idempotency_key": "tea"}));
    let first = post(api, NOTIFICATIONS, &body).await.json();
    world.simulator.wait_for(|log| log.counts().requests == 1).await;
    let again = post(api, NOTIFICATIONS, &body).await;
    assert_eq!(again.json()["id"], first["id"], "{again:?}");
    assert_eq!(again.json()["duplicate"], true);
    daemon.stop().await;
    assert_eq!(world.simulator.counts().requests, 1);
}
