//! Devices.

use super::columns::{DEVICE, address_columns, channel_number, device, token};
use super::readable::{hashed, readable};
use crate::core::quiet::QuietHours;
use crate::core::settings::{Device, DeviceSettings};
use crate::core::tokens::Fate;
use crate::model::DeviceId;
use crate::ports::{Registered, Registration};
use kaiwa_common::id::UserId;
use kaiwa_common::limits::NOTIFY_DEVICES;
use kaiwa_common::time::UnixMs;
use rusqlite::{Connection, OptionalExtension as _, params};
use uuid::Uuid;

pub(super) fn register(
    connection: &Connection,
    registration: &Registration,
) -> rusqlite::Result<Registered> {
    let Registration {
        user,
        device,
        installation,
        address,
        label,
        at,
    } = registration;
    let token = token(address);
    let had = "SELECT id FROM notify_devices WHERE token = ?1 AND id <> ?2";
    let moved_from = connection
        .prepare_cached(had)?
        .query_row(params![token, device.0.as_bytes()], |row| row.get(0))
        .optional()?
        .map(|id| DeviceId(Uuid::from_bytes(id)));
    if let Some(moved_from) = moved_from {
        forget(connection, moved_from)?;
    }
    let evicted = make_room(connection, user, *device)?;
    let (key, first, second) = address_columns(address);
    // The settings of a device that comes back stay; what was held against its old token does not.
    let mut insert = connection.prepare_cached(
        "INSERT INTO notify_devices (id, user, channel, token, address, address_key, address_more,
             label, registered_ms, enabled, wake_only, strikes, installation)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 1, 0, 0, ?10)
         ON CONFLICT (id) DO UPDATE SET user = ?2, channel = ?3, token = ?4, address = ?5,
             address_key = ?6, address_more = ?7, label = ?8, registered_ms = ?9, strikes = 0,
             quarantined_ms = NULL, installation = ?10",
    )?;
    insert.execute(params![
        device.0.as_bytes(),
        user.as_str(),
        channel_number(address.channel()),
        token,
        key,
        first,
        second,
        label.0,
        at.0,
        installation.as_str(),
    ])?;
    Ok(Registered {
        moved_from,
        evicted,
    })
}

/// The one that was registered longest ago goes, at the bound.
fn make_room(
    connection: &Connection,
    user: &UserId,
    device: DeviceId,
) -> rusqlite::Result<Option<DeviceId>> {
    let mut oldest = connection.prepare_cached(
        "SELECT id FROM notify_devices WHERE user = ?1 AND id <> ?2
         ORDER BY registered_ms DESC, id LIMIT -1 OFFSET ?3",
    )?;
    let bound = i64::try_from(NOTIFY_DEVICES - 1).expect("a small number");
    let found = oldest
        .query_row(params![user.as_str(), device.0.as_bytes(), bound], |row| {
            row.get(0)
        })
        .optional()?;
    let evicted = found.map(|id| DeviceId(Uuid::from_bytes(id)));
    if let Some(evicted) = evicted {
        forget(connection, evicted)?;
    }
    Ok(evicted)
}

/// A device, and what waits for it or may be shown by it, is gone.
pub(super) fn forget(connection: &Connection, device: DeviceId) -> rusqlite::Result<bool> {
    let id = device.0.as_bytes();
    let owner: Option<String> = connection
        .prepare_cached("DELETE FROM notify_devices WHERE id = ?1 RETURNING user")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    let Some(owner) = owner else {
        return Ok(false);
    };
    for sql in [
        "DELETE FROM notify_held WHERE user = ?1 AND device = ?2",
        "DELETE FROM notify_shown WHERE user = ?1 AND device = ?2",
    ] {
        connection
            .prepare_cached(sql)?
            .execute(params![owner, id])?;
    }
    Ok(true)
}

pub(super) fn in_flight(
    connection: &Connection,
    device: DeviceId,
    now: UnixMs,
) -> rusqlite::Result<Option<UnixMs>> {
    // Of before the clock was set back are those that end later than any claim would.
    let sql = "SELECT max(ms) FROM notify_ledger
         WHERE device = ?1 AND state = 0 AND ms > ?2 AND ms <= ?2 + 120000";
    let until: Option<i64> = connection
        .prepare_cached(sql)?
        .query_row(params![device.0.as_bytes(), now.0], |row| row.get(0))?;
    Ok(until.map(UnixMs))
}

pub(super) fn of_user(connection: &Connection, user: &UserId) -> rusqlite::Result<Vec<Device>> {
    let sql = format!(
        "SELECT {DEVICE} FROM notify_devices WHERE user = ?1 ORDER BY registered_ms DESC, id"
    );
    let mut select = connection.prepare_cached(&sql)?;
    let mut rows = select.query([user.as_str()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let id = row.get_ref(0)?.as_blob()?;
        found.extend(readable("notify_devices", || hashed(&[id]), device(row))?);
    }
    Ok(found)
}

/// The device with its owner.
pub(super) fn one(
    connection: &Connection,
    id: DeviceId,
) -> rusqlite::Result<Option<(String, Device)>> {
    let sql = format!("SELECT {DEVICE} FROM notify_devices WHERE id = ?1");
    connection
        .prepare_cached(&sql)?
        .query_row([id.0.as_bytes()], |row| Ok((row.get(14)?, device(row)?)))
        .optional()
}

pub(super) fn remove(
    connection: &Connection,
    user: &UserId,
    device: DeviceId,
) -> rusqlite::Result<bool> {
    match one(connection, device)? {
        Some((owner, _)) if owner == user.as_str() => forget(connection, device),
        Some(_) | None => Ok(false),
    }
}

pub(super) fn set(
    connection: &Connection,
    user: &UserId,
    device: DeviceId,
    settings: &DeviceSettings,
) -> rusqlite::Result<bool> {
    let quiet = settings.quiet.as_ref();
    let lets = quiet.map(QuietHours::lets).unwrap_or_default();
    let changed = connection
        .prepare_cached(
            "UPDATE notify_devices SET enabled = ?3, wake_only = ?4, quiet_from = ?5, quiet_to = ?6,
                 quiet_zone = ?7, quiet_calls = ?8, quiet_mentions = ?9
             WHERE user = ?1 AND id = ?2",
        )?
        .execute(params![
            user.as_str(),
            device.0.as_bytes(),
            settings.is_enabled,
            settings.is_wake_only,
            quiet.map(|quiet| quiet.from().get()),
            quiet.map(|quiet| quiet.to().get()),
            quiet.map(QuietHours::zone),
            lets.calls,
            lets.mentions,
        ])?;
    Ok(changed > 0)
}

/// Its provider took a push for it. Of two that are recorded out of order, the later one counts.
pub(super) fn pushed(
    connection: &Connection,
    device: DeviceId,
    at: UnixMs,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE notify_devices SET last_push_ms = max(ifnull(last_push_ms, ?2), ?2)
             WHERE id = ?1",
        )?
        .execute(params![device.0.as_bytes(), at.0])?;
    Ok(())
}

/// What its provider's word does to a device, if its address is still the one that was sent to.
pub(super) fn apply(
    connection: &Connection,
    device: DeviceId,
    fate: Fate,
    registered: UnixMs,
) -> rusqlite::Result<()> {
    let Some((_, now)) = one(connection, device)? else {
        return Ok(());
    };
    if now.registered != registered {
        return Ok(());
    }
    match fate {
        Fate::Keep => {}
        Fate::Prune => {
            forget(connection, device)?;
        }
        Fate::Quarantine(until) => {
            connection
                .prepare_cached(
                    "UPDATE notify_devices SET strikes = strikes + 1, quarantined_ms = ?2
                     WHERE id = ?1",
                )?
                .execute(params![device.0.as_bytes(), until.0])?;
        }
    }
    Ok(())
}
