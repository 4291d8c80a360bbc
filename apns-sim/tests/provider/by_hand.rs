//! What is decided by hand while the simulator runs: the next push to a device, and GOAWAY on all connections.

use std::time::Instant;

use apns_sim::{
    Armed, Http2Answer, Http2Condition, Http2GoAway, Http2Rule, Http2Step, Script, Simulator, TokenPattern,
};
use tokio::time::timeout;

use crate::client::{Client, Request, TOKEN};
use crate::raw::{GOAWAY, HEADERS, Raw};
use crate::support::PATIENCE;

const OTHER: &str = "bb00";

#[tokio::test]
async fn what_is_armed_decides_once_and_before_the_script() {
    let rule = Http2Rule::new(Http2Condition::default(), [Http2Answer::new(503, "ServiceUnavailable").into()]).times(1);
    let simulator = Simulator::builder().script(Script::default().http2_rule(rule)).start().await.unwrap();
    let busy = Http2Answer::new(429, "TooManyRequests").retry_after("3").timestamp_ms(5);
    let token: TokenPattern = TOKEN.parse().unwrap();
    simulator.arm(Armed::new(token.clone()).http2([Http2Step::WaitMs(40), busy.into()]));
    assert_eq!(simulator.armed()[0].token(), &token);

    let mut client = Client::certified(&simulator).await;
    let begun = Instant::now();
    let answer = client.send(&Request::bare(TOKEN)).await;
    assert_eq!(answer.told(), (429, "TooManyRequests".to_owned()));
    assert_eq!(answer.header("retry-after"), "3");
    assert!(begun.elapsed().as_millis() >= 40);
    assert_eq!(client.send(&Request::bare(TOKEN)).await.status, 503, "the script's rule was not used up");
    assert_eq!(client.send(&Request::bare(TOKEN)).await.status, 200);

    let requests = simulator.requests();
    let first = &requests[0];
    assert_eq!((first.armed, first.delay_ms, first.retry_after.as_deref()), (true, 40, Some("3")));
    assert_eq!((first.timestamp_ms, first.token_issued_at), (Some(5), None));
    assert!(!requests[1].armed && requests[1].delay_ms == 0 && requests[1].retry_after.is_none());
    assert!(simulator.armed().is_empty());
}

#[tokio::test]
async fn what_is_armed_for_one_device_leaves_others_alone_and_can_be_taken_back() {
    let simulator = Simulator::start().await.unwrap();
    let token: TokenPattern = TOKEN.parse().unwrap();
    simulator.arm(Armed::new(token.clone()).http2([Http2Answer::new(400, "BadDeviceToken").into()]));
    let mut client = Client::certified(&simulator).await;
    assert_eq!(client.send(&Request::bare(OTHER)).await.status, 200);
    assert!(simulator.disarm(&token) && !simulator.disarm(&token));
    assert_eq!(client.send(&Request::bare(TOKEN)).await.status, 200);
}

#[tokio::test]
async fn the_record_says_when_the_provider_token_was_signed() {
    let simulator = Simulator::start().await.unwrap();
    let mut client = Client::new(&simulator).await;
    assert_eq!(client.send(&Request::push(&simulator, TOKEN)).await.status, 200);
    let age = crate::client::now().as_secs() - simulator.requests()[0].token_issued_at.unwrap();
    assert!(age < 3600, "{age}");
}

#[tokio::test]
async fn a_goaway_reaches_every_open_connection_and_no_later_one() {
    let simulator = Simulator::start().await.unwrap();
    let (mut one, mut other) = (Raw::new(&simulator).await, Raw::new(&simulator).await);
    for raw in [&mut one, &mut other] {
        raw.send(1, &Request::bare(TOKEN)).await;
        assert_eq!(raw.until(HEADERS).await.stream, 1);
    }
    simulator.go_away(Http2GoAway::new("Shutdown"));
    for raw in [&mut one, &mut other] {
        let (_, code, debug) = {
            let frame = timeout(PATIENCE, raw.until(GOAWAY)).await.unwrap();
            let (last, code, debug) = frame.go_away();
            (last, code, debug.to_owned())
        };
        assert_eq!((code, debug.as_str()), (0, r#"{"reason":"Shutdown"}"#));
    }
    let mut later = Client::certified(&simulator).await;
    assert_eq!(later.send(&Request::bare(TOKEN)).await.status, 200);
    assert_eq!(later.send(&Request::bare(TOKEN)).await.status, 200);
}

#[tokio::test]
async fn all_channels_of_all_apps_are_told() {
    let simulator = Simulator::start().await.unwrap();
    let mut client = Client::certified(&simulator).await;
    let create = Request::empty("POST", "/1/apps/com.example.app/channels")
        .body(r#"{"message-storage-policy":1,"push-type":"LiveActivity"}"#);
    let made = client.send(&create).await;
    assert_eq!(made.status, 201);
    let all = simulator.all_channels();
    assert_eq!((all.len(), all[0].bundle_id.as_str(), all[0].storage.number()), (1, "com.example.app", 1));
    assert_eq!(all[0].id, made.header("apns-channel-id"));
}
