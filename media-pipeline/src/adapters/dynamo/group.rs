//! Changes that are stored together: which of those that wait go into one transaction, and what its refusal means
//! for each. No I/O.

use super::errors::{Meaning, meaning};
use super::items::{Item, Key};
use crate::model::ClipId;
use crate::ports::StoreError;
use kaiwa_common::limits::{CLIP_DYNAMO_BYTES, CLIP_DYNAMO_GROUP, CLIP_DYNAMO_ITEMS};
use std::collections::{HashSet, VecDeque};

/// Items of a transaction that are the group's own: the newest revision and the log's entry.
pub(super) const OWN_ITEMS: usize = 2;

/// About what an item's names and keys take.
const ITEM_BYTES: usize = 512;

/// What a row must be for the write to count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Must {
    /// Not there yet.
    BeNew,
    /// There, with this number under this name.
    Have(&'static str, u64),
    /// Not there, or forgotten by this time, in milliseconds.
    BeNewOrOld(i64),
    /// Whatever it is: the write says the same each time.
    BeAnything,
}

/// One row of a change.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Write {
    pub(super) item: Item,
    pub(super) must: Must,
}

/// A change of one clip.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Change {
    pub(super) clip: ClipId,
    /// The clip's row is the first; its revision is put in when that is known.
    pub(super) writes: Vec<Write>,
    /// Bytes of the clip's text, about.
    pub(super) bytes: usize,
}

impl Change {
    fn size(&self) -> usize {
        self.bytes + self.writes.len() * ITEM_BYTES
    }

    fn keys(&self) -> Vec<Key> {
        let keys = self.writes.iter().filter_map(|write| Key::of(&write.item));
        keys.collect()
    }
}

/// Takes what goes together from those that wait, in their order: as many as one transaction holds, and none that
/// writes a row which an earlier one writes.
pub(super) fn take<T: AsRef<Change>>(waiting: &mut VecDeque<T>) -> Vec<T> {
    let (mut group, mut left) = (Vec::new(), VecDeque::new());
    let mut taken: HashSet<Key> = HashSet::new();
    let (mut items, mut bytes) = (OWN_ITEMS, 0);
    for change in waiting.drain(..) {
        let one = change.as_ref();
        let keys = one.keys();
        let (more_items, more_bytes) = (items + keys.len(), bytes + one.size());
        let fits = group.len() < CLIP_DYNAMO_GROUP
            && more_items <= CLIP_DYNAMO_ITEMS
            && (more_bytes <= CLIP_DYNAMO_BYTES || group.is_empty());
        let is_apart = !keys.iter().any(|key| taken.contains(key));
        // Also of those that wait: a later change of the same clip is not to overtake it.
        taken.extend(keys);
        if fits && is_apart {
            (items, bytes) = (more_items, more_bytes);
            group.push(change);
        } else {
            left.push_back(change);
        }
    }
    *waiting = left;
    group
}

/// What a cancelled transaction means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Judged {
    /// For each change: why it is not stored, or nothing when it is to be tried again.
    pub(super) over: Vec<Option<StoreError>>,
    /// Somebody writes the same just now, or DynamoDB is asked for too much.
    pub(super) is_busy: bool,
}

/// Reads the reasons, which stand in the order of the transaction's items: the group's own first.
pub(super) fn judge<T: AsRef<Change>>(group: &[T], reasons: &[(String, String)]) -> Judged {
    let mut codes = reasons.iter();
    let own: Vec<_> = codes.by_ref().take(OWN_ITEMS).collect();
    // A newest revision that is not what was read is somebody's at work as well.
    let mut is_busy = own.iter().any(|(code, _)| is_said(code));
    let mut over = Vec::new();
    for change in group {
        let mut error = None;
        for (code, message) in codes.by_ref().take(change.as_ref().writes.len()) {
            if !is_said(code) {
                continue;
            }
            match meaning(code, None) {
                Meaning::Passes => is_busy = true,
                Meaning::Conflict => error = Some(StoreError::Conflict),
                Meaning::Stays => {
                    let text = format!("{code}: {message}");
                    error = error.or(Some(StoreError::Broken(text)));
                }
            }
        }
        over.push(error);
    }
    Judged { over, is_busy }
}

/// Items that were not at fault have no code, or this one.
fn is_said(code: &str) -> bool {
    !matches!(code, "" | "None")
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    /// A change of a clip, with a request's row if it has one.
    fn change(clip: u128, request: Option<&str>, bytes: usize) -> Box<Change> {
        let clip = ClipId(Uuid::from_u128(clip));
        let item = Key::clip(clip).item();
        let mut writes = vec![Write {
            item,
            must: Must::BeNew,
        }];
        writes.extend(request.map(|key| Write {
            item: Key::request("alice/", key).item(),
            must: Must::BeNewOrOld(0),
        }));
        Box::new(Change {
            clip,
            writes,
            bytes,
        })
    }

    fn clips(changes: &[Box<Change>]) -> Vec<u128> {
        changes
            .iter()
            .map(|change| change.clip.0.as_u128())
            .collect()
    }

    fn reasons(codes: &[&str]) -> Vec<(String, String)> {
        let pairs = codes.iter().map(|code| ((*code).to_owned(), String::new()));
        pairs.collect()
    }

    #[test]
    fn changes_of_one_clip_or_one_request_go_one_after_the_other() {
        let changes = [
            change(1, Some("a"), 0),
            change(1, None, 0),
            change(2, Some("a"), 0),
            change(2, None, 0),
            change(3, None, 0),
        ];
        let mut waiting = VecDeque::from(changes);
        assert_eq!(clips(&take(&mut waiting)), [1, 3]);
        assert_eq!(clips(&take(&mut waiting)), [1, 2]);
        assert_eq!(clips(&take(&mut waiting)), [2]);
        assert!(waiting.is_empty());
    }

    #[test]
    fn a_group_is_what_one_transaction_holds() {
        let many = (1..=CLIP_DYNAMO_GROUP as u128 + 1).map(|clip| change(clip, None, 0));
        let mut waiting: VecDeque<_> = many.collect();
        assert_eq!(take(&mut waiting).len(), CLIP_DYNAMO_GROUP);
        assert_eq!(waiting.len(), 1);
        let large = (1..=3).map(|clip| change(clip, None, CLIP_DYNAMO_BYTES / 2));
        let mut waiting: VecDeque<_> = large.collect();
        assert_eq!(clips(&take(&mut waiting)), [1]);
        let mut waiting = VecDeque::from([change(1, None, CLIP_DYNAMO_BYTES * 2)]);
        assert_eq!(clips(&take(&mut waiting)), [1], "nothing waits for ever");
    }

    #[test]
    fn a_reason_meets_the_change_whose_row_it_is_about() {
        let group = [
            change(1, Some("a"), 0),
            change(2, None, 0),
            change(3, None, 0),
        ];
        let none = "None";
        let judged = judge(
            &group,
            &reasons(&[
                none,
                none,
                none,
                "ConditionalCheckFailed",
                "ValidationError",
                none,
            ]),
        );
        assert_eq!(judged.over[0], Some(StoreError::Conflict));
        assert!(matches!(judged.over[1], Some(StoreError::Broken(_))));
        assert_eq!((&judged.over[2], judged.is_busy), (&None, false));
    }

    #[test]
    fn what_passes_is_tried_again_after_a_pause() {
        let group = [change(1, None, 0), change(2, None, 0)];
        for codes in [
            ["ConditionalCheckFailed", "None", "None", "None"],
            ["TransactionConflict", "None", "None", "None"],
            ["None", "None", "ThrottlingError", "None"],
            ["None", "None", "None", "ProvisionedThroughputExceeded"],
        ] {
            let judged = judge(&group, &reasons(&codes));
            assert_eq!((judged.over, judged.is_busy), (vec![None, None], true));
        }
    }
}
