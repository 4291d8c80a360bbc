//! A few values that were made lately and may be wanted again.

/// As many values as there were lately, at most four: an app sends few kinds of notifications at a time.
#[derive(Clone)]
pub(super) struct Recent<T> {
    kept: Vec<T>,
    /// The one that goes next.
    oldest: usize,
}

const KEPT: usize = 4;

impl<T> Recent<T> {
    pub(super) const fn new() -> Self {
        Self { kept: Vec::new(), oldest: 0 }
    }

    pub(super) fn find(&self, is_it: impl Fn(&T) -> bool) -> Option<&T> {
        self.kept.iter().find(|one| is_it(one))
    }

    /// Keeps a value in place of the one that it replaces, or else of the oldest.
    pub(super) fn keep(&mut self, value: T, replaces: impl Fn(&T) -> bool) {
        if let Some(place) = self.kept.iter_mut().find(|one| replaces(one)) {
            *place = value;
        } else if self.kept.len() < KEPT {
            self.kept.push(value);
        } else {
            self.kept[self.oldest] = value;
            self.oldest = (self.oldest + 1) % KEPT;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_four_are_kept_and_one_replaces_its_like() {
        let mut recent = Recent::new();
        for (key, value) in [(1, 'a'), (2, 'b'), (1, 'c'), (3, 'd'), (4, 'e'), (5, 'f')] {
            recent.keep((key, value), |(other, _)| *other == key);
            assert_eq!(recent.find(|(other, _)| *other == key), Some(&(key, value)));
        }
        let find = |key| recent.find(|(other, _)| *other == key).map(|(_, value)| *value);
        assert_eq!([1, 2, 3, 4, 5].map(find), [None, Some('b'), Some('d'), Some('e'), Some('f')]);
    }
}
