//! A fan-out worker: it delivers what was committed to the sessions that belong to it, in order.

use super::frames::{Batch, state_push};
use super::{Follow, Hub, Notice, Part};
use crate::metrics::Metrics;
use crate::session::Session;
use kaiwa_chat::bus::MemberChange;
use kaiwa_chat::model::Membership;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use tokio::sync::mpsc;

/// Deliveries after which other tasks get their turn: about a third of a millisecond of writing.
const TURN: usize = 64;

/// What a worker does next.
pub(super) enum Job {
    /// Events for some of a room's followers.
    Events {
        part: Arc<Part>,
        batch: Arc<Batch>,
        pending: Pending,
    },
    /// A notice for some of a room's followers.
    Notice {
        part: Arc<Part>,
        notice: Arc<Notice>,
        pending: Pending,
    },
    /// A person's new standing in a room, for one of their sessions.
    Change {
        session: Arc<Session>,
        change: Arc<MemberChange>,
        pending: Pending,
    },
}

/// Counts a job of a room for as long as it is not done.
pub(super) struct Pending(Arc<AtomicU32>);

impl Pending {
    pub(super) fn of(room: &Arc<AtomicU32>) -> Self {
        room.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(room))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Works until the hub is gone.
pub(super) async fn run(mut jobs: mpsc::Receiver<Job>, hub: Weak<Hub>, metrics: Metrics) {
    let mut followers: Vec<Arc<Follow>> = Vec::new();
    while let Some(job) = jobs.recv().await {
        match job {
            Job::Events {
                part,
                batch,
                pending,
            } => {
                let count = to_all(&mut followers, &part, |follow| follow.deliver(&batch)).await;
                metrics.deliveries.increment((count * batch.len()) as u64);
                drop(pending);
            }
            Job::Notice {
                part,
                notice,
                pending,
            } => {
                to_all(&mut followers, &part, |follow| follow.tell(&notice)).await;
                drop(pending);
            }
            Job::Change {
                session,
                change,
                pending,
            } => {
                let Some(hub) = hub.upgrade() else { return };
                whole(|| perform_change(&hub, &session, &change));
                drop(pending);
            }
        }
    }
}

/// Delivers to a part's followers, some in a turn; gives how many they were. `followers` is empty memory to
/// be used again.
async fn to_all(followers: &mut Vec<Arc<Follow>>, part: &Part, deliver: impl Fn(&Follow)) -> usize {
    // A copy, so that joins and leaves need not wait for the writing.
    followers.extend(part.read().values().cloned());
    for turn in followers.chunks(TURN) {
        whole(|| turn.iter().for_each(|follow| deliver(follow)));
        tokio::task::yield_now().await;
    }
    let count = followers.len();
    followers.clear();
    followers.shrink_to(1024);
    count
}

/// A panic costs this turn's deliveries, which their followers repair, and not the worker.
fn whole(work: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        tracing::error!("a fan-out panicked; its followers read what they missed from the log");
    }
}

/// Tells a session, and ends what it may not read any more.
pub(super) fn perform_change(hub: &Hub, session: &Session, change: &MemberChange) {
    session.push(state_push(session.codec(), change));
    if change.info.membership != Membership::Joined {
        // A right that was given again since then stays.
        hub.unfollow_before(&change.info.room, session, change.version);
    }
}
