//! When a provider token is renewed, and which token a connection uses.

use std::time::{Duration, Instant};

use super::{ClockSkew, ProviderToken, Reason};
use crate::{Now, WallTime};

/// When a provider token is due for renewal.
///
/// The service takes a token whose `iat` is at most an hour back, and refuses a second change of token within 20 minutes on
/// the same connection (Apple, "Establishing a token-based connection to APNs"). So a token is renewed after 50 minutes by
/// default, judged by **both** clocks: the monotonic one may stand still while the computer sleeps, the wall clock may be
/// set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenPolicy {
    renewal: Renewal,
}

/// When a token is followed by another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Renewal {
    /// At this age.
    After(Duration),
    /// At the beginning of each period of the wall clock, counted from 1970.
    EachPeriod(Duration),
}

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

impl TokenPolicy {
    /// The least time between two tokens on one connection: 20 minutes, by Apple's page.
    pub const MIN_INTERVAL: Duration = minutes(20);

    /// How long a connection goes on with the token it has when it may not change yet: 55 minutes. The five that are left
    /// to the hour are for clocks that differ and requests that wait.
    pub const USABLE_FOR: Duration = minutes(55);

    /// From when on a wall clock that moved against the monotonic one counts as set: one minute.
    pub const CLOCK_STEP: Duration = minutes(1);

    /// A policy for several processes that use one key and do not know of each other, and for one that is restarted often. A
    /// token is issued at every full half hour of the wall clock, whenever it is signed. A signature that is deterministic
    /// (RFC 6979) then makes it the same token in all of them, so that the service sees one change in half an hour.
    ///
    /// After the service called a token expired, the next one is issued at that moment. It is followed by that of a full half
    /// hour, 20 minutes later at the earliest.
    #[must_use]
    pub const fn shared() -> Self {
        Self { renewal: Renewal::EachPeriod(minutes(30)) }
    }

    /// Sets after what time a token is renewed. Default: 50 minutes. What is outside 20 to 55 minutes becomes the nearer
    /// of the two.
    #[must_use]
    pub fn renew_after(mut self, span: Duration) -> Self {
        self.renewal = Renewal::After(span.clamp(Self::MIN_INTERVAL, Self::USABLE_FOR));
        self
    }

    /// At what age this token is renewed.
    fn lasts(self, token: &ProviderToken) -> Duration {
        match self.renewal {
            Renewal::After(span) => span,
            Renewal::EachPeriod(period) => {
                let passed = passed_of(period, token.issued_at().saturating_add(Self::MIN_INTERVAL));
                Self::MIN_INTERVAL + if passed.is_zero() { passed } else { period - passed }
            }
        }
    }

    /// The time that a token has which is signed now.
    fn issue(self, now: Now) -> Now {
        let Renewal::EachPeriod(period) = self.renewal else { return now };
        let passed = passed_of(period, now.wall);
        // A monotonic clock that started less than this ago cannot say when that was.
        let Some(instant) = now.instant.checked_sub(passed) else { return now };
        Now::new(instant, WallTime::EPOCH.saturating_add(now.wall.saturating_since(WallTime::EPOCH) - passed))
    }

    /// How a token stands.
    fn standing(self, token: &ProviderToken, now: Now) -> Standing {
        let (monotonic, wall) = ages(token, now);
        // Its `iat` is wrong by as much as the clock was set since.
        if now.stepped_since(token.issued()) > Self::CLOCK_STEP {
            return Standing::ClockMoved;
        }
        if monotonic.max(wall) >= self.lasts(token) { Standing::Due } else { Standing::Good }
    }
}

impl Default for TokenPolicy {
    fn default() -> Self {
        Self { renewal: Renewal::After(minutes(50)) }
    }
}

/// How much has passed at this time of the period that it is in.
fn passed_of(period: Duration, time: WallTime) -> Duration {
    let whole = u64::try_from(period.as_millis()).unwrap_or(u64::MAX).max(1);
    Duration::from_millis(time.as_millis() % whole)
}

/// A token's age by the monotonic and by the wall clock.
fn ages(token: &ProviderToken, now: Now) -> (Duration, Duration) {
    let issued = token.issued();
    (now.instant.saturating_duration_since(issued.instant), now.wall.saturating_since(issued.wall))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Good,
    /// It is old.
    Due,
    /// The wall clock was set since it was signed, in either direction.
    ClockMoved,
}

/// What becomes of a provider token and of the connection on which the service refused it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AfterRejection {
    /// Open a new connection and use there what the source hands out then. Never on the connection of the refusal.
    NewConnection,
    /// Another token would be refused too.
    Stop(TokenError),
}

/// Why there is no provider token that the service would take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The service calls even a new token too old or not valid yet: this computer's clock is wrong.
    #[error("the service refuses newly signed provider tokens as expired: set this computer's clock{}", skew_text(*.skew))]
    Clock {
        /// How wrong the clock is, if an answer told the service's time.
        skew: Option<ClockSkew>,
    },
    /// The service refuses the key or what it is used for.
    #[error("the service refuses the provider token: {0}")]
    Refused(Reason),
    /// The source has none, in its own words.
    #[error("no provider token can be had: {0}")]
    Unavailable(std::sync::Arc<str>),
}

fn skew_text(skew: Option<ClockSkew>) -> String {
    skew.map(|skew| format!(" (it is {skew})")).unwrap_or_default()
}

/// From here on a difference of the clocks explains why the service finds a token too old or too young.
const SUSPICIOUS_SKEW: Duration = minutes(5);

/// Decides when one key signs. Pure: it is told the time, and told when a token was signed.
///
/// A token is handed out until it is due. A token is signed out of turn when the wall clock was set by more than a minute,
/// whatever the age of the one before; and, at most once in 20 minutes, when the service called a token expired that is not.
/// Such a token is for new connections; those that are open keep to [`TokenBinding`].
#[derive(Debug, Clone, Default)]
pub struct TokenSchedule {
    policy: TokenPolicy,
    current: Option<ProviderToken>,
    /// The service called the current token expired, and a new one was not signed yet.
    wanted: bool,
    /// When a token was last signed out of turn.
    forced: Option<Instant>,
}

impl TokenSchedule {
    /// A schedule without a token yet.
    #[must_use]
    pub fn new(policy: TokenPolicy) -> Self {
        Self { policy, ..Self::default() }
    }

    /// The token to hand out now; `None` when a new one is to be signed, which [`signed`](Self::signed) is told of.
    #[must_use]
    pub fn current(&self, now: Now) -> Option<&ProviderToken> {
        let is_good = |token: &&ProviderToken| self.policy.standing(token, now) == Standing::Good && !self.wanted;
        self.current.as_ref().filter(is_good)
    }

    /// When the token is to be issued, by its `iat`, that is signed now because [`current`](Self::current) has none.
    #[must_use]
    pub fn issue_time(&self, now: Now) -> Now {
        // Another one than that which the service calls expired.
        if self.wanted { now } else { self.policy.issue(now) }
    }

    /// A token was signed after [`current`](Self::current) had none. Hand out what this returns: if somebody else was
    /// quicker with the same order, theirs, so that all use one token.
    pub fn signed(&mut self, token: ProviderToken) -> ProviderToken {
        let now = token.issued();
        if let Some(current) = self.current(now) {
            return current.clone();
        }
        // Whatever the wall clock or the service made old: the monotonic clock, which nobody sets, does not say so.
        let out_of_turn = self.current.as_ref().is_some_and(|old| ages(old, now).0 < self.policy.lasts(old));
        if out_of_turn {
            self.forced = Some(now.instant);
        }
        self.wanted = false;
        self.current = Some(token.clone());
        token
    }

    /// The service refused a token for this reason. `skew` is what the answer's `date` says about the clock here.
    pub fn rejected(
        &mut self,
        now: Now,
        token: &ProviderToken,
        reason: &Reason,
        skew: Option<ClockSkew>,
    ) -> AfterRejection {
        let clock_is_wrong = skew.is_some_and(|skew| skew.size() >= SUSPICIOUS_SKEW);
        match reason {
            // The token is good; this connection has seen too many.
            Reason::TooManyProviderTokenUpdates => AfterRejection::NewConnection,
            // Another connection had a different key first.
            Reason::UnrelatedKeyIdInToken => AfterRejection::NewConnection,
            Reason::ExpiredProviderToken => self.expired(now, token, skew),
            Reason::InvalidProviderToken if clock_is_wrong => self.expired(now, token, skew),
            other => AfterRejection::Stop(TokenError::Refused(other.clone())),
        }
    }

    fn expired(&mut self, now: Now, token: &ProviderToken, skew: Option<ClockSkew>) -> AfterRejection {
        let is_current = self.current.as_ref() == Some(token);
        if !is_current || self.wanted || self.current(now).is_none() {
            return AfterRejection::NewConnection;
        }
        if !self.may_force(now) {
            return AfterRejection::Stop(TokenError::Clock { skew });
        }
        self.wanted = true;
        AfterRejection::NewConnection
    }

    fn may_force(&self, now: Now) -> bool {
        self.forced.is_none_or(|last| now.instant.saturating_duration_since(last) >= TokenPolicy::MIN_INTERVAL)
    }
}

/// The token of one connection. One for each connection.
///
/// The service counts changes of token for each connection, so a connection keeps the token that it first used for 20
/// minutes at least. If that gets too old before, the connection must be replaced.
#[derive(Debug, Clone, Default)]
pub struct TokenBinding {
    bound: Option<Bound>,
    /// The service refused the token on this connection.
    refused: bool,
}

#[derive(Debug, Clone)]
struct Bound {
    token: ProviderToken,
    first_used: Instant,
}

/// What [`TokenBinding::choose`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenChoice {
    /// Send with this token.
    Use(ProviderToken),
    /// Send nothing more on this connection: open a new one.
    Replace,
}

impl TokenBinding {
    /// A connection that has sent nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Which token to use for a request that is sent now, when the source offers this one.
    pub fn choose(&mut self, now: Now, offered: &ProviderToken) -> TokenChoice {
        if self.refused {
            return TokenChoice::Replace;
        }
        let Some(bound) = &mut self.bound else {
            self.bound = Some(Bound { token: offered.clone(), first_used: now.instant });
            return TokenChoice::Use(offered.clone());
        };
        if bound.token == *offered {
            return TokenChoice::Use(offered.clone());
        }
        if now.instant.saturating_duration_since(bound.first_used) >= TokenPolicy::MIN_INTERVAL {
            *bound = Bound { token: offered.clone(), first_used: now.instant };
            return TokenChoice::Use(offered.clone());
        }
        // The wall clock has no say here: the service took the token, and a clock that is set to and fro would cost a
        // connection each time.
        if ages(&bound.token, now).0 < TokenPolicy::USABLE_FOR {
            TokenChoice::Use(bound.token.clone())
        } else {
            TokenChoice::Replace
        }
    }

    /// The service refused the token on this connection. It is seen to go on refusing on such a connection, whatever
    /// comes after, so from now on the answer is [`TokenChoice::Replace`].
    pub const fn refused(&mut self) {
        self.refused = true;
    }

    /// The token that this connection used last.
    #[must_use]
    pub fn token(&self) -> Option<&ProviderToken> {
        self.bound.as_ref().map(|bound| &bound.token)
    }
}
