//! `kill -9` in the middle of sends and deletes: what was acknowledged is there.

use super::embedded::database;
use super::world::{MINUTE, text};
use kaiwa_platform::clock::SystemClock;
use kaiwa_platform::queue::Queue;
use kaiwa_platform::queue::sqlite::{SqliteQueue, SqliteQueueOptions, SqliteQueues};
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// Where the child keeps its database; without it the child's test does nothing.
const FOLDER: &str = "KAIWA_QUEUE_CRASH_FOLDER";

/// Kills, each after more acknowledgements than the one before.
const KILLS: u64 = 6;

async fn open(dir: &Path) -> SqliteQueue {
    let queues = SqliteQueues::open(database(dir), Arc::new(SystemClock))
        .await
        .unwrap();
    let options = SqliteQueueOptions {
        max_receives: None,
        ..SqliteQueueOptions::default()
    };
    queues.queue("crash", options).await.unwrap()
}

/// Run by the test below in a process of its own: sends and deletes without end, and says what was acknowledged.
#[tokio::test]
async fn child_that_is_killed() {
    let Some(dir) = std::env::var_os(FOLDER) else {
        return;
    };
    let queue = open(Path::new(&dir)).await;
    let first: u64 = std::env::var("KAIWA_QUEUE_CRASH_FIRST")
        .unwrap()
        .parse()
        .unwrap();
    let mut next = first;
    loop {
        let names: Vec<_> = (next..next + 7).map(|n| n.to_string()).collect();
        next += 7;
        let sent = queue
            .send(names.iter().map(|name| text(name)).collect())
            .await
            .unwrap();
        assert!(sent.iter().all(Result::is_ok));
        names.iter().for_each(|name| say('S', name));
        let found = queue.receive(5, Duration::ZERO, MINUTE).await.unwrap();
        // What is asked for may be done, whether or not it is acknowledged.
        found.iter().for_each(|delivery| say('A', &delivery.body));
        let receipts = found.iter().map(|delivery| delivery.receipt.clone());
        let deleted = queue.delete(receipts.collect()).await.unwrap();
        assert!(deleted.iter().all(Result::is_ok));
        found.iter().for_each(|delivery| say('D', &delivery.body));
    }
}

fn say(what: char, body: &str) {
    // Not through `println`, which the harness holds back.
    let mut stdout = std::io::stdout();
    writeln!(stdout, "\n{what} {body}").unwrap();
}

/// What the children said, over all their lives.
#[derive(Default)]
struct Said {
    sent: BTreeSet<u64>,
    asked: BTreeSet<u64>,
    deleted: BTreeSet<u64>,
}

impl Said {
    fn hear(&mut self, line: &str) -> bool {
        let Some((what, number)) = line.split_once(' ') else {
            return false;
        };
        let Ok(number) = number.parse() else {
            return false;
        };
        match what {
            "S" => self.sent.insert(number),
            "A" => self.asked.insert(number),
            "D" => self.deleted.insert(number),
            _ => false,
        }
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut said = Said::default();
    for kill in 0..KILLS {
        let first = kill * 1_000_000;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::child_that_is_killed", "--nocapture"])
            .env(FOLDER, dir.path())
            .env("KAIWA_QUEUE_CRASH_FIRST", first.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (mut heard, wanted) = (0, 40 + kill * 31);
        while heard < wanted {
            let line = lines
                .next()
                .expect("the child goes on until it is killed")
                .unwrap();
            heard += u64::from(said.hear(&line));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What stood in the pipe was acknowledged as well.
        lines.map_while(Result::ok).for_each(|line| {
            said.hear(&line);
        });
    }
    let left = what_is_left(dir.path()).await;
    let lost: Vec<_> = said
        .sent
        .difference(&said.asked)
        .filter(|n| !left.contains(n))
        .collect();
    assert_eq!(lost, [] as [&u64; 0], "sent, acknowledged, never deleted");
    let back: Vec<_> = said.deleted.intersection(&left).collect();
    assert_eq!(back, [] as [&u64; 0], "deleted, acknowledged");
    assert!(
        said.deleted.len() > 50 && left.len() > 20,
        "the storm was one"
    );
}

async fn what_is_left(dir: &Path) -> BTreeSet<u64> {
    let queue = open(dir).await;
    let mut left = BTreeSet::new();
    let mut after = None;
    loop {
        let page = queue.browse(after.as_deref(), 500).unwrap().await.unwrap();
        let Some(last) = page.last() else {
            return left;
        };
        after = Some(last.id.clone());
        for delivery in &page {
            let is_new = left.insert(delivery.body.parse().unwrap());
            assert!(is_new, "{} is there twice", delivery.body);
        }
    }
}
