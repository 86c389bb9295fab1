//! Hints from outside, one by one.

use crate::transcoder::{FILES, Faults, outputs};
use crate::world::{SIZE, World};
use kaiwa_common::time::UnixMs;
use kaiwa_media_pipeline::core::names;
use kaiwa_media_pipeline::model::{Backend, ClipId, ClipState};
use kaiwa_media_pipeline::ports::{JobEvent, Report};
use kaiwa_platform::clock::Clock as _;
use std::time::Duration;

fn done(id: ClipId, event: &str) -> JobEvent {
    JobEvent {
        id: event.to_owned(),
        clip: Some(id),
        attempt: Some(1),
        backend: Backend::MediaConvert,
        job: format!("{id}-1"),
        at: UnixMs(0),
        report: Report::Done(outputs()),
    }
}

async fn write_outputs(world: &World, id: ClipId) {
    let below = names::attempt(&world.clip(id).await, 1);
    for file in FILES {
        world
            .objects
            .store(&format!("{below}{file}"), 10, UnixMs(0));
    }
}

#[tokio::test]
async fn an_end_before_the_submits_answer_is_heard_once_the_answer_is_there() {
    let world = World::new(1);
    let id = world.uploaded().await;
    world.transcoder.faults.lock().unwrap().answer_lost = 100;
    world.complete(id).await.unwrap();
    let clip = world.clip(id).await;
    assert_eq!((clip.state, clip.job), (ClipState::Submitted, None));
    write_outputs(&world, id).await;
    world.service.job_event(done(id, "e1")).await.unwrap();
    assert_eq!(world.clip(id).await.state, ClipState::Submitted, "parked");
    *world.transcoder.faults.lock().unwrap() = Faults::default();
    let begun = world.clock.now();
    for _ in 0..40 {
        world.clock.advance(Duration::from_secs(2));
        world.service.tick().await;
        world.service.idle().await;
    }
    assert_eq!(world.clip(id).await.state, ClipState::Ready);
    let spent = world.clock.now().since(begun);
    assert!(
        spent < Duration::from_secs(600),
        "before anybody would have asked"
    );
}

#[tokio::test]
async fn an_event_that_comes_twice_is_heard_once_and_a_strangers_not_at_all() {
    let world = World::new(1);
    let id = world.uploaded().await;
    world.complete(id).await.unwrap();
    write_outputs(&world, id).await;
    for _ in 0..2 {
        world.service.job_event(done(id, "e1")).await.unwrap();
        world.service.idle().await;
    }
    let clip = world.clip(id).await;
    assert_eq!(clip.state, ClipState::Ready);
    let mut strange = done(ClipId(uuid::Uuid::from_u128(9)), "e2");
    world.service.job_event(strange.clone()).await.unwrap();
    strange.clip = None;
    strange.id = "e3".to_owned();
    world.service.job_event(strange).await.unwrap();
    world.service.idle().await;
    assert_eq!(world.clip(id).await.version, world.settle(id).await.version);
}

#[tokio::test]
async fn an_object_event_is_believed_only_as_far_as_the_store_bears_it_out() {
    let world = World::new(1);
    let id = world.uploaded().await;
    let clip = world.clip(id).await;
    let key = names::source(&clip);
    let told = async |event: &str, key: &str| {
        world.service.object_created(event, key).await.unwrap();
        world.service.idle().await;
        world.clip(id).await.state
    };
    assert_eq!(
        told("e1", &key).await,
        ClipState::Uploading,
        "nothing is there"
    );
    let output = format!("{}hls/master.m3u8", names::processed(&clip));
    world.objects.store(&output, SIZE, clip.created);
    assert_eq!(
        told("e2", &output).await,
        ClipState::Uploading,
        "not the source"
    );
    assert_eq!(
        told("e3", "video/../../etc/passwd").await,
        ClipState::Uploading
    );
    world.objects.store(&key, SIZE, clip.created);
    assert_eq!(told("e4", &key).await, ClipState::Submitted);
}

#[tokio::test]
async fn outputs_without_their_playlist_are_not_ready() {
    let world = World::new(1);
    let id = world.uploaded().await;
    world.transcoder.faults.lock().unwrap().unnamed = 100;
    world.complete(id).await.unwrap();
    let clip = world.settle(id).await;
    assert_eq!((clip.state, clip.attempt), (ClipState::Failed, 3));
    assert_eq!(clip.error.unwrap().reason, "OUTPUT_MISSING");
    assert_eq!(world.chat.failed.lock().unwrap()[&id], 1);
}

#[tokio::test]
async fn an_end_that_names_no_files_is_asked_for() {
    let world = World::new(1);
    let id = world.uploaded().await;
    world.complete(id).await.unwrap();
    let mut bare = done(id, "e1");
    let mut told = outputs();
    told.files.clear();
    bare.report = Report::Done(told);
    world.service.job_event(bare).await.unwrap();
    world.service.idle().await;
    // Its event was faster than its books, which say that it still works.
    assert_eq!(world.clip(id).await.state, ClipState::Verifying);
    let clip = world.settle(id).await;
    assert_eq!((clip.state, clip.attempt), (ClipState::Ready, 1));
    assert_eq!(clip.outputs.unwrap().files.len(), FILES.len());
}
