//! What a store can fail at.

use crate::AppName;

/// Why a store did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OutboxError {
    /// There is no room for so many. Nothing was taken.
    #[error("the outbox is full: {held} notifications wait, at most {limit} may")]
    Full {
        /// How many wait.
        held: u64,
        /// How many may.
        limit: u64,
    },
    /// There is no room for so many of this app. Nothing was taken.
    #[error("the outbox is full for {app}: {held} notifications wait, at most {limit} may")]
    AppFull {
        /// The app.
        app: AppName,
        /// How many of it wait.
        held: u64,
        /// How many of it may.
        limit: u64,
    },
    /// There is no room for so many bytes. Nothing was taken.
    #[error("the outbox is full: notifications of {held} bytes wait, at most {limit} may")]
    BytesFull {
        /// How many bytes wait.
        held: u64,
        /// How many may.
        limit: u64,
    },
    /// The idempotency key is remembered for another notification. Nothing was taken.
    #[error("the idempotency key was given before, with another notification")]
    KeyReused {
        /// The place of the one that has it, from 0.
        index: usize,
    },
    /// A cursor that this store did not make.
    #[error("the cursor {cursor:?} was not made by this outbox")]
    Cursor {
        /// The text.
        cursor: String,
    },
    /// Device tokens are not kept for look-ups.
    #[error("device tokens are not kept for look-ups: outbox.tokens is \"none\"")]
    TokensNotKept,
    /// The disk has so little room that the next commit may fail.
    #[error("the disk of the outbox is full: {free} bytes are free")]
    DiskFull {
        /// How many bytes are free.
        free: u64,
    },
    /// The store failed.
    #[error("the outbox failed: {0}")]
    Failed(String),
    /// The store was told to take notifications, and did not answer. They may have been taken.
    #[error("the outbox did not answer, and may have stored it: ask again with the same idempotency key ({0})")]
    Unsure(String),
    /// Another process has it, or it cannot be used for another lasting reason.
    #[error("the outbox cannot be opened: {0}")]
    Unusable(String),
    /// The store was closed.
    #[error("the outbox is closed")]
    Closed,
}

impl OutboxError {
    /// Whether there is no room.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::AppFull { .. } | Self::BytesFull { .. })
    }
}
