//! The tables, and why they are shaped so.
//!
//! A message costs four rows: one in `log`, a narrow one in `messages`, one in `cids`, and its room's
//! `head`. `log` and `messages` are keyed by one integer, the room's number and the seq, because an
//! integer-keyed b-tree keeps rows only in its leaves (a `WITHOUT ROWID` one has them in inner pages
//! too, which texts would make shallow and wide) and compares keys without decoding.
//!
//! `cids` begins with the cid itself. A cid begins with its time, so that new ones of all rooms land on
//! the same few pages at the right edge, and old ones are purged as one range from the left.

use kaiwa_common::position::Seq;
use kaiwa_platform::sqlite::Migration;

/// From version 0 on.
pub(super) const MIGRATIONS: &[Migration] = &[V1];

const V1: Migration = "
CREATE TABLE rooms (
    no         INTEGER PRIMARY KEY,       -- in the order of creation; rooms are never deleted
    id         TEXT    NOT NULL UNIQUE,
    epoch      INTEGER NOT NULL,
    kind       INTEGER NOT NULL,          -- the wire's numbers, here and below
    visibility INTEGER NOT NULL,
    title      TEXT    NOT NULL,
    created_ms INTEGER NOT NULL,
    head       INTEGER NOT NULL,
    time_ms    INTEGER NOT NULL,          -- of the newest event
    joined     INTEGER NOT NULL,
    invited    INTEGER NOT NULL,
    owners     INTEGER NOT NULL
) STRICT;
CREATE INDEX rooms_public ON rooms (no) WHERE visibility = 2;

CREATE TABLE users (
    id   TEXT PRIMARY KEY,
    name TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE members (
    room       INTEGER NOT NULL,
    user       TEXT    NOT NULL,
    membership INTEGER NOT NULL,
    role       INTEGER NOT NULL,
    PRIMARY KEY (room, user)
) STRICT, WITHOUT ROWID;
CREATE INDEX members_of_user ON members (user, room);

CREATE TABLE log (
    key   INTEGER PRIMARY KEY,            -- room << 32 | seq
    event BLOB NOT NULL                   -- kaiwa.client.v1.Event without room, epoch and seq
) STRICT;

CREATE TABLE messages (
    key         INTEGER PRIMARY KEY,      -- as in log, of the event that posted it
    text        TEXT,                     -- after an edit; else the text is in log
    edited_seq  INTEGER,
    edited_ms   INTEGER,
    deleted_seq INTEGER,
    deleted_ms  INTEGER
) STRICT;

CREATE TABLE edits (
    message INTEGER NOT NULL,             -- a key of messages
    edit    INTEGER NOT NULL,             -- a key of log
    PRIMARY KEY (message, edit)
) STRICT, WITHOUT ROWID;

CREATE TABLE cids (
    cid     BLOB    NOT NULL,
    room    INTEGER NOT NULL,
    sender  TEXT    NOT NULL,
    seq     INTEGER NOT NULL,
    kind    INTEGER NOT NULL,             -- 1 send, 2 edit, 3 delete, 4 create
    time_ms INTEGER NOT NULL,
    PRIMARY KEY (cid, room, sender)
) STRICT, WITHOUT ROWID
";

/// The key of an event: two thousand million rooms with four thousand million events each.
///
/// # Errors
/// When the seq is beyond that; the append that asks is refused as failed.
pub(super) fn key(room: i64, seq: Seq) -> rusqlite::Result<i64> {
    let seq = u32::try_from(seq.0).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, -1))?;
    Ok(room << 32 | i64::from(seq))
}

/// The key of an event, or of the last possible one for a seq beyond.
pub(super) fn key_up_to(room: i64, seq: Seq) -> i64 {
    room << 32 | i64::from(u32::try_from(seq.0).unwrap_or(u32::MAX))
}

/// The seq within a key.
pub(super) fn seq_of(key: i64) -> Seq {
    Seq(u64::try_from(key & 0xffff_ffff).unwrap_or_default())
}
