//! What may be shared. No I/O.

use super::probe::Probed;
use super::refuse;
use super::walk::Packets;
use crate::model::{ClipError, ClipKind, Source};
use std::time::Duration;

/// Bounds of a clip.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Most bytes (500 MB): an hour of a telephone's 1 Mb/s, ten minutes of its 1080p.
    pub max_bytes: u64,
    /// Longest: transcoding takes about as long as the clip on two cores.
    pub max_duration: Duration,
    /// Most pixels of a film's picture: 4K, of either form.
    pub max_video_pixels: u64,
    /// Most pixels of a still picture: 50 megapixels, 150 MB unpacked.
    pub max_image_pixels: u64,
    /// Most pixels of a moving picture (GIF), of all its frames: 2,000 of 1000 × 1000, some 20 s of work.
    pub max_moving_pixels: u64,
    /// Longest side, in pixels.
    pub max_side: u32,
    /// Most frames a second.
    pub max_fps: f64,
    /// Most streams of all kinds.
    pub max_streams: usize,
    /// Most channels of sound.
    pub max_channels: u32,
    /// Codecs of pictures, by FFmpeg's names.
    pub video_codecs: Vec<&'static str>,
    /// Codecs of sound.
    pub audio_codecs: Vec<&'static str>,
    /// Codecs of still pictures.
    pub image_codecs: Vec<&'static str>,
    /// Pictures with a high dynamic range are taken (they are tone-mapped).
    pub hdr: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_bytes: 500_000_000,
            max_duration: Duration::from_secs(600),
            max_video_pixels: 4096 * 2304,
            max_image_pixels: 50_000_000,
            max_moving_pixels: 2_000_000_000,
            max_side: 16_384,
            max_fps: 240.0,
            max_streams: 8,
            max_channels: 8,
            video_codecs: vec![
                "h264",
                "hevc",
                "vp8",
                "vp9",
                "av1",
                "mpeg4",
                "mjpeg",
                "prores",
                "mpeg2video",
            ],
            audio_codecs: vec![
                "aac",
                "mp3",
                "opus",
                "vorbis",
                "flac",
                "alac",
                "ac3",
                "eac3",
                "pcm_s16le",
                "pcm_s16be",
                "pcm_s24le",
                "pcm_f32le",
                "pcm_u8",
                "amr_nb",
                "amr_wb",
            ],
            image_codecs: vec!["mjpeg", "png", "webp", "gif", "av1"],
            hdr: true,
        }
    }
}

/// May it be shared?
///
/// # Errors
/// Why not.
pub fn check(policy: &Policy, probed: &Probed, kind: ClipKind) -> Result<(), ClipError> {
    let source = &probed.source;
    if source.video.is_none() && source.audio.is_none() {
        return Err(refuse(
            "NO_TRACKS",
            "There are neither pictures nor sound in it.",
        ));
    }
    if kind == ClipKind::Image && source.video.is_none() {
        return Err(refuse("UNREADABLE", "There is no picture in it."));
    }
    if probed.streams > policy.max_streams {
        return Err(refuse(
            "TOO_MANY_STREAMS",
            format!("It may have {} tracks.", policy.max_streams),
        ));
    }
    if let Some(video) = &source.video {
        check_pixels(policy, video.width, video.height, kind)?;
        let codecs = if kind == ClipKind::Image {
            &policy.image_codecs
        } else {
            &policy.video_codecs
        };
        if !codecs.contains(&video.codec.as_str()) {
            return Err(refuse(
                "CODEC_NOT_ALLOWED",
                format!("Pictures coded as {} are not taken.", video.codec),
            ));
        }
        if video.hdr && !policy.hdr {
            return Err(refuse(
                "HDR",
                "This server cannot show a high dynamic range: please share it as SDR.",
            ));
        }
    }
    if let Some(audio) = &source.audio {
        if !policy.audio_codecs.contains(&audio.codec.as_str()) {
            return Err(refuse(
                "CODEC_NOT_ALLOWED",
                format!("Sound coded as {} is not taken.", audio.codec),
            ));
        }
        if audio.channels > policy.max_channels {
            return Err(refuse(
                "TOO_MANY_CHANNELS",
                format!("It may have {} channels.", policy.max_channels),
            ));
        }
    }
    Ok(())
}

/// Are length, frames a second and the work that they make within bounds? Of what was found, not of what was said.
///
/// # Errors
/// Why not.
pub(super) fn check_time(
    policy: &Policy,
    source: &Source,
    packets: &Packets,
) -> Result<(), ClipError> {
    if source.duration > policy.max_duration {
        let minutes = policy.max_duration.as_secs() / 60;
        return Err(refuse(
            "TOO_LONG",
            format!("It may last {minutes} minutes."),
        ));
    }
    let Some(video) = &source.video else {
        return Ok(());
    };
    if source.kind() == ClipKind::Image {
        let pixels = u64::from(video.width) * u64::from(video.height);
        if pixels.saturating_mul(packets.pictures) > policy.max_moving_pixels {
            return Err(refuse(
                "TOO_MANY_PIXELS",
                "A moving picture of this size and length is a film: please share it as one.",
            ));
        }
    } else if !(video.fps > 0.0 && video.fps <= policy.max_fps) {
        return Err(refuse(
            "FRAME_RATE",
            format!("It may have {} frames a second.", policy.max_fps),
        ));
    }
    Ok(())
}

/// Are the pictures small enough to be unpacked?
///
/// # Errors
/// When they are not.
pub fn check_pixels(
    policy: &Policy,
    width: u32,
    height: u32,
    kind: ClipKind,
) -> Result<(), ClipError> {
    let most = if kind == ClipKind::Image {
        policy.max_image_pixels
    } else {
        policy.max_video_pixels
    };
    if width.max(height) > policy.max_side || u64::from(width) * u64::from(height) > most {
        return Err(refuse(
            "TOO_MANY_PIXELS",
            format!("Its pictures may have {most} pixels."),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
