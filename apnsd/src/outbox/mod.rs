//! What was accepted and has no outcome yet, and what became of the rest.
//!
//! [`Outbox`] is the narrow door to the store, and [`Lane`] the one through which an app is delivered. Their shape knows
//! nothing of files or tables: ids, cursors and the place where idempotency keys are remembered are the store's own business,
//! and every method takes or gives a batch, so that a store across a network costs one round trip where a store on disk costs
//! one sync.

mod codec;
mod entry;
mod error;
mod lane;
mod moved;
mod names;
mod outcome;
#[cfg(feature = "postgres")]
pub mod postgres;
mod reading;
mod route;
mod search;
pub mod sqlite;
#[cfg(feature = "postgres")]
pub mod transfer;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use apns_proto::WallTime;
use tokio::sync::mpsc;

pub use codec::{CodecError, decode, digest, encode};
pub use entry::{
    Accepted, AppPause, Change, Claim, ClaimNumber, Claimed, Counts, Cursor, Disk, FeedbackPage, GoneToken, NewEntry,
    Postponement, Recovered, Selection, Settlement, State, StoredApp, Tracked, Tries, Withdrawal, Withdrawn,
};
pub use error::OutboxError;
pub use lane::{Lane, Left};
pub use outcome::OutcomeRecord;
pub(crate) use outcome::too_late;
pub use reading::{Backlog, ReadFrom, Unread};
pub use route::{Route, Routes, Share};
pub use search::{Found, Search, Stage};

use crate::{AppName, NotificationId};

/// What a store answers with.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, OutboxError>> + Send + 'a>>;

/// The store of one service.
///
/// # Contract
///
/// * A future that resolves to `Ok` speaks of what is durable: it survives a kill and a loss of power.
/// * Dropping a future forgets the answer, not the deed.
/// * Each accepted notification is *waiting*, *in flight* or *settled*; it is settled once.
/// * An app that nobody knows any more keeps its notifications.
pub trait Outbox: fmt::Debug + Send + Sync + 'static {
    /// Takes notifications, all or none, in this order. An entry whose idempotency key is remembered is not queued
    /// again; the answer names the first one.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Full`] when they do not fit, [`OutboxError::KeyReused`] when a key is remembered for another
    /// notification; nothing was taken then.
    fn accept(&self, app: &AppName, entries: Vec<NewEntry>) -> Answer<'_, Vec<Accepted>>;

    /// Waits until this process is the one that delivers the app, and gives the lane through which it does. A store that one
    /// process has to itself gives it at once.
    fn hold(self: Arc<Self>, app: &AppName) -> Answer<'static, Arc<dyn Lane>>;

    /// Settles what is left of an app whose engine has ended, and whose lane was released: what waits as not sent for
    /// this reason, what is in flight or may have arrived as unknown. At most some thousand of them: to be called
    /// until it gives none.
    fn abandon(&self, app: &AppName, why: &str, now: WallTime) -> Answer<'_, Vec<(Cursor, OutcomeRecord)>>;

    /// Ends, as not sent, what waits and is selected; what may have arrived ends as unknown. What is in flight stays. Looks
    /// at some thousand behind `after`, and says where to go on.
    fn withdraw(
        &self,
        app: &AppName,
        selection: Selection,
        why: Withdrawal,
        after: &Cursor,
        now: WallTime,
    ) -> Answer<'_, Withdrawn>;

    /// The notifications that these idempotency keys stand for; `None` for keys that are not remembered. In the order of the
    /// keys.
    fn by_keys(&self, app: &AppName, keys: Vec<Arc<str>>, now: WallTime) -> Answer<'_, Vec<Option<NotificationId>>>;

    /// Keeps that an app is paused, or that it is not.
    fn set_pause(&self, app: &AppName, pause: Option<AppPause>) -> Answer<'_, ()>;

    /// The apps that are paused.
    fn pauses(&self) -> Answer<'_, Vec<(AppName, AppPause)>>;

    /// Where these notifications stand; `None` for ids that are unknown or forgotten. In the order of the ids.
    fn lookup(&self, ids: Vec<NotificationId>) -> Answer<'_, Vec<Option<Tracked>>>;

    /// Looks for notifications of the app: at some thousand behind `after`, and gives at most `limit` of them. A page that says
    /// where to go on may have found none.
    ///
    /// # Errors
    ///
    /// [`OutboxError::TokensNotKept`] for a device token where none are kept.
    fn search(&self, app: &AppName, search: Search, after: &Cursor, limit: usize) -> Answer<'_, Found>;

    /// Outcomes of the app behind the cursor, oldest first.
    fn outcomes(&self, app: &AppName, after: &Cursor, limit: usize) -> Answer<'_, Vec<(Cursor, OutcomeRecord)>>;

    /// The cursor behind the newest outcome of the app.
    fn newest_outcome(&self, app: &AppName) -> Answer<'_, Cursor>;

    /// Notes device tokens on which the app is gone.
    fn note_gone(&self, app: &AppName, tokens: Vec<GoneToken>) -> Answer<'_, ()>;

    /// Device tokens that were found gone at `since` or later and stand behind the cursor, oldest first.
    fn gone(&self, app: &AppName, after: &Cursor, since: WallTime, limit: usize) -> Answer<'_, FeedbackPage>;

    /// What [`gone`](Self::gone) has behind the place up to which this reader has read.
    fn unread(&self, app: &AppName, reader: &str, limit: usize) -> Answer<'_, FeedbackPage>;

    /// Moves the reader's place, among invalid tokens or among outcomes. It never moves back.
    fn mark_read(&self, app: &AppName, reader: &str, upto: &Cursor) -> Answer<'_, ()>;

    /// Notes that this reader of the app's outcomes is there at `now`. One that is new gets its place; the place of one that
    /// is not noted for 90 days, or for as long as outcomes are kept if that is longer, is forgotten.
    fn begin_reading(&self, app: &AppName, reader: &str, from: ReadFrom, now: WallTime) -> Answer<'_, ()>;

    /// Outcomes of the app that this reader has not read, behind `after` if that is later than its place. `None` for a reader
    /// that is not known, and where another process reads under this name: one at a time does, if it can the one that delivers
    /// the app. Moved on by [`mark_read`](Self::mark_read).
    fn unread_outcomes(
        &self,
        app: &AppName,
        reader: &str,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Answer<'_, Option<Unread>>;

    /// How much of the app this reader has not read; `None` for one that is not known.
    fn backlog(&self, app: &AppName, reader: &str) -> Answer<'_, Option<Backlog>>;

    /// The readers of outcomes that are known, with the app of each.
    fn readers(&self) -> Answer<'_, Vec<(AppName, String)>>;

    /// Waits until another process may read under the names under which this one does.
    fn lapsed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::pending())
    }

    /// How much of the app is waiting and in flight.
    fn counts(&self, app: &AppName) -> Answer<'_, Counts>;

    /// How much there is of everything.
    fn total(&self) -> Answer<'_, Counts>;

    /// Keeps the definition of an app that was provisioned while running, in place of an earlier one.
    fn keep_app(&self, app: StoredApp) -> Answer<'_, ()>;

    /// Forgets such a definition.
    fn forget_app(&self, app: &AppName) -> Answer<'_, ()>;

    /// All definitions that are kept.
    fn kept_apps(&self) -> Answer<'_, Vec<StoredApp>>;

    /// The wall clock was set back by `by` and says `now`. What waits for a time of the clock before waits no longer for it
    /// than it had to.
    fn clock_set_back(&self, by: Duration, now: WallTime) -> Answer<'_, ()>;

    /// Forgets outcomes, invalid tokens and idempotency keys that are older than they have to be kept. Does a bounded
    /// amount of work, and says whether there is more to do.
    fn sweep(&self, now: WallTime) -> Answer<'_, bool>;

    /// Asks the place where it is kept whether more can be stored now, by storing something, and how much room there is.
    fn probe(&self) -> Answer<'_, Disk>;

    /// When the oldest notification of the app that waits was accepted, as far as that is found without looking at all of
    /// them.
    fn oldest_waiting(&self, app: &AppName) -> Answer<'_, Option<WallTime>>;

    /// What happens in the store without this process's doing, where several have it open. Given to the first who asks.
    fn bells(&self) -> Option<mpsc::Receiver<Bell>> {
        None
    }

    /// Finishes what was begun. Nothing can be asked afterwards.
    fn close(&self) -> Answer<'_, ()>;
}

/// Something happened in a store that several processes have open. It may have been this one's own doing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bell {
    /// Something waits whose time has come, of an app whose lane this process holds.
    Accepted(AppName),
    /// Notifications of the app ended.
    Settled {
        /// The app.
        app: AppName,
        /// Their outcomes stand behind this.
        after: Cursor,
    },
    /// Definitions or pauses of apps changed.
    Apps,
}

/// How much a store holds, and for how long, and what it keeps of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    pub(crate) notifications: u64,
    pub(crate) per_app: u64,
    pub(crate) bytes: u64,
    pub(crate) outcomes: Duration,
    pub(crate) outcome_bytes: u64,
    pub(crate) gone_tokens: Duration,
    pub(crate) idempotency: Duration,
    pub(crate) tokens: bool,
}

impl Default for Bounds {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            notifications: 1_000_000,
            per_app: 500_000,
            bytes: 4 << 30,
            outcomes: 7 * DAY,
            outcome_bytes: 4 << 30,
            gone_tokens: 90 * DAY,
            idempotency: DAY,
            tokens: true,
        }
    }
}

impl Bounds {
    /// The most notifications without an outcome, of all apps together. Default: 1 000 000.
    #[must_use]
    pub const fn with_notifications(mut self, count: u64) -> Self {
        self.notifications = count;
        self
    }

    /// The most notifications without an outcome of one app, so that an app that cannot send leaves room for others.
    /// Default: 500 000.
    #[must_use]
    pub const fn with_per_app(mut self, count: u64) -> Self {
        self.per_app = count;
        self
    }

    /// The most bytes of notifications without an outcome. Default: 4 GiB.
    #[must_use]
    pub const fn with_bytes(mut self, bytes: u64) -> Self {
        self.bytes = bytes;
        self
    }

    /// How long outcomes are kept. Default: 7 days.
    #[must_use]
    pub const fn with_outcomes(mut self, span: Duration) -> Self {
        self.outcomes = span;
        self
    }

    /// How many bytes of outcomes are kept, about; of more, the oldest are forgotten sooner. Default: 4 GiB.
    #[must_use]
    pub const fn with_outcome_bytes(mut self, bytes: u64) -> Self {
        self.outcome_bytes = bytes;
        self
    }

    /// How long invalid tokens are kept. Default: 90 days.
    #[must_use]
    pub const fn with_gone_tokens(mut self, span: Duration) -> Self {
        self.gone_tokens = span;
        self
    }

    /// How long idempotency keys are remembered. Default: one day.
    #[must_use]
    pub const fn with_idempotency(mut self, span: Duration) -> Self {
        self.idempotency = span;
        self
    }

    /// Whether a keyed hash of the device token is kept with each notification, also when it has ended, so that it is found by
    /// the token. Default: yes.
    #[must_use]
    pub const fn with_tokens(mut self, kept: bool) -> Self {
        self.tokens = kept;
        self
    }
}
