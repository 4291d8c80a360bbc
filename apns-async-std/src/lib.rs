//! Send Apple push notifications with async-std and the operating system's TLS, and learn the outcome of each one.
//!
//! # Who it is for
//!
//! Applications on async-std, and those that must use the system's TLS: OpenSSL on Linux, Secure Transport on
//! macOS, SChannel on Windows. Use `apns-tokio` on tokio. All transports have the same API; to switch, change the import
//! line.
//!
//! async-std is [no longer developed](https://rustsec.org/advisories/RUSTSEC-2025-0052.html) by its authors, who recommend
//! smol: use `apns-smol` for new applications. This crate uses async-std only to connect, to sleep and to spawn, and
//! exposes none of its types but the runtime. It also works in an application that runs on smol.
//!
//! # A first program
//!
//! ```
//! use std::time::Duration;
//!
//! use apns_sim::Simulator;
//! use apns_async_std::proto::{DeviceToken, Notification, Outcome, Payload};
//! use apns_async_std::{Client, Endpoint, Identity, Roots};
//!
//! #[async_std::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // A simulator on this machine takes the place of a gateway.
//!     let simulator = Simulator::builder().start_on_thread()?;
//!     let (certificate, key) = (simulator.client_certificate_pem(), simulator.client_key_pem());
//!     let identity = Identity::from_pem(certificate.as_bytes(), Some(key.as_bytes()), None)?;
//!
//!     let client = Client::binary(Endpoint::new("localhost", simulator.gateway_address().port()), identity)
//!         .roots(Roots::only_pem(simulator.ca_pem().as_bytes())?)
//!         .start()?;
//!
//!     let token: DeviceToken = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0".parse()?;
//!     let payload = Payload::builder().title("Kitchen").body("Tea is ready").badge(1).build()?;
//!     let pending = client.submit(Notification::new(token, payload)).await;
//!
//!     // `close` makes the gateway prove what it accepted; otherwise three seconds of silence count as acceptance.
//!     let left = client.close(Duration::from_secs(10)).await;
//!     assert!(left.unsettled.is_empty());
//!     match pending.await.outcome {
//!         Outcome::Accepted { proof, .. } => println!("accepted, {}", proof.word()),
//!         Outcome::Rejected(rejection) => println!("rejected: {}", rejection.reason()),
//!         other => println!("{other:?}"),
//!     }
//!     Ok(())
//! }
//! ```
//!
//! For the HTTP/2 provider API, use [`Client::http2`] with a provider token or a client certificate. The example
//! `async_std_send_one` of this crate runs without arguments; those of `apns-tokio` work with another import line.
//!
//! # What differs from rustls
//!
//! * The error for an untrusted server has the verifier's text and does not name the issuer.
//! * The cause of an error is recognised from OpenSSL's error text. With the TLS of macOS or Windows the message comes from
//!   the system and the cause is always [`TlsCause::Other`], so the client tries again.
//! * The system's certificate authorities are read when a client starts.
//!
//! # What is where
//!
//! * [`Client`]: sends notifications and reports their outcomes. Its builders [`BinaryBuilder`] and [`Http2Builder`] have
//!   all settings.
//! * [`Delivery`] and [`proto::Outcome`]: how a notification ended. [`ClientEvent`]: what happens to the connections;
//!   [`proto::DialFailure`] and [`TlsCause`] say why one could not be opened.
//! * [`Identity`], [`Credentials`], [`Roots`]: how to authenticate, and which servers to trust. [`Proxy`]: the proxy to
//!   connect through.
//! * [`feedback`]: reading the feedback service of the binary protocol.
//! * [`channels`]: managing broadcast channels, and sending broadcasts.
//! * [`proto`]: the protocol types: payloads, device tokens, outcomes, retries.
//! * [`AsyncStd`]: the runtime that the client runs on. [`TlsStream`]: the stream of its connections. `AsyncNativeTls`
//!   (feature `async-native-tls`): the same runtime with a `TlsConnector` of async-native-tls that you make.

#[cfg(feature = "async-native-tls")]
mod async_native_tls;
mod runtime;
mod stream;
mod tls;

#[cfg(feature = "async-native-tls")]
pub use self::async_native_tls::{AsyncNativeTls, AsyncTlsStream};
pub use apns_proto as proto;
pub use runtime::AsyncStd;
pub use stream::TlsStream;

apns_driver::define_client!(AsyncStd);

/// Runs the program of this crate's README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
