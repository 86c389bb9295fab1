//! What somebody who means harm, or a crash at the wrong moment, does to the service.

use crate::store::ReadOnly;
use crate::transcoder::Faults;
use crate::world::{SIZE, World, new_clip, who};
use kaiwa_common::id::RoomId;
use kaiwa_common::time::UnixMs;
use kaiwa_media_pipeline::api::{ApiError, Clips as _, Grant};
use kaiwa_media_pipeline::core::names;
use kaiwa_media_pipeline::model::{ClipId, ClipState, Language, UploadMode};
use kaiwa_media_pipeline::ports::Notice;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

#[tokio::test]
async fn who_is_removed_while_they_ask_gets_a_right_that_is_over_already() {
    let world = World::new(1);
    let id = world.ready().await;
    *world.chat.leaving.lock().unwrap() = Some(("bob".to_owned(), "r_1".to_owned()));
    let play = world.service.playback(&who("bob"), id).await.unwrap();
    assert_eq!(
        play.url,
        format!("/v/bob/r_1/3/{id}"),
        "of the epoch before"
    );
}

#[tokio::test]
async fn whoever_brought_a_clip_and_was_removed_can_take_it_away_and_nothing_else() {
    let world = World::new(1);
    let id = world.ready().await;
    let alice = who("alice");
    let add = async || {
        let (language, label) = (Language("en".to_owned()), "English".to_owned());
        let vtt = "WEBVTT\n".to_owned();
        let service = &world.service;
        service.add_captions(&alice, id, language, label, vtt).await
    };
    add().await.unwrap();
    world.chat.leave("alice", "r_1");
    assert_eq!(add().await, Err(ApiError::NotFound), "no more words there");
    let retried = world.service.retry(&alice, id).await;
    assert_eq!(retried, Err(ApiError::NotFound));
    let deleted = world.service.delete(&alice, id).await.unwrap();
    assert_eq!(deleted.state, ClipState::Deleted);
}

/// Uploaded by a form, which stays good for a while.
async fn by_form(world: &World) -> (ClipId, String) {
    let id = world.registered().await;
    world.grant(id, UploadMode::Post).await.unwrap();
    let key = names::source(&world.clip(id).await);
    world.objects.store(&key, SIZE, UnixMs(0));
    world.complete(id).await.unwrap();
    (id, key)
}

#[tokio::test]
async fn a_page_is_kept_as_bytes_whatever_its_uploader_calls_it() {
    let world = World::new(1);
    let mut page = new_clip();
    page.declared.content_type = "text/html".to_owned();
    let clip = world.service.create(&who("alice"), page).await.unwrap();
    let form = world.grant(clip.id, UploadMode::Post).await.unwrap();
    let Grant::Form(form) = form else {
        panic!("{form:?}");
    };
    assert_eq!(form.fields["Content-Type"], "application/octet-stream");
}

#[tokio::test]
async fn a_file_that_is_replaced_after_it_was_looked_at_is_not_shown() {
    let world = World::new(1);
    let (id, key) = by_form(&world).await;
    world.objects.store(&key, SIZE, UnixMs(5));
    let clip = world.settle(id).await;
    let reason = clip.error.map(|error| error.reason);
    assert_eq!(
        (clip.state, reason.as_deref()),
        (ClipState::Failed, Some("SOURCE_CHANGED"))
    );
    let (id, _) = by_form(&world).await;
    assert_eq!(world.settle(id).await.state, ClipState::Ready);
}

#[tokio::test]
async fn a_message_does_not_wait_for_a_transcoder_that_is_away() {
    let world = World::new(1);
    let id = world.uploaded().await;
    world.complete(id).await.unwrap();
    assert!(world.clip(id).await.job.is_some());
    world.transcoder.faults.lock().unwrap().throttled = 100;
    world.service.delete(&who("alice"), id).await.unwrap();
    world.service.idle().await;
    assert_eq!(world.chat.shown(id, "r_1"), Some(None), "a tombstone");
    *world.transcoder.faults.lock().unwrap() = Faults::default();
    world.settle(id).await;
    assert_eq!(world.objects.keys(), Vec::<String>::new(), "and swept then");
}

#[tokio::test]
async fn a_message_whose_number_was_lost_goes_with_its_clip() {
    let world = World::new(1);
    *world.chat.losing.lock().unwrap() = 1;
    let id = world.registered().await;
    assert_eq!(world.clip(id).await.message, None);
    assert_eq!(world.chat.shown(id, "r_1"), Some(Some(ClipState::Created)));
    world.service.delete(&who("alice"), id).await.unwrap();
    world.settle(id).await;
    assert_eq!(world.chat.shown(id, "r_1"), Some(None), "a tombstone");
}

#[tokio::test]
async fn a_shared_message_whose_number_was_lost_is_kept_up_to_date_all_the_same() {
    let world = World::new(1);
    let id = world.uploaded().await;
    world.chat.join("alice", "r_2");
    *world.chat.losing.lock().unwrap() = 1;
    let other = RoomId::parse("r_2").unwrap();
    // Whoever asked does not ask again: their connection is gone.
    let _ = world.service.share(&who("alice"), id, other).await;
    world.service.idle().await;
    world.complete(id).await.unwrap();
    world.settle(id).await;
    assert_eq!(world.chat.shown(id, "r_2"), Some(Some(ClipState::Ready)));
    world.service.delete(&who("alice"), id).await.unwrap();
    world.settle(id).await;
    assert_eq!(world.chat.shown(id, "r_2"), Some(None));
}

#[tokio::test]
async fn minutes_of_a_day_are_counted_and_stay_counted_when_clips_are_deleted() {
    let mut world = World::new(1);
    world.options.media_per_day = Duration::from_secs(150);
    world.restart();
    // Each plays for a minute.
    for _ in 0..2 {
        let id = world.ready().await;
        world.service.delete(&who("alice"), id).await.unwrap();
        world.settle(id).await;
    }
    let id = world.uploaded().await;
    world.complete(id).await.unwrap();
    let clip = world.settle(id).await;
    let reason = clip.error.map(|error| error.reason);
    assert_eq!(
        (clip.state, reason.as_deref()),
        (ClipState::Rejected, Some("MEDIA_QUOTA"))
    );
    assert_eq!(clip.attempt, 0, "nothing was transcoded");
    world.options.media_per_day = Duration::from_secs(120);
    world.restart();
    let full = world.service.create(&who("alice"), new_clip()).await;
    let what = "media minutes a day";
    assert!(matches!(full, Err(ApiError::Quota { what: w, retry_after: Some(_) }) if w == what));
    world.clock.advance(Duration::from_secs(86_401));
    assert!(
        world
            .service
            .create(&who("alice"), new_clip())
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn nobody_has_a_clip_transcoded_again_and_again() {
    let world = World::new(1);
    let id = world.uploaded().await;
    *world.transcoder.faults.lock().unwrap() = Faults {
        fails: 100,
        ..Faults::default()
    };
    world.complete(id).await.unwrap();
    let refused = loop {
        assert_eq!(world.settle(id).await.state, ClipState::Failed);
        match world.service.retry(&who("alice"), id).await {
            Ok(_) => {}
            Err(refused) => break refused,
        }
    };
    let what = "attempts of a clip";
    assert!(matches!(refused, ApiError::Quota { what: w, .. } if w == what));
    assert!(world.clip(id).await.attempt < 20);
}

#[tokio::test]
async fn one_language_has_one_file_however_it_is_written() {
    let world = World::new(1);
    let id = world.ready().await;
    for language in ["pt-BR", "PT-br", "zh-hant-tw", "ZH-Hant-TW"] {
        let (language, label) = (Language(language.to_owned()), "x".to_owned());
        let vtt = "WEBVTT\n".to_owned();
        let alice = who("alice");
        let add = world.service.add_captions(&alice, id, language, label, vtt);
        add.await.unwrap();
    }
    let clip = world.clip(id).await;
    let languages: Vec<_> = clip.captions.keys().map(|l| l.0.as_str()).collect();
    assert_eq!(languages, ["pt-BR", "zh-Hant-TW"]);
}

#[tokio::test]
async fn a_reaper_whose_writes_fail_waits_before_it_tries_again() {
    let mut world = World::new(1);
    let store = Arc::new(ReadOnly::default());
    world.store = Arc::clone(&store) as _;
    world.restart();
    // More than one round takes.
    for number in 0..110 {
        let user = format!("u{number}");
        world.chat.join(&user, "r_1");
        world.service.create(&who(&user), new_clip()).await.unwrap();
    }
    world.service.idle().await;
    world.clock.advance(Duration::from_secs(86_400));
    store.failing.store(1, Ordering::Relaxed);
    let reaper = world.service.clone();
    let mut running = tokio::spawn(async move { reaper.run().await });
    tokio::select! {
        () = world.clock.asleep(1) => {}
        ended = &mut running => panic!("{ended:?}"),
    }
    assert!(world.service.drain(Duration::from_secs(1)).await);
    running.await.unwrap();
}

#[tokio::test]
async fn operators_are_told_once_that_jobs_wait() {
    let world = World::new(1);
    world.transcoder.faults.lock().unwrap().stuck = 100;
    for _ in 0..3 {
        let id = world.uploaded().await;
        world.complete(id).await.unwrap();
    }
    let told = || world.chat.notices.lock().unwrap().clone();
    for minutes in 1..=40 {
        world.clock.advance(Duration::from_secs(60));
        world.service.tick().await;
        world.service.idle().await;
        assert!(minutes >= 15 || told().is_empty(), "after {minutes}");
    }
    assert!(
        matches!(told()[..], [Notice::JobsWait { .. }]),
        "{:?}",
        told()
    );
}

#[tokio::test]
async fn operators_are_told_once_that_many_clips_fail() {
    let world = World::new(1);
    world.transcoder.faults.lock().unwrap().fails = 100;
    for _ in 0..12 {
        let id = world.uploaded().await;
        world.complete(id).await.unwrap();
        assert_eq!(world.settle(id).await.state, ClipState::Failed);
    }
    let told = world.chat.notices.lock().unwrap().clone();
    assert_eq!(told, [Notice::ManyFail { failed: 10, of: 10 }]);
}

#[tokio::test]
async fn what_all_clips_take_up_is_bounded_and_what_is_deleted_makes_room() {
    let mut world = World::new(1);
    let first = world.ready().await;
    let stored = world.clip(first).await.stored_bytes();
    assert!(stored > SIZE, "with its outputs");
    world.options.storage_bytes = stored + SIZE;
    world.restart();
    // Whoever it is, and with what is only declared.
    let second = world.registered().await;
    let full = world.service.create(&who("bob"), new_clip()).await;
    assert!(
        matches!(
            full,
            Err(ApiError::Quota {
                what: "storage of this server",
                retry_after: Some(_)
            })
        ),
        "{full:?}"
    );
    assert!(world.grant(second, UploadMode::Multipart).await.is_ok());
    // Something else has filled it meanwhile.
    world.options.storage_bytes -= 1;
    world.restart();
    let full = world.grant(second, UploadMode::Multipart).await;
    assert!(matches!(full, Err(ApiError::Quota { .. })), "{full:?}");
    world.service.delete(&who("alice"), first).await.unwrap();
    assert!(world.grant(second, UploadMode::Multipart).await.is_ok());
    assert!(world.service.create(&who("bob"), new_clip()).await.is_ok());
}
