//! [`Transcoder`] at MediaConvert.

use super::client::{client, error};
use super::codes;
use super::job::settings;
use super::outputs::{Finish, resolve};
use super::rung::Rung;
use crate::model::{Backend, Job, Phase, Progress, Source};
use crate::ports::{Answer, Objects, Order, Report, TranscodeError, Transcoder};
use aws_config::SdkConfig;
use aws_sdk_mediaconvert::Client;
use aws_sdk_mediaconvert::error::SdkError;
use aws_sdk_mediaconvert::types::{Job as Remote, JobPhase, JobStatus, StatusUpdateInterval};
use kaiwa_platform::clock::Clock;
use std::sync::Arc;
use std::time::Duration;

/// Where jobs go, and what they may read and write.
#[derive(Debug, Clone)]
pub struct MediaConvertOptions {
    /// The bucket of sources and outputs.
    pub bucket: String,
    /// The ARN of the role that MediaConvert takes on, which may read and write there.
    pub role: String,
    /// A queue's ARN; the account's default queue.
    pub queue: Option<String>,
    /// MediaConvert's own address (a double's, or an account's endpoint of old).
    pub endpoint: Option<String>,
    /// The longest pause before a call's second attempt; doubled with each.
    pub first_pause: Duration,
}

impl MediaConvertOptions {
    /// With defaults: the region's endpoint, the default queue.
    #[must_use]
    pub fn new(bucket: &str, role: &str) -> Self {
        Self {
            bucket: bucket.to_owned(),
            role: role.to_owned(),
            queue: None,
            endpoint: None,
            first_pause: Duration::from_millis(500),
        }
    }
}

/// Renditions for a source, none above it. It must give the same for the same source: outputs are looked for by it.
pub type Ladder = Arc<dyn Fn(&Source) -> Vec<Rung> + Send + Sync>;

/// MediaConvert as a transcoder.
pub struct MediaConvert {
    client: Client,
    options: MediaConvertOptions,
    objects: Arc<dyn Objects>,
    ladder: Ladder,
    finish: Arc<dyn Finish>,
    clock: Arc<dyn Clock>,
}

/// What [`MediaConvert`] works with.
pub struct Parts {
    /// Where outputs are looked at.
    pub objects: Arc<dyn Objects>,
    /// The ladder's rules.
    pub ladder: Ladder,
    /// The last hand at outputs.
    pub finish: Arc<dyn Finish>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl MediaConvert {
    /// With the SDK's configuration, such as [`kaiwa_platform::queue::aws::load`] gives.
    #[must_use]
    pub fn new(config: &SdkConfig, options: MediaConvertOptions, parts: Parts) -> Self {
        Self {
            client: client(config, options.endpoint.as_deref(), options.first_pause),
            options,
            objects: parts.objects,
            ladder: parts.ladder,
            finish: parts.finish,
            clock: parts.clock,
        }
    }

    async fn create(&self, order: &Order) -> Result<Job, TranscodeError> {
        let ladder = (self.ladder)(&order.source);
        let settings = settings(&self.options, order, &ladder)?;
        let created = self
            .client
            .create_job()
            .role(&self.options.role)
            .set_queue(self.options.queue.clone())
            // Without one the SDK makes one by chance, and an attempt after a lost answer would be a second job.
            .client_request_token(format!("{}-{}", order.clip, order.attempt))
            .user_metadata("clip", order.clip.to_string())
            .user_metadata("attempt", order.attempt.to_string())
            .status_update_interval(StatusUpdateInterval::Seconds10)
            .settings(settings)
            .send()
            .await
            .map_err(|e| error(&e))?;
        let id = created.job().and_then(Remote::id);
        let id = id.ok_or_else(|| TranscodeError::Unavailable {
            message: "an answer without a job".to_owned(),
            retry_after: None,
        })?;
        Ok(Job {
            backend: Backend::MediaConvert,
            id: id.to_owned(),
            submitted: self.clock.now(),
        })
    }

    async fn look(&self, job: &Job, order: &Order) -> Result<Option<Report>, TranscodeError> {
        let got = match self.client.get_job().id(&job.id).send().await {
            Ok(got) => got,
            Err(SdkError::ServiceError(service)) if service.err().is_not_found_exception() => {
                return Ok(None);
            }
            Err(e) => return Err(error(&e)),
        };
        let Some(remote) = got.job() else {
            return Ok(None);
        };
        let report = match remote.status() {
            Some(JobStatus::Submitted) => Report::Queued,
            Some(JobStatus::Canceled) => Report::Cancelled,
            Some(JobStatus::Error) => {
                let code = remote.error_code().map_or(UNKNOWN, i64::from);
                tracing::warn!(
                    job = job.id,
                    code,
                    message = remote.error_message(),
                    "a job of MediaConvert failed"
                );
                Report::Failed(codes::clip_error(code))
            }
            Some(JobStatus::Complete) => self.done(order).await?,
            // A status of later days is work in progress, until it is over.
            Some(JobStatus::Progressing | _) | None => Report::Working(progress(remote)),
        };
        Ok(Some(report))
    }

    /// Outputs that are not whole are a failed job: asking again would not mend them.
    async fn done(&self, order: &Order) -> Result<Report, TranscodeError> {
        let ladder = (self.ladder)(&order.source);
        match resolve(self.objects.as_ref(), order, &ladder).await {
            Ok(outputs) => Ok(Report::Done(self.finish.finish(order, outputs).await?)),
            Err(TranscodeError::Refused(why)) => Ok(Report::Failed(why)),
            Err(unavailable @ TranscodeError::Unavailable { .. }) => Err(unavailable),
        }
    }

    async fn stop(&self, job: &Job) -> Result<(), TranscodeError> {
        match self.client.cancel_job().id(&job.id).send().await {
            Ok(_) => Ok(()),
            // It is over, or was never there: both are stopped.
            Err(SdkError::ServiceError(service))
                if service.err().is_conflict_exception()
                    || service.err().is_not_found_exception() =>
            {
                Ok(())
            }
            Err(e) => Err(error(&e)),
        }
    }
}

/// Where a job gives no code for its failure: its own affair.
const UNKNOWN: i64 = 1999;

fn progress(remote: &Remote) -> Progress {
    let percent = remote.job_percent_complete().unwrap_or(0).clamp(0, 100);
    Progress {
        phase: match remote.current_phase() {
            Some(JobPhase::Probing) | None => Phase::Probing,
            Some(JobPhase::Uploading) => Phase::Storing,
            Some(JobPhase::Transcoding | _) => Phase::Transcoding,
        },
        percent: u8::try_from(percent).unwrap_or(100),
    }
}

impl Transcoder for MediaConvert {
    fn backend(&self) -> Backend {
        Backend::MediaConvert
    }

    fn submit<'a>(&'a self, order: &'a Order) -> Answer<'a, Job, TranscodeError> {
        Box::pin(self.create(order))
    }

    fn report<'a>(
        &'a self,
        job: &'a Job,
        order: &'a Order,
    ) -> Answer<'a, Option<Report>, TranscodeError> {
        Box::pin(self.look(job, order))
    }

    fn cancel<'a>(&'a self, job: &'a Job) -> Answer<'a, (), TranscodeError> {
        Box::pin(self.stop(job))
    }
}
