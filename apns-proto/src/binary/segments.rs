//! A long queue in pieces.

use std::collections::VecDeque;

/// How many entries are in a piece.
const PIECE: usize = 256;

/// How many empty pieces are kept: a queue that fills and empties by some thousand allocates nothing.
const SPARE: usize = 16;

/// A queue that gives memory back as it becomes shorter. A hundred thousand entries in one piece keep their room until the
/// last of them is gone, and the queue that follows needs its own meanwhile.
#[derive(Debug)]
pub(super) struct Segments<T> {
    /// All but the first and the last have [`PIECE`] entries, and none has none.
    pieces: VecDeque<VecDeque<T>>,
    /// Empty ones, at most [`SPARE`].
    spare: Vec<VecDeque<T>>,
    len: usize,
}

impl<T> Segments<T> {
    pub(super) const fn new() -> Self {
        Self { pieces: VecDeque::new(), spare: Vec::new(), len: 0 }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Inlined always: an entry is large, and each call on its way would copy it.
    #[inline(always)]
    pub(super) fn push_back(&mut self, entry: T) {
        let last = self.last_with_room();
        last.push_back(entry);
        self.len += 1;
    }

    #[inline]
    fn last_with_room(&mut self) -> &mut VecDeque<T> {
        if self.pieces.back().is_none_or(|last| last.len() >= PIECE) {
            let piece = self.spare.pop().unwrap_or_else(|| VecDeque::with_capacity(PIECE));
            self.pieces.push_back(piece);
        }
        let last = self.pieces.len() - 1;
        &mut self.pieces[last]
    }

    #[inline]
    pub(super) fn pop_front(&mut self) -> Option<T> {
        if self.pieces.front().is_some_and(|first| first.len() == 1) {
            return self.remove(0);
        }
        let entry = self.pieces.front_mut()?.pop_front();
        // No piece is empty.
        self.len -= 1;
        entry
    }

    pub(super) fn get(&self, index: usize) -> Option<&T> {
        let (piece, index) = self.place(index);
        self.pieces.get(piece)?.get(index)
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        let (piece, index) = self.place(index);
        self.pieces.get_mut(piece)?.get_mut(index)
    }

    /// Takes one out of the middle, for which every piece behind it gives one to the piece before.
    pub(super) fn remove(&mut self, index: usize) -> Option<T> {
        let (piece, index) = self.place(index);
        let removed = self.pieces.get_mut(piece)?.remove(index)?;
        self.len -= 1;
        if piece > 0 {
            for behind in piece + 1..self.pieces.len() {
                let moved = self.pieces[behind].pop_front();
                self.pieces[behind - 1].extend(moved);
            }
        }
        self.drop_empty_pieces();
        Some(removed)
    }

    /// The piece of an entry, and its place in there.
    fn place(&self, index: usize) -> (usize, usize) {
        let first = self.pieces.front().map_or(0, VecDeque::len);
        match index.checked_sub(first) {
            None => (0, index),
            Some(behind) => (1 + behind / PIECE, behind % PIECE),
        }
    }

    fn drop_empty_pieces(&mut self) {
        let front = self.pieces.front().is_some_and(VecDeque::is_empty);
        let first = if front { self.pieces.pop_front() } else { None };
        let back = self.pieces.back().is_some_and(VecDeque::is_empty);
        let last = if back { self.pieces.pop_back() } else { None };
        let room = SPARE.saturating_sub(self.spare.len());
        self.spare.extend(first.into_iter().chain(last).take(room));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Push(usize),
        Pop(usize),
        Remove(prop::sample::Index),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (1..3 * PIECE).prop_map(Step::Push),
            (1..3 * PIECE).prop_map(Step::Pop),
            any::<prop::sample::Index>().prop_map(Step::Remove),
        ]
    }

    proptest! {
        #[test]
        fn it_is_a_queue_like_any_other(steps in prop::collection::vec(step(), 1..40)) {
            let (mut segments, mut queue, mut next) = (Segments::new(), VecDeque::new(), 0);
            for step in steps {
                match step {
                    Step::Push(count) => for _ in 0..count {
                        segments.push_back(next);
                        queue.push_back(next);
                        next += 1;
                    },
                    Step::Pop(count) => for _ in 0..count {
                        prop_assert_eq!(segments.pop_front(), queue.pop_front());
                    },
                    Step::Remove(index) => {
                        // One behind the end as well.
                        let index = index.index(queue.len() + 1);
                        prop_assert_eq!(segments.remove(index), queue.remove(index));
                    }
                }
                prop_assert_eq!((segments.len(), segments.is_empty()), (queue.len(), queue.is_empty()));
                let found: Vec<_> = (0..=queue.len()).map(|index| segments.get(index).copied()).collect();
                let expected: Vec<_> = (0..=queue.len()).map(|index| queue.get(index).copied()).collect();
                prop_assert_eq!(found, expected);
                let room: usize = segments.pieces.iter().map(VecDeque::capacity).sum();
                prop_assert!(room <= queue.len() + 2 * PIECE, "{} for {}", room, queue.len());
            }
        }
    }

    #[test]
    fn a_queue_of_steady_length_keeps_its_pieces() {
        let mut segments = Segments::new();
        (0..PIECE + 10).for_each(|number| segments.push_back(number));
        for number in 0..10 * PIECE {
            segments.pop_front();
            segments.push_back(number);
            *segments.get_mut(PIECE).unwrap() += 1;
            assert!(segments.pieces.len() + segments.spare.len() <= 3);
        }
    }
}
