//! The page, drawn from what a simulator noted.

use std::sync::Arc;

use apns_sim::{Entry, Simulator};
use bytes::Bytes;
use tokio::sync::watch;

use super::view::View;
use super::{clock, draw};
use crate::http::{Inner, Shared};
use crate::names::Names;
use crate::store::Store;
use crate::testing::{Push, TOKEN};

async fn shared() -> Shared {
    let simulator = Arc::new(Simulator::start().await.unwrap());
    let store = Arc::new(Store::new(100));
    let (hosts, certs, secret) = (Vec::new(), "certs".to_owned(), "secret".to_owned());
    let names = Names::from_json(r#"{"devices": {"00fc": "Test <b>phone</b>"}}"#).unwrap();
    let stop = watch::channel(false).1;
    Shared::new(Inner { store, simulator, names, hosts, certs, secret, stop })
}

fn html(shared: &Shared, query: &str) -> String {
    draw(shared, &View::read(query), clock::now()).into_string()
}

/// Text that would become part of a page, put wherever a client can put text.
const HOSTILE: &str = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&amp;";

#[tokio::test]
async fn nothing_that_a_client_sends_becomes_part_of_the_document() {
    let shared = shared().await;
    let hostile = serde_json::Value::from(HOSTILE);
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
        at: clock::now(),
    };
    shared.store().note(&failed);
    assert!(html(&shared, "").contains("unknown &lt;CA&gt;"));
    assert!(html(&shared, "connections=failed").contains("unknown &lt;CA&gt;"));
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
