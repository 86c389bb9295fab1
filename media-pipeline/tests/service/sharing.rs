//! Clips in more rooms than their own: who ends a share, and what those who are only in the other room get to see.

use crate::world::{World, room, who};
use kaiwa_common::id::RoomId;
use kaiwa_media_pipeline::api::{ApiError, Clips as _};
use kaiwa_media_pipeline::model::ClipState;
use kaiwa_media_pipeline::ports::Query;

#[tokio::test]
async fn who_deletes_its_message_in_another_room_ends_that_share_and_at_home_the_clip() {
    let world = World::new(1);
    let id = world.ready().await;
    let other = RoomId::parse("r_2").unwrap();
    world.chat.join("carol", "r_2");
    world.chat.join("alice", "r_2");
    let share = || world.service.share(&who("alice"), id, other.clone());
    let number = share().await.unwrap();
    world.service.idle().await;
    let deleted = async |room: &RoomId, number: u64| {
        let told = world.service.message_deleted(id, room.clone(), number);
        told.await.unwrap();
        world.service.idle().await;
    };
    deleted(&other, number + 1).await;
    let plays = world.service.playback(&who("carol"), id).await;
    assert!(plays.is_ok(), "another message is none of this clip's");
    // Told twice, as after a crash.
    for _ in 0..2 {
        deleted(&other, number).await;
        let plays = world.service.playback(&who("carol"), id).await;
        assert_eq!(plays.map(|_| ()), Err(ApiError::NotFound));
        let query = Query {
            room: Some(other.clone()),
            limit: 10,
            ..Query::default()
        };
        let listed = world.service.list(&who("carol"), query).await.unwrap();
        assert!(listed.clips.is_empty());
        let seen = world.service.get(&who("carol"), id).await;
        assert_eq!(seen.map(|_| ()), Err(ApiError::NotFound));
    }
    let at_home = world.service.playback(&who("bob"), id).await;
    assert!(at_home.is_ok(), "at home it is still shown");

    let message = world.clip(id).await.message.unwrap();
    for _ in 0..2 {
        deleted(&room(), message).await;
        assert_eq!(world.clip(id).await.state, ClipState::Deleted);
    }
    let plays = world.service.playback(&who("bob"), id).await;
    assert!(plays.is_err(), "{plays:?}");
    assert!(world.objects.keys().is_empty(), "its bytes are gone");
}
