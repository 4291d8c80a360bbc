//! What happened on a pretend day, in the order in which it happened.

use std::cell::{Ref, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use apns_proto::{LinkId, SessionEvent};

/// One thing that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The session asked for a connection.
    Dial(LinkId),
    /// The session says that it tries again after this wait.
    Paused(Duration),
    Resumed,
    Stopped,
    Proven,
    Finished,
    /// The application asked for a proof, or for the end, within this time.
    Proving(Option<Duration>),
    Closing(Option<Duration>),
    CredentialChanged,
    /// The wall clock moved by so many seconds.
    ClockSet(i64),
    /// The client's process stood still for so long from here on.
    HeldUp(Duration),
    /// The client's monotonic clock was so much behind for a round.
    Behind(Duration),
    /// A request was handed to the transport.
    Requested(LinkId),
    /// The client reads that the service does not take the credential.
    CredentialRefused(LinkId),
    /// The client reads an answer of another kind.
    CredentialTaken(LinkId),
}

impl Turn {
    pub(super) fn of<K>(event: &SessionEvent<K>) -> Option<Self> {
        Some(match event {
            SessionEvent::Dial { link } => Self::Dial(*link),
            SessionEvent::Paused { retry_in, .. } => Self::Paused(*retry_in),
            SessionEvent::Resumed => Self::Resumed,
            SessionEvent::Stopped { .. } => Self::Stopped,
            SessionEvent::Proven => Self::Proven,
            SessionEvent::Finished => Self::Finished,
            _ => return None,
        })
    }
}

/// All that happened, shared by the world and those who watch its connections.
#[derive(Debug, Clone)]
pub(crate) struct Timeline {
    begun: Instant,
    turns: Rc<RefCell<Vec<(Duration, Turn)>>>,
}

impl Timeline {
    pub(super) fn new(begun: Instant) -> Self {
        Self { begun, turns: Rc::default() }
    }

    /// The time since the beginning.
    pub(crate) fn since_begin(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.begun)
    }

    pub(super) fn push(&self, at: Instant, turn: Turn) {
        self.turns.borrow_mut().push((self.since_begin(at), turn));
    }

    pub(crate) fn turns(&self) -> Ref<'_, [(Duration, Turn)]> {
        Ref::map(self.turns.borrow(), Vec::as_slice)
    }

    /// When something that was due at this time happens at the latest: not while the process stands still.
    pub(crate) fn at_the_latest(&self, due: Duration) -> Duration {
        self.turns().iter().fold(due, |due, (at, turn)| match turn {
            Turn::HeldUp(span) if *at <= due => due.max(*at + *span),
            _ => due,
        })
    }

    /// By how much the client's clock was behind, all rounds together.
    pub(crate) fn behind(&self) -> Duration {
        let behind = |turn: &Turn| if let Turn::Behind(span) = turn { *span } else { Duration::ZERO };
        self.turns().iter().map(|(_, turn)| behind(turn)).sum()
    }
}
