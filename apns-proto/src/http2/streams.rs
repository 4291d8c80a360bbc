//! What belongs to the open streams of a connection.

use std::collections::BTreeMap;

use slab::Slab;

/// One value for each open stream, in the order of the identifiers, which is the order of opening.
///
/// The values are large. They stay in their places, and the ordered map moves small numbers only.
#[derive(Debug)]
pub(super) struct Streams<T> {
    places: BTreeMap<u32, usize>,
    values: Slab<T>,
}

impl<T> Streams<T> {
    pub(super) const fn new() -> Self {
        Self { places: BTreeMap::new(), values: Slab::new() }
    }

    /// Gives the place, which stays the same until the stream is removed; then another stream may get it.
    pub(super) fn insert(&mut self, stream: u32, value: T) -> usize {
        let place = self.values.insert(value);
        if let Some(before) = self.places.insert(stream, place) {
            self.values.remove(before);
        }
        place
    }

    pub(super) fn remove(&mut self, stream: u32) -> Option<T> {
        let place = self.places.remove(&stream)?;
        Some(self.values.remove(place))
    }

    pub(super) fn get_mut(&mut self, stream: u32) -> Option<&mut T> {
        self.values.get_mut(*self.places.get(&stream)?)
    }

    pub(super) fn at_mut(&mut self, place: usize) -> Option<&mut T> {
        self.values.get_mut(place)
    }

    /// The stream that was opened first.
    pub(super) fn first(&self) -> Option<(u32, &T)> {
        let (&stream, &place) = self.places.first_key_value()?;
        Some((stream, self.values.get(place)?))
    }

    /// Takes out the stream that was opened first.
    pub(super) fn pop_first(&mut self) -> Option<(u32, T)> {
        let (stream, place) = self.places.pop_first()?;
        Some((stream, self.values.remove(place)))
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_come_in_the_order_of_opening_whatever_place_they_have() {
        let mut streams = Streams::new();
        assert_eq!(streams.first(), None);
        let places = [1, 3, 5].map(|stream| streams.insert(stream, stream * 10));
        assert_eq!(streams.remove(3), Some(30));
        assert_eq!(streams.remove(3), None);
        let place = streams.insert(7, 70);
        assert_eq!(place, places[1], "the place is used again");
        assert_eq!(streams.at_mut(place), Some(&mut 70));
        *streams.get_mut(5).unwrap() += 1;
        assert_eq!((streams.len(), streams.first()), (3, Some((1, &10))));
        let all: Vec<_> = std::iter::from_fn(|| streams.pop_first()).collect();
        assert_eq!(all, [(1, 10), (5, 51), (7, 70)]);
        assert!(streams.is_empty() && streams.at_mut(place).is_none());
    }

    #[test]
    fn a_stream_has_one_value() {
        let mut streams = Streams::new();
        streams.insert(1, 'a');
        streams.insert(1, 'b');
        assert_eq!((streams.len(), streams.pop_first(), streams.pop_first()), (1, Some((1, 'b')), None));
    }
}
