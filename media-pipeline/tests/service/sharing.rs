//! Clips in more rooms than their own: who ends a share, and what those who are only in the other room get to see.

use crate::world::{SIZE, World, new_clip, room, who};
use futures_util::StreamExt as _;
use kaiwa_common::id::RoomId;
use kaiwa_media_pipeline::api::{ApiError, Clips as _, NewClip, Watch, WatchItem};
use kaiwa_media_pipeline::model::{Clip, ClipId, ClipState, Declared, UploadMode};
use kaiwa_media_pipeline::ports::Query;

#[tokio::test]
async fn who_deletes_its_message_in_another_room_ends_that_share_and_at_home_the_clip() {
    let world = World::new(1);
    let id = world.ready().await;
    let other = RoomId::parse("r_2").unwrap();
    world.chat.join("carol", "r_2");
    world.chat.join("alice", "r_2");
    let shared = world.service.share(&who("alice"), id, other.clone()).await;
    let number = shared.unwrap();
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

    // Shared there again it is another message, which the old one's deletion, told late, does not end.
    for _ in 0..2 {
        let again = world.service.share(&who("alice"), id, other.clone()).await;
        assert_eq!(again, Ok(number + 1));
        world.service.idle().await;
        deleted(&other, number).await;
        let plays = world.service.playback(&who("carol"), id).await;
        assert!(plays.is_ok(), "{plays:?}");
    }
    deleted(&other, number + 1).await;
    let plays = world.service.playback(&who("carol"), id).await;
    assert_eq!(plays.map(|_| ()), Err(ApiError::NotFound));

    let message = world.clip(id).await.message.unwrap();
    for _ in 0..2 {
        deleted(&room(), message).await;
        assert_eq!(world.clip(id).await.state, ClipState::Deleted);
    }
    let plays = world.service.playback(&who("bob"), id).await;
    assert!(plays.is_err(), "{plays:?}");
    assert!(world.objects.keys().is_empty(), "its bytes are gone");
}

/// What this person is shown of the clip: by each way of asking.
async fn shown_to(world: &World, user: &str, id: ClipId, other: &RoomId) -> Vec<Clip> {
    let (service, who) = (&world.service, who(user));
    let query = Query {
        room: Some(other.clone()),
        limit: 10,
        ..Query::default()
    };
    let mut shown = service.list(&who, query).await.unwrap().clips;
    shown.push(service.get(&who, id).await.unwrap());
    shown.extend(service.get_many(&who, vec![id]).await.unwrap());
    for (round, what) in [Watch::Room(other.clone()), Watch::Clip(id)]
        .into_iter()
        .enumerate()
    {
        let mut watch = service.watch(&who, what, None).await.unwrap();
        let Some(Ok(WatchItem::Snapshot { clips, .. })) = watch.next().await else {
            panic!("a snapshot");
        };
        shown.extend(clips);
        // And what comes after it: another label, since the same captions again change nothing.
        let label = format!("{user} {round}");
        let language = kaiwa_media_pipeline::model::Language("en".to_owned());
        let alice = crate::world::who("alice");
        let text = "WEBVTT\n".to_owned();
        let captions = service.add_captions(&alice, id, language, label, text);
        captions.await.unwrap();
        let Some(Ok(WatchItem::Changed { clip, .. })) = watch.next().await else {
            panic!("a change");
        };
        shown.push(*clip);
    }
    assert_eq!(shown.len(), 7);
    shown
}

#[tokio::test]
async fn who_is_not_in_a_clips_room_learns_what_its_message_shows_and_no_more() {
    let world = World::new(1);
    let mut labelled = NewClip {
        title: "Holidays".to_owned(),
        labels: [("course".to_owned(), "secret".to_owned())].into(),
        ..new_clip()
    };
    labelled.declared.sha256 = Some([7; 32]);
    let id = world.service.create(&who("alice"), labelled).await;
    let id = id.unwrap().id;
    world.grant(id, UploadMode::Multipart).await.unwrap();
    world.objects.upload_arrives(SIZE);
    world.complete(id).await.unwrap();
    world.settle(id).await;
    let other = RoomId::parse("r_2").unwrap();
    for user in ["alice", "carol"] {
        world.chat.join(user, "r_2");
    }
    let shared = world.service.share(&who("alice"), id, other.clone()).await;
    let number = shared.unwrap();
    world.service.idle().await;
    for clip in shown_to(&world, "carol", id, &other).await {
        assert_eq!(clip.room, other);
        assert_eq!(clip.message, Some(number), "the message that she sees");
        assert_eq!(
            (clip.title.as_str(), clip.state),
            ("Holidays", ClipState::Ready)
        );
        assert!(clip.labels.is_empty());
        let Declared {
            name,
            size: _,
            sha256,
            content_type,
        } = clip.declared;
        assert_eq!(
            (name.0.as_str(), sha256, content_type.as_str()),
            ("", None, "")
        );
        assert!(clip.job.is_none() && clip.upload.is_none());
        assert!(clip.source.is_some_and(|source| source.sha256.is_none()));
    }
    let mut in_full = shown_to(&world, "alice", id, &other).await;
    in_full.push(world.service.get(&who("bob"), id).await.unwrap());
    for clip in in_full {
        assert_eq!((clip.room, clip.labels.len()), (room(), 1), "her own");
        assert_eq!(clip.declared.name.0, "a b&ü.mov");
        assert!(clip.job.is_some());
    }
}
