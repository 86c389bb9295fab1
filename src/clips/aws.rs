//! Clips at Amazon: bytes in S3, transcoding by MediaConvert, its events and S3's through SQS and a webhook. Files are
//! looked at on this machine all the same, before anything is spent on them.

use super::Backend;
#[cfg(feature = "aws")]
pub(crate) use here::create_queues;
#[cfg(feature = "aws")]
pub(super) use here::open;

/// Queues of events, behind `clips.aws.queue_prefix`.
pub(crate) const QUEUES: [&str; 2] = ["clip-objects", "clip-jobs"];

#[cfg(not(feature = "aws"))]
pub(super) async fn open(
    _: &crate::config::Config,
    _: &crate::data::DataDir,
    _: kaiwa_media_pipeline::cage::Tools,
) -> anyhow::Result<Backend> {
    std::future::ready(Err(anyhow::anyhow!(
        "clips.backend: this binary was built without the feature `aws`"
    )))
    .await
}

#[cfg(not(feature = "aws"))]
pub(crate) async fn create_queues(
    _: &crate::config::Config,
) -> anyhow::Result<std::collections::BTreeMap<String, String>> {
    std::future::ready(Err(anyhow::anyhow!(
        "this binary was built without the feature `aws`"
    )))
    .await
}

#[cfg(feature = "aws")]
mod here {
    use super::super::embedded::{policy, work};
    use super::{Backend, QUEUES};
    use crate::config::{ClipsAws, Config};
    use crate::data::DataDir;
    use anyhow::Context as _;
    use axum::Router;
    use kaiwa_media_pipeline::adapters::dynamo::{DynamoStore, create_table};
    use kaiwa_media_pipeline::cage::Tools;
    use kaiwa_media_pipeline::inspect::FfprobeInspector;
    use kaiwa_media_pipeline::ladder::ladder;
    use kaiwa_media_pipeline::mediaconvert::finish::Finisher;
    use kaiwa_media_pipeline::mediaconvert::transcoder::Parts;
    use kaiwa_media_pipeline::mediaconvert::{MediaConvert, MediaConvertOptions, Rung};
    use kaiwa_media_pipeline::model::Source;
    use kaiwa_media_pipeline::objects::{S3Objects, S3Options};
    use kaiwa_media_pipeline::ports::{ClipStore, Objects};
    use kaiwa_platform::clock::SystemClock;
    use kaiwa_platform::queue::aws::{AwsOptions, SdkConfig, Sender, SqsQueue, load, open_to};
    use kaiwa_platform::queue::{DeadLetters, Queue, dead_letters};
    use std::collections::BTreeMap;
    use std::sync::Arc;

    /// QVBR's level (1 to 10): AWS's own recommendation for 720p and 1080p; the rates are the ladder's.
    const QUALITY: u8 = 7;

    /// Makes the clients and finds the queues.
    pub(in super::super) async fn open(
        config: &Config,
        data: &DataDir,
        tools: Tools,
    ) -> anyhow::Result<Backend> {
        let settings = config.clips.aws.as_ref().context("clips.aws is needed")?;
        let aws = reached(settings).await;
        let options = S3Options {
            bucket: settings.bucket.clone(),
            upload_role: settings.upload_role.clone(),
            path_style: settings.path_style,
        };
        let objects: Arc<dyn Objects> =
            Arc::new(S3Objects::new(&aws, Arc::new(SystemClock), options));
        // What a crash left of sources that were fetched.
        let fetched = work(data).join("looked-at");
        let _ = tokio::fs::remove_dir_all(&fetched).await;
        let finisher = Finisher::new(
            Arc::clone(&objects),
            tools.clone(),
            work(data).join("pictures"),
        );
        let inspector = FfprobeInspector::new(Arc::clone(&objects), tools, policy(config), fetched);
        let transcoder = MediaConvert::new(
            &aws,
            job_options(settings),
            Parts {
                objects: Arc::clone(&objects),
                ladder: Arc::new(rungs),
                finish: Arc::new(finisher),
                clock: Arc::new(SystemClock),
            },
        );
        let mut queues = Vec::new();
        for name in QUEUES {
            let name = format!("{}{name}", settings.queue_prefix);
            let found = async |name: &str| {
                let queue = SqsQueue::named(&aws, name).await;
                queue.with_context(|| {
                    format!(
                        "the queue {name} at SQS (`kaiwa queues create` makes what is not there)"
                    )
                })
            };
            let queue: Arc<dyn Queue> = Arc::new(found(&name).await?);
            let dead: Arc<dyn Queue> = Arc::new(found(&dead_letters::name_of(&name)).await?);
            queues.push(DeadLetters::new(queue, dead));
        }
        let store: Option<Arc<dyn ClipStore>> = match &settings.table {
            Some(table) => {
                let opened = DynamoStore::open(&aws, table, Arc::new(SystemClock)).await;
                let opened = opened.with_context(|| {
                    format!("the table {table} at DynamoDB (`kaiwa queues create` makes it)")
                })?;
                Some(Arc::new(opened))
            }
            None => None,
        };
        Ok(Backend {
            objects,
            inspector: Arc::new(inspector),
            transcoder: Arc::new(transcoder),
            local: None,
            routes: Router::new(),
            queues,
            store,
            told: format!("S3 bucket {}, MediaConvert", settings.bucket),
        })
    }

    /// Makes the queues of events that are not there yet, and lets S3 and EventBridge send to them; the table too, if one
    /// is named. Gives URLs by name.
    ///
    /// # Errors
    /// A setting, or what Amazon said.
    pub(crate) async fn create_queues(config: &Config) -> anyhow::Result<BTreeMap<String, String>> {
        let settings = config.clips.aws.as_ref().context("clips.aws is needed")?;
        let aws = reached(settings).await;
        let [objects, jobs] = QUEUES.map(|name| format!("{}{name}", settings.queue_prefix));
        let mut queues = BTreeMap::new();
        for (name, sender) in [
            (objects, Sender::Bucket(&settings.bucket)),
            (jobs, Sender::Rules),
        ] {
            let made = open_to(&aws, &name, sender).await;
            queues.extend(made.with_context(|| format!("the queue {name} at SQS"))?);
        }
        if let Some(table) = &settings.table {
            let made = create_table(&aws, table).await;
            made.with_context(|| format!("the table {table} at DynamoDB"))?;
            queues.insert(table.clone(), format!("the table {table} at DynamoDB"));
        }
        Ok(queues)
    }

    async fn reached(settings: &ClipsAws) -> SdkConfig {
        load(AwsOptions {
            endpoint: settings.endpoint.clone(),
            region: Some(settings.region.clone()),
        })
        .await
    }

    fn job_options(settings: &ClipsAws) -> MediaConvertOptions {
        MediaConvertOptions {
            queue: settings.mediaconvert_queue.clone(),
            endpoint: settings.mediaconvert_endpoint.clone(),
            ..MediaConvertOptions::new(&settings.bucket, &settings.mediaconvert_role)
        }
    }

    /// The ladder that FFmpeg has as well.
    fn rungs(source: &Source) -> Vec<Rung> {
        let rungs = source.video.as_ref().map(ladder).unwrap_or_default();
        let rungs = rungs.into_iter().map(|rung| Rung {
            name: rung.name,
            width: rung.width,
            height: rung.height,
            fps: rung.rate.value(),
            max_bitrate: u32::try_from(rung.max_bps).unwrap_or(u32::MAX),
            quality: QUALITY,
        });
        rungs.collect()
    }
}
