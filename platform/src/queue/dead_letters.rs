//! What could not be processed: a queue of its own for each queue, looked at by an operator.
//!
//! A consumer that knows a message will never work sends it there at once, with the reason ([`bury`]); one that
//! was received too often without a word is moved there by the queue. Every function works over any [`Queue`]:
//! where one cannot look without receiving, messages are received for a short time and given back.
//!
//! [`bury`]: DeadLetters::bury

mod letter;
mod sweep;

pub use letter::{DeadLetter, MAX_RECEIVES, Note};

pub use kaiwa_common::limits::{DEAD_LETTERS_LOOKED_AT as LOOKED_AT, QUEUE_RECEIVES as RECEIVES};

use super::{BATCH, Delivery, Outgoing, Queue, QueueError, ReceiptError, SendError};
use std::collections::BTreeSet;
use std::sync::Arc;
use sweep::Sweep;

/// The dead-letter queue of this one.
#[must_use]
pub fn name_of(queue: &str) -> String {
    format!("{queue}-dead")
}

/// A queue and its dead letters.
#[derive(Clone)]
pub struct DeadLetters {
    queue: Arc<dyn Queue>,
    dead: Arc<dyn Queue>,
}

/// Which dead letters are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pick {
    /// All.
    All,
    /// That of this id.
    Id(String),
    /// Those with this reason.
    Reason(String),
}

impl Pick {
    /// Whether this one is meant.
    #[must_use]
    pub fn has(&self, letter: &DeadLetter) -> bool {
        match self {
            Self::All => true,
            Self::Id(id) => letter.id == *id,
            Self::Reason(reason) => letter.reason == *reason,
        }
    }
}

/// What became of those that were picked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Redriven or dropped.
    pub done: usize,
    /// Ids for which it was not done, or not wholly, and why. They are still there, or come once more.
    pub failed: Vec<(String, String)>,
    /// It ended at its bound: there may be more.
    pub has_more: bool,
    /// It ended early: what was done is done, the rest is still there.
    pub stopped: Option<QueueError>,
}

/// Some dead letters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listed {
    /// In no order that can be relied on.
    pub letters: Vec<DeadLetter>,
    /// It ended at its bound: there may be more.
    pub has_more: bool,
}

impl DeadLetters {
    /// Of `queue`, in `dead`.
    #[must_use]
    pub fn new(queue: Arc<dyn Queue>, dead: Arc<dyn Queue>) -> Self {
        Self { queue, dead }
    }

    /// The queue whose dead letters they are.
    #[must_use]
    pub fn queue(&self) -> &Arc<dyn Queue> {
        &self.queue
    }

    /// Where they lie.
    #[must_use]
    pub fn dead(&self) -> &Arc<dyn Queue> {
        &self.dead
    }

    /// Sends a message that was received to the dead letters, and deletes it. If that is cut short, it is received
    /// again, and buried again.
    ///
    /// # Errors
    /// [`QueueError`]; the message is still in its queue then.
    pub async fn bury(&self, delivery: &Delivery, note: &Note<'_>) -> Result<(), QueueError> {
        let sent = self.dead.send(vec![note.letter(delivery)]).await?;
        match sent.into_iter().next() {
            Some(Ok(())) => {}
            Some(Err(SendError::Invalid(why))) => return Err(QueueError::Refused(why)),
            Some(Err(SendError::Failed(why))) => return Err(QueueError::Unavailable(why)),
            None => return Err(QueueError::Unavailable("no result".to_owned())),
        }
        match self
            .queue
            .delete(vec![delivery.receipt.clone()])
            .await?
            .pop()
        {
            // Whoever has it now finds the same, and the letter comes twice.
            Some(Ok(()) | Err(ReceiptError::Stale)) | None => Ok(()),
            Some(Err(ReceiptError::Failed(why))) => Err(QueueError::Unavailable(why)),
        }
    }

    /// At most `max` of those that are meant.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn list(&self, pick: &Pick, max: usize) -> Result<Listed, QueueError> {
        let mut sweep = Sweep::look(&self.dead);
        let listed = Self::list_from(&mut sweep, pick, max).await;
        sweep.end().await;
        listed
    }

    async fn list_from(
        sweep: &mut Sweep<'_>,
        pick: &Pick,
        max: usize,
    ) -> Result<Listed, QueueError> {
        let mut listed = Listed::default();
        while listed.letters.len() < max {
            let page = sweep.next(BATCH).await?;
            if page.is_empty() {
                listed.has_more = sweep.is_at_its_bound();
                return Ok(listed);
            }
            for delivery in page {
                let letter = DeadLetter::from(&delivery);
                sweep.give_back_later(delivery.receipt);
                if pick.has(&letter) && listed.letters.len() < max {
                    listed.letters.push(letter);
                }
            }
        }
        listed.has_more = true;
        Ok(listed)
    }

    /// One of them.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn show(&self, id: &str) -> Result<Option<DeadLetter>, QueueError> {
        let listed = self.list(&Pick::Id(id.to_owned()), 1).await?;
        Ok(listed.letters.into_iter().next())
    }

    /// Sends at most `max` back to their queue, as they were first sent, and deletes them here. If that is cut short,
    /// one may be in both: it is redriven again then, and its consumer knows repeats.
    pub async fn redrive(&self, pick: &Pick, max: usize) -> Outcome {
        self.sweep(pick, max, true).await
    }

    /// Deletes at most `max` for ever.
    pub async fn discard(&self, pick: &Pick, max: usize) -> Outcome {
        self.sweep(pick, max, false).await
    }

    /// First all are received, then they are settled: what is still poison lies here again at once, and would be met
    /// again and again.
    async fn sweep(&self, pick: &Pick, max: usize, is_redrive: bool) -> Outcome {
        let mut outcome = Outcome::default();
        let mut sweep = Sweep::receive(&self.dead);
        let mut picked = Vec::new();
        outcome.has_more = true;
        while picked.len() < max {
            let page = match sweep.next((max - picked.len()).min(BATCH)).await {
                Ok(page) => page,
                Err(error) => {
                    outcome.stopped = Some(error);
                    break;
                }
            };
            if page.is_empty() {
                outcome.has_more = sweep.is_at_its_bound();
                break;
            }
            for delivery in page {
                if pick.has(&DeadLetter::from(&delivery)) {
                    picked.push(delivery);
                } else {
                    sweep.give_back_later(delivery.receipt);
                }
            }
        }
        let mut rest = picked.into_iter();
        while outcome.stopped.is_none() {
            let batch: Vec<_> = rest.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                break;
            }
            let settled = self
                .settle(batch, is_redrive, &mut sweep, &mut outcome)
                .await;
            outcome.stopped = settled.err();
        }
        outcome.has_more |= outcome.stopped.is_some();
        rest.for_each(|delivery| sweep.give_back_later(delivery.receipt));
        sweep.end().await;
        outcome
    }

    /// Redrives or drops these.
    async fn settle(
        &self,
        picked: Vec<Delivery>,
        is_redrive: bool,
        sweep: &mut Sweep<'_>,
        outcome: &mut Outcome,
    ) -> Result<(), QueueError> {
        let sent = if is_redrive {
            let batch = picked.iter().map(|d| DeadLetter::from(d).original());
            match self.send_back(batch.collect()).await {
                Ok(sent) => sent,
                Err(error) => {
                    let receipts = picked.into_iter().map(|delivery| delivery.receipt);
                    receipts.for_each(|receipt| sweep.give_back_later(receipt));
                    return Err(error);
                }
            }
        } else {
            vec![Ok(()); picked.len()]
        };
        let mut settled = Vec::new();
        for (delivery, sent) in picked.into_iter().zip(sent) {
            match sent {
                Ok(()) => settled.push(delivery),
                Err(error) => {
                    outcome.failed.push((delivery.id, error.to_string()));
                    sweep.give_back_later(delivery.receipt);
                }
            }
        }
        self.delete(settled, outcome).await
    }

    async fn send_back(
        &self,
        batch: Vec<Outgoing>,
    ) -> Result<Vec<Result<(), SendError>>, QueueError> {
        self.queue.send(batch).await
    }

    async fn delete(
        &self,
        settled: Vec<Delivery>,
        outcome: &mut Outcome,
    ) -> Result<(), QueueError> {
        if settled.is_empty() {
            return Ok(());
        }
        let receipts = settled.iter().map(|d| d.receipt.clone()).collect();
        let deleted = self.dead.delete(receipts).await?;
        for (delivery, deleted) in settled.into_iter().zip(deleted) {
            match deleted {
                Ok(()) => outcome.done += 1,
                Err(error) => outcome
                    .failed
                    .push((delivery.id, format!("it is still here: {error}"))),
            }
        }
        Ok(())
    }

    /// The reasons there are, with how many of each among those looked at.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn reasons(&self) -> Result<Vec<(String, usize)>, QueueError> {
        let listed = self.list(&Pick::All, LOOKED_AT).await?;
        let reasons: BTreeSet<_> = listed.letters.iter().map(|l| l.reason.clone()).collect();
        let count = |reason: &String| {
            let same = listed.letters.iter().filter(|l| l.reason == *reason);
            same.count()
        };
        Ok(reasons
            .into_iter()
            .map(|r| (r.clone(), count(&r)))
            .collect())
    }
}
