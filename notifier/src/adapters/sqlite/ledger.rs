//! The ledger: that each device is told of each event once.

use super::devices;
use crate::model::{DeviceId, EventId};
use crate::ports::{Claim, Claimed, PushState, Settled, Shown};
use kaiwa_common::id::UserId;
use kaiwa_common::time::UnixMs;
use rusqlite::{Connection, OptionalExtension as _, params};

const CLAIMED: i64 = 0;
const OPEN: i64 = 1;
const SENT: i64 = 2;
const FAILED: i64 = 3;

pub(super) fn claim(connection: &Connection, claim: &Claim) -> rusqlite::Result<Vec<Claimed>> {
    let devices = claim.devices.iter();
    devices
        .map(|device| claim_one(connection, claim, *device))
        .collect()
}

fn claim_one(
    connection: &Connection,
    claim: &Claim,
    device: DeviceId,
) -> rusqlite::Result<Claimed> {
    match state(connection, claim.event, device)? {
        Some(PushState::Sent { .. } | PushState::Failed { .. }) => return Ok(Claimed::Done),
        Some(PushState::Claimed { until }) if is_held(claim, until) => {
            return Ok(Claimed::Busy(until));
        }
        Some(PushState::Claimed { .. } | PushState::Open { .. }) | None => {}
    }
    let fail = |code: &str| {
        let state = PushState::Failed {
            code: code.to_owned(),
        };
        put(connection, claim.event, device, &state, claim.now)
    };
    let mut found = None;
    if let Some(user) = &claim.user {
        let Some(theirs) = devices::one(connection, device)?
            .filter(|(owner, _)| owner == user.as_str())
            .map(|(_, device)| device)
            .filter(|device| device.channel() == claim.channel && device.settings.is_enabled)
        else {
            fail("device_gone")?;
            return Ok(Claimed::Gone);
        };
        if let Some(shown) = &claim.shows {
            if is_over(connection, user, &shown.key)? {
                fail("call_over")?;
                return Ok(Claimed::Over);
            }
            show(connection, user, device, shown, claim.now)?;
        }
        found = Some(Box::new(theirs));
    }
    let until = claim.until;
    put(
        connection,
        claim.event,
        device,
        &PushState::Claimed { until },
        claim.now,
    )?;
    Ok(Claimed::Yes(found))
}

/// Whether somebody is still at it. A claim that would last longer than claims do was made before the clock was
/// set back: its holder is long gone.
fn is_held(claim: &Claim, until: UnixMs) -> bool {
    let longest = claim.until.since(claim.now);
    claim.now < until && until.since(claim.now) <= 2 * longest
}

fn is_over(connection: &Connection, user: &UserId, key: &str) -> rusqlite::Result<bool> {
    // Rooms are not over.
    if !key.starts_with("call:") {
        return Ok(false);
    }
    connection
        .prepare_cached("SELECT 1 FROM notify_over WHERE user = ?1 AND collapse = ?2")?
        .exists(params![user.as_str(), key])
}

fn show(
    connection: &Connection,
    user: &UserId,
    device: DeviceId,
    shown: &Shown,
    now: UnixMs,
) -> rusqlite::Result<()> {
    let seq = i64::try_from(shown.up_to).unwrap_or(i64::MAX);
    connection
        .prepare_cached(
            "INSERT INTO notify_shown VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET seq = max(seq, ?4), ms = ?5",
        )?
        .execute(params![
            user.as_str(),
            shown.key,
            device.0.as_bytes(),
            seq,
            now.0
        ])?;
    Ok(())
}

pub(super) fn settle(connection: &Connection, settled: &[Settled]) -> rusqlite::Result<()> {
    for one in settled {
        put(connection, one.event, one.device, &one.state, one.at)?;
        if let PushState::Sent { .. } = one.state {
            devices::pushed(connection, one.device, one.at)?;
        }
        if let Some((fate, registered)) = one.fate {
            devices::apply(connection, one.device, fate, registered)?;
        }
        if let Some((user, shown)) = &one.took_away {
            let seq = i64::try_from(shown.up_to).unwrap_or(i64::MAX);
            connection
                .prepare_cached(
                    "DELETE FROM notify_shown
                     WHERE user = ?1 AND collapse = ?2 AND device = ?3 AND seq <= ?4",
                )?
                .execute(params![
                    user.as_str(),
                    shown.key,
                    one.device.0.as_bytes(),
                    seq
                ])?;
        }
    }
    Ok(())
}

/// Writes where a push stands. What has been sent stays so, whatever a straggler says.
fn put(
    connection: &Connection,
    event: EventId,
    device: DeviceId,
    state: &PushState,
    now: UnixMs,
) -> rusqlite::Result<()> {
    let (number, ms, detail) = match state {
        PushState::Claimed { until } => (CLAIMED, until.0, ""),
        PushState::Open { code } => (OPEN, now.0, code.as_str()),
        PushState::Sent { provider_id } => (SENT, now.0, provider_id.as_str()),
        PushState::Failed { code } => (FAILED, now.0, code.as_str()),
    };
    connection
        .prepare_cached(
            "INSERT INTO notify_ledger VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET state = ?3, ms = ?4, detail = ?5 WHERE state <> 2",
        )?
        .execute(params![
            event.0.as_bytes(),
            device.0.as_bytes(),
            number,
            ms,
            detail
        ])?;
    Ok(())
}

pub(super) fn state(
    connection: &Connection,
    event: EventId,
    device: DeviceId,
) -> rusqlite::Result<Option<PushState>> {
    connection
        .prepare_cached(
            "SELECT state, ms, detail FROM notify_ledger WHERE event = ?1 AND device = ?2",
        )?
        .query_row(params![event.0.as_bytes(), device.0.as_bytes()], |row| {
            let (number, ms, detail): (i64, i64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(match number {
                CLAIMED => PushState::Claimed { until: UnixMs(ms) },
                OPEN => PushState::Open { code: detail },
                SENT => PushState::Sent {
                    provider_id: detail,
                },
                _ => PushState::Failed { code: detail },
            })
        })
        .optional()
}
