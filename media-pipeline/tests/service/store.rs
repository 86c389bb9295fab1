//! A store whose writes fail when a test says so.

use kaiwa_common::id::UserId;
use kaiwa_common::time::UnixMs;
use kaiwa_media_pipeline::adapters::memory::MemoryStore;
use kaiwa_media_pipeline::model::{Backend, Clip, ClipId, ClipState};
use kaiwa_media_pipeline::ports::{Answer, ClipStore, Page, Query, Request, StoreError, Usage};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

/// Writes that fail at most: who tries more often is in a hurry that helps nobody.
const PATIENCE: u32 = 1_000;

#[derive(Default)]
pub(crate) struct ReadOnly {
    rows: MemoryStore,
    failed: AtomicU32,
    pub(crate) failing: AtomicU32,
}

impl ClipStore for ReadOnly {
    fn insert<'a>(
        &'a self,
        clip: &'a Clip,
        of: Option<&'a Request>,
    ) -> Answer<'a, u64, StoreError> {
        self.rows.insert(clip, of)
    }

    fn get(&self, id: ClipId) -> Answer<'_, Option<Clip>, StoreError> {
        self.rows.get(id)
    }

    fn get_many<'a>(&'a self, ids: &'a [ClipId]) -> Answer<'a, Vec<Clip>, StoreError> {
        self.rows.get_many(ids)
    }

    fn update<'a>(
        &'a self,
        expected: u64,
        clip: &'a Clip,
        of: Option<&'a Request>,
    ) -> Answer<'a, u64, StoreError> {
        if self.failing.load(Ordering::Relaxed) == 0 {
            return self.rows.update(expected, clip, of);
        }
        Box::pin(async {
            tokio::task::yield_now().await;
            let failed = self.failed.fetch_add(1, Ordering::Relaxed);
            assert!(failed < PATIENCE, "it tries again without a pause");
            Err(StoreError::Unavailable("the disk is full".to_owned()))
        })
    }

    fn list<'a>(&'a self, query: &'a Query) -> Answer<'a, Page, StoreError> {
        self.rows.list(query)
    }

    fn due(&self, now: UnixMs, limit: usize) -> Answer<'_, Vec<Clip>, StoreError> {
        self.rows.due(now, limit)
    }

    fn by_job<'a>(&'a self, of: Backend, job: &'a str) -> Answer<'a, Option<Clip>, StoreError> {
        self.rows.by_job(of, job)
    }

    fn answered<'a>(
        &'a self,
        who: &'a str,
        key: &'a str,
    ) -> Answer<'a, Option<Request>, StoreError> {
        self.rows.answered(who, key)
    }

    fn note<'a>(&'a self, request: &'a Request) -> Answer<'a, (), StoreError> {
        self.rows.note(request)
    }

    fn first_time<'a>(&'a self, event: &'a str, now: UnixMs) -> Answer<'a, bool, StoreError> {
        self.rows.first_time(event, now)
    }

    fn revision(&self) -> Answer<'_, u64, StoreError> {
        self.rows.revision()
    }

    fn changes(&self, after: u64, limit: usize) -> Answer<'_, Vec<(u64, Clip)>, StoreError> {
        self.rows.changes(after, limit)
    }

    fn usage<'a>(&'a self, user: &'a UserId, since: UnixMs) -> Answer<'a, Usage, StoreError> {
        self.rows.usage(user, since)
    }

    fn under_way(&self, limit: usize) -> Answer<'_, BTreeMap<ClipState, usize>, StoreError> {
        self.rows.under_way(limit)
    }

    fn trim(&self, now: UnixMs) -> Answer<'_, usize, StoreError> {
        self.rows.trim(now)
    }
}
