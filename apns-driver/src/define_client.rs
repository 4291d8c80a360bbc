//! The names that applications know a transport by.

/// Names everything that an application needs of this crate, for one [`Runtime`](crate::Runtime). A transport is its
/// runtime and one call of this, so that all transports have the same names.
///
/// ```text
/// apns_driver::define_client!(Tokio);
/// ```
#[macro_export]
macro_rules! define_client {
    ($runtime:ident) => {
        pub use $crate::apns_credentials::{
            Certificate, CertificateEnvironment, Identities, IdentityWarning, Purpose, Verdict,
        };
        pub use $crate::tls::TlsCause;
        pub use $crate::{
            BuildError, ClientEvent, CloseReport, Delivery, Endpoint, Environment, Events, FeedbackFailure, Identity,
            IdentityError, Leftover, Pending, Proxy, Roots, RootsError, Stats, TrySendError, Validity,
        };

        /// The client. See [`apns_driver::Client`](::apns_driver::Client).
        pub type Client = $crate::Client<$runtime>;

        /// Settings of a client of a binary gateway.
        pub type BinaryBuilder = $crate::BinaryBuilder<$runtime>;

        /// The stream of [`Client::send_all`].
        pub type SendAll<S, K> = $crate::SendAll<$runtime, S, K>;

        $crate::define_http2_client!($runtime);

        /// The feedback service.
        pub mod feedback {
            pub use $crate::feedback::FeedbackFailure;

            use super::{Endpoint, Identity, $runtime};

            /// How to read the feedback service once.
            pub type Fetch = $crate::feedback::Fetch<$runtime>;

            /// The records of one reading.
            pub type FeedbackStream = $crate::feedback::FeedbackStream<$runtime>;

            /// Begins a reading of the feedback service. See
            /// [`apns_driver::feedback::fetch`](::apns_driver::feedback::fetch).
            #[must_use]
            pub fn fetch(endpoint: Endpoint, identity: Identity) -> Fetch {
                $crate::feedback::fetch(endpoint, identity)
            }
        }
    };
}

/// The part of [`define_client!`] that needs the feature `http2`.
#[cfg(feature = "http2")]
#[doc(hidden)]
#[macro_export]
macro_rules! define_http2_client {
    ($runtime:ident) => {
        pub use $crate::Credentials;
        pub use $crate::apns_credentials::{SigningKey, SigningKeyError, SigningSource};

        /// Settings of a client of the HTTP/2 provider API.
        pub type Http2Builder = $crate::Http2Builder<$runtime>;

        /// Broadcast channels: their management, and broadcasts to them. See
        /// [`apns_driver::channels`](::apns_driver::channels).
        pub mod channels {
            pub use $crate::channels::{Channel, ChannelFailure};

            use super::$runtime;

            /// Makes, reads, deletes and lists the broadcast channels of one app.
            pub type Channels = $crate::channels::Channels<$runtime>;

            /// Sends broadcasts to channels.
            pub type Broadcasts = $crate::channels::Broadcasts<$runtime>;
        }
    };
}

/// Nothing, without the feature `http2`.
#[cfg(not(feature = "http2"))]
#[doc(hidden)]
#[macro_export]
macro_rules! define_http2_client {
    ($runtime:ident) => {};
}
