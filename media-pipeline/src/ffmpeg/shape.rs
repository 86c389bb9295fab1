//! Asks `ffprobe` for what a plan needs besides the [`Source`](crate::model::Source).

use super::plan::Shape;
use crate::inspect::{input, words};
use serde::Deserialize;
use std::ffi::OsString;
use std::path::Path;

/// What is asked.
pub(super) fn shape_args(demuxer: &str, file: &Path) -> Vec<OsString> {
    let mut args = words(&["-v", "error", "-print_format", "json", "-show_entries"]);
    args.extend(words(&[
        "format=start_time:stream=codec_type,start_time,field_order:stream_disposition=attached_pic",
    ]));
    args.extend(input(demuxer, file));
    args
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
    start_time: Option<String>,
}

#[derive(Deserialize)]
struct Stream {
    codec_type: Option<String>,
    start_time: Option<String>,
    field_order: Option<String>,
    #[serde(default)]
    disposition: Disposition,
}

#[derive(Deserialize, Default)]
struct Disposition {
    #[serde(default)]
    attached_pic: u8,
}

/// What was answered; the plain shape for what cannot be read.
pub(super) fn read(json: &[u8]) -> Shape {
    /// Less is a codec's own delay, and no gap.
    const LATE_S: f64 = 0.06;
    let Ok(report) = serde_json::from_slice::<Report>(json) else {
        return Shape::default();
    };
    let seconds = |text: &Option<String>| text.as_deref().and_then(|t| t.parse::<f64>().ok());
    let start = seconds(&report.format.start_time).unwrap_or(0.0);
    let first = |kind: &str| {
        report
            .streams
            .iter()
            .find(|s| s.codec_type.as_deref() == Some(kind) && s.disposition.attached_pic == 0)
    };
    let is_late = |stream: Option<&Stream>| {
        stream
            .and_then(|stream| seconds(&stream.start_time))
            .is_some_and(|begins| begins - start > LATE_S)
    };
    let (video, audio) = (first("video"), first("audio"));
    Shape {
        late_video: is_late(video),
        late_audio: is_late(audio),
        interlaced: video
            .and_then(|stream| stream.field_order.as_deref())
            .is_some_and(|order| matches!(order, "tt" | "bb" | "tb" | "bt")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SAID: &str = r#"{"streams":[{"codec_type":"video","field_order":"tt","start_time":"3.0"},
        {"codec_type":"audio","start_time":"0.02"}],"format":{"start_time":"0.0"}}"#;

    #[test]
    fn a_stream_is_late_by_more_than_a_codecs_delay() {
        let shape = read(SAID.as_bytes());
        assert!(shape.late_video && !shape.late_audio && shape.interlaced);
        assert_eq!(read(b"no JSON"), Shape::default());
    }

    proptest! {
        #[test]
        fn no_description_panics(at in 0..SAID.len(), with in "[0-9a-z:/\"{},.-]{0,6}") {
            let _ = read(format!("{}{with}{}", &SAID[..at], &SAID[at..]).as_bytes());
        }
    }
}
