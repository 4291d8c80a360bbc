//! From notifications to the exact fields of a request, and the answers of the channel API.

#![cfg(feature = "http2")]
#![allow(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

use std::time::Duration;

use apns_proto::http2::{
    Api, Authentication, Broadcast, BundleId, ChannelAnswer, ChannelError, ChannelId, ChannelRequest, ChannelStorage,
    Indexing, ProviderToken, Request, RequestWarning, Requests, Response, host,
};
use apns_proto::{
    ApnsId, CollapseId, DeviceToken, Expiration, InvalidNotification, Notification, Now, Payload, Priority, PushType,
    TextError, Topic, WallTime,
};

const NOW: WallTime = WallTime::from_secs(1_700_000_000);
const JWT: &str =
    "eyJhbGciOiJFUzI1NiIsImtpZCI6IkFCQzEyM0RFRkcifQ.eyJpc3MiOiJERUYxMjNHSElKIiwiaWF0IjoxNzAwMDAwMDAwfQ.c2ln";

fn topic(text: &str) -> Topic {
    Topic::new(text).unwrap()
}

fn notification(payload: Payload) -> Notification {
    Notification::new(DeviceToken::from_hex("00FC13AD").unwrap(), payload)
}

fn json(text: &str) -> Payload {
    Payload::from_json(text.to_owned()).unwrap()
}

fn provider_token() -> ProviderToken {
    #[expect(clippy::disallowed_methods, reason = "an Instant cannot be made in any other way")]
    let instant = std::time::Instant::now();
    ProviderToken::from_jwt(JWT, Now::new(instant, NOW)).unwrap()
}

fn with_certificate() -> Requests {
    Requests::new(host::PRODUCTION, Authentication::Certificate)
}

/// All fields as they go over the wire.
fn fields(request: &Request) -> Vec<(&'static str, String)> {
    request.fields().map(|field| (field.name, String::from_utf8(field.value.to_vec()).unwrap())).collect()
}

fn field(request: &Request, name: &str) -> Option<String> {
    let mut found = request.fields().filter(|field| field.name == name);
    let value = found.next().map(|field| String::from_utf8(field.value.to_vec()).unwrap());
    assert!(found.next().is_none(), "{name} stands there twice");
    value
}

fn device(notification: &Notification) -> Request {
    with_certificate().device(notification, None, NOW).unwrap()
}

#[test]
fn b65_all_fields_of_an_alert() {
    let alert = notification(Payload::alert("Tea is ready"))
        .with_topic(topic("com.example.app"))
        .with_priority(Priority::Immediate)
        .with_expiration(Expiration::After(Duration::from_secs(3600)))
        .with_collapse_id(CollapseId::new("tea").unwrap())
        .with_apns_id("EABECA8D-6F2B-4C0F-9A4A-4E2B8A3B6C7D".parse().unwrap());
    let mut requests = Requests::new(host::PRODUCTION, Authentication::Token);
    let request = requests.device(&alert, Some(&provider_token()), NOW).unwrap();
    let bearer = format!("bearer {JWT}");
    let expected = [
        (":method", "POST", Indexing::Incremental),
        (":scheme", "https", Indexing::Incremental),
        (":authority", "api.push.apple.com", Indexing::Incremental),
        (":path", "/3/device/00fc13ad", Indexing::Without),
        ("authorization", &*bearer, Indexing::Never),
        ("apns-push-type", "alert", Indexing::Incremental),
        ("apns-topic", "com.example.app", Indexing::Incremental),
        ("apns-priority", "10", Indexing::Incremental),
        ("apns-id", "eabeca8d-6f2b-4c0f-9a4a-4e2b8a3b6c7d", Indexing::Without),
        ("apns-expiration", "1700003600", Indexing::Without),
        ("apns-collapse-id", "tea", Indexing::Without),
    ];
    let found: Vec<_> = request
        .fields()
        .map(|field| (field.name, String::from_utf8(field.value.to_vec()).unwrap(), field.indexing))
        .collect();
    let expected: Vec<_> =
        expected.into_iter().map(|(name, value, indexing)| (name, value.to_owned(), indexing)).collect();
    assert_eq!(found, expected);
    assert_eq!(request.body, r#"{"aps":{"alert":"Tea is ready"}}"#);
}

/// Whatever the order in which things were set: the pseudo-header fields come first, and every name is in lower case.
/// On the wire the `h2` crate keeps them first by its types.
#[test]
fn b44_pseudo_header_fields_come_first_in_whatever_order_things_are_set() {
    let collapse_id = || CollapseId::new("tea").unwrap();
    let one = notification(Payload::alert("x")).with_collapse_id(collapse_id()).with_topic(topic("com.example.app"));
    let other = notification(Payload::alert("x")).with_topic(topic("com.example.app")).with_collapse_id(collapse_id());
    let names = |notification: &Notification| device(notification).fields().map(|field| field.name).collect::<Vec<_>>();
    assert_eq!(names(&one), names(&other));
    let names = names(&one);
    let (pseudo, others) = names.split_at(4);
    assert_eq!(pseudo, [":method", ":scheme", ":authority", ":path"]);
    assert!(others.iter().all(|name| !name.starts_with(':') && !name.contains(char::is_uppercase)), "{others:?}");
}

#[test]
fn what_is_not_set_is_not_sent() {
    let request = device(&notification(Payload::alert("x")));
    let expected = [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "api.push.apple.com"),
        (":path", "/3/device/00fc13ad"),
        ("apns-push-type", "alert"),
    ];
    assert_eq!(fields(&request), expected.map(|(name, value)| (name, value.to_owned())));
}

#[test]
fn the_push_type_is_always_there() {
    let push_type = |notification: Notification| field(&device(&notification), "apns-push-type").unwrap();
    assert_eq!(push_type(notification(json(r#"{"x":1}"#))), "alert", "nothing says otherwise");
    assert_eq!(push_type(notification(Payload::background())), "background");
    assert_eq!(push_type(notification(Payload::mdm("magic"))), "mdm");
    assert_eq!(push_type(notification(Payload::widgets())), "widgets");
    assert_eq!(push_type(notification(Payload::alert("x")).with_push_type(PushType::Voip)), "voip");
    assert_eq!(push_type(notification(Payload::alert("x")).with_push_type("hologram".parse().unwrap())), "hologram");
}

#[test]
fn b105_topics_get_their_suffix_once() {
    let sent = |topic_text: &str, push_type: PushType| {
        let voip = notification(Payload::alert("x")).with_topic(topic(topic_text)).with_push_type(push_type);
        field(&device(&voip), "apns-topic").unwrap()
    };
    assert_eq!(sent("com.x", PushType::Voip), "com.x.voip");
    assert_eq!(sent("com.x.voip", PushType::Voip), "com.x.voip");
    assert_eq!(sent("com.x", PushType::Alert), "com.x");
    assert_eq!(sent("com.x", PushType::LiveActivity), "com.x.push-type.liveactivity");
    assert_eq!(sent("com.apple.mgmt.External.1", PushType::Mdm), "com.apple.mgmt.External.1");
}

#[test]
fn b105_the_topic_is_kept_apart_by_push_type() {
    let mut requests = with_certificate().with_topic(topic("com.x"));
    let mut sent =
        |notification: &Notification| field(&requests.device(notification, None, NOW).unwrap(), "apns-topic").unwrap();
    let alert = notification(Payload::alert("x"));
    let voip = alert.clone().with_push_type(PushType::Voip);
    let own = alert.clone().with_topic(topic("com.y"));
    for _ in 0..2 {
        assert_eq!(sent(&alert), "com.x");
        assert_eq!(sent(&alert), "com.x");
        assert_eq!(sent(&voip), "com.x.voip");
        assert_eq!(sent(&own), "com.y");
    }
}

#[test]
fn b105_with_tokens_the_topic_is_required() {
    let mut requests = Requests::new(host::PRODUCTION, Authentication::Token);
    let alert = notification(Payload::alert("x"));
    let token = provider_token();
    assert_eq!(requests.check(&alert), Err(InvalidNotification::MissingTopic));
    assert_eq!(requests.device(&alert, Some(&token), NOW), Err(InvalidNotification::MissingTopic));
    assert_eq!(requests.check(&alert.clone().with_topic(topic("com.x"))), Ok(()));
    assert_eq!(requests.clone().with_topic(topic("com.x")).check(&alert), Ok(()));
    assert_eq!(with_certificate().check(&alert), Ok(()));
}

#[test]
fn b105_a_team_id_before_the_topic_is_noticed() {
    let warnings = |text: &str| with_certificate().with_topic(topic(text)).warnings(&notification(Payload::alert("x")));
    assert_eq!(warnings("ABCDE12345.com.x"), [RequestWarning::TeamPrefix { topic: topic("ABCDE12345.com.x") }]);
    for harmless in ["com.x", "abcde12345.com.x", "ABCDE1234.com.x", "ABCDE12345"] {
        assert_eq!(warnings(harmless), [], "{harmless}");
    }
}

#[test]
fn doubtful_combinations_are_noticed() {
    let requests = with_certificate();
    let background = notification(Payload::background()).with_priority(Priority::Immediate);
    let changed = RequestWarning::PriorityChanged { push_type: PushType::Background, asked: 10, sent: 5 };
    assert_eq!(requests.warnings(&background), [changed]);
    let mixed = notification(Payload::background()).with_push_type(PushType::Alert);
    let expected = RequestWarning::OtherPayload { declared: PushType::Alert, found: PushType::Background };
    assert_eq!(requests.warnings(&mixed), [expected]);
    let update = json(r#"{"aps":{"event":"update","timestamp":1,"content-state":{}}}"#);
    let expected = RequestWarning::NeedsProviderToken { push_type: PushType::LiveActivity };
    assert_eq!(requests.warnings(&notification(update.clone())), [expected]);
    let by_token = Requests::new(host::PRODUCTION, Authentication::Token);
    assert_eq!(by_token.warnings(&notification(update)), []);
    let call = notification(Payload::alert("x")).with_push_type(PushType::Voip);
    assert_eq!(requests.warnings(&call), [], "a call may look like an alert");
}

#[test]
fn background_pushes_have_priority_5() {
    let background = notification(Payload::background());
    assert_eq!(field(&device(&background), "apns-priority").as_deref(), Some("5"));
    for priority in [Priority::NeverWake, Priority::PowerSaving, Priority::Immediate] {
        let background = background.clone().with_priority(priority);
        assert_eq!(field(&device(&background), "apns-priority").as_deref(), Some("5"));
        let alert = notification(Payload::alert("x")).with_priority(priority);
        assert_eq!(field(&device(&alert), "apns-priority"), Some(priority.number().to_string()));
    }
}

#[test]
fn b98_the_expiration_has_three_forms() {
    let sent =
        |expiration| field(&device(&notification(Payload::alert("x")).with_expiration(expiration)), "apns-expiration");
    assert_eq!(sent(Expiration::Omitted), None);
    assert_eq!(sent(Expiration::Immediately).as_deref(), Some("0"));
    assert_eq!(sent(Expiration::At(WallTime::from_millis(1_800_000_000_999))).as_deref(), Some("1800000000"));
    assert_eq!(sent(Expiration::After(Duration::from_secs(60))).as_deref(), Some("1700000060"));
}

#[test]
fn b107_a_collapse_id_goes_out_as_it_is() {
    let sent = notification(Payload::alert("x")).with_collapse_id(CollapseId::new("é".repeat(32)).unwrap());
    assert_eq!(field(&device(&sent), "apns-collapse-id"), Some("é".repeat(32)));
}

#[test]
fn b92_only_digits_reach_the_path() {
    for length in [1, 32, 100] {
        let token = DeviceToken::from_bytes(vec![0xfe; length]).unwrap();
        let request = device(&Notification::new(token, Payload::alert("x")));
        assert_eq!(request.path, format!("/3/device/{}", "fe".repeat(length)));
    }
}

#[test]
fn b96_the_limit_goes_by_push_type() {
    let of_size = |size: usize| json(&format!(r#"{{"x":"{}"}}"#, "a".repeat(size - 8)));
    for (push_type, limit) in [(PushType::Alert, 4096), (PushType::LiveActivity, 4096), (PushType::Voip, 5120)] {
        let fits = notification(of_size(limit)).with_push_type(push_type.clone());
        assert_eq!(device(&fits).body.len(), limit);
        let large = notification(of_size(limit + 1)).with_push_type(push_type);
        let error = InvalidNotification::PayloadTooLarge { size: limit + 1, limit };
        assert_eq!(with_certificate().device(&large, None, NOW), Err(error));
    }
    let broadcast = |size| Broadcast::new(bundle_id(), channel_id(), of_size(size));
    assert!(with_certificate().broadcast(&broadcast(5120), None, NOW).is_ok());
    let error = InvalidNotification::PayloadTooLarge { size: 5121, limit: 5120 };
    assert_eq!(with_certificate().broadcast(&broadcast(5121), None, NOW), Err(error));
}

#[test]
fn s13_the_size_of_the_fields_is_known() {
    let request = device(&notification(Payload::alert("x")));
    // Name, value and 32 for each: method, scheme, authority, path, push type.
    let size = (7 + 4) + (7 + 5) + (10 + 18) + (5 + 18) + (14 + 5) + 5 * 32;
    assert_eq!(request.header_list_size(), size);
    assert_eq!(request.check_header_list(size), Ok(()));
    let error = InvalidNotification::HeadersTooLarge { size, limit: size - 1 };
    assert_eq!(request.check_header_list(size - 1), Err(error));
}

#[test]
fn values_that_come_back_are_shared() {
    let mut requests = Requests::new(host::PRODUCTION, Authentication::Token).with_topic(topic("com.x"));
    let (token, voip) = (provider_token(), notification(Payload::alert("x")).with_push_type(PushType::Voip));
    let mut pointers = || {
        let request = requests.device(&voip, Some(&token), NOW).unwrap();
        let mut pointers: Vec<_> = request.headers.iter().map(|header| header.value.as_ptr()).collect();
        pointers.extend([request.authority.as_ptr(), request.body.as_ptr()]);
        pointers
    };
    assert_eq!(pointers(), pointers());
}

#[test]
fn secrets_stay_out_of_debug_output() {
    let secret = notification(Payload::alert("confidential")).with_topic(topic("com.x"));
    let mut requests = Requests::new(host::PRODUCTION, Authentication::Token);
    let token = provider_token();
    let request = requests.device(&secret, Some(&token), NOW).unwrap();
    let printed = format!("{request:?} {token:?} {:?} {requests:?}", request.headers);
    for hidden in ["00fc13ad", "00FC13AD", "eyJ", "c2ln", "confidential"] {
        assert!(!printed.contains(hidden), "{printed}");
    }
    assert!(printed.contains("authorization"));
}

fn bundle_id() -> BundleId {
    BundleId::new("com.example.app").unwrap()
}

fn channel_id() -> ChannelId {
    ChannelId::new("dHN0LXNyY2gtY2hubA==").unwrap()
}

fn id() -> ApnsId {
    "288E8B4C-0A4E-4D6F-9B7A-0123456789AB".parse().unwrap()
}

#[test]
fn all_fields_of_a_broadcast() {
    let update = json(r#"{"aps":{"event":"update","timestamp":1,"content-state":{}}}"#);
    let broadcast = Broadcast::new(bundle_id(), channel_id(), update.clone())
        .with_expiration(Expiration::At(WallTime::from_secs(1_800_000_000)))
        .with_priority(Priority::PowerSaving)
        .with_request_id(id());
    let mut requests = Requests::new(host::SANDBOX, Authentication::Token);
    let request = requests.broadcast(&broadcast, Some(&provider_token()), NOW).unwrap();
    let bearer = format!("bearer {JWT}");
    let expected = [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "api.sandbox.push.apple.com"),
        (":path", "/4/broadcasts/apps/com.example.app"),
        ("authorization", &*bearer),
        ("apns-channel-id", "dHN0LXNyY2gtY2hubA=="),
        ("apns-push-type", "liveactivity"),
        ("apns-priority", "5"),
        ("apns-expiration", "1800000000"),
        ("apns-request-id", "288e8b4c-0a4e-4d6f-9b7a-0123456789ab"),
    ];
    assert_eq!(fields(&request), expected.map(|(name, value)| (name, value.to_owned())));
    assert_eq!(request.body, update.as_bytes());

    // Expiration and priority are required, so they are there even when nobody set them.
    let request = requests.broadcast(&Broadcast::new(bundle_id(), channel_id(), update), None, NOW).unwrap();
    assert_eq!(field(&request, "apns-expiration").as_deref(), Some("0"));
    assert_eq!(field(&request, "apns-priority").as_deref(), Some("10"));
    assert_eq!(field(&request, "apns-topic"), None);
}

#[test]
fn b103_only_the_making_of_a_channel_has_a_body() {
    let mut requests = Requests::new(host::CHANNELS_PRODUCTION, Authentication::Certificate);
    let mut request = |channel: ChannelRequest| requests.channel(&channel.of(bundle_id()).with_request_id(id()), None);
    let create = request(ChannelRequest::Create { storage: ChannelStorage::Nothing });
    let read = request(ChannelRequest::Read(channel_id()));
    let delete = request(ChannelRequest::Delete(channel_id()));
    let list = request(ChannelRequest::List);
    for (request, method, path, channel) in [
        (&create, "POST", "/1/apps/com.example.app/channels", None),
        (&read, "GET", "/1/apps/com.example.app/channels", Some("dHN0LXNyY2gtY2hubA==")),
        (&delete, "DELETE", "/1/apps/com.example.app/channels", Some("dHN0LXNyY2gtY2hubA==")),
        (&list, "GET", "/1/apps/com.example.app/all-channels", None),
    ] {
        assert_eq!(field(request, ":method").as_deref(), Some(method));
        assert_eq!(field(request, ":path").as_deref(), Some(path));
        assert_eq!(field(request, ":authority").as_deref(), Some("api-manage-broadcast.push.apple.com"));
        assert_eq!(field(request, "apns-channel-id").as_deref(), channel);
        assert_eq!(field(request, "apns-request-id").as_deref(), Some("288e8b4c-0a4e-4d6f-9b7a-0123456789ab"));
        assert_eq!(field(request, "apns-push-type"), None);
    }
    assert_eq!(create.body, r#"{"message-storage-policy":0,"push-type":"LiveActivity"}"#);
    for request in [read, delete, list] {
        assert!(request.body.is_empty(), "so the stream ends on HEADERS");
    }
}

fn answer(
    request: &ChannelRequest,
    status: u16,
    channel: Option<&str>,
    body: &str,
) -> Result<ChannelAnswer, ChannelError> {
    let headers = channel.iter().map(|id| ("apns-channel-id", id.as_bytes()));
    request.answer(Response::parse(Api::Broadcast, NOW, status, headers, body.to_owned().into()))
}

#[test]
fn answers_of_the_channel_api() {
    let create = ChannelRequest::Create { storage: ChannelStorage::Latest };
    let id = Some("dHN0LXNyY2gtY2hubA==");
    assert_eq!(answer(&create, 201, id, ""), Ok(ChannelAnswer::Created(channel_id())));
    assert_eq!(answer(&create, 201, None, ""), Err(ChannelError::NoChannelId));
    let wrong = TextError::Character { what: "the channel id", found: ' ', position: 1 };
    assert_eq!(answer(&create, 201, Some("a b"), ""), Err(ChannelError::ChannelId(wrong)));

    let read = ChannelRequest::Read(channel_id());
    let channel = |storage| Ok(ChannelAnswer::Channel { storage, push_type: "LiveActivity".to_owned() });
    let body = r#"{"message-storage-policy":1,"push-type":"LiveActivity"}"#;
    assert_eq!(answer(&read, 200, None, body), channel(ChannelStorage::Latest));
    assert_eq!(answer(&read, 200, None, r#"{"message-storage-policy":"0","new":1}"#), channel(ChannelStorage::Nothing));
    assert_eq!(answer(&read, 200, None, r#"{"message-storage-policy":2}"#), Err(ChannelError::Storage));
    assert_eq!(answer(&read, 200, None, "<html>"), Err(ChannelError::Body { size: 6 }));

    assert_eq!(answer(&ChannelRequest::Delete(channel_id()), 204, None, ""), Ok(ChannelAnswer::Deleted));

    let body = r#"{"channels":["dHN0LXNyY2gtY2hubA=="]}"#;
    assert_eq!(answer(&ChannelRequest::List, 200, None, body), Ok(ChannelAnswer::Channels(vec![channel_id()])));
    let body = format!(r#"{{"channels":[{}]}}"#, vec![r#""dHN0LXNyY2gtY2hubA==""#; 10_000].join(","));
    let Ok(ChannelAnswer::Channels(all)) = answer(&ChannelRequest::List, 200, None, &body) else { panic!("a list") };
    assert_eq!(all.len(), 10_000, "as many as an app may have");
    assert_eq!(answer(&ChannelRequest::List, 200, None, &body[..100]), Err(ChannelError::Body { size: 100 }));

    let body = r#"{"reason":"ChannelNotRegistered"}"#;
    let Err(ChannelError::Rejected(rejection)) = answer(&read, 400, None, body) else { panic!("a refusal") };
    assert_eq!((rejection.reason(), rejection.reaction().word()), ("ChannelNotRegistered", "fix_request"));
}

#[test]
fn b92_nothing_steers_the_path_of_a_broadcast() {
    let what = "the bundle id";
    let character = |found, position| TextError::Character { what, found, position };
    for (text, error) in [
        ("", TextError::Empty { what }),
        ("com.x/../y", character('/', 5)),
        ("com.x?y", character('?', 5)),
        ("com.x%2fy", character('%', 5)),
        ("com.x\r\n", character('\r', 5)),
        ("com..x", TextError::EmptyPart { what }),
        ("..", TextError::EmptyPart { what }),
        (".com", TextError::EmptyPart { what }),
        ("com.x.push-type.liveactivity", TextError::Suffix { what, suffix: ".push-type.liveactivity" }),
    ] {
        assert_eq!(BundleId::new(text), Err(error), "{text:?}");
    }
    assert_eq!(BundleId::new("a".repeat(256)), Err(TextError::TooLong { what, found: 256, limit: 255 }));
    let what = "the channel id";
    assert_eq!(ChannelId::new("a\r\nb"), Err(TextError::Character { what, found: '\r', position: 1 }));
    assert_eq!(ChannelId::new("é"), Err(TextError::Character { what, found: 'é', position: 0 }));
}
