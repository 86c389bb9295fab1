//! What every store of clips holds to, whichever it is.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test may fail as a test does"
)]

#[path = "core/make.rs"]
#[allow(dead_code, reason = "shared with the tests of the core")]
mod make;

#[path = "store/conformance.rs"]
mod conformance;
#[path = "store/sqlite.rs"]
mod sqlite;

use kaiwa_media_pipeline::adapters::memory::MemoryStore;
use kaiwa_media_pipeline::adapters::sqlite::SqliteStore;
use kaiwa_media_pipeline::ports::ClipStore;
use std::sync::Arc;

async fn sqlite() -> (Arc<dyn ClipStore>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(sqlite::database(folder.path()))
        .await
        .unwrap();
    (Arc::new(store), folder)
}

macro_rules! each_store {
    ($($check:ident)*) => {
        mod in_memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                let store = std::sync::Arc::new(super::MemoryStore::default());
                super::conformance::$check(store).await;
            })*
        }
        mod in_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                let (store, _held) = super::sqlite().await;
                super::conformance::$check(store).await;
            })*
        }
    };
}

each_store! {
    a_clip_comes_back_as_it_was
    of_writers_at_once_one_wins
    a_request_is_answered_once_for_a_day
    pages_go_from_the_newest_on_and_leave_nothing_out
    what_is_due_comes_longest_due_first
    a_job_finds_its_clip
    revisions_rise_without_holes_and_changes_come_in_their_order
    an_event_is_new_once_a_week
    usage_counts_a_persons_bytes_and_open_uploads
}
