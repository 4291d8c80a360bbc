//! Apple's push notification protocols, without I/O.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod apns_id;
mod backoff;
pub mod binary;
mod connection;
mod device_token;
mod explanation;
#[cfg(feature = "http2")]
pub mod http2;
mod invalid_tokens;
pub mod machine;
mod notification;
mod outcome;
pub mod payload;
mod push_type;
mod rejection;
mod retry;
pub mod session;
#[cfg(test)]
mod testing;
mod time;
mod topic;

pub use apns_id::{ApnsId, ApnsIdError};
pub use backoff::Backoff;
pub use connection::{
    CloseReason, Closed, Connection, ConnectionEvent, Fate, PlanSummary, Refused, Settled, Submission, SubmitError,
    Unsettled, Warning,
};
pub use device_token::{DeviceToken, DeviceTokenError};
pub use explanation::Explanation;
pub use invalid_tokens::{InvalidToken, InvalidTokens};
pub use machine::{End, Machine, Transmit};
pub use notification::{Expiration, Notification, Priority};
pub use outcome::{InvalidNotification, LossPolicy, NotSentCause, Outcome, Proof, Retry, UnknownCause};
pub use payload::{Payload, PayloadBuilder, PayloadError, PayloadLimit};
pub use push_type::{OtherPushType, PushType, PushTypeError};
pub use rejection::{Reaction, Rejection, TokenVerdict};
pub use retry::{RetryDecision, RetryPolicy, RetryRoute};
pub use session::{DialFailure, DialStep, LinkId, LinkReport, Session, SessionConfig, SessionEvent, TlsCause};
pub use time::{Now, WallTime};
pub use topic::{CollapseId, HeaderTextError, Topic};
