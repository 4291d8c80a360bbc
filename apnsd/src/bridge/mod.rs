//! The bridge: clients of the binary protocol connect here, and what they send goes out over today's API.
//!
//! ```text
//! client ──TLS──► KnownClients ──► ClientConnection: Reading ──► Service ──► … the service
//!                            ▲        │ Resends (what is sent again)
//!                            │        ▼
//!                  error response ◄── Line ◄── Taken ◄── outcomes
//! ```
//!
//! A connection takes what it reads into the outbox and puts it into its [`line`]. Outcomes come back in any order; the
//! line says which refusal is told, and when. What stood behind that one is held for [`resend`].

mod clients;
mod config;
mod ending;
mod feedback;
mod gateway;
mod line;
mod reading;
mod resend;
mod status;
mod taken;
mod tls;

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use apns_credentials::disclosure::shown;
use apns_driver::tls::rustls::words;
use apns_proto::{PushType, Topic};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{self, CertificateError, PeerIncompatible, SignatureAlgorithm};
use tokio_rustls::server::TlsStream;

use self::clients::{Admission, Admitted, Clients, UnknownClient};
pub use self::config::{BridgeClient, BridgeConfig, BridgeErrors, BridgeLimits, KnownBy};
use self::gateway::{ClientConnection, Leave, Storing};
use self::reading::Reading;
pub(crate) use self::status::refusal;
use self::tls::KnownClients;
use crate::AppName;
use crate::config::{Config, ConfigError};
use crate::daemon::DaemonError;
use crate::delivery::Snapshot;
use crate::interface::{Active, Bound, Starting};
use crate::listen::{CertificateFiles, Connections, Place, ServerCertificate, listen};
use crate::service::Service;

/// The running bridge.
#[derive(Debug)]
struct Bridge {
    service: Service,
    known: Arc<KnownClients>,
    /// Where it was told to listen.
    addresses: (SocketAddr, SocketAddr),
    storing: watch::Sender<usize>,
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    service: Service,
    config: BridgeConfig,
    known: Arc<KnownClients>,
    certificate: Arc<ServerCertificate>,
    tls: Arc<rustls::ServerConfig>,
    clients: Clients,
    /// One reader of feedback of each app at a time: the next begins where the one before has ended.
    readers: Mutex<HashMap<AppName, Arc<tokio::sync::Mutex<()>>>>,
    complaints: Complaints,
    storing: watch::Sender<usize>,
}

/// Which of the two services a port is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Gateway,
    Feedback,
}

/// How many may be shaking hands at a port at the same time. The longest there makes room for one more.
const HANDSHAKES: usize = 128;

/// How long connections may take to end when the bridge goes down.
const ENDED_WITHIN: Duration = Duration::from_secs(12);

/// Where the bridge keeps the certificate that it makes for itself, in the data directory.
const OWN_CERTIFICATE: &str = "bridge-tls";

impl Bridge {
    /// Takes both ports, and reads their certificate or makes one in the data directory.
    fn bind(bridge: &BridgeConfig, config: &Config) -> Result<Bound, DaemonError> {
        let (gateway, shown) = listen("bridge.listen", "the bridge's push gateway", None, bridge.listen)?;
        let field = "bridge.feedback_listen";
        let (feedback, feedback_shown) = listen(field, "the bridge's feedback service", None, bridge.feedback_listen)?;
        let certificate = ServerCertificate::new(certificate(bridge, &config.data)?.read()?);
        let (bridge, shows) = (bridge.clone(), certificate.clone());
        Ok(Bound {
            ports: vec![shown, feedback_shown],
            certificate: Some(("bridge", certificate)),
            start: Some(Box::new(move |starting| Self::start([gateway, feedback], bridge, shows, starting))),
        })
    }

    fn start(
        [gateway, feedback]: [TcpListener; 2],
        config: BridgeConfig,
        certificate: Arc<ServerCertificate>,
        starting: &mut Starting<'_>,
    ) {
        let tokens = !starting.config.tokens.is_empty();
        let service = starting.service.clone();
        let addresses = (config.listen, config.feedback_listen);
        let known = Arc::new(KnownClients::new(service.clone(), Admission::new(&config, tokens)));
        let storing = watch::Sender::new(0);
        let shared = Arc::new(Shared {
            service: service.clone(),
            tls: tls::settings(known.clone(), certificate.clone()),
            config,
            known: known.clone(),
            certificate,
            clients: Clients::default(),
            readers: Mutex::default(),
            complaints: Complaints::default(),
            storing: storing.clone(),
        });
        for (role, listener) in [(Role::Gateway, gateway), (Role::Feedback, feedback)] {
            let welcome = shared.clone().welcome(role, listener, starting.stopping.clone());
            starting.tasks.push(tokio::spawn(welcome));
        }
        starting.active.push(Box::new(Self { known, addresses, storing, service }));
    }

    /// What it did, for readers of the log.
    fn tell(&self) {
        for app in self.service.list() {
            let Ok(Snapshot { bridge, .. }) = self.service.snapshot(&app.name) else { continue };
            if bridge.recognised > 0 || !bridge.responses.is_empty() {
                let responses: u64 = bridge.responses.values().sum();
                tracing::info!(
                    "bridge: app {}: {responses} error responses, and {} recognised that were sent again",
                    app.name,
                    bridge.recognised
                );
            }
        }
    }
}

impl Active for Bridge {
    /// Whom it lets in. What is connected stays so.
    fn reload(&self, config: &Config) -> Result<Box<dyn FnOnce() + Send>, ConfigError> {
        let Some(mut bridge) = config.bridge.clone() else { return Ok(Box::new(|| ())) };
        // Its ports stay as they were started, and whether others can reach them decides what is needed.
        (bridge.listen, bridge.feedback_listen) = self.addresses;
        let tokens = !config.tokens.is_empty();
        bridge.check_clients(tokens)?;
        let (known, admission) = (self.known.clone(), Admission::new(&bridge, tokens));
        Ok(Box::new(move || known.replace(admission)))
    }

    /// Everything whole that was read is stored. It is bounded.
    fn stored(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let mut storing = self.storing.subscribe();
            // The sender lives as long as this.
            drop(storing.wait_for(|storing| *storing == 0).await);
            self.tell();
        })
    }
}

/// The files of the certificate that the configuration names, or of one that is made in the data directory.
fn certificate(config: &BridgeConfig, data: &Path) -> Result<CertificateFiles, ConfigError> {
    let (certificate, key) = match config.server.clone() {
        Some(files) => files,
        None => {
            let folder = data.join(OWN_CERTIFICATE);
            tls::own_certificate(&folder, &config.names).map_err(|error| {
                let problem = format_args!("no certificate can be made in {}: {error}", shown(&folder));
                ConfigError::at("bridge.certificate", problem)
            })?;
            tracing::info!("the bridge's own certificate: clients have to trust {}", shown(&folder.join("ca.pem")));
            (folder.join("server.pem"), folder.join("server.key"))
        }
    };
    Ok(CertificateFiles { table: "bridge", certificate, key })
}

impl Shared {
    async fn welcome(self: Arc<Self>, role: Role, listener: TcpListener, mut stop: watch::Receiver<bool>) {
        // Those who have not shown who they are yet make room for each other, and for nobody else.
        let handshakes = Arc::new(Connections::new(HANDSHAKES));
        let connections = Arc::new(Connections::new(self.config.limits.connections));
        let mut tasks = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            while tasks.try_join_next().is_some() {}
            let Ok((stream, peer)) = accepted else {
                // Out of file descriptors, most likely. Clients in their handshake make room, and then the idle.
                if !handshakes.evict() {
                    connections.evict();
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            // None of them is busy, so the longest there leaves.
            let Some(place) = handshakes.take() else { continue };
            tasks.spawn(self.clone().receive(role, stream, peer, place, connections.clone(), stop.clone()));
        }
        drop(listener);
        let ended = async { while tasks.join_next().await.is_some() {} };
        if timeout(ENDED_WITHIN, ended).await.is_err() {
            tasks.shutdown().await;
        }
    }

    async fn receive(
        self: Arc<Self>,
        role: Role,
        stream: TcpStream,
        peer: SocketAddr,
        handshake: Place,
        connections: Arc<Connections>,
        mut stop: watch::Receiver<bool>,
    ) {
        // Only speed is lost without it.
        drop(stream.set_nodelay(true));
        let shake = timeout(self.config.limits.handshake_within, TlsAcceptor::from(self.tls.clone()).accept(stream));
        let shaken = tokio::select! {
            biased;
            // A client for whom the handshake is over is told properly of whatever comes.
            shaken = shake => shaken,
            () = handshake.slot.leave.notified() => return,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let mut stream = match shaken {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return self.complaints.say(peer.ip(), &why(&error, self.certificate.algorithm())),
            Err(_) => return self.complaints.say(peer.ip(), "the TLS handshake took too long"),
        };
        let Some(admitted) = self.admitted(&stream) else { return };
        drop(handshake);
        let Some(place) = connections.take() else {
            self.complaints.say(peer.ip(), "all connections are taken, and none is idle");
            return;
        };
        match role {
            Role::Feedback => {
                let reader = self.reader(&admitted.app);
                let _alone = reader.lock().await;
                feedback::serve(&mut stream, &self.service, &admitted.app, self.config.errors).await;
            }
            Role::Gateway => {
                if self.connection(admitted, place, stop).run(&mut stream).await == Leave::ByReset {
                    // Where that fails the system ends it in its own way.
                    drop(stream.get_ref().0.set_zero_linger());
                }
            }
        }
    }

    fn admitted(&self, stream: &TlsStream<TcpStream>) -> Option<Admitted> {
        let certificate = stream.get_ref().1.peer_certificates()?.first()?;
        self.known.admit(certificate).ok()
    }

    fn reader(&self, app: &AppName) -> Arc<tokio::sync::Mutex<()>> {
        self.readers.lock().entry(app.clone()).or_default().clone()
    }

    fn connection(&self, admitted: Admitted, place: Place, stop: watch::Receiver<bool>) -> ClientConnection {
        let own_topic = self.service.info(&admitted.app).ok().and_then(|app| app.topic);
        let topic = topic_of(own_topic.as_deref(), admitted.topic.as_deref());
        let reading = Reading::new(self.config.max_payload, topic);
        ClientConnection {
            service: self.service.clone(),
            environment: admitted.environment,
            client: self.clients.enter(Instant::now().into_std(), admitted),
            errors: self.config.errors,
            idle: self.config.limits.idle,
            reading,
            place,
            stop,
            storing: Storing::counted_by(&self.storing),
        }
    }
}

/// The topic of a client's notifications, where it is not the app's own.
///
/// An app that says what its topic is knows better than an old certificate, but for the push type that it is for.
fn topic_of(own: Option<&str>, named: Option<&str>) -> Option<Topic> {
    let named = named?;
    let Some(own) = own else { return Topic::new(named).ok() };
    let push_type = PushType::of_topic(named)?;
    if PushType::of_topic(own).is_some() || push_type.topic_suffix().is_empty() {
        return None;
    }
    Topic::new(push_type.topic(own)).ok()
}

/// Why a handshake failed, for a log. The key of the server's certificate has a part in it.
fn why(error: &io::Error, key: SignatureAlgorithm) -> String {
    let Some(error) = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) else {
        return format!("the TLS handshake broke off: {error}");
    };
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(other)) => {
            match other.0.downcast_ref::<UnknownClient>() {
                Some(unknown) => unknown.to_string(),
                None => words(error),
            }
        }
        rustls::Error::NoCertificatesPresented => "it shows no client certificate".to_owned(),
        rustls::Error::PeerIncompatible(
            PeerIncompatible::NoCipherSuitesInCommon | PeerIncompatible::NoKxGroupsInCommon,
        ) => {
            let suites = match key {
                SignatureAlgorithm::RSA => "ECDHE-RSA",
                // Ed25519 keys go with the same suites.
                _ => "ECDHE-ECDSA (ECDHE-RSA if the bridge is given an RSA certificate)",
            };
            let groups = "X25519, P-256 or P-384";
            format!("it offers none of the cipher suites here: {suites} with AES-GCM or ChaCha20, on {groups}")
        }
        rustls::Error::PeerIncompatible(_) => words(error),
        rustls::Error::AlertReceived(_) => {
            format!("{}: most likely it does not trust the bridge's certificate, or the name in it", words(error))
        }
        error => format!("the TLS handshake failed: {}", words(error)),
    }
}

/// Says who could not be let in, and why, but not for ever.
#[derive(Debug, Default)]
struct Complaints(Mutex<Said>);

#[derive(Debug, Default)]
struct Said {
    minute: Option<Instant>,
    /// By address and text, so that one that comes again and again is one line a minute.
    lines: HashSet<(IpAddr, String)>,
    left_out: u64,
}

/// The most lines in a minute.
const LINES: usize = 20;

impl Complaints {
    fn say(&self, from: IpAddr, what: &str) {
        let mut said = self.0.lock();
        let now = Instant::now();
        if said.minute.is_none_or(|minute| now.duration_since(minute) >= Duration::from_secs(60)) {
            if said.left_out > 0 {
                tracing::warn!("bridge: {} more were not let in", said.left_out);
            }
            *said = Said { minute: Some(now), ..Said::default() };
        }
        let key = (from, what.to_owned());
        if said.lines.len() >= LINES || said.lines.contains(&key) {
            said.left_out += 1;
            return;
        }
        said.lines.insert(key);
        tracing::warn!("bridge: a client at {from} is not let in: {what}");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_push_type_of_a_clients_certificate_is_kept_whatever_topic_the_app_has() {
        fn topic(own: Option<&str>, named: Option<&str>) -> Option<String> {
            topic_of(own, named).map(|topic| topic.to_string())
        }
        assert_eq!(topic(None, Some("com.x.voip")).as_deref(), Some("com.x.voip"));
        assert_eq!(topic(Some("com.x"), Some("com.x")), None);
        assert_eq!(topic(Some("com.x"), None), None);
        for push_type in PushType::known().filter(|known| !known.topic_suffix().is_empty()) {
            let suffixed = push_type.topic("com.x").into_owned();
            assert_eq!(topic(Some("com.x"), Some(&suffixed)), Some(suffixed.clone()));
            assert_eq!(topic(Some("com.y"), Some(&suffixed)), Some(push_type.topic("com.y").into_owned()));
            assert_eq!(topic(Some(&suffixed), Some("com.x")), None, "the app has the push type already");
        }
        assert_eq!(topic(Some("com.x"), Some("com.apple.mgmt.External.1")), None);
    }

    use super::*;

    #[test]
    fn what_an_old_client_lacks_is_said_in_words() {
        let said = |lacks: PeerIncompatible, key| why(&io::Error::other(rustls::Error::PeerIncompatible(lacks)), key);
        let old = said(PeerIncompatible::SignatureAlgorithmsExtensionRequired, SignatureAlgorithm::RSA);
        assert_eq!(old, "its TLS is older than 1.2, the oldest that is spoken here");
        let with_rsa = said(PeerIncompatible::NoCipherSuitesInCommon, SignatureAlgorithm::RSA);
        assert!(with_rsa.contains(": ECDHE-RSA with AES-GCM or ChaCha20"), "{with_rsa}");
        let with_ecdsa = said(PeerIncompatible::NoCipherSuitesInCommon, SignatureAlgorithm::ECDSA);
        assert!(
            with_ecdsa.contains(": ECDHE-ECDSA (ECDHE-RSA if the bridge is given an RSA certificate)"),
            "{with_ecdsa}"
        );
    }
}
