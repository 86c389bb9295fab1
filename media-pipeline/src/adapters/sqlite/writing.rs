//! Statements that change something.

use crate::adapters::stored::job::backend_number;
use crate::adapters::stored::{self, state_number};
use crate::model::Clip;
use crate::ports::{Request, StoreError};
use kaiwa_common::id::RoomId;
use kaiwa_common::limits::{CLIP_EVENT_AGE, CLIP_REQUEST_AGE, CLIP_TRIM};
use kaiwa_common::time::UnixMs;
use rusqlite::{Connection, OptionalExtension as _, params};
use std::time::Duration;

pub(super) fn insert(
    connection: &Connection,
    clip: &Clip,
    request: Option<&Request>,
) -> rusqlite::Result<Result<u64, StoreError>> {
    let revision = next_revision(connection)?;
    let inserted = connection
        .prepare_cached(
            "INSERT INTO clips_clips
               (id, version, revision, uploader, state, size, created_ms, due_ms, backend, job, body,
                bytes)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            clip.id.0.as_bytes().as_slice(),
            number(clip.version),
            number(revision),
            clip.uploader.as_str(),
            state_number(clip.state),
            number(clip.declared.size),
            clip.created.0,
            clip.due.map(|at| at.0),
            clip.job.as_ref().map(|job| backend_number(job.backend)),
            clip.job.as_ref().map(|job| job.id.as_str()),
            stored::write(clip),
            number(clip.stored_bytes()),
        ])?;
    if inserted == 0 || !note(connection, request)? {
        return Ok(Err(StoreError::Conflict));
    }
    show_in_rooms(connection, clip)?;
    Ok(Ok(revision))
}

pub(super) fn update(
    connection: &Connection,
    expected: u64,
    clip: &Clip,
    request: Option<&Request>,
) -> rusqlite::Result<Result<u64, StoreError>> {
    if clip.version != expected + 1 {
        return Ok(Err(StoreError::Conflict));
    }
    let revision = next_revision(connection)?;
    let updated = connection
        .prepare_cached(
            "UPDATE clips_clips SET version = ?3, revision = ?4, state = ?5, due_ms = ?6, backend = ?7,
               job = ?8, body = ?9, bytes = ?10
             WHERE id = ?1 AND version = ?2",
        )?
        .execute(params![
            clip.id.0.as_bytes().as_slice(),
            number(expected),
            number(clip.version),
            number(revision),
            state_number(clip.state),
            clip.due.map(|at| at.0),
            clip.job.as_ref().map(|job| backend_number(job.backend)),
            clip.job.as_ref().map(|job| job.id.as_str()),
            stored::write(clip),
            number(clip.stored_bytes()),
        ])?;
    if updated == 0 || !note(connection, request)? {
        return Ok(Err(StoreError::Conflict));
    }
    show_in_rooms(connection, clip)?;
    Ok(Ok(revision))
}

/// Notes the request; false when it was answered before, within its time.
pub(super) fn note(connection: &Connection, request: Option<&Request>) -> rusqlite::Result<bool> {
    let Some(request) = request else {
        return Ok(true);
    };
    let noted = connection
        .prepare_cached(
            "INSERT INTO clips_requests (caller, key, hash, clip, at_ms) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (caller, key) DO UPDATE
               SET hash = excluded.hash, clip = excluded.clip, at_ms = excluded.at_ms
               WHERE clips_requests.at_ms <= ?6",
        )?
        .execute(params![
            request.caller,
            request.key,
            request.hash.as_slice(),
            request.clip.0.as_bytes().as_slice(),
            request.at.0,
            before(request.at, CLIP_REQUEST_AGE),
        ])?;
    Ok(noted == 1)
}

fn show_in_rooms(connection: &Connection, clip: &Clip) -> rusqlite::Result<()> {
    let mut add = connection.prepare_cached(
        "INSERT INTO clips_rooms (room, clip) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
    )?;
    for room in std::iter::once(&clip.room).chain(clip.chores.rooms.keys()) {
        add.execute(params![room.as_str(), clip.id.0.as_bytes().as_slice()])?;
    }
    let rooms = std::iter::once(&clip.room).chain(clip.chores.rooms.keys());
    let rooms: Vec<&str> = rooms.map(RoomId::as_str).collect();
    connection
        .prepare_cached(
            "DELETE FROM clips_rooms
             WHERE clip = ?1 AND room NOT IN (SELECT value FROM json_each(?2))",
        )?
        .execute(params![
            clip.id.0.as_bytes().as_slice(),
            serde_json::json!(rooms).to_string()
        ])?;
    Ok(())
}

/// Dense: a write that is undone gives its number back.
fn next_revision(connection: &Connection) -> rusqlite::Result<u64> {
    let revision: i64 = connection
        .prepare_cached("UPDATE clips_revisions SET revision = revision + 1 RETURNING revision")?
        .query_row([], |row| row.get(0))?;
    Ok(u64::try_from(revision).unwrap_or(0))
}

pub(super) fn first_time(
    connection: &Connection,
    event: &str,
    now: UnixMs,
) -> rusqlite::Result<bool> {
    let noted: Option<i64> = connection
        .prepare_cached(
            "INSERT INTO clips_events (id, at_ms) VALUES (?1, ?2)
             ON CONFLICT (id) DO UPDATE SET at_ms = excluded.at_ms WHERE clips_events.at_ms <= ?3
             RETURNING at_ms",
        )?
        .query_row(params![event, now.0, before(now, CLIP_EVENT_AGE)], |row| {
            row.get(0)
        })
        .optional()?;
    Ok(noted.is_some())
}

pub(super) fn trim(connection: &Connection, now: UnixMs) -> rusqlite::Result<usize> {
    let limit = i64::try_from(CLIP_TRIM).unwrap_or(i64::MAX);
    let events = connection
        .prepare_cached(
            "DELETE FROM clips_events WHERE id IN
               (SELECT id FROM clips_events WHERE at_ms <= ?1 ORDER BY at_ms LIMIT ?2)",
        )?
        .execute((before(now, CLIP_EVENT_AGE), limit))?;
    let requests = connection
        .prepare_cached(
            "DELETE FROM clips_requests WHERE (caller, key) IN
               (SELECT caller, key FROM clips_requests WHERE at_ms <= ?1 ORDER BY at_ms LIMIT ?2)",
        )?
        .execute((before(now, CLIP_REQUEST_AGE), limit))?;
    Ok(events + requests)
}

fn before(now: UnixMs, age: Duration) -> i64 {
    let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    now.0.saturating_sub(age)
}

/// SQLite's numbers end at 2⁶³: sizes and counts are below.
fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
