//! The whole of chat in process, over SQLite:
//! `chat_pipeline DIR SENDERS IN_FLIGHT ROOMS SECONDS TEXT_BYTES`.
//!
//! Closed loop: each of `SENDERS` keeps `IN_FLIGHT` messages under way, to a room of theirs out of
//! `ROOMS`. Prints one line of JSON, with the mean batch, to be put into `sqlite_floor`.
#![expect(clippy::print_stdout, reason = "its result is its output")]

use kaiwa_chat::adapters::sqlite::SqliteStore;
use kaiwa_chat::bus::{Bus, Published};
use kaiwa_chat::error::ChatError;
use kaiwa_chat::model::{Actor, Mentions, NewRoom, RoomKind, User, Visibility, Write, Written};
use kaiwa_chat::service::{Chat, ChatOptions};
use kaiwa_common::id::{Cid, RoomId, UserId};
use kaiwa_common::redact::Redacted;
use kaiwa_common::token::ServerRole;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

struct Silent;

impl Bus for Silent {
    fn clip_progress(&self, _: kaiwa_chat::model::ClipProgress) {}

    fn publish(&self, _: Published) {}
}

#[tokio::main]
#[expect(clippy::too_many_lines, reason = "a script: arguments, load, figures")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, senders, in_flight, rooms, seconds, text] = arguments.as_slice() else {
        return Err("chat_pipeline DIR SENDERS IN_FLIGHT ROOMS SECONDS TEXT_BYTES".into());
    };
    let senders: usize = senders.parse()?;
    let in_flight: usize = in_flight.parse()?;
    let rooms: usize = rooms.parse()?;
    let text: Arc<str> = "x".repeat(text.parse()?).into();
    let dir = PathBuf::from(dir);
    std::fs::create_dir_all(&dir)?;
    let store = SqliteStore::open(&dir.join("pipeline.db"))?;
    let chat = Chat::start(
        Arc::new(store.clone()),
        Arc::new(Silent),
        ChatOptions::default(),
    );
    let mut ids = Vec::new();
    for room in 0..rooms {
        ids.push(open_room(&chat, &actor(room)).await?);
    }
    for sender in 0..senders {
        let join = Write::Join {
            room: ids[sender % rooms].clone(),
        };
        chat.submit(&actor(sender), join).await?;
    }

    let before = store.stats().snapshot();
    let started = Instant::now();
    let until = started + Duration::from_secs(seconds.parse()?);
    let mut tasks = Vec::new();
    for sender in 0..senders {
        for _ in 0..in_flight {
            let (chat, room, text) = (chat.clone(), ids[sender % rooms].clone(), Arc::clone(&text));
            tasks.push(tokio::spawn(keep_sending(
                chat,
                actor(sender),
                room,
                text,
                until,
            )));
        }
    }
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    let took = started.elapsed().as_secs_f64();
    let after = store.stats().snapshot();

    latencies.sort_unstable();
    let at = |percent: usize| {
        latencies
            .get(latencies.len() * percent / 100)
            .copied()
            .unwrap_or_default()
            .as_secs_f64()
            * 1e3
    };
    let commits = after.commits - before.commits;
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    let (messages, jobs, commits) = (
        latencies.len() as f64,
        (after.jobs - before.jobs) as f64,
        commits as f64,
    );
    println!(
        "{{\"messages\":{messages},\"seconds\":{took:.3},\"msgs_per_s\":{:.0},\"commits\":{commits},\
         \"appends_per_commit\":{:.1},\"messages_per_append\":{:.1},\"p50_ms\":{:.3},\"p99_ms\":{:.3},\
         \"writer_busy\":{:.3}}}",
        messages / took,
        jobs / commits,
        messages / jobs,
        at(50),
        at(99),
        Duration::from_micros(after.busy_micros - before.busy_micros).as_secs_f64() / took,
    );
    Ok(())
}

async fn keep_sending(
    chat: Chat,
    actor: Actor,
    room: RoomId,
    text: Arc<str>,
    until: Instant,
) -> Result<Vec<Duration>, ChatError> {
    let mut latencies = Vec::new();
    while Instant::now() < until {
        let sent = Instant::now();
        let text = Redacted(text.to_string());
        let write = Write::Send {
            room: room.clone(),
            cid: cid(),
            text,
            reply_to: None,
            mentions: Mentions::default(),
        };
        chat.submit(&actor, write).await?;
        latencies.push(sent.elapsed());
    }
    Ok(latencies)
}

async fn open_room(chat: &Chat, owner: &Actor) -> Result<RoomId, ChatError> {
    chat.seen(owner).await?;
    let new = NewRoom {
        cid: cid(),
        kind: RoomKind::Group,
        title: "room".to_owned(),
        visibility: Visibility::Public,
        invite: Vec::new(),
    };
    match chat.submit(owner, Write::Create(new)).await? {
        Written::Room(info) => Ok(info.room),
        Written::Committed(_) => Err(ChatError::Unavailable),
    }
}

fn actor(number: usize) -> Actor {
    let id = UserId::parse(&format!("user{number}")).expect("a user id");
    Actor {
        user: User {
            id,
            name: Redacted::default(),
        },
        role: ServerRole::Creator,
    }
}

fn cid() -> Cid {
    Cid::from_bytes(*uuid::Uuid::now_v7().as_bytes())
}
