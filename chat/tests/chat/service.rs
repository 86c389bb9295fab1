//! The service over both stores.

use crate::support::{
    Recorder, actor, cid_at, committed, fresh_cid, group, info, open_fast, refused, room, seen,
    send, text, user_id,
};
use kaiwa_chat::adapters::memory::MemoryStore;
use kaiwa_chat::bus::{Bus, Published};
use kaiwa_chat::error::ChatError;
use kaiwa_chat::model::{
    Actor, CatchUp, HistoryFrom, Membership, Mentions, ResetReason, Role, RoomKind, Visibility,
    Write, Written,
};
use kaiwa_chat::ports::Store;
use kaiwa_chat::service::{Chat, ChatOptions};
use kaiwa_common::limits::Limits;
use kaiwa_common::position::{Epoch, Position, Seq};
use kaiwa_common::time::UnixMs;
use kaiwa_common::token::ServerRole;
use std::sync::Arc;
use tempfile::TempDir;

/// A service over a store, and the bus that listens.
pub(crate) struct Server {
    pub(crate) chat: Chat,
    pub(crate) bus: Arc<Recorder>,
    pub(crate) dir: Option<TempDir>,
}

pub(crate) fn start(store: Arc<dyn Store>, dir: Option<TempDir>) -> Server {
    let bus = Arc::new(Recorder::default());
    let limits = Limits {
        room_members: 12,
        rooms_per_user: 5,
        ..Limits::default()
    };
    let options = ChatOptions {
        limits,
        ..ChatOptions::default()
    };
    let chat = Chat::start(store, Arc::clone(&bus) as Arc<dyn Bus>, options);
    Server { chat, bus, dir }
}

pub(crate) fn memory() -> Server {
    start(Arc::new(MemoryStore::new()), None)
}

pub(crate) fn sqlite() -> Server {
    let dir = tempfile::tempdir().unwrap();
    let store = open_fast(&dir.path().join("chat.db"));
    start(Arc::new(store), Some(dir))
}

macro_rules! over_both_stores {
    ($($name:ident),* $(,)?) => {
        mod over_memory {
            $(#[tokio::test] async fn $name() { super::$name(super::memory()).await; })*
        }
        mod over_sqlite {
            $(#[tokio::test] async fn $name() { super::$name(super::sqlite()).await; })*
        }
    };
}

over_both_stores! {
    a_message_is_readable_once_it_is_acknowledged,
    the_same_cid_gives_the_first_result_again,
    a_pair_meets_in_one_room_whoever_opens_it,
    a_retried_creation_gives_the_same_room,
    a_rejected_write_does_not_hold_up_others,
    membership_is_told_to_those_whom_it_concerns,
    a_private_room_does_not_exist_for_outsiders,
    reading_on_says_when_it_cannot,
    a_drained_service_answers_what_it_took_and_takes_no_more,
    many_writers_get_one_dense_order,
    a_retry_gets_its_first_result_though_the_permission_is_gone,
    what_a_message_may_become,
    the_last_owner_stays_or_hands_over,
    who_comes_into_an_empty_room_owns_it,
    roles_and_removals_follow_the_table,
    a_viewer_reads_and_joins_and_writes_nothing,
    an_admin_joins_any_room_and_moderates_it,
    invitations_count_and_answer_once,
    bounds_on_members_and_rooms_are_kept,
    an_old_cid_is_refused,
    a_panic_costs_one_room_and_that_room_comes_back,
}

async fn a_message_is_readable_once_it_is_acknowledged(server: Server) {
    let chat = &server.chat;
    seen(chat, &["alice", "bob"]).await;
    let room = info(chat, "alice", group(fresh_cid(), &["bob"])).await.room;
    let sent = committed(chat, "alice", send(&room, fresh_cid(), "hello")).await;
    assert_eq!(
        sent.position,
        Position {
            epoch: Epoch(1),
            seq: Seq(4)
        }
    );
    let page = chat
        .history(&actor("alice"), &room, HistoryFrom::Newest, 0)
        .await
        .unwrap();
    assert_eq!(page.as_of, Seq(4));
    assert_eq!(page.messages.len(), 1);
    assert_eq!(page.messages[0].text, Some(text("hello")));
    assert_eq!(page.messages[0].sender.name.0, "ALICE");
    // Once the answer is there, so is the publication, or it follows at once.
    tokio::task::yield_now().await;
    assert_eq!(server.bus.seqs(&room), [1, 2, 3, 4].map(Seq));
}

async fn the_same_cid_gives_the_first_result_again(server: Server) {
    let chat = &server.chat;
    seen(chat, &["alice"]).await;
    let room = info(chat, "alice", group(fresh_cid(), &[])).await.room;
    let cid = fresh_cid();
    let first = committed(chat, "alice", send(&room, cid, "hello")).await;
    let again = committed(chat, "alice", send(&room, cid, "something else")).await;
    assert!(again.dup);
    assert_eq!((again.position, again.time), (first.position, first.time));
    let delete = Write::Delete {
        room: room.clone(),
        cid,
        target: first.position.seq,
    };
    assert_eq!(refused(chat, "alice", delete).await, ChatError::CidConflict);
}

async fn a_pair_meets_in_one_room_whoever_opens_it(server: Server) {
    let chat = &server.chat;
    seen(chat, &["alice", "bob"]).await;
    let open = |peer: &str| Write::OpenDirect {
        peer: user_id(peer),
    };
    let (hers, his) = tokio::join!(
        info(chat, "alice", open("bob")),
        info(chat, "bob", open("alice"))
    );
    assert_eq!(hers.room, his.room);
    assert_eq!(hers.peer.map(|peer| peer.id), Some(user_id("bob")));
    assert_eq!(his.peer.map(|peer| peer.id), Some(user_id("alice")));
    assert_eq!(hers.members, 2);
    assert_eq!(
        refused(chat, "alice", open("carol")).await,
        ChatError::UserNotFound
    );
    assert!(matches!(
        refused(chat, "alice", open("alice")).await,
        ChatError::Invalid { .. }
    ));
    let leave = Write::Leave { room: his.room };
    assert_eq!(refused(chat, "bob", leave).await, ChatError::WrongRoomKind);
}

async fn a_retried_creation_gives_the_same_room(server: Server) {
    let chat = &server.chat;
    seen(chat, &["alice", "bob"]).await;
    let cid = fresh_cid();
    let first = info(chat, "alice", group(cid, &[])).await;
    let again = info(chat, "alice", group(cid, &["bob"])).await;
    assert_eq!(first, again);
    let his = info(chat, "bob", group(cid, &[])).await;
    assert_ne!(first.room, his.room, "a cid belongs to its sender");
}

async fn a_rejected_write_does_not_hold_up_others(server: Server) {
    let chat = &server.chat;
    seen(chat, &["alice", "bob"]).await;
    let room = info(chat, "alice", group(fresh_cid(), &[])).await.room;
    let (alice, bob) = (actor("alice"), actor("bob"));
    let good = chat.submit(&alice, send(&room, fresh_cid(), "one"));
    let bad = chat.submit(&bob, send(&room, fresh_cid(), "not mine"));
    let empty = chat.submit(&alice, send(&room, fresh_cid(), ""));
    let also_good = chat.submit(&alice, send(&room, fresh_cid(), "two"));
    let (good, bad, empty, also_good) = tokio::join!(good, bad, empty, also_good);
    assert!(good.is_ok() && also_good.is_ok());
    assert_eq!(bad, Err(ChatError::RoomNotFound));
    assert!(matches!(
        empty,
        Err(ChatError::Invalid { field: "text", .. })
    ));
}

async fn membership_is_told_to_those_whom_it_concerns(server: Server) {
    let chat = &server.chat;
    seen(chat, &["alice", "bob"]).await;
    let room = info(chat, "alice", group(fresh_cid(), &["bob"])).await.room;
    committed(chat, "alice", send(&room, fresh_cid(), "welcome")).await;
    let joined = info(chat, "bob", Write::Join { room: room.clone() }).await;
    assert_eq!(joined.membership, Membership::Joined);
    assert_eq!(
        joined.last.and_then(|last| last.text),
        Some(text("welcome"))
    );
    let remove = Write::Remove {
        room: room.clone(),
        user: user_id("bob"),
    };
    let removed = committed(chat, "alice", remove).await;
    let last = last_change(&server.bus.published());
    assert_eq!(last.user, user_id("bob"));
    assert_eq!(last.version, removed.position.seq);
    assert_eq!(
        (last.info.membership, last.info.role),
        (Membership::Left, Role::Guest)
    );
    assert_eq!((last.info.members, last.info.last), (1, None));
    let found = chat.members(&actor("alice"), &room, None, 0).await.unwrap();
    assert_eq!(found.items.len(), 1);
    let mine = chat.rooms(&actor("bob"), None, 0).await.unwrap();
    assert!(mine.items.is_empty());
}

fn last_change(published: &[Published]) -> kaiwa_chat::bus::MemberChange {
    published
        .iter()
        .rev()
        .find_map(|p| p.changes.last().cloned())
        .expect("a change")
}

async fn a_private_room_does_not_exist_for_outsiders(server: Server) {
    let chat = &server.chat;
    seen(chat, &["alice", "bob"]).await;
    let hidden = info(chat, "alice", group(fresh_cid(), &[])).await.room;
    let public = info(
        chat,
        "alice",
        room(fresh_cid(), RoomKind::Group, Visibility::Public, &[]),
    )
    .await;
    let bob = actor("bob");
    assert_eq!(chat.room(&bob, &hidden).await, Err(ChatError::RoomNotFound));
    let join = Write::Join {
        room: hidden.clone(),
    };
    assert_eq!(refused(chat, "bob", join).await, ChatError::RoomNotFound);
    let heads = chat
        .authorize_read(&bob, vec![hidden.clone(), public.room.clone()])
        .await;
    assert_eq!(
        heads,
        [Err(ChatError::RoomNotFound), Err(ChatError::NotAMember)]
    );
    let seen = chat.room(&bob, &public.room).await.unwrap();
    assert_eq!(seen.membership, Membership::Left);
    let listed = chat.browse(&bob, None, 0).await.unwrap();
    assert_eq!(listed.items.len(), 1);
    info(
        chat,
        "bob",
        Write::Join {
            room: public.room.clone(),
        },
    )
    .await;
    assert!(chat.authorize_read(&bob, vec![public.room]).await[0].is_ok());
}

async fn reading_on_says_when_it_cannot(server: Server) {
    let chat = &server.chat;
    seen(chat, &["alice"]).await;
    let room = info(chat, "alice", group(fresh_cid(), &[])).await.room;
    for _ in 0..5 {
        committed(chat, "alice", send(&room, fresh_cid(), "x")).await;
    }
    let at = |epoch, seq| {
        (
            room.clone(),
            Position {
                epoch: Epoch(epoch),
                seq: Seq(seq),
            },
        )
    };
    let asked = vec![at(1, 2), at(1, 7), at(1, 8), at(2, 1), at(0, 0)];
    let found = chat.catch_up(&actor("alice"), asked, 3).await;
    let Ok(CatchUp::Events(page)) = &found[0] else {
        panic!("{found:?}")
    };
    let seqs: Vec<_> = page
        .events
        .iter()
        .map(|event| event.position.seq.0)
        .collect();
    assert_eq!((seqs, page.more), (vec![3, 4, 5], true));
    let Ok(CatchUp::Events(page)) = &found[1] else {
        panic!("{found:?}")
    };
    assert_eq!((page.events.len(), page.more), (0, false));
    assert!(matches!(
        found[2],
        Ok(CatchUp::Reset {
            reason: ResetReason::Ahead,
            ..
        })
    ));
    assert!(matches!(
        found[3],
        Ok(CatchUp::Reset {
            reason: ResetReason::Epoch,
            ..
        })
    ));
    let Ok(CatchUp::Events(page)) = &found[4] else {
        panic!("{found:?}")
    };
    assert_eq!(
        (page.events.len(), page.more, page.head.seq),
        (0, false, Seq(7))
    );
}

async fn a_drained_service_answers_what_it_took_and_takes_no_more(server: Server) {
    let chat = &server.chat;
    seen(chat, &["alice"]).await;
    let room = info(chat, "alice", group(fresh_cid(), &[])).await.room;
    let alice = actor("alice");
    let taken: Vec<_> = (0..50)
        .map(|_| chat.submit(&alice, send(&room, fresh_cid(), "x")))
        .collect();
    chat.drain().await;
    for answer in taken {
        assert!(answer.await.is_ok());
    }
    assert_eq!(
        refused(chat, "alice", send(&room, fresh_cid(), "x")).await,
        ChatError::Draining
    );
}

async fn many_writers_get_one_dense_order(server: Server) {
    let chat = &server.chat;
    let names: Vec<String> = (0..12).map(|n| format!("user{n}")).collect();
    let public = {
        seen(chat, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
        info(
            chat,
            "user0",
            room(fresh_cid(), RoomKind::Group, Visibility::Public, &[]),
        )
        .await
        .room
    };
    let mut writers = Vec::new();
    for name in names {
        let (chat, public) = (chat.clone(), public.clone());
        writers.push(tokio::spawn(async move {
            let who = actor(&name);
            chat.submit(
                &who,
                Write::Join {
                    room: public.clone(),
                },
            )
            .await
            .expect("joined");
            for n in 0..20 {
                let write = send(&public, fresh_cid(), &format!("{name} {n}"));
                chat.submit(&who, write).await.expect("sent");
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    // 2 for the creation, 11 joins, 240 messages.
    let seqs = server.bus.seqs(&public);
    assert_eq!(seqs, (1..=253).map(Seq).collect::<Vec<_>>());
}

async fn a_retry_gets_its_first_result_though_the_permission_is_gone(server: Server) {
    let chat = &server.chat;
    seen(chat, &["alice", "bob"]).await;
    let room = info(chat, "alice", group(fresh_cid(), &["bob"])).await.room;
    info(chat, "bob", Write::Join { room: room.clone() }).await;
    let cid = fresh_cid();
    let first = committed(chat, "bob", send(&room, cid, "hello")).await;
    let remove = Write::Remove {
        room: room.clone(),
        user: user_id("bob"),
    };
    committed(chat, "alice", remove).await;
    let again = committed(chat, "bob", send(&room, cid, "hello")).await;
    assert_eq!((again.position, again.dup), (first.position, true));
    let anew = refused(chat, "bob", send(&room, fresh_cid(), "hello")).await;
    assert_eq!(anew, ChatError::RoomNotFound);
}

async fn what_a_message_may_become(server: Server) {
    let chat = &server.chat;
    seen(chat, &["alice", "bob"]).await;
    let room = info(chat, "alice", group(fresh_cid(), &["bob"])).await.room;
    info(chat, "bob", Write::Join { room: room.clone() }).await;
    let target = committed(chat, "bob", send(&room, fresh_cid(), "hello"))
        .await
        .position
        .seq;
    let edit = |target| Write::Edit {
        room: room.clone(),
        cid: fresh_cid(),
        target,
        text: text("better"),
        mentions: Mentions::default(),
    };
    let delete = |target| Write::Delete {
        room: room.clone(),
        cid: fresh_cid(),
        target,
    };
    let reply = |target| Write::Send {
        room: room.clone(),
        cid: fresh_cid(),
        text: text("yes"),
        reply_to: Some(target),
        mentions: Mentions::default(),
    };
    assert!(matches!(
        refused(chat, "alice", edit(target)).await,
        ChatError::Forbidden { .. }
    ));
    committed(chat, "bob", edit(target)).await;
    // Events that are no messages, and places that are not there yet.
    for wrong in [Seq(1), Seq(2), Seq(99), Seq(u64::MAX)] {
        for write in [edit(wrong), delete(wrong), reply(wrong)] {
            assert_eq!(
                refused(chat, "bob", write).await,
                ChatError::MessageNotFound,
                "{wrong}"
            );
        }
    }
    committed(chat, "alice", reply(target)).await;
    committed(chat, "alice", delete(target)).await;
    for write in [edit(target), delete(target)] {
        assert_eq!(refused(chat, "bob", write).await, ChatError::MessageDeleted);
    }
    committed(chat, "bob", reply(target)).await;
    let page = chat
        .history(&actor("bob"), &room, HistoryFrom::Newest, 0)
        .await
        .unwrap();
    let message = &page.messages[0];
    assert_eq!((message.seq, &message.text), (target, &None));
    assert!(message.edited.is_some() && message.deleted.is_some());
}

async fn the_last_owner_stays_or_hands_over(server: Server) {
    let chat = &server.chat;
    seen(chat, &["alice", "bob"]).await;
    let room = info(chat, "alice", group(fresh_cid(), &["bob"])).await.room;
    info(chat, "bob", Write::Join { room: room.clone() }).await;
    let leave = || Write::Leave { room: room.clone() };
    let role = |name, role| Write::SetRole {
        room: room.clone(),
        user: user_id(name),
        role,
    };
    assert_eq!(refused(chat, "alice", leave()).await, ChatError::LastOwner);
    let step_down = role("alice", Role::Member);
    assert_eq!(
        refused(chat, "alice", step_down).await,
        ChatError::LastOwner
    );
    committed(chat, "alice", role("bob", Role::Owner)).await;
    committed(chat, "alice", leave()).await;
    assert_eq!(
        refused(chat, "alice", leave()).await,
        ChatError::RoomNotFound
    );
    committed(chat, "bob", leave()).await;
}

async fn who_comes_into_an_empty_room_owns_it(server: Server) {
    let chat = &server.chat;
    seen(chat, &["alice", "bob"]).await;
    let public = room(fresh_cid(), RoomKind::Group, Visibility::Public, &[]);
    let room = info(chat, "alice", public).await.room;
    committed(chat, "alice", Write::Leave { room: room.clone() }).await;
    let joined = info(chat, "bob", Write::Join { room: room.clone() }).await;
    assert_eq!((joined.role, joined.members), (Role::Owner, 1));
    assert_eq!(
        info(chat, "alice", Write::Join { room }).await.role,
        Role::Member
    );
}

async fn roles_and_removals_follow_the_table(server: Server) {
    let chat = &server.chat;
    seen(chat, &["alice", "bob", "carol", "dan"]).await;
    let kind = RoomKind::Broadcast;
    let new = room(fresh_cid(), kind, Visibility::Private, &["bob", "carol"]);
    let room = info(chat, "alice", new).await.room;
    for name in ["bob", "carol"] {
        assert_eq!(
            info(chat, name, Write::Join { room: room.clone() })
                .await
                .role,
            Role::Member
        );
    }
    let role = |name, role| Write::SetRole {
        room: room.clone(),
        user: user_id(name),
        role,
    };
    let remove = |name| Write::Remove {
        room: room.clone(),
        user: user_id(name),
    };
    let invite = |name| Write::Invite {
        room: room.clone(),
        user: user_id(name),
    };
    let forbidden = |error| matches!(error, ChatError::Forbidden { .. });
    assert!(forbidden(
        refused(chat, "bob", send(&room, fresh_cid(), "x")).await
    ));
    assert!(forbidden(refused(chat, "bob", invite("dan")).await));
    assert!(forbidden(
        refused(chat, "bob", role("bob", Role::Owner)).await
    ));
    committed(chat, "alice", role("bob", Role::Moderator)).await;
    committed(chat, "bob", send(&room, fresh_cid(), "x")).await;
    committed(chat, "bob", invite("dan")).await;
    assert!(forbidden(refused(chat, "bob", remove("alice")).await));
    // An invitation is taken back in the same way.
    committed(chat, "bob", remove("dan")).await;
    committed(chat, "bob", remove("carol")).await;
    assert!(matches!(
        refused(chat, "bob", remove("carol")).await,
        ChatError::Invalid { .. }
    ));
    committed(chat, "alice", role("bob", Role::Owner)).await;
    committed(chat, "alice", remove("bob")).await;
}

async fn a_viewer_reads_and_joins_and_writes_nothing(server: Server) {
    let chat = &server.chat;
    seen(chat, &["alice", "bob"]).await;
    let public = room(fresh_cid(), RoomKind::Group, Visibility::Public, &[]);
    let room = info(chat, "alice", public).await.room;
    let bob = Actor {
        role: ServerRole::Viewer,
        ..actor("bob")
    };
    assert!(
        chat.submit(&bob, Write::Join { room: room.clone() })
            .await
            .is_ok()
    );
    assert!(
        chat.history(&bob, &room, HistoryFrom::Newest, 0)
            .await
            .is_ok()
    );
    for write in [
        send(&room, fresh_cid(), "x"),
        group(fresh_cid(), &[]),
        Write::OpenDirect {
            peer: user_id("alice"),
        },
        Write::Invite {
            room: room.clone(),
            user: user_id("alice"),
        },
    ] {
        assert!(matches!(
            chat.submit(&bob, write).await,
            Err(ChatError::Forbidden { .. })
        ));
    }
    assert!(chat.submit(&bob, Write::Leave { room }).await.is_ok());
}

async fn an_admin_joins_any_room_and_moderates_it(server: Server) {
    let chat = &server.chat;
    seen(chat, &["alice", "root"]).await;
    let room = info(chat, "alice", group(fresh_cid(), &[])).await.room;
    let target = committed(chat, "alice", send(&room, fresh_cid(), "x"))
        .await
        .position
        .seq;
    let root = Actor {
        role: ServerRole::Admin,
        ..actor("root")
    };
    assert_eq!(
        chat.authorize_read(&root, vec![room.clone()]).await,
        [Err(ChatError::NotAMember)]
    );
    let joined = chat
        .submit(&root, Write::Join { room: room.clone() })
        .await
        .unwrap();
    let Written::Room(joined) = joined else {
        panic!("a join gives the room")
    };
    assert_eq!(
        joined.role,
        Role::Member,
        "the role in the room is what others see"
    );
    let delete = Write::Delete {
        room: room.clone(),
        cid: fresh_cid(),
        target,
    };
    assert!(chat.submit(&root, delete).await.is_ok());
    let remove = Write::Remove {
        room,
        user: user_id("alice"),
    };
    assert!(matches!(
        chat.submit(&root, remove).await,
        Err(ChatError::Forbidden { .. })
    ));
}

async fn invitations_count_and_answer_once(server: Server) {
    let chat = &server.chat;
    seen(chat, &["alice", "bob"]).await;
    let room = info(chat, "alice", group(fresh_cid(), &[])).await.room;
    let invite = |name| Write::Invite {
        room: room.clone(),
        user: user_id(name),
    };
    assert_eq!(
        refused(chat, "alice", invite("nobody")).await,
        ChatError::UserNotFound
    );
    let first = committed(chat, "alice", invite("bob")).await;
    let again = committed(chat, "alice", invite("bob")).await;
    assert_eq!((again.position, again.dup), (first.position, true));
    assert_eq!(
        refused(chat, "bob", send(&room, fresh_cid(), "x")).await,
        ChatError::NotAMember
    );
    let bob = actor("bob");
    assert_eq!(
        chat.room(&bob, &room).await.unwrap().membership,
        Membership::Invited
    );
    assert_eq!(chat.rooms(&bob, None, 0).await.unwrap().items.len(), 1);
    info(chat, "bob", Write::Join { room: room.clone() }).await;
    let head = chat.room(&bob, &room).await.unwrap().head;
    info(chat, "bob", Write::Join { room: room.clone() }).await;
    assert_eq!(
        chat.room(&bob, &room).await.unwrap().head,
        head,
        "joining again changes nothing"
    );
}

async fn bounds_on_members_and_rooms_are_kept(server: Server) {
    let chat = &server.chat;
    let names: Vec<String> = (0..13).map(|n| format!("user{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    seen(chat, &names).await;
    let full = room(
        fresh_cid(),
        RoomKind::Group,
        Visibility::Public,
        &names[1..12],
    );
    let full = info(chat, "user0", full).await;
    let join = Write::Join {
        room: full.room.clone(),
    };
    assert_eq!(
        refused(chat, "user12", join).await,
        ChatError::RoomFull { limit: 12 }
    );
    // Who is invited has their place.
    info(chat, "user1", Write::Join { room: full.room }).await;
    for _ in 0..4 {
        info(chat, "user0", group(fresh_cid(), &[])).await;
    }
    let sixth = refused(chat, "user0", group(fresh_cid(), &[])).await;
    assert_eq!(sixth, ChatError::TooManyRooms { limit: 5 });
    let invited = refused(chat, "user2", group(fresh_cid(), &["user0"])).await;
    assert_eq!(invited, ChatError::TooManyRooms { limit: 5 });
}

async fn an_old_cid_is_refused(server: Server) {
    let chat = &server.chat;
    seen(chat, &["alice"]).await;
    let room = info(chat, "alice", group(fresh_cid(), &[])).await.room;
    let day = 24 * 3600 * 1000;
    let now = UnixMs::now().0;
    for made in [now - 8 * day, now + 2 * day] {
        let write = send(&room, cid_at(1, UnixMs(made)), "x");
        assert_eq!(refused(chat, "alice", write).await, ChatError::CidExpired);
    }
    committed(
        chat,
        "alice",
        send(&room, cid_at(1, UnixMs(now - 6 * day)), "x"),
    )
    .await;
}

/// The recorder panics for a message that says so, on the task that runs the room.
async fn a_panic_costs_one_room_and_that_room_comes_back(server: Server) {
    let chat = &server.chat;
    seen(chat, &["alice"]).await;
    let room = info(chat, "alice", group(fresh_cid(), &[])).await.room;
    let other = info(chat, "alice", group(fresh_cid(), &[])).await.room;
    let alice = actor("alice");
    let cid = fresh_cid();
    // The answer comes before the publication, and those that wait behind it hear that it failed.
    let panics = chat.submit(&alice, send(&room, cid, "PANIC"));
    let beside = chat.submit(&alice, send(&other, fresh_cid(), "beside"));
    let (panics, beside) = tokio::join!(panics, beside);
    assert!(panics.is_ok() && beside.is_ok());
    let again = committed(chat, "alice", send(&room, cid, "PANIC")).await;
    assert!(again.dup);
    let next = committed(chat, "alice", send(&room, fresh_cid(), "on we go")).await;
    assert_eq!(next.position.seq, again.position.seq.next());
    assert_eq!(chat.stats().panics(), 1);
}

/// A room that ten thousand follow is loaded and written as quickly as a small one: what is in memory
/// does not grow with it, and no command walks over its members.
#[tokio::test]
async fn a_broadcast_room_of_ten_thousand_works_like_a_small_one() {
    let store = Arc::new(MemoryStore::new());
    let options = || ChatOptions::default();
    let bus: Arc<Recorder> = Arc::default();
    let chat = Chat::start(Arc::clone(&store) as _, Arc::clone(&bus) as _, options());
    seen(&chat, &["alice"]).await;
    let new = room(fresh_cid(), RoomKind::Broadcast, Visibility::Public, &[]);
    let room = info(&chat, "alice", new).await.room;
    let mut joins = Vec::new();
    for n in 0..9_999 {
        let who = actor(&format!("user{n}"));
        chat.seen(&who).await.unwrap();
        joins.push(chat.submit(&who, Write::Join { room: room.clone() }));
        if joins.len() == 1_000 {
            for join in joins.drain(..) {
                join.await.unwrap();
            }
        }
    }
    for join in joins {
        join.await.unwrap();
    }
    // A new process: nothing is in memory.
    let chat = Chat::start(store as _, bus as _, options());
    let sent = committed(&chat, "alice", send(&room, fresh_cid(), "hello")).await;
    assert_eq!(sent.position.seq, Seq(10_002));
    let late = Write::Join { room: room.clone() };
    chat.seen(&actor("late")).await.unwrap();
    assert_eq!(
        refused(&chat, "late", late).await,
        ChatError::RoomFull { limit: 10_000 }
    );
    let page = chat
        .members(&actor("alice"), &room, Some("user5"), 3)
        .await
        .unwrap();
    let names: Vec<_> = page
        .items
        .iter()
        .map(|member| member.user.id.as_str())
        .collect();
    assert_eq!(names, ["user50", "user500", "user5000"]);
}
