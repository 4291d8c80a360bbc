//! What an old client sends again although it was taken: recognised, one for one.
//!
//! An error response says that everything behind the culprit was thrown away, so a client sends all of that again. The
//! bridge had read on meanwhile, and delivered. Those are *held* here when the error response goes out, and each one
//! that comes again *recalls* one of them in place of being a new notification.
//!
//! It is a matter of counting, not of guessing who sent what: two notifications that are alike are held twice and
//! recalled twice, and the third is a new one. What is recalled was delivered where the gateway that the client believes
//! in delivered nothing, so whichever of the client's processes sends it, on whatever connection: in the end each device
//! gets as many as that gateway would have given it, and never one less.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// What makes two notifications alike: app, device token, payload, expiration. A digest of them.
pub(super) type Likeness = [u8; 32];

/// How long after an error response something that comes again is recognised.
pub(super) const RECOGNISED_FOR: Duration = Duration::from_secs(10 * 60);

/// What is held of one client, bounded in number and time. Reads no clock.
#[derive(Debug)]
pub(super) struct Resends<T> {
    /// By likeness, and the earlier taken first.
    held: BTreeMap<(Likeness, u64), Held<T>>,
    /// When each of them is forgotten, in that order; what was recalled meanwhile is in here as well.
    ends: VecDeque<(Instant, Likeness, u64)>,
    limit: usize,
}

#[derive(Debug)]
struct Held<T> {
    until: Instant,
    what: T,
}

impl<T> Resends<T> {
    /// Holds at most `limit`; the oldest give way.
    pub(super) fn new(limit: usize) -> Self {
        Self { held: BTreeMap::new(), ends: VecDeque::new(), limit }
    }

    /// Holds something that was taken as the `number`th of this client and stood behind the culprit of an error
    /// response that goes out now.
    pub(super) fn hold(&mut self, now: Instant, likeness: Likeness, number: u64, what: T) {
        let until = now + RECOGNISED_FOR;
        self.held.insert((likeness, number), Held { until, what });
        self.ends.push_back((until, likeness, number));
        if self.ends.len() > 2 * self.held.len() + 64 {
            let held = &self.held;
            self.ends.retain(|(until, likeness, number)| {
                held.get(&(*likeness, *number)).is_some_and(|held| held.until == *until)
            });
        }
        self.forget(now);
    }

    /// Something like this has come. Gives the earliest taken one that it repeats, and holds that no longer.
    pub(super) fn recall(&mut self, now: Instant, likeness: &Likeness) -> Option<(u64, T)> {
        self.forget(now);
        let alike = (*likeness, 0)..=(*likeness, u64::MAX);
        let key = *self.held.range(alike).next()?.0;
        let held = self.held.remove(&key)?;
        Some((key.1, held.what))
    }

    /// Whether nothing is held.
    pub(super) fn is_empty(&mut self, now: Instant) -> bool {
        self.forget(now);
        self.held.is_empty()
    }

    /// Drops what is too old, or too much.
    fn forget(&mut self, now: Instant) {
        while let Some((until, likeness, number)) = self.ends.front().copied() {
            let key = (likeness, number);
            // It may have been recalled, or held again since.
            let current = self.held.get(&key).is_some_and(|held| held.until == until);
            if current && until > now && self.held.len() <= self.limit {
                return;
            }
            if current {
                self.held.remove(&key);
            }
            self.ends.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn like(byte: u8) -> Likeness {
        [byte; 32]
    }

    #[test]
    fn twins_are_recalled_one_for_one_and_in_order() {
        let now = Instant::now();
        let mut resends = Resends::new(100);
        for (number, byte) in [(1, 7), (2, 8), (3, 7)] {
            resends.hold(now, like(byte), number, number);
        }
        assert_eq!(resends.recall(now, &like(7)), Some((1, 1)));
        assert_eq!(resends.recall(now, &like(7)), Some((3, 3)));
        assert_eq!(resends.recall(now, &like(7)), None, "the third is a new one");
        assert_eq!(resends.recall(now, &like(8)), Some((2, 2)));
        assert!(resends.is_empty(now));
    }

    #[test]
    fn after_ten_minutes_everything_is_new() {
        let now = Instant::now();
        let mut resends = Resends::new(100);
        resends.hold(now, like(1), 1, ());
        resends.hold(now + 5 * MINUTE, like(2), 2, ());
        let late = now + 10 * MINUTE;
        assert_eq!(resends.recall(late, &like(1)), None);
        assert_eq!(resends.recall(late, &like(2)), Some((2, ())));
    }

    #[test]
    fn held_again_counts_from_then_on() {
        let now = Instant::now();
        let mut resends = Resends::new(100);
        resends.hold(now, like(1), 1, ());
        assert!(resends.recall(now + 9 * MINUTE, &like(1)).is_some());
        resends.hold(now + 9 * MINUTE, like(1), 1, ());
        assert!(resends.recall(now + 18 * MINUTE, &like(1)).is_some());
        assert!(resends.is_empty(now + 18 * MINUTE));
    }

    #[test]
    fn the_oldest_give_way() {
        let now = Instant::now();
        let mut resends = Resends::new(2);
        for number in 0..5 {
            resends.hold(now, like(number), u64::from(number), ());
        }
        let left: Vec<u8> = (0..5).filter(|number| resends.recall(now, &like(*number)).is_some()).collect();
        assert_eq!(left, [3, 4]);
    }

    #[test]
    fn memory_does_not_grow_with_what_is_recalled_and_held_again() {
        let now = Instant::now();
        let mut resends = Resends::new(10);
        for round in 0..1000_u32 {
            let now = now + round * Duration::from_secs(1);
            for number in 0..10_u8 {
                let _first_time = resends.recall(now, &like(number));
                resends.hold(now, like(number), u64::from(number), ());
            }
        }
        assert_eq!(resends.held.len(), 10);
        assert!(resends.ends.len() <= 2 * 10 + 65, "{}", resends.ends.len());
    }

    /// The same as a list that is searched from its beginning.
    #[derive(Default)]
    struct Naive(Vec<(Likeness, u64, Instant)>);

    impl Naive {
        fn hold(&mut self, now: Instant, likeness: Likeness, number: u64) {
            self.0.push((likeness, number, now));
        }

        fn recall(&mut self, now: Instant, likeness: &Likeness) -> Option<u64> {
            self.0.retain(|(_, _, at)| now.duration_since(*at) < RECOGNISED_FOR);
            let alike = self.0.iter().filter(|(held, _, _)| held == likeness);
            let number = alike.map(|(_, number, _)| *number).min()?;
            self.0.retain(|(_, held, _)| *held != number);
            Some(number)
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        /// Time passes, in seconds.
        Pass(u64),
        /// An error response goes out: so many that are in the hands of connections are held.
        Fail(usize),
        /// Something comes: a repetition, or new.
        Come(u8),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            1 => (1_u64..200).prop_map(Step::Pass),
            2 => (0_usize..6).prop_map(Step::Fail),
            6 => (0_u8..4).prop_map(Step::Come),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn it_does_what_a_naive_list_does(steps in steps()) {
            let mut now = Instant::now();
            let mut resends = Resends::new(usize::MAX);
            let mut naive = Naive::default();
            let mut next = 0;
            // What connections have in their hands, as likeness and number.
            let mut taken: Vec<(u8, u64)> = Vec::new();
            for step in steps {
                match step {
                    Step::Pass(seconds) => now += Duration::from_secs(seconds),
                    Step::Fail(count) => {
                        for (byte, number) in taken.split_off(taken.len().saturating_sub(count)) {
                            resends.hold(now, like(byte), number, byte);
                            naive.hold(now, like(byte), number);
                        }
                    }
                    Step::Come(byte) => {
                        let found = resends.recall(now, &like(byte));
                        prop_assert_eq!(found.map(|(number, _)| number), naive.recall(now, &like(byte)));
                        prop_assert!(found.is_none_or(|(_, held)| held == byte));
                        let number = found.map_or_else(|| { next += 1; next }, |(number, _)| number);
                        taken.push((byte, number));
                    }
                }
            }
        }

        /// The promise itself: a client that sends again what followed each culprit has each of its notifications
        /// delivered exactly once, twins included, however far the bridge had read on.
        #[test]
        fn who_sends_again_gets_each_once(
            // A likeness each, and whether the service refuses it.
            wanted in prop::collection::vec((0_u8..5, prop::bool::weighted(0.2)), 0..60),
            // How far behind the culprit the bridge had read, for each connection.
            ahead in prop::collection::vec(0_usize..20, 70),
        ) {
            let now = Instant::now();
            let mut resends = Resends::new(usize::MAX);
            let mut delivered = [0_u32; 5];
            let mut reported = Vec::new();
            let mut next = 0;
            let mut first = 0;
            for ahead in ahead {
                // One connection: what it takes up to a culprit, and a little more.
                let mut taken = Vec::new();
                let culprit = (first..wanted.len()).find(|place| wanted[*place].1);
                let last = culprit.map_or(wanted.len(), |culprit| (culprit + 1 + ahead).min(wanted.len()));
                for (byte, refused) in &wanted[first..last] {
                    // Good ones and bad ones are never alike.
                    let likeness = like(byte + if *refused { 100 } else { 0 });
                    let number = match resends.recall(now, &likeness) {
                        Some((number, ())) => number,
                        None => {
                            next += 1;
                            delivered[usize::from(*byte)] += u32::from(!*refused);
                            next
                        }
                    };
                    taken.push((likeness, number));
                }
                let Some(culprit) = culprit else { break };
                reported.push(culprit);
                for (likeness, number) in taken.split_off(culprit - first + 1) {
                    resends.hold(now, likeness, number, ());
                }
                first = culprit + 1;
            }
            for byte in 0..5_u8 {
                let count = wanted.iter().filter(|(wanted, refused)| *wanted == byte && !refused).count();
                prop_assert_eq!(delivered[usize::from(byte)] as usize, count);
            }
            let bad: Vec<usize> = (0..wanted.len()).filter(|place| wanted[*place].1).collect();
            prop_assert_eq!(reported, bad);
            prop_assert!(resends.is_empty(now), "all that was held was sent again");
        }
    }
}
