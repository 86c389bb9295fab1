//! What the owner of a room remembers of members, messages and cids, so that usual commands need
//! nothing from the store. Each part is bounded, and can be wrong in one way only: by not knowing.

use crate::ports::{CidKey, FirstResult, MessageFact, Part};
use kaiwa_common::id::{ClipId, UserId};
use kaiwa_common::position::Seq;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Members whose part is remembered; above it all are forgotten and looked up again. A room of 10,000
/// in which everybody writes looks each up once per thousand.
const PARTS: usize = 1_024;

/// Messages whose sender is remembered; above it the oldest are forgotten. Edits and deletions are of
/// recent messages nearly always.
const MESSAGES: usize = 256;

/// Cids whose result is remembered: a retry comes within seconds. Older ones are in the store.
const CIDS: usize = 256;

/// What is known for certain; `Some(None)` is knowing that there is nothing.
#[derive(Debug, Default)]
pub(super) struct Recent {
    parts: HashMap<UserId, Option<Part>>,
    messages: BTreeMap<Seq, Option<MessageFact>>,
    cids: HashMap<CidKey, FirstResult>,
    cid_order: VecDeque<CidKey>,
    undo: Vec<Undo>,
}

/// How one entry was before the batch.
#[derive(Debug)]
enum Undo {
    Part(UserId, Option<Option<Part>>),
    Message(Seq, Option<Option<MessageFact>>),
}

impl Recent {
    /// Their part, if it is known.
    pub(super) fn part(&self, user: &UserId) -> Option<Option<Part>> {
        self.parts.get(user).copied()
    }

    /// The message, if it is known whether there is one.
    pub(super) fn message(&self, seq: Seq) -> Option<Option<&MessageFact>> {
        self.messages.get(&seq).map(Option::as_ref)
    }

    /// The first result of a cid, if it is remembered.
    pub(super) fn cid(&self, key: &CidKey) -> Option<FirstResult> {
        self.cids.get(key).copied()
    }

    /// Takes over what the store says.
    pub(super) fn learn_part(&mut self, user: UserId, part: Option<Part>) {
        self.parts.insert(user, part);
    }

    /// Takes over what the store says.
    pub(super) fn learn_message(&mut self, seq: Seq, fact: Option<MessageFact>) {
        self.messages.insert(seq, fact);
    }

    /// Remembers a first result.
    pub(super) fn learn_cid(&mut self, key: CidKey, first: FirstResult) {
        if self.cids.insert(key.clone(), first).is_none() {
            self.cid_order.push_back(key);
        }
    }

    /// A batch changes somebody's part; gives the one before.
    pub(super) fn set_part(&mut self, user: &UserId, part: Option<Part>) -> Option<Part> {
        let before = self.parts.insert(user.clone(), part);
        self.undo.push(Undo::Part(user.clone(), before));
        before.flatten()
    }

    /// A batch posts a message.
    pub(super) fn set_message(&mut self, seq: Seq, fact: Option<MessageFact>) {
        let before = self.messages.insert(seq, fact);
        self.undo.push(Undo::Message(seq, before));
    }

    /// A batch deletes a message.
    pub(super) fn mark_deleted(&mut self, target: Seq) {
        if let Some(Some(fact)) = self.messages.get(&target).cloned() {
            self.set_message(
                target,
                Some(MessageFact {
                    deleted: true,
                    clip: None,
                    ..fact
                }),
            );
        }
    }

    /// A batch shows a clip's message otherwise.
    pub(super) fn mark_shown(&mut self, target: Seq, clip: (ClipId, u64)) {
        if let Some(Some(fact)) = self.messages.get(&target).cloned() {
            let clip = Some(clip);
            self.set_message(target, Some(MessageFact { clip, ..fact }));
        }
    }

    /// The batch is in the store, or changed nothing: there is nothing to go back to. Shrinks to the
    /// bounds, which may happen only here: within a batch its commands rely on what was looked up for
    /// them.
    pub(super) fn keep(&mut self) {
        self.undo.clear();
        if self.parts.len() > PARTS {
            self.parts.clear();
        }
        while self.messages.len() > MESSAGES {
            self.messages.pop_first();
        }
        while self.cid_order.len() > CIDS {
            if let Some(oldest) = self.cid_order.pop_front() {
                self.cids.remove(&oldest);
            }
        }
    }

    /// The batch is not in the store: as it was before.
    pub(super) fn roll_back(&mut self) {
        while let Some(undo) = self.undo.pop() {
            match undo {
                Undo::Part(user, Some(part)) => drop(self.parts.insert(user, part)),
                Undo::Part(user, None) => drop(self.parts.remove(&user)),
                Undo::Message(seq, Some(fact)) => drop(self.messages.insert(seq, fact)),
                Undo::Message(seq, None) => drop(self.messages.remove(&seq)),
            }
        }
    }
}
