//! Deletes what is done with, in batches.

use crate::metrics;
use kaiwa_platform::queue::{BATCH, Queue, Receipt, ReceiptError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

/// How long the first of a batch waits for others.
const GATHER: Duration = Duration::from_millis(50);

/// What cannot be deleted so often comes again; the ledger knows it.
const ATTEMPTS: u32 = 3;

/// Receipts that wait; at the bound handlers wait.
const WAITING: usize = 256;

pub(super) struct Deletes {
    sender: mpsc::Sender<Receipt>,
    task: JoinHandle<Option<()>>,
}

impl Deletes {
    pub(super) fn start(queue: Arc<dyn Queue>, killed: &CancellationToken) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        let run = run(queue, receiver);
        let task = tokio::spawn(killed.clone().run_until_cancelled_owned(run));
        Self { sender, task }
    }

    pub(super) fn sender(&self) -> mpsc::Sender<Receipt> {
        self.sender.clone()
    }

    /// Deletes what waits, and ends. All other senders must be gone.
    pub(super) async fn flush(self) {
        drop(self.sender);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "deletes ended early");
        }
    }
}

async fn run(queue: Arc<dyn Queue>, mut receiver: mpsc::Receiver<Receipt>) {
    while let Some(first) = receiver.recv().await {
        let mut batch = vec![first];
        let until = Instant::now() + GATHER;
        while batch.len() < BATCH {
            match timeout_at(until, receiver.recv()).await {
                Ok(Some(next)) => batch.push(next),
                Ok(None) | Err(_) => break,
            }
        }
        delete(queue.as_ref(), batch).await;
    }
}

async fn delete(queue: &dyn Queue, mut batch: Vec<Receipt>) {
    for attempt in 1..=ATTEMPTS {
        match queue.delete(batch.clone()).await {
            Ok(results) => {
                let failed = batch.into_iter().zip(results).filter(|(_, result)| {
                    // A stale receipt's message is somebody else's now, who finds it done.
                    matches!(result, Err(ReceiptError::Failed(_)))
                });
                batch = failed.map(|(receipt, _)| receipt).collect();
                if batch.is_empty() {
                    return;
                }
            }
            Err(error) => {
                metrics::unanswered("queue");
                tracing::debug!(queue = queue.name(), %error, "not deleted");
            }
        }
        sleep(GATHER * attempt).await;
    }
    tracing::warn!(
        queue = queue.name(),
        count = batch.len(),
        "messages that are done could not be deleted: they will come again"
    );
}
