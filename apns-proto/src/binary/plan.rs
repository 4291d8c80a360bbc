//! What an ending says about everything that was written: a pure function of places.

use super::window::{Place, Sequence};
use super::{ErrorResponse, StatusKind};

/// What is known of each notification written on a connection, by its index in the order of writing.
///
/// Grounds: *Binary Provider API*: what was written before the named one was accepted, what was written after it was
/// discarded. Status 10 names the last one that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    /// The first so many were accepted.
    pub(super) accepted: usize,
    /// What became of the one that follows them, where the response names one.
    pub(super) named: Option<Named>,
    /// What became of the rest.
    pub(super) rest: Rest,
    /// Whether the response answers the probe.
    pub(super) answers_probe: bool,
    /// Where the loss begins among those that had been presumed accepted: the first one written after the one named.
    pub(super) lost_from: Option<Sequence>,
}

/// What became of the notification that an error response names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    Rejected,
    /// For the topic of the certificate: the gateway would say the same of any.
    CredentialRefused,
    /// Status 0: named, but not for a fault.
    InDoubt,
}

/// What became of those behind the boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// The gateway threw them away unread.
    Discarded,
    /// Nobody knows, and each of them may be the one that the gateway choked on.
    Suspected,
    /// Nobody knows.
    Unknown,
}

impl Plan {
    /// The connection ended without a word.
    pub(super) const SILENCE: Self =
        Self { accepted: 0, named: None, rest: Rest::Unknown, answers_probe: false, lost_from: None };

    /// The peer never let us in.
    pub(super) const NOTHING_READ: Self = Self { rest: Rest::Discarded, ..Self::SILENCE };

    /// An error response ended it. `probe` is the identifier of the unanswered probe, the last thing written;
    /// `written` counts what was written before it.
    pub(super) fn for_response(response: ErrorResponse, place: Place, probe: Option<u32>, written: usize) -> Self {
        let kind = response.status.kind();
        let shutdown = kind == StatusKind::Shutdown;
        let nothing = Self::NOTHING_READ;
        if let Some(probe) = probe {
            // Only the probe has an empty token, so a gateway that lost its identifier can mean nothing else.
            let unnamed = response.identifier == 0 && kind == StatusKind::MissingDeviceToken;
            if response.identifier == probe || unnamed {
                // Status 10 is no answer, but says as well that everything up to the probe went through.
                return Self { accepted: written, answers_probe: !shutdown, ..nothing };
            }
        }
        match place {
            Place::At(index) if shutdown => Self { accepted: index + 1, ..nothing },
            Place::At(index) => {
                let named = match kind {
                    StatusKind::NoErrors => Named::InDoubt,
                    _ if kind.refuses_credential() => Named::CredentialRefused,
                    _ => Named::Rejected,
                };
                Self { accepted: index, named: Some(named), ..nothing }
            }
            Place::Left { first } => Self { lost_from: Some(first), ..nothing },
            Place::Nowhere => Self { rest: Rest::Suspected, ..nothing },
        }
    }
}

#[cfg(test)]
mod tests;
