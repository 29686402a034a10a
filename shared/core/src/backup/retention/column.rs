//! One value for each slot.

/// One value for each slot of the [`super::index::Index`]. A slot is always one of the index, so
/// that the default, which stands in for a value that is not there, is never seen.
#[derive(Debug)]
pub(super) struct Column<T>(Vec<T>);

impl<T: Copy + Default> Column<T> {
    pub(super) fn new(len: usize) -> Self {
        Self(vec![T::default(); len])
    }

    pub(super) fn get(&self, slot: usize) -> T {
        self.0.get(slot).copied().unwrap_or_default()
    }

    pub(super) fn set(&mut self, slot: usize, value: T) {
        if let Some(place) = self.0.get_mut(slot) {
            *place = value;
        }
    }
}

impl<T> From<Vec<T>> for Column<T> {
    fn from(values: Vec<T>) -> Self {
        Self(values)
    }
}

/// The slots of a range that nobody has claimed yet. Claiming all of them, in ranges that overlap
/// as they like, takes time that is almost linear.
#[derive(Debug)]
pub(super) struct Unclaimed {
    first: usize,
    /// For each slot, one at or after it before which all are claimed.
    next: Vec<usize>,
}

impl Unclaimed {
    pub(super) fn new(slots: std::ops::Range<usize>) -> Self {
        Self { first: slots.start, next: (0..=slots.len()).collect() }
    }

    fn find(&mut self, mut place: usize) -> usize {
        loop {
            let next = self.next.get(place).copied().unwrap_or(place);
            if next == place {
                return place;
            }
            let after = self.next.get(next).copied().unwrap_or(next);
            if let Some(link) = self.next.get_mut(place) {
                *link = after;
            }
            place = next;
        }
    }

    /// Claims what is unclaimed of these slots, and gives each of them to `claimed`.
    pub(super) fn claim(&mut self, slots: std::ops::Range<usize>, mut claimed: impl FnMut(usize)) {
        let end = slots.end.saturating_sub(self.first).min(self.next.len().saturating_sub(1));
        let mut place = self.find(slots.start.saturating_sub(self.first));
        while place < end {
            claimed(place.saturating_add(self.first));
            if let Some(link) = self.next.get_mut(place) {
                *link = place.saturating_add(1);
            }
            place = self.find(place);
        }
    }
}
