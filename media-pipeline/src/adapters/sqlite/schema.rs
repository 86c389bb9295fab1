//! The tables, and why they are shaped so.

use kaiwa_platform::sqlite::Schema;

/// The clips' part of the database.
pub const SCHEMA: Schema = Schema {
    component: "clips",
    migrations: &[V1, V2, V3],
};

/// A clip is one row: what is searched for in columns, all of it in `body`. Its revision moves it to the end of
/// `clips_revision`, so that whoever watches reads on from where they were.
const V1: &str = "
CREATE TABLE clips_clips (
    id         BLOB PRIMARY KEY,          -- UUIDv7: newest last
    version    INTEGER NOT NULL,
    revision   INTEGER NOT NULL,
    uploader   TEXT    NOT NULL,
    state      INTEGER NOT NULL,
    size       INTEGER NOT NULL,          -- as declared
    created_ms INTEGER NOT NULL,
    due_ms     INTEGER,
    backend    INTEGER,
    job        TEXT,
    body       TEXT    NOT NULL           -- JSON
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX clips_revision ON clips_clips (revision);
CREATE INDEX clips_of_person ON clips_clips (uploader, id);
CREATE INDEX clips_used ON clips_clips (uploader, created_ms, size);
CREATE INDEX clips_open ON clips_clips (uploader) WHERE state <= 1;
CREATE INDEX clips_due ON clips_clips (due_ms, id) WHERE due_ms IS NOT NULL;
CREATE INDEX clips_job ON clips_clips (job, backend) WHERE job IS NOT NULL;

CREATE TABLE clips_rooms (                -- where each is shown
    room  TEXT    NOT NULL,
    clip  BLOB    NOT NULL,
    PRIMARY KEY (room, clip)
) STRICT, WITHOUT ROWID;

CREATE TABLE clips_revisions (            -- one row: the newest
    only     INTEGER PRIMARY KEY CHECK (only = 1),
    revision INTEGER NOT NULL
) STRICT;
INSERT INTO clips_revisions VALUES (1, 0);

CREATE TABLE clips_requests (
    caller TEXT    NOT NULL,
    key    TEXT    NOT NULL,
    hash   BLOB    NOT NULL,
    clip   BLOB    NOT NULL,
    at_ms  INTEGER NOT NULL,
    PRIMARY KEY (caller, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX clips_requests_age ON clips_requests (at_ms);

CREATE TABLE clips_events (
    id    TEXT    PRIMARY KEY,
    at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX clips_events_age ON clips_events (at_ms);
";

/// A clip leaves a room when its message there is deleted; and what is not over is counted.
const V2: &str = "
CREATE INDEX clips_rooms_of_clip ON clips_rooms (clip);
CREATE INDEX clips_under_way ON clips_clips (state) WHERE state <= 6;
";

/// What a clip's objects take up, as `Clip::stored_bytes` has it: added up over an index that has nothing else.
const V3: &str = "
ALTER TABLE clips_clips ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
UPDATE clips_clips SET bytes = size + coalesce(
    (SELECT sum(value) FROM json_each(body, '$.outputs.files')), 0)
  WHERE state NOT IN (8, 9, 11, 12) AND json_valid(body);
CREATE INDEX clips_bytes ON clips_clips (bytes) WHERE bytes > 0;
";
