//! How a webhook stands with one app, for those who look.

use std::collections::BTreeMap;

use apns_proto::WallTime;
use parking_lot::Mutex;

use super::WebhookFailure;

/// How a webhook stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WebhookState {
    /// Nothing was sent yet.
    #[default]
    Untried,
    /// The receiver took what was sent last.
    Working,
    /// The receiver does not take what is sent. Nothing is lost for as long as outcomes are kept.
    Failing {
        /// What is wrong.
        why: String,
        /// Since when.
        since: WallTime,
    },
    /// Another daemon on the same store sends.
    Elsewhere,
}

impl WebhookState {
    /// All words, for figures.
    pub(crate) const WORDS: [&str; 4] = ["untried", "working", "failing", "elsewhere"];

    /// A stable word for programs.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Untried => "untried",
            Self::Working => "working",
            Self::Failing { .. } => "failing",
            Self::Elsewhere => "elsewhere",
        }
    }

    /// What is wrong, if something is.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Failing { why, .. } => Some(why),
            Self::Untried | Self::Working | Self::Elsewhere => None,
        }
    }
}

/// What a process did for a webhook since its start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct WebhookFigures {
    /// Batches that the receiver took.
    pub batches: u64,
    /// Outcomes in these.
    pub outcomes: u64,
    /// Attempts that failed, by their kind.
    pub failures: BTreeMap<&'static str, u64>,
    /// How often the receiver was told that outcomes were forgotten before it could be told of them.
    pub gaps: u64,
    /// When the receiver last took a batch.
    pub delivered_at: Option<WallTime>,
}

#[derive(Debug, Default)]
pub(super) struct Standing(Mutex<(WebhookState, WebhookFigures)>);

impl Standing {
    pub(super) fn snapshot(&self) -> (WebhookState, WebhookFigures) {
        self.0.lock().clone()
    }

    /// Another process sends, or this one does again.
    pub(super) fn set_elsewhere(&self, elsewhere: bool) {
        let state = &mut self.0.lock().0;
        match (elsewhere, &*state) {
            (true, _) => *state = WebhookState::Elsewhere,
            (false, WebhookState::Elsewhere) => *state = WebhookState::Untried,
            (false, _) => {}
        }
    }

    /// The receiver took a batch. Says whether it failed before.
    pub(super) fn delivered(&self, outcomes: u64, gap: bool, now: WallTime) -> bool {
        let (state, figures) = &mut *self.0.lock();
        figures.batches += 1;
        figures.outcomes += outcomes;
        figures.gaps += u64::from(gap);
        figures.delivered_at = Some(now);
        matches!(std::mem::replace(state, WebhookState::Working), WebhookState::Failing { .. })
    }

    /// An attempt failed. Says whether that is news.
    pub(super) fn failed(&self, failure: &WebhookFailure, now: WallTime) -> bool {
        let (state, figures) = &mut *self.0.lock();
        *figures.failures.entry(failure.word()).or_default() += 1;
        let since = match state {
            WebhookState::Failing { since, .. } => Some(*since),
            WebhookState::Untried | WebhookState::Working | WebhookState::Elsewhere => None,
        };
        *state = WebhookState::Failing { why: failure.to_string(), since: since.unwrap_or(now) };
        since.is_none()
    }
}
