//! Settings of shared clips: `[clips]`.

use super::ConfigError;
use super::push::{check_aws, is_url, rule};
use kaiwa_common::limits::{CLIP_BYTES, CLIP_BYTES_PER_DAY, CLIP_OPEN};
use kaiwa_common::token::ServerRole;
use kaiwa_media_pipeline::authz::{ActsFor, Scope, ServiceRule};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Shared clips.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Clips {
    /// Whether there are clips.
    pub(crate) enabled: bool,
    /// Who keeps and transcodes them: `embedded` or `aws`.
    pub(crate) backend: ClipsBackend,
    /// Where gRPC is served, or `off`. Port 0 takes a free one.
    pub(crate) grpc_listen: GrpcListen,
    /// Callers of gRPC may ask for the schema.
    pub(crate) grpc_reflection: bool,
    /// The largest file, in bytes.
    pub(crate) max_bytes: u64,
    /// The longest clip, in seconds.
    pub(crate) max_duration_s: u32,
    /// Bytes that one person may register in a day.
    pub(crate) bytes_per_day: u64,
    /// Bytes that all clips together may take up; 0: only the disk bounds it.
    pub(crate) storage_bytes: u64,
    /// How long the file of a failed clip is kept for another try, in seconds.
    pub(crate) keep_failed_s: u32,
    /// Uploads of one person at once.
    pub(crate) uploads_at_once: u32,
    /// A file with the HS256 secret of services' tokens (its bytes, at least 32).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) service_secret_file: Option<PathBuf>,
    /// What a service's token has as `aud`.
    pub(crate) service_audience: String,
    /// What each service may, by its name (`sub`).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) services: BTreeMap<String, Service>,
    /// Another system that is asked whether somebody may, after the room's rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) permission_hook: Option<Hook>,
    /// For `backend = "aws"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) aws: Option<ClipsAws>,
}

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

/// Who keeps and transcodes clips.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ClipsBackend {
    /// This machine: its data folder and FFmpeg.
    Embedded,
    /// Amazon S3 and MediaConvert.
    Aws,
}

/// Where gRPC is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) enum GrpcListen {
    /// Nowhere.
    Off,
    /// Here.
    At(SocketAddr),
}

impl TryFrom<String> for GrpcListen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let address = text.parse();
        address
            .map(Self::At)
            .map_err(|_| format!("{text:?} is neither an address such as 127.0.0.1:50051 nor off"))
    }
}

impl From<GrpcListen> for String {
    fn from(listen: GrpcListen) -> Self {
        match listen {
            GrpcListen::Off => "off".to_owned(),
            GrpcListen::At(address) => address.to_string(),
        }
    }
}

/// A back end that asks for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Service {
    /// `clips.read`, `clips.write`, `clips.play`, `clips.admin`.
    pub(crate) scopes: Vec<String>,
    /// User ids for which it may ask; `["*"]` for everybody. Empty: for nobody.
    #[serde(default)]
    pub(crate) acts_for: Vec<String>,
    /// The role in which it asks for them.
    #[serde(default = "creator")]
    pub(crate) role: ServiceRole,
}

const fn creator() -> ServiceRole {
    ServiceRole::Creator
}

/// The role in which a service asks for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ServiceRole {
    /// Brings and watches clips.
    Creator,
    /// Watches them.
    Viewer,
}

/// The permission hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hook {
    /// An https URL with `{permission}` in its path.
    pub(crate) url: String,
    /// A file with what goes as `Authorization: Bearer …`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secret_file: Option<PathBuf>,
    /// Addresses that it may be at though they are not public, as `push.allowed_private`.
    #[serde(default)]
    pub(crate) allowed_private: Vec<String>,
    /// Authorities that are trusted for it besides the public ones, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) extra_ca: Option<PathBuf>,
}

impl Default for Clips {
    fn default() -> Self {
        Self {
            enabled: true,
            backend: ClipsBackend::Embedded,
            grpc_listen: GrpcListen::At(SocketAddr::from(([127, 0, 0, 1], 50_051))),
            grpc_reflection: false,
            max_bytes: CLIP_BYTES,
            max_duration_s: 600,
            bytes_per_day: CLIP_BYTES_PER_DAY,
            storage_bytes: 0,
            keep_failed_s: KEEP_FAILED_S,
            uploads_at_once: CLIP_OPEN,
            service_secret_file: None,
            service_audience: "kaiwa-clips".to_owned(),
            services: BTreeMap::new(),
            permission_hook: None,
            aws: None,
        }
    }
}

impl Clips {
    /// `audience` is that of people's tokens; `is_protected` says whether the edge has TLS, or may do without.
    pub(super) fn check(&self, audience: &str, is_protected: bool) -> Result<(), ConfigError> {
        if let GrpcListen::At(address) = self.grpc_listen
            && !address.ip().is_loopback()
            && !is_protected
        {
            return rule(format!(
                "clips.grpc_listen: {address} is not a loopback address, and plain gRPC would show every token to \
                 the network: give http.tls_certificate and http.tls_key, which gRPC takes as well, or \
                 --allow-plain behind a proxy that does TLS"
            ));
        }
        if self.max_bytes == 0 || self.max_bytes > CLIP_BYTES {
            return rule(format!("clips.max_bytes has to be from 1 to {CLIP_BYTES}"));
        }
        if !(1..=MAX_DURATION_S).contains(&self.max_duration_s) {
            return rule(format!(
                "clips.max_duration_s has to be from 1 to {MAX_DURATION_S}"
            ));
        }
        if !(3_600..=MAX_KEEP_S).contains(&self.keep_failed_s) {
            return rule(format!(
                "clips.keep_failed_s has to be from 3600 to {MAX_KEEP_S}"
            ));
        }
        if (1..self.max_bytes).contains(&self.storage_bytes) {
            return rule(
                "clips.storage_bytes is less than clips.max_bytes: the largest file could never be brought (0: only the disk bounds it)",
            );
        }
        let counts = [
            ("bytes_per_day", self.bytes_per_day),
            ("uploads_at_once", self.uploads_at_once.into()),
        ];
        if let Some((name, _)) = counts.iter().find(|(_, value)| *value == 0) {
            return rule(format!(
                "clips.{name} can't be 0: clips.enabled = false switches clips off"
            ));
        }
        self.check_services(audience)?;
        self.check_backend()?;
        self.permission_hook.as_ref().map_or(Ok(()), Hook::check)
    }

    fn check_backend(&self) -> Result<(), ConfigError> {
        let in_dynamo = self.aws.as_ref().is_some_and(|aws| aws.table.is_some());
        if in_dynamo && self.storage_bytes > 0 {
            return rule(
                "clips.storage_bytes needs clips in the data folder: with clips.aws.table nobody adds their bytes up; set it to 0",
            );
        }
        match (self.backend, &self.aws) {
            (ClipsBackend::Embedded, None) => Ok(()),
            (ClipsBackend::Embedded, Some(_)) => rule("clips.aws is for clips.backend = \"aws\""),
            (ClipsBackend::Aws, None) => rule(
                "clips.backend = \"aws\" needs a section [clips.aws] with region, bucket and mediaconvert_role",
            ),
            (ClipsBackend::Aws, Some(aws)) => aws.check(),
        }
    }

    fn check_services(&self, audience: &str) -> Result<(), ConfigError> {
        if self.services.is_empty() {
            return Ok(());
        }
        if self.service_secret_file.is_none() {
            return rule(
                "clips.services need clips.service_secret_file: their tokens are signed with a key of their own",
            );
        }
        if self.service_audience.is_empty() || self.service_audience == audience {
            return rule(
                "clips.service_audience has to differ from auth.audience: a person's token is no service's",
            );
        }
        for (name, service) in &self.services {
            service.check(name)?;
        }
        Ok(())
    }
}

impl ClipsAws {
    fn check(&self) -> Result<(), ConfigError> {
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
                "clips.aws.bucket: {:?} is no bucket's name",
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
        let is_queue = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if self.queue_prefix.len() > PREFIX_CHARS || !self.queue_prefix.bytes().all(is_queue) {
            return rule(format!(
                "clips.aws.queue_prefix: at most {PREFIX_CHARS} of A-Z a-z 0-9 - and _, as in SQS's names"
            ));
        }
        if !(1..=3_600).contains(&self.ask_after_s) {
            return rule("clips.aws.ask_after_s has to be from 1 to 3600");
        }
        if let Some(webhook) = &self.webhook
            && webhook.api_key_files.is_empty()
            && webhook.secret_files.is_empty()
        {
            return rule(
                "clips.aws.webhook: without api_key_files or secret_files nobody may call it",
            );
        }
        Ok(())
    }
}

/// Names of queues end at 80 characters; ours and `-dead` take 24 of them.
const PREFIX_CHARS: usize = 56;

/// Eight hours: what the bounds of playlists and files are made for.
const MAX_DURATION_S: u32 = 8 * 3600;

/// A week, as `CLIP_KEEP_FAILED`.
const KEEP_FAILED_S: u32 = 7 * 24 * 3600;

/// A year: what failed and was not tried again by then is not missed.
const MAX_KEEP_S: u32 = 366 * 24 * 3600;

/// For everybody.
const ANYBODY: &str = "*";

impl Service {
    fn check(&self, name: &str) -> Result<(), ConfigError> {
        if self.scopes.is_empty() {
            return rule(format!("clips.services.{name}.scopes is empty"));
        }
        match self.scopes.iter().find(|text| Scope::parse(text).is_none()) {
            Some(text) => rule(format!(
                "clips.services.{name}.scopes: {text:?} is none of clips.read, clips.write, clips.play, clips.admin"
            )),
            None => Ok(()),
        }
    }

    /// As the API takes it.
    pub(crate) fn rule(&self) -> ServiceRule {
        let people: BTreeSet<String> = self.acts_for.iter().cloned().collect();
        ServiceRule {
            acts_for: if people.contains(ANYBODY) {
                ActsFor::Anybody
            } else if people.is_empty() {
                ActsFor::Nobody
            } else {
                ActsFor::People(people)
            },
            scopes: self.scopes.iter().filter_map(|s| Scope::parse(s)).collect(),
            role: match self.role {
                ServiceRole::Creator => ServerRole::Creator,
                ServiceRole::Viewer => ServerRole::Viewer,
            },
        }
    }
}

impl Hook {
    fn check(&self) -> Result<(), ConfigError> {
        let is_ours = is_url(&self.url, &["https"]) && self.url.contains("{permission}");
        if is_ours && !self.url.contains('?') {
            return Ok(());
        }
        rule(format!(
            "clips.permission_hook.url: {:?} is no https URL with {{permission}} in its path, such as \
             https://lms.example.org/permissions/{{permission}}",
            self.url
        ))
    }
}
