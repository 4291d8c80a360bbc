//! Provider tokens from a key at hand.

use apns_proto::Now;
use apns_proto::http2::{
    AfterRejection, ClockSkew, KeyId, ProviderToken, Reason, TeamId, TokenError, TokenPolicy, TokenSchedule,
    TokenSource,
};
use parking_lot::{Mutex, MutexGuard};

use crate::SigningKey;

/// Signs provider tokens with a key at hand, as seldom as the service wants it.
///
/// Share it (in an [`Arc`](std::sync::Arc)) between all connections that use the key: two sources make two tokens.
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
        self.schedule.lock()
    }
}

impl TokenSource for SigningSource {
    fn token(&self, now: Now) -> Result<ProviderToken, TokenError> {
        let issue_time = {
            let schedule = self.schedule();
            if let Some(token) = schedule.current(now) {
                return Ok(token.clone());
            }
            schedule.issue_time(now)
        };
        let token = self.key.provider_token(&self.key_id, &self.team_id, issue_time);
        Ok(self.schedule().signed(token))
    }

    fn rejected(&self, now: Now, token: &ProviderToken, reason: &Reason, skew: Option<ClockSkew>) -> AfterRejection {
        self.schedule().rejected(now, token, reason, skew)
    }
}
