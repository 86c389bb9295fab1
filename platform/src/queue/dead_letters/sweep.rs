//! Going through a queue once.

use super::LOOKED_AT;
use crate::queue::{BATCH, Delivery, Queue, QueueError, Receipt};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// One pass through a queue that sees each message once and gives back what stays.
pub(super) struct Sweep<'a> {
    queue: &'a Arc<dyn Queue>,
    how: How,
    /// Ids seen: a message that comes again means that the pass is through, or too slow.
    seen: BTreeSet<String>,
    /// Received, to be given back at the end: earlier, they would come again.
    held: Vec<Receipt>,
}

enum How {
    /// Looking, from this id on.
    Browse(Option<String>),
    /// Receiving, with so long a poll.
    Receive(Duration),
}

/// Whether it is a queue that knows at once what it has.
fn can_browse(queue: &Arc<dyn Queue>) -> bool {
    queue.browse(None, 0).is_some()
}

/// How long what is received stays out of sight at most, if it is not given back. A pass of a thousand is a few
/// seconds; a consumer that wants the same ones meanwhile waits.
const HELD: Duration = Duration::from_secs(60);

/// SQS's short polls ask some of its servers only; the shortest long poll asks all.
const WAIT: Duration = Duration::from_secs(1);

impl<'a> Sweep<'a> {
    /// Without receiving, where the queue can do that.
    pub(super) fn look(queue: &'a Arc<dyn Queue>) -> Self {
        let how = if can_browse(queue) {
            How::Browse(None)
        } else {
            How::Receive(WAIT)
        };
        Self::new(queue, how)
    }

    /// By receiving.
    pub(super) fn receive(queue: &'a Arc<dyn Queue>) -> Self {
        let wait = if can_browse(queue) {
            Duration::ZERO
        } else {
            WAIT
        };
        Self::new(queue, How::Receive(wait))
    }

    fn new(queue: &'a Arc<dyn Queue>, how: How) -> Self {
        Self {
            queue,
            how,
            seen: BTreeSet::new(),
            held: Vec::new(),
        }
    }

    /// At most `max` that were not seen before; none at the end, or at the bound.
    pub(super) async fn next(&mut self, max: usize) -> Result<Vec<Delivery>, QueueError> {
        let max = max.min(LOOKED_AT.saturating_sub(self.seen.len()));
        if max == 0 {
            return Ok(Vec::new());
        }
        let found = match &mut self.how {
            How::Browse(after) => {
                let Some(page) = self.queue.browse(after.as_deref(), max) else {
                    return Ok(Vec::new());
                };
                let page = page.await?;
                if let Some(last) = page.last() {
                    *after = Some(last.id.clone());
                }
                page
            }
            How::Receive(wait) => self.queue.receive(max, *wait, HELD).await?,
        };
        let (new, again): (Vec<_>, Vec<_>) = found
            .into_iter()
            .partition(|delivery| self.seen.insert(delivery.id.clone()));
        self.held.extend(again.into_iter().map(|d| d.receipt));
        Ok(new)
    }

    /// Whether it ended because it has seen as many as one pass may.
    pub(super) fn is_at_its_bound(&self) -> bool {
        self.seen.len() >= LOOKED_AT
    }

    /// One that stays in the queue.
    pub(super) fn give_back_later(&mut self, receipt: Receipt) {
        if matches!(self.how, How::Receive(_)) {
            self.held.push(receipt);
        }
    }

    /// Gives back what stays. What cannot be given back comes into sight on its own, later.
    pub(super) async fn end(self) {
        for batch in self.held.chunks(BATCH) {
            let batch = batch
                .iter()
                .map(|receipt| (receipt.clone(), Duration::ZERO));
            if let Err(error) = self.queue.set_visibility(batch.collect()).await {
                tracing::debug!(queue = self.queue.name(), %error, "not given back");
            }
        }
    }
}
