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

conformance::every_check!(each_store);
