//! Appending: the log's rows and what they change in the projection, in one savepoint.

use super::ROW_BYTES;
use super::columns::{
    damaged, kind_number, membership_number, role_number, seq, seq_number, visibility_number,
    write_kind, write_number,
};
use super::gone;
use super::marks::{self, hashed};
use super::schema::key;
use crate::model::{Event, EventBody, Membership, Mentions, Role, User};
use crate::ports::{Append, Appended, CidKey, Counts, FirstResult, WriteKind};
use crate::wire::stored;
use kaiwa_common::id::{ClipId, RoomId, UserId};
use kaiwa_common::position::{Epoch, Position, Seq};
use kaiwa_common::time::UnixMs;
use kaiwa_platform::sqlite::{Keep, Verdict};
use rusqlite::{Connection, OptionalExtension as _, params};

/// An append with its events encoded, so that the writer's thread does nothing but SQLite.
pub(super) struct PreparedAppend {
    room: RoomId,
    epoch: Epoch,
    expected: Seq,
    head: Seq,
    time: UnixMs,
    counts: Counts,
    create: Option<Create>,
    rows: Vec<LogRow>,
}

struct Create {
    kind: i32,
    visibility: i32,
    title: String,
}

struct LogRow {
    seq: Seq,
    time: UnixMs,
    event: Vec<u8>,
    cid: Option<(CidKey, WriteKind)>,
    /// The clip that it posts.
    clip: Option<ClipId>,
    change: Change,
}

/// What an event changes in the projection.
enum Change {
    Nothing,
    Post {
        by: i64,
        mentions: Mentions,
    },
    Edit {
        target: Seq,
        mentions: Mentions,
    },
    Delete {
        target: Seq,
    },
    Clip {
        target: Seq,
    },
    Part {
        user: UserId,
        membership: Membership,
        role: Role,
    },
}

impl PreparedAppend {
    pub(super) fn new(append: &Append) -> Self {
        let last = append.events.last();
        let create = match append.events.first().map(|event| &event.body) {
            Some(EventBody::Created {
                kind,
                title,
                visibility,
            }) => Some(Create {
                kind: kind_number(*kind),
                visibility: visibility_number(*visibility),
                title: title.clone(),
            }),
            _ => None,
        };
        Self {
            room: append.room.clone(),
            epoch: append.epoch,
            expected: append.expected,
            head: last.map_or(append.expected, |event| event.position.seq),
            time: last.map_or(UnixMs(0), |event| event.time),
            counts: append.counts,
            create,
            rows: append.events.iter().map(LogRow::new).collect(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.rows
            .iter()
            .map(|row| ROW_BYTES + row.event.len())
            .sum()
    }

    pub(super) fn run(&self, connection: &Connection) -> rusqlite::Result<Verdict<Appended>> {
        let Some(room) = self.move_head(connection)? else {
            return Ok((Keep::No, Appended::Conflict));
        };
        let mut duplicates = Vec::new();
        for row in &self.rows {
            if let Some((key, kind)) = &row.cid
                && !row.claim_cid(connection, room, key, *kind)?
            {
                let first = first_result(connection, room, key)?;
                duplicates.extend(first.map(|first| (key.clone(), first)));
            }
            // After a duplicate only further ones are looked for: nothing of this stays.
            if duplicates.is_empty() {
                row.write(connection, room)?;
            }
        }
        if duplicates.is_empty() {
            Ok((Keep::Yes, Appended::Committed))
        } else {
            Ok((Keep::No, Appended::Duplicate(duplicates)))
        }
    }

    /// Moves the room's head if it stands where expected, or makes the room; gives its number.
    fn move_head(&self, connection: &Connection) -> rusqlite::Result<Option<i64>> {
        let Counts {
            joined,
            invited,
            owners,
        } = self.counts;
        let head = seq_number(self.head);
        if let (Some(create), Seq::ZERO) = (&self.create, self.expected) {
            return connection
                .prepare_cached(
                    "INSERT INTO rooms (id, epoch, kind, visibility, title, created_ms, head, time_ms,
                                        joined, invited, owners)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?6, ?8, ?9, ?10)
                     ON CONFLICT (id) DO NOTHING RETURNING no",
                )?
                .query_row(
                    params![
                        self.room.as_str(),
                        self.epoch.0,
                        create.kind,
                        create.visibility,
                        create.title,
                        self.time.0,
                        head,
                        joined,
                        invited,
                        owners,
                    ],
                    |row| row.get(0),
                )
                .optional();
        }
        connection
            .prepare_cached(
                "UPDATE rooms SET head = ?1, time_ms = ?2, joined = ?3, invited = ?4, owners = ?5
                 WHERE id = ?6 AND head = ?7 AND epoch = ?8 RETURNING no",
            )?
            .query_row(
                params![
                    head,
                    self.time.0,
                    joined,
                    invited,
                    owners,
                    self.room.as_str(),
                    seq_number(self.expected),
                    self.epoch.0,
                ],
                |row| row.get(0),
            )
            .optional()
    }
}

impl LogRow {
    fn new(event: &Event) -> Self {
        let kind = WriteKind::of(&event.body);
        let cid = event.cid.map(|cid| (event.sender.clone(), cid)).zip(kind);
        let change = match &event.body {
            EventBody::Posted { mentions, .. } => Change::Post {
                by: hashed(&event.sender),
                mentions: mentions.clone(),
            },
            EventBody::Edited {
                target, mentions, ..
            } => Change::Edit {
                target: *target,
                mentions: mentions.clone(),
            },
            EventBody::Deleted { target } => Change::Delete { target: *target },
            EventBody::ClipChanged { target, .. } => Change::Clip { target: *target },
            EventBody::Member {
                user,
                membership,
                role,
            } => Change::Part {
                user: user.id.clone(),
                membership: *membership,
                role: *role,
            },
            EventBody::Created { .. } => Change::Nothing,
        };
        let clip = match &event.body {
            EventBody::Posted { clip, .. } => clip.as_ref().map(|view| view.clip),
            EventBody::Edited { .. }
            | EventBody::Deleted { .. }
            | EventBody::ClipChanged { .. }
            | EventBody::Member { .. }
            | EventBody::Created { .. } => None,
        };
        let Position { seq, .. } = event.position;
        Self {
            seq,
            time: event.time,
            event: stored::encode(event),
            cid,
            clip,
            change,
        }
    }

    /// Writes the cid down; false when it was there.
    fn claim_cid(
        &self,
        connection: &Connection,
        room: i64,
        (sender, cid): &CidKey,
        kind: WriteKind,
    ) -> rusqlite::Result<bool> {
        let claimed = connection
            .prepare_cached(
                "INSERT INTO cids (cid, room, sender, seq, kind, time_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                cid.as_bytes(),
                room,
                sender.as_str(),
                seq_number(self.seq),
                write_number(kind),
                self.time.0,
            ])?;
        let Some(clip) = self
            .clip
            .filter(|_| claimed > 0 && kind == WriteKind::PostClip)
        else {
            return Ok(claimed == 1);
        };
        let posted = connection
            .prepare_cached(
                "INSERT INTO clips (clip, room, sender, seq, time_ms, shown)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                cid.as_bytes(),
                room,
                sender.as_str(),
                seq_number(self.seq),
                self.time.0,
                clip.0.as_bytes(),
            ])?;
        Ok(posted == 1)
    }

    fn write(&self, connection: &Connection, room: i64) -> rusqlite::Result<()> {
        let own = key(room, self.seq)?;
        connection
            .prepare_cached("INSERT INTO log (event, key) VALUES (?1, ?2)")?
            .execute(params![self.event, own])?;
        let pos = connection.last_insert_rowid();
        if let Change::Post { by, mentions } = &self.change {
            connection
                .prepare_cached("INSERT INTO messages (key, pos, by) VALUES (?1, ?2, ?3)")?
                .execute([own, pos, *by])?;
            return marks::write_mentions(connection, own, mentions);
        }
        let edit = match &self.change {
            Change::Edit { target, .. } | Change::Clip { target } => Some(key(room, *target)?),
            Change::Post { .. } | Change::Delete { .. } | Change::Part { .. } | Change::Nothing => {
                None
            }
        };
        connection
            .prepare_cached("INSERT INTO changes (key, pos, edit) VALUES (?1, ?2, ?3)")?
            .execute(params![own, pos, edit])?;
        match &self.change {
            Change::Post { .. } | Change::Nothing => Ok(()),
            Change::Edit { target, mentions } => {
                let message = key(room, *target)?;
                marks::change_mentions(connection, message, mentions)?;
                connection
                    .prepare_cached(
                        "UPDATE messages SET edited_pos = ?1, edited_seq = ?2, edited_ms = ?3
                         WHERE key = ?4",
                    )?
                    .execute(params![pos, seq_number(self.seq), self.time.0, message])
                    .map(drop)
            }
            Change::Delete { target } => {
                let message = key(room, *target)?;
                connection
                    .prepare_cached(
                        "UPDATE messages SET deleted_seq = ?1, deleted_ms = ?2 WHERE key = ?3",
                    )?
                    .execute(params![seq_number(self.seq), self.time.0, message])?;
                gone::note(connection, room, *target)?;
                erase(connection, message)
            }
            Change::Clip { target } => connection
                .prepare_cached("UPDATE messages SET clip_pos = ?1 WHERE key = ?2")?
                .execute([pos, key(room, *target)?])
                .map(drop),
            Change::Part {
                user,
                membership,
                role,
            } => write_part(connection, (room, self.seq), user, *membership, *role),
        }
    }
}

/// Takes the text out of a message's event and out of those of its edits, whom they name, and the clip that they
/// and its changes show.
fn erase(connection: &Connection, message: i64) -> rusqlite::Result<()> {
    let mut select = connection.prepare_cached(
        "SELECT pos, event FROM log WHERE pos IN
             (SELECT pos FROM messages WHERE key = ?1
              UNION ALL SELECT pos FROM changes WHERE edit = ?1)",
    )?;
    let said = select
        .query_map([message], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<Vec<(i64, Vec<u8>)>>>()?;
    for (pos, bytes) in said {
        let named = stored::named(&bytes).map_err(damaged)?;
        marks::erase_mentions(connection, message, &named)?;
        let bytes = stored::erase(&bytes).map_err(damaged)?;
        connection
            .prepare_cached("UPDATE log SET event = ?1 WHERE pos = ?2")?
            .execute(params![bytes, pos])?;
    }
    Ok(())
}

fn write_part(
    connection: &Connection,
    (room, seq): (i64, Seq),
    user: &UserId,
    membership: Membership,
    role: Role,
) -> rusqlite::Result<()> {
    if membership == Membership::Left {
        let before: Option<i32> = connection
            .prepare_cached(
                "DELETE FROM members WHERE room = ?1 AND user = ?2 RETURNING membership",
            )?
            .query_row(params![room, user.as_str()], |row| row.get(0))
            .optional()?;
        if before == Some(membership_number(Membership::Joined)) {
            connection
                .prepare_cached("UPDATE rooms SET revoked = ?1 WHERE no = ?2")?
                .execute([seq_number(seq), room])?;
        }
        return Ok(());
    }
    connection
        .prepare_cached(
            "INSERT INTO members (room, user, membership, role, since) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET membership = ?3, role = ?4,
                 since = CASE WHEN membership = ?3 THEN since ELSE ?5 END",
        )?
        .execute(params![
            room,
            user.as_str(),
            membership_number(membership),
            role_number(role),
            seq_number(seq)
        ])
        .map(drop)
}

/// The first result of a cid in a room.
pub(super) fn first_result(
    connection: &Connection,
    room: i64,
    (sender, cid): &CidKey,
) -> rusqlite::Result<Option<FirstResult>> {
    connection
        // Clips first: of one whose cid was purged, the cid that is being claimed again is not the first.
        .prepare_cached(
            "SELECT seq, 5, time_ms FROM clips WHERE clip = ?1 AND room = ?2 AND sender = ?3
             UNION ALL
             SELECT seq, kind, time_ms FROM cids WHERE cid = ?1 AND room = ?2 AND sender = ?3
             LIMIT 1",
        )?
        .query_row(params![cid.as_bytes(), room, sender.as_str()], |row| {
            let (seq, kind) = (seq(row, 0)?, write_kind(row, 1)?);
            Ok(FirstResult {
                kind,
                seq,
                time: UnixMs(row.get(2)?),
            })
        })
        .optional()
}

/// Remembers somebody's name.
pub(super) fn seen(connection: &Connection, user: &User) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO users (id, name) VALUES (?1, ?2)
             ON CONFLICT DO UPDATE SET name = ?2 WHERE name <> ?2",
        )?
        .execute(params![user.id.as_str(), user.name.0])
        .map(drop)
}

/// Forgets the oldest cids, which stand together at the left edge of their table.
pub(super) fn purge_cids(
    connection: &Connection,
    made_before: UnixMs,
    limit: usize,
) -> rusqlite::Result<usize> {
    // A cid begins with its time in ms as 48 bits, big-endian: bytes compare as times do.
    let bound = made_before.0.max(0).to_be_bytes();
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    connection
        .prepare_cached(
            "DELETE FROM cids WHERE (cid, room, sender) IN
                 (SELECT cid, room, sender FROM cids WHERE cid < ?1 ORDER BY cid LIMIT ?2)",
        )?
        .execute(params![&bound[2..], limit])
}
