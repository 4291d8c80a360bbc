//! Broadcast channels: their management, and publishing to them.

use apns_proto::ApnsId;
use apns_sim::{Deviation, Http2Script, RequestKind, Script, Simulator};
use serde_json::json;

use crate::checks::json_of;
use crate::client::{Answer, Client, Request, TOPIC, bearer};
use crate::support::PAYLOAD;

const CHANNELS: &str = "/1/apps/com.example.app/channels";
const ALL_CHANNELS: &str = "/1/apps/com.example.app/all-channels";
const BROADCASTS: &str = "/4/broadcasts/apps/com.example.app";
const ID: &str = "eabeca8d-6f2b-4c0f-9a4a-4e2b8a3b6c7d";

async fn with(http2: Http2Script) -> Simulator {
    Simulator::builder().script(Script::default().http2(http2)).start().await.unwrap()
}

fn signed(simulator: &Simulator, method: &'static str, path: &str) -> Request {
    Request::empty(method, path).with("authorization", bearer(simulator, 0))
}

fn creation(simulator: &Simulator, policy: u8) -> Request {
    let body = json!({"message-storage-policy": policy, "push-type": "LiveActivity"});
    signed(simulator, "POST", CHANNELS).body(body.to_string())
}

/// Makes a channel.
async fn create(simulator: &Simulator, client: &mut Client, policy: u8) -> String {
    let answer = client.send(&creation(simulator, policy)).await;
    assert_eq!(answer.status, 201);
    answer.header("apns-channel-id").to_owned()
}

fn read(simulator: &Simulator, channel: &str) -> Request {
    signed(simulator, "GET", CHANNELS).with("apns-channel-id", channel)
}

fn delete(simulator: &Simulator, channel: &str) -> Request {
    read(simulator, channel).method("DELETE")
}

/// A broadcast that is taken.
fn broadcast(simulator: &Simulator, channel: &str) -> Request {
    signed(simulator, "POST", BROADCASTS)
        .with("apns-channel-id", channel)
        .with("apns-push-type", "liveactivity")
        .with("apns-expiration", "0")
        .with("apns-priority", "10")
        .body(PAYLOAD)
}

fn bad(reason: &str) -> (u16, String) {
    (400, reason.to_owned())
}

/// What every answer to such a request has.
fn check_names(answer: &Answer) {
    answer.header("apns-request-id").parse::<ApnsId>().unwrap();
    assert_eq!(answer.header("apns-id"), "");
}

#[tokio::test]
async fn a_channel_is_made_read_listed_and_deleted() {
    let simulator = Simulator::start().await.unwrap();
    let mut client = Client::new(&simulator).await;
    let made = client.send(&creation(&simulator, 1).with("apns-request-id", ID)).await;
    assert_eq!((made.status, made.body.is_empty(), made.ended_on_headers), (201, true, true));
    assert_eq!(made.header("apns-request-id"), ID);
    let latest = made.header("apns-channel-id").to_owned();
    let nothing = create(&simulator, &mut client, 0).await;
    assert_ne!(latest, nothing);

    for (channel, policy) in [(&latest, 1), (&nothing, 0)] {
        let answer = client.send(&read(&simulator, channel)).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json(), json!({"message-storage-policy": policy, "push-type": "LiveActivity"}));
        assert_eq!(answer.header("content-type"), "application/json");
        check_names(&answer);
    }
    let list = signed(&simulator, "GET", ALL_CHANNELS);
    let listed = client.send(&list).await.json();
    let mut both = [latest.clone(), nothing.clone()];
    both.sort();
    let mut found: Vec<String> = serde_json::from_value(listed["channels"].clone()).unwrap();
    found.sort();
    assert_eq!(found, both);
    assert_eq!(simulator.channels(TOPIC).len(), 2);

    let gone = client.send(&delete(&simulator, &latest)).await;
    assert_eq!((gone.status, gone.body.is_empty()), (204, true));
    assert_eq!(client.send(&list).await.json(), json!({"channels": [nothing]}));
    for request in [read(&simulator, &latest), delete(&simulator, &latest), broadcast(&simulator, &latest)] {
        assert_eq!(client.send(&request).await.told(), bad("ChannelNotRegistered"));
    }
    assert_eq!(simulator.channels(TOPIC), [nothing]);
    assert!(simulator.requests().iter().all(|request| request.topic.as_deref() == Some(TOPIC)));
}

#[tokio::test]
async fn an_app_has_its_own_channels_and_at_first_none() {
    let simulator = Simulator::start().await.unwrap();
    let mut client = Client::new(&simulator).await;
    let channel = create(&simulator, &mut client, 0).await;
    let elsewhere = "/1/apps/com.example.other/all-channels";
    assert_eq!(client.send(&signed(&simulator, "GET", elsewhere)).await.json(), json!({"channels": []}));
    let answer = client.send(&read(&simulator, &channel).path("/1/apps/com.example.other/channels")).await;
    assert_eq!(answer.told(), bad("ChannelNotRegistered"));
    assert!(simulator.channels("com.example.other").is_empty());
}

#[tokio::test]
async fn ids_are_never_used_again() {
    let simulator = with(Http2Script::default().max_channels(1)).await;
    let mut client = Client::new(&simulator).await;
    let mut seen = Vec::new();
    for _ in 0..5 {
        let channel = create(&simulator, &mut client, 0).await;
        assert_eq!(client.send(&creation(&simulator, 0)).await.told(), bad("CannotCreateChannelConfig"));
        assert_eq!(client.send(&delete(&simulator, &channel)).await.status, 204);
        assert!(!seen.contains(&channel));
        seen.push(channel);
    }
}

#[tokio::test]
async fn channels_outlive_a_script() {
    let simulator = Simulator::start().await.unwrap();
    let mut client = Client::new(&simulator).await;
    let channel = create(&simulator, &mut client, 0).await;
    simulator.set_script(Script::default().seed(5));
    assert_eq!(client.send(&read(&simulator, &channel)).await.status, 200);
}

#[tokio::test]
async fn a_broadcast_is_taken_and_written_down() {
    let simulator = Simulator::start().await.unwrap();
    let mut client = Client::new(&simulator).await;
    let channel = create(&simulator, &mut client, 1).await;
    let push = broadcast(&simulator, &channel)
        .with("apns-expiration", "1700000000")
        .with("apns-priority", "5")
        .with("apns-request-id", ID.to_uppercase());
    let answer = client.send(&push).await;
    assert_eq!((answer.told(), answer.ended_on_headers), ((200, String::new()), true));
    assert_eq!(answer.header("apns-request-id"), ID.to_uppercase(), "as it was sent");
    assert_eq!(answer.header("apns-id"), "");

    let requests = simulator.requests();
    assert_eq!(requests[0].kind, RequestKind::Channels);
    let record = &requests[1];
    assert_eq!((record.kind, record.accepted()), (RequestKind::Broadcast, true));
    assert_eq!(record.channel_id.as_deref(), Some(&*channel));
    assert_eq!(record.topic.as_deref(), Some(TOPIC));
    assert_eq!((record.priority, record.expiration), (Some(5), Some(1_700_000_000)));
    assert_eq!((&*record.apns_id, &record.payload[..]), (&*ID.to_uppercase(), PAYLOAD));
    assert_eq!(record.token, None);
}

#[tokio::test]
async fn each_mistake_of_a_broadcast_has_its_answer() {
    let http2 = Http2Script::default().topic(TOPIC).topic("com.example.mute").no_broadcast("com.example.mute");
    let simulator = with(http2).await;
    let mut client = Client::new(&simulator).await;
    let channel = create(&simulator, &mut client, 0).await;
    let good = || broadcast(&simulator, &channel);
    assert_eq!(client.send(&good()).await.status, 200);
    let path = |path: &str| good().path(path);
    let cases = [
        (good().method("GET"), 404, "BadPath"),
        (path("/4/broadcasts/apps"), 404, "BadPath"),
        (path("/4/broadcasts/apps/"), 404, "BadPath"),
        (path("/4/broadcasts/apps/com.example.app/channels"), 404, "BadPath"),
        (good().and("apns-priority", "5"), 400, "DuplicateHeaders"),
        (good().and("apns-channel-id", "AAAA"), 400, "DuplicateHeaders"),
        (good().without("authorization"), 403, "MissingProviderToken"),
        (good().with("authorization", "bearer x.y.z"), 403, "InvalidProviderToken"),
        (good().with("authorization", bearer(&simulator, 3700)), 403, "ExpiredProviderToken"),
        (good().with("authorization", bearer(&simulator, 60)), 429, "TooManyProviderTokenUpdates"),
        (path("/4/broadcasts/apps/com.example.app.push-type.liveactivity"), 400, "TopicDisallowed"),
        (path("/4/broadcasts/apps/com.example.other"), 403, "TopicMismatch"),
        (path("/4/broadcasts/apps/com.example.mute"), 400, "FeatureNotEnabled"),
        (good().with("apns-request-id", "1"), 400, "BadMessageId"),
        (good().with("apns-id", "1"), 400, "BadMessageId"),
        (good().without("apns-channel-id"), 400, "MissingChannelId"),
        (good().with("apns-channel-id", ""), 400, "BadChannelId"),
        (good().with("apns-channel-id", "no base64!"), 400, "BadChannelId"),
        (good().with("apns-channel-id", "A".repeat(1028)), 400, "BadChannelId"),
        (good().with("apns-channel-id", "AAAA"), 400, "ChannelNotRegistered"),
        (good().without("apns-push-type"), 400, "MissingPushType"),
        (good().with("apns-push-type", "alert"), 400, "InvalidPushType"),
        (good().without("apns-expiration"), 400, "BadExpirationDate"),
        (good().with("apns-expiration", "soon"), 400, "BadExpirationDate"),
        // A channel without storage.
        (good().with("apns-expiration", "1700000000"), 400, "BadExpirationDate"),
        (good().without("apns-priority"), 400, "BadPriority"),
        (good().with("apns-priority", "2"), 400, "BadPriority"),
        (good().body([]), 400, "PayloadEmpty"),
        (good().body([b'x'; 5121]), 413, "PayloadTooLarge"),
        (good().body("[]"), 400, "BadRequestPayload"),
    ];
    for (place, (request, status, reason)) in cases.into_iter().enumerate() {
        let answer = client.send(&request).await;
        assert_eq!(answer.told(), (status, reason.to_owned()), "case {place}");
        check_names(&answer);
    }
    for fine in [
        good().with("apns-push-type", "LiveActivity"),
        good().with("apns-push-type", "Liveactivity"),
        good().with("apns-priority", "1"),
        good().with("apns-id", ID),
        good().body(json_of(5120)),
    ] {
        assert_eq!(client.send(&fine).await.told(), (200, String::new()));
    }
}

#[tokio::test]
async fn each_mistake_about_channels_has_its_answer() {
    let http2 = Http2Script::default().topic(TOPIC).topic("com.example.mute").no_broadcast("com.example.mute");
    let simulator = with(http2).await;
    let mut client = Client::new(&simulator).await;
    let channel = create(&simulator, &mut client, 0).await;
    let make = || creation(&simulator, 0);
    let body = |body: &str| make().body(body);
    let look = || read(&simulator, &channel);
    let cases = [
        (make().path("/1/apps"), 404, "BadPath"),
        (make().path("/1/apps/com.example.app"), 404, "BadPath"),
        (make().path("/1/apps//channels"), 404, "BadPath"),
        (make().path("/1/apps/com.example.app/channel"), 404, "BadPath"),
        (look().path(format!("{CHANNELS}/{channel}")), 404, "BadPath"),
        (make().method("PUT"), 404, "BadPath"),
        (make().path(ALL_CHANNELS), 404, "BadPath"),
        (make().and("apns-request-id", ID).and("apns-request-id", ID), 400, "DuplicateHeaders"),
        (make().without("authorization"), 403, "MissingProviderToken"),
        (make().path("/1/apps/com.example.app.push-type.liveactivity/channels"), 400, "TopicDisallowed"),
        (make().path("/1/apps/com.example.other/channels"), 403, "TopicMismatch"),
        (make().path("/1/apps/com.example.mute/channels"), 400, "FeatureNotEnabled"),
        (make().with("apns-request-id", "1"), 400, "BadMessageId"),
        (body(""), 400, "PayloadEmpty"),
        (make().body([b' '; 5121]), 413, "PayloadTooLarge"),
        (make().body(vec![b' '; 100_000]), 413, "PayloadTooLarge"),
        (body("{"), 400, "BadRequestPayload"),
        (body("[]"), 400, "BadRequestPayload"),
        (body(r#"{"message-storage-policy": 0, "push-type": "LiveActivity", "x": 1}"#), 400, "BadRequestParams"),
        (body(r#"{"message-storage-policy": 2, "push-type": "LiveActivity"}"#), 400, "BadRequestParams"),
        (body(r#"{"push-type": "LiveActivity"}"#), 400, "BadRequestParams"),
        (body(r#"{"message-storage-policy": 0}"#), 400, "MissingPushType"),
        (body(r#"{"message-storage-policy": 0, "push-type": "alert"}"#), 400, "InvalidPushType"),
        (body(r#"{"message-storage-policy": 0, "push-type": 7}"#), 400, "InvalidPushType"),
        (look().without("apns-channel-id"), 400, "MissingChannelId"),
        (look().method("DELETE").without("apns-channel-id"), 400, "MissingChannelId"),
        (look().with("apns-channel-id", "A"), 400, "BadChannelId"),
        (look().with("apns-channel-id", "AAAA"), 400, "ChannelNotRegistered"),
        (look().method("DELETE").with("apns-channel-id", "AAAA"), 400, "ChannelNotRegistered"),
    ];
    for (place, (request, status, reason)) in cases.into_iter().enumerate() {
        let answer = client.send(&request).await;
        assert_eq!(answer.told(), (status, reason.to_owned()), "case {place}");
        check_names(&answer);
    }
    assert_eq!(simulator.channels(TOPIC), [channel], "nothing was made or deleted");
}

#[tokio::test]
async fn a_creation_may_be_worded_as_clients_do() {
    let simulator = Simulator::start().await.unwrap();
    let mut client = Client::new(&simulator).await;
    let worded = r#"{"message-storage-policy": "1", "push-type": "liveactivity"}"#;
    let answer = client.send(&creation(&simulator, 0).body(worded)).await;
    assert_eq!(answer.status, 201);
    let channel = answer.header("apns-channel-id").to_owned();
    let answer = client.send(&read(&simulator, &channel)).await;
    assert_eq!(answer.json(), json!({"message-storage-policy": 1, "push-type": "LiveActivity"}));
}

#[tokio::test]
async fn a_certificate_covers_the_apps_it_names() {
    let simulator = Simulator::start().await.unwrap();
    let mut client = Client::certified(&simulator).await;
    let make = creation(&simulator, 0).without("authorization");
    assert_eq!(client.send(&make).await.status, 201);
    let answer = client.send(&make.path("/1/apps/com.example.other/channels")).await;
    assert_eq!(answer.told(), (403, "TopicMismatch".to_owned()));
}

#[tokio::test]
async fn a_broadcast_without_expiration_is_named_and_taken_where_the_simulator_is_lenient() {
    for (builder, expected) in
        [(Simulator::builder(), bad("BadExpirationDate")), (Simulator::builder().lenient(), (200, String::new()))]
    {
        let simulator = builder.start().await.unwrap();
        let mut client = Client::new(&simulator).await;
        let channel = create(&simulator, &mut client, 0).await;
        let recipe = broadcast(&simulator, &channel).without("apns-expiration");
        let answer = client.send(&recipe.clone().with("apns-push-type", "Liveactivity")).await;
        assert_eq!(answer.told(), expected);
        assert!(answer.header("apns-sim-detail").starts_with("no_expiration: "));
        assert_eq!(simulator.requests().pop().unwrap().deviations, [Deviation::NoExpiration]);
        let answer = client.send(&recipe.with("apns-expiration", "soon")).await;
        assert_eq!((answer.told(), answer.header("apns-sim-detail")), (bad("BadExpirationDate"), ""));
    }
}
