//! Each refusal, at its bound and one beyond.

use super::*;
use crate::model::{AudioInfo, VideoInfo};

fn film(change: impl FnOnce(&mut Probed)) -> Probed {
    let mut probed = Probed {
        source: Source {
            size: 1_000,
            sha256: None,
            container: "mov".to_owned(),
            duration: Duration::from_secs(10),
            video: Some(VideoInfo {
                codec: "h264".to_owned(),
                width: 1_280,
                height: 720,
                fps: 30.0,
                rotation: 0,
                bitrate: None,
                hdr: false,
            }),
            audio: Some(AudioInfo {
                codec: "aac".to_owned(),
                channels: 2,
                sample_rate: 48_000,
            }),
        },
        streams: 2,
    };
    change(&mut probed);
    probed
}

/// A film with other pictures.
fn pictured(change: impl FnOnce(&mut VideoInfo)) -> Probed {
    film(|film| {
        if let Some(video) = &mut film.source.video {
            change(video);
        }
    })
}

fn sized(width: u32, height: u32) -> Probed {
    pictured(|video| (video.width, video.height) = (width, height))
}

/// A film with other sound.
fn sounding(codec: &str, channels: u32) -> Probed {
    film(|film| {
        if let Some(audio) = &mut film.source.audio {
            (audio.codec, audio.channels) = (codec.to_owned(), channels);
        }
    })
}

/// A picture of this size and codec, without sound.
fn still(width: u32, height: u32, codec: &str) -> Probed {
    let mut still = pictured(|video| {
        (video.width, video.height) = (width, height);
        codec.clone_into(&mut video.codec);
    });
    (still.source.audio, still.source.duration) = (None, Duration::ZERO);
    still
}

fn reason(result: Result<(), ClipError>) -> Option<String> {
    result.err().map(|error| {
        assert!(!error.retryable, "the same file is refused again");
        assert!(!error.message.is_empty(), "people are told why");
        error.reason
    })
}

type Row = (&'static str, Probed, ClipKind, Option<&'static str>);

fn judge(table: impl IntoIterator<Item = Row>) {
    for (name, probed, kind, expected) in table {
        let got = reason(check(&Policy::default(), &probed, kind));
        assert_eq!(got.as_deref(), expected, "{name}");
    }
}

#[test]
fn what_a_file_is_by_table() {
    use ClipKind::{Audio, Image, Video};
    const CODEC: Option<&str> = Some("CODEC_NOT_ALLOWED");
    let streams = |streams| film(|film| film.streams = streams);
    let hdr = pictured(|video| video.hdr = true);
    let coded = |codec: &str| pictured(|video| codec.clone_into(&mut video.codec));
    let silent = film(|film| film.source.audio = None);
    let sound = film(|film| film.source.video = None);
    let nothing = film(|film| (film.source.video, film.source.audio) = (None, None));
    let channels = Some("TOO_MANY_CHANNELS");
    judge([
        ("a film", film(|_| ()), Video, None),
        ("without sound", silent, Video, None),
        ("sound alone", sound.clone(), Audio, None),
        ("nothing", nothing, Video, Some("NO_TRACKS")),
        ("a picture without one", sound, Image, Some("UNREADABLE")),
        ("8 tracks", streams(8), Video, None),
        ("9 tracks", streams(9), Video, Some("TOO_MANY_STREAMS")),
        ("a film's codec", coded("prores"), Video, None),
        ("another", coded("rawvideo"), Video, CODEC),
        ("a picture's for a film", coded("png"), Video, CODEC),
        ("a film's for a picture", still(8, 8, "h264"), Image, CODEC),
        ("a range that is high", hdr.clone(), Video, None),
        ("8 channels", sounding("flac", 8), Video, None),
        ("9 channels", sounding("flac", 9), Video, channels),
        ("other sound", sounding("dts", 2), Video, CODEC),
    ]);
    let plain = Policy {
        hdr: false,
        ..Policy::default()
    };
    let got = reason(check(&plain, &hdr, Video));
    assert_eq!(got.as_deref(), Some("HDR"), "where it can't be shown");
    for codec in plain.image_codecs.iter().copied() {
        let got = reason(check(&plain, &still(8, 8, codec), Image));
        assert_eq!(got, None, "{codec}");
    }
}

#[test]
fn how_large_its_pictures_are_by_table() {
    use ClipKind::{Image, Video};
    let many = Some("TOO_MANY_PIXELS");
    judge([
        ("4K", sized(4_096, 2_304), Video, None),
        ("4K, upright", sized(2_304, 4_096), Video, None),
        ("a line more", sized(4_096, 2_305), Video, many),
        ("the longest side", sized(16_384, 16), Video, None),
        ("a longer one", sized(16_385, 16), Video, many),
        ("upright", sized(16, 16_385), Video, many),
        ("the largest", sized(u32::MAX, u32::MAX), Video, many),
        ("50 megapixels", still(10_000, 5_000, "png"), Image, None),
        ("a line more", still(10_000, 5_001, "png"), Image, many),
        ("a long still", still(16_385, 1, "png"), Image, many),
    ]);
}

#[test]
fn how_long_it_lasts_by_table() {
    let lasting = |millis| {
        let duration = Duration::from_millis(millis);
        film(|film| film.source.duration = duration)
    };
    let rated = |fps| pictured(|video| video.fps = fps);
    let silent = film(|film| film.source.video = None);
    let moving = || still(1_000, 1_000, "gif");
    let table = [
        ("10 minutes", lasting(600_000), 1, None),
        ("a moment more", lasting(600_001), 1, Some("TOO_LONG")),
        ("sound alone", silent, 0, None),
        ("240 a second", rated(240.0), 1, None),
        ("more", rated(240.5), 1, Some("FRAME_RATE")),
        ("none", rated(0.0), 1, Some("FRAME_RATE")),
        ("less than none", rated(-1.0), 1, Some("FRAME_RATE")),
        ("no number", rated(f64::NAN), 1, Some("FRAME_RATE")),
        ("no end", rated(f64::INFINITY), 1, Some("FRAME_RATE")),
        (
            "no beginning",
            rated(f64::NEG_INFINITY),
            1,
            Some("FRAME_RATE"),
        ),
        ("2,000 pictures of a megapixel", moving(), 2_000, None),
        ("one more", moving(), 2_001, Some("TOO_MANY_PIXELS")),
        (
            "no end of them",
            moving(),
            u64::MAX,
            Some("TOO_MANY_PIXELS"),
        ),
    ];
    let policy = Policy::default();
    for (name, probed, pictures, expected) in table {
        let packets = Packets {
            pictures,
            duration: probed.source.duration,
        };
        let got = reason(check_time(&policy, &probed.source, &packets));
        assert_eq!(got.as_deref(), expected, "{name}");
    }
}
