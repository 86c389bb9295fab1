//! What queues in SQLite promise beyond the contract.

use super::doubles::Picky;
use super::embedded::Embedded;
use super::world::{MINUTE, POLL, SECOND, World, receive_all, text};
use kaiwa_common::time::UnixMs;
use kaiwa_platform::queue::dead_letters::{DeadLetters, Note, Pick};
use kaiwa_platform::queue::sqlite::{SqliteQueueOptions, SqliteQueues};
use kaiwa_platform::queue::{
    MESSAGE_BYTES, Outgoing, Queue, QueueError, RETENTION, ReceiptError, SendError, Topic,
};
use kaiwa_platform::sqlite::Keep;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn a_cursor_moves_and_messages_are_sent_in_one_commit() {
    let world = Embedded::new().await;
    let queue = world.open("events", SqliteQueueOptions::default()).await;
    let job = world.db.writer.submit(0, |connection| {
        connection
            .execute_batch("CREATE TABLE cursor (pos INTEGER); INSERT INTO cursor VALUES (0)")?;
        Ok((Keep::Yes, ()))
    });
    job.await.unwrap();
    let waiting = tokio::spawn({
        let queue = queue.clone();
        async move { queue.receive(10, POLL, MINUTE).await.unwrap() }
    });
    world.clock.asleep(1).await;
    for keep in [Keep::No, Keep::Yes] {
        let queue = queue.clone();
        let job = world.db.writer.submit(0, move |connection| {
            connection.execute("UPDATE cursor SET pos = pos + 1", [])?;
            let sent = queue.enqueue(connection, vec![text("event"), text("\u{0}")])?;
            assert!(matches!(sent[..], [Ok(()), Err(SendError::Invalid(_))]));
            Ok((keep, ()))
        });
        job.await.unwrap();
    }
    // Woken without having been told, by the one that was committed.
    let received = waiting.await.unwrap();
    assert_eq!(received.len(), 1);
    let pos = |c: &rusqlite::Connection| c.query_row("SELECT pos FROM cursor", [], |r| r.get(0));
    let pos: i64 = world.db.readers.run(pos).await.unwrap();
    assert_eq!(pos, 1);
}

#[tokio::test]
async fn after_a_commit_that_failed_the_next_poll_looks_again() {
    let world = Embedded::new().await;
    let pair = world.queue(5).await;
    pair.send("still here").await;
    let deferred = "CREATE TABLE parents (n INTEGER PRIMARY KEY);
        CREATE TABLE children (n INTEGER REFERENCES parents DEFERRABLE INITIALLY DEFERRED)";
    let made = world.db.writer.submit(0, move |connection| {
        connection.execute_batch(deferred)?;
        Ok((Keep::Yes, ()))
    });
    made.await.unwrap();
    // Holds the writer until the receive and a job that spoils the commit stand behind it, in one group.
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let (begun, running) = tokio::sync::oneshot::channel();
    drop(world.db.writer.submit(0, move |_| {
        let _ = begun.send(());
        let _ = wait.recv();
        Ok((Keep::Yes, ()))
    }));
    running.await.unwrap();
    let mut receive = pair.queue.receive(10, POLL, MINUTE);
    // One poll puts the look into the writer's queue.
    let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(receive.as_mut().poll(cx)));
    assert!(polled.await.is_pending());
    let orphan = world.db.writer.submit(0, |connection| {
        connection.execute("INSERT INTO children VALUES (99)", [])?;
        Ok((Keep::Yes, ()))
    });
    drop(release);
    assert!(orphan.await.is_err());
    let failed = receive.await;
    assert!(
        matches!(failed, Err(QueueError::Unavailable(_))),
        "{failed:?}"
    );
    let found = pair
        .queue
        .receive(10, Duration::ZERO, MINUTE)
        .await
        .unwrap();
    assert_eq!(found.len(), 1, "the receive that failed has not hidden it");
    assert_eq!(found[0].receives, 1);
}

#[tokio::test]
async fn a_redrive_says_what_it_could_not_do_and_leaves_it_there() {
    let world = Embedded::new().await;
    let pair = world.queue(5).await;
    for body in ["good", "bad", "fine"] {
        pair.send(body).await;
        let delivery = pair.receive(MINUTE).await;
        let note = Note::new("poison", "test");
        pair.letters().bury(&delivery, &note).await.unwrap();
    }
    let (queue, dead) = (Arc::clone(&pair.queue), Arc::clone(&pair.dead));
    let picky = DeadLetters::new(Arc::new(Picky(queue, "bad")), dead);
    let outcome = picky.redrive(&Pick::All, 10).await;
    assert_eq!((outcome.done, outcome.failed.len()), (2, 1), "{outcome:?}");
    let left = picky.list(&Pick::All, 10).await.unwrap().letters;
    assert_eq!(left.len(), 1);
    assert_eq!(
        (left[0].body.as_str(), &left[0].id),
        ("bad", &outcome.failed[0].0)
    );
    // The whole call fails: nothing is lost, and it says so.
    let (queue, dead) = (Arc::clone(&pair.queue), Arc::clone(&pair.dead));
    let down = DeadLetters::new(Arc::new(Picky(queue, "")), dead);
    let outcome = down.redrive(&Pick::All, 10).await;
    assert!(
        matches!(outcome.stopped, Some(QueueError::Unavailable(_))),
        "{outcome:?}"
    );
    assert_eq!(outcome.done, 0);
    let outcome = pair.letters().redrive(&Pick::All, 10).await;
    assert_eq!(
        (outcome.done, outcome.stopped),
        (1, None),
        "it was given back at once"
    );
}

#[tokio::test]
async fn a_poll_that_waits_asks_the_database_nothing() {
    let world = Embedded::new().await;
    let pair = world.queue(5).await;
    pair.send("later").await;
    pair.receive(MINUTE).await;
    let polls: Vec<_> = (0..4)
        .map(|_| {
            let queue = Arc::clone(&pair.queue);
            tokio::spawn(async move { queue.receive(10, POLL, MINUTE).await.unwrap() })
        })
        .collect();
    world.clock.asleep(4).await;
    let before = world.db.writer.stats().snapshot().jobs;
    for _ in 0..POLL.as_secs() {
        world.clock.advance(SECOND);
    }
    for poll in polls {
        assert_eq!(poll.await.unwrap(), []);
    }
    assert_eq!(world.db.writer.stats().snapshot().jobs, before);
}

#[tokio::test]
async fn a_shorter_lease_or_delay_than_the_polls_wakes_them_in_time() {
    let world = Embedded::new().await;
    let pair = world.queue(5).await;
    pair.send("first").await;
    let first = pair.receive(10 * MINUTE).await;
    let waiting = tokio::spawn({
        let pair = pair.clone();
        async move { pair.receive(MINUTE).await }
    });
    world.clock.asleep(1).await;
    let soon = vec![(first.receipt, 3 * SECOND)];
    assert_eq!(pair.queue.set_visibility(soon).await, Ok(vec![Ok(())]));
    world.clock.advance(3 * SECOND);
    assert_eq!(waiting.await.unwrap().receives, 2);
}

#[tokio::test]
async fn an_older_receipt_is_refused() {
    let world = Embedded::new().await;
    let pair = world.queue(5).await;
    pair.send("twice").await;
    let old = pair.receive(SECOND).await;
    world.clock.advance(SECOND);
    let new = pair.receive(MINUTE).await;
    let stale = Ok(vec![Err(ReceiptError::Stale)]);
    assert_eq!(pair.queue.delete(vec![old.receipt.clone()]).await, stale);
    let batch = vec![(old.receipt, MINUTE)];
    assert_eq!(pair.queue.set_visibility(batch).await, stale);
    pair.delete(&new.receipt).await;
}

#[tokio::test]
async fn a_lease_that_has_run_out_is_not_extended_but_still_deletes() {
    let world = Embedded::new().await;
    let pair = world.queue(5).await;
    pair.send("late").await;
    let delivery = pair.receive(SECOND).await;
    world.clock.advance(SECOND);
    let batch = vec![(delivery.receipt.clone(), MINUTE)];
    let extended = pair.queue.set_visibility(batch).await;
    assert_eq!(extended, Ok(vec![Err(ReceiptError::Stale)]));
    pair.delete(&delivery.receipt).await;
    pair.is_empty_now("it was deleted").await;
}

#[tokio::test]
async fn a_receipt_serves_its_own_queue_only_and_never_a_later_message() {
    let world = Embedded::new().await;
    let (one, two) = (world.queue(5).await, world.queue(5).await);
    one.send("one").await;
    two.send("two").await;
    let first = one.receive(MINUTE).await;
    let elsewhere = two.queue.delete(vec![first.receipt.clone()]).await;
    assert_eq!(elsewhere, Ok(vec![Err(ReceiptError::Stale)]));
    one.delete(&first.receipt).await;
    one.send("another").await;
    one.receive(MINUTE).await;
    one.delete(&first.receipt).await;
    assert_eq!(one.queue.depth().await.unwrap().in_flight, 1);
}

#[tokio::test]
async fn what_nobody_deletes_is_gone_after_its_retention() {
    let world = Embedded::new().await;
    let pair = world.queue(5).await;
    pair.send("old").await;
    pair.send("in flight").await;
    pair.receive(MINUTE).await;
    world.clock.advance(RETENTION);
    pair.send("new").await;
    assert_eq!(pair.queue.depth().await.unwrap().visible, 3, "not yet");
    world.clock.advance(SECOND);
    let received = pair.receive_all(1).await;
    assert_eq!(received[0].body, "new");
    assert_eq!(pair.queue.depth().await.unwrap().visible, 0);
    // And without a receive, by whoever sends.
    pair.delete(&received[0].receipt).await;
    pair.send("forgotten").await;
    world.clock.advance(2 * RETENTION);
    pair.send("newest").await;
    let depth = pair.queue.depth().await.unwrap();
    assert_eq!((depth.visible, depth.oldest_ms), (1, Some(world.now_ms())));
}

#[tokio::test]
async fn messages_that_are_dead_do_not_stand_in_the_way_of_others() {
    let world = Embedded::new().await;
    let pair = world.queue(1).await;
    for n in 0..25 {
        pair.send(&format!("poison {n}")).await;
    }
    for delivery in pair.receive_all(25).await {
        pair.give_back(&delivery.receipt).await;
    }
    // What could be received first comes first.
    world.clock.advance(SECOND);
    pair.send("good").await;
    assert_eq!(pair.receive(MINUTE).await.body, "good");
    assert_eq!(receive_all(&*pair.dead, 25).await.len(), 25);
}

#[tokio::test]
async fn queues_and_their_leases_survive_a_restart() {
    let world = Embedded::new().await;
    let pair = world.queue(5).await;
    pair.send("one").await;
    pair.send("two").await;
    let leased = pair.receive(MINUTE).await;
    let again = SqliteQueues::open(world.db.clone(), Arc::new(world.clock.clone()));
    let again = again.await.unwrap();
    let queue = again.queue(pair.queue.name(), SqliteQueueOptions::default());
    let queue = queue.await.unwrap();
    let found = queue.receive(10, Duration::ZERO, MINUTE).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_ne!(found[0].id, leased.id);
    assert_eq!(queue.delete(vec![leased.receipt]).await, Ok(vec![Ok(())]));
}

#[tokio::test]
async fn a_topic_takes_no_more_than_sns_and_delays_nothing() {
    let world = Embedded::new().await;
    let queue = world.open("events", SqliteQueueOptions::default()).await;
    let late = Outgoing {
        delay: MINUTE,
        ..text("event")
    };
    let large = text(&"x".repeat(MESSAGE_BYTES + 1));
    let results = queue.publish(vec![late, large]).await.unwrap();
    assert!(matches!(results[..], [Ok(()), Err(SendError::Invalid(_))]));
    assert_eq!(
        queue
            .receive(10, Duration::ZERO, MINUTE)
            .await
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn a_name_that_sqs_would_not_take_is_refused() {
    let world = Embedded::new().await;
    let long = "n".repeat(81);
    for name in ["", "a b", "ä", long.as_str()] {
        let refused = world.queues.queue(name, SqliteQueueOptions::dead()).await;
        assert!(matches!(refused, Err(QueueError::Refused(_))), "{name:?}");
    }
}

#[tokio::test]
async fn a_receive_is_a_seek_however_many_wait() {
    let world = Embedded::new().await;
    world.queue(5).await;
    let plan = |connection: &rusqlite::Connection| {
        let mut explain = connection.prepare(
            "EXPLAIN QUERY PLAN SELECT key, receives, sent_ms, attributes, body FROM queue_messages
             WHERE queue = 1 AND visible_ms <= 2 ORDER BY visible_ms LIMIT 3",
        )?;
        let steps = explain.query_map([], |row| row.get::<_, String>(3))?;
        steps.collect::<rusqlite::Result<Vec<_>>>()
    };
    let plan = world.db.readers.run(plan).await.unwrap();
    assert_eq!(
        plan,
        ["SEARCH queue_messages USING INDEX queue_due (queue=? AND visible_ms<?)"]
    );
}

impl Embedded {
    fn now_ms(&self) -> i64 {
        use kaiwa_platform::clock::Clock as _;
        let UnixMs(now) = self.clock.now();
        now
    }
}
