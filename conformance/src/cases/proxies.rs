//! The way through a proxy, with both protocols.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use apns_driver::feedback::{FeedbackFailure, fetch};
use apns_driver::{
    BinaryBuilder, BuildError, Client, ClientEvent, Endpoint, Environment, Http2Builder, Identity, Proxy, Roots,
    Runtime,
};
use apns_proto::http2::{Broadcast, BundleId, ChannelStorage};
use apns_proto::proxy::ProxyCause;
use apns_proto::{DialFailure, DialStep, LossPolicy, NotSentCause, Outcome, Payload, RefusalPolicy, TlsCause, Topic};
use apns_sim::{Faults, HandshakeFault, Http2Script, Keep, Script, Simulator};
use futures_util::StreamExt;
use tokio_rustls::rustls::version::{TLS12, TLS13};

use super::common::*;
use super::proxy_server::{Does, Manner, ProxyCertificate, ProxyServer, Speech};
use super::watched::{self, ONE_AT_A_TIME, Watched};

/// One that knows where Apple's names are: at the simulator, and at no other place that this machine could reach.
fn manner(simulator: &Simulator) -> Manner {
    let names = vec![
        ("gateway.push.apple.com:2195", simulator.gateway_address()),
        ("feedback.push.apple.com:2196", simulator.feedback_address()),
        ("api.push.apple.com:443", simulator.http2_address()),
        ("api-manage-broadcast.push.apple.com:2196", simulator.http2_address()),
    ];
    Manner { names, ..Manner::default() }
}

const PRODUCTION: Environment = Environment::Production;

fn binary<R: Runtime + Default>(simulator: &Simulator, proxy: impl Into<Option<Proxy>>) -> BinaryBuilder<R> {
    Client::binary(Endpoint::gateway(PRODUCTION), identity(simulator)).roots(roots(simulator)).proxy(proxy)
}

fn http2<R: Runtime + Default>(simulator: &Simulator, proxy: impl Into<Option<Proxy>>) -> Http2Builder<R> {
    http2_at(Endpoint::provider_api(PRODUCTION), simulator, proxy)
}

fn http2_at<R: Runtime + Default>(
    endpoint: Endpoint,
    simulator: &Simulator,
    proxy: impl Into<Option<Proxy>>,
) -> Http2Builder<R> {
    let topic = Topic::new("com.example.app").expect("a topic");
    Client::http2(endpoint, source(simulator)).roots(roots(simulator)).topic(topic).proxy(proxy)
}

pub async fn everything_passes_each_kind_of_proxy<R: Runtime + Default + Unpin>() {
    let certificate = ProxyCertificate::issued();
    let kinds = [(Speech::Http, None), (Speech::Http, Some(certificate.config())), (Speech::Socks5, None)];
    for (speech, tls) in kinds {
        for wants_credentials in [false, true] {
            let simulator = playing(script(r#"{"feedback": {"records": [{"token": "deadbeef", "timestamp": 1}]}}"#));
            let proxy = ProxyServer::start(speech, tls.clone(), Manner { wants_credentials, ..manner(&simulator) });
            let url = || proxy.url(wants_credentials);
            everything_passes::<R>(&simulator, &proxy, url, &certificate.roots).await;
        }
    }
}

async fn everything_passes<R: Runtime + Default + Unpin>(
    simulator: &Simulator,
    proxy: &ProxyServer,
    url: impl Fn() -> Proxy,
    trusted: &Roots,
) {
    let payload = Payload::alert("Tea is ready");
    let client = binary::<R>(simulator, url()).proxy_roots(trusted.clone()).start().unwrap();
    let pendings: Vec<_> = (0..50).map(|n| client.try_send(good(n, &payload)).unwrap()).collect();
    drop(client.close(LIMIT).await);
    for pending in pendings {
        let outcome = pending.await.outcome;
        assert!(outcome.is_accepted(), "{url:?}: {outcome:?}", url = url());
    }
    assert_eq!(simulator.received().len(), 50);

    let client = http2::<R>(simulator, url()).proxy_roots(trusted.clone()).start().unwrap();
    let deliveries = settle_all(&client, (0..50).map(|n| good(n, &payload))).await;
    assert!(deliveries.iter().all(|delivery| answered(&delivery.outcome)), "{deliveries:?}");
    assert_eq!(simulator.requests().len(), 50);

    let records = fetch::<R>(Endpoint::feedback(PRODUCTION), identity(simulator))
        .roots(roots(simulator))
        .proxy(url())
        .proxy_roots(trusted.clone());
    let records: Vec<_> = records.start().unwrap().map(|record| record.unwrap().token.to_vec()).collect().await;
    assert_eq!(records, [[0xde, 0xad, 0xbe, 0xef]]);

    let app = || BundleId::new("com.example.app").unwrap();
    let channels = http2_at::<R>(Endpoint::channels(PRODUCTION), simulator, url()).proxy_roots(trusted.clone());
    let channel = channels.channels(app()).unwrap().create(ChannelStorage::Latest).await.unwrap();
    let broadcasts = http2::<R>(simulator, url()).proxy_roots(trusted.clone()).broadcasts().unwrap();
    let update = r#"{"aps":{"event":"update","timestamp":1700000000,"content-state":{"goals":3}}}"#;
    let broadcast = Broadcast::new(app(), channel, Payload::from_json(update).unwrap());
    assert!(broadcasts.send(broadcast).await.is_accepted());

    let expected = [
        "gateway.push.apple.com:2195",
        "api.push.apple.com:443",
        "feedback.push.apple.com:2196",
        "api-manage-broadcast.push.apple.com:2196",
        "api.push.apple.com:443",
    ];
    assert_eq!(proxy.asked(), expected, "each by its name");
}

/// The connections of the proxy break while notifications are under way. All arrive, and what is called accepted did.
pub async fn a_proxy_restarted_in_the_middle_makes_no_outcome_false<R: Runtime + Default>() {
    let certificate = ProxyCertificate::issued();
    for (speech, tls) in [(Speech::Http, None), (Speech::Http, Some(certificate.config())), (Speech::Socks5, None)] {
        for protocol in ["binary", "http2"] {
            let (arrives, arrived) = std::sync::mpsc::channel();
            let (restarted, restarts) = std::sync::mpsc::channel();
            let (restarts, entries) = (parking_lot::Mutex::new(restarts), AtomicUsize::new(0));
            let builder = Simulator::builder().keep(Keep::TokenCounts).on_entry(move |_| {
                // The service waits for the proxy here, so that this is the middle.
                if entries.fetch_add(1, Ordering::SeqCst) == 200 {
                    arrives.send(()).unwrap();
                    restarts.lock().recv().unwrap();
                }
            });
            let simulator = start(builder);
            let mut proxy = ProxyServer::start(speech, tls.clone(), manner(&simulator));
            let (url, trusted) = (proxy.url(false), certificate.roots.clone());
            let soon = Duration::from_millis(10);
            let client = match protocol {
                "binary" => {
                    let client = binary::<R>(&simulator, url).proxy_roots(trusted).backoff(soon, soon);
                    client.loss_policy(LossPolicy::RESEND).start()
                }
                _ => {
                    let client = http2::<R>(&simulator, url).proxy_roots(trusted).backoff(soon, soon);
                    client.loss_policy(LossPolicy::RESEND).start()
                }
            };
            let restarting = std::thread::spawn(move || {
                arrived.recv().unwrap();
                proxy.restart();
                restarted.send(()).unwrap();
                proxy
            });
            outcomes_are_true(&simulator, &client.unwrap(), &format!("{speech:?}, {protocol}")).await;
            let proxy = restarting.join().unwrap();
            assert!(proxy.asked().len() >= 2, "each run had a connection");
        }
    }
}

async fn outcomes_are_true<R: Runtime + Default>(simulator: &Simulator, client: &Client<R>, what: &str) {
    const COUNT: u32 = 2000;
    let payload = Payload::alert("x");
    let deliveries = settle_all(client, (0..COUNT).map(|number| good(number, &payload))).await;
    assert_eq!(deliveries.len(), COUNT as usize);
    let taken: HashMap<Vec<u8>, u64> =
        simulator.inspect(|log| log.accepted_by_token().map(|(token, count)| (token.to_vec(), count)).collect());
    for (number, delivery) in (0..COUNT).zip(deliveries) {
        let count = taken.get(token(0xaa, number).as_bytes()).copied().unwrap_or(0);
        assert!(delivery.outcome.is_accepted(), "{what}: {number}: {:?}", delivery.outcome);
        // What was lost on the way was sent again, and may have arrived before.
        assert!((1..=1 + u64::from(delivery.replays)).contains(&count), "{what}: {number} arrived {count} times");
    }
}

/// How long is waited for what does not come.
const SOON: Duration = Duration::from_millis(500);

/// How one notification ended, and why there was no connection.
async fn vain<R: Runtime + Default>(client: &Client<R>) -> (Outcome, DialFailure) {
    let mut events = client.events();
    let pending = client.submit(good(1, &Payload::alert("x"))).await;
    let failure = dial_failure(&mut events).await;
    (pending.await.outcome, failure)
}

fn stopped(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::NotSent { cause: NotSentCause::Stopped(_) })
}

pub async fn credentials_of_the_proxy_are_none_of_the_service<R: Runtime + Default>() {
    for speech in [Speech::Http, Speech::Socks5] {
        let simulator = simulator();
        let manner = Manner { wants_credentials: true, ..manner(&simulator) };
        let proxy = ProxyServer::start(speech, None, manner);
        let other = proxy.url(false).with_credentials("me", "other").unwrap();
        for (url, cause) in
            [(proxy.url(false), ProxyCause::CredentialsMissing), (other, ProxyCause::CredentialsRefused)]
        {
            for (outcome, failure) in [
                vain(&binary::<R>(&simulator, url.clone()).start().unwrap()).await,
                vain(&http2::<R>(&simulator, url.clone()).start().unwrap()).await,
            ] {
                assert_eq!((failure.step, failure.proxy, failure.fatal), (DialStep::Proxy, Some(cause), true));
                assert!(stopped(&outcome), "{outcome:?}");
                assert!(!failure.to_string().contains("other"), "{failure}");
            }
        }
        assert_eq!(proxy.asked(), [""; 0]);
    }
}

pub async fn what_waits_is_sent_once_the_proxy_lets_it_through<R: Runtime + Default>() {
    let simulator = simulator();
    let manner = Manner { wants_credentials: true, ..manner(&simulator) };
    let proxy = ProxyServer::start(Speech::Http, None, manner);
    let clients = [
        binary::<R>(&simulator, proxy.url(false)).refusal_policy(RefusalPolicy::Wait).start(),
        http2::<R>(&simulator, proxy.url(false)).refusal_policy(RefusalPolicy::Wait).start(),
    ];
    for client in clients.map(Result::unwrap) {
        proxy.change(|manner| manner.wants_credentials = true);
        let mut events = client.events();
        let pending = client.submit(good(1, &Payload::alert("x"))).await;
        assert!(dial_failure(&mut events).await.fatal);
        proxy.change(|manner| manner.wants_credentials = false);
        while !matches!(events.next().await, Some(ClientEvent::Connected { .. })) {}
        drop(client.close(LIMIT).await);
        assert!(pending.await.outcome.is_accepted());
    }
}

fn assert_passing(failure: &DialFailure, step: DialStep, words: &[&str]) {
    assert_eq!((failure.step, failure.fatal), (step, false), "{failure}");
    assert!(words.iter().all(|word| failure.to_string().contains(word)), "{failure}");
}

/// A client that gives up soon.
fn impatient<R: Runtime + Default>(simulator: &Simulator, proxy: Proxy) -> Http2Builder<R> {
    http2(simulator, proxy).patience(SOON).connect_timeout(SOON)
}

pub async fn a_proxy_that_cannot_be_reached_is_said<R: Runtime + Default>() {
    let simulator = simulator();
    // RFC 6761 section 6.4: never a name.
    let unknown: Proxy = "http://me:s3cret@proxy.invalid:3128".parse().unwrap();
    let client = http2::<R>(&simulator, unknown).patience(SOON).start().unwrap();
    let words = ["cannot resolve the proxy's host name", "proxy.invalid"];
    assert_passing(&vain(&client).await.1, DialStep::ProxyResolve, &words);
    for scheme in ["http", "https", "socks5"] {
        // Nobody listens there.
        let closed: Proxy = format!("{scheme}://me:s3cret@127.0.0.1:1").parse().unwrap();
        let client = http2::<R>(&simulator, closed).patience(SOON).start().unwrap();
        let failure = vain(&client).await.1;
        assert_passing(&failure, DialStep::ProxyConnect, &["cannot connect to the proxy", "127.0.0.1:1"]);
        assert!(!failure.to_string().contains("s3cret"));
    }
}

pub async fn tls_with_the_proxy_that_fails_is_said<R: Runtime + Default>() {
    let simulator = simulator();
    let certificate = ProxyCertificate::issued();
    let proxy = ProxyServer::start(Speech::Http, Some(certificate.config()), manner(&simulator));
    // The authority of the service is none for the proxy.
    let client = http2::<R>(&simulator, proxy.url(false)).proxy_roots(roots(&simulator)).start().unwrap();
    let (outcome, failure) = vain(&client).await;
    assert_eq!((failure.step, failure.tls), (DialStep::ProxyTls, Some(TlsCause::UntrustedServer)), "{failure}");
    assert!(failure.fatal && stopped(&outcome), "{outcome:?}");
    // Nor the other way round.
    let both = http2::<R>(&simulator, proxy.url(false)).proxy_roots(certificate.roots.clone());
    let (_, failure) = vain(&both.roots(certificate.roots.clone()).start().unwrap()).await;
    assert_eq!((failure.step, failure.tls), (DialStep::Tls, Some(TlsCause::UntrustedServer)), "{failure}");
    // One that speaks no TLS.
    let plain = ProxyServer::start(Speech::Http, None, manner(&simulator));
    let url: Proxy = format!("https://{}", plain.address()).parse().unwrap();
    let client = impatient::<R>(&simulator, url).proxy_roots(certificate.roots.clone()).start().unwrap();
    assert_passing(&vain(&client).await.1, DialStep::ProxyTls, &["the TLS handshake with the proxy failed"]);
}

pub async fn a_proxy_that_wants_a_client_certificate_does_not_speak_for_the_service<R: Runtime + Default>() {
    let simulator = simulator();
    let certificate = ProxyCertificate::issued();
    for version in [&TLS12, &TLS13] {
        let tls = certificate.wanting_certificates(version);
        let proxy = ProxyServer::start(Speech::Http, Some(tls), manner(&simulator));
        for client in [
            binary::<R>(&simulator, proxy.url(false))
                .patience(SOON)
                .proxy_roots(certificate.roots.clone())
                .start()
                .unwrap(),
            http2::<R>(&simulator, proxy.url(false))
                .patience(SOON)
                .proxy_roots(certificate.roots.clone())
                .start()
                .unwrap(),
        ] {
            let (outcome, failure) = vain(&client).await;
            // With TLS 1.3 the verdict comes after the handshake.
            assert!(matches!(failure.step, DialStep::ProxyTls | DialStep::Proxy), "{failure}");
            let Outcome::NotSent { cause } = &outcome else { panic!("{outcome:?}") };
            assert_eq!(cause.credential_refusal(), None);
        }
    }
}

pub async fn a_refusal_of_the_proxy_is_said_with_its_words<R: Runtime + Default>() {
    let simulator = simulator();
    for (speech, says, cause, words) in [
        (Speech::Http, "HTTP/1.1 403 Not for you\r\n\r\n", ProxyCause::Forbidden, "answers 403 Not for you"),
        (Speech::Http, "HTTP/1.1 502 No way\r\n\r\n", ProxyCause::ServiceUnreachable, "answers 502 No way"),
        (Speech::Http, "SSH-2.0-x\r\n", ProxyCause::NotAProxy, "does not answer as a proxy"),
        (Speech::Http, "", ProxyCause::NoAnswer, "closed without an answer"),
        (Speech::Socks5, "\x05\x02\0\x01\0\0\0\0\0\0", ProxyCause::Forbidden, "reply code 2: connection not allowed"),
        (
            Speech::Socks5,
            "\x05\x05\0\x01\0\0\0\0\0\0",
            ProxyCause::ServiceUnreachable,
            "reply code 5: connection refused",
        ),
    ] {
        let does = Does::Says(says.as_bytes().to_vec());
        let proxy = ProxyServer::start(speech, None, Manner { does, ..manner(&simulator) });
        let (outcome, failure) = vain(&impatient::<R>(&simulator, proxy.url(false)).start().unwrap()).await;
        assert_eq!((failure.step, failure.proxy, failure.fatal), (DialStep::Proxy, Some(cause), cause.is_fatal()));
        assert!(failure.to_string().contains(words), "{failure}");
        assert!(failure.to_string().contains("asked for api.push.apple.com:443"), "{failure}");
        assert!(matches!(outcome, Outcome::NotSent { .. }), "{outcome:?}");
    }
    assert_eq!(simulator.counts().http2_connections, 0);
}

pub async fn a_proxy_that_never_answers_is_left_in_time<R: Runtime + Default + Unpin>() {
    let simulator = simulator();
    let proxy = ProxyServer::start(Speech::Http, None, Manner { does: Does::Waits, ..manner(&simulator) });
    let begin = Instant::now();
    let (_, failure) = vain(&impatient::<R>(&simulator, proxy.url(false)).start().unwrap()).await;
    assert_passing(&failure, DialStep::Proxy, &["did not answer in time"]);
    assert_eq!(failure.proxy, Some(ProxyCause::NoAnswer));
    let records =
        fetch::<R>(Endpoint::feedback(PRODUCTION), identity(&simulator)).proxy(proxy.url(false)).connect_timeout(SOON);
    let records: Vec<_> = records.start().unwrap().collect().await;
    let [Err(FeedbackFailure::Dial(failure))] = &records[..] else { panic!("{records:?}") };
    assert_eq!(failure.proxy, Some(ProxyCause::NoAnswer));
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());

    // The time to connect is one for the proxy and the service.
    let faults = Faults::default().handshake(HandshakeFault::Never);
    let simulator = playing(Script::default().http2(Http2Script::default().faults(faults)));
    let proxy = ProxyServer::start(Speech::Socks5, None, manner(&simulator));
    let begin = Instant::now();
    let (_, failure) = vain(&impatient::<R>(&simulator, proxy.url(false)).start().unwrap()).await;
    assert_passing(&failure, DialStep::Tls, &["did not finish the handshake", "through the proxy socks5h://127.0.0.1"]);
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}

pub async fn a_tunnel_that_ends_is_told_apart_from_a_proxy_that_refuses<R: Runtime + Default>() {
    let simulator = simulator();
    for speech in [Speech::Http, Speech::Socks5] {
        let manner = Manner { does: Does::OpensAndCloses, ..manner(&simulator) };
        let proxy = ProxyServer::start(speech, None, manner);
        let (_, failure) = vain(&impatient::<R>(&simulator, proxy.url(false)).start().unwrap()).await;
        assert_passing(&failure, DialStep::Tls, &["through the proxy", "which had opened the tunnel"]);
        assert_eq!((failure.tls, failure.proxy), (Some(TlsCause::Other), None));
    }
}

pub async fn the_service_behind_the_proxy_is_verified<R: Runtime + Default>() {
    let (simulator, other) = (simulator(), simulator());
    let proxy = ProxyServer::start(Speech::Http, None, manner(&other));
    let (outcome, failure) = vain(&http2::<R>(&simulator, proxy.url(false)).start().unwrap()).await;
    assert_eq!((failure.step, failure.tls), (DialStep::Tls, Some(TlsCause::UntrustedServer)), "{failure}");
    assert!(failure.message.contains("api.push.apple.com is not trusted"), "{failure}");
    assert!(failure.message.contains("through the proxy http://127.0.0.1"), "{failure}");
    assert!(stopped(&outcome), "{outcome:?}");
    assert_eq!(other.requests().len(), 0);
}

pub async fn certificates_that_were_given_are_trusted_through_a_tunnel<R: Runtime + Default>() {
    let server = Identity::from_pem(
        include_bytes!("../../fixtures/server-self.cert.pem"),
        Some(include_bytes!("../../fixtures/server-self.key.pem")),
        None,
    )
    .unwrap();
    let given = Roots::Only(vec![server.certificate().der().to_vec()]);
    let simulator = start(Simulator::builder().server_identity(server));
    let certificate = ProxyCertificate::given();
    let names = vec![("localhost:443", simulator.http2_address())];
    let manner = Manner { names, wants_credentials: true, ..Manner::default() };
    let proxy = ProxyServer::start(Speech::Http, Some(certificate.config()), manner);
    let endpoint = Endpoint::new("localhost", 443);
    let client =
        http2_at::<R>(endpoint, &simulator, proxy.url(true)).roots(given).proxy_roots(certificate.roots.clone());
    let outcome = client.start().unwrap().send(good(1, &Payload::alert("x"))).await;
    assert!(answered(&outcome), "{outcome:?}");
}

pub async fn every_address_of_the_proxy_is_tried<R: Runtime + Default>() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let simulator = simulator();
    let proxy = ProxyServer::start(Speech::Http, None, manner(&simulator));
    // Port 1 of loopback: nobody listens there.
    watched::answer_with(vec!["127.0.0.1:1".parse().unwrap(), proxy.address()]);
    let url: Proxy = "http://proxy.example".parse().unwrap();
    let client = http2::<Watched<R>>(&simulator, url).start().unwrap();
    assert!(answered(&client.send(good(1, &Payload::alert("x"))).await));
    assert_eq!(watched::asked(), 1, "the service's name is for the proxy");
    drop(client.close(LIMIT).await);
    until(|| watched::tasks() == 0).await;
    watched::answer_with(Vec::new());
}

pub async fn a_host_that_no_proxy_takes_is_refused_before_the_first_connection<R: Runtime + Default>() {
    let simulator = simulator();
    let proxy: Proxy = "http://127.0.0.1:1".parse().unwrap();
    let endpoint = Endpoint::new("api.push.apple.com\r\nEvil: x", 443);
    let client = Client::<R>::binary(endpoint, identity(&simulator)).proxy(proxy);
    assert!(matches!(client.start(), Err(BuildError::ProxyTarget(_))));
}
