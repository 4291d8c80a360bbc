//! Both protocols over blocking sockets and rustls, without anything asynchronous.
//!
//! ```text
//! cargo run -p apns-proto --example blocking
//! ```
//!
//! It starts a pretend Apple on this machine, sends the same notifications over the binary gateway and over the HTTP/2
//! provider API, and fails when one of them does not end as it must. Everything that is not the protocol's is here:
//! sockets, TLS, the clock. `apns_proto::guide` explains it step by step.

#![allow(clippy::print_stdout, reason = "printing is what an example is for")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "an example is the place for I/O and clocks")]

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use apns_proto::binary::{self, Gateway};
use apns_proto::http2::{Credential, KeyId, ProviderApi, SigningKey, SigningSource, TeamId};
use apns_proto::machine::LINGER;
use apns_proto::session::Protocol;
use apns_proto::{
    DeviceToken, DialFailure, DialStep, End, LinkId, Notification, Now, Outcome, Payload, Session, SessionConfig,
    SessionEvent, TlsCause, Topic, Transmit,
};
use apns_sim::{Script, Simulator};
use bytes::BytesMut;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// The time for everything.
const LIMIT: Duration = Duration::from_secs(30);

/// How long a call on a socket blocks while there is something else to do.
const A_MOMENT: Duration = Duration::from_millis(1);

fn main() -> Result<(), Box<dyn Error>> {
    let script = Script::from_json(r#"{"invalid_tokens": ["02*"]}"#)?;
    let simulator = Simulator::builder().script(script).start_on_thread()?;

    let gateway = Session::new(Gateway::new(binary::Config::default()), SessionConfig::default());
    let place = Place { address: simulator.gateway_address(), tls: tls(&simulator, &[])? };
    check("binary", &send_all(gateway, &place, notifications()?));

    let tokens = SigningSource::new(
        SigningKey::read(simulator.signing_key_pem().as_bytes())?,
        KeyId::new(simulator.key_id())?,
        TeamId::new(simulator.team_id())?,
    );
    let api = ProviderApi::new(&simulator.http2_address().to_string(), Credential::Token(Arc::new(tokens)))?
        .with_topic(Topic::new("com.example.app")?);
    let provider = Session::new(api, SessionConfig::default());
    let place = Place { address: simulator.http2_address(), tls: tls(&simulator, &[b"h2"])? };
    check("HTTP/2", &send_all(provider, &place, notifications()?));
    Ok(())
}

/// Five notifications; the simulator's script refuses the one in the middle.
fn notifications() -> Result<Vec<Notification>, Box<dyn Error>> {
    let payload = Payload::alert("Tea is ready");
    let tokens = (0..5).map(|number| DeviceToken::from_bytes([number; 32]));
    Ok(tokens
        .map(|token| Ok(Notification::new(token?, payload.clone())))
        .collect::<Result<_, apns_proto::DeviceTokenError>>()?)
}

fn check(protocol: &str, outcomes: &[Outcome]) {
    for (number, outcome) in outcomes.iter().enumerate() {
        println!("{protocol}: {number} {}", outcome.word());
        match outcome {
            Outcome::Accepted { .. } => assert_ne!(number, 2),
            Outcome::Rejected(rejection) => assert!(number == 2, "{rejection:?}"),
            other => panic!("{number}: {other:?}"),
        }
    }
    assert_eq!(outcomes.len(), 5);
}

/// Where the service is, and how it is trusted.
struct Place {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
}

fn tls(simulator: &Simulator, alpn: &[&[u8]]) -> Result<Arc<ClientConfig>, Box<dyn Error>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(simulator.ca_pem().as_bytes())?)?;
    let certificate = CertificateDer::from_pem_slice(simulator.client_certificate_pem().as_bytes())?;
    let key = PrivateKeyDer::from_pem_slice(simulator.client_key_pem().as_bytes())?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate], key)?;
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

fn now() -> Now {
    Now::new(Instant::now(), SystemTime::now().into())
}

/// Sends all and gives each its outcome: a session, the sockets it asks for, and the loop between them.
fn send_all<P: Protocol<usize>>(
    mut session: Session<P, usize>,
    place: &Place,
    notifications: Vec<Notification>,
) -> Vec<Outcome> {
    let mut outcomes = vec![None; notifications.len()];
    for (key, notification) in notifications.into_iter().enumerate() {
        session.submit(now(), key, notification);
    }
    // Nothing more comes: settle all of it, and finish.
    session.close(now(), Some(Instant::now() + LIMIT));

    let mut links: Vec<Link> = Vec::new();
    while !(session.is_finished() && links.is_empty()) {
        if session.poll_timeout().is_some_and(|due| due <= Instant::now()) {
            session.handle_timeout(now());
        }
        while let Some(event) = session.poll_event() {
            match event {
                SessionEvent::Settled(settled) => outcomes[settled.key] = Some(settled.outcome),
                SessionEvent::Dial { link } => match Link::open(link, place) {
                    Ok(open) => {
                        if session.connected(now(), link) {
                            links.push(open);
                        }
                    }
                    Err(failure) => session.dial_failed(now(), link, failure),
                },
                _ => {}
            }
        }
        // With one connection and nothing to write, waiting for the peer is all there is to do.
        let until = session.poll_timeout().unwrap_or_else(|| Instant::now() + LIMIT);
        let alone = links.len() == 1;
        links.retain_mut(|link| link.turn(&mut session, if alone { until } else { Instant::now() }));
    }
    outcomes.into_iter().map(|outcome| outcome.expect("a finished session has settled everything")).collect()
}

/// One connection.
struct Link {
    id: LinkId,
    tcp: TcpStream,
    tls: ClientConnection,
    /// When to stop reading: set once writing is over.
    linger: Option<Instant>,
    reads: bool,
}

impl Link {
    fn open(id: LinkId, place: &Place) -> Result<Self, DialFailure> {
        let failed = |step, error: &dyn Error| DialFailure::passing(step, error.to_string());
        let mut tcp =
            TcpStream::connect_timeout(&place.address, LIMIT).map_err(|error| failed(DialStep::Connect, &error))?;
        tcp.set_nodelay(true).map_err(|error| failed(DialStep::Connect, &error))?;
        let name = ServerName::from(place.address.ip());
        let mut tls = ClientConnection::new(place.tls.clone(), name)
            .map_err(|error| DialFailure::tls(TlsCause::Settings, error.to_string()))?;
        tcp.set_read_timeout(Some(LIMIT)).map_err(|error| failed(DialStep::Tls, &error))?;
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp).map_err(|error| failed(DialStep::Tls, &error))?;
        }
        // A peer that no longer reads must not keep us from reading why.
        tcp.set_write_timeout(Some(A_MOMENT)).map_err(|error| failed(DialStep::Tls, &error))?;
        Ok(Self { id, tcp, tls, linger: None, reads: true })
    }

    /// Writes and reads what can be; says whether the connection goes on.
    fn turn<P: Protocol<usize>>(&mut self, session: &mut Session<P, usize>, until: Instant) -> bool {
        let writing = self.write(session);
        let until = self.linger.map_or(until, |end| end.min(until));
        self.read(session, if writing { Instant::now() } else { until });
        if self.linger.is_some_and(|end| end <= Instant::now()) {
            self.end(session, End::Cut);
        }
        self.reads || writing
    }

    /// Says whether there is more to write.
    fn write<P: Protocol<usize>>(&mut self, session: &mut Session<P, usize>) -> bool {
        // The machine is asked for more only when the transport took everything before.
        if self.linger.is_none() && !self.tls.wants_write() {
            let mut out = BytesMut::new();
            let transmit = session.poll_transmit(now(), self.id, &mut out);
            // The buffer of rustls has room for a chunk of the machine.
            self.tls.writer().write_all(&out).expect("a buffer takes what fits");
            if transmit == Transmit::Shutdown {
                self.tls.send_close_notify();
                self.linger = Some(Instant::now() + LINGER);
            }
        }
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.tcp) {
                Ok(_) => {}
                Err(error) if is_early(&error) => return true,
                Err(_) => {
                    // Writing is over, reading is not. All was offered to the socket, so none of it is known unsent.
                    self.linger.get_or_insert(Instant::now() + LINGER);
                    session.handle_write_failure(now(), self.id, 0);
                    return false;
                }
            }
        }
        if self.linger.is_some() {
            // It may be closed already.
            let _ = self.tcp.shutdown(Shutdown::Write);
        }
        false
    }

    fn read<P: Protocol<usize>>(&mut self, session: &mut Session<P, usize>, until: Instant) {
        if !self.reads {
            return;
        }
        let wait = until.saturating_duration_since(Instant::now()).max(A_MOMENT);
        let arrived = self.tcp.set_read_timeout(Some(wait)).and_then(|()| self.tls.read_tls(&mut self.tcp));
        match arrived {
            Err(error) if is_early(&error) => return,
            Err(_) => return self.end(session, End::Cut),
            Ok(_) => {}
        }
        match self.tls.process_new_packets() {
            Ok(_) => {}
            Err(error @ rustls::Error::AlertReceived(_)) => return self.end(session, End::Refused(error.to_string())),
            Err(_) => return self.end(session, End::Cut),
        }
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.tls.reader().read(&mut buffer) {
                Ok(0) => return self.end(session, End::Clean),
                Ok(count) => session.handle_input(now(), self.id, &buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => return self.end(session, End::Cut),
            }
        }
    }

    fn end<P: Protocol<usize>>(&mut self, session: &mut Session<P, usize>, end: End) {
        if self.reads {
            self.reads = false;
            session.handle_end(now(), self.id, end);
        }
    }
}

/// Not an end, only too early: each system says it in its own way.
fn is_early(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
