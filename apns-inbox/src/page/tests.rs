//! The page, drawn from what a simulator noted.

use std::sync::Arc;

use apns_sim::{AuthenticatedBy, Entry, Simulator};
use bytes::Bytes;
use proptest::collection::{hash_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value};
use tokio::sync::watch;

use super::view::View;
use super::{clock, draw};
use crate::http::{Inner, Shared};
use crate::names::Names;
use crate::store::Store;
use crate::testing::{Push, TOKEN};

async fn shared() -> Shared {
    with_signing_key(None).await
}

async fn with_signing_key(signing_key: Option<String>) -> Shared {
    let simulator = Arc::new(Simulator::start().await.unwrap());
    let store = Arc::new(Store::new(100));
    let (hosts, certs, secret) = (Vec::new(), "certs".to_owned(), "secret".to_owned());
    let names = Names::from_json(r#"{"devices": {"00fc": "Test <b>phone</b>"}}"#).unwrap();
    let stop = watch::channel(false).1;
    let gone_away = parking_lot::Mutex::new(None);
    Shared::new(Inner { store, simulator, names, hosts, certs, signing_key, secret, stop, gone_away, file: None })
}

fn html(shared: &Shared, query: &str) -> String {
    draw(shared, &View::read(query), clock::now()).into_string()
}

/// A key that the simulator was given is not with its certificates.
#[tokio::test]
async fn commands_name_the_signing_key_where_it_is() {
    let made = shared().await;
    let with_certificates = format!("certs/AuthKey_{}.p8", made.simulator().key_id());
    for (shared, file) in
        [(made, &*with_certificates), (with_signing_key(Some("own/key.p8".into())).await, "own/key.p8")]
    {
        let first = html(&shared, "");
        assert!(first.contains(&format!("--p8 {file}")) && first.contains(&format!("key: '{file}'")), "{first}");
        let mut record = Push::new(r#"{"aps":{"alert":"x"}}"#).record(1);
        record.authenticated_by = AuthenticatedBy::Token { key_id: "KEY".into(), team_id: "TEAM".into() };
        shared.store().note(&Entry::Request(Arc::new(record)));
        let again = shared.again(&shared.store().push(1).unwrap());
        for command in [again.send.unwrap(), again.curl.unwrap()] {
            assert!(command.contains(&format!("--p8 {file} ")), "{command}");
        }
    }
}

/// Text that would become part of a page, put wherever a client can put text.
const HOSTILE: &str = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&amp;";

#[tokio::test]
async fn nothing_that_a_client_sends_becomes_part_of_the_document() {
    let shared = shared().await;
    let hostile = Value::from(HOSTILE);
    let payloads = [
        format!(
            r#"{{"aps":{{"alert":{{"title":{hostile},"subtitle":{hostile},"body":{hostile},"action":{hostile},
               "launch-image":{hostile},"summary-arg":{hostile}}},"sound":{hostile},"thread-id":{hostile},
               "category":{hostile},"target-content-id":{hostile},"filter-criteria":{hostile}}},{hostile}:{hostile}}}"#
        ),
        format!(r#"{{"aps":{{"alert":{{"loc-key":{hostile},"loc-args":[{hostile}]}}}}}}"#),
        format!(
            r#"{{"aps":{{"event":"start","timestamp":1700000000,"attributes-type":{hostile},"attributes":{{{hostile}:{hostile}}},
               "content-state":{{{hostile}:{hostile}}},"alert":{hostile},"input-push-channel":{hostile}}}}}"#
        ),
        HOSTILE.to_owned(),
    ];
    for (place, payload) in payloads.iter().enumerate() {
        let push_type = if place == 2 { "liveactivity" } else { "alert" };
        let mut push = Push::new(payload).header("x-odd", HOSTILE);
        push.push_type = Some(push_type);
        push.collapse_id = Some(HOSTILE.to_owned());
        push.topic = format!("com.example.{HOSTILE}");
        shared.store().note(&push.entry(place as u64 + 1));
        push.refused = Some((400, HOSTILE.to_owned()));
        shared.store().note(&push.entry(place as u64 + 11));
    }
    shared.store().name(&Bytes::from_static(&[1]), Some(HOSTILE.to_owned())).unwrap();
    let mut looked = 0;
    for query in
        ["", "view=list", "device=00fc", "device=01", "q=%3Cscript%3E", "app=%22%3E%3Cscript%3E", "connections=failed"]
    {
        for seq in 0..=8 {
            let shown = html(&shared, &format!("{query}&push={seq}"));
            let scripts = shown.matches("<script").count();
            assert_eq!(scripts, 1, "the page's own and no other, for {query} and push {seq}");
            assert!(!shown.contains("<img") && !shown.contains("<b>phone"), "{query} {seq}");
            for piece in shown.split("onerror=").skip(1) {
                assert!(piece.starts_with("alert(2)&gt;"), "only as text: {query} {seq}");
            }
            assert!(!shown.contains(" style=") && !shown.contains("<style"), "the policy allows no inline style");
            looked += 1;
        }
    }
    assert_eq!(looked, 63);
}

#[tokio::test]
async fn the_phone_of_the_only_device_is_shown_and_its_push_is_chosen() {
    let shared = shared().await;
    shared.store().note(&Push::new(r#"{"aps":{"alert":{"title":"Order 17","body":"It waits."},"badge":3}}"#).entry(1));
    let shown = html(&shared, "");
    for text in [
        "Test &lt;b&gt;phone&lt;/b&gt;",
        "Order 17",
        "It waits.",
        "data-badge=\"3\"",
        "none → 3",
        "200 accepted",
        "rules kept",
    ] {
        assert!(shown.contains(text), "{text}");
    }
    assert!(shown.contains("2 of") || shown.contains("bytes"), "sizes are there");
}

#[tokio::test]
async fn before_the_first_push_the_page_says_how_to_send_one() {
    let shared = shared().await;
    let shown = html(&shared, "");
    assert!(shown.contains("Nothing has been pushed yet") && shown.contains("apns send --host localhost"));
    let failed = Entry::HandshakeFailed {
        service: apns_sim::Service::Http2,
        connection: 1,
        peer: None,
        error: "unknown <CA>".to_owned(),
        should: Some("trust it"),
        at: clock::now(),
    };
    shared.store().note(&failed);
    assert!(html(&shared, "").contains("unknown &lt;CA&gt;"));
    assert!(html(&shared, "connections=failed").contains("unknown &lt;CA&gt;; trust it"));
}

#[tokio::test]
async fn a_list_is_turned_by_numbers_of_pushes() {
    let shared = shared().await;
    for number in 1..=120_u64 {
        let mut push = Push::new(&format!(r#"{{"aps":{{"alert":"push number {number}"}}}}"#));
        push.at += number * 1000;
        shared.store().note(&push.entry(number));
    }
    let shown = html(&shared, "view=list&before=61");
    assert!(
        shown.contains("push number 60<") && shown.contains("push number 21<") && !shown.contains("push number 61<")
    );
    assert!(shown.contains("60 – 21, 100 in all"), "the bound is 100, the first 20 made room");
    assert!(shown.contains("last 100 pushes kept, 20 before them dropped"));
    assert!(html(&shared, "view=list&after=60").contains("110 – 61, 100 in all"));
    assert!(html(&shared, "push=7").contains("Push 7 is not kept"));
    assert!(html(&shared, "q=nowhere").contains("No push fits"));
    assert!(html(&shared, &format!("device={TOKEN}&view=list")).contains("push number 120<"));
}

#[tokio::test]
async fn looking_at_a_push_marks_it_as_looked_at() {
    let shared = shared().await;
    shared.store().note(&Push::new(r#"{"aps":{"alert":"a"}}"#).entry(1));
    assert!(html(&shared, "").contains("1 not looked at"));
    html(&shared, "push=1");
    assert!(!html(&shared, "").contains("not looked at"));
}

/// Any value of JSON, with the keys that Apple knows wherever there are keys.
fn value() -> impl Strategy<Value = Value> {
    const KEYS: &[&str] = &[
        "aps",
        "alert",
        "title",
        "body",
        "loc-key",
        "loc-args",
        "badge",
        "sound",
        "critical",
        "volume",
        "name",
        "event",
        "timestamp",
        "content-state",
        "stale-date",
        "dismissal-date",
        "attributes",
        "attributes-type",
        "thread-id",
        "interruption-level",
        "relevance-score",
        "content-available",
        "mutable-content",
        "input-push-channel",
        "mdm",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        select(vec!["start", "update", "end", "critical", "passive", "1", ""]).prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            hash_map(select(KEYS), inner, 0..8).prop_map(|map| map
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect::<Map<_, _>>()
                .into()),
        ]
    })
}

#[test]
fn no_push_brings_a_page_down() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let shared = runtime.block_on(shared());
    let types: Vec<&'static str> =
        vec!["alert", "background", "liveactivity", "voip", "mdm", "fileprovider", "hologram", ""];
    let aps = value().prop_map(|aps| serde_json::json!({ "aps": aps }).to_string());
    let payload = prop_oneof![4 => aps, 1 => value().prop_map(|value| value.to_string()), 1 => ".{0,200}"];
    let pushes = vec((payload, select(types), any::<Option<u64>>(), ".{0,80}", any::<u64>()), 1..6);
    let mut runner = proptest::test_runner::TestRunner::default();
    let drawn = runner.run(&pushes, |pushes| {
        shared.store().clear();
        for (payload, push_type, expiration, text, at) in pushes {
            let mut push = Push::new(&payload).header("apns-priority", &text).header("apns-id", &text);
            (push.push_type, push.expiration, push.at) = (Some(push_type), expiration, at);
            push.collapse_id = Some(text.clone());
            push.topic = format!("com.example{text}");
            shared.store().note(&push.entry(1));
        }
        let newest = shared.store().counts().newest;
        for query in ["", "view=list", "q=a&answer=broken"] {
            let shown = html(&shared, &format!("{query}&push={newest}"));
            prop_assert!(shown.ends_with("</html>"));
            prop_assert_eq!(shown.matches("<script").count(), 1);
        }
        for push in shared.store().since(0) {
            prop_assert!(serde_json::to_string(&crate::api::PushLine::new(&push)).is_ok());
        }
        Ok(())
    });
    drawn.unwrap();
}
