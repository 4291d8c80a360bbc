//! Who delivers an app.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use apns_proto::{LossPolicy, WallTime};

use super::{Answer, Change, Claim, Cursor, OutcomeRecord, Recovered, Routes, Share};
use crate::NotificationId;

/// The right to deliver the notifications of one app, which one process has at a time.
///
/// # Contract
///
/// * What is claimed is claimed under this holding of the lane. A change counts for the claim that it is about, and for no
///   later one.
/// * [`recover`](Self::recover) comes before the first claim.
/// * A lane that another holder may have is over: it claims nothing and gives up nothing. A change still counts for what the
///   next holder has not recovered yet.
/// * A claim hands out what waits on the routes that it asks for, and nothing else.
/// * A call that failed may have been carried out where the store is across a network. The next claim finds what a failed one
///   claimed as it was before, and a change that is made again tells what the first one settled.
pub trait Lane: fmt::Debug + Send + Sync + 'static {
    /// Takes care of what an earlier holder left in flight: under [`LossPolicy::Resend`] it waits again, marked as a
    /// possible duplicate; otherwise, and when it was sent again often enough, it is settled as unknown.
    fn recover(&self, policy: LossPolicy, now: WallTime) -> Answer<'_, Recovered>;

    /// Marks notifications as in flight whose time has come, and hands them out: of each share its oldest, at most as many
    /// as it says. From here on they may have left. No route may be in two shares.
    fn claim_from(&self, shares: Vec<Share>, now: WallTime) -> Answer<'_, Claim>;

    /// The same on all routes.
    fn claim(&self, limit: usize, now: WallTime) -> Answer<'_, Claim> {
        self.claim_from(vec![Share { routes: Routes::ALL, limit }], now)
    }

    /// Ends as expired what waits on these routes, asks for one attempt, and was accepted before this time: an attempt was made
    /// in vain. What may have arrived ends as unknown. At most some thousand of them: to be called until it gives none.
    fn end_attempts(&self, routes: Routes, before: WallTime, now: WallTime)
    -> Answer<'_, Vec<(Cursor, OutcomeRecord)>>;

    /// Notes, before it returns, that these were claimed and are about to be handed to the transport. The note outlives the
    /// process, and perhaps not the machine. A store that keeps such notes puts back at its next opening what was claimed and
    /// never left.
    fn leaving(&self, ids: &[NotificationId]);

    /// Notes in the same way what [`change`](Self::change) will be asked to do.
    fn changing(&self, changes: &[Change]);

    /// Settles what was in flight, or puts it back. What is not in flight any more under the claim that a change is about is
    /// left alone.
    ///
    /// The answer has the records that were really settled, with their cursors.
    fn change(&self, changes: Vec<Change>) -> Answer<'_, Vec<(Cursor, OutcomeRecord)>>;

    /// Whether other processes may store notifications for the app at the same time. Where none can, what this process has
    /// not stored is of one that has ended.
    fn is_shared(&self) -> bool {
        true
    }

    /// About how many wait; known without asking the store.
    fn waiting(&self) -> u64;

    /// Waits until the lane has to be left.
    fn left(&self) -> Pin<Box<dyn Future<Output = Left> + Send + '_>>;

    /// Gives the lane back. What is still in flight is recovered by the next holder.
    fn release(&self) -> Answer<'_, ()>;
}

/// Why a lane has to be left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Left {
    /// Another holder may have it: nothing more may leave.
    Lost,
    /// Somebody else is to have it: what is under way may end first, within this time.
    Wanted(Duration),
}

impl Left {
    /// How long what is under way may take.
    #[must_use]
    pub const fn within(self) -> Duration {
        match self {
            Self::Lost => Duration::ZERO,
            Self::Wanted(within) => within,
        }
    }
}
