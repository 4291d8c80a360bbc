//! Readers of outcomes who are told everything once at least, and have their places kept for them.

use std::time::Duration;

use apns_proto::WallTime;

use super::{Cursor, OutcomeRecord};

/// For so long a place is kept that nobody uses, if outcomes are not kept longer.
pub(crate) const UNUSED: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// Where a reader begins that is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ReadFrom {
    /// With the outcomes that come from now on.
    #[default]
    Newest,
    /// With the oldest that is kept.
    Beginning,
}

/// What a reader has not read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unread {
    /// It has read up to here.
    pub after: Cursor,
    /// Outcomes were forgotten before they were read. The last of them stood here.
    pub forgotten: Option<Cursor>,
    /// What is there, oldest first.
    pub outcomes: Vec<(Cursor, OutcomeRecord)>,
}

/// How much a reader has not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// How many outcomes; of very many, as many as were counted.
    pub outcomes: u64,
    /// When the oldest of them ended.
    pub oldest: Option<WallTime>,
}

/// So many are counted at most.
pub(crate) const COUNTED: i64 = 1_000_000;
