//! What the writer has done: plain counters that an exporter reads.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Counters of one writer, from its start.
#[derive(Debug, Default)]
pub struct WriterStats {
    commits: AtomicU64,
    failed_commits: AtomicU64,
    jobs: AtomicU64,
    undone_jobs: AtomicU64,
    refused_jobs: AtomicU64,
    largest_batch: AtomicU64,
    commit_micros: AtomicU64,
    slowest_commit_micros: AtomicU64,
    busy_micros: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StatsSnapshot {
    /// Transactions committed.
    pub commits: u64,
    /// Transactions that failed, at `COMMIT` or before; of some the disk may have all the same.
    pub failed_commits: u64,
    /// Jobs run.
    pub jobs: u64,
    /// Jobs rolled back alone: conflicts, duplicates, errors.
    pub undone_jobs: u64,
    /// Jobs refused because the queue was full.
    pub refused_jobs: u64,
    /// The most jobs that one transaction had.
    pub largest_batch: u64,
    /// Time in `COMMIT`, nearly all of it `fsync` (and now and then a checkpoint), in µs.
    pub commit_micros: u64,
    /// The longest `COMMIT`, in µs.
    pub slowest_commit_micros: u64,
    /// Time in jobs and `COMMIT` together, in µs.
    pub busy_micros: u64,
}

impl WriterStats {
    /// The counters now; each is exact, together they may be of slightly different moments.
    #[must_use]
    pub fn snapshot(&self) -> StatsSnapshot {
        StatsSnapshot {
            commits: self.commits.load(Relaxed),
            failed_commits: self.failed_commits.load(Relaxed),
            jobs: self.jobs.load(Relaxed),
            undone_jobs: self.undone_jobs.load(Relaxed),
            refused_jobs: self.refused_jobs.load(Relaxed),
            largest_batch: self.largest_batch.load(Relaxed),
            commit_micros: self.commit_micros.load(Relaxed),
            slowest_commit_micros: self.slowest_commit_micros.load(Relaxed),
            busy_micros: self.busy_micros.load(Relaxed),
        }
    }

    pub(super) fn count_group(&self, jobs: u64, undone: u64) {
        self.jobs.fetch_add(jobs, Relaxed);
        self.undone_jobs.fetch_add(undone, Relaxed);
        self.largest_batch.fetch_max(jobs, Relaxed);
    }

    pub(super) fn count_commit(&self, committed: bool, commit: Duration, busy: Duration) {
        let counter = if committed {
            &self.commits
        } else {
            &self.failed_commits
        };
        counter.fetch_add(1, Relaxed);
        self.commit_micros.fetch_add(micros(commit), Relaxed);
        self.slowest_commit_micros
            .fetch_max(micros(commit), Relaxed);
        self.busy_micros.fetch_add(micros(busy), Relaxed);
    }

    pub(super) fn count_refused(&self) {
        self.refused_jobs.fetch_add(1, Relaxed);
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
