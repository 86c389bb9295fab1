//! The log over all rooms, for whoever tells people who are away.

use super::columns::{damaged, number, seq, seq_number, user_id};
use super::facts::message_fact;
use super::schema::seq_of;
use super::views::name_of;
use crate::model::{EventBody, Mentions, User};
use crate::ports::{Among, LogPos, Logged, Posted, Question};
use crate::wire::{self, stored};
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::position::{Epoch, Position, Seq};
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

pub(super) fn end(connection: &Connection) -> rusqlite::Result<LogPos> {
    connection
        .prepare_cached("SELECT coalesce(max(pos), 0) FROM log")?
        .query_row([], |row| place(row, 0))
}

pub(super) fn cursor(connection: &Connection) -> rusqlite::Result<Option<LogPos>> {
    connection
        .prepare_cached("SELECT value FROM progress WHERE name = 'relay'")?
        .query_row([], |row| place(row, 0))
        .optional()
}

pub(super) fn save_cursor(connection: &Connection, at: LogPos) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO progress VALUES ('relay', ?1) ON CONFLICT DO UPDATE SET value = ?1",
        )?
        .execute([seq_number(Seq(at.0))])
        .map(drop)
}

pub(super) fn read(
    connection: &Connection,
    after: LogPos,
    limit: usize,
) -> rusqlite::Result<Vec<Logged>> {
    let mut select = connection.prepare_cached(
        "SELECT l.pos, l.key, l.event, m.key IS NOT NULL AND m.deleted_seq IS NULL, e.event,
                r.id, r.epoch, r.kind, r.title, r.joined, r.no
         FROM log l
         LEFT JOIN messages m ON m.key = l.key
         LEFT JOIN log e ON e.pos = m.edited_pos
         LEFT JOIN rooms r ON r.no = l.key >> 32
         WHERE l.pos > ?1 ORDER BY l.pos LIMIT ?2",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = select.query(params![seq_number(Seq(after.0)), limit])?;
    let mut read = Vec::new();
    while let Some(row) = rows.next()? {
        read.push(logged(connection, row)?);
    }
    Ok(read)
}

/// A place from a column.
fn place(row: &Row<'_>, index: usize) -> rusqlite::Result<LogPos> {
    seq(row, index).map(|seq| LogPos(seq.0))
}

fn logged(connection: &Connection, row: &Row<'_>) -> rusqlite::Result<Logged> {
    let pos = place(row, 0)?;
    let is_message = row.get::<_, Option<bool>>(3)?.unwrap_or(false);
    let made = if is_message {
        posted(connection, row)
    } else {
        let time = stored::time(row.get_ref(2)?.as_blob()?);
        time.map(|time| (time, None)).map_err(damaged)
    };
    let (time, posted) = made.unwrap_or_else(|error| {
        // One damaged row must not keep everybody from hearing of all that comes after it.
        tracing::error!(%error, pos = pos.0, "an event can't be read: nobody is told of it");
        (UnixMs(0), None)
    });
    Ok(Logged { pos, time, posted })
}

type Made = (UnixMs, Option<Box<Posted>>);

fn posted(connection: &Connection, row: &Row<'_>) -> rusqlite::Result<Made> {
    let room = RoomId::parse(row.get_ref(5)?.as_str()?).map_err(damaged)?;
    let epoch = Epoch(row.get(6)?);
    let position = Position {
        epoch,
        seq: seq_of(row.get(1)?),
    };
    let event = stored::decode(&room, position, row.get_ref(2)?.as_blob()?).map_err(damaged)?;
    let EventBody::Posted {
        text,
        reply_to,
        mentions,
    } = event.body
    else {
        return Err(rusqlite::Error::InvalidQuery);
    };
    let (text, mentions) = match row.get_ref(4)?.as_blob_or_null()? {
        Some(edit) => edited(&room, position, edit)?,
        None => (text, mentions),
    };
    let answers = match reply_to {
        Some(target) => message_fact(connection, &room, (row.get(10)?, epoch), target)?,
        None => None,
    };
    let sender = User {
        name: name_of(connection, &event.sender)?,
        id: event.sender,
    };
    let posted = text.map(|text| {
        Ok::<_, rusqlite::Error>(Box::new(Posted {
            room,
            position,
            kind: number(row, 7, wire::room_kind)?,
            title: row.get(8)?,
            joined: row.get(9)?,
            sender,
            text,
            mentions,
            answers: answers.map(|fact| fact.sender),
        }))
    });
    Ok((event.time, posted.transpose()?))
}

fn edited(
    room: &RoomId,
    position: Position,
    edit: &[u8],
) -> rusqlite::Result<(Option<Redacted<String>>, Mentions)> {
    match stored::decode(room, position, edit).map_err(damaged)?.body {
        EventBody::Edited { text, mentions, .. } => Ok((text, mentions)),
        EventBody::Posted { .. }
        | EventBody::Deleted { .. }
        | EventBody::Member { .. }
        | EventBody::Created { .. } => Err(rusqlite::Error::InvalidQuery),
    }
}

/// The condition that makes a member a candidate; `?1` is the room, `?2` the sender or NULL, `?3` the seq.
const CANDIDATE: &str = "m.room = (SELECT no FROM rooms WHERE id = ?1) AND m.membership = 2
     AND m.user IS NOT ?2 AND m.read_seq < ?3 AND m.since < ?3
     AND NOT EXISTS (SELECT 1 FROM messages g
                     WHERE g.key = (m.room << 32 | ?3) AND g.deleted_seq IS NOT NULL)";

pub(super) fn candidates(
    connection: &Connection,
    question: &Question,
) -> rusqlite::Result<Vec<UserId>> {
    let (room, sender) = (
        question.room.as_str(),
        question.sender.as_ref().map(UserId::as_str),
    );
    let message = seq_number(question.seq);
    match &question.among {
        Among::MembersAfter(after) => {
            let after = after.as_ref().map_or("", UserId::as_str);
            let mut select = connection.prepare_cached(&format!(
                "SELECT m.user FROM members m WHERE {CANDIDATE} AND m.user > ?4
                 ORDER BY m.user"
            ))?;
            let mut rows = select.query(params![room, sender, message, after])?;
            let mut found = Vec::new();
            // Counted here: a page that one damaged row shortens would look like the last.
            while found.len() < question.limit
                && let Some(row) = rows.next()?
            {
                let name = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from);
                match name.and_then(user_id) {
                    Ok(user) => found.push(user),
                    Err(error) => {
                        tracing::error!(%error, room, seq = message, "a member can't be read: they are not told");
                    }
                }
            }
            Ok(found)
        }
        Among::These(users) => {
            let mut select = connection.prepare_cached(&format!(
                "SELECT 1 FROM members m WHERE {CANDIDATE} AND m.user = ?4"
            ))?;
            let mut found = Vec::new();
            for user in users.iter().take(question.limit) {
                if select.exists(params![room, sender, message, user.as_str()])? {
                    found.push(user.clone());
                }
            }
            Ok(found)
        }
    }
}
