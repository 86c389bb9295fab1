//! The log over all rooms, for whoever tells people who are away.

use super::columns::{damaged, number, seq, seq_number, user_id};
use super::facts::message_fact;
use super::schema::{key_up_to, seq_of};
use super::views::name_of;
use crate::model::{ClipShown, ClipView, Event, EventBody, Mentions, User};
use crate::ports::{Among, LogPos, Logged, Posted, Question, ReadyClip};
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
        changed(connection, row)
    };
    let (time, posted) = made.unwrap_or_else(|error| {
        // One damaged row must not keep everybody from hearing of all that comes after it.
        tracing::error!(%error, pos = pos.0, "an event can't be read: nobody is told of it");
        (UnixMs(0), None)
    });
    Ok(Logged { pos, time, posted })
}

type Made = (UnixMs, Option<Box<Posted>>);

/// The event in a row, with its room.
fn decoded(row: &Row<'_>) -> rusqlite::Result<Event> {
    let room = RoomId::parse(row.get_ref(5)?.as_str()?).map_err(damaged)?;
    let position = Position {
        epoch: Epoch(row.get(6)?),
        seq: seq_of(row.get(1)?),
    };
    stored::decode(&room, position, row.get_ref(2)?.as_blob()?).map_err(damaged)
}

fn posted(connection: &Connection, row: &Row<'_>) -> rusqlite::Result<Made> {
    let event = decoded(row)?;
    let (room, position) = (event.room, event.position);
    let epoch = position.epoch;
    let EventBody::Posted {
        text,
        reply_to,
        mentions,
        clip,
    } = event.body
    else {
        return Err(rusqlite::Error::InvalidQuery);
    };
    if let Some(clip) = clip {
        if clip.state != ClipShown::Ready {
            return Ok((event.time, None));
        }
        let posted = ready(
            connection,
            row,
            (position, position.seq),
            &event.sender,
            *clip,
        )?;
        return Ok((event.time, Some(posted)));
    }
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
            clip: None,
        }))
    });
    Ok((event.time, posted.transpose()?))
}

/// An event that is no message: told when a clip is ready by it.
fn changed(connection: &Connection, row: &Row<'_>) -> rusqlite::Result<Made> {
    let (time, is_clip) = stored::glance(row.get_ref(2)?.as_blob()?).map_err(damaged)?;
    if !is_clip {
        return Ok((time, None));
    }
    let event = decoded(row)?;
    let EventBody::ClipChanged {
        target,
        clip: Some(clip),
    } = event.body
    else {
        return Ok((time, None));
    };
    let message = key_up_to(row.get(10)?, target);
    let is_told = clip.state == ClipShown::Ready
        && is_first_ready(
            connection,
            (&event.room, event.position),
            message,
            row.get(0)?,
        )?;
    if !is_told {
        return Ok((time, None));
    }
    let posted = ready(
        connection,
        row,
        (event.position, target),
        &event.sender,
        *clip,
    )?;
    Ok((time, Some(posted)))
}

/// Whether a message was not deleted, and no event before this place showed its clip as ready.
fn is_first_ready(
    connection: &Connection,
    (room, position): (&RoomId, Position),
    message: i64,
    pos: i64,
) -> rusqlite::Result<bool> {
    let mut select = connection.prepare_cached(
        "SELECT event FROM log WHERE pos < ?2 AND pos IN
             (SELECT pos FROM messages WHERE key = ?1 AND deleted_seq IS NULL
              UNION ALL SELECT pos FROM changes WHERE edit = ?1)",
    )?;
    let mut rows = select.query([message, pos])?;
    let mut is_there = false;
    while let Some(row) = rows.next()? {
        let event = stored::decode(room, position, row.get_ref(0)?.as_blob()?).map_err(damaged)?;
        if let EventBody::Posted { clip, .. } | EventBody::ClipChanged { clip, .. } = event.body {
            is_there = true;
            if clip.is_some_and(|clip| clip.state == ClipShown::Ready) {
                return Ok(false);
            }
        }
    }
    Ok(is_there)
}

/// A clip that is ready by the event in a row.
fn ready(
    connection: &Connection,
    row: &Row<'_>,
    (position, message): (Position, Seq),
    uploader: &UserId,
    clip: ClipView,
) -> rusqlite::Result<Box<Posted>> {
    let room = RoomId::parse(row.get_ref(5)?.as_str()?).map_err(damaged)?;
    Ok(Box::new(Posted {
        room,
        position,
        kind: number(row, 7, wire::room_kind)?,
        title: row.get(8)?,
        joined: row.get(9)?,
        sender: User {
            name: name_of(connection, uploader)?,
            id: uploader.clone(),
        },
        text: Redacted(clip.text()),
        mentions: Mentions::default(),
        answers: None,
        clip: Some(ReadyClip {
            clip: clip.clip,
            message,
        }),
    }))
}

fn edited(
    room: &RoomId,
    position: Position,
    edit: &[u8],
) -> rusqlite::Result<(Option<Redacted<String>>, Mentions)> {
    match stored::decode(room, position, edit).map_err(damaged)?.body {
        EventBody::Edited { text, mentions, .. } => Ok((text, mentions)),
        EventBody::Posted { .. }
        | EventBody::ClipChanged { .. }
        | EventBody::Deleted { .. }
        | EventBody::Member { .. }
        | EventBody::Created { .. } => Err(rusqlite::Error::InvalidQuery),
    }
}

/// The condition that makes a member a candidate; `?1` is the room, `?2` the sender or NULL, `?3` the event's seq,
/// `?4` its message's.
const CANDIDATE: &str = "m.room = (SELECT no FROM rooms WHERE id = ?1) AND m.membership = 2
     AND m.user IS NOT ?2 AND m.read_seq < ?3 AND m.since < ?3
     AND NOT EXISTS (SELECT 1 FROM messages g
                     WHERE g.key = (m.room << 32 | ?4) AND g.deleted_seq IS NOT NULL)";

pub(super) fn candidates(
    connection: &Connection,
    question: &Question,
) -> rusqlite::Result<Vec<UserId>> {
    let (room, sender) = (
        question.room.as_str(),
        question.sender.as_ref().map(UserId::as_str),
    );
    let (event, message) = (seq_number(question.seq), seq_number(question.message));
    match &question.among {
        Among::MembersAfter(after) => {
            let after = after.as_ref().map_or("", UserId::as_str);
            let mut select = connection.prepare_cached(&format!(
                "SELECT m.user FROM members m WHERE {CANDIDATE} AND m.user > ?5
                 ORDER BY m.user"
            ))?;
            let mut rows = select.query(params![room, sender, event, message, after])?;
            let mut found = Vec::new();
            // Counted here: a page that one damaged row shortens would look like the last.
            while found.len() < question.limit
                && let Some(row) = rows.next()?
            {
                let name = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from);
                match name.and_then(user_id) {
                    Ok(user) => found.push(user),
                    Err(error) => {
                        tracing::error!(%error, room, seq = event, "a member can't be read: they are not told");
                    }
                }
            }
            Ok(found)
        }
        Among::These(users) => {
            let mut select = connection.prepare_cached(&format!(
                "SELECT 1 FROM members m WHERE {CANDIDATE} AND m.user = ?5"
            ))?;
            let mut found = Vec::new();
            for user in users.iter().take(question.limit) {
                if select.exists(params![room, sender, event, message, user.as_str()])? {
                    found.push(user.clone());
                }
            }
            Ok(found)
        }
    }
}
