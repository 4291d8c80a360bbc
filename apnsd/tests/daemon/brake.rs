//! The emergency brake over real sockets: pause, resume, purge, cancel.

use apns_proto::{Notification, Payload, PushType};
use apnsd::config::Config;
use apnsd::outbox::Selection;
use apnsd::{Cancelled, Daemon, Purged, Service, Submission};
use serde_json::json;

use crate::http::{call, get, post};
use crate::support::{SOON, World, notification, shop, submit, token, until};

/// How many requests the simulator has seen.
fn seen(world: &World) -> usize {
    world.simulator.requests().len()
}

fn purged(purged: u64) -> Purged {
    let mut expected = Purged::default();
    expected.purged = purged;
    expected
}

/// A wrong payload went to many, and was noticed after some: nothing more leaves, what waits is purged, and each has its
/// outcome. Restarts in the middle change nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_bulk_is_stopped_purged_and_accounted_for() {
    const MANY: u32 = 20_000;
    let world = World::new().await;
    let config = world.config("");
    let daemon = Daemon::start(config.clone()).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let ids = submit(daemon.service(), MANY).await;
    until("some have arrived", async || seen(&world) > 500).await;
    let paused = post(api, "/v1/apps/shop/pause", r#"{"reason": "the wrong text\u001b[2J"}"#).await;
    assert_eq!((paused.status, &paused.json()["paused"]["reason"]), (200, &json!("the wrong text\u{1b}[2J")));
    until("nothing is in flight", async || daemon.service().counts(&shop()).await.unwrap().in_flight == 0).await;
    let arrived = seen(&world);
    let waiting = daemon.service().counts(&shop()).await.unwrap().waiting;
    assert_eq!(arrived as u64 + waiting, u64::from(MANY), "each arrived once or waits");
    assert!(waiting > 0, "it was stopped in the middle");
    // Callers are served, and what they hand in waits.
    let later = submit(daemon.service(), 5).await;
    daemon.stop().await;

    let daemon = Daemon::start(config).await.unwrap();
    let (service, api) = (daemon.service(), daemon.address("api.listen").unwrap());
    let shown = get(api, "/v1/apps/shop").await.json();
    assert_eq!(shown["paused"]["reason"], "the wrong text\u{1b}[2J", "{shown}");
    assert_eq!(shown["waiting"], waiting + 5);
    let page = get(api, "/").await.body;
    assert!(page.contains("paused") && page.contains("the wrong text") && !page.contains('\u{1b}'), "{page}");
    assert!(get(api, "/metrics").await.body.contains("apnsd_app_paused{app=\"shop\"} 1\n"));
    // It stands still, whatever else happens: what would wake it has come and gone by the time that the other app sends.
    assert_eq!(service.lookup(later[0]).await.unwrap().unwrap().id, later[0]);
    assert_eq!(seen(&world), arrived);

    let answer = post(api, "/v1/apps/shop/purge", r#"{"all": true}"#).await;
    assert_eq!(answer.json(), json!({"purged": waiting + 5, "unknown": 0, "in_flight": 0}), "{answer:?}");
    let mut accepted = 0;
    for (id, record) in ids.iter().zip(service.wait_all(&ids, SOON).await.unwrap()) {
        let record = record.unwrap_or_else(|| panic!("{id} has no outcome"));
        if record.is_accepted() {
            accepted += 1;
        } else {
            assert_eq!((&*record.outcome, record.reason.as_deref()), ("not_sent", Some("purged")), "{record:?}");
        }
    }
    assert_eq!(accepted, arrived);
    let resumed = post(api, "/v1/apps/shop/resume", "").await;
    assert_eq!((resumed.status, resumed.json().get("paused")), (200, None));
    let fresh = submit(service, 3).await;
    let records = service.wait_all(&fresh, SOON).await.unwrap();
    assert!(records.iter().all(|record| record.as_ref().is_some_and(|record| record.is_accepted())), "{records:?}");
    assert_eq!(seen(&world), arrived + 3);
    assert!(get(api, "/metrics").await.body.contains("apnsd_ended_total{app=\"shop\",reason=\"purged\"}"));
    daemon.stop().await;
}

/// An app that is paused holds up no other, and goes on at once when it is resumed.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_app_that_is_paused_stands_still() {
    let world = World::new().await;
    let text = world.config_text("").replace("[apps.shop]", "[apps.other]");
    let app = text.split_once("[apps.other]").unwrap().1.to_owned();
    let config = Config::parse(&world.config_text(&format!("[apps.other]{app}")), world.folder.path()).unwrap();
    let service = Service::start(&config).await.unwrap();
    service.pause(&shop(), None).await.unwrap();
    let first = service.pause(&shop(), Some("still".into())).await.unwrap();
    assert_eq!(first.reason.as_deref(), Some("still"));
    let held = submit(&service, 10).await;
    let other = "other".parse().unwrap();
    let sent = service.submit(&other, vec![notification(99).into()]).await.unwrap();
    assert!(service.wait(sent[0].id, SOON).await.unwrap().unwrap().is_accepted());
    assert_eq!((seen(&world), service.counts(&shop()).await.unwrap().waiting), (1, 10));
    service.resume(&shop()).await.unwrap();
    let records = service.wait_all(&held, SOON).await.unwrap();
    assert!(records.iter().all(|record| record.as_ref().is_some_and(|record| record.is_accepted())), "{records:?}");
    service.stop(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_condition_of_a_purge_has_to_hold() {
    let world = World::new().await;
    let service = Service::start(&world.config("")).await.unwrap();
    service.pause(&shop(), None).await.unwrap();
    let alert = |number: u32| Submission::from(notification(number));
    let background = |number: u32| Submission::from(Notification::new(token(number), Payload::background()));
    let topic = |number: u32| Submission::from(notification(number).with_topic("com.example.other".parse().unwrap()));
    let collapse = |number: u32| Submission::from(notification(number).with_collapse_id("17".parse().unwrap()));
    let all = vec![alert(1), alert(1), background(1), alert(2), topic(3), collapse(4), collapse(1)];
    let ids: Vec<_> = service.submit(&shop(), all).await.unwrap().into_iter().map(|one| one.id).collect();
    let select = || Selection::default();
    for (selection, ended) in [
        (Selection { token: Some(token(9)), ..select() }, vec![]),
        (Selection { topic: Some("com.example.other".parse().unwrap()), token: Some(token(1)), ..select() }, vec![]),
        (Selection { topic: Some("com.example.other".parse().unwrap()), ..select() }, vec![4]),
        (Selection { collapse_id: Some("17".parse().unwrap()), token: Some(token(1)), ..select() }, vec![6]),
        (Selection { push_type: Some(PushType::Background), ..select() }, vec![2]),
        (Selection { token: Some(token(1)), ..select() }, vec![0, 1]),
        (Selection { accepted_before: Some(apns_proto::WallTime::EPOCH), ..select() }, vec![]),
        (Selection::default(), vec![3, 5]),
    ] {
        let done = service.purge(&shop(), selection.clone()).await.unwrap();
        assert_eq!(done, purged(ended.len() as u64), "{selection:?}");
        for place in ended {
            let record = service.wait(ids[place], SOON).await.unwrap().unwrap();
            assert_eq!(record.reason.as_deref(), Some("purged"), "{place}");
        }
    }
    assert_eq!(seen(&world), 0);
    service.stop(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_notification_is_cancelled_before_it_leaves_and_not_after() {
    let world = World::new().await;
    let daemon = Daemon::start(world.config("")).await.unwrap();
    let (service, api) = (daemon.service(), daemon.address("api.listen").unwrap());
    let sent = submit(service, 1).await[0];
    assert!(service.wait(sent, SOON).await.unwrap().unwrap().is_accepted());
    service.pause(&shop(), None).await.unwrap();
    let named = Submission { idempotency_key: Some("order 17".into()), ..notification(1).into() };
    let ids = service.submit(&shop(), vec![named, notification(2).into(), notification(3).into()]).await.unwrap();
    let unknown = "eabeca8d-6f2b-8c0f-9a4a-4e2b8a3b6c7d";
    let order = json!({"ids": [ids[1].id, sent, unknown], "idempotency_keys": ["order 17", "order 18"]});
    let answer = post(api, "/v1/apps/shop/cancel", &order.to_string()).await;
    let told = answer.json();
    let states: Vec<_> = told.as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap().to_owned()).collect();
    assert_eq!(states, ["cancelled", "settled", "unknown", "cancelled", "unknown"], "{told}");
    assert_eq!(told[0]["outcome"]["reason"], "cancelled");
    assert_eq!(told[1]["outcome"]["outcome"], "accepted");
    assert_eq!((&told[3]["id"], &told[3]["idempotency_key"]), (&json!(ids[0].id), &json!("order 17")));
    // Once more changes nothing.
    let again = service.cancel(&shop(), vec![ids[1].id]).await.unwrap();
    assert!(
        matches!(&again[..], [Cancelled::Ended(record)] if record.reason.as_deref() == Some("cancelled")),
        "{again:?}"
    );
    service.resume(&shop()).await.unwrap();
    assert!(service.wait(ids[2].id, SOON).await.unwrap().unwrap().is_accepted());
    assert_eq!(seen(&world), 2);
    daemon.stop().await;
}

/// What it is not good for is said, and a page of another site cannot pull it.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_order_changes_nothing() {
    let world = World::new().await;
    let daemon = Daemon::start(world.config("")).await.unwrap();
    let (service, api) = (daemon.service(), daemon.address("api.listen").unwrap());
    service.pause(&shop(), None).await.unwrap();
    submit(service, 2).await;
    for (path, body, field) in [
        ("purge", "{}", "all"),
        ("purge", r#"{"all": false}"#, "all"),
        ("purge", r#"{"all": true, "topic": "x"}"#, "all"),
        ("purge", r#"{"older_than": "1h", "accepted_before": 1}"#, "accepted_before"),
        ("purge", r#"{"older_than": "soon"}"#, "older_than"),
        ("purge", r#"{"token": "xyz"}"#, "token"),
        ("purge", r#"{"tokens": ["aa"]}"#, "tokens"),
        ("cancel", "{}", "ids"),
        ("cancel", r#"{"ids": ["x"]}"#, "ids[0]"),
    ] {
        let answer = post(api, &format!("/v1/apps/shop/{path}"), body).await;
        assert_eq!((answer.status, answer.fields()), (422, vec![field.to_owned()]), "{path} {body}: {answer:?}");
    }
    for path in ["pause", "resume", "purge", "cancel"] {
        let form = "Content-Type: application/x-www-form-urlencoded\r\n";
        let answer = call(api, "POST", &format!("/v1/apps/shop/{path}"), form, "all=true").await;
        assert_eq!(answer.status, 415, "{path}: {answer:?}");
        let nobody = post(api, &format!("/v1/apps/nobody/{path}"), r#"{"all": true, "ids": []}"#).await;
        assert!(matches!(nobody.status, 404 | 422), "{path}: {nobody:?}");
    }
    let long = format!(r#"{{"reason": "{}"}}"#, "x".repeat(501));
    assert_eq!(post(api, "/v1/apps/shop/pause", &long).await.fields(), ["reason"]);
    assert_eq!(service.counts(&shop()).await.unwrap().waiting, 2);
    assert!(service.info(&shop()).unwrap().pause.is_some());
    daemon.stop().await;
}
