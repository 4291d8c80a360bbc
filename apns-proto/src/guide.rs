//! How to write your own transport, step by step.
//!
//! A transport moves bytes between a [`Machine`](crate::Machine) and the peer, over a blocking socket, a proxy, io_uring or
//! a pipe in a test. The machine never waits, never reads a clock and never fails; the transport knows nothing about the
//! protocol. The examples of this crate contain two complete transports: `blocking` (both protocols over `std::net` and
//! rustls) and `custom_transport` (a pipe in memory). `apns-driver` is a transport for asynchronous runtimes; to support
//! another runtime there takes a dozen short methods.
//!
//! # 1. A machine, and the time
//!
//! Every call takes the time. [`Now`](crate::Now) contains a reading of the monotonic clock, for deadlines, and one of the
//! wall clock, for expirations. Read both once for each round. Machines read no clock, so a test can use simulated time.
//!
//! ```
//! use std::time::{Instant, SystemTime};
//!
//! use apns_proto::binary::{Client, Config};
//! use apns_proto::{Connection, DeviceToken, Notification, Now, Payload, Submission};
//!
//! let now = Now::new(Instant::now(), SystemTime::now().into());
//! let mut client = Client::new(Config::default(), now);
//!
//! // Submit a notification. The event with its outcome returns the key.
//! let token = DeviceToken::from_bytes([7; 32])?;
//! let notification = Notification::new(token, Payload::alert("Tea is ready"));
//! client.submit(now, Submission::new("my key", notification)).expect("a new window has room");
//! assert_eq!(client.unsettled(), 1);
//! # Ok::<(), apns_proto::DeviceTokenError>(())
//! ```
//!
//! # 2. Output: the machine's bytes
//!
//! [`poll_transmit`](crate::Machine::poll_transmit) appends about one [`CHUNK`](crate::machine::CHUNK) at most. Write all of
//! it, in as many calls as necessary, before you call `poll_transmit` again: the next call tells the machine that the
//! transport has taken those bytes. This provides back-pressure, and starts the quiet time of the binary protocol.
//!
//! ```
//! use std::io::{self, Write};
//!
//! use apns_proto::{Machine, Now, Transmit};
//! use bytes::{Buf, BytesMut};
//!
//! /// Writes as much as possible. `out` has the bytes that the transport has not taken yet.
//! fn write<M: Machine>(machine: &mut M, now: Now, stream: &mut impl Write, out: &mut BytesMut) -> io::Result<Transmit> {
//!     loop {
//!         while !out.is_empty() {
//!             match stream.write(out) {
//!                 Ok(taken) => out.advance(taken),
//!                 // The transport is full: call again when it is ready.
//!                 Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Transmit::Ready),
//!                 Err(error) => return Err(error),
//!             }
//!         }
//!         match machine.poll_transmit(now, out) {
//!             Transmit::Ready => {}
//!             // No output for now; or the last output, with or without bytes.
//!             transmit => return stream.write_all(out).map(|()| transmit),
//!         }
//!     }
//! }
//! # use std::time::{Instant, SystemTime};
//! # use apns_proto::binary::{Client, Config};
//! # use apns_proto::{Connection, DeviceToken, Notification, Payload, Submission};
//! # let now = Now::new(Instant::now(), SystemTime::now().into());
//! # let mut client = Client::new(Config::default(), now);
//! # let notification = Notification::new(DeviceToken::from_bytes([7; 32]).unwrap(), Payload::alert("Tea is ready"));
//! # client.submit(now, Submission::new("my key", notification)).unwrap();
//!
//! // A vector accepts everything at once.
//! let mut stream = Vec::new();
//! assert_eq!(write(&mut client, now, &mut stream, &mut BytesMut::new())?, Transmit::Idle);
//! assert_eq!(stream[0], 2); // a frame of command 2
//! # Ok::<(), io::Error>(())
//! ```
//!
//! # 3. Input: bytes from the peer
//!
//! [`handle_input`](crate::Machine::handle_input) accepts the stream in pieces of any size. Read and write concurrently: a
//! peer may send the reason why it closes while it no longer reads. After every call that passes something to the machine,
//! take its events until there are none.
//!
//! ```
//! # use std::time::{Instant, SystemTime};
//! # use apns_proto::binary::{Client, Config};
//! # use apns_proto::{Connection, DeviceToken, Machine, Notification, Now, Payload, Submission};
//! # use bytes::BytesMut;
//! # let now = Now::new(Instant::now(), SystemTime::now().into());
//! # let mut client = Client::new(Config::default(), now);
//! # for key in ["one", "two", "three"] {
//! #     let notification = Notification::new(DeviceToken::from_bytes([7; 32]).unwrap(), Payload::alert("Tea"));
//! #     client.submit(now, Submission::new(key, notification)).unwrap();
//! # }
//! # client.poll_transmit(now, &mut BytesMut::new());
//! use apns_proto::{ConnectionEvent, Fate};
//!
//! // The gateway refuses the second of three (command 8, status 8). The last byte of its response arrives separately.
//! client.handle_input(now, &[8, 8, 0, 0, 0]);
//! assert!(client.poll_event().is_none());
//! client.handle_input(now, &[2]);
//!
//! let (mut settled, mut again) = (Vec::new(), Vec::new());
//! while let Some(event) = client.poll_event() {
//!     match event {
//!         ConnectionEvent::Settled(one) => settled.push((one.key, one.outcome.word())),
//!         // The terminal event lists all notifications without an outcome.
//!         ConnectionEvent::Closed(closed) => again = closed.unsettled,
//!         _ => {}
//!     }
//! }
//! assert_eq!(settled, [("one", "accepted"), ("two", "rejected")]);
//! assert_eq!((again[0].submission.key, &again[0].fate), ("three", &Fate::Discarded)); // send it again
//! ```
//!
//! A notification leaves a machine in three ways. A transport that does not handle all of them loses notifications:
//!
//! * [`Settled`](crate::ConnectionEvent::Settled): it has its outcome;
//! * [`Returned`](crate::ConnectionEvent::Returned): the service did not process it, and the connection stays open. Send it
//!   again, on this or on another connection. HTTP/2 only: a refused stream, or an expired provider token;
//! * [`Closed`](crate::ConnectionEvent::Closed): the connection has ended. The event lists the notifications without an
//!   outcome, each with its [`Fate`](crate::Fate).
//!
//! ```
//! use std::collections::VecDeque;
//!
//! use apns_proto::{ConnectionEvent, Fate, Outcome, Submission, Unsettled};
//!
//! /// Sorts an event: outcomes into one list, notifications to send again into the other.
//! fn take<K>(event: ConnectionEvent<K>, outcomes: &mut Vec<(K, Outcome)>, again: &mut VecDeque<Submission<K>>) {
//!     let unsettled = match event {
//!         ConnectionEvent::Settled(settled) => {
//!             outcomes.push((settled.key, settled.outcome));
//!             return;
//!         }
//!         ConnectionEvent::Returned(one) => vec![one],
//!         ConnectionEvent::Closed(closed) => closed.unsettled,
//!         _ => return,
//!     };
//!     for Unsettled { submission, fate } in unsettled {
//!         match fate {
//!             Fate::NotWritten | Fate::Discarded => again.push_back(submission),
//!             // The device might show a second copy.
//!             Fate::Unknown(cause) | Fate::Suspected(cause) => {
//!                 outcomes.push((submission.key, Outcome::Unknown { cause }));
//!             }
//!             _ => {}
//!         }
//!     }
//! }
//! # let mut outcomes = Vec::<(u8, Outcome)>::new();
//! # take(ConnectionEvent::Answered, &mut outcomes, &mut VecDeque::new());
//! # assert!(outcomes.is_empty());
//! ```
//!
//! # 4. Deadlines
//!
//! When nothing moves, wait until the transport can read or write, your program submits something, or the time from
//! [`poll_timeout`](crate::Machine::poll_timeout) has come. Then read the available bytes first: if the process was stopped,
//! answers may already be in the socket. After that call [`handle_timeout`](crate::Machine::handle_timeout). Calling it
//! early is harmless, so a timer may fire too soon.
//!
//! ```
//! # use std::time::{Instant, SystemTime};
//! # use apns_proto::binary::{Client, Config};
//! # use apns_proto::{Connection, ConnectionEvent, DeviceToken, Machine, Notification, Now, Payload, Submission};
//! # use bytes::BytesMut;
//! # let mut now = Now::new(Instant::now(), SystemTime::now().into());
//! # let mut client = Client::new(Config::default(), now);
//! # let notification = Notification::new(DeviceToken::from_bytes([7; 32]).unwrap(), Payload::alert("Tea is ready"));
//! # client.submit(now, Submission::new("my key", notification)).unwrap();
//! # client.poll_transmit(now, &mut BytesMut::new());
//! # client.poll_transmit(now, &mut BytesMut::new()); // the transport has taken the bytes
//! // In the binary protocol, three seconds of silence after the transport took the bytes count as acceptance.
//! let due = client.poll_timeout().expect("the quiet time has started");
//! now.instant = due;
//! client.handle_timeout(now);
//! // An event reports the first sign that the connection works.
//! assert_eq!(client.poll_event(), Some(ConnectionEvent::Answered));
//! let mut events = std::iter::from_fn(|| client.poll_event());
//! assert!(events.any(|event| matches!(event, ConnectionEvent::Settled(one) if one.outcome.is_accepted())));
//! ```
//!
//! # 5. The end of a connection
//!
//! The two directions of a stream end separately:
//!
//! * **Reading ends**: call [`handle_end`](crate::Machine::handle_end) once. An orderly end is [`End::Clean`](crate::End),
//!   a reset is [`End::Cut`](crate::End), and a TLS alert against the client is [`End::Refused`](crate::End) with the peer's
//!   text. With TLS 1.3 this is where a refused client certificate appears.
//! * **Writing fails**: call [`handle_write_failure`](crate::Machine::handle_write_failure) with the number of bytes that
//!   were never offered to the transport. The notifications that these bytes complete were certainly not sent. Continue to
//!   read for at most [`LINGER`](crate::machine::LINGER), because the reason may still arrive; then report the end.
//! * **The machine shuts down**: it returns [`Transmit::Shutdown`](crate::Transmit). Write what it appended, close the write
//!   half, then read and discard for at most `LINGER`.
//!
//! ```
//! # use std::time::{Instant, SystemTime};
//! # use apns_proto::binary::{Client, Config};
//! # use apns_proto::{Closed, CloseReason, Connection, ConnectionEvent, DeviceToken, End, Machine, Notification, Now};
//! # use apns_proto::{Payload, Submission};
//! # use bytes::BytesMut;
//! # let now = Now::new(Instant::now(), SystemTime::now().into());
//! # let mut client = Client::new(Config::default(), now);
//! # for key in ["one", "two"] {
//! #     let notification = Notification::new(DeviceToken::from_bytes([7; 32]).unwrap(), Payload::alert("Tea"));
//! #     client.submit(now, Submission::new(key, notification)).unwrap();
//! # }
//! let mut out = BytesMut::new();
//! client.poll_transmit(now, &mut out);
//! // The transport failed before the second half was offered to it.
//! client.handle_write_failure(now, out.len() / 2);
//! // The error response that arrived before the end is more specific than the failed write: it names the first one.
//! client.handle_input(now, &[8, 8, 0, 0, 0, 1]);
//! client.handle_end(now, End::Clean);
//! let events: Vec<_> = std::iter::from_fn(|| client.poll_event()).collect();
//! assert!(events.iter().any(|event| matches!(event, ConnectionEvent::Settled(one) if one.outcome.word() == "rejected")));
//! assert!(matches!(events.last(), Some(ConnectionEvent::Closed(Closed { reason: CloseReason::ErrorResponse(_), .. }))));
//! ```
//!
//! # 6. One connection after another
//!
//! A [`Session`](crate::Session) manages a series of connections: it requests connections, backs off, sends again what the
//! gateway discarded, and stops when further attempts are pointless. Drive it like a machine, with a
//! [`LinkId`](crate::LinkId) in each call. It may have more than one connection at a time: one sends while another proves
//! what it has sent. The transport also does the TLS handshake; it reports errors as a [`DialFailure`](crate::DialFailure).
//!
//! ```
//! use std::time::{Instant, SystemTime};
//!
//! use apns_proto::binary::{Config, BinaryApi};
//! use apns_proto::{
//!     DeviceToken, DialFailure, DialStep, NotSentCause, Notification, Now, Outcome, Payload, Session, SessionConfig,
//!     SessionEvent, TlsCause,
//! };
//!
//! let mut now = Now::new(Instant::now(), SystemTime::now().into());
//! let mut session = Session::new(BinaryApi::new(Config::default()), SessionConfig::default());
//! let token = DeviceToken::from_bytes([7; 32])?;
//! session.submit(now, "my key", Notification::new(token, Payload::alert("Tea is ready")));
//!
//! // It has something to send and no connection, so it requests one.
//! let Some(SessionEvent::Dial { link }) = session.poll_event() else { panic!("it wants a connection") };
//! session.dial_failed(now, link, DialFailure::passing(DialStep::Connect, "connection refused"));
//! assert!(matches!(session.poll_event(), Some(SessionEvent::DialFailed { .. })));
//!
//! // The session tries again after its back-off. This time the server is not trusted. By default,
//! // waiting notifications end with this cause; the session tries again with the next one, after a delay.
//! now.instant = session.poll_timeout().expect("it backs off");
//! session.handle_timeout(now);
//! let Some(SessionEvent::Dial { link }) = session.poll_event() else { panic!("it tries again") };
//! session.dial_failed(now, link, DialFailure::tls(TlsCause::UntrustedServer, "issued by nobody we know"));
//! let outcome = std::iter::from_fn(|| session.poll_event()).find_map(|event| match event {
//!     SessionEvent::Settled(settled) => Some(settled.outcome),
//!     _ => None,
//! });
//! assert!(matches!(outcome, Some(Outcome::NotSent { cause: NotSentCause::Stopped(_) })));
//! # Ok::<(), apns_proto::DeviceTokenError>(())
//! ```
//!
//! # 7. The same over HTTP/2
//!
//! Give the session an `http2::ProviderApi` in place of [`binary::BinaryApi`](crate::binary::BinaryApi), and offer `h2` by
//! ALPN; nothing else changes. Before the peer's SETTINGS arrive, a connection accepts one notification, so that its wait
//! has a deadline; then it accepts as many as they allow. It gets provider tokens from its token source when it sends. If
//! the source has no token, it is asked again every second, and [`SessionEvent::TokenWanted`](crate::SessionEvent) reports
//! this.
//!
//! ```
//! # #[cfg(feature = "http2")] {
//! use apns_proto::http2::{Credential, ProviderApi};
//! use apns_proto::{Session, SessionConfig, Topic};
//!
//! // With a client certificate, which the transport presents in the TLS handshake.
//! let api = ProviderApi::new("api.push.apple.com", Credential::Certificate)?.with_topic(Topic::new("com.example.app")?);
//! let session: Session<_, u64> = Session::new(api, SessionConfig::default());
//! assert_eq!(session.unsettled(), 0);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # 8. Through a proxy
//!
//! A proxy comes before TLS: connect to it, open a [`Tunnel`](crate::proxy::Tunnel), and do the handshake with the service
//! over the same stream. Report a failed tunnel with [`DialFailure::proxy`](crate::DialFailure::proxy), so that a refusal by
//! the proxy is not mistaken for one by the service.
//!
//! ```
//! use std::io::{self, Read, Write};
//!
//! use apns_proto::DialFailure;
//! use apns_proto::proxy::{Tunnel, TunnelEvent};
//! use bytes::{Bytes, BytesMut};
//!
//! /// Returns the bytes that arrived after the proxy's answer; they precede everything that is read later.
//! fn open(mut tunnel: Tunnel, stream: &mut (impl Read + Write)) -> io::Result<Result<Bytes, DialFailure>> {
//!     let (mut out, mut input) = (BytesMut::new(), [0; 1024]);
//!     loop {
//!         tunnel.poll_transmit(&mut out);
//!         stream.write_all(&out.split())?;
//!         match tunnel.poll_event() {
//!             Some(TunnelEvent::Open { early }) => return Ok(Ok(early)),
//!             Some(TunnelEvent::Failed(failure)) => return Ok(Err(DialFailure::proxy(failure))),
//!             None => match stream.read(&mut input)? {
//!                 0 => tunnel.handle_end(),
//!                 count => tunnel.handle_input(&input[..count]),
//!             },
//!         }
//!     }
//! }
//! ```
//!
//! # How to test a transport
//!
//! * Feed the machine one byte at a time: the events must not change.
//! * Fill the peer's buffers, and let it send an error response: the transport must read it.
//! * Cut the connection at every byte: no notification may be reported as accepted that the peer did not receive.
//! * Never answer the TLS handshake: the transport's own deadline must end the attempt.
//!
//! `apns-sim` simulates such peers from a script, on its own thread if necessary.
