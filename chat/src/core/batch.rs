//! Commands on their way to the store together.

use super::cache::Recent;
use super::command::Command;
use super::decide::{Decision, ReplyWith};
use super::state::RoomState;
use crate::error::ChatError;
use crate::model::{Event, EventBody, User, Write};
use crate::ports::{CidKey, FirstResult};
use kaiwa_common::id::{Cid, RoomId, UserId};
use kaiwa_common::position::{Epoch, Position, Seq};
use kaiwa_common::time::UnixMs;
use std::collections::BTreeMap;

/// Events in one append. The store's transaction holds many appends, so more gives nothing.
pub(super) const BATCH_EVENTS: usize = 256;

/// Commands in one batch, those that change nothing included.
const BATCH_COMMANDS: usize = 4_096;

/// Bytes in one append.
const BATCH_BYTES: usize = 512 * 1024;

/// Commands on their way to the store.
#[derive(Debug)]
pub(super) struct Batch {
    /// The state to go back to.
    pub(super) before: Option<RoomState>,
    pub(super) commands: Vec<(Command, Outcome)>,
    pub(super) cids: BTreeMap<CidKey, FirstResult>,
}

/// What a command's reply will be once its batch is on disk.
#[derive(Debug)]
pub(super) enum Outcome {
    Position(Seq, UnixMs, Dup),
    Room,
    Refused(ChatError),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dup {
    No,
    Yes,
}

/// A batch in the making.
pub(super) struct Making<'a> {
    pub(super) room: &'a RoomId,
    /// The time of its events: the present, but never before the newest event's.
    pub(super) now: UnixMs,
    pub(super) events: Vec<Event>,
    pub(super) bytes: usize,
    pub(super) batch: Batch,
}

impl Making<'_> {
    /// Whether this decision has to go into the next batch. One batch changes nobody's part twice, so
    /// that each change is told with the room as it was right after it.
    pub(super) fn is_full_for(&self, decision: &Decision) -> bool {
        let Decision::Change { bodies, .. } = decision else {
            return self.batch.commands.len() >= BATCH_COMMANDS;
        };
        let full = self.events.len() + bodies.len() > BATCH_EVENTS || self.bytes >= BATCH_BYTES;
        let again = |body: &EventBody| {
            let changed = changed_user(body);
            changed.is_some()
                && self
                    .events
                    .iter()
                    .any(|event| changed_user(&event.body) == changed)
        };
        (full && !self.events.is_empty()) || bodies.iter().any(again)
    }

    pub(super) fn add(
        &mut self,
        command: Command,
        decision: Decision,
        state: &mut Option<RoomState>,
        recent: &mut Recent,
    ) {
        let outcome = match decision {
            Decision::Change {
                cid,
                bodies,
                reply,
                by,
            } => {
                self.bytes += command.bytes();
                let seq = self.change((&command, by), (cid, bodies), state, recent);
                match reply {
                    ReplyWith::Position => Outcome::Position(seq, self.now, Dup::No),
                    ReplyWith::Room => Outcome::Room,
                }
            }
            Decision::Unchanged(ReplyWith::Position) => {
                let (seq, time) = state
                    .as_ref()
                    .map_or((Seq::ZERO, self.now), |s| (s.head.seq, s.time));
                Outcome::Position(seq, time, Dup::Yes)
            }
            Decision::Unchanged(ReplyWith::Room) => Outcome::Room,
            Decision::Done(first) => Outcome::Position(first.seq, first.time, Dup::Yes),
            Decision::Refused(error) => Outcome::Refused(error),
            Decision::Needs(_) => unreachable!("what is unknown is not added"),
        };
        self.batch.commands.push((command, outcome));
    }

    /// Makes the events of one command, in its actor's name or in another's; gives the first one's place.
    fn change(
        &mut self,
        (command, by): (&Command, Option<UserId>),
        (cid, bodies): (Option<Cid>, Vec<EventBody>),
        state: &mut Option<RoomState>,
        recent: &mut Recent,
    ) -> Seq {
        let sender = &command.actor.user;
        let by = by.unwrap_or_else(|| sender.id.clone());
        let head = state.as_ref().map(|state| state.head);
        let first = head.map_or(Seq(1), |head| head.seq.next());
        let epoch = head.map_or(FIRST_EPOCH, |head| head.epoch);
        if let (Some(cid), Some((_, kind))) = (cid, command.write.cid()) {
            let result = FirstResult {
                kind,
                seq: first,
                time: self.now,
            };
            self.batch.cids.insert((by.clone(), cid), result);
        }
        let mut cid = cid;
        for (seq, body) in (first.0..).map(Seq).zip(bodies) {
            let event = Event {
                room: self.room.clone(),
                position: Position { epoch, seq },
                time: self.now,
                sender: by.clone(),
                cid: cid.take(),
                body,
            };
            match state {
                Some(state) => state.apply(&event, sender, recent),
                None => *state = RoomState::created(&event, pair(command)),
            }
            self.events.push(event);
        }
        first
    }
}

/// The stream of a room that was never made anew.
const FIRST_EPOCH: Epoch = Epoch(1);

/// The two people of a direct room that a command opens.
fn pair(command: &Command) -> Option<[User; 2]> {
    let Write::OpenDirect { peer } = &command.write else {
        return None;
    };
    let fact = command.users.get(peer).and_then(Option::as_ref)?;
    let peer = User {
        id: peer.clone(),
        name: fact.name.clone(),
    };
    Some([command.actor.user.clone(), peer])
}

fn changed_user(body: &EventBody) -> Option<&UserId> {
    match body {
        EventBody::Member { user, .. } => Some(&user.id),
        EventBody::Posted { .. }
        | EventBody::Edited { .. }
        | EventBody::Deleted { .. }
        | EventBody::ClipChanged { .. }
        | EventBody::Created { .. } => None,
    }
}
