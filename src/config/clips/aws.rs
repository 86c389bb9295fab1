//! Clips at Amazon: `[clips.aws]`.

use crate::config::ConfigError;
use crate::config::push::{check_aws, is_url, rule};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Clips at Amazon. Credentials come from the environment, as usual with AWS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClipsAws {
    /// Of S3, STS, SQS and MediaConvert.
    pub(crate) region: String,
    /// In place of Amazon's own addresses of S3, STS and SQS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) endpoint: Option<String>,
    /// The bucket of sources and outputs.
    pub(crate) bucket: String,
    /// `https://host/bucket/key` instead of `https://bucket.host/key`, for emulators.
    #[serde(default)]
    pub(crate) path_style: bool,
    /// The ARN of the role whose credentials uploaders get, narrowed to one object. Without it there is no such way in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) upload_role: Option<String>,
    /// The ARN of the role that MediaConvert takes on.
    pub(crate) mediaconvert_role: String,
    /// The ARN of MediaConvert's queue; the account's default one when not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mediaconvert_queue: Option<String>,
    /// In place of MediaConvert's own address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mediaconvert_endpoint: Option<String>,
    /// Before the names of the queues of events: `kaiwa-clip-objects`, `kaiwa-clip-jobs`.
    #[serde(default = "queue_prefix")]
    pub(crate) queue_prefix: String,
    /// Who may call `POST /webhooks/mediaconvert`; without it there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) webhook: Option<Webhook>,
    /// The DynamoDB table of clips, for several servers; without it they are in the data folder's database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) table: Option<String>,
    /// A job of which nothing is told for so many seconds is asked about.
    #[serde(default = "ask_after_s")]
    pub(crate) ask_after_s: u32,
    /// CloudFront in front of the bucket, with its signed cookies in place of path tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cloudfront: Option<CloudFront>,
}

const fn ask_after_s() -> u32 {
    600
}

fn queue_prefix() -> String {
    "kaiwa-".to_owned()
}

/// Who may call the webhook. Two of each, so that one can replace the other.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Webhook {
    /// Files with API keys, as EventBridge's API destinations send them (`x-api-key`).
    pub(crate) api_key_files: Vec<PathBuf>,
    /// Files with secrets of those who sign.
    pub(crate) secret_files: Vec<PathBuf>,
}

/// CloudFront.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CloudFront {
    /// Such as `https://media.example.org`.
    pub(crate) base: String,
    /// The public key's id there.
    pub(crate) key_pair_id: String,
    /// A file with the private key: RSA in PEM.
    pub(crate) private_key_file: PathBuf,
}

impl ClipsAws {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        check_aws("clips.aws", Some(&self.region), self.endpoint.as_deref())?;
        if let Some(url) = &self.mediaconvert_endpoint
            && !is_url(url, &["https", "http"])
        {
            return rule(format!(
                "clips.aws.mediaconvert_endpoint: {url:?} is no http or https URL"
            ));
        }
        let is_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
        if !(3..=63).contains(&self.bucket.len()) || !self.bucket.bytes().all(is_name) {
            return rule(format!(
                "clips.aws.bucket: {:?} is no bucket's name (3 to 63 of a-z 0-9 - and .)",
                self.bucket
            ));
        }
        let arns = [
            ("upload_role", "iam", self.upload_role.as_ref()),
            ("mediaconvert_role", "iam", Some(&self.mediaconvert_role)),
            (
                "mediaconvert_queue",
                "mediaconvert",
                self.mediaconvert_queue.as_ref(),
            ),
        ];
        for (name, service, arn) in arns {
            let is_arn =
                |arn: &str| arn.starts_with("arn:") && arn.split(':').nth(2) == Some(service);
            if let Some(arn) = arn.filter(|arn| !is_arn(arn)) {
                return rule(format!(
                    "clips.aws.{name}: {arn:?} is no ARN of {service} (arn:aws:{service}:…)"
                ));
            }
        }
        self.check_names()?;
        if !(1..=3_600).contains(&self.ask_after_s) {
            return rule("clips.aws.ask_after_s has to be from 1 to 3600");
        }
        self.webhook.as_ref().map_or(Ok(()), Webhook::check)
    }

    /// Names of queues and of the table.
    fn check_names(&self) -> Result<(), ConfigError> {
        let is_queue = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if self.queue_prefix.len() > PREFIX_CHARS || !self.queue_prefix.bytes().all(is_queue) {
            return rule(format!(
                "clips.aws.queue_prefix: at most {PREFIX_CHARS} of A-Z a-z 0-9 - and _, as in SQS's names"
            ));
        }
        let is_table = |b: u8| is_queue(b) || b == b'.';
        if let Some(table) = &self.table
            && (!(3..=255).contains(&table.len()) || !table.bytes().all(is_table))
        {
            return rule(format!(
                "clips.aws.table: {table:?} is no table's name (3 to 255 of A-Z a-z 0-9 - _ and .)"
            ));
        }
        Ok(())
    }
}

impl Webhook {
    fn check(&self) -> Result<(), ConfigError> {
        let files = [
            ("api_key_files", self.api_key_files.len()),
            ("secret_files", self.secret_files.len()),
        ];
        if files.iter().all(|(_, count)| *count == 0) {
            return rule(
                "clips.aws.webhook: without api_key_files or secret_files nobody may call it",
            );
        }
        match files.iter().find(|(_, count)| *count > 2) {
            Some((name, _)) => rule(format!(
                "clips.aws.webhook.{name}: two at most, so that one can replace the other"
            )),
            None => Ok(()),
        }
    }
}

/// Names of queues end at 80 characters; ours and `-dead` take 24 of them.
const PREFIX_CHARS: usize = 56;
