//! Broadcasts through the daemon's provider API: Apple's answer, over the app's own connection.

use std::sync::Arc;
use std::time::Duration;

use apns_sim::AuthenticatedBy;
use apns_tokio::proto::http2::{BundleId, ChannelStorage, KeyId, TeamId, TokenSource};
use apns_tokio::{Client, Endpoint, Roots, SigningKey, SigningSource};
use apnsd::Daemon;

use crate::http::post;
use crate::http2::Http2;
use crate::provider_api::{BODY, TOPIC, path, start};
use crate::support::World;

const BROADCASTS: &str = "/4/broadcasts/apps/com.example.app";
const UPDATE: &str = r#"{"aps": {"event": "update", "timestamp": 1700000000, "content-state": {}}}"#;
const ID: &str = "7f5a1b60-3c2d-4e5f-8a9b-0c1d2e3f4a5b";

/// A channel of the app at the simulator.
async fn channel(world: &World) -> String {
    let simulator = &world.simulator;
    let key = SigningKey::read(simulator.signing_key_pem().as_bytes()).unwrap();
    let (id, team) = (KeyId::new(simulator.key_id()).unwrap(), TeamId::new(simulator.team_id()).unwrap());
    let tokens: Arc<dyn TokenSource> = Arc::new(SigningSource::new(key, id, team));
    let channels = Client::http2(Endpoint::new("localhost", simulator.http2_address().port()), tokens)
        .roots(Roots::only_pem(simulator.ca_pem().as_bytes()).unwrap())
        .channels(BundleId::new("com.example.app").unwrap())
        .unwrap();
    channels.create(ChannelStorage::Latest).await.unwrap().as_str().to_owned()
}

fn headers(channel: &str) -> Vec<(&str, &str)> {
    vec![
        ("apns-channel-id", channel),
        ("apns-push-type", "liveactivity"),
        ("apns-expiration", "0"),
        ("apns-priority", "10"),
        ("apns-request-id", ID),
    ]
}

async fn caller(daemon: &Daemon) -> Http2 {
    Http2::connect(daemon.address("provider_api.listen").unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_is_passed_on_with_the_apps_token_whatever_its_mode_is() {
    let world = World::new().await;
    let channel = channel(&world).await;
    for mode in ["", "provider_api = \"stored\""] {
        let daemon = start(&world, mode, "").await;
        let caller = caller(&daemon).await;
        let before = world.simulator.requests().len();
        assert_eq!(caller.post(&path(0), &[TOPIC], BODY).await.status, 200);
        let sent = caller.post(BROADCASTS, &headers(&channel), UPDATE).await;
        assert_eq!((sent.status, sent.header("apns-request-id")), (200, Some(ID)), "{sent:?}");
        // What only Apple knows, Apple says.
        let unknown = caller.post(BROADCASTS, &headers("dHN0LXNyY2gtY2hubA=="), UPDATE).await;
        assert_eq!((unknown.status, unknown.reason()), (400, "ChannelNotRegistered".to_owned()), "{unknown:?}");
        assert_eq!(unknown.header("apns-request-id"), Some(ID));
        daemon.stop().await;
        let requests = world.simulator.requests();
        let broadcasts: Vec<_> = requests[before..].iter().filter(|request| request.path == BROADCASTS).collect();
        assert_eq!(broadcasts.len(), 2);
        assert_eq!(broadcasts[0].channel_id.as_deref(), Some(&*channel));
        assert_eq!(broadcasts[0].payload, UPDATE.replace(' ', "").as_bytes());
        assert!(matches!(broadcasts[0].authenticated_by, AuthenticatedBy::Token { .. }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_broadcast_is_said_with_apples_reason() {
    let world = World::new().await;
    let daemon = start(&world, "", "").await;
    let caller = caller(&daemon).await;
    let without = |name: &str| headers("YQ==").into_iter().filter(|(found, _)| *found != name).collect::<Vec<_>>();
    let with = |name: &'static str, value: &'static str| [without(name), vec![(name, value)]].concat();
    let large = format!(r#"{{"aps": {{"x": "{}"}}}}"#, "x".repeat(5120));
    for (path, headers, body, (status, reason)) in [
        ("/4/broadcasts/apps", without(""), UPDATE, (404, "BadPath")),
        ("/4/broadcasts/apps/a/b", without(""), UPDATE, (404, "BadPath")),
        ("/4/broadcasts/apps/com.example.other", without(""), UPDATE, (400, "TopicDisallowed")),
        (BROADCASTS, [without(""), vec![("apns-priority", "5")]].concat(), UPDATE, (400, "DuplicateHeaders")),
        (BROADCASTS, with("apns-request-id", "17"), UPDATE, (400, "BadMessageId")),
        (BROADCASTS, without("apns-channel-id"), UPDATE, (400, "MissingChannelId")),
        (BROADCASTS, with("apns-channel-id", "?"), UPDATE, (400, "BadChannelId")),
        (BROADCASTS, without("apns-push-type"), UPDATE, (400, "MissingPushType")),
        (BROADCASTS, with("apns-push-type", "alert"), UPDATE, (400, "InvalidPushType")),
        (BROADCASTS, without("apns-expiration"), UPDATE, (400, "BadExpirationDate")),
        (BROADCASTS, without("apns-priority"), UPDATE, (400, "BadPriority")),
        (BROADCASTS, without(""), "", (400, "PayloadEmpty")),
        (BROADCASTS, without(""), "[]", (400, "BadRequestPayload")),
        (BROADCASTS, without(""), &large, (413, "PayloadTooLarge")),
    ] {
        let answer = caller.post(path, &headers, body).await;
        assert_eq!((answer.status, answer.reason()), (status, reason.to_owned()), "{path} {headers:?}: {answer:?}");
    }
    assert_eq!(world.simulator.counts().requests, 0, "nothing of this reaches the service");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_is_not_sent_for_a_paused_app_or_to_nobody() {
    let world = World::new().await;
    let channel = channel(&world).await;
    let daemon = start(&world, "", "").await;
    let api = daemon.address("api.listen").unwrap();
    assert_eq!(post(api, "/v1/apps/shop/pause", "{}").await.status, 200);
    let paused = caller(&daemon).await.post(BROADCASTS, &headers(&channel), UPDATE).await;
    assert_eq!((paused.status, paused.header("apnsd-state")), (503, Some("not_sent")), "{paused:?}");
    assert!(paused.header("apnsd-detail").unwrap().contains("paused"));
    assert_eq!(post(api, "/v1/apps/shop/resume", "{}").await.status, 200);
    assert_eq!(caller(&daemon).await.post(BROADCASTS, &headers(&channel), UPDATE).await.status, 200);
    daemon.stop().await;
    // Nobody listens at the port of a simulator that is gone.
    let World { folder, simulator } = world;
    let gone = World { folder, simulator: apns_sim::Simulator::start().await.unwrap() };
    let text = crate::provider_api::text(&gone, "", "answer_within = \"1s\"");
    let text = text.replace(&format!("port = {}", gone.simulator.http2_address().port()), "port = 1");
    drop(simulator);
    let config = apnsd::config::Config::parse(&text, gone.folder.path()).unwrap();
    let daemon = Daemon::start(config).await.unwrap();
    let asked = std::time::Instant::now();
    let late = caller(&daemon).await.post(BROADCASTS, &headers(&channel), UPDATE).await;
    assert_eq!((late.status, late.header("apnsd-state")), (503, Some("not_sent")), "{late:?}");
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    daemon.stop().await;
}
