//! Objects in a bucket of Amazon S3, or of what speaks like it. Clients upload to the bucket itself: by presigned
//! parts, by a presigned form, or with credentials of STS for one key.

mod errors;
mod grant;
mod policy;
mod store;
mod upload;

use crate::checksum::{Checksum, ChecksumKind};
use crate::ports::{ObjectError, ObjectInfo, Part};
use aws_config::SdkConfig;
use aws_sdk_s3::config::{
    ProvideCredentials, RequestChecksumCalculation, SharedCredentialsProvider,
};
use aws_sdk_s3::primitives::DateTime;
use kaiwa_common::time::UnixMs;
use kaiwa_platform::clock::Clock;
use std::sync::Arc;

/// Which bucket, and how credentials for others are made.
#[derive(Debug, Clone)]
pub struct S3Options {
    /// The bucket. It exists, has no public access, and its CORS rules allow `PUT` and `POST` and expose `ETag`.
    pub bucket: String,
    /// The role whose credentials uploaders get, narrowed to one key. None: no such way in.
    pub upload_role: Option<String>,
    /// `https://host/bucket/key` instead of `https://bucket.host/key`: for emulators.
    pub path_style: bool,
}

/// A bucket. Cheap to clone.
#[derive(Clone)]
pub struct S3Objects {
    s3: aws_sdk_s3::Client,
    sts: aws_sdk_sts::Client,
    clock: Arc<dyn Clock>,
    options: S3Options,
    region: String,
    endpoint: Option<String>,
    credentials: Option<SharedCredentialsProvider>,
}

impl S3Objects {
    /// Of a configuration as `kaiwa_platform::queue::aws::load` gives it. Nothing is asked yet.
    #[must_use]
    pub fn new(config: &SdkConfig, clock: Arc<dyn Clock>, options: S3Options) -> Self {
        let s3 = aws_sdk_s3::config::Builder::from(config)
            .force_path_style(options.path_style)
            // We give a SHA-256 wherever there is something to be sure of.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .build();
        Self {
            s3: aws_sdk_s3::Client::from_conf(s3),
            sts: aws_sdk_sts::Client::new(config),
            clock,
            options,
            region: config.region().map(ToString::to_string).unwrap_or_default(),
            endpoint: config.endpoint_url().map(str::to_owned),
            credentials: config.credentials_provider(),
        }
    }

    fn bucket(&self) -> &str {
        &self.options.bucket
    }

    /// Our own, for what the SDK does not sign.
    async fn own_credentials(&self) -> Result<aws_sdk_s3::config::Credentials, ObjectError> {
        let none = || ObjectError::Refused("there are no AWS credentials".to_owned());
        let provider = self.credentials.as_ref().ok_or_else(none)?;
        let found = provider.provide_credentials().await;
        found.map_err(|error| ObjectError::Unavailable(format!("AWS credentials: {error}")))
    }

    /// Where forms are posted to.
    fn url(&self) -> String {
        match &self.endpoint {
            Some(endpoint) => format!("{}/{}", endpoint.trim_end_matches('/'), self.bucket()),
            None => format!(
                "https://{}.s3.{}.amazonaws.com/",
                self.bucket(),
                self.region
            ),
        }
    }
}

/// The mark without its quotes.
fn mark(etag: Option<&str>) -> String {
    etag.unwrap_or_default().trim_matches('"').to_owned()
}

/// S3's SHA-256 of a whole object. Of one made of parts (its mark ends in `-3`) the sum is one over the parts' sums, and
/// says nothing of the bytes in one piece.
fn sha256(etag: Option<&str>, sum: Option<&str>) -> Option<[u8; 32]> {
    if etag.is_some_and(|etag| etag.contains('-')) {
        return None;
    }
    ChecksumKind::Sha256.of_base64(sum?)?.sha256()
}

fn size(bytes: Option<i64>) -> u64 {
    bytes
        .and_then(|bytes| u64::try_from(bytes).ok())
        .unwrap_or(0)
}

fn time(at: Option<&DateTime>) -> UnixMs {
    UnixMs(at.and_then(|at| at.to_millis().ok()).unwrap_or(0))
}

fn part(found: &aws_sdk_s3::types::Part) -> Option<Part> {
    Some(Part {
        number: u32::try_from(found.part_number()?).ok()?,
        size: size(found.size()),
        etag: mark(found.e_tag()),
        checksum: checksum(found),
    })
}

/// A part's sum, of whichever kind its upload has.
fn checksum(part: &aws_sdk_s3::types::Part) -> Option<Checksum> {
    let sha256 = || ChecksumKind::Sha256.of_base64(part.checksum_sha256()?);
    let crc32c = || ChecksumKind::Crc32c.of_base64(part.checksum_crc32_c()?);
    sha256().or_else(crc32c)
}

fn listed(found: &aws_sdk_s3::types::Object) -> ObjectInfo {
    ObjectInfo {
        key: found.key().unwrap_or_default().to_owned(),
        size: size(found.size()),
        etag: mark(found.e_tag()),
        sha256: None,
        modified: time(found.last_modified()),
    }
}
