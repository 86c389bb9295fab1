//! A seeded simulation of a room's owners over a store that fails.
//!
//! Two owners (nodes) run the same rooms over one store, each with cores of its own, as after a
//! failed hand-over. People send, send again with the same cid, edit, delete, join and leave through
//! either. Appends time out before or after they happened, or happen later; owners crash and start
//! with nothing. Afterwards:
//!
//! - every log is dense, its times never go back, and its projection is its fold;
//! - whatever was acknowledged is in the log, where and when it was said to be;
//! - no cid is in a log twice;
//! - every event was allowed where it stands;
//! - each owner published in order, and everything that it published is in the log as published.
//!
//! `KAIWA_SEEDS` is the number of seeds; a failure names its seed.

use crate::support::{NOW, cid, text, user, user_id, view};
use futures_util::FutureExt as _;
use kaiwa_chat::adapters::memory::MemoryStore;
use kaiwa_chat::core::projection::Projection;
use kaiwa_chat::core::{Command, Effect, RoomCore, RoomLimits, Ticket};
use kaiwa_chat::error::ChatError;
use kaiwa_chat::model::{
    Actor, ClipShown, Event, EventBody, HistoryFrom, Membership, Mentions, Message, NewRoom, Role,
    RoomKind, User, Visibility, Write, Written,
};
use kaiwa_chat::ports::{
    Append, Appended, Facts, LogRange, RoomLog as _, RoomRecord, RoomViews as _, StoreError,
};
use kaiwa_common::id::{Cid, RoomId, UserId};
use kaiwa_common::limits::Limits;
use kaiwa_common::position::Seq;
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;
use kaiwa_common::token::ServerRole;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

const PEOPLE: usize = 4;
const ROOMS: usize = 2;
const OWNERS: usize = 2;
const STEPS: usize = 900;

#[test]
fn owners_that_crash_and_stores_that_time_out_break_no_promise() {
    let seeds = std::env::var("KAIWA_SEEDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(150);
    let mut seen = Seen::default();
    for seed in 0..seeds {
        World::new(seed).run(&mut seen);
    }
    println!("{seeds} seeds: {seen:?}");
    // What this is about has happened; else the simulation shows nothing.
    assert!(
        seen.dups > 0 && seen.conflicts > 0 && seen.unknown > 0 && seen.late > 0,
        "{seen:?}"
    );
    assert!(
        seen.crashes > 0 && seen.announced > 0 && seen.refused > 0,
        "{seen:?}"
    );
}

/// What happened over all seeds.
#[derive(Debug, Default)]
struct Seen {
    events: usize,
    acknowledged: usize,
    dups: usize,
    refused: usize,
    conflicts: usize,
    unknown: usize,
    late: usize,
    crashes: usize,
    announced: usize,
}

/// An answer of the store on its way back.
enum Answer {
    Loaded(Result<Option<RoomRecord>, StoreError>),
    Facts(Result<Facts, StoreError>),
    Appended(Append, Result<Appended, StoreError>),
    Announced(Vec<Event>),
}

struct Owner {
    room: usize,
    core: RoomCore,
    answer: Option<Answer>,
    published: Vec<Event>,
}

/// A write that somebody keeps trying until they know.
#[derive(Clone)]
struct Wish {
    person: usize,
    room: usize,
    write: Write,
}

struct World {
    seed: u64,
    chance: u64,
    now: UnixMs,
    store: MemoryStore,
    rooms: Vec<RoomId>,
    owners: Vec<Owner>,
    /// Appends that timed out and may still happen.
    late: Vec<Append>,
    wishes: BTreeMap<Ticket, Wish>,
    unsure: Vec<Wish>,
    /// What was acknowledged: whose cid, where, when.
    acknowledged: Vec<(usize, UserId, Cid, Seq, UnixMs)>,
    next: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let store = MemoryStore::new();
        for person in 0..PEOPLE {
            store
                .seen(&user(&name(person)))
                .now_or_never()
                .unwrap()
                .unwrap();
        }
        let rooms: Vec<_> = (0..ROOMS)
            .map(|room| RoomId::from_uuid(Uuid::from_u128(room as u128)))
            .collect();
        let owner = |index: usize| Owner {
            room: index % ROOMS,
            core: new_core(&rooms[index % ROOMS]),
            answer: None,
            published: Vec::new(),
        };
        let owners = (0..OWNERS * ROOMS).map(owner).collect();
        Self {
            seed,
            chance: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5eed,
            now: NOW,
            store,
            rooms,
            owners,
            late: Vec::new(),
            wishes: BTreeMap::new(),
            unsure: Vec::new(),
            acknowledged: Vec::new(),
            next: seed << 20,
        }
    }

    fn run(mut self, seen: &mut Seen) {
        for _ in 0..STEPS {
            // Now and then the clock is set back.
            let back = if self.below(8) == 0 { 300 } else { 0 };
            self.now = UnixMs(self.now.0 + i64::try_from(self.below(60)).unwrap() - back);
            match self.below(20) {
                0..=7 => self.wish_anew(),
                8..=9 => self.wish_again(),
                10 if self.below(4) == 0 => self.crash(seen),
                11 => self.let_a_late_append_happen(seen),
                _ => self.let_an_owner_work(true, seen),
            }
        }
        // The faults end; everybody who waits is answered.
        for _ in 0..10_000 {
            self.let_an_owner_work(false, seen);
        }
        assert!(
            self.wishes.is_empty(),
            "seed {}: {} unanswered",
            self.seed,
            self.wishes.len()
        );
        self.check(seen);
    }

    /// SplitMix64.
    fn next_chance(&mut self) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.chance ^ (self.chance >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next_chance() % bound
    }

    fn pick(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).unwrap()
    }

    fn wish_anew(&mut self) {
        let person = self.pick(PEOPLE);
        let room_index = self.pick(ROOMS);
        let room = self.rooms[room_index].clone();
        self.next += 1;
        let cid = cid(self.next);
        let target = Seq(1 + self.below(14));
        let other = user_id(&name(self.pick(PEOPLE)));
        let says = || text(&format!("{cid}"));
        // One clip of each person, so that views meet the message that shows theirs.
        let clip = |person: usize| u64::try_from(person).unwrap() + 1;
        let posted = view(clip(person), self.below(40), ClipShown::Uploading);
        let (whose, version) = (self.pick(PEOPLE), self.below(40));
        let shown = view(clip(whose), version, ClipShown::Processing);
        let write = match self.below(28) {
            0..=2 => Write::Create(NewRoom {
                cid,
                kind: RoomKind::Group,
                title: "Tea".to_owned(),
                visibility: Visibility::Public,
                invite: vec![other],
            }),
            3..=6 => Write::Join { room },
            7 => Write::Leave { room },
            8 => Write::Remove { room, user: other },
            9 => Write::SetRole {
                room,
                user: other,
                role: Role::Moderator,
            },
            10 => Write::Invite { room, user: other },
            11..=13 => Write::Edit {
                room,
                cid,
                target,
                text: says(),
                mentions: named(&other),
            },
            14..=15 => Write::Delete { room, cid, target },
            24 => Write::PostClip {
                room,
                clip: Box::new(posted),
                after: None,
            },
            25..=26 => Write::ShowClip {
                room,
                target,
                clip: Box::new(shown),
            },
            27 => Write::RemoveClip { room, target },
            16 => Write::Send {
                room,
                cid,
                text: says(),
                reply_to: Some(target),
                mentions: named(&other),
            },
            _ => Write::Send {
                room,
                cid,
                text: says(),
                reply_to: None,
                mentions: Mentions::default(),
            },
        };
        self.submit(Wish {
            person,
            room: room_index,
            write,
        });
    }

    /// Somebody did not get an answer, or did not hear it, and tries again.
    fn wish_again(&mut self) {
        if self.unsure.is_empty() {
            return;
        }
        let index = self.pick(self.unsure.len());
        let wish = self.unsure.swap_remove(index);
        self.submit(wish);
    }

    fn submit(&mut self, wish: Wish) {
        self.next += 1;
        let ticket = Ticket(self.next);
        let actor = Actor {
            user: user(&name(wish.person)),
            role: ServerRole::Creator,
        };
        let owner = self.pick(OWNERS) * ROOMS + wish.room;
        self.owners[owner]
            .core
            .handle_command(Command::new(ticket, actor, wish.write.clone()));
        self.wishes.insert(ticket, wish);
    }

    /// A process ends: what it had in memory is gone, and so are its answers.
    fn crash(&mut self, seen: &mut Seen) {
        seen.crashes += 1;
        let index = self.pick(self.owners.len());
        let room = self.owners[index].room;
        // An append under way has reached the store already, or is still on its way.
        self.owners[index].core = new_core(&self.rooms[room]);
        self.owners[index].answer = None;
        let lost: Vec<Ticket> = self
            .wishes
            .iter()
            .filter(|(_, wish)| wish.room == room)
            .map(|(t, _)| *t)
            .collect();
        // Who waited for the other owner may give up as well: nobody can tell from outside.
        for ticket in lost {
            self.unsure.extend(self.wishes.remove(&ticket));
        }
    }

    fn let_a_late_append_happen(&mut self, seen: &mut Seen) {
        if let Some(append) = self.late.pop() {
            let outcome = self.store.append(&append).now_or_never().unwrap();
            seen.late += usize::from(outcome == Ok(Appended::Committed));
        }
    }

    fn let_an_owner_work(&mut self, faults: bool, seen: &mut Seen) {
        let index = self.pick(self.owners.len());
        if let Some(answer) = self.owners[index].answer.take() {
            let core = &mut self.owners[index].core;
            match answer {
                Answer::Loaded(loaded) => core.handle_loaded(loaded),
                Answer::Facts(facts) => core.handle_facts(facts),
                Answer::Appended(append, outcome) => core.handle_appended(append, outcome),
                Answer::Announced(events) => {
                    seen.announced += events.len();
                    self.owners[index].published.extend(events);
                    self.owners[index].core.handle_announced();
                }
            }
        }
        let now = self.now;
        while let Some(effect) = self.owners[index].core.poll_effect(now) {
            self.perform(index, effect, faults, seen);
        }
    }

    fn perform(&mut self, index: usize, effect: Effect, faults: bool, seen: &mut Seen) {
        let room = self.rooms[self.owners[index].room].clone();
        let fails = faults && self.below(12) == 0;
        let answer = match effect {
            Effect::Reply(ticket, result) => return self.replied(ticket, result, seen),
            Effect::Publish(published) => {
                self.owners[index].published.extend(published.events);
                return;
            }
            Effect::Load if fails => Answer::Loaded(Err(StoreError::Failed)),
            Effect::Load => Answer::Loaded(self.store.load(&room).now_or_never().unwrap()),
            Effect::Fetch(_) if fails => Answer::Facts(Err(StoreError::Failed)),
            Effect::Fetch(wanted) => {
                Answer::Facts(self.store.facts(&room, wanted).now_or_never().unwrap())
            }
            Effect::Append(append) => {
                let outcome = self.append(&append, faults);
                seen.unknown += usize::from(outcome == Err(StoreError::Unknown));
                seen.conflicts += usize::from(outcome == Ok(Appended::Conflict));
                Answer::Appended(append, outcome)
            }
            Effect::Announce { after } => Answer::Announced(self.read(&room, after)),
        };
        self.owners[index].answer = Some(answer);
    }

    /// An append: done, refused, or without an answer after it was done, before, or instead.
    fn append(&mut self, append: &Append, faults: bool) -> Result<Appended, StoreError> {
        match self.below(if faults { 16 } else { 1 << 40 }) {
            1 => {
                let _ = self.store.append(append).now_or_never();
                Err(StoreError::Unknown)
            }
            2 => Err(StoreError::Unknown),
            3 => {
                self.late.push(append.clone());
                Err(StoreError::Unknown)
            }
            4 => Err(StoreError::Failed),
            5 => Err(StoreError::Overloaded),
            _ => self.store.append(append).now_or_never().unwrap(),
        }
    }

    fn replied(&mut self, ticket: Ticket, result: Result<Written, ChatError>, seen: &mut Seen) {
        // A reply to somebody who has given up is not heard.
        let Some(wish) = self.wishes.remove(&ticket) else {
            return;
        };
        match result {
            Ok(Written::Committed(committed)) => {
                seen.dups += usize::from(committed.dup);
                seen.acknowledged += 1;
                if let Some((cid, _)) = wish.write.cid() {
                    let who = user_id(&name(wish.person));
                    let seq = committed.position.seq;
                    self.acknowledged
                        .push((wish.room, who, cid, seq, committed.time));
                }
                // A reply may be lost on its way to the client, which then tries again.
                if self.below(4) == 0 {
                    self.unsure.push(wish);
                }
            }
            Ok(Written::Room(_)) => seen.acknowledged += 1,
            Err(ChatError::Unavailable | ChatError::Overloaded) => self.unsure.push(wish),
            Err(_) => seen.refused += 1,
        }
    }

    fn read(&self, room: &RoomId, after: Seq) -> Vec<Event> {
        let range = LogRange {
            room: room.clone(),
            after,
            limit: usize::MAX,
        };
        let slices = self
            .store
            .read_logs(&user_id("x"), vec![range])
            .now_or_never()
            .unwrap();
        slices.unwrap().pop().unwrap().events
    }

    fn check(&self, seen: &mut Seen) {
        let seed = self.seed;
        for (index, room) in self.rooms.iter().enumerate() {
            let log = self.read(room, Seq::ZERO);
            seen.events += log.len();
            for (event, seq) in log.iter().zip(1..) {
                assert_eq!(event.position.seq, Seq(seq), "seed {seed}: a hole");
            }
            assert!(
                log.is_sorted_by_key(|event| event.time),
                "seed {seed}: time went back"
            );
            let keys: Vec<_> = log
                .iter()
                .filter_map(|e| e.cid.map(|cid| (e.sender.clone(), cid)))
                .collect();
            let distinct: BTreeSet<_> = keys.iter().collect();
            assert_eq!(keys.len(), distinct.len(), "seed {seed}: a cid twice");
            self.check_acknowledged(index, &log);
            self.check_published(index, &log);
            self.check_projection(room, &log);
            self.check_rules(&log);
        }
    }

    fn check_acknowledged(&self, room: usize, log: &[Event]) {
        for (_, who, cid, seq, time) in self.acknowledged.iter().filter(|told| told.0 == room) {
            let event = log.iter().find(|event| event.position.seq == *seq);
            let found = event.map(|event| (&event.sender, event.cid, event.time));
            assert_eq!(
                found,
                Some((who, Some(*cid), *time)),
                "seed {}: {seq}",
                self.seed
            );
        }
    }

    /// An owner may say something twice after a crash or a time-out, and may lose; but what it says is
    /// so, and within one life it says it in order.
    fn check_published(&self, room: usize, log: &[Event]) {
        for owner in self.owners.iter().filter(|owner| owner.room == room) {
            for event in &owner.published {
                let index = usize::try_from(event.position.seq.0).unwrap() - 1;
                let committed = &log[index];
                let same = (&event.sender, event.cid, event.time)
                    == (&committed.sender, committed.cid, committed.time);
                assert!(same, "seed {}: published what is not so", self.seed);
            }
        }
    }

    fn check_projection(&self, room: &RoomId, log: &[Event]) {
        let Some(fold) = Projection::fold(log) else {
            assert!(
                log.is_empty(),
                "seed {}: a log without its creation",
                self.seed
            );
            return;
        };
        let nobody = user_id("x");
        let all = self
            .store
            .history(&nobody, room, HistoryFrom::Newest, usize::MAX);
        let (_, page) = all.now_or_never().unwrap().unwrap().unwrap();
        let nameless = |m: Message| Message {
            sender: User {
                id: m.sender.id,
                name: Redacted::default(),
            },
            ..m
        };
        let messages: Vec<_> = page.messages.into_iter().map(nameless).collect();
        assert_eq!(
            messages,
            fold.messages.into_values().collect::<Vec<_>>(),
            "seed {}",
            self.seed
        );
        let counts = fold.counts;
        assert!(
            counts.owners > 0 || counts.joined == 0,
            "seed {}: no owner",
            self.seed
        );
        let erased = |seq: &Seq| {
            let event = &log[usize::try_from(seq.0).unwrap() - 1];
            matches!(
                &event.body,
                EventBody::Posted { text: None, .. } | EventBody::Edited { text: None, .. }
            )
        };
        for event in log {
            if let EventBody::Deleted { target } = &event.body {
                assert!(erased(target), "seed {}: {target} is not erased", self.seed);
            }
        }
    }
}

impl World {
    /// Every event was allowed where it stands in the log, whatever its owner had remembered.
    fn check_rules(&self, log: &[Event]) {
        let Some((first, rest)) = log.split_first() else {
            return;
        };
        let mut room = Projection::created(first).unwrap();
        for event in rest {
            let part = room.members.get(&event.sender);
            let acts_as = part
                .filter(|part| part.membership == Membership::Joined)
                .map(|p| p.role);
            let message = |target: &Seq| room.messages.get(target).filter(|m| m.deleted.is_none());
            let own = |m: &Message| m.sender.id == event.sender;
            let allowed = match &event.body {
                EventBody::Posted { .. } => acts_as >= Some(Role::Member),
                EventBody::Edited { target, .. } => {
                    acts_as >= Some(Role::Member) && message(target).is_some_and(own)
                }
                EventBody::Deleted { target } => {
                    let moderates = acts_as >= Some(Role::Moderator);
                    // Without a cid the server did it, in the name of the clip's uploader.
                    (event.cid.is_none() && message(target).is_some_and(own))
                        || acts_as.is_some() && message(target).is_some_and(|m| own(m) || moderates)
                }
                EventBody::ClipChanged { target, clip } => message(target).is_some_and(|m| {
                    let is_newer = match (clip, &m.clip) {
                        (Some(new), Some(old)) => new.clip == old.clip && new.version > old.version,
                        (None, None) => true,
                        _ => false,
                    };
                    own(m) && is_newer
                }),
                EventBody::Member {
                    user,
                    membership: Membership::Left,
                    ..
                } => room.members.contains_key(&user.id),
                EventBody::Member {
                    user,
                    membership: Membership::Invited,
                    ..
                } => !room.members.contains_key(&user.id) || acts_as == Some(Role::Owner),
                EventBody::Member { user, .. } => {
                    user.id == event.sender || acts_as == Some(Role::Owner)
                }
                EventBody::Created { .. } => false,
            };
            assert!(allowed, "seed {}: {event:?} was not allowed", self.seed);
            room.apply(event);
        }
    }
}

fn name(person: usize) -> String {
    format!("person{person}")
}

fn new_core(room: &RoomId) -> RoomCore {
    RoomCore::new(room.clone(), RoomLimits::from(&Limits::default()))
}

/// A message that names one person.
fn named(user: &UserId) -> Mentions {
    Mentions {
        users: vec![user.clone()],
        all: false,
    }
}
