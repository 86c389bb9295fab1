//! A table of things with small keys that are never mistaken for a later thing's.

use std::marker::PhantomData;

/// Names a row. A row that is gone is not found by it, even when its place was taken again.
pub(crate) struct Key<T> {
    index: u32,
    generation: u32,
    of: PhantomData<fn() -> T>,
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Key<T> {}

impl<T> PartialEq for Key<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.index, self.generation) == (other.index, other.generation)
    }
}

impl<T> Eq for Key<T> {}

impl<T> PartialOrd for Key<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Key<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.index, self.generation).cmp(&(other.index, other.generation))
    }
}

impl<T> std::fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

struct Row<T> {
    generation: u32,
    /// In a box of its own: a peer has 6 KB, and a table that grew by moving ten thousand of them would
    /// hold media up for as long, and two tables' memory.
    value: Option<Box<T>>,
}

/// Rows by key. Looking one up is an index and a comparison.
pub(crate) struct Table<T> {
    rows: Vec<Row<T>>,
    free: Vec<u32>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Table<T> {
    /// Adds a row.
    pub(crate) fn insert(&mut self, value: T) -> Key<T> {
        let index = self.free.pop().unwrap_or_else(|| {
            self.rows.push(Row {
                generation: 0,
                value: None,
            });
            u32::try_from(self.rows.len() - 1).expect("peers and tracks are bounded far below")
        });
        let row = &mut self.rows[index as usize];
        row.value = Some(Box::new(value));
        Key {
            index,
            generation: row.generation,
            of: PhantomData,
        }
    }

    /// Takes a row out.
    pub(crate) fn remove(&mut self, key: Key<T>) -> Option<T> {
        let row = self.rows.get_mut(key.index as usize)?;
        if row.generation != key.generation {
            return None;
        }
        let value = row.value.take()?;
        row.generation = row.generation.wrapping_add(1);
        self.free.push(key.index);
        Some(*value)
    }

    /// A row.
    pub(crate) fn get(&self, key: Key<T>) -> Option<&T> {
        let row = self.rows.get(key.index as usize)?;
        row.value
            .as_deref()
            .filter(|_| row.generation == key.generation)
    }

    /// A row, to change it.
    pub(crate) fn get_mut(&mut self, key: Key<T>) -> Option<&mut T> {
        let row = self.rows.get_mut(key.index as usize)?;
        row.value
            .as_deref_mut()
            .filter(|_| row.generation == key.generation)
    }

    /// All values, in the order of their places.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.rows.iter().filter_map(|row| row.value.as_deref())
    }

    /// All keys, in the order of their places.
    pub(crate) fn keys(&self) -> Vec<Key<T>> {
        let rows = (0_u32..).zip(&self.rows);
        rows.filter(|(_, row)| row.value.is_some())
            .map(|(index, row)| Key {
                index,
                generation: row.generation,
                of: PhantomData,
            })
            .collect()
    }

    /// Takes all rows out.
    pub(crate) fn clear(&mut self) {
        for key in self.keys() {
            self.remove(key);
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.rows.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_does_not_find_what_took_its_place() {
        let mut table = Table::default();
        let first = table.insert("first");
        assert_eq!(table.remove(first), Some("first"));
        assert_eq!(table.remove(first), None);
        let second = table.insert("second");
        assert_eq!(
            (table.get(first), table.get(second)),
            (None, Some(&"second"))
        );
        assert_eq!((table.len(), table.keys()), (1, vec![second]));
    }
}
