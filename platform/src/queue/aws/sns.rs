//! A topic on SNS.

use super::sqs::Parts;
use super::{errors, place};
use crate::queue::{Answer, MESSAGE_BYTES, Outgoing, QueueError, SendError, Topic, check};
use aws_config::SdkConfig;
use aws_sdk_sns::Client;
use aws_sdk_sns::types::{MessageAttributeValue, PublishBatchRequestEntry};

/// A standard topic on SNS. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SnsTopic {
    client: Client,
    arn: String,
}

impl SnsTopic {
    /// The topic of this ARN.
    #[must_use]
    pub fn at(config: &SdkConfig, arn: &str) -> Self {
        Self {
            client: Client::new(config),
            arn: arn.to_owned(),
        }
    }

    async fn publish_batch(
        &self,
        batch: Vec<Outgoing>,
    ) -> Result<Vec<Result<(), SendError>>, QueueError> {
        check::batch(batch.len())?;
        let unheard = || Err(SendError::Failed("no answer for it".to_owned()));
        let mut results: Vec<Result<(), SendError>> = batch.iter().map(|_| unheard()).collect();
        // A batch's messages together have the bound of one (SNS, `PublishBatch`).
        let mut parts = Parts::new(MESSAGE_BYTES);
        for (index, message) in batch.into_iter().enumerate() {
            match check::message(&message, MESSAGE_BYTES) {
                Ok(()) => parts.add(check::bytes(&message), entry(index, message)?),
                Err(error) => results[index] = Err(error),
            }
        }
        let mut has_sent = false;
        for part in parts.into_parts() {
            match self.publish_part(part, &mut results).await {
                Ok(()) => has_sent = true,
                // What the parts before it have done is known: this one's messages have failed.
                Err(error) if has_sent => {
                    tracing::debug!(topic = %self.arn, %error, "half a batch was published");
                    return Ok(results);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(results)
    }

    async fn publish_part(
        &self,
        entries: Vec<PublishBatchRequestEntry>,
        results: &mut [Result<(), SendError>],
    ) -> Result<(), QueueError> {
        let call = self.client.publish_batch().topic_arn(&self.arn);
        let answer = call.set_publish_batch_request_entries(Some(entries)).send();
        let answer = answer.await.map_err(|error| errors::call(&error))?;
        for done in answer.successful.unwrap_or_default() {
            let place = place(results, &done.id.unwrap_or_default())?;
            results[place] = Ok(());
        }
        for failed in answer.failed.unwrap_or_default() {
            let place = place(results, &failed.id)?;
            let message = failed.message.as_deref();
            results[place] = Err(errors::send(failed.sender_fault, &failed.code, message));
        }
        Ok(())
    }
}

impl Topic for SnsTopic {
    fn publish(&self, batch: Vec<Outgoing>) -> Answer<'_, Vec<Result<(), SendError>>> {
        Box::pin(self.publish_batch(batch))
    }
}

fn entry(index: usize, message: Outgoing) -> Result<PublishBatchRequestEntry, QueueError> {
    let mut entry = PublishBatchRequestEntry::builder()
        .id(index.to_string())
        .message(message.body);
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
