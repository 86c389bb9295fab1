//! Watches: a snapshot, every state in order, a heartbeat, and going on from a revision.

use crate::world::{World, new_clip, room, who};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use kaiwa_media_pipeline::api::{ApiError, Clips as _, Watch, WatchItem};
use kaiwa_media_pipeline::model::{ClipId, ClipState};
use std::time::Duration;

type Stream = BoxStream<'static, Result<WatchItem, ApiError>>;

async fn watch(world: &World, user: &str, after: Option<u64>) -> Result<Stream, ApiError> {
    let what = Watch::Room(room());
    world.service.watch(&who(user), what, after).await
}

/// States of the clip until this one, each once.
async fn states_until(stream: &mut Stream, id: ClipId, last: ClipState) -> (u64, Vec<ClipState>) {
    let mut states = Vec::new();
    let mut before = 0;
    loop {
        let Some(Ok(WatchItem::Changed { revision, clip })) = stream.next().await else {
            panic!("a change was to come after {states:?}");
        };
        assert!(revision > before, "in the order of revisions");
        before = revision;
        assert_eq!(clip.id, id);
        if states.last() != Some(&clip.state) {
            states.push(clip.state);
        }
        if clip.state == last {
            return (revision, states);
        }
    }
}

#[tokio::test]
async fn a_watcher_sees_every_state_in_order() {
    let world = World::new(1);
    let mut stream = watch(&world, "bob", None).await.unwrap();
    let first = stream.next().await;
    let empty = WatchItem::Snapshot {
        revision: 0,
        clips: Vec::new(),
    };
    assert_eq!(first, Some(Ok(empty)));
    let id = world.ready().await;
    let (_, states) = states_until(&mut stream, id, ClipState::Ready).await;
    let all = [
        ClipState::Created,
        ClipState::Uploading,
        ClipState::Uploaded,
        ClipState::Validating,
        ClipState::Submitted,
        ClipState::Processing,
        ClipState::Verifying,
        ClipState::Ready,
    ];
    assert_eq!(states, all);
}

#[tokio::test]
async fn a_watch_goes_on_from_its_revision_and_after_a_restart_begins_anew() {
    let mut world = World::new(1);
    let mut stream = watch(&world, "bob", None).await.unwrap();
    stream.next().await;
    let id = world.uploaded().await;
    let (revision, _) = states_until(&mut stream, id, ClipState::Uploading).await;
    drop(stream);
    world.complete(id).await.unwrap();
    world.settle(id).await;
    let mut stream = watch(&world, "bob", Some(revision)).await.unwrap();
    let (last, states) = states_until(&mut stream, id, ClipState::Ready).await;
    let after = states
        .iter()
        .position(|state| *state == ClipState::Uploaded);
    assert!(after.is_some_and(|at| at <= 1), "{states:?}");
    let ahead = watch(&world, "bob", Some(last + 100)).await;
    assert_eq!(ahead.err(), Some(ApiError::Compacted));
    world.restart();
    let old = watch(&world, "bob", Some(revision)).await;
    assert_eq!(old.err(), Some(ApiError::Compacted));
    let mut anew = watch(&world, "bob", None).await.unwrap();
    let Some(Ok(WatchItem::Snapshot { clips, .. })) = anew.next().await else {
        panic!("a snapshot comes first");
    };
    assert_eq!(clips[0].state, ClipState::Ready);
}

#[tokio::test]
async fn changes_of_another_process_are_told() {
    let world = World::new(1);
    let mut stream = watch(&world, "bob", None).await.unwrap();
    stream.next().await;
    let mut other = World::new(1);
    other.store = std::sync::Arc::clone(&world.store);
    other.restart();
    let id = other.registered().await;
    world.service.tick().await;
    world.service.tick().await;
    let Some(Ok(WatchItem::Changed { clip, .. })) = stream.next().await else {
        panic!("a change was to come");
    };
    assert_eq!(clip.id, id);
}

#[tokio::test]
async fn a_quiet_watch_beats_and_ends_for_somebody_who_was_removed() {
    let world = World::new(1);
    let mut stream = watch(&world, "bob", None).await.unwrap();
    stream.next().await;
    let beat = tokio::spawn(async move {
        let item = stream.next().await;
        (item, stream)
    });
    world.clock.asleep(1).await;
    world.clock.advance(Duration::from_secs(15));
    let (item, mut stream) = beat.await.unwrap();
    assert_eq!(item, Some(Ok(WatchItem::Heartbeat { revision: 0 })));
    world.chat.leave("bob", "r_1");
    world.clock.advance(Duration::from_secs(15));
    world
        .service
        .create(&who("alice"), new_clip())
        .await
        .unwrap();
    assert_eq!(stream.next().await, Some(Err(ApiError::NotFound)));
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn outsiders_do_not_watch_and_nobody_watches_without_end() {
    let world = World::new(1);
    let outside = watch(&world, "eve", None).await;
    assert_eq!(outside.err(), Some(ApiError::NotFound));
    let mut held = Vec::new();
    for _ in 0..16 {
        held.push(watch(&world, "bob", None).await.unwrap());
    }
    let one_more = watch(&world, "bob", None).await;
    assert!(matches!(one_more.err(), Some(ApiError::Quota { .. })));
    held.pop();
    assert!(watch(&world, "bob", None).await.is_ok());
    let mut stream = held.pop().unwrap();
    stream.next().await;
    assert!(world.service.drain(Duration::from_secs(1)).await);
    assert_eq!(stream.next().await, None, "a drain ends watches");
}

#[tokio::test]
async fn who_was_removed_sees_no_change_after_it() {
    for one in [false, true] {
        let world = World::new(1);
        let id = world.registered().await;
        let what = if one {
            Watch::Clip(id)
        } else {
            Watch::Room(room())
        };
        let mut stream = world.service.watch(&who("bob"), what, None).await.unwrap();
        stream.next().await;
        world.chat.leave("bob", "r_1");
        world.service.cancel(&who("alice"), id).await.unwrap();
        // No time has passed.
        assert_eq!(stream.next().await, Some(Err(ApiError::NotFound)), "{one}");
        assert_eq!(stream.next().await, None);
    }
}

#[tokio::test]
async fn a_quiet_rooms_watch_is_not_left_behind_by_others() {
    let world = World::new(1);
    let mut stream = watch(&world, "bob", None).await.unwrap();
    stream.next().await;
    world.chat.join("alice", "r_2");
    let mut other = new_clip();
    other.room = kaiwa_common::id::RoomId::parse("r_2").unwrap();
    let created = world.service.create(&who("alice"), other).await;
    created.unwrap();
    world.service.idle().await;
    world.clock.advance(Duration::from_secs(15));
    let next = tokio::spawn(async move { stream.next().await });
    world.clock.asleep(1).await;
    world.clock.advance(Duration::from_secs(15));
    let newest = world.store.revision().await.unwrap();
    let beat = WatchItem::Heartbeat { revision: newest };
    assert_eq!(next.await.unwrap(), Some(Ok(beat)));
}
