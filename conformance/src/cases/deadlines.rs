//! Deadlines that a caller gave, and callers that must not stop one another.

use std::net::TcpListener;
use std::pin::pin;
use std::time::Duration;

use apns_driver::{Client, Endpoint, Pending, Runtime};
use apns_proto::{Expiration, NotSentCause, Notification, Outcome, Payload, RetryPolicy, Topic, binary, http2};
use apns_sim::{Faults, Simulator, Stall};
use futures_util::{FutureExt, StreamExt, stream};

use super::common::*;

/// The time that callers give, and what they may have to wait beyond it.
const GIVEN: Duration = Duration::from_secs(1);
const GRACE: Duration = Duration::from_millis(500);

/// How many jobs are on their way. Without optimization, as many as that takes as long for.
const FEW: u32 = 5;
const MANY: u32 = if cfg!(debug_assertions) { 5_000 } else { 100_000 };

/// Requests to tokens that begin with this byte are not answered.
const SILENT: u8 = 0xcc;
const SILENCE: &str = r#"{"when": {"token": "cc*"}, "then": []}"#;

fn notification(first: u8, number: u32) -> Notification {
    let topic = Topic::new("com.example.app").expect("a topic");
    Notification::new(token(first, number), Payload::alert("Tea is ready")).with_topic(topic)
}

/// All outcomes are told at once, and what is measured is not how many tests share the machine.
static ONE_AT_A_TIME: futures_util::lock::Mutex<()> = futures_util::lock::Mutex::new(());

/// Closing and proving, with few jobs and with many, end in their time, and each job with them. At most so many may have
/// left.
async fn end_in_time<R: Runtime + Default>(start: impl Fn() -> Client<R>, most_in_doubt: usize) {
    let _alone = ONE_AT_A_TIME.lock().await;
    for jobs in [FEW, MANY] {
        for closes in [true, false] {
            let client = start();
            let pendings: Vec<Pending> =
                (0..jobs).map(|n| client.try_send(notification(SILENT, n)).expect("the queue is large")).collect();
            let ((), took) = timed(async {
                if closes {
                    let left = client.close(GIVEN).await;
                    assert_eq!(left.unsettled.len(), jobs as usize);
                } else {
                    client.prove(GIVEN).await;
                }
            })
            .await;
            assert!(took >= GIVEN && took < GIVEN + GRACE, "closes: {closes}, {jobs} jobs: {took:?}");
            let mut in_doubt = 0;
            for pending in pendings {
                match pending.now_or_never().map(|delivery| delivery.outcome) {
                    Some(Outcome::Unknown { .. }) => in_doubt += 1,
                    Some(Outcome::NotSent { .. }) => {}
                    other => panic!("closes: {closes}, {jobs} jobs: {other:?}"),
                }
            }
            assert!(in_doubt <= most_in_doubt, "closes: {closes}, {jobs} jobs: {in_doubt} in doubt");
            let ((), took) = timed(async { drop(client.close(Duration::ZERO).await) }).await;
            assert!(took < GRACE, "closing at once took {took:?}");
        }
    }
}

fn provider_client<R: Runtime + Default>(simulator: &Simulator, endpoint: Option<Endpoint>) -> Client<R> {
    let endpoint = endpoint.unwrap_or_else(|| provider(simulator));
    let client = Client::<R>::http2(endpoint, identity(simulator)).roots(roots(simulator));
    client.queue(2 * MANY as usize).start().expect("it starts")
}

fn gateway_client<R: Runtime + Default>(simulator: &Simulator, endpoint: Option<Endpoint>) -> Client<R> {
    let endpoint = endpoint.unwrap_or_else(|| gateway(simulator));
    let client = Client::<R>::binary(endpoint, identity(simulator)).roots(roots(simulator));
    client.queue(2 * MANY as usize).start().expect("it starts")
}

/// A server that is reached and says nothing, not even in the handshake.
fn mute() -> (TcpListener, Endpoint) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let address = listener.local_addr().expect("it is bound");
    (listener, Endpoint::new(address.ip().to_string(), address.port()))
}

pub async fn a_service_that_never_answers_holds_up_no_deadline<R: Runtime + Default>() {
    let simulator = playing(script(&format!(r#"{{"http2": {{"rules": [{SILENCE}]}}}}"#)));
    end_in_time(|| provider_client::<R>(&simulator, None), 1000).await;
}

pub async fn a_service_that_allows_one_stream_holds_up_no_deadline<R: Runtime + Default>() {
    let simulator = playing(script(&format!(r#"{{"http2": {{"stream_limit": 1, "rules": [{SILENCE}]}}}}"#)));
    end_in_time(|| provider_client::<R>(&simulator, None), 1).await;
}

pub async fn a_service_that_never_finishes_the_handshake_holds_up_no_deadline<R: Runtime + Default>() {
    let simulator = simulator();
    let (_listener, endpoint) = mute();
    end_in_time(|| provider_client::<R>(&simulator, Some(endpoint.clone())), 0).await;
}

pub async fn a_gateway_that_never_reads_holds_up_no_deadline<R: Runtime + Default>() {
    let simulator = with_gateway_faults(Faults::default().stall(Stall::after_read(0)));
    end_in_time(|| gateway_client::<R>(&simulator, None), MANY as usize).await;
}

pub async fn a_gateway_that_never_finishes_the_handshake_holds_up_no_deadline<R: Runtime + Default>() {
    let simulator = simulator();
    let (_listener, endpoint) = mute();
    end_in_time(|| gateway_client::<R>(&simulator, Some(endpoint.clone())), 0).await;
}

/// One run has ended but for one that the service wants to have again after 40 s.
pub async fn a_held_retry_of_one_caller_keeps_no_other_waiting<R: Runtime + Default>() {
    let json = r#"{"http2": {"rules": [{"when": {"token": "cc*", "arrival": 1}, "then": [{"answer_with": {"status": 429, "reason": "TooManyRequests", "retry_after": "40"}}]}]}}"#;
    let simulator = playing(script(json));
    let client = with_certificate::<R>(&simulator).retry(RetryPolicy::default().with_retries(3)).start().unwrap();
    let source = stream::iter([(0, notification(SILENT, 1)), (1, notification(0xaa, 2))]);
    let mut run = pin!(client.send_all(source));
    let (key, delivery) = run.next().await.unwrap();
    assert!(key == 1 && answered(&delivery.outcome), "{key}: {delivery:?}");
    assert!(run.next().now_or_never().is_none(), "one is held");
    let (outcome, took) = timed(client.clone().send(notification(0xaa, 3))).await;
    assert!(answered(&outcome) && took < Duration::from_secs(5), "{outcome:?} after {took:?}");
    let ((), took) = timed(client.prove(LIMIT)).await;
    assert!(took < Duration::from_secs(5), "what is held is no part of a proof: {took:?}");
    let _ = client.close(Duration::from_millis(1)).await;
}

/// One caller waits for a proof of what is not answered; the others go on over the same connection.
pub async fn a_proof_keeps_no_other_caller_waiting<R: Runtime + Default>() {
    let simulator = playing(script(&format!(r#"{{"http2": {{"rules": [{SILENCE}]}}}}"#)));
    let client = with_certificate::<R>(&simulator).start().unwrap();
    assert!(answered(&client.send(notification(0xaa, 1)).await));
    let silent = client.submit(notification(SILENT, 2)).await;
    let other = client.clone();
    let mut proof = pin!(client.prove(Duration::from_secs(3)));
    assert!(proof.as_mut().now_or_never().is_none());
    for number in 10..20 {
        assert!(answered(&other.send(notification(0xaa, number)).await), "{number}");
    }
    assert!(proof.as_mut().now_or_never().is_none(), "there is no answer yet");
    proof.await;
    assert!(matches!(silent.await.outcome, Outcome::Unknown { .. }));
    assert!(answered(&other.send(notification(0xaa, 30)).await), "the connection goes on");
    assert_eq!(simulator.counts().http2_connections, 1);
    let _ = client.close(LIMIT).await;
}

/// A caller takes the next outcome of a run only when it has submitted something else: the run waits for room as well, and
/// is not polled meanwhile.
pub async fn a_run_that_waits_for_room_and_is_not_polled_keeps_room_from_nobody<R: Runtime + Default>() {
    const COUNT: u32 = 300;
    let simulator = simulator();
    for queue in [1, 3] {
        let client = with_certificate::<R>(&simulator).queue(queue).start().unwrap();
        let mut run = pin!(client.send_all(stream::iter((0..COUNT).map(|n| (n, notification(0xaa, n))))));
        let mut others = Vec::new();
        while let Some((key, delivery)) = run.next().await {
            assert!(answered(&delivery.outcome), "{key}");
            others.push(client.submit(notification(0xab, key)).await);
        }
        for other in others {
            assert!(answered(&other.await.outcome));
        }
        let _ = client.close(LIMIT).await;
    }
}

/// The head of a request is taken, and no window is opened for its body.
pub async fn a_window_that_never_opens_ends_the_request_in_its_time<R: Runtime + Default>() {
    let simulator = playing(script(r#"{"http2": {"sessions": [{"settings": [[4, 0]]}]}}"#));
    let config = http2::Config::default().with_request_timeout(GIVEN);
    let client = with_certificate::<R>(&simulator).config(config).start().unwrap();
    let (outcome, took) = timed(client.send(notification(0xaa, 1))).await;
    assert_eq!(outcome, Outcome::NotSent { cause: NotSentCause::OutOfTime });
    assert!(took < GIVEN + GRACE, "{took:?}");
    let _ = client.close(Duration::ZERO).await;
}

pub async fn the_span_of_an_expiration_begins_at_the_hand_over<R: Runtime + Default>() {
    let simulator = playing(script(&format!(r#"{{"http2": {{"stream_limit": 1, "rules": [{SILENCE}]}}}}"#)));
    let config = http2::Config::default().with_request_timeout(Duration::from_secs(3));
    let client = with_certificate::<R>(&simulator).config(config).start().unwrap();
    // The first takes the only stream for three seconds; the others wait behind it for longer than they are good for.
    let first = client.submit(notification(SILENT, 1)).await;
    let short = |number| notification(0xaa, number).with_expiration(Expiration::After(GIVEN));
    let submitted = client.submit(short(2)).await;
    let tried = client.try_send(short(3)).unwrap();
    let mut run = pin!(client.send_all(stream::iter([((), short(4))])));
    let ((), in_run) = run.next().await.unwrap();
    assert!(matches!(first.await.outcome, Outcome::Unknown { .. }));
    for delivery in [submitted.await, tried.await, in_run] {
        assert_eq!((delivery.outcome, delivery.attempts), (Outcome::Expired, 0));
    }
    let _ = client.close(LIMIT).await;
}

/// Whatever the span, zero and the longest included: nothing panics, and what the caller gave is kept.
pub async fn any_span_can_be_configured<R: Runtime + Default>() {
    let simulator = simulator();
    for span in [Duration::ZERO, Duration::MAX] {
        let gateway = client::<R>(&simulator)
            .config(binary::Config::default().with_quiet_time(span).with_answer_timeout(span).with_write_timeout(span))
            .connect_timeout(span)
            .patience(span)
            .backoff(span, span)
            .start()
            .unwrap();
        let config = http2::Config::default()
            .with_request_timeout(span)
            .with_greeting_timeout(span)
            .with_write_timeout(span)
            .with_ping_when_silent(span)
            .with_ping_before_use(span)
            .with_ping_when_idle(span)
            .with_ping_timeout(span)
            .with_max_idle(span)
            .with_max_age(span);
        let provider = with_certificate::<R>(&simulator)
            .config(config)
            .connect_timeout(span)
            .patience(span)
            .backoff(span, span)
            .retry(RetryPolicy::default().with_retries(1).with_budget(span).with_longest_wait(span))
            .start()
            .unwrap();
        for client in [gateway, provider] {
            let pending = client.submit(notification(0xaa, 1)).await;
            client.prove(span).await;
            let outcome = pending.await.outcome;
            assert!(span.is_zero() || outcome.is_accepted(), "{outcome:?}");
            let ((), took) = timed(async { drop(client.close(span).await) }).await;
            assert!(took < LIMIT);
        }
    }
}
