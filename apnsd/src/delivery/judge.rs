//! What becomes of a notification when its outcome is known: the end, or another try.

use std::sync::Arc;
use std::time::Duration;

use apns_proto::http2::Reason;
use apns_proto::{
    Environment, Expiration, LossPolicy, NotSentCause, Notification, Outcome, Rejection, RetryDecision, TokenVerdict,
    UnknownCause, WallTime,
};
use apns_tokio::Delivery;

use super::router::{TokenKey, other};
use crate::config::{App, EnvironmentChoice};
use crate::outbox::too_late;
use crate::outbox::{Change, ClaimNumber, Claimed, GoneToken, OutcomeRecord, Postponement, Route, Settlement, Tries};
use crate::{AppName, NotificationId, Tag};

/// A notification that is with the client.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) id: NotificationId,
    key: Option<Arc<str>>,
    tag: Option<Tag>,
    accepted_at: WallTime,
    send_at: Option<WallTime>,
    pub(super) route: Route,
    tries: Tries,
    claim: ClaimNumber,
    /// The device token, where the daemon finds out where it belongs, and whether this is a guess.
    pub(super) found_out: Option<(TokenKey, bool)>,
}

impl Ticket {
    /// When its time began: when it was to be sent, or when it was accepted.
    pub(super) fn begun(&self) -> WallTime {
        self.send_at.unwrap_or(self.accepted_at)
    }

    /// Takes a claimed notification apart, and gives it the name under which a second copy is recognised.
    pub(super) fn issue(claimed: Claimed) -> (Self, Notification) {
        let Claimed { id, mut notification, idempotency_key, tag, accepted_at, send_at, route, tries, claim } = claimed;
        if notification.apns_id().is_none() {
            notification = notification.with_apns_id(id.apns_id());
        }
        let ticket = Self { id, key: idempotency_key, tag, accepted_at, send_at, route, tries, claim, found_out: None };
        (ticket, notification)
    }
}

/// Whether the daemon finds out where a notification on this route goes.
pub(super) fn is_found_out(app: &App, route: Route) -> bool {
    match route {
        Route::Default => app.environment == EnvironmentChoice::Auto,
        Route::Named(_) => false,
        Route::Auto | Route::Probe | Route::Found(_) | Route::Last(_) => true,
    }
}

/// Whether an answer says that the service knows the device token in this environment; nothing where it does not say.
///
/// A token of the other environment is answered with BadDeviceToken. To say that a token is not registered any more, that it
/// has expired or that it is for another topic, the service has to know it.
pub(super) fn knows_token(outcome: &Outcome) -> Option<bool> {
    match outcome {
        Outcome::Accepted { .. } => Some(true),
        Outcome::Rejected(Rejection::Provider(rejection)) => match rejection.reason() {
            Some(Reason::BadDeviceToken) => Some(false),
            Some(Reason::Unregistered | Reason::ExpiredToken | Reason::DeviceTokenNotForTopic) => Some(true),
            _ => None,
        },
        _ => None,
    }
}

/// How the judgements of one app are made, about what goes to one environment.
#[derive(Debug)]
pub(super) struct Judge<'a> {
    pub(super) name: &'a AppName,
    pub(super) app: &'a App,
    pub(super) environment: Environment,
}

/// What becomes of a notification that was sent.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) change: Change,
    /// The environment does not know the device token, and the other one is asked: a caller who waits for the service's
    /// answer waits on.
    pub(super) asks_on: bool,
}

impl Judge<'_> {
    /// About a notification whose expiration passed before it was handed to the client.
    pub(super) fn expired(&self, ticket: &Ticket, now: WallTime) -> Change {
        let outcome = match ticket.tries.replays {
            0 => Outcome::Expired,
            _ => too_late(),
        };
        self.settle(ticket, ticket.tries, &outcome, None, now)
    }

    /// About one that was claimed, and that nobody wants to send any more.
    pub(super) fn put_back(ticket: &Ticket, now: WallTime) -> Change {
        Self::put_on(ticket, ticket.route, now)
    }

    /// About one that was claimed, and waits on another route.
    pub(super) fn put_on(ticket: &Ticket, route: Route, now: WallTime) -> Change {
        Change::Postpone(Postponement { id: ticket.id, due: now, route, tries: ticket.tries, claim: ticket.claim })
    }

    /// About one that the client has ended. `nowhere` says that the other environment does not know the device token.
    pub(super) fn sent(&self, ticket: &Ticket, delivery: &Delivery, nowhere: bool, now: WallTime) -> Judged {
        let has_last_word = nowhere || matches!(ticket.route, Route::Last(_));
        let asks_on = ticket.found_out.is_some() && knows_token(&delivery.outcome) == Some(false) && !has_last_word;
        let change = self.delivered(ticket, delivery, asks_on, now);
        Judged { change, asks_on }
    }

    fn delivered(&self, ticket: &Ticket, delivery: &Delivery, asks_on: bool, now: WallTime) -> Change {
        let tries = Tries {
            attempts: ticket.tries.attempts.saturating_add(delivery.attempts),
            replays: ticket.tries.replays.saturating_add(delivery.replays),
            retries: ticket.tries.retries,
        };
        let notification = delivery.returned.as_deref();
        let (id, claim) = (ticket.id, ticket.claim);
        let route = ticket.route;
        let again = |due, tries| Change::Postpone(Postponement { id, due, route, tries, claim });
        if asks_on {
            let route = Route::Last(other(self.environment));
            return Change::Postpone(Postponement { id, due: now, route, tries, claim });
        }
        let one_attempt = notification.is_some_and(|one| one.expiration() == Expiration::Immediately);
        match &delivery.outcome {
            Outcome::Rejected(rejection) => match self.retry(ticket, rejection, notification, now) {
                Some(wait) => again(now.saturating_add(wait), Tries { retries: tries.retries + 1, ..tries }),
                None => self.settle(ticket, tries, &delivery.outcome, notification, now),
            },
            // Nobody could be reached for the one attempt that it asked for.
            Outcome::NotSent { cause: NotSentCause::NoConnection(_) } if one_attempt => {
                let outcome = if tries.replays == 0 { Outcome::Expired } else { too_late() };
                self.settle(ticket, tries, &outcome, notification, now)
            }
            // It did not leave, and the outbox has all the patience that is needed.
            Outcome::NotSent {
                cause:
                    NotSentCause::NoConnection(_)
                    | NotSentCause::CredentialRefused(_)
                    | NotSentCause::Stopped(_)
                    | NotSentCause::OutOfTime
                    | NotSentCause::Closed,
            } => again(now, tries),
            Outcome::Unknown { cause } => match self.app.loss {
                LossPolicy::Resend { at_most } if tries.replays < at_most && may_be_sent_again(cause) => {
                    again(now, Tries { replays: tries.replays + 1, ..tries })
                }
                _ => self.settle(ticket, tries, &delivery.outcome, notification, now),
            },
            // An earlier copy may have arrived, of which this client knows nothing.
            Outcome::Expired if tries.replays > 0 => self.settle(ticket, tries, &too_late(), notification, now),
            Outcome::NotSent { cause } if tries.replays > 0 => {
                let why = Arc::from(format!("{cause}; an earlier copy may have arrived"));
                let outcome = Outcome::Unknown { cause: UnknownCause::ConnectionLost(why) };
                self.settle(ticket, tries, &outcome, notification, now)
            }
            outcome => self.settle(ticket, tries, outcome, notification, now),
        }
    }

    /// How long a refused notification waits until it is tried again; `None` when it is not.
    fn retry(
        &self,
        ticket: &Ticket,
        rejection: &Rejection,
        notification: Option<&Notification>,
        now: WallTime,
    ) -> Option<Duration> {
        let elapsed = now.saturating_since(ticket.begun());
        let bytes = ticket.id.as_bytes();
        let seed = u64::from_be_bytes(bytes[8..].try_into().expect("a name has 16 bytes"));
        let RetryDecision::Again { wait, .. } = self.app.retry.decide(rejection, ticket.tries.retries, elapsed, seed)
        else {
            return None;
        };
        // What would be too late by then ends with the refusal that it has.
        let late = notification.is_some_and(|one| one.expiration().has_passed(now.saturating_add(wait)));
        (!late).then_some(wait)
    }

    fn settle(
        &self,
        ticket: &Ticket,
        tries: Tries,
        outcome: &Outcome,
        notification: Option<&Notification>,
        now: WallTime,
    ) -> Change {
        let record = OutcomeRecord::new(ticket.id, self.name.clone(), outcome, ticket.accepted_at, now)
            .with_tries(tries)
            .with_send_at(ticket.send_at)
            .with_environment(self.answered_by(outcome))
            .with_idempotency_key(ticket.key.as_deref())
            .with_tag(ticket.tag.clone());
        // Only what both said comes here.
        let record = match knows_token(outcome) {
            Some(false) if ticket.found_out.is_some() => record.with_detail(KNOWN_NOWHERE),
            _ => record,
        };
        let gone = match (outcome, notification) {
            (Outcome::Rejected(rejection), Some(notification)) => self.gone(rejection, notification, now),
            _ => None,
        };
        Change::Settle(Box::new(Settlement { record, gone, claim: ticket.claim }))
    }

    /// The environment in which the service had it in hand.
    const fn answered_by(&self, outcome: &Outcome) -> Option<Environment> {
        match outcome {
            Outcome::Accepted { .. } | Outcome::Rejected(_) | Outcome::Unknown { .. } => Some(self.environment),
            _ => None,
        }
    }

    fn gone(&self, rejection: &Rejection, notification: &Notification, now: WallTime) -> Option<GoneToken> {
        let since = match rejection.token_verdict() {
            TokenVerdict::Drop => None,
            TokenVerdict::DropIfRegisteredBefore(time) => Some(time),
            _ => return None,
        };
        let topic = notification.topic().or(self.app.topic.as_ref());
        Some(GoneToken {
            token: notification.token().clone(),
            topic: topic.map(|topic| Arc::from(topic.as_str())),
            since,
            found_at: now,
            reason: rejection.reason().into(),
        })
    }
}

/// What to do about a token that neither environment knows.
const KNOWN_NOWHERE: &str = "Neither production nor the sandbox knows the device token: drop it.";

/// Whether a copy may be sent although an earlier one may have arrived. Never what the service may have choked on.
const fn may_be_sent_again(cause: &UnknownCause) -> bool {
    matches!(
        cause,
        UnknownCause::Closed
            | UnknownCause::ConnectionLost(_)
            | UnknownCause::NoAnswer
            | UnknownCause::BrokenOff { .. }
    )
}
