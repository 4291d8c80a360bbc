//! Broadcast channels, and broadcasts to them.

use std::time::Duration;

use apns_driver::channels::{ChannelFailure, Channels};
use apns_driver::{Client, ClientEvent, Credentials, Endpoint, Http2Builder, Roots, Runtime};
use apns_proto::http2::{Broadcast, BundleId, ChannelId, ChannelStorage};
use apns_proto::{
    ApnsId, CloseReason, CredentialRefusal, DialFailure, DialStep, Expiration, InvalidNotification, NotSentCause,
    Outcome, Payload, RetryPolicy, TlsCause, UnknownCause,
};
use apns_sim::{RequestKind, Simulator, TlsVersion};
use futures_util::StreamExt as _;

use super::common::*;

fn app() -> BundleId {
    BundleId::new("com.example.app").expect("a bundle id")
}

fn reach<R: Runtime + Default>(simulator: &Simulator, credentials: impl Into<Credentials>) -> Http2Builder<R> {
    Client::http2(provider(simulator), credentials).roots(roots(simulator))
}

fn channels<R: Runtime + Default>(simulator: &Simulator) -> Channels<R> {
    reach(simulator, source(simulator)).channels(app()).expect("the settings are good")
}

fn update() -> Payload {
    Payload::from_json(r#"{"aps":{"event":"update","timestamp":1700000000,"content-state":{"goals":3}}}"#)
        .expect("JSON")
}

pub async fn a_channel_is_made_read_listed_and_deleted_with_either_credential<R: Runtime + Default>() {
    let simulator = simulator();
    let both = [reach::<R>(&simulator, source(&simulator)), reach::<R>(&simulator, identity(&simulator))];
    for channels in both.map(|builder| builder.channels(app()).unwrap()) {
        let latest = channels.create(ChannelStorage::Latest).await.unwrap();
        let nothing = channels.create(ChannelStorage::Nothing).await.unwrap();
        assert_eq!(simulator.channels("com.example.app").len(), 2);
        assert_eq!(channels.read(&latest).await.unwrap().storage, ChannelStorage::Latest);
        assert_eq!(channels.read(&nothing).await.unwrap().storage, ChannelStorage::Nothing);
        let mut listed = channels.list().await.unwrap();
        let mut expected = vec![latest.clone(), nothing.clone()];
        listed.sort();
        expected.sort();
        assert_eq!(listed, expected);
        channels.delete(&latest).await.unwrap();
        assert_eq!(channels.list().await.unwrap(), std::slice::from_ref(&nothing));
        channels.delete(&nothing).await.unwrap();
        assert_eq!(channels.list().await.unwrap(), []);
    }
    assert_eq!(simulator.counts().http2_connections, 2, "each handle keeps its connection");
}

pub async fn many_requests_at_a_time_share_one_connection<R: Runtime + Default>() {
    let simulator = simulator();
    let channels = channels::<R>(&simulator);
    let made = futures_util::future::join_all((0..300).map(|_| channels.create(ChannelStorage::Nothing))).await;
    let mut made: Vec<ChannelId> = made.into_iter().collect::<Result<_, _>>().unwrap();
    made.sort();
    made.dedup();
    assert_eq!(made.len(), 300, "each its own");
    assert_eq!(channels.list().await.unwrap().len(), 300);
    assert_eq!(simulator.counts().http2_connections, 1);
}

pub async fn a_broadcast_reaches_its_channel<R: Runtime + Default>() {
    let simulator = simulator();
    let channel = channels::<R>(&simulator).create(ChannelStorage::Latest).await.unwrap();
    let broadcasts = reach::<R>(&simulator, source(&simulator)).broadcasts().unwrap();
    let id: ApnsId = "27cfdc15-0ab4-4d6f-9cf1-24d5d3d1d0a1".parse().unwrap();
    let broadcast = Broadcast::new(app(), channel.clone(), update()).with_request_id(id);
    let delivery = broadcasts.submit(broadcast.clone().with_expiration(Expiration::Immediately)).await.await;
    assert!(delivery.outcome.is_accepted());
    assert_eq!(delivery.answer, Some(id));
    let requests = simulator.requests();
    let sent = requests.iter().find(|one| one.kind == RequestKind::Broadcast).unwrap();
    assert_eq!(sent.channel_id.as_deref(), Some(channel.as_str()));

    let elsewhere = Broadcast::new(app(), ChannelId::new("bm9uZQ==").unwrap(), update());
    let Outcome::Rejected(rejection) = broadcasts.send(elsewhere).await else { panic!("there is no such channel") };
    assert_eq!((rejection.status(), rejection.reason()), (400, "ChannelNotRegistered"));

    let large = Payload::from_json(format!(r#"{{"aps":{{"text":"{}"}}}}"#, "x".repeat(5200))).unwrap();
    let outcome = broadcasts.send(Broadcast::new(app(), channel, large)).await;
    let Outcome::NotSent { cause: NotSentCause::Invalid(invalid) } = outcome else { panic!("{outcome:?}") };
    assert!(matches!(invalid, InvalidNotification::PayloadTooLarge { .. }), "{invalid:?}");
}

pub async fn broadcasts_have_retries_pools_and_runs_as_notifications_do<R: Runtime + Default>() {
    let simulator = playing(script(
        r#"{"http2": {"rules": [
            {"when": {"kind": "broadcast", "arrival": 2}, "then": [{"answer_with": {"status": 429, "reason": "TooManyRequests", "retry_after": "1"}}]}
        ]}}"#,
    ));
    let channel = channels::<R>(&simulator).create(ChannelStorage::Latest).await.unwrap();
    let broadcasts = reach::<R>(&simulator, source(&simulator))
        .connections(2)
        .retry(RetryPolicy::default().with_retries(1))
        .broadcasts()
        .unwrap();
    let all = (0..600).map(|number| (number, Broadcast::new(app(), channel.clone(), update())));
    let ended: Vec<_> = broadcasts.send_all(futures_util::stream::iter(all)).collect().await;
    assert_eq!(ended.len(), 600);
    assert!(ended.iter().all(|(_, delivery)| delivery.outcome.is_accepted()));
    assert_eq!(ended.iter().filter(|(_, delivery)| delivery.attempts == 2).count(), 1, "the refused one");
    assert!(broadcasts.close(LIMIT).await.unsettled.is_empty());
    let sent = simulator.requests().iter().filter(|one| one.kind == RequestKind::Broadcast).count();
    assert_eq!(sent, 601);
}

pub async fn a_refusal_is_told_as_it_came<R: Runtime + Default>() {
    let simulator = playing(script(r#"{"http2": {"max_channels": 1}}"#));
    let channels = channels::<R>(&simulator);
    let channel = channels.create(ChannelStorage::Latest).await.unwrap();
    let full = channels.create(ChannelStorage::Latest).await.unwrap_err();
    assert_eq!(full.to_string(), "the service refused: CannotCreateChannelConfig (400)");
    assert!(!full.is_unknown());
    channels.delete(&channel).await.unwrap();
    let gone = channels.delete(&channel).await.unwrap_err();
    assert_eq!(gone.to_string(), "the service refused: ChannelNotRegistered (400)");
}

pub async fn what_a_server_did_not_process_is_asked_again_once_on_another_connection<R: Runtime + Default>() {
    let simulator = playing(script(
        r#"{"http2": {"rules": [
            {"when": {"kind": "channels", "arrival": 1}, "then": [{"go_away": {"reason": "Shutdown", "last_stream": "before"}}]}
        ]}}"#,
    ));
    let channel = channels::<R>(&simulator).create(ChannelStorage::Latest).await.unwrap();
    assert_eq!(simulator.channels("com.example.app"), [channel.as_str()], "made once");
    assert_eq!(simulator.counts().http2_connections, 2);
}

pub async fn b59_after_an_expired_provider_token_one_more_try_with_a_new_one<R: Runtime + Default>() {
    let simulator = playing(script(
        r#"{"http2": {"rules": [
            {"when": {"kind": "channels", "arrival": 1}, "then": [{"answer_with": {"status": 403, "reason": "ExpiredProviderToken"}}]}
        ]}}"#,
    ));
    channels::<R>(&simulator).create(ChannelStorage::Latest).await.unwrap();
    assert_eq!(simulator.counts().http2_connections, 2, "never again on the connection of the refusal");

    let simulator = playing(script(
        r#"{"http2": {"rules": [
            {"when": {"kind": "channels"}, "then": [{"answer_with": {"status": 403, "reason": "ExpiredProviderToken"}}]}
        ]}}"#,
    ));
    let refused = channels::<R>(&simulator).create(ChannelStorage::Latest).await.unwrap_err();
    let ChannelFailure::NotSent(NotSentCause::CredentialRefused(refusal)) = refused else { panic!("{refused:?}") };
    assert_eq!(refusal.reason(), Some("ExpiredProviderToken"));
    assert_eq!(simulator.requests().len(), 2, "no loop");
}

pub async fn b58_a_request_without_an_answer_is_unknown_after_its_time<R: Runtime + Default>() {
    let simulator =
        playing(script(r#"{"http2": {"rules": [{"when": {"kind": "channels", "arrival": 1}, "then": []}]}}"#));
    let builder = reach::<R>(&simulator, source(&simulator)).request_timeout(Duration::from_millis(100));
    let channels = builder.channels(app()).unwrap();
    let silent = channels.create(ChannelStorage::Latest).await.unwrap_err();
    assert_eq!(silent, ChannelFailure::Unknown(UnknownCause::NoAnswer));
    assert!(silent.is_unknown());
    assert_eq!(channels.list().await.unwrap(), [], "the connection goes on");
    assert_eq!(simulator.counts().http2_connections, 1);
}

pub async fn b47_credentials_for_the_other_environment_are_named<R: Runtime + Default>() {
    let simulator = playing(script(
        r#"{"http2": {"sessions": [{"steps": [{"go_away": {"reason": "BadCertificateEnvironment", "last_stream": {"at": 0}}}]}]}}"#,
    ));
    let channels = reach::<R>(&simulator, identity(&simulator)).channels(app()).unwrap();
    let failure = channels.list().await.unwrap_err();
    let ChannelFailure::NotSent(NotSentCause::CredentialRefused(refusal)) = &failure else { panic!("{failure:?}") };
    assert!(matches!(**refusal, CredentialRefusal::GoAway(_)), "{refusal:?}");
    assert!(failure.to_string().contains("BadCertificateEnvironment"), "{failure}");
}

pub async fn b53_what_the_service_may_have_seen_is_unknown_whatever_ends_the_connection<R: Runtime + Default>() {
    let simulator = playing(script(
        r#"{"http2": {"rules": [
            {"when": {"kind": "channels"}, "then": [{"go_away": {"reason": "InternalServerError"}}, "close"]}
        ]}}"#,
    ));
    let channels = reach::<R>(&simulator, identity(&simulator)).channels(app()).unwrap();
    let failure = channels.create(ChannelStorage::Latest).await.unwrap_err();
    assert!(matches!(failure, ChannelFailure::Unknown(UnknownCause::ConnectionLost(_))), "{failure:?}");
    assert!(failure.to_string().contains("InternalServerError"), "{failure}");
    assert_eq!(simulator.requests().len(), 1, "not asked again");

    // Who is never let in was not listened to.
    let simulator = playing(script(
        r#"{"http2": {"rules": [
            {"when": {"kind": "channels"}, "then": [{"go_away": {"reason": "BadCertificateEnvironment"}}, "close"]}
        ]}}"#,
    ));
    let channels = reach::<R>(&simulator, identity(&simulator)).channels(app()).unwrap();
    let failure = channels.create(ChannelStorage::Latest).await.unwrap_err();
    let ChannelFailure::NotSent(NotSentCause::CredentialRefused(refusal)) = &failure else { panic!("{failure:?}") };
    assert_eq!(refusal.reason(), Some("BadCertificateEnvironment"));
    assert_eq!(simulator.requests().len(), 1, "not asked again before somebody mends it");
}

pub async fn a_refused_client_certificate_is_known_by_either_version_of_tls<R: Runtime + Default>() {
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let script = script(r#"{"http2": {"connections": [{"handshake": "refuse_expired"}]}}"#);
        let simulator = start(Simulator::builder().script(script).highest_tls(version));
        let channels = reach::<R>(&simulator, identity(&simulator)).channels(app()).unwrap();
        let failure = channels.list().await.unwrap_err();
        let ChannelFailure::NotSent(NotSentCause::CredentialRefused(refusal)) = failure else {
            panic!("{version:?}: {failure:?}")
        };
        assert!(matches!(*refusal, CredentialRefusal::Tls(_)), "{version:?}: {refusal:?}");
    }
}

/// Some TLS libraries do not tell what ALPN chose; then what the server sends in the place of HTTP/2 shows it.
async fn assert_without_http2<R: Runtime + Default>(channels: &Channels<R>) {
    let mut events = channels.events();
    let failure = channels.list().await.unwrap_err();
    assert!(matches!(failure, ChannelFailure::NotSent(_)), "{failure:?}");
    let told = std::iter::from_fn(|| events.try_next()).any(|event| match event {
        ClientEvent::DialFailed { failure, .. } => failure.step == DialStep::Protocol,
        ClientEvent::Closed { report, .. } => matches!(report.reason, CloseReason::NotHttp2 { .. }),
        _ => false,
    });
    assert!(told);
}

/// What the failure says, and how opening the last connection failed.
async fn without_connection<R: Runtime + Default>(channels: &Channels<R>) -> (NotSentCause, DialFailure) {
    let mut events = channels.events();
    let ChannelFailure::NotSent(cause) = channels.list().await.unwrap_err() else { panic!("there is no connection") };
    let failed = |event| match event {
        ClientEvent::DialFailed { failure, .. } => Some(failure),
        _ => None,
    };
    let failure = std::iter::from_fn(|| events.try_next()).filter_map(failed).last();
    (cause, failure.expect("it was told"))
}

pub async fn no_connection_is_an_error_that_says_which_step_failed<R: Runtime + Default>() {
    let (simulator, other) = (simulator(), simulator());
    let untrusted = reach::<R>(&simulator, source(&simulator)).roots(roots(&other)).channels(app()).unwrap();
    let (cause, failure) = without_connection(&untrusted).await;
    assert!(matches!(cause, NotSentCause::Stopped(_)), "{cause:?}");
    assert_eq!(failure.tls, Some(TlsCause::UntrustedServer), "{failure}");

    let gateway = Client::<R>::http2(gateway(&simulator), identity(&simulator)).roots(roots(&simulator));
    assert_without_http2(&gateway.channels(app()).unwrap()).await;

    let nowhere = Client::<R>::http2(Endpoint::new("service.invalid", 443), source(&simulator)).roots(Roots::Platform);
    let nowhere = nowhere.patience(Duration::from_millis(200)).channels(app()).unwrap();
    let (cause, failure) = without_connection(&nowhere).await;
    assert_eq!(failure.step, DialStep::Resolve);
    assert!(matches!(cause, NotSentCause::NoConnection(_)), "{cause:?}");

    let closed =
        reach::<R>(&simulator, source(&simulator)).patience(Duration::from_millis(200)).channels(app()).unwrap();
    simulator.stop().await;
    assert_eq!(without_connection(&closed).await.1.step, DialStep::Connect);
}

pub async fn a_server_that_never_finishes_the_handshake_is_left_in_time<R: Runtime + Default>() {
    let simulator = playing(script(r#"{"http2": {"connections": [{"handshake": "never"}]}}"#));
    let builder = reach::<R>(&simulator, source(&simulator)).connect_timeout(Duration::from_millis(100));
    let channels = builder.patience(Duration::from_millis(300)).channels(app()).unwrap();
    assert_eq!(without_connection(&channels).await.1.step, DialStep::Tls);
}

pub async fn b122_the_connection_ends_with_the_last_handle<R: Runtime + Default>() {
    let simulator = simulator();
    let channels = channels::<R>(&simulator);
    let second = channels.clone();
    assert_eq!(channels.list().await.unwrap(), []);
    drop(channels);
    assert_eq!(second.list().await.unwrap(), []);
    assert_eq!(simulator.counts().http2_connections, 1, "clones share it");
    drop(second);
    // It is closed in the background.
    until(|| simulator.counts().closed > 0).await;
}
