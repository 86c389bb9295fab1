//! The tables, and why they are shaped so.
//!
//! One row for a message, in place from sending to deletion. Its key is one integer, the queue's number and a
//! count of its messages: a queue's oldest stand at the left, and retention is a range from there. A count is
//! never given twice, so that an old receipt cannot name a new message.
//!
//! `queue_due` has what can be received next at the left of each queue; so receiving is a seek, however many
//! wait. Receiving and extending overwrite two columns of the row and move its entry in the index.

use crate::sqlite::Schema;

/// From version 0 on.
pub(super) const SCHEMA: Schema = Schema {
    component: "queue",
    migrations: &[V1],
};

const V1: &str = "
CREATE TABLE queue_names (
    no   INTEGER PRIMARY KEY,
    name TEXT    NOT NULL UNIQUE,
    next INTEGER NOT NULL             -- the next message's count
) STRICT;

CREATE TABLE queue_messages (
    key        INTEGER PRIMARY KEY,   -- no << 44 | count
    queue      INTEGER NOT NULL,      -- no
    visible_ms INTEGER NOT NULL,      -- not received before: a delay's or a lease's end
    receives   INTEGER NOT NULL,
    sent_ms    INTEGER NOT NULL,
    attributes TEXT,                  -- a JSON object; NULL for none
    body       TEXT    NOT NULL
) STRICT;
CREATE INDEX queue_due ON queue_messages (queue, visible_ms, receives)
";

/// Bits of a key that count messages: seventeen million million of each queue.
const COUNT_BITS: u32 = 44;

/// A message's key.
pub(super) fn key(queue: i64, count: i64) -> i64 {
    queue << COUNT_BITS | count
}

/// Whose key it is, and the message's count.
pub(super) fn parts(key: i64) -> (i64, i64) {
    (key >> COUNT_BITS, key & ((1 << COUNT_BITS) - 1))
}
