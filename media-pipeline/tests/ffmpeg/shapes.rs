//! Sources as telephones, browsers, cameras and old programs make them. Each is played whole, as it is shown, with sound and
//! pictures of the same length.

use crate::support::{Place, ffprobe, make};
use kaiwa_media_pipeline::model::{Outputs, Source};
use kaiwa_media_pipeline::playlist::parse_media;
use kaiwa_media_pipeline::ports::{InspectError, Inspector};

const H264: &str = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p";

/// `ffmpeg` is called once for each of `steps`; `@` in front of a word is a file in the place.
fn source(steps: &[(&str, &str)]) -> Place {
    let place = Place::new(true);
    for (args, file) in steps {
        let args: Vec<String> = args
            .split_whitespace()
            .map(|word| match word.split_once('@') {
                Some((before, name)) => format!("{before}{}", place.path(name).display()),
                None => word.to_owned(),
            })
            .collect();
        make(&args.join(" "), &place.path(file));
    }
    place
}

/// Where a stream of what was made begins, and how long its playlist is.
fn times(place: &Place, playlist: &str) -> (f64, f64) {
    let file = place.path("processed").join(playlist);
    let said = ffprobe(
        "-show_entries stream=start_time -of csv=p=0 -allowed_extensions ALL",
        &file,
    );
    let start = said.trim().trim_end_matches(',').lines().next().unwrap();
    let media = parse_media(&std::fs::read_to_string(&file).unwrap()).unwrap();
    (start.parse().unwrap(), media.seconds())
}

fn is_whole(place: &Place, source: &Source, outputs: &Outputs, seconds: f64) {
    let mut playlists: Vec<_> = outputs
        .renditions
        .iter()
        .map(|r| r.playlist.clone())
        .collect();
    if source.audio.is_some() {
        playlists.push("hls/audio/index.m3u8".to_owned());
    }
    let all: Vec<_> = playlists
        .iter()
        .map(|playlist| times(place, playlist))
        .collect();
    for (start, length) in &all {
        // All are put off by what the encoder holds back, two frames, as much as the sound.
        assert!(
            (start - all[0].0).abs() < 0.06,
            "they begin at different times: {all:?}"
        );
        assert!((length - seconds).abs() < 0.15, "not {seconds}: {all:?}");
    }
    assert!(all[0].0 < 0.5, "{all:?}");
}

#[tokio::test]
async fn sound_and_pictures_of_different_lengths_and_beginnings_are_made_equal() {
    const FILM: &str = "-f lavfi -i testsrc2=s=160x120:r=30:d=3";
    const TONE: &str = "-f lavfi -i sine=duration=6";
    for (name, args, seconds) in [
        (
            "late pictures",
            format!("{TONE} -itsoffset 3 {FILM} {H264} -c:a aac -f mp4"),
            6.0,
        ),
        (
            "short pictures",
            format!("{TONE} {FILM} {H264} -c:a aac -f matroska"),
            6.0,
        ),
        (
            "late sound",
            format!(
                "-f lavfi -i testsrc2=s=160x120:r=30:d=6 -itsoffset 3 -f lavfi -i sine=duration=3 {H264} -c:a aac -f mp4"
            ),
            6.0,
        ),
        (
            "short sound",
            format!(
                "-f lavfi -i testsrc2=s=160x120:r=30:d=6 -f lavfi -i sine=duration=2 {H264} -c:a aac -f mp4"
            ),
            6.0,
        ),
        (
            "a still screen",
            format!(
                "-f lavfi -i testsrc2=s=160x120:r=30:d=9 {TONE} -vf select='lt(n,20)+eq(n,200)' -vsync vfr {H264} -c:a libopus -f matroska"
            ),
            6.7,
        ),
    ] {
        let place = source(&[(&args, "source")]);
        let (source, outputs) = place.make("source").await;
        println!("{name}: {source:?}");
        is_whole(&place, &source, &outputs, seconds);
    }
}

#[tokio::test]
async fn what_has_no_or_a_wrong_length_in_its_header_has_the_right_one() {
    for (name, args, seconds) in [
        (
            "recorded in a browser",
            "-f lavfi -i testsrc2=s=160x120:r=30:d=4 -f lavfi -i sine=duration=4 -c:v libvpx -b:v 200k -deadline realtime \
             -c:a libopus -live 1 -f webm",
            4.0,
        ),
        (
            "raw AAC",
            "-f lavfi -i sine=duration=20 -af volume='if(lt(t,4),1,0)':eval=frame -c:a aac -f adts",
            20.0,
        ),
        (
            "MP3 of changing rate without its table",
            "-f lavfi -i anoisesrc=d=20:a=0.5 -af volume='if(lt(t,4),1,0)':eval=frame -c:a libmp3lame -q:a 4 -write_xing 0 -f mp3",
            20.0,
        ),
        (
            "a transport stream whose clock turns over",
            "-f lavfi -i testsrc2=s=160x120:r=30:d=4 -f lavfi -i sine=duration=4 -c:v libx264 -preset ultrafast -pix_fmt yuv420p \
             -c:a aac -output_ts_offset 95441.5 -f mpegts",
            4.0,
        ),
    ] {
        let place = source(&[(args, "source")]);
        let (source, outputs) = place.make("source").await;
        println!("{name}: {source:?}");
        is_whole(&place, &source, &outputs, seconds);
    }
}

#[tokio::test]
async fn a_file_that_calls_itself_short_is_as_long_as_it_is() {
    let args = format!("-f lavfi -i testsrc2=s=64x64:r=5:d=900 {H264} -g 25 -f matroska");
    let place = source(&[(&args, "source")]);
    let mut bytes = std::fs::read(place.path("source")).unwrap();
    // Duration (RFC 9559, 5.1.2.10): an eight-byte float of milliseconds.
    let at = bytes.windows(3).position(|w| w == b"\x44\x89\x88").unwrap() + 3;
    bytes[at..at + 8].copy_from_slice(&5000_f64.to_be_bytes());
    std::fs::write(place.path("source"), bytes).unwrap();
    let Err(InspectError::Rejected(error)) = place.inspector.inspect("source").await else {
        panic!("fifteen minutes are too long")
    };
    assert_eq!(error.reason, "TOO_LONG");
}

#[tokio::test]
async fn very_short_small_and_odd_sources_are_made() {
    for (name, args, seconds) in [
        (
            "one picture",
            format!("-f lavfi -i testsrc2=s=160x120:r=25 -frames:v 1 {H264} -f mp4"),
            0.04,
        ),
        (
            "one picture, no length",
            format!("-f lavfi -i testsrc2=s=160x120:r=25 -frames:v 1 {H264} -f matroska"),
            0.04,
        ),
        (
            "a tenth of a second",
            format!(
                "-f lavfi -i testsrc2=s=160x120:r=30:d=0.1 -f lavfi -i sine=duration=0.1 {H264} -c:a aac -f mp4"
            ),
            0.1,
        ),
        (
            "one pixel",
            "-f lavfi -i testsrc2=s=16x16:r=25:d=1 -vf scale=1:1 -c:v libvpx -f webm".to_owned(),
            1.0,
        ),
        (
            "two pixels",
            format!("-f lavfi -i testsrc2=s=16x16:r=25:d=1 -vf scale=2:2 {H264} -f mp4"),
            1.0,
        ),
        (
            "a ribbon",
            format!("-f lavfi -i testsrc2=s=16x16:r=5:d=1 -vf scale=2048:6 {H264} -f mp4"),
            1.0,
        ),
        (
            "an odd tower",
            "-f lavfi -i testsrc2=s=101x301:r=24:d=1 -c:v libx264 -pix_fmt yuv444p -f mp4"
                .to_owned(),
            1.0,
        ),
    ] {
        let place = source(&[(&args, "source")]);
        let (source, outputs) = place.make("source").await;
        println!("{name}: {source:?} {:?}", outputs.renditions);
        is_whole(&place, &source, &outputs, seconds);
    }
}

#[tokio::test]
async fn every_sampling_of_colour_and_every_number_of_channels_is_made() {
    for (name, args) in [
        (
            "10 bits 4:4:4",
            "-f lavfi -i testsrc2=s=160x120:r=25:d=1 -c:v libx264 -pix_fmt yuv444p10le -f mp4",
        ),
        (
            "ProRes",
            "-f lavfi -i testsrc2=s=160x120:r=25:d=1 -c:v prores_ks -f mov",
        ),
        (
            "motion JPEG",
            "-f lavfi -i testsrc2=s=160x120:r=25:d=1 -c:v mjpeg -f mov",
        ),
        (
            "5.1",
            "-f lavfi -i testsrc2=s=160x120:r=25:d=1 -f lavfi -i sine=duration=1 -c:v libx264 -pix_fmt yuv420p -ac 6 -c:a aac -f mp4",
        ),
        (
            "7.1",
            "-f lavfi -i testsrc2=s=160x120:r=25:d=1 -f lavfi -i sine=duration=1 -c:v libx264 -pix_fmt yuv420p -ac 8 -c:a flac -f matroska",
        ),
        (
            "mono at 96 kHz",
            "-f lavfi -i sine=duration=1:sample_rate=96000 -ac 1 -c:a flac -f flac",
        ),
        (
            "mono at 8 kHz",
            "-f lavfi -i sine=duration=1:sample_rate=8000 -ac 1 -c:a pcm_s16le -f wav",
        ),
        (
            "a fine clock",
            "-f lavfi -i testsrc2=s=160x120:r=25:d=1 -c:v libx264 -pix_fmt yuv420p -video_track_timescale 10000000 -f mp4",
        ),
    ] {
        let place = source(&[(args, "source")]);
        let (source, outputs) = place.make("source").await;
        println!("{name}: {source:?}");
        is_whole(&place, &source, &outputs, 1.0);
    }
}

#[tokio::test]
async fn oblong_pixels_are_made_square_without_scaling_up() {
    let args = format!("-f lavfi -i testsrc2=s=288x216:r=25:d=1 -vf setsar=4/3 {H264} -f mp4");
    let place = source(&[(&args, "source")]);
    let (source, outputs) = place.make("source").await;
    let video = source.video.unwrap();
    assert_eq!((video.width, video.height), (288, 162));
    let made = &outputs.renditions[0];
    assert_eq!((made.width, made.height), (288, 162));
}

#[tokio::test]
async fn a_source_that_changes_its_size_and_sound_in_the_middle_goes_on() {
    let film = |size: &str, channels: u32| {
        format!(
            "-f lavfi -i testsrc2=s={size}:r=25:d=3 -f lavfi -i sine=duration=3 {H264} -ac {channels} -c:a aac -f mpegts"
        )
    };
    let place = source(&[(&film("160x120", 1), "a"), (&film("320x180", 2), "b")]);
    let mut bytes = std::fs::read(place.path("a")).unwrap();
    bytes.extend(std::fs::read(place.path("b")).unwrap());
    std::fs::write(place.path("source"), bytes).unwrap();
    let (source, outputs) = place.make("source").await;
    println!("{source:?}");
    is_whole(&place, &source, &outputs, 6.0);
}

#[tokio::test]
async fn an_edit_list_is_followed() {
    let film = format!(
        "-f lavfi -i testsrc2=s=160x120:r=25:d=6 -f lavfi -i sine=duration=6 {H264} -g 100 -c:a aac -f mp4"
    );
    let place = source(&[
        (&film, "whole"),
        ("-ss 1.5 -i @whole -c copy -f mp4", "source"),
    ]);
    let (source, outputs) = place.make("source").await;
    is_whole(&place, &source, &outputs, 4.5);
}

#[tokio::test]
async fn a_high_dynamic_range_without_its_matrix_and_in_4k_is_mapped() {
    for size in ["320x180:r=30:d=1", "3840x2160:r=30:d=0.2"] {
        let args = format!(
            "-f lavfi -i testsrc2=s={size} -c:v libx265 -preset ultrafast -pix_fmt yuv420p10le -x265-params \
             log-level=none:transfer=arib-std-b67 -f mp4"
        );
        let place = source(&[(&args, "source")]);
        let (source, _) = place.make("source").await;
        assert!(source.video.unwrap().hdr);
    }
}

#[tokio::test]
async fn key_frames_of_a_rung_with_half_the_pictures_stand_with_the_others() {
    let args = format!("-f lavfi -i testsrc2=s=854x480:r=60000/1001:d=24 {H264} -f mp4");
    let place = source(&[(&args, "source")]);
    let (_, outputs) = place.make("source").await;
    assert_eq!(outputs.renditions.len(), 2);
    let keys: Vec<Vec<i64>> = outputs
        .renditions
        .iter()
        .map(|rendition| {
            let file = place.path("processed").join(&rendition.playlist);
            let said = ffprobe(
                "-select_streams v:0 -skip_frame nokey -show_entries frame=pts_time -of csv=p=0 -allowed_extensions ALL",
                &file,
            );
            said.lines()
                .filter_map(|line| line.trim_end_matches(',').parse::<f64>().ok())
                .map(|seconds| (seconds * 1000.0).round() as i64)
                .collect()
        })
        .collect();
    assert_eq!(keys[0], keys[1]);
    assert_eq!(keys[0].len(), 12);
}

#[tokio::test]
async fn fields_are_put_together() {
    let args = "-f lavfi -i testsrc2=s=320x180:r=50:d=3 -vf tinterlace=interleave_top,setfield=tff -c:v libx264 -preset \
                ultrafast -flags +ilme+ildct -x264opts tff=1 -pix_fmt yuv420p -f mp4";
    let place = source(&[(args, "source")]);
    let (_, outputs) = place.make("source").await;
    let file = place
        .path("processed")
        .join(&outputs.renditions[0].playlist);
    // `idet` counts pictures whose lines come from different times.
    let output = std::process::Command::new("ffmpeg")
        .args(["-v", "info", "-allowed_extensions", "ALL", "-i"])
        .arg(&file)
        .args(["-vf", "idet", "-f", "null", "-"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = said
        .lines()
        .rev()
        .find(|l| l.contains("Multi frame"))
        .unwrap();
    let number = |name: &str| -> u32 {
        let rest = line.split_once(name).unwrap().1;
        rest.split_whitespace().next().unwrap().parse().unwrap()
    };
    assert!(
        number("TFF:") + number("BFF:") < number("Progressive:"),
        "{line}"
    );
}

#[tokio::test]
async fn segments_of_six_and_of_ten_seconds_are_whole_and_within_the_ladders_rate() {
    let args = format!(
        "-f lavfi -i testsrc2=s=320x180:r=30:d=21,noise=alls=60:allf=t -f lavfi -i sine=duration=21 {H264} -c:a aac -f mp4"
    );
    let place = source(&[(&args, "source")]);
    let source = place.inspector.inspect("source").await.unwrap();
    for segment_s in [6, 10] {
        let mut order = crate::support::order("source", source.clone());
        order.segment_s = segment_s;
        let transcoder = place.transcoder();
        use kaiwa_media_pipeline::ports::Transcoder;
        let job = transcoder.submit(&order).await.unwrap();
        let outputs = crate::support::done(&transcoder, &job, &order).await;
        let rung = &kaiwa_media_pipeline::ladder::ladder(source.video.as_ref().unwrap())[0];
        for name in [&outputs.renditions[0].playlist, "hls/audio/index.m3u8"] {
            let text = std::fs::read_to_string(place.path("processed").join(name)).unwrap();
            let media = parse_media(&text).unwrap();
            let longest = media.segments.iter().map(|s| s.seconds).fold(0.0, f64::max);
            assert!((longest - f64::from(segment_s)).abs() < 0.05, "{longest}");
        }
        assert!(
            outputs.renditions[0].peak <= rung.max_bps + 140_000,
            "{:?}",
            outputs.renditions[0]
        );
    }
}
