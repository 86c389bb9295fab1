//! Orders and ladders.

use kaiwa_media_pipeline::mediaconvert::Rung;
use kaiwa_media_pipeline::model::{AudioInfo, ClipId, Source, VideoInfo};
use kaiwa_media_pipeline::ports::Order;
use std::time::Duration;
use uuid::Uuid;

pub(crate) fn order(clip: u128, source: Source) -> Order {
    Order {
        clip: ClipId(Uuid::from_u128(
            0x0193_0000_0000_7000_8000_0000_0000_0000 + clip,
        )),
        attempt: 1,
        source_key: format!("video/ann/2026/11/{clip}/source"),
        source,
        processed: format!("video/ann/2026/11/{clip}/processed/"),
        segment_s: 6,
    }
}

pub(crate) fn source(width: u32, height: u32, seconds: u64, with_sound: bool) -> Source {
    Source {
        size: 1_000_000,
        sha256: None,
        container: "mov".to_owned(),
        duration: Duration::from_secs(seconds),
        video: Some(VideoInfo {
            codec: "h264".to_owned(),
            width,
            height,
            fps: 30.0,
            rotation: 0,
            bitrate: None,
            hdr: false,
        }),
        audio: with_sound.then(|| AudioInfo {
            codec: "aac".to_owned(),
            channels: 2,
            sample_rate: 48_000,
        }),
    }
}

pub(crate) fn rung(name: &str, size: (u32, u32), fps: f64, max_bitrate: u32) -> Rung {
    Rung {
        name: name.to_owned(),
        width: size.0,
        height: size.1,
        fps,
        max_bitrate,
        quality: 7,
    }
}
