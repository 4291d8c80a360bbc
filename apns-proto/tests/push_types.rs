//! What is sent is what was meant: the push type, and what goes with it.

#![cfg(feature = "http2")]
#![allow(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

use apns_proto::http2::{
    Authentication, CertificateTopics, PushTypeSource, RequestWarning, Requests, SentAs, TopicKind, host,
};
use apns_proto::{
    DeviceToken, InvalidNotification, Notification, Payload, PayloadLimit, Priority, PushType, Topic, WallTime,
};

const NOW: WallTime = WallTime::from_secs(1_700_000_000);

fn topic(text: &str) -> Topic {
    Topic::new(text).unwrap()
}

fn json(text: &str) -> Payload {
    Payload::from_json(text.to_owned()).unwrap()
}

fn notification(payload: Payload) -> Notification {
    Notification::new(DeviceToken::from_bytes([7; 32]).unwrap(), payload)
}

fn by_token() -> Requests {
    Requests::new(host::PRODUCTION, Authentication::Token)
}

fn by_certificate(topics: CertificateTopics) -> Requests {
    Requests::new(host::PRODUCTION, Authentication::Certificate).with_certificate_topics(topics)
}

/// An "Apple Push Services" certificate of an app.
fn universal() -> CertificateTopics {
    CertificateTopics::new(Some(topic("com.x")))
        .with_listed(topic("com.x"), TopicKind::App)
        .with_listed(topic("com.x.voip"), TopicKind::of_word("voip"))
        .with_listed(topic("com.x.complication"), TopicKind::of_word("complication"))
}

fn headers(requests: &mut Requests, notification: &Notification) -> (String, Option<String>, Option<String>) {
    let request = requests.device(notification, None, NOW).unwrap();
    let header = |name: &str| {
        let found = request.headers.iter().find(|header| header.name == name)?;
        Some(String::from_utf8(found.value.to_vec()).unwrap())
    };
    (header("apns-push-type").unwrap(), header("apns-topic"), header("apns-priority"))
}

/// Every type that has a suffix, with the suffix.
fn suffixes() -> Vec<(PushType, &'static str)> {
    let all = PushType::known().map(|known| (known.clone(), known.topic_suffix()));
    all.filter(|(_, suffix)| !suffix.is_empty()).collect()
}

#[test]
fn n1_the_push_type_follows_from_every_suffix_of_the_topic_and_wins_over_the_payload() {
    assert_eq!(suffixes().len(), 9);
    for (push_type, suffix) in suffixes() {
        let full = format!("com.x{suffix}");
        for payload in
            [Payload::alert("x"), Payload::background(), json("{}"), json(r#"{"aps":{"content-changed":true}}"#)]
        {
            let own = notification(payload.clone()).with_topic(topic(&full));
            let expected = (push_type.to_string(), Some(full.clone()), None);
            assert_eq!(headers(&mut by_token(), &own), expected, "on the notification");
            let default = notification(payload.clone());
            assert_eq!(headers(&mut by_token().with_topic(topic(&full)), &default), expected, "by default");
            if push_type != PushType::Location {
                let certificate = CertificateTopics::new(Some(topic(&full)));
                assert_eq!(headers(&mut by_certificate(certificate), &default), expected, "by the certificate");
            }
        }
    }
    for (prefix, push_type) in [("com.apple.mgmt.External.1", "mdm"), ("pass.com.x", "alert"), ("web.com.x", "alert")] {
        let sent = notification(json("{}")).with_topic(topic(prefix));
        assert_eq!(headers(&mut by_token(), &sent), (push_type.to_owned(), Some(prefix.to_owned()), None));
    }
}

#[test]
fn with_the_push_type_goes_its_limit() {
    let of_size = |size: usize| json(&format!(r#"{{"x":"{}"}}"#, "a".repeat(size - 8)));
    for (push_type, suffix) in suffixes() {
        let requests = by_token().with_topic(topic(&format!("com.x{suffix}")));
        let limit = if push_type == PushType::Voip { PayloadLimit::VOIP } else { PayloadLimit::HTTP2 }.bytes();
        assert_eq!(requests.check(&notification(of_size(limit))), Ok(()), "{push_type}");
        let error = InvalidNotification::PayloadTooLarge { size: limit + 1, limit };
        assert_eq!(requests.check(&notification(of_size(limit + 1))), Err(error), "{push_type}");
    }
}

#[test]
fn n1_a_certificate_for_one_type_of_an_app_sends_that_type_under_the_apps_bundle_id() {
    for (push_type, suffix) in suffixes().into_iter().filter(|(known, _)| *known != PushType::Location) {
        let full = format!("com.x{suffix}");
        let mut requests = by_certificate(CertificateTopics::new(Some(topic(&full))));
        let call = notification(Payload::alert("x")).with_topic(topic("com.x"));
        assert_eq!(headers(&mut requests, &call), (push_type.to_string(), Some(full.clone()), None));
        let changed = RequestWarning::CertificateTopic { given: topic("com.x"), sent: full.into(), push_type };
        assert!(requests.warnings(&call).contains(&changed), "what is changed is said");
    }
}

#[test]
fn an_explicit_type_wins_and_a_contradiction_is_said_with_both_named() {
    let types = || PushType::known().chain(["hologram".parse().unwrap()]);
    for declared in types() {
        for (found, suffix) in suffixes().into_iter().filter(|(found, _)| *found != declared) {
            let full = format!("com.x{suffix}");
            let sent = notification(json(r#"{"aps":{}}"#)).with_topic(topic(&full)).with_push_type(declared.clone());
            let (push_type, on_wire, _) = headers(&mut by_token(), &sent);
            assert_eq!(push_type, declared.as_str());
            assert_eq!(on_wire.unwrap(), declared.topic(&full));
            let expected =
                RequestWarning::OtherTopic { declared: declared.clone(), topic: topic(&full), found: found.clone() };
            let text = expected.to_string();
            assert!(
                text.contains(declared.as_str()) && text.contains(found.as_str()) && text.contains(&full),
                "{text}"
            );
            assert!(by_token().warnings(&sent).contains(&expected));
        }
    }
    let built = Payload::builder().alert("x").push_type(PushType::Alert).build().unwrap();
    let sent = notification(built).with_topic(topic("com.x.voip"));
    assert_eq!(by_token().sent_as(&sent).source, PushTypeSource::Explicit, "the builder was told");
}

#[test]
fn a_certificates_list_settles_what_a_topic_is_for() {
    // A bundle id that really ends like a suffix.
    let topics = CertificateTopics::new(Some(topic("com.x.voip")))
        .with_listed(topic("com.x.voip"), TopicKind::App)
        .with_listed(topic("com.x.voip.voip"), TopicKind::of_word("voip"));
    let mut requests = by_certificate(topics);
    let alert = notification(Payload::alert("x"));
    let expected = ("alert".to_owned(), Some("com.x.voip".to_owned()), None);
    assert_eq!(headers(&mut requests, &alert), expected);
    assert_eq!(headers(&mut requests, &alert.clone().with_push_type(PushType::Alert)), expected);
    assert_eq!(requests.warnings(&alert.clone().with_push_type(PushType::Alert)), []);
    let call = alert.clone().with_push_type(PushType::Voip);
    assert_eq!(headers(&mut requests, &call), ("voip".to_owned(), Some("com.x.voip.voip".to_owned()), None));
    let by_topic = alert.with_topic(topic("com.x.voip.voip"));
    assert_eq!(headers(&mut requests, &by_topic), ("voip".to_owned(), Some("com.x.voip.voip".to_owned()), None));
}

#[test]
fn what_the_service_is_certain_to_refuse_is_refused_here_with_both_named() {
    let requests = by_certificate(universal());
    let alert = notification(Payload::alert("x"));
    assert_eq!(requests.check(&alert), Ok(()));
    for (push_type, topic_text) in [(PushType::Voip, "com.x.voip"), (PushType::Complication, "com.x.complication")] {
        let sent = alert.clone().with_push_type(push_type.clone());
        assert_eq!(requests.sent_as(&sent).topic, Some(topic(topic_text)));
        assert_eq!(requests.check(&sent), Ok(()));
        let wrong = alert.clone().with_topic(topic(topic_text)).with_push_type(PushType::Alert);
        let error = requests.check(&wrong).unwrap_err();
        let expected = InvalidNotification::PushTypeNotForTopic {
            push_type: Box::new(PushType::Alert),
            topic: topic_text.into(),
            topic_type: Box::new(push_type.clone()),
        };
        assert_eq!(error, expected);
        assert!(error.to_string().contains("alert") && error.to_string().contains(push_type.as_str()), "{error}");
    }
    for other in ["com.y", "com.x.push-type.widgets"] {
        let error = requests.check(&alert.clone().with_topic(topic(other))).unwrap_err();
        let listed = "com.x, com.x.voip, com.x.complication".into();
        assert_eq!(error, InvalidNotification::TopicNotInCertificate { topic: other.into(), listed });
    }
    let location = alert.clone().with_topic(topic("com.x.location-query"));
    let error = InvalidNotification::NeedsProviderToken { push_type: PushType::Location };
    assert_eq!(by_certificate(CertificateTopics::default()).check(&location), Err(error));
    assert_eq!(by_token().check(&location), Ok(()));
    let without_list = by_certificate(CertificateTopics::new(Some(topic("com.x"))));
    assert_eq!(without_list.check(&alert.with_topic(topic("com.y"))), Ok(()), "it lists nothing");
}

#[test]
fn a_certificate_with_several_topics_names_the_one_that_is_meant() {
    let mut requests = by_certificate(universal());
    let alert = notification(Payload::alert("x"));
    assert_eq!(headers(&mut requests, &alert), ("alert".to_owned(), Some("com.x".to_owned()), None));
    let call = alert.with_push_type(PushType::Voip);
    assert_eq!(headers(&mut requests, &call), ("voip".to_owned(), Some("com.x.voip".to_owned()), None));
}

#[test]
fn n2_what_fits_widgets_and_controls_alike_is_not_sent_as_an_alert() {
    let reload = notification(json(r#"{"aps":{"content-changed":true}}"#));
    let requests = by_token().with_topic(topic("com.x"));
    let error = requests.check(&reload).unwrap_err();
    assert_eq!(error, InvalidNotification::PushTypeUndecided);
    assert!(error.to_string().contains("widgets") && error.to_string().contains("controls"), "{error}");
    for push_type in [PushType::Widgets, PushType::Controls] {
        let said = reload.clone().with_push_type(push_type.clone());
        let SentAs { topic: sent, .. } = requests.sent_as(&said);
        assert_eq!(sent.unwrap().as_str(), push_type.topic("com.x"));
        assert_eq!((requests.check(&said), requests.warnings(&said)), (Ok(()), vec![]));
        let by_topic = reload.clone().with_topic(topic(&push_type.topic("com.x")));
        assert_eq!(requests.sent_as(&by_topic).push_type, push_type);
        assert_eq!((requests.check(&by_topic), requests.warnings(&by_topic)), (Ok(()), vec![]));
    }
}

#[test]
fn n3_a_type_that_is_not_certain_is_said() {
    let mut requests = by_token().with_topic(topic("com.x"));
    let silent = notification(json(r#"{"aps":{"content-available":1,"category":"sync"}}"#));
    assert_eq!(headers(&mut requests, &silent).0, "background");
    assert_eq!(headers(&mut requests, &silent).2.as_deref(), Some("5"));
    let guessed = |sent| vec![RequestWarning::GuessedPushType { sent }];
    assert_eq!(requests.warnings(&silent), guessed(PushType::Background));
    let empty = notification(json("{}"));
    assert_eq!(headers(&mut requests, &empty).0, "alert");
    assert_eq!(requests.warnings(&empty), guessed(PushType::Alert));
    for certain in [Payload::alert("x"), Payload::background()] {
        assert_eq!(requests.warnings(&notification(certain)), []);
    }
    assert_eq!(requests.warnings(&empty.with_push_type(PushType::Alert)), []);
}

#[test]
fn a_priority_that_is_changed_is_said() {
    let mut requests = by_token().with_topic(topic("com.x"));
    for (asked, said) in [(Priority::Immediate, true), (Priority::NeverWake, true), (Priority::PowerSaving, false)] {
        let background = notification(Payload::background()).with_priority(asked);
        assert_eq!(headers(&mut requests, &background).2.as_deref(), Some("5"));
        let changed =
            RequestWarning::PriorityChanged { push_type: PushType::Background, asked: asked.number(), sent: 5 };
        assert_eq!(requests.warnings(&background), if said { vec![changed] } else { vec![] });
    }
}

#[test]
fn a_payload_that_lacks_what_its_type_needs_is_said() {
    for push_type in PushType::known().filter(|known| !known.required_keys().is_empty()) {
        let bare = notification(json(r#"{"own":1}"#)).with_topic(topic("com.x")).with_push_type(push_type.clone());
        let key = push_type.required_keys()[0];
        let expected = RequestWarning::MissingKey { push_type: push_type.clone(), key };
        assert!(by_token().warnings(&bare).contains(&expected), "{push_type}");
    }
    let mdm = notification(Payload::mdm("magic")).with_topic(topic("com.apple.mgmt.External.1"));
    assert_eq!(by_token().warnings(&mdm), []);
}
