//! From a source in the bucket to outputs that are whole.

use crate::bucket::Bucket;
use crate::heard::Heard;
use crate::world::{World, transcoder};
use kaiwa_common::redact::Secret;
use kaiwa_common::time::UnixMs;
use kaiwa_media_pipeline::mediaconvert::hint::unseen;
use kaiwa_media_pipeline::mediaconvert::{Consumer, Webhook, WebhookOptions};
use kaiwa_media_pipeline::model::{Backend, Job, Outputs, Source};
use kaiwa_media_pipeline::ports::{JobEvent, Order, Report, TranscodeError, Transcoder as _};
use kaiwa_platform::clock::SystemClock;
use kaiwa_platform::queue::aws::SqsQueue;
use kaiwa_platform::queue::dead_letters::name_of;
use kaiwa_platform::queue::{DeadLetters, LONG_POLL};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_submitted_followed_and_its_outputs_are_looked_at() {
    let world = World::new().await;
    let order = world.order(1).await;
    let job = world.transcoder.submit(&order).await.unwrap();
    assert_eq!(job.backend, Backend::MediaConvert);
    // The same clip and attempt again: the same job.
    let again = world.transcoder.submit(&order).await.unwrap();
    assert_eq!(again.id, job.id);
    let events = world.events().await;
    for event in &events {
        assert_eq!(
            (&event.job, event.clip, event.attempt),
            (&job.id, Some(order.clip), Some(1))
        );
    }
    assert_eq!(events.last().unwrap().report, Report::Done(unseen()));
    assert!(
        events
            .iter()
            .any(|event| matches!(&event.report, Report::Working(_)))
    );
    let Report::Done(outputs) = world.over(&job, &order).await else {
        panic!("not done")
    };
    assert_eq!(outputs.playlist.as_deref(), Some("hls/master.m3u8"));
    let names: Vec<_> = outputs
        .renditions
        .iter()
        .map(|r| (r.name.as_str(), r.height))
        .collect();
    assert_eq!(names, [("180p", 180), ("90p", 90)]);
    for rendition in &outputs.renditions {
        assert!(rendition.codecs.starts_with("avc1."), "{rendition:?}");
        assert!(
            rendition.peak >= rendition.average && rendition.average > 10_000,
            "{rendition:?}"
        );
        assert!(outputs.files.contains_key(&rendition.playlist));
    }
    assert_eq!(
        outputs.poster.as_deref(),
        Some("thumbnails/thumb.0000001.jpg")
    );
    // Two playlists and their master, three segments each, three pictures: more than one page of the listing. And ours:
    // a master, the sprite, its times.
    assert_eq!(outputs.files.len(), 15, "{:?}", outputs.files);
    what_is_over_is_stopped_already(&world, &job, &order).await;
    what_is_missing_makes_no_ready_clip(&world, &job, &order, &outputs).await;
    a_store_that_does_not_answer_fails_nothing(&world, &job, &order).await;
}

async fn what_is_over_is_stopped_already(world: &World, job: &Job, order: &Order) {
    world.transcoder.cancel(job).await.unwrap();
    let nobody = Job {
        id: "1795836000000-nobody".to_owned(),
        backend: Backend::MediaConvert,
        submitted: UnixMs(0),
    };
    world.transcoder.cancel(&nobody).await.unwrap();
    assert_eq!(world.transcoder.report(&nobody, order).await, Ok(None));
}

async fn what_is_missing_makes_no_ready_clip(
    world: &World,
    job: &Job,
    order: &Order,
    outputs: &Outputs,
) {
    let mut names = outputs.files.keys();
    let segment = names.find(|name| name.ends_with(".ts")).unwrap();
    let key = format!("{}{segment}", order.processed);
    world.bucket.remove(&key).await;
    let Ok(Some(Report::Failed(error))) = world.transcoder.report(job, order).await else {
        panic!("not failed")
    };
    assert_eq!(error.reason, "OUTPUT_INCOMPLETE");
    assert!(error.retryable);
}

async fn a_store_that_does_not_answer_fails_nothing(world: &World, job: &Job, order: &Order) {
    let ladder = Arc::new(|_: &Source| Vec::new());
    let nowhere = Some(Bucket::nowhere());
    let transcoder = transcoder(&world.config, &world.double.root, nowhere, ladder);
    let report = transcoder.report(job, order).await;
    assert!(matches!(report, Err(TranscodeError::Unavailable { .. })));
}

/// The same words by both ways: the queue's consumer, and the webhook with its key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_come_by_queue_and_by_webhook() {
    let world = World::new().await;
    let order = world.order(2).await;
    let (by_queue, by_web) = (Arc::new(Heard::default()), Arc::new(Heard::default()));
    let (url, serving) = serve(&by_web).await;
    let to = json!({"queue": world.jobs_url, "webhook": url, "key": KEY});
    world.double.control("PUT", "/_events", to).await;
    // Each doubled: the consumer hands on both, the webhook the first.
    let doubled = json!({"events": [{"do": "duplicate", "times": 0}]});
    world.double.faults(doubled).await;

    let job = world.transcoder.submit(&order).await.unwrap();
    let dead = SqsQueue::named(&world.config, &name_of("jobs"))
        .await
        .unwrap();
    let letters = DeadLetters::new(Arc::new(world.queue.clone()), Arc::new(dead));
    let consumer = Consumer::new(letters, Arc::clone(&by_queue) as _);
    let is_done = |event: &JobEvent| matches!(event.report, Report::Done(_));
    let ends = |heard: &Heard| {
        heard
            .jobs
            .lock()
            .unwrap()
            .iter()
            .filter(|e| is_done(e))
            .count()
    };
    while ends(&by_queue) < 2 {
        assert!(
            consumer.once(LONG_POLL).await.unwrap() > 0,
            "events in time"
        );
    }
    // The event is posted after it was sent to the queue.
    let web = async {
        while ends(&by_web) < 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), web)
        .await
        .expect("posted");
    serving.abort();
    let ids = |heard: &Heard| -> Vec<String> {
        heard
            .jobs
            .lock()
            .unwrap()
            .iter()
            .map(|event| event.id.clone())
            .collect()
    };
    let once: BTreeSet<_> = ids(&by_web).into_iter().collect();
    assert_eq!(once.len(), ids(&by_web).len(), "a replay was stopped");
    assert_eq!(once, ids(&by_queue).into_iter().collect());
    assert_eq!(ids(&by_queue).len(), 2 * once.len());
    assert!(
        by_web
            .jobs
            .lock()
            .unwrap()
            .iter()
            .all(|event| event.job == job.id)
    );
}

const KEY: &str = "an-api-key-of-32-characters-0001";

/// The webhook on a port of its own.
async fn serve(heard: &Arc<Heard>) -> (String, tokio::task::JoinHandle<()>) {
    let options = WebhookOptions {
        api_keys: vec![Secret::new(KEY.to_owned())],
        secrets: Vec::new(),
    };
    let webhook = Webhook::new(&options, Arc::new(SystemClock), Arc::clone(heard) as _);
    let router = webhook.unwrap().router();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (format!("http://{address}/webhooks/mediaconvert"), serving)
}
