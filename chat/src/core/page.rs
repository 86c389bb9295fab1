//! Where a page ends before its count is reached.

use kaiwa_common::limits::PAGE_BYTES;

/// Counts the text in a page.
#[derive(Debug, Default)]
pub struct PageBytes {
    taken: usize,
    entries: usize,
}

/// Whether an entry goes into the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// It does.
    Yes,
    /// The page is full.
    Enough,
}

impl PageBytes {
    /// Takes an entry of so many bytes, unless the page is full. The first one always fits, so that
    /// whoever reads on gets on.
    pub fn take(&mut self, bytes: usize) -> Take {
        if self.entries > 0 && self.taken + bytes > PAGE_BYTES {
            return Take::Enough;
        }
        self.entries += 1;
        self.taken += bytes;
        Take::Yes
    }
}
