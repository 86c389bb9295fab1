//! Does an acknowledged write survive a power loss?
//!
//! `kill -9` cannot tell: the page cache survives it. Here the whole service runs under load on a VFS
//! that writes down every change of every file. Then the power is cut at random moments: the disk gets
//! back what was synced, and some of the rest ([`disk`]). The real adapter opens that, and everything
//! that had been acknowledged by then must be there, once, in a log without holes, with a projection
//! that is its fold.
//!
//! The same run without the fsync must be found out, or this test would show nothing.
//! There are two runs with 150 cuts each, or one for every 50 of `KAIWA_SEEDS`.
#![expect(clippy::unwrap_used, reason = "in a test it is the failure's place")]
#![expect(clippy::print_stdout, reason = "how much was tried is worth reading")]

#[path = "power_loss/disk.rs"]
mod disk;
#[path = "power_loss/load.rs"]
mod load;
#[path = "power_loss/vfs.rs"]
mod vfs;

use disk::{Chance, Disk, Op};
use kaiwa_chat::adapters::sqlite::SqliteStore;
use kaiwa_chat::core::projection::Projection;
use kaiwa_chat::model::{Event, EventBody, HistoryFrom, Message, User};
use kaiwa_chat::ports::{LogRange, PageOf, RoomViews as _};
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::position::Seq;
use kaiwa_common::redact::Redacted;
use kaiwa_platform::sqlite::{SqliteOptions, Synchronous};
use load::{Run, Told};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Cuts in each run.
const CUTS: usize = 150;

/// What a cut cost.
#[derive(Debug, PartialEq, Eq)]
enum Damage {
    /// Somebody had been told of a write that is not there.
    Lost(String),
    /// The store does not open, or contradicts itself.
    Broken(String),
}

#[test]
fn what_was_acknowledged_survives_a_power_loss() {
    for seed in 0..seeds() {
        let run = load::run(seed, Synchronous::Full);
        let damage = cut_at_random(&run, seed);
        assert_eq!(damage, [], "seed {seed}");
    }
}

#[test]
fn without_fsync_before_the_answer_acknowledged_writes_are_seen_to_be_lost() {
    let run = load::run(1, Synchronous::Normal);
    let damage = cut_at_random(&run, 1);
    assert!(
        damage.iter().any(|one| matches!(one, Damage::Lost(_))),
        "{damage:?}"
    );
    // Checkpoints are synced, so nothing is worse than lost.
    assert!(
        !damage.iter().any(|one| matches!(one, Damage::Broken(_))),
        "{damage:?}"
    );
}

#[test]
fn without_any_fsync_the_store_is_seen_to_be_broken_too() {
    let run = load::run(2, Synchronous::Off);
    let damage = cut_at_random(&run, 2);
    assert!(
        damage.iter().any(|one| matches!(one, Damage::Lost(_))),
        "{damage:?}"
    );
    assert!(
        damage.iter().any(|one| matches!(one, Damage::Broken(_))),
        "{damage:?}"
    );
}

fn seeds() -> u64 {
    let asked: Option<u64> = std::env::var("KAIWA_SEEDS")
        .ok()
        .and_then(|seeds| seeds.parse().ok());
    asked.map_or(2, |seeds| (seeds / 50).max(2))
}

/// Plays the run and cuts the power; gives what each harmful cut cost.
fn cut_at_random(run: &Run, seed: u64) -> Vec<Damage> {
    let mut chance = Chance(seed ^ 0x706f_7765_7221);
    let mut cuts: Vec<usize> = (0..CUTS)
        .map(|_| chance.below(run.recorded.ops.len() + 1))
        .collect();
    cuts.sort_unstable();
    let mut disk = Disk::default();
    let mut played = 0;
    let mut told = Vec::new();
    let mut damage = Vec::new();
    let mut written = 0;
    for cut in cuts {
        for op in &run.recorded.ops[played..cut] {
            if let Op::Told(index) = op {
                told.push(&run.told[*index]);
            }
            disk.play(op);
        }
        played = cut;
        let image = tempfile::tempdir().unwrap();
        disk.cut(&run.recorded.names, image.path(), &mut chance);
        written += told.len();
        if let Err(one) = check(image.path(), run, &told) {
            damage.push(one);
        }
    }
    println!(
        "seed {seed}: {} changes, {} acknowledged writes, {CUTS} cuts, {written} writes looked for, {} harmful",
        run.recorded.ops.len(),
        run.told.len(),
        damage.len()
    );
    damage
}

/// Opens what is left, and compares.
fn check(dir: &Path, run: &Run, told: &[&Told]) -> Result<(), Damage> {
    let path = dir.join(load::FILE);
    let broken = |what: String| Damage::Broken(what);
    // Recovery does not depend on `synchronous`; without it a check takes a tenth of the time.
    let synchronous = Synchronous::Off;
    let options = SqliteOptions {
        readers: 1,
        synchronous,
        ..SqliteOptions::new(path.clone())
    };
    let store = SqliteStore::open_with(options).map_err(|error| broken(format!("{error:?}")))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let mut logs = BTreeMap::new();
    for room in &run.rooms {
        let log = runtime.block_on(room_of(&store, room)).map_err(broken)?;
        logs.insert(room, log);
    }
    store.close();
    drop(store);
    let connection = rusqlite::Connection::open(&path).unwrap();
    let verdict: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .map_err(|error| broken(error.to_string()))?;
    if verdict != "ok" {
        return Err(broken(verdict));
    }
    told.iter()
        .try_for_each(|told| find(told, &logs[&told.room]))
}

/// Is this write in the log, at its place?
fn find(told: &Told, log: &[Event]) -> Result<(), Damage> {
    let lost = || Damage::Lost(format!("{told:?} in a log of {}", log.len()));
    let index = usize::try_from(told.seq.0).unwrap() - 1;
    let event = log.get(index).ok_or_else(lost)?;
    let deleted = |target: Seq| {
        log.iter()
            .any(|later| matches!(later.body, EventBody::Deleted { target: t } if t == target))
    };
    let same = match (&event.body, &told.text) {
        (EventBody::Posted { text, .. }, Some(said)) => text
            .as_ref()
            .map_or_else(|| deleted(event.position.seq), |text| text.0 == *said),
        (EventBody::Edited { text, target, .. }, Some(said)) => text
            .as_ref()
            .map_or_else(|| deleted(*target), |text| text.0 == *said),
        (EventBody::Deleted { .. }, None) => true,
        _ => false,
    };
    if event.cid == Some(told.cid) && same {
        Ok(())
    } else {
        Err(lost())
    }
}

/// A room's whole log, after comparing it with everything that stands beside it.
async fn room_of(store: &SqliteStore, room: &RoomId) -> Result<Vec<Event>, String> {
    let nobody = UserId::parse("nobody").unwrap();
    let mut log: Vec<Event> = Vec::new();
    loop {
        let after = log.last().map_or(Seq::ZERO, |event| event.position.seq);
        let range = LogRange {
            room: room.clone(),
            after,
            limit: 1_000,
        };
        let slices = store
            .read_logs(&nobody, vec![range])
            .await
            .map_err(|e| e.to_string())?;
        let slice = slices.into_iter().next().unwrap();
        let Some(standing) = slice.standing else {
            return Ok(Vec::new());
        };
        if slice.events.is_empty() {
            if after != standing.head.seq {
                return Err(format!(
                    "the log ends at {after}, its head says {}",
                    standing.head.seq
                ));
            }
            break;
        }
        log.extend(slice.events);
    }
    let dense = log
        .iter()
        .zip(1..)
        .all(|(event, seq)| event.position.seq == Seq(seq));
    let cids: BTreeSet<_> = log
        .iter()
        .filter_map(|e| e.cid.map(|c| (&e.sender, c)))
        .collect();
    if !dense || cids.len() != log.iter().filter(|event| event.cid.is_some()).count() {
        return Err(format!("{room}: holes or doubles"));
    }
    let fold = Projection::fold(&log).ok_or("the log does not begin with a creation")?;
    let messages: Vec<Message> = fold.messages.into_values().collect();
    if messages != history(store, room).await? {
        return Err(format!("{room}: the messages are not the log's"));
    }
    let page = PageOf {
        after: None,
        limit: 1_000,
    };
    let members = store
        .members(&nobody, room, page)
        .await
        .map_err(|e| e.to_string())?;
    let members: Vec<_> = members
        .unwrap()
        .1
        .items
        .into_iter()
        .map(|m| (m.user.id, m.role))
        .collect();
    let folded: Vec<_> = fold
        .members
        .into_iter()
        .map(|(id, part)| (id, part.role))
        .collect();
    if members != folded {
        return Err(format!("{room}: the members are not the log's"));
    }
    Ok(log)
}

/// All messages, without the senders' names, which the log does not have.
async fn history(store: &SqliteStore, room: &RoomId) -> Result<Vec<Message>, String> {
    let nobody = UserId::parse("nobody").unwrap();
    let mut all: Vec<Message> = Vec::new();
    loop {
        let from = HistoryFrom::After(all.last().map_or(Seq::ZERO, |message| message.seq));
        let page = store
            .history(&nobody, room, from, 1_000)
            .await
            .map_err(|e| e.to_string())?;
        let page = page.ok_or("the room is gone")?.1;
        all.extend(page.messages.into_iter().map(|message| Message {
            sender: User {
                id: message.sender.id,
                name: Redacted::default(),
            },
            ..message
        }));
        if !page.more {
            return Ok(all);
        }
    }
}
