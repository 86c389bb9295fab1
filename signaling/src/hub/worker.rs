//! A fan-out worker: it delivers what was committed to the sessions that belong to it, in order.

use super::frames::{Batch, state_push};
use super::{Follow, Hub, Part};
use crate::metrics::Metrics;
use crate::session::Session;
use kaiwa_chat::bus::MemberChange;
use kaiwa_chat::model::Membership;
use std::sync::{Arc, Weak};
use tokio::sync::mpsc;

/// Deliveries after which other tasks get their turn: about a third of a millisecond of writing.
const TURN: usize = 64;

/// What a worker does next.
pub(super) enum Job {
    /// Events for some of a room's followers.
    Events { part: Arc<Part>, batch: Arc<Batch> },
    /// A person's new standing in a room, for one of their sessions.
    Change {
        session: Arc<Session>,
        change: Arc<MemberChange>,
    },
}

/// Works until the hub is gone.
pub(super) async fn run(mut jobs: mpsc::Receiver<Job>, hub: Weak<Hub>, metrics: Metrics) {
    let mut followers: Vec<Arc<Follow>> = Vec::new();
    while let Some(job) = jobs.recv().await {
        match job {
            Job::Events { part, batch } => {
                // A copy, so that joins and leaves need not wait for the writing.
                followers.extend(part.read().values().cloned());
                for turn in followers.chunks(TURN) {
                    turn.iter().for_each(|follow| follow.deliver(&batch));
                    tokio::task::yield_now().await;
                }
                metrics
                    .deliveries
                    .increment((followers.len() * batch.len()) as u64);
                followers.clear();
                followers.shrink_to(1024);
            }
            change @ Job::Change { .. } => {
                let Some(hub) = hub.upgrade() else { return };
                perform_change(&hub, change);
            }
        }
    }
}

/// Tells a session, and ends what it may not read any more.
pub(super) fn perform_change(hub: &Hub, job: Job) {
    let Job::Change { session, change } = job else {
        return;
    };
    session.push(state_push(session.codec(), &change));
    if change.info.membership != Membership::Joined {
        hub.unfollow(&change.info.room, &session);
    }
}
