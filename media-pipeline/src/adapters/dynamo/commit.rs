//! One writer for each process: changes that come while a transaction is under way go into the next one together.
//!
//! Revisions are dense: the newest one is a row, changed by the same transaction under the condition that it is as
//! it was read. So it is written once for a group and not once for a change, and only other processes can be in the
//! way; then the loser reads it again.

use super::errors;
use super::group::{Change, Must, Write, judge, take};
use super::items::{Item, Key, head_row, integer, log_row, number};
use super::table::{DUE_AT, PK};
use crate::ports::StoreError;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use kaiwa_common::limits::{
    CLIP_DYNAMO_GROUP, CLIP_DYNAMO_PAUSE, CLIP_DYNAMO_TRIES, CLIP_DYNAMO_WAITING,
};
use kaiwa_platform::clock::Clock;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Hands changes to the writer.
#[derive(Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Waiting>,
}

/// A change, and whoever waits for its revision.
struct Waiting {
    change: Change,
    answer: oneshot::Sender<Result<u64, StoreError>>,
}

impl AsRef<Change> for Waiting {
    fn as_ref(&self) -> &Change {
        &self.change
    }
}

impl Writer {
    /// Begins a writer; it ends with the last handle.
    pub(super) fn begin(client: Client, table: String, clock: Arc<dyn Clock>) -> Self {
        let (queue, changes) = mpsc::channel(CLIP_DYNAMO_WAITING);
        let committer = Committer {
            client,
            table,
            clock,
            head: None,
        };
        tokio::spawn(committer.run(changes));
        Self { queue }
    }

    /// Stores a change; its revision.
    pub(super) async fn store(&self, change: Change) -> Result<u64, StoreError> {
        let (answer, result) = oneshot::channel();
        let unavailable = |what: &str| StoreError::Unavailable(what.to_owned());
        self.queue
            .try_send(Waiting { change, answer })
            .map_err(|_| unavailable("too many changes wait for DynamoDB"))?;
        let result = result.await;
        result.map_err(|_| unavailable("the writer has ended"))?
    }
}

struct Committer {
    client: Client,
    table: String,
    clock: Arc<dyn Clock>,
    /// The newest revision, as far as is known here.
    head: Option<u64>,
}

/// Why a transaction did not go through.
enum Refused {
    /// Nothing was written: a code and a message for each item.
    Cancelled(Vec<(String, String)>),
    /// It may have been.
    Failed(StoreError),
}

impl Committer {
    async fn run(mut self, mut changes: mpsc::Receiver<Waiting>) {
        let mut waiting = VecDeque::new();
        loop {
            if waiting.is_empty() {
                match changes.recv().await {
                    Some(change) => waiting.push_back(change),
                    None => return,
                }
            }
            while waiting.len() < 2 * CLIP_DYNAMO_GROUP
                && let Ok(change) = changes.try_recv()
            {
                waiting.push_back(change);
            }
            let group = take(&mut waiting);
            self.commit(group).await;
        }
    }

    async fn commit(&mut self, mut group: Vec<Waiting>) {
        for attempt in 0..CLIP_DYNAMO_TRIES {
            if group.is_empty() {
                return;
            }
            let head = match self.head().await {
                Ok(head) => head,
                Err(error) => return refuse(group, &error),
            };
            let reasons = match self.transact(head, &group).await {
                Ok(()) => {
                    self.head = Some(head + group.len() as u64);
                    for (revision, waiting) in (head + 1..).zip(group) {
                        // Who does not wait any more finds it stored.
                        let _ = waiting.answer.send(Ok(revision));
                    }
                    return;
                }
                Err(Refused::Cancelled(reasons)) => reasons,
                Err(Refused::Failed(error)) => {
                    self.head = None;
                    return refuse(group, &error);
                }
            };
            let judged = judge(&group, &reasons);
            let mut left = Vec::new();
            for (waiting, over) in group.into_iter().zip(judged.over) {
                match over {
                    Some(error) => drop(waiting.answer.send(Err(error))),
                    None => left.push(waiting),
                }
            }
            group = left;
            if judged.is_busy {
                // It may be the newest revision that somebody else writes.
                self.head = None;
                self.pause(attempt).await;
            }
        }
        let busy = "others write the same all the time, or DynamoDB is asked for too much";
        refuse(group, &StoreError::Unavailable(busy.to_owned()));
    }

    async fn head(&mut self) -> Result<u64, StoreError> {
        if let Some(head) = self.head {
            return Ok(head);
        }
        let head = read_head(&self.client, &self.table).await?;
        self.head = Some(head);
        Ok(head)
    }

    async fn transact(&self, head: u64, group: &[Waiting]) -> Result<(), Refused> {
        let newest = head + group.len() as u64;
        let clips: Vec<_> = group.iter().map(|waiting| waiting.change.clip).collect();
        let must = if head == 0 {
            Must::BeNew
        } else {
            Must::Have("revision", head)
        };
        let mut puts = vec![
            self.put(head_row(newest), &must),
            self.put(
                log_row(head + 1, &clips, self.clock.now()),
                &Must::BeAnything,
            ),
        ];
        for (revision, waiting) in (head + 1..).zip(group) {
            for (place, Write { item, must }) in waiting.change.writes.iter().enumerate() {
                let mut item = item.clone();
                if place == 0 {
                    item.insert("revision".to_owned(), number(revision));
                }
                puts.push(self.put(item, must));
            }
        }
        let call = self.client.transact_write_items();
        // The SDK gives it a token, so that its own repetition after a lost answer is the same transaction.
        let sent = call.set_transact_items(Some(puts)).send().await;
        let Err(error) = sent else {
            return Ok(());
        };
        match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                let reasons = cancelled.cancellation_reasons().iter().map(|reason| {
                    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
                    (text(reason.code()), text(reason.message()))
                });
                Err(Refused::Cancelled(reasons.collect()))
            }
            _ => Err(Refused::Failed(errors::call(&error))),
        }
    }

    fn put(&self, item: Item, must: &Must) -> TransactWriteItem {
        let put = Put::builder().table_name(&self.table).set_item(Some(item));
        let put = match must {
            Must::BeAnything => put,
            Must::BeNew => put
                .condition_expression("attribute_not_exists(#pk)")
                .expression_attribute_names("#pk", PK),
            Must::Have(name, value) => put
                .condition_expression("#name = :value")
                .expression_attribute_names("#name", *name)
                .expression_attribute_values(":value", number(value)),
            Must::BeNewOrOld(now) => put
                .condition_expression("attribute_not_exists(#pk) OR #due <= :now")
                .expression_attribute_names("#pk", PK)
                .expression_attribute_names("#due", DUE_AT)
                .expression_attribute_values(":now", number(now)),
        };
        let put = put.build().expect("it has a table and an item");
        TransactWriteItem::builder().put(put).build()
    }

    /// Longer each time, and by chance, so that those who met do not meet again.
    async fn pause(&self, attempt: u32) {
        let longest = Duration::from_millis(5).saturating_mul(1 << attempt.min(16));
        let longest = longest.min(CLIP_DYNAMO_PAUSE);
        let mut random = [0];
        // Without chance it is the longest.
        let part = getrandom::fill(&mut random).map_or(u8::MAX, |()| random[0]);
        let pause = longest.mul_f64(f64::from(part) / 255.0);
        self.clock.sleep_until(self.clock.now().plus(pause)).await;
    }
}

/// The newest revision; 0 in an empty table.
pub(super) async fn read_head(client: &Client, table: &str) -> Result<u64, StoreError> {
    let call = client.get_item().table_name(table).consistent_read(true);
    let answer = call.set_key(Some(Key::head().item())).send().await;
    let answer = answer.map_err(|error| errors::call(&error))?;
    let Some(item) = answer.item() else {
        return Ok(0);
    };
    let revision = integer(item, "revision");
    revision.ok_or_else(|| StoreError::Broken("the row HEAD has no revision".to_owned()))
}

fn refuse(group: Vec<Waiting>, error: &StoreError) {
    for waiting in group {
        drop(waiting.answer.send(Err(error.clone())));
    }
}
