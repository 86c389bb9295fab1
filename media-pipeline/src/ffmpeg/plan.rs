//! What FFmpeg is told. No I/O.

use crate::inspect::{input, words};
use crate::ladder::{AUDIO_BPS, Rung};
use crate::model::Source;
use std::ffi::OsString;
use std::path::Path;

/// What is seen of a source only when it is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shape {
    /// The pictures begin after the sound: the first is shown from the beginning.
    pub late_video: bool,
    /// The sound begins after the pictures: there is silence until then.
    pub late_audio: bool,
    /// Pictures consist of two fields.
    pub interlaced: bool,
}

/// The arguments that make a whole ladder, or sound alone where there are no rungs, below `out`. All streams are as long as
/// the source: the last picture stays, and silence follows the sound.
#[must_use]
pub fn hls_args(
    source: &Source,
    shape: Shape,
    rungs: &[Rung],
    segment_s: u32,
    file: &Path,
    out: &Path,
) -> Vec<OsString> {
    let mut args = words(&[
        "-hide_banner",
        "-v",
        "error",
        "-nostdin",
        "-y",
        "-progress",
        "pipe:1",
    ]);
    args.extend(words(&[
        "-stats_period",
        "0.5",
        "-max_alloc",
        "1073741824",
        "-filter_complex_threads",
        "2",
    ]));
    args.extend(input(&source.container, file));
    if !rungs.is_empty() {
        args.extend(words(&[
            "-filter_complex",
            &graph(rungs, shape, source.video.as_ref().is_some_and(|v| v.hdr)),
        ]));
    }
    args.extend(video_args(rungs));
    if source.audio.is_some() {
        args.extend(words(&[
            "-map", "0:a:0", "-c:a", "aac", "-ac", "2", "-ar", "48000", "-b:a",
        ]));
        args.push(AUDIO_BPS.to_string().into());
        let start = if shape.late_audio { ":first_pts=0" } else { "" };
        args.extend(words(&["-af", &format!("aresample=async=1{start},apad")]));
    }
    args.extend(words(&[
        "-t",
        &format!("{:.6}", source.duration.as_secs_f64()),
    ]));
    args.extend(words(&[
        "-map_metadata",
        "-1",
        "-map_chapters",
        "-1",
        "-sn",
        "-dn",
    ]));
    args.extend(words(&[
        "-f",
        "hls",
        "-hls_time",
        &segment_s.to_string(),
        "-hls_playlist_type",
        "vod",
    ]));
    args.extend(words(&[
        "-hls_flags",
        "independent_segments",
        "-hls_segment_type",
        "fmp4",
    ]));
    args.extend(words(&[
        "-hls_fmp4_init_filename",
        "init.mp4",
        "-var_stream_map",
    ]));
    args.push(stream_map(rungs, source.audio.is_some()).into());
    args.push("-hls_segment_filename".into());
    args.push(out.join("%v/seg_%05d.m4s").into());
    args.push(out.join("%v/index.m3u8").into());
    args
}

/// Constrained quality, closed groups of 2 s that begin at the same times in each rung. They are counted in pictures: by
/// the clock, a rung with half of 59.94 frames a second would now and then begin one picture later than the others.
fn video_args(rungs: &[Rung]) -> Vec<OsString> {
    let mut args = Vec::new();
    for (index, rung) in rungs.iter().enumerate() {
        args.extend(words(&["-map", &format!("[v{index}]")]));
        for (name, value) in [
            ("-maxrate", rung.encoder_bps()),
            ("-bufsize", rung.encoder_bps()),
            ("-g", u64::from(rung.rate.gop())),
            ("-keyint_min", u64::from(rung.rate.gop())),
        ] {
            args.extend(words(&[&format!("{name}:v:{index}"), &value.to_string()]));
        }
    }
    if !rungs.is_empty() {
        args.extend(words(&[
            "-c:v",
            "libx264",
            "-preset",
            "veryfast",
            "-profile:v",
            "main",
            "-crf",
            "22",
        ]));
        args.extend(words(&[
            "-sc_threshold",
            "0",
            "-x264-params",
            "vbv-init=0.5",
        ]));
    }
    args
}

/// Each rung is scaled from the one above it.
fn graph(rungs: &[Rung], shape: Shape, hdr: bool) -> String {
    let mut graph = String::from("[0:V:0]");
    if shape.interlaced {
        graph += "yadif=deint=interlaced,";
    }
    for (index, rung) in rungs.iter().enumerate() {
        let Rung {
            width,
            height,
            rate,
            ..
        } = rung;
        if index > 0 {
            graph += &format!(";[x{index}]");
        }
        graph += &format!("fps={}/{}", rate.num, rate.den);
        if index == 0 {
            graph += if shape.late_video {
                ":start_time=0"
            } else {
                ""
            };
            graph += ",tpad=stop=-1:stop_mode=clone";
        }
        graph += &format!(",scale={width}:{height}");
        if index == 0 && hdr {
            graph += TONE_MAP;
        }
        graph += ",setsar=1,format=yuv420p";
        graph += &if index + 1 < rungs.len() {
            format!(",split=2[v{index}][x{}]", index + 1)
        } else {
            format!("[v{index}]")
        };
    }
    graph
}

/// To what every screen shows. After scaling: a picture of 4K takes 110 MB for each step in between. What has this range is
/// of BT.2020, whether it says so or not.
const TONE_MAP: &str = ",setparams=colorspace=bt2020nc:color_primaries=bt2020,zscale=t=linear:npl=100,\
                        format=gbrpf32le,zscale=p=bt709,tonemap=hable:desat=0,zscale=t=bt709:m=bt709:r=tv";

fn stream_map(rungs: &[Rung], audio: bool) -> String {
    let group = if audio { ",agroup:aud" } else { "" };
    let mut streams: Vec<String> = rungs
        .iter()
        .enumerate()
        .map(|(index, rung)| format!("v:{index}{group},name:{}", rung.name))
        .collect();
    if audio && rungs.is_empty() {
        streams.push("a:0,name:audio".to_owned());
    } else if audio {
        streams.push("a:0,agroup:aud,default:yes,name:audio".to_owned());
    }
    streams.join(" ")
}
