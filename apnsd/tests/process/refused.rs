//! A refused credential costs nothing but time, whatever refuses it and however it is mended.
//!
//! Notifications wait while the service refuses the credential; the daemon says so wherever somebody may look. Then the
//! credential is mended, and all of them are delivered, each once, over few connections.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use apns_sim::{Entry, ProviderAuth, Script, Service, Simulator};
use serde_json::{Value, json};

use tempfile::TempDir;

use crate::victim::{Victim, call, free_port, get, read_outcomes, token, until};

/// Who refuses the credential, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// The provider API answers 403 InvalidProviderToken: the key is another one.
    ProviderToken,
    /// The provider API answers 403 BadCertificate.
    Certificate,
    /// The provider API does not know who signed the certificate, and says so by a TLS alert.
    CertificateByTls,
    /// A gateway of the binary protocol does the same.
    GatewayByTls,
}

/// How the credential is mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mend {
    /// The file has another content, and SIGHUP is sent.
    Signal,
    /// The file has another content.
    File,
    /// The app is provisioned with another credential.
    Provisioning,
    /// The service takes the same credential from now on, and SIGHUP is sent.
    AtServiceThenSignal,
    /// The service takes the same credential from now on, and the app is provisioned as it was.
    AtServiceThenProvisioning,
}

/// So many connections are enough for all attempts and the delivery.
const CONNECTIONS: usize = 8;

/// After so many attempts the next is far away, so that one that comes soon comes from the mend.
const ATTEMPTS: u64 = 5;

pub(crate) async fn a_refused_credential_costs_nothing_but_time(notifications: u64, mended_after: Duration) {
    let cases = [Refusal::ProviderToken, Refusal::Certificate, Refusal::CertificateByTls, Refusal::GatewayByTls]
        .into_iter()
        .flat_map(|refusal| [Mend::Signal, Mend::File, Mend::Provisioning].map(|mend| (refusal, mend, 1)))
        .chain([Mend::AtServiceThenSignal, Mend::AtServiceThenProvisioning].map(|mend| (Refusal::Certificate, mend, 1)))
        // However many connections an app may have, one of them tries.
        .chain([Refusal::ProviderToken, Refusal::GatewayByTls].map(|refusal| (refusal, Mend::Signal, 4)));
    let cases = cases.map(|(refusal, mend, pool)| one_case(refusal, mend, pool, notifications, mended_after));
    futures_util::future::join_all(cases).await;
}

/// A daemon whose credential is somebody else's.
struct Scene {
    refusal: Refusal,
    simulator: Simulator,
    folder: TempDir,
    api: SocketAddr,
}

impl Scene {
    async fn new(refusal: Refusal, pool: usize) -> Self {
        let (auth, script) = match refusal {
            Refusal::ProviderToken | Refusal::GatewayByTls => (ProviderAuth::Either, "{}"),
            Refusal::CertificateByTls => (ProviderAuth::Certificate, "{}"),
            Refusal::Certificate => (
                ProviderAuth::AnyCertificate,
                r#"{"http2": {"rules": [{"when": {}, "then": [{"answer_with": {"status": 403, "reason": "BadCertificate"}}]}]}}"#,
            ),
        };
        let script = Script::from_json(script).unwrap();
        let simulator = Simulator::builder().provider_auth(auth).script(script).start().await.unwrap();
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        simulator.write_certificates(folder.path()).unwrap();
        let scene = Self { refusal, simulator, folder, api: free_port() };
        std::fs::write(scene.credential_file(), scene.credential_of_a_stranger().await).unwrap();
        let api = scene.api;
        let mut text = format!(
            "data = \"data\"\n[api]\nlisten = \"{api}\"\nmax_batch = 1000000\n[pyapns]\nenabled = false\n[apps.shop]\n"
        );
        text.push_str(&format!("connections = {pool}\n"));
        for (name, value) in scene.members(&json!(scene.credential_file()), "signing_key", "certificate") {
            text.push_str(&format!("{name} = {value}\n"));
        }
        std::fs::write(scene.config(), text).unwrap();
        scene
    }

    /// The definition of the app with this credential under one of these names.
    fn members(&self, credential: &Value, key: &str, certificate: &str) -> Vec<(String, Value)> {
        let port = match self.refusal {
            Refusal::GatewayByTls => self.simulator.gateway_address().port(),
            _ => self.simulator.http2_address().port(),
        };
        let mut members = json!({"environment": "sandbox", "topic": "com.example.app", "host": "localhost", "port": port,
                                 "ca": self.folder.path().join("ca.pem")});
        let more = match self.refusal {
            Refusal::ProviderToken => {
                json!({key: credential, "key_id": self.simulator.key_id(), "team_id": self.simulator.team_id()})
            }
            Refusal::Certificate | Refusal::CertificateByTls => json!({certificate: credential}),
            Refusal::GatewayByTls => {
                json!({certificate: credential, "transport": "binary", "feedback_host": "localhost",
                                            "feedback_port": self.simulator.feedback_address().port()})
            }
        };
        members.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        members.as_object().unwrap().clone().into_iter().collect()
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("apnsd.toml")
    }

    fn credential_file(&self) -> PathBuf {
        self.folder.path().join("credential")
    }

    fn credential_of(&self, simulator: &Simulator) -> String {
        match self.refusal {
            Refusal::ProviderToken => simulator.signing_key_pem().to_owned(),
            _ => format!("{}{}", simulator.client_certificate_pem(), simulator.client_key_pem()),
        }
    }

    /// Of another service, whose authority has the same name as this one's, or of nobody.
    async fn credential_of_a_stranger(&self) -> String {
        if self.refusal == Refusal::GatewayByTls {
            let key = rcgen::KeyPair::generate().unwrap();
            let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
            return format!("{}{}", certificate.pem(), key.serialize_pem());
        }
        self.credential_of(&Simulator::start().await.unwrap())
    }

    /// What the refusal is called in the figures.
    const fn reason(&self) -> &'static str {
        match self.refusal {
            Refusal::ProviderToken => "InvalidProviderToken",
            Refusal::Certificate => "BadCertificate",
            Refusal::CertificateByTls | Refusal::GatewayByTls => "tls",
        }
    }

    async fn hand_in(&self, notifications: u64) {
        let batch: Vec<Value> = (0..notifications)
            .map(|number| json!({"token": token(number), "payload": {"aps": {"alert": "Tea is ready"}}}))
            .collect();
        let body = serde_json::to_string(&batch).unwrap();
        let path = "/v1/apps/shop/notifications";
        let (status, answer) = until("the daemon answers", async || call(self.api, "POST", path, &body).await).await;
        assert_eq!(status, 202, "{answer}");
    }

    /// How often the credential was refused.
    async fn refusals(&self) -> u64 {
        let line = format!("apnsd_credential_refusals_total{{app=\"shop\",reason=\"{}\"}} ", self.reason());
        let metrics = get(self.api, "/metrics").await;
        metrics.lines().find_map(|found| found.strip_prefix(&line)).map_or(0, |count| count.parse().unwrap())
    }

    /// That it fails, why, and what to do, is said wherever somebody may look.
    async fn expect_said_everywhere(&self, victim: &Victim) {
        let app: Value = serde_json::from_str(&get(self.api, "/v1/apps/shop").await).unwrap();
        assert_eq!(app["health"], "failing", "{app}");
        let (reason, remedy) = match self.refusal {
            Refusal::ProviderToken => ("403 InvalidProviderToken", "key"),
            Refusal::Certificate => ("403 BadCertificate", "certificate"),
            Refusal::CertificateByTls | Refusal::GatewayByTls => ("the server refused", "Use a certificate that"),
        };
        let (page, log, ready) = (get(self.api, "/").await, victim.log(), get(self.api, "/readyz").await);
        let line = log.lines().find(|line| line.contains("ERROR") && line.contains("app shop: it cannot send until"));
        for (place, text) in [
            ("API", app["why"].as_str().unwrap()),
            ("page", page.split("class=\"warning failing\"").nth(1).unwrap_or_default()),
            ("log", line.unwrap_or_default()),
            ("readiness", ready.as_str()),
        ] {
            assert!(text.contains(reason) && text.contains(remedy), "{place}: {text}");
        }
        let (status, _) = call(self.api, "GET", "/readyz", "").await.unwrap();
        assert_eq!(status, 200, "callers can be served: {ready}");
        let metrics = get(self.api, "/metrics").await;
        assert!(metrics.contains("apnsd_app_health{app=\"shop\",state=\"failing\"} 1\n"), "{metrics}");
        assert!(!metrics.contains("apnsd_ended_total{"), "nothing has ended: {metrics}");
    }

    async fn provision(&self, members: Vec<(String, Value)>) {
        let body = Value::Object(members.into_iter().collect()).to_string();
        let (status, answer) = call(self.api, "PUT", "/v1/apps/shop", &body).await.unwrap();
        assert_eq!(status, 200, "{answer}");
    }

    async fn mend(&self, mend: Mend, victim: &Victim) {
        if self.refusal == Refusal::Certificate {
            self.simulator.set_script(Script::from_json("{}").unwrap());
        }
        let credential = self.credential_of(&self.simulator);
        match mend {
            Mend::Provisioning => {
                self.provision(self.members(&json!(credential), "signing_key_data", "certificate_data")).await;
            }
            Mend::AtServiceThenProvisioning => {
                self.provision(self.members(&json!(self.credential_file()), "signing_key", "certificate")).await;
            }
            Mend::AtServiceThenSignal => victim.signal("-HUP"),
            Mend::Signal | Mend::File => {
                // As a careful person does it: never half a file.
                let next = self.folder.path().join("next");
                std::fs::write(&next, credential).unwrap();
                std::fs::rename(next, self.credential_file()).unwrap();
                if mend == Mend::Signal {
                    victim.signal("-HUP");
                }
            }
        }
    }

    /// How many connections were made to where notifications go, with those whose handshake failed.
    fn connections(&self) -> usize {
        self.simulator.inspect(|log| {
            let made = log.entries().iter().filter(|entry| match entry {
                Entry::Connected { service, .. } | Entry::HandshakeFailed { service, .. } => {
                    *service != Service::Feedback
                }
                _ => false,
            });
            made.count()
        })
    }

    /// The device tokens of what was taken.
    fn taken(&self) -> Vec<Vec<u8>> {
        self.simulator.inspect(|log| {
            let requests = log.requests().filter(|request| request.accepted()).filter_map(|one| one.token.clone());
            let records = log.received().filter(|record| record.accepted()).map(|one| one.token.clone());
            requests.chain(records).map(|token| token.to_vec()).collect()
        })
    }
}

async fn one_case(refusal: Refusal, mend: Mend, pool: usize, notifications: u64, mended_after: Duration) {
    let scene = Scene::new(refusal, pool).await;
    let victim = Victim::start(&scene.config());
    scene.hand_in(notifications).await;
    let began = Instant::now();
    let name = format!("{refusal:?} {mend:?}");
    until(&format!("{name}: it is refused"), async || (scene.refusals().await >= 1).then_some(())).await;
    scene.expect_said_everywhere(&victim).await;
    until(&format!("{name}: it is refused again"), async || (scene.refusals().await >= ATTEMPTS).then_some(())).await;
    tokio::time::sleep(mended_after.saturating_sub(began.elapsed())).await;
    scene.expect_said_everywhere(&victim).await;
    let refused = scene.refusals().await;

    let attempts = scene.connections();
    assert!(attempts as u64 <= refused + 2, "{attempts} connections for {refused} refusals");

    let waited = began.elapsed();
    scene.mend(mend, &victim).await;
    let mended = Instant::now();
    until(&format!("{name}: the first is taken"), async || (!scene.taken().is_empty()).then_some(())).await;
    let first = mended.elapsed();
    let outcomes = read_outcomes(scene.api, "shop", usize::try_from(notifications).unwrap()).await;
    let all = mended.elapsed();
    let (connections, taken) = (scene.connections(), scene.taken());
    println!(
        "{refusal:?}, {pool} wanted, mended after {waited:.1?} and {refused} refusals by {mend:?}: the first taken within {first:.1?}, all \
         {} within {all:.1?}, {connections} connections",
        taken.len()
    );
    assert!(outcomes.iter().all(|outcome| outcome["outcome"] == "accepted"), "none is refused, none is in doubt");
    let different: BTreeSet<&Vec<u8>> = taken.iter().collect();
    assert_eq!((taken.len() as u64, different.len() as u64), (notifications, notifications), "each of them once");
    assert!(connections < CONNECTIONS + pool, "{connections} connections");
    if mend != Mend::File {
        assert!(first < Duration::from_secs(5), "it is tried at once, and not only when it is due: {first:?}");
    }
    let app: Value = serde_json::from_str(&get(scene.api, "/v1/apps/shop").await).unwrap();
    assert_eq!((&app["health"], &app["why"]), (&json!("working"), &Value::Null), "{app}");
}
