//! A subscriber's receiving m-lines and what is in them.

use crate::control::{PublicationId, Slot};
use crate::unit::{MediaKind, Mid};

#[derive(Debug)]
struct Entry {
    kind: MediaKind,
    slot: Slot,
}

/// The slots of one subscriber, in the order of their m-lines.
#[derive(Debug, Default)]
pub(super) struct SlotTable {
    entries: Vec<Entry>,
}

impl SlotTable {
    /// How many there are for this kind.
    pub(super) fn count(&self, kind: MediaKind) -> u8 {
        let count = self.entries.iter().filter(|e| e.kind == kind).count();
        u8::try_from(count).unwrap_or(u8::MAX)
    }

    /// Replaces the m-lines; what stays keeps what it carries. Gives those that carried something and
    /// are no more.
    pub(super) fn set_lines(&mut self, lines: &[(Mid, MediaKind)]) -> Vec<Mid> {
        let mut old = std::mem::take(&mut self.entries);
        for (mid, kind) in lines {
            let at = old
                .iter()
                .position(|e| e.slot.mid == *mid && e.kind == *kind);
            let entry = at.map(|at| old.remove(at)).unwrap_or_else(|| Entry {
                kind: *kind,
                slot: Slot {
                    mid: *mid,
                    publication: None,
                    layer: None,
                    limited_by: None,
                },
            });
            self.entries.push(entry);
        }
        old.iter()
            .filter(|e| e.slot.publication.is_some())
            .map(|e| e.slot.mid)
            .collect()
    }

    /// Makes the slots of a kind carry the first of `wanted`, as many as there is room for, and leaves
    /// those that are there already where they are. Gives what changed.
    pub(super) fn fill(
        &mut self,
        kind: MediaKind,
        wanted: &[PublicationId],
    ) -> Vec<(Mid, Option<PublicationId>)> {
        let room = usize::from(self.count(kind)).min(wanted.len());
        let chosen = &wanted[..room];
        let mut changed = Vec::new();
        let mut missing: Vec<PublicationId> = chosen
            .iter()
            .filter(|id| {
                !self
                    .entries
                    .iter()
                    .any(|e| e.slot.publication == Some(**id))
            })
            .copied()
            .rev()
            .collect();
        for entry in self.entries.iter_mut().filter(|e| e.kind == kind) {
            let stays = entry
                .slot
                .publication
                .is_some_and(|id| chosen.contains(&id));
            if stays {
                continue;
            }
            let next = missing.pop();
            if entry.slot.publication != next {
                entry.slot.publication = next;
                entry.slot.layer = None;
                entry.slot.limited_by = None;
                changed.push((entry.slot.mid, next));
            }
        }
        changed
    }

    /// Notes what a slot sends, and says whether that is new; ignored when it carries something else by
    /// now.
    pub(super) fn set_layer(&mut self, slot: Slot) -> bool {
        let is_it =
            |e: &&mut Entry| e.slot.mid == slot.mid && e.slot.publication == slot.publication;
        let Some(entry) = self.entries.iter_mut().find(is_it) else {
            return false;
        };
        let is_new = entry.slot != slot;
        entry.slot = slot;
        is_new
    }

    /// As the caller is told.
    pub(super) fn as_told(&self) -> Vec<Slot> {
        self.entries.iter().map(|e| e.slot).collect()
    }
}
