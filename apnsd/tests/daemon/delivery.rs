//! From `submit` to an outcome.

use std::time::Duration;

use apns_proto::{Expiration, WallTime};
use apnsd::config::Config;
use apnsd::outbox::{Cursor, State};
use apnsd::{AppName, Daemon, Health, Service, Submission};

use crate::http::{get, post};
use crate::support::{SOON, World, notification, shop, submit, token, until, until_some};

fn now() -> WallTime {
    std::time::SystemTime::now().into()
}

fn closed_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_submitted_is_delivered_and_has_an_outcome() {
    let world = World::new().await;
    let service = Service::start(&world.config("")).await.unwrap();
    let ids = submit(&service, 100).await;
    let records = service.wait_all(&ids, SOON).await.unwrap();
    for (id, record) in ids.iter().zip(&records) {
        let record = record.as_ref().expect("each has an outcome");
        assert_eq!((record.id, &*record.outcome), (*id, "accepted"), "{record:?}");
        assert_eq!(record.apns_id.as_deref(), Some(&*id.to_string()));
    }
    assert_eq!(world.simulator.counts().requests, 100);
    assert_eq!(service.snapshot(&shop()).unwrap().health, Health::Working);
    let counts = service.total().await.unwrap();
    assert_eq!((counts.waiting, counts.in_flight, counts.bytes), (0, 0, 0));
    service.stop(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_fails_does_not_disturb_the_others() {
    let world = World::new().await;
    let folder = world.folder.path();
    let expired = {
        let mut parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2021, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        format!("{}{}", certificate.pem(), key.serialize_pem())
    };
    std::fs::write(folder.join("expired.pem"), expired).unwrap();
    std::fs::write(folder.join("wrong.p8"), rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let port = world.simulator.http2_address().port();
    let (key_id, team_id) = (world.simulator.key_id(), world.simulator.team_id());
    let there = "environment = \"sandbox\"\nhost = \"localhost\"\nca = \"ca.pem\"\ntopic = \"com.example.app\"\n";
    let wrong_key = format!("signing_key = \"wrong.p8\"\nkey_id = \"{key_id}\"\nteam_id = \"{team_id}\"\n");
    let config = world.config(&format!(
        "[apps.expired]\n{there}port = {port}\ncertificate = \"expired.pem\"\n\
         [apps.wrong]\n{there}port = {port}\n{wrong_key}\
         [apps.nowhere]\n{there}port = {}\n{wrong_key}\
         [apps.untrusted]\nenvironment = \"sandbox\"\nhost = \"localhost\"\nport = {port}\ntopic = \"x\"\n{wrong_key}",
        closed_port(),
    ));
    let daemon = Daemon::start(config).await.unwrap();
    let (service, api) = (daemon.service(), daemon.address("api.listen").unwrap());
    let failing: Vec<AppName> =
        ["expired", "nowhere", "untrusted", "wrong"].iter().map(|name| name.parse().unwrap()).collect();
    for name in &failing {
        let many: Vec<Submission> = (0..500).map(|number| notification(number).into()).collect();
        service.submit(name, many).await.unwrap();
    }
    for _ in 0..5 {
        let ids = submit(service, 200).await;
        let records = service.wait_all(&ids, SOON).await.unwrap();
        assert!(records.iter().all(|record| record.as_ref().is_some_and(apnsd::outbox::OutcomeRecord::is_accepted)));
    }
    // Each of them is known for what it is, and the page says so.
    until("three fail, and one has no connection", async || {
        let word = |index: usize| service.snapshot(&failing[index]).unwrap().health.word();
        [word(0), word(1), word(2), word(3)] == ["failing", "no_connection", "failing", "failing"]
    })
    .await;
    let ready = get(api, "/readyz?apps=all").await;
    assert_eq!(ready.status, 503);
    let names: Vec<_> = ready.json()["failing"].as_array().unwrap().iter().map(|one| one["app"].clone()).collect();
    assert_eq!(names, ["expired", "untrusted", "wrong"]);
    assert!(get(api, "/").await.body.contains("class=\"warning failing\""));
    // What could not be sent is kept: it was not the notification's fault.
    for name in [&failing[0], &failing[1], &failing[2]] {
        let counts = service.counts(name).await.unwrap();
        assert_eq!(counts.waiting + counts.in_flight, 500, "{name}");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mended_credential_sends_what_waited() {
    let world = World::new().await;
    let config = world.config("");
    let mut broken = config.clone();
    broken.apps.get_mut(&shop()).unwrap().ca = None;
    let service = Service::start(&broken).await.unwrap();
    let ids = submit(&service, 50).await;
    let fails = async || matches!(service.snapshot(&shop()).unwrap().health, Health::Failing { .. });
    until("the app fails", fails).await;
    assert_eq!(service.failing().len(), 1);
    service.reload(&config).await.unwrap();
    let records = service.wait_all(&ids, SOON).await.unwrap();
    assert!(records.iter().all(|record| record.as_ref().is_some_and(|record| record.is_accepted())), "{records:?}");
    assert!(service.failing().is_empty());
    service.stop(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_new_configuration_changes_nothing() {
    let world = World::new().await;
    let service = Service::start(&world.config("")).await.unwrap();
    let text = world.config_text("");
    let load = |text: &str| Config::parse(text, world.folder.path());
    let missing = load(&text.replace("AuthKey_SIMULATOR0.p8", "gone.p8")).unwrap();
    let error = service.reload(&missing).await.unwrap_err();
    assert_eq!(error.field.as_deref(), Some("apps.shop.signing_key"));
    assert!(error.problem.contains("gone.p8"), "{error}");
    let ids = submit(&service, 1).await;
    assert!(service.wait(ids[0], SOON).await.unwrap().unwrap().is_accepted());
    service.stop(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_for_the_time_being_is_sent_again_at_its_time() {
    let script = r#"{"http2": {"rules": [
        {"when": {"arrival": 1}, "then": [{"answer_with": {"status": 503, "reason": "ServiceUnavailable", "retry_after": "1"}}]}
    ]}}"#;
    let world = World::with_script(script).await;
    let service = Service::start(&world.config("")).await.unwrap();
    let ids = submit(&service, 1).await;
    let record = service.wait(ids[0], SOON).await.unwrap().unwrap();
    assert_eq!((&*record.outcome, record.tries.retries, record.tries.attempts), ("accepted", 1, 2), "{record:?}");
    assert!(record.settled_at - record.accepted_at >= 1000, "Retry-After is honoured: {record:?}");
    service.stop(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_handed_in_too_late_is_tried_once() {
    let world = World::new().await;
    let service = Service::start(&world.config("")).await.unwrap();
    let late = notification(1).with_expiration(Expiration::At(WallTime::from_secs(now().as_secs() - 1)));
    let accepted = service.submit(&shop(), vec![late.into(), notification(2).into()]).await.unwrap();
    for one in &accepted {
        assert!(service.wait(one.id, SOON).await.unwrap().unwrap().is_accepted());
    }
    assert_eq!(world.simulator.counts().requests, 2);
    service.stop(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_at_a_graceful_stop_is_sent_by_the_next_daemon() {
    let world = World::new().await;
    let config = world.config("");
    let mut away = config.clone();
    away.apps.get_mut(&shop()).unwrap().port = Some(closed_port());
    let service = Service::start(&away).await.unwrap();
    let ids = submit(&service, 300).await;
    assert!(service.wait(ids[299], Duration::from_millis(50)).await.unwrap().is_none());
    service.stop(Duration::from_secs(1)).await;
    assert!(service.submit(&shop(), vec![notification(1).into()]).await.is_err(), "it is stopped");

    let service = Service::start(&config).await.unwrap();
    let records = service.wait_all(&ids, SOON).await.unwrap();
    for record in &records {
        let record = record.as_ref().unwrap();
        assert!(record.is_accepted() && record.tries.replays == 0, "{record:?}");
    }
    assert_eq!(world.simulator.counts().requests, 300, "each of them once");
    // And an outcome outlives the daemon.
    service.stop(SOON).await;
    let service = Service::start(&config).await.unwrap();
    assert!(matches!(service.lookup(ids[0]).await.unwrap().unwrap().state, State::Settled(_)));
    let mut outcomes = service.outcomes(&shop(), Some(Cursor::default())).await.unwrap();
    for _ in 0..300 {
        assert!(outcomes.next().await.unwrap().is_some());
    }
    service.stop(SOON).await;
    assert_eq!(outcomes.next().await.ok().flatten(), None, "streams end with the service");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_is_provisioned_outlives_the_daemon() {
    let world = World::new().await;
    let mut config = world.config("");
    let definition = config.apps.remove(&shop()).unwrap();
    let service = Service::start(&config).await.unwrap();
    assert!(service.submit(&shop(), vec![notification(1).into()]).await.is_err());
    let info = service.provision(&shop(), definition.clone()).await.unwrap();
    assert_eq!(info.origin.word(), "provisioned");
    service.provision(&shop(), definition).await.unwrap();
    let first = submit(&service, 1).await;
    assert!(service.wait(first[0], SOON).await.unwrap().unwrap().is_accepted());
    service.stop(SOON).await;

    let service = Service::start(&config).await.unwrap();
    let second = submit(&service, 1).await;
    assert!(service.wait(second[0], SOON).await.unwrap().unwrap().is_accepted());
    service.remove(&shop()).await.unwrap();
    assert!(!service.knows(&shop()));
    service.stop(SOON).await;
    let service = Service::start(&config).await.unwrap();
    assert!(!service.knows(&shop()));
    service.stop(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_an_app_that_is_removed_ends_as_not_sent() {
    let world = World::new().await;
    let mut config = world.config("");
    let mut definition = config.apps.remove(&shop()).unwrap();
    definition.port = Some(closed_port());
    let service = Service::start(&config).await.unwrap();
    service.provision(&shop(), definition).await.unwrap();
    let ids = submit(&service, 3).await;
    let waiting = {
        let service = service.clone();
        let id = ids[2];
        tokio::spawn(async move { service.wait(id, SOON).await })
    };
    service.remove(&shop()).await.unwrap();
    let record = waiting.await.unwrap().unwrap().unwrap();
    assert_eq!(
        (&*record.outcome, record.detail.as_deref().unwrap()),
        ("not_sent", "sending has stopped: its app was removed")
    );
    assert_eq!(service.total().await.unwrap().waiting, 0);
    service.stop(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_gone_are_read_by_each_reader_once() {
    let (bad, gone) = (token(1).to_hex(), token(2).to_hex());
    let script = format!(
        r#"{{"invalid_tokens": ["{bad}"], "http2": {{"unregistered": [{{"token": "{gone}", "timestamp_ms": 1700000000123}}]}}}}"#
    );
    let world = World::with_script(&script).await;
    let service = Service::start(&world.config("")).await.unwrap();
    let ids = submit(&service, 4).await;
    service.wait_all(&ids, SOON).await.unwrap();
    let page = service.feedback(&shop(), "pyapns", 10).await.unwrap();
    let mut found: Vec<_> =
        page.tokens.iter().map(|one| (one.token.to_hex(), one.since.map(WallTime::as_millis), &*one.reason)).collect();
    found.sort_unstable();
    assert_eq!(found, [(bad, None, "BadDeviceToken"), (gone, Some(1_700_000_000_123), "Unregistered")]);
    assert_eq!(service.feedback(&shop(), "pyapns", 10).await.unwrap().tokens.len(), 2, "not cleared yet");
    service.feedback_read(&shop(), "pyapns", &page.next).await.unwrap();
    assert!(service.feedback(&shop(), "pyapns", 10).await.unwrap().tokens.is_empty());
    assert_eq!(service.feedback(&shop(), "bridge", 1).await.unwrap().tokens.len(), 1, "each reader has its own place");
    let kept = service.invalid_tokens(&shop(), &Cursor::default(), WallTime::EPOCH, 10).await.unwrap();
    assert_eq!(kept.tokens.len(), 2);
    service.stop(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_gateway_is_sent_to_by_the_binary_protocol_and_its_feedback_is_read() {
    let bad = token(3).to_hex();
    let world = World::with_script(&format!(r#"{{"invalid_tokens": ["{bad}"]}}"#)).await;
    world.simulator.push_feedback(token(9).as_bytes().to_vec(), WallTime::from_secs(1_700_000_000));
    let mut config = world.config("");
    config.apps.clear();
    let text = format!(
        "environment = \"production\"\ntransport = \"binary\"\ncertificate = \"client.pem\"\nkey = \"client.key\"\n\
         host = \"localhost\"\nport = {}\nfeedback_host = \"localhost\"\nfeedback_port = {}\nca = \"ca.pem\"\n",
        world.simulator.gateway_address().port(),
        world.simulator.feedback_address().port()
    );
    let whole = Config::parse(&format!("data = \"data\"\n[apps.shop]\n{text}"), world.folder.path()).unwrap();
    config.apps = whole.apps;
    let service = Service::start(&config).await.unwrap();
    let ids = submit(&service, 10).await;
    let records = service.wait_all(&ids, SOON).await.unwrap();
    for (number, record) in records.iter().enumerate() {
        let record = record.as_ref().unwrap();
        if number == 3 {
            assert_eq!((&*record.outcome, record.status), ("rejected", Some(8)), "{record:?}");
        } else {
            assert!(record.is_accepted(), "{record:?}");
        }
    }
    let reasons = until_some("two tokens are gone", async || {
        let tokens = service.feedback(&shop(), "pyapns", 10).await.unwrap().tokens;
        let reasons = || tokens.iter().map(|one| one.reason.to_string()).collect::<std::collections::BTreeSet<_>>();
        (tokens.len() == 2).then(reasons)
    })
    .await;
    assert_eq!(reasons.into_iter().collect::<Vec<_>>(), ["feedback", "invalid_token"]);
    service.stop(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_does_not_get_the_same_outbox() {
    let world = World::new().await;
    let config = world.config("");
    let service = Service::start(&config).await.unwrap();
    let error = Service::start(&config).await.unwrap_err().to_string();
    assert!(error.contains("another process uses this outbox"), "{error}");
    service.stop(SOON).await;
    drop(service);
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_in_no_debug_output() {
    let world = World::new().await;
    let mut config = world.config("[[token]]\nname = \"x\"\nsecret = \"secret-0123456789-secret\"\nadmin = true\n");
    let definition = config.apps.get_mut(&shop()).unwrap();
    let key = std::fs::read_to_string(definition.signing_key.take().unwrap()).unwrap();
    let line = key.lines().nth(1).unwrap().to_owned();
    definition.signing_key_data = Some(apnsd::config::Secret::new(key));
    let daemon = Daemon::start(config.clone()).await.unwrap();
    let answer = post(daemon.address("api.listen").unwrap(), "/v1/apps/shop/notifications", "{}").await;
    let infos = daemon.service().list();
    let shown = format!("{config:?} {daemon:?} {infos:?} {answer:?} {:?}", daemon.service().access());
    assert!(!shown.contains("0123456789-secret") && !shown.contains(&line), "{shown}");
    daemon.stop().await;
}
