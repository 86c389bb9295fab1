//! The consumer over a real queue.

use super::heard::{Heard, event};
use kaiwa_common::time::UnixMs;
use kaiwa_media_pipeline::mediaconvert::{Consumer, HintError};
use kaiwa_platform::clock::ManualClock;
use kaiwa_platform::queue::dead_letters::{Pick, name_of};
use kaiwa_platform::queue::sqlite::{SqliteQueueOptions, SqliteQueues};
use kaiwa_platform::queue::{DeadLetters, Outgoing, Queue};
use kaiwa_platform::sqlite::{Sqlite, SqliteOptions};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

struct World {
    consumer: Arc<Consumer>,
    heard: Arc<Heard>,
    letters: DeadLetters,
    clock: ManualClock,
    _dir: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::at(UnixMs(1_800_000_000_000));
        let options = SqliteOptions::new(dir.path().join("queue.db"));
        let db = Sqlite::open(options, &[]).unwrap();
        let queues = SqliteQueues::open(db, Arc::new(clock.clone()))
            .await
            .unwrap();
        let queue = queues
            .queue("hints", SqliteQueueOptions::default())
            .await
            .unwrap();
        let dead = queues
            .queue(&name_of("hints"), SqliteQueueOptions::dead())
            .await
            .unwrap();
        let letters = DeadLetters::new(Arc::new(queue), Arc::new(dead));
        let heard = Arc::new(Heard::default());
        let hints = Arc::clone(&heard) as _;
        Self {
            consumer: Arc::new(Consumer::new(letters.clone(), hints)),
            heard,
            letters,
            clock,
            _dir: dir,
        }
    }

    async fn send(&self, bodies: &[&str]) {
        for body in bodies {
            let message = Outgoing {
                body: (*body).to_owned(),
                ..Outgoing::default()
            };
            assert_eq!(self.queue().send(vec![message]).await.unwrap(), [Ok(())]);
        }
    }

    fn queue(&self) -> &dyn Queue {
        self.letters.queue().as_ref()
    }

    async fn left(&self) -> (u64, u64) {
        let depth = self.queue().depth().await.unwrap();
        (depth.visible, depth.in_flight)
    }

    async fn reasons(&self) -> Vec<String> {
        let listed = self.letters.list(&Pick::All, 100).await.unwrap();
        let mut reasons: Vec<_> = listed
            .letters
            .into_iter()
            .map(|letter| letter.reason)
            .collect();
        reasons.sort();
        reasons
    }
}

#[tokio::test]
async fn hints_are_handed_on_and_deleted() {
    let world = World::new().await;
    let created = include_str!("corpus/s3_created.json");
    let test = include_str!("corpus/s3_test.json");
    world
        .send(&[
            &event("a", "PROGRESSING"),
            created,
            &event("b", "COMPLETE"),
            test,
        ])
        .await;
    assert_eq!(world.consumer.once(Duration::ZERO).await, Ok(4));
    assert_eq!(world.heard.jobs.lock().unwrap().len(), 2);
    assert_eq!(
        world.heard.objects.lock().unwrap()[0].key,
        "video/u/2026/11/c/source"
    );
    assert_eq!(world.left().await, (0, 0));
    assert_eq!(world.reasons().await, [""; 0]);
}

#[tokio::test]
async fn what_cannot_be_read_or_used_is_buried_with_its_reason() {
    let world = World::new().await;
    world.heard.say(HintError::Never("no_such_clip"));
    let bad = include_str!("corpus/bad_job_status.json");
    world.send(&[&event("a", "COMPLETE"), "hello", bad]).await;
    assert_eq!(world.consumer.once(Duration::ZERO).await, Ok(3));
    assert_eq!(
        world.reasons().await,
        ["hint_not_json", "hint_unknown_status", "no_such_clip"]
    );
    assert_eq!(world.left().await, (0, 0));
}

#[tokio::test]
async fn what_is_to_come_later_comes_later_and_less_often() {
    let world = World::new().await;
    for _ in 0..2 {
        world
            .heard
            .say(HintError::Later("the job is not known yet".to_owned()));
    }
    world.send(&[&event("early", "COMPLETE")]).await;
    assert_eq!(world.consumer.once(Duration::ZERO).await, Ok(1));
    assert_eq!(world.consumer.once(Duration::ZERO).await, Ok(0));
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.consumer.once(Duration::ZERO).await, Ok(1));
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(
        world.consumer.once(Duration::ZERO).await,
        Ok(0),
        "two seconds now"
    );
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.consumer.once(Duration::ZERO).await, Ok(1));
    assert_eq!(world.left().await, (0, 0));
    assert_eq!(world.heard.jobs.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn it_runs_until_it_is_told_to_stop() {
    let world = World::new().await;
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (consumer, stop) = (Arc::clone(&world.consumer), stop.clone());
        async move { consumer.run(&stop).await }
    });
    world.clock.asleep(1).await;
    stop.cancel();
    world.send(&[&event("last", "COMPLETE")]).await;
    running.await.unwrap();
    assert_eq!(
        world.heard.jobs.lock().unwrap().len(),
        1,
        "a receive that is out is awaited"
    );
    assert_eq!(world.left().await, (0, 0));
}
