//! What happens to the connections of a client, for those who want to watch.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use apns_proto::{DialFailure, LinkId, LinkReport, NotSentCause, WallTime, Warning};
use futures_core::Stream;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

/// Something that happened to a client's connections. Outcomes of notifications are not among these.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// A connection is being opened.
    Dialling {
        /// Which session of the pool, from 0.
        session: usize,
        /// Which connection of the session.
        link: LinkId,
    },
    /// A connection is open.
    Connected {
        /// Which session of the pool.
        session: usize,
        /// Which connection of the session.
        link: LinkId,
    },
    /// A connection could not be opened.
    DialFailed {
        /// Which session of the pool.
        session: usize,
        /// Why.
        failure: DialFailure,
    },
    /// A connection ended.
    Closed {
        /// Which session of the pool.
        session: usize,
        /// How it ended, and what this means for the notifications in flight.
        report: LinkReport,
    },
    /// Something that the application should know.
    Warning {
        /// Which session of the pool.
        session: usize,
        /// What.
        warning: Warning,
    },
    /// The client certificate of a connection that was just opened expires within 30 days and should be renewed. After its
    /// expiry no connection is opened.
    CertificateExpiresSoon {
        /// Which session of the pool.
        session: usize,
        /// The last second at which it is valid.
        at: WallTime,
    },
    /// Something waits for a provider token, and the token source has none. It is asked again every second.
    TokenWanted {
        /// Which session of the pool.
        session: usize,
    },
    /// No connection could be opened within the configured patience; waiting notifications were not sent.
    GaveUp {
        /// Which session of the pool.
        session: usize,
        /// The last failure.
        why: Arc<str>,
    },
    /// The service refuses the credential, or the server is not the intended one: a session sends nothing until its next
    /// attempt. Reported at each refusal, and when the next attempt becomes due earlier.
    /// [`Client::pause`](crate::Client::pause) returns the current state.
    Paused {
        /// Which session of the pool.
        session: usize,
        /// [`NotSentCause::CredentialRefused`] or [`NotSentCause::Stopped`].
        cause: NotSentCause,
        /// When the next attempt is made, if there is something to send.
        retry_in: Duration,
    },
    /// After a pause, the service gave an answer that is not a refusal of the credential: the session sends again.
    Resumed {
        /// Which session of the pool.
        session: usize,
    },
    /// A session has stopped for good, according to [`RefusalPolicy::Stop`](apns_proto::RefusalPolicy::Stop).
    Stopped {
        /// Which session of the pool.
        session: usize,
        /// Why, as in [`Paused`](Self::Paused).
        cause: NotSentCause,
    },
    /// The subscriber was too slow, and missed this many events.
    Missed {
        /// How many.
        count: u64,
    },
}

/// How many events are kept for a watcher that does not look.
const BACKLOG: usize = 1024;

/// A stream of events. It keeps the last 1024 for a slow subscriber, and reports how many that one missed.
#[derive(Debug)]
pub struct Events(Arc<Watcher>);

#[derive(Debug, Default)]
struct Watcher {
    state: Mutex<WatcherState>,
    waker: AtomicWaker,
}

#[derive(Debug, Default)]
struct WatcherState {
    events: VecDeque<ClientEvent>,
    missed: u64,
    over: bool,
}

impl Events {
    /// The next event, if one is there.
    pub fn try_next(&mut self) -> Option<ClientEvent> {
        self.0.pop()
    }
}

impl Stream for Events {
    type Item = ClientEvent;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ClientEvent>> {
        self.0.waker.register(cx.waker());
        match self.0.pop() {
            Some(event) => Poll::Ready(Some(event)),
            None if self.0.state.lock().over => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

impl Watcher {
    fn pop(&self) -> Option<ClientEvent> {
        let mut state = self.state.lock();
        if state.missed > 0 {
            return Some(ClientEvent::Missed { count: std::mem::take(&mut state.missed) });
        }
        state.events.pop_front()
    }
}

/// Tells every watcher.
#[derive(Debug, Default)]
pub(crate) struct Subscribers {
    watchers: Mutex<Vec<Weak<Watcher>>>,
}

impl Subscribers {
    pub(crate) fn subscribe(&self) -> Events {
        let watcher = Arc::new(Watcher::default());
        self.watchers.lock().push(Arc::downgrade(&watcher));
        Events(watcher)
    }

    pub(crate) fn send(&self, event: &ClientEvent) {
        self.tell(|state| {
            if state.events.len() == BACKLOG {
                state.events.pop_front();
                state.missed += 1;
            }
            state.events.push_back(event.clone());
        });
    }

    /// Nothing follows.
    pub(crate) fn end(&self) {
        self.tell(|state| state.over = true);
    }

    fn tell(&self, change: impl Fn(&mut WatcherState)) {
        self.watchers.lock().retain(|watcher| {
            let Some(watcher) = watcher.upgrade() else { return false };
            change(&mut watcher.state.lock());
            watcher.waker.wake();
            true
        });
    }
}

impl Drop for Subscribers {
    fn drop(&mut self) {
        self.end();
    }
}
