//! What is found in payloads of every push type, and what is not.

#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

use apns_lint::{Finding, Lint, Severity};
use apns_proto::{Priority, PushType};
use proptest::prelude::*;

/// What is found, as `severity at: what`.
fn found(push_type: &str, payload: &str) -> Vec<String> {
    let push_type: PushType = push_type.parse().unwrap();
    lines(&Lint::new(payload.as_bytes()).with_push_type(push_type).findings())
}

fn lines(findings: &[Finding]) -> Vec<String> {
    let line = |finding: &Finding| format!("{} {}: {}", finding.severity.word(), finding.at, finding.what);
    findings.iter().map(line).collect()
}

/// Payloads in the forms that Apple's pages show.
const GOOD: &[(&str, &str)] = &[
    ("alert", r#"{"aps":{"alert":"Your delivery is here"}}"#),
    (
        "alert",
        r#"{"aps":{"alert":{"title":"Invitation","subtitle":"Five Card Draw","body":"Do you want to play?"},"category":"GAME"},"game":"12345678"}"#,
    ),
    ("alert", r#"{"aps":{"badge":9,"sound":"bell.aiff"},"messageID":"ABCDEFGHIJ"}"#),
    (
        "alert",
        r#"{"aps":{"alert":{"loc-key":"REQUEST","loc-args":["Shelly","Rick"],"title-loc-key":"T","title-loc-args":null}}}"#,
    ),
    ("alert", r#"{"aps":{"alert":"a","sound":{"critical":1,"name":"default","volume":0.5}}}"#),
    (
        "alert",
        r#"{"aps":{"alert":"a","interruption-level":"time-sensitive","relevance-score":0.25,"mutable-content":1}}"#,
    ),
    (
        "alert",
        r#"{"aps":{"alert":{"title":"Flight","body":"Boarding","action":"View"},"url-args":["boarding","A998"]}}"#,
    ),
    ("background", r#"{"aps":{"content-available":1},"acme1":"bar","acme2":42}"#),
    (
        "liveactivity",
        r#"{"aps":{"timestamp":1700000000,"event":"start","content-state":{"emoji":"x"},"attributes-type":"A","attributes":{},"alert":{"title":{"loc-key":"%@ is here","loc-args":["a"]},"body":"b","sound":"chime.aiff"},"input-push-token":1,"stale-date":1700003600}}"#,
    ),
    (
        "liveactivity",
        r#"{"aps":{"timestamp":1700000000,"event":"update","content-state":{"n":0.5},"relevance-score":75}}"#,
    ),
    (
        "liveactivity",
        r#"{"aps":{"timestamp":1700000000,"event":"end","dismissal-date":1700003600,"content-state":{}}}"#,
    ),
    ("liveactivity", r#"{"aps":{"timestamp":1700000000,"event":"end","dismissal-date":0}}"#),
    ("widgets", r#"{"aps":{"content-changed":true}}"#),
    ("controls", r#"{"aps":{"content-changed":true}}"#),
    ("accessory", r#"{"aps":{"encryptedData":"AA==","sessionIdentifier":"s","keyID":"AA==","messageIndex":"7"}}"#),
    ("mdm", r#"{"mdm":"5CA0D4C3-5CA0"}"#),
    ("fileprovider", r#"{"container-identifier":"NSFileProviderRootContainerItemIdentifier","domain":"d"}"#),
    ("voip", r#"{"aps":{},"caller":"a"}"#),
    ("voip", r#"{"caller":"a"}"#),
    ("pushtotalk", r#"{"activeSpeaker":"a"}"#),
    ("location", r#"{"aps":{}}"#),
    ("complication", r#"{"aps":{"content-available":1}}"#),
];

#[test]
fn what_apple_shows_is_clean() {
    for (push_type, payload) in GOOD {
        assert_eq!(found(push_type, payload), Vec::<String>::new(), "{push_type} {payload}");
    }
}

#[test]
fn what_a_device_drops_without_a_word_is_found() {
    for (push_type, payload, expected) in [
        (
            "alert",
            r#"{"aps":{"alert":"a","badge":"1"}}"#,
            "dropped aps.badge: it has to be a whole number of 0 or more, and is a text",
        ),
        (
            "alert",
            r#"{"aps":{"alert":"a","badge":-1}}"#,
            "dropped aps.badge: it has to be a whole number of 0 or more, and is another number",
        ),
        (
            "alert",
            r#"{"aps":{"alert":"a","content-available":true}}"#,
            "dropped aps.content-available: it has to be the number 0 or 1, and is true",
        ),
        (
            "alert",
            r#"{"aps":{"alert":"a","interruption-level":"high"}}"#,
            "dropped aps.interruption-level: it has to be one of passive, active, time-sensitive, critical, and is another text",
        ),
        (
            "alert",
            r#"{"aps":{"alert":"a","relevance-score":75}}"#,
            "dropped aps.relevance-score: it has to be a number from 0 to 1, and is another number",
        ),
        ("alert", r#"{"aps":{"alert":""}}"#, "dropped aps.alert: it is a text that says nothing"),
        (
            "alert",
            r#"{"aps":{"alert":{"title":"","body":""}}}"#,
            "dropped aps.alert: it is an object that says nothing",
        ),
        (
            "alert",
            r#"{"aps":{}}"#,
            "dropped aps: nothing in it shows, sounds or wakes: give `alert`, `badge` or `sound`",
        ),
        ("alert", "{}", "dropped aps: it is missing: a push of type alert needs it"),
        (
            "alert",
            r#"{"aps":{"alert":"a"},"badge":1}"#,
            "dropped badge: it stands beside `aps`, and the system looks for it in there",
        ),
        (
            "alert",
            r#"{"aps":{"alert":"a","mutableContent":1}}"#,
            "dropped aps.mutableContent: the system does not know this key and ignores it: `mutable-content` was probably meant",
        ),
        (
            "alert",
            r#"{"aps":{"alert":"a","order":17}}"#,
            "doubtful aps.order: the system does not know this key and ignores it: an app's own keys stand beside `aps`",
        ),
        (
            "alert",
            r#"{"aps":{"alert":{"title":"a","loc-args":["b"]}}}"#,
            "dropped aps.alert.loc-args: it means nothing without `loc-key`",
        ),
        (
            "alert",
            r#"{"aps":{"alert":{"loc-key":"a","loc-args":["b",1]}}}"#,
            "dropped aps.alert.loc-args: it has to be an array of texts, and is an array with something else in it",
        ),
        (
            "alert",
            r#"{"aps":{"sound":"a","mutable-content":1}}"#,
            "dropped aps.mutable-content: the extension runs only for a push that shows an alert",
        ),
        (
            "alert",
            r#"{"aps":{"alert":"a","sound":{"critical":1,"volume":2,"name":"n"}}}"#,
            "dropped aps.sound.volume: it has to be a number from 0 to 1, and is another number",
        ),
        (
            "alert",
            r#"{"aps":{"alert":"a","timestamp":1}}"#,
            "doubtful aps.timestamp: it means nothing in a push of type alert",
        ),
        (
            "alert",
            r#"{"aps":{"alert":"a","alert":"b"}}"#,
            "dropped aps.alert: it stands there twice, and which one counts is anybody's guess",
        ),
        (
            "background",
            r#"{"aps":{"content-available":1,"sound":""}}"#,
            "dropped aps.sound: a background push shows nothing and makes no sound: send it with the push type alert",
        ),
        (
            "background",
            r#"{"aps":{"alert":"a"}}"#,
            "dropped aps.content-available: it is missing: a push of type background needs it",
        ),
        (
            "liveactivity",
            r#"{"aps":{"timestamp":1700000000,"event":"start","content-state":{},"attributes-type":"A","attributes":{}}}"#,
            "dropped aps.alert: it is missing: without one the system starts nothing",
        ),
        (
            "liveactivity",
            r#"{"aps":{"timestamp":790000000,"event":"update","content-state":{}}}"#,
            "dropped aps.timestamp: it is years ago as seconds since 1970: it seems to be counted from 2001, as Swift's Date is",
        ),
        (
            "liveactivity",
            r#"{"aps":{"timestamp":1700000000000,"event":"update","content-state":{}}}"#,
            "dropped aps.timestamp: it is too large for seconds since 1970: these are milliseconds",
        ),
        (
            "liveactivity",
            r#"{"aps":{"timestamp":"1700000000","event":"update","content-state":{}}}"#,
            "dropped aps.timestamp: it has to be a number of seconds since 1970, and is a text",
        ),
        (
            "liveactivity",
            r#"{"aps":{"timestamp":1700000000,"event":"updated","content-state":{}}}"#,
            "dropped aps.event: it has to be one of update, and is another text",
        ),
        (
            "liveactivity",
            r#"{"aps":{"timestamp":1700000000,"event":"update","content-state":{"eta":{"at":1795961191}}}}"#,
            "doubtful aps.content-state.eta.at: if this is a date: the system counts those in here from 2001, and not from 1970",
        ),
        (
            "liveactivity",
            r#"{"aps":{"timestamp":1700000000,"event":"end","dismissal-date":1700086400}}"#,
            "doubtful aps.dismissal-date: the system takes it away after four hours all the same",
        ),
        (
            "widgets",
            r#"{"aps":{"content-changed":1}}"#,
            "dropped aps.content-changed: it has to be true, and is a number",
        ),
        (
            "accessory",
            r#"{"aps":{"encryptedData":"AA==","messageIndex":7}}"#,
            "dropped aps.messageIndex: it has to be a text of digits, and is a number",
        ),
        ("mdm", r#"{"mdm":"a","aps":{}}"#, "dropped aps: a push of type mdm has no other key than its own"),
        (
            "fileprovider",
            r#"{"domain":"d"}"#,
            "dropped container-identifier: it is missing: a push of type fileprovider needs it",
        ),
        ("alert", "", "refused : it is empty: the smallest payload is {} (PayloadEmpty)"),
        ("alert", "[]", "dropped : it has to be an object, and is an array"),
        ("alert", r#"{"aps":{"#, "dropped : it is not valid JSON at line 1, column 8"),
        (
            "alert",
            "\u{feff}{\"aps\":{\"alert\":\"a\"}}",
            "dropped : a byte order mark stands before the JSON, where none may be (RFC 8259)",
        ),
    ] {
        let found = found(push_type, payload);
        assert!(found.iter().any(|line| line == expected), "{payload}\nexpected {expected}\nfound {found:#?}");
    }
}

#[test]
fn the_notification_is_looked_at_where_it_is_known() {
    let alert = br#"{"aps":{"alert":"a"}}"#;
    let of = |lint: Lint<'_>| lines(&lint.findings());
    let voip = Lint::new(b"{}").with_topic("com.example.app.voip");
    assert_eq!(voip.push_type(), PushType::Voip);
    assert!(of(voip).is_empty());
    let wrong = Lint::new(b"{}").with_topic("com.example.app").with_push_type(PushType::Voip);
    assert_eq!(of(wrong), ["refused : the topic of a push of type voip has the suffix .voip"]);
    let wrong = Lint::new(alert).with_topic("com.example.app.voip").with_push_type(PushType::Alert);
    assert_eq!(of(wrong), ["refused : the topic of a push of type alert has no suffix"]);
    let pass = Lint::new(alert).with_topic("pass.com.example").with_push_type(PushType::Alert);
    assert!(of(pass).is_empty());
    let background = Lint::new(br#"{"aps":{"content-available":1}}"#).with_priority(Priority::Immediate);
    assert_eq!(background.push_type(), PushType::Background);
    assert_eq!(of(background), ["refused : priority 10 is not for background: it has to be 5"]);

    let large = format!(r#"{{"aps":{{}},"k":"{}"}}"#, "a".repeat(5000));
    let voip = Lint::new(large.as_bytes()).with_push_type(PushType::Voip);
    assert!(of(voip).is_empty());
    let found = of(Lint::new(large.as_bytes()).with_push_type(PushType::Alert));
    assert_eq!(found[0], "refused : it has 5017 bytes, 921 more than the limit of 4096 (PayloadTooLarge)");

    let start = GOOD.iter().find(|(_, payload)| payload.contains("start")).unwrap().1;
    let found = of(Lint::new(start.as_bytes()).as_broadcast());
    assert_eq!(found, ["refused aps.event: a broadcast cannot start a Live Activity"]);
}

#[test]
fn a_finding_names_keys_and_never_a_value() {
    let secret = "hunter2";
    for payload in [
        format!(
            r#"{{"aps":{{"alert":{{"title":"{secret}","body":["{secret}"]}},"badge":"{secret}","sound":["{secret}"]}}}}"#
        ),
        format!(r#"{{"aps":"{secret}"}}"#),
        format!(r#"["{secret}"]"#),
        format!(r#"{{"aps":{{"event":"{secret}","content-state":"{secret}","timestamp":"{secret}"}}}}"#),
        format!(r#"{{"aps":{{"alert":"{secret}"#),
    ] {
        for push_type in PushType::known() {
            let findings = Lint::new(payload.as_bytes()).with_push_type(push_type).findings();
            assert!(!format!("{findings:?}").contains(secret), "{payload}: {findings:?}");
        }
    }
}

#[test]
fn a_name_that_does_not_print_is_escaped_and_a_long_one_is_cut() {
    let payload = format!(r#"{{"aps":{{"alert":"a","\u001b[2J":1,"{}":1}}}}"#, "x".repeat(1000));
    let findings = Lint::new(payload.as_bytes()).with_push_type(PushType::Alert).findings();
    let at: Vec<&str> = findings.iter().map(|finding| finding.at.as_str()).collect();
    assert_eq!(at, [r"aps.\u{1b}[2J", &format!("aps.{}…", "x".repeat(64))]);
}

#[test]
fn a_key_that_is_wrong_in_earnest_has_no_doubt_beside_it() {
    let found = found("background", r#"{"aps":{"content-available":1,"sound":"a"}}"#);
    let words = "a background push shows nothing and makes no sound: send it with the push type alert";
    assert_eq!(found, [format!("dropped aps.sound: {words}")]);
}

#[test]
fn the_worst_comes_first() {
    let payload = format!(r#"{{"aps":{{"alert":"a","own":1,"badge":"1"}},"k":"{}"}}"#, "a".repeat(5000));
    let findings = Lint::new(payload.as_bytes()).with_push_type(PushType::Alert).findings();
    let severities: Vec<Severity> = findings.iter().map(|finding| finding.severity).collect();
    assert_eq!(severities, [Severity::Refused, Severity::Dropped, Severity::Doubtful]);
}

#[test]
fn a_schema_agrees_with_what_is_found() {
    for (push_type, payload) in GOOD {
        let push_type: PushType = push_type.parse().unwrap();
        let schema = apns_lint::schema(&push_type).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let good: serde_json::Value = serde_json::from_str(payload).unwrap();
        assert!(validator.is_valid(&good), "{push_type} {payload}");
    }
    for (push_type, payload) in [
        ("alert", r#"{"aps":{"alert":"a","badge":"1"}}"#),
        ("alert", r#"{"aps":{"alert":"a","mutableContent":1}}"#),
        ("alert", "{}"),
        ("background", r#"{"aps":{}}"#),
        (
            "liveactivity",
            r#"{"aps":{"timestamp":1,"event":"start","content-state":{},"attributes-type":"A","attributes":{}}}"#,
        ),
        ("liveactivity", r#"{"aps":{"timestamp":1,"event":"other","content-state":{}}}"#),
        ("widgets", r#"{"aps":{"content-changed":1}}"#),
        ("mdm", r#"{"mdm":"a","aps":{}}"#),
    ] {
        let schema = apns_lint::schema(&push_type.parse().unwrap()).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        assert!(!validator.is_valid(&serde_json::from_str(payload).unwrap()), "{push_type} {payload}");
        assert!(!found(push_type, payload).is_empty(), "{push_type} {payload}");
    }
}

#[test]
fn every_key_that_a_push_type_requires_is_in_its_table() {
    for push_type in PushType::known() {
        for key in push_type.required_keys() {
            let findings = Lint::new(b"{}").with_push_type(push_type.clone()).findings();
            let whole = key.split('.').next().unwrap();
            assert!(findings.iter().any(|finding| finding.at == whole), "{push_type} {key}: {findings:?}");
        }
    }
}

#[test]
fn the_schemas_in_the_documentation_are_those_of_the_table() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("schema");
    for push_type in PushType::known() {
        let schema = format!("{:#}\n", apns_lint::schema(&push_type).unwrap());
        let file = folder.join(format!("{push_type}.json"));
        let written = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(written == schema, "{push_type}: run `cargo run -p apns-lint --example schemas apns-lint/schema`");
    }
}

proptest! {
    /// Bytes, and JSON of the right words in the wrong places.
    #[test]
    fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0..13_usize) {
        let push_type = PushType::known().nth(kind);
        let mut lint = Lint::new(&bytes);
        if let Some(push_type) = push_type {
            lint = lint.with_push_type(push_type);
        }
        let _ = lint.findings();
    }

    #[test]
    fn nothing_panics_on_json(value in json(4), kind in 0..12_usize) {
        let payload = value.to_string();
        let push_type = PushType::known().nth(kind).unwrap();
        let _ = Lint::new(payload.as_bytes()).with_push_type(push_type).as_broadcast().findings();
    }
}

fn json(depth: u32) -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        prop::sample::select(vec!["start", "end", "", "a"]).prop_map(Into::into),
    ];
    let name = prop::sample::select(vec![
        "aps",
        "alert",
        "sound",
        "event",
        "content-state",
        "timestamp",
        "dismissal-date",
        "title",
        "loc-args",
        "x",
    ]);
    leaf.prop_recursive(depth, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::Array),
            prop::collection::vec((name.clone(), inner), 0..6).prop_map(|members| serde_json::Value::Object(
                members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            )),
        ]
    })
}
