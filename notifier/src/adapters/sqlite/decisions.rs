//! Decisions, and what waits by them.

use super::columns::{decision, devices_text, room, steps_text, user};
use super::readable::{hashed, readable};
use super::{devices, ledger, preferences};
use crate::core::digest::Recent;
use crate::core::router::{Recipient, Seen};
use crate::model::{DeviceId, EventId};
use crate::ports::{Ask, Due, Explained, Hold, Profile, Record};
use kaiwa_common::id::UserId;
use kaiwa_common::limits::{NOTIFY_DECISION_AGE, NOTIFY_DECISIONS, NOTIFY_LEDGER_AGE};
use kaiwa_common::time::UnixMs;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use uuid::Uuid;

pub(super) fn profiles(connection: &Connection, ask: &Ask) -> rusqlite::Result<Vec<Profile>> {
    let mut found = Vec::with_capacity(ask.users.len());
    for user in &ask.users {
        let key = || hashed(&[user.as_str().as_bytes()]);
        let profile = profile(connection, ask, user);
        found.extend(readable("notify_people", key, profile)?);
    }
    Ok(found)
}

fn profile(connection: &Connection, ask: &Ask, user: &UserId) -> rusqlite::Result<Profile> {
    let is_decided = connection
        .prepare_cached("SELECT 1 FROM notify_decisions WHERE event = ?1 AND user = ?2")?
        .exists(params![ask.event.0.as_bytes(), user.as_str()])?;
    let rooms = preferences::rooms(connection, user)?;
    let of_room = ask.room.as_ref().and_then(|wanted| {
        let found = rooms.iter().find(|(room, _)| room == wanted);
        found.map(|(_, settings)| *settings)
    });
    let uncounted = rooms
        .into_iter()
        .filter(|(_, settings)| settings.is_uncounted(ask.now))
        .map(|(room, _)| room)
        .collect();
    let recipient = Recipient {
        user: user.clone(),
        settings: preferences::person(connection, user)?,
        room: of_room.unwrap_or_default(),
        devices: devices::of_user(connection, user)?,
        recent: recent(connection, ask, user)?,
        shown: shown(connection, ask, user)?,
        seen: Seen::No,
        badge: None,
    };
    Ok(Profile {
        recipient,
        uncounted,
        is_decided,
    })
}

fn recent(connection: &Connection, ask: &Ask, user: &UserId) -> rusqlite::Result<Option<Recent>> {
    let Some(room) = &ask.room else {
        return Ok(None);
    };
    connection
        .prepare_cached("SELECT began_ms, pushes FROM notify_recent WHERE user = ?1 AND room = ?2")?
        .query_row(params![user.as_str(), room.as_str()], |row| {
            Ok(Recent {
                began: UnixMs(row.get(0)?),
                pushes: row.get(1)?,
            })
        })
        .optional()
}

fn shown(connection: &Connection, ask: &Ask, user: &UserId) -> rusqlite::Result<Vec<DeviceId>> {
    let Some(takes_away) = &ask.takes_away else {
        return Ok(Vec::new());
    };
    let mut select = connection.prepare_cached(
        "SELECT device FROM notify_shown WHERE user = ?1 AND collapse = ?2 AND seq <= ?3",
    )?;
    let seq = i64::try_from(takes_away.up_to).unwrap_or(i64::MAX);
    let rows = select.query_map(params![user.as_str(), takes_away.key, seq], |row| {
        row.get(0).map(|id| DeviceId(Uuid::from_bytes(id)))
    })?;
    rows.collect()
}

pub(super) fn call_over(
    connection: &Connection,
    users: &[UserId],
    key: &str,
    now: UnixMs,
) -> rusqlite::Result<()> {
    let mut insert =
        connection.prepare_cached("INSERT OR IGNORE INTO notify_over VALUES (?1, ?2, ?3)")?;
    for user in users {
        insert.execute(params![user.as_str(), key, now.0])?;
    }
    Ok(())
}

pub(super) fn record(
    connection: &Connection,
    records: &[Record],
    released: &[Due],
) -> rusqlite::Result<()> {
    for due in released {
        release(connection, due)?;
    }
    for record in records {
        if insert(connection, record, released)? {
            let user = record.user.as_str();
            for hold in &record.holds {
                wait(connection, user, hold)?;
            }
            if let (Some(room), Some(recent)) = (&record.room, record.recent) {
                connection
                    .prepare_cached("INSERT OR REPLACE INTO notify_recent VALUES (?1, ?2, ?3, ?4)")?
                    .execute(params![user, room.as_str(), recent.began.0, recent.pushes])?;
            }
        }
    }
    Ok(())
}

/// What waited was released; what has come to it since waits on.
fn release(connection: &Connection, due: &Due) -> rusqlite::Result<()> {
    let key = params![
        due.user.as_str(),
        due.device.0.as_bytes(),
        due.collapse,
        due.count
    ];
    for sql in [
        "DELETE FROM notify_held
         WHERE user = ?1 AND device = ?2 AND collapse = ?3 AND count <= ?4",
        "UPDATE notify_held SET count = count - ?4
         WHERE user = ?1 AND device = ?2 AND collapse = ?3",
    ] {
        connection.prepare_cached(sql)?.execute(key)?;
    }
    Ok(())
}

/// False when it was known already. What was decided for devices that did not wait stays.
fn insert(connection: &Connection, record: &Record, released: &[Due]) -> rusqlite::Result<bool> {
    let sql = if released.is_empty() {
        "INSERT OR IGNORE INTO notify_decisions
             (event, user, time_ms, at_ms, room, class, steps, suppressed, devices, seq)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
    } else {
        "INSERT OR REPLACE INTO notify_decisions
             (event, user, time_ms, at_ms, room, class, steps, suppressed, devices, seq)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
    };
    let decision = &record.decision;
    let mut devices = decision.devices.clone();
    if !released.is_empty() {
        let before = explain(connection, record.event, &record.user)?;
        let before = before.map(|before| before.decision.devices);
        let waited = |device| released.iter().any(|due| due.device == device);
        let others = before.into_iter().flatten();
        devices.extend(others.filter(|one| !waited(one.device)));
    }
    let changed = connection.prepare_cached(sql)?.execute(params![
        record.event.0.as_bytes(),
        record.user.as_str(),
        record.time.0,
        record.at.0,
        record.room.as_ref().map(|room| room.as_str()),
        decision.class.name(),
        steps_text(&decision.steps),
        decision.suppressed.map(crate::core::decision::Reason::name),
        devices_text(&devices),
        record.seq.map(u64::cast_signed),
    ])?;
    Ok(changed > 0)
}

/// What waits under the same key becomes one: the latest is shown, and the longer wait counts.
fn wait(connection: &Connection, user: &str, hold: &Hold) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO notify_held VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT DO UPDATE SET count = count + ?7, until_ms = max(until_ms, ?4),
                 event = CASE WHEN ?5 >= seq THEN ?6 ELSE event END, seq = max(seq, ?5)",
        )?
        .execute(params![
            user,
            hold.device.0.as_bytes(),
            hold.collapse,
            hold.until.0,
            i64::try_from(hold.seq).unwrap_or(i64::MAX),
            hold.event,
            hold.count,
        ])?;
    Ok(())
}

/// The key of a row of `notify_held` that cannot be read, as it is.
pub(super) type HeldKey = [Vec<u8>; 3];

/// What is due, and what is and cannot be read.
pub(super) fn due(
    connection: &Connection,
    now: UnixMs,
    limit: usize,
) -> rusqlite::Result<(Vec<Due>, Vec<HeldKey>)> {
    let mut select = connection.prepare_cached(
        "SELECT user, device, collapse, event, count FROM notify_held
         WHERE until_ms <= ?1 ORDER BY until_ms, user, device, collapse LIMIT ?2",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = select.query(params![now.0, limit])?;
    let (mut found, mut unreadable) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next()? {
        let [user, device, collapse] = [0, 1, 2].map(|column| row.get_ref(column));
        let key = [user?.as_bytes()?, device?.as_blob()?, collapse?.as_bytes()?];
        match readable("notify_held", || hashed(&key), held(row))? {
            Some(due) => found.push(due),
            None => unreadable.push(key.map(<[u8]>::to_vec)),
        }
    }
    Ok((found, unreadable))
}

fn held(row: &Row<'_>) -> rusqlite::Result<Due> {
    Ok(Due {
        user: user(0, &row.get::<_, String>(0)?)?,
        device: DeviceId(Uuid::from_bytes(row.get(1)?)),
        collapse: row.get(2)?,
        event: row.get(3)?,
        count: row.get(4)?,
    })
}

/// What waits and cannot be read is never due any more; it stays, for an operator to look at.
pub(super) fn give_up(connection: &Connection, held: &[HeldKey]) -> rusqlite::Result<()> {
    // As bytes: a text that is none cannot be asked for as one.
    let mut update = connection.prepare_cached(
        "UPDATE notify_held SET until_ms = ?4 WHERE CAST(user AS BLOB) = ?1 AND device = ?2
         AND CAST(collapse AS BLOB) = ?3",
    )?;
    for [user, device, collapse] in held {
        update.execute(params![user, device, collapse, i64::MAX])?;
    }
    Ok(())
}

const EXPLAINED: &str = "SELECT event, time_ms, at_ms, room, class, steps, suppressed, devices,
    user, seq FROM notify_decisions";

pub(super) fn explain(
    connection: &Connection,
    event: EventId,
    user: &UserId,
) -> rusqlite::Result<Option<Explained>> {
    let sql = format!("{EXPLAINED} WHERE event = ?1 AND user = ?2");
    let found = connection
        .prepare_cached(&sql)?
        .query_row(params![event.0.as_bytes(), user.as_str()], explained)
        .optional()?;
    found.map(|found| with_fates(connection, found)).transpose()
}

pub(super) fn decided(
    connection: &Connection,
    event: EventId,
    limit: usize,
) -> rusqlite::Result<Vec<(UserId, Explained)>> {
    let sql = format!("{EXPLAINED} WHERE event = ?1 ORDER BY user LIMIT ?2");
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut select = connection.prepare_cached(&sql)?;
    let rows = select.query_map(params![event.0.as_bytes(), limit], |row| {
        Ok((user(8, &row.get::<_, String>(8)?)?, explained(row)?))
    })?;
    let with_fates = |row: rusqlite::Result<(UserId, Explained)>| {
        let (user, explained) = row?;
        Ok((user, with_fates(connection, explained)?))
    };
    rows.map(with_fates).collect()
}

pub(super) fn recent_of(
    connection: &Connection,
    user: &UserId,
    limit: usize,
) -> rusqlite::Result<Vec<Explained>> {
    let sql = format!("{EXPLAINED} WHERE user = ?1 ORDER BY no DESC LIMIT ?2");
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut select = connection.prepare_cached(&sql)?;
    let rows = select.query_map(params![user.as_str(), limit], explained)?;
    rows.map(|row| with_fates(connection, row?)).collect()
}

fn explained(row: &Row<'_>) -> rusqlite::Result<Explained> {
    let text: Option<String> = row.get(3)?;
    Ok(Explained {
        event: EventId(Uuid::from_bytes(row.get(0)?)),
        time: UnixMs(row.get(1)?),
        at: UnixMs(row.get(2)?),
        room: text.map(|text| room(3, &text)).transpose()?,
        seq: row.get::<_, Option<i64>>(9)?.map(i64::cast_unsigned),
        decision: decision(row, 4)?,
        fates: Vec::new(),
    })
}

fn with_fates(connection: &Connection, mut of: Explained) -> rusqlite::Result<Explained> {
    for device in &of.decision.devices {
        if let Some(state) = ledger::state(connection, of.event, device.device)? {
            of.fates.push((device.device, state));
        }
    }
    Ok(of)
}

/// Rows that one call erases of each table: a commit of some milliseconds.
const TRIM: i64 = 500;

/// Looks at the oldest alone: there is no index by time, and to look for one among two million would keep the
/// writer, and so everybody's messages, waiting.
const OLD_DECISIONS: &str = "DELETE FROM notify_decisions WHERE no IN (SELECT no FROM
    (SELECT no, at_ms FROM notify_decisions ORDER BY no LIMIT ?2) WHERE at_ms < ?1)";

pub(super) fn trim(connection: &Connection, now: UnixMs) -> rusqlite::Result<usize> {
    let before = |age: std::time::Duration| {
        let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        now.0.saturating_sub(age_ms)
    };
    let (decisions, ledger) = (before(NOTIFY_DECISION_AGE), before(NOTIFY_LEDGER_AGE));
    // A push lives for four weeks, and may be shown as long.
    let shown = before(std::time::Duration::from_secs(28 * 24 * 3600));
    let mut erased = 0;
    for (sql, before) in [
        (OLD_DECISIONS, decisions),
        ("DELETE FROM notify_ledger WHERE (event, device) IN (SELECT event, device
              FROM notify_ledger WHERE ms < ?1 ORDER BY ms LIMIT ?2)", ledger),
        ("DELETE FROM notify_shown WHERE (user, collapse, device) IN (SELECT user, collapse, device
              FROM notify_shown WHERE ms < ?1 ORDER BY ms LIMIT ?2)", shown),
        ("DELETE FROM notify_over WHERE (user, collapse) IN (SELECT user, collapse
              FROM notify_over WHERE ms < ?1 ORDER BY ms LIMIT ?2)", ledger),
        ("DELETE FROM notify_recent WHERE (user, room) IN (SELECT user, room
              FROM notify_recent WHERE began_ms < ?1 ORDER BY began_ms LIMIT ?2)", decisions),
    ] {
        erased += connection.prepare_cached(sql)?.execute(params![before, TRIM])?;
    }
    let keep = i64::try_from(NOTIFY_DECISIONS).unwrap_or(i64::MAX);
    erased += connection
        .prepare_cached(
            "DELETE FROM notify_decisions WHERE no IN (SELECT no FROM notify_decisions
             WHERE no <= (SELECT max(no) FROM notify_decisions) - ?1 ORDER BY no LIMIT ?2)",
        )?
        .execute(params![keep, TRIM])?;
    Ok(erased)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::sqlite::SCHEMA;
    use rusqlite::StatementStatus;

    #[test]
    fn to_forget_old_decisions_the_young_ones_are_not_read() {
        let connection = Connection::open_in_memory().expect("a database");
        for migration in SCHEMA.migrations {
            connection.execute_batch(migration).expect("tables");
        }
        let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
             INSERT INTO notify_decisions (event, user, time_ms, at_ms, class, steps, devices)
             SELECT CAST(i AS BLOB), 'bob', 0, i, 'message', '', '' FROM n";
        connection.execute(fill, []).expect("decisions");
        let mut delete = connection.prepare(OLD_DECISIONS).expect("a statement");
        assert_eq!(delete.execute([301_i64, TRIM]), Ok(300));
        assert_eq!(delete.execute([301_i64, TRIM]), Ok(0));
        let steps = delete.get_status(StatementStatus::VmStep);
        assert!(steps < 20_000, "{steps} steps for {TRIM} rows");
    }
}
