//! What the service says, and what follows from it.

use std::sync::Arc;

use super::{Client, Phase, Sent, Waiting};
use crate::http2::engine::client::{Event, Failure, Fate as WireFate, Response as WireResponse};
use crate::http2::engine::frame::ErrorCode;
use crate::http2::engine::{CloseReason as EngineClose, GoAway};
use crate::http2::{
    AfterRejection, Api, ClockSkew, Credential, Exchange, ProviderToken, Reason, Response, TokenError, TokenPolicy,
};
use crate::{
    CloseReason, Closed, ConnectionEvent, CredentialRefusal, Fate, Now, Outcome, Reaction, Rejection, Settled,
    Submission, UnknownCause, Unsettled, Warning,
};

impl<K, M: Exchange> Client<K, M> {
    /// Takes what the engine has to say.
    pub(super) fn pump(&mut self, now: Now) {
        while let Some(event) = self.engine.poll() {
            match event {
                // Read where it matters: the limit and the size of headers.
                Event::Settings(_) => {}
                Event::Response { stream, response } => {
                    if let Some(sent) = self.in_flight.remove(stream) {
                        self.on_answer(now, sent, response);
                    }
                }
                Event::Failed { stream, failure, fate } => {
                    if let Some(sent) = self.in_flight.remove(stream) {
                        self.on_failure(now, sent.submission, failure, fate);
                    }
                }
                Event::GoAway(said) => self.on_go_away(now, &said),
                Event::Pong(opaque) => self.keep_alive.pong(opaque),
                Event::Closed(reason) => self.on_closed(reason),
            }
        }
        self.keep_alive.set_busy(now, !self.in_flight.is_empty());
        if self.phase == Phase::Draining && self.waiting.is_empty() {
            self.phase = Phase::Retired;
            self.engine.finish();
            self.pump(now);
        }
    }

    pub(super) fn on_answer(&mut self, now: Now, sent: Sent<K, M>, response: WireResponse) {
        self.used = now.instant;
        self.unanswered = 0;
        self.refusals.answered();
        let (outcome, answer, skew) = if M::API == Api::Device && response.status == 200 {
            // What nearly all answers are: nothing of it is needed but the names.
            (Response::accepted(&response), M::Answer::default(), None)
        } else {
            let response = Response::from_wire(M::API, now.wall, response);
            let skew = response.clock_skew();
            let (outcome, answer) = M::read(response);
            (outcome, answer, skew)
        };
        let Sent { submission, token, .. } = sent;
        if let Outcome::Rejected(rejection) = &outcome
            && rejection.refuses_credential()
        {
            let renewed = self.is_renewed(now, token.as_ref(), rejection, skew);
            let refusal = Arc::new(CredentialRefusal::Answer(rejection.clone()));
            self.give_back(submission, Fate::CredentialRefused { refusal: refusal.clone(), renewed });
            return self.retire(CloseReason::CredentialRefused(refusal));
        }

        if !self.answered {
            self.answered = true;
            self.events.push_back(ConnectionEvent::Answered);
        }
        let replace = self.is_to_be_replaced(now, &outcome);
        self.events.push_back(ConnectionEvent::Settled(Settled { answer, ..submission.settle(outcome) }));
        if replace {
            self.retire(CloseReason::Finished);
        }
    }

    /// Whether the source has, or will have, another provider token after this refusal.
    fn is_renewed(
        &mut self,
        now: Now,
        token: Option<&ProviderToken>,
        rejection: &Rejection,
        skew: Option<ClockSkew>,
    ) -> bool {
        let Some(reason) = token_reason(rejection) else { return false };
        let (Some(token), Credential::Token(source)) = (token, &self.credential) else { return false };
        match source.rejected(now, token, reason, skew) {
            AfterRejection::NewConnection => true,
            AfterRejection::Stop(error) => {
                self.warn_about_token(error);
                false
            }
        }
    }

    /// Whether an answer says that the connection, and not only the request, is at its end.
    fn is_to_be_replaced(&self, now: Now, outcome: &Outcome) -> bool {
        let Outcome::Rejected(rejection) = outcome else { return false };
        match rejection.reaction() {
            Reaction::Reconnect => true,
            // Seen on connections that outlived their first provider token: all that follows gets the same answer.
            Reaction::Retry if rejection.status() == 500 && matches!(self.credential, Credential::Token(_)) => {
                now.instant.saturating_duration_since(self.opened) >= TokenPolicy::MIN_INTERVAL
            }
            Reaction::Retry
            | Reaction::DropToken
            | Reaction::FixRequest
            | Reaction::FixCredentials
            | Reaction::RefreshToken
            | Reaction::BackOff => false,
        }
    }

    fn warn_about_token(&mut self, error: TokenError) {
        if !self.token_warned {
            self.token_warned = true;
            self.events.push_back(ConnectionEvent::Warning(Warning::Token(error)));
        }
    }

    fn on_failure(&mut self, now: Now, submission: Submission<K, M>, failure: Failure, fate: WireFate) {
        let fate = match (fate, failure) {
            (WireFate::NotProcessed, Failure::Refused | Failure::AboveLastStream) => Some(Fate::Discarded),
            (WireFate::NotProcessed, _) => Some(Fate::NotWritten),
            (WireFate::Unknown, Failure::Reset(code) | Failure::Violation(code)) => {
                Some(Fate::Unknown(UnknownCause::BrokenOff { code: code.0 }))
            }
            (WireFate::Unknown, Failure::ConnectionEnded | Failure::Refused | Failure::AboveLastStream) => None,
        };
        match fate {
            Some(fate) if !self.engine.is_closed() => self.give_back(submission, fate),
            fate => self.failed.push((submission, fate)),
        }
        match failure {
            Failure::Refused if self.refusals.refused(now.instant, self.in_flight.len()) => {
                self.retire(CloseReason::RefusesRequests);
            }
            Failure::Violation(code) => self.retire(CloseReason::Violation { code: code.0 }),
            Failure::Refused | Failure::Reset(_) | Failure::AboveLastStream | Failure::ConnectionEnded => {}
        }
    }

    fn on_go_away(&mut self, now: Now, said: &GoAway) {
        let reason = self.ending.said(said);
        if let (Some(reason), Some(token), Credential::Token(source)) =
            (&reason, self.binding.token(), &self.credential)
            && reason.is_about_token()
        {
            // What follows from it shows on the next connection.
            let _ = source.rejected(now, token, reason, None);
        }
        self.retire(CloseReason::Finished);
    }

    pub(super) fn give_back(&mut self, submission: Submission<K, M>, fate: Fate) {
        self.events.push_back(ConnectionEvent::Returned(Unsettled { submission, fate }));
    }

    /// Sends nothing more; what is open goes on.
    pub(super) fn retire(&mut self, reason: CloseReason) {
        if matches!(self.phase, Phase::Retired | Phase::Closed) {
            return;
        }
        self.stop_taking();
        self.phase = Phase::Retired;
        self.ending.own.get_or_insert(reason);
        self.engine.finish();
    }

    /// Takes no more, and gives back what was not sent.
    pub(super) fn stop_taking(&mut self) {
        if self.phase == Phase::Open {
            self.events.push_back(ConnectionEvent::Retired);
        }
        // From the back, because each goes to the front of what waits elsewhere.
        while let Some(Waiting { submission, .. }) = self.waiting.pop_back() {
            self.give_back(submission, Fate::NotWritten);
        }
    }

    /// Ends the connection now.
    pub(super) fn abandon(&mut self, now: Now, reason: CloseReason) {
        self.ending.own = Some(reason);
        self.engine.abandon(ErrorCode::NO_ERROR);
        self.pump(now);
    }

    fn on_closed(&mut self, closed: EngineClose) {
        let reason = self.ending.reason(closed);
        // Who was never let in was not listened to. With TLS 1.3 the verdict on a client certificate comes behind the first
        // request.
        let refusal = reason.credential_refusal().filter(|_| !self.answered);
        let lost = match (refusal, &reason) {
            (Some(refusal), _) => Fate::CredentialRefused { refusal, renewed: false },
            (None, CloseReason::ClosedHere) => Fate::Unknown(UnknownCause::Closed),
            (None, CloseReason::NoAnswer) => Fate::Unknown(UnknownCause::NoAnswer),
            (None, other) => Fate::Unknown(UnknownCause::ConnectionLost(Arc::from(other.to_string()))),
        };
        let failed = std::mem::take(&mut self.failed)
            .into_iter()
            .map(|(submission, fate)| Unsettled { submission, fate: fate.unwrap_or_else(|| lost.clone()) });
        let waiting = std::mem::take(&mut self.waiting)
            .into_iter()
            .map(|waiting| Unsettled { submission: waiting.submission, fate: Fate::NotWritten });
        let unsettled = failed.chain(waiting).collect();
        debug_assert!(self.in_flight.is_empty(), "the engine settles all streams before it closes");
        self.phase = Phase::Closed;
        self.handed = None;
        self.events.push_back(ConnectionEvent::Closed(Closed { reason, unsettled }));
    }
}

/// The reason of a refusal that is about the provider token.
fn token_reason(rejection: &Rejection) -> Option<&Reason> {
    let Rejection::Provider(rejection) = rejection else { return None };
    rejection.known_reason().filter(|reason| reason.is_about_token())
}
