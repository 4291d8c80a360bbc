//! What a certificate says about topics decides what is sent with it.

#![cfg(feature = "http2")]
#![expect(clippy::unwrap_used, reason = "the helpers are part of the tests")]

use apns_credentials::Identity;
use apns_proto::http2::{Authentication, Requests};
use apns_proto::{DeviceToken, Notification, Payload, Topic};

fn fixture(name: &str) -> Identity {
    let file = |part: &str| std::path::Path::new("tests/fixtures").join(format!("{name}.{part}.pem"));
    Identity::from_files(&file("cert"), Some(&file("key")), None).unwrap()
}

/// What is sent is what was meant: with the certificate alone, and with its app's bundle id as the topic.
#[test]
fn n1_a_certificate_tells_the_push_type_and_its_topic() {
    let sent = |identity: &Identity, topic: Option<&str>| {
        let requests = Requests::new("", Authentication::Certificate)
            .with_certificate_topics(identity.certificate().push_topics());
        let mut notification = Notification::new(DeviceToken::from_bytes([1]).unwrap(), Payload::alert("x"));
        if let Some(topic) = topic {
            notification = notification.with_topic(Topic::new(topic).unwrap());
        }
        let sent = requests.sent_as(&notification);
        requests.check(&notification).map(|()| (sent.push_type.to_string(), sent.topic.unwrap().to_string()))
    };
    let expect = |push_type: &str, topic: &str| Ok((push_type.to_owned(), topic.to_owned()));

    let universal = fixture("universal");
    assert_eq!(sent(&universal, None), expect("alert", "com.example.app"));
    for kind in ["voip", "complication"] {
        let topic = format!("com.example.app.{kind}");
        assert_eq!(sent(&universal, Some(&topic)), expect(kind, &topic));
    }
    assert!(sent(&universal, Some("com.example.app.push-type.widgets")).is_err());

    let voip = fixture("voip");
    for topic in [None, Some("com.example.calls"), Some("com.example.calls.voip")] {
        assert_eq!(sent(&voip, topic), expect("voip", "com.example.calls.voip"), "{topic:?}");
    }

    // The certificates of public cases, where they are at hand beside the project.
    let shared = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/inputs/topic"));
    let Ok(voip) = std::fs::read(shared.join("voip-all.pem")) else { return };
    let voip = Identity::from_bytes(&voip, None).unwrap();
    for topic in [None, Some("com.example.app"), Some("com.example.app.voip")] {
        assert_eq!(sent(&voip, topic), expect("voip", "com.example.app.voip"), "{topic:?}");
    }
    let mdm = Identity::from_bytes(&std::fs::read(shared.join("mdm-all.pem")).unwrap(), None).unwrap();
    let topic = "com.apple.mgmt.External.11111111-2222-4333-8444-555555555555";
    assert_eq!(sent(&mdm, None), expect("mdm", topic));
}
