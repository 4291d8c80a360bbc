//! Where provider tokens come from.

use std::fmt;
use std::sync::Arc;

use super::token_policy::{AfterRejection, TokenError};
use super::{ClockSkew, ProviderToken, Reason};
use crate::Now;

/// Hands out the provider token of one key. One source serves all connections of a process.
///
/// `SigningSource` in `apns-credentials` signs with a key at hand. Implement this to share one token between processes,
/// or to leave the key to a service of its own: keep the token of that service, made with [`ProviderToken::from_jwt`], and
/// hand it out. Neither method may wait for anything; what takes long belongs in a task that refreshes the token before it
/// is due.
pub trait TokenSource: fmt::Debug + Send + Sync {
    /// The token for a request that is sent now. The same for every caller until it is due.
    ///
    /// # Errors
    ///
    /// [`TokenError`] when there is none.
    fn token(&self, now: Now) -> Result<ProviderToken, TokenError>;

    /// The service refused this token. `skew` is what the answer's `date` says about the clock here.
    fn rejected(&self, now: Now, token: &ProviderToken, reason: &Reason, skew: Option<ClockSkew>) -> AfterRejection;
}

impl<S: TokenSource + ?Sized> TokenSource for Arc<S> {
    fn token(&self, now: Now) -> Result<ProviderToken, TokenError> {
        (**self).token(now)
    }

    fn rejected(&self, now: Now, token: &ProviderToken, reason: &Reason, skew: Option<ClockSkew>) -> AfterRejection {
        (**self).rejected(now, token, reason, skew)
    }
}
