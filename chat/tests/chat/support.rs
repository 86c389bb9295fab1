//! People, cids and buses for the tests.

use kaiwa_chat::adapters::sqlite::SqliteStore;
use kaiwa_chat::bus::{Bus, Published};
use kaiwa_chat::error::ChatError;
use kaiwa_chat::model::{
    Actor, ClipKind, ClipProgress, ClipShown, ClipView, Committed, Event, EventBody, Mentions,
    NewRoom, RoomInfo, RoomKind, User, Visibility, Write, Written,
};
use kaiwa_chat::service::Chat;
use kaiwa_common::id::{Cid, ClipId, RoomId, UserId};
use kaiwa_common::position::Seq;
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;
use kaiwa_common::token::ServerRole;
use kaiwa_platform::sqlite::{SqliteOptions, Synchronous};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// A time that all tests take as the present.
pub(crate) const NOW: UnixMs = UnixMs(1_790_000_000_000);

pub(crate) fn user_id(name: &str) -> UserId {
    UserId::parse(name).expect("a user id")
}

pub(crate) fn user(name: &str) -> User {
    User {
        id: user_id(name),
        name: Redacted(name.to_uppercase()),
    }
}

pub(crate) fn actor(name: &str) -> Actor {
    Actor {
        user: user(name),
        role: ServerRole::Creator,
    }
}

/// The cid with this number, made at `NOW`.
pub(crate) fn cid(number: u64) -> Cid {
    cid_at(number, NOW)
}

pub(crate) fn cid_at(number: u64, made: UnixMs) -> Cid {
    let mut bytes = [0_u8; 16];
    bytes[..6].copy_from_slice(&made.0.to_be_bytes()[2..]);
    bytes[6] = 0x70;
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    bytes[8] |= 0x80;
    Cid::from_bytes(bytes)
}

/// Another cid each time.
pub(crate) fn fresh_cid() -> Cid {
    static NEXT: AtomicU64 = AtomicU64::new(1 << 40);
    cid_at(NEXT.fetch_add(1, Ordering::Relaxed), UnixMs::now())
}

pub(crate) fn text(text: &str) -> Redacted<String> {
    Redacted(text.to_owned())
}

pub(crate) fn send(room: &RoomId, cid: Cid, says: &str) -> Write {
    Write::Send {
        room: room.clone(),
        cid,
        text: text(says),
        reply_to: None,
        mentions: Mentions::default(),
    }
}

/// The clip with this number.
pub(crate) fn clip_id(number: u64) -> ClipId {
    ClipId::parse(&cid(number).to_string()).expect("a clip id")
}

/// A view of a clip.
pub(crate) fn view(number: u64, version: u64, state: ClipShown) -> ClipView {
    ClipView {
        clip: clip_id(number),
        version,
        kind: ClipKind::Video,
        state,
        title: text(&format!("clip {number}")),
        duration_ms: 61_000,
        width: 1280,
        height: 720,
    }
}

pub(crate) fn group(cid: Cid, invite: &[&str]) -> Write {
    room(cid, RoomKind::Group, Visibility::Private, invite)
}

pub(crate) fn room(cid: Cid, kind: RoomKind, visibility: Visibility, invite: &[&str]) -> Write {
    let invite = invite.iter().map(|name| user_id(name)).collect();
    Write::Create(NewRoom {
        cid,
        kind,
        title: "Tea".to_owned(),
        visibility,
        invite,
    })
}

pub(crate) async fn seen(chat: &Chat, names: &[&str]) {
    for name in names {
        chat.seen(&actor(name)).await.expect("seen");
    }
}

pub(crate) async fn info(chat: &Chat, name: &str, write: Write) -> RoomInfo {
    match chat.submit(&actor(name), write).await {
        Ok(Written::Room(info)) => *info,
        other => panic!("not a room: {other:?}"),
    }
}

pub(crate) async fn committed(chat: &Chat, name: &str, write: Write) -> Committed {
    match chat.submit(&actor(name), write).await {
        Ok(Written::Committed(committed)) => committed,
        other => panic!("not committed: {other:?}"),
    }
}

pub(crate) async fn refused(chat: &Chat, name: &str, write: Write) -> ChatError {
    match chat.submit(&actor(name), write).await {
        Err(error) => error,
        Ok(written) => panic!("not refused: {written:?}"),
    }
}

/// Without waiting for the disk, which changes no answer; `power_loss.rs` is about the disk.
pub(crate) fn open_fast(path: &Path) -> SqliteStore {
    let synchronous = Synchronous::Off;
    let options = SqliteOptions {
        synchronous,
        ..SqliteOptions::new(path.to_owned())
    };
    SqliteStore::open_with(options).unwrap()
}

/// Whether the bytes of a text are in a file of this directory.
pub(crate) fn is_in_a_file(dir: &Path, text: &str) -> bool {
    let files = std::fs::read_dir(dir).unwrap();
    let mut contents = files.map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    contents.any(|bytes| {
        bytes
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    })
}

/// A bus that remembers.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    published: Mutex<Vec<Published>>,
    progress: Mutex<Vec<ClipProgress>>,
}

impl Recorder {
    pub(crate) fn published(&self) -> Vec<Published> {
        self.published.lock().unwrap().clone()
    }

    pub(crate) fn progress(&self) -> Vec<ClipProgress> {
        self.progress.lock().unwrap().clone()
    }

    /// The seqs published for a room, in their order.
    pub(crate) fn seqs(&self, room: &RoomId) -> Vec<Seq> {
        let of_room = |published: &&Published| published.room == *room;
        let all = self.published();
        let events = all
            .iter()
            .filter(of_room)
            .flat_map(|published| &published.events);
        events.map(|event| event.position.seq).collect()
    }
}

impl Bus for Recorder {
    fn clip_progress(&self, progress: ClipProgress) {
        self.progress.lock().unwrap().push(progress);
    }

    fn publish(&self, published: Published) {
        let panics = |event: &Event| match &event.body {
            EventBody::Posted {
                text: Some(text), ..
            } => text.0 == "PANIC",
            _ => false,
        };
        assert!(!published.events.iter().any(panics), "as asked");
        self.published.lock().unwrap().push(published);
    }
}
