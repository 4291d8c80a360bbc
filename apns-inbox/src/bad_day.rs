//! Bad days by hand: what a person or a test can arm for the next push.

use std::time::Duration;

use apns_proto::WallTime;
use apns_proto::binary::Status;
use apns_sim::{Action, Armed, CutHow, Http2Answer, Http2GoAway, Http2Step, TokenPattern};

/// How late an answer is.
pub(crate) const LATE: Duration = Duration::from_secs(5);

/// How long a device has to be left alone after 429, in seconds.
const RETRY_AFTER: &str = "30";

/// What can happen to the next push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    Unregistered,
    BadDeviceToken,
    TooManyRequests,
    InternalServerError,
    Late,
    Cut,
}

impl Choice {
    pub(crate) const ALL: [Self; 6] = [
        Self::Unregistered,
        Self::BadDeviceToken,
        Self::TooManyRequests,
        Self::InternalServerError,
        Self::Late,
        Self::Cut,
    ];

    /// Its word in forms and in the API.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Unregistered => "410",
            Self::BadDeviceToken => "400",
            Self::TooManyRequests => "429",
            Self::InternalServerError => "500",
            Self::Late => "late",
            Self::Cut => "cut",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|choice| choice.word() == word)
    }

    /// The reason in the answer, where it is one.
    pub(crate) const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Unregistered => Some("Unregistered"),
            Self::BadDeviceToken => Some("BadDeviceToken"),
            Self::TooManyRequests => Some("TooManyRequests"),
            Self::InternalServerError => Some("InternalServerError"),
            Self::Late | Self::Cut => None,
        }
    }

    /// What the simulator is told. The binary protocol has an answer for some: status 8 for the two about tokens, status 1
    /// for a fault of the service, an end of the connection; it answers nothing to what it takes, so nothing can be late,
    /// and it knows no limit for one device.
    pub(crate) fn armed(self, tokens: TokenPattern, times: u64, now: WallTime) -> Armed {
        let armed = Armed::new(tokens).times(times).labelled(self.word());
        let refusal = |status, reason| Http2Answer::new(status, reason);
        match self {
            Self::Unregistered => armed
                .http2([refusal(410, "Unregistered").timestamp_ms(now.as_millis()).into()])
                .gateway(Action::refuse(Status::INVALID_TOKEN)),
            Self::BadDeviceToken => {
                armed.http2([refusal(400, "BadDeviceToken").into()]).gateway(Action::refuse(Status::INVALID_TOKEN))
            }
            Self::TooManyRequests => armed.http2([refusal(429, "TooManyRequests").retry_after(RETRY_AFTER).into()]),
            Self::InternalServerError => armed
                .http2([refusal(500, "InternalServerError").into()])
                .gateway(Action::refuse(Status::PROCESSING_ERROR)),
            Self::Late => armed.http2([wait(LATE), Http2Step::Answer]),
            Self::Cut => armed.http2([Http2Step::Cut(CutHow::default())]).gateway(Action::Close),
        }
    }
}

fn wait(span: Duration) -> Http2Step {
    Http2Step::WaitMs(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

/// What the service says on all connections: Apple's word for a server that goes away.
pub(crate) fn go_away() -> Http2GoAway {
    Http2GoAway::new("Shutdown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_choice_has_a_word_of_its_own() {
        for choice in Choice::ALL {
            assert_eq!(Choice::from_word(choice.word()), Some(choice));
            let armed = choice.armed(TokenPattern::any(), 2, WallTime::from_secs(5));
            assert_eq!((armed.label(), armed.left()), (Some(choice.word()), 2));
        }
        assert_eq!(Choice::from_word("418"), None);
    }
}
