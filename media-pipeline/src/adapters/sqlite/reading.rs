//! Statements that read.

use crate::adapters::stored::job::backend_number;
use crate::adapters::stored::{self, state_number};
use crate::model::{Backend, Clip, ClipId, ClipState};
use crate::ports::{Page, Query, Request, Usage};
use kaiwa_common::id::UserId;
use kaiwa_common::limits::CLIP_PAGE;
use kaiwa_common::time::UnixMs;
use rusqlite::types::{Type, Value};
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};
use std::collections::BTreeMap;
use std::time::Duration;
use uuid::Uuid;

pub(super) fn get(connection: &Connection, id: ClipId) -> rusqlite::Result<Option<Clip>> {
    connection
        .prepare_cached("SELECT body FROM clips_clips WHERE id = ?1")?
        .query_row([id.0.as_bytes().as_slice()], |row| clip(row, 0))
        .optional()
}

pub(super) fn get_many(connection: &Connection, ids: &[ClipId]) -> rusqlite::Result<Vec<Clip>> {
    let ids = ids.iter().take(CLIP_PAGE);
    let found = ids.filter_map(|id| get(connection, *id).transpose());
    let found: Result<Vec<_>, _> = found.map(readable).collect();
    Ok(found?.into_iter().flatten().collect())
}

pub(super) fn list(connection: &Connection, query: &Query) -> rusqlite::Result<Page> {
    let limit = query.limit.min(CLIP_PAGE);
    let mut sql = String::from("SELECT c.body FROM clips_clips c");
    let mut values: Vec<Value> = Vec::new();
    let mut wheres: Vec<String> = Vec::new();
    let mut key = "c.id";
    if let Some(room) = &query.room {
        sql.push_str(" JOIN clips_rooms r ON r.clip = c.id");
        values.push(room.as_str().to_owned().into());
        wheres.push(format!("r.room = ?{}", values.len()));
        key = "r.clip";
    }
    if let Some(uploader) = &query.uploader {
        values.push(uploader.as_str().to_owned().into());
        wheres.push(format!("c.uploader = ?{}", values.len()));
    }
    if let Some(before) = query.before {
        values.push(before.0.as_bytes().to_vec().into());
        wheres.push(format!("{key} < ?{}", values.len()));
    }
    // Numbers of a closed list: nothing from outside comes into the statement.
    let states: Vec<String> = query
        .states
        .iter()
        .map(|state| state_number(*state).to_string())
        .collect();
    wheres.push(if states.is_empty() {
        format!("c.state <> {}", state_number(ClipState::Deleted))
    } else {
        format!("c.state IN ({})", states.join(", "))
    });
    values.push(count(limit + 1).into());
    let wheres = wheres.join(" AND ");
    let limit_at = values.len();
    sql.push_str(&format!(
        " WHERE {wheres} ORDER BY {key} DESC LIMIT ?{limit_at}"
    ));
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(values), |row| readable(clip(row, 0)))?;
    let mut clips = rows.collect::<Result<Vec<_>, _>>()?;
    let more = clips.len() > limit;
    clips.truncate(limit);
    let clips = clips.into_iter().flatten().collect();
    Ok(Page { clips, more })
}

pub(super) fn due(
    connection: &Connection,
    now: UnixMs,
    limit: usize,
) -> rusqlite::Result<Vec<Clip>> {
    connection
        .prepare_cached(
            "SELECT body FROM clips_clips WHERE due_ms IS NOT NULL AND due_ms <= ?1
             ORDER BY due_ms, id LIMIT ?2",
        )?
        // Those that cannot be read stay due for ever: they must not stand before all others.
        .query_map((now.0, count(limit.saturating_add(UNREADABLE))), |row| {
            readable(clip(row, 0))
        })?
        .filter_map(Result::transpose)
        .take(limit)
        .collect()
}

/// Rows that cannot be read which are passed over in one look for what is due.
const UNREADABLE: usize = 1_000;

/// A row that cannot be read (a newer program wrote it, or a bit has turned) is left out where others stand with it: what
/// stands behind it goes on.
fn readable(row: rusqlite::Result<Clip>) -> rusqlite::Result<Option<Clip>> {
    match row {
        Err(rusqlite::Error::FromSqlConversionFailure(_, _, what)) => {
            stored::left_out(&what);
            Ok(None)
        }
        row => row.map(Some),
    }
}

pub(super) fn under_way(
    connection: &Connection,
    limit: usize,
) -> rusqlite::Result<BTreeMap<ClipState, usize>> {
    // The states that are not over have the lowest numbers.
    let mut select = connection.prepare_cached(
        "SELECT state, count(*) FROM
           (SELECT state FROM clips_clips WHERE state <= 6 LIMIT ?1) GROUP BY state",
    )?;
    let rows = select.query_map([count(limit)], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut counts = BTreeMap::new();
    for row in rows {
        let (number, clips): (u8, u32) = row?;
        if let Some(state) = stored::state_of(number) {
            counts.insert(state, usize::try_from(clips).unwrap_or(usize::MAX));
        }
    }
    Ok(counts)
}

pub(super) fn stored(connection: &Connection) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("SELECT coalesce(sum(bytes), 0) FROM clips_clips WHERE bytes > 0")?
        .query_row([], |row| row.get(0))
        .map(unsigned)
}

pub(super) fn by_job(
    connection: &Connection,
    backend: Backend,
    job: &str,
) -> rusqlite::Result<Option<Clip>> {
    connection
        .prepare_cached("SELECT body FROM clips_clips WHERE job = ?1 AND backend = ?2 LIMIT 1")?
        .query_row(params![job, backend_number(backend)], |row| clip(row, 0))
        .optional()
}

pub(super) fn answered(
    connection: &Connection,
    caller: &str,
    key: &str,
) -> rusqlite::Result<Option<Request>> {
    connection
        .prepare_cached(
            "SELECT hash, clip, at_ms FROM clips_requests WHERE caller = ?1 AND key = ?2",
        )?
        .query_row([caller, key], |row| {
            Ok(Request {
                caller: caller.to_owned(),
                key: key.to_owned(),
                hash: row.get(0)?,
                clip: ClipId(Uuid::from_bytes(row.get(1)?)),
                at: UnixMs(row.get(2)?),
            })
        })
        .optional()
}

pub(super) fn revision(connection: &Connection) -> rusqlite::Result<u64> {
    let revision: i64 = connection
        .prepare_cached("SELECT revision FROM clips_revisions")?
        .query_row([], |row| row.get(0))?;
    Ok(unsigned(revision))
}

pub(super) fn changes(
    connection: &Connection,
    after: u64,
    limit: usize,
) -> rusqlite::Result<Vec<(u64, Clip)>> {
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    connection
        .prepare_cached(
            "SELECT revision, body FROM clips_clips WHERE revision > ?1 ORDER BY revision LIMIT ?2",
        )?
        .query_map((after, count(limit)), |row| {
            let revision = unsigned(row.get(0)?);
            Ok(readable(clip(row, 1))?.map(|clip| (revision, clip)))
        })?
        .filter_map(Result::transpose)
        .collect()
}

pub(super) fn usage(
    connection: &Connection,
    uploader: &UserId,
    since: UnixMs,
) -> rusqlite::Result<Usage> {
    // A total of floating point: sizes are declared by whoever likes, and a sum of integers could overflow.
    let (bytes, media_ms): (f64, f64) = connection
        .prepare_cached(
            "SELECT total(size), total(CASE WHEN json_valid(body) THEN json_extract(body, '$.media_ms') END) FROM clips_clips
             WHERE uploader = ?1 AND created_ms >= ?2",
        )?
        .query_row(params![uploader.as_str(), since.0], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let open: u32 = connection
        .prepare_cached("SELECT count(*) FROM clips_clips WHERE uploader = ?1 AND state <= 1")?
        .query_row([uploader.as_str()], |row| row.get(0))?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a sum of sizes is not negative, and the cast ends at the largest number"
    )]
    let (bytes, media_ms) = (bytes as u64, media_ms as u64);
    Ok(Usage {
        bytes,
        media: Duration::from_millis(media_ms),
        open,
    })
}

fn clip(row: &Row<'_>, column: usize) -> rusqlite::Result<Clip> {
    let text: String = row.get(column)?;
    stored::read(&text)
        .map_err(|what| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, what.into()))
}

fn count(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
