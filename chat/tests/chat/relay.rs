//! A seeded simulation of the relay: crashes between publishing and saving, topics that fail, people who
//! acknowledge, read, leave, come back, and messages that are deleted.
//!
//! Afterwards, for every message and every person:
//!
//! - who was there and did nothing of it is told at least once, always with the same id;
//! - who wrote it, acknowledged, read or left within the grace is never told, nor is anybody of a message
//!   that was deleted within it.
//!
//! `KAIWA_SEEDS` is the number of seeds; a failure names its seed.

use crate::support::{NOW, cid, text, user_id};
use futures_util::FutureExt as _;
use kaiwa_chat::adapters::memory::MemoryStore;
use kaiwa_chat::core::projection::Projection;
use kaiwa_chat::core::relay::{Answered, Asked, Effect, Failed, Intent, RelayCore, Sent};
use kaiwa_chat::model::{Event, EventBody, Membership, Mentions, Role, RoomKind, User, Visibility};
use kaiwa_chat::ports::{
    Among, Append, Appended, Attention, LogPos, Marks as _, Outbox as _, RoomLog as _,
};
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::limits::{LARGE_ROOM, NOTIFY_GRACE, NOTIFY_RETURN};
use kaiwa_common::position::{Epoch, Position, Seq};
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use uuid::Uuid;

const PEOPLE: usize = 5;
const STEPS: usize = 400;

#[test]
fn whoever_is_away_is_told_and_nobody_else_whatever_crashes() {
    let seeds = std::env::var("KAIWA_SEEDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(150);
    let mut seen = Seen::default();
    for seed in 0..seeds {
        World::new(seed).run(&mut seen);
    }
    println!("{seeds} seeds: {seen:?}");
    assert!(
        seen.crashes > 0 && seen.repeats > 0 && seen.failures > 0 && seen.held > 0,
        "{seen:?}"
    );
    assert!(seen.told > 0 && seen.spared > 0, "{seen:?}");
}

#[derive(Debug, Default)]
struct Seen {
    crashes: u64,
    repeats: u64,
    failures: u64,
    held: u64,
    told: u64,
    spared: u64,
}

/// A message, and when what happened to it by whom.
#[derive(Debug, Default)]
struct Fate {
    time: UnixMs,
    sender: String,
    members: BTreeSet<String>,
    deleted: Option<UnixMs>,
    /// The first time that each person acknowledged, read or left.
    done: BTreeMap<String, UnixMs>,
}

struct World {
    seed: u64,
    chance: u64,
    now: UnixMs,
    store: MemoryStore,
    room: RoomId,
    fold: Option<Projection>,
    next_cid: u64,
    core: RelayCore,
    fates: BTreeMap<Seq, Fate>,
    /// Who waits for whose return, until when.
    returning: BTreeMap<String, UnixMs>,
    told: BTreeMap<(Seq, String), BTreeSet<Uuid>>,
    publications: BTreeMap<(Seq, String), u64>,
    seen: Seen,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            seed,
            chance: seed,
            now: NOW,
            store: MemoryStore::new(),
            room: RoomId::from_uuid(Uuid::from_u128(seed.into())),
            fold: None,
            next_cid: 0,
            core: RelayCore::new(LogPos(0)),
            fates: BTreeMap::new(),
            returning: BTreeMap::new(),
            told: BTreeMap::new(),
            publications: BTreeMap::new(),
            seen: Seen::default(),
        };
        world.append(
            "p0",
            EventBody::Created {
                kind: RoomKind::Group,
                title: "Tea".to_owned(),
                visibility: Visibility::Private,
            },
        );
        for person in 0..PEOPLE {
            world.join(&format!("p{person}"), Membership::Joined);
        }
        world
    }

    fn run(mut self, seen: &mut Seen) {
        for _ in 0..STEPS {
            match self.below(16) {
                0..=2 => self.post(),
                3 => self.delete(),
                4..=5 => self.acknowledge(),
                6 => self.mark(),
                7 => self.come_or_go(),
                8 => self.lose(),
                9 if self.below(4) == 0 => self.crash(),
                _ => {}
            }
            let pause = self.below(900);
            self.now = self.now.plus(Duration::from_millis(pause));
            self.relay(3, true);
        }
        // In the end all is well, and the time of all that is held is over.
        for _ in 0..200 {
            self.now = self.now.plus(Duration::from_secs(5));
            self.relay(1_000, false);
        }
        let end = self.store.end().now_or_never().unwrap().unwrap();
        assert_eq!(self.core.cursor(), end, "seed {}", self.seed);
        let saved = self.store.cursor().now_or_never().unwrap().unwrap();
        assert_eq!(saved, Some(end), "seed {}", self.seed);
        self.check();
        seen.crashes += self.seen.crashes;
        seen.repeats += self.publications.values().filter(|n| **n > 1).count() as u64;
        seen.failures += self.seen.failures;
        seen.held += self.seen.held + self.core.stats().held;
        seen.told += self.told.len() as u64;
        seen.spared += self.seen.spared;
    }

    fn check(&mut self) {
        for (seq, fate) in &self.fates {
            let grace = fate.time.plus(NOTIFY_GRACE);
            for person in (0..PEOPLE).map(|n| format!("p{n}")) {
                let told = self.told.get(&(*seq, person.clone()));
                let context = || format!("seed {} seq {seq} {person} {fate:?}", self.seed);
                let early = |at: &UnixMs| *at < grace;
                let spared = fate.sender == person
                    || !fate.members.contains(&person)
                    || fate.done.get(&person).is_some_and(early)
                    || fate.deleted.as_ref().is_some_and(early);
                if spared {
                    assert!(told.is_none(), "told though not to be: {}", context());
                    self.seen.spared += 1;
                } else if !fate.done.contains_key(&person) && fate.deleted.is_none() {
                    let told = told.unwrap_or_else(|| panic!("not told: {}", context()));
                    assert_eq!(told.len(), 1, "one id: {}", context());
                }
            }
        }
        let ids: BTreeSet<_> = self.told.values().flatten().collect();
        let messages: BTreeSet<_> = self.told.keys().map(|(seq, _)| seq).collect();
        assert_eq!(ids.len(), messages.len(), "each message has its own id");
    }

    /// Lets the relay do so many things.
    fn relay(&mut self, steps: u64, is_faulty: bool) {
        self.core.handle_commit();
        for _ in 0..steps {
            let Some(effect) = self.core.poll_effect(self.now) else {
                return;
            };
            let fails = is_faulty && self.below(10) == 0;
            self.seen.failures += u64::from(fails);
            self.perform(effect, fails);
            if is_faulty && self.below(60) == 0 {
                return self.crash();
            }
        }
    }

    fn perform(&mut self, effect: Effect, fails: bool) {
        let now = self.now;
        match effect {
            Effect::Read { after, limit } => {
                let page = self.store.read_outbox(after, limit).now_or_never();
                let page = if fails {
                    Err(Failed)
                } else {
                    Ok(page.unwrap().unwrap())
                };
                self.core.handle_read(page, now);
            }
            Effect::Ask(asked) => {
                let answers = asked.iter().map(|ask| self.answer(ask)).collect();
                let answers = if fails { Err(Failed) } else { Ok(answers) };
                self.core.handle_answers(answers, now);
            }
            Effect::Publish(intents) => {
                let results = self.publish(&intents, fails);
                // The crash that matters: published, and the relay does not hear of it.
                if fails && self.below(3) == 0 {
                    return self.crash();
                }
                self.core.handle_published(results, now);
            }
            Effect::Save(at) => {
                if !fails {
                    self.store.save_cursor(at).now_or_never().unwrap().unwrap();
                }
                // Whether it was saved may not be known.
                let result = if self.below(5) == 0 {
                    Err(Failed)
                } else {
                    Ok(())
                };
                let result = if fails { Err(Failed) } else { result };
                self.core.handle_saved(result, now);
            }
        }
    }

    fn answer(&mut self, ask: &Asked) -> Answered {
        let found = self.store.candidates(vec![ask.question.clone()]);
        let users = found.now_or_never().unwrap().unwrap().remove(0);
        let next = match &ask.question.among {
            Among::MembersAfter(_) if users.len() >= ask.question.limit => users.last().cloned(),
            Among::MembersAfter(_) | Among::These(_) => None,
        };
        let fate = &self.fates[&ask.question.seq];
        let attention = |user: &UserId| {
            if fate.done.contains_key(user.as_str()) {
                return Attention::Looking;
            }
            match self.returning.get(user.as_str()) {
                Some(until) if *until > self.now => Attention::Returning(*until),
                Some(_) | None => Attention::Away,
            }
        };
        let people = users.into_iter().map(|user| {
            let attention = attention(&user);
            (user, attention)
        });
        Answered {
            people: people.collect(),
            next,
        }
    }

    fn publish(&mut self, intents: &[Intent], fails: bool) -> Result<Vec<Sent>, Failed> {
        assert!(intents.len() <= 10);
        let is_lost = fails && self.below(2) == 0;
        let mut results = Vec::new();
        for intent in intents {
            if is_lost || (fails && self.below(2) == 0) {
                results.push(Sent::Again);
                continue;
            }
            for user in &intent.recipients {
                let key = (intent.position.seq, user.to_string());
                self.told.entry(key.clone()).or_default().insert(intent.id);
                *self.publications.entry(key).or_default() += 1;
            }
            results.push(Sent::Yes);
        }
        if fails && self.below(2) == 0 {
            // It may have been published all the same.
            return Err(Failed);
        }
        Ok(results)
    }

    fn crash(&mut self) {
        self.seen.crashes += 1;
        self.seen.held += self.core.stats().held;
        let cursor = self.store.cursor().now_or_never().unwrap().unwrap();
        self.core = RelayCore::new(cursor.unwrap_or_default());
    }

    fn post(&mut self) {
        let sender = self.person();
        let members = self.members();
        if !members.contains(&sender) {
            return;
        }
        let body = EventBody::Posted {
            text: Some(text("tea?")),
            reply_to: None,
            mentions: Mentions::default(),
            clip: None,
        };
        let seq = self.append(&sender, body);
        let fate = Fate {
            time: self.now,
            sender,
            members,
            ..Fate::default()
        };
        self.fates.insert(seq, fate);
    }

    fn delete(&mut self) {
        let Some((seq, fate)) = self.fates.last_key_value() else {
            return;
        };
        let (target, sender) = (*seq, fate.sender.clone());
        if fate.deleted.is_some() || !self.members().contains(&sender) {
            return;
        }
        self.append(&sender, EventBody::Deleted { target });
        self.fates.get_mut(&target).unwrap().deleted = Some(self.now);
    }

    /// A session that somebody looks at says that it has what there is.
    fn acknowledge(&mut self) {
        let person = self.person();
        self.returning.remove(&person);
        self.done(&person, Seq(u64::MAX));
    }

    fn mark(&mut self) {
        let person = self.person();
        let Some((&seq, _)) = self.fates.last_key_value() else {
            return;
        };
        if !self.members().contains(&person) {
            return;
        }
        let to = Position {
            epoch: Epoch(1),
            seq,
        };
        let marked = self.store.mark(&user_id(&person), &self.room, to);
        marked.now_or_never().unwrap().unwrap();
        self.done(&person, seq);
    }

    fn come_or_go(&mut self) {
        let person = self.person();
        if self.members().contains(&person) {
            self.join(&person, Membership::Left);
            self.done(&person, Seq(u64::MAX));
        } else {
            self.join(&person, Membership::Joined);
        }
    }

    /// A connection breaks while somebody looks.
    fn lose(&mut self) {
        let until = self.now.plus(NOTIFY_RETURN);
        let person = self.person();
        self.returning.insert(person, until);
    }

    fn done(&mut self, person: &str, to: Seq) {
        let now = self.now;
        for fate in self.fates.range_mut(..=to).map(|(_, fate)| fate) {
            if fate.members.contains(person) {
                fate.done.entry(person.to_owned()).or_insert(now);
            }
        }
    }

    fn join(&mut self, person: &str, membership: Membership) {
        let user = User {
            id: user_id(person),
            name: Redacted(person.to_uppercase()),
        };
        let body = EventBody::Member {
            user,
            membership,
            role: Role::Member,
        };
        self.append(person, body);
    }

    fn append(&mut self, sender: &str, body: EventBody) -> Seq {
        let expected = self.fold.as_ref().map_or(Seq::ZERO, |fold| fold.head.seq);
        self.next_cid += 1;
        let keyed = matches!(body, EventBody::Posted { .. } | EventBody::Deleted { .. });
        let event = Event {
            room: self.room.clone(),
            position: Position {
                epoch: Epoch(1),
                seq: expected.next(),
            },
            time: self.now,
            sender: user_id(sender),
            cid: keyed.then(|| cid(self.next_cid)),
            body,
        };
        match &mut self.fold {
            Some(fold) => drop(fold.apply(&event)),
            None => self.fold = Projection::created(&event),
        }
        let append = Append {
            room: self.room.clone(),
            epoch: Epoch(1),
            expected,
            events: vec![event],
            counts: self.fold.as_ref().unwrap().counts,
        };
        let appended = self.store.append(&append).now_or_never().unwrap();
        assert_eq!(appended, Ok(Appended::Committed));
        expected.next()
    }

    fn members(&self) -> BTreeSet<String> {
        let members = self.fold.iter().flat_map(|fold| fold.members.keys());
        members.map(UserId::to_string).collect()
    }

    fn person(&mut self) -> String {
        let person = self.below(PEOPLE as u64);
        format!("p{person}")
    }

    /// SplitMix64.
    fn below(&mut self, bound: u64) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.chance ^ (self.chance >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// A message in a room of this size.
fn logged(joined: u32, mentions: Mentions) -> kaiwa_chat::ports::Logged {
    let posted = kaiwa_chat::ports::Posted {
        room: RoomId::parse("r_1").unwrap(),
        position: Position {
            epoch: Epoch(1),
            seq: Seq(9),
        },
        kind: RoomKind::Group,
        title: "Tea".to_owned(),
        joined,
        sender: User {
            id: user_id("alice"),
            name: Redacted("Alice".to_owned()),
        },
        text: text(&"話".repeat(1_000)),
        mentions,
        answers: Some(user_id("carol")),
        clip: None,
    };
    kaiwa_chat::ports::Logged {
        pos: LogPos(1),
        time: NOW,
        posted: Some(Box::new(posted)),
    }
}

/// What is asked about it once its grace is over.
fn asked(core: &mut RelayCore, logged: kaiwa_chat::ports::Logged) -> Vec<Asked> {
    let now = NOW.plus(NOTIFY_GRACE);
    assert!(matches!(core.poll_effect(now), Some(Effect::Read { .. })));
    core.handle_read(Ok(vec![logged]), now);
    match core.poll_effect(now) {
        Some(Effect::Ask(asked)) => asked,
        other => panic!("not asked: {other:?}"),
    }
}

#[test]
fn in_a_large_room_only_who_is_named_or_wants_to_hear_of_all_is_told() {
    let now = NOW.plus(NOTIFY_GRACE);
    let bob = Mentions {
        users: vec![user_id("bob")],
        all: false,
    };
    let mut core = RelayCore::new(LogPos(0));
    let first = asked(&mut core, logged(LARGE_ROOM + 1, bob.clone()));
    let named = Among::These(vec![user_id("bob"), user_id("carol")]);
    assert_eq!(first[0].question.among, named);
    let people = vec![(user_id("bob"), Attention::Received)];
    core.handle_answers(Ok(vec![Answered { people, next: None }]), now);
    let Some(Effect::Publish(intents)) = core.poll_effect(now) else {
        panic!("not published");
    };
    assert_eq!(intents[0].mentions, [user_id("bob")]);
    assert!(intents[0].text.0.len() <= 512 && intents[0].text.0.ends_with("話…"));
    core.handle_published(Ok(vec![Sent::Yes]), now);
    let Some(Effect::Ask(asked_then)) = core.poll_effect(now) else {
        panic!("those who opted in are asked for");
    };
    assert_eq!(asked_then[0].opted_in_after, Some(None));
    // In a small room, or when everybody is named, all members are asked about.
    let everybody = Mentions {
        all: true,
        ..Mentions::default()
    };
    for (joined, mentions) in [(LARGE_ROOM, bob), (LARGE_ROOM + 1, everybody)] {
        let mut core = RelayCore::new(LogPos(0));
        let asked = asked(&mut core, logged(joined, mentions));
        assert_eq!(asked[0].question.among, Among::MembersAfter(None));
    }
}

#[test]
fn an_event_is_not_read_before_its_grace_whatever_its_clock_says() {
    let mut core = RelayCore::new(LogPos(0));
    let mut ahead = logged(2, Mentions::default());
    ahead.time = NOW.plus(Duration::from_secs(3_600));
    assert!(core.poll_effect(NOW).is_some());
    core.handle_read(Ok(vec![ahead.clone()]), NOW);
    assert_eq!(core.poll_effect(NOW), None);
    let due = core.poll_timeout().expect("it is read again");
    assert_eq!(due, NOW.plus(NOTIFY_GRACE));
    assert!(core.poll_effect(due).is_some());
    core.handle_read(Ok(vec![ahead]), due);
    assert!(matches!(core.poll_effect(due), Some(Effect::Ask(_))));
}
