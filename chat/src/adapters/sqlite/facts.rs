//! What the owner of a room asks for.

use super::append::first_result;
use super::columns::{damaged, number, part, seq, user_id};
use super::schema::{key_up_to, seq_of};
use super::views::newest;
use crate::model::{ClipView, EventBody, RoomKind, User};
use crate::ports::{Counts, Facts, MessageFact, Part, RoomRecord, Standing, UserFact, Wanted};
use crate::wire::{self, stored};
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::position::{Epoch, Position, Seq};
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use std::sync::Arc;

/// A room's row.
pub(super) struct RoomRow {
    pub(super) no: i64,
    pub(super) record: RoomRecord,
}

/// The columns that [`RoomRow::read`] reads, from the table `r`.
pub(super) const ROOM_COLUMNS: &str = "r.no, r.id, r.epoch, r.kind, r.visibility, r.title, \
     r.created_ms, r.head, r.time_ms, r.joined, r.invited, r.owners";

impl RoomRow {
    /// How many columns it has; what is selected after them begins there.
    pub(super) const WIDTH: usize = 12;

    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let record = RoomRecord {
            kind: number(row, 3, wire::room_kind)?,
            visibility: number(row, 4, wire::visibility)?,
            title: row.get(5)?,
            created: UnixMs(row.get(6)?),
            head: Position {
                epoch: Epoch(row.get(2)?),
                seq: seq(row, 7)?,
            },
            time: UnixMs(row.get(8)?),
            counts: Counts {
                joined: row.get(9)?,
                invited: row.get(10)?,
                owners: row.get(11)?,
            },
            last: None,
            pair: None,
        };
        Ok(Self {
            no: row.get(0)?,
            record,
        })
    }

    pub(super) fn of(connection: &Connection, room: &RoomId) -> rusqlite::Result<Option<Self>> {
        connection
            .prepare_cached(&format!(
                "SELECT {ROOM_COLUMNS} FROM rooms r WHERE r.id = ?1"
            ))?
            .query_row([room.as_str()], Self::read)
            .optional()
    }
}

pub(super) fn load(connection: &Connection, room: &RoomId) -> rusqlite::Result<Option<RoomRecord>> {
    let Some(RoomRow { no, mut record }) = RoomRow::of(connection, room)? else {
        return Ok(None);
    };
    record.last = newest(connection, room, no, record.head.epoch)?.map(Arc::new);
    if record.kind == RoomKind::Direct {
        let mut people = connection.prepare_cached(
            "SELECT m.user, u.name FROM members m LEFT JOIN users u ON u.id = m.user
             WHERE m.room = ?1 ORDER BY m.user",
        )?;
        let people = people
            .query_map([no], |row| named(row, 0))?
            .collect::<rusqlite::Result<Vec<User>>>()?;
        record.pair = <[User; 2]>::try_from(people).ok().map(Box::new);
    }
    Ok(Some(record))
}

/// A user id and a name that may be NULL.
pub(super) fn named(row: &Row<'_>, index: usize) -> rusqlite::Result<User> {
    let id = user_id(row.get_ref(index)?.as_str()?)?;
    let name: Option<String> = row.get(index + 1)?;
    Ok(User {
        id,
        name: Redacted(name.unwrap_or_default()),
    })
}

pub(super) fn facts(
    connection: &Connection,
    room: &RoomId,
    wanted: Wanted,
) -> rusqlite::Result<Facts> {
    let mut facts = Facts::default();
    let room_row = connection
        .prepare_cached("SELECT no, epoch FROM rooms WHERE id = ?1")?
        .query_row([room.as_str()], |row| Ok((row.get(0)?, Epoch(row.get(1)?))))
        .optional()?;
    for user in wanted.users {
        let fact = user_fact(connection, &user)?;
        facts.users.insert(user, fact);
    }
    for user in wanted.members {
        let part = match room_row {
            Some((no, _)) => part_in(connection, no, &user)?,
            None => None,
        };
        facts.members.insert(user, part);
    }
    for seq in wanted.messages {
        let fact = match room_row {
            Some((no, epoch)) => message_fact(connection, room, (no, epoch), seq)?,
            None => None,
        };
        facts.messages.insert(seq, fact);
    }
    for key in wanted.cids {
        let first = match room_row {
            Some((no, _)) => first_result(connection, no, &key)?,
            None => None,
        };
        facts.cids.insert(key, first);
    }
    Ok(facts)
}

pub(super) fn user_fact(
    connection: &Connection,
    user: &UserId,
) -> rusqlite::Result<Option<UserFact>> {
    connection
        .prepare_cached(
            "SELECT name, (SELECT count(*) FROM members WHERE user = ?1) FROM users WHERE id = ?1",
        )?
        .query_row([user.as_str()], |row| {
            Ok(UserFact {
                name: Redacted(row.get(0)?),
                rooms: row.get(1)?,
            })
        })
        .optional()
}

pub(super) fn part_in(
    connection: &Connection,
    room: i64,
    user: &UserId,
) -> rusqlite::Result<Option<Part>> {
    let found = connection
        .prepare_cached("SELECT membership, role FROM members WHERE room = ?1 AND user = ?2")?
        .query_row(params![room, user.as_str()], |row| part(row, 0))
        .optional()?;
    Ok(found.flatten())
}

pub(super) fn message_fact(
    connection: &Connection,
    room: &RoomId,
    (no, epoch): (i64, Epoch),
    seq: Seq,
) -> rusqlite::Result<Option<MessageFact>> {
    connection
        .prepare_cached(
            "SELECT m.key, m.deleted_seq IS NOT NULL, l.event, c.event
             FROM messages m JOIN log l ON l.pos = m.pos LEFT JOIN log c ON c.pos = m.clip_pos
             WHERE m.key = ?1",
        )?
        .query_row([key_up_to(no, seq)], |row| {
            let position = Position {
                epoch,
                seq: seq_of(row.get(0)?),
            };
            let event = stored::decode(room, position, row.get_ref(2)?.as_blob()?);
            let event = event.map_err(damaged)?;
            let EventBody::Posted { clip: posted, .. } = event.body else {
                return Err(rusqlite::Error::InvalidQuery);
            };
            let clip = clip_now(room, position, posted, row.get_ref(3)?)?;
            Ok(MessageFact {
                sender: event.sender,
                deleted: row.get(1)?,
                clip: clip.map(|clip| (clip.clip, clip.version)),
            })
        })
        .optional()
}

/// The clip that a message shows: as it was posted, or as the newest change has it, if there is one.
pub(super) fn clip_now(
    room: &RoomId,
    position: Position,
    posted: Option<Box<ClipView>>,
    changed: ValueRef<'_>,
) -> rusqlite::Result<Option<Box<ClipView>>> {
    let Some(changed) = changed.as_blob_or_null()? else {
        return Ok(posted);
    };
    let changed = stored::decode(room, position, changed).map_err(damaged)?;
    match changed.body {
        EventBody::ClipChanged { clip, .. } => Ok(clip),
        EventBody::Posted { .. }
        | EventBody::Edited { .. }
        | EventBody::Deleted { .. }
        | EventBody::Member { .. }
        | EventBody::Created { .. } => Err(rusqlite::Error::InvalidQuery),
    }
}

/// By which event somebody last stopped being a member.
pub(super) fn revocation(connection: &Connection, room: &RoomId) -> rusqlite::Result<Option<Seq>> {
    connection
        .prepare_cached("SELECT revoked FROM rooms WHERE id = ?1")?
        .query_row([room.as_str()], |row| seq(row, 0))
        .optional()
}

/// Somebody's standing in a room, with the room's number.
pub(super) fn standing(
    connection: &Connection,
    user: &UserId,
    room: &RoomId,
) -> rusqlite::Result<Option<(i64, Standing)>> {
    connection
        .prepare_cached(
            "SELECT r.no, r.visibility, r.epoch, r.head, m.membership, m.role, r.kind
             FROM rooms r LEFT JOIN members m ON m.room = r.no AND m.user = ?2
             WHERE r.id = ?1",
        )?
        .query_row(params![room.as_str(), user.as_str()], |row| {
            let standing = Standing {
                kind: number(row, 6, wire::room_kind)?,
                visibility: number(row, 1, wire::visibility)?,
                head: Position {
                    epoch: Epoch(row.get(2)?),
                    seq: seq(row, 3)?,
                },
                part: part(row, 4)?,
            };
            Ok((row.get(0)?, standing))
        })
        .optional()
}

/// Whether somebody is known by this name already.
pub(super) fn is_known(connection: &Connection, user: &User) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM users WHERE id = ?1 AND name = ?2")?
        .exists(params![user.id.as_str(), user.name.0])
}
