//! Who gets in, and how.

use std::time::Duration;

use apns_proto::binary::Status;
use rcgen::{CertificateParams, DnType, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::rustls::crypto::ring::cipher_suite::{
    TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{SupportedCipherSuite, SupportedProtocolVersion};

use crate::client::{Manners, Old, frame, payload};
use crate::support::{SOON, token, until};
use crate::world::{BRIDGE, Bridged};

/// A certificate that its owner made, with this topic, and its key.
pub(crate) fn certificate(topic: &str, change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
    let mut parameters = CertificateParams::default();
    // `userId`: where Apple's certificates have the topic.
    parameters.distinguished_name.push(DnType::CustomDnType(vec![0, 9, 2342, 19_200_300, 100, 1, 1]), topic);
    change(&mut parameters);
    let key = KeyPair::generate().unwrap();
    (parameters.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// Keys of RSA, which take their time to be made, are those that the driver's tests have.
fn fixture(name: &str) -> String {
    std::fs::read_to_string(format!("{}/../apns-credentials/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR")))
        .unwrap()
}

const V1_2: &[&SupportedProtocolVersion] = &[&TLS12];
const V1_3: &[&SupportedProtocolVersion] = &[&TLS13];

async fn is_let_in(bridged: &Bridged, manners: &Manners, number: u32) -> bool {
    // With TLS 1.3 a client learns only afterwards that its certificate is not wanted.
    let Ok(mut old) = Old::connect_as(bridged, bridged.gateway(), manners).await else { return false };
    old.try_write(&frame(1, &token(number), &payload(number))).await;
    old.try_write(&[9]).await;
    let (bytes, ended) = old.read_to_end().await;
    let let_in = bytes == [8, 128, 0, 0, 0, 0];
    assert!(let_in || (bytes.is_empty() && ended.is_err()), "{bytes:?} {ended:?}");
    assert_eq!(bridged.accepted().contains_key(token(number).as_bytes()), let_in);
    let_in
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_needs_an_app_and_nothing_else() {
    let bridged = Bridged::new().await;
    let (certificate_pem, key) = certificate("com.example.app", |_| {});
    assert!(is_let_in(&bridged, &Manners::with(&certificate_pem, &key), 1).await, "self-made");
    let (certificate_pem, key) = certificate("com.example.app", |parameters| {
        parameters.not_before = rcgen::date_time_ymd(2015, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2016, 1, 1);
    });
    assert!(is_let_in(&bridged, &Manners::with(&certificate_pem, &key), 2).await, "expired");
    let rsa = Manners::with(&fixture("universal.cert.pem"), &fixture("universal.key.pem"));
    assert!(is_let_in(&bridged, &rsa, 3).await, "RSA");
    for (number, name, what) in [(6, "version-1", "X.509 version 1"), (7, "odd", "an unknown critical extension")] {
        let (certificate_pem, key) = (fixture(&format!("{name}.cert.pem")), fixture(&format!("{name}.key.pem")));
        for (number, versions) in [(number, V1_2), (number + 10, V1_3)] {
            let manners = Manners { versions, ..Manners::with(&certificate_pem, &key) };
            assert!(is_let_in(&bridged, &manners, number).await, "n5: {what}");
        }
    }
    let (stranger, key) = certificate("com.example.other", |_| {});
    assert!(!is_let_in(&bridged, &Manners::with(&stranger, &key), 4).await);
    let nobody = Manners { identity: None, ..Manners::usual(&bridged) };
    assert!(!is_let_in(&bridged, &nobody, 5).await, "without a certificate");
    bridged.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fingerprint_lets_in_and_a_topic_alone_does_not_where_others_can_connect() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (known, known_key) = certificate("something.else", |_| {});
    std::fs::write(folder.path().join("known.pem"), &known).unwrap();
    let client = format!(
        "by_topic = false\n[[bridge.client]]\napp = \"shop\"\ncertificate = \"{}\"\n",
        folder.path().join("known.pem").to_str().unwrap()
    );
    let bridged = Bridged::with("", &client).await;
    assert!(is_let_in(&bridged, &Manners::with(&known, &known_key), 1).await);
    let (same_name, key) = certificate("something.else", |_| {});
    assert!(!is_let_in(&bridged, &Manners::with(&same_name, &key), 2).await, "another key");
    assert!(!is_let_in(&bridged, &Manners::usual(&bridged), 3).await, "a topic that anybody can write");
    bridged.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_1_2_and_1_3_are_spoken_and_p8_nothing_comes_that_an_old_client_would_read_in_vain() {
    let bridged = Bridged::new().await;
    for (number, versions) in [(1, V1_2), (2, V1_3)] {
        let manners = Manners { versions, ..Manners::usual(&bridged) };
        let mut old = Old::connect_as(&bridged, bridged.gateway(), &manners).await.unwrap();
        old.write(&frame(1, &token(number), &payload(number))).await;
        until("it arrives", || async { bridged.accepted().contains_key(token(number).as_bytes()) }).await;
        assert!(old.has_nothing_to_read(), "no session ticket, nothing");
        old.close().await;
    }
    bridged.daemon.stop().await;
}

/// What a client offers that only knows RSA keys.
const RSA_ONLY: &[SupportedCipherSuite] =
    &[TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384];

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_only_knows_rsa_needs_a_server_certificate_of_rsa_and_delivers() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    // PKCS#8 and PKCS#1 of the same key.
    let keys = [("PKCS#8", fixture("universal.key.pem")), ("PKCS#1", fixture("universal.pkcs1.pem"))];
    let server_key = KeyPair::from_pem(&keys[0].1).unwrap();
    let parameters = CertificateParams::new(["gateway.push.apple.com".to_owned()]).unwrap();
    let server = parameters.self_signed(&server_key).unwrap().pem();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("server.pem"), &server).unwrap();
    for (form, key) in keys {
        std::fs::write(path("server.key"), key).unwrap();
        let files = format!(
            "certificate = \"{}\"\nkey = \"{}\"\n",
            path("server.pem").to_str().unwrap(),
            path("server.key").to_str().unwrap()
        );
        let bridged = Bridged::with("", &files).await;
        for (number, suite) in (1..).zip(RSA_ONLY) {
            let manners = Manners {
                versions: V1_2,
                suites: std::slice::from_ref(suite),
                ..Manners::with(&fixture("universal.cert.pem"), &fixture("universal.key.pem"))
            };
            let mut old = Old::connect_with(&server, bridged.gateway(), &manners).await.unwrap();
            assert_eq!(old.suite(), Some(suite.suite()), "{form}");
            old.write(&frame(number, &token(number), &payload(number))).await;
            until("it arrives", || async { bridged.accepted().contains_key(token(number).as_bytes()) }).await;
            old.close().await;
        }
        bridged.daemon.stop().await;
    }
    let bridged = Bridged::new().await;
    let manners = Manners { versions: V1_2, suites: RSA_ONLY, ..Manners::usual(&bridged) };
    assert!(!is_let_in(&bridged, &manners, 1).await, "the bridge's own certificate is ECDSA");
    bridged.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_1_1_is_refused() {
    let bridged = Bridged::new().await;
    let mut stream = TcpStream::connect(bridged.gateway()).await.unwrap();
    // A ClientHello of version 1.1: a random, no session, one old suite, no compression, no extensions.
    let mut body = vec![3, 2];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0xc0, 0x13, 1, 0]);
    let mut hello = vec![22, 3, 1, 0, u8::try_from(body.len() + 4).unwrap(), 1, 0, 0];
    hello.push(u8::try_from(body.len()).unwrap());
    hello.extend(body);
    stream.write_all(&hello).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    // An alert, fatal, in place of a greeting.
    assert_eq!((answer[0], answer.len(), answer[5]), (21, 7, 2), "{answer:?}");
    bridged.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p9_a_handshake_that_never_ends_is_ended() {
    let bridged = Bridged::with("", "handshake_within = \"200ms\"\n").await;
    let mut stream = TcpStream::connect(bridged.gateway()).await.unwrap();
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await;
    assert!(ended.is_ok() && answer.is_empty());
    bridged.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_idle_one_makes_room_and_is_told_what_was_taken() {
    let bridged = Bridged::with("", "max_connections = 2\n").await;
    let mut first = bridged.connect().await;
    first.write(&frame(41, &token(1), &payload(1))).await;
    until("it arrives", || async { bridged.accepted().len() == 1 }).await;
    let mut second = bridged.connect().await;
    second.hears_nothing_for(Duration::from_millis(20)).await;
    let mut third = bridged.connect().await;
    let response = first.response().await;
    assert_eq!((response.status, response.identifier), (Status::SHUTDOWN, 41));
    third.write(&frame(1, &token(3), &payload(3))).await;
    second.write(&frame(1, &token(2), &payload(2))).await;
    until("both arrive", || async { bridged.accepted().len() == 3 }).await;
    bridged.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_make_room_for_each_other_and_nobody_who_is_in_leaves_for_them() {
    let bridged = Bridged::with("", "max_connections = 1\n").await;
    let mut old = bridged.connect().await;
    let mut strangers = Vec::new();
    // More than may shake hands at the same time.
    for _ in 0..200 {
        strangers.push(TcpStream::connect(bridged.gateway()).await.unwrap());
    }
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(SOON, strangers[0].read_to_end(&mut answer)).await;
    assert!(ended.is_ok() && answer.is_empty(), "the first of them had to leave");
    old.write(&frame(1, &token(1), &payload(1))).await;
    until("it arrives", || async { bridged.accepted().len() == 1 }).await;
    // Who comes while the first notification is still being noted as stored finds no idle connection, and comes again.
    loop {
        let mut other = bridged.connect().await;
        other.write(&frame(1, &token(2), &payload(2))).await;
        tokio::select! {
            _turned_away = other.read_to_end() => {}
            () = until("it arrives", async || bridged.accepted().len() == 2) => break,
        }
    }
    assert_eq!(old.response().await.identifier, 1, "for somebody who is known it does");
    bridged.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_ends_with_the_last_one_that_was_taken() {
    let bridged = Bridged::with("", "idle = \"300ms\"\n").await;
    let mut old = bridged.connect().await;
    old.write(&frame(5, &token(1), &payload(1))).await;
    let response = old.response().await;
    assert_eq!((response.status, response.identifier), (Status::SHUTDOWN, 5));
    // Where nothing was taken there is nothing to name; a client that writes just then must not see a proper end.
    let (bytes, ended) = bridged.connect().await.read_to_end().await;
    assert!(bytes.is_empty() && ended.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset));
    bridged.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_of_two_apps_lets_nobody_in_until_somebody_says_which() {
    let other = "[apps.other]\nenvironment = \"sandbox\"\nsigning_key = \"AuthKey_SIMULATOR0.p8\"\nkey_id = \"SIMULATOR0\"\n\
                 team_id = \"TEAMID0000\"\ntopic = \"com.example.app\"\nhost = \"localhost\"\nport = 1\nca = \"ca.pem\"\n";
    let bridged = Bridged::with(other, "").await;
    assert!(!is_let_in(&bridged, &Manners::usual(&bridged), 1).await);
    // Said in the file, and read again.
    let more = format!("{other}{BRIDGE}[[bridge.client]]\napp = \"shop\"\ncertificate = \"client.pem\"\n");
    bridged.daemon.reload(&bridged.world.config(&more)).await.unwrap();
    assert!(is_let_in(&bridged, &Manners::usual(&bridged), 2).await);
    bridged.daemon.stop().await;
}
