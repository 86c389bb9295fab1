//! SQLite alone with batches of a given size: `sqlite_floor DIR ROOMS MESSAGES_PER_ROOM COMMITS TEXT_BYTES`.
//!
//! Each commit holds `ROOMS` appends of `MESSAGES_PER_ROOM` messages. Prints one line of JSON.
#![expect(clippy::print_stdout, reason = "its result is its output")]

use kaiwa_chat::adapters::sqlite::floor;
use kaiwa_chat::model::{Event, EventBody, Mentions, RoomKind, Visibility};
use kaiwa_chat::ports::{Append, Counts};
use kaiwa_common::id::{Cid, RoomId, UserId};
use kaiwa_common::position::{Epoch, Position, Seq};
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, rooms, messages, commits, text] = arguments.as_slice() else {
        return Err("sqlite_floor DIR ROOMS MESSAGES_PER_ROOM COMMITS TEXT_BYTES".into());
    };
    let rooms: u64 = rooms.parse()?;
    let messages: u64 = messages.parse()?;
    let commits: u64 = commits.parse()?;
    let text = "x".repeat(text.parse()?);
    let dir = PathBuf::from(dir);
    std::fs::create_dir_all(&dir)?;
    let path = dir.join("floor.db");
    if path.exists() {
        return Err(format!("{} exists", path.display()).into());
    }

    let mut groups = vec![(0..rooms).map(creation).collect::<Vec<_>>()];
    for commit in 0..commits {
        let append = |room| batch(room, Seq(1 + commit * messages), messages, &text);
        groups.push((0..rooms).map(append).collect());
    }
    let floor = floor::run(&path, &groups)?;

    let mut times = floor.commit_times;
    times.sort_unstable();
    let p99 = times
        .get(times.len() * 99 / 100)
        .copied()
        .unwrap_or_default();
    let seconds = floor.took.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
    let rate = (floor.events - groups[0].len()) as f64 / seconds;
    println!(
        "{{\"commits\":{},\"messages\":{},\"seconds\":{seconds:.3},\"msgs_per_s\":{rate:.0},\"p99_commit_ms\":{:.3}}}",
        floor.commits - 1,
        floor.events - groups[0].len(),
        p99.as_secs_f64() * 1e3,
    );
    Ok(())
}

fn creation(room: u64) -> Append {
    let body = EventBody::Created {
        kind: RoomKind::Group,
        title: "room".to_owned(),
        visibility: Visibility::Private,
    };
    append(room, Seq::ZERO, vec![event(room, Seq(1), None, body)])
}

fn batch(room: u64, expected: Seq, messages: u64, text: &str) -> Append {
    let posted = |seq: u64| {
        let body = EventBody::Posted {
            text: Some(Redacted(text.to_owned())),
            reply_to: None,
            mentions: Mentions::default(),
            clip: None,
        };
        event(room, Seq(seq), Some(cid(room, seq)), body)
    };
    let seqs = expected.0 + 1..=expected.0 + messages;
    append(room, expected, seqs.map(posted).collect())
}

fn append(room: u64, expected: Seq, events: Vec<Event>) -> Append {
    Append {
        room: room_id(room),
        epoch: Epoch(1),
        expected,
        events,
        counts: Counts::default(),
    }
}

fn event(room: u64, seq: Seq, cid: Option<Cid>, body: EventBody) -> Event {
    Event {
        room: room_id(room),
        position: Position {
            epoch: Epoch(1),
            seq,
        },
        time: UnixMs(1_790_000_000_000),
        sender: UserId::parse(&format!("user{room}")).expect("a user id"),
        cid,
        body,
    }
}

fn room_id(room: u64) -> RoomId {
    RoomId::from_uuid(uuid::Uuid::from_u128(u128::from(room) << 64 | 0x5eed))
}

/// A cid whose time moves on with the messages and whose rest is scattered, as clients make them.
fn cid(room: u64, seq: u64) -> Cid {
    let mut bytes = [0_u8; 16];
    bytes[..6].copy_from_slice(&(1_790_000_000_000 + seq).to_be_bytes()[2..]);
    let scattered = (room << 32 | seq).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bytes[8..].copy_from_slice(&scattered.to_be_bytes());
    bytes[6] = 0x70;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Cid::from_bytes(bytes)
}
