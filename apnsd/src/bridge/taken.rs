//! One notification that the bridge took, for as long as somebody may have to hear of it.

use parking_lot::Mutex;
use tokio::sync::mpsc::UnboundedSender;

use super::line::Fate;
use super::resend::Likeness;
use super::status::fate;
use crate::config::BridgeErrors;
use crate::delivery::Listener;
use crate::outbox::OutcomeRecord;

/// To a connection: what became of the one at this place of its line. Bounded by the length of the line.
pub(super) type Fates = UnboundedSender<(u64, Fate)>;

/// A notification that is in the outbox, or was.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) likeness: Likeness,
    /// The how many-th of its client it is.
    pub(super) number: u64,
    errors: BridgeErrors,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    fate: Fate,
    /// The connection that wants to know, and the place there.
    told: Option<(Fates, u64)>,
}

impl Taken {
    pub(super) fn new(likeness: Likeness, number: u64, errors: BridgeErrors) -> Self {
        Self { likeness, number, errors, state: Mutex::new(State { fate: Fate::Open, told: None }) }
    }

    /// What is known of it.
    pub(super) fn fate(&self) -> Fate {
        self.state.lock().fate
    }

    /// Tells this connection from now on, and nobody else. Gives what is known already.
    pub(super) fn tell(&self, fates: Fates, place: u64) -> Fate {
        let mut state = self.state.lock();
        if state.fate == Fate::Open {
            state.told = Some((fates, place));
        }
        state.fate
    }
}

impl Listener for Taken {
    fn ended(&self, record: &OutcomeRecord) {
        let mut state = self.state.lock();
        state.fate = fate(record, self.errors);
        if let Some((fates, place)) = state.told.take() {
            // A connection that is gone does not want to know.
            let _gone = fates.send((place, state.fate));
        }
    }
}
