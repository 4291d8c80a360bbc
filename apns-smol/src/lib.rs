//! Send Apple push notifications on smol and rustls, and know what became of each one.
//!
//! # Who it is for
//!
//! Applications on smol, and those that leave async-std, whose authors point to smol. TLS is rustls with ring: nothing of
//! the system's is needed but its certificate authorities. On tokio take `apns-tokio`; with the system's own TLS,
//! `apns-async-std`. The names are equal, so that switching is a change of the import line.
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
//!     // In the place of Apple: a simulator on this machine.
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
//! * [`Client`]: sends, and tells how each one ended. Its builders [`BinaryBuilder`] and [`Http2Builder`] have all
//!   settings.
//! * [`Delivery`] and [`proto::Outcome`]: how it ended. [`ClientEvent`]: what happens to the connections meanwhile;
//!   [`proto::DialFailure`] and [`TlsCause`] say why there is none.
//! * [`Identity`], [`Credentials`], [`Roots`]: whom to be, and whom to trust. [`Proxy`]: the way through one.
//! * [`feedback`]: reading the feedback service of the binary protocol.
//! * [`channels`]: broadcast channels and broadcasts.
//! * [`proto`]: everything that is protocol: payloads, device tokens, outcomes, retries.
//! * [`Smol`]: the runtime behind it all.

mod runtime;

pub use apns_proto as proto;
pub use runtime::Smol;

apns_driver::define_client!(Smol);
