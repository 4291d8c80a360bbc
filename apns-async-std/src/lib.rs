//! Send Apple push notifications on async-std with the TLS of the operating system, and know what became of each one.
//!
//! # Who it is for
//!
//! Applications on async-std, and those that must use the system's TLS: OpenSSL on Linux, Secure Transport on
//! macOS, SChannel on Windows. On tokio take `apns-tokio`: the names are equal, so that switching is a change of the
//! import line.
//!
//! async-std is [no longer developed](https://rustsec.org/advisories/RUSTSEC-2025-0052.html) by its authors, who point to
//! smol: new applications take `apns-smol`. What this crate uses async-std for is to connect, to sleep and to spawn, and no
//! type of it but the runtime's shows in an application. It works beside the tasks of smol.
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
//! The same over today's HTTP/2 API: [`Client::http2`] with a provider token or a client certificate. The example
//! `async_std_send_one` of this crate runs without arguments; those of `apns-tokio` work with another import line.
//!
//! # What differs from rustls
//!
//! * An untrusted server is reported in the verifier's own words; the issuer is not named.
//! * Errors are told apart by what OpenSSL says. With the TLS of macOS or Windows the message is the system's, and
//!   [`TlsCause::Other`] is all that is known of the cause, so that the client tries again.
//! * Whom the system trusts is read when a client is started.
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
//! * [`AsyncStd`]: the runtime behind it all. [`TlsStream`]: the stream of its connections.

mod runtime;
mod stream;
mod tls;

pub use apns_proto as proto;
pub use runtime::AsyncStd;
pub use stream::TlsStream;

apns_driver::define_client!(AsyncStd);
