//! What the queue in SQLite costs beside SQLite itself: the same statements on a bare connection, and memory with many
//! messages waiting.
//!
//! `cargo run --release -p kaiwa-platform --example queue_floor [MESSAGES [WAITING [FOLDER]]]`
//!
//! With 0 messages, or 0 waiting, that part is left out. The last line has the figures once more, as JSON.
#![expect(clippy::print_stdout, reason = "figures are for a person to read")]
#![expect(clippy::unwrap_used, reason = "a measurement that fails ends")]

use kaiwa_common::time::UnixMs;
use kaiwa_platform::clock::SystemClock;
use kaiwa_platform::queue::sqlite::statements::{self, Rules};
use kaiwa_platform::queue::sqlite::{SqliteQueue, SqliteQueueOptions, SqliteQueues};
use kaiwa_platform::queue::{BATCH, Delivery, Outgoing, Queue};
use kaiwa_platform::sqlite::{Sqlite, SqliteOptions, bare_writer};
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Tasks that send or consume at once: as many batches as a group can have.
const TASKS: usize = 64;

/// A job's size: ids, a title and a line of text, with four attributes.
const BODY: usize = 300;

const LEASE: Duration = Duration::from_secs(3_600);

/// What was measured, by name.
type Figures = BTreeMap<&'static str, f64>;

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let messages: usize = args.next().map_or(200_000, |n| n.parse().unwrap());
    let waiting: usize = args.next().map_or(1_000_000, |n| n.parse().unwrap());
    let base = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = tempfile::tempdir_in(base).unwrap();
    let mut figures = Figures::new();
    if messages > 0 {
        rates(dir.path(), messages, &mut figures).await;
    }
    if waiting > 0 {
        memory(&dir.path().join("memory.db"), waiting, &mut figures).await;
    }
    println!("{}", serde_json::to_string(&figures).unwrap());
}

async fn rates(dir: &Path, messages: usize, figures: &mut Figures) {
    println!("{messages} messages of {BODY} B in batches of {BATCH}, per second:");
    let bare_path = dir.join("bare.db");
    let rules = open(&bare_path).await.1.rules();
    let connection = bare_writer(&SqliteOptions::new(bare_path), &[]).unwrap();
    bare("a commit a batch", &connection, &rules, messages / 10, 1);
    let (sent, received) = bare("64 batches a commit", &connection, &rules, messages, TASKS);
    figures.extend([("bare_send_per_s", sent), ("bare_receive_per_s", received)]);
    drop(connection);
    queue(&dir.join("queue.db"), messages, figures).await;
}

async fn open(path: &Path) -> (Sqlite, SqliteQueue) {
    let db = Sqlite::open(SqliteOptions::new(path.to_owned()), &[]).unwrap();
    let queues = SqliteQueues::open(db.clone(), Arc::new(SystemClock));
    let queues = queues.await.unwrap();
    let queue = queues.queue("floor", SqliteQueueOptions::default());
    let queue = queue.await.unwrap();
    (db, queue)
}

fn batch() -> Vec<Outgoing> {
    let attributes = ["class", "schema", "event_id", "traceparent"];
    let message = Outgoing {
        body: "x".repeat(BODY),
        attributes: attributes
            .map(|name| (name.to_owned(), "v".repeat(24)))
            .into(),
        ..Outgoing::default()
    };
    vec![message; BATCH]
}

fn rate(name: &str, what: &str, messages: usize, begun: Instant) -> f64 {
    let seconds = begun.elapsed().as_secs_f64();
    let messages = u32::try_from(messages).unwrap();
    let rate = f64::from(messages) / seconds;
    println!("  {name:<26} {what:<20} {rate:>9.0}");
    rate
}

fn in_commits(connection: &Connection, commits: usize, mut work: impl FnMut(&Connection)) {
    for _ in 0..commits {
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        work(connection);
        connection.execute_batch("COMMIT").unwrap();
    }
}

/// How many were sent in a second, and how many received and deleted.
fn bare(
    name: &str,
    connection: &Connection,
    rules: &Rules,
    messages: usize,
    batches: usize,
) -> (f64, f64) {
    let name = format!("bare, {name}");
    let commits = messages.div_ceil(batches * BATCH);
    let messages = commits * batches * BATCH;
    let batch = batch();
    let begun = Instant::now();
    in_commits(connection, commits, |connection| {
        for _ in 0..batches {
            statements::send(connection, rules, UnixMs::now(), &batch).unwrap();
        }
    });
    let sent = rate(&name, "send", messages, begun);
    let begun = Instant::now();
    // What a commit deletes was received in the one before, as a consumer's answer comes after its receive.
    let mut received: Vec<Vec<Delivery>> = Vec::new();
    in_commits(connection, commits, |connection| {
        for deliveries in received.drain(..) {
            delete(connection, rules, deliveries);
        }
        for _ in 0..batches {
            let taken = statements::take(connection, rules, UnixMs::now(), BATCH, LEASE);
            received.push(taken.unwrap().deliveries);
        }
    });
    in_commits(connection, 1, |connection| {
        for deliveries in received.drain(..) {
            delete(connection, rules, deliveries);
        }
    });
    let received = rate(&name, "receive and delete", messages, begun);
    (sent, received)
}

fn delete(connection: &Connection, rules: &Rules, deliveries: Vec<Delivery>) {
    let receipts = deliveries.into_iter().map(|delivery| delivery.receipt);
    let receipts: Vec<_> = receipts.collect();
    let deleted = statements::delete(connection, rules, &receipts).unwrap();
    assert!(deleted.iter().all(Result::is_ok));
}

async fn queue(path: &Path, messages: usize, figures: &mut Figures) {
    let (db, queue) = open(path).await;
    let begun = Instant::now();
    fill(&queue, messages).await;
    let sent = rate("queue, 64 tasks", "send", messages, begun);
    let begun = Instant::now();
    let left = Arc::new(AtomicUsize::new(messages / BATCH));
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| tokio::spawn(drain(queue.clone(), Arc::clone(&left))))
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let received = rate("queue, 64 tasks", "receive and delete", messages, begun);
    figures.extend([("send_per_s", sent), ("receive_per_s", received)]);
    let stats = db.writer.stats().snapshot();
    println!("  {} jobs in {} commits", stats.jobs, stats.commits);
    let (begun, alone) = (Instant::now(), messages / 20);
    for _ in 0..alone / BATCH {
        queue.send(batch()).await.unwrap();
    }
    rate("queue, one task", "send", alone, begun);
}

/// Sends that many, from all tasks.
async fn fill(queue: &SqliteQueue, messages: usize) {
    let left = Arc::new(AtomicUsize::new(messages / BATCH));
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let (queue, left) = (queue.clone(), Arc::clone(&left));
            tokio::spawn(async move {
                while takes_one(&left) {
                    queue.send(batch()).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

async fn drain(queue: SqliteQueue, left: Arc<AtomicUsize>) {
    while takes_one(&left) {
        let found = queue.receive(BATCH, Duration::from_secs(5), LEASE).await;
        let receipts = found.unwrap().into_iter().map(|delivery| delivery.receipt);
        queue.delete(receipts.collect()).await.unwrap();
    }
}

fn takes_one(left: &AtomicUsize) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
        left.checked_sub(1)
    })
    .is_ok()
}

async fn memory(path: &Path, waiting: usize, figures: &mut Figures) {
    let before = resident_mib();
    let (_db, queue) = open(path).await;
    fill(&queue, waiting).await;
    let after = resident_mib();
    println!("with {waiting} waiting:");
    println!("  resident memory {before:.0} MiB before, {after:.0} MiB after");
    let bytes = std::fs::metadata(path).unwrap().len();
    let database = f64::from(u32::try_from(bytes / 1024).unwrap()) / 1024.0;
    println!("  database {database:.0} MiB");
    let begun = Instant::now();
    let found = queue.receive(BATCH, Duration::ZERO, LEASE).await.unwrap();
    let receive = begun.elapsed();
    println!("  a receive of {} in {receive:?}", found.len());
    let begun = Instant::now();
    let depth = queue.depth().await.unwrap();
    let counted = begun.elapsed();
    println!("  the depth ({}) in {counted:?}", depth.visible);
    let last = resident_mib();
    println!("  resident memory {last:.0} MiB");
    figures.extend([
        ("waiting", f64::from(u32::try_from(depth.visible).unwrap())),
        ("resident_before_mib", before),
        ("resident_after_mib", after),
        ("resident_counted_mib", last),
        ("database_mib", database),
        ("receive_ms", receive.as_secs_f64() * 1e3),
        ("depth_ms", counted.as_secs_f64() * 1e3),
    ]);
}

fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.unwrap().split_whitespace().nth(1).unwrap();
    kib.parse::<f64>().unwrap() / 1024.0
}
