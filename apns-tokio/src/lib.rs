//! Send Apple push notifications with tokio and rustls, and learn the outcome of each one.
//!
//! # Who it is for
//!
//! Applications on tokio. TLS is rustls, by default with ring; it uses nothing of the system but its certificate authorities.
//! Use `apns-smol` on smol, and `apns-async-std` on async-std or with the system's TLS. All three have the same API; to
//! switch, change the import line.
//!
//! # A first program
//!
//! ```
//! use std::time::Duration;
//!
//! use apns_sim::Simulator;
//! use apns_tokio::proto::{DeviceToken, Notification, Outcome, Payload};
//! use apns_tokio::{Client, Endpoint, Identity, Roots};
//!
//! #[tokio::main]
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
//! For the HTTP/2 provider API, use [`Client::http2`] with a provider token or a client certificate. The examples
//! `send_one`, `send_many`, `feedback` and `broadcast` of this crate run without arguments.
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
//! * [`Tokio`]: the runtime that the client runs on.

mod runtime;
mod stream;

pub use apns_proto as proto;
pub use runtime::Tokio;
/// The version of rustls that [`Tokio`] takes a provider or a configuration of.
pub use tokio_rustls::rustls;

apns_driver::define_client!(Tokio);

/// Runs the program of this crate's README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
