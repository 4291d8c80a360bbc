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
        /// How, and what it means for what was under way.
        report: LinkReport,
    },
    /// Something the owner should know.
    Warning {
        /// Which session of the pool.
        session: usize,
        /// What.
        warning: Warning,
    },
    /// The client certificate of a connection that was just opened expires within 30 days: time to renew it. Once it
    /// has expired, no connection is opened any more.
    CertificateExpiresSoon {
        /// Which session of the pool.
        session: usize,
        /// The last second at which it is valid.
        at: WallTime,
    },
    /// Something waits for a provider token, and the token source has none. It is asked again every few seconds.
    TokenWanted {
        /// Which session of the pool.
        session: usize,
    },
    /// No connection could be had for as long as patience lasted; what waited was not sent.
    GaveUp {
        /// Which session of the pool.
        session: usize,
        /// The last failure.
        why: Arc<str>,
    },
    /// The service refuses the credential, or the server is not the one that is meant: a session sends nothing until its
    /// next attempt. Told at each refusal, and when the next attempt becomes due earlier.
    /// [`Client::pause`](crate::Client::pause) tells how it stands.
    Paused {
        /// Which session of the pool.
        session: usize,
        /// [`NotSentCause::CredentialRefused`] or [`NotSentCause::Stopped`].
        cause: NotSentCause,
        /// When the next attempt is made, if there is something to send.
        retry_in: Duration,
    },
    /// After a pause, the service gave an answer that is no refusal of the credential: the session sends as before.
    Resumed {
        /// Which session of the pool.
        session: usize,
    },
    /// A session sends nothing any more, as [`RefusalPolicy::Stop`](apns_proto::RefusalPolicy::Stop) has it.
    Stopped {
        /// Which session of the pool.
        session: usize,
        /// Why, as in [`Paused`](Self::Paused).
        cause: NotSentCause,
    },
    /// The watcher was too slow, and missed so many events.
    Missed {
        /// How many.
        count: u64,
    },
}

/// How many events are kept for a watcher that does not look.
const BACKLOG: usize = 1024;

/// Events as they happen. Keeps the last 1024 for a slow watcher and says how many it missed.
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
