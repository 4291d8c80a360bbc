//! Whether and when a refused notification is sent again.

use std::time::Duration;

use crate::backoff::mix;
#[cfg(feature = "http2")]
use crate::http2::Reason;
use crate::{Rejection, Retry};

/// How often refused notifications are sent again automatically, and for how long.
///
/// The default is not at all: an outcome is told to the owner, who knows whether it is still worth sending. Notifications
/// that the service did not process, and those whose answer was lost, are another matter and not decided here.
///
/// ```
/// use std::time::Duration;
/// use apns_proto::binary::Status;
/// use apns_proto::{Rejection, RetryDecision, RetryPolicy};
///
/// let policy = RetryPolicy::default().with_retries(3).with_budget(Duration::from_secs(3600));
/// let failed = Rejection::Gateway(Status::PROCESSING_ERROR);
/// let RetryDecision::Again { wait, .. } = policy.decide(&failed, 0, Duration::ZERO, 7) else { panic!("it may") };
/// assert!(wait >= Duration::from_secs(1));
/// let wrong = Rejection::Gateway(Status::INVALID_TOKEN);
/// assert_eq!(policy.decide(&wrong, 0, Duration::ZERO, 7), RetryDecision::GiveUp);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    retries: u32,
    budget: Duration,
    longest_wait: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { retries: 0, budget: Duration::from_secs(60 * 60), longest_wait: Duration::from_secs(60 * 60) }
    }
}

/// What [`RetryPolicy::decide`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetryDecision {
    /// Report the refusal.
    GiveUp,
    /// Send it again.
    Again {
        /// After this time.
        wait: Duration,
        /// How.
        route: RetryRoute,
    },
}

/// How a refused notification is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RetryRoute {
    /// On any connection.
    Any,
    /// On another connection.
    NewConnection,
    /// On another connection with a newly signed provider token.
    NewToken,
}

impl RetryPolicy {
    /// Sets how often one notification is sent again at most. Default: 0.
    #[must_use]
    pub const fn with_retries(mut self, count: u32) -> Self {
        self.retries = count;
        self
    }

    /// Sets for how long after its submission a notification may be sent again. Default: one hour.
    #[must_use]
    pub const fn with_budget(mut self, span: Duration) -> Self {
        self.budget = span;
        self
    }

    /// Sets the longest wait between two attempts, unless the service asks for more. Default: one hour.
    #[must_use]
    pub const fn with_longest_wait(mut self, span: Duration) -> Self {
        self.longest_wait = span;
        self
    }

    /// What to do with a notification that was refused, was sent again `retries` times before, and was submitted
    /// `elapsed` ago.
    ///
    /// The wait is at least what the service asked for or, where it named no time, what suits the reason; it doubles with
    /// each retry. Jitter from the `seed` makes it up to 20 % longer, never shorter. A refused provider token is replaced
    /// only before the first retry: when a new one is refused as well, more of them do not help.
    #[must_use]
    pub fn decide(&self, rejection: &Rejection, retries: u32, elapsed: Duration, seed: u64) -> RetryDecision {
        if retries >= self.retries {
            return RetryDecision::GiveUp;
        }
        let (first, route) = match rejection.retry() {
            Retry::Never | Retry::AfterFix => return RetryDecision::GiveUp,
            Retry::NewToken if retries > 0 => return RetryDecision::GiveUp,
            Retry::NewToken => (Duration::ZERO, RetryRoute::NewToken),
            Retry::NewConnection if retries == 0 => (Duration::ZERO, RetryRoute::NewConnection),
            Retry::NewConnection => (Duration::from_secs(1), RetryRoute::NewConnection),
            Retry::After(wait) => (wait, RetryRoute::Any),
        };
        let (asked, route) = match rejection {
            Rejection::Gateway(_) => (None, route),
            // This connection goes on refusing; the same token is good on another.
            #[cfg(feature = "http2")]
            Rejection::Provider(rejection) if rejection.reason() == Some(&Reason::TooManyProviderTokenUpdates) => {
                (rejection.retry_after(), RetryRoute::NewConnection)
            }
            #[cfg(feature = "http2")]
            Rejection::Provider(rejection) => (rejection.retry_after(), route),
        };
        let doubled = first.saturating_mul(1 << retries.min(20)).min(self.longest_wait);
        let least = doubled.max(asked.unwrap_or_default());
        let thousandths = (mix(seed.wrapping_add(retries.into())) % 201) as u32;
        let wait = least.saturating_add(least.saturating_mul(thousandths) / 1000);
        if elapsed.saturating_add(wait) > self.budget {
            return RetryDecision::GiveUp;
        }
        RetryDecision::Again { wait, route }
    }
}

#[cfg(all(test, feature = "http2"))]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http2::{Api, ProviderRejection};

    fn refusal(reason: &Reason) -> ProviderRejection {
        ProviderRejection::new(Api::Device, reason.status().expect("every known reason has a status"))
            .with_reason(reason.as_str())
    }

    fn wait(decision: RetryDecision) -> Option<Duration> {
        match decision {
            RetryDecision::GiveUp => None,
            RetryDecision::Again { wait, .. } => Some(wait),
        }
    }

    #[test]
    fn by_default_nothing_is_sent_again() {
        for reason in Reason::KNOWN {
            let decision = RetryPolicy::default().decide(&refusal(reason).into(), 0, Duration::ZERO, 1);
            assert_eq!(decision, RetryDecision::GiveUp, "{reason}");
        }
    }

    #[test]
    fn what_apple_says_is_never_sent_again() {
        let policy = RetryPolicy::default().with_retries(u32::MAX).with_budget(Duration::MAX);
        for reason in [
            Reason::BadDeviceToken,
            Reason::DeviceTokenNotForTopic,
            Reason::Forbidden,
            Reason::ExpiredToken,
            Reason::Unregistered,
            Reason::PayloadTooLarge,
            Reason::BadTopic,
        ] {
            let rejection = refusal(&reason).with_retry_after(Duration::from_secs(1)).into();
            assert_eq!(policy.decide(&rejection, 0, Duration::ZERO, 1), RetryDecision::GiveUp, "{reason}");
        }
    }

    #[test]
    fn b60_retry_after_is_honoured() {
        let policy = RetryPolicy::default().with_retries(5);
        let busy: Rejection = refusal(&Reason::TooManyRequests).with_retry_after(Duration::from_secs(3)).into();
        let first = wait(policy.decide(&busy, 0, Duration::ZERO, 1)).unwrap();
        assert!(first >= Duration::from_secs(3) && first <= Duration::from_millis(3600), "{first:?}");
        let second = wait(policy.decide(&busy, 1, Duration::from_secs(4), 1)).unwrap();
        assert!(second >= Duration::from_secs(6), "{second:?}");
        // Also where the usual answer is to go on at once, and above the longest wait.
        let policy = policy.with_longest_wait(Duration::from_secs(1));
        let away = refusal(&Reason::Shutdown).with_retry_after(Duration::from_secs(30)).into();
        assert!(wait(policy.decide(&away, 0, Duration::ZERO, 1)).unwrap() >= Duration::from_secs(30));
    }

    #[test]
    fn faults_of_the_service_wait_a_quarter_of_an_hour() {
        let policy = RetryPolicy::default().with_retries(2).with_budget(Duration::from_secs(7200));
        let fault = refusal(&Reason::InternalServerError).into();
        let wait = wait(policy.decide(&fault, 0, Duration::ZERO, 9)).unwrap();
        assert!(wait >= Duration::from_secs(900) && wait <= Duration::from_secs(1080), "{wait:?}");
    }

    #[test]
    fn attempts_and_budget_are_bounds() {
        let policy = RetryPolicy::default().with_retries(2).with_budget(Duration::from_secs(1000));
        let fault: Rejection = refusal(&Reason::ServiceUnavailable).with_retry_after(Duration::from_secs(100)).into();
        assert!(wait(policy.decide(&fault, 1, Duration::from_secs(100), 1)).is_some());
        assert_eq!(policy.decide(&fault, 2, Duration::from_secs(100), 1), RetryDecision::GiveUp);
        assert_eq!(policy.decide(&fault, 1, Duration::from_secs(801), 1), RetryDecision::GiveUp);
    }

    #[test]
    fn b59_a_new_token_is_tried_once() {
        let policy = RetryPolicy::default().with_retries(5);
        let expired = refusal(&Reason::ExpiredProviderToken).into();
        let first = policy.decide(&expired, 0, Duration::ZERO, 1);
        assert_eq!(first, RetryDecision::Again { wait: Duration::ZERO, route: RetryRoute::NewToken });
        assert_eq!(policy.decide(&expired, 1, Duration::ZERO, 1), RetryDecision::GiveUp);
    }

    #[test]
    fn b71_too_many_token_updates_go_to_another_connection() {
        let policy = RetryPolicy::default().with_retries(1);
        let decision = policy.decide(&refusal(&Reason::TooManyProviderTokenUpdates).into(), 0, Duration::ZERO, 1);
        assert!(matches!(decision, RetryDecision::Again { route: RetryRoute::NewConnection, .. }), "{decision:?}");
        let decision = policy.decide(&refusal(&Reason::TooManyRequests).into(), 0, Duration::ZERO, 1);
        assert!(matches!(decision, RetryDecision::Again { route: RetryRoute::Any, .. }), "{decision:?}");
    }

    proptest! {
        #[test]
        fn the_wait_is_bounded_and_repeats(status: u16, asked: Option<u16>, retries: u32, seed: u64, budget: u32) {
            let budget = Duration::from_secs(budget.into());
            let policy = RetryPolicy::default().with_retries(u32::MAX).with_budget(budget);
            let mut rejection = ProviderRejection::new(Api::Broadcast, status);
            if let Some(asked) = asked {
                rejection = rejection.with_retry_after(Duration::from_secs(asked.into()));
            }
            let rejection = rejection.into();
            let decision = policy.decide(&rejection, retries, Duration::ZERO, seed);
            prop_assert_eq!(decision, policy.decide(&rejection, retries, Duration::ZERO, seed));
            if let Some(wait) = wait(decision) {
                prop_assert!(wait <= budget);
                prop_assert!(wait >= Duration::from_secs(asked.unwrap_or_default().into()));
            }
        }
    }
}
