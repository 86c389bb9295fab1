//! The upload, and what the bytes are.

use super::named;
use crate::checksum::ChecksumKind;
use crate::model::{AudioInfo, Source, Upload, UploadMode, VideoInfo};
use kaiwa_common::time::UnixMs;
use serde::{Deserialize, Serialize};
use std::time::Duration;

const MODES: [UploadMode; 3] = [
    UploadMode::Multipart,
    UploadMode::Post,
    UploadMode::Credentials,
];

const CHECKSUMS: [ChecksumKind; 2] = [ChecksumKind::Sha256, ChecksumKind::Crc32c];

#[derive(Serialize, Deserialize)]
pub(super) struct StoredUpload {
    mode: u8,
    id: Option<String>,
    part_size: u64,
    /// An upload of before there was a choice has SHA-256.
    #[serde(default)]
    checksum: u8,
    expires: i64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct StoredSource {
    size: u64,
    sha256: Option<[u8; 32]>,
    container: String,
    duration_ns: u64,
    video: Option<StoredVideo>,
    audio: Option<StoredAudio>,
}

#[derive(Serialize, Deserialize)]
struct StoredVideo {
    codec: String,
    width: u32,
    height: u32,
    fps: f64,
    rotation: u32,
    bitrate: Option<u64>,
    hdr: bool,
}

#[derive(Serialize, Deserialize)]
struct StoredAudio {
    codec: String,
    channels: u32,
    sample_rate: u32,
}

impl From<&Upload> for StoredUpload {
    fn from(upload: &Upload) -> Self {
        let mode = match upload.mode {
            UploadMode::Multipart => 0,
            UploadMode::Post => 1,
            UploadMode::Credentials => 2,
        };
        Self {
            mode,
            id: upload.id.clone(),
            part_size: upload.part_size,
            checksum: match upload.checksum {
                ChecksumKind::Sha256 => 0,
                ChecksumKind::Crc32c => 1,
            },
            expires: upload.expires.0,
        }
    }
}

impl TryFrom<StoredUpload> for Upload {
    type Error = String;

    fn try_from(stored: StoredUpload) -> Result<Self, String> {
        Ok(Self {
            mode: named(&MODES, stored.mode)?,
            id: stored.id,
            part_size: stored.part_size,
            checksum: named(&CHECKSUMS, stored.checksum)?,
            expires: UnixMs(stored.expires),
        })
    }
}

impl From<&Source> for StoredSource {
    fn from(source: &Source) -> Self {
        let video = source.video.as_ref().map(|video| StoredVideo {
            codec: video.codec.clone(),
            width: video.width,
            height: video.height,
            fps: video.fps,
            rotation: video.rotation,
            bitrate: video.bitrate,
            hdr: video.hdr,
        });
        let audio = source.audio.as_ref().map(|audio| StoredAudio {
            codec: audio.codec.clone(),
            channels: audio.channels,
            sample_rate: audio.sample_rate,
        });
        Self {
            size: source.size,
            sha256: source.sha256,
            container: source.container.clone(),
            duration_ns: u64::try_from(source.duration.as_nanos()).unwrap_or(u64::MAX),
            video,
            audio,
        }
    }
}

impl From<StoredSource> for Source {
    fn from(stored: StoredSource) -> Self {
        Self {
            size: stored.size,
            sha256: stored.sha256,
            container: stored.container,
            duration: Duration::from_nanos(stored.duration_ns),
            video: stored.video.map(|video| VideoInfo {
                codec: video.codec,
                width: video.width,
                height: video.height,
                fps: video.fps,
                rotation: video.rotation,
                bitrate: video.bitrate,
                hdr: video.hdr,
            }),
            audio: stored.audio.map(|audio| AudioInfo {
                codec: audio.codec,
                channels: audio.channels,
                sample_rate: audio.sample_rate,
            }),
        }
    }
}
