//! What is sent is what was meant, and one attempt is one attempt, by whatever interface a notification comes in.

use apns_proto::{Expiration, PushType, WallTime};
use apnsd::config::Config;
use apnsd::{Daemon, Service, Submission};
use serde_json::json;

use crate::http::{call, post};
use crate::support::{SOON, World, notification, shop, submit, token, until};

const PATH: &str = "/v1/apps/shop/notifications";

fn xml_notify(app: &str, token: &str) -> String {
    format!(
        "<?xml version='1.0'?><methodCall><methodName>notify</methodName><params><param><value><string>{app}</string>\
         </value></param><param><value><string>{token}</string></value></param><param><value><struct><member>\
         <name>aps</name><value><struct><member><name>alert</name><value><string>x</string></value></member></struct>\
         </value></member></struct></value></param></params></methodCall>"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn n1_the_suffix_of_the_topic_names_the_push_type_by_every_interface() {
    let suffixed = PushType::known().filter(|known| !known.topic_suffix().is_empty());
    for push_type in suffixed {
        let world = World::new().await;
        let topic = push_type.topic("com.example.app").into_owned();
        let text = world.config_text("").replace("com.example.app", &topic);
        let daemon = Daemon::start(Config::parse(&text, world.folder.path()).unwrap()).await.unwrap();
        let alert = json!({"aps": {"alert": "x"}});
        let body = json!({"token": token(1).to_hex(), "payload": alert});
        assert_eq!(post(daemon.address("api.listen").unwrap(), PATH, &body.to_string()).await.status, 202);
        let xml = xml_notify("shop", &token(2).to_hex());
        let answer =
            call(daemon.address("pyapns.listen").unwrap(), "POST", "/", "Content-Type: text/xml\r\n", &xml).await;
        assert!(!answer.body.contains("<fault>"), "{answer:?}");
        let rest = json!([{"payload": alert, "token": token(3).to_hex(), "identifier": "a", "expiry": 30}]);
        let path = "/apps/shop/sandbox/notifications";
        let headers = "Content-Type: application/json\r\n";
        let answer =
            call(daemon.address("pyapns.rest_listen").unwrap(), "POST", path, headers, &rest.to_string()).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        until("all three arrive", async || world.simulator.counts().requests_accepted == 3).await;
        for request in world.simulator.requests() {
            assert_eq!(request.push_type.as_deref(), Some(push_type.as_str()));
            assert_eq!(request.topic.as_deref(), Some(&*topic));
        }
        daemon.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_certain_to_be_refused_and_what_is_not_meant_is_refused_at_once() {
    let world = World::new().await;
    let daemon = Daemon::start(world.config("")).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let send = async |more: serde_json::Value| {
        let mut body = json!({"token": token(1).to_hex(), "payload": {"aps": {"alert": "x"}}});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        post(api, PATH, &body.to_string()).await
    };
    for (more, words) in [
        (json!({"push_type": "alrt"}), "perhaps alert?"),
        (json!({"payload": {"aps": {"content-changed": true}}}), "widgets or controls"),
        (json!({"expiration": 1_700_000_000_000_u64}), "milliseconds"),
    ] {
        let answer = send(more.clone()).await;
        assert_eq!(answer.status, 422, "{more}: {answer:?}");
        assert!(answer.body.contains(words), "{more}: {answer:?}");
    }
    assert_eq!(send(json!({"push_type": "alrt", "force_push_type": true})).await.status, 202);
    assert_eq!(send(json!({"push_type": "controls", "payload": {"aps": {"content-changed": true}}})).await.status, 202);
    until("both arrive", async || world.simulator.requests().len() == 2).await;
    let mut types: Vec<_> = world.simulator.requests().into_iter().filter_map(|request| request.push_type).collect();
    types.sort();
    assert_eq!(types, ["alrt", "controls"]);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expiration_in_the_past_is_one_attempt() {
    let world = World::new().await;
    let service = Service::start(&world.config("")).await.unwrap();
    let past = |number: u32| -> Submission {
        notification(number).with_expiration(Expiration::At(WallTime::from_secs(3600))).into()
    };
    let accepted = service.submit(&shop(), (0..20).map(past).collect()).await.unwrap();
    let ids: Vec<_> = accepted.iter().map(|one| one.id).collect();
    for record in service.wait_all(&ids, SOON).await.unwrap() {
        assert_eq!(&*record.expect("it has an outcome").outcome, "accepted");
    }
    let requests = world.simulator.requests();
    assert_eq!(requests.len(), 20, "each once");
    assert!(requests.iter().all(|request| request.expiration == Some(0)));
    service.stop(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_attempt_that_reaches_nobody_ends_as_expired_and_is_not_delivered_later() {
    let world = World::new().await;
    let text = world.config_text("");
    let port = format!("port = {}", world.simulator.http2_address().port());
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nowhere = text.replace(&port, &format!("port = {closed}"));
    let once = || -> Submission { notification(7).with_expiration(Expiration::Immediately).into() };

    // Nobody is there, the process ends, and the next one finds somebody.
    let service = Service::start(&Config::parse(&nowhere, world.folder.path()).unwrap()).await.unwrap();
    let earlier = service.submit(&shop(), vec![once()]).await.unwrap()[0].id;
    let waits = submit(&service, 1).await[0];
    // Without a connection, and without one to come.
    assert_eq!(&*service.wait(earlier, SOON).await.unwrap().expect("it has an outcome").outcome, "expired");
    // One that may come too late for the next attempt: the process that took it ends.
    let last = service.submit(&shop(), vec![once()]).await.unwrap()[0].id;
    until("it is tried", async || service.snapshot(&shop()).unwrap().health.word() == "no_connection").await;
    service.stop(SOON).await;
    let service = Service::start(&Config::parse(&text, world.folder.path()).unwrap()).await.unwrap();
    let records = service.wait_all(&[earlier, last, waits], SOON).await.unwrap();
    let words: Vec<_> = records.iter().map(|record| record.as_ref().unwrap().outcome.to_string()).collect();
    assert_eq!(words, ["expired", "expired", "accepted"]);

    // With a connection at hand it is delivered.
    let now = service.submit(&shop(), vec![once()]).await.unwrap()[0].id;
    assert_eq!(&*service.wait(now, SOON).await.unwrap().unwrap().outcome, "accepted");
    assert_eq!(world.simulator.counts().requests, 2);
    service.stop(SOON).await;
}
