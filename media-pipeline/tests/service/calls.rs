//! What people ask for, and what they get.

use crate::world::{SIZE, World, new_clip, room, want, who};
use kaiwa_common::id::RoomId;
use kaiwa_common::token::ServerRole;
use kaiwa_media_pipeline::adapters::sqlite::SqliteStore;
use kaiwa_media_pipeline::api::{ApiError, Caller, Clips as _, Grant};
use kaiwa_media_pipeline::model::{Clip, ClipState, Language, UploadMode};
use kaiwa_media_pipeline::ports::Query;
use kaiwa_platform::clock::Clock as _;
use kaiwa_platform::sqlite::{Sqlite, SqliteOptions};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::Semaphore;

const KEY: &str = "0192f3a4-0000-7000-8000-00000000000a";

fn keyed(user: &str, key: &str) -> Caller {
    Caller {
        request_id: Some(key.to_owned()),
        ..who(user)
    }
}

#[tokio::test]
async fn a_clip_goes_from_registering_to_playing_and_its_message_with_it() {
    let world = World::new(1);
    let id = world.registered().await;
    assert_eq!(world.chat.shown(id, "r_1"), Some(Some(ClipState::Created)));
    let granted = world.grant(id, UploadMode::Multipart).await.unwrap();
    assert!(matches!(granted, Grant::Parts { requests, .. } if requests.len() == 1));
    world.objects.upload_arrives(SIZE);
    let clip = world.complete(id).await.unwrap();
    assert_eq!(clip.state, ClipState::Uploaded);
    let clip = world.settle(id).await;
    assert_eq!((clip.state, clip.attempt), (ClipState::Ready, 1));
    assert_eq!(world.chat.shown(id, "r_1"), Some(Some(ClipState::Ready)));
    assert_eq!(world.chat.ready.lock().unwrap()[&id], 1);
    let again = world.complete(id).await.unwrap();
    assert_eq!(again.state, ClipState::Ready, "a repeat succeeds");
    let play = world.service.playback(&who("bob"), id).await.unwrap();
    assert_eq!(play.url, format!("/v/bob/r_1/3/{id}"));
    world.chat.leave("alice", "r_1");
    let gone = world.service.playback(&who("alice"), id).await;
    assert_eq!(gone, Err(ApiError::NotFound), "also whoever brought it");
}

#[tokio::test]
async fn the_same_key_and_request_get_the_first_answer() {
    let world = World::new(1);
    let alice = keyed("alice", KEY);
    let first = world.service.create(&alice, new_clip()).await.unwrap();
    let again = world.service.create(&alice, new_clip()).await.unwrap();
    assert_eq!(first.id, again.id);
    let mut other = new_clip();
    other.title = "another".to_owned();
    let reused = world.service.create(&alice, other).await;
    assert_eq!(reused, Err(ApiError::KeyReused));
    let cancel = world.service.cancel(&alice, first.id).await;
    assert_eq!(cancel, Err(ApiError::KeyReused), "one key, one request");
    let bob = world.service.create(&keyed("bob", KEY), new_clip()).await;
    assert_ne!(bob.unwrap().id, first.id, "keys are a person's own");
    let wrong = keyed("alice", "not-a-uuid");
    let wrong = world.service.create(&wrong, new_clip()).await;
    assert!(matches!(wrong, Err(ApiError::Invalid(_))));
    let callers = (0..16).map(|_| {
        let service = world.service.clone();
        let caller = keyed("alice", "0192f3a4-0000-7000-8000-00000000000b");
        tokio::spawn(async move { service.create(&caller, new_clip()).await.unwrap().id })
    });
    let mut ids = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        ids.push(caller.await.unwrap());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "sixteen at once");
}

#[tokio::test]
async fn quotas_count_open_uploads_and_bytes_of_a_day() {
    let world = World::new(1);
    for _ in 0..10 {
        world.registered().await;
    }
    let alice = who("alice");
    let more = world.service.create(&alice, new_clip()).await;
    let what = "concurrent uploads";
    assert!(matches!(more, Err(ApiError::Quota { what: w, .. }) if w == what));
    let mut large = new_clip();
    large.declared.size = 4 << 30;
    let bob = who("bob");
    for _ in 0..5 {
        let clip = world.service.create(&bob, large.clone()).await.unwrap();
        world.service.cancel(&bob, clip.id).await.unwrap();
    }
    let more = world.service.create(&bob, new_clip()).await;
    let what = "bytes a day";
    assert!(matches!(more, Err(ApiError::Quota { what: w, retry_after: Some(_) }) if w == what));
    world.clock.advance(Duration::from_secs(86_401));
    assert!(world.service.create(&bob, new_clip()).await.is_ok());
}

#[tokio::test]
async fn roles_and_rooms_are_asked_on_every_call() {
    let world = World::new(1);
    let id = world.ready().await;
    let service = &world.service;
    let eve = who("eve");
    assert_eq!(
        service.create(&eve, new_clip()).await,
        Err(ApiError::NotFound)
    );
    assert_eq!(service.get(&eve, id).await, Err(ApiError::NotFound));
    assert_eq!(service.delete(&eve, id).await, Err(ApiError::NotFound));
    assert_eq!(service.playback(&eve, id).await, Err(ApiError::NotFound));
    assert_eq!(service.get_many(&eve, vec![id]).await, Ok(Vec::new()));
    let query = Query {
        room: Some(room()),
        limit: 10,
        ..Query::default()
    };
    let listed = service.list(&eve, query.clone()).await;
    assert_eq!(listed, Err(ApiError::NotFound));
    let viewer = Caller {
        role: ServerRole::Viewer,
        ..who("bob")
    };
    let denied = service.create(&viewer, new_clip()).await;
    assert_eq!(denied, Err(ApiError::Denied("ROLE_TOO_LOW")));
    assert_eq!(service.list(&viewer, query).await.unwrap().clips.len(), 1);
    assert!(service.playback(&viewer, id).await.is_ok());
    let bob = who("bob");
    let denied = Err(ApiError::Denied("NOT_UPLOADER"));
    assert_eq!(service.delete(&bob, id).await, denied);
    let parts = service.grant(&bob, id, want(UploadMode::Multipart)).await;
    assert_eq!(parts.err(), Some(ApiError::Denied("NOT_UPLOADER")));
    world.chat.join("mod", "r_1");
    let deleted = service.delete(&who("mod"), id).await.unwrap();
    assert_eq!(deleted.state, ClipState::Deleted);
    service.idle().await;
    assert_eq!(world.chat.shown(id, "r_1"), Some(None), "a tombstone");
    assert_eq!(world.objects.keys(), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said_for_each_field() {
    let world = World::new(1);
    let mut wrong = new_clip();
    wrong.title = "x".repeat(201);
    wrong.declared.size = 0;
    wrong.declared.content_type = "video".to_owned();
    wrong.declared.name.0.clear();
    wrong.labels.insert(String::new(), String::new());
    let answer = world.service.create(&who("alice"), wrong).await;
    let Err(ApiError::Invalid(violations)) = answer else {
        panic!("{answer:?}");
    };
    let fields: Vec<_> = violations.iter().map(|v| v.field).collect();
    let expected = [
        "title",
        "declared.size",
        "declared.name",
        "declared.content_type",
        "labels",
    ];
    assert_eq!(fields, expected);
    let id = world.registered().await;
    let mut parts = want(UploadMode::Multipart);
    parts.parts[0].size += 1;
    let answer = world.service.grant(&who("alice"), id, parts).await;
    assert!(matches!(answer, Err(ApiError::Invalid(v)) if v[0].field == "parts.size"));
}

#[tokio::test]
async fn credentials_open_the_source_and_no_output() {
    let world = World::new(1);
    let id = world.registered().await;
    let granted = world.grant(id, UploadMode::Credentials).await.unwrap();
    let Grant::Credentials(given) = granted else {
        panic!("{granted:?}");
    };
    assert!(given.key.ends_with(&format!("/{id}/source")));
}

#[tokio::test]
async fn two_who_begin_at_once_share_one_upload() {
    let world = World::new(1);
    let id = world.registered().await;
    let asks = (0..8).map(|_| {
        let service = world.service.clone();
        let want = want(UploadMode::Multipart);
        tokio::spawn(async move { service.grant(&who("alice"), id, want).await })
    });
    let mut urls = Vec::new();
    for ask in asks.collect::<Vec<_>>() {
        let Ok(Grant::Parts { requests, .. }) = ask.await.unwrap() else {
            panic!("parts");
        };
        urls.push(requests[0].1.url.clone());
    }
    urls.dedup();
    world.service.idle().await;
    assert_eq!((urls.len(), world.objects.uploads()), (1, 1));
}

#[tokio::test]
async fn another_size_than_promised_is_corrupt_and_gone() {
    let world = World::new(1);
    let id = world.uploaded().await;
    world.objects.upload_arrives(SIZE - 1);
    let answer = world.complete(id).await;
    assert!(matches!(answer, Err(ApiError::Corrupt(_))), "{answer:?}");
    assert_eq!(world.clip(id).await.state, ClipState::Rejected);
    assert_eq!(world.objects.keys(), Vec::<String>::new());
}

#[tokio::test]
async fn a_completion_that_has_begun_is_finished_after_its_deadline() {
    let world = World::new(1);
    let id = world.uploaded().await;
    let permits = world.objects.gate.available_permits();
    world.objects.gate.forget_permits(permits);
    let caller = Caller {
        deadline: Some(world.clock.now().plus(Duration::from_secs(1))),
        ..who("alice")
    };
    let service = world.service.clone();
    let asleep = caller.clone();
    let call = tokio::spawn(async move { service.complete(&asleep, id, Vec::new()).await });
    world.clock.asleep(1).await;
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(call.await.unwrap(), Err(ApiError::Deadline));
    assert_eq!(world.clip(id).await.state, ClipState::Uploading);
    world.objects.gate.add_permits(Semaphore::MAX_PERMITS / 2);
    assert_eq!(world.settle(id).await.state, ClipState::Ready);
    let late = world.service.get(&caller, id).await;
    assert_eq!(late, Err(ApiError::Deadline), "not begun at all");
}

#[tokio::test]
async fn a_clip_is_shown_in_another_room_and_both_rooms_are_asked() {
    let world = World::new(1);
    let id = world.ready().await;
    let other = RoomId::parse("r_2").unwrap();
    world.chat.join("carol", "r_2");
    let hidden = world.service.share(&who("carol"), id, other.clone()).await;
    assert_eq!(hidden, Err(ApiError::NotFound));
    let hidden = world.service.share(&who("bob"), id, other.clone()).await;
    assert_eq!(hidden, Err(ApiError::NotFound));
    world.chat.join("bob", "r_2");
    let number = world
        .service
        .share(&who("bob"), id, other.clone())
        .await
        .unwrap();
    let again = world.service.share(&who("bob"), id, other).await;
    assert_eq!(again, Ok(number), "once");
    world.service.idle().await;
    assert_eq!(world.chat.shown(id, "r_2"), Some(Some(ClipState::Ready)));
    let play = world.service.playback(&who("carol"), id).await.unwrap();
    assert!(
        play.url.contains("/r_2/"),
        "by the room in which they see it"
    );
    world.service.delete(&who("alice"), id).await.unwrap();
    world.service.idle().await;
    assert_eq!(world.chat.shown(id, "r_2"), Some(None));
}

#[tokio::test]
async fn messages_that_do_not_get_through_are_sent_again() {
    let world = World::new(1);
    *world.chat.failing.lock().unwrap() = 5;
    let id = world.registered().await;
    assert_eq!(world.chat.shown(id, "r_1"), None);
    let clip = async || -> Clip { world.clip(id).await };
    for _ in 0..40 {
        let due = clip().await.chores.todo_due;
        let Some(due) = due else { break };
        world.clock.advance(due.since(world.clock.now()));
        world.service.tick().await;
        world.service.idle().await;
    }
    assert_eq!(world.chat.shown(id, "r_1"), Some(Some(ClipState::Created)));
    assert!(clip().await.message.is_some());
}

#[tokio::test]
async fn captions_are_checked_stored_and_replaced() {
    let world = World::new(1);
    let id = world.ready().await;
    let add = async |language: &str, vtt: &str| {
        let language = Language(language.to_owned());
        let (label, vtt) = ("English".to_owned(), vtt.to_owned());
        let alice = who("alice");
        let service = &world.service;
        service.add_captions(&alice, id, language, label, vtt).await
    };
    let clip = add("en", "WEBVTT\n").await.unwrap();
    assert_eq!(clip.captions.len(), 1);
    assert!(
        world
            .objects
            .keys()
            .iter()
            .any(|key| key.ends_with("captions/en.vtt"))
    );
    for (language, vtt) in [("../x", "WEBVTT"), ("e", "WEBVTT"), ("en", "#EXTM3U")] {
        let answer = add(language, vtt).await;
        assert!(
            matches!(answer, Err(ApiError::Invalid(_))),
            "{language} {vtt}"
        );
    }
}

#[tokio::test]
async fn an_outage_of_the_store_of_objects_is_waited_out() {
    let world = World::new(1);
    let id = world.uploaded().await;
    world.complete(id).await.unwrap();
    world.objects.failing.store(8, Ordering::Relaxed);
    assert_eq!(world.settle(id).await.state, ClipState::Ready);
}

#[tokio::test]
async fn orphans_are_swept_and_what_is_wanted_stays() {
    let world = World::new(1);
    let id = world.ready().await;
    let before = world.objects.keys().len();
    let orphan = "video/x/2020/01/0192f3a4-0000-7000-8000-0000000000ff/source";
    world
        .objects
        .store(orphan, 1, kaiwa_common::time::UnixMs(0));
    let reaper = world.service.clone();
    let running = tokio::spawn(async move { reaper.run().await });
    // Between two rounds the reaper sleeps: one page of the sweep is done in the first.
    for _ in 0..2_000 {
        world.clock.asleep(1).await;
        world.clock.advance(Duration::from_secs(60));
        tokio::task::yield_now().await;
        if !world.objects.keys().iter().any(|key| key == orphan) {
            break;
        }
    }
    assert_eq!(world.objects.keys().len(), before);
    assert_eq!(world.clip(id).await.state, ClipState::Ready);
    assert!(world.service.drain(Duration::from_secs(1)).await);
    running.await.unwrap();
    let refused = world.service.get(&who("alice"), id).await;
    assert_eq!(refused, Err(ApiError::Unavailable("shutting down")));
    assert!(world.store.get(id).await.unwrap().is_some());
}

#[tokio::test]
async fn of_many_at_once_no_more_than_the_quota_get_in() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions::new(folder.path().join("clips.db"));
    let sqlite = Sqlite::open(options, &[]).unwrap();
    let mut world = World::new(1);
    world.store = Arc::new(SqliteStore::open(sqlite).await.unwrap());
    world.restart();
    let callers = (0..16).map(|_| {
        let service = world.service.clone();
        tokio::spawn(async move { service.create(&who("alice"), new_clip()).await })
    });
    let mut registered = 0;
    for caller in callers.collect::<Vec<_>>() {
        registered += u32::from(caller.await.unwrap().is_ok());
    }
    assert_eq!(registered, 10);
}

#[tokio::test]
async fn text_that_breaks_or_turns_a_line_is_refused_wherever_it_stands() {
    let world = World::new(1);
    let turned = "\u{202e}gpj.exe";
    for (at, field) in ["title", "declared.name", "labels", "labels"]
        .iter()
        .enumerate()
    {
        let mut new = new_clip();
        match at {
            0 => turned.clone_into(&mut new.title),
            1 => turned.clone_into(&mut new.declared.name.0),
            2 => drop(new.labels.insert(turned.to_owned(), "x".to_owned())),
            _ => drop(new.labels.insert("x".to_owned(), "a\r\nb".to_owned())),
        }
        let answer = world.service.create(&who("alice"), new).await;
        let Err(ApiError::Invalid(wrong)) = answer else {
            panic!("{answer:?}");
        };
        assert_eq!(wrong.iter().map(|v| v.field).collect::<Vec<_>>(), [*field]);
    }
    let id = world.registered().await;
    let (language, vtt) = (Language("en".to_owned()), "WEBVTT\n".to_owned());
    let label = "a\nb".to_owned();
    let alice = who("alice");
    let add = world.service.add_captions(&alice, id, language, label, vtt);
    assert!(matches!(add.await, Err(ApiError::Invalid(v)) if v[0].field == "label"));
}
