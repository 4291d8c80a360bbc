//! The bridge: clients of the binary protocol connect here, and what they send goes out over today's API.
//!
//! ```text
//! client ──TLS──► Door ──► Visit: Reading ──► Service ──► … the service
//!                            ▲        │ Resends (what is sent again)
//!                            │        ▼
//!                  error response ◄── Line ◄── Taken ◄── outcomes
//! ```
//!
//! A connection takes what it reads into the outbox and puts it into its [`line`]. Outcomes come back in any order; the
//! line says which refusal is told, and when. What stood behind that one is held for [`resend`].

mod clients;
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
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apns_credentials::disclosure::shown;
use apns_driver::tls::rustls::words;
use apns_proto::{PushType, Topic};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{self, CertificateError, PeerIncompatible, SignatureAlgorithm};
use tokio_rustls::server::TlsStream;

use self::clients::{Admission, Admitted, Clients, Stranger};
use self::gateway::{Leave, Storing, Visit};
use self::reading::Reading;
pub(crate) use self::status::refusal;
use self::tls::Door;
use crate::AppName;
use crate::config::{BridgeConfig, ConfigError};
use crate::listen::{Connections, Place, ServerCertificate};
use crate::service::Service;

/// The two ports, which are listened at, and nobody is answered yet.
#[derive(Debug)]
pub(crate) struct Ports {
    gateway: TcpListener,
    feedback: TcpListener,
}

/// Which port could not be listened at.
#[derive(Debug)]
pub(crate) struct NoPort {
    pub(crate) field: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) source: io::Error,
}

impl Ports {
    /// Listens at both.
    pub(crate) fn bind(config: &BridgeConfig) -> Result<Self, NoPort> {
        let bind = |field, address| listen(address).map_err(|source| NoPort { field, address, source });
        Ok(Self {
            gateway: bind("bridge.listen", config.listen)?,
            feedback: bind("bridge.feedback_listen", config.feedback_listen)?,
        })
    }

    /// Where they are: the gateway, and the feedback service.
    pub(crate) fn addresses(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        (self.gateway.local_addr().ok(), self.feedback.local_addr().ok())
    }
}

/// With keep-alive, which connections inherit: a peer that is gone without a word does not keep its place for ever.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if cfg!(unix) {
        socket.set_reuseaddr(true)?;
    }
    socket.set_keepalive(true)?;
    socket.bind(address)?;
    socket.listen(1024)
}

/// The running bridge.
#[derive(Debug)]
pub(crate) struct Bridge {
    door: Arc<Door>,
    certificate: Arc<ServerCertificate>,
    storing: watch::Sender<usize>,
    tasks: Vec<JoinHandle<()>>,
}

/// What all connections share.
#[derive(Debug)]
struct Hall {
    service: Service,
    config: BridgeConfig,
    door: Arc<Door>,
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
    /// Reads the certificate of the ports, or makes one in the data directory.
    pub(crate) fn certificate(config: &BridgeConfig, data: &Path) -> Result<Arc<ServerCertificate>, ConfigError> {
        let certified = match &config.server {
            Some((certificate, key)) => ServerCertificate::read_files("bridge", certificate, key)?,
            None => {
                let folder = data.join(OWN_CERTIFICATE);
                tls::own_certificate(&folder, &config.names).map_err(|error| {
                    let problem = format_args!("no certificate can be made in {}: {error}", shown(&folder));
                    ConfigError::at("bridge.certificate", problem)
                })?;
                tracing::info!("the bridge's own certificate: clients have to trust {}", shown(&folder.join("ca.pem")));
                ServerCertificate::read_files("bridge", &folder.join("server.pem"), &folder.join("server.key"))?
            }
        };
        Ok(ServerCertificate::new(certified))
    }

    /// Answers from now on, until `stop` says so.
    pub(crate) fn start(
        ports: Ports,
        config: BridgeConfig,
        certificate: Arc<ServerCertificate>,
        service: Service,
        stop: &watch::Receiver<bool>,
    ) -> Self {
        let door = Arc::new(Door::new(service.clone(), Admission::new(&config)));
        let storing = watch::Sender::new(0);
        let hall = Arc::new(Hall {
            service,
            tls: tls::settings(door.clone(), certificate.clone()),
            config,
            door: door.clone(),
            certificate: certificate.clone(),
            clients: Clients::default(),
            readers: Mutex::default(),
            complaints: Complaints::default(),
            storing: storing.clone(),
        });
        let tasks = [(Role::Gateway, ports.gateway), (Role::Feedback, ports.feedback)]
            .map(|(role, listener)| tokio::spawn(hall.clone().welcome(role, listener, stop.clone())));
        Self { door, certificate, storing, tasks: tasks.into() }
    }

    /// Lets in whom this says from now on. What is connected stays so.
    pub(crate) fn admit(&self, config: &BridgeConfig) {
        self.door.replace(Admission::new(config));
    }

    /// The certificate that new connections are shown.
    pub(crate) const fn server_certificate(&self) -> &Arc<ServerCertificate> {
        &self.certificate
    }

    /// Waits until everything whole that was read is stored, after the order to stop. Bounded by itself.
    pub(crate) async fn stored(&self) {
        let mut storing = self.storing.subscribe();
        // The sender lives as long as this.
        drop(storing.wait_for(|storing| *storing == 0).await);
    }

    /// Waits until all connections have ended.
    pub(crate) async fn ended(self) {
        for task in self.tasks {
            // One that failed has ended.
            drop(task.await);
        }
    }
}

impl Hall {
    async fn welcome(self: Arc<Self>, role: Role, listener: TcpListener, mut stop: watch::Receiver<bool>) {
        // Those who have not shown who they are yet make room for each other, and for nobody else.
        let strangers = Arc::new(Connections::new(HANDSHAKES));
        let connections = Arc::new(Connections::new(self.config.limits.connections));
        let mut tasks = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            while tasks.try_join_next().is_some() {}
            let Ok((stream, peer)) = accepted else {
                // Out of file descriptors, most likely. Strangers make room, and then the idle.
                if !strangers.evict() {
                    connections.evict();
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            // None of them is busy, so the longest there leaves.
            let Some(place) = strangers.take() else { continue };
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
        stranger: Place,
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
            () = stranger.seat.leave.notified() => return,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let mut stream = match shaken {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return self.complaints.say(peer.ip(), &why(&error, self.certificate.algorithm())),
            Err(_) => return self.complaints.say(peer.ip(), "the TLS handshake took too long"),
        };
        let Some(admitted) = self.admitted(&stream) else { return };
        drop(stranger);
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
                if self.visit(admitted, place, stop).run(&mut stream).await == Leave::ByReset {
                    // Where that fails the system ends it in its own way.
                    drop(stream.get_ref().0.set_zero_linger());
                }
            }
        }
    }

    fn admitted(&self, stream: &TlsStream<TcpStream>) -> Option<Admitted> {
        let certificate = stream.get_ref().1.peer_certificates()?.first()?;
        self.door.admit(certificate).ok()
    }

    fn reader(&self, app: &AppName) -> Arc<tokio::sync::Mutex<()>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).entry(app.clone()).or_default().clone()
    }

    fn visit(&self, admitted: Admitted, place: Place, stop: watch::Receiver<bool>) -> Visit {
        let own_topic = self.service.info(&admitted.app).ok().and_then(|app| app.topic);
        let topic = topic_of(own_topic.as_deref(), admitted.topic.as_deref());
        let reading = Reading::new(self.config.max_payload, topic);
        Visit {
            service: self.service.clone(),
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
        rustls::Error::InvalidCertificate(CertificateError::Other(other)) => match other.0.downcast_ref::<Stranger>() {
            Some(stranger) => stranger.to_string(),
            None => words(error),
        },
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
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
