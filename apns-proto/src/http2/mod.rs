//! The HTTP/2 provider API.
//!
//! What is here needs no connection and no clock:
//!
//! * [`Requests`] makes a [`Request`] of a [`Notification`](crate::Notification), a [`Broadcast`] or a [`ChannelCall`];
//! * [`Response`] reads an answer; [`Reason`] and [`ProviderRejection`] say what a refusal asks for;
//! * a [`TokenSource`] hands out [`ProviderToken`]s, and a [`TokenBinding`] decides which of them a connection uses; what
//!   signs them is in `apns-credentials`;
//! * [`RetryPolicy`](crate::RetryPolicy) decides whether and when a refused notification is sent again;
//! * [`host`] has the names and ports.
//!
//! What has a connection:
//!
//! * [`ProviderApi`] makes connections, for a [`Session`](crate::Session) or by hand;
//! * [`Client`] sends notifications, broadcasts, or requests about channels: whatever is an [`Exchange`].

#[cfg(feature = "server")]
#[doc(hidden)]
pub mod asked;
mod broadcast;
mod certificate_topics;
mod channels;
mod client;
mod config;
mod ending;
mod engine;
mod exchange;
pub mod host;
mod http_date;
mod keep_alive;
mod outgoing;
mod provider_api;
mod provider_rejection;
mod provider_token;
mod reason;
mod recent;
mod refusals;
mod request;
mod requests;
mod response;
mod sent_as;
#[cfg(feature = "server")]
mod shown_token;
mod streams;
mod token_policy;
mod token_source;
mod warning;

pub use broadcast::{Broadcast, BundleId, ChannelId};
pub use certificate_topics::{CertificateTopics, TopicKind};
pub use channels::{ChannelAnswer, ChannelCall, ChannelError, ChannelRequest, ChannelStorage};
pub use client::Client;
pub use config::Config;
pub use exchange::Exchange;
pub use http_date::{format_http_date, parse_http_date};
pub use provider_api::{AuthorityError, Credential, ProviderApi};
pub use provider_rejection::ProviderRejection;
pub use provider_token::{KeyId, ProviderToken, ProviderTokenError, TeamId};
pub use reason::{Api, Reason};
pub use request::{Header, Indexing, Method, Request};
pub use requests::{Authentication, Requests};
pub use response::{ClockSkew, MAX_BODY, MAX_RETRY_AFTER, Response};
pub use sent_as::{PushTypeSource, SentAs};
#[cfg(feature = "server")]
#[doc(hidden)]
pub use shown_token::ShownToken;
pub use token_policy::{AfterRejection, TokenBinding, TokenChoice, TokenError, TokenPolicy, TokenSchedule};
pub use token_source::TokenSource;
pub use warning::RequestWarning;
