//! Proofs that were asked for, and what each of them waits for.

use std::collections::VecDeque;
use std::time::Instant;

/// The proofs that are open.
///
/// Every submission carries a mark: how many proofs had been asked for when it came. A proof covers what has a lower
/// mark than it has itself, and is done when none of that is without an outcome. So what comes later is no part of it and
/// need not wait for it.
#[derive(Debug)]
pub(super) struct Proofs {
    /// The mark that the first of the groups has.
    first: u64,
    /// The submissions of one mark each; all but the last are closed by the proof that comes behind them.
    groups: VecDeque<Group>,
}

#[derive(Debug, Default)]
struct Group {
    unsettled: usize,
    /// When the proof behind it has to be done.
    deadline: Option<Instant>,
}

impl Proofs {
    pub(super) fn new() -> Self {
        Self { first: 0, groups: VecDeque::from([Group::default()]) }
    }

    /// A submission came, or comes back from where no proof waits for it. Gives its mark.
    pub(super) fn submitted(&mut self) -> u64 {
        if let Some(last) = self.groups.back_mut() {
            last.unsettled += 1;
        }
        self.current()
    }

    /// No proof has to wait for one with this mark any more.
    pub(super) fn settled(&mut self, mark: u64) {
        let group = mark.checked_sub(self.first).and_then(|place| self.groups.get_mut(usize::try_from(place).ok()?));
        if let Some(group) = group {
            group.unsettled = group.unsettled.saturating_sub(1);
        }
    }

    /// Asks for a proof of all that was submitted so far.
    pub(super) fn ask(&mut self, deadline: Option<Instant>) {
        if let Some(last) = self.groups.back_mut() {
            last.deadline = deadline;
        }
        self.groups.push_back(Group::default());
    }

    /// Whether the first open proof is done; then it is open no more.
    pub(super) fn pop_done(&mut self) -> bool {
        let done = self.groups.len() > 1 && self.groups.front().is_some_and(|first| first.unsettled == 0);
        if done {
            self.groups.pop_front();
            self.first += 1;
        }
        done
    }

    /// Whether an open proof covers this mark.
    pub(super) fn cover(&self, mark: u64) -> bool {
        mark < self.current()
    }

    /// The nearest deadline of the proofs that cover this mark.
    pub(super) fn deadline_of(&self, mark: u64) -> Option<Instant> {
        let place = usize::try_from(mark.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.groups.iter().skip(place).filter_map(|group| group.deadline).min()
    }

    /// The nearest deadline of all.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.groups.iter().filter_map(|group| group.deadline).min()
    }

    /// What has a lower mark than this has to end now: the deadline of a proof that covers it has passed.
    pub(super) fn overdue(&mut self, now: Instant) -> Option<u64> {
        let place = self.groups.iter().rposition(|group| group.deadline.is_some_and(|deadline| deadline <= now))?;
        self.groups.iter_mut().take(place + 1).for_each(|group| group.deadline = None);
        Some(self.first + place as u64 + 1)
    }

    fn current(&self) -> u64 {
        self.first + self.groups.len() as u64 - 1
    }
}
