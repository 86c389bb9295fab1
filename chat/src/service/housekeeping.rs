//! What has to be done now and then: cleaning journals after erasures, forgetting old cids.

use super::{Clock, Inner};
use crate::ports::Store;
use kaiwa_common::limits::CID_WINDOW;
use kaiwa_common::time::UnixMs;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How long an erased text may stay in the store's journals. Cleaning costs the writer some
/// milliseconds, so it is not done for each deletion.
const SCRUB: Duration = Duration::from_secs(10);

/// Rounds of [`SCRUB`] between two purges of old cids: every ten minutes.
const ROUNDS_PER_PURGE: u32 = 60;

/// Cids forgotten in one go, which is one job of the writer: a few milliseconds.
const PURGE: usize = 2_000;

/// How much longer than needed a cid is remembered: clocks are set back, also the server's.
const MARGIN: Duration = Duration::from_secs(3600);

/// What keeping house needs. The service holds it, so that it can also be asked to.
pub(super) struct Housekeeping {
    store: Arc<dyn Store>,
    clock: Clock,
    erasures: Vec<Arc<AtomicBool>>,
}

/// Keeps house as long as the service has handles.
pub(super) async fn run(service: Weak<Inner>) {
    let mut rounds = tokio::time::interval(SCRUB);
    for round in 0_u32.. {
        rounds.tick().await;
        let Some(service) = service.upgrade() else {
            return;
        };
        service.housekeeping.scrub().await;
        if round.is_multiple_of(ROUNDS_PER_PURGE) {
            service.housekeeping.purge().await;
        }
    }
}

impl Housekeeping {
    pub(super) fn new(store: Arc<dyn Store>, clock: Clock, erasures: Vec<Arc<AtomicBool>>) -> Self {
        Self {
            store,
            clock,
            erasures,
        }
    }

    /// Cleans the store's journals, if anything was erased, by this process or perhaps the one before.
    pub(super) async fn scrub(&self) {
        let erased: Vec<_> = self
            .erasures
            .iter()
            .filter(|flag| flag.swap(false, Relaxed))
            .collect();
        if erased.is_empty() {
            return;
        }
        if let Err(error) = self.store.scrub().await {
            tracing::warn!(%error, "erased texts are still in the journal; trying again");
            erased.iter().for_each(|flag| flag.store(true, Relaxed));
        }
    }

    /// Forgets cids that are refused by now.
    pub(super) async fn purge(&self) {
        let now = (self.clock)();
        let age = i64::try_from((CID_WINDOW + MARGIN).as_millis()).unwrap_or(i64::MAX);
        let before = UnixMs(now.0.saturating_sub(age));
        loop {
            match self.store.purge_cids(before, PURGE).await {
                Ok(PURGE) => tokio::task::yield_now().await,
                Ok(_) => return,
                Err(error) => {
                    tracing::debug!(%error, "old cids were not purged this time");
                    return;
                }
            }
        }
    }
}
