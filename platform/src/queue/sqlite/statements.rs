//! What is done to the tables, each within the caller's transaction.

use super::schema::{key, parts};
use crate::queue::dead_letters::{MAX_RECEIVES, Note};
use crate::queue::{Delivery, Depth, Outgoing, Receipt, ReceiptError};
use kaiwa_common::time::UnixMs;
use rusqlite::{Connection, OptionalExtension, Row, named_params};
use std::collections::BTreeMap;
use std::time::Duration;

/// A queue, as the statements need it.
#[derive(Debug, Clone)]
pub struct Rules {
    pub(super) number: i64,
    pub(super) name: String,
    /// Where what was received more often goes; it stays when `None`.
    pub(super) dead: Option<(i64, u32)>,
    /// How long a message is kept.
    pub(super) retention: Duration,
}

/// What a look for messages gave.
#[derive(Debug, Default)]
pub struct Taken {
    /// Received.
    pub deliveries: Vec<Delivery>,
    /// When the next one can be received; in the past when there are more.
    pub next_due: Option<UnixMs>,
    /// Sent to the dead letters instead.
    pub dead: usize,
}

/// The queue's number, made if it is new.
pub(super) fn number(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    let found = connection
        .prepare_cached("SELECT no FROM queue_names WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    if let Some(number) = found {
        return Ok(number);
    }
    connection.execute(
        "INSERT INTO queue_names (name, next) VALUES (?1, 1)",
        [name],
    )?;
    Ok(connection.last_insert_rowid())
}

/// Adds messages to a queue, and takes away as many that are too old and twice that.
pub fn send(
    connection: &Connection,
    rules: &Rules,
    now: UnixMs,
    messages: &[Outgoing],
) -> rusqlite::Result<()> {
    expire(connection, rules, now, 2 * messages.len() + 2)?;
    insert(connection, rules.number, now, messages)
}

fn insert(
    connection: &Connection,
    queue: i64,
    now: UnixMs,
    messages: &[Outgoing],
) -> rusqlite::Result<()> {
    let count = i64::try_from(messages.len()).unwrap_or(i64::MAX);
    let first: i64 = connection
        .prepare_cached(
            "UPDATE queue_names SET next = next + ?1 WHERE no = ?2 RETURNING next - ?1",
        )?
        .query_row([count, queue], |row| row.get(0))?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO queue_messages (key, queue, visible_ms, receives, sent_ms, attributes, body)
         VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6)",
    )?;
    for (n, message) in (first..).zip(messages) {
        insert.execute((
            key(queue, n),
            queue,
            now.plus(message.delay).0,
            now.0,
            attributes_text(&message.attributes),
            &message.body,
        ))?;
    }
    Ok(())
}

/// Deletes at most `limit` messages that are too old, from the oldest on.
fn expire(
    connection: &Connection,
    rules: &Rules,
    now: UnixMs,
    limit: usize,
) -> rusqlite::Result<usize> {
    let before = now.0.saturating_sub(millis(rules.retention));
    // The first one's time ends this for nearly every call: one seek.
    let mut oldest = connection.prepare_cached(
        "SELECT key, sent_ms FROM queue_messages WHERE key BETWEEN ?1 AND ?2 ORDER BY key LIMIT 1",
    )?;
    let range = [key(rules.number, 0), key(rules.number + 1, 0) - 1];
    for gone in 0..limit {
        let found = oldest
            .query_row(range, |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))
            .optional()?;
        match found {
            Some((key, sent_ms)) if sent_ms < before => remove(connection, key)?,
            Some(_) | None => return Ok(gone),
        }
    }
    Ok(limit)
}

/// Receives at most `max`, invisible to others for `visibility`. What was received too often goes to the dead
/// letters, what is too old is deleted.
pub fn take(
    connection: &Connection,
    rules: &Rules,
    now: UnixMs,
    max: usize,
    visibility: Duration,
) -> rusqlite::Result<Taken> {
    let mut taken = Taken::default();
    // Later than now, or the next round would find it again.
    let until = now.plus(visibility.max(Duration::from_millis(1)));
    for _ in 0..ROUNDS {
        let wanted = max - taken.deliveries.len();
        let due = due(connection, rules, now, wanted)?;
        let (found, before) = (due.len(), taken.deliveries.len());
        for message in due {
            take_one(connection, rules, now, until, message, &mut taken)?;
        }
        if found < wanted || taken.deliveries.len() == before + found {
            break;
        }
    }
    taken.next_due = connection
        .prepare_cached("SELECT min(visible_ms) FROM queue_messages WHERE queue = ?1")?
        .query_row([rules.number], |row| row.get::<_, Option<i64>>(0))?
        .map(UnixMs);
    Ok(taken)
}

/// Looks for replacements of what could not be delivered; those that are left are found by the next call.
const ROUNDS: usize = 8;

fn due(
    connection: &Connection,
    rules: &Rules,
    now: UnixMs,
    limit: usize,
) -> rusqlite::Result<Vec<(i64, Delivery)>> {
    let mut due = connection.prepare_cached(
        "SELECT key, receives, sent_ms, attributes, body FROM queue_messages
         WHERE queue = ?1 AND visible_ms <= ?2 ORDER BY visible_ms LIMIT ?3",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    due.query_map([rules.number, now.0, limit], stored)?
        .collect()
}

/// Receives one, or does with it what has to be done instead.
fn take_one(
    connection: &Connection,
    rules: &Rules,
    now: UnixMs,
    until: UnixMs,
    (key, mut delivery): (i64, Delivery),
    taken: &mut Taken,
) -> rusqlite::Result<()> {
    if now.since(UnixMs(delivery.sent_ms)) > rules.retention {
        return remove(connection, key);
    }
    if let Some((dead, most)) = rules.dead
        && delivery.receives >= most
    {
        let letter = Note::new(MAX_RECEIVES, &rules.name).letter(&delivery);
        insert(connection, dead, now, &[letter])?;
        taken.dead += 1;
        return remove(connection, key);
    }
    delivery.receives = delivery.receives.saturating_add(1);
    delivery.receipt = receipt(key, delivery.receives);
    connection
        .prepare_cached("UPDATE queue_messages SET visible_ms = ?1, receives = ?2 WHERE key = ?3")?
        .execute((until.0, delivery.receives, key))?;
    taken.deliveries.push(delivery);
    Ok(())
}

fn remove(connection: &Connection, key: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM queue_messages WHERE key = ?1")?
        .execute([key])
        .map(|_| ())
}

/// Deletes what these receipts name.
pub fn delete(
    connection: &Connection,
    rules: &Rules,
    receipts: &[Receipt],
) -> rusqlite::Result<Vec<Result<(), ReceiptError>>> {
    let mut delete =
        connection.prepare_cached("DELETE FROM queue_messages WHERE key = ?1 AND receives = ?2")?;
    let mut find = connection.prepare_cached("SELECT 1 FROM queue_messages WHERE key = ?1")?;
    receipts
        .iter()
        .map(|receipt| {
            let Some((key, receives)) = named(rules, receipt) else {
                return Ok(Err(ReceiptError::Stale));
            };
            let is_gone = delete.execute((key, receives))? == 1 || !find.exists([key])?;
            Ok(if is_gone {
                Ok(())
            } else {
                Err(ReceiptError::Stale)
            })
        })
        .collect()
}

/// Sets how long from now each is invisible; a lease that has run out stays so.
pub(super) fn set_visibility(
    connection: &Connection,
    rules: &Rules,
    now: UnixMs,
    batch: &[(Receipt, Duration)],
) -> rusqlite::Result<Vec<Result<(), ReceiptError>>> {
    let mut update = connection.prepare_cached(
        "UPDATE queue_messages SET visible_ms = ?1
         WHERE key = ?2 AND receives = ?3 AND visible_ms > ?4",
    )?;
    batch
        .iter()
        .map(|(receipt, visibility)| {
            let Some((key, receives)) = named(rules, receipt) else {
                return Ok(Err(ReceiptError::Stale));
            };
            let changed = update.execute((now.plus(*visibility).0, key, receives, now.0))?;
            Ok(if changed == 1 {
                Ok(())
            } else {
                Err(ReceiptError::Stale)
            })
        })
        .collect()
}

/// Counts, in the index alone.
pub(super) fn depth(
    connection: &Connection,
    rules: &Rules,
    now: UnixMs,
) -> rusqlite::Result<Depth> {
    let count = |condition: &str| -> rusqlite::Result<u64> {
        let sql = format!(
            "SELECT count(*) FROM queue_messages WHERE queue = :queue AND visible_ms {condition}"
        );
        let params = named_params! {":queue": rules.number, ":now": now.0};
        let mut count = connection.prepare_cached(&sql)?;
        let count: i64 = count.query_row(params, |row| row.get(0))?;
        Ok(u64::try_from(count).unwrap_or(0))
    };
    let oldest_ms = connection
        .prepare_cached(
            "SELECT sent_ms FROM queue_messages WHERE key BETWEEN ?1 AND ?2 ORDER BY key LIMIT 1",
        )?
        .query_row(
            [key(rules.number, 0), key(rules.number + 1, 0) - 1],
            |row| row.get(0),
        )
        .optional()?;
    Ok(Depth {
        visible: count("<= :now")?,
        in_flight: count("> :now AND receives > 0")?,
        delayed: count("> :now AND receives = 0")?,
        oldest_ms,
    })
}

/// What is there after this count, oldest first.
pub(super) fn browse(
    connection: &Connection,
    rules: &Rules,
    after: i64,
    max: usize,
) -> rusqlite::Result<Vec<Delivery>> {
    let last = key(rules.number + 1, 0) - 1;
    let limit = i64::try_from(max).unwrap_or(i64::MAX);
    connection
        .prepare_cached(
            "SELECT key, receives, sent_ms, attributes, body FROM queue_messages
             WHERE key > ?1 AND key <= ?2 ORDER BY key LIMIT ?3",
        )?
        .query_map([key(rules.number, after), last, limit], |row| {
            stored(row).map(|(_, delivery)| delivery)
        })?
        .collect()
}

/// A row, its receipt empty.
fn stored(row: &Row<'_>) -> rusqlite::Result<(i64, Delivery)> {
    let key = row.get(0)?;
    let attributes: Option<String> = row.get(3)?;
    let delivery = Delivery {
        id: parts(key).1.to_string(),
        receipt: Receipt(String::new()),
        receives: row.get(1)?,
        sent_ms: row.get(2)?,
        // Only `attributes_text` writes it.
        attributes: attributes
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default(),
        body: row.get(4)?,
    };
    Ok((key, delivery))
}

fn attributes_text(attributes: &BTreeMap<String, String>) -> Option<String> {
    (!attributes.is_empty())
        .then(|| serde_json::to_string(attributes).expect("strings can be written as JSON"))
}

/// The count tells one delivery from the next.
fn receipt(key: i64, receives: u32) -> Receipt {
    Receipt(format!("{key}.{receives}"))
}

/// The row and the count that a receipt names, if it is one of this queue.
fn named(rules: &Rules, receipt: &Receipt) -> Option<(i64, u32)> {
    let (key, receives) = receipt.0.split_once('.')?;
    let key: i64 = key.parse().ok()?;
    (parts(key).0 == rules.number).then_some(())?;
    Some((key, receives.parse().ok()?))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
