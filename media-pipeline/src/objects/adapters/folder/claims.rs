//! Who writes to which part's place, and who makes the object.

use super::FolderObjects;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

impl FolderObjects {
    /// The right to write to a part's place; nobody has it while the object is made.
    pub(super) fn claim(&self, upload: &str, number: u32) -> Option<Claim> {
        let place = (upload.to_owned(), number);
        let mut busy = self
            .inner
            .busy
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if busy.contains(&(upload.to_owned(), 0)) {
            return None;
        }
        busy.insert(place.clone()).then(|| Claim {
            busy: Arc::clone(&self.inner.busy),
            place,
        })
    }

    /// The right to make the object, and whether somebody still writes to a place.
    pub(super) fn claim_all(&self, upload: &str) -> Option<(Claim, bool)> {
        let place = (upload.to_owned(), 0);
        let mut busy = self
            .inner
            .busy
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let is_written = busy
            .range(place.clone()..)
            .next()
            .is_some_and(|(id, _)| id == upload);
        let is_mine = busy.insert(place.clone());
        is_mine.then(|| {
            (
                Claim {
                    busy: Arc::clone(&self.inner.busy),
                    place,
                },
                is_written,
            )
        })
    }
}

/// Who writes to a part's place; until the last write has ended.
pub(super) struct Claim {
    busy: Arc<Mutex<BTreeSet<(String, u32)>>>,
    place: (String, u32),
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.remove(&self.place);
    }
}
