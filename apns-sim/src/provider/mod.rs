//! The HTTP/2 provider API.

mod asked;
mod channels;
mod checks;
mod connection;
mod deviation;
mod judge;
mod record;
mod switch;
mod tokens;

pub use channels::Channel;
pub(crate) use connection::serve;
pub use deviation::Deviation;
pub(crate) use judge::{ProviderState, Trust};
pub use record::{AuthenticatedBy, RequestRecord};
pub(crate) use tokens::{KEY_ID, SigningKeyPair};
