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

use super::cache::Recent;
use super::decide::{Decision, ReplyWith, Scene, decide, wants};
use super::state::RoomState;
use crate::bus::{MemberChange, Published};
use crate::error::ChatError;
use crate::model::{Actor, Committed, Event, EventBody, User, Write, Written};
use crate::ports::{
    Append, Appended, CidKey, Facts, FirstResult, RoomRecord, StoreError, UserFact, Wanted,
    WriteKind,
};
use kaiwa_common::id::{Cid, RoomId, UserId};
use kaiwa_common::limits::Limits;
use kaiwa_common::position::{Epoch, Position, Seq};
use kaiwa_common::time::UnixMs;
use std::collections::{BTreeMap, VecDeque};

/// Names a command until it is answered; chosen by the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// A command in a room's queue.
#[derive(Debug)]
pub struct Command {
    /// Where the answer goes.
    pub ticket: Ticket,
    /// Who commands.
    pub actor: Actor,
    /// What.
    pub write: Write,
    /// The people that it names, once they were looked up.
    pub(super) users: BTreeMap<UserId, Option<UserFact>>,
    /// What the store says of its cid, once it was asked.
    pub(super) first: Option<Option<FirstResult>>,
    /// How often it had to be planned again.
    attempts: u8,
}

impl Command {
    /// A command that has just arrived.
    #[must_use]
    pub fn new(ticket: Ticket, actor: Actor, write: Write) -> Self {
        Self {
            ticket,
            actor,
            write,
            users: BTreeMap::new(),
            first: None,
            attempts: 0,
        }
    }

    fn bytes(&self) -> usize {
        match &self.write {
            Write::Send { text, .. } | Write::Edit { text, .. } => text.0.len() + COMMAND_BYTES,
            Write::Create(_)
            | Write::Delete { .. }
            | Write::OpenDirect { .. }
            | Write::Join { .. }
            | Write::Leave { .. }
            | Write::Invite { .. }
            | Write::Remove { .. }
            | Write::SetRole { .. } => COMMAND_BYTES,
        }
    }
}

/// What has to be done. The shell does it, and for the first three comes back with the result.
#[derive(Debug)]
pub enum Effect {
    /// Load the room; then [`RoomCore::handle_loaded`].
    Load,
    /// Look things up; then [`RoomCore::handle_facts`].
    Fetch(Wanted),
    /// Append; then [`RoomCore::handle_appended`].
    Append(Append),
    /// Read what was appended after this place without anybody being told, and tell the bus; then
    /// [`RoomCore::handle_announced`].
    Announce {
        /// The last event that the bus knows.
        after: Seq,
    },
    /// Answer a command.
    Reply(Ticket, Result<Written, ChatError>),
    /// Tell the bus.
    Publish(Published),
}

/// The bounds that a room's rules need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomLimits {
    /// See [`Limits::text_bytes`].
    pub text_bytes: u32,
    /// See [`Limits::room_members`].
    pub room_members: u32,
    /// See [`Limits::rooms_per_user`].
    pub rooms_per_user: u32,
}

impl From<&Limits> for RoomLimits {
    fn from(limits: &Limits) -> Self {
        Self {
            text_bytes: limits.text_bytes,
            room_members: limits.room_members,
            rooms_per_user: limits.rooms_per_user,
        }
    }
}

/// Commands that may wait in one room; another one is refused. Some seconds of the fastest disk's work
/// for one room; beyond that an answer comes too late to be of use.
const QUEUE_COMMANDS: usize = 4_096;

/// Bytes of text that may wait in one room, so that long texts cannot take all memory.
const QUEUE_BYTES: usize = 4 * 1024 * 1024;

/// Events in one append. The store's transaction holds many appends, so more gives nothing.
const BATCH_EVENTS: usize = 256;

/// Bytes in one append.
const BATCH_BYTES: usize = 512 * 1024;

/// What a command weighs beside its text.
const COMMAND_BYTES: usize = 256;

/// Conflicts and duplicates after which a command is given up. Two owners in turns cost each other one
/// attempt a round; more than this means that the room is being fought over.
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

/// Commands on their way to the store.
#[derive(Debug)]
struct Batch {
    /// The state to go back to.
    before: Option<RoomState>,
    commands: Vec<(Command, Outcome)>,
    cids: BTreeMap<CidKey, FirstResult>,
}

/// What a command's reply will be once its batch is on disk.
#[derive(Debug)]
enum Outcome {
    Position(Seq, UnixMs, Dup),
    Room,
    Refused(ChatError),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dup {
    No,
    Yes,
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
            if let Some((cid, _)) = command.write.cid() {
                let key = (command.actor.user.id.clone(), cid);
                command.first = facts.cids.get(&key).copied().or(command.first);
            }
            command.users.extend(named_users(command, &facts));
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
    /// none is left.
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
        while let Some(command) = self.queue.front() {
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
        }
    }

    fn refuse_first(&mut self, count: usize, error: &ChatError) {
        for command in self.queue.drain(..count).collect::<Vec<_>>() {
            self.queued_bytes -= command.bytes();
            self.reply(command.ticket, Err(error.clone()));
        }
    }

    fn reply(&mut self, ticket: Ticket, result: Result<Written, ChatError>) {
        self.effects.push_back(Effect::Reply(ticket, result));
    }
}

/// A batch in the making.
struct Making<'a> {
    room: &'a RoomId,
    /// The time of its events: the present, but never before the newest event's.
    now: UnixMs,
    events: Vec<Event>,
    bytes: usize,
    batch: Batch,
}

impl Making<'_> {
    /// Whether this decision has to go into the next batch. One batch changes nobody's part twice, so
    /// that each change is told with the room as it was right after it.
    fn is_full_for(&self, decision: &Decision) -> bool {
        let Decision::Change { bodies, .. } = decision else {
            return self.batch.commands.len() >= QUEUE_COMMANDS;
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

    fn add(
        &mut self,
        command: Command,
        decision: Decision,
        state: &mut Option<RoomState>,
        recent: &mut Recent,
    ) {
        let outcome = match decision {
            Decision::Change { cid, bodies, reply } => {
                self.bytes += command.bytes();
                let seq = self.change(&command, (cid, bodies), state, recent);
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

    /// Makes the events of one command; gives the first one's place.
    fn change(
        &mut self,
        command: &Command,
        (cid, bodies): (Option<Cid>, Vec<EventBody>),
        state: &mut Option<RoomState>,
        recent: &mut Recent,
    ) -> Seq {
        let sender = &command.actor.user;
        let head = state.as_ref().map(|state| state.head);
        let first = head.map_or(Seq(1), |head| head.seq.next());
        let epoch = head.map_or(FIRST_EPOCH, |head| head.epoch);
        if let (Some(cid), Some((_, kind))) = (cid, command.write.cid()) {
            let result = FirstResult {
                kind,
                seq: first,
                time: self.now,
            };
            self.batch.cids.insert((sender.id.clone(), cid), result);
        }
        let mut cid = cid;
        for (seq, body) in (first.0..).map(Seq).zip(bodies) {
            let event = Event {
                room: self.room.clone(),
                position: Position { epoch, seq },
                time: self.now,
                sender: sender.id.clone(),
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
        | EventBody::Created { .. } => None,
    }
}

/// Those of the people found that a command asked for.
fn named_users(command: &Command, facts: &Facts) -> Vec<(UserId, Option<UserFact>)> {
    let mut named = vec![&command.actor.user.id];
    match &command.write {
        Write::OpenDirect { peer: user }
        | Write::Invite { user, .. }
        | Write::Remove { user, .. }
        | Write::SetRole { user, .. } => named.push(user),
        Write::Create(new) => named.extend(&new.invite),
        Write::Send { .. }
        | Write::Edit { .. }
        | Write::Delete { .. }
        | Write::Join { .. }
        | Write::Leave { .. } => {}
    }
    let found = |id: &UserId| facts.users.get(id).map(|fact| (id.clone(), fact.clone()));
    named.into_iter().filter_map(found).collect()
}

fn refusal(error: StoreError) -> ChatError {
    match error {
        StoreError::Overloaded => ChatError::Overloaded,
        StoreError::Failed | StoreError::Unknown => ChatError::Unavailable,
    }
}

impl WriteKind {
    /// The kind of write that makes such an event, if it carries a cid.
    #[must_use]
    pub fn of(body: &EventBody) -> Option<Self> {
        match body {
            EventBody::Posted { .. } => Some(Self::Send),
            EventBody::Edited { .. } => Some(Self::Edit),
            EventBody::Deleted { .. } => Some(Self::Delete),
            EventBody::Created { .. } => Some(Self::Create),
            EventBody::Member { .. } => None,
        }
    }
}
