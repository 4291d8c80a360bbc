//! Whom TLS trusts, whom it is, and what it says when it does not come about.

use apns_driver::tls::{TlsFailure, TlsSettings};
use apns_driver::{
    BinaryBuilder, BuildError, Client, ClientEvent, Endpoint, Http2Builder, Identity, IdentityError, Roots, Runtime,
};
use apns_proto::{CloseReason, DialFailure, DialStep, NotSentCause, Outcome, Payload, Proof, TlsCause};
use apns_sim::{
    ClientAuth, Faults, HandshakeFault, Http2Script, ProviderAuth, Script, ServerCertificate, Simulator, TlsVersion,
};
use p12_keystore::{KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};

use super::common::*;
use super::watched::{self, ONE_AT_A_TIME, Watched};

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../fixtures/", $name)).as_slice()
    };
}

/// A certificate with its key, of those that stand beside each other.
macro_rules! pair {
    ($name:literal) => {
        Identity::from_pem(
            include_bytes!(concat!("../../fixtures/", $name, ".cert.pem")),
            Some(include_bytes!(concat!("../../fixtures/", $name, ".key.pem"))),
            None,
        )
        .unwrap()
    };
}

/// How a client ended that sent one notification in vain.
#[derive(Debug)]
struct Ending {
    outcome: Outcome,
    events: Vec<ClientEvent>,
}

impl Ending {
    async fn of<R: Runtime + Default>(client: &Client<R>) -> Self {
        let mut events = client.events();
        let outcome = client.send(good(1, &Payload::alert("x"))).await;
        Self { outcome, events: told(&mut events) }
    }

    fn dial_failure(&self) -> Option<&DialFailure> {
        self.events.iter().find_map(|event| match event {
            ClientEvent::DialFailed { failure, .. } => Some(failure),
            _ => None,
        })
    }

    fn close_reason(&self) -> Option<&CloseReason> {
        self.events.iter().find_map(|event| match event {
            ClientEvent::Closed { report, .. } => Some(&report.reason),
            _ => None,
        })
    }

    /// What cannot succeed until a person acts is tried once and said, and not tried again before the back-off.
    #[track_caller]
    fn assert_stopped(&self, words: &[&str]) {
        let Outcome::NotSent { cause: cause @ (NotSentCause::Stopped(_) | NotSentCause::CredentialRefused(_)) } =
            &self.outcome
        else {
            panic!("{self:?}")
        };
        let why = cause.to_string();
        for word in words {
            assert!(why.contains(word), "no {word:?} in: {why}");
        }
        let attempts = self.events.iter().filter(|event| matches!(event, ClientEvent::Dialling { .. })).count();
        assert_eq!(attempts, 1, "what cannot succeed is not tried again");
    }

    #[track_caller]
    fn assert_cause(&self, cause: TlsCause, words: &[&str]) {
        let Some(failure) = self.dial_failure() else { panic!("{self:?}") };
        assert_eq!(failure.tls, Some(cause), "{failure}");
        assert_eq!((failure.step, failure.fatal), (cause.step(), true), "{failure}");
        self.assert_stopped(words);
    }
}

fn binary<R: Runtime + Default>(simulator: &Simulator) -> BinaryBuilder<R> {
    Client::binary(gateway(simulator), identity(simulator))
}

pub async fn the_authorities_of_the_system_do_not_vouch_for_the_simulator<R: Runtime + Default>() {
    let simulator = simulator();
    match binary::<R>(&simulator).start() {
        Ok(client) => Ending::of(&client).await.assert_cause(TlsCause::UntrustedServer, &["is not trusted"]),
        // A system without any certificate authorities.
        Err(error) => {
            assert!(matches!(&error, BuildError::Tls(TlsFailure { cause: TlsCause::Settings, .. })), "{error}");
        }
    }
    assert_eq!(simulator.counts().notifications, 0);
}

pub async fn an_authority_can_be_added_to_those_of_the_system<R: Runtime + Default>() {
    let simulator = simulator();
    let roots = Roots::platform_and_pem(simulator.ca_pem().as_bytes()).unwrap();
    let client = binary::<R>(&simulator).roots(roots).start().unwrap();
    let pending = client.submit(good(1, &Payload::alert("x"))).await;
    drop(client.close(LIMIT).await);
    assert_eq!(pending.await.outcome, Outcome::accepted(Proof::Confirmed));
}

pub async fn b85_an_untrusted_server_is_told_apart<R: Runtime + Default>() {
    // The other authority has the same name, so that only its key tells that it is another.
    let (simulator, other) = (simulator(), simulator());
    let client = binary::<R>(&simulator).roots(roots(&other)).start().unwrap();
    Ending::of(&client).await.assert_cause(TlsCause::UntrustedServer, &["127.0.0.1 is not trusted"]);
    let later = client.send(good(2, &Payload::alert("x"))).await;
    assert!(matches!(later, Outcome::NotSent { cause: NotSentCause::Stopped(_) }), "{later:?}");

    let client = with_token::<R>(&simulator).roots(roots(&other)).start().unwrap();
    Ending::of(&client).await.assert_cause(TlsCause::UntrustedServer, &["127.0.0.1 is not trusted"]);
}

async fn out_of_its_dates<R: Runtime + Default>(certificate: ServerCertificate) {
    let simulator = start(Simulator::builder().server_certificate(certificate));
    let words = ["the certificate of 127.0.0.1 is not valid now", "clock"];
    Ending::of(&client::<R>(&simulator).start().unwrap()).await.assert_cause(TlsCause::ServerExpired, &words);
    Ending::of(&with_token::<R>(&simulator).start().unwrap()).await.assert_cause(TlsCause::ServerExpired, &words);
    assert_eq!((simulator.counts().notifications, simulator.requests().len()), (0, 0));
}

pub async fn an_expired_server_is_told_apart<R: Runtime + Default>() {
    out_of_its_dates::<R>(ServerCertificate::Expired).await;
}

pub async fn a_server_that_is_not_valid_yet_is_told_apart<R: Runtime + Default>() {
    out_of_its_dates::<R>(ServerCertificate::NotYetValid).await;
}

pub async fn a_server_by_another_name_is_told_apart<R: Runtime + Default>() {
    // By an address that its certificate does not name, and by a name.
    let simulator = start(Simulator::builder().gateway_address("127.0.0.2:0".parse().unwrap()));
    let client = client::<R>(&simulator).start().unwrap();
    Ending::of(&client).await.assert_cause(TlsCause::WrongName, &["not for 127.0.0.2"]);

    let _alone = ONE_AT_A_TIME.lock().await;
    let simulator = super::common::simulator();
    watched::answer_with(vec![simulator.gateway_address()]);
    let endpoint = Endpoint::new("gateway.example.com", 2195);
    let client = Client::<Watched<R>>::binary(endpoint, identity(&simulator));
    let client = client.roots(roots(&simulator)).start().unwrap();
    Ending::of(&client).await.assert_cause(TlsCause::WrongName, &["not for gateway.example.com"]);
    drop(client);
    until(|| watched::tasks() == 0).await;
    watched::answer_with(Vec::new());
}

/// With TLS 1.2 inside the handshake; with TLS 1.3 after it, when the connection is open already.
#[track_caller]
fn assert_refused(ending: &Ending, tls: TlsVersion, cause: TlsCause, words: &str) {
    match tls {
        TlsVersion::V1_2 => {
            let failure = ending.dial_failure().unwrap_or_else(|| panic!("{tls:?}: {ending:?}"));
            assert_eq!((failure.tls, failure.step), (Some(cause), DialStep::Certificate), "{failure}");
        }
        _ => {
            let reason = ending.close_reason().unwrap_or_else(|| panic!("{tls:?}: {ending:?}"));
            assert!(matches!(reason, CloseReason::Refused(_)), "{reason:?}");
        }
    }
    ending.assert_stopped(&["credential", words, "client certificate"]);
}

pub async fn a_refused_client_certificate_is_told_apart<R: Runtime + Default>() {
    for (fault, words) in [
        (HandshakeFault::RefuseRevoked, "was revoked"),
        (HandshakeFault::RefuseExpired, "has expired"),
        (HandshakeFault::RefuseUnknownAuthority, "does not know the issuer"),
        (HandshakeFault::RefuseClient, "does not accept"),
    ] {
        for tls in [TlsVersion::V1_2, TlsVersion::V1_3] {
            let faults = Faults::default().handshake(fault);
            let script = Script::default().gateway_faults(faults.clone()).http2(Http2Script::default().faults(faults));
            let simulator = start(Simulator::builder().script(script).highest_tls(tls));
            let client = client::<R>(&simulator).start().unwrap();
            assert_refused(&Ending::of(&client).await, tls, TlsCause::ClientRefused, words);
            let client = with_certificate::<R>(&simulator).start().unwrap();
            assert_refused(&Ending::of(&client).await, tls, TlsCause::ClientRefused, words);
        }
    }
}

pub async fn a_missing_client_certificate_is_told_apart<R: Runtime + Default>() {
    for tls in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let simulator = start(Simulator::builder().provider_auth(ProviderAuth::Certificate).highest_tls(tls));
        let client = with_token::<R>(&simulator).start().unwrap();
        assert_refused(&Ending::of(&client).await, tls, TlsCause::ClientMissing, "demands a client certificate");
    }
}

pub async fn a_server_with_other_protocols_is_told_apart<R: Runtime + Default>() {
    let simulator = start(Simulator::builder().alpn(["http/1.1"]));
    let client = with_token::<R>(&simulator).start().unwrap();
    Ending::of(&client).await.assert_cause(TlsCause::NoCommonProtocol, &["does not speak the protocol"]);
}

/// A server that knows nothing of ALPN, here the binary gateway. Some TLS libraries do not tell what was chosen; then
/// it shows by what the server says in the place of HTTP/2.
pub async fn b115_a_server_without_h2_is_told_apart<R: Runtime + Default>() {
    let simulator = simulator();
    let client: Http2Builder<R> = Client::http2(gateway(&simulator), identity(&simulator));
    let client = client.roots(roots(&simulator)).start().unwrap();
    let ending = Ending::of(&client).await;
    match (ending.dial_failure(), ending.close_reason()) {
        (Some(failure), _) => assert_eq!(failure.tls, Some(TlsCause::NoCommonProtocol), "{failure}"),
        (None, Some(reason)) => assert!(matches!(reason, CloseReason::NotHttp2 { .. }), "{reason:?}"),
        (None, None) => panic!("{ending:?}"),
    }
    ending.assert_stopped(&["h2", "ALPN"]);
}

pub async fn an_identity_from_pkcs12_is_taken<R: Runtime + Default>() {
    let simulator = simulator();
    let pem = identity(&simulator);
    let key = PrivateKey::from_der(pem.private_key_der()).unwrap();
    let chain: Vec<_> = pem.chain().map(|one| p12_keystore::Certificate::from_der(one.der()).unwrap()).collect();
    let mut store = KeyStore::new();
    store.add_entry("provider", KeyStoreEntry::PrivateKeyChain(PrivateKeyChain::new("provider", key, chain)));
    let file = store.writer("correct horse").write().unwrap();

    let identity = Identity::from_pkcs12(&file, "correct horse").unwrap();
    assert_eq!(identity, pem);
    let client = Client::<R>::binary(gateway(&simulator), identity.clone()).roots(roots(&simulator)).start().unwrap();
    let pending = client.submit(good(1, &Payload::alert("x"))).await;
    drop(client.close(LIMIT).await);
    assert_eq!(pending.await.outcome, Outcome::accepted(Proof::Confirmed));
    let client = Client::<R>::http2(provider(&simulator), identity).roots(roots(&simulator)).start().unwrap();
    assert!(answered(&client.send(good(2, &Payload::alert("x"))).await));
}

/// Of the forms in which people keep them: the TLS library sees each as PKCS#8.
pub async fn every_kind_of_key_is_taken<R: Runtime + Default>() {
    let pairs = [
        ("RSA, PKCS#8", fixture!("universal.cert.pem"), fixture!("universal.key.pem")),
        ("RSA, PKCS#1", fixture!("universal.cert.pem"), fixture!("universal.pkcs1.pem")),
        ("RSA, encrypted", fixture!("universal.cert.pem"), fixture!("universal.encrypted.pem")),
        ("P-256, PKCS#8", fixture!("development.cert.pem"), fixture!("development.key.pem")),
        ("P-256, SEC 1", fixture!("development.cert.pem"), fixture!("development.sec1.pem")),
        ("Ed25519", fixture!("ed25519.cert.pem"), fixture!("ed25519.key.pem")),
    ];
    for (name, certificate, key) in pairs {
        let identity = Identity::from_pem(certificate, Some(key), Some("correct horse")).unwrap();
        let settings = TlsSettings { identity: Some(identity), ..TlsSettings::default() };
        assert!(R::default().connector(&settings).is_ok(), "{name}");
    }
    for (name, file) in [("new encryption", fixture!("modern.p12")), ("old encryption", fixture!("legacy.p12"))] {
        let identity = Identity::from_pkcs12(file, "correct horse").unwrap();
        let settings = TlsSettings { identity: Some(identity), ..TlsSettings::default() };
        assert!(R::default().connector(&settings).is_ok(), "{name}");
    }
}

pub async fn what_is_no_certificate_is_refused_before_the_first_connection<R: Runtime + Default>() {
    let simulator = simulator();
    let error = client::<R>(&simulator).roots(Roots::Only(vec![b"junk".to_vec()])).start().unwrap_err();
    let BuildError::Tls(TlsFailure { cause, message }) = &error else { panic!("{error:?}") };
    assert_eq!(*cause, TlsCause::Settings);
    assert!(message.contains("certificate authority"), "{message}");
}

pub async fn an_expired_client_certificate_is_refused_before_the_first_connection<R: Runtime + Default>() {
    let simulator = simulator();
    let expired = Identity::from_pem(fixture!("expired.cert.pem"), Some(fixture!("expired.key.pem")), None).unwrap();
    let error = Client::<R>::binary(gateway(&simulator), expired.clone()).start().unwrap_err();
    assert!(matches!(error, BuildError::Identity(IdentityError::Expired { .. })), "{error:?}");
    let error = Client::<R>::http2(provider(&simulator), expired).start().unwrap_err();
    assert!(matches!(error, BuildError::Identity(IdentityError::Expired { .. })), "{error:?}");
}

/// Sends over both protocols to a server that shows this certificate, by this name.
async fn deliver_to<R: Runtime + Default>(server: Identity, roots: Roots, host: &str) -> [Ending; 2] {
    let simulator = start(Simulator::builder().server_identity(server));
    let gateway = Endpoint::new(host, simulator.gateway_address().port());
    let client = Client::<R>::binary(gateway, identity(&simulator)).roots(roots.clone()).start().unwrap();
    let mut events = client.events();
    let pending = client.submit(good(1, &Payload::alert("x"))).await;
    drop(client.close(LIMIT).await);
    let binary = Ending { outcome: pending.await.outcome, events: told(&mut events) };
    let provider = Endpoint::new(host, simulator.http2_address().port());
    let client = Client::<R>::http2(provider, identity(&simulator)).roots(roots).start().unwrap();
    [binary, Ending::of(&client).await]
}

pub async fn n4_a_server_whose_certificate_was_given_is_trusted_as_it_stands<R: Runtime + Default>() {
    for (name, server) in [
        ("its own issuer, an authority without alternative names", pair!("server-authority")),
        ("its own issuer, no authority", pair!("server-self")),
        ("its own issuer, signed with SHA-1", pair!("server-sha1")),
        ("X.509 version 1", pair!("server-version-1")),
        ("issued by somebody who was not given", pair!("server-issued")),
        ("for another purpose", pair!("server-purpose")),
    ] {
        let given = vec![server.certificate().der().to_vec()];
        // Alone, and beside authorities that have nothing to do with it.
        let more = [given.clone(), vec![pair!("plain").certificate().der().to_vec()]].concat();
        for roots in [Roots::Only(given), Roots::Only(more)] {
            for ending in deliver_to::<R>(server.clone(), roots, "localhost").await {
                assert!(matches!(ending.outcome, Outcome::Accepted { .. }), "{name}: {ending:?}");
            }
        }
    }
}

pub async fn n4_a_server_whose_certificate_was_given_has_its_name_and_its_dates_checked<R: Runtime + Default>() {
    let only = |identity: &Identity| Roots::Only(vec![identity.certificate().der().to_vec()]);
    for server in [pair!("server-version-1"), pair!("server-authority"), pair!("server-purpose")] {
        let roots = only(&server);
        for ending in deliver_to::<R>(server, roots, "127.0.0.1").await {
            ending.assert_cause(TlsCause::WrongName, &["not for 127.0.0.1"]);
        }
    }
    let expired = pair!("server-expired");
    let roots = only(&expired);
    for ending in deliver_to::<R>(expired, roots, "localhost").await {
        ending.assert_cause(TlsCause::ServerExpired, &["is not valid now", "expired"]);
    }
    // Another of the same name.
    let roots = only(&pair!("server-self"));
    for ending in deliver_to::<R>(pair!("server-issued"), roots, "localhost").await {
        ending.assert_cause(TlsCause::UntrustedServer, &["is not trusted"]);
    }
}

pub async fn n5_the_own_certificate_is_for_the_server_to_judge<R: Runtime + Default>() {
    let any = || Simulator::builder().client_auth(ClientAuth::Any).provider_auth(ProviderAuth::AnyCertificate);
    for (name, own) in [
        ("X.509 version 1", pair!("version-1")),
        ("unknown critical extension, odd policies and uses", pair!("odd")),
        ("says nothing of pushing", pair!("plain")),
    ] {
        for tls in [TlsVersion::V1_2, TlsVersion::V1_3] {
            let simulator = start(any().highest_tls(tls));
            let client =
                Client::<R>::binary(gateway(&simulator), own.clone()).roots(roots(&simulator)).start().unwrap();
            let pending = client.submit(good(1, &Payload::alert("x"))).await;
            drop(client.close(LIMIT).await);
            let outcome = pending.await.outcome;
            assert_eq!(outcome, Outcome::accepted(Proof::Confirmed), "{name}, {tls:?}");
            let client =
                Client::<R>::http2(provider(&simulator), own.clone()).roots(roots(&simulator)).start().unwrap();
            let outcome = client.send(good(2, &Payload::alert("x"))).await;
            assert!(answered(&outcome), "{name}, {tls:?}: {outcome:?}");
        }
    }
}

pub async fn n6_a_key_that_tls_does_not_sign_with_is_refused_before_the_first_connection<R: Runtime + Default>() {
    let simulator = simulator();
    for (own, words) in [
        (pair!("short"), "RSA with 1024 bits"),
        (pair!("p521"), "ECDSA on P-521"),
        (pair!("exponent-3"), "a public exponent below 65537"),
    ] {
        for error in [
            Client::<R>::binary(gateway(&simulator), own.clone()).start().unwrap_err(),
            Client::<R>::http2(provider(&simulator), own.clone()).start().unwrap_err(),
        ] {
            let BuildError::Identity(error @ IdentityError::UnsupportedKey { .. }) = error else { panic!("{error:?}") };
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}

pub async fn n7_a_certificate_for_signing_code_is_refused_before_the_first_connection<R: Runtime + Default>() {
    let (simulator, own) = (simulator(), pair!("code-signing"));
    for error in [
        Client::<R>::binary(gateway(&simulator), own.clone()).start().unwrap_err(),
        Client::<R>::http2(provider(&simulator), own.clone()).start().unwrap_err(),
    ] {
        assert!(matches!(error, BuildError::Identity(IdentityError::CodeSigning { .. })), "{error:?}");
    }
}
