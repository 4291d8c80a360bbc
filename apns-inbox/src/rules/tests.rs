//! Each rule is broken by something and kept by something, and what is good breaks none.

use std::collections::BTreeSet;
use std::sync::Arc;

use apns_proto::WallTime;
use apns_proto::binary::server::Verdict;
use apns_proto::binary::{DecodedNotification, Format, Frame, Limits, Status, encode};
use apns_sim::{AuthenticatedBy, Deviation, Record, RequestRecord};
use bytes::BytesMut;

use super::{Judgement, Severity};
use crate::push::{Push as Kept, Source};
use crate::testing::{Push, START, TOKEN};

fn kept(source: Source) -> Kept {
    Kept::new(1, source, None, Arc::from("com.example.app"))
}

fn of_record(record: RequestRecord) -> Kept {
    kept(Source::Request(Arc::new(record)))
}

fn judged(push: &Push) -> Judgement {
    super::judge(&of_record(push.record(1)))
}

fn rules(judgement: &Judgement, severity: Severity) -> Vec<&'static str> {
    judgement.broken.iter().filter(|finding| finding.kind == severity).map(|finding| finding.rule).collect()
}

const ALERT: &str = r#"{"aps":{"alert":{"title":"T","body":"B"},"badge":1,"sound":"default"}}"#;

fn broken() -> Vec<(&'static str, Severity, Push)> {
    use Severity::{Know, May, Refuse};
    let alert = |aps: &str| Push::new(&format!("{{\"aps\":{aps}}}"));
    let live = |aps: &str| Push::of_type("liveactivity", &format!("{{\"aps\":{aps}}}"));
    let background = || Push::of_type("background", r#"{"aps":{"content-available":1}}"#).header("apns-priority", "5");
    let long = "x".repeat(5000);
    vec![
        ("duplicate-headers", Refuse, Push::new(ALERT).header("apns-topic", "com.example.app")),
        ("push-type", May, Push::new(ALERT).untyped()),
        ("push-type", Refuse, Push { push_type: Some("alrt"), ..Push::new(ALERT) }),
        ("topic-suffix", Refuse, Push::new(ALERT).topic("com.example.app.voip")),
        ("topic-suffix", Refuse, Push { push_type: Some("voip"), ..Push::new(ALERT) }),
        ("priority", Refuse, Push::new(ALERT).header("apns-priority", "7")),
        ("background-priority", Refuse, Push::of_type("background", "{}").header("apns-priority", "10")),
        ("background-priority", May, Push::of_type("background", "{}")),
        ("expiration", Refuse, Push::new(ALERT).header("apns-expiration", "soon")),
        ("expiration", May, Push::new(ALERT).expires(START * 10)),
        ("expiration", Know, Push::new(ALERT).expires(1000)),
        ("collapse-id", Refuse, Push::new(ALERT).collapse(&"x".repeat(65))),
        ("apns-id", Refuse, Push::new(ALERT).header("apns-id", "7")),
        ("apns-id", Know, Push::new(ALERT).header("apns-id", "EABECA8D-6F2B-4C0F-9A4A-4E2B8A3B6C7D")),
        ("credential", Refuse, Push::of_type("location", "{}")),
        ("credential", May, live(r#"{"timestamp":1795961000,"event":"end"}"#)),
        ("payload", Refuse, Push::new("")),
        ("payload", Refuse, Push::new(&format!(r#"{{"aps":{{"alert":"{long}"}}}}"#))),
        ("payload", May, Push::new("[1]")),
        ("payload", May, Push::new("{")),
        ("payload", May, Push::new("\u{feff}{}")),
        ("payload", May, Push::new("{}")),
        ("payload", May, Push::new(r#"{"aps":1}"#)),
        ("payload", May, alert(r#"{"alert":"a","content_available":1}"#)),
        ("payload", Know, alert(r#"{"alert":"a","order":17}"#)),
        ("payload", May, Push::new(r#"{"aps":{"alert":"a"},"badge":1}"#)),
        ("payload", May, alert(r#"{"alert":"a","badge":"1"}"#)),
        ("entitlement", Know, alert(r#"{"alert":"a","interruption-level":"time-sensitive"}"#)),
        ("entitlement", Know, alert(r#"{"alert":"a","sound":{"critical":1,"name":"x"}}"#)),
        ("payload", May, Push { payload: ALERT.to_owned(), ..background() }),
        ("payload", May, Push::of_type("mdm", "{}").topic("com.apple.mgmt.External.1")),
        ("payload", May, live(r#"{"timestamp":1795961000,"event":"update"}"#)),
        ("payload", May, live(r#"{"timestamp":1795961000,"event":"start","content-state":{}}"#)),
        ("payload", May, live(r#"{"timestamp":817653800,"event":"end"}"#)),
        ("payload", May, live(r#"{"timestamp":1795961000000,"event":"end"}"#)),
        ("payload", Know, live(r#"{"timestamp":1795961000,"event":"end","dismissal-date":1795999999}"#)),
        ("payload", May, Push::of_type("mdm", r#"{"mdm":"x","aps":{}}"#).topic("com.apple.mgmt.External.1")),
        ("answer", Refuse, Push::new(ALERT).refused(410, "Unregistered")),
    ]
}

#[test]
fn each_rule_is_broken_by_what_it_forbids() {
    for (rule, severity, push) in broken() {
        let judgement = judged(&push);
        assert!(rules(&judgement, severity).contains(&rule), "{rule} {severity:?}: {judgement:?}");
    }
}

#[test]
fn every_rule_about_requests_is_among_those_that_are_tried() {
    let tried: BTreeSet<&str> = broken().iter().map(|(rule, ..)| *rule).collect();
    let elsewhere = ["path", "topic", "recipe", "token-age", "binary-size"];
    for rule in super::request::HTTP2.iter().chain(&super::payload::RULES) {
        assert!(tried.contains(rule.name) || elsewhere.contains(&rule.name), "{} is not tried", rule.name);
    }
}

#[test]
fn what_is_good_breaks_nothing() {
    let good = [
        Push::new(ALERT).header("apns-priority", "10").expires(START / 1000 + 60).collapse("order-17"),
        Push::of_type("background", r#"{"aps":{"content-available":1},"x":1}"#).header("apns-priority", "5"),
        Push::of_type("voip", r#"{"call":1}"#),
        Push::of_type("widgets", r#"{"aps":{"content-changed":true}}"#),
        Push::of_type("controls", r#"{"aps":{"content-changed":true}}"#),
        Push::of_type("complication", "{}"),
        Push::of_type("pushtotalk", r#"{"aps":{}}"#),
        Push::of_type("fileprovider", r#"{"container-identifier":"inbox/","domain":"d"}"#),
        Push::of_type("mdm", r#"{"mdm":"PushMagic"}"#).topic("com.apple.mgmt.External.1"),
        Push::new(r#"{"aps":{}}"#).topic("pass.com.example"),
    ];
    for push in good {
        let judgement = judged(&push);
        assert!(judgement.broken.is_empty(), "{:?}", judgement.broken);
        assert!(judgement.kept.len() >= 5, "{:?}", judgement.kept);
    }
}

#[test]
fn what_the_token_and_the_path_say_is_judged() {
    let mut record = Push::new(ALERT).record(1);
    record.authenticated_by = AuthenticatedBy::Token { key_id: "K".to_owned(), team_id: "T".to_owned() };
    record.token_issued_at = Some(START / 1000 - 3601);
    let old = super::judge(&of_record(record.clone()));
    assert_eq!(rules(&old, Severity::Refuse), ["token-age"]);
    record.token_issued_at = Some(START / 1000 + 3600);
    assert_eq!(rules(&super::judge(&of_record(record.clone())), Severity::Know), ["token-age"]);
    record.token_issued_at = None;
    record.deviations = vec![Deviation::DerSignature];
    let recipe = super::judge(&of_record(record.clone()));
    assert_eq!(rules(&recipe, Severity::Refuse), ["recipe"]);
    assert!(recipe.broken[0].title.contains("der_signature"), "{recipe:?}");
    record.deviations.clear();
    (record.token, record.headers, record.topic) = (None, Vec::new(), None);
    let nothing = super::judge(&of_record(record.clone()));
    assert!(rules(&nothing, Severity::Refuse).starts_with(&["path", "topic"]), "{nothing:?}");
    record.method = "GET".to_owned();
    assert!(super::judge(&of_record(record)).broken[0].title.contains("MethodNotAllowed"));
}

#[test]
fn an_answer_is_named_once_and_a_bad_day_by_hand_is_no_fault() {
    let push = Push::of_type("background", "{\"aps\":{\"content-available\":1}}").header("apns-priority", "10");
    let judgement = judged(&push.clone().refused(400, "BadPriority"));
    assert_eq!(rules(&judgement, Severity::Refuse), ["background-priority"]);
    let mut record = Push::new(ALERT).refused(429, "TooManyRequests").record(1);
    record.armed = true;
    let armed = super::judge(&of_record(record));
    assert!(!armed.is_broken());
    assert_eq!(rules(&armed, Severity::Know), ["armed"]);
}

#[test]
fn a_frame_is_judged_by_the_rules_of_its_protocol() {
    let token = apns_proto::internal::from_hex(TOKEN, |_| false).unwrap();
    let frame = Frame {
        format: Format::Items,
        identifier: 7,
        expiration: Some(1),
        priority: Some(10),
        token: &token,
        payload: br#"{"aps":{"alert":"a","badge":"7"}}"#,
    };
    let mut bytes = BytesMut::new();
    encode(&frame, &mut bytes).unwrap();
    let decoded = DecodedNotification::parse(&bytes, Limits::default()).unwrap();
    let at = WallTime::from_millis(START);
    let refused = Record::new(1, 1, &decoded, Verdict::refuse(Status::INVALID_TOKEN), false, at);
    let judgement = super::judge(&kept(Source::Frame(refused)));
    assert_eq!(rules(&judgement, Severity::Refuse), ["binary-protocol", "answer"]);
    assert_eq!(rules(&judgement, Severity::May), ["payload"]);
}
