//! The store in one SQLite database.
//!
//! Writes go through the one writer of [`kaiwa_platform::sqlite`] and share its commits; each append
//! is a job in a savepoint of its own. Reads run on the readers, each in one snapshot.

mod append;
mod columns;
mod facts;
#[doc(hidden)]
pub mod floor;
mod gone;
mod marks;
mod outbox;
mod schema;
mod views;

pub use gone::GoneClip;

use crate::model::{HistoryFrom, HistoryPage, Member, Page, RoomInfo, User};
use crate::ports::{
    Answer, Append, Appended, Facts, LogPos, LogRange, LogSlice, Logged, Marking, Marks, Outbox,
    PageOf, Question, RoomList, RoomLog, RoomRecord, RoomViews, Standing, StoreError, UnreadTotal,
    Wanted,
};
use append::PreparedAppend;
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::position::{Position, Seq};
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;
use kaiwa_platform::sqlite::{
    Keep, OpenError, ReadError, Sqlite, SqliteOptions, Submitted, WriteError, WriterStats,
};
use rusqlite::Connection;
use std::path::Path;

/// The chat store in a SQLite database. Cheap to clone; with the last clone it is closed.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    db: Sqlite,
}

impl SqliteStore {
    /// Opens or creates the database at this path.
    ///
    /// # Errors
    /// [`OpenError`]: it cannot be opened, or a newer version wrote it.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_with(SqliteOptions::new(path.to_owned()))
    }

    /// Opens or creates the database with other bounds or another VFS than usual.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(options: SqliteOptions) -> Result<Self, OpenError> {
        Ok(Self {
            db: Sqlite::open(options, schema::MIGRATIONS)?,
        })
    }

    /// The writer's counters.
    #[must_use]
    pub fn stats(&self) -> &WriterStats {
        self.db.writer.stats()
    }

    /// Writes a consistent copy to a file that does not exist yet, while everything goes on.
    ///
    /// # Errors
    /// [`StoreError`] when the file exists or cannot be written.
    pub async fn backup(&self, to: &Path) -> Result<(), StoreError> {
        self.db.backup(to).await.map_err(|error| unread(&error))
    }

    /// The database, for other parts of this process whose tables lie beside chat's: there is one writer.
    #[must_use]
    pub fn database(&self) -> Sqlite {
        self.db.clone()
    }

    /// The name that somebody is shown by; `None` for who was never here.
    ///
    /// # Errors
    /// [`StoreError`] when the database can't be read.
    pub async fn name_of(&self, user: &UserId) -> Result<Option<Redacted<String>>, StoreError> {
        let user = user.clone();
        let found = self.read(move |connection| facts::user_fact(connection, &user));
        Ok(found.await?.map(|fact| fact.name))
    }

    /// Messages of clips that were deleted and not yet [forgotten](Self::forget_gone), the oldest first: whoever keeps
    /// the clips hears of each at least once, also after a crash.
    ///
    /// # Errors
    /// [`StoreError`] when the database can't be read.
    pub async fn gone_clips(&self, limit: usize) -> Result<Vec<GoneClip>, StoreError> {
        self.read(move |connection| gone::read(connection, limit))
            .await
    }

    /// Forgets these: whoever keeps the clips has heard of them.
    ///
    /// # Errors
    /// [`StoreError`] when nothing can be written; they are heard of again.
    pub async fn forget_gone(&self, heard: Vec<GoneClip>) -> Result<(), StoreError> {
        let job = self.db.writer.submit(ROW_BYTES, move |connection| {
            gone::forget(connection, &heard).map(|()| (Keep::Yes, ()))
        });
        written(job).await
    }

    /// Lets it be heard once more of a clip's message that was deleted: whoever was told to show the clip there again
    /// finds out that it may not be. A message that is there is not named.
    ///
    /// # Errors
    /// [`StoreError`] when nothing can be written.
    pub async fn recall_gone(&self, room: &RoomId, seq: Seq) -> Result<(), StoreError> {
        let room = room.clone();
        let job = self.db.writer.submit(ROW_BYTES, move |connection| {
            gone::recall(connection, &room, seq).map(|()| (Keep::Yes, ()))
        });
        written(job).await
    }

    /// Takes no more writes, commits those queued, and waits until the file is closed for writing.
    pub fn close(&self) {
        self.db.writer.close();
    }

    fn read<T, F>(&self, read: F) -> Answer<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let readers = self.db.readers.clone();
        Box::pin(async move { readers.run(read).await.map_err(|error| unread(&error)) })
    }
}

impl RoomLog for SqliteStore {
    fn append(&self, append: &Append) -> Answer<Appended> {
        let prepared = PreparedAppend::new(append);
        let job = self
            .db
            .writer
            .submit(prepared.bytes(), move |connection| prepared.run(connection));
        written(job)
    }

    fn load(&self, room: &RoomId) -> Answer<Option<RoomRecord>> {
        let room = room.clone();
        self.read(move |connection| facts::load(connection, &room))
    }

    fn facts(&self, room: &RoomId, wanted: Wanted) -> Answer<Facts> {
        let room = room.clone();
        self.read(move |connection| facts::facts(connection, &room, wanted))
    }

    fn seen(&self, user: &User) -> Answer<()> {
        let user = user.clone();
        let store = self.clone();
        Box::pin(async move {
            // People connect far more often than they change their names: usually one read, no fsync.
            let known = user.clone();
            let same = move |connection: &Connection| facts::is_known(connection, &known);
            if store
                .db
                .readers
                .run(same)
                .await
                .map_err(|error| unread(&error))?
            {
                return Ok(());
            }
            let job = store.db.writer.submit(ROW_BYTES, move |connection| {
                append::seen(connection, &user).map(|()| (Keep::Yes, ()))
            });
            written(job).await
        })
    }

    fn purge_cids(&self, made_before: UnixMs, limit: usize) -> Answer<usize> {
        let job = self.db.writer.submit(ROW_BYTES * limit, move |connection| {
            append::purge_cids(connection, made_before, limit).map(|count| (Keep::Yes, count))
        });
        written(job)
    }

    fn scrub(&self) -> Answer<()> {
        written(self.db.writer.checkpoint())
    }
}

impl RoomViews for SqliteStore {
    fn standings(&self, user: &UserId, rooms: Vec<RoomId>) -> Answer<Vec<Option<Standing>>> {
        let user = user.clone();
        self.read(move |connection| {
            rooms
                .iter()
                .map(|room| Ok(facts::standing(connection, &user, room)?.map(|(_, found)| found)))
                .collect()
        })
    }

    fn revocation(&self, room: &RoomId) -> Answer<Option<Seq>> {
        let room = room.clone();
        self.read(move |connection| facts::revocation(connection, &room))
    }

    fn read_logs(&self, user: &UserId, ranges: Vec<LogRange>) -> Answer<Vec<LogSlice>> {
        let user = user.clone();
        self.read(move |connection| views::read_logs(connection, &user, &ranges))
    }

    fn history(
        &self,
        user: &UserId,
        room: &RoomId,
        from: HistoryFrom,
        limit: usize,
    ) -> Answer<Option<(Standing, HistoryPage)>> {
        let (user, room) = (user.clone(), room.clone());
        self.read(move |connection| views::history(connection, &user, &room, from, limit))
    }

    fn view(&self, user: &UserId, room: &RoomId) -> Answer<Option<RoomInfo>> {
        let (user, room) = (user.clone(), room.clone());
        self.read(move |connection| views::view(connection, &user, &room))
    }

    fn rooms(&self, user: &UserId, list: RoomList, page: PageOf) -> Answer<Page<RoomInfo>> {
        let user = user.clone();
        self.read(move |connection| views::rooms(connection, &user, list, &page))
    }

    fn members(
        &self,
        user: &UserId,
        room: &RoomId,
        page: PageOf,
    ) -> Answer<Option<(Standing, Page<Member>)>> {
        let (user, room) = (user.clone(), room.clone());
        self.read(move |connection| views::members(connection, &user, &room, &page))
    }
}

impl Marks for SqliteStore {
    fn mark(&self, user: &UserId, room: &RoomId, to: Position) -> Answer<Option<Marking>> {
        let (user, room) = (user.clone(), room.clone());
        let job = self.db.writer.submit(ROW_BYTES, move |connection| {
            let marked = marks::mark(connection, &user, &room, to)?;
            Ok((Keep::Yes, marked))
        });
        written(job)
    }

    fn unread_of_each(&self, people: Vec<(UserId, Vec<RoomId>)>) -> Answer<Vec<UnreadTotal>> {
        self.read(move |connection| {
            let each = people.iter();
            let each = each.map(|(user, except)| marks::unread_of(connection, user, except));
            each.collect()
        })
    }
}

impl Outbox for SqliteStore {
    fn end(&self) -> Answer<LogPos> {
        self.read(outbox::end)
    }

    fn cursor(&self) -> Answer<Option<LogPos>> {
        self.read(outbox::cursor)
    }

    fn save_cursor(&self, at: LogPos) -> Answer<()> {
        let job = self.db.writer.submit(ROW_BYTES, move |connection| {
            outbox::save_cursor(connection, at).map(|()| (Keep::Yes, ()))
        });
        written(job)
    }

    fn read_outbox(&self, after: LogPos, limit: usize) -> Answer<Vec<Logged>> {
        self.read(move |connection| outbox::read(connection, after, limit))
    }

    fn candidates(&self, questions: Vec<Question>) -> Answer<Vec<Vec<UserId>>> {
        self.read(move |connection| {
            let answers = questions.iter();
            answers
                .map(|question| outbox::candidates(connection, question))
                .collect()
        })
    }
}

/// What a row weighs beside its text, for the bound of a commit.
const ROW_BYTES: usize = 256;

fn written<T: Send + Unpin + 'static>(job: Submitted<T>) -> Answer<T> {
    Box::pin(async move {
        job.await.map_err(|error| match error {
            WriteError::Overloaded => StoreError::Overloaded,
            WriteError::Unknown(_) => StoreError::Unknown,
            WriteError::Closed | WriteError::Failed(_) | WriteError::Panicked => {
                tracing::warn!(%error, cause = ?std::error::Error::source(&error), "chat store");
                StoreError::Failed
            }
        })
    })
}

fn unread(error: &ReadError) -> StoreError {
    match error {
        ReadError::Overloaded => StoreError::Overloaded,
        ReadError::Closed | ReadError::Failed(_) => {
            tracing::warn!(%error, cause = ?std::error::Error::source(error), "chat store");
            StoreError::Failed
        }
    }
}
