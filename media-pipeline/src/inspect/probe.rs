//! What `ffprobe` says, as far as we believe it. No I/O.

use super::refuse;
use super::sniff::Format;
use crate::model::{AudioInfo, ClipError, ClipKind, Source, VideoInfo};
use serde::Deserialize;
use std::time::Duration;

/// What was found, and what policy wants to know besides [`Source`].
#[derive(Debug, Clone, PartialEq)]
pub struct Probed {
    /// For the clip.
    pub source: Source,
    /// Of all kinds.
    pub streams: usize,
}

#[derive(Deserialize)]
struct Report {
    #[serde(default)]
    streams: Vec<Stream>,
    #[serde(default)]
    format: Container,
}

#[derive(Deserialize, Default)]
struct Container {
    duration: Option<String>,
    bit_rate: Option<String>,
}

#[derive(Deserialize)]
struct Stream {
    codec_type: Option<String>,
    codec_name: Option<String>,
    width: Option<u32>,
    height: Option<u32>,
    sample_aspect_ratio: Option<String>,
    avg_frame_rate: Option<String>,
    r_frame_rate: Option<String>,
    bit_rate: Option<String>,
    duration: Option<String>,
    color_transfer: Option<String>,
    channels: Option<u32>,
    sample_rate: Option<String>,
    #[serde(default)]
    disposition: Disposition,
    #[serde(default)]
    side_data_list: Vec<SideData>,
}

#[derive(Deserialize, Default)]
struct Disposition {
    #[serde(default)]
    attached_pic: u8,
}

#[derive(Deserialize)]
struct SideData {
    rotation: Option<f64>,
}

/// Reads `ffprobe -print_format json -show_streams -show_format`.
///
/// # Errors
/// When it says nothing that can be used.
pub fn read(json: &[u8], format: Format, size: u64) -> Result<Probed, ClipError> {
    let report: Report = serde_json::from_slice(json)
        .map_err(|_| refuse("UNREADABLE", "The file's description cannot be read."))?;
    let of = |kind: &str| {
        report
            .streams
            .iter()
            .find(|s| s.codec_type.as_deref() == Some(kind) && s.disposition.attached_pic == 0)
    };
    let (video, audio) = (of("video"), of("audio"));
    let seconds = |text: &Option<String>| text.as_deref().and_then(|t| t.parse::<f64>().ok());
    let duration = match format.kind {
        ClipKind::Image => 0.0,
        ClipKind::Video | ClipKind::Audio => seconds(&report.format.duration)
            .or_else(|| video.or(audio).and_then(|s| seconds(&s.duration)))
            .unwrap_or(0.0),
    };
    // What is no length at all is found by walking through.
    let duration = Duration::try_from_secs_f64(duration).unwrap_or_default();
    let whole = report
        .format
        .bit_rate
        .as_deref()
        .and_then(|rate| rate.parse().ok());
    Ok(Probed {
        streams: report.streams.len(),
        source: Source {
            size,
            sha256: None,
            container: format.demuxer.to_owned(),
            duration,
            video: video.map(|stream| pictures(stream, whole)).transpose()?,
            audio: audio.map(sound).transpose()?,
        },
    })
}

fn pictures(stream: &Stream, whole: Option<u64>) -> Result<VideoInfo, ClipError> {
    let (Some(codec), Some(width), Some(height)) =
        (&stream.codec_name, stream.width, stream.height)
    else {
        return Err(refuse(
            "UNREADABLE",
            "The pictures have no size or no codec that we know.",
        ));
    };
    if width == 0 || height == 0 {
        return Err(refuse("UNREADABLE", "The pictures have no size."));
    }
    let turned = stream
        .side_data_list
        .iter()
        .find_map(|data| data.rotation)
        .unwrap_or(0.0);
    // FFmpeg says by how much it is turned against the clock; negative is clockwise. It makes upright what is turned by a
    // right angle, and leaves the size alone of what is turned otherwise.
    let rotation = match (-turned).rem_euclid(360.0) {
        r if (89.0..91.0).contains(&r) => 90,
        r if (179.0..181.0).contains(&r) => 180,
        r if (269.0..271.0).contains(&r) => 270,
        _ => 0,
    };
    let aspect = stream
        .sample_aspect_ratio
        .as_deref()
        .and_then(|sar| ratio(sar, ':'))
        .unwrap_or(1.0);
    let (width, height) = shown(width, height, aspect);
    let (width, height) = if rotation % 180 == 90 {
        (height, width)
    } else {
        (width, height)
    };
    let rate = |text: &Option<String>| text.as_deref().and_then(|t| ratio(t, '/'));
    Ok(VideoInfo {
        codec: codec.clone(),
        width,
        height,
        fps: rate(&stream.avg_frame_rate)
            .or_else(|| rate(&stream.r_frame_rate))
            .unwrap_or(0.0),
        rotation,
        bitrate: stream
            .bit_rate
            .as_deref()
            .and_then(|rate| rate.parse().ok())
            .or(whole),
        hdr: matches!(
            stream.color_transfer.as_deref(),
            Some("smpte2084" | "arib-std-b67")
        ),
    })
}

/// The size as displayed. Of oblong pixels the longer side is made shorter, so that nothing is scaled up: 1440 × 1080 of
/// pixels 4:3 is 1440 × 810.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 1 and a side of 32 bits"
)]
fn shown(width: u32, height: u32, aspect: f64) -> (u32, u32) {
    let shorter = |side: u32, by: f64| (f64::from(side) * by).round().max(1.0) as u32;
    if (0.1..1.0).contains(&aspect) {
        (shorter(width, aspect), height)
    } else if (1.0..=10.0).contains(&aspect) {
        (width, shorter(height, 1.0 / aspect))
    } else {
        (width, height)
    }
}

/// `30000/1001` or `1:1`; none where a part is zero.
fn ratio(text: &str, between: char) -> Option<f64> {
    let (num, den) = text.split_once(between)?;
    let value = num.parse::<f64>().ok()? / den.parse::<f64>().ok()?;
    (value.is_finite() && value > 0.0).then_some(value)
}

fn sound(stream: &Stream) -> Result<AudioInfo, ClipError> {
    let sample_rate = stream
        .sample_rate
        .as_deref()
        .and_then(|rate| rate.parse().ok());
    match (&stream.codec_name, stream.channels, sample_rate) {
        (Some(codec), Some(channels @ 1..), Some(sample_rate @ 1..)) => Ok(AudioInfo {
            codec: codec.clone(),
            channels,
            sample_rate,
        }),
        _ => Err(refuse(
            "UNREADABLE",
            "The sound has no channels, rate or codec that we know.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILM: Format = Format {
        demuxer: "mov",
        name: "mov",
        kind: ClipKind::Video,
    };

    const SAID: &str = r#"{"streams":[{"codec_type":"video","codec_name":"h264","width":1440,"height":1080,
        "sample_aspect_ratio":"4:3","avg_frame_rate":"30000/1001","r_frame_rate":"30/1","duration":"2.5",
        "disposition":{"attached_pic":0},"side_data_list":[{"rotation":-90}]},
        {"codec_type":"audio","codec_name":"aac","channels":2,"sample_rate":"48000"}],
        "format":{"duration":"2.5","bit_rate":"1000"}}"#;

    fn video(json: &str) -> VideoInfo {
        let read = read(json.as_bytes(), FILM, 1).expect("a film");
        read.source.video.expect("pictures")
    }

    #[test]
    fn pictures_are_as_large_as_they_are_shown() {
        for (from, to, expected) in [
            ("", "", (810, 1440, 90)),
            ("-90", "90", (810, 1440, 270)),
            ("-90", "180", (1440, 810, 180)),
            // FFmpeg turns it, and leaves the size alone.
            ("-90", "45", (1440, 810, 0)),
            ("4:3", "3:4", (1080, 1080, 90)),
            ("4:3", "0:1", (1080, 1440, 90)),
            ("4:3", "1:4000000", (1080, 1440, 90)),
            ("4:3", "4000000:1", (1080, 1440, 90)),
        ] {
            let v = video(&SAID.replace(from, to));
            assert_eq!((v.width, v.height, v.rotation), expected, "{to}");
        }
    }

    #[test]
    fn lengths_that_are_none_are_left_to_the_walk() {
        for length in ["-1.0", "NaN", "inf", "1e300", "N/A", ""] {
            let json = SAID.replace("2.5", length);
            let read = read(json.as_bytes(), FILM, 1).expect("a film");
            assert!(read.source.duration.is_zero(), "{length}");
        }
    }

    proptest! {
        #[test]
        fn no_description_panics(
            at in 0..SAID.len(), with in "[0-9a-z:/\"{}\\[\\],.-]{0,6}", cut in 0_usize..8, kind in 0_usize..3
        ) {
            let kind = [ClipKind::Video, ClipKind::Audio, ClipKind::Image][kind];
            let end = (at + cut).min(SAID.len());
            let json = format!("{}{with}{}", &SAID[..at], &SAID[end..]);
            if let Ok(read) = read(json.as_bytes(), Format { kind, ..FILM }, 1)
                && let Some(video) = read.source.video
            {
                prop_assert!(video.width > 0 && video.height > 0);
                prop_assert!(video.fps.is_finite() && video.fps >= 0.0);
            }
        }
    }
}
