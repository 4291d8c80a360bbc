//! Send Apple push notifications on tokio and rustls.

mod runtime;
mod tls;

pub use apns_driver::{
    BuildError, ClientEvent, CloseReport, Credentials, Delivery, Endpoint, Environment, Events, FeedbackFailure,
    Identity, IdentityError, Leftover, Pending, Roots, RootsError, TrySendError, Validity,
};
pub use apns_proto as proto;
pub use runtime::Tokio;

/// The client on tokio. See [`apns_driver::Client`].
pub type Client = apns_driver::Client<Tokio>;

/// Settings of a client of the HTTP/2 provider API.
pub type Http2Builder = apns_driver::Http2Builder<Tokio>;

/// Settings of a client of a binary gateway.
pub type BinaryBuilder = apns_driver::BinaryBuilder<Tokio>;

/// The stream of [`Client::send_all`].
pub type SendAll<S, K> = apns_driver::SendAll<Tokio, S, K>;

/// The feedback service.
pub mod feedback {
    pub use apns_driver::feedback::FeedbackFailure;

    use super::{Endpoint, Identity, Tokio};

    /// How to read the feedback service once.
    pub type Fetch = apns_driver::feedback::Fetch<Tokio>;

    /// The records of one reading.
    pub type FeedbackStream = apns_driver::feedback::FeedbackStream<Tokio>;

    /// Begins a reading of the feedback service. See [`apns_driver::feedback::fetch`].
    #[must_use]
    pub fn fetch(endpoint: Endpoint, identity: Identity) -> Fetch {
        apns_driver::feedback::fetch(endpoint, identity)
    }
}

/// Runs the programs of the README.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
