//! Takes hints from a queue, and hands them on.
//!
//! ```text
//!  receive ─► read ─► hand on ─► delete;  later: hidden for a while;  unreadable or never: dead letters, with reason
//! ```

use super::hint::{Hint, ObjectCreated, read};
use crate::ports::{Answer, JobEvent};
use futures_util::future::join_all;
use kaiwa_common::limits::{CLIP_HINT_ANSWER, CLIP_HINT_LEASE};
use kaiwa_platform::queue::dead_letters::Note;
use kaiwa_platform::queue::{BATCH, DeadLetters, Delivery, LONG_POLL, Receipt};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Why a hint is not taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HintError {
    /// It is to come again: the store does not answer, the job is not known yet.
    #[error("not now: {0}")]
    Later(String),
    /// It will never be of use; the word is written on its dead letter.
    #[error("never: {0}")]
    Never(&'static str),
}

/// Who acts on hints: the service. The same hint may come again, also at the same time.
pub trait Hints: Send + Sync + 'static {
    /// A job has moved. Known by its id when it comes again
    /// ([`ClipStore::first_time`](crate::ports::ClipStore::first_time)).
    fn job(&self, event: JobEvent) -> Answer<'_, (), HintError>;

    /// An object is complete, it is said.
    fn object(&self, object: ObjectCreated) -> Answer<'_, (), HintError>;
}

/// Hands a hint on.
///
/// # Errors
/// [`HintError`] of the first that was not taken in.
pub(super) async fn hand_on(hints: &dyn Hints, hint: Hint) -> Result<(), HintError> {
    let handed = async {
        match hint {
            Hint::Job(event) => hints.job(*event).await?,
            Hint::Objects(objects) => {
                for object in objects {
                    hints.object(object).await?;
                }
            }
            Hint::Nothing(what) => tracing::debug!(what, "a hint of no interest"),
        }
        Ok(())
    };
    let answer = tokio::time::timeout(CLIP_HINT_ANSWER, handed).await;
    answer.unwrap_or_else(|_| Err(HintError::Later("no answer in time".to_owned())))
}

/// Consumes one queue.
pub struct Consumer {
    letters: DeadLetters,
    hints: Arc<dyn Hints>,
}

impl Consumer {
    /// Of this queue, with its dead letters.
    #[must_use]
    pub fn new(letters: DeadLetters, hints: Arc<dyn Hints>) -> Self {
        Self { letters, hints }
    }

    /// Runs until it is told to stop, and what it has in hand is done with: at most a long poll and
    /// [`CLIP_HINT_ANSWER`]. Dropping it instead hides what it had for [`CLIP_HINT_LEASE`].
    pub async fn run(&self, stop: &CancellationToken) {
        let mut failed = 0_u32;
        while !stop.is_cancelled() {
            match self.once(LONG_POLL).await {
                Ok(_) => failed = 0,
                Err(error) => {
                    tracing::warn!(queue = self.letters.queue().name(), %error, "hints are not received");
                    failed += 1;
                    let pause = again_after(failed);
                    let _ = tokio::time::timeout(pause, stop.cancelled()).await;
                }
            }
        }
    }

    /// One receive, which waits that long for the first; gives how many there were.
    ///
    /// # Errors
    /// The queue's, of receiving.
    pub async fn once(&self, wait: Duration) -> Result<usize, kaiwa_platform::queue::QueueError> {
        let queue = self.letters.queue();
        let received = queue.receive(BATCH, wait, CLIP_HINT_LEASE).await?;
        let count = received.len();
        let done = join_all(received.iter().map(|delivery| self.handle(delivery))).await;
        let done: Vec<Receipt> = done.into_iter().flatten().collect();
        if !done.is_empty()
            && let Err(error) = queue.delete(done).await
        {
            // They come again, and are known.
            tracing::debug!(queue = queue.name(), %error, "hints are not deleted");
        }
        Ok(count)
    }

    /// Its receipt, when it is done with.
    async fn handle(&self, delivery: &Delivery) -> Option<Receipt> {
        let reason = match read(&delivery.body) {
            Err(unreadable) => {
                tracing::warn!(id = delivery.id, %unreadable, "a hint can not be read");
                unreadable.reason()
            }
            Ok(hint) => match hand_on(self.hints.as_ref(), hint).await {
                Ok(()) => return Some(delivery.receipt.clone()),
                Err(HintError::Never(reason)) => reason,
                Err(HintError::Later(why)) => {
                    tracing::debug!(id = delivery.id, why, "a hint comes again");
                    self.hide(delivery).await;
                    return None;
                }
            },
        };
        if let Err(error) = self
            .letters
            .bury(delivery, &Note::new(reason, COMPONENT))
            .await
        {
            tracing::warn!(id = delivery.id, %error, "not put to the dead letters");
            self.hide(delivery).await;
        }
        None
    }

    async fn hide(&self, delivery: &Delivery) {
        let batch = vec![(delivery.receipt.clone(), again_after(delivery.receives))];
        if let Err(error) = self.letters.queue().set_visibility(batch).await {
            // It comes when its lease runs out.
            tracing::debug!(id = delivery.id, %error, "a hint's pause is not set");
        }
    }
}

/// On dead letters.
const COMPONENT: &str = "clips";

/// Doubled each time: 1, 2, 4 … seconds, at most 5 minutes. The queue gives up at its own count.
fn again_after(times: u32) -> Duration {
    Duration::from_secs(1 << times.saturating_sub(1).min(9)).min(Duration::from_secs(300))
}
