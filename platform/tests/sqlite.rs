//! The writer's promises: jobs share a commit and nothing else, an answer comes after its commit, a
//! full queue says so at once, and what cannot be written is never said to be.
#![expect(clippy::unwrap_used, reason = "in a test it is the failure's place")]

use kaiwa_platform::sqlite::{
    Keep, Migration, OpenError, Schema, Sqlite, SqliteOptions, WriteError,
};
use rusqlite::Connection;
use std::path::Path;
use std::sync::mpsc;
use tempfile::TempDir;

const SCHEMA: &[Migration] = &["CREATE TABLE numbers (n INTEGER PRIMARY KEY)"];

fn open(dir: &TempDir) -> Sqlite {
    Sqlite::open(options(dir.path()), SCHEMA).unwrap()
}

fn options(dir: &Path) -> SqliteOptions {
    SqliteOptions::new(dir.join("test.db"))
}

fn insert(n: i64) -> impl FnOnce(&Connection) -> rusqlite::Result<(Keep, i64)> + Send {
    move |connection| {
        connection.execute("INSERT INTO numbers VALUES (?1)", [n])?;
        Ok((Keep::Yes, n))
    }
}

async fn numbers(db: &Sqlite) -> Vec<i64> {
    let select = |connection: &Connection| {
        let mut select = connection.prepare("SELECT n FROM numbers ORDER BY n")?;
        select.query_map([], |row| row.get(0))?.collect()
    };
    db.readers.run(select).await.unwrap()
}

/// Keeps the writer busy until the sender is dropped or used.
fn block(db: &Sqlite) -> mpsc::Sender<()> {
    let (release, wait) = mpsc::channel::<()>();
    let (begun, running) = mpsc::channel::<()>();
    drop(db.writer.submit(0, move |_| {
        begun.send(()).unwrap();
        let _ = wait.recv();
        Ok((Keep::Yes, ()))
    }));
    running.recv().unwrap();
    release
}

#[tokio::test]
async fn what_waits_together_is_committed_together() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(&dir);
    let release = block(&db);
    let jobs: Vec<_> = (0..100).map(|n| db.writer.submit(1, insert(n))).collect();
    drop(release);
    for (n, job) in (0..).zip(jobs) {
        assert_eq!(job.await.unwrap(), n);
    }
    let stats = db.writer.stats().snapshot();
    assert_eq!(
        (stats.jobs, stats.commits, stats.largest_batch),
        (101, 1, 101)
    );
    assert_eq!(numbers(&db).await, (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_group_ends_at_its_bounds() {
    let dir = tempfile::tempdir().unwrap();
    let bounds = SqliteOptions {
        group_jobs: 10,
        group_bytes: 500,
        ..options(dir.path())
    };
    let db = Sqlite::open(bounds, SCHEMA).unwrap();
    let release = block(&db);
    let jobs: Vec<_> = (0..29).map(|n| db.writer.submit(1, insert(n))).collect();
    let large: Vec<_> = (29..31)
        .map(|n| db.writer.submit(1_000, insert(n)))
        .collect();
    drop(release);
    for job in jobs.into_iter().chain(large) {
        job.await.unwrap();
    }
    // 1 + 9, 10, 10, then a large one alone ends a group, twice.
    let stats = db.writer.stats().snapshot();
    assert_eq!((stats.commits, stats.largest_batch), (5, 10));
}

#[tokio::test]
async fn a_job_that_fails_or_panics_or_gives_up_takes_nobody_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(&dir);
    let release = block(&db);
    let good = db.writer.submit(1, insert(1));
    let twice = db.writer.submit(1, |connection| {
        connection.execute("INSERT INTO numbers VALUES (2)", [])?;
        connection.execute("INSERT INTO numbers VALUES (1)", [])?;
        Ok((Keep::Yes, ()))
    });
    let panics = db
        .writer
        .submit(1, |connection| -> rusqlite::Result<(Keep, ())> {
            connection.execute("INSERT INTO numbers VALUES (3)", [])?;
            panic!("a job's own fault");
        });
    let gives_up = db.writer.submit(1, |connection| {
        connection.execute("INSERT INTO numbers VALUES (4)", [])?;
        Ok((Keep::No, "conflict"))
    });
    let also_good = db.writer.submit(1, insert(5));
    drop(release);
    assert_eq!(good.await.unwrap(), 1);
    assert!(matches!(twice.await, Err(WriteError::Failed(_))));
    assert!(matches!(panics.await, Err(WriteError::Panicked)));
    assert_eq!(gives_up.await.unwrap(), "conflict");
    assert_eq!(also_good.await.unwrap(), 5);
    assert_eq!(numbers(&db).await, [1, 5]);
    let stats = db.writer.stats().snapshot();
    assert_eq!((stats.commits, stats.undone_jobs), (1, 3));
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let db = Sqlite::open(
        SqliteOptions {
            write_queue: 3,
            ..options(dir.path())
        },
        SCHEMA,
    )
    .unwrap();
    let release = block(&db);
    let taken: Vec<_> = (0..3).map(|n| db.writer.submit(1, insert(n))).collect();
    let refused = db.writer.submit(1, insert(3));
    assert!(matches!(refused.await, Err(WriteError::Overloaded)));
    drop(release);
    for job in taken {
        job.await.unwrap();
    }
    assert_eq!(numbers(&db).await, [0, 1, 2]);
    assert_eq!(db.writer.stats().snapshot().refused_jobs, 1);
}

#[tokio::test]
async fn a_full_disk_fails_the_jobs_that_need_it_and_the_writer_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(&dir);
    // SQLite answers SQLITE_FULL when the file would outgrow this, as it does for a full disk.
    let limit = |pages: i64| {
        db.writer.submit(1, move |connection| {
            connection.pragma_update(None, "max_page_count", pages)?;
            Ok((Keep::Yes, ()))
        })
    };
    let pages: i64 = db
        .readers
        .run(|connection| connection.query_row("PRAGMA page_count", [], |row| row.get(0)))
        .await
        .unwrap();
    limit(pages).await.unwrap();
    let release = block(&db);
    let beside = db.writer.submit(1, insert(1));
    let large = db.writer.submit(1, |connection| {
        connection.execute("CREATE TABLE large AS SELECT randomblob(1000000)", [])?;
        Ok((Keep::Yes, ()))
    });
    drop(release);
    let (beside, large) = (beside.await, large.await);
    assert!(large.is_err());
    // Whatever SQLite gave up, what was said is what is there.
    assert_eq!(
        numbers(&db).await,
        beside.map(|n| vec![n]).unwrap_or_default()
    );
    limit(1_000_000).await.unwrap();
    db.writer.submit(1, insert(7)).await.unwrap();
    assert!(numbers(&db).await.contains(&7));
}

#[tokio::test]
async fn a_failed_commit_fails_its_jobs_and_the_writer_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(&dir);
    let deferred =
        "CREATE TABLE children (n INTEGER REFERENCES numbers DEFERRABLE INITIALLY DEFERRED)";
    db.writer
        .submit(1, |c| c.execute(deferred, []).map(|_| (Keep::Yes, ())))
        .await
        .unwrap();
    let release = block(&db);
    let good = db.writer.submit(1, insert(1));
    // A deferred constraint is looked at by COMMIT.
    let orphan = db.writer.submit(1, |connection| {
        connection
            .execute("INSERT INTO children VALUES (99)", [])
            .map(|_| (Keep::Yes, ()))
    });
    drop(release);
    assert!(matches!(good.await, Err(WriteError::Unknown(_))));
    assert!(matches!(orphan.await, Err(WriteError::Unknown(_))));
    assert_eq!(numbers(&db).await, [] as [i64; 0]);
    db.writer.submit(1, insert(2)).await.unwrap();
    assert_eq!(numbers(&db).await, [2]);
    assert_eq!(db.writer.stats().snapshot().failed_commits, 1);
}

#[tokio::test]
async fn closing_commits_what_was_taken_and_empties_the_wal() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(&dir);
    let release = block(&db);
    let taken = db.writer.submit(1, insert(1));
    drop(release);
    db.writer.close();
    assert_eq!(taken.await.unwrap(), 1);
    assert!(matches!(
        db.writer.submit(1, insert(2)).await,
        Err(WriteError::Closed)
    ));
    let wal = std::fs::metadata(dir.path().join("test.db-wal")).map_or(0, |wal| wal.len());
    assert_eq!(wal, 0);
    assert_eq!(numbers(&db).await, [1]);
}

#[tokio::test]
async fn a_read_sees_one_commit_while_the_writer_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(&dir);
    db.writer.submit(1, insert(1)).await.unwrap();
    let (reading, begun) = mpsc::channel::<()>();
    let (go_on, wait) = mpsc::channel::<()>();
    let readers = db.readers.clone();
    let read = tokio::spawn(async move {
        readers
            .run(move |connection| {
                let count =
                    || connection.query_row("SELECT count(*) FROM numbers", [], |r| r.get(0));
                let before: i64 = count()?;
                reading.send(()).unwrap();
                wait.recv().unwrap();
                let after: i64 = count()?;
                Ok((before, after))
            })
            .await
    });
    tokio::task::spawn_blocking(move || begun.recv().unwrap())
        .await
        .unwrap();
    db.writer.submit(1, insert(2)).await.unwrap();
    go_on.send(()).unwrap();
    assert_eq!(read.await.unwrap().unwrap(), (1, 1));
    assert_eq!(numbers(&db).await, [1, 2]);
}

#[tokio::test]
async fn readers_cannot_write() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(&dir);
    let write = |connection: &Connection| connection.execute("INSERT INTO numbers VALUES (1)", []);
    assert!(db.readers.run(write).await.is_err());
}

#[tokio::test]
async fn a_backup_is_a_database_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(&dir);
    for n in 0..50 {
        db.writer.submit(1, insert(n)).await.unwrap();
    }
    let copy = dir.path().join("copy.db");
    db.backup(&copy).await.unwrap();
    assert!(
        db.backup(&copy).await.is_err(),
        "an existing file is not overwritten"
    );
    let copy = Sqlite::open(SqliteOptions::new(copy), SCHEMA).unwrap();
    assert_eq!(numbers(&copy).await.len(), 50);
}

#[test]
fn migrations_run_once_and_a_newer_schema_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let two: &[Migration] = &[SCHEMA[0], "ALTER TABLE numbers ADD COLUMN word TEXT"];
    drop(Sqlite::open(options(dir.path()), SCHEMA).unwrap());
    drop(Sqlite::open(options(dir.path()), two).unwrap());
    drop(Sqlite::open(options(dir.path()), two).unwrap());
    let refused = Sqlite::open(options(dir.path()), SCHEMA);
    assert!(matches!(
        refused,
        Err(OpenError::NewerSchema { found: 2, known: 1 })
    ));
}

#[tokio::test]
async fn components_share_a_database_and_keep_versions_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let v1 = Schema {
        component: "birds",
        migrations: &["CREATE TABLE birds (name TEXT)"],
    };
    let v2 = Schema {
        migrations: &[
            "CREATE TABLE birds (name TEXT)",
            "ALTER TABLE birds ADD COLUMN song TEXT",
        ],
        ..v1
    };
    let fish = Schema {
        component: "fish",
        migrations: &["CREATE TABLE fish (name TEXT)"],
    };
    let db = open(&dir);
    for schema in [v1, fish, v2, v2] {
        db.migrate(schema).await.unwrap();
    }
    let refused = db.migrate(v1).await;
    assert!(
        matches!(
            refused,
            Err(OpenError::NewerComponent {
                component: "birds",
                found: 2,
                known: 1
            })
        ),
        "{refused:?}"
    );
    // The one who opens it has `user_version`, which the others leave alone.
    drop(db);
    open(&dir);
}

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(&dir);
    let broken = Schema {
        component: "birds",
        migrations: &["CREATE TABLE birds (name TEXT)", "CREATE TABLE birds (oops"],
    };
    assert!(db.migrate(broken).await.is_err());
    let mended = Schema {
        migrations: &["CREATE TABLE birds (name TEXT)"],
        ..broken
    };
    db.migrate(mended).await.unwrap();
}
