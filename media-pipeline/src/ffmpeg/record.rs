//! Jobs on disk, so that they survive the server: `{id}.json`, replaced as a whole.

use crate::model::{AudioInfo, ClipError, ClipId, Outputs, Rendition, Source, Sprite, VideoInfo};
use crate::ports::Order;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::Duration;
use uuid::Uuid;

/// A job and how it ended, if it has.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) order: Order,
    pub(super) end: Option<End>,
}

#[derive(Debug, Clone)]
pub(super) enum End {
    Done(Outputs),
    Failed(ClipError),
    Cancelled,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    clip: String,
    attempt: u32,
    source_key: String,
    processed: String,
    segment_s: u32,
    size: u64,
    container: String,
    duration_us: u64,
    video: Option<StoredVideo>,
    audio: Option<(String, u32, u32)>,
    end: Option<StoredEnd>,
}

/// Codec, width, height, frames a second, rotation, bits a second, HDR.
type StoredVideo = (String, u32, u32, f64, u32, Option<u64>, bool);

#[derive(Serialize, Deserialize)]
enum StoredEnd {
    Done(StoredOutputs),
    Failed {
        reason: String,
        message: String,
        retryable: bool,
        provider_code: Option<i64>,
    },
    Cancelled,
}

#[derive(Serialize, Deserialize)]
struct StoredOutputs {
    playlist: Option<String>,
    poster: Option<String>,
    sprite: Option<(String, String, u32)>,
    files: BTreeMap<String, u64>,
    renditions: Vec<StoredRendition>,
}

#[derive(Serialize, Deserialize)]
struct StoredRendition {
    name: String,
    width: u32,
    height: u32,
    fps: f64,
    peak: u64,
    average: u64,
    codecs: String,
    playlist: String,
}

impl Record {
    pub(super) fn write(&self, file: &Path) -> std::io::Result<()> {
        let order = &self.order;
        let source = &order.source;
        let video = source.video.as_ref();
        let stored = Stored {
            clip: order.clip.to_string(),
            attempt: order.attempt,
            source_key: order.source_key.clone(),
            processed: order.processed.clone(),
            segment_s: order.segment_s,
            size: source.size,
            container: source.container.clone(),
            duration_us: u64::try_from(source.duration.as_micros()).unwrap_or(u64::MAX),
            video: video.map(|v| {
                (
                    v.codec.clone(),
                    v.width,
                    v.height,
                    v.fps,
                    v.rotation,
                    v.bitrate,
                    v.hdr,
                )
            }),
            audio: source
                .audio
                .as_ref()
                .map(|a| (a.codec.clone(), a.channels, a.sample_rate)),
            end: self.end.as_ref().map(StoredEnd::from),
        };
        let temporary = file.with_extension("new");
        let mut new = std::fs::File::create(&temporary)?;
        new.write_all(&serde_json::to_vec(&stored)?)?;
        new.sync_all()?;
        std::fs::rename(&temporary, file)?;
        std::fs::File::open(file.parent().unwrap_or(Path::new("/")))?.sync_all()
    }

    pub(super) fn read(file: &Path) -> std::io::Result<Self> {
        let stored: Stored = serde_json::from_slice(&std::fs::read(file)?)?;
        let source = Source {
            size: stored.size,
            sha256: None,
            container: stored.container,
            duration: Duration::from_micros(stored.duration_us),
            video: stored
                .video
                .map(
                    |(codec, width, height, fps, rotation, bitrate, hdr)| VideoInfo {
                        codec,
                        width,
                        height,
                        fps,
                        rotation,
                        bitrate,
                        hdr,
                    },
                ),
            audio: stored
                .audio
                .map(|(codec, channels, sample_rate)| AudioInfo {
                    codec,
                    channels,
                    sample_rate,
                }),
        };
        Ok(Self {
            order: Order {
                clip: ClipId(Uuid::parse_str(&stored.clip).map_err(std::io::Error::other)?),
                attempt: stored.attempt,
                source_key: stored.source_key,
                source,
                processed: stored.processed,
                segment_s: stored.segment_s,
            },
            end: stored.end.map(End::from),
        })
    }
}

impl From<&End> for StoredEnd {
    fn from(end: &End) -> Self {
        match end {
            End::Cancelled => Self::Cancelled,
            End::Failed(e) => Self::Failed {
                reason: e.reason.clone(),
                message: e.message.clone(),
                retryable: e.retryable,
                provider_code: e.provider_code,
            },
            End::Done(outputs) => Self::Done(StoredOutputs {
                playlist: outputs.playlist.clone(),
                poster: outputs.poster.clone(),
                sprite: outputs
                    .sprite
                    .clone()
                    .map(|s| (s.image, s.vtt, s.interval_ms)),
                files: outputs.files.clone(),
                renditions: outputs
                    .renditions
                    .iter()
                    .cloned()
                    .map(StoredRendition::from)
                    .collect(),
            }),
        }
    }
}

impl From<StoredEnd> for End {
    fn from(end: StoredEnd) -> Self {
        match end {
            StoredEnd::Cancelled => Self::Cancelled,
            StoredEnd::Failed {
                reason,
                message,
                retryable,
                provider_code,
            } => Self::Failed(ClipError {
                reason,
                message,
                retryable,
                provider_code,
            }),
            StoredEnd::Done(outputs) => Self::Done(Outputs {
                playlist: outputs.playlist,
                poster: outputs.poster,
                sprite: outputs.sprite.map(|(image, vtt, interval_ms)| Sprite {
                    image,
                    vtt,
                    interval_ms,
                }),
                files: outputs.files,
                renditions: outputs
                    .renditions
                    .into_iter()
                    .map(Rendition::from)
                    .collect(),
            }),
        }
    }
}

impl From<Rendition> for StoredRendition {
    fn from(r: Rendition) -> Self {
        let Rendition {
            name,
            width,
            height,
            fps,
            peak,
            average,
            codecs,
            playlist,
        } = r;
        Self {
            name,
            width,
            height,
            fps,
            peak,
            average,
            codecs,
            playlist,
        }
    }
}

impl From<StoredRendition> for Rendition {
    fn from(r: StoredRendition) -> Self {
        let StoredRendition {
            name,
            width,
            height,
            fps,
            peak,
            average,
            codecs,
            playlist,
        } = r;
        Self {
            name,
            width,
            height,
            fps,
            peak,
            average,
            codecs,
            playlist,
        }
    }
}
