//! `kaiwa queues …`: the topic and the queues at Amazon, made before a server's first start.

use crate::clips::aws::create_queues as create_clip_queues;
use crate::config::{ClipsBackend, Config, Queue, QueueBackend};
use crate::notify::{Created, create_queues};
use anyhow::ensure;
use clap::{Args, Subcommand};
use serde::Serialize;
use std::fmt::Write as _;

#[derive(Debug, Clone, Args)]
pub(crate) struct QueuesArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Clone, Subcommand)]
enum What {
    /// Makes what is not there yet: topic, queues, their dead letters, the subscription and its leave; sets
    /// retention, redrive policy and the subscription's attributes each time. Prints the section of the settings.
    Create(Create),
}

#[derive(Debug, Clone, Args)]
struct Create {
    /// The topic's name [default: that of queue.topic, else queue.prefix and `events`].
    #[arg(long)]
    topic: Option<String>,
}

/// The section, as it stands in a file.
#[derive(Serialize)]
struct Settings {
    queue: Queue,
}

/// Makes them, and gives what is to be printed.
pub(super) async fn run(config: &Config, args: &QueuesArgs) -> anyhow::Result<String> {
    let What::Create(create) = &args.what;
    let mut text = String::new();
    let has_clips = config.clips.backend == ClipsBackend::Aws;
    if has_clips {
        text += "# For clips there are now:\n";
        for url in create_clip_queues(config).await?.values() {
            writeln!(text, "#   {url}")?;
        }
    }
    if has_clips && config.queue.backend == QueueBackend::Embedded {
        return Ok(text);
    }
    let created = create_queues(config, create.topic.as_deref()).await?;
    if let Some(set) = &config.queue.topic {
        ensure!(
            *set == created.topic,
            "queue.topic is {set}, and what these credentials made in this region is {}",
            created.topic
        );
    }
    Ok(text + &shown(&config.queue, created)?)
}

/// TOML, so that it may be put behind a file of settings as it is.
fn shown(queue: &Queue, created: Created) -> anyhow::Result<String> {
    let mut text = String::from("# There are now:\n");
    writeln!(text, "#   {}", created.topic)?;
    for url in created.queues.values() {
        writeln!(text, "#   {url}")?;
    }
    let queue = Queue {
        topic: Some(created.topic),
        ..queue.clone()
    };
    text += &toml::to_string_pretty(&Settings { queue })?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_a_section_of_the_settings() {
        let queue = Queue {
            backend: QueueBackend::Aws,
            region: Some("eu-west-1".to_owned()),
            ..Queue::default()
        };
        let topic = "arn:aws:sns:eu-west-1:123456789012:kaiwa-events".to_owned();
        let url = "https://sqs.eu-west-1.amazonaws.com/123456789012/kaiwa-events".to_owned();
        let created = Created {
            topic: topic.clone(),
            queues: [("kaiwa-events".to_owned(), url.clone())].into(),
        };
        let text = shown(&queue, created).expect("TOML");
        assert!(text.contains(&url), "{text}");
        let read: toml::Table = toml::from_str(&text).expect("TOML");
        let read: Queue = read["queue"].clone().try_into().expect("settings");
        assert_eq!(read.topic, Some(topic));
        assert_eq!((read.region, read.backend), (queue.region, queue.backend));
    }
}
