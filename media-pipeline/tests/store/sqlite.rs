//! What only the database has: a restart.

use crate::conformance::{full, numbered, request};
use crate::make::START;
use kaiwa_media_pipeline::adapters::sqlite::SqliteStore;
use kaiwa_media_pipeline::model::Backend;
use kaiwa_media_pipeline::ports::{ClipStore, StoreError};
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
