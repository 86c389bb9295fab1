//! Settings of people and rooms.

use super::columns::{level, level_number, mute, mute_ms, room, user};
use super::readable::{hashed, readable};
use crate::core::settings::{PersonSettings, RoomSettings};
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::limits::NOTIFY_ROOM_SETTINGS;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

pub(super) fn person(connection: &Connection, user: &UserId) -> rusqlite::Result<PersonSettings> {
    let found = connection
        .prepare_cached(
            "SELECT muted_ms, mentions, calls, wake_only, badge, level FROM notify_people
             WHERE user = ?1",
        )?
        .query_row([user.as_str()], |row| {
            Ok(PersonSettings {
                muted: mute(row.get(0)?),
                mentions_override: row.get(1)?,
                calls_override: row.get(2)?,
                is_wake_only: row.get(3)?,
                has_badge: row.get(4)?,
                level: level(row.get(5)?),
            })
        })
        .optional()?;
    Ok(found.unwrap_or_default())
}

pub(super) fn set_person(
    connection: &Connection,
    user: &UserId,
    settings: PersonSettings,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO notify_people VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
        .execute(params![
            user.as_str(),
            mute_ms(settings.muted),
            settings.mentions_override,
            settings.calls_override,
            settings.is_wake_only,
            settings.has_badge,
            level_number(settings.level),
        ])?;
    count(connection, user)
}

/// One more change.
fn count(connection: &Connection, user: &UserId) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO notify_versions VALUES (?1, 1)
             ON CONFLICT DO UPDATE SET version = version + 1",
        )?
        .execute([user.as_str()])?;
    Ok(())
}

pub(super) fn version(connection: &Connection, user: &UserId) -> rusqlite::Result<u64> {
    let found: Option<i64> = connection
        .prepare_cached("SELECT version FROM notify_versions WHERE user = ?1")?
        .query_row([user.as_str()], |row| row.get(0))
        .optional()?;
    Ok(found.map_or(0, i64::cast_unsigned))
}

pub(super) fn rooms(
    connection: &Connection,
    user: &UserId,
) -> rusqlite::Result<Vec<(RoomId, RoomSettings)>> {
    let mut select = connection.prepare_cached(
        "SELECT room, muted_ms, level FROM notify_rooms WHERE user = ?1 ORDER BY room",
    )?;
    let mut rows = select.query([user.as_str()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let name = row.get_ref(0)?.as_bytes()?;
        let key = || hashed(&[user.as_str().as_bytes(), name]);
        found.extend(readable("notify_rooms", key, of_room(row))?);
    }
    Ok(found)
}

fn of_room(row: &Row<'_>) -> rusqlite::Result<(RoomId, RoomSettings)> {
    let settings = RoomSettings {
        muted: mute(row.get(1)?),
        level: row.get::<_, Option<i64>>(2)?.map(level),
    };
    Ok((room(0, &row.get::<_, String>(0)?)?, settings))
}

pub(super) fn set_room(
    connection: &Connection,
    user: &UserId,
    room: &RoomId,
    settings: Option<RoomSettings>,
) -> rusqlite::Result<bool> {
    let key = params![user.as_str(), room.as_str()];
    // One that is as the default needs no row.
    let Some(settings) = settings.filter(|one| *one != RoomSettings::default()) else {
        let sql = "DELETE FROM notify_rooms WHERE user = ?1 AND room = ?2";
        connection.prepare_cached(sql)?.execute(key)?;
        count(connection, user)?;
        return Ok(true);
    };
    let others: i64 = connection
        .prepare_cached("SELECT count(*) FROM notify_rooms WHERE user = ?1 AND room <> ?2")?
        .query_row(key, |row| row.get(0))?;
    if usize::try_from(others).unwrap_or(usize::MAX) >= NOTIFY_ROOM_SETTINGS {
        return Ok(false);
    }
    connection
        .prepare_cached("INSERT OR REPLACE INTO notify_rooms VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![
            user.as_str(),
            room.as_str(),
            mute_ms(settings.muted),
            settings.level.map(level_number),
        ])?;
    count(connection, user)?;
    Ok(true)
}

pub(super) fn opted_in(
    connection: &Connection,
    room: &RoomId,
    after: Option<&UserId>,
    limit: usize,
) -> rusqlite::Result<Vec<UserId>> {
    let mut select = connection.prepare_cached(
        "SELECT user FROM notify_rooms WHERE room = ?1 AND level = 0 AND user > ?2
         ORDER BY user",
    )?;
    let after = after.map_or("", UserId::as_str);
    let mut rows = select.query(params![room.as_str(), after])?;
    let mut found = Vec::new();
    // Counted here: a page that one row shortens would look like the last.
    while found.len() < limit
        && let Some(row) = rows.next()?
    {
        let name = row.get_ref(0)?.as_bytes()?;
        let key = || hashed(&[name, room.as_str().as_bytes()]);
        let one = row.get::<_, String>(0).and_then(|text| user(0, &text));
        found.extend(readable("notify_rooms", key, one)?);
    }
    Ok(found)
}
