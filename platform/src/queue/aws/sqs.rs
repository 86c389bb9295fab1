//! A queue on SQS.

use super::{envelope, errors, place, seconds};
use crate::queue::{
    Answer, Delivery, Depth, LONG_POLL, Outgoing, QUEUED_BYTES, Queue, QueueError, Receipt,
    ReceiptError, SendError, VISIBILITY, check,
};
use aws_config::SdkConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message,
    MessageAttributeValue, MessageSystemAttributeName, QueueAttributeName,
    SendMessageBatchRequestEntry, SendMessageBatchResultEntry,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// A standard queue on SQS. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SqsQueue {
    client: Client,
    name: String,
    url: String,
}

impl SqsQueue {
    /// The queue at this URL, whose last part is its name.
    #[must_use]
    pub fn at(config: &SdkConfig, url: &str) -> Self {
        Self {
            client: Client::new(config),
            name: url.rsplit('/').next().unwrap_or_default().to_owned(),
            url: url.to_owned(),
        }
    }

    /// The queue of this name in the account.
    ///
    /// # Errors
    /// [`QueueError`]; `Refused` when there is none.
    pub async fn named(config: &SdkConfig, name: &str) -> Result<Self, QueueError> {
        check::name(name)?;
        let found = Client::new(config).get_queue_url().queue_name(name).send();
        let found = found.await.map_err(|error| errors::call(&error))?;
        let url = found.queue_url.unwrap_or_default();
        Ok(Self::at(config, &url))
    }

    async fn send_batch(
        &self,
        batch: Vec<Outgoing>,
    ) -> Result<Vec<Result<(), SendError>>, QueueError> {
        check::batch(batch.len())?;
        // Whoever the service does not speak of was not sent.
        let unheard = || Err(SendError::Failed("no answer for it".to_owned()));
        let mut results: Vec<Result<(), SendError>> = batch.iter().map(|_| unheard()).collect();
        let mut parts = Parts::new(BATCH_BYTES);
        for (index, message) in batch.into_iter().enumerate() {
            match check::message(&message, QUEUED_BYTES) {
                Ok(()) => parts.add(check::bytes(&message), entry(index, message)?),
                Err(error) => results[index] = Err(error),
            }
        }
        let mut has_sent = false;
        for part in parts.into_parts() {
            let count = part.len();
            match self.send_part(part, &mut results).await {
                Ok(()) => has_sent = true,
                // What the parts before it have done is known: this one's messages have failed.
                Err(error) if has_sent => {
                    tracing::debug!(queue = %self.name, count, %error, "half a batch was sent");
                    return Ok(results);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(results)
    }

    async fn send_part(
        &self,
        entries: Vec<SendMessageBatchRequestEntry>,
        results: &mut [Result<(), SendError>],
    ) -> Result<(), QueueError> {
        let call = self.client.send_message_batch().queue_url(&self.url);
        let answer = call.set_entries(Some(entries)).send().await;
        let answer = answer.map_err(|error| errors::call(&error))?;
        for SendMessageBatchResultEntry { id, .. } in answer.successful {
            let place = place(results, &id)?;
            results[place] = Ok(());
        }
        for failed in answer.failed {
            let place = place(results, &failed.id)?;
            let message = failed.message.as_deref();
            results[place] = Err(errors::send(failed.sender_fault, &failed.code, message));
        }
        Ok(())
    }

    async fn receive_batch(
        &self,
        max: usize,
        wait: Duration,
        visibility: Duration,
    ) -> Result<Vec<Delivery>, QueueError> {
        let max = i32::try_from(max.clamp(1, crate::queue::BATCH)).unwrap_or(1);
        let answer = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(max)
            .wait_time_seconds(seconds(wait.min(LONG_POLL)))
            .visibility_timeout(seconds(visibility.min(VISIBILITY)))
            .message_attribute_names("All")
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp)
            .send()
            .await
            .map_err(|error| errors::call(&error))?;
        let messages = answer.messages.unwrap_or_default();
        Ok(messages.into_iter().filter_map(delivery).collect())
    }

    async fn set_visibility_batch(
        &self,
        batch: Vec<(Receipt, Duration)>,
    ) -> Result<Vec<Result<(), ReceiptError>>, QueueError> {
        check::batch(batch.len())?;
        let mut results = unheard(batch.len());
        if batch.is_empty() {
            return Ok(results);
        }
        let entry = |(index, (receipt, visibility)): (usize, (Receipt, Duration))| {
            ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(index.to_string())
                .receipt_handle(receipt.0)
                .visibility_timeout(seconds(visibility.min(VISIBILITY)))
                .build()
                .map_err(|error| QueueError::Refused(error.to_string()))
        };
        let entries = batch.into_iter().enumerate().map(entry);
        let entries = entries.collect::<Result<Vec<_>, _>>()?;
        let call = self.client.change_message_visibility_batch();
        let call = call.queue_url(&self.url).set_entries(Some(entries));
        let answer = call.send().await.map_err(|error| errors::call(&error))?;
        for done in answer.successful {
            let place = place(&mut results, &done.id)?;
            results[place] = Ok(());
        }
        for failed in answer.failed {
            let place = place(&mut results, &failed.id)?;
            let message = failed.message.as_deref();
            results[place] = Err(errors::receipt(failed.sender_fault, &failed.code, message));
        }
        Ok(results)
    }

    async fn delete_batch(
        &self,
        batch: Vec<Receipt>,
    ) -> Result<Vec<Result<(), ReceiptError>>, QueueError> {
        check::batch(batch.len())?;
        let mut results = unheard(batch.len());
        if batch.is_empty() {
            return Ok(results);
        }
        let entry = |(index, receipt): (usize, Receipt)| {
            DeleteMessageBatchRequestEntry::builder()
                .id(index.to_string())
                .receipt_handle(receipt.0)
                .build()
                .map_err(|error| QueueError::Refused(error.to_string()))
        };
        let entries = batch.into_iter().enumerate().map(entry);
        let entries = entries.collect::<Result<Vec<_>, _>>()?;
        let call = self.client.delete_message_batch();
        let call = call.queue_url(&self.url).set_entries(Some(entries));
        let answer = call.send().await.map_err(|error| errors::call(&error))?;
        for done in answer.successful {
            let place = place(&mut results, &done.id)?;
            results[place] = Ok(());
        }
        for failed in answer.failed {
            let place = place(&mut results, &failed.id)?;
            let message = failed.message.as_deref();
            results[place] = Err(errors::receipt(failed.sender_fault, &failed.code, message));
        }
        Ok(results)
    }

    async fn count(&self) -> Result<Depth, QueueError> {
        let answer = self
            .client
            .get_queue_attributes()
            .queue_url(&self.url)
            .attribute_names(QueueAttributeName::ApproximateNumberOfMessages)
            .attribute_names(QueueAttributeName::ApproximateNumberOfMessagesNotVisible)
            .attribute_names(QueueAttributeName::ApproximateNumberOfMessagesDelayed)
            .send()
            .await
            .map_err(|error| errors::call(&error))?;
        let attributes = answer.attributes.unwrap_or_default();
        let count = |name| {
            let text = attributes.get(&name);
            text.and_then(|text| text.parse().ok()).unwrap_or_default()
        };
        Ok(Depth {
            visible: count(QueueAttributeName::ApproximateNumberOfMessages),
            in_flight: count(QueueAttributeName::ApproximateNumberOfMessagesNotVisible),
            delayed: count(QueueAttributeName::ApproximateNumberOfMessagesDelayed),
            oldest_ms: None,
        })
    }
}

impl Queue for SqsQueue {
    fn name(&self) -> &str {
        &self.name
    }

    fn send(&self, batch: Vec<Outgoing>) -> Answer<'_, Vec<Result<(), SendError>>> {
        Box::pin(self.send_batch(batch))
    }

    fn receive(
        &self,
        max: usize,
        wait: Duration,
        visibility: Duration,
    ) -> Answer<'_, Vec<Delivery>> {
        Box::pin(self.receive_batch(max, wait, visibility))
    }

    fn set_visibility(
        &self,
        batch: Vec<(Receipt, Duration)>,
    ) -> Answer<'_, Vec<Result<(), ReceiptError>>> {
        Box::pin(self.set_visibility_batch(batch))
    }

    fn delete(&self, batch: Vec<Receipt>) -> Answer<'_, Vec<Result<(), ReceiptError>>> {
        Box::pin(self.delete_batch(batch))
    }

    fn depth(&self) -> Answer<'_, Depth> {
        Box::pin(self.count())
    }
}

/// A batch's messages together, in bytes. SQS takes 1 MiB since 2025; a part of one message is always let through.
const BATCH_BYTES: usize = 1024 * 1024;

/// A batch cut into calls that are not too large together.
pub(super) struct Parts<E> {
    limit: usize,
    bytes: usize,
    parts: Vec<Vec<E>>,
}

impl<E> Parts<E> {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            bytes: 0,
            parts: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, bytes: usize, entry: E) {
        match self.parts.last_mut() {
            Some(part) if self.bytes + bytes <= self.limit => {
                self.bytes += bytes;
                part.push(entry);
            }
            Some(_) | None => {
                self.bytes = bytes;
                self.parts.push(vec![entry]);
            }
        }
    }

    pub(super) fn into_parts(self) -> Vec<Vec<E>> {
        self.parts
    }
}

/// What a receipt's result is until the service has spoken of it.
fn unheard(count: usize) -> Vec<Result<(), ReceiptError>> {
    let unheard = || Err(ReceiptError::Failed("no answer for it".to_owned()));
    (0..count).map(|_| unheard()).collect()
}

fn entry(index: usize, message: Outgoing) -> Result<SendMessageBatchRequestEntry, QueueError> {
    let mut entry = SendMessageBatchRequestEntry::builder()
        .id(index.to_string())
        .message_body(message.body)
        .delay_seconds(seconds(message.delay));
    for (name, value) in message.attributes {
        let value = MessageAttributeValue::builder()
            .data_type("String")
            .string_value(value)
            .build()
            .map_err(|error| QueueError::Refused(error.to_string()))?;
        entry = entry.message_attributes(name, value);
    }
    entry
        .build()
        .map_err(|error| QueueError::Refused(error.to_string()))
}

/// What was received, SNS's envelope taken off. Without a receipt it is no message.
fn delivery(message: Message) -> Option<Delivery> {
    let system = message.attributes.unwrap_or_default();
    let number = |name| system.get(&name).map(String::as_str).unwrap_or_default();
    let attributes: BTreeMap<String, String> = message
        .message_attributes
        .unwrap_or_default()
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.string_value?)))
        .collect();
    let mut delivery = Delivery {
        id: message.message_id?,
        receipt: Receipt(message.receipt_handle?),
        receives: number(MessageSystemAttributeName::ApproximateReceiveCount)
            .parse()
            .unwrap_or(1),
        sent_ms: number(MessageSystemAttributeName::SentTimestamp)
            .parse()
            .unwrap_or_default(),
        body: message.body.unwrap_or_default(),
        attributes,
    };
    if let Some(published) = envelope::open(&delivery.body) {
        delivery.body = published.body;
        delivery.attributes.extend(published.attributes);
    }
    Some(delivery)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_cut_where_it_would_be_too_large() {
        let mut parts = Parts::new(10);
        for (bytes, entry) in [(4, 'a'), (6, 'b'), (1, 'c'), (30, 'd'), (10, 'e')] {
            parts.add(bytes, entry);
        }
        let cut = parts.into_parts();
        assert_eq!(cut, [vec!['a', 'b'], vec!['c'], vec!['d'], vec!['e']]);
    }

    #[test]
    fn seconds_are_never_fewer_than_were_asked_for() {
        let asked = [(0, 0), (1, 1), (999, 1), (1_000, 1), (1_001, 2)];
        for (ms, whole) in asked {
            assert_eq!(seconds(Duration::from_millis(ms)), whole);
        }
    }
}
