//! Wakes what has waited long enough, and forgets what is old.

use crate::core::retry::Failure;
use crate::metrics;
use crate::ports::Due;
use crate::service::router::Router;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Waiting pushes in one look; a full look is followed by the next at once.
const LOOKED_AT: usize = 200;

/// Looks between two of forgetting.
const TRIM: u32 = 30;

/// Runs until it is told to stop.
pub(super) async fn run(router: Arc<Router>, stop: CancellationToken) {
    let mut looks = 0_u32;
    while !stop.is_cancelled() {
        let was_full = sweep(&router, &stop).await;
        looks = looks.wrapping_add(1);
        if looks.is_multiple_of(TRIM) {
            trim(&router, &stop).await;
        }
        if !was_full {
            let next = router.clock.now().plus(LOOK);
            tokio::select! {
                () = stop.cancelled() => return,
                () = router.clock.sleep_until(next) => {}
            }
        }
    }
}

/// True when there may be more.
async fn sweep(router: &Router, stop: &CancellationToken) -> bool {
    let due = match router.store.due(router.clock.now(), LOOKED_AT).await {
        Ok(due) => due,
        Err(error) => {
            metrics::unanswered("store");
            tracing::warn!(%error, "what waits is not known");
            return false;
        }
    };
    let is_full = due.len() == LOOKED_AT;
    for group in groups(due) {
        if stop.is_cancelled() {
            return false;
        }
        let released = match router.release(&group).await {
            Err(Failure::Poison { reason }) => router.give_up(&group, &reason).await,
            released => released,
        };
        if let Err(failure) = released {
            // It is still there, and due.
            tracing::warn!(?failure, "not released");
            return false;
        }
    }
    is_full
}

/// What shows the same event to the same person goes together.
fn groups(due: Vec<Due>) -> Vec<Vec<Due>> {
    let mut groups: Vec<Vec<Due>> = Vec::new();
    for one in due {
        let same = |group: &&mut Vec<Due>| {
            group[0].user == one.user
                && group[0].collapse == one.collapse
                && group[0].event == one.event
        };
        match groups.iter_mut().rev().find(same) {
            Some(group) => group.push(one),
            None => groups.push(vec![one]),
        }
    }
    groups
}

async fn trim(router: &Router, stop: &CancellationToken) {
    // In small commits, so that nobody waits for them.
    while !stop.is_cancelled() {
        match router.store.trim(router.clock.now()).await {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) => {
                metrics::unanswered("store");
                tracing::warn!(%error, "nothing forgotten");
                return;
            }
        }
    }
}
