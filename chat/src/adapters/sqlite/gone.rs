//! Messages of clips that were deleted, for whoever keeps the clips.

use super::columns::{damaged, seq, seq_number};
use super::schema::key_up_to;
use kaiwa_common::id::{ClipId, RoomId};
use kaiwa_common::position::Seq;
use rusqlite::{Connection, Row, params};
use uuid::Uuid;

/// A clip's message that was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoneClip {
    no: i64,
    /// Which clip.
    pub clip: ClipId,
    /// In which room.
    pub room: RoomId,
    /// Where its message was.
    pub seq: Seq,
}

/// A message is deleted: if it is a clip's, that is to be heard of.
pub(super) fn note(connection: &Connection, room: i64, target: Seq) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO clips_gone (clip, room, seq)
             SELECT coalesce(shown, clip), room, seq FROM clips WHERE room = ?1 AND seq = ?2",
        )?
        .execute([room, seq_number(target)])
        .map(drop)
}

/// As [`note`], if it was deleted.
pub(super) fn recall(connection: &Connection, room: &RoomId, target: Seq) -> rusqlite::Result<()> {
    let deleted = connection
        .prepare_cached(
            "SELECT m.key >> 32 FROM messages m
             WHERE m.deleted_seq IS NOT NULL AND m.key = ?1",
        )?
        .query_map([message(connection, room, target)?], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<i64>>>()?;
    deleted
        .into_iter()
        .try_for_each(|room| note(connection, room, target))
}

/// The key of a room's event; one that no event has when there is no such room.
fn message(connection: &Connection, room: &RoomId, target: Seq) -> rusqlite::Result<i64> {
    let no = connection
        .prepare_cached("SELECT coalesce(max(no), 0) FROM rooms WHERE id = ?1")?
        .query_row([room.as_str()], |row| row.get(0))?;
    Ok(key_up_to(no, target))
}

pub(super) fn read(connection: &Connection, limit: usize) -> rusqlite::Result<Vec<GoneClip>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    connection
        .prepare_cached(
            "SELECT g.no, g.clip, r.id, g.seq FROM clips_gone g JOIN rooms r ON r.no = g.room
             ORDER BY g.no LIMIT ?1",
        )?
        .query_map([limit], gone)?
        .collect()
}

fn gone(row: &Row<'_>) -> rusqlite::Result<GoneClip> {
    let clip = Uuid::from_slice(row.get_ref(1)?.as_blob()?).map_err(damaged)?;
    Ok(GoneClip {
        no: row.get(0)?,
        clip: ClipId(clip),
        room: RoomId::parse(row.get_ref(2)?.as_str()?).map_err(damaged)?,
        seq: seq(row, 3)?,
    })
}

pub(super) fn forget(connection: &Connection, heard: &[GoneClip]) -> rusqlite::Result<()> {
    let mut delete = connection.prepare_cached("DELETE FROM clips_gone WHERE no = ?1")?;
    for one in heard {
        delete.execute(params![one.no])?;
    }
    Ok(())
}
