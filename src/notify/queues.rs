//! Where notifications wait: in the database, or at Amazon.

use crate::config::{Config, QueueBackend};
use anyhow::Context as _;
use kaiwa_notifier::model::Channel;
use kaiwa_platform::clock::SystemClock;
use kaiwa_platform::queue::sqlite::{SqliteQueueOptions, SqliteQueues};
use kaiwa_platform::queue::{DeadLetters, Topic, dead_letters};
use kaiwa_platform::sqlite::Sqlite;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The topic, and each queue with its dead letters.
pub(super) struct Queues {
    pub(super) topic: Arc<dyn Topic>,
    pub(super) events: DeadLetters,
    pub(super) channels: Vec<(Channel, DeadLetters)>,
}

/// The queue of events.
const EVENTS: &str = "events";

/// Opens those of these channels.
pub(super) async fn open(
    config: &Config,
    database: Sqlite,
    channels: &[Channel],
) -> anyhow::Result<Queues> {
    match config.queue.backend {
        QueueBackend::Embedded => embedded(database, channels).await,
        QueueBackend::Aws => aws(config, channels).await,
    }
}

/// A channel's queue.
fn queue_of(channel: Channel) -> &'static str {
    match channel {
        Channel::WebPush => "push-webpush",
        Channel::Apns => "push-apns",
        Channel::Fcm => "push-fcm",
        Channel::Sns => "push-sns",
        Channel::Slack => "slack",
    }
}

async fn embedded(database: Sqlite, channels: &[Channel]) -> anyhow::Result<Queues> {
    let queues = SqliteQueues::open(database, Arc::new(SystemClock)).await;
    let queues = queues.context("the tables of queues")?;
    let open = async |name: &str| -> anyhow::Result<_> {
        let queue = queues.queue(name, SqliteQueueOptions::default()).await?;
        let dead = dead_letters::name_of(name);
        let dead = queues.queue(&dead, SqliteQueueOptions::dead()).await?;
        let letters = DeadLetters::new(Arc::new(queue.clone()), Arc::new(dead));
        Ok((queue, letters))
    };
    let (topic, events) = open(EVENTS).await?;
    let mut opened = Vec::new();
    for &channel in channels {
        opened.push((channel, open(queue_of(channel)).await?.1));
    }
    Ok(Queues {
        topic: Arc::new(topic),
        events,
        channels: opened,
    })
}

/// What is at Amazon for this server.
pub(crate) struct Created {
    /// The topic's ARN.
    pub(crate) topic: String,
    /// The queues with their URLs.
    pub(crate) queues: BTreeMap<String, String>,
}

/// Every channel: a queue that nothing is sent to costs nothing, and is there when its channel is switched on.
#[cfg(feature = "aws")]
const CHANNELS: [Channel; 5] = [
    Channel::WebPush,
    Channel::Apns,
    Channel::Fcm,
    Channel::Sns,
    Channel::Slack,
];

/// Makes at Amazon what is not there yet of the topic and the queues.
///
/// # Errors
/// A setting, or what Amazon said.
#[cfg(feature = "aws")]
pub(crate) async fn create(config: &Config, topic: Option<&str>) -> anyhow::Result<Created> {
    use kaiwa_platform::queue::aws::{QueueLayout, load, wire};

    let settings = &config.queue;
    anyhow::ensure!(
        settings.backend == QueueBackend::Aws,
        "queue.backend is not \"aws\": embedded queues are made when the server starts"
    );
    let named = |name: &str| format!("{}{name}", settings.prefix);
    let set = settings.topic.as_deref();
    let topic = match (topic, set.and_then(|arn| arn.rsplit(':').next())) {
        (Some(topic), _) | (None, Some(topic)) => topic.to_owned(),
        (None, None) => named(EVENTS),
    };
    let mut layouts = vec![QueueLayout::subscribed(&named(EVENTS))];
    layouts.extend(CHANNELS.map(|channel| QueueLayout::direct(&named(queue_of(channel)))));
    let aws = load(reached(settings)).await;
    let wired = wire(&aws, &topic, &layouts).await;
    let wired = wired.context("the topic and the queues at SNS and SQS")?;
    Ok(Created {
        topic: wired.topic_arn,
        queues: wired.queues,
    })
}

#[cfg(not(feature = "aws"))]
pub(crate) async fn create(_: &Config, _: Option<&str>) -> anyhow::Result<Created> {
    std::future::ready(Err(anyhow::anyhow!(
        "this binary was built without the feature `aws`"
    )))
    .await
}

/// A queue in place of a topic: events go to it directly.
#[cfg(feature = "aws")]
struct Direct(Arc<dyn kaiwa_platform::queue::Queue>);

#[cfg(feature = "aws")]
impl Topic for Direct {
    fn publish(
        &self,
        batch: Vec<kaiwa_platform::queue::Outgoing>,
    ) -> kaiwa_platform::queue::Answer<'_, Vec<Result<(), kaiwa_platform::queue::SendError>>> {
        self.0.send(batch)
    }
}

#[cfg(feature = "aws")]
fn reached(settings: &crate::config::Queue) -> kaiwa_platform::queue::aws::AwsOptions {
    kaiwa_platform::queue::aws::AwsOptions {
        endpoint: settings.endpoint.clone(),
        region: settings.region.clone(),
    }
}

#[cfg(feature = "aws")]
async fn aws(config: &Config, channels: &[Channel]) -> anyhow::Result<Queues> {
    use kaiwa_platform::queue::Queue;
    use kaiwa_platform::queue::aws::{SnsTopic, SqsQueue, load};

    let settings = &config.queue;
    let aws = load(reached(settings)).await;
    let open = async |name: &str| -> anyhow::Result<_> {
        let name = format!("{}{name}", settings.prefix);
        let found = async |name: &str| {
            let queue = SqsQueue::named(&aws, name).await;
            queue.with_context(|| {
                format!("the queue {name} at SQS (`kaiwa queues create` makes what is not there)")
            })
        };
        let queue: Arc<SqsQueue> = Arc::new(found(&name).await?);
        let dead: Arc<dyn Queue> = Arc::new(found(&dead_letters::name_of(&name)).await?);
        Ok((
            Arc::clone(&queue),
            DeadLetters::new(queue as Arc<dyn Queue>, dead),
        ))
    };
    let (queue, events) = open(EVENTS).await?;
    let topic: Arc<dyn Topic> = match &settings.topic {
        Some(arn) => Arc::new(SnsTopic::at(&aws, arn)),
        None => Arc::new(Direct(queue)),
    };
    let mut opened = Vec::new();
    for &channel in channels {
        opened.push((channel, open(queue_of(channel)).await?.1));
    }
    Ok(Queues {
        topic,
        events,
        channels: opened,
    })
}

#[cfg(not(feature = "aws"))]
async fn aws(_: &Config, _: &[Channel]) -> anyhow::Result<Queues> {
    std::future::ready(Err(anyhow::anyhow!(
        "queue.backend: this binary was built without the feature `aws`"
    )))
    .await
}
