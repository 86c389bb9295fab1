//! Topic, queues and what ties them together, made if they are not there: for a first start and for emulators.
//! Doing it again changes nothing. In production an operator's own templates may do the same.

use super::errors;
use crate::queue::{DEAD_RETENTION, QueueError, RETENTION, check, dead_letters};
use aws_config::SdkConfig;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

/// A queue to be made, with its dead-letter queue ([`dead_letters::name_of`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueLayout {
    /// Its name.
    pub name: String,
    /// Received as often as this, a message goes to the dead letters.
    pub max_receives: u32,
    /// Whether the topic delivers to it, raw.
    pub is_subscribed: bool,
    /// A filter policy of the subscription, as JSON. Coarse and seldom changed: a change takes effect within a
    /// quarter of an hour.
    pub filter: Option<String>,
}

impl QueueLayout {
    /// A queue that is sent to directly.
    #[must_use]
    pub fn direct(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            max_receives: dead_letters::RECEIVES,
            is_subscribed: false,
            filter: None,
        }
    }

    /// A queue that the topic delivers to.
    #[must_use]
    pub fn subscribed(name: &str) -> Self {
        Self {
            is_subscribed: true,
            ..Self::direct(name)
        }
    }
}

/// What is there now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wired {
    /// The topic's ARN.
    pub topic_arn: String,
    /// The queues' URLs by name, dead-letter queues included.
    pub queues: BTreeMap<String, String>,
}

/// Makes the topic and the queues: redrive policy, leave for SNS to send, raw subscription with its filter.
///
/// # Errors
/// [`QueueError`]; what was made stays, and the next call goes on from there.
pub async fn wire(
    config: &SdkConfig,
    topic: &str,
    queues: &[QueueLayout],
) -> Result<Wired, QueueError> {
    let wiring = Wiring {
        sqs: aws_sdk_sqs::Client::new(config),
        sns: aws_sdk_sns::Client::new(config),
    };
    let created = wiring.sns.create_topic().name(topic).send().await;
    let created = created.map_err(|error| errors::call(&error))?;
    let topic_arn = created.topic_arn.unwrap_or_default();
    let mut urls = BTreeMap::new();
    for layout in queues {
        let (url, arn) = wiring.queue_with_dead(layout, &mut urls).await?;
        if layout.is_subscribed {
            wiring.permit(&url, &topic_leave(&arn, &topic_arn)).await?;
            wiring
                .subscribe(&topic_arn, &arn, layout.filter.as_deref())
                .await?;
        }
    }
    Ok(Wired {
        topic_arn,
        queues: urls,
    })
}

/// A service of Amazon's that sends to a queue by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender<'a> {
    /// S3, of this bucket.
    Bucket(&'a str),
    /// EventBridge, by any rule of the queue's account and region.
    Rules,
}

/// Makes a queue, with its dead letters, that this sender may send to. Gives URLs by name.
///
/// # Errors
/// As [`wire`].
pub async fn open_to(
    config: &SdkConfig,
    name: &str,
    sender: Sender<'_>,
) -> Result<BTreeMap<String, String>, QueueError> {
    let wiring = Wiring {
        sqs: aws_sdk_sqs::Client::new(config),
        sns: aws_sdk_sns::Client::new(config),
    };
    let mut urls = BTreeMap::new();
    let layout = QueueLayout::direct(name);
    let (url, arn) = wiring.queue_with_dead(&layout, &mut urls).await?;
    wiring.permit(&url, &sender.leave(&arn)).await?;
    Ok(urls)
}

impl Sender<'_> {
    /// The statement of a queue's policy that lets it send. The source is named, so that nobody else's bucket or
    /// rule uses the service for it.
    fn leave(self, queue: &str) -> Value {
        let parts: Vec<&str> = queue.split(':').collect();
        let at = |place: usize| parts.get(place).copied().unwrap_or_default();
        let (partition, region, account) = (at(1), at(3), at(4));
        match self {
            Self::Bucket(bucket) => json!({
                "Sid": "kaiwa-bucket",
                "Effect": "Allow",
                "Principal": {"Service": "s3.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": queue,
                "Condition": {
                    "ArnEquals": {"aws:SourceArn": format!("arn:{partition}:s3:::{bucket}")},
                    "StringEquals": {"aws:SourceAccount": account},
                },
            }),
            Self::Rules => json!({
                "Sid": "kaiwa-rules",
                "Effect": "Allow",
                "Principal": {"Service": "events.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": queue,
                "Condition": {"ArnLike": {
                    "aws:SourceArn": format!("arn:{partition}:events:{region}:{account}:rule/*"),
                }},
            }),
        }
    }
}

/// Lets the topic send to the queue.
fn topic_leave(queue: &str, topic: &str) -> Value {
    json!({
        "Sid": "kaiwa-topic",
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    })
}

struct Wiring {
    sqs: aws_sdk_sqs::Client,
    sns: aws_sdk_sns::Client,
}

type Attributes = HashMap<QueueAttributeName, String>;

impl Wiring {
    /// URL and ARN of the queue.
    async fn queue_with_dead(
        &self,
        layout: &QueueLayout,
        urls: &mut BTreeMap<String, String>,
    ) -> Result<(String, String), QueueError> {
        let dead_name = dead_letters::name_of(&layout.name);
        let (dead_url, dead_arn) = self.queue(&dead_name).await?;
        let keep = |time: std::time::Duration| time.as_secs().to_string();
        let period = QueueAttributeName::MessageRetentionPeriod;
        self.set(&dead_url, [(period.clone(), keep(DEAD_RETENTION))].into())
            .await?;
        let (url, arn) = self.queue(&layout.name).await?;
        let redrive = json!({
            "deadLetterTargetArn": dead_arn,
            "maxReceiveCount": layout.max_receives.to_string(),
        });
        let attributes = [
            (period, keep(RETENTION)),
            (QueueAttributeName::RedrivePolicy, redrive.to_string()),
        ];
        self.set(&url, attributes.into()).await?;
        urls.insert(dead_name, dead_url);
        urls.insert(layout.name.clone(), url.clone());
        Ok((url, arn))
    }

    /// Made without attributes, so that one that is there with others is found and not refused.
    async fn queue(&self, name: &str) -> Result<(String, String), QueueError> {
        check::name(name)?;
        let created = self.sqs.create_queue().queue_name(name).send().await;
        let created = created.map_err(|error| errors::call(&error))?;
        let url = created.queue_url.unwrap_or_default();
        let arn = self.get(&url, QueueAttributeName::QueueArn).await?;
        Ok((url, arn.unwrap_or_default()))
    }

    async fn get(&self, url: &str, name: QueueAttributeName) -> Result<Option<String>, QueueError> {
        let call = self.sqs.get_queue_attributes().queue_url(url);
        let answer = call.attribute_names(name.clone()).send().await;
        let answer = answer.map_err(|error| errors::call(&error))?;
        Ok(answer.attributes.and_then(|mut found| found.remove(&name)))
    }

    async fn set(&self, url: &str, attributes: Attributes) -> Result<(), QueueError> {
        let call = self.sqs.set_queue_attributes().queue_url(url);
        let answer = call.set_attributes(Some(attributes)).send().await;
        answer.map(|_| ()).map_err(|error| errors::call(&error))
    }

    /// Lets somebody send to the queue; what an operator has put into the policy stays.
    async fn permit(&self, url: &str, leave: &Value) -> Result<(), QueueError> {
        let found = self.get(url, QueueAttributeName::Policy).await?;
        let Some(policy) = with_permission(found.as_deref(), leave) else {
            return Ok(());
        };
        self.set(url, [(QueueAttributeName::Policy, policy)].into())
            .await
    }

    /// Subscribes, and sets what can only be set on a subscription: until then, what comes has an envelope, which
    /// receiving takes off.
    async fn subscribe(
        &self,
        topic: &str,
        queue: &str,
        filter: Option<&str>,
    ) -> Result<(), QueueError> {
        let call = self.sns.subscribe().topic_arn(topic).protocol("sqs");
        let answer = call.endpoint(queue).return_subscription_arn(true).send();
        let answer = answer.await.map_err(|error| errors::call(&error))?;
        let arn = answer.subscription_arn.unwrap_or_default();
        // An empty policy takes an earlier one away.
        let attributes = [
            ("RawMessageDelivery", "true"),
            ("FilterPolicy", filter.unwrap_or("{}")),
        ];
        for (name, value) in attributes {
            let call = self.sns.set_subscription_attributes();
            let call = call.subscription_arn(&arn).attribute_name(name);
            let answer = call.attribute_value(value).send().await;
            answer.map_err(|error| errors::call(&error))?;
        }
        Ok(())
    }
}

/// The policy with this leave; `None` when it has that already. One that is no policy is replaced.
fn with_permission(policy: Option<&str>, ours: &Value) -> Option<String> {
    let mut policy = policy
        .and_then(|text| serde_json::from_str::<Value>(text).ok())
        .filter(|policy| policy["Statement"].is_array())
        .unwrap_or_else(|| json!({"Version": "2012-10-17", "Statement": []}));
    let statements = policy["Statement"].as_array_mut()?;
    if statements.contains(ours) {
        return None;
    }
    statements.retain(|statement| statement["Sid"] != ours["Sid"]);
    statements.push(ours.clone());
    Some(policy.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leave_is_given_once_and_an_operators_statements_stay() {
        let theirs = r#"{"Version":"2012-10-17","Statement":[{"Sid":"theirs","Effect":"Deny"}]}"#;
        let policy = with_permission(Some(theirs), &topic_leave("q", "t")).expect("a change");
        let parsed: Value = serde_json::from_str(&policy).expect("JSON");
        assert_eq!(parsed["Statement"].as_array().map(Vec::len), Some(2));
        assert_eq!(parsed["Statement"][0]["Sid"], "theirs");
        assert_eq!(with_permission(Some(&policy), &topic_leave("q", "t")), None);
        let moved =
            with_permission(Some(&policy), &topic_leave("q", "other")).expect("another topic");
        let parsed: Value = serde_json::from_str(&moved).expect("JSON");
        assert_eq!(parsed["Statement"].as_array().map(Vec::len), Some(2));
        assert!(with_permission(None, &topic_leave("q", "t")).is_some());
        let leave = Sender::Rules.leave("arn:aws:sqs:eu-west-1:1234:q");
        assert!(
            leave
                .to_string()
                .contains("arn:aws:events:eu-west-1:1234:rule/*")
        );
        assert!(with_permission(Some("no JSON"), &topic_leave("q", "t")).is_some());
    }
}
