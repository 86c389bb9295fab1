//! The service over both stores.

use crate::support::{
    Recorder, actor, committed, fresh_cid, group, info, refused, room, seen, send, text, user_id,
};
use kaiwa_chat::adapters::memory::MemoryStore;
use kaiwa_chat::adapters::sqlite::SqliteStore;
use kaiwa_chat::bus::{Bus, Published};
use kaiwa_chat::error::ChatError;
use kaiwa_chat::model::{
    CatchUp, HistoryFrom, Membership, ResetReason, Role, RoomKind, Visibility, Write,
};
use kaiwa_chat::ports::Store;
use kaiwa_chat::service::{Chat, ChatOptions};
use kaiwa_common::position::{Epoch, Position, Seq};
use std::sync::Arc;
use tempfile::TempDir;

/// A service over a store, and the bus that listens.
struct Server {
    chat: Chat,
    bus: Arc<Recorder>,
    _dir: Option<TempDir>,
}

fn start(store: Arc<dyn Store>, dir: Option<TempDir>) -> Server {
    let bus = Arc::new(Recorder::default());
    let chat = Chat::start(
        store,
        Arc::clone(&bus) as Arc<dyn Bus>,
        ChatOptions::default(),
    );
    Server {
        chat,
        bus,
        _dir: dir,
    }
}

fn memory() -> Server {
    start(Arc::new(MemoryStore::new()), None)
}

fn sqlite() -> Server {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&dir.path().join("chat.db")).unwrap();
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
    let names: Vec<String> = (0..16).map(|n| format!("user{n}")).collect();
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
    // 2 for the creation, 15 joins, 320 messages.
    let seqs = server.bus.seqs(&public);
    assert_eq!(seqs, (1..=337).map(Seq).collect::<Vec<_>>());
}
