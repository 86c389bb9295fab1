//! MediaConvert's client, and what its errors mean.

use crate::model::ClipError;
use crate::ports::TranscodeError;
use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_mediaconvert::Client;
use aws_sdk_mediaconvert::config::http::HttpResponse;
use aws_sdk_mediaconvert::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use std::time::Duration;

/// A client of this configuration ([`kaiwa_platform::queue::aws::load`]: TLS by rustls and ring, plain HTTP for
/// emulators). `endpoint` overrides the configuration's for MediaConvert alone.
///
/// Calls that may go well next time are tried again within the SDK, each pause up to twice as long as the one
/// before, by chance, or as the service asks.
#[must_use]
pub fn client(config: &SdkConfig, endpoint: Option<&str>, first_pause: Duration) -> Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(5))
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(CALL)
        .build();
    let retries = RetryConfig::standard()
        .with_max_attempts(ATTEMPTS)
        .with_initial_backoff(first_pause)
        .with_max_backoff(Duration::from_secs(5));
    let mut builder = aws_sdk_mediaconvert::config::Builder::from(config)
        .timeout_config(timeouts)
        .retry_config(retries);
    if let Some(endpoint) = endpoint {
        builder = builder.endpoint_url(endpoint);
    }
    Client::from_conf(builder.build())
}

/// Attempts of one call; then the caller hears of it.
const ATTEMPTS: u32 = 4;

/// Of one attempt.
const ATTEMPT: Duration = Duration::from_secs(15);

/// Of all attempts.
const CALL: Duration = Duration::from_secs(40);

/// What an error of a call means. Only a request that is wrong in itself is refused for good; rights, quotas, queues
/// and roles are an operator's affair, and the clip waits for them.
pub(super) fn error<E>(error: &SdkError<E, HttpResponse>) -> TranscodeError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let raw = error.raw_response();
    let status = raw.map(|raw| raw.status().as_u16());
    let code = match error {
        SdkError::ServiceError(service) => service.err().code().unwrap_or_default(),
        SdkError::ConstructionFailure(_)
        | SdkError::DispatchFailure(_)
        | SdkError::TimeoutError(_)
        | SdkError::ResponseError(_)
        | _ => "",
    };
    let refused = match (status, code) {
        (Some(400), "BadRequestException") => Some(false),
        // The token was used for another request: a new attempt has a new token.
        (Some(409), _) => Some(true),
        _ => None,
    };
    let text = DisplayErrorContext(error).to_string();
    if let Some(retryable) = refused {
        tracing::warn!(error = text, "MediaConvert refuses a job");
        return TranscodeError::Refused(ClipError {
            reason: "TRANSCODE_REFUSED".to_owned(),
            message: "The transcoder does not take this job.".to_owned(),
            retryable,
            provider_code: status.map(i64::from),
        });
    }
    let retry_after = raw
        .and_then(|raw| raw.headers().get("retry-after"))
        .and_then(|value| value.parse().ok())
        .map(|seconds| Duration::from_secs(seconds).min(LONGEST));
    TranscodeError::Unavailable {
        message: text,
        retry_after,
    }
}

/// What a service may ask us to wait.
const LONGEST: Duration = Duration::from_secs(15 * 60);
