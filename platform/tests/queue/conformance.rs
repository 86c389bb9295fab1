//! The contract of a queue, as checks that every back end passes. Where the services differ, a check asks for what
//! the contract promises and no more.

use super::letters;
use super::world::{Boxed, MINUTE, POLL, SECOND, World, bodies, text};
use kaiwa_platform::queue::{
    BATCH, MESSAGE_BYTES, Outgoing, QUEUED_BYTES, QueueError, Receipt, ReceiptError, SendError,
};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A check, by its name.
pub(crate) type Check = (&'static str, fn(Arc<dyn World>) -> Boxed<'static, ()>);

macro_rules! checks {
    ($($module:ident :: $name:ident),* $(,)?) => {
        &[$((stringify!($name), |world| Box::pin($module::$name(world)))),*]
    };
}

/// All of them.
pub(crate) const CHECKS: &[Check] = checks![
    queue::what_is_sent_is_received_as_it_was,
    queue::a_receive_takes_no_more_than_it_asked_for,
    queue::a_long_poll_is_woken_by_a_send,
    queue::a_long_poll_is_woken_by_a_lease_that_runs_out,
    queue::a_long_poll_is_woken_by_what_is_given_back,
    queue::a_long_poll_ends_without_a_message,
    queue::a_message_received_is_hidden_from_others,
    queue::a_lease_that_runs_out_gives_the_message_to_the_next,
    queue::an_extension_keeps_a_message_away,
    queue::visibility_zero_gives_back_at_once,
    queue::what_is_received_too_often_goes_to_the_dead_letters,
    queue::an_invalid_message_takes_no_other_with_it,
    queue::the_newest_receipt_is_good,
    queue::a_receipt_of_what_is_gone_extends_nothing,
    queue::a_delayed_message_comes_when_it_is_due,
    queue::the_largest_messages_pass_and_larger_ones_are_refused,
    queue::deleting_what_is_gone_is_no_error,
    queue::a_false_receipt_takes_no_other_with_it,
    queue::depth_tells_what_is_there,
    queue::batches_have_bounds,
    queue::several_consumers_lose_and_double_nothing,
    letters::poison_is_buried_with_its_reason,
    letters::letters_are_picked_by_reason_and_id,
    letters::redriving_again_does_nothing,
    letters::looking_leaves_everything_there,
    letters::discarded_letters_are_gone,
    letters::redriving_has_a_bound,
];

use self as queue;

async fn what_is_sent_is_received_as_it_was(world: Arc<dyn World>) {
    let pair = world.queue(5).await;
    let attributes = [("class", "call"), ("x.y-z_0", " <&\"'> 日本語\n\u{1f600}")];
    let sent = Outgoing {
        body: "{\"a\": \"<&>\"}\r\n\t \u{1f680}日本語".to_owned(),
        attributes: attributes.map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
        ..Outgoing::default()
    };
    let results = pair.queue.send(vec![sent.clone(), text("two")]).await;
    assert_eq!(results, Ok(vec![Ok(()), Ok(())]));
    let received = pair.receive_all(2).await;
    let first = received
        .iter()
        .find(|d| d.body != "two")
        .expect("the first");
    assert_eq!(
        (&first.body, &first.attributes),
        (&sent.body, &sent.attributes)
    );
    for delivery in &received {
        assert_eq!(delivery.receives, 1);
        assert!(delivery.sent_ms > 0);
    }
    assert_ne!(received[0].id, received[1].id);
    assert_ne!(received[0].receipt, received[1].receipt);
}

async fn a_receive_takes_no_more_than_it_asked_for(world: Arc<dyn World>) {
    let pair = world.queue(5).await;
    for _ in 0..2 {
        let batch = (0..10).map(|n| text(&n.to_string())).collect();
        assert!(
            pair.queue
                .send(batch)
                .await
                .expect("an answer")
                .iter()
                .all(Result::is_ok)
        );
    }
    let three = pair
        .queue
        .receive(3, POLL, MINUTE)
        .await
        .expect("an answer");
    assert!((1..=3).contains(&three.len()), "{}", three.len());
    let many = pair
        .queue
        .receive(100, POLL, MINUTE)
        .await
        .expect("an answer");
    assert!((1..=BATCH).contains(&many.len()), "{}", many.len());
}

async fn a_long_poll_is_woken_by_a_send(world: Arc<dyn World>) {
    let pair = world.queue(5).await;
    let waiting = tokio::spawn({
        let pair = pair.clone();
        async move { pair.receive(MINUTE).await }
    });
    world.until_one_waits().await;
    pair.send("wake up").await;
    assert_eq!(waiting.await.expect("received").body, "wake up");
}

async fn a_long_poll_is_woken_by_a_lease_that_runs_out(world: Arc<dyn World>) {
    let pair = world.queue(5).await;
    pair.send("lost").await;
    pair.receive(2 * SECOND).await;
    let waiting = tokio::spawn({
        let pair = pair.clone();
        async move { pair.receive(MINUTE).await }
    });
    world.until_one_waits().await;
    world.pass(2 * SECOND).await;
    assert_eq!(waiting.await.expect("received").receives, 2);
}

async fn a_long_poll_is_woken_by_what_is_given_back(world: Arc<dyn World>) {
    let pair = world.queue(5).await;
    pair.send("back").await;
    let first = pair.receive(MINUTE).await;
    let waiting = tokio::spawn({
        let pair = pair.clone();
        async move { pair.receive(MINUTE).await }
    });
    world.until_one_waits().await;
    pair.give_back(&first.receipt).await;
    assert_eq!(waiting.await.expect("received").receives, 2);
}

async fn a_long_poll_ends_without_a_message(world: Arc<dyn World>) {
    let pair = world.queue(5).await;
    let queue = Arc::clone(&pair.queue);
    let waiting = tokio::spawn(async move { queue.receive(10, 2 * SECOND, MINUTE).await });
    world.until_one_waits().await;
    world.pass(2 * SECOND).await;
    assert_eq!(waiting.await.expect("it ends"), Ok(vec![]));
}

async fn a_message_received_is_hidden_from_others(world: Arc<dyn World>) {
    let pair = world.queue(5).await;
    pair.send("mine").await;
    pair.receive(MINUTE).await;
    pair.is_empty_now("it is leased").await;
}

async fn a_lease_that_runs_out_gives_the_message_to_the_next(world: Arc<dyn World>) {
    let pair = world.queue(5).await;
    pair.send("lost").await;
    let first = pair.receive(SECOND).await;
    world.pass(2 * SECOND).await;
    let second = pair.receive(MINUTE).await;
    assert_eq!((second.id, second.receives), (first.id, 2));
    assert_ne!(second.receipt, first.receipt);
}

async fn an_extension_keeps_a_message_away(world: Arc<dyn World>) {
    let pair = world.queue(5).await;
    pair.send("long work").await;
    let lease = world.long();
    let delivery = pair.receive(lease).await;
    let extended = pair
        .queue
        .set_visibility(vec![(delivery.receipt.clone(), 4 * lease)]);
    assert_eq!(extended.await, Ok(vec![Ok(())]));
    world.pass(lease + SECOND).await;
    pair.is_empty_now("it was extended").await;
    pair.delete(&delivery.receipt).await;
}

async fn visibility_zero_gives_back_at_once(world: Arc<dyn World>) {
    let pair = world.queue(5).await;
    pair.send("not now").await;
    let first = pair.receive(MINUTE).await;
    pair.give_back(&first.receipt).await;
    let second = pair.receive(MINUTE).await;
    assert_eq!((second.id, second.receives), (first.id, 2));
}

async fn what_is_received_too_often_goes_to_the_dead_letters(world: Arc<dyn World>) {
    let pair = world.queue(2).await;
    let mut poison = text("poison");
    poison
        .attributes
        .insert("class".to_owned(), "call".to_owned());
    assert_eq!(
        pair.queue.send(vec![poison.clone()]).await,
        Ok(vec![Ok(())])
    );
    for receives in 1..=2 {
        let delivery = pair.receive(MINUTE).await;
        assert_eq!(delivery.receives, receives);
        pair.give_back(&delivery.receipt).await;
    }
    pair.is_empty_now("it was received twice").await;
    let listed = letters::all(&pair, 1).await;
    assert_eq!(listed[0].reason, "max_receives");
    assert_eq!(listed[0].original(), poison);
}

async fn an_invalid_message_takes_no_other_with_it(world: Arc<dyn World>) {
    let pair = world.queue(5).await;
    let mut crowded = text("crowded");
    crowded.attributes = (0..11).map(|n| (format!("a{n}"), "v".to_owned())).collect();
    let mut nameless = text("nameless");
    nameless.attributes.insert("a b".to_owned(), "v".to_owned());
    let batch = vec![
        text("one"),
        text("\u{0}"),
        crowded,
        text("two"),
        text(""),
        nameless,
    ];
    let results = pair.queue.send(batch).await.expect("an answer");
    for (place, result) in results.iter().enumerate() {
        match place {
            0 | 3 => assert_eq!(*result, Ok(())),
            _ => assert!(
                matches!(result, Err(SendError::Invalid(_))),
                "{place}: {result:?}"
            ),
        }
    }
    assert_eq!(bodies(&pair.receive_all(2).await), ["one", "two"]);
    pair.is_empty_now("the others were not sent").await;
}

/// What an older receipt does is the service's affair: moto deletes by it, MiniStack and SQLite refuse it.
async fn the_newest_receipt_is_good(world: Arc<dyn World>) {
    let pair = world.queue(5).await;
    pair.send("twice").await;
    let old = pair.receive(MINUTE).await;
    pair.give_back(&old.receipt).await;
    let new = pair.receive(MINUTE).await;
    let stale = pair
        .queue
        .delete(vec![old.receipt])
        .await
        .expect("an answer");
    assert!(
        matches!(stale[..], [Ok(()) | Err(ReceiptError::Stale)]),
        "{stale:?}"
    );
    pair.delete(&new.receipt).await;
    assert_eq!(pair.queue.depth().await.expect("a depth").in_flight, 0);
}

async fn a_receipt_of_what_is_gone_extends_nothing(world: Arc<dyn World>) {
    let pair = world.queue(5).await;
    pair.send("gone").await;
    let delivery = pair.receive(MINUTE).await;
    pair.delete(&delivery.receipt).await;
    let extended = pair
        .queue
        .set_visibility(vec![(delivery.receipt, MINUTE)])
        .await;
    assert_eq!(extended, Ok(vec![Err(ReceiptError::Stale)]));
}

async fn a_delayed_message_comes_when_it_is_due(world: Arc<dyn World>) {
    let pair = world.queue(5).await;
    let late = Outgoing {
        delay: world.long(),
        ..text("late")
    };
    assert_eq!(pair.queue.send(vec![late]).await, Ok(vec![Ok(())]));
    pair.is_empty_now("it is delayed").await;
    assert_eq!(pair.queue.depth().await.expect("a depth").delayed, 1);
    world.pass(world.long()).await;
    assert_eq!(pair.receive(MINUTE).await.receives, 1);
}

async fn the_largest_messages_pass_and_larger_ones_are_refused(world: Arc<dyn World>) {
    let pair = world.queue(5).await;
    let large = |n: usize| text(&"x".repeat(MESSAGE_BYTES - n));
    let batch: Vec<_> = (0..5)
        .map(large)
        .chain([text(&"y".repeat(QUEUED_BYTES + 1))])
        .collect();
    let results = pair.queue.send(batch).await.expect("an answer");
    assert!(results[..5].iter().all(Result::is_ok), "{results:?}");
    assert!(
        matches!(results[5], Err(SendError::Invalid(_))),
        "{results:?}"
    );
    let received = pair.receive_all(5).await;
    let sizes: BTreeSet<_> = received.iter().map(|d| d.body.len()).collect();
    assert_eq!(sizes, (0..5).map(|n| MESSAGE_BYTES - n).collect());
}

async fn deleting_what_is_gone_is_no_error(world: Arc<dyn World>) {
    let pair = world.queue(5).await;
    pair.send("gone").await;
    let delivery = pair.receive(MINUTE).await;
    pair.delete(&delivery.receipt).await;
    pair.delete(&delivery.receipt).await;
}

async fn a_false_receipt_takes_no_other_with_it(world: Arc<dyn World>) {
    let pair = world.queue(5).await;
    pair.send("one").await;
    let delivery = pair.receive(MINUTE).await;
    let batch = vec![Receipt("no receipt".to_owned()), delivery.receipt];
    let extend = batch
        .iter()
        .map(|receipt| (receipt.clone(), MINUTE))
        .collect();
    let expected = Ok(vec![Err(ReceiptError::Stale), Ok(())]);
    assert_eq!(pair.queue.set_visibility(extend).await, expected);
    assert_eq!(pair.queue.delete(batch).await, expected);
}

async fn depth_tells_what_is_there(world: Arc<dyn World>) {
    let pair = world.queue(5).await;
    for body in ["one", "two", "three"] {
        pair.send(body).await;
    }
    pair.receive(MINUTE).await;
    let depth = pair.queue.depth().await.expect("a depth");
    assert_eq!((depth.visible, depth.in_flight, depth.delayed), (2, 1, 0));
}

async fn batches_have_bounds(world: Arc<dyn World>) {
    let pair = world.queue(5).await;
    let eleven = (0..=BATCH).map(|n| text(&n.to_string())).collect();
    assert!(matches!(
        pair.queue.send(eleven).await,
        Err(QueueError::Refused(_))
    ));
    assert_eq!(pair.queue.send(vec![]).await, Ok(vec![]));
    assert_eq!(pair.queue.delete(vec![]).await, Ok(vec![]));
    assert_eq!(pair.queue.set_visibility(vec![]).await, Ok(vec![]));
}

async fn several_consumers_lose_and_double_nothing(world: Arc<dyn World>) {
    const ALL: usize = 120;
    let pair = world.queue(5).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let consumers: Vec<_> = (0..4)
        .map(|_| tokio::spawn(consume(pair.clone(), Arc::clone(&seen), ALL)))
        .collect();
    for batch in 0..ALL / BATCH {
        let batch = (0..BATCH).map(|n| text(&(batch * BATCH + n).to_string()));
        let sent = pair.queue.send(batch.collect()).await.expect("an answer");
        assert!(sent.iter().all(Result::is_ok), "{sent:?}");
    }
    for consumer in consumers {
        consumer.await.expect("it ends");
    }
    let seen = seen.lock().expect("no panic").clone();
    if !world.may_double() {
        assert_eq!(seen.len(), ALL, "nothing is doubled");
    }
    assert_eq!(
        seen.into_iter().collect::<BTreeSet<_>>().len(),
        ALL,
        "nothing is lost"
    );
    let depth = pair.queue.depth().await.expect("a depth");
    assert_eq!((depth.visible, depth.in_flight, depth.delayed), (0, 0, 0));
}

/// Receives and deletes until all of them together have seen everything.
async fn consume(pair: super::world::Pair, seen: Arc<Mutex<Vec<String>>>, all: usize) {
    let distinct = || {
        let seen = seen.lock().expect("no panic");
        seen.iter().collect::<BTreeSet<_>>().len()
    };
    while distinct() < all {
        let found = pair
            .queue
            .receive(7, Duration::ZERO, 10 * MINUTE)
            .await
            .expect("an answer");
        if found.is_empty() {
            tokio::task::yield_now().await;
            continue;
        }
        let receipts: Vec<_> = found
            .iter()
            .map(|delivery| delivery.receipt.clone())
            .collect();
        let deleted = pair.queue.delete(receipts).await.expect("an answer");
        assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
        let mut seen = seen.lock().expect("no panic");
        seen.extend(found.into_iter().map(|delivery| delivery.body));
    }
}
