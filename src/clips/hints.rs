//! Words from outside that an object is there or a job has moved, for the service: by queues, and by the webhook.

use crate::config::Webhook as Settings;
use crate::data::{read_secret, read_secret_text};
use anyhow::Context as _;
use axum::Router;
use kaiwa_media_pipeline::mediaconvert::{
    Consumer, HintError, Hints, ObjectCreated, Webhook, WebhookOptions,
};
use kaiwa_media_pipeline::ports::{Answer, JobEvent, StoreError};
use kaiwa_media_pipeline::service::ClipService;
use kaiwa_platform::clock::SystemClock;
use kaiwa_platform::queue::DeadLetters;
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The service, for hints.
struct Heard(ClipService);

impl Hints for Heard {
    fn job(&self, event: JobEvent) -> Answer<'_, (), HintError> {
        Box::pin(async move { self.0.job_event(event).await.map_err(|error| later(&error)) })
    }

    fn object(&self, object: ObjectCreated) -> Answer<'_, (), HintError> {
        Box::pin(async move {
            let taken = self.0.object_created(&object.event, &object.key).await;
            taken.map_err(|error| later(&error))
        })
    }
}

fn later(error: &StoreError) -> HintError {
    HintError::Later(error.to_string())
}

/// Consumes these queues until `stop`.
pub(super) fn consume(
    queues: Vec<DeadLetters>,
    service: &ClipService,
    stop: &CancellationToken,
) -> JoinSet<()> {
    let mut consumers = JoinSet::new();
    for letters in queues {
        let consumer = Consumer::new(letters, Arc::new(Heard(service.clone())));
        let stop = stop.clone();
        consumers.spawn(async move { consumer.run(&stop).await });
    }
    consumers
}

/// Keys and secrets of those who may call the webhook.
pub(super) fn callers(settings: &Settings) -> anyhow::Result<WebhookOptions> {
    let mut options = WebhookOptions::default();
    for path in &settings.api_key_files {
        options.api_keys.push(read_secret_text(path)?);
    }
    for path in &settings.secret_files {
        options.secrets.push(read_secret(path)?);
    }
    Ok(options)
}

/// `POST /webhooks/mediaconvert`.
pub(super) fn webhook(callers: &WebhookOptions, service: &ClipService) -> anyhow::Result<Router> {
    let hints = Arc::new(Heard(service.clone()));
    let webhook = Webhook::new(callers, Arc::new(SystemClock), hints);
    Ok(webhook.context("clips.aws.webhook")?.router())
}
