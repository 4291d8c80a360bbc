//! Callers that hang up in the middle, and what has to come to its end all the same.

use std::sync::Arc;
use std::time::{Duration, Instant};

use apns_proto::{Expiration, LossPolicy, WallTime};
use apnsd::config::Config;
use apnsd::outbox::sqlite::SqliteOutbox;
use apnsd::outbox::{NewEntry, Outbox as _, Route};
use apnsd::{AppName, Daemon, Service, Signals};
use futures_util::FutureExt as _;

use crate::support::{SOON, World, notification, shop, submit, until};

/// Answers that take their time.
const SLOW: &str = r#"{"http2": {"rules": [{"when": {}, "then": [{"wait_ms": 500}, "answer"]}]}}"#;

/// No answers at all.
const SILENT: &str = r#"{"http2": {"rules": [{"when": {}, "then": [{"wait_ms": 3600000}]}]}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_caller_did_not_wait_for_is_delivered() {
    let world = World::new().await;
    let service = Service::start(&world.config("")).await.unwrap();
    let first = submit(&service, 1).await;
    service.wait(first[0], SOON).await.unwrap().unwrap();
    let name = shop();
    for number in 1..=10 {
        let mut submitting = Box::pin(service.submit(&name, vec![notification(number).into()]));
        // It has begun; whether it has ended by now makes no difference.
        let _begun = (&mut submitting).now_or_never();
        drop(submitting);
        until("it is delivered", async || world.simulator.counts().requests == u64::from(number) + 1).await;
    }
    service.stop(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_removed_to_the_end_and_nothing_is_sent_beside_it() {
    let world = World::with_script(SLOW).await;
    let mut config = world.config("");
    let definition = config.apps.remove(&shop()).unwrap();
    let service = Service::start(&config).await.unwrap();
    service.provision(&shop(), definition.clone()).await.unwrap();
    let warm = submit(&service, 1).await;
    service.wait(warm[0], SOON).await.unwrap().unwrap();
    let ids = submit(&service, 5).await;
    until("all are under way", async || service.counts(&shop()).await.unwrap().in_flight == 5).await;
    let name = shop();
    let mut removing = Box::pin(service.remove(&name));
    assert!((&mut removing).now_or_never().is_none(), "what is under way is waited for");
    drop(removing);
    // At once again: this one has to wait for the end of the other.
    service.provision(&shop(), definition).await.unwrap();
    let records = service.wait_all(&ids, SOON).await.unwrap();
    assert!(records.iter().all(|record| record.as_ref().is_some_and(|record| record.is_accepted())), "{records:?}");
    let after = submit(&service, 1).await;
    assert!(service.wait(after[0], SOON).await.unwrap().unwrap().is_accepted());
    assert_eq!(world.simulator.counts().requests, 7, "each of them once");
    service.stop(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_file_says_too_stays_when_it_was_provisioned() {
    let world = World::new().await;
    let mut config = world.config("");
    let service = Service::start(&config).await.unwrap();
    let definition = config.apps.remove(&shop()).unwrap();
    assert_eq!(service.provision(&shop(), definition).await.unwrap().origin.word(), "provisioned");
    service.reload(&config).await.unwrap();
    assert!(service.knows(&shop()), "its caller did not take it back");
    service.stop(SOON).await;
}

/// Nobody listens there.
fn nowhere() -> Option<u16> {
    Some(std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_an_app_that_is_removed_sees_its_last_outcomes() {
    let world = World::new().await;
    let mut config = world.config("");
    let mut definition = config.apps.remove(&shop()).unwrap();
    definition.port = nowhere();
    let service = Service::start(&config).await.unwrap();
    service.provision(&shop(), definition).await.unwrap();
    let mut outcomes = service.outcomes(&shop(), None).await.unwrap();
    let ids = submit(&service, 3).await;
    let watching = tokio::spawn(async move {
        let mut seen = Vec::new();
        while let Some((_, record)) = outcomes.next().await.unwrap() {
            seen.push((record.id, record.outcome.to_string()));
        }
        seen
    });
    service.remove(&shop()).await.unwrap();
    let mut seen = tokio::time::timeout(SOON, watching).await.expect("it ends with the app").unwrap();
    seen.sort_unstable();
    assert_eq!(seen, ids.into_iter().map(|id| (id, "not_sent".to_owned())).collect::<Vec<_>>());
    service.stop(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg(unix)]
async fn an_order_to_stop_is_heard_while_the_file_is_read_again() {
    let world = World::with_script(SILENT).await;
    let file = world.folder.path().join("apnsd.toml");
    // With one that is under way and not answered, taking an app away takes ten seconds.
    let lines = world.config_text("");
    let away = lines.split_once("[apps.shop]").unwrap().1;
    let text = format!("stop_within = \"1s\"\n{}", world.config_text(""));
    std::fs::write(&file, format!("{text}[apps.away]{away}")).unwrap();
    let signals = Signals::listen().unwrap();
    let daemon = Daemon::start(Config::load(&file).unwrap()).await.unwrap();
    let service = daemon.service().clone();
    let gone: AppName = "away".parse().unwrap();
    service.submit(&gone, vec![notification(1).into()]).await.unwrap();
    until("it is under way", async || service.counts(&gone).await.unwrap().in_flight == 1).await;
    let running = tokio::spawn(daemon.run(Some(file.clone()), signals));
    let tell = |signal: &str| {
        let process = std::process::id().to_string();
        assert!(std::process::Command::new("kill").args([signal, &process]).status().unwrap().success());
    };
    std::fs::write(&file, text).unwrap();
    tell("-HUP");
    until("the app is being taken away", async || !service.knows(&gone)).await;
    let told = Instant::now();
    tell("-TERM");
    running.await.unwrap();
    assert!(told.elapsed() < Duration::from_secs(7), "{:?}", told.elapsed());
    drop(world);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_is_being_removed_does_not_hold_up_a_stop() {
    let world = World::with_script(SILENT).await;
    let config = world.config("");
    let definition = config.apps[&shop()].clone();
    let service = Service::start(&config).await.unwrap();
    let gone: AppName = "away".parse().unwrap();
    service.provision(&gone, definition).await.unwrap();
    service.submit(&gone, vec![notification(1).into()]).await.unwrap();
    until("it is under way", async || service.counts(&gone).await.unwrap().in_flight == 1).await;
    let removing = {
        let (service, gone) = (service.clone(), gone.clone());
        tokio::spawn(async move { service.remove(&gone).await })
    };
    until("the app is being taken away", async || !service.knows(&gone)).await;
    let told = Instant::now();
    service.stop(Duration::from_secs(1)).await;
    assert!(told.elapsed() < Duration::from_secs(7), "{:?}", told.elapsed());
    removing.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_arrived_does_not_end_as_expired() {
    // There is a connection only when it is too late.
    let world = World::with_script(r#"{"http2": {"connections": [{"handshake_delay_ms": 3000}]}}"#).await;
    let config = world.config("");
    let soon = WallTime::from(std::time::SystemTime::now()).saturating_add(Duration::from_secs(2));
    // As an earlier process left it: handed to the client, without an answer.
    let earlier = Arc::new(SqliteOutbox::open(&config.data, config.bounds.clone()).unwrap());
    let notification = notification(1).with_expiration(Expiration::At(soon));
    let entry = NewEntry {
        notification,
        idempotency_key: None,
        digest: None,
        tag: None,
        at: WallTime::EPOCH,
        send_at: None,
        route: Route::Default,
    };
    let id = earlier.accept(&shop(), vec![entry]).await.unwrap()[0].id;
    let lane = earlier.clone().hold(&shop()).await.unwrap();
    assert_eq!(lane.claim(1, WallTime::EPOCH).await.unwrap().entries.len(), 1);
    let recovered = lane.recover(LossPolicy::Resend { at_most: 3 }, WallTime::EPOCH).await.unwrap();
    assert_eq!(recovered.resent, 1);
    earlier.close().await.unwrap();

    let service = Service::start(&config).await.unwrap();
    let record = service.wait(id, SOON).await.unwrap().unwrap();
    assert_eq!((&*record.outcome, record.tries.replays), ("unknown", 1), "{record:?}");
    service.stop(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graceful_stop_puts_back_what_never_left() {
    // The first answer proves the provider token; of the rest one at a time is on the wire.
    let script = r#"{"http2": {"stream_limit": 1, "rules": [
        {"when": {"arrival": 1}, "then": ["answer"]}, {"when": {}, "then": [{"wait_ms": 3600000}]}]}}"#;
    let world = World::with_script(script).await;
    let config = world.config("");
    let service = Service::start(&config).await.unwrap();
    let ids = submit(&service, 50).await;
    until("one is on the wire", async || world.simulator.counts().requests == 2).await;
    let told = Instant::now();
    service.stop(Duration::from_secs(1)).await;
    assert!(told.elapsed() < Duration::from_secs(3), "{:?}", told.elapsed());

    world.simulator.set_script(apns_sim::Script::from_json("{}").unwrap());
    let service = Service::start(&config).await.unwrap();
    let records = service.wait_all(&ids, SOON).await.unwrap();
    let word = |record: &Option<apnsd::outbox::OutcomeRecord>| record.as_ref().unwrap().outcome.to_string();
    let words: Vec<String> = records.iter().map(word).collect();
    assert_eq!(words.iter().filter(|word| *word == "unknown").count(), 1, "{words:?}");
    assert_eq!(words.iter().filter(|word| *word == "accepted").count(), 49, "{words:?}");
    assert_eq!(world.simulator.counts().requests, 50, "each of them once");
    service.stop(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_provider_a_stop_ends_at_once() {
    let world = World::new().await;
    let mut config = world.config("");
    config.apps.get_mut(&shop()).unwrap().port = nowhere();
    let service = Service::start(&config).await.unwrap();
    submit(&service, 50).await;
    until("it has tried", async || service.snapshot(&shop()).unwrap().health.word() == "no_connection").await;
    let told = Instant::now();
    service.stop(SOON).await;
    assert!(told.elapsed() < Duration::from_secs(2), "{:?}", told.elapsed());
}
