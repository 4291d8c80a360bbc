//! The HTTP/2 provider API.

mod explain;
mod http_date;
mod provider_rejection;
mod reason;
mod response;

pub use http_date::{format_http_date, parse_http_date};
pub use provider_rejection::ProviderRejection;
pub use reason::{Api, Reason, SERVICE_FAULT_WAIT};
pub use response::{ClockSkew, MAX_BODY, MAX_RETRY_AFTER, Response};
