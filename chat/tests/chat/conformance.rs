//! One suite for all stores: what the ports promise.

use crate::support::{NOW, cid, cid_at, open_fast, text, user, user_id};
use kaiwa_chat::adapters::memory::MemoryStore;
use kaiwa_chat::adapters::sqlite::SqliteStore;
use kaiwa_chat::core::projection::Projection;
use kaiwa_chat::model::{
    Event, EventBody, HistoryFrom, Membership, Mentions, Message, Role, RoomKind, User, Visibility,
};
use kaiwa_chat::ports::{
    Append, Appended, Counts, FirstResult, LogRange, Outbox, PageOf, Part, RoomList, RoomLog as _,
    Store, Wanted, WriteKind,
};
use kaiwa_common::id::{Cid, RoomId};
use kaiwa_common::limits::PAGE_BYTES;
use kaiwa_common::position::{Epoch, Position, Seq};
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use uuid::Uuid;

/// A store under test.
pub(crate) struct Subject {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) outbox: Arc<dyn Outbox>,
    _dir: Option<TempDir>,
}

pub(crate) fn memory() -> Subject {
    let store = MemoryStore::new();
    Subject {
        store: Arc::new(store.clone()),
        outbox: Arc::new(store),
        _dir: None,
    }
}

pub(crate) fn sqlite() -> Subject {
    let dir = tempfile::tempdir().unwrap();
    let store = open_fast(&dir.path().join("chat.db"));
    Subject {
        store: Arc::new(store.clone()),
        outbox: Arc::new(store),
        _dir: Some(dir),
    }
}

macro_rules! every_store {
    ($($name:ident),* $(,)?) => {
        mod in_memory {
            $(#[tokio::test] async fn $name() { super::$name(&super::memory()).await; })*
        }
        mod in_sqlite {
            $(#[tokio::test] async fn $name() { super::$name(&super::sqlite()).await; })*
        }
    };
}

every_store! {
    of_two_owners_with_one_idea_of_the_head_one_gets_through,
    a_log_is_dense_and_read_from_any_place,
    a_refused_append_leaves_nothing,
    a_cid_is_claimed_once_by_each_sender_in_each_room,
    old_cids_are_forgotten_and_younger_ones_kept,
    the_projection_is_the_fold_of_the_log_at_every_prefix,
    a_deletion_erases_the_message_and_all_its_edits,
    history_pages_in_both_directions,
    a_page_ends_early_when_its_texts_are_long,
    membership_is_seen_from_both_sides,
    facts_say_also_what_is_not,
    an_owner_loads_what_was_appended,
}

/// One room's log, written event by event.
pub(crate) struct Writer<'a> {
    store: &'a dyn Store,
    pub(crate) room: RoomId,
    log: Vec<Event>,
    members: Projection,
}

impl<'a> Writer<'a> {
    pub(crate) async fn create(store: &'a dyn Store, number: u128) -> Self {
        Self::create_as(store, number, RoomKind::Group, Visibility::Private).await
    }

    async fn create_as(
        store: &'a dyn Store,
        number: u128,
        kind: RoomKind,
        visibility: Visibility,
    ) -> Self {
        let room = RoomId::from_uuid(Uuid::from_u128(number));
        let created = Event {
            room: room.clone(),
            position: Position {
                epoch: Epoch(1),
                seq: Seq(1),
            },
            time: NOW,
            sender: user_id("alice"),
            cid: None,
            body: EventBody::Created {
                kind,
                title: format!("Room {number}"),
                visibility,
            },
        };
        let members = Projection::created(&created).unwrap();
        let mut writer = Self {
            store,
            room,
            log: Vec::new(),
            members,
        };
        let append = writer.append_of(vec![created.clone()]);
        assert_eq!(store.append(&append).await, Ok(Appended::Committed));
        writer.log.push(created);
        writer
    }

    pub(crate) fn head(&self) -> Seq {
        Seq(self.log.len() as u64)
    }

    fn event(&self, sender: &str, cid: Option<Cid>, body: EventBody) -> Event {
        let seq = self.head().next();
        Event {
            room: self.room.clone(),
            position: Position {
                epoch: Epoch(1),
                seq,
            },
            time: UnixMs(NOW.0 + i64::try_from(seq.0).unwrap()),
            sender: user_id(sender),
            cid,
            body,
        }
    }

    fn append_of(&self, events: Vec<Event>) -> Append {
        let mut after = self.members.clone();
        for event in &events {
            after.apply(event);
        }
        let counts = after.counts;
        Append {
            room: self.room.clone(),
            epoch: Epoch(1),
            expected: self.head(),
            events,
            counts,
        }
    }

    pub(crate) async fn write(&mut self, sender: &str, cid: Option<Cid>, body: EventBody) -> Seq {
        let event = self.event(sender, cid, body);
        let append = self.append_of(vec![event.clone()]);
        assert_eq!(self.store.append(&append).await, Ok(Appended::Committed));
        let erased = self.members.apply(&event);
        for seq in erased {
            let index = usize::try_from(seq.0).unwrap() - 1;
            self.log[index] = kaiwa_chat::core::projection::erased(self.log[index].clone());
        }
        self.log.push(event);
        self.head()
    }

    async fn post(&mut self, number: u64, says: &str) -> Seq {
        self.write("alice", Some(cid(number)), posted(says)).await
    }

    async fn read(&self, after: Seq, limit: usize) -> Vec<Event> {
        let range = LogRange {
            room: self.room.clone(),
            after,
            limit,
        };
        let slices = self
            .store
            .read_logs(&user_id("alice"), vec![range])
            .await
            .unwrap();
        slices.into_iter().next().unwrap().events
    }

    async fn history(&self, from: HistoryFrom, limit: usize) -> (Vec<u64>, bool) {
        let page = self
            .store
            .history(&user_id("alice"), &self.room, from, limit)
            .await
            .unwrap();
        let (standing, page) = page.unwrap();
        assert_eq!(page.as_of, standing.head.seq);
        (
            page.messages.iter().map(|message| message.seq.0).collect(),
            page.more,
        )
    }
}

pub(crate) fn posted(says: &str) -> EventBody {
    EventBody::Posted {
        text: Some(text(says)),
        reply_to: None,
        mentions: Mentions::default(),
        clip: None,
    }
}

fn edited(target: Seq, says: &str) -> EventBody {
    EventBody::Edited {
        target,
        text: Some(text(says)),
        mentions: Mentions::default(),
    }
}

pub(crate) fn member(name: &str, membership: Membership, role: Role) -> EventBody {
    EventBody::Member {
        user: user(name),
        membership,
        role,
    }
}

async fn of_two_owners_with_one_idea_of_the_head_one_gets_through(subject: &Subject) {
    let writer = Writer::create(&*subject.store, 1).await;
    let one = writer.append_of(vec![writer.event("alice", Some(cid(1)), posted("one"))]);
    let other = writer.append_of(vec![writer.event("bob", Some(cid(2)), posted("other"))]);
    let (one, other) = tokio::join!(writer.store.append(&one), writer.store.append(&other));
    assert_eq!(
        (one, other),
        (Ok(Appended::Committed), Ok(Appended::Conflict))
    );
    // A room cannot be created twice, and none can be written that was not created.
    let again = Append {
        expected: Seq::ZERO,
        ..writer.append_of(vec![writer.log[0].clone()])
    };
    assert_eq!(writer.store.append(&again).await, Ok(Appended::Conflict));
    let nowhere = RoomId::from_uuid(Uuid::from_u128(99));
    let event = Event {
        room: nowhere.clone(),
        ..writer.event("alice", None, posted("x"))
    };
    let nowhere = Append {
        room: nowhere,
        ..writer.append_of(vec![event])
    };
    assert_eq!(writer.store.append(&nowhere).await, Ok(Appended::Conflict));
    let old = Append {
        epoch: Epoch(2),
        expected: Seq(2),
        ..nowhere
    };
    assert_eq!(writer.store.append(&old).await, Ok(Appended::Conflict));
}

async fn a_log_is_dense_and_read_from_any_place(subject: &Subject) {
    let mut writer = Writer::create(&*subject.store, 1).await;
    let mut beside = Writer::create(&*subject.store, 2).await;
    for number in 0..20 {
        writer.post(number, &format!("text {number}")).await;
        beside.post(number, "beside").await;
    }
    assert_eq!(writer.read(Seq::ZERO, 1_000).await, writer.log);
    assert_eq!(writer.read(Seq(5), 3).await, writer.log[5..8]);
    assert_eq!(writer.read(Seq(21), 3).await, []);
    assert_eq!(writer.read(Seq(u64::MAX), 3).await, []);
    assert_eq!(beside.read(Seq::ZERO, 1_000).await, beside.log);
}

async fn a_refused_append_leaves_nothing(subject: &Subject) {
    let mut writer = Writer::create(&*subject.store, 1).await;
    writer.post(1, "first").await;
    // The cid of the second event is taken, so the first must not stay either.
    let fresh = writer.event("alice", Some(cid(2)), posted("lost"));
    let mut taken = writer.event("alice", Some(cid(1)), posted("again"));
    taken.position.seq = taken.position.seq.next();
    let append = writer.append_of(vec![fresh, taken]);
    let first = FirstResult {
        kind: WriteKind::Send,
        seq: Seq(2),
        time: writer.log[1].time,
    };
    let expected = vec![((user_id("alice"), cid(1)), first)];
    assert_eq!(
        writer.store.append(&append).await,
        Ok(Appended::Duplicate(expected))
    );
    assert_eq!(writer.read(Seq::ZERO, 1_000).await, writer.log);
    assert_eq!(
        writer.history(HistoryFrom::Newest, 10).await,
        (vec![2], false)
    );
    writer.post(2, "not a duplicate: it never was").await;
}

async fn a_cid_is_claimed_once_by_each_sender_in_each_room(subject: &Subject) {
    let mut writer = Writer::create(&*subject.store, 1).await;
    let mut beside = Writer::create(&*subject.store, 2).await;
    writer.write("alice", Some(cid(1)), posted("hers")).await;
    writer.write("bob", Some(cid(1)), posted("his")).await;
    beside
        .write("alice", Some(cid(1)), posted("elsewhere"))
        .await;
    let again = writer.append_of(vec![writer.event("bob", Some(cid(1)), edited(Seq(2), "x"))]);
    let Ok(Appended::Duplicate(found)) = writer.store.append(&again).await else {
        panic!("the cid was taken");
    };
    assert_eq!((found[0].1.seq, found[0].1.kind), (Seq(3), WriteKind::Send));
    // Twice in one append.
    let one = writer.event("alice", Some(cid(7)), posted("one"));
    let mut two = writer.event("alice", Some(cid(7)), posted("two"));
    two.position.seq = two.position.seq.next();
    let both = writer.append_of(vec![one, two]);
    assert!(matches!(
        writer.store.append(&both).await,
        Ok(Appended::Duplicate(_))
    ));
    assert_eq!(writer.read(Seq::ZERO, 10).await, writer.log);
}

async fn old_cids_are_forgotten_and_younger_ones_kept(subject: &Subject) {
    let mut writer = Writer::create(&*subject.store, 1).await;
    for age in 0..10 {
        let old = cid_at(9, UnixMs(NOW.0 - age));
        writer.write("alice", Some(old), posted("x")).await;
    }
    let before = UnixMs(NOW.0 - 3);
    assert_eq!(writer.store.purge_cids(before, 4).await, Ok(4));
    assert_eq!(writer.store.purge_cids(before, 4).await, Ok(2));
    assert_eq!(writer.store.purge_cids(before, 4).await, Ok(0));
    let keys: Vec<_> = (0..10)
        .map(|age| (user_id("alice"), cid_at(9, UnixMs(NOW.0 - age))))
        .collect();
    let wanted = Wanted {
        cids: keys.clone(),
        ..Wanted::default()
    };
    let facts = writer.store.facts(&writer.room, wanted).await.unwrap();
    let kept: Vec<_> = keys.iter().map(|key| facts.cids[key].is_some()).collect();
    assert_eq!(
        kept,
        [
            true, true, true, true, false, false, false, false, false, false
        ]
    );
}

async fn the_projection_is_the_fold_of_the_log_at_every_prefix(subject: &Subject) {
    let mut writer = Writer::create(&*subject.store, 1).await;
    let script = [
        member("alice", Membership::Joined, Role::Owner),
        posted("one"),
        member("bob", Membership::Invited, Role::Member),
        posted("two"),
        edited(Seq(3), "one, better"),
        member("bob", Membership::Joined, Role::Member),
        member("bob", Membership::Joined, Role::Moderator),
        edited(Seq(3), "one, best"),
        EventBody::Deleted { target: Seq(5) },
        member("carol", Membership::Joined, Role::Guest),
        EventBody::Deleted { target: Seq(3) },
        member("bob", Membership::Left, Role::Moderator),
        posted("three"),
    ];
    for (number, body) in (0..).zip(script) {
        let keyed = !matches!(body, EventBody::Member { .. });
        writer
            .write("alice", keyed.then(|| cid(number)), body)
            .await;
        assert_is_fold(&writer).await;
    }
}

/// The store's log, messages, members and counts are those of the fold.
async fn assert_is_fold(writer: &Writer<'_>) {
    let log = writer.read(Seq::ZERO, 1_000).await;
    assert_eq!(log, writer.log);
    let fold = Projection::fold(&log).unwrap();
    let viewer = user_id("alice");
    let page = writer
        .store
        .history(&viewer, &writer.room, HistoryFrom::Newest, 1_000)
        .await;
    let (_, page) = page.unwrap().unwrap();
    let nameless = |message: Message| Message {
        sender: User {
            id: message.sender.id,
            name: Redacted::default(),
        },
        ..message
    };
    let messages: Vec<_> = page.messages.into_iter().map(nameless).collect();
    assert_eq!(
        messages,
        fold.messages.values().cloned().collect::<Vec<_>>()
    );
    let everybody = PageOf {
        after: None,
        limit: 1_000,
    };
    let found = writer
        .store
        .members(&viewer, &writer.room, everybody)
        .await
        .unwrap()
        .unwrap()
        .1;
    let members: Vec<_> = found
        .items
        .into_iter()
        .map(|m| {
            (
                m.user.id,
                Part {
                    membership: m.membership,
                    role: m.role,
                },
            )
        })
        .collect();
    assert_eq!(
        members,
        fold.members.clone().into_iter().collect::<Vec<_>>()
    );
    let record = writer.store.load(&writer.room).await.unwrap().unwrap();
    assert_eq!(
        (record.head, record.time, record.counts),
        (fold.head, fold.time, fold.counts)
    );
}

async fn a_deletion_erases_the_message_and_all_its_edits(subject: &Subject) {
    let mut writer = Writer::create(&*subject.store, 1).await;
    let kept = writer.post(1, "kept").await;
    let target = writer.post(2, "secret").await;
    writer
        .write("alice", Some(cid(3)), edited(target, "secret too"))
        .await;
    writer
        .write("alice", Some(cid(4)), edited(kept, "kept, edited"))
        .await;
    writer
        .write("alice", Some(cid(5)), edited(target, "secret again"))
        .await;
    writer
        .write("alice", Some(cid(6)), EventBody::Deleted { target })
        .await;
    let log = writer.read(Seq::ZERO, 100).await;
    let shown: Vec<_> = log
        .iter()
        .filter_map(|event| match &event.body {
            EventBody::Posted { text, .. } | EventBody::Edited { text, .. } => {
                Some(text.as_ref().map(|text| text.0.as_str()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(
        shown,
        [Some("kept"), None, None, Some("kept, edited"), None]
    );
    let fact = Wanted {
        messages: vec![target, kept],
        ..Wanted::default()
    };
    let facts = writer.store.facts(&writer.room, fact).await.unwrap();
    let deleted = |seq| facts.messages[&seq].as_ref().map(|fact| fact.deleted);
    assert_eq!((deleted(target), deleted(kept)), (Some(true), Some(false)));
}

async fn history_pages_in_both_directions(subject: &Subject) {
    let mut writer = Writer::create(&*subject.store, 1).await;
    for number in 0..5 {
        // Messages at 2, 4, 6, 8, 10, with other events between.
        writer.post(number, "x").await;
        writer
            .write(
                "alice",
                None,
                member("bob", Membership::Invited, Role::Member),
            )
            .await;
    }
    use HistoryFrom::{After, Before, Newest};
    assert_eq!(writer.history(Newest, 2).await, (vec![8, 10], true));
    assert_eq!(writer.history(Before(Seq(8)), 2).await, (vec![4, 6], true));
    assert_eq!(writer.history(Before(Seq(4)), 2).await, (vec![2], false));
    assert_eq!(writer.history(Before(Seq(1)), 2).await, (vec![], false));
    assert_eq!(
        writer.history(After(Seq::ZERO), 3).await,
        (vec![2, 4, 6], true)
    );
    assert_eq!(writer.history(After(Seq(6)), 3).await, (vec![8, 10], false));
    assert_eq!(
        writer.history(After(Seq(u64::MAX - 1)), 3).await,
        (vec![], false)
    );
    assert_eq!(
        writer.history(Newest, 5).await,
        (vec![2, 4, 6, 8, 10], false)
    );
}

async fn a_page_ends_early_when_its_texts_are_long(subject: &Subject) {
    let mut writer = Writer::create(&*subject.store, 1).await;
    let long = "x".repeat(PAGE_BYTES * 2 / 5);
    for number in 0..4 {
        writer.post(number, &long).await;
    }
    assert_eq!(
        writer.history(HistoryFrom::Newest, 10).await,
        (vec![4, 5], true)
    );
    assert_eq!(
        writer.history(HistoryFrom::After(Seq::ZERO), 10).await,
        (vec![2, 3], true)
    );
    assert_eq!(writer.read(Seq(1), 10).await.len(), 2);
    let more_than_a_page = "x".repeat(2 * PAGE_BYTES);
    let seq = writer.post(9, &more_than_a_page).await;
    assert_eq!(
        writer.history(HistoryFrom::Newest, 10).await,
        (vec![seq.0], true)
    );
}

#[expect(clippy::too_many_lines, reason = "one story, told in order")]
async fn membership_is_seen_from_both_sides(subject: &Subject) {
    let store = &*subject.store;
    for name in ["alice", "bob"] {
        store.seen(&user(name)).await.unwrap();
    }
    let mut rooms = Vec::new();
    for number in 1..=5_u128 {
        let visibility = if number.is_multiple_of(2) {
            Visibility::Public
        } else {
            Visibility::Private
        };
        let mut writer = Writer::create_as(store, number, RoomKind::Group, visibility).await;
        writer
            .write(
                "alice",
                None,
                member("alice", Membership::Joined, Role::Owner),
            )
            .await;
        rooms.push(writer);
    }
    rooms[4]
        .write(
            "alice",
            None,
            member("bob", Membership::Invited, Role::Member),
        )
        .await;
    rooms[0]
        .write("bob", None, member("bob", Membership::Joined, Role::Member))
        .await;

    let titles = |list, name: &'static str, after: Option<String>, limit| async move {
        let page = store
            .rooms(&user_id(name), list, PageOf { after, limit })
            .await
            .unwrap();
        let titles: Vec<_> = page.items.into_iter().map(|room| room.title).collect();
        (titles.join(" "), page.next)
    };
    let (first, next) = titles(RoomList::Own, "alice", None, 2).await;
    assert_eq!(first, "Room 5 Room 4");
    let (second, next) = titles(RoomList::Own, "alice", next, 2).await;
    assert_eq!(second, "Room 3 Room 2");
    assert_eq!(
        titles(RoomList::Own, "alice", next, 2).await,
        ("Room 1".to_owned(), None)
    );
    assert_eq!(
        titles(RoomList::Own, "bob", None, 9).await.0,
        "Room 5 Room 1"
    );
    assert_eq!(
        titles(RoomList::Public, "bob", None, 9).await.0,
        "Room 4 Room 2"
    );

    let page = PageOf {
        after: None,
        limit: 1,
    };
    let (_, one) = store
        .members(&user_id("alice"), &rooms[0].room, page)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (&one.items[0].user, one.next.as_deref()),
        (&user("alice"), Some("alice"))
    );
    let page = PageOf {
        after: one.next,
        limit: 1,
    };
    let (_, two) = store
        .members(&user_id("alice"), &rooms[0].room, page)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((&two.items[0].user, two.next), (&user("bob"), None));

    rooms[0]
        .write("bob", None, member("bob", Membership::Left, Role::Member))
        .await;
    assert_eq!(titles(RoomList::Own, "bob", None, 9).await.0, "Room 5");
    let view = store
        .view(&user_id("bob"), &rooms[0].room)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((view.membership, view.members), (Membership::Left, 1));
}

async fn facts_say_also_what_is_not(subject: &Subject) {
    let store = &*subject.store;
    store.seen(&user("alice")).await.unwrap();
    let mut writer = Writer::create(store, 1).await;
    writer
        .write(
            "alice",
            None,
            member("alice", Membership::Joined, Role::Owner),
        )
        .await;
    let wanted = Wanted {
        members: vec![user_id("alice"), user_id("bob")],
        messages: vec![Seq(1), Seq(9)],
        users: vec![user_id("alice"), user_id("bob")],
        cids: vec![(user_id("alice"), cid(1))],
    };
    let facts = store.facts(&writer.room, wanted.clone()).await.unwrap();
    assert_eq!(
        facts.members[&user_id("alice")].map(|part| part.role),
        Some(Role::Owner)
    );
    assert_eq!(facts.members[&user_id("bob")], None);
    assert_eq!(
        (&facts.messages[&Seq(1)], &facts.messages[&Seq(9)]),
        (&None, &None)
    );
    let alice = facts.users[&user_id("alice")].as_ref().unwrap();
    assert_eq!((alice.name.0.as_str(), alice.rooms), ("ALICE", 1));
    assert_eq!(facts.users[&user_id("bob")], None);
    assert_eq!(facts.cids[&(user_id("alice"), cid(1))], None);
    // The same of a room that does not exist.
    let nowhere = RoomId::from_uuid(Uuid::from_u128(99));
    let facts = store.facts(&nowhere, wanted).await.unwrap();
    assert_eq!(
        (facts.members.len(), facts.messages.len(), facts.cids.len()),
        (2, 2, 1)
    );
    assert_eq!(store.load(&nowhere).await, Ok(None));
    assert_eq!(store.view(&user_id("alice"), &nowhere).await, Ok(None));
    assert_eq!(
        store.standings(&user_id("alice"), vec![nowhere]).await,
        Ok(vec![None])
    );
}

async fn an_owner_loads_what_was_appended(subject: &Subject) {
    let store = &*subject.store;
    for name in ["alice", "bob"] {
        store.seen(&user(name)).await.unwrap();
    }
    let private = Visibility::Private;
    let mut writer = Writer::create_as(store, 1, RoomKind::Direct, private).await;
    writer
        .write(
            "alice",
            None,
            member("alice", Membership::Joined, Role::Member),
        )
        .await;
    writer
        .write(
            "alice",
            None,
            member("bob", Membership::Joined, Role::Member),
        )
        .await;
    writer.post(1, "hello").await;
    let record = store.load(&writer.room).await.unwrap().unwrap();
    assert_eq!(
        record.counts,
        Counts {
            joined: 2,
            invited: 0,
            owners: 0
        }
    );
    assert_eq!(record.pair.as_deref(), Some(&[user("alice"), user("bob")]));
    let last = record.last.unwrap();
    assert_eq!(
        (last.seq, &last.text, &last.sender),
        (Seq(4), &Some(text("hello")), &user("alice"))
    );
}

#[tokio::test]
async fn a_reopened_database_has_everything() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("chat.db");
    let store = SqliteStore::open(&path).unwrap();
    let mut writer = Writer::create(&store, 1).await;
    let target = writer.post(1, "hello").await;
    writer
        .write("alice", Some(cid(2)), edited(target, "hello there"))
        .await;
    let (log, members, room) = (writer.log, writer.members, writer.room);
    drop(store);
    let store = SqliteStore::open(&path).unwrap();
    let mut writer = Writer {
        store: &store,
        room,
        log,
        members,
    };
    assert_is_fold(&writer).await;
    writer.post(3, "and on").await;
    assert_is_fold(&writer).await;
}

/// Posts many texts, deletes some in an order of their own, and looks for them in the files.
#[tokio::test]
async fn a_deleted_text_is_in_no_file_after_the_scrub() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_fast(&dir.path().join("chat.db"));
    let mut one = Writer::create(&store, 1).await;
    let mut other = Writer::create(&store, 2).await;
    // Of many lengths, some over several pages, in two rooms by turns, so that pages are split.
    let says = |number: u64| {
        let length =
            usize::try_from(number * 37 % 600 + if number.is_multiple_of(9) { 9_000 } else { 0 });
        format!(
            "secret-{number}-{}-end-{number}.",
            "x".repeat(length.unwrap())
        )
    };
    let mut gone = Vec::new();
    for number in 0..300_u64 {
        let seq = one.post(number, &says(number)).await;
        other.post(number, &format!("kept-{number}")).await;
        if number.is_multiple_of(3) {
            one.write(
                "alice",
                Some(cid(10_000 + number)),
                edited(seq, &says(20_000 + number)),
            )
            .await;
        }
        gone.push((number, seq));
    }
    for (number, seq) in gone
        .into_iter()
        .filter(|(number, _)| number.is_multiple_of(2))
        .rev()
    {
        one.write(
            "alice",
            Some(cid(30_000 + number)),
            EventBody::Deleted { target: seq },
        )
        .await;
    }
    store.scrub().await.unwrap();
    let files = contents(dir.path());
    // Searching a `str` is fast in a debug build as well.
    let files = String::from_utf8_lossy(&files);
    for number in 0..300_u64 {
        let there = |text: String| files.contains(&text);
        let deleted = number.is_multiple_of(2);
        assert_eq!(
            there(format!("secret-{number}-")),
            !deleted,
            "the text of {number}"
        );
        assert_eq!(
            there(format!("-end-{number}.")),
            !deleted,
            "the end of {number}"
        );
        if number.is_multiple_of(3) {
            assert_eq!(
                there(format!("secret-{}-", 20_000 + number)),
                !deleted,
                "the edit of {number}"
            );
        }
    }
}

fn contents(dir: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        all.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    all
}
