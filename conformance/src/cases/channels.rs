//! Broadcast channels, and broadcasts to them.

use std::time::Duration;

use apns_driver::channels::{ChannelFailure, Channels, Connect, connect};
use apns_driver::{Credentials, Endpoint, Roots, Runtime};
use apns_proto::http2::{Broadcast, BundleId, ChannelId, ChannelStorage};
use apns_proto::{ApnsId, CloseReason, DialStep, Expiration, InvalidNotification, Payload, TlsCause, UnknownCause};
use apns_sim::{RequestKind, Simulator, TlsVersion};

use super::common::*;

fn app() -> BundleId {
    BundleId::new("com.example.app").expect("a bundle id")
}

fn reach<R: Runtime>(simulator: &Simulator, credentials: impl Into<Credentials>) -> Connect<R> {
    connect(provider(simulator), credentials).roots(roots(simulator))
}

fn channels<R: Runtime>(simulator: &Simulator) -> Channels<R> {
    reach(simulator, source(simulator)).channels(app()).expect("the settings are good")
}

fn update() -> Payload {
    Payload::from_json(r#"{"aps":{"event":"update","timestamp":1700000000,"content-state":{"goals":3}}}"#)
        .expect("JSON")
}

pub async fn a_channel_is_made_read_listed_and_deleted_with_either_credential<R: Runtime>() {
    let simulator = simulator();
    let both = [reach::<R>(&simulator, source(&simulator)), reach::<R>(&simulator, identity(&simulator))];
    for channels in both.map(|connect| connect.channels(app()).unwrap()) {
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

pub async fn many_requests_at_a_time_share_one_connection<R: Runtime>() {
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

pub async fn a_broadcast_reaches_its_channel<R: Runtime>() {
    let simulator = simulator();
    let channel = channels::<R>(&simulator).create(ChannelStorage::Latest).await.unwrap();
    let broadcasts = reach::<R>(&simulator, source(&simulator)).broadcasts().unwrap();
    let id: ApnsId = "27cfdc15-0ab4-4d6f-9cf1-24d5d3d1d0a1".parse().unwrap();
    let broadcast = Broadcast::new(app(), channel.clone(), update()).with_request_id(id);
    let published = broadcasts.send(broadcast.clone().with_expiration(Expiration::Immediately)).await.unwrap();
    assert_eq!(published.request_id, Some(id));
    let requests = simulator.requests();
    let sent = requests.iter().find(|one| one.kind == RequestKind::Broadcast).unwrap();
    assert_eq!(sent.channel_id.as_deref(), Some(channel.as_str()));

    let elsewhere = Broadcast::new(app(), ChannelId::new("bm9uZQ==").unwrap(), update());
    let ChannelFailure::Rejected(rejection) = broadcasts.send(elsewhere).await.unwrap_err() else {
        panic!("there is no such channel")
    };
    assert_eq!((rejection.status(), rejection.reason()), (400, "ChannelNotRegistered"));

    let large = Payload::from_json(format!(r#"{{"aps":{{"text":"{}"}}}}"#, "x".repeat(5200))).unwrap();
    let failure = broadcasts.send(Broadcast::new(app(), channel, large)).await.unwrap_err();
    assert!(matches!(failure, ChannelFailure::Invalid(InvalidNotification::PayloadTooLarge { .. })), "{failure:?}");
}

pub async fn a_refusal_is_told_as_it_came<R: Runtime>() {
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

pub async fn what_a_server_did_not_process_is_asked_again_once_on_another_connection<R: Runtime>() {
    let simulator = playing(script(
        r#"{"http2": {"rules": [
            {"when": {"kind": "channels", "arrival": 1}, "then": [{"go_away": {"reason": "Shutdown", "last_stream": "before"}}]}
        ]}}"#,
    ));
    let channel = channels::<R>(&simulator).create(ChannelStorage::Latest).await.unwrap();
    assert_eq!(simulator.channels("com.example.app"), [channel.as_str()], "made once");
    assert_eq!(simulator.counts().http2_connections, 2);
}

pub async fn b59_after_an_expired_provider_token_one_more_try_with_a_new_one<R: Runtime>() {
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
    assert!(matches!(refused, ChannelFailure::Rejected(_)), "{refused:?}");
    assert_eq!(simulator.requests().len(), 2, "no loop");
}

pub async fn b58_a_request_without_an_answer_is_unknown_after_its_time<R: Runtime>() {
    let simulator =
        playing(script(r#"{"http2": {"rules": [{"when": {"kind": "channels", "arrival": 1}, "then": []}]}}"#));
    let connect = reach::<R>(&simulator, source(&simulator)).request_timeout(Duration::from_millis(100));
    let channels = connect.channels(app()).unwrap();
    let silent = channels.create(ChannelStorage::Latest).await.unwrap_err();
    assert_eq!(silent, ChannelFailure::Unknown(UnknownCause::NoAnswer));
    assert!(silent.is_unknown());
    assert_eq!(channels.list().await.unwrap(), [], "the connection goes on");
    assert_eq!(simulator.counts().http2_connections, 1);
}

pub async fn b47_credentials_for_the_other_environment_are_named<R: Runtime>() {
    let simulator = playing(script(
        r#"{"http2": {"sessions": [{"steps": [{"go_away": {"reason": "BadCertificateEnvironment", "last_stream": {"at": 0}}}]}]}}"#,
    ));
    let channels = reach::<R>(&simulator, identity(&simulator)).channels(app()).unwrap();
    let failure = channels.list().await.unwrap_err();
    let ChannelFailure::Disconnected(reason @ CloseReason::GoAway { .. }) = &failure else { panic!("{failure:?}") };
    assert!(reason.is_fatal());
    assert!(failure.to_string().contains("BadCertificateEnvironment"), "{failure}");
}

pub async fn b53_what_the_service_may_have_seen_is_unknown_whatever_ends_the_connection<R: Runtime>() {
    let simulator = playing(script(
        r#"{"http2": {"rules": [
            {"when": {"kind": "channels"}, "then": [{"go_away": {"reason": "BadCertificateEnvironment"}}, "close"]}
        ]}}"#,
    ));
    let channels = reach::<R>(&simulator, identity(&simulator)).channels(app()).unwrap();
    let failure = channels.create(ChannelStorage::Latest).await.unwrap_err();
    assert!(matches!(failure, ChannelFailure::Unknown(UnknownCause::ConnectionLost(_))), "{failure:?}");
    assert!(failure.to_string().contains("BadCertificateEnvironment"), "{failure}");
    assert_eq!(simulator.requests().len(), 1, "not asked again");
}

pub async fn a_refused_client_certificate_is_known_by_either_version_of_tls<R: Runtime>() {
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let script = script(r#"{"http2": {"connections": [{"handshake": "refuse_expired"}]}}"#);
        let simulator = start(Simulator::builder().script(script).highest_tls(version));
        let channels = reach::<R>(&simulator, identity(&simulator)).channels(app()).unwrap();
        match channels.list().await.unwrap_err() {
            ChannelFailure::Dial(failure) => assert_eq!(failure.step, DialStep::Certificate),
            ChannelFailure::Disconnected(CloseReason::Refused(_)) => {}
            other => panic!("{version:?}: {other:?}"),
        }
    }
}

pub async fn no_connection_is_an_error_that_says_which_step_failed<R: Runtime>() {
    let (simulator, other) = (simulator(), simulator());
    let dial_failure = |failure| match failure {
        ChannelFailure::Dial(failure) => failure,
        other => panic!("{other:?}"),
    };

    let untrusted = reach::<R>(&simulator, source(&simulator)).roots(roots(&other)).channels(app()).unwrap();
    let failure = dial_failure(untrusted.list().await.unwrap_err());
    assert_eq!(failure.tls, Some(TlsCause::UntrustedServer), "{failure}");

    let gateway = connect::<R>(gateway(&simulator), identity(&simulator)).roots(roots(&simulator));
    let failure = dial_failure(gateway.channels(app()).unwrap().list().await.unwrap_err());
    assert_eq!(failure.step, DialStep::Protocol, "{failure}");

    let nowhere = connect::<R>(Endpoint::new("service.invalid", 443), source(&simulator)).roots(Roots::Platform);
    let nowhere = nowhere.patience(Duration::from_millis(200)).channels(app()).unwrap();
    assert_eq!(dial_failure(nowhere.list().await.unwrap_err()).step, DialStep::Resolve);

    let closed =
        reach::<R>(&simulator, source(&simulator)).patience(Duration::from_millis(200)).channels(app()).unwrap();
    simulator.stop().await;
    assert_eq!(dial_failure(closed.list().await.unwrap_err()).step, DialStep::Connect);
}

pub async fn a_server_that_never_finishes_the_handshake_is_left_in_time<R: Runtime>() {
    let simulator = playing(script(r#"{"http2": {"connections": [{"handshake": "never"}]}}"#));
    let connect = reach::<R>(&simulator, source(&simulator)).connect_timeout(Duration::from_millis(100));
    let channels = connect.patience(Duration::from_millis(300)).channels(app()).unwrap();
    let ChannelFailure::Dial(failure) = channels.list().await.unwrap_err() else { panic!("there is no connection") };
    assert_eq!(failure.step, DialStep::Tls);
}

pub async fn b122_the_connection_ends_with_the_last_handle<R: Runtime>() {
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
