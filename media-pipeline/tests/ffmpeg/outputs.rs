//! What is made of each kind of source.

use crate::support::{Place, ffprobe, make};
use kaiwa_media_pipeline::model::{ClipKind, Outputs};
use kaiwa_media_pipeline::playlist::{parse_master, parse_media};
use std::collections::BTreeSet;

const SOUND: &str = "-f lavfi -i sine=duration=4 -c:a aac";
const H264: &str = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p";

/// Everything that the issue asks of outputs, by programs that share no code with what wrote them.
fn check(place: &Place, outputs: &Outputs, width: u32, height: u32, seconds: f64) {
    let root = place.path("processed");
    for (name, bytes) in &outputs.files {
        assert_eq!(
            std::fs::metadata(root.join(name)).unwrap().len(),
            *bytes,
            "{name}"
        );
    }
    let master = std::fs::read_to_string(root.join(outputs.playlist.as_ref().unwrap())).unwrap();
    let master = parse_master(&master).unwrap();
    assert_eq!(master.variants.len(), outputs.renditions.len());
    let mut keys = BTreeSet::new();
    for rendition in &outputs.renditions {
        let file = root.join(&rendition.playlist);
        let said = ffprobe(
            "-select_streams v:0 -show_entries stream=width,height,codec_name -of csv=p=0 -allowed_extensions ALL",
            &file,
        );
        let line = said
            .lines()
            .next()
            .unwrap()
            .trim_end_matches(',')
            .to_owned();
        assert_eq!(
            line,
            format!("h264,{},{}", rendition.width, rendition.height)
        );
        assert!(
            rendition.width <= width && rendition.height <= height,
            "never above the source"
        );
        let frames = ffprobe(
            "-select_streams v:0 -skip_frame nokey -show_entries frame=pts_time -of csv=p=0 -allowed_extensions ALL",
            &file,
        );
        let times: Vec<i64> = frames
            .lines()
            .filter_map(|line| line.trim_end_matches(',').parse::<f64>().ok())
            .map(|time| (time * 1000.0).round() as i64)
            .collect();
        assert!(
            times.windows(2).all(|pair| pair[1] - pair[0] == 2000),
            "{times:?}"
        );
        keys.insert(times);
        let media = parse_media(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let (_, whole) = media.segments.split_last().unwrap();
        assert!(
            whole
                .iter()
                .all(|segment| (segment.seconds - 2.0).abs() < 0.001),
            "{media:?}"
        );
        assert!(
            (media.seconds() - seconds).abs() < 0.2,
            "{}",
            media.seconds()
        );
        assert!(rendition.average <= rendition.peak);
    }
    assert_eq!(
        keys.len(),
        1,
        "key frames are aligned over renditions: {keys:?}"
    );
    assert!(place.path("processed/thumbnails/poster.jpg").is_file());
    let vtt = std::fs::read_to_string(place.path("processed/thumbnails/sprite.vtt")).unwrap();
    assert!(vtt.starts_with("WEBVTT\n") && vtt.contains("sprite.jpg#xywh=0,0,"));
}

#[tokio::test]
async fn a_1080p_film_gets_four_qualities_with_aligned_key_frames_within_the_ladders_rates() {
    let place = Place::new(true);
    // Noise is what an encoder can do least with: only the ladder holds its rate down.
    make(
        &format!(
            "-f lavfi -i testsrc2=s=1920x1080:r=30:d=4,noise=alls=40:allf=t {SOUND} {H264} -shortest -f mp4"
        ),
        &place.path("source"),
    );
    let (source, outputs) = place.make("source").await;
    assert_eq!(source.kind(), ClipKind::Video);
    let names: Vec<_> = outputs.renditions.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(names, ["1080p", "720p", "480p", "360p"]);
    check(&place, &outputs, 1920, 1080, 4.0);
    for (rendition, most) in outputs
        .renditions
        .iter()
        .zip([5_000_000, 3_000_000, 1_500_000, 800_000])
    {
        assert!(rendition.average <= most + 200_000, "{rendition:?}");
        assert_eq!(rendition.codecs.split(',').nth(1), Some("mp4a.40.2"));
    }
    let puts = place.objects.puts.lock().unwrap().clone();
    let playlists = puts.iter().position(|key| key.ends_with("m3u8")).unwrap();
    assert!(
        puts[playlists..].iter().all(|key| key.ends_with("m3u8")),
        "segments first"
    );
    assert!(
        puts.last().unwrap().ends_with("master.m3u8"),
        "the master last"
    );
}

#[tokio::test]
async fn portrait_rotated_silent_odd_and_uneven_sources_are_played_as_they_are_shown() {
    for (args, shown, made, seconds) in [
        (
            "-f lavfi -i testsrc2=s=180x320:r=25:d=3",
            (180, 320),
            (180, 320),
            3.0,
        ),
        (
            "-f lavfi -i testsrc=s=321x181:r=30:d=3 -pix_fmt yuv444p",
            (321, 181),
            (320, 180),
            3.0,
        ),
        (
            "-f lavfi -i testsrc2=s=320x180:r=30:d=5 -vf select='not(mod(n,3))+lt(mod(n,30),8)' -vsync vfr",
            (320, 180),
            (320, 180),
            5.0,
        ),
    ] {
        let place = Place::new(false);
        make(
            &format!("{args} -c:v libx264 -preset ultrafast -f matroska"),
            &place.path("source"),
        );
        let (source, outputs) = place.make("source").await;
        let video = source.video.unwrap();
        assert_eq!((video.width, video.height), shown);
        assert!(source.audio.is_none());
        assert_eq!(outputs.renditions.len(), 1);
        assert_eq!(
            (outputs.renditions[0].width, outputs.renditions[0].height),
            made
        );
        check(&place, &outputs, shown.0, shown.1, seconds);
        assert!(!outputs.renditions[0].codecs.contains("mp4a"));
    }
}

#[tokio::test]
async fn a_turned_film_is_made_upright() {
    let place = Place::new(true);
    make(
        &format!("-f lavfi -i testsrc2=s=320x180:r=30:d=3 {H264} -f mp4"),
        &place.path("flat"),
    );
    let flat = place.path("flat");
    make(
        &format!(
            "-i {} -c copy -metadata:s:v rotate=90 -f mp4",
            flat.display()
        ),
        &place.path("source"),
    );
    let (source, outputs) = place.make("source").await;
    let video = source.video.unwrap();
    assert_eq!(
        (video.width, video.height, video.rotation % 180),
        (180, 320, 90)
    );
    check(&place, &outputs, 180, 320, 3.0);
    assert_eq!(
        (outputs.renditions[0].width, outputs.renditions[0].height),
        (180, 320)
    );
}

#[tokio::test]
async fn sound_becomes_hls_with_one_quality() {
    let place = Place::new(true);
    make(
        "-f lavfi -i sine=duration=5 -c:a libmp3lame -f mp3",
        &place.path("source"),
    );
    let (source, outputs) = place.make("source").await;
    assert_eq!(source.kind(), ClipKind::Audio);
    assert_eq!(outputs.renditions.len(), 1);
    assert_eq!(outputs.renditions[0].codecs, "mp4a.40.2");
    assert!(outputs.poster.is_none());
    let said = ffprobe(
        "-show_entries stream=codec_name -of csv=p=0 -allowed_extensions ALL",
        &place.path("processed/hls/audio/index.m3u8"),
    );
    assert!(said.contains("aac"), "{said}");
}

#[tokio::test]
async fn a_picture_keeps_its_size_and_loses_what_it_says_of_its_maker() {
    let place = Place::new(true);
    make(
        "-f lavfi -i testsrc2=s=1000x700 -frames:v 1 -metadata comment=canary-of-the-maker -f image2 -c:v mjpeg",
        &place.path("source"),
    );
    let mut bytes = std::fs::read(place.path("source")).unwrap();
    // A comment segment behind the start of the image (ITU-T T.81, B.2.4.5).
    bytes.splice(2..2, *b"\xff\xfe\x00\x15canary-of-the-maker");
    std::fs::write(place.path("source"), &bytes).unwrap();
    let (source, outputs) = place.make("source").await;
    assert_eq!(source.kind(), ClipKind::Image);
    assert!(outputs.playlist.is_none());
    for (name, expected) in [
        ("image/full.jpg", "1000,700"),
        ("image/small.jpg", "640,448"),
    ] {
        let file = place.path("processed").join(name);
        let size = ffprobe("-show_entries stream=width,height -of csv=p=0", &file);
        assert_eq!(size.trim(), expected);
        let bytes = std::fs::read(file).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"canary"));
    }
}

#[tokio::test]
async fn a_high_dynamic_range_is_mapped_to_what_every_screen_shows() {
    let place = Place::new(true);
    make(
        "-f lavfi -i testsrc2=s=320x180:r=30:d=2 -c:v libx265 -preset ultrafast -pix_fmt yuv420p10le -x265-params \
         log-level=none:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc -f mp4",
        &place.path("source"),
    );
    let (source, outputs) = place.make("source").await;
    assert!(source.video.unwrap().hdr);
    check(&place, &outputs, 320, 180, 2.0);
    let file = place
        .path("processed")
        .join(&outputs.renditions[0].playlist);
    let said = ffprobe(
        "-select_streams v:0 -show_entries stream=pix_fmt,color_transfer -of csv=p=0 -allowed_extensions ALL",
        &file,
    );
    assert!(said.contains("yuv420p,bt709"), "{said}");
}
