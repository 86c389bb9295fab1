//! The state machine of one room, run by its one owner.
//!
//! ```text
//!            command          Load            ok
//!  Unloaded ─────────► Loading ────► Ready ◄───────────── Fetching
//!     ▲                   │ failed     │ └─ facts missing ──►┘
//!     ├───────────────────┘            │ plan
//!     │                                ▼
//!     └── conflict, unknown ─────── Appending ── committed, failed, duplicate ──► Ready
//! ```
//!
//! Commands are taken in their order. While an append is under way they queue, and form the next
//! batch together. Each is decided against the room as the ones before it leave it; what rests on
//! events that are not on disk yet, refusals too, is told only when they are.
//!
//! A batch that comes back is planned again alone, before what was queued meanwhile: once the store has
//! told which of its cids it knows, the next append commits unless somebody else writes the room.

use super::batch::{BATCH_EVENTS, Batch, Dup, Making, Outcome};
use super::cache::Recent;
use super::command::{Command, Effect, RoomLimits, Ticket};
use super::decide::{Decision, Scene, decide, wants};
use super::state::RoomState;
use crate::bus::{MemberChange, Published};
use crate::error::ChatError;
use crate::model::{Committed, Event, EventBody, Written};
use crate::ports::{Append, Appended, CidKey, Facts, FirstResult, RoomRecord, StoreError, Wanted};
use kaiwa_common::id::RoomId;
use kaiwa_common::position::{Position, Seq};
use kaiwa_common::time::UnixMs;
use std::collections::{BTreeMap, VecDeque};

/// Commands that may wait in one room; another one is refused. Some seconds of the fastest disk's work
/// for one room; beyond that an answer comes too late to be of use.
const QUEUE_COMMANDS: usize = 4_096;

/// Bytes of text that may wait in one room, so that long texts cannot take all memory.
const QUEUE_BYTES: usize = 4 * 1024 * 1024;

/// Conflicts and duplicates after which a command is given up. Two owners in turns cost each other one
/// attempt a round, and duplicates one in all, since the next round knows them; more than this means
/// that the room is being fought over.
const ATTEMPTS: u8 = 8;

/// One room, as its owner runs it.
#[derive(Debug)]
pub struct RoomCore {
    room: RoomId,
    limits: RoomLimits,
    phase: Phase,
    /// `None` when the room does not exist, or is not loaded.
    state: Option<RoomState>,
    recent: Recent,
    queue: VecDeque<Command>,
    queued_bytes: usize,
    /// So many commands at the front were in a batch that came back. They are planned before the others
    /// and without them: what joins them could bring one more duplicate each time.
    again: usize,
    /// The last event that the bus was told of, once an append's outcome was not known.
    announced: Option<Seq>,
    effects: VecDeque<Effect>,
}

#[derive(Debug)]
enum Phase {
    Unloaded,
    Loading,
    Announcing,
    Ready,
    /// The first so many commands of the queue wait for facts.
    Fetching(usize),
    Appending(Box<Batch>),
}

impl RoomCore {
    /// A room that nothing is known of yet.
    #[must_use]
    pub fn new(room: RoomId, limits: RoomLimits) -> Self {
        Self {
            room,
            limits,
            phase: Phase::Unloaded,
            state: None,
            recent: Recent::default(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            again: 0,
            announced: None,
            effects: VecDeque::new(),
        }
    }

    /// Takes a command; its reply is an effect, now or later.
    pub fn handle_command(&mut self, command: Command) {
        let bytes = command.bytes();
        if self.queue.len() >= QUEUE_COMMANDS || self.queued_bytes + bytes > QUEUE_BYTES {
            self.reply(command.ticket, Err(ChatError::Overloaded));
            return;
        }
        self.queued_bytes += bytes;
        self.queue.push_back(command);
    }

    /// Takes what the store has of the room.
    pub fn handle_loaded(&mut self, loaded: Result<Option<RoomRecord>, StoreError>) {
        debug_assert!(matches!(self.phase, Phase::Loading), "a load was asked for");
        match loaded {
            Ok(record) => {
                self.state = record.map(RoomState::new);
                self.recent = Recent::default();
                let head = self.state.as_ref().map(|state| state.head.seq);
                self.phase = match self.announced.take() {
                    Some(after) if head.is_some_and(|head| head > after) => {
                        self.effects.push_back(Effect::Announce { after });
                        Phase::Announcing
                    }
                    Some(_) | None => Phase::Ready,
                };
            }
            Err(error) => {
                self.phase = Phase::Unloaded;
                // The bus may lose; trying again by itself would hammer a store that is down.
                self.announced = None;
                self.refuse_first(self.queue.len(), &refusal(error));
            }
        }
    }

    /// The bus was told of what had been appended without anybody knowing.
    pub fn handle_announced(&mut self) {
        debug_assert!(
            matches!(self.phase, Phase::Announcing),
            "an announcement was asked for"
        );
        self.phase = Phase::Ready;
    }

    /// Takes what was looked up.
    pub fn handle_facts(&mut self, facts: Result<Facts, StoreError>) {
        let Phase::Fetching(waiting) = std::mem::replace(&mut self.phase, Phase::Ready) else {
            unreachable!("facts come in the phase that asked for them");
        };
        let facts = match facts {
            Ok(facts) => facts,
            Err(error) => return self.refuse_first(waiting, &refusal(error)),
        };
        for command in self.queue.iter_mut().take(waiting) {
            command.learn(&facts);
        }
        for (user, part) in facts.members {
            self.recent.learn_part(user, part);
        }
        for (seq, fact) in facts.messages {
            self.recent.learn_message(seq, fact);
        }
    }

    /// Takes what became of an append, together with what was to be appended.
    pub fn handle_appended(&mut self, append: Append, outcome: Result<Appended, StoreError>) {
        let Phase::Appending(batch) = std::mem::replace(&mut self.phase, Phase::Ready) else {
            unreachable!("an append ends in the phase that asked for it");
        };
        match outcome {
            Ok(Appended::Committed) => self.committed(*batch, append.events),
            Ok(Appended::Duplicate(firsts)) => {
                let commands = self.roll_back(*batch);
                self.plan_again(commands, &firsts);
            }
            Ok(Appended::Conflict) => {
                let commands = self.roll_back(*batch);
                self.unload(append.expected);
                self.plan_again(commands, &[]);
            }
            Err(error) => {
                for command in self.roll_back(*batch) {
                    self.reply(command.ticket, Err(refusal(error)));
                }
                if error == StoreError::Unknown {
                    self.unload(append.expected);
                }
            }
        }
    }

    /// The next thing to be done, if there is one now.
    pub fn poll_effect(&mut self, now: UnixMs) -> Option<Effect> {
        if self.effects.is_empty() {
            match self.phase {
                // After an unknown outcome also without a command: the bus may have to be told.
                Phase::Unloaded if !self.queue.is_empty() || self.announced.is_some() => {
                    self.phase = Phase::Loading;
                    self.effects.push_back(Effect::Load);
                }
                Phase::Ready if !self.queue.is_empty() => self.advance(now),
                Phase::Unloaded
                | Phase::Ready
                | Phase::Loading
                | Phase::Announcing
                | Phase::Fetching(_)
                | Phase::Appending(_) => {}
            }
        }
        self.effects.pop_front()
    }

    /// Whether it can be forgotten: nothing waits, nothing is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty()
            && self.effects.is_empty()
            && self.announced.is_none()
            && matches!(self.phase, Phase::Unloaded | Phase::Ready)
    }

    /// Whether the room exists, as far as is known.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.state.is_none()
    }

    /// Asks for what the waiting commands need, or makes a batch of them.
    fn advance(&mut self, now: UnixMs) {
        let waiting = self.queue.len().min(BATCH_EVENTS);
        let mut wanted = Wanted::default();
        for command in self.queue.iter().take(waiting) {
            wanted.add(wants(self.state.as_ref(), &self.recent, command));
        }
        if wanted.is_empty() {
            self.plan(now);
        } else {
            self.fetch(waiting, wanted);
        }
    }

    fn fetch(&mut self, waiting: usize, wanted: Wanted) {
        self.phase = Phase::Fetching(waiting);
        self.effects
            .push_back(Effect::Fetch(wanted.without_doubles()));
    }

    /// Decides commands from the front of the queue until a batch is full, something is unknown, or
    /// none is left that may be in this batch.
    fn plan(&mut self, now: UnixMs) {
        let mut making = Making {
            room: &self.room,
            now: now.max(self.state.as_ref().map_or(now, |state| state.time)),
            events: Vec::new(),
            bytes: 0,
            batch: Batch {
                before: self.state.clone(),
                commands: Vec::new(),
                cids: BTreeMap::new(),
            },
        };
        let mut needs = None;
        let most = if self.again > 0 {
            self.again
        } else {
            self.queue.len()
        };
        while let Some(command) = self.queue.front() {
            if making.batch.commands.len() >= most {
                break;
            }
            let scene = Scene {
                state: self.state.as_ref(),
                recent: &self.recent,
                batch_cids: &|key| making.batch.cids.get(key).copied(),
                limits: &self.limits,
                now,
            };
            let decision = decide(&scene, command);
            if let Decision::Needs(wanted) = decision {
                needs = Some(*wanted);
                break;
            }
            if making.is_full_for(&decision) {
                break;
            }
            let command = self
                .queue
                .pop_front()
                .expect("the front was just looked at");
            self.queued_bytes -= command.bytes();
            making.add(command, decision, &mut self.state, &mut self.recent);
        }
        let Making { events, batch, .. } = making;
        self.again = self.again.saturating_sub(batch.commands.len());
        if let Some(state) = self.state.as_ref().filter(|_| !events.is_empty()) {
            let append = Append {
                room: self.room.clone(),
                epoch: state.head.epoch,
                expected: batch
                    .before
                    .as_ref()
                    .map_or(Seq::ZERO, |before| before.head.seq),
                events,
                counts: state.counts,
            };
            self.phase = Phase::Appending(Box::new(batch));
            self.effects.push_back(Effect::Append(append));
            return;
        }
        // Nothing changes, so nothing has to be waited for.
        self.answer(batch.commands);
        self.recent.keep();
        if let Some(wanted) = needs {
            self.fetch(1, wanted);
        }
    }

    fn committed(&mut self, batch: Batch, events: Vec<Event>) {
        for (key, first) in batch.cids {
            self.recent.learn_cid(key, first);
        }
        let changes = self.changes(&events);
        self.answer(batch.commands);
        self.recent.keep();
        let room = self.room.clone();
        self.effects.push_back(Effect::Publish(Published {
            room,
            events,
            changes,
        }));
    }

    fn changes(&self, events: &[Event]) -> Vec<MemberChange> {
        let Some(state) = &self.state else {
            return Vec::new();
        };
        let change = |event: &Event| match &event.body {
            EventBody::Member { user, .. } => Some(MemberChange {
                user: user.id.clone(),
                info: state.info(&self.room, &user.id, self.recent.part(&user.id).flatten()),
                version: event.position.seq,
            }),
            EventBody::Posted { .. }
            | EventBody::Edited { .. }
            | EventBody::Deleted { .. }
            | EventBody::ClipChanged { .. }
            | EventBody::Created { .. } => None,
        };
        events.iter().filter_map(change).collect()
    }

    fn answer(&mut self, commands: Vec<(Command, Outcome)>) {
        for (command, outcome) in commands {
            let result = match (outcome, &self.state) {
                (Outcome::Refused(error), _) => Err(error),
                (Outcome::Position(seq, time, dup), Some(state)) => {
                    Ok(Written::Committed(Committed {
                        room: self.room.clone(),
                        position: Position {
                            epoch: state.head.epoch,
                            seq,
                        },
                        time,
                        dup: dup == Dup::Yes,
                    }))
                }
                (Outcome::Room, Some(state)) => {
                    let user = &command.actor.user.id;
                    let part = self.recent.part(user).flatten();
                    Ok(Written::Room(Box::new(state.info(&self.room, user, part))))
                }
                (Outcome::Position(..) | Outcome::Room, None) => {
                    unreachable!("only a refusal comes of a room that does not exist")
                }
            };
            self.reply(command.ticket, result);
        }
    }

    /// As before the batch; gives its commands back.
    fn roll_back(&mut self, batch: Batch) -> Vec<Command> {
        self.state = batch.before;
        self.recent.roll_back();
        batch
            .commands
            .into_iter()
            .map(|(command, _)| command)
            .collect()
    }

    /// What is in memory is not what the store has: it is loaded anew before the next command.
    fn unload(&mut self, told: Seq) {
        self.phase = Phase::Unloaded;
        self.state = None;
        self.recent = Recent::default();
        self.announced = Some(told);
    }

    /// Puts commands back in front, in their order, with what was learned of their cids.
    fn plan_again(&mut self, commands: Vec<Command>, firsts: &[(CidKey, FirstResult)]) {
        for mut command in commands.into_iter().rev() {
            command.attempts += 1;
            if command.attempts >= ATTEMPTS {
                self.reply(command.ticket, Err(ChatError::Unavailable));
                continue;
            }
            if let Some((cid, _)) = command.write.cid() {
                let key = (command.actor.user.id.clone(), cid);
                if let Some((_, first)) = firsts.iter().find(|(found, _)| *found == key) {
                    command.first = Some(Some(*first));
                }
            }
            self.queued_bytes += command.bytes();
            self.queue.push_front(command);
            self.again += 1;
        }
    }

    fn refuse_first(&mut self, count: usize, error: &ChatError) {
        self.again = self.again.saturating_sub(count);
        for command in self.queue.drain(..count).collect::<Vec<_>>() {
            self.queued_bytes -= command.bytes();
            self.reply(command.ticket, Err(error.clone()));
        }
    }

    fn reply(&mut self, ticket: Ticket, result: Result<Written, ChatError>) {
        self.effects.push_back(Effect::Reply(ticket, result));
    }
}

fn refusal(error: StoreError) -> ChatError {
    match error {
        StoreError::Overloaded => ChatError::Overloaded,
        StoreError::Failed | StoreError::Unknown => ChatError::Unavailable,
    }
}
