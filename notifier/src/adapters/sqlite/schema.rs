//! The tables, and why they are shaped so.
//!
//! A push costs a decision, a row of the ledger that is written twice, a row of what is shown, and its time
//! with the device. All but the last are in tables that are trimmed from their old end.

use kaiwa_platform::sqlite::Schema;

/// The notifier's part of the database.
pub const SCHEMA: Schema = Schema {
    component: "notify",
    migrations: &[V1],
};

const V1: &str = "
CREATE TABLE notify_people (
    user      TEXT PRIMARY KEY,
    muted_ms  INTEGER NOT NULL,           -- until when; 0 is not, the largest number is for ever
    mentions  INTEGER NOT NULL,
    calls     INTEGER NOT NULL,
    wake_only INTEGER NOT NULL,
    badge     INTEGER NOT NULL,
    level     INTEGER NOT NULL            -- 0 all, 1 mentions, 2 nothing
) STRICT, WITHOUT ROWID;

CREATE TABLE notify_versions (            -- of a person's settings, with those for rooms
    user    TEXT PRIMARY KEY,
    version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE notify_rooms (               -- what differs from the default
    user     TEXT    NOT NULL,
    room     TEXT    NOT NULL,
    muted_ms INTEGER NOT NULL,
    level    INTEGER,                     -- as the person's; not set where theirs holds
    PRIMARY KEY (user, room)
) STRICT, WITHOUT ROWID;
CREATE INDEX notify_rooms_opted ON notify_rooms (room, user) WHERE level = 0;

CREATE TABLE notify_devices (
    id             BLOB PRIMARY KEY,
    user           TEXT    NOT NULL,
    channel        INTEGER NOT NULL,      -- the wire's numbers
    token          BLOB    NOT NULL UNIQUE, -- a hash of what the provider knows it by: one owner each
    address        TEXT    NOT NULL,
    address_key    BLOB    NOT NULL,
    address_more   BLOB    NOT NULL,
    label          TEXT    NOT NULL,
    registered_ms  INTEGER NOT NULL,
    enabled        INTEGER NOT NULL,
    wake_only      INTEGER NOT NULL,
    quiet_from     INTEGER,               -- minutes of the day
    quiet_to       INTEGER,
    quiet_zone     TEXT,
    strikes        INTEGER NOT NULL,
    quarantined_ms INTEGER,
    installation   TEXT    NOT NULL,      -- what the app calls itself
    last_push_ms   INTEGER,
    quiet_calls    INTEGER NOT NULL DEFAULT 0, -- let through
    quiet_mentions INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX notify_devices_of_user ON notify_devices (user, registered_ms);

CREATE TABLE notify_ledger (
    event  BLOB    NOT NULL,
    device BLOB    NOT NULL,
    state  INTEGER NOT NULL,              -- 0 claimed, 1 open, 2 sent, 3 failed
    ms     INTEGER NOT NULL,              -- claimed until; else when it came to be so
    detail TEXT    NOT NULL,              -- the provider's id for it, or a code
    PRIMARY KEY (event, device)
) STRICT, WITHOUT ROWID;
CREATE INDEX notify_ledger_claimed ON notify_ledger (device, ms) WHERE state = 0;
CREATE INDEX notify_ledger_age ON notify_ledger (ms);

CREATE TABLE notify_shown (               -- what a device may show: written with the claim
    user     TEXT    NOT NULL,
    collapse TEXT    NOT NULL,
    device   BLOB    NOT NULL,
    seq      INTEGER NOT NULL,
    ms       INTEGER NOT NULL,
    PRIMARY KEY (user, collapse, device)
) STRICT, WITHOUT ROWID;
CREATE INDEX notify_shown_age ON notify_shown (ms);

CREATE TABLE notify_over (                -- calls that ring no more, for whom
    user     TEXT    NOT NULL,
    collapse TEXT    NOT NULL,
    ms       INTEGER NOT NULL,
    PRIMARY KEY (user, collapse)
) STRICT, WITHOUT ROWID;
CREATE INDEX notify_over_age ON notify_over (ms);

CREATE TABLE notify_decisions (
    no         INTEGER PRIMARY KEY,       -- counts on; the lowest are the oldest
    event      BLOB    NOT NULL,
    user       TEXT    NOT NULL,
    time_ms    INTEGER NOT NULL,
    at_ms      INTEGER NOT NULL,
    room       TEXT,
    class      TEXT    NOT NULL,
    steps      TEXT    NOT NULL,
    suppressed TEXT,
    devices    TEXT    NOT NULL,
    seq        INTEGER,                   -- of the message in its room
    UNIQUE (event, user)
) STRICT;
CREATE INDEX notify_decisions_of_user ON notify_decisions (user, no);

CREATE TABLE notify_recent (              -- for the digest
    user     TEXT    NOT NULL,
    room     TEXT    NOT NULL,
    began_ms INTEGER NOT NULL,
    pushes   INTEGER NOT NULL,
    PRIMARY KEY (user, room)
) STRICT, WITHOUT ROWID;
CREATE INDEX notify_recent_age ON notify_recent (began_ms);

CREATE TABLE notify_held (
    user     TEXT    NOT NULL,
    device   BLOB    NOT NULL,
    collapse TEXT    NOT NULL,
    until_ms INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    event    TEXT    NOT NULL,            -- the latest, as the wire has it
    count    INTEGER NOT NULL,
    PRIMARY KEY (user, device, collapse)
) STRICT, WITHOUT ROWID;
CREATE INDEX notify_held_until ON notify_held (until_ms);
";
