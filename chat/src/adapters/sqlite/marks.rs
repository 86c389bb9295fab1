//! What people have read, and whom messages name.

use super::columns::{damaged, seq, seq_number};
use super::facts::standing;
use super::schema::key_up_to;
use crate::model::{Marked, Membership, Mentions, Unread};
use crate::ports::{Marking, UnreadTotal};
use crate::wire::stored;
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::limits::{UNREAD, UNREAD_SCAN};
use kaiwa_common::position::{Position, Seq};
use rusqlite::{Connection, OptionalExtension as _, params};

/// Names everybody in `mentions`; no user id is empty.
const EVERYBODY: &str = "";

/// A person as `messages.by` has them: 48 bits of the SHA-256 of their id, which are six bytes of a row. Two
/// people of one room who share them (one pair in 10^14) would not count each other's messages.
pub(super) fn hashed(user: &UserId) -> i64 {
    let hash = ring::digest::digest(&ring::digest::SHA256, user.as_str().as_bytes());
    let bits = hash.as_ref().iter().take(6);
    bits.fold(0, |number, byte| number << 8 | i64::from(*byte))
}

/// A message names these.
pub(super) fn write_mentions(
    connection: &Connection,
    message: i64,
    mentions: &Mentions,
) -> rusqlite::Result<()> {
    if mentions.is_empty() {
        return Ok(());
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO mentions (user, key) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
    )?;
    for user in rows(mentions) {
        insert.execute(params![user, message])?;
    }
    Ok(())
}

/// A message names others than before.
pub(super) fn change_mentions(
    connection: &Connection,
    message: i64,
    mentions: &Mentions,
) -> rusqlite::Result<()> {
    let before: Option<Vec<u8>> = connection
        .prepare_cached(
            "SELECT l.event FROM messages m JOIN log l ON l.pos = coalesce(m.edited_pos, m.pos)
             WHERE m.key = ?1",
        )?
        .query_row([message], |row| row.get(0))
        .optional()?;
    let before = before.map(|bytes| stored::named(&bytes)).transpose();
    let before = before.map_err(damaged)?.unwrap_or_default();
    if before == *mentions {
        return Ok(());
    }
    erase_mentions(connection, message, &before)?;
    write_mentions(connection, message, mentions)
}

/// A message does not name these any more.
pub(super) fn erase_mentions(
    connection: &Connection,
    message: i64,
    mentions: &Mentions,
) -> rusqlite::Result<()> {
    if mentions.is_empty() {
        return Ok(());
    }
    let mut delete =
        connection.prepare_cached("DELETE FROM mentions WHERE user = ?1 AND key = ?2")?;
    for user in rows(mentions) {
        delete.execute(params![user, message])?;
    }
    Ok(())
}

/// One row stands for everybody, so that nobody is named twice by one message.
fn rows(mentions: &Mentions) -> impl Iterator<Item = &str> {
    let users = mentions.users.iter().filter(|_| !mentions.all);
    let everybody = mentions.all.then_some(EVERYBODY);
    everybody.into_iter().chain(users.map(UserId::as_str))
}

pub(super) fn mark(
    connection: &Connection,
    user: &UserId,
    room: &RoomId,
    to: Position,
) -> rusqlite::Result<Option<Marking>> {
    let Some((no, standing)) = standing(connection, user, room)? else {
        return Ok(None);
    };
    let has_joined = standing
        .part
        .is_some_and(|part| part.membership == Membership::Joined);
    let head = standing.head;
    if !has_joined || to.epoch != head.epoch || to.seq > head.seq {
        return Ok(Some((standing, None)));
    }
    let moved = connection
        .prepare_cached(
            "UPDATE members SET read_seq = ?1 WHERE room = ?2 AND user = ?3 AND read_seq < ?1",
        )?
        .execute(params![seq_number(to.seq), no, user.as_str()])?;
    if moved > 0 {
        connection
            .prepare_cached("UPDATE progress SET value = value + 1 WHERE name = 'marks'")?
            .execute([])?;
    }
    let marked = Marked {
        head: standing.head,
        unread: unread(connection, no, user)?,
        has_moved: moved > 0,
    };
    Ok(Some((standing, Some(marked))))
}

/// What a member has not read of a room.
pub(super) fn unread(
    connection: &Connection,
    room: i64,
    user: &UserId,
) -> rusqlite::Result<Unread> {
    let marks = connection
        .prepare_cached("SELECT read_seq, since FROM members WHERE room = ?1 AND user = ?2")?
        .query_row(params![room, user.as_str()], |row| {
            Ok((seq(row, 0)?, seq(row, 1)?))
        })
        .optional()?;
    let Some((read, since)) = marks else {
        return Ok(Unread::default());
    };
    let after = key_up_to(room, read.max(since));
    let count = count(connection, room, after, user)?;
    let mentions = if count == 0 {
        0
    } else {
        mentioned(connection, room, after, user)?
    };
    Ok(Unread {
        read,
        count,
        mentions,
    })
}

/// Messages of others after a key, deleted ones left out: of the newest rows there.
fn count(connection: &Connection, room: i64, after: i64, user: &UserId) -> rusqlite::Result<u32> {
    let counted: u32 = connection
        .prepare_cached(
            "SELECT count(*) FROM
                 (SELECT by, deleted_seq FROM messages WHERE key > ?1 AND key <= ?2
                  ORDER BY key DESC LIMIT ?3)
             WHERE by <> ?4 AND deleted_seq IS NULL",
        )?
        .query_row(
            [
                after,
                key_up_to(room, Seq(u64::MAX)),
                UNREAD_SCAN.into(),
                hashed(user),
            ],
            |row| row.get(0),
        )?;
    Ok(counted.min(UNREAD))
}

/// Those that name somebody.
fn mentioned(
    connection: &Connection,
    room: i64,
    after: i64,
    user: &UserId,
) -> rusqlite::Result<u32> {
    let mut select = connection.prepare_cached(
        "SELECT count(*) FROM
             (SELECT key FROM mentions WHERE user = ?1 AND key > ?2 AND key <= ?3
              ORDER BY key DESC LIMIT ?4) n
         JOIN messages m ON m.key = n.key WHERE m.by <> ?5",
    )?;
    let mut counted = 0;
    for named in [user.as_str(), EVERYBODY] {
        let bounds = params![
            named,
            after,
            key_up_to(room, Seq(u64::MAX)),
            UNREAD,
            hashed(user)
        ];
        counted += select.query_row(bounds, |row| row.get::<_, u32>(0))?;
    }
    Ok(counted.min(UNREAD))
}

pub(super) fn unread_of(
    connection: &Connection,
    user: &UserId,
    except: &[RoomId],
) -> rusqlite::Result<UnreadTotal> {
    let mut rooms = connection.prepare_cached(
        "SELECT m.room, max(m.read_seq, m.since), r.id FROM members m JOIN rooms r ON r.no = m.room
         WHERE m.user = ?1 AND m.membership = 2 AND max(m.read_seq, m.since) < r.head",
    )?;
    let mut rooms = rooms.query([user.as_str()])?;
    let mut total = 0;
    while let Some(row) = rooms.next()? {
        let (room, read): (i64, Seq) = (row.get(0)?, seq(row, 1)?);
        let id = row.get_ref(2)?.as_str()?;
        if except.iter().any(|other| other.as_str() == id) {
            continue;
        }
        total += count(connection, room, key_up_to(room, read), user)?;
        if total >= UNREAD {
            break;
        }
    }
    let version = connection
        .prepare_cached(
            "SELECT (SELECT coalesce(max(pos), 0) FROM log)
                  + (SELECT value FROM progress WHERE name = 'marks')",
        )?
        .query_row([], |row| seq(row, 0))?;
    Ok(UnreadTotal {
        count: total.min(UNREAD),
        version: version.0,
    })
}
