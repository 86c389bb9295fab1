//! One suite for all stores: marks, unread counts, mentions, and the log as an outbox.

use crate::conformance::{Subject, Writer, member, memory, posted, sqlite};
use crate::support::{cid, text, user_id};
use kaiwa_chat::model::{EventBody, Membership, Mentions, Role, Unread};
use kaiwa_chat::ports::{Among, LogPos, Posted, Question, UnreadTotal};
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::limits::UNREAD;
use kaiwa_common::position::{Epoch, Position, Seq};

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
    a_mark_moves_forward_only_and_not_beyond_the_head,
    messages_of_others_after_the_mark_are_unread,
    who_mentions_one_is_counted_and_forgotten_with_the_text,
    counts_end_at_their_bound,
    a_badge_leaves_rooms_out_and_its_version_grows,
    the_outbox_is_the_log_with_messages_as_they_are_now,
    candidates_have_joined_before_and_not_read,
    nobody_is_a_candidate_of_a_message_that_was_deleted,
    the_cursor_is_what_was_saved,
}

const fn at(seq: Seq) -> Position {
    Position {
        epoch: Epoch(1),
        seq,
    }
}

fn naming(says: &str, users: &[&str], all: bool) -> EventBody {
    EventBody::Posted {
        text: Some(text(says)),
        reply_to: None,
        mentions: Mentions {
            users: users.iter().map(|user| user_id(user)).collect(),
            all,
        },
        clip: None,
    }
}

/// A room with alice, bob and carol.
async fn room_of_three(subject: &Subject, number: u128) -> Writer<'_> {
    let mut writer = Writer::create(&*subject.store, number).await;
    for (name, role) in [
        ("alice", Role::Owner),
        ("bob", Role::Member),
        ("carol", Role::Member),
    ] {
        let joined = member(name, Membership::Joined, role);
        writer.write("alice", None, joined).await;
    }
    writer
}

async fn unread(subject: &Subject, name: &str, room: &RoomId) -> (u64, u32, u32) {
    let info = subject.store.view(&user_id(name), room).await.unwrap();
    let Unread {
        read,
        count,
        mentions,
    } = info.unwrap().unread;
    (read.0, count, mentions)
}

async fn mark(subject: &Subject, name: &str, room: &RoomId, to: Position) -> Option<(u64, bool)> {
    let marked = subject.store.mark(&user_id(name), room, to).await.unwrap();
    let marked = marked.expect("there is the room").1;
    marked.map(|marked| (marked.unread.read.0, marked.has_moved))
}

async fn a_mark_moves_forward_only_and_not_beyond_the_head(subject: &Subject) {
    let mut writer = room_of_three(subject, 1).await;
    let first = writer.write("alice", Some(cid(1)), posted("one")).await;
    let second = writer.write("alice", Some(cid(2)), posted("two")).await;
    let room = writer.room.clone();
    assert_eq!(
        mark(subject, "bob", &room, at(second)).await,
        Some((second.0, true))
    );
    for back in [first, second, Seq::ZERO] {
        assert_eq!(
            mark(subject, "bob", &room, at(back)).await,
            Some((second.0, false))
        );
    }
    assert_eq!(mark(subject, "bob", &room, at(second.next())).await, None);
    let other = Position {
        epoch: Epoch(2),
        seq: first,
    };
    assert_eq!(mark(subject, "carol", &room, other).await, None);
    assert_eq!(mark(subject, "dora", &room, at(first)).await, None);
    let nowhere = RoomId::parse("r_none").unwrap();
    let marked = subject.store.mark(&user_id("bob"), &nowhere, at(first));
    assert_eq!(marked.await, Ok(None));
}

async fn messages_of_others_after_the_mark_are_unread(subject: &Subject) {
    let mut writer = room_of_three(subject, 1).await;
    let room = writer.room.clone();
    assert_eq!(unread(subject, "bob", &room).await, (0, 0, 0));
    let first = writer.write("alice", Some(cid(1)), posted("one")).await;
    let second = writer.write("bob", Some(cid(2)), posted("two")).await;
    let third = writer.write("carol", Some(cid(3)), posted("three")).await;
    assert_eq!(unread(subject, "bob", &room).await, (0, 2, 0));
    assert_eq!(unread(subject, "alice", &room).await, (0, 2, 0));
    mark(subject, "bob", &room, at(second)).await;
    assert_eq!(unread(subject, "bob", &room).await, (second.0, 1, 0));
    let deleted = EventBody::Deleted { target: third };
    writer.write("carol", Some(cid(4)), deleted).await;
    assert_eq!(unread(subject, "bob", &room).await, (second.0, 0, 0));
    // What was written before somebody came is not news to them, nor is it when they come again.
    let joined = |name| member(name, Membership::Joined, Role::Member);
    writer.write("dora", None, joined("dora")).await;
    assert_eq!(unread(subject, "dora", &room).await, (0, 0, 0));
    let left = member("bob", Membership::Left, Role::Member);
    writer.write("bob", None, left).await;
    assert_eq!(unread(subject, "bob", &room).await, (0, 0, 0));
    writer.write("bob", None, joined("bob")).await;
    assert_eq!(unread(subject, "bob", &room).await, (0, 0, 0));
    // A change of role is no new beginning.
    writer.write("alice", Some(cid(5)), posted("four")).await;
    let raised = member("bob", Membership::Joined, Role::Moderator);
    writer.write("alice", None, raised).await;
    assert_eq!(unread(subject, "bob", &room).await, (0, 1, 0));
    assert_eq!(unread(subject, "alice", &room).await, (0, 1, 0));
    assert_eq!(first, Seq(5));
}

async fn who_mentions_one_is_counted_and_forgotten_with_the_text(subject: &Subject) {
    let mut writer = room_of_three(subject, 1).await;
    let room = writer.room.clone();
    let first = writer
        .write(
            "alice",
            Some(cid(1)),
            naming("@bob", &["bob", "carol"], false),
        )
        .await;
    let everybody = naming("@all", &["bob"], true);
    let second = writer.write("alice", Some(cid(2)), everybody).await;
    assert_eq!(unread(subject, "bob", &room).await, (0, 2, 2));
    assert_eq!(unread(subject, "carol", &room).await, (0, 2, 2));
    assert_eq!(unread(subject, "alice", &room).await, (0, 0, 0));
    let edited = |target, users: &[&str]| EventBody::Edited {
        target,
        text: Some(text("edited")),
        mentions: Mentions {
            users: users.iter().map(|user| user_id(user)).collect(),
            all: false,
        },
    };
    writer
        .write("alice", Some(cid(3)), edited(first, &["carol"]))
        .await;
    assert_eq!(unread(subject, "bob", &room).await, (0, 2, 1));
    assert_eq!(unread(subject, "carol", &room).await, (0, 2, 2));
    for (number, target) in [(4, first), (5, second)] {
        let deleted = EventBody::Deleted { target };
        writer.write("alice", Some(cid(number)), deleted).await;
    }
    assert_eq!(unread(subject, "carol", &room).await, (0, 0, 0));
    let after = Some(Seq::ZERO).map(|after| kaiwa_chat::ports::LogRange {
        room: room.clone(),
        after,
        limit: 100,
    });
    let log = subject
        .store
        .read_logs(&user_id("alice"), after.into_iter().collect())
        .await
        .unwrap();
    for event in &log[0].events {
        if let EventBody::Posted { mentions, .. } | EventBody::Edited { mentions, .. } = &event.body
        {
            assert!(mentions.is_empty(), "{event:?}");
        }
    }
}

async fn counts_end_at_their_bound(subject: &Subject) {
    let mut writer = room_of_three(subject, 1).await;
    let room = writer.room.clone();
    for number in 0..u64::from(UNREAD) + 10 {
        let body = naming("x", &["bob"], false);
        writer.write("alice", Some(cid(number)), body).await;
    }
    assert_eq!(unread(subject, "bob", &room).await, (0, UNREAD, UNREAD));
    let total = subject.store.unread_of(&user_id("bob"), &[]).await.unwrap();
    assert_eq!(total.count, UNREAD);
}

async fn a_badge_leaves_rooms_out_and_its_version_grows(subject: &Subject) {
    let mut first = room_of_three(subject, 1).await;
    let mut second = room_of_three(subject, 2).await;
    let total = async |except: &[RoomId]| -> UnreadTotal {
        let total = subject.store.unread_of(&user_id("bob"), except).await;
        total.unwrap()
    };
    let before = total(&[]).await;
    assert_eq!(before.count, 0);
    let seq = first.write("alice", Some(cid(1)), posted("one")).await;
    second.write("alice", Some(cid(2)), posted("two")).await;
    let after = total(&[]).await;
    assert_eq!(after.count, 2);
    assert!(after.version > before.version);
    assert_eq!(total(&[second.room.clone()]).await.count, 1);
    mark(subject, "bob", &first.room, at(seq)).await;
    let marked = total(&[]).await;
    assert_eq!(marked.count, 1);
    assert!(marked.version > after.version);
    mark(subject, "bob", &first.room, at(seq)).await;
    assert_eq!(total(&[]).await, marked, "nothing changed");
}

async fn the_outbox_is_the_log_with_messages_as_they_are_now(subject: &Subject) {
    let mut writer = room_of_three(subject, 1).await;
    let body = naming("one", &["carol"], false);
    let first = writer.write("alice", Some(cid(1)), body).await;
    let answer = EventBody::Posted {
        text: Some(text("two")),
        reply_to: Some(first),
        mentions: Mentions::default(),
        clip: None,
    };
    writer.write("bob", Some(cid(2)), answer).await;
    let third = writer.write("bob", Some(cid(3)), posted("three")).await;
    let edited = EventBody::Edited {
        target: first,
        text: Some(text("one, better")),
        mentions: Mentions::default(),
    };
    writer.write("alice", Some(cid(4)), edited).await;
    let deleted = EventBody::Deleted { target: third };
    writer.write("bob", Some(cid(5)), deleted).await;
    let end = subject.outbox.end().await.unwrap();
    assert_eq!(end.0, writer.head().0);
    let all = subject.outbox.read_outbox(LogPos(0), 100).await.unwrap();
    let places: Vec<u64> = all.iter().map(|logged| logged.pos.0).collect();
    assert_eq!(places, (1..=end.0).collect::<Vec<_>>());
    let told: Vec<&Posted> = all
        .iter()
        .filter_map(|logged| logged.posted.as_deref())
        .collect();
    let texts: Vec<&str> = told.iter().map(|posted| posted.text.0.as_str()).collect();
    assert_eq!(texts, ["one, better", "two"]);
    assert!(told[0].mentions.is_empty(), "the edit names nobody");
    assert_eq!(told[0].answers, None);
    assert_eq!(told[1].answers, Some(user_id("alice")));
    assert_eq!((told[1].title.as_str(), told[1].joined), ("Room 1", 3));
    assert_eq!(told[1].sender.id, user_id("bob"));
    let some = subject.outbox.read_outbox(LogPos(3), 2).await.unwrap();
    assert_eq!(some.iter().map(|l| l.pos.0).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(some[1].time, all[4].time);
}

async fn candidates_have_joined_before_and_not_read(subject: &Subject) {
    let mut writer = room_of_three(subject, 1).await;
    let room = writer.room.clone();
    let invited = member("ivan", Membership::Invited, Role::Member);
    writer.write("alice", None, invited).await;
    let seq = writer.write("alice", Some(cid(1)), posted("one")).await;
    let joined = member("dora", Membership::Joined, Role::Member);
    writer.write("dora", None, joined).await;
    let ask_but = async |leaves_out: Option<&str>, among: Among, limit: usize| -> Vec<String> {
        let question = Question {
            room: room.clone(),
            seq,
            message: seq,
            sender: leaves_out.map(user_id),
            among,
            limit,
        };
        let found = subject.outbox.candidates(vec![question]).await.unwrap();
        found[0].iter().map(UserId::to_string).collect()
    };
    let ask = async |among: Among, limit: usize| ask_but(Some("alice"), among, limit).await;
    let all = Among::MembersAfter(None);
    assert_eq!(ask_but(None, all, 10).await, ["alice", "bob", "carol"]);
    assert_eq!(ask(Among::MembersAfter(None), 10).await, ["bob", "carol"]);
    assert_eq!(ask(Among::MembersAfter(None), 1).await, ["bob"]);
    let after = Among::MembersAfter(Some(user_id("bob")));
    assert_eq!(ask(after, 10).await, ["carol"]);
    let these = || ["alice", "carol", "dora", "ivan"].map(user_id).to_vec();
    assert_eq!(ask(Among::These(these()), 10).await, ["carol"]);
    mark(subject, "carol", &room, at(seq)).await;
    assert_eq!(ask(Among::MembersAfter(None), 10).await, ["bob"]);
    let left = member("bob", Membership::Left, Role::Member);
    writer.write("bob", None, left).await;
    assert!(ask(Among::MembersAfter(None), 10).await.is_empty());
}

async fn nobody_is_a_candidate_of_a_message_that_was_deleted(subject: &Subject) {
    let mut writer = room_of_three(subject, 1).await;
    let room = writer.room.clone();
    let gone = writer.write("alice", Some(cid(1)), posted("oops")).await;
    let stays = writer.write("alice", Some(cid(2)), posted("tea?")).await;
    let deleted = EventBody::Deleted { target: gone };
    writer.write("alice", Some(cid(3)), deleted).await;
    let question = |seq: Seq, among| Question {
        room: room.clone(),
        seq,
        message: seq,
        sender: Some(user_id("alice")),
        among,
        limit: 10,
    };
    let these = || Among::These(vec![user_id("bob"), user_id("carol")]);
    let questions = [gone, stays].into_iter().flat_map(|seq| {
        [
            question(seq, these()),
            question(seq, Among::MembersAfter(None)),
        ]
    });
    let found = subject
        .outbox
        .candidates(questions.collect())
        .await
        .unwrap();
    let counts: Vec<usize> = found.iter().map(Vec::len).collect();
    assert_eq!(counts, [0, 0, 2, 2]);
}

async fn the_cursor_is_what_was_saved(subject: &Subject) {
    assert_eq!(subject.outbox.cursor().await, Ok(Some(LogPos(0))));
    subject.outbox.save_cursor(LogPos(7)).await.unwrap();
    assert_eq!(subject.outbox.cursor().await, Ok(Some(LogPos(7))));
}
