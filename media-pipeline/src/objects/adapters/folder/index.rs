//! The index: which objects there are, in which files, and what has arrived of those to come. A row's commit is the
//! moment in which an object appears, changes or goes.

use crate::checksum::{Checksum, ChecksumKind};
use crate::objects::hex;
use crate::ports::{ObjectError, ObjectInfo, Part};
use kaiwa_common::limits::{OBJECT_DONE_AGE, OBJECT_PAGE as PAGE};
use kaiwa_common::time::UnixMs;
use kaiwa_platform::sqlite::{ReadError, Schema, WriteError};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::BTreeSet;

pub(super) const SCHEMA: Schema = Schema {
    component: "objects",
    migrations: &[V1, V2],
};

const V1: &str = "
CREATE TABLE objects_objects (
    key          TEXT    PRIMARY KEY,
    blob         TEXT    NOT NULL UNIQUE,  -- the file's name
    size         INTEGER NOT NULL,
    etag         TEXT    NOT NULL,
    sha256       BLOB,                     -- of what came in one piece
    modified_ms  INTEGER NOT NULL,
    content_type TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE objects_uploads (
    id           TEXT    PRIMARY KEY,
    key          TEXT    NOT NULL,
    content_type TEXT    NOT NULL,
    begun_ms     INTEGER NOT NULL,
    stride       INTEGER,                  -- bytes between two parts' places, from the first part on
    done_etag    TEXT                      -- of the object that was made of it
) STRICT, WITHOUT ROWID;
CREATE INDEX objects_uploads_begun ON objects_uploads (begun_ms);
CREATE INDEX objects_uploads_key ON objects_uploads (key);

CREATE TABLE objects_parts (
    upload TEXT    NOT NULL REFERENCES objects_uploads (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    size   INTEGER NOT NULL,
    sha256 BLOB    NOT NULL,
    file   TEXT,                           -- NULL: it stands at its place
    PRIMARY KEY (upload, number)
) STRICT, WITHOUT ROWID";

/// Parts have a SHA-256 or a CRC-32C: 32 or 4 bytes. All of an upload have the same; those of before have SHA-256.
const V2: &str = "
ALTER TABLE objects_parts RENAME COLUMN sha256 TO checksum;
-- 0: SHA-256, 1: CRC-32C
ALTER TABLE objects_uploads ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0";

/// An upload that is under way or was completed.
#[derive(Debug, Clone)]
pub(super) struct UploadRow {
    pub(super) content_type: String,
    pub(super) stride: Option<u64>,
    pub(super) done_etag: Option<String>,
    pub(super) checksum: ChecksumKind,
}

/// A part and where it stands.
#[derive(Debug, Clone)]
pub(super) struct PartRow {
    pub(super) number: u32,
    pub(super) size: u64,
    pub(super) checksum: Checksum,
    pub(super) file: Option<String>,
}

impl PartRow {
    pub(super) fn part(&self) -> Part {
        Part {
            number: self.number,
            size: self.size,
            etag: etag_of(&self.checksum),
            checksum: Some(self.checksum),
        }
    }
}

/// SQLite's integers are signed; no size comes near.
fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn unsigned(bytes: i64) -> u64 {
    u64::try_from(bytes).unwrap_or(0)
}

/// An object's or part's mark: half of its SHA-256, or its CRC-32C.
pub(super) fn etag_of(checksum: &Checksum) -> String {
    let bytes = checksum.bytes();
    hex(bytes.get(..16).unwrap_or(bytes))
}

/// An object and its file.
#[derive(Debug, Clone)]
pub(super) struct ObjectRow {
    pub(super) info: ObjectInfo,
    pub(super) blob: String,
    pub(super) content_type: String,
}

const OBJECT: &str =
    "SELECT key, blob, size, etag, sha256, modified_ms, content_type FROM objects_objects ";

fn object(row: &Row<'_>) -> rusqlite::Result<ObjectRow> {
    Ok(ObjectRow {
        blob: row.get(1)?,
        content_type: row.get(6)?,
        info: ObjectInfo {
            key: row.get(0)?,
            size: unsigned(row.get(2)?),
            etag: row.get(3)?,
            sha256: row.get(4)?,
            modified: UnixMs(row.get(5)?),
        },
    })
}

pub(super) fn find(db: &Connection, key: &str) -> rusqlite::Result<Option<ObjectRow>> {
    let mut statement = db.prepare_cached(&format!("{OBJECT} WHERE key = ?1"))?;
    statement.query_row([key], object).optional()
}

/// Keys are ASCII below 0x7f, so that what begins with the prefix lies between it and it with 0x7f.
pub(super) fn list(db: &Connection, prefix: &str, after: &str) -> rusqlite::Result<Vec<ObjectRow>> {
    let sql = format!("{OBJECT} WHERE key >= ?1 AND key < ?2 AND key > ?3 ORDER BY key LIMIT ?4");
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map(
        params![prefix, format!("{prefix}\u{7f}"), after, PAGE],
        object,
    )?;
    rows.collect()
}

/// Puts the object there; gives the file of the one that was there before.
pub(super) fn put(db: &Connection, row: &ObjectRow) -> rusqlite::Result<Option<String>> {
    let before = find(db, &row.info.key)?.map(|row| row.blob);
    let mut statement = db.prepare_cached(
        "INSERT OR REPLACE INTO objects_objects (key, blob, size, etag, sha256, modified_ms, content_type)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    let info = &row.info;
    statement.execute(params![
        info.key,
        row.blob,
        signed(info.size),
        info.etag,
        info.sha256,
        info.modified.0,
        row.content_type
    ])?;
    Ok(before.filter(|before| *before != row.blob))
}

/// Puts the object there if there is none; whether it did.
pub(super) fn put_new(db: &Connection, row: &ObjectRow) -> rusqlite::Result<bool> {
    if find(db, &row.info.key)?.is_some() {
        return Ok(false);
    }
    put(db, row).map(|_| true)
}

/// Takes up to a page of objects away; gives their files.
pub(super) fn delete(db: &Connection, prefix: &str) -> rusqlite::Result<Vec<String>> {
    let rows = list(db, prefix, "")?;
    let mut statement = db.prepare_cached("DELETE FROM objects_objects WHERE key = ?1")?;
    for row in &rows {
        statement.execute([&row.info.key])?;
    }
    Ok(rows.into_iter().map(|row| row.blob).collect())
}

pub(super) fn begin(
    db: &Connection,
    id: &str,
    key: &str,
    content_type: &str,
    checksum: ChecksumKind,
    now: UnixMs,
) -> rusqlite::Result<()> {
    // Completed ones are forgotten when their time is over; there is always a next upload that does it.
    let old = now
        .0
        .saturating_sub(i64::try_from(OBJECT_DONE_AGE.as_millis()).unwrap_or(i64::MAX));
    db.prepare_cached("DELETE FROM objects_uploads WHERE begun_ms < ?1 AND done_etag IS NOT NULL")?
        .execute([old])?;
    db.prepare_cached(
        "INSERT INTO objects_uploads (id, key, content_type, begun_ms, checksum) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![id, key, content_type, now.0, checksum == ChecksumKind::Crc32c])?;
    Ok(())
}

pub(super) fn upload(db: &Connection, key: &str, id: &str) -> rusqlite::Result<Option<UploadRow>> {
    db.prepare_cached(
        "SELECT content_type, stride, done_etag, checksum FROM objects_uploads WHERE id = ?1 AND key = ?2",
    )?
    .query_row([id, key], |row| {
        Ok(UploadRow {
            content_type: row.get(0)?,
            stride: row.get::<_, Option<i64>>(1)?.map(unsigned),
            done_etag: row.get(2)?,
            checksum: match row.get::<_, i64>(3)? {
                0 => ChecksumKind::Sha256,
                _ => ChecksumKind::Crc32c,
            },
        })
    })
    .optional()
}

/// The upload's stride: the one it has, or now this.
pub(super) fn stride(db: &Connection, id: &str, wanted: u64) -> rusqlite::Result<u64> {
    db.prepare_cached("UPDATE objects_uploads SET stride = ?2 WHERE id = ?1 AND stride IS NULL")?
        .execute(params![id, signed(wanted)])?;
    db.prepare_cached("SELECT stride FROM objects_uploads WHERE id = ?1")?
        .query_row([id], |row| row.get(0).map(unsigned))
}

pub(super) fn parts(db: &Connection, id: &str) -> rusqlite::Result<Vec<PartRow>> {
    let mut statement = db.prepare_cached(
        "SELECT number, size, checksum, file FROM objects_parts WHERE upload = ?1 ORDER BY number",
    )?;
    let rows = statement.query_map([id], part)?;
    rows.collect()
}

pub(super) fn one_part(
    db: &Connection,
    id: &str,
    number: u32,
) -> rusqlite::Result<Option<PartRow>> {
    db.prepare_cached(
        "SELECT number, size, checksum, file FROM objects_parts WHERE upload = ?1 AND number = ?2",
    )?
    .query_row(params![id, number], part)
    .optional()
}

fn part(row: &Row<'_>) -> rusqlite::Result<PartRow> {
    Ok(PartRow {
        number: row.get(0)?,
        size: unsigned(row.get(1)?),
        checksum: checksum(row.get_ref(2)?.as_blob()?)?,
        file: row.get(3)?,
    })
}

/// The number of bytes says which it is.
fn checksum(bytes: &[u8]) -> rusqlite::Result<Checksum> {
    let kinds = [ChecksumKind::Sha256, ChecksumKind::Crc32c];
    let found = kinds.into_iter().find_map(|kind| kind.of_bytes(bytes));
    found.ok_or(rusqlite::Error::InvalidColumnType(
        2,
        "checksum".to_owned(),
        rusqlite::types::Type::Blob,
    ))
}

/// The newest bytes under this number count. False when the upload is over meanwhile.
pub(super) fn put_part(
    db: &Connection,
    key: &str,
    id: &str,
    part: &PartRow,
) -> rusqlite::Result<bool> {
    if upload(db, key, id)?.is_none_or(|row| row.done_etag.is_some()) {
        return Ok(false);
    }
    db.prepare_cached(
        "INSERT OR REPLACE INTO objects_parts (upload, number, size, checksum, file) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![id, part.number, signed(part.size), part.checksum.bytes(), part.file])?;
    Ok(true)
}

/// The object of the upload's parts appears; the parts are forgotten.
pub(super) fn complete(
    db: &Connection,
    id: &str,
    row: &ObjectRow,
) -> rusqlite::Result<Option<String>> {
    db.prepare_cached("UPDATE objects_uploads SET done_etag = ?2 WHERE id = ?1")?
        .execute(params![id, row.info.etag])?;
    db.prepare_cached("DELETE FROM objects_parts WHERE upload = ?1")?
        .execute([id])?;
    put(db, row)
}

/// Forgets an upload that was not completed; false when there is none.
pub(super) fn abort(db: &Connection, key: &str, id: &str) -> rusqlite::Result<bool> {
    let gone = db
        .prepare_cached(
            "DELETE FROM objects_uploads WHERE id = ?1 AND key = ?2 AND done_etag IS NULL",
        )?
        .execute([id, key])?;
    Ok(gone > 0)
}

/// Key and id of open uploads: begun before that time, below that prefix.
pub(super) fn open_uploads(
    db: &Connection,
    before: UnixMs,
    prefix: &str,
) -> rusqlite::Result<Vec<(String, String)>> {
    let mut statement = db.prepare_cached(
        "SELECT key, id FROM objects_uploads
         WHERE begun_ms < ?1 AND done_etag IS NULL AND key >= ?2 AND key < ?3 ORDER BY begun_ms LIMIT ?4",
    )?;
    let rows = statement.query_map(
        params![before.0, prefix, format!("{prefix}\u{7f}"), PAGE],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    rows.collect()
}

/// Files that the index knows: of objects, and ids of open uploads.
pub(super) fn known(db: &Connection) -> rusqlite::Result<(BTreeSet<String>, BTreeSet<String>)> {
    let all = |sql: &str| -> rusqlite::Result<BTreeSet<String>> {
        db.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
    };
    Ok((
        all("SELECT blob FROM objects_objects")?,
        all("SELECT id FROM objects_uploads WHERE done_etag IS NULL")?,
    ))
}

pub(super) fn read(error: ReadError) -> ObjectError {
    match error {
        ReadError::Failed(error) => ObjectError::Refused(format!("the index is broken: {error}")),
        ReadError::Overloaded | ReadError::Closed => ObjectError::Unavailable(error.to_string()),
    }
}

pub(super) fn written(error: WriteError) -> ObjectError {
    match error {
        WriteError::Failed(cause) => ObjectError::Refused(format!("the index refuses: {cause}")),
        WriteError::Overloaded
        | WriteError::Closed
        | WriteError::Panicked
        | WriteError::Unknown(_) => ObjectError::Unavailable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_arrived_before_there_were_two_kinds_of_checksum_are_known() {
        let db = Connection::open_in_memory().expect("a database");
        db.execute_batch(V1).expect("the first tables");
        let row = "INSERT INTO objects_uploads (id, key, content_type, begun_ms) VALUES ('u', 'k', 't/t', 1);
                   INSERT INTO objects_parts VALUES ('u', 1, 5, zeroblob(32), NULL)";
        db.execute_batch(row).expect("rows");
        db.execute_batch(V2).expect("the tables of now");
        let old = upload(&db, "k", "u")
            .expect("it is read")
            .expect("it is there");
        assert_eq!(old.checksum, ChecksumKind::Sha256);
        let found = parts(&db, "u").expect("they are read");
        assert_eq!(found[0].checksum, Checksum::Sha256([0; 32]));
        begin(&db, "v", "k", "t/t", ChecksumKind::Crc32c, UnixMs(2)).expect("it is written");
        let new = PartRow {
            checksum: Checksum::Crc32c([1, 2, 3, 4]),
            ..found[0].clone()
        };
        assert!(put_part(&db, "k", "v", &new).expect("it is written"));
        let new = upload(&db, "k", "v")
            .expect("it is read")
            .expect("it is there");
        assert_eq!(new.checksum, ChecksumKind::Crc32c);
        let found = parts(&db, "v").expect("they are read");
        assert_eq!(found[0].checksum, Checksum::Crc32c([1, 2, 3, 4]));
        assert_eq!(found[0].part().etag, "01020304");
    }
}
