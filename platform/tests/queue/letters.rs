//! The contract of dead letters, over any queue.

use super::world::{MINUTE, Pair, World, text};
use kaiwa_platform::queue::dead_letters::{DeadLetter, Note, Outcome, Pick};
use std::sync::Arc;

/// Lists until there are `count`: a service may take a moment.
pub(super) async fn all(pair: &Pair, count: usize) -> Vec<DeadLetter> {
    for _ in 0..10 {
        let listed = pair.letters().list(&Pick::All, 100).await.expect("a list");
        if listed.letters.len() >= count {
            assert_eq!(listed.letters.len(), count);
            return listed.letters;
        }
    }
    panic!("there are not {count} letters");
}

/// Sends and buries one of each.
async fn bury(pair: &Pair, letters: &[(&str, &str)]) {
    for (body, reason) in letters {
        let mut message = text(body);
        message
            .attributes
            .insert("class".to_owned(), "message".to_owned());
        assert_eq!(pair.queue.send(vec![message]).await, Ok(vec![Ok(())]));
        let delivery = pair.receive(MINUTE).await;
        let note = Note::new(reason, "router").with_trace("trace");
        pair.letters().bury(&delivery, &note).await.expect("buried");
    }
}

fn done(outcome: &Outcome) -> usize {
    assert_eq!((&outcome.failed[..], &outcome.stopped), (&[][..], &None));
    outcome.done
}

pub(super) async fn poison_is_buried_with_its_reason(world: Arc<dyn World>) {
    let pair = world.queue(5).await;
    bury(&pair, &[("poison", "unknown_schema")]).await;
    pair.is_empty_now("it was buried").await;
    assert_eq!(pair.queue.depth().await.expect("a depth").in_flight, 0);
    let letter = all(&pair, 1).await.remove(0);
    assert_eq!(
        (letter.reason.as_str(), letter.component.as_str()),
        ("unknown_schema", "router")
    );
    assert_eq!(letter.trace_id.as_deref(), Some("trace"));
    assert!(letter.first_seen_ms > 0);
    assert_eq!(letter.body, "poison");
    assert_eq!(
        letter.attributes,
        [("class".to_owned(), "message".to_owned())].into()
    );
}

pub(super) async fn letters_are_picked_by_reason_and_id(world: Arc<dyn World>) {
    let pair = world.queue(5).await;
    bury(&pair, &[("one", "a"), ("two", "b"), ("three", "a")]).await;
    let listed = all(&pair, 3).await;
    let two = listed
        .iter()
        .find(|l| l.body == "two")
        .expect("it is there");
    let letters = pair.letters();
    assert_eq!(letters.show(&two.id).await, Ok(Some(two.clone())));
    assert_eq!(letters.show("no such id").await, Ok(None));
    assert_eq!(
        letters.reasons().await,
        Ok(vec![("a".to_owned(), 2), ("b".to_owned(), 1)])
    );
    let redriven = letters.redrive(&Pick::Reason("a".to_owned()), 10).await;
    assert_eq!(done(&redriven), 2);
    let back = pair.receive_all(2).await;
    for delivery in &back {
        assert_eq!(delivery.receives, 1, "it has all its tries again");
        assert_eq!(
            delivery.attributes,
            [("class".to_owned(), "message".to_owned())].into()
        );
    }
    let redriven = letters.redrive(&Pick::Id(two.id.clone()), 10).await;
    assert_eq!(done(&redriven), 1);
    assert_eq!(pair.receive(MINUTE).await.body, "two");
    all(&pair, 0).await;
}

pub(super) async fn redriving_again_does_nothing(world: Arc<dyn World>) {
    let pair = world.queue(5).await;
    bury(&pair, &[("one", "a")]).await;
    let id = all(&pair, 1).await.remove(0).id;
    for times in [1, 0, 0] {
        let redriven = pair.letters().redrive(&Pick::Id(id.clone()), 10).await;
        assert_eq!(done(&redriven), times);
    }
    pair.receive(MINUTE).await;
    pair.is_empty_now("it was redriven once").await;
}

pub(super) async fn looking_leaves_everything_there(world: Arc<dyn World>) {
    let pair = world.queue(5).await;
    bury(&pair, &[("one", "a"), ("two", "b")]).await;
    for _ in 0..3 {
        all(&pair, 2).await;
    }
    // Not hidden either: what was looked at can be redriven at once.
    let redriven = pair.letters().redrive(&Pick::All, 10).await;
    assert_eq!(done(&redriven), 2);
}

pub(super) async fn discarded_letters_are_gone(world: Arc<dyn World>) {
    let pair = world.queue(5).await;
    bury(&pair, &[("one", "a"), ("two", "b")]).await;
    let discarded = pair
        .letters()
        .discard(&Pick::Reason("b".to_owned()), 10)
        .await;
    assert_eq!(done(&discarded), 1);
    assert_eq!(all(&pair, 1).await[0].body, "one");
    pair.is_empty_now("a discarded letter goes nowhere").await;
}

pub(super) async fn redriving_has_a_bound(world: Arc<dyn World>) {
    let pair = world.queue(5).await;
    bury(&pair, &[("one", "a"), ("two", "a"), ("three", "a")]).await;
    let redriven = pair.letters().redrive(&Pick::All, 2).await;
    assert!(redriven.has_more);
    assert_eq!(done(&redriven), 2);
    all(&pair, 1).await;
    let rest = pair.letters().redrive(&Pick::All, 2).await;
    assert!(!rest.has_more);
    assert_eq!(done(&rest), 1);
    let depth = pair.queue.depth().await.expect("a depth");
    assert_eq!(depth.visible, 3);
}
