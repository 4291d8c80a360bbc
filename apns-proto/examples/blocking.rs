//! Both protocols over blocking sockets and rustls, without anything asynchronous.
//!
//! ```text
//! cargo run -p apns-proto --example blocking
//! ```
//!
//! It starts a simulator on this machine, sends the same notifications over the binary gateway and over the HTTP/2
//! provider API, and fails when one of them does not end as it must. Everything that is not the protocol's is here:
//! sockets, TLS, the clock. `apns_proto::guide` explains it step by step.

#![allow(clippy::print_stdout, reason = "printing is what an example is for")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "an example is the place for I/O and clocks")]

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use apns_credentials::{SigningKey, SigningSource};
use apns_proto::Opener;
use apns_proto::binary::{self, BinaryApi};
use apns_proto::http2::{Credential, KeyId, ProviderApi, TeamId};
use apns_proto::machine::LINGER;
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

/// How long to wait where there is more than one thing to wait for.
const A_MOMENT: Duration = Duration::from_millis(1);

fn main() -> Result<(), Box<dyn Error>> {
    let script = Script::from_json(r#"{"invalid_tokens": ["02*"]}"#)?;
    let simulator = Simulator::builder().script(script).start_on_thread()?;

    let gateway = Session::new(BinaryApi::new(binary::Config::default()), SessionConfig::default());
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
fn send_all<P: Opener<usize, Message = Notification>>(
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
    let mut finished = false;
    while !(finished && links.is_empty()) {
        let mut moved = false;
        let begun = now();
        for link in &mut links {
            moved |= link.write(&mut session);
            moved |= link.read(&mut session);
        }
        // What is there has been read: now deadlines may be judged, with the time from before.
        if !moved && session.poll_timeout().is_some_and(|due| due <= begun.instant) {
            session.handle_timeout(begun);
            moved = true;
        }
        links.retain(|link| link.reads || link.writes);
        while let Some(event) = session.poll_event() {
            moved = true;
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
                SessionEvent::Finished => finished = true,
                _ => {}
            }
        }
        if !moved {
            wait(&session, &links);
        }
    }
    outcomes.into_iter().map(|outcome| outcome.expect("a finished session has settled everything")).collect()
}

/// Until something can move. A blocking socket cannot be waited for together with others: with several connections, or
/// with something to write, this looks again after a moment.
fn wait<P: Opener<usize>>(session: &Session<P, usize>, links: &[Link]) {
    let lingering = links.iter().filter_map(|link| link.linger);
    let due = session.poll_timeout().into_iter().chain(lingering).min();
    let span = due.map_or(LIMIT, |due| due.saturating_duration_since(Instant::now())).max(A_MOMENT);
    match links {
        [] => std::thread::sleep(span),
        [link] if !link.tls.wants_write() => link.wait(span),
        _ => std::thread::sleep(A_MOMENT),
    }
}

/// One connection.
struct Link {
    id: LinkId,
    tcp: TcpStream,
    tls: ClientConnection,
    writes: bool,
    reads: bool,
    /// When to stop reading: set once the machine has said its last, or writing failed.
    linger: Option<Instant>,
}

impl Link {
    fn open(id: LinkId, place: &Place) -> Result<Self, DialFailure> {
        let connecting = |error: io::Error| DialFailure::passing(DialStep::Connect, error.to_string());
        let mut tcp = TcpStream::connect_timeout(&place.address, LIMIT).map_err(connecting)?;
        tcp.set_nodelay(true).map_err(connecting)?;
        tcp.set_read_timeout(Some(LIMIT)).map_err(connecting)?;
        let mut tls = ClientConnection::new(place.tls.clone(), ServerName::from(place.address.ip()))
            .map_err(|error| DialFailure::tls(TlsCause::Settings, error.to_string()))?;
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp).map_err(|error| DialFailure::passing(DialStep::Tls, error.to_string()))?;
        }
        // From here on neither side may keep the other waiting: a peer that no longer reads may still say why.
        tcp.set_nonblocking(true).map_err(connecting)?;
        Ok(Self { id, tcp, tls, writes: true, reads: true, linger: None })
    }

    /// Until there is something to read, or this time is over.
    fn wait(&self, span: Duration) {
        let blocking = self.tcp.set_nonblocking(false).and_then(|()| self.tcp.set_read_timeout(Some(span)));
        // What is wrong with the socket shows again when it is read.
        let _ = blocking.and_then(|()| self.tcp.peek(&mut [0]));
        let _ = self.tcp.set_nonblocking(true);
    }

    /// Says whether something moved.
    fn write<P: Opener<usize>>(&mut self, session: &mut Session<P, usize>) -> bool {
        if !self.writes {
            return false;
        }
        let mut moved = false;
        // The machine is asked for more only when the transport took everything before.
        if self.linger.is_none() && !self.tls.wants_write() {
            let mut out = BytesMut::new();
            let transmit = session.poll_transmit(now(), self.id, &mut out);
            moved = transmit != Transmit::Idle;
            // The buffer of rustls has room for a chunk of the machine.
            self.tls.writer().write_all(&out).expect("a buffer takes what fits");
            if transmit == Transmit::Shutdown {
                self.tls.send_close_notify();
                self.linger = Some(Instant::now() + LINGER);
            }
        }
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.tcp) {
                Ok(_) => moved = true,
                Err(error) if is_early(&error) => return moved,
                Err(_) => {
                    // Writing is over, reading is not. All was offered to the socket, so none of it is known unsent.
                    self.writes = false;
                    self.linger.get_or_insert(Instant::now() + LINGER);
                    session.handle_write_failure(now(), self.id, 0);
                    return true;
                }
            }
        }
        if self.linger.is_some() {
            // It may be closed already.
            let _ = self.tcp.shutdown(Shutdown::Write);
            self.writes = false;
        }
        moved
    }

    /// Says whether something moved.
    fn read<P: Opener<usize>>(&mut self, session: &mut Session<P, usize>) -> bool {
        if !self.reads {
            return false;
        }
        if self.linger.is_some_and(|end| end <= Instant::now()) {
            self.writes = false;
            return self.end(session, End::Cut);
        }
        match self.tls.read_tls(&mut self.tcp) {
            Err(error) if is_early(&error) => return false,
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
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(_) => return self.end(session, End::Cut),
            }
        }
    }

    fn end<P: Opener<usize>>(&mut self, session: &mut Session<P, usize>, end: End) -> bool {
        self.reads = false;
        session.handle_end(now(), self.id, end);
        true
    }
}

/// Not an end, only too early: each system says it in its own way.
fn is_early(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
