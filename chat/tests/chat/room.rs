//! One room's core, driven by hand: what becomes of a batch in which the store finds duplicates.

use crate::support::{NOW, actor, cid, group, send};
use futures_util::FutureExt as _;
use kaiwa_chat::adapters::memory::MemoryStore;
use kaiwa_chat::core::{Command, Effect, RoomCore, RoomLimits, Ticket};
use kaiwa_chat::error::ChatError;
use kaiwa_chat::model::{Write, Written};
use kaiwa_chat::ports::{Answer, Append, Appended, RoomLog as _, StoreError};
use kaiwa_common::id::RoomId;
use kaiwa_common::limits::Limits;
use kaiwa_common::position::Seq;
use std::collections::BTreeMap;
use uuid::Uuid;

type Replies = BTreeMap<u64, Result<Written, ChatError>>;

/// A core over a store, and what it has answered.
struct Owner {
    store: MemoryStore,
    room: RoomId,
    core: RoomCore,
    replies: Replies,
    appends: usize,
}

impl Owner {
    fn new(store: &MemoryStore) -> Self {
        let room = RoomId::from_uuid(Uuid::from_u128(1));
        Self {
            store: store.clone(),
            core: RoomCore::new(room.clone(), RoomLimits::from(&Limits::default())),
            room,
            replies: Replies::new(),
            appends: 0,
        }
    }

    fn submit(&mut self, ticket: u64, who: &str, write: Write) {
        let command = Command::new(Ticket(ticket), actor(who), write);
        self.core.handle_command(command);
    }

    /// Works until it wants to append something.
    fn next_append(&mut self) -> Option<Append> {
        while let Some(effect) = self.core.poll_effect(NOW) {
            match effect {
                Effect::Load => self.core.handle_loaded(now(self.store.load(&self.room))),
                Effect::Fetch(wanted) => {
                    let facts = now(self.store.facts(&self.room, wanted));
                    self.core.handle_facts(facts);
                }
                Effect::Reply(ticket, result) => {
                    let before = self.replies.insert(ticket.0, result);
                    assert_eq!(before, None, "one answer each");
                }
                Effect::Publish(_) => {}
                Effect::Announce { .. } => panic!("every outcome is known here"),
                Effect::Append(append) => {
                    self.appends += 1;
                    return Some(append);
                }
            }
        }
        None
    }

    fn append(&mut self, append: Append) {
        let outcome = now(self.store.append(&append));
        self.core.handle_appended(append, outcome);
    }

    fn work(&mut self) {
        while let Some(append) = self.next_append() {
            self.append(append);
        }
    }

    /// Where a write was committed, and whether it had been before.
    fn committed(&self, ticket: u64) -> (Seq, bool) {
        match self.replies.get(&ticket) {
            Some(Ok(Written::Committed(committed))) => (committed.position.seq, committed.dup),
            other => panic!("{ticket} is not committed: {other:?}"),
        }
    }
}

fn now<T>(answer: Answer<T>) -> Result<T, StoreError> {
    answer.now_or_never().expect("memory answers at once")
}

/// A room with 100 messages of Alice's, cids 1 to 100 at seqs 3 to 102, which the owner given back has
/// never seen: only the store knows their cids.
fn room_of_old_messages() -> Owner {
    let store = MemoryStore::new();
    now(store.seen(&actor("alice").user)).unwrap();
    let mut before = Owner::new(&store);
    before.submit(0, "alice", group(cid(0), &[]));
    for number in 1..=100 {
        let write = send(&before.room, cid(number), "old");
        before.submit(number, "alice", write);
    }
    before.work();
    assert_eq!(before.committed(100), (Seq(102), false));
    Owner::new(&store)
}

#[test]
fn a_write_commits_though_each_append_is_met_by_one_more_duplicate() {
    let mut owner = room_of_old_messages();
    let send = |number| send(&RoomId::from_uuid(Uuid::from_u128(1)), cid(number), "x");
    owner.submit(1000, "alice", send(1000));
    for number in 1..=50 {
        owner.submit(number, "alice", send(number));
        let append = owner.next_append().expect("an append");
        if number == 3 {
            let first = owner.committed(1000);
            assert_eq!(first, (Seq(103), false), "by the second append");
        }
        // An innocent write comes each time as well.
        owner.submit(1000 + number, "alice", send(1000 + number));
        owner.append(append);
    }
    owner.work();
    for number in 1..=50 {
        assert_eq!(owner.committed(number), (Seq(2 + number), true));
    }
    let seqs: Vec<_> = (1000..=1050)
        .map(|ticket| owner.committed(ticket))
        .collect();
    let dense = (103..=153).map(|seq| (Seq(seq), false));
    assert_eq!(
        seqs,
        dense.collect::<Vec<_>>(),
        "all of them, in their order"
    );
}

#[test]
fn a_batch_that_came_back_is_planned_without_what_was_queued_meanwhile() {
    let mut owner = room_of_old_messages();
    let room = owner.room.clone();
    owner.submit(1000, "alice", send(&room, cid(1000), "x"));
    owner.submit(1, "alice", send(&room, cid(1), "x"));
    owner.submit(1001, "alice", send(&room, cid(1001), "x"));
    let first = owner.next_append().expect("an append");
    owner.submit(2, "alice", send(&room, cid(2), "x"));
    owner.append(first);
    let second = owner.next_append().expect("an append");
    let cids: Vec<_> = second.events.iter().filter_map(|event| event.cid).collect();
    assert_eq!(cids, [cid(1000), cid(1001)]);
    owner.append(second);
    owner.work();
    assert_eq!(owner.committed(2), (Seq(4), true));
    assert_eq!(owner.appends, 3, "what waited was one more");
}

#[test]
fn a_store_that_speaks_of_duplicates_and_names_none_is_given_up() {
    let mut owner = room_of_old_messages();
    let room = owner.room.clone();
    owner.submit(1000, "alice", send(&room, cid(1000), "x"));
    while let Some(append) = owner.next_append() {
        assert!(owner.appends <= 8, "it does not go on for ever");
        let outcome = Ok(Appended::Duplicate(Vec::new()));
        owner.core.handle_appended(append, outcome);
    }
    assert_eq!(owner.replies[&1000], Err(ChatError::Unavailable));
}
