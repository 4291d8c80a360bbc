//! What only tokio and rustls can show.

use std::sync::Arc;
use std::time::Duration;

use apns_conformance::common;
use apns_sim::Simulator;
use apns_tokio::proto::{NotSentCause, Outcome, Payload};
use apns_tokio::rustls::crypto::{CryptoProvider, ring};
use apns_tokio::rustls::pki_types::CertificateDer;
use apns_tokio::rustls::pki_types::pem::PemObject;
use apns_tokio::rustls::{ClientConfig, RootCertStore};
use apns_tokio::{BuildError, Client, ClientEvent, Http2Builder, Roots, Tokio};

/// Attempts are counted by the clock of the test, which runs ahead as soon as everything waits.
#[tokio::test(start_paused = true)]
async fn b62_a_refused_connection_is_tried_at_most_five_times_in_ten_seconds() {
    let simulator = Simulator::start().await.unwrap();
    let (endpoint, identity) = (common::gateway(&simulator), common::identity(&simulator));
    simulator.stop().await;
    let client = Client::binary(endpoint, identity).patience(Duration::from_secs(10)).start().unwrap();
    let mut events = client.events();
    // B120: all of them wait for the same attempts.
    let payload = Payload::alert("x");
    let pendings: Vec<_> = (0..100).map(|n| client.try_send(common::good(n, &payload)).unwrap()).collect();
    for pending in pendings {
        let outcome = pending.await.outcome;
        assert!(matches!(outcome, Outcome::NotSent { cause: NotSentCause::NoConnection(_) }), "{outcome:?}");
    }
    let attempts =
        std::iter::from_fn(|| events.try_next()).filter(|event| matches!(event, ClientEvent::Dialling { .. })).count();
    assert!((2..=5).contains(&attempts), "{attempts} attempts in ten seconds");
}

/// rustls shows whom it does not trust.
#[tokio::test]
async fn b85_an_untrusted_server_is_named_by_its_issuer() {
    let (simulator, other) = (Simulator::start().await.unwrap(), Simulator::start().await.unwrap());
    let roots = Roots::only_pem(other.ca_pem().as_bytes()).unwrap();
    let client =
        Client::binary(common::gateway(&simulator), common::identity(&simulator)).roots(roots).start().unwrap();
    let outcome = client.send(common::good(1, &Payload::alert("x"))).await;
    let Outcome::NotSent { cause: NotSentCause::Stopped(why) } = outcome else { panic!("{outcome:?}") };
    assert!(why.contains("is not trusted") && why.contains("CN=Pretend Push Certification Authority"), "{why}");
}

/// Only what a provider offers is used: one suite is enough, and none is an error before anything is sent.
#[tokio::test]
async fn another_provider_of_cryptography_is_used() {
    let simulator = Simulator::start().await.unwrap();
    let start = |provider: CryptoProvider| {
        let runtime = Tokio::with_crypto_provider(Arc::new(provider));
        Http2Builder::on(runtime, common::provider(&simulator), common::identity(&simulator))
            .roots(common::roots(&simulator))
            .start()
    };
    let suites = vec![ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256];
    let client = start(CryptoProvider { cipher_suites: suites, ..ring::default_provider() }).unwrap();
    assert!(client.send(common::good(1, &Payload::alert("x"))).await.is_accepted());
    let none = start(CryptoProvider { cipher_suites: Vec::new(), ..ring::default_provider() });
    assert!(matches!(none, Err(BuildError::Tls(_))), "{none:?}");
}

/// The application's verifier decides, and the builder's identity is shown.
#[tokio::test]
async fn a_configuration_of_the_application_s_own_decides_whom_to_trust() {
    let (simulator, other) = (Simulator::start().await.unwrap(), Simulator::start().await.unwrap());
    let trusting = |trusted: &Simulator| {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(trusted.ca_pem().as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let runtime = Tokio::with_client_config(Arc::new(config));
        Http2Builder::on(runtime, common::provider(&simulator), common::identity(&simulator)).start().unwrap()
    };
    assert!(trusting(&simulator).send(common::good(1, &Payload::alert("x"))).await.is_accepted());
    let outcome = trusting(&other).send(common::good(1, &Payload::alert("x"))).await;
    assert!(matches!(outcome, Outcome::NotSent { cause: NotSentCause::Stopped(_) }), "{outcome:?}");
}
