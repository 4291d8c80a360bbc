//! Who may call Apple's provider API here, and for which app.

use std::time::{Duration, Instant, SystemTime};

use apns_credentials::SigningKey;
use apns_proto::http2::{KeyId, TeamId};
use apns_proto::{Now, WallTime};
use apnsd::Daemon;
use apnsd::config::Config;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::http::call;
use crate::http2::{Answer2, Http2};
use crate::provider_api::{BODY, TOPIC, path, start, text};
use crate::support::{SOON, World};

const TOKENS: &str = "
[[token]]
name = \"shop\"
secret = \"shop.secret.0123456789\"
apps = [\"shop\"]
[[token]]
name = \"bank\"
secret = \"bank-secret-0123456789\"
apps = [\"bank\"]
";

/// A provider token of the simulator's key, signed at this distance from now.
fn provider_token(world: &World, key: &SigningKey, age: Duration) -> String {
    let key_id = KeyId::new(world.simulator.key_id()).unwrap();
    let team_id = TeamId::new(world.simulator.team_id()).unwrap();
    let wall = WallTime::from(SystemTime::now());
    let signed_at = WallTime::from_millis(wall.as_millis() - u64::try_from(age.as_millis()).unwrap());
    let token = key.provider_token(&key_id, &team_id, Now::new(Instant::now(), signed_at));
    format!("bearer {}", token.jwt())
}

async fn with(caller: &Http2, authorization: &str) -> Answer2 {
    caller.post(&path(0), &[TOPIC, ("authorization", authorization)], BODY).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_token_or_a_provider_token_of_a_key_that_is_known_opens_the_door() {
    let world = World::new().await;
    let daemon = start(&world, "", TOKENS).await;
    let caller = Http2::connect(daemon.address("provider_api.listen").unwrap()).await;
    let key = SigningKey::read(world.simulator.signing_key_pem().as_bytes()).unwrap();
    let good = provider_token(&world, &key, Duration::from_secs(60));
    assert_eq!(with(&caller, &good).await.status, 200);
    assert_eq!(with(&caller, &good).await.status, 200, "and the next time");
    assert_eq!(with(&caller, "Bearer shop.secret.0123456789").await.status, 200, "one that has dots");

    let refused = async |authorization: &str| {
        let answer = with(&caller, authorization).await;
        (answer.status, answer.reason())
    };
    let without = caller.post(&path(0), &[TOPIC], BODY).await;
    assert_eq!((without.status, without.reason()), (403, "MissingProviderToken".to_owned()));
    let invalid = (403, "InvalidProviderToken".to_owned());
    assert_eq!(refused("Bearer guess-0123456789").await, invalid);
    assert_eq!(refused("bearer a.b.c").await, invalid);
    assert_eq!(refused(&good[..good.len() - 4]).await, invalid);
    let other = SigningKey::read(rcgen::KeyPair::generate().unwrap().serialize_pem().as_bytes()).unwrap();
    assert_eq!(
        refused(&provider_token(&world, &other, Duration::ZERO)).await,
        invalid,
        "the name of the key is not enough"
    );
    let old = provider_token(&world, &key, Duration::from_secs(3700));
    assert_eq!(refused(&old).await, (403, "ExpiredProviderToken".to_owned()));
    assert_eq!(refused("Bearer bank-secret-0123456789").await, (400, "TopicDisallowed".to_owned()));
    assert_eq!(world.simulator.counts().requests, 3);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_no_app_has_any_more_opens_nothing() {
    let world = World::new().await;
    let daemon = start(&world, "", TOKENS).await;
    let caller = Http2::connect(daemon.address("provider_api.listen").unwrap()).await;
    let key = SigningKey::read(world.simulator.signing_key_pem().as_bytes()).unwrap();
    let good = provider_token(&world, &key, Duration::ZERO);
    assert_eq!(with(&caller, &good).await.status, 200);
    let replaced = rcgen::KeyPair::generate().unwrap().serialize_pem();
    std::fs::write(world.folder.path().join("other.p8"), replaced).unwrap();
    let changed = text(&world, "", TOKENS).replace("AuthKey_SIMULATOR0.p8", "other.p8");
    daemon.reload(&Config::parse(&changed, world.folder.path()).unwrap()).await.unwrap();
    let refused = with(&caller, &good).await;
    assert_eq!((refused.status, refused.reason()), (403, "InvalidProviderToken".to_owned()));
    daemon.stop().await;
}

/// The app in the other environment, with the same key and topic.
fn other_environment(world: &World) -> String {
    let app = text(world, "", "");
    let (_, app) = app.split_once("[apps.shop]").unwrap();
    let (app, _) = app.split_once("[provider_api]").unwrap();
    format!("[apps.live]{}", app.replace("\"sandbox\"", "\"production\""))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_topic_names_the_app_and_the_host_its_environment() {
    let world = World::new().await;
    let daemon = start(&world, "", &other_environment(&world)).await;
    let address = daemon.address("provider_api.listen").unwrap();
    let unclear = Http2::connect(address).await.post(&path(0), &[TOPIC], BODY).await;
    assert_eq!((unclear.status, unclear.reason()), (400, "TopicDisallowed".to_owned()));
    assert!(unclear.header("apnsd-detail").unwrap().contains("several apps"), "{unclear:?}");
    for (host, app) in [
        ("api.push.apple.com", "live"),
        ("api.sandbox.push.apple.com:443", "shop"),
        ("api.development.push.apple.com", "shop"),
    ] {
        let caller = Http2::connect(address).await.calling(host);
        let answer = caller.post(&path(0), &[TOPIC], BODY).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let id = answer.header("apnsd-id").unwrap().parse().unwrap();
        assert_eq!(daemon.service().lookup(id).await.unwrap().unwrap().app.as_str(), app, "{host}");
    }
    // One whose topic is exactly this one comes before one whose topic it begins with.
    let more = other_environment(&world).replace("com.example.app", "com.example.app.voip");
    let changed = text(&world, "", &more);
    daemon.reload(&Config::parse(&changed, world.folder.path()).unwrap()).await.unwrap();
    let caller = Http2::connect(address).await;
    let app = async |topic: &str| {
        let answer = caller.post(&path(0), &[("apns-topic", topic)], BODY).await;
        let id = answer.header("apnsd-id").unwrap().parse().unwrap();
        daemon.service().lookup(id).await.unwrap().unwrap().app.to_string()
    };
    assert_eq!(app("com.example.app").await, "shop");
    assert_eq!(app("com.example.app.complication").await, "shop");
    assert_eq!(app("com.example.app.voip").await, "live");
    let missing = caller.post(&path(0), &[], BODY).await;
    assert_eq!((missing.status, missing.reason()), (400, "MissingTopic".to_owned()));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_in_a_browser_and_other_names_are_not_answered() {
    let world = World::new().await;
    let daemon = start(&world, "", "").await;
    let address = daemon.address("provider_api.listen").unwrap();
    let rebound = Http2::connect(address).await.calling("evil.example").post(&path(0), &[TOPIC], BODY).await;
    assert_eq!((rebound.status, rebound.reason()), (403, "Forbidden".to_owned()));
    for header in ["Origin: http://evil.example", "Sec-Fetch-Site: cross-site"] {
        let answer =
            call(address, "POST", &path(0), &format!("{header}\r\napns-topic: com.example.app\r\n"), BODY).await;
        assert_eq!((answer.status, answer.json()["reason"].as_str()), (403, Some("Forbidden")), "{header}");
    }
    assert_eq!(world.simulator.counts().requests, 0);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_say_which_http_it_speaks_is_not_waited_for_and_who_does_may_be_idle() {
    let world = World::new().await;
    let text = text(&world, "", "").replace("[pyapns]", "max_connections = 3\nhead_within = \"1s\"\n[pyapns]");
    let daemon = Daemon::start(Config::parse(&text, world.folder.path()).unwrap()).await.unwrap();
    let address = daemon.address("provider_api.listen").unwrap();
    let idle = Http2::connect(address).await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut slow = TcpStream::connect(address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut slow, b"PRI * HTT").await.unwrap();
    for stream in [&mut silent, &mut slow] {
        let mut byte = [0; 1];
        let closed = tokio::time::timeout(SOON, stream.read(&mut byte)).await.expect("it is closed");
        assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    }
    assert_eq!(idle.post(&path(0), &[TOPIC], BODY).await.status, 200, "this one has said it");
    // Those that are idle for the longest make room, and are told.
    let mut more = Vec::new();
    for number in 1..=6 {
        let caller = Http2::connect(address).await;
        assert_eq!(caller.post(&path(number), &[TOPIC], BODY).await.status, 200);
        more.push(caller);
    }
    tokio::time::timeout(SOON, idle.closed()).await.expect("it made room");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_held_back_count_among_the_requests_under_way() {
    let world = World::new().await;
    let daemon = start(&world, "", &format!("max_requests = 2\n{TOKENS}")).await;
    let caller = Http2::connect(daemon.address("provider_api.listen").unwrap()).await;
    let guess = async || with(&caller, "Bearer guess-0123456789").await;
    let answers = futures_util::future::join_all((0..20).map(|_| guess())).await;
    let count = |status: u16, reason: &str| {
        answers.iter().filter(|answer| (answer.status, &*answer.reason()) == (status, reason)).count()
    };
    let (held, refused) = (count(403, "InvalidProviderToken"), count(429, "TooManyRequests"));
    assert_eq!(held + refused, 20, "{answers:?}");
    assert!((2..20).contains(&held), "{held} were held back at a time");
    assert!(answers.iter().all(|answer| answer.header("apns-id").is_some()), "{answers:?}");
    daemon.stop().await;
}
