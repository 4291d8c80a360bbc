//! The HTTP/2 provider API.

mod broadcast;
mod channels;
mod client;
mod config;
mod der;
mod explain;
pub mod host;
mod http_date;
mod in_flight;
mod keep_alive;
mod provider_api;
mod provider_rejection;
mod provider_token;
mod reason;
mod refusals;
mod request;
mod requests;
mod response;
mod retry;
#[cfg(feature = "server")]
pub mod server;
mod signing_key;
mod token_policy;
mod token_source;
mod warning;
#[cfg_attr(
    not(test),
    allow(
        dead_code,
        reason = "the narrow interface is written for both roles and for tests; not every part has a user"
    )
)]
pub(crate) mod wire;

pub use broadcast::{Broadcast, BundleId, BundleIdError, ChannelId, ChannelIdError};
pub use channels::{ChannelAnswer, ChannelError, ChannelRequest, ChannelStorage, MAX_CHANNEL_LIST};
pub use client::Client;
pub use config::Config;
pub use http_date::{format_http_date, parse_http_date};
pub use provider_api::{AuthorityError, Credential, ProviderApi};
pub use provider_rejection::ProviderRejection;
pub use provider_token::{IdError, KeyId, ProviderToken, ProviderTokenError, TeamId};
pub use reason::{Api, Reason, SERVICE_FAULT_WAIT};
pub use request::{Header, Indexing, Method, Request};
pub use requests::{Authentication, Requests};
pub use response::{ClockSkew, MAX_BODY, MAX_RETRY_AFTER, Response};
pub use retry::{RetryDecision, RetryPolicy, RetryRoute};
pub use signing_key::{SigningKey, SigningKeyError};
pub use token_policy::{
    AfterRejection, TokenBinding, TokenChoice, TokenDecision, TokenError, TokenPolicy, TokenSchedule,
};
pub use token_source::{SigningSource, TokenSource};
pub use warning::RequestWarning;
