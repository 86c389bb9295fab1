//! Clips in the one SQLite database, beside the tables of others.

mod reading;
mod schema;
mod writing;

pub use schema::SCHEMA;

use crate::model::{Backend, Clip, ClipId, ClipState};
use crate::ports::{Answer, ClipStore, Page, Query, Request, StoreError, Usage};
use kaiwa_common::id::UserId;
use kaiwa_common::time::UnixMs;
use kaiwa_platform::sqlite::{Keep, OpenError, ReadError, Sqlite, WriteError};
use rusqlite::Connection;
use std::collections::BTreeMap;

/// About what a row adds to the database, for the writer's groups.
const ROW_BYTES: usize = 2_048;

/// Clips in a SQLite database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    sqlite: Sqlite,
}

impl SqliteStore {
    /// In a database that others may use as well; brings the clips' tables up to date.
    ///
    /// # Errors
    /// [`OpenError`]: a newer version wrote them, or the database takes no writes.
    pub async fn open(sqlite: Sqlite) -> Result<Self, OpenError> {
        sqlite.migrate(SCHEMA).await?;
        Ok(Self { sqlite })
    }

    /// A write that says by itself whether it stays: a conflict leaves nothing.
    fn write<T, F>(&self, write: F) -> Answer<'static, T, StoreError>
    where
        T: Send + Unpin + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<Result<T, StoreError>> + Send + 'static,
    {
        let job = self.sqlite.writer.submit(ROW_BYTES, move |connection| {
            let done = write(connection)?;
            let keep = if done.is_ok() { Keep::Yes } else { Keep::No };
            Ok((keep, done))
        });
        Box::pin(async move { job.await.map_err(|error| unwritten(&error))? })
    }

    fn read<T, F>(&self, read: F) -> Answer<'static, T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let readers = self.sqlite.readers.clone();
        Box::pin(async move { readers.run(read).await.map_err(|error| unread(&error)) })
    }
}

impl ClipStore for SqliteStore {
    fn insert<'a>(
        &'a self,
        clip: &'a Clip,
        request: Option<&'a Request>,
    ) -> Answer<'a, u64, StoreError> {
        let (clip, request) = (clip.clone(), request.cloned());
        self.write(move |connection| writing::insert(connection, &clip, request.as_ref()))
    }

    fn get(&self, id: ClipId) -> Answer<'_, Option<Clip>, StoreError> {
        self.read(move |connection| reading::get(connection, id))
    }

    fn get_many<'a>(&'a self, ids: &'a [ClipId]) -> Answer<'a, Vec<Clip>, StoreError> {
        let ids = ids.to_vec();
        self.read(move |connection| reading::get_many(connection, &ids))
    }

    fn update<'a>(
        &'a self,
        expected: u64,
        clip: &'a Clip,
        request: Option<&'a Request>,
    ) -> Answer<'a, u64, StoreError> {
        let (clip, request) = (clip.clone(), request.cloned());
        self.write(move |connection| writing::update(connection, expected, &clip, request.as_ref()))
    }

    fn list<'a>(&'a self, query: &'a Query) -> Answer<'a, Page, StoreError> {
        let query = query.clone();
        self.read(move |connection| reading::list(connection, &query))
    }

    fn due(&self, now: UnixMs, limit: usize) -> Answer<'_, Vec<Clip>, StoreError> {
        self.read(move |connection| reading::due(connection, now, limit))
    }

    fn by_job<'a>(
        &'a self,
        backend: Backend,
        job: &'a str,
    ) -> Answer<'a, Option<Clip>, StoreError> {
        let job = job.to_owned();
        self.read(move |connection| reading::by_job(connection, backend, &job))
    }

    fn answered<'a>(
        &'a self,
        caller: &'a str,
        request: &'a str,
    ) -> Answer<'a, Option<Request>, StoreError> {
        let (caller, request) = (caller.to_owned(), request.to_owned());
        self.read(move |connection| reading::answered(connection, &caller, &request))
    }

    fn note<'a>(&'a self, request: &'a Request) -> Answer<'a, (), StoreError> {
        let request = request.clone();
        self.write(move |connection| {
            let is_noted = writing::note(connection, Some(&request))?;
            Ok(is_noted.then_some(()).ok_or(StoreError::Conflict))
        })
    }

    fn first_time<'a>(&'a self, event: &'a str, now: UnixMs) -> Answer<'a, bool, StoreError> {
        let event = event.to_owned();
        self.write(move |connection| writing::first_time(connection, &event, now).map(Ok))
    }

    fn revision(&self) -> Answer<'_, u64, StoreError> {
        self.read(reading::revision)
    }

    fn changes(&self, after: u64, limit: usize) -> Answer<'_, Vec<(u64, Clip)>, StoreError> {
        self.read(move |connection| reading::changes(connection, after, limit))
    }

    fn usage<'a>(&'a self, uploader: &'a UserId, since: UnixMs) -> Answer<'a, Usage, StoreError> {
        let uploader = uploader.clone();
        self.read(move |connection| reading::usage(connection, &uploader, since))
    }

    fn under_way(&self, limit: usize) -> Answer<'_, BTreeMap<ClipState, usize>, StoreError> {
        self.read(move |connection| reading::under_way(connection, limit))
    }

    fn stored(&self) -> Answer<'_, Option<u64>, StoreError> {
        self.read(|connection| reading::stored(connection).map(Some))
    }

    fn trim(&self, now: UnixMs) -> Answer<'_, usize, StoreError> {
        self.write(move |connection| writing::trim(connection, now).map(Ok))
    }
}

fn unwritten(error: &WriteError) -> StoreError {
    match error {
        WriteError::Overloaded | WriteError::Closed => StoreError::Unavailable(error.to_string()),
        WriteError::Failed(source) | WriteError::Unknown(source) => failed(source),
        WriteError::Panicked => StoreError::Broken(error.to_string()),
    }
}

fn unread(error: &ReadError) -> StoreError {
    match error {
        ReadError::Overloaded | ReadError::Closed => StoreError::Unavailable(error.to_string()),
        ReadError::Failed(source) => failed(source),
    }
}

/// A full disk and a lock pass; a value that cannot be read does not.
fn failed(error: &rusqlite::Error) -> StoreError {
    if matches!(error, rusqlite::Error::SqliteFailure(_, _)) {
        StoreError::Unavailable(error.to_string())
    } else {
        StoreError::Broken(error.to_string())
    }
}
