//! Write your own transport, step by step.
//!
//! A transport moves bytes between a [`Machine`](crate::Machine) and whatever carries them: a socket that blocks, a
//! proxy, io_uring, a pipe in a test. The machine never waits, never reads a clock and never fails; the transport
//! knows nothing of the protocol. Two complete transports are in the examples of this crate: `blocking` (both
//! protocols over `std::net` and rustls) and `custom_transport` (a pipe in memory). `apns-driver` has the one for
//! asynchronous runtimes, where a runtime is a dozen short methods.
//!
//! # 1. A machine, and the time
//!
//! Every call is told the time: [`Now`](crate::Now) is a reading of the monotonic clock, which moves deadlines, beside
//! one of the wall clock, which matters for expirations. Read both once for each round. A test owns the clock; nothing
//! here asks for another.
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
//! // A command. The key comes back with the outcome.
//! let token = DeviceToken::from_bytes([7; 32])?;
//! let notification = Notification::new(token, Payload::alert("Tea is ready"));
//! client.submit(now, Submission::new("my key", notification)).expect("a new window has room");
//! assert_eq!(client.unsettled(), 1);
//! # Ok::<(), apns_proto::DeviceTokenError>(())
//! ```
//!
//! # 2. Out: the machine's bytes
//!
//! [`poll_transmit`](crate::Machine::poll_transmit) appends at most about a chunk. Write it, however many calls that
//! takes, and ask again only when the transport has taken all of it: the next call tells the machine that those bytes
//! have left. That is the back-pressure, and on the binary protocol the beginning of the quiet time.
//!
//! ```
//! use std::io::{self, Write};
//!
//! use apns_proto::{Machine, Now, Transmit};
//! use bytes::{Buf, BytesMut};
//!
//! /// Writes what can be written. `out` is what the transport has not taken yet.
//! fn write<M: Machine>(machine: &mut M, now: Now, stream: &mut impl Write, out: &mut BytesMut) -> io::Result<Transmit> {
//!     loop {
//!         while !out.is_empty() {
//!             match stream.write(out) {
//!                 Ok(taken) => out.advance(taken),
//!                 // Full for now: come back when the transport is ready.
//!                 Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Transmit::Ready),
//!                 Err(error) => return Err(error),
//!             }
//!         }
//!         match machine.poll_transmit(now, out) {
//!             Transmit::Ready => {}
//!             // Nothing to say for now; or the last, with or without bytes.
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
//! // A vector takes everything at once.
//! let mut stream = Vec::new();
//! assert_eq!(write(&mut client, now, &mut stream, &mut BytesMut::new())?, Transmit::Idle);
//! assert_eq!(stream[0], 2); // a frame of command 2
//! # Ok::<(), io::Error>(())
//! ```
//!
//! # 3. In: what arrives
//!
//! [`handle_input`](crate::Machine::handle_input) takes the stream in any pieces. Read and write together: a peer may
//! say why it closes while it no longer reads. After every call that gives the machine something, take its events
//! until there are none.
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
//! // The gateway refuses the second of three (command 8, status 8), and its last byte is late.
//! client.handle_input(now, &[8, 8, 0, 0, 0]);
//! assert!(client.poll_event().is_none());
//! client.handle_input(now, &[2]);
//!
//! let (mut settled, mut again) = (Vec::new(), Vec::new());
//! while let Some(event) = client.poll_event() {
//!     match event {
//!         ConnectionEvent::Settled(one) => settled.push((one.key, one.outcome.word())),
//!         // The terminal event: whatever has no outcome is in it.
//!         ConnectionEvent::Closed(closed) => again = closed.unsettled,
//!         _ => {}
//!     }
//! }
//! assert_eq!(settled, [("one", "accepted"), ("two", "rejected")]);
//! assert_eq!((again[0].submission.key, &again[0].fate), ("three", &Fate::Discarded)); // send it again
//! ```
//!
//! A notification leaves a machine in three ways, and a transport that forgets one of them loses notifications:
//!
//! * [`Settled`](crate::ConnectionEvent::Settled): it has its outcome;
//! * [`Returned`](crate::ConnectionEvent::Returned): the service did not process it, and the connection goes on. Send it
//!   again, here or on another connection. HTTP/2 only: a refused stream, or a provider token that has expired;
//! * [`Closed`](crate::ConnectionEvent::Closed): the connection has ended, and what has no outcome is listed with what is
//!   known of it.
//!
//! ```
//! use std::collections::VecDeque;
//!
//! use apns_proto::{ConnectionEvent, Fate, Outcome, Submission, Unsettled};
//!
//! /// Takes an event: outcomes to one side, what is to be sent again to the other.
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
//!             // A second copy might show twice.
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
//! # 4. Time passes
//!
//! When nothing moves, wait for the first of: the transport can take or give bytes, a command of yours, and the time
//! from [`poll_timeout`](crate::Machine::poll_timeout). Read what is there first: after a process stood still, answers lie
//! in the socket. Then say [`handle_timeout`](crate::Machine::handle_timeout);
//! early is harmless, so a timer that went off too soon needs no care.
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
//! # client.poll_transmit(now, &mut BytesMut::new()); // it has left
//! // On the binary protocol silence means yes, three seconds after the transport took it.
//! let due = client.poll_timeout().expect("the quiet time runs");
//! now.instant = due;
//! client.handle_timeout(now);
//! // The first sign that the connection works is told beside it.
//! assert_eq!(client.poll_event(), Some(ConnectionEvent::Answered));
//! let mut events = std::iter::from_fn(|| client.poll_event());
//! assert!(events.any(|event| matches!(event, ConnectionEvent::Settled(one) if one.outcome.is_accepted())));
//! ```
//!
//! # 5. Ends
//!
//! Each side of a stream ends on its own:
//!
//! * **Reading** ends: [`handle_end`](crate::Machine::handle_end), once. An orderly end is [`End::Clean`](crate::End),
//!   a reset [`End::Cut`](crate::End), and a TLS alert against the client [`End::Refused`](crate::End) in the peer's
//!   words: with TLS 1.3 that is where a refused client certificate shows.
//! * **Writing** fails: [`handle_write_failure`](crate::Machine::handle_write_failure), with the number of bytes that
//!   were never even offered to the transport: what they complete is known not to have left. Go on reading for at most
//!   [`LINGER`](crate::machine::LINGER), then report the end. The reason may still arrive.
//! * The machine has said its last: [`Transmit::Shutdown`](crate::Transmit). Write what it appended, close the write
//!   half, read and discard for at most `LINGER`.
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
//! // The transport broke before it was offered the second half.
//! client.handle_write_failure(now, out.len() / 2);
//! // What came before the end says more than the broken write: the first was the culprit.
//! client.handle_input(now, &[8, 8, 0, 0, 0, 1]);
//! client.handle_end(now, End::Clean);
//! let events: Vec<_> = std::iter::from_fn(|| client.poll_event()).collect();
//! assert!(events.iter().any(|event| matches!(event, ConnectionEvent::Settled(one) if one.outcome.word() == "rejected")));
//! assert!(matches!(events.last(), Some(ConnectionEvent::Closed(Closed { reason: CloseReason::ErrorResponse(_), .. }))));
//! ```
//!
//! # 6. One connection after another
//!
//! A [`Session`](crate::Session) does what has to happen between connections: it asks to be dialled, backs off, sends
//! again what was thrown away, and stops when trying is pointless. It is driven as a machine is, with a
//! [`LinkId`](crate::LinkId) in each call, and may have more than one connection at a time: one sends while another
//! proves what it sent. The TLS handshake is yours too; say with [`DialFailure`](crate::DialFailure) what went wrong.
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
//! // It has something to send and no connection.
//! let Some(SessionEvent::Dial { link }) = session.poll_event() else { panic!("it wants a connection") };
//! session.dial_failed(now, link, DialFailure::passing(DialStep::Connect, "connection refused"));
//! assert!(matches!(session.poll_event(), Some(SessionEvent::DialFailed { .. })));
//!
//! // Later again, by its back-off. This time the server is not the one that is meant. By default
//! // what waits is told so; the session tries again with the next notification, after a wait.
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
//! Give the session a `http2::ProviderApi` in the place of [`binary::BinaryApi`](crate::binary::BinaryApi), and offer `h2`
//! by ALPN; nothing else changes. A connection takes one notification before the peer's SETTINGS are there, so that its wait
//! has an end, and more once they say how many. It asks its token source for a provider token as it sends; a source that
//! gets them from elsewhere and has none is asked again every second, and [`SessionEvent::TokenWanted`](crate::SessionEvent)
//! tells of it.
//!
//! ```
//! # #[cfg(feature = "http2")] {
//! use apns_proto::http2::{Credential, ProviderApi};
//! use apns_proto::{Session, SessionConfig, Topic};
//!
//! // With a client certificate, which is shown in the TLS handshake.
//! let api = ProviderApi::new("api.push.apple.com", Credential::Certificate)?.with_topic(Topic::new("com.example.app")?);
//! let session: Session<_, u64> = Session::new(api, SessionConfig::default());
//! assert_eq!(session.unsettled(), 0);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # 8. Through a proxy
//!
//! A proxy comes before TLS: connect to it, have a [`Tunnel`](crate::proxy::Tunnel) opened, and do the handshake with the
//! service over the same stream. [`DialFailure::proxy`](crate::DialFailure::proxy) says why there is no tunnel, so that a
//! proxy's refusal is not taken for one of the service.
//!
//! ```
//! use std::io::{self, Read, Write};
//!
//! use apns_proto::DialFailure;
//! use apns_proto::proxy::{Tunnel, TunnelEvent};
//! use bytes::{Bytes, BytesMut};
//!
//! /// What is given back comes before all that is read later.
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
//! # Before you trust it
//!
//! * Feed the machine one byte at a time: the events must not change.
//! * Fill the peer's buffers, and have it send an error response: it must be read.
//! * Cut the connection at every byte: nothing may be called accepted that the peer did not take.
//! * Never answer the handshake: your deadline must hold, not the machine's.
//!
//! `apns-sim` plays such peers from a script, on a thread of its own if need be.
