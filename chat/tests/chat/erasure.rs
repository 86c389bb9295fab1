//! When the service cleans the store's journals of erased texts.

use crate::support::{
    Recorder, actor, committed, fresh_cid, group, info, is_in_a_file, refused, seen, send,
};
use kaiwa_chat::adapters::memory::MemoryStore;
use kaiwa_chat::adapters::sqlite::SqliteStore;
use kaiwa_chat::error::ChatError;
use kaiwa_chat::model::{EventBody, HistoryFrom, HistoryPage, Member, Page, RoomInfo, User, Write};
use kaiwa_chat::ports::{
    Answer, Append, Appended, Facts, LogRange, LogSlice, Marking, Marks, PageOf, RoomList, RoomLog,
    RoomRecord, RoomViews, Standing, Store, StoreError, UnreadTotal, Wanted,
};
use kaiwa_chat::service::{Chat, ChatOptions};
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::position::{Position, Seq};
use kaiwa_common::time::UnixMs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

const SECRET: &str = "very secret indeed";

fn start(store: impl Store) -> Chat {
    let bus: Arc<Recorder> = Arc::default();
    Chat::start(Arc::new(store), bus as _, ChatOptions::default())
}

fn open(dir: &Path) -> SqliteStore {
    SqliteStore::open(&dir.join("chat.db")).unwrap()
}

/// Says something and deletes it; gives the deletion.
async fn regret(chat: &Chat) -> Write {
    seen(chat, &["alice"]).await;
    let room = info(chat, "alice", group(fresh_cid(), &[])).await.room;
    let sent = committed(chat, "alice", send(&room, fresh_cid(), SECRET)).await;
    Write::Delete {
        room,
        cid: fresh_cid(),
        target: sent.position.seq,
    }
}

/// What was deleted leaves the journal by itself.
#[tokio::test]
async fn a_deleted_text_leaves_the_files_while_the_service_runs() {
    let dir = tempfile::tempdir().unwrap();
    let chat = start(open(dir.path()));
    let delete = regret(&chat).await;
    assert!(is_in_a_file(dir.path(), SECRET));
    committed(&chat, "alice", delete).await;
    chat.keep_house().await;
    assert!(!is_in_a_file(dir.path(), SECRET));
}

/// Nobody has to delete anything again for it.
#[tokio::test]
async fn a_text_deleted_right_before_a_kill_leaves_the_files_after_the_next_start() {
    let (before, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let killed = start(open(before.path()));
    let delete = regret(&killed).await;
    committed(&killed, "alice", delete).await;
    // What a process that ends now leaves behind.
    for file in std::fs::read_dir(before.path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), after.path().join(file.file_name())).unwrap();
    }
    assert!(is_in_a_file(after.path(), SECRET));
    let _chat = start(open(after.path()));
    let gone = async {
        while is_in_a_file(after.path(), SECRET) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(8), gone)
        .await
        .expect("the first round of housekeeping cleans");
}

/// It may have happened, so the text may be in the journal.
#[tokio::test]
async fn a_deletion_of_unknown_outcome_is_cleaned_after_as_well() {
    let store = Forgetful::default();
    let scrubs = Arc::clone(&store.scrubs);
    let chat = start(store);
    let delete = regret(&chat).await;
    chat.keep_house().await;
    let before = scrubs.load(Relaxed);
    chat.keep_house().await;
    assert_eq!(scrubs.load(Relaxed), before, "nothing was erased since");
    let answer = refused(&chat, "alice", delete).await;
    assert_eq!(answer, ChatError::Unavailable);
    chat.keep_house().await;
    assert_eq!(scrubs.load(Relaxed), before + 1);
    let rooms = chat.rooms(&actor("alice"), None, 0).await.unwrap();
    let text = rooms.items[0].last.as_ref().map(|last| &last.text);
    assert_eq!(text, Some(&None), "it had happened");
}

/// A store in memory that does not know what became of a deletion, and counts its scrubs.
#[derive(Default)]
struct Forgetful {
    store: MemoryStore,
    scrubs: Arc<AtomicUsize>,
}

impl RoomLog for Forgetful {
    fn append(&self, append: &Append) -> Answer<Appended> {
        let answer = self.store.append(append);
        let mut bodies = append.events.iter().map(|event| &event.body);
        if bodies.any(|body| matches!(body, EventBody::Deleted { .. })) {
            return Box::pin(std::future::ready(Err(StoreError::Unknown)));
        }
        answer
    }

    fn load(&self, room: &RoomId) -> Answer<Option<RoomRecord>> {
        self.store.load(room)
    }

    fn facts(&self, room: &RoomId, wanted: Wanted) -> Answer<Facts> {
        self.store.facts(room, wanted)
    }

    fn seen(&self, user: &User) -> Answer<()> {
        self.store.seen(user)
    }

    fn purge_cids(&self, made_before: UnixMs, limit: usize) -> Answer<usize> {
        self.store.purge_cids(made_before, limit)
    }

    fn scrub(&self) -> Answer<()> {
        self.scrubs.fetch_add(1, Relaxed);
        self.store.scrub()
    }
}

impl Marks for Forgetful {
    fn mark(&self, user: &UserId, room: &RoomId, to: Position) -> Answer<Option<Marking>> {
        self.store.mark(user, room, to)
    }

    fn unread_of_each(&self, people: Vec<(UserId, Vec<RoomId>)>) -> Answer<Vec<UnreadTotal>> {
        self.store.unread_of_each(people)
    }
}

impl RoomViews for Forgetful {
    fn standings(&self, user: &UserId, rooms: Vec<RoomId>) -> Answer<Vec<Option<Standing>>> {
        self.store.standings(user, rooms)
    }

    fn revocation(&self, room: &RoomId) -> Answer<Option<Seq>> {
        self.store.revocation(room)
    }

    fn read_logs(&self, user: &UserId, ranges: Vec<LogRange>) -> Answer<Vec<LogSlice>> {
        self.store.read_logs(user, ranges)
    }

    fn history(
        &self,
        user: &UserId,
        room: &RoomId,
        from: HistoryFrom,
        limit: usize,
    ) -> Answer<Option<(Standing, HistoryPage)>> {
        self.store.history(user, room, from, limit)
    }

    fn view(&self, user: &UserId, room: &RoomId) -> Answer<Option<RoomInfo>> {
        self.store.view(user, room)
    }

    fn rooms(&self, user: &UserId, list: RoomList, page: PageOf) -> Answer<Page<RoomInfo>> {
        self.store.rooms(user, list, page)
    }

    fn members(
        &self,
        user: &UserId,
        room: &RoomId,
        page: PageOf,
    ) -> Answer<Option<(Standing, Page<Member>)>> {
        self.store.members(user, room, page)
    }
}
