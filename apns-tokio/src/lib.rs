//! Send Apple push notifications on tokio and rustls, and know what became of each one.
//!
//! # Who it is for
//!
//! Applications on tokio. TLS is rustls with ring: nothing of the system's is needed but its certificate authorities.
//! The same on smol is `apns-smol`; on async-std, or with the system's TLS, `apns-async-std`. The names are equal, so that
//! switching is a change of the import line.
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
//!     // In the place of a gateway: a simulator on this machine.
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
//!     // Closing has the gateway prove what it took; without it, silence counts as a yes after three seconds.
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
//! The same over today's HTTP/2 API: [`Client::http2`] with a provider token or a client certificate. The examples
//! `send_one`, `send_many`, `feedback` and `broadcast` of this crate run without arguments.
//!
//! # What is where
//!
//! * [`Client`]: sends, and tells how each one ended. Its builders [`BinaryBuilder`] and [`Http2Builder`] have all
//!   settings.
//! * [`Delivery`] and [`proto::Outcome`]: how it ended. [`ClientEvent`]: what happens to the connections meanwhile;
//!   [`proto::DialFailure`] and [`TlsCause`] say why there is none.
//! * [`Identity`], [`Credentials`], [`Roots`]: whom to be, and whom to trust. [`Proxy`]: the way through one.
//! * [`feedback`]: reading the feedback service of the binary protocol.
//! * [`channels`]: broadcast channels and broadcasts.
//! * [`proto`]: everything that is protocol: payloads, device tokens, outcomes, retries.
//! * [`Tokio`]: the runtime behind it all.

mod runtime;
mod stream;

pub use apns_proto as proto;
pub use runtime::Tokio;

apns_driver::define_client!(Tokio);

/// Runs the programs of the README.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;

/// Compiles the example of the page about proxies.
#[cfg(doctest)]
#[doc = include_str!("../../docs/proxies.md")]
pub struct Proxies;
