//! Every mutation takes a key: the same key and request get the first answer, another request is refused.

use crate::world::{SIZE, World, want, who};
use kaiwa_common::id::RoomId;
use kaiwa_media_pipeline::api::{ApiError, Caller, Clips as _, Grant};
use kaiwa_media_pipeline::model::{ClipId, ClipState, Language, UploadMode};
use kaiwa_media_pipeline::ports::Part;
use kaiwa_media_pipeline::replay::noticed;

fn keyed(number: u32) -> Caller {
    Caller {
        request_id: Some(format!("0192f3a4-0000-7000-8000-{number:012}")),
        ..who("alice")
    }
}

/// Any other mutation with this key is refused.
async fn is_used(world: &World, caller: &Caller, id: ClipId) {
    let service = &world.service;
    let reused = service.cancel(caller, id).await;
    assert_eq!(reused.err(), Some(ApiError::KeyReused));
}

#[tokio::test]
async fn a_way_in_is_the_same_one_and_its_key_is_good_for_nothing_else() {
    let world = World::new(1);
    let id = world.registered().await;
    let (first, second) = (keyed(1), keyed(2));
    let mut urls = Vec::new();
    for _ in 0..2 {
        let granted = world.service.grant(&first, id, want(UploadMode::Multipart));
        let (granted, is_replay) = noticed(granted).await;
        let Ok(Grant::Parts { requests, .. }) = granted else {
            panic!("{granted:?}");
        };
        assert_eq!(is_replay, !urls.is_empty());
        urls.push(requests[0].1.url.clone());
    }
    assert_eq!(urls[0], urls[1]);
    is_used(&world, &first, id).await;
    // One that changes nothing is noted too, and is no change: nobody who watches is told of it.
    let (version, want_parts) = (world.clip(id).await.version, want(UploadMode::Multipart));
    world.service.grant(&second, id, want_parts).await.unwrap();
    is_used(&world, &second, id).await;
    assert_eq!(world.clip(id).await.version, version);
    let want_form = want(UploadMode::Post);
    let other = world.service.grant(&second, id, want_form).await;
    assert_eq!(other.err(), Some(ApiError::KeyReused));
}

#[tokio::test]
async fn an_end_of_an_upload_is_told_again_as_it_was() {
    let world = World::new(1);
    let id = world.uploaded().await;
    let first = world.service.complete(&keyed(1), id, Vec::new()).await;
    assert_eq!(first.unwrap().state, ClipState::Uploaded);
    world.service.idle().await;
    let caller = keyed(1);
    let again = world.service.complete(&caller, id, Vec::new());
    let (again, is_replay) = noticed(again).await;
    assert_eq!((again.unwrap().id, is_replay), (id, true));
    let part = Part {
        number: 1,
        size: SIZE,
        etag: "e".to_owned(),
        checksum: None,
    };
    let other = world.service.complete(&keyed(1), id, vec![part]).await;
    assert_eq!(other.err(), Some(ApiError::KeyReused));
    // It is complete: said under another key, and noted.
    let late = world.service.complete(&keyed(2), id, Vec::new()).await;
    assert!(late.is_ok());
    is_used(&world, &keyed(2), id).await;
    let corrupt = world.uploaded().await;
    world.objects.upload_arrives(SIZE - 1);
    for _ in 0..2 {
        let answer = world.service.complete(&keyed(3), corrupt, Vec::new()).await;
        assert!(matches!(answer, Err(ApiError::Corrupt(_))), "{answer:?}");
    }
}

#[tokio::test]
async fn a_share_and_subtitles_are_done_once() {
    let world = World::new(1);
    let id = world.ready().await;
    world.chat.join("alice", "r_2");
    let other = RoomId::parse("r_2").unwrap();
    let first = world.service.share(&keyed(1), id, other.clone()).await;
    let again = noticed(world.service.share(&keyed(1), id, other)).await;
    assert_eq!(again, (first.clone(), true));
    assert!(first.is_ok());
    is_used(&world, &keyed(1), id).await;
    let add = async |vtt: &str| {
        let (language, label) = (Language("en".to_owned()), "English".to_owned());
        let (alice, vtt) = (keyed(2), vtt.to_owned());
        let service = &world.service;
        noticed(service.add_captions(&alice, id, language, label, vtt)).await
    };
    assert!(!add("WEBVTT\n").await.1);
    assert!(add("WEBVTT\n").await.1);
    let other = add("WEBVTT\n\nNOTE another\n").await;
    assert_eq!(other.0.err(), Some(ApiError::KeyReused));
}

#[tokio::test]
async fn what_changed_nothing_is_noted_too() {
    let world = World::new(1);
    let id = world.registered().await;
    let alice = who("alice");
    world.service.cancel(&alice, id).await.unwrap();
    let again = world.service.cancel(&keyed(1), id).await.unwrap();
    assert_eq!(again.state, ClipState::Cancelled);
    let other = world.service.delete(&keyed(1), id).await;
    assert_eq!(other.err(), Some(ApiError::KeyReused));
}
