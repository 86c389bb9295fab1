//! Settings of shared clips: `[clips]`.

mod aws;
mod others;

pub(crate) use aws::{ClipsAws, CloudFront, Webhook};
pub(crate) use others::{Hook, Service};

use super::ConfigError;
use super::push::rule;
use kaiwa_common::limits::{CLIP_BYTES, CLIP_BYTES_PER_DAY, CLIP_OPEN};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
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
    /// Seconds of a segment of a stream.
    pub(crate) segment_s: u32,
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

impl Default for Clips {
    fn default() -> Self {
        Self {
            enabled: true,
            backend: ClipsBackend::Embedded,
            grpc_listen: GrpcListen::At(SocketAddr::from(([127, 0, 0, 1], 50_051))),
            grpc_reflection: false,
            max_bytes: CLIP_BYTES,
            max_duration_s: 600,
            segment_s: 6,
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
        if !(2..=10).contains(&self.segment_s) || !self.segment_s.is_multiple_of(2) {
            return rule(
                "clips.segment_s has to be 2, 4, 6, 8 or 10: a segment begins with a key frame, and there is one each 2 s",
            );
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

/// Eight hours: what the bounds of playlists and files are made for.
const MAX_DURATION_S: u32 = 8 * 3600;

/// A week, as `CLIP_KEEP_FAILED`.
const KEEP_FAILED_S: u32 = 7 * 24 * 3600;

/// A year: what failed and was not tried again by then is not missed.
const MAX_KEEP_S: u32 = 366 * 24 * 3600;

#[cfg(test)]
mod tests;
