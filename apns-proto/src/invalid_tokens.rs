//! Which device tokens to drop.

use std::collections::BTreeMap;

use crate::binary::FeedbackRecord;
use crate::{DeviceToken, DeviceTokenError, Outcome, Proof, Rejection, TokenVerdict, Topic, WallTime};

/// Collects what both protocols say about device tokens, and tells which ones to drop.
///
/// Whether to drop a token depends on when the app registered it, which only its owner knows: a token that was registered
/// again after the service found it gone is good. So keep that time beside each token, and ask with it.
///
/// A token is never dropped for an answer that may have other reasons. In particular a token that the service calls
/// invalid (BadDeviceToken, status 8) may simply belong to the other environment, and then all tokens do. Such tokens are
/// held back until the environment is known to be right: when any token was accepted for certain, or known well enough to be
/// called gone, or [`confirm_environment`](Self::confirm_environment) was called. Use one value for each environment.
///
/// It holds one entry for each token and topic; empty it with [`take`](Self::take) from time to time.
///
/// ```
/// use apns_proto::binary::FeedbackRecord;
/// use apns_proto::{DeviceToken, InvalidTokens, WallTime};
///
/// let token = DeviceToken::from_bytes([7; 32])?;
/// let mut invalid = InvalidTokens::new();
/// invalid.note_feedback(&FeedbackRecord { timestamp: WallTime::from_secs(300), token: vec![7; 32].into() })?;
/// assert!(invalid.drops(&token, None, WallTime::from_secs(200)));
/// assert!(!invalid.drops(&token, None, WallTime::from_secs(400)), "registered again since");
/// # Ok::<(), apns_proto::DeviceTokenError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct InvalidTokens {
    /// First by token, so that all topics of one are neighbours; no topic comes first.
    verdicts: BTreeMap<(DeviceToken, Option<Topic>), Gone>,
    environment_confirmed: bool,
}

/// What is known against a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gone {
    /// The service found it gone at this time.
    Since(WallTime),
    /// The service does not know it, at least not in this environment.
    Unknown,
}

/// A token that something is known against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidToken {
    /// The token.
    pub token: DeviceToken,
    /// The topic that it is invalid for; `None` where the protocol does not say, as in feedback.
    pub topic: Option<Topic>,
    /// What becomes of it: never [`TokenVerdict::Keep`].
    pub verdict: TokenVerdict,
}

impl InvalidTokens {
    /// Knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the outcome of a notification to this token. Give the topic if there was one.
    pub fn note_outcome(&mut self, token: &DeviceToken, topic: Option<&Topic>, outcome: &Outcome) {
        match outcome {
            Outcome::Accepted { proof: Proof::Confirmed, .. } => {
                self.environment_confirmed = true;
                let key = (token.clone(), topic.cloned());
                if self.verdicts.get(&key) == Some(&Gone::Unknown) {
                    self.verdicts.remove(&key);
                }
            }
            Outcome::Rejected(rejection) => self.note_rejection(token, topic, rejection),
            Outcome::Accepted { proof: Proof::Presumed, .. }
            | Outcome::Expired
            | Outcome::Unknown { .. }
            | Outcome::NotSent { .. } => {}
        }
    }

    /// Takes a refusal of a notification to this token. Give the topic if there was one.
    pub fn note_rejection(&mut self, token: &DeviceToken, topic: Option<&Topic>, rejection: &Rejection) {
        let gone = match rejection.token_verdict() {
            TokenVerdict::Keep => return,
            TokenVerdict::Drop => Gone::Unknown,
            TokenVerdict::DropIfRegisteredBefore(time) => Gone::Since(time),
        };
        self.note(token.clone(), topic.cloned(), gone);
    }

    /// Takes a record of the feedback service.
    ///
    /// # Errors
    ///
    /// [`DeviceTokenError`] when the record's token is longer than a token can be.
    pub fn note_feedback(&mut self, record: &FeedbackRecord) -> Result<(), DeviceTokenError> {
        let token = DeviceToken::from_bytes(&record.token)?;
        self.note(token, None, Gone::Since(record.timestamp));
        Ok(())
    }

    fn note(&mut self, token: DeviceToken, topic: Option<Topic>, gone: Gone) {
        // Only a service that knows a token can say since when it is gone.
        self.environment_confirmed |= matches!(gone, Gone::Since(_));
        let known = self.verdicts.entry((token, topic)).or_insert(gone);
        *known = match (*known, gone) {
            (Gone::Since(old), Gone::Since(new)) => Gone::Since(old.max(new)),
            (Gone::Since(time), Gone::Unknown) | (Gone::Unknown, Gone::Since(time)) => Gone::Since(time),
            (Gone::Unknown, Gone::Unknown) => Gone::Unknown,
        };
    }

    /// Says that tokens and service belong to the same environment, so that tokens that the service does not know are
    /// really invalid.
    pub const fn confirm_environment(&mut self) {
        self.environment_confirmed = true;
    }

    /// Whether to drop a token that the app registered at this time.
    ///
    /// What is known without a topic counts for every topic. Without a topic, what is known for any counts.
    #[must_use]
    pub fn drops(&self, token: &DeviceToken, topic: Option<&Topic>, registered: WallTime) -> bool {
        let first = (token.clone(), None);
        self.verdicts
            .range(first..)
            .take_while(|((known, _), _)| known == token)
            .filter(|((_, known), _)| topic.is_none() || known.is_none() || known.as_ref() == topic)
            .any(|(_, gone)| self.verdict(*gone).drops(registered))
    }

    /// All that is known, in the order of the tokens, and starts anew. Whether the environment is right stays known.
    ///
    /// Tokens that are held back for the doubt about the environment stay where they are.
    pub fn take(&mut self) -> Vec<InvalidToken> {
        let all = std::mem::take(&mut self.verdicts);
        let mut taken = Vec::with_capacity(all.len());
        for ((token, topic), gone) in all {
            match self.verdict(gone) {
                TokenVerdict::Keep => {
                    self.verdicts.insert((token, topic), gone);
                }
                verdict @ (TokenVerdict::Drop | TokenVerdict::DropIfRegisteredBefore(_)) => {
                    taken.push(InvalidToken { token, topic, verdict });
                }
            }
        }
        taken
    }

    /// How many tokens and topics there is something known against, those held back included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.verdicts.len()
    }

    /// Whether nothing is known against any token.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.verdicts.is_empty()
    }

    const fn verdict(&self, gone: Gone) -> TokenVerdict {
        match gone {
            Gone::Since(time) => TokenVerdict::DropIfRegisteredBefore(time),
            Gone::Unknown if self.environment_confirmed => TokenVerdict::Drop,
            Gone::Unknown => TokenVerdict::Keep,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binary::Status;

    fn token(number: u8) -> DeviceToken {
        DeviceToken::from_bytes([number; 32]).unwrap()
    }

    fn feedback(number: u8, seconds: u64) -> FeedbackRecord {
        FeedbackRecord { timestamp: WallTime::from_secs(seconds), token: vec![number; 32].into() }
    }

    fn at(seconds: u64) -> WallTime {
        WallTime::from_secs(seconds)
    }

    const INVALID: Outcome = Outcome::Rejected(Rejection::Gateway(Status::INVALID_TOKEN));

    #[test]
    fn b28_feedback_drops_only_what_was_registered_before() {
        let mut invalid = InvalidTokens::new();
        invalid.note_feedback(&feedback(1, 100)).unwrap();
        assert!(!invalid.drops(&token(1), None, at(200)));
        invalid.note_feedback(&feedback(1, 300)).unwrap();
        invalid.note_feedback(&feedback(1, 150)).unwrap();
        assert!(invalid.drops(&token(1), None, at(200)), "the latest time counts");
        assert!(!invalid.drops(&token(2), None, at(200)));
        let expected = TokenVerdict::DropIfRegisteredBefore(at(300));
        assert_eq!(invalid.take(), [InvalidToken { token: token(1), topic: None, verdict: expected }]);
        assert!(invalid.is_empty());
    }

    #[test]
    fn b18_an_unknown_token_waits_until_the_environment_is_certain() {
        let mut invalid = InvalidTokens::new();
        for number in 1..=3 {
            invalid.note_outcome(&token(number), None, &INVALID);
        }
        invalid.note_outcome(&token(9), None, &Outcome::accepted(Proof::Presumed));
        assert!(!invalid.drops(&token(1), None, at(200)), "perhaps all of them are of the other environment");
        assert_eq!((invalid.take(), invalid.len()), (vec![], 3));
        invalid.note_outcome(&token(9), None, &Outcome::accepted(Proof::Confirmed));
        assert!(invalid.drops(&token(1), None, at(200)));
        invalid.note_outcome(&token(2), None, &Outcome::accepted(Proof::Confirmed));
        let taken: Vec<_> = invalid.take().into_iter().map(|invalid| invalid.token).collect();
        assert_eq!(taken, [token(1), token(3)], "what was accepted since is good");

        let mut invalid = InvalidTokens::new();
        invalid.note_outcome(&token(1), None, &INVALID);
        invalid.confirm_environment();
        assert!(invalid.drops(&token(1), None, at(200)));
    }

    #[test]
    fn a_token_longer_than_any_is_an_error() {
        let record = FeedbackRecord { timestamp: at(1), token: vec![1; 101].into() };
        assert_eq!(InvalidTokens::new().note_feedback(&record), Err(DeviceTokenError::TooLong { bytes: 101 }));
    }

    #[cfg(feature = "http2")]
    mod provider {
        use super::*;
        use crate::http2::{Api, ProviderRejection, Reason};

        fn gone(status: u16, reason: &str, seconds: u64) -> Outcome {
            let rejection = ProviderRejection::new(Api::Device, status).with_reason(reason);
            Outcome::Rejected(rejection.with_timestamp(at(seconds)).into())
        }

        #[test]
        fn b110_a_410_before_the_registration_keeps_the_token() {
            let mut invalid = InvalidTokens::new();
            let topic = Topic::new("com.example.app").unwrap();
            invalid.note_outcome(&token(1), Some(&topic), &gone(410, "Unregistered", 100));
            assert!(!invalid.drops(&token(1), Some(&topic), at(200)));
            assert!(invalid.drops(&token(1), Some(&topic), at(50)));
            let other = Topic::new("com.example.other").unwrap();
            assert!(!invalid.drops(&token(1), Some(&other), at(50)), "only for its topic");
            assert!(invalid.drops(&token(1), None, at(50)));
        }

        #[test]
        fn b110_errors_of_configuration_cost_no_token() {
            let mut invalid = InvalidTokens::new();
            invalid.confirm_environment();
            for reason in Reason::KNOWN {
                let drops = matches!(reason, Reason::BadDeviceToken | Reason::ExpiredToken | Reason::Unregistered);
                invalid.note_outcome(&token(1), None, &gone(reason.status().unwrap(), reason.as_str(), 300));
                assert_eq!(invalid.drops(&token(1), None, at(200)), drops, "{reason}");
                invalid.take();
            }
        }
    }
}
