//! Pushes to devices, good and bad.

use apns_proto::{ApnsId, PushType};
use apns_sim::{AuthenticatedBy, Entry, Http2Script, Keep, RequestKind, Script, Simulator, TokenPattern, Unregistered};
use serde_json::json;

use crate::client::{Client, Request, TOKEN, TOPIC, now};
use crate::support::PAYLOAD;

#[tokio::test]
async fn a_good_push_is_taken_and_written_down() {
    let simulator = Simulator::start().await.unwrap();
    let mut client = Client::new(&simulator).await;
    let id = "eabeca8d-6f2b-4c0f-9a4a-4e2b8a3b6c7d";
    let push = Request::push(&simulator, TOKEN)
        .with("apns-id", id)
        .with("apns-priority", "5")
        .with("apns-expiration", "1700000000")
        .with("apns-collapse-id", "score");
    let answer = client.send(&push).await;
    assert_eq!(answer.told(), (200, String::new()));
    assert!(answer.ended_on_headers, "no empty DATA frame");
    assert_eq!(answer.header("apns-id"), id);
    assert!(answer.headers.get("apns-unique-id").is_none());

    let requests = simulator.requests();
    let [record] = &requests[..] else { panic!("{requests:?}") };
    assert!(record.accepted());
    assert_eq!((record.seq, record.connection, record.stream), (1, 1, 1));
    assert_eq!(record.kind, RequestKind::Push);
    assert_eq!(record.token_hex(), TOKEN);
    assert_eq!(record.topic.as_deref(), Some(TOPIC));
    assert_eq!(record.push_type.as_deref(), Some("alert"));
    assert_eq!((record.priority, record.expiration), (Some(5), Some(1_700_000_000)));
    assert_eq!(record.collapse_id.as_deref(), Some("score"));
    assert_eq!(record.apns_id, id);
    assert_eq!(&record.payload[..], PAYLOAD);
    assert_eq!(record.header("apns-priority"), Some(&b"5"[..]));
    assert_eq!(record.header("authorization"), None, "a secret");
    let signer = AuthenticatedBy::Token { key_id: "SIMULATOR0".to_owned(), team_id: "TEAMID0000".to_owned() };
    assert_eq!(record.authenticated_by, signer);
    let counts = simulator.counts();
    assert_eq!((counts.http2_connections, counts.requests, counts.requests_accepted), (1, 1, 1));
    let token = record.token.clone().unwrap();
    assert_eq!(simulator.inspect(|log| log.accepted_for(&token)), 1);
}

#[tokio::test]
async fn a_request_is_one_line_of_json() {
    let simulator = Simulator::start().await.unwrap();
    let mut client = Client::new(&simulator).await;
    client.send(&Request::push(&simulator, "nothex").body("{\"aps\":\n{}}")).await;
    client.send(&Request::empty("GET", "/")).await;
    let lines: Vec<serde_json::Value> = simulator.inspect(|log| {
        let requests = log.entries().iter().filter(|entry| matches!(entry, Entry::Request(_)));
        requests
            .map(|entry| entry.to_json())
            .inspect(|line| assert!(!line.contains('\n')))
            .map(|line| serde_json::from_str(&line).unwrap())
            .collect()
    });
    let record = &simulator.requests()[0];
    assert_eq!(
        lines[0],
        json!({
            "event": "request", "seq": 1, "connection": 1, "stream": 1, "kind": "push", "method": "POST",
            "path": "/3/device/nothex", "authority": "localhost", "token": null, "topic": TOPIC, "push_type": "alert",
            "priority": null, "expiration": null, "collapse_id": null, "apns_id": record.apns_id,
            "payload": {"aps": {}},
            "lint": [{
                "severity": "dropped", "at": "aps",
                "what": "nothing in it shows, sounds or wakes: give `alert`, `badge` or `sound`",
            }],
            "authenticated_by": {"token": {"key_id": "SIMULATOR0", "team_id": "TEAMID0000"}},
            "status": 400, "reason": "BadDeviceToken", "accepted": false, "at": record.at.as_millis(),
        })
    );
    assert_eq!((&lines[1]["status"], &lines[1]["authenticated_by"]), (&json!(405), &json!("nothing")));
}

#[tokio::test]
async fn debug_shows_no_secret() {
    let simulator = Simulator::start().await.unwrap();
    let mut client = Client::new(&simulator).await;
    client.send(&Request::push(&simulator, TOKEN).with("apns-collapse-id", "tellnobody")).await;
    let shown =
        format!("{:?} {:?} {simulator:?}", simulator.requests(), simulator.inspect(|log| log.entries().to_vec()));
    for secret in [TOKEN, "tellnobody", "alert\\\":", "bearer", "PRIVATE"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[tokio::test]
async fn each_mistake_has_its_answer() {
    let simulator = Simulator::start().await.unwrap();
    let mut client = Client::new(&simulator).await;
    let good = Request::push(&simulator, TOKEN);
    let voip = good.clone().with("apns-topic", "com.example.app.voip").with("apns-push-type", "voip");
    assert_eq!(client.send(&good).await.status, 200);
    let other_topic = |topic: &str| good.clone().with("apns-topic", topic);
    let cases = [
        (good.clone().method("GET"), 405, "MethodNotAllowed"),
        (good.clone().method("PUT").path("/nowhere"), 405, "MethodNotAllowed"),
        (good.clone().path("/nowhere"), 404, "BadPath"),
        (good.clone().path("/3/devices/00"), 404, "BadPath"),
        (good.clone().path("/3/device/00/11"), 404, "BadPath"),
        (good.clone().path("/3/device/"), 400, "MissingDeviceToken"),
        (good.clone().path("/3/device"), 400, "MissingDeviceToken"),
        (good.clone().and("apns-topic", TOPIC), 400, "DuplicateHeaders"),
        (good.clone().and("apns-priority", "5").and("apns-priority", "5"), 400, "DuplicateHeaders"),
        (good.clone().without("authorization"), 403, "MissingProviderToken"),
        (good.clone().with("authorization", ""), 403, "MissingProviderToken"),
        (good.clone().with("authorization", "bearer x.y.z"), 403, "InvalidProviderToken"),
        (good.clone().without("apns-topic"), 400, "MissingTopic"),
        (other_topic(""), 400, "BadTopic"),
        (other_topic("com example"), 400, "BadTopic"),
        (good.clone().with("apns-push-type", "alarm"), 400, "InvalidPushType"),
        (good.clone().with("apns-id", "123e4567-e89b-12d3-a456-42665544000"), 400, "BadMessageId"),
        (good.clone().with("apns-expiration", "-1"), 400, "BadExpirationDate"),
        (good.clone().with("apns-expiration", "+1"), 400, "BadExpirationDate"),
        (good.clone().with("apns-expiration", "soon"), 400, "BadExpirationDate"),
        (good.clone().with("apns-priority", "7"), 400, "BadPriority"),
        (good.clone().with("apns-push-type", "background").with("apns-priority", "10"), 400, "BadPriority"),
        (good.clone().with("apns-collapse-id", "x".repeat(65)), 400, "BadCollapseId"),
        (good.clone().body([]), 400, "PayloadEmpty"),
        (good.clone().body([b'x'; 4097]), 413, "PayloadTooLarge"),
        (voip.clone().body([b'x'; 5121]), 413, "PayloadTooLarge"),
        (good.clone().body(vec![b'x'; 200_000]), 413, "PayloadTooLarge"),
        (good.clone().path("/3/device/xyz"), 400, "BadDeviceToken"),
        (good.clone().path("/3/device/0aa"), 400, "BadDeviceToken"),
    ];
    for (place, (request, status, reason)) in cases.into_iter().enumerate() {
        let answer = client.send(&request).await;
        assert_eq!(answer.told(), (status, reason.to_owned()), "case {place}");
        assert_eq!(answer.header("content-type"), "application/json");
        answer.header("apns-id").parse::<ApnsId>().unwrap();
    }
}

#[tokio::test]
async fn the_first_mistake_in_the_list_is_the_one_that_is_told() {
    let simulator = Simulator::start().await.unwrap();
    let mut client = Client::new(&simulator).await;
    // Everything is wrong; each step mends one thing.
    let mut request = Request::bare("")
        .method("GET")
        .with("authorization", "bearer x")
        .and("apns-id", "x")
        .and("apns-id", "x")
        .with("apns-topic", "com.elsewhere!")
        .with("apns-push-type", "x")
        .with("apns-expiration", "x")
        .with("apns-priority", "x")
        .with("apns-collapse-id", "x".repeat(65))
        .body([]);
    let mut told = Vec::new();
    let mends: [&dyn Fn(Request) -> Request; 12] = [
        &|request| request.method("POST"),
        &|request| request.path("/3/device/nothex"),
        &|request| request.with("apns-id", "x"),
        &|request| request.with("authorization", crate::client::bearer(&simulator, 0)),
        &|request| request.with("apns-topic", TOPIC),
        &|request| request.with("apns-push-type", "alert"),
        &|request| request.without("apns-id"),
        &|request| request.with("apns-expiration", "0"),
        &|request| request.with("apns-priority", "1"),
        &|request| request.without("apns-collapse-id"),
        &|request| request.body("{}"),
        &|request| request.path(format!("/3/device/{TOKEN}")),
    ];
    for mend in mends {
        told.push(client.send(&request).await.reason());
        request = mend(request);
    }
    let order = [
        "MethodNotAllowed",
        "MissingDeviceToken",
        "DuplicateHeaders",
        "InvalidProviderToken",
        "BadTopic",
        "InvalidPushType",
        "BadMessageId",
        "BadExpirationDate",
        "BadPriority",
        "BadCollapseId",
        "PayloadEmpty",
        "BadDeviceToken",
    ];
    assert_eq!(told, order);
    assert_eq!(client.send(&request).await.status, 200);
}

#[tokio::test]
async fn limits_are_reached_and_not_passed() {
    let simulator = Simulator::start().await.unwrap();
    let mut client = Client::new(&simulator).await;
    let good = Request::push(&simulator, TOKEN);
    for request in [
        good.clone().body(json_of(4096)),
        good.clone().with("apns-topic", "com.example.app.voip").with("apns-push-type", "voip").body(json_of(5120)),
        good.clone().without("apns-push-type").with("apns-topic", "com.example.app.voip").body(json_of(5120)),
        good.clone().with("apns-collapse-id", "x".repeat(64)),
        good.clone().with("apns-push-type", "background").with("apns-priority", "5"),
        good.clone().path(format!("/3/device/{}", TOKEN.to_uppercase())),
        good.clone().path(format!("/3/device/{}", "ab".repeat(80))),
    ] {
        assert_eq!(client.send(&request).await.told(), (200, String::new()));
    }
}

#[tokio::test]
async fn an_id_comes_back_as_it_was_sent() {
    let simulator = Simulator::start().await.unwrap();
    let mut client = Client::new(&simulator).await;
    let push = Request::push(&simulator, TOKEN);
    for id in [
        "EABECA8D-6F2B-4C0F-9A4A-4E2B8A3B6C7D",
        "eabeca8d-6f2b-4c0f-9a4a-4e2b8a3b6c7d",
        "eabecA8D-6f2b-4c0f-9a4a-4e2b8a3b6c7d",
    ] {
        let answer = client.send(&push.clone().with("apns-id", id)).await;
        assert_eq!((answer.header("apns-id"), &*simulator.requests().pop().unwrap().apns_id), (id, id));
    }
    let (one, other) = (client.send(&push).await, client.send(&push).await);
    assert_ne!(one.header("apns-id"), other.header("apns-id"), "made ones differ");
}

/// A payload of this size.
pub(crate) fn json_of(size: usize) -> String {
    let (begin, end) = (r#"{"aps":{"alert":""#, r#""}}"#);
    format!("{begin}{}{end}", "x".repeat(size - begin.len() - end.len()))
}

#[tokio::test]
async fn a_body_is_a_json_object_and_what_a_device_would_drop_is_noted() {
    let simulator = Simulator::start().await.unwrap();
    let mut client = Client::new(&simulator).await;
    let push = Request::push(&simulator, TOKEN);
    for body in ["x", "[]", "\"aps\"", "null", "{", "{\"aps\":}", "{} {}", " "] {
        let answer = client.send(&push.clone().body(body)).await;
        assert_eq!(answer.told(), (400, "PayloadEmpty".to_owned()), "{body}");
        assert_eq!(answer.header("apns-sim-detail"), "the body is not a JSON object");
    }
    assert_eq!(client.send(&push.clone().body(b"{\"a\":\"\xff\"}".to_vec())).await.status, 400, "no UTF-8");
    let notes = |words: &str| {
        let line: serde_json::Value =
            serde_json::from_str(&Entry::Request(simulator.requests().pop().unwrap().into()).to_json()).unwrap();
        let notes = line["lint"].as_array().cloned().unwrap_or_default();
        notes.iter().any(|note| note["what"].as_str().unwrap().contains(words))
    };
    let start = json!({"aps": {"event": "start", "timestamp": now().as_secs(), "content-state": {}, "attributes-type": "A",
                               "attributes": {}}});
    let live = push.clone().with("apns-push-type", "liveactivity");
    let live = live.with("apns-topic", "com.example.app.push-type.liveactivity");
    for (request, words) in [
        (push.clone().body(b"\xef\xbb\xbf{\"aps\":{\"alert\":\"Hi\"}}".to_vec()), "byte order mark"),
        (live.body(start.to_string()), "it is missing"),
        (push.clone().with("apns-topic", "com.example.app.push-type.liveactivty"), "not in one that Apple documents"),
        (push.clone().with("apns-topic", "com.example.app.VOIP"), "not in one that Apple documents"),
        (push.clone().body(r#"{"aps":{"alert":"Hi","badge":"1"}}"#), "is a text"),
    ] {
        assert_eq!(client.send(&request).await.told(), (200, String::new()), "{words}");
        assert!(notes(words), "{words}: {}", Entry::Request(simulator.requests().pop().unwrap().into()).to_json());
    }
    assert_eq!(client.send(&push).await.status, 200);
    assert!(simulator.requests().pop().unwrap().lint().is_empty());
    assert!(!Entry::Request(simulator.requests().pop().unwrap().into()).to_json().contains("lint"));
}

#[tokio::test]
async fn device_tokens_are_judged_by_the_scripts_lists() {
    let pattern = |text: &str| text.parse::<TokenPattern>().unwrap();
    let http2 = Http2Script::default()
        .unregistered(Unregistered::new(pattern("dead01")).timestamp_ms(1_527_206_400_000))
        .unregistered(Unregistered::new(pattern("dead*")).reason("ExpiredToken"))
        .token_topic(pattern("77*"), "com.example.other")
        .topic(TOPIC)
        .topic("com.example.other")
        .unique_ids();
    let script = Script::default().invalid_token(pattern("bad0*")).http2(http2);
    let simulator = Simulator::builder().script(script).keep(Keep::TokenCounts).start().await.unwrap();
    let mut client = Client::new(&simulator).await;
    let push = |token: &str| Request::push(&simulator, token);
    assert_eq!(client.send(&push("bad0")).await.told(), (400, "BadDeviceToken".to_owned()));
    let gone = client.send(&push("dead01")).await;
    assert_eq!(gone.status, 410);
    assert_eq!(gone.json(), json!({"reason": "Unregistered", "timestamp": 1_527_206_400_000_u64}));
    let before = now().as_millis();
    let gone = client.send(&push("dead02")).await;
    assert_eq!(gone.told(), (410, "ExpiredToken".to_owned()));
    assert!((before..=now().as_millis()).contains(&gone.json()["timestamp"].as_u64().unwrap()));
    assert_eq!(client.send(&push("7788")).await.told(), (400, "DeviceTokenNotForTopic".to_owned()));
    assert_eq!(client.send(&push("7788").with("apns-topic", "com.example.other")).await.status, 200);
    assert_eq!(
        client.send(&push("00").without("apns-push-type").with("apns-topic", "com.example.app.voip")).await.status,
        200
    );
    let answer = client.send(&push("00").with("apns-topic", "com.example.application")).await;
    assert_eq!(answer.told(), (400, "TopicDisallowed".to_owned()));
    let answer = client.send(&push("00")).await;
    assert_eq!(answer.status, 200);
    assert_ne!(answer.header("apns-unique-id"), answer.header("apns-id"));
    answer.header("apns-unique-id").parse::<ApnsId>().unwrap();

    assert!(simulator.requests().is_empty(), "not kept");
    assert_eq!(simulator.inspect(|log| log.accepted_for(&[0])), 2);
    assert_eq!(simulator.inspect(|log| log.accepted_for(&[0x77, 0x88])), 1);
    assert_eq!(simulator.counts().requests_refused, 5);
}

/// What is sent is what was meant: the push type is the one of the topic's suffix.
#[tokio::test]
async fn a_push_type_that_is_not_the_topics_is_refused() {
    let simulator = Simulator::start().await.unwrap();
    let mut client = Client::new(&simulator).await;
    let good = Request::push(&simulator, TOKEN);
    let with = |push_type: &str, topic: &str| good.clone().with("apns-push-type", push_type).with("apns-topic", topic);
    for push_type in PushType::known() {
        let word = push_type.as_str();
        let own = push_type.topic("com.example.app");
        assert_eq!(client.send(&with(word, &own)).await.status, 200, "{word}");
        if own == "com.example.app" {
            continue;
        }
        for wrong in [with(word, "com.example.app"), with("alert", &own), with("background", &own), with("alrt", &own)]
        {
            assert_eq!(client.send(&wrong).await.told(), (400, "InvalidPushType".to_owned()), "{word}");
        }
    }
    let mdm = "com.apple.mgmt.External.1";
    assert_eq!(client.send(&with("mdm", mdm)).await.status, 200);
    assert_eq!(client.send(&with("alert", mdm)).await.told(), (400, "InvalidPushType".to_owned()));
    assert_eq!(client.send(&with("alert", "pass.com.example.card")).await.status, 200);
}

/// A bundle id may really end like a suffix.
#[tokio::test]
async fn an_app_that_a_script_names_has_its_bundle_id_whatever_it_ends_in() {
    let script = Script::default().http2(Http2Script::default().topic("com.example.voip"));
    let simulator = Simulator::builder().script(script).start().await.unwrap();
    let mut client = Client::new(&simulator).await;
    let push = Request::push(&simulator, TOKEN).with("apns-topic", "com.example.voip");
    assert_eq!(client.send(&push).await.status, 200);
    let call = push.with("apns-topic", "com.example.voip.voip").with("apns-push-type", "voip");
    assert_eq!(client.send(&call).await.status, 200);
}
