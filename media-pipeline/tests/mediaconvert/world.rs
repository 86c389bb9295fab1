//! MiniStack, the double, a bucket, a queue, a transcoder.

use crate::bucket::Bucket;
use crate::double::Double;
use crate::emulator::{Emulator, Kind};
use crate::orders::{order, rung, source};
use aws_config::SdkConfig;
use kaiwa_media_pipeline::cage::Tools;
use kaiwa_media_pipeline::mediaconvert::finish::Finisher;
use kaiwa_media_pipeline::mediaconvert::transcoder::{Ladder, Parts};
use kaiwa_media_pipeline::mediaconvert::{Hint, MediaConvert, MediaConvertOptions, read};
use kaiwa_media_pipeline::model::Job;
use kaiwa_media_pipeline::ports::{JobEvent, Order, Report, Transcoder as _};
use kaiwa_platform::clock::SystemClock;
use kaiwa_platform::queue::aws::{QueueLayout, SqsQueue, wire};
use kaiwa_platform::queue::{LONG_POLL, Queue as _};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

pub(crate) const ROLE: &str = "arn:aws:iam::000000000000:role/transcode";

/// A transcoder at this endpoint, that does not wait long before it tries again.
pub(crate) fn transcoder(
    config: &SdkConfig,
    endpoint: &str,
    bucket: Option<Bucket>,
    ladder: Ladder,
) -> MediaConvert {
    let options = MediaConvertOptions {
        endpoint: Some(endpoint.to_owned()),
        first_pause: Duration::from_millis(10),
        ..MediaConvertOptions::new("clips", ROLE)
    };
    MediaConvert::new(config, options, parts(bucket, ladder))
}

fn parts(bucket: Option<Bucket>, ladder: Ladder) -> Parts {
    let bucket = bucket.unwrap_or_else(Bucket::nowhere);
    let tools = Tools::find(&std::env::var("PATH").unwrap()).unwrap();
    Parts {
        objects: Arc::new(bucket.clone()),
        ladder,
        finish: Arc::new(finisher(bucket, tools)),
        clock: Arc::new(SystemClock),
    }
}

/// In a folder of its own.
pub(crate) fn finisher(bucket: Bucket, tools: Tools) -> Finisher {
    let work = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(Uuid::now_v7().to_string());
    Finisher::new(Arc::new(bucket), tools, work)
}

/// Two small qualities.
fn ladder() -> Ladder {
    Arc::new(|_| {
        vec![
            rung("180p", (320, 180), 30.0, 400_000),
            rung("90p", (160, 90), 15.0, 150_000),
        ]
    })
}

pub(crate) struct World {
    pub(crate) double: Double,
    pub(crate) bucket: Bucket,
    pub(crate) transcoder: MediaConvert,
    pub(crate) queue: SqsQueue,
    pub(crate) config: SdkConfig,
    pub(crate) jobs_url: String,
    _ministack: Emulator,
}

impl World {
    pub(crate) async fn new() -> Self {
        let ministack = Emulator::start(Kind::MiniStack).await;
        let config = ministack.config().await;
        let wired = wire(&config, "events", &[QueueLayout::direct("jobs")])
            .await
            .unwrap();
        let bucket = Bucket::make(ministack.endpoint(), "clips").await;
        let double = Double::start(ministack.endpoint(), &wired.queues["jobs"]);
        Self {
            transcoder: transcoder(&config, &double.root, Some(bucket.clone()), ladder()),
            queue: SqsQueue::at(&config, &wired.queues["jobs"]),
            jobs_url: wired.queues["jobs"].clone(),
            double,
            bucket,
            config,
            _ministack: ministack,
        }
    }

    /// One with other options.
    pub(crate) fn transcoder_with(&self, options: MediaConvertOptions) -> MediaConvert {
        MediaConvert::new(
            &self.config,
            options,
            parts(Some(self.bucket.clone()), ladder()),
        )
    }

    /// An order whose source is there: five seconds with sound.
    pub(crate) async fn order(&self, clip: u128) -> Order {
        let mut order = order(clip, source(320, 180, 5, true));
        order.segment_s = 2;
        self.bucket.store(&order.source_key, clip_file()).await;
        order
    }

    /// The next event; none in a long poll fails.
    pub(crate) async fn event(&self) -> JobEvent {
        let mut got = self
            .queue
            .receive(1, LONG_POLL, Duration::from_secs(60))
            .await
            .unwrap();
        let delivery = got.pop().expect("an event in time");
        self.queue.delete(vec![delivery.receipt]).await.unwrap();
        match read(&delivery.body) {
            Ok(Hint::Job(event)) => *event,
            other => panic!("{other:?}: {}", delivery.body),
        }
    }

    /// Events up to the first of these that ends a job.
    pub(crate) async fn events(&self) -> Vec<JobEvent> {
        let mut events = Vec::new();
        loop {
            let event = self.event().await;
            let is_over = is_over(&event.report);
            events.push(event);
            if is_over {
                return events;
            }
        }
    }

    /// What the transcoder says once the job is over, without a word from outside: as the reaper asks.
    pub(crate) async fn over(&self, job: &Job, order: &Order) -> Report {
        let asking = async {
            loop {
                let report = self.transcoder.report(job, order).await.unwrap().unwrap();
                if is_over(&report) {
                    return report;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), asking)
            .await
            .expect("the job ends")
    }
}

pub(crate) fn is_over(report: &Report) -> bool {
    match report {
        Report::Done(_) | Report::Failed(_) | Report::Cancelled => true,
        Report::Queued | Report::Working(_) => false,
    }
}

fn clip_file() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clip.mp4");
    let made = Command::new("ffmpeg")
        .args(
            "-nostdin -loglevel error -f lavfi -i testsrc2=s=320x180:r=30:d=5 -f lavfi -i sine=d=5"
                .split(' '),
        )
        .args("-c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac -shortest".split(' '))
        .arg(&path)
        .status()
        .unwrap();
    assert!(made.success());
    std::fs::read(path).unwrap()
}
