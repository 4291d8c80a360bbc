//! Who a client is: provider tokens and certificates.

use std::time::Duration;

use apns_sim::{AuthenticatedBy, Http2Answer, Http2Key, Http2Script, ProviderAuth, Script, Simulator};
use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
};
use serde_json::{Value, json};
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

use crate::client::{Client, Request, TOKEN, TOPIC, bearer, bearer_of, now};
use crate::support::{Identity, tls_offering};

async fn with(http2: Http2Script) -> Simulator {
    Simulator::builder().script(Script::default().http2(http2)).start().await.unwrap()
}

fn push(authorization: impl Into<String>) -> Request {
    Request::bare(TOKEN).with("authorization", authorization)
}

/// What a new connection's first push with this token is told.
async fn told(simulator: &Simulator, authorization: impl Into<String>) -> (u16, String) {
    Client::new(simulator).await.send(&push(authorization)).await.told()
}

fn forbidden(reason: &str) -> (u16, String) {
    (403, reason.to_owned())
}

fn taken() -> (u16, String) {
    (200, String::new())
}

/// A token that no library would make.
struct Forged {
    header: Value,
    claims: Value,
    algorithm: &'static EcdsaSigningAlgorithm,
    padded_parts: bool,
}

impl Forged {
    /// One in which nothing is wrong yet.
    fn good(simulator: &Simulator) -> Self {
        Self {
            header: json!({"alg": "ES256", "kid": simulator.key_id()}),
            claims: json!({"iss": simulator.team_id(), "iat": now().as_secs()}),
            algorithm: &ECDSA_P256_SHA256_FIXED_SIGNING,
            padded_parts: false,
        }
    }

    fn header(mut self, header: Value) -> Self {
        self.header = header;
        self
    }

    fn claims(mut self, claims: Value) -> Self {
        self.claims = claims;
        self
    }

    /// What is signed, and the signature.
    fn parts(&self, simulator: &Simulator) -> (String, Vec<u8>) {
        let random = SystemRandom::new();
        let key = PrivateKeyDer::from_pem_slice(simulator.signing_key_pem().as_bytes()).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(self.algorithm, key.secret_der(), &random).unwrap();
        let engine = if self.padded_parts { URL_SAFE } else { URL_SAFE_NO_PAD };
        let message = format!("{}.{}", engine.encode(self.header.to_string()), engine.encode(self.claims.to_string()));
        let signature = key.sign(&random, message.as_bytes()).unwrap();
        (message, signature.as_ref().to_vec())
    }

    fn authorization(&self, simulator: &Simulator) -> String {
        let (message, signature) = self.parts(simulator);
        format!("bearer {message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

#[tokio::test]
async fn a_token_is_asked_for_until_there_is_one() {
    let simulator = Simulator::start().await.unwrap();
    let mut client = Client::new(&simulator).await;
    assert_eq!(client.send(&Request::bare(TOKEN)).await.told(), forbidden("MissingProviderToken"));
    assert_eq!(client.send(&push("")).await.told(), forbidden("MissingProviderToken"));
    assert_eq!(client.send(&push(bearer(&simulator, 0))).await.told(), taken());
    assert_eq!(client.send(&Request::bare(TOKEN)).await.told(), forbidden("MissingProviderToken"), "each needs one");
    let by: Vec<_> = simulator.requests().into_iter().map(|request| request.authenticated_by).collect();
    let signer = AuthenticatedBy::Token { key_id: "SIMULATOR0".to_owned(), team_id: "TEAMID0000".to_owned() };
    use AuthenticatedBy::Nothing;
    assert_eq!(by, [Nothing, Nothing, signer, Nothing]);
}

#[tokio::test]
async fn a_token_need_not_come_from_our_own_signer() {
    let simulator = Simulator::start().await.unwrap();
    let good = || Forged::good(&simulator);
    let typed = json!({"typ": "JWT", "alg": "ES256", "kid": simulator.key_id(), "x": 1});
    let more = json!({"iss": simulator.team_id(), "iat": now().as_secs(), "exp": 1, "aud": "apns"});
    for token in [good(), good().header(typed), good().claims(more)] {
        assert_eq!(told(&simulator, token.authorization(&simulator)).await, taken());
    }
    // RFC 7519 section 2: any JSON number, and many clients write a fraction.
    for fraction in [0.0, 0.15] {
        let at = now().as_secs() as f64 + fraction;
        let claims = json!({"iss": simulator.team_id(), "iat": at});
        assert!(claims["iat"].is_f64());
        assert_eq!(told(&simulator, good().claims(claims).authorization(&simulator)).await, taken(), "{at}");
    }
    let capital = good().authorization(&simulator).replace("bearer", "Bearer");
    assert_eq!(told(&simulator, capital).await, taken(), "RFC 9110 section 11.1");
}

#[tokio::test]
async fn a_malformed_token_is_invalid() {
    let simulator = Simulator::start().await.unwrap();
    let good = || Forged::good(&simulator);
    let (key, team, time) = (simulator.key_id(), simulator.team_id(), now().as_secs());
    let header = |header| good().header(header).authorization(&simulator);
    let claims = |claims| good().claims(claims).authorization(&simulator);
    let whole = good().authorization(&simulator);
    let jwt = whole.strip_prefix("bearer ").unwrap();
    let (message, signature) = jwt.rsplit_once('.').unwrap();
    let cases = [
        ("no scheme", jwt.to_owned()),
        ("another scheme", format!("basic {jwt}")),
        ("two spaces", format!("bearer  {jwt}")),
        ("nothing signed", format!("bearer {signature}")),
        ("no signature", format!("bearer {message}")),
        ("an empty signature", format!("bearer {message}.")),
        ("four parts", format!("bearer {jwt}.{signature}")),
        ("no base64url", format!("bearer {message}.{}", "*".repeat(86))),
        ("no algorithm", header(json!({"kid": key}))),
        ("algorithm none", header(json!({"alg": "none", "kid": key}))),
        ("another algorithm", header(json!({"alg": "ES384", "kid": key}))),
        ("another type", header(json!({"alg": "ES256", "kid": key, "typ": "JOSE"}))),
        ("no key id", header(json!({"alg": "ES256"}))),
        ("a header that is no object", header(json!("ES256"))),
        ("no issuer", claims(json!({"iat": time}))),
        ("no time", claims(json!({"iss": team}))),
        ("a time in text", claims(json!({"iss": team, "iat": time.to_string()}))),
        ("a time before 1970", claims(json!({"iss": team, "iat": -1}))),
    ];
    for (what, authorization) in cases {
        let answer = Client::new(&simulator).await.send(&push(authorization)).await;
        assert_eq!(answer.told(), forbidden("InvalidProviderToken"), "{what}");
        assert_ne!(answer.header("apns-sim-detail"), "", "{what}");
    }
}

#[tokio::test]
async fn b79_padded_base64url_is_invalid() {
    let simulator = Simulator::start().await.unwrap();
    let good = Forged::good(&simulator);
    let (message, signature) = good.parts(&simulator);
    let padded = URL_SAFE.encode(&signature);
    assert!(padded.ends_with("=="));
    assert_eq!(told(&simulator, format!("bearer {message}.{padded}")).await, forbidden("InvalidProviderToken"));

    // With spaces for which the encoding has to be padded.
    let header: Value = json!({"alg": "ES256", "kid": simulator.key_id(), "x": ""});
    let padded = Forged { padded_parts: true, ..good }.header(header);
    assert!(padded.parts(&simulator).0.contains('='));
    assert_eq!(told(&simulator, padded.authorization(&simulator)).await, forbidden("InvalidProviderToken"));
}

#[tokio::test]
async fn b79_a_signature_has_64_bytes_and_is_right() {
    let simulator = Simulator::start().await.unwrap();
    let with_signature = |message: &str, bytes: &[u8]| format!("bearer {message}.{}", URL_SAFE_NO_PAD.encode(bytes));

    let der = Forged { algorithm: &ECDSA_P256_SHA256_ASN1_SIGNING, ..Forged::good(&simulator) };
    assert!(der.parts(&simulator).1.len() > 64, "the structure around R and S");
    assert_eq!(told(&simulator, der.authorization(&simulator)).await, forbidden("InvalidProviderToken"));

    let (message, signature) = Forged::good(&simulator).parts(&simulator);
    assert_eq!(told(&simulator, with_signature(&message, &signature)).await, taken());
    let mut wrong = signature.clone();
    wrong[63] ^= 1;
    let longer = [&signature[..], &[0]].concat();
    for bytes in [&wrong[..], &signature[..63], &longer, &[0; 64]] {
        let answer = told(&simulator, with_signature(&message, bytes)).await;
        assert_eq!(answer, forbidden("InvalidProviderToken"), "{} bytes", bytes.len());
    }

    let stranger = Simulator::start().await.unwrap();
    assert_eq!(told(&simulator, bearer(&stranger, 0)).await, forbidden("InvalidProviderToken"), "another key");
}

/// What Apple's recipes and samples make of a token, and the words for it.
fn recipes(simulator: &Simulator) -> Vec<(String, &'static [&'static str])> {
    let good = || Forged::good(simulator);
    let (key, team, time) = (simulator.key_id(), simulator.team_id(), now());
    let at = |iat: String| json!({"iss": team, "iat": iat});
    let der = || Forged { algorithm: &ECDSA_P256_SHA256_ASN1_SIGNING, ..good() };
    let no_alg = json!({"kid": key});
    let milliseconds = at(time.as_millis().to_string());
    vec![
        (der().authorization(simulator), &["der_signature"]),
        (good().claims(at(time.as_secs().to_string())).authorization(simulator), &["text_iat"]),
        (good().claims(milliseconds.clone()).authorization(simulator), &["text_iat"]),
        (good().header(no_alg.clone()).authorization(simulator), &["no_alg"]),
        // The sample of Apple's page does all of it.
        (der().header(no_alg).claims(milliseconds).authorization(simulator), &["no_alg", "text_iat", "der_signature"]),
    ]
}

#[tokio::test]
async fn a_token_of_apples_recipes_is_named_and_taken_where_the_simulator_is_lenient() {
    let strict = Simulator::start().await.unwrap();
    let lenient = Simulator::builder().lenient().start().await.unwrap();
    for (authorization, words) in recipes(&strict) {
        let answer = Client::new(&strict).await.send(&push(authorization)).await;
        assert_eq!(answer.told(), forbidden("InvalidProviderToken"), "{words:?}");
        let detail = answer.header("apns-sim-detail");
        assert!(detail.starts_with(words[0]) && detail.contains("a lenient simulator takes it"), "{detail}");
        let record = strict.requests().pop().unwrap();
        assert_eq!((record.deviations[0].word(), record.detail.as_deref()), (words[0], Some(detail)));
    }
    for (authorization, words) in recipes(&lenient) {
        let mut client = Client::new(&lenient).await;
        // What is known of a token is said again with each request.
        for _ in 0..2 {
            let answer = client.send(&push(authorization.clone())).await;
            assert_eq!(answer.told(), taken(), "{words:?}: {}", answer.header("apns-sim-detail"));
            let detail = answer.header("apns-sim-detail");
            assert!(words.iter().all(|word| detail.contains(&format!("{word}: "))), "{detail}");
            let record = lenient.requests().pop().unwrap();
            let named: Vec<_> = record.deviations.iter().map(|one| one.word()).collect();
            assert_eq!(named, words);
        }
    }
    assert_eq!(told(&lenient, bearer(&lenient, 0)).await, taken());
    assert!(lenient.requests().pop().unwrap().deviations.is_empty());
}

#[tokio::test]
async fn a_lenient_simulator_takes_nothing_else() {
    let simulator = Simulator::builder().lenient().start().await.unwrap();
    let good = || Forged::good(&simulator);
    let (key, team, time) = (simulator.key_id(), simulator.team_id(), now().as_secs());
    let old = |iat: u64| good().claims(json!({"iss": team, "iat": iat.to_string()})).authorization(&simulator);
    for iat in [time - 3660, (time - 3660) * 1000] {
        assert_eq!(told(&simulator, old(iat)).await, forbidden("ExpiredProviderToken"), "{iat}");
    }
    let stranger = Simulator::start().await.unwrap();
    let der = Forged { algorithm: &ECDSA_P256_SHA256_ASN1_SIGNING, ..Forged::good(&stranger) };
    let cases = [
        (der.authorization(&stranger), "not one by the signing key"),
        (good().header(json!({"alg": "ES384", "kid": key})).authorization(&simulator), "not ES256"),
        (good().claims(json!({"iss": team, "iat": "today"})).authorization(&simulator), "a text that is no time"),
        (good().claims(json!({"iss": team, "iat": null})).authorization(&simulator), "not an object with"),
    ];
    for (authorization, fault) in cases {
        let answer = Client::new(&simulator).await.send(&push(authorization)).await;
        assert_eq!(answer.told(), forbidden("InvalidProviderToken"), "{fault}");
        assert!(answer.header("apns-sim-detail").contains(fault), "{}", answer.header("apns-sim-detail"));
    }
}

#[tokio::test]
async fn key_and_team_have_to_be_known() {
    let simulator = with(Http2Script::default().key(Http2Key::new("KEYNUMBER2").team_id("TEAMNUMBER"))).await;
    let (key, team) = (simulator.key_id(), simulator.team_id());
    for (key_id, team_id) in [("UNKNOWN000", team), (key, "UNKNOWN000"), (key, "TEAMNUMBER"), ("KEYNUMBER2", team)] {
        let answer = told(&simulator, bearer_of(&simulator, key_id, team_id, 0)).await;
        assert_eq!(answer, forbidden("InvalidProviderToken"), "{key_id} of {team_id}");
    }
    assert_eq!(told(&simulator, bearer_of(&simulator, "KEYNUMBER2", "TEAMNUMBER", 0)).await, taken());
}

#[tokio::test]
async fn a_token_lives_for_an_hour() {
    let simulator = Simulator::start().await.unwrap();
    // A minute to either side, for machines that are slow.
    assert_eq!(told(&simulator, bearer(&simulator, 3540)).await, taken());
    assert_eq!(told(&simulator, bearer(&simulator, 3601)).await, forbidden("ExpiredProviderToken"));
    let at = |seconds: u64| json!({"iss": simulator.team_id(), "iat": seconds});
    let ahead = Forged::good(&simulator).claims(at(now().as_secs() + 3660));
    assert_eq!(told(&simulator, ahead.authorization(&simulator)).await, forbidden("ExpiredProviderToken"));
    let milliseconds = Forged::good(&simulator).claims(at(now().as_millis()));
    assert_eq!(told(&simulator, milliseconds.authorization(&simulator)).await, forbidden("ExpiredProviderToken"));
}

#[tokio::test]
async fn the_services_clock_may_be_another() {
    for (offset, expected) in [(3540, taken()), (-3540, taken())] {
        let simulator = with(Http2Script::default().clock_offset_s(offset)).await;
        assert_eq!(told(&simulator, bearer(&simulator, 0)).await, expected, "{offset} s");
    }
    for offset in [3601, -3660, i64::MIN, i64::MAX] {
        let simulator = with(Http2Script::default().clock_offset_s(offset)).await;
        assert_eq!(told(&simulator, bearer(&simulator, 0)).await, forbidden("ExpiredProviderToken"), "{offset} s");
    }
}

#[tokio::test]
async fn a_token_grows_old_on_its_connection() {
    let simulator = Simulator::start().await.unwrap();
    let mut client = Client::new(&simulator).await;
    let push = push(bearer(&simulator, 1800));
    assert_eq!(client.send(&push).await.told(), taken());
    simulator.change_script(|script| script.http2(Http2Script::default().clock_offset_s(1801)));
    assert_eq!(client.send(&push).await.told(), forbidden("ExpiredProviderToken"));
}

#[tokio::test]
async fn a_connection_keeps_its_token_for_20_minutes() {
    let simulator = Simulator::start().await.unwrap();
    let mut client = Client::new(&simulator).await;
    let (first, second) = (push(bearer(&simulator, 60)), push(bearer(&simulator, 0)));
    let too_many = (429, "TooManyProviderTokenUpdates".to_owned());
    assert_eq!(client.send(&first).await.told(), taken());
    assert_eq!(client.send(&second).await.told(), too_many);
    assert_eq!(client.send(&first).await.told(), taken(), "the old one is still good");
    assert_eq!(Client::new(&simulator).await.send(&second).await.told(), taken(), "counted for each connection");

    advance(Duration::from_secs(19 * 60)).await;
    assert_eq!(client.send(&second).await.told(), too_many, "not a minute too early");
    advance(Duration::from_secs(60)).await;
    assert_eq!(client.send(&second).await.told(), taken());
    assert_eq!(client.send(&first).await.told(), too_many, "now this one is kept");
}

/// Lets time pass for all that asks tokio's clock.
async fn advance(by: Duration) {
    tokio::time::pause();
    tokio::time::advance(by).await;
    tokio::time::resume();
}

#[tokio::test]
async fn the_20_minutes_may_be_others() {
    let simulator = with(Http2Script::default().token_update_interval_s(0)).await;
    let mut client = Client::new(&simulator).await;
    for age in [60, 0, 30] {
        assert_eq!(client.send(&push(bearer(&simulator, age))).await.told(), taken());
    }
}

#[tokio::test]
async fn the_first_token_fixes_key_and_team() {
    let http2 = Http2Script::default()
        .key(Http2Key::new("KEYNUMBER2"))
        .key(Http2Key::new("KEYNUMBER3").team_id("TEAMNUMBER"))
        .key(Http2Key::new("KEYNUMBER4").other_environment());
    let simulator = with(http2).await;
    let team = simulator.team_id();
    let own = push(bearer(&simulator, 0));
    let unrelated = push(bearer_of(&simulator, "KEYNUMBER2", team, 0));
    let other_team = push(bearer_of(&simulator, "KEYNUMBER3", "TEAMNUMBER", 0));
    let elsewhere = push(bearer_of(&simulator, "KEYNUMBER4", team, 0));

    let mut client = Client::new(&simulator).await;
    assert_eq!(client.send(&elsewhere).await.told(), forbidden("BadEnvironmentKeyInToken"));
    assert_eq!(client.send(&own).await.told(), taken(), "what is refused fixes nothing");
    assert_eq!(client.send(&unrelated).await.told(), forbidden("UnrelatedKeyIdInToken"));
    assert_eq!(client.send(&other_team).await.told(), forbidden("Forbidden"));
    assert_eq!(client.send(&own).await.told(), taken());

    let mut client = Client::new(&simulator).await;
    assert_eq!(client.send(&unrelated).await.told(), taken());
    assert_eq!(client.send(&own).await.told(), forbidden("UnrelatedKeyIdInToken"));
    let mut client = Client::new(&simulator).await;
    assert_eq!(client.send(&other_team).await.told(), taken());
    assert_eq!(client.send(&own).await.told(), forbidden("Forbidden"));
}

#[tokio::test]
async fn a_key_for_named_topics_is_good_for_them_and_its_related_key_may_follow() {
    let http2 = Http2Script::default()
        .key(Http2Key::new("TOPICKEY01").topic(TOPIC).related("TOPICKEY02"))
        .key(Http2Key::new("TOPICKEY02").topic("com.example.other"))
        .key(Http2Key::new("TOPICKEY03").topic(TOPIC));
    let simulator = with(http2).await;
    let by = |key: &str, topic: &str| {
        push(bearer_of(&simulator, key, simulator.team_id(), 0)).without("apns-push-type").with("apns-topic", topic)
    };
    let disallowed = (400, "TopicDisallowed".to_owned());
    for (first, second) in [("TOPICKEY01", "TOPICKEY02"), ("TOPICKEY02", "TOPICKEY01")] {
        let topic = |key: &str| if key == "TOPICKEY01" { TOPIC } else { "com.example.other" };
        let mut client = Client::new(&simulator).await;
        assert_eq!(client.send(&by(first, topic(first))).await.told(), taken());
        assert_eq!(client.send(&by(first, topic(second))).await.told(), disallowed, "{first}");
        // Both keep their token: going back and forth is no update.
        for key in [second, first, second] {
            assert_eq!(client.send(&by(key, topic(key))).await.told(), taken(), "{key} after {first}");
        }
        assert_eq!(client.send(&by("TOPICKEY03", TOPIC)).await.told(), forbidden("UnrelatedKeyIdInToken"));
        assert_eq!(client.send(&by(simulator.key_id(), TOPIC)).await.told(), forbidden("UnrelatedKeyIdInToken"));
    }
    let voip = by("TOPICKEY01", "com.example.app.voip");
    assert_eq!(Client::new(&simulator).await.send(&voip).await.told(), taken(), "with its suffixes");
    let mut client = Client::new(&simulator).await;
    assert_eq!(client.send(&by(simulator.key_id(), "com.example.other")).await.told(), taken(), "a team's key");
    assert_eq!(client.send(&by("TOPICKEY01", TOPIC)).await.told(), forbidden("UnrelatedKeyIdInToken"));
}

#[tokio::test]
async fn a_team_brings_its_own_key() {
    let other = Simulator::start().await.unwrap();
    let builder = Simulator::builder().signing_key(other.signing_key_pem(), "ABC123DEFG", "DEF123GHIJ");
    let simulator = builder.start().await.unwrap();
    assert_eq!((simulator.key_id(), simulator.team_id()), ("ABC123DEFG", "DEF123GHIJ"));
    assert_eq!(told(&simulator, bearer_of(&other, "ABC123DEFG", "DEF123GHIJ", 0)).await, taken());
    for (key, team) in [("SIMULATOR0", "DEF123GHIJ"), ("ABC123DEFG", "TEAMID0000")] {
        assert_eq!(told(&simulator, bearer_of(&other, key, team, 0)).await, forbidden("InvalidProviderToken"));
    }
    let wrong = Simulator::builder().signing_key("no key", "ABC123DEFG", "DEF123GHIJ").start().await.unwrap_err();
    assert!(wrong.to_string().contains("P-256"), "{wrong}");
}

#[tokio::test]
async fn a_certificate_for_an_app_is_for_its_suffixes_too() {
    let simulator = Simulator::builder().apps([TOPIC, "com.example.other"]).start().await.unwrap();
    assert_eq!(simulator.topic(), TOPIC);
    let mut client = Client::certified(&simulator).await;
    for suffix in ["", ".voip", ".complication", ".voip-ptt", ".pushkit.fileprovider"] {
        for app in [TOPIC, "com.example.other"] {
            let push = Request::bare(TOKEN).without("apns-push-type").with("apns-topic", format!("{app}{suffix}"));
            assert_eq!(client.send(&push).await.told(), taken(), "{app}{suffix}");
        }
    }
    for topic in ["com.example.app.push-type.liveactivity", "com.example.third"] {
        let push = Request::bare(TOKEN).without("apns-push-type").with("apns-topic", topic);
        assert_eq!(client.send(&push).await.told(), (400, "TopicDisallowed".to_owned()), "{topic}");
    }
}

#[tokio::test]
async fn b75_a_stale_token_can_be_answered_with_500() {
    let http2 = Http2Script::default().stale_token(Http2Answer::new(500, "InternalServerError"));
    let simulator = with(http2).await;
    let mut client = Client::new(&simulator).await;
    let stale = push(bearer(&simulator, 3660));
    for _ in 0..2 {
        assert_eq!(client.send(&stale).await.told(), (500, "InternalServerError".to_owned()));
    }
    assert_eq!(client.send(&push(bearer(&simulator, 0))).await.told(), taken());
}

#[tokio::test]
async fn b75_a_connection_can_be_lost_with_its_token() {
    let simulator = with(Http2Script::default().stale_for_good()).await;
    let mut client = Client::new(&simulator).await;
    let (stale, fresh) = (push(bearer(&simulator, 3660)), push(bearer(&simulator, 0)));
    assert_eq!(client.send(&stale).await.told(), forbidden("ExpiredProviderToken"));
    assert_eq!(client.send(&fresh).await.told(), forbidden("ExpiredProviderToken"));
    assert_eq!(Client::new(&simulator).await.send(&fresh).await.told(), taken());
}

#[tokio::test]
async fn a_certificate_stands_for_a_token() {
    let simulator = Simulator::start().await.unwrap();
    let mut client = Client::certified(&simulator).await;
    assert_eq!(client.send(&Request::bare(TOKEN)).await.told(), taken());
    assert_eq!(client.send(&push("bearer nonsense")).await.told(), taken(), "not looked at");
    assert_eq!(client.send(&Request::bare(TOKEN).without("apns-topic")).await.told(), taken(), "its own topic");
    let other = Request::bare(TOKEN).with("apns-topic", "com.example.app.voip");
    assert_eq!(client.send(&other).await.told(), (400, "TopicDisallowed".to_owned()));
    let requests = simulator.requests();
    assert!(requests.iter().all(|request| request.authenticated_by == AuthenticatedBy::Certificate));
}

#[tokio::test]
async fn a_certificate_is_good_for_the_topics_it_names() {
    let topics = [TOPIC, "com.example.app.voip"];
    let simulator = Simulator::builder().topics(topics).start().await.unwrap();
    let mut client = Client::certified(&simulator).await;
    for topic in topics {
        let push = Request::bare(TOKEN).without("apns-push-type").with("apns-topic", topic);
        assert_eq!(client.send(&push).await.told(), taken());
    }
    let answer = client.send(&Request::bare(TOKEN).without("apns-topic")).await;
    assert_eq!(answer.told(), (400, "MissingTopic".to_owned()), "which of them?");
    let answer = client.send(&Request::bare(TOKEN).with("apns-topic", "com.example.app.complication")).await;
    assert_eq!(answer.told(), (400, "TopicDisallowed".to_owned()));
}

#[tokio::test]
async fn one_kind_of_proof_can_be_all_that_counts() {
    let simulator = Simulator::builder().provider_auth(ProviderAuth::Token).start().await.unwrap();
    let mut client = Client::certified(&simulator).await;
    assert_eq!(client.send(&Request::bare(TOKEN)).await.told(), forbidden("MissingProviderToken"));

    let simulator = Simulator::builder().provider_auth(ProviderAuth::Certificate).start().await.unwrap();
    let mut client = Client::certified(&simulator).await;
    assert_eq!(client.send(&Request::bare(TOKEN)).await.told(), taken());
    let refused = match tls_offering(&simulator, simulator.http2_address(), Identity::None, &[b"h2"]).await {
        // With TLS 1.3 the client's handshake is over by then.
        Ok(mut client) => client.read_to_end().await.1.unwrap_err(),
        Err(error) => error,
    };
    assert!(refused.to_string().contains("CertificateRequired"), "{refused}");
}
