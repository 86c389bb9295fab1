//! The tables, and why they are shaped so.
//!
//! A message costs three rows and an update: its event in `log`, where that stands in `messages`, its
//! cid in `cids`, and its room's `head`.
//!
//! Texts stand in `log` alone, which only grows, at its end, whatever the room. So a commit of many
//! rooms' messages fills few pages, and no text is ever copied from page to page when a b-tree's page
//! is split: a copy would stay in the unused part of the old page when the text is erased. Erasing
//! overwrites an event with one of the same length, in place (see [`stored`](crate::wire::stored)).
//!
//! `messages` and `changes` together say where each room's events are. Their key is one integer, the
//! room's number and the seq, because such b-trees have their rows in the leaves alone and compare
//! without decoding; the rows are a dozen bytes.
//!
//! What is unread is counted from `messages`: the rows after somebody's mark, the newest first and a bounded
//! number, whose sender (`by`, 48 bits of a hash: six bytes more in the row) is somebody else. So a message
//! costs no row for each of its readers, and a mark costs one row of `members`. `mentions` has a row for each
//! person whom a message names, and one without a user for everybody; most messages have none.
//!
//! `log.key` says whose event a row is, for whoever reads the log over all rooms: seven bytes more in a row, and
//! no index.
//!
//! `cids` begins with the cid itself. A cid begins with its time, so that new ones of all rooms land on
//! the same few pages at the right edge, and old ones are purged as one range from the left.

use kaiwa_common::position::Seq;
use kaiwa_platform::sqlite::Migration;

/// From version 0 on.
pub(super) const MIGRATIONS: &[Migration] = &[V1, V2, V3, V4, V5];

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
    pos   INTEGER PRIMARY KEY,            -- counts on, over all rooms
    event BLOB NOT NULL                   -- kaiwa.client.v1.Event without room, epoch and seq
) STRICT;

CREATE TABLE messages (                   -- events that post, and what became of them
    key         INTEGER PRIMARY KEY,      -- room << 32 | seq
    pos         INTEGER NOT NULL,         -- in log
    edited_pos  INTEGER,                  -- in log: the edit that has the text now
    edited_seq  INTEGER,
    edited_ms   INTEGER,
    deleted_seq INTEGER,
    deleted_ms  INTEGER
) STRICT;

CREATE TABLE changes (                    -- all other events
    key  INTEGER PRIMARY KEY,             -- room << 32 | seq
    pos  INTEGER NOT NULL,                -- in log
    edit INTEGER                          -- of an edit, and of a clip's change: the key of its message
) STRICT;
CREATE INDEX changes_edits ON changes (edit) WHERE edit IS NOT NULL;

CREATE TABLE cids (
    cid     BLOB    NOT NULL,
    room    INTEGER NOT NULL,
    sender  TEXT    NOT NULL,
    seq     INTEGER NOT NULL,
    kind    INTEGER NOT NULL,             -- 1 send, 2 edit, 3 delete, 4 create, 5 clip
    time_ms INTEGER NOT NULL,
    PRIMARY KEY (cid, room, sender)
) STRICT, WITHOUT ROWID
";

/// Marks, mentions, and the log as an outbox. Members of old rooms begin with everything read, and nobody is
/// told of what was written before.
const V2: Migration = "
ALTER TABLE log ADD COLUMN key INTEGER;          -- of the event; NULL before version 2
ALTER TABLE messages ADD COLUMN by INTEGER;      -- who wrote it, hashed; NULL before version 2
ALTER TABLE members ADD COLUMN read_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE members ADD COLUMN since INTEGER NOT NULL DEFAULT 0;  -- the event by which they joined
UPDATE members SET since = coalesce((SELECT head FROM rooms WHERE no = members.room), 0);

CREATE TABLE mentions (
    user TEXT    NOT NULL,                       -- empty for everybody
    key  INTEGER NOT NULL,                       -- of the message
    PRIMARY KEY (user, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE progress (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO progress VALUES
    ('marks', 0),                                -- how often a mark moved
    ('relay', (SELECT coalesce(max(pos), 0) FROM log));  -- people were told up to here
";

/// Clips, and who stopped being a member. When somebody last went before this version is not known; nothing that
/// asks was given out before it. A clip may be posted long after its id was made, when the cids of that time are
/// purged: `clips` keeps it to one message for each room.
const V3: Migration = "
CREATE TABLE clips (
    clip    BLOB    NOT NULL,
    room    INTEGER NOT NULL,
    sender  TEXT    NOT NULL,
    seq     INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    PRIMARY KEY (clip, room, sender)
) STRICT, WITHOUT ROWID;
ALTER TABLE messages ADD COLUMN clip_pos INTEGER;  -- in log: the newest change of the clip that it shows
ALTER TABLE rooms ADD COLUMN revoked INTEGER NOT NULL DEFAULT 0;  -- the event by which a member last went
";

/// Messages of clips that were deleted, until whoever keeps the clips has heard of it: written with the deletion.
const V4: Migration = "
CREATE INDEX clips_message ON clips (room, seq);
CREATE TABLE clips_gone (
    no   INTEGER PRIMARY KEY,
    clip BLOB    NOT NULL,
    room INTEGER NOT NULL,
    seq  INTEGER NOT NULL
) STRICT;
INSERT INTO clips_gone (clip, room, seq)
    SELECT c.clip, c.room, c.seq FROM clips c JOIN messages m ON m.key = c.room << 32 | c.seq
    WHERE m.deleted_seq IS NOT NULL;
";

/// A clip may be shown anew in a room where its message was deleted: `clips.clip` is the key under which it was posted,
/// which is the clip's id only the first time.
const V5: Migration = "
ALTER TABLE clips ADD COLUMN shown BLOB;  -- the clip's id; NULL in older rows: as the key
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::sqlite::SqliteStore;
    use crate::model::{ClipKind, ClipShown, ClipView, Event, EventBody, HistoryFrom, Mentions};
    use crate::ports::{
        Among, Append, Appended, Counts, LogPos, Marks as _, Outbox as _, Question, RoomLog as _,
        RoomViews as _,
    };
    use crate::wire::stored;
    use kaiwa_common::id::{ClipId, RoomId, UserId};
    use kaiwa_common::position::{Epoch, Position};
    use kaiwa_common::redact::Redacted;
    use kaiwa_common::time::UnixMs;
    use kaiwa_platform::sqlite::SqliteOptions;
    use rusqlite::{Connection, params};
    use std::path::Path;

    fn user(name: &str) -> UserId {
        UserId::parse(name).expect("a user id")
    }

    fn at(seq: u64) -> Position {
        Position {
            epoch: Epoch(3),
            seq: Seq(seq),
        }
    }

    fn said(room: &RoomId, seq: u64, text: &str) -> Event {
        Event {
            room: room.clone(),
            position: at(seq),
            time: UnixMs(1_000),
            sender: user("alice"),
            cid: None,
            body: EventBody::Posted {
                text: Some(Redacted(text.to_owned())),
                reply_to: None,
                mentions: Mentions::default(),
                clip: None,
            },
        }
    }

    /// As version 1 left it: alice and bob in a room, and two messages.
    fn write_old(path: &Path, room: &RoomId) {
        let old = Connection::open(path).expect("a database");
        old.execute_batch(V1).expect("the tables of version 1");
        old.execute_batch(
            "PRAGMA user_version = 1;
             INSERT INTO rooms VALUES (1, 'r_old', 3, 2, 1, 'Tea', 0, 2, 1000, 2, 0, 1);
             INSERT INTO users VALUES ('alice', 'Alice'), ('bob', 'Bob');
             INSERT INTO members VALUES (1, 'alice', 2, 3), (1, 'bob', 2, 1);",
        )
        .expect("rows of version 1");
        for (seq, text) in [(1_u32, "tea?"), (2, "now")] {
            let bytes = stored::encode(&said(room, seq.into(), text));
            let key = key(1, Seq(seq.into())).expect("a key");
            old.execute("INSERT INTO log VALUES (?1, ?2)", params![seq, bytes])
                .expect("an event");
            old.execute(
                "INSERT INTO messages (key, pos) VALUES (?1, ?2)",
                params![key, seq],
            )
            .expect("a message");
        }
    }

    #[tokio::test]
    async fn a_database_of_version_1_is_read_on_and_nobody_is_told_of_its_history() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("kaiwa.db");
        let room = RoomId::parse("r_old").expect("a room id");
        write_old(&path, &room);
        let store = SqliteStore::open_with(SqliteOptions::new(path)).expect("migrated");
        assert_eq!(store.cursor().await, Ok(Some(LogPos(2))));
        assert_eq!(store.end().await, Ok(LogPos(2)));
        // Whoever reads from the beginning all the same finds nothing to tell, and does not fail.
        let read = store.read_outbox(LogPos(0), 10).await.expect("read");
        assert!(read.len() == 2 && read.iter().all(|logged| logged.posted.is_none()));
        let total = store.unread_of(&user("bob"), &[]).await.expect("a count");
        assert_eq!(total.count, 0, "history is not unread");
        let append = Append {
            room: room.clone(),
            epoch: Epoch(3),
            expected: Seq(2),
            events: vec![said(&room, 3, "still there?")],
            counts: Counts {
                joined: 2,
                owners: 1,
                ..Counts::default()
            },
        };
        let appended = store.append(&append).await.expect("an answer");
        assert_eq!(appended, Appended::Committed);
        let read = store.read_outbox(LogPos(2), 10).await.expect("read");
        let posted = read[0].posted.as_ref().expect("the new one is told");
        assert_eq!((posted.joined, posted.text.0.as_str()), (2, "still there?"));
        let question = Question {
            room: room.clone(),
            seq: Seq(3),
            message: Seq(3),
            sender: Some(user("alice")),
            among: Among::MembersAfter(None),
            limit: 10,
        };
        let found = store.candidates(vec![question]).await.expect("an answer");
        assert_eq!(found, [[user("bob")]]);
        let total = store.unread_of(&user("bob"), &[]).await.expect("a count");
        assert_eq!(total.count, 1);
        let marked = store
            .mark(&user("bob"), &room, at(3))
            .await
            .expect("an answer");
        assert!(
            marked
                .and_then(|(_, marked)| marked)
                .is_some_and(|m| m.has_moved)
        );
        let view = store.view(&user("bob"), &room).await.expect("an answer");
        assert_eq!(view.expect("the room").unread.count, 0);
    }

    fn view(version: u64) -> Box<ClipView> {
        Box::new(ClipView {
            clip: ClipId::parse("01998d5e-9000-7000-8000-000000000001").expect("a clip id"),
            version,
            kind: ClipKind::Video,
            state: ClipShown::Processing,
            title: Redacted("Holidays".to_owned()),
            duration_ms: 0,
            width: 0,
            height: 0,
        })
    }

    /// As version 2 left it.
    fn write_version_2(path: &Path, room: &RoomId) {
        write_old(path, room);
        let old = Connection::open(path).expect("a database");
        old.execute_batch(V2).expect("the tables of version 2");
        old.execute_batch("PRAGMA user_version = 2")
            .expect("version 2");
    }

    #[tokio::test]
    async fn a_database_of_version_2_is_read_on_and_takes_clips() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("kaiwa.db");
        let room = RoomId::parse("r_old").expect("a room id");
        write_version_2(&path, &room);
        let store = SqliteStore::open_with(SqliteOptions::new(path)).expect("migrated");
        assert_eq!(store.revocation(&room).await, Ok(Some(Seq::ZERO)));
        let newest = async || {
            let page = store.history(&user("bob"), &room, HistoryFrom::Newest, 9);
            let (_, page) = page.await.expect("an answer").expect("the room");
            page.messages
        };
        let messages = newest().await;
        assert_eq!(messages.len(), 2);
        assert!(messages.iter().all(|message| message.clip.is_none()));

        let mut posted = said(&room, 3, "Holidays");
        posted.cid = Some(view(1).clip.cid());
        if let EventBody::Posted { clip, .. } = &mut posted.body {
            *clip = Some(view(1));
        }
        let changed = Event {
            body: EventBody::ClipChanged {
                target: Seq(3),
                clip: Some(view(2)),
            },
            ..said(&room, 4, "")
        };
        let mut append = Append {
            room: room.clone(),
            epoch: Epoch(3),
            expected: Seq(2),
            events: vec![posted, changed],
            counts: Counts {
                joined: 2,
                owners: 1,
                ..Counts::default()
            },
        };
        let appended = store.append(&append).await;
        assert_eq!(appended, Ok(Appended::Committed));
        assert_eq!(newest().await.pop().expect("the clip").clip, Some(view(2)));

        // Its cid is purged, and still it is not posted twice.
        let far = UnixMs(i64::MAX >> 16);
        assert_eq!(store.purge_cids(far, 100).await, Ok(1));
        append.expected = Seq(4);
        append.events.truncate(1);
        append.events[0].position.seq = Seq(5);
        let again = store.append(&append).await.expect("an answer");
        let Appended::Duplicate(firsts) = again else {
            panic!("not a duplicate: {again:?}");
        };
        assert_eq!(firsts[0].1.seq, Seq(3));
    }
}
