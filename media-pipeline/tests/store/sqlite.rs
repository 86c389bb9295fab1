//! What only the database has: a restart.

use crate::conformance::{full, numbered, request};
use crate::make::START;
use kaiwa_media_pipeline::adapters::sqlite::SqliteStore;
use kaiwa_media_pipeline::model::{Backend, Clip, ClipState};
use kaiwa_media_pipeline::ports::{ClipStore, Query, StoreError};
use kaiwa_platform::sqlite::{Sqlite, SqliteOptions};
use std::path::Path;

pub(crate) fn database(folder: &Path) -> Sqlite {
    Sqlite::open(SqliteOptions::new(folder.join("clips.db")), &[]).unwrap()
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let asked = request("k", &full(1), START);
    {
        let store = SqliteStore::open(database(folder.path())).await.unwrap();
        store.insert(&full(1), Some(&asked)).await.unwrap();
        store.insert(&numbered(2), None).await.unwrap();
        assert_eq!(store.first_time("e", START).await, Ok(true));
    }
    let store = SqliteStore::open(database(folder.path())).await.unwrap();
    assert_eq!(store.get(full(1).id).await, Ok(Some(full(1))));
    assert_eq!(store.revision().await, Ok(2));
    assert_eq!(store.insert(&numbered(3), None).await, Ok(3));
    let found = store.by_job(Backend::MediaConvert, "job-2").await;
    assert_eq!(found, Ok(Some(full(1))));
    assert_eq!(store.first_time("e", START).await, Ok(false));
    assert_eq!(store.answered("alice/", "k").await, Ok(Some(asked)));
}

#[tokio::test]
async fn what_cannot_be_read_is_an_error_and_no_clip() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = database(folder.path());
    let store = SqliteStore::open(sqlite.clone()).await.unwrap();
    store.insert(&full(1), None).await.unwrap();
    let spoil = sqlite.writer.submit(0, |connection| {
        connection.execute("UPDATE clips_clips SET body = '{}'", [])?;
        Ok((kaiwa_platform::sqlite::Keep::Yes, ()))
    });
    spoil.await.unwrap();
    let read = store.get(full(1).id).await;
    assert!(matches!(read, Err(StoreError::Broken(_))), "{read:?}");
}

#[tokio::test]
async fn a_row_that_cannot_be_read_stands_in_nobodys_way() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = database(folder.path());
    let store = SqliteStore::open(sqlite.clone()).await.unwrap();
    for number in 1..=3 {
        store.insert(&numbered(number), None).await.unwrap();
    }
    let spoiled = numbered(2).id.0.into_bytes().to_vec();
    let spoil = sqlite.writer.submit(0, |connection| {
        let sql = "UPDATE clips_clips SET body = 'no JSON', due_ms = 0 WHERE id = ?1";
        connection.execute(sql, [spoiled])?;
        Ok((kaiwa_platform::sqlite::Keep::Yes, ()))
    });
    spoil.await.unwrap();
    let whole = [numbered(1).id, numbered(3).id];
    let end = START.plus(std::time::Duration::from_secs(1_000_000));
    let due = store.due(end, 2).await.unwrap();
    assert_eq!(due.iter().map(|clip| clip.id).collect::<Vec<_>>(), whole);
    let query = Query {
        uploader: Some(numbered(1).uploader),
        limit: 10,
        ..Query::default()
    };
    assert_eq!(store.list(&query).await.unwrap().clips.len(), 2);
    assert_eq!(store.changes(0, 10).await.unwrap().len(), 2);
    let all = [numbered(1).id, numbered(2).id, numbered(3).id];
    assert_eq!(store.get_many(&all).await.unwrap().len(), 2);
    let usage = store.usage(&numbered(1).uploader, START).await;
    assert!(usage.is_ok(), "{usage:?}");
}

#[tokio::test]
async fn what_clips_take_up_is_added_up() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(database(folder.path())).await.unwrap();
    assert_eq!(store.stored().await, Ok(Some(0)));
    let mut whole = full(1);
    whole.chores.dropped = false;
    let (first, second) = (whole.stored_bytes(), numbered(2).stored_bytes());
    assert!(first > whole.declared.size, "with what was written");
    store.insert(&whole, None).await.unwrap();
    store.insert(&numbered(2), None).await.unwrap();
    assert_eq!(store.stored().await, Ok(Some(first + second)));
    let gone = Clip {
        state: ClipState::Deleted,
        version: whole.version + 1,
        ..whole.clone()
    };
    store.update(whole.version, &gone, None).await.unwrap();
    assert_eq!(store.stored().await, Ok(Some(second)));
}
