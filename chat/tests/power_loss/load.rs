//! The load: the whole service over the recording VFS.

use crate::disk::{Chance, Op, Recorded, Recorder};
use crate::vfs;
use kaiwa_chat::adapters::sqlite::SqliteStore;
use kaiwa_chat::bus::{Bus, Published};
use kaiwa_chat::model::{Actor, Mentions, NewRoom, RoomKind, User, Visibility, Write, Written};
use kaiwa_chat::service::{Chat, ChatOptions};
use kaiwa_common::id::{Cid, RoomId, UserId};
use kaiwa_common::position::Seq;
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;
use kaiwa_common::token::ServerRole;
use kaiwa_platform::sqlite::{SqliteOptions, Synchronous};
use std::sync::{Arc, Mutex};

/// The database's file within its directory.
pub(crate) const FILE: &str = "chat.db";

const ROOMS: usize = 3;
const SENDERS: usize = 12;
const WRITES_EACH: usize = 25;

/// What somebody was told of: their write is on disk.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) room: RoomId,
    pub(crate) seq: Seq,
    pub(crate) cid: Cid,
    /// What it says; `None` for a deletion.
    pub(crate) text: Option<String>,
}

/// A finished run.
pub(crate) struct Run {
    pub(crate) recorded: Recorded,
    pub(crate) told: Vec<Told>,
    pub(crate) rooms: Vec<RoomId>,
}

struct Silent;

impl Bus for Silent {
    fn clip_progress(&self, _: kaiwa_chat::model::ClipProgress) {}

    fn publish(&self, _: Published) {}
}

/// What the senders share.
#[derive(Clone)]
struct World {
    chat: Chat,
    recorder: Arc<Recorder>,
    told: Arc<Mutex<Vec<Told>>>,
}

pub(crate) fn run(seed: u64, synchronous: Synchronous) -> Run {
    let recorder = Arc::new(Recorder::default());
    let vfs = format!("recording-{seed}-{synchronous:?}");
    vfs::register(&vfs, Arc::clone(&recorder));
    let dir = tempfile::tempdir().unwrap();
    let options = SqliteOptions {
        vfs: Some(vfs),
        synchronous,
        // Often, so that many cuts fall into a checkpoint.
        checkpoint_pages: 60,
        ..SqliteOptions::new(dir.path().join(FILE))
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let (told, rooms) = runtime.block_on(async {
        let store = SqliteStore::open_with(options).unwrap();
        let chat = Chat::start(
            Arc::new(store.clone()),
            Arc::new(Silent),
            ChatOptions::default(),
        );
        let world = World {
            chat,
            recorder: Arc::clone(&recorder),
            told: Arc::default(),
        };
        let rooms = world.open_rooms(seed).await;
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let (world, room) = (world.clone(), rooms[sender % ROOMS].clone());
                let seed = seed << 16 | sender as u64;
                tokio::spawn(async move { world.send(sender, &room, Chance(seed)).await })
            })
            .collect();
        for sender in senders {
            sender.await.unwrap();
        }
        // What was told so far is cut into; the orderly close is not part of the run.
        let told = world.told.lock().unwrap().clone();
        (told, rooms)
    });
    let recorded = recorder.recorded();
    drop(runtime);
    Run {
        recorded,
        told,
        rooms,
    }
}

impl World {
    async fn open_rooms(&self, seed: u64) -> Vec<RoomId> {
        for sender in 0..SENDERS {
            self.chat.seen(&actor(sender)).await.unwrap();
        }
        let mut rooms = Vec::new();
        for room in 0..ROOMS {
            let new = NewRoom {
                cid: cid(seed << 32 | room as u64),
                kind: RoomKind::Group,
                title: "Tea".to_owned(),
                visibility: Visibility::Public,
                invite: Vec::new(),
            };
            match self
                .chat
                .submit(&actor(room), Write::Create(new))
                .await
                .unwrap()
            {
                Written::Room(info) => rooms.push(info.room),
                Written::Committed(_) => panic!("a creation gives a room"),
            }
        }
        rooms
    }

    async fn send(&self, sender: usize, room: &RoomId, mut chance: Chance) {
        let actor = actor(sender);
        self.chat
            .submit(&actor, Write::Join { room: room.clone() })
            .await
            .unwrap();
        let mut own: Vec<Seq> = Vec::new();
        for _ in 0..WRITES_EACH {
            let cid = cid(chance.next());
            let bytes = if chance.below(8) == 0 {
                6_000
            } else {
                1 + chance.below(300)
            };
            let text = format!("{cid} {}", "x".repeat(bytes));
            let said = Redacted(text.clone());
            let room = room.clone();
            let target = (!own.is_empty()).then(|| chance.below(own.len()));
            let (write, text) = match (chance.below(8), target) {
                (0, Some(target)) => (
                    Write::Edit {
                        room: room.clone(),
                        cid,
                        target: own[target],
                        text: said,
                        mentions: Mentions::default(),
                    },
                    Some(text),
                ),
                (1, Some(target)) => {
                    let target = own.swap_remove(target);
                    (
                        Write::Delete {
                            room: room.clone(),
                            cid,
                            target,
                        },
                        None,
                    )
                }
                _ => (
                    Write::Send {
                        room: room.clone(),
                        cid,
                        text: said,
                        reply_to: None,
                        mentions: Mentions::default(),
                    },
                    Some(text),
                ),
            };
            let posts = matches!(write, Write::Send { .. });
            let Written::Committed(committed) = self.chat.submit(&actor, write).await.unwrap()
            else {
                panic!("a message gives a position");
            };
            if posts {
                own.push(committed.position.seq);
            }
            self.tell(Told {
                room,
                seq: committed.position.seq,
                cid,
                text,
            });
        }
    }

    /// From now on in the recording, this must not get lost.
    fn tell(&self, told: Told) {
        let mut all = self.told.lock().unwrap();
        all.push(told);
        self.recorder.record(Op::Told(all.len() - 1));
    }
}

fn actor(number: usize) -> Actor {
    let id = UserId::parse(&format!("user{number}")).unwrap();
    Actor {
        user: User {
            id,
            name: Redacted::default(),
        },
        role: ServerRole::Creator,
    }
}

fn cid(number: u64) -> Cid {
    let mut bytes = [0_u8; 16];
    bytes[..6].copy_from_slice(&UnixMs::now().0.to_be_bytes()[2..]);
    bytes[6] = 0x70;
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Cid::from_bytes(bytes)
}
