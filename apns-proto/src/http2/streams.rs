//! What belongs to the open streams of a connection.

use std::collections::VecDeque;

use slab::Slab;

/// One value for each open stream, in the order of the identifiers, which is the order of opening.
///
/// The values are large: they stay in their places, and only numbers are moved. Identifiers are handed out one after
/// the other, so a stream is found where its number says, unless gaps were closed before it.
#[derive(Debug)]
pub(super) struct Streams<T> {
    /// Stream and place, in the order of the streams. The first one is open.
    order: VecDeque<(u32, Option<usize>)>,
    values: Slab<T>,
}

/// So many streams that are over may stand between open ones, and as many as are open.
const GAPS: usize = 32;

impl<T> Streams<T> {
    pub(super) const fn new() -> Self {
        Self { order: VecDeque::new(), values: Slab::new() }
    }

    pub(super) fn insert(&mut self, stream: u32, value: T) {
        let place = self.values.insert(value);
        match self.find(stream) {
            Ok(index) => {
                if let Some(before) = self.order[index].1.replace(place) {
                    self.values.remove(before);
                }
            }
            Err(index) => self.order.insert(index, (stream, Some(place))),
        }
    }

    pub(super) fn remove(&mut self, stream: u32) -> Option<T> {
        let index = self.find(stream).ok()?;
        let place = self.order[index].1.take()?;
        while self.order.front().is_some_and(|(_, place)| place.is_none()) {
            self.order.pop_front();
        }
        let value = self.values.remove(place);
        if self.order.len() > 2 * self.values.len() + GAPS {
            self.order.retain(|(_, place)| place.is_some());
        }
        Some(value)
    }

    pub(super) fn get(&self, stream: u32) -> Option<&T> {
        let index = self.find(stream).ok()?;
        self.values.get(self.order[index].1?)
    }

    pub(super) fn get_mut(&mut self, stream: u32) -> Option<&mut T> {
        let index = self.find(stream).ok()?;
        self.values.get_mut(self.order[index].1?)
    }

    /// The values, in no order.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.values.iter_mut().map(|(_, value)| value)
    }

    /// The open streams with a higher number, in order.
    pub(super) fn above(&self, stream: u32) -> Vec<u32> {
        self.order
            .iter()
            .filter(|(number, place)| *number > stream && place.is_some())
            .map(|(number, _)| *number)
            .collect()
    }

    /// The stream that was opened first.
    pub(super) fn first(&self) -> Option<(u32, &T)> {
        let &(stream, place) = self.order.front()?;
        Some((stream, self.values.get(place?)?))
    }

    /// All streams, in the order of opening.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.order.iter().filter_map(|&(stream, place)| Some((stream, self.values.get(place?)?)))
    }

    /// Takes out the stream that was opened first.
    #[cfg(test)]
    pub(super) fn pop_first(&mut self) -> Option<(u32, T)> {
        let &(stream, _) = self.order.front()?;
        Some((stream, self.remove(stream)?))
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Where a stream is in the order, or where it would be.
    fn find(&self, stream: u32) -> Result<usize, usize> {
        let (Some(&(first, _)), Some(&(last, _))) = (self.order.front(), self.order.back()) else { return Err(0) };
        if stream > last {
            return Err(self.order.len());
        }
        // Every other number is a client's stream (RFC 9113 section 5.1.1).
        let expected = stream.saturating_sub(first) as usize / 2;
        if self.order.get(expected).is_some_and(|&(found, _)| found == stream) {
            return Ok(expected);
        }
        self.order.binary_search_by_key(&stream, |&(found, _)| found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_come_in_the_order_of_opening_and_leave_their_places() {
        let mut streams = Streams::new();
        assert_eq!(streams.first(), None);
        for stream in [1, 3, 5] {
            streams.insert(stream, stream * 10);
        }
        assert_eq!(streams.remove(3), Some(30));
        assert_eq!(streams.remove(3), None);
        streams.insert(7, 70);
        assert_eq!(streams.values.capacity(), 4, "the place is used again");
        assert_eq!(streams.above(5), [7]);
        *streams.get_mut(5).unwrap() += 1;
        assert_eq!((streams.len(), streams.first()), (3, Some((1, &10))));
        let all: Vec<_> = std::iter::from_fn(|| streams.pop_first()).collect();
        assert_eq!(all, [(1, 10), (5, 51), (7, 70)]);
        assert!(streams.is_empty());
    }

    #[test]
    fn any_order_of_ends_agrees_with_a_map() {
        let mut random = 7_u32;
        let mut random = || {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            random >> 16
        };
        let (mut streams, mut map, mut next) = (Streams::new(), std::collections::BTreeMap::new(), 1);
        for _ in 0..20_000 {
            // Mostly the newest end, so that old ones stay and gaps arise; numbers are left out now and then.
            if map.len() < 50 && random() % 2 == 0 {
                next += 2 * (1 + random() % 20 / 19);
                streams.insert(next, next);
                map.insert(next, next);
            } else {
                let near = next.saturating_sub(2 * (random() % 40) * (random() % 3));
                let oldest = map.keys().next().copied().filter(|_| random() % 8 == 0);
                let stream = oldest.unwrap_or(near);
                assert_eq!(streams.get_mut(stream).copied(), map.get(&stream).copied());
                assert_eq!(streams.remove(stream), map.remove(&stream));
            }
            assert_eq!(streams.first().map(|(stream, _)| stream), map.keys().next().copied());
            assert_eq!(streams.len(), map.len());
            assert!(streams.order.len() <= 2 * map.len() + GAPS, "gaps are bounded");
        }
        assert!(next > 10_000, "there was something to compare");
        assert!(std::iter::from_fn(|| streams.pop_first()).eq(map));
    }

    #[test]
    fn a_stream_has_one_value() {
        let mut streams = Streams::new();
        streams.insert(1, 'a');
        streams.insert(1, 'b');
        assert_eq!((streams.len(), streams.pop_first(), streams.pop_first()), (1, Some((1, 'b')), None));
    }
}
