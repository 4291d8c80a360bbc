//! Where provider tokens come from.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::token_policy::{AfterRejection, TokenDecision, TokenError, TokenPolicy, TokenSchedule};
use super::{ClockSkew, KeyId, ProviderToken, Reason, SigningKey, TeamId};
use crate::Now;

/// Hands out the provider token of one key. One source serves all connections of a process.
///
/// [`SigningSource`] signs by itself. Implement this to share one token between processes, or to leave the key to a
/// service of its own: keep the token of that service, made with [`ProviderToken::from_jwt`], and hand it out. Neither
/// method may wait for anything; what takes long belongs in a task that refreshes the token before it is due.
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

/// Signs provider tokens with a key at hand, as seldom as the service wants it.
///
/// Share it (in an [`Arc`]) between all connections that use the key: two sources make two tokens.
#[derive(Debug)]
pub struct SigningSource {
    key: SigningKey,
    key_id: KeyId,
    team_id: TeamId,
    /// Held for a look and a store. Signing happens outside.
    schedule: Mutex<TokenSchedule>,
}

impl SigningSource {
    /// A source that renews after 50 minutes.
    #[must_use]
    pub fn new(key: SigningKey, key_id: KeyId, team_id: TeamId) -> Self {
        Self::with_policy(key, key_id, team_id, TokenPolicy::default())
    }

    /// A source with a policy of one's own.
    #[must_use]
    pub fn with_policy(key: SigningKey, key_id: KeyId, team_id: TeamId, policy: TokenPolicy) -> Self {
        Self { key, key_id, team_id, schedule: Mutex::new(TokenSchedule::new(policy)) }
    }

    /// The key's name.
    #[must_use]
    pub const fn key_id(&self) -> &KeyId {
        &self.key_id
    }

    /// The team.
    #[must_use]
    pub const fn team_id(&self) -> &TeamId {
        &self.team_id
    }

    fn schedule(&self) -> MutexGuard<'_, TokenSchedule> {
        // A schedule is whole between any two of its statements, so one that somebody panicked over is as good as any.
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TokenSource for SigningSource {
    fn token(&self, now: Now) -> Result<ProviderToken, TokenError> {
        let decision = self.schedule().decide(now);
        match decision {
            TokenDecision::Use(token) => Ok(token),
            TokenDecision::Sign => {
                let token = ProviderToken::sign(&self.key, &self.key_id, &self.team_id, now);
                Ok(self.schedule().signed(token))
            }
        }
    }

    fn rejected(&self, now: Now, token: &ProviderToken, reason: &Reason, skew: Option<ClockSkew>) -> AfterRejection {
        self.schedule().rejected(now, token, reason, skew)
    }
}
