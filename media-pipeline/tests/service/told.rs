//! Who is told that a clip can never be played.

use crate::world::{SIZE, World, new_clip, who};
use kaiwa_media_pipeline::api::{Clips as _, NewClip};
use kaiwa_media_pipeline::model::{ClipState, UploadMode};

#[tokio::test]
async fn a_refused_file_is_told_of_once_also_when_no_room_shows_it() {
    for share in [true, false] {
        let mut world = World::new(1);
        let new = NewClip {
            share,
            ..new_clip()
        };
        let id = world.service.create(&who("alice"), new).await.unwrap().id;
        world.service.idle().await;
        world.grant(id, UploadMode::Multipart).await.unwrap();
        world.objects.upload_arrives(SIZE - 1);
        let answer = world.complete(id).await;
        assert!(answer.is_err(), "{answer:?}");
        assert_eq!(world.settle(id).await.state, ClipState::Rejected);
        // Nor does another server tell of it again.
        world.restart();
        world.settle(id).await;
        let told = world.chat.failed.lock().unwrap().get(&id).copied();
        assert_eq!(told, Some(1), "shared: {share}");
    }
}
