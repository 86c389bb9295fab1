//! Where notifications wait: in the database, or at Amazon.

use crate::config::{Config, QueueBackend};
use anyhow::Context as _;
use kaiwa_notifier::model::Channel;
use kaiwa_notifier::service::Lanes;
use kaiwa_platform::clock::SystemClock;
use kaiwa_platform::queue::sqlite::{SqliteQueueOptions, SqliteQueues};
use kaiwa_platform::queue::{
    Answer, DeadLetters, Outgoing, Queue, QueueError, SendError, Topic, dead_letters,
};
use kaiwa_platform::sqlite::Sqlite;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The topic, and each queue with its dead letters.
pub(super) struct Queues {
    pub(super) topic: Arc<dyn Topic>,
    pub(super) events: Lanes,
    pub(super) channels: Vec<(Channel, Lanes)>,
}

/// The queue of events.
const EVENTS: &str = "events";

/// The class of rings and their ends, an attribute of what is published.
const RINGS: &str = "call";

/// What a topic delivers to the urgent queue of events. The ordinary one gets all: a filter for what has no class
/// would lose what others publish without any attribute (SNS), and the router knows repeats.
#[cfg(feature = "aws")]
const RINGS_FILTER: &str = r#"{"class": ["call"]}"#;

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

/// The queue beside this one, for rings and their ends.
fn urgent(queue: &str) -> String {
    format!("{queue}-urgent")
}

/// Operators' notices have no urgent queue: nothing rings there.
fn has_urgent(channel: Channel) -> bool {
    channel != Channel::Slack
}

/// Queues in place of a topic: what rings goes to the urgent one, as a topic's filters have it.
struct Direct {
    events: Arc<dyn Queue>,
    urgent: Arc<dyn Queue>,
}

impl Topic for Direct {
    fn publish(&self, batch: Vec<Outgoing>) -> Answer<'_, Vec<Result<(), SendError>>> {
        Box::pin(async move {
            let is_urgent = |message: &Outgoing| {
                let class = message.attributes.get("class");
                class.is_some_and(|class| class == RINGS)
            };
            let order: Vec<bool> = batch.iter().map(is_urgent).collect();
            let (urgent, others): (Vec<_>, Vec<_>) = batch.into_iter().partition(is_urgent);
            let urgent = sent(&self.urgent, urgent).await?;
            let others = sent(&self.events, others).await?;
            let (mut urgent, mut others) = (urgent.into_iter(), others.into_iter());
            let results = order.into_iter().map(|is_urgent| {
                let next = if is_urgent {
                    urgent.next()
                } else {
                    others.next()
                };
                next.unwrap_or_else(|| Err(SendError::Failed("no result".to_owned())))
            });
            Ok(results.collect())
        })
    }
}

async fn sent(
    queue: &Arc<dyn Queue>,
    batch: Vec<Outgoing>,
) -> Result<Vec<Result<(), SendError>>, QueueError> {
    if batch.is_empty() {
        return Ok(Vec::new());
    }
    queue.send(batch).await
}

async fn embedded(database: Sqlite, channels: &[Channel]) -> anyhow::Result<Queues> {
    let queues = SqliteQueues::open(database, Arc::new(SystemClock)).await;
    let queues = queues.context("the tables of queues")?;
    let open = async |name: &str| -> anyhow::Result<_> {
        let queue = queues.queue(name, SqliteQueueOptions::default()).await?;
        let dead = dead_letters::name_of(name);
        let dead = queues.queue(&dead, SqliteQueueOptions::dead()).await?;
        Ok(DeadLetters::new(Arc::new(queue), Arc::new(dead)))
    };
    let (events, channels) = lanes(channels, open).await?;
    Ok(Queues {
        topic: direct(&events),
        events,
        channels,
    })
}

/// Each queue and the one beside it, as they are opened by name.
async fn lanes(
    channels: &[Channel],
    open: impl AsyncFn(&str) -> anyhow::Result<DeadLetters>,
) -> anyhow::Result<(Lanes, Vec<(Channel, Lanes)>)> {
    let both = async |name: &str, has_urgent: bool| -> anyhow::Result<_> {
        Ok(Lanes {
            ordinary: open(name).await?,
            urgent: if has_urgent {
                Some(open(&urgent(name)).await?)
            } else {
                None
            },
        })
    };
    let events = both(EVENTS, true).await?;
    let mut opened = Vec::new();
    for &channel in channels {
        let lanes = both(queue_of(channel), has_urgent(channel)).await?;
        opened.push((channel, lanes));
    }
    Ok((events, opened))
}

/// The queues of events in place of a topic.
fn direct(events: &Lanes) -> Arc<dyn Topic> {
    let urgent = events.urgent.as_ref().unwrap_or(&events.ordinary);
    Arc::new(Direct {
        events: Arc::clone(events.ordinary.queue()),
        urgent: Arc::clone(urgent.queue()),
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
    let mut layouts = vec![
        QueueLayout::subscribed(&named(EVENTS)),
        QueueLayout {
            filter: Some(RINGS_FILTER.to_owned()),
            ..QueueLayout::subscribed(&named(&urgent(EVENTS)))
        },
    ];
    for channel in CHANNELS {
        let name = queue_of(channel);
        layouts.push(QueueLayout::direct(&named(name)));
        if has_urgent(channel) {
            layouts.push(QueueLayout::direct(&named(&urgent(name))));
        }
    }
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

#[cfg(feature = "aws")]
fn reached(settings: &crate::config::Queue) -> kaiwa_platform::queue::aws::AwsOptions {
    kaiwa_platform::queue::aws::AwsOptions {
        endpoint: settings.endpoint.clone(),
        region: settings.region.clone(),
    }
}

#[cfg(feature = "aws")]
async fn aws(config: &Config, channels: &[Channel]) -> anyhow::Result<Queues> {
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
        let queue: Arc<dyn Queue> = Arc::new(found(&name).await?);
        let dead: Arc<dyn Queue> = Arc::new(found(&dead_letters::name_of(&name)).await?);
        Ok(DeadLetters::new(queue, dead))
    };
    let (events, channels) = lanes(channels, open).await?;
    let topic: Arc<dyn Topic> = match &settings.topic {
        Some(arn) => Arc::new(SnsTopic::at(&aws, arn)),
        None => direct(&events),
    };
    Ok(Queues {
        topic,
        events,
        channels,
    })
}

#[cfg(not(feature = "aws"))]
async fn aws(_: &Config, _: &[Channel]) -> anyhow::Result<Queues> {
    std::future::ready(Err(anyhow::anyhow!(
        "queue.backend: this binary was built without the feature `aws`"
    )))
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use kaiwa_common::id::{RoomId, UserId};
    use kaiwa_common::time::UnixMs;
    use std::time::Duration;

    #[tokio::test]
    async fn a_ring_does_not_stand_behind_what_waits_of_events() {
        use kaiwa_chat::model::User;
        use kaiwa_chat::ports::Announcement;
        use kaiwa_chat::wire::notify;

        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("kaiwa.db");
        let options = kaiwa_platform::sqlite::SqliteOptions::new(path);
        let database = Sqlite::open(options, &[]).expect("a database");
        let queues = embedded(database, &[Channel::WebPush, Channel::Slack]).await;
        let queues = queues.expect("queues");
        let user = |name: &str| UserId::parse(name).expect("a user id");
        let ring = Announcement::Ringing {
            user: user("bob"),
            room: RoomId::parse("r_a").expect("a room id"),
            from: User {
                id: user("alice"),
                name: kaiwa_common::redact::Redacted("Alice".to_owned()),
            },
            until: UnixMs(45_000),
        };
        let ring = notify::announcement(&ring, "", UnixMs(0));
        let other = Outgoing {
            body: "a message".to_owned(),
            ..Outgoing::default()
        };
        let batch = vec![other.clone(), ring.clone(), other];
        let results = queues.topic.publish(batch).await.expect("published");
        assert_eq!(results, [Ok(()), Ok(()), Ok(())]);
        let minute = Duration::from_secs(60);
        let urgent = queues.events.urgent.expect("a queue for rings");
        let urgent = urgent.queue().receive(10, Duration::ZERO, minute).await;
        let urgent = urgent.expect("received");
        assert_eq!((urgent.len(), &urgent[0].body), (1, &ring.body));
        let ordinary = queues.events.ordinary.queue();
        let ordinary = ordinary.receive(10, Duration::ZERO, minute).await;
        assert_eq!(ordinary.expect("received").len(), 2);
        let has_urgent: Vec<_> = queues
            .channels
            .iter()
            .map(|(_, lanes)| lanes.urgent.is_some())
            .collect();
        assert_eq!(has_urgent, [true, false]);
    }
}
