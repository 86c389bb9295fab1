//! Clips as messages, over both stores.

use crate::service::Server;
use crate::support::{
    actor, clip_id, committed, fresh_cid, group, info, is_in_a_file, open_fast, refused, room,
    seen, send, text, user, user_id, view,
};
use futures_util::FutureExt as _;
use kaiwa_chat::adapters::memory::MemoryStore;
use kaiwa_chat::error::ChatError;
use kaiwa_chat::model::{
    Actor, CatchUp, ClipShown, ClipView, Committed, Event, EventBody, HistoryFrom, Mentions,
    Message, Rights, Role, RoomKind, Visibility, Write,
};
use kaiwa_chat::ports::{Among, Outbox, Question, Store};
use kaiwa_chat::service::Chat;
use kaiwa_common::id::RoomId;
use kaiwa_common::position::{Epoch, Position, Seq};
use kaiwa_common::token::ServerRole;
use std::sync::Arc;

macro_rules! over_both_stores {
    ($($name:ident),* $(,)?) => {
        mod over_memory {
            $(#[tokio::test] async fn $name() {
                super::$name(crate::service::memory()).await;
            })*
        }
        mod over_sqlite {
            $(#[tokio::test] async fn $name() {
                super::$name(crate::service::sqlite()).await;
            })*
        }
    };
}

over_both_stores! {
    a_clip_is_a_message_and_is_shown_as_it_is_now,
    the_same_post_again_gives_the_first_place,
    only_a_newer_view_of_the_same_clip_changes_anything,
    posting_needs_the_right_to_write_and_showing_nobodys,
    a_deleted_clip_is_erased_and_stays_deleted,
    the_server_removes_clips_and_nothing_else,
    a_clips_message_cannot_be_edited,
    changes_of_a_clip_are_not_unread,
    a_revocation_is_the_last_end_of_a_membership,
    rights_follow_the_role,
    progress_goes_to_the_bus_alone,
}

/// A room of alice, with bob in it.
async fn open(chat: &Chat) -> RoomId {
    seen(chat, &["alice", "bob", "carol"]).await;
    let room = info(chat, "alice", group(fresh_cid(), &["bob"])).await.room;
    info(chat, "bob", join(&room)).await;
    room
}

fn join(room: &RoomId) -> Write {
    Write::Join { room: room.clone() }
}

fn leave(room: &RoomId) -> Write {
    Write::Leave { room: room.clone() }
}

fn delete(room: &RoomId, target: Seq) -> Write {
    Write::Delete {
        room: room.clone(),
        cid: fresh_cid(),
        target,
    }
}

async fn post(chat: &Chat, room: &RoomId, name: &str, view: ClipView) -> Seq {
    let posted = chat.post_clip(room, &user(name), view).await.unwrap();
    assert!(!posted.dup);
    posted.position.seq
}

async fn posted_by(chat: &Chat, room: &RoomId, name: &str) -> Result<Committed, ChatError> {
    let uploading = view(1, 1, ClipShown::Uploading);
    chat.post_clip(room, &user(name), uploading).await
}

async fn messages(chat: &Chat, room: &RoomId) -> Vec<Message> {
    let reader = actor("alice");
    let page = chat.history(&reader, room, HistoryFrom::Newest, 0);
    page.await.unwrap().messages
}

async fn log(chat: &Chat, room: &RoomId) -> Vec<Event> {
    let start = Position {
        epoch: Epoch(1),
        seq: Seq::ZERO,
    };
    let reader = actor("alice");
    let read = chat.catch_up(&reader, vec![(room.clone(), start)], 100);
    match read.await.remove(0) {
        Ok(CatchUp::Events(page)) => page.events,
        other => panic!("no events: {other:?}"),
    }
}

async fn a_clip_is_a_message_and_is_shown_as_it_is_now(server: Server) {
    let chat = &server.chat;
    let room = open(chat).await;
    let uploading = view(1, 1, ClipShown::Uploading);
    let target = post(chat, &room, "alice", uploading.clone()).await;
    let ready = view(1, 7, ClipShown::Ready);
    chat.show_clip(&room, target, ready.clone()).await.unwrap();
    let shown = &messages(chat, &room).await[0];
    assert_eq!((shown.seq, shown.clip.as_deref()), (target, Some(&ready)));
    assert_eq!(shown.text, Some(text("clip 1")));
    assert_eq!(shown.edited, None, "it is no edit");
    let last = chat.room(&actor("bob"), &room).await.unwrap().last.unwrap();
    assert_eq!(last.clip.as_deref(), Some(&ready));
    // What the room's owner has in memory is what the store has.
    let again = info(chat, "bob", join(&room)).await.last.unwrap();
    assert_eq!(again.clip.as_deref(), Some(&ready));
    let log = log(chat, &room).await;
    let [.., posted, changed] = log.as_slice() else {
        panic!("two events");
    };
    let EventBody::Posted { clip, .. } = &posted.body else {
        panic!("the post: {posted:?}");
    };
    assert_eq!(clip.as_deref(), Some(&uploading));
    assert_eq!(posted.cid, Some(clip_id(1).cid()));
    let clip = Some(Box::new(ready));
    assert_eq!(changed.body, EventBody::ClipChanged { target, clip });
    assert_eq!((&changed.sender, changed.cid), (&user_id("alice"), None));
}

async fn the_same_post_again_gives_the_first_place(server: Server) {
    let chat = &server.chat;
    let room = open(chat).await;
    let first = post(chat, &room, "alice", view(1, 1, ClipShown::Uploading)).await;
    committed(chat, "bob", send(&room, fresh_cid(), "what is it?")).await;
    let later = view(1, 2, ClipShown::Processing);
    let again = chat.post_clip(&room, &user("alice"), later.clone()).await;
    let again = again.unwrap();
    assert_eq!((again.position.seq, again.dup), (first, true));
    // Also when she has left since, and when its cid is long purged.
    committed(chat, "alice", role(&room, "bob", Role::Owner)).await;
    committed(chat, "alice", leave(&room)).await;
    chat.keep_house().await;
    let again = chat.post_clip(&room, &user("alice"), later).await.unwrap();
    assert_eq!((again.position.seq, again.dup), (first, true));
    // In another room it is another message.
    let other = info(chat, "alice", group(fresh_cid(), &[])).await.room;
    post(chat, &other, "alice", view(1, 2, ClipShown::Processing)).await;
    // A client cannot take the key for something else.
    let clash = refused(chat, "alice", send(&other, clip_id(1).cid(), "mine")).await;
    assert_eq!(clash, ChatError::CidConflict);
}

async fn only_a_newer_view_of_the_same_clip_changes_anything(server: Server) {
    let chat = &server.chat;
    let room = open(chat).await;
    let target = post(chat, &room, "alice", view(1, 3, ClipShown::Processing)).await;
    let said = committed(chat, "bob", send(&room, fresh_cid(), "nice")).await;
    let said = said.position.seq;
    for (target, late) in [
        (target, view(1, 2, ClipShown::Uploading)),
        (target, view(1, 3, ClipShown::Failed)),
        (target, view(2, 9, ClipShown::Ready)),
        (said, view(1, 9, ClipShown::Ready)),
    ] {
        chat.show_clip(&room, target, late).await.unwrap();
    }
    assert_eq!(log(chat, &room).await.last().unwrap().position.seq, said);
    // Together, in whatever order, they leave the newest.
    let views = [5, 9, 4, 8].map(|version| view(1, version, ClipShown::Processing));
    let shown = views.map(|view| chat.show_clip(&room, target, view));
    for shown in futures_util::future::join_all(shown).await {
        shown.unwrap();
    }
    let clip = messages(chat, &room).await.remove(0).clip.unwrap();
    assert_eq!(clip.version, 9);
    let missing = chat.show_clip(&room, Seq(99), view(1, 9, ClipShown::Ready));
    assert_eq!(missing.await, Err(ChatError::MessageNotFound));
}

async fn posting_needs_the_right_to_write_and_showing_nobodys(server: Server) {
    let chat = &server.chat;
    let room = open(chat).await;
    let outsider = posted_by(chat, &room, "carol");
    assert_eq!(outsider.await, Err(ChatError::RoomNotFound));
    committed(chat, "alice", role(&room, "bob", Role::Guest)).await;
    let guest = posted_by(chat, &room, "bob");
    assert!(matches!(guest.await, Err(ChatError::Forbidden { .. })));
    committed(chat, "alice", role(&room, "bob", Role::Member)).await;
    let target = post(chat, &room, "bob", view(1, 1, ClipShown::Uploading)).await;
    committed(chat, "bob", leave(&room)).await;
    let ready = view(1, 2, ClipShown::Ready);
    chat.show_clip(&room, target, ready).await.unwrap();
    let changed = log(chat, &room).await.pop().unwrap();
    assert_eq!(changed.sender, user_id("bob"));
    chat.remove_clip(&room, target).await.unwrap();
    let deleted = log(chat, &room).await.pop().unwrap();
    assert_eq!(deleted.body, EventBody::Deleted { target });
    assert_eq!(deleted.sender, user_id("bob"));
    let nowhere = RoomId::parse("r_none").unwrap();
    let nowhere = chat.show_clip(&nowhere, target, view(1, 3, ClipShown::Ready));
    assert_eq!(nowhere.await, Err(ChatError::RoomNotFound));
}

async fn a_deleted_clip_is_erased_and_stays_deleted(server: Server) {
    let chat = &server.chat;
    let room = open(chat).await;
    let named = |version, title: &str| ClipView {
        title: text(title),
        ..view(1, version, ClipShown::Processing)
    };
    let target = post(chat, &room, "bob", named(1, "holiday in Mallorca")).await;
    let renamed = named(2, "holiday in Menorca");
    chat.show_clip(&room, target, renamed).await.unwrap();
    committed(chat, "alice", delete(&room, target)).await;
    let head = log(chat, &room).await.len();
    let late = named(3, "holiday in Formentera");
    chat.show_clip(&room, target, late).await.unwrap();
    chat.remove_clip(&room, target).await.unwrap();
    let log = log(chat, &room).await;
    assert_eq!(log.len(), head, "nothing changes any more");
    let shown = |event: &Event| match &event.body {
        EventBody::Posted { text, clip, .. } => Some(text.is_some() || clip.is_some()),
        EventBody::ClipChanged { clip, .. } => Some(clip.is_some()),
        _ => None,
    };
    let shown: Vec<bool> = log.iter().filter_map(shown).collect();
    assert_eq!(shown, [false, false]);
    let message = messages(chat, &room).await.remove(0);
    assert_eq!((message.text, message.clip), (None, None));
    chat.keep_house().await;
    if let Some(dir) = &server.dir {
        for gone in ["Mallorca", "Menorca", "Formentera"] {
            assert!(!is_in_a_file(dir.path(), gone), "{gone}");
        }
    }
}

#[tokio::test]
async fn a_deleted_message_of_a_clip_is_heard_of_until_it_is_forgotten_and_may_be_followed_by_another()
 {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("chat.db");
    let store = open_fast(&path);
    let server = crate::service::start(Arc::new(store.clone()), None);
    let chat = &server.chat;
    let room = open(chat).await;
    let said = committed(chat, "bob", send(&room, fresh_cid(), "no clip")).await;
    let target = post(chat, &room, "bob", view(1, 1, ClipShown::Ready)).await;
    committed(chat, "bob", delete(&room, said.position.seq)).await;
    store.recall_gone(&room, target).await.unwrap();
    assert_eq!(store.gone_clips(9).await, Ok(Vec::new()));
    committed(chat, "alice", delete(&room, target)).await;
    chat.drain().await;
    drop((server, store));

    let store = open_fast(&path);
    let heard = async || {
        let gone = store.gone_clips(9).await.unwrap();
        let named = gone.iter().map(|one| (one.clip, one.room.clone(), one.seq));
        (named.collect::<Vec<_>>(), gone)
    };
    let is_gone = vec![(clip_id(1), room.clone(), target)];
    assert_eq!(heard().await.0, is_gone);
    let (again, gone) = heard().await;
    assert_eq!(again, is_gone, "until it is forgotten");
    store.forget_gone(gone).await.unwrap();
    assert_eq!(heard().await.0, Vec::new());
    // Who is told to show it there again is told again.
    store.recall_gone(&room, target).await.unwrap();
    assert_eq!(heard().await.0, is_gone);
    store.forget_gone(heard().await.1).await.unwrap();

    // It is shown anew, once for each message that was deleted, and its deletion is heard of as well.
    let server = crate::service::start(Arc::new(store.clone()), None);
    let chat = &server.chat;
    let mut deleted = target;
    for _ in 0..2 {
        let anew = async || {
            let shown = view(1, 1, ClipShown::Ready);
            let bob = user("bob");
            let posted = chat.post_clip_anew(&room, &bob, shown, deleted);
            let posted = posted.await.unwrap();
            (posted.position.seq, posted.dup)
        };
        let (seq, dup) = anew().await;
        assert!(seq > deleted && !dup);
        assert_eq!(anew().await, (seq, true));
        committed(chat, "alice", delete(&room, seq)).await;
        assert_eq!(heard().await.0, [(clip_id(1), room.clone(), seq)]);
        store.forget_gone(heard().await.1).await.unwrap();
        deleted = seq;
    }
}

#[tokio::test]
async fn whoever_keeps_the_clips_is_rung_for_when_a_message_is_deleted() {
    let server = crate::service::memory();
    let chat = &server.chat;
    let room = open(chat).await;
    let target = post(chat, &room, "bob", view(1, 1, ClipShown::Ready)).await;
    let bell = chat.deleted();
    let rung = bell.notified().now_or_never();
    assert_eq!(rung, None, "not for other commits");
    committed(chat, "alice", delete(&room, target)).await;
    chat.drain().await;
    assert_eq!(bell.notified().now_or_never(), Some(()));
}

async fn the_server_removes_clips_and_nothing_else(server: Server) {
    let chat = &server.chat;
    let room = open(chat).await;
    let said = committed(chat, "bob", send(&room, fresh_cid(), "stays")).await;
    let not_a_clip = chat.remove_clip(&room, said.position.seq).await;
    assert_eq!(not_a_clip, Err(ChatError::MessageNotFound));
    let none = chat.remove_clip(&room, Seq(1)).await;
    assert_eq!(none, Err(ChatError::MessageNotFound), "no message at all");
    assert_eq!(messages(chat, &room).await[0].text, Some(text("stays")));
}

async fn a_clips_message_cannot_be_edited(server: Server) {
    let chat = &server.chat;
    let room = open(chat).await;
    let target = post(chat, &room, "bob", view(1, 1, ClipShown::Ready)).await;
    let edit = Write::Edit {
        room: room.clone(),
        cid: fresh_cid(),
        target,
        text: text("something else"),
        mentions: Mentions::default(),
    };
    let field = "target";
    let error = refused(chat, "bob", edit).await;
    assert!(
        matches!(error, ChatError::Invalid { field: f, .. } if f == field),
        "{error}"
    );
    // Its uploader may delete it, as any message of theirs.
    committed(chat, "bob", delete(&room, target)).await;
}

async fn changes_of_a_clip_are_not_unread(server: Server) {
    let chat = &server.chat;
    let room = open(chat).await;
    let target = post(chat, &room, "alice", view(1, 1, ClipShown::Uploading)).await;
    let unread = async || chat.room(&actor("bob"), &room).await.unwrap().unread.count;
    assert_eq!(unread().await, 1);
    let at = Position {
        epoch: Epoch(1),
        seq: target,
    };
    chat.mark(&actor("bob"), &room, at).await.unwrap();
    let ready = view(1, 2, ClipShown::Ready);
    chat.show_clip(&room, target, ready).await.unwrap();
    assert_eq!(unread().await, 0);
}

async fn a_revocation_is_the_last_end_of_a_membership(server: Server) {
    let chat = &server.chat;
    let room = open(chat).await;
    assert_eq!(chat.revocation(&room).await, Ok(0));
    let invite = Write::Invite {
        room: room.clone(),
        user: user_id("carol"),
    };
    committed(chat, "alice", invite).await;
    committed(chat, "carol", leave(&room)).await;
    committed(chat, "alice", role(&room, "bob", Role::Guest)).await;
    // Who was invited saw nothing, and a guest still does.
    assert_eq!(chat.revocation(&room).await, Ok(0));
    let left = committed(chat, "bob", leave(&room)).await.position.seq;
    assert_eq!(chat.revocation(&room).await, Ok(left.0));
    committed(chat, "alice", send(&room, fresh_cid(), "alone")).await;
    assert_eq!(chat.revocation(&room).await, Ok(left.0));
    let invite = Write::Invite {
        room: room.clone(),
        user: user_id("bob"),
    };
    committed(chat, "alice", invite).await;
    info(chat, "bob", join(&room)).await;
    let remove = Write::Remove {
        room: room.clone(),
        user: user_id("bob"),
    };
    let removed = committed(chat, "alice", remove).await.position.seq;
    assert_eq!(chat.revocation(&room).await, Ok(removed.0));
    let nowhere = RoomId::parse("r_none").unwrap();
    assert_eq!(
        chat.revocation(&nowhere).await,
        Err(ChatError::RoomNotFound)
    );
}

async fn rights_follow_the_role(server: Server) {
    let chat = &server.chat;
    let private = open(chat).await;
    let standing = async |name: &str, server: ServerRole, room: &RoomId| {
        let someone = Actor {
            role: server,
            ..actor(name)
        };
        chat.standing(&someone, room).await.unwrap()
    };
    let creator = ServerRole::Creator;
    assert_eq!(standing("alice", creator, &private).await, Rights::Moderate);
    assert_eq!(standing("bob", creator, &private).await, Rights::Write);
    let viewer = ServerRole::Viewer;
    assert_eq!(standing("bob", viewer, &private).await, Rights::Read);
    assert_eq!(standing("carol", creator, &private).await, Rights::Nothing);
    let admin = ServerRole::Admin;
    assert_eq!(standing("carol", admin, &private).await, Rights::Nothing);
    let stage = room(fresh_cid(), RoomKind::Broadcast, Visibility::Public, &[]);
    let stage = info(chat, "alice", stage).await.room;
    assert_eq!(standing("carol", creator, &stage).await, Rights::Nothing);
    info(chat, "carol", join(&stage)).await;
    assert_eq!(standing("carol", creator, &stage).await, Rights::Read);
    assert_eq!(standing("alice", creator, &stage).await, Rights::Moderate);
    let nowhere = RoomId::parse("r_none").unwrap();
    assert_eq!(standing("alice", creator, &nowhere).await, Rights::Nothing);
}

async fn progress_goes_to_the_bus_alone(server: Server) {
    let chat = &server.chat;
    let room = open(chat).await;
    let target = post(chat, &room, "alice", view(1, 1, ClipShown::Uploading)).await;
    let before = log(chat, &room).await;
    chat.clip_progress(&room, target, clip_id(1), 1, 250);
    let told = server.bus.progress();
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].percent, told[0].target), (100, target));
    assert_eq!(log(chat, &room).await, before);
}

fn role(room: &RoomId, name: &str, role: Role) -> Write {
    Write::SetRole {
        room: room.clone(),
        user: user_id(name),
        role,
    }
}

#[tokio::test]
async fn both_stores_tell_of_a_clip_at_the_event_by_which_it_is_first_ready() {
    let dir = tempfile::tempdir().unwrap();
    told_when_ready(&MemoryStore::new()).await;
    told_when_ready(&open_fast(&dir.path().join("chat.db"))).await;
}

async fn told_when_ready<S: Store + Outbox + Clone>(store: &S) {
    let server = crate::service::start(Arc::new(store.clone()), None);
    let chat = &server.chat;
    let room = open(chat).await;
    let before = store.end().await.unwrap();
    let target = post(chat, &room, "alice", view(1, 1, ClipShown::Uploading)).await;
    for (version, state) in [
        (2, ClipShown::Processing),
        (3, ClipShown::Ready),
        (4, ClipShown::Ready),
    ] {
        let view = view(1, version, state);
        chat.show_clip(&room, target, view).await.unwrap();
    }
    let at_once = post(chat, &room, "bob", view(2, 9, ClipShown::Ready)).await;
    let told = async || {
        let read = store.read_outbox(before, 100).await.unwrap();
        let told = read.into_iter().filter_map(|logged| logged.posted);
        told.map(|posted| {
            let ready = posted.clip.unwrap();
            let sender = posted.sender.id.to_string();
            (posted.position.seq.0, ready.message, sender, posted.text.0)
        })
        .collect::<Vec<_>>()
    };
    let second = (at_once.0, at_once, "bob".to_owned(), "clip 2".to_owned());
    let first = (
        target.0 + 2,
        target,
        "alice".to_owned(),
        "clip 1".to_owned(),
    );
    assert_eq!(told().await, [first, second.clone()]);

    let ask = async |seq: u64, message: Seq| {
        let question = Question {
            room: room.clone(),
            seq: Seq(seq),
            message,
            sender: None,
            among: Among::MembersAfter(None),
            limit: 10,
        };
        store.candidates(vec![question]).await.unwrap().remove(0)
    };
    // Who marked the message before it was ready is told; who marked that event is not.
    let mark = async |seq: u64| {
        let seq = Seq(seq);
        let epoch = Epoch(1);
        let bob = actor("bob");
        chat.mark(&bob, &room, Position { epoch, seq })
            .await
            .unwrap();
    };
    mark(target.0).await;
    let both = [user_id("alice"), user_id("bob")];
    assert_eq!(ask(target.0 + 2, target).await, both);
    mark(target.0 + 2).await;
    assert_eq!(ask(target.0 + 2, target).await, both[..1]);
    chat.remove_clip(&room, target).await.unwrap();
    assert_eq!(told().await, [second]);
    assert!(ask(target.0 + 2, target).await.is_empty());
}
