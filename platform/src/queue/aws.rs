//! Queues on Amazon SQS and topics on Amazon SNS, over the SDKs with rustls and ring.
//!
//! Everything works against an emulator too ([`AwsOptions::endpoint`]). What a service refuses for one message of a
//! batch is that message's result; an error of the whole call says whether trying again can help.

mod envelope;
mod errors;
mod setup;
mod sns;
mod sqs;

pub use aws_config::SdkConfig;
pub use setup::{QueueLayout, Sender, Wired, open_to, wire};
pub use sns::SnsTopic;
pub use sqs::SqsQueue;

use super::{LONG_POLL, QueueError};
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use std::time::Duration;

/// How AWS is reached. What is `None` comes from where the SDKs look: environment, profile, the machine's role.
#[derive(Debug, Clone, Default)]
pub struct AwsOptions {
    /// An emulator's URL, or a private endpoint's.
    pub endpoint: Option<String>,
    /// Such as `eu-central-1`.
    pub region: Option<String>,
}

/// The configuration that clients are made of. Credentials are looked for as the SDKs do, when a call needs them.
pub async fn load(options: AwsOptions) -> SdkConfig {
    let client = Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https();
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .read_timeout(LONG_POLL + READ)
        .operation_attempt_timeout(LONG_POLL + READ + CONNECT)
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(client)
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS));
    if let Some(endpoint) = options.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    if let Some(region) = options.region {
        loader = loader.region(Region::new(region));
    }
    loader.load().await
}

/// From a connection's first packet to its being open. Then the call is tried again.
const CONNECT: Duration = Duration::from_secs(5);

/// How much longer than a long poll an answer may take: a read that timed out sooner would leave behind what the
/// service had just handed out.
const READ: Duration = Duration::from_secs(10);

/// Attempts of one call within the SDK; then the caller hears of it.
const ATTEMPTS: u32 = 3;

/// Whole seconds, as SQS wants them, and not less than was asked for.
fn seconds(duration: Duration) -> i32 {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i32::try_from(seconds).unwrap_or(i32::MAX)
}

/// The place of a batch's entry, which is its id.
fn place<T>(results: &mut [T], id: &str) -> Result<usize, QueueError> {
    let place = id.parse().ok().filter(|place| *place < results.len());
    place.ok_or_else(|| QueueError::Unavailable(format!("an answer for no entry: {id}")))
}
