//! The last so many of something, in memory that is taken once.

/// Keeps the last so many values.
#[derive(Debug)]
pub(crate) struct Ring<T> {
    items: Vec<T>,
    /// Where the next one goes once all places are taken.
    next: usize,
    bound: usize,
}

impl<T: Copy> Ring<T> {
    /// Room for so many.
    pub(crate) fn new(bound: usize) -> Self {
        Self {
            items: Vec::with_capacity(bound),
            next: 0,
            bound,
        }
    }

    /// Keeps a value, in place of the oldest when there is no room.
    pub(crate) fn push(&mut self, item: T) {
        if self.items.len() < self.bound {
            self.items.push(item);
        } else if let Some(oldest) = self.items.get_mut(self.next) {
            *oldest = item;
            self.next = (self.next + 1) % self.bound;
        }
    }

    /// The last so many, the oldest first.
    pub(crate) fn last(&self, count: usize) -> impl Iterator<Item = T> {
        let (newer, older) = self.items.split_at(self.next.min(self.items.len()));
        let excess = self.items.len().saturating_sub(count);
        older.iter().chain(newer).copied().skip(excess)
    }

    /// Bytes of memory that it holds beside itself.
    #[cfg(test)]
    pub(crate) fn footprint(&self) -> usize {
        self.items.capacity() * size_of::<T>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_so_many_are_kept_in_their_order() {
        let mut ring = Ring::new(4);
        assert_eq!(ring.last(4).count(), 0);
        for value in 1..=4 {
            ring.push(value);
        }
        assert_eq!(ring.last(9).collect::<Vec<_>>(), [1, 2, 3, 4]);
        for value in 5..=10 {
            ring.push(value);
        }
        assert_eq!(ring.last(4).collect::<Vec<_>>(), [7, 8, 9, 10]);
        assert_eq!(ring.last(2).collect::<Vec<_>>(), [9, 10]);
        assert_eq!(ring.footprint(), 16);
    }

    #[test]
    fn one_without_room_keeps_nothing() {
        let mut ring = Ring::new(0);
        ring.push(1);
        assert_eq!(ring.last(1).count(), 0);
    }
}
