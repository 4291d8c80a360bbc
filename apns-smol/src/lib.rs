//! Send Apple push notifications with smol and rustls, and learn the outcome of each one.
//!
//! # Who it is for
//!
//! Applications on smol, and those that move from async-std, whose authors recommend smol. TLS is rustls, by default with ring;
//! it uses nothing of the system but its certificate authorities. Use `apns-tokio` on tokio, and `apns-async-std` with
//! the system's TLS. All three have the same API; to switch, change the import line.
//!
//! # A first program
//!
//! ```
//! use std::time::Duration;
//!
//! use apns_sim::Simulator;
//! use apns_smol::proto::{DeviceToken, Notification, Payload, Topic};
//! use apns_smol::{Client, Endpoint, Roots, SigningKey, SigningSource};
//! use apns_smol::proto::http2::{KeyId, TeamId};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // A simulator on this machine takes the place of Apple.
//!     let simulator = Simulator::builder().start_on_thread()?;
//!     let key = SigningKey::read(simulator.signing_key_pem().as_bytes())?;
//!     let source = SigningSource::new(key, KeyId::new(simulator.key_id())?, TeamId::new(simulator.team_id())?);
//!     let endpoint = Endpoint::new("localhost", simulator.http2_address().port());
//!
//!     smol::block_on(async {
//!         let client = Client::http2(endpoint, source)
//!             .roots(Roots::only_pem(simulator.ca_pem().as_bytes())?)
//!             .topic(Topic::new("com.example.app")?)
//!             .start()?;
//!         let token: DeviceToken = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0".parse()?;
//!         let outcome = client.send(Notification::new(token, Payload::alert("Tea is ready"))).await;
//!         assert!(outcome.is_accepted(), "{outcome:?}");
//!         assert_eq!(client.close(Duration::from_secs(10)).await.unsettled, []);
//!         Ok(())
//!     })
//! }
//! ```
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
//! * [`Smol`]: the runtime that the client runs on.

mod runtime;

pub use apns_proto as proto;
/// The version of rustls that [`Smol`] takes a provider or a configuration of.
pub use futures_rustls::rustls;
pub use runtime::Smol;

apns_driver::define_client!(Smol);

/// Runs the program of this crate's README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
