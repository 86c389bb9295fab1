//! The checks: each is given an empty store.

use crate::make::{self, START, job, outputs, source, upload};
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::time::UnixMs;
use kaiwa_media_pipeline::model::{
    AudioInfo, Backend, Captions, Chore, Clip, ClipError, ClipId, ClipState, Language, Phase,
    Progress, Rendition, Sprite,
};
use kaiwa_media_pipeline::ports::{ClipStore, Query, Request, StoreError};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Gives the names of all checks to a macro.
macro_rules! every_check {
    ($run:ident) => {
        $run! {
            a_clip_comes_back_as_it_was
            of_writers_at_once_one_wins
            a_request_is_answered_once_for_a_day
            pages_go_from_the_newest_on_and_leave_nothing_out
            what_is_due_comes_longest_due_first
            a_job_finds_its_clip
            revisions_rise_without_holes_and_changes_come_in_their_order
            an_event_is_new_once_a_week
            usage_counts_a_persons_bytes_and_open_uploads
            what_is_under_way_is_counted_by_state
            a_room_that_a_clip_has_left_does_not_list_it
        }
    };
}
pub(crate) use every_check;

const DAY: Duration = Duration::from_secs(86_400);

type Store = Arc<dyn ClipStore>;

pub(crate) fn numbered(number: u128) -> Clip {
    let mut clip = make::clip();
    clip.id = ClipId(Uuid::from_u128(number));
    clip
}

/// A clip with everything in it.
pub(crate) fn full(number: u128) -> Clip {
    let mut clip = numbered(number);
    clip.state = ClipState::Processing;
    clip.attempt = 2;
    clip.upload = Some(upload());
    let mut found = source();
    found.audio = Some(AudioInfo {
        codec: "aac".to_owned(),
        channels: 2,
        sample_rate: 48_000,
    });
    clip.source = Some(found);
    clip.job = Some(job(2));
    clip.progress = Some(Progress {
        phase: Phase::Transcoding,
        percent: 42,
    });
    let mut made = outputs(2);
    made.renditions.push(Rendition {
        name: "720p".to_owned(),
        width: 1280,
        height: 720,
        fps: 29.97,
        peak: 3_000_000,
        average: 2_000_000,
        codecs: "avc1.4d401f,mp4a.40.2".to_owned(),
        playlist: "hls/720p.m3u8".to_owned(),
    });
    made.sprite = Some(Sprite {
        image: "thumbnails/s.jpg".to_owned(),
        vtt: "thumbnails/s.vtt".to_owned(),
        interval_ms: 2_000,
    });
    clip.outputs = Some(made);
    clip.chores.since = Some(START);
    clip.chores.seen = Some("mark".to_owned());
    clip.chores.media = Duration::from_millis(61_040);
    let captions = Captions {
        file: "captions/ja.vtt".to_owned(),
        label: "日本語".to_owned(),
    };
    clip.captions.insert(Language("ja".to_owned()), captions);
    clip.error = Some(ClipError {
        reason: "TRANSCODER_INTERNAL".to_owned(),
        message: "once more".to_owned(),
        retryable: true,
        provider_code: Some(-1),
    });
    clip.labels.insert("k".to_owned(), "v".to_owned());
    clip.chores.rooms.insert(RoomId::parse("r_2").unwrap(), 9);
    clip.chores.left.insert(RoomId::parse("r_3").unwrap(), 8);
    clip.chores.dropped = true;
    clip.chores.todo = vec![
        Chore::AbortUpload("u".to_owned()),
        Chore::StopJob(job(1)),
        Chore::Sweep(1),
        Chore::Erase,
        Chore::Show(7),
        Chore::TellReady,
        Chore::TellFailed(1),
    ];
    clip.chores.todo_due = Some(START);
    clip.chores.todo_fails = 1;
    clip.chores.work_fails = 2;
    clip.chores.retries = 1;
    clip.chores.heard = Some(START);
    clip
}

pub(crate) fn request(key: &str, clip: &Clip, at: UnixMs) -> Request {
    Request {
        caller: "alice/".to_owned(),
        key: key.to_owned(),
        hash: [3; 32],
        clip: clip.id,
        at,
    }
}

pub(crate) fn changed(clip: &Clip, change: impl FnOnce(&mut Clip)) -> Clip {
    let mut clip = clip.clone();
    clip.version += 1;
    change(&mut clip);
    clip
}

pub(crate) async fn a_clip_comes_back_as_it_was(store: Store) {
    for clip in [numbered(1), full(2)] {
        store.insert(&clip, None).await.unwrap();
        assert_eq!(store.get(clip.id).await, Ok(Some(clip.clone())));
    }
    let again = store.insert(&full(2), None).await;
    assert_eq!(again, Err(StoreError::Conflict));
    assert_eq!(store.get(ClipId(Uuid::from_u128(3))).await, Ok(None));
    let ids = [1, 2, 3].map(|n| ClipId(Uuid::from_u128(n)));
    assert_eq!(store.get_many(&ids).await.unwrap().len(), 2);
}

pub(crate) async fn of_writers_at_once_one_wins(store: Store) {
    let clip = numbered(1);
    store.insert(&clip, None).await.unwrap();
    let writers = (0..16_u64).map(|writer| {
        let (store, clip) = (Arc::clone(&store), clip.clone());
        tokio::spawn(async move {
            let next = changed(&clip, |clip| clip.message = Some(writer));
            (writer, store.update(clip.version, &next, None).await)
        })
    });
    let mut won = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        match writer.await.unwrap() {
            (writer, Ok(_)) => won.push(writer),
            (_, Err(error)) => assert_eq!(error, StoreError::Conflict),
        }
    }
    assert_eq!(won.len(), 1);
    let stored = store.get(clip.id).await.unwrap().unwrap();
    assert_eq!((stored.version, stored.message), (2, Some(won[0])));
    let unknown = changed(&numbered(2), |_| {});
    let update = store.update(1, &unknown, None).await;
    assert_eq!(update, Err(StoreError::Conflict));
    let skipped = changed(&changed(&stored, |_| {}), |_| {});
    let update = store.update(2, &skipped, None).await;
    assert_eq!(update, Err(StoreError::Conflict), "one version at a time");
}

pub(crate) async fn a_request_is_answered_once_for_a_day(store: Store) {
    let first = numbered(1);
    let key = "0192f3a4-0000-7000-8000-00000000000a";
    let asked = request(key, &first, START);
    store.insert(&first, Some(&asked)).await.unwrap();
    assert_eq!(store.answered("alice/", key).await, Ok(Some(asked)));
    assert_eq!(store.answered("bob/", key).await, Ok(None));
    // The same key again leaves nothing behind, whatever it is about.
    let second = numbered(2);
    let again = request(key, &second, START.plus(DAY / 2));
    let inserted = store.insert(&second, Some(&again)).await;
    assert_eq!(inserted, Err(StoreError::Conflict));
    assert_eq!(store.get(second.id).await, Ok(None));
    let next = changed(&first, |clip| clip.message = None);
    let updated = store.update(1, &next, Some(&again)).await;
    assert_eq!(updated, Err(StoreError::Conflict));
    assert_eq!(store.get(first.id).await, Ok(Some(first)));
    let (noted, revision) = (store.note(&again).await, store.revision().await);
    assert_eq!(noted, Err(StoreError::Conflict));
    // One that changed nothing is as good, and moves nothing.
    let other = request("0192f3a4-0000-7000-8000-00000000000b", &second, START);
    store.note(&other).await.unwrap();
    assert_eq!(
        store.answered("alice/", &other.key).await,
        Ok(Some(other.clone()))
    );
    assert_eq!(store.note(&other).await, Err(StoreError::Conflict));
    let inserted = store.insert(&second, Some(&other)).await;
    assert_eq!(inserted, Err(StoreError::Conflict));
    assert_eq!(store.revision().await, revision);
    let at = START.plus(DAY);
    let anew = Request { at, ..other };
    store.note(&anew).await.unwrap();
    assert_eq!(store.answered("alice/", &anew.key).await, Ok(Some(anew)));
    // After its time the key is as new.
    let later = request(key, &second, START.plus(DAY));
    store.insert(&second, Some(&later)).await.unwrap();
    assert_eq!(store.answered("alice/", key).await, Ok(Some(later)));
    let end = START.plus(DAY * 2);
    assert_eq!(store.trim(end).await, Ok(2));
    assert_eq!(store.answered("alice/", key).await, Ok(None));
}

pub(crate) async fn pages_go_from_the_newest_on_and_leave_nothing_out(store: Store) {
    let (bob, other) = (UserId::parse("bob").unwrap(), RoomId::parse("r_2").unwrap());
    for number in 1..=25_u128 {
        let mut clip = numbered(number);
        if number % 5 == 0 {
            clip.room = other.clone();
        }
        if number % 3 == 0 {
            clip.uploader = bob.clone();
        }
        if number == 7 {
            clip.state = ClipState::Deleted;
        }
        if number == 8 {
            clip.chores.rooms.insert(other.clone(), 1);
        }
        store.insert(&clip, None).await.unwrap();
    }
    let room = numbered(1).room;
    let query = Query {
        room: Some(room),
        limit: 6,
        ..Query::default()
    };
    let expected: Vec<u128> = (1..=25).rev().filter(|n| n % 5 != 0 && *n != 7).collect();
    assert_eq!(all(&store, query.clone()).await, expected);
    let shown = Query {
        room: Some(other),
        ..query.clone()
    };
    assert_eq!(all(&store, shown).await, [25, 20, 15, 10, 8, 5]);
    let of_bob = Query {
        room: None,
        uploader: Some(bob),
        ..query.clone()
    };
    assert_eq!(
        all(&store, of_bob.clone()).await,
        [24, 21, 18, 15, 12, 9, 6, 3]
    );
    let both = Query {
        room: query.room.clone(),
        ..of_bob
    };
    assert_eq!(all(&store, both).await, [24, 21, 18, 12, 9, 6, 3]);
    let deleted = Query {
        states: vec![ClipState::Deleted, ClipState::Ready],
        ..query
    };
    assert_eq!(all(&store, deleted).await, [7]);
}

async fn all(store: &Store, mut query: Query) -> Vec<u128> {
    let mut found = Vec::new();
    loop {
        let page = store.list(&query).await.unwrap();
        assert!(page.clips.len() <= query.limit);
        found.extend(page.clips.iter().map(|clip| clip.id.0.as_u128()));
        if !page.more {
            return found;
        }
        query.before = page.clips.last().map(|clip| clip.id);
    }
}

pub(crate) async fn what_is_due_comes_longest_due_first(store: Store) {
    for (number, due) in [(1, Some(30)), (2, Some(10)), (3, None), (4, Some(20))] {
        let mut clip = numbered(number);
        clip.due = due.map(UnixMs);
        store.insert(&clip, None).await.unwrap();
    }
    let due = async |now: i64, limit: usize| -> Vec<u128> {
        let due = store.due(UnixMs(now), limit).await.unwrap();
        due.iter().map(|clip| clip.id.0.as_u128()).collect()
    };
    assert_eq!(due(9, 10).await, [0_u128; 0]);
    assert_eq!(due(20, 10).await, [2, 4]);
    assert_eq!(due(99, 2).await, [2, 4]);
    let clip = store
        .get(ClipId(Uuid::from_u128(2)))
        .await
        .unwrap()
        .unwrap();
    let next = changed(&clip, |clip| clip.due = None);
    store.update(1, &next, None).await.unwrap();
    assert_eq!(due(99, 10).await, [4, 1]);
}

pub(crate) async fn a_job_finds_its_clip(store: Store) {
    store.insert(&full(1), None).await.unwrap();
    store.insert(&numbered(2), None).await.unwrap();
    let found = store.by_job(Backend::MediaConvert, "job-2").await;
    assert_eq!(found, Ok(Some(full(1))));
    let other = store.by_job(Backend::Ffmpeg, "job-2").await;
    assert_eq!(other, Ok(None));
    let next = changed(&full(1), |clip| clip.job = None);
    store.update(1, &next, None).await.unwrap();
    let gone = store.by_job(Backend::MediaConvert, "job-2").await;
    assert_eq!(gone, Ok(None));
}

pub(crate) async fn revisions_rise_without_holes_and_changes_come_in_their_order(store: Store) {
    assert_eq!(store.revision().await, Ok(0));
    assert_eq!(store.insert(&numbered(1), None).await, Ok(1));
    assert_eq!(store.insert(&numbered(2), None).await, Ok(2));
    let conflict = store.insert(&numbered(2), None).await;
    assert_eq!(conflict, Err(StoreError::Conflict));
    let next = changed(&numbered(1), |clip| clip.message = None);
    assert_eq!(store.update(1, &next, None).await, Ok(3));
    assert_eq!(store.revision().await, Ok(3));
    let changes = store.changes(0, 10).await.unwrap();
    assert_eq!(changes, [(2, numbered(2)), (3, next.clone())]);
    assert_eq!(store.changes(2, 10).await, Ok(vec![(3, next)]));
    assert_eq!(store.changes(0, 1).await.unwrap().len(), 1);
    assert_eq!(store.changes(3, 10).await, Ok(Vec::new()));
}

pub(crate) async fn an_event_is_new_once_a_week(store: Store) {
    let week = DAY * 7;
    assert_eq!(store.first_time("e1", START).await, Ok(true));
    assert_eq!(store.first_time("e1", START.plus(DAY)).await, Ok(false));
    assert_eq!(store.first_time("e2", START.plus(DAY)).await, Ok(true));
    let late = START.plus(week);
    assert_eq!(store.first_time("e1", late).await, Ok(true));
    assert_eq!(store.trim(START.plus(week + DAY)).await, Ok(1));
    assert_eq!(store.first_time("e1", late.plus(DAY)).await, Ok(false));
    let racers = (0..8).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.first_time("e3", START).await.unwrap() })
    });
    let mut first = 0;
    for racer in racers.collect::<Vec<_>>() {
        first += u32::from(racer.await.unwrap());
    }
    assert_eq!(first, 1);
}

pub(crate) async fn usage_counts_a_persons_bytes_and_open_uploads(store: Store) {
    let states = [
        ClipState::Created,
        ClipState::Uploading,
        ClipState::Uploaded,
        ClipState::Deleted,
    ];
    for (number, state) in (1_u32..).zip(states) {
        let mut clip = numbered(u128::from(number));
        clip.state = state;
        clip.chores.media =
            Duration::from_millis(30_166) + Duration::from_millis(u64::from(number % 2));
        clip.created = START.plus(Duration::from_secs(u64::from(number)));
        store.insert(&clip, None).await.unwrap();
    }
    let alice = numbered(1).uploader;
    let since = START.plus(Duration::from_secs(2));
    let usage = store.usage(&alice, since).await.unwrap();
    assert_eq!((usage.bytes, usage.open), (3 * make::SIZE, 2));
    assert_eq!(usage.media, Duration::from_millis(90_499));
    let bob = UserId::parse("bob").unwrap();
    let usage = store.usage(&bob, START).await.unwrap();
    assert_eq!((usage.bytes, usage.open), (0, 0));
}

pub(crate) async fn what_is_under_way_is_counted_by_state(store: Store) {
    assert_eq!(store.under_way(10).await.unwrap(), BTreeMap::new());
    let states = [
        ClipState::Submitted,
        ClipState::Ready,
        ClipState::Submitted,
        ClipState::Processing,
        ClipState::Failed,
    ];
    for (number, state) in (1..).zip(states) {
        let mut clip = numbered(number);
        clip.state = state;
        // An errand is due of one that is over, too.
        clip.due = (state != ClipState::Ready).then_some(START);
        store.insert(&clip, None).await.unwrap();
    }
    let expected = [(ClipState::Submitted, 2), (ClipState::Processing, 1)];
    assert_eq!(store.under_way(10).await.unwrap(), expected.into());
    let mut moved = store
        .get(ClipId(Uuid::from_u128(1)))
        .await
        .unwrap()
        .unwrap();
    (moved.state, moved.version) = (ClipState::Verifying, moved.version + 1);
    store.update(moved.version - 1, &moved, None).await.unwrap();
    let counts = store.under_way(10).await.unwrap();
    assert_eq!((counts.len(), counts[&ClipState::Verifying]), (3, 1));
    let some = store.under_way(2).await.unwrap();
    assert!(some.values().sum::<usize>() <= 3, "{some:?}");
}

pub(crate) async fn a_room_that_a_clip_has_left_does_not_list_it(store: Store) {
    let other = RoomId::parse("r_2").unwrap();
    let mut clip = numbered(1);
    clip.chores.rooms.insert(other.clone(), 1);
    store.insert(&clip, None).await.unwrap();
    let in_room = async |room: &RoomId| {
        let query = Query {
            room: Some(room.clone()),
            limit: 10,
            ..Query::default()
        };
        store.list(&query).await.unwrap().clips.len()
    };
    assert_eq!(in_room(&other).await, 1);
    clip.chores.rooms.clear();
    clip.version += 1;
    store.update(clip.version - 1, &clip, None).await.unwrap();
    assert_eq!((in_room(&other).await, in_room(&clip.room).await), (0, 1));
}
