//! Files that want more than to be played. Each is refused with its reason, and touches nothing.

use crate::canary::{Canary, SECRET};
use crate::support::{Place, make};
use kaiwa_common::redact::Redacted;
use kaiwa_media_pipeline::inspect::check_declared;
use kaiwa_media_pipeline::model::Declared;
use kaiwa_media_pipeline::ports::{InspectError, Inspector};

async fn reason(place: &Place, bytes: &[u8]) -> String {
    std::fs::write(place.path("source"), bytes).unwrap();
    match place.inspector.inspect("source").await {
        Err(InspectError::Rejected(error)) => {
            assert!(!error.message.contains("canary"), "{error:?}");
            error.reason
        }
        other => panic!("{other:?}"),
    }
}

/// A film, a picture, and the canary.
struct Zoo {
    place: Place,
    canary: Canary,
    good: Vec<u8>,
    png: Vec<u8>,
}

impl Zoo {
    fn new() -> Self {
        let place = Place::new(true);
        let file = place.path("good");
        make(
            "-f lavfi -i testsrc2=s=64x64:d=3 -c:v libx264 -pix_fmt yuv420p -movflags +faststart -f mp4",
            &file,
        );
        let good = std::fs::read(file).unwrap();
        let file = place.path("good.png");
        make(
            "-f lavfi -i testsrc2=s=64x64 -frames:v 1 -f image2 -c:v png",
            &file,
        );
        let png = std::fs::read(file).unwrap();
        let canary = Canary::new(&place.dir.path().join("secret"), &good);
        Self {
            place,
            canary,
            good,
            png,
        }
    }

    /// Fails unless each is refused with its reason, and none touches the canary.
    async fn all_refused(&self, cases: Vec<(Vec<u8>, &str)>) {
        let mut failures = Vec::new();
        for (number, (bytes, expected)) in cases.into_iter().enumerate() {
            let got = reason(&self.place, &bytes).await;
            self.canary.assert_untouched(expected);
            if got != expected {
                failures.push((number, got, expected));
            }
        }
        assert!(failures.is_empty(), "{failures:?}");
    }
}

#[tokio::test]
async fn each_text_that_names_other_files_is_refused_and_touches_none() {
    let zoo = Zoo::new();
    let film = zoo.canary.film.display();
    let text = zoo.canary.text.display();
    let mut cases = Vec::new();
    for address in [
        zoo.canary.url("http"),
        zoo.canary.url("tcp"),
        zoo.canary.url("udp"),
        zoo.canary.url("rtp"),
        zoo.canary.url("rtmp"),
        zoo.canary.url("ftp"),
        film.to_string(),
        format!("file://{film}"),
        format!("concat:{film}|{text}"),
        format!("subfile,,start,0,end,9,,:{text}"),
        format!("crypto+file:{text}"),
        format!("cache:{film}"),
        format!("data:video/mp4;base64,{film}"),
    ] {
        for (form, expected) in [
            (
                format!("#EXTM3U\n#EXTINF:3,\n{address}\n#EXT-X-ENDLIST\n"),
                "PLAYLIST",
            ),
            (
                format!(
                    "#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"{address}\"\n#EXTINF:3,\n{film}\n"
                ),
                "PLAYLIST",
            ),
            (
                format!("ffconcat version 1.0\nfile '{address}'\n"),
                "CONCAT_SCRIPT",
            ),
            (format!("file '{address}'\n"), "CONCAT_SCRIPT"),
            (
                format!("<svg xmlns='http://www.w3.org/2000/svg'><image href='{address}'/></svg>"),
                "SVG",
            ),
            (
                format!("<?xml version=\"1.0\"?><MPD><BaseURL>{address}</BaseURL></MPD>"),
                "DASH_MANIFEST",
            ),
            (format!("<html><video src='{address}'>"), "HTML"),
            (format!("<smil><video src='{address}'/></smil>"), "XML"),
            (format!("[Reference]\nRef1={address}\n"), "NOT_A_MEDIA_FILE"),
            (format!("{address}\n"), "NOT_A_MEDIA_FILE"),
            // A playlist behind what begins like a film: the demuxer is that of the beginning.
            (format!("\x1a\u{45}{address}"), "NOT_A_MEDIA_FILE"),
        ] {
            cases.push((form.into_bytes(), expected));
        }
    }
    // As Windows writes texts (UTF-16 with its mark).
    let wide: Vec<u8> = format!("\u{feff}#EXTM3U\n{film}\n")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    cases.push((wide, "NOT_A_MEDIA_FILE"));
    cases.push((b"\x1f\x8b\x08\0svgz".to_vec(), "NOT_A_MEDIA_FILE"));
    cases.push((
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\n".to_vec(),
        "SDP",
    ));
    zoo.all_refused(cases).await;
}

#[tokio::test]
async fn each_hostile_file_is_refused_with_its_reason_and_touches_nothing() {
    let zoo = Zoo::new();
    let (good, png) = (&zoo.good, &zoo.png);
    let mut huge = png.clone();
    huge[16..24].copy_from_slice(b"\x00\x00\xff\xff\x00\x00\xff\xff");
    let mut ribbon = png.clone();
    ribbon[16..24].copy_from_slice(b"\x00\x00\x40\x01\x00\x00\x00\x01");
    let with = |tail: &[u8]| [png, tail].concat();
    let zip = b"PK\x05\x06\0\0\0\0\x01\0\x01\0\x10\0\0\0\x10\0\0\0\0\0";
    let url = zoo.canary.url("http");
    let mut playlist_in_packets = [[0x47_u8; 1].as_slice(), &[b'\n'; 187]].concat().repeat(3);
    playlist_in_packets.extend(format!("\n{url}\n").bytes());
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (Vec::new(), "EMPTY_FILE"),
        (b"PK\x03\x04\x14\0\0\0".to_vec(), "ARCHIVE"),
        (
            b"\x7fELF\x02\x01\x01 called holiday.mp4".to_vec(),
            "NOT_A_MEDIA_FILE",
        ),
        (huge, "TOO_MANY_PIXELS"),
        (ribbon, "TOO_MANY_PIXELS"),
        (
            b"\xff\xd8\xff\xe0\0\x04JF\xff\xc0\0\x11\x08\xff\xff\xff\xff\x03".to_vec(),
            "TOO_MANY_PIXELS",
        ),
        (moving_picture(7000, 60), "TOO_MANY_PIXELS"),
        (with(zip), "POLYGLOT"),
        (with(format!("\n#EXTM3U\n{url}\n").as_bytes()), "POLYGLOT"),
        (with(b"<script>"), "POLYGLOT"),
        (good[..good.len() - good.len() / 3].to_vec(), "TRUNCATED"),
        (good[..64].to_vec(), "NO_TRACKS"),
        ([&good[..32], &[0xa5; 4000][..]].concat(), "TRUNCATED"),
        (playlist_in_packets, "TRUNCATED"),
        (
            with_external_data(good, &zoo.canary.film.to_string_lossy()),
            "EXTERNAL_DATA",
        ),
    ];
    zoo.all_refused(cases).await;
}

/// A GIF whose canvas is so wide and high, with so many pictures of one pixel each.
fn moving_picture(side: u16, pictures: usize) -> Vec<u8> {
    let side = side.to_le_bytes();
    let mut gif = [
        b"GIF89a".as_slice(),
        &side,
        &side,
        b"\x80\0\0\0\0\0\xff\xff\xff",
    ]
    .concat();
    let picture = b"\x21\xf9\x04\0\x0a\0\0\0\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0";
    gif.extend(picture.repeat(pictures));
    gif.push(b';');
    gif
}

/// The film's one data reference replaced by QuickTime's alias of another file (QuickTime File Format, "Data references").
fn with_external_data(film: &[u8], path: &str) -> Vec<u8> {
    let at = film
        .windows(8)
        .position(|w| w == b"\0\0\0\x0curl ")
        .unwrap();
    let mut alias = vec![0; 10 + 28 + 12 + 64 + 16 + 4 + 16];
    alias.extend(2_u16.to_be_bytes());
    alias.extend(u16::try_from(path.len()).unwrap().to_be_bytes());
    alias.extend(path.bytes());
    alias.extend([0; 2][..path.len() % 2].iter());
    alias.extend(b"\xff\xff\0\0");
    let size = u32::try_from(alias.len() + 12).unwrap();
    let entry = [&size.to_be_bytes()[..], b"alis\0\0\0\0", &alias].concat();
    let mut changed = [&film[..at], &entry, &film[at + 12..]].concat();
    for name in [b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"] {
        let at = film.windows(4).position(|w| w == name).unwrap() - 4;
        let old = u32::from_be_bytes(film[at..at + 4].try_into().unwrap());
        changed[at..at + 4].copy_from_slice(&(old + size - 12).to_be_bytes());
    }
    changed
}

#[tokio::test]
async fn too_many_tracks_frames_and_channels_are_refused() {
    let place = Place::new(true);
    let tone = place.path("tone");
    make("-f lavfi -i sine=duration=1 -c:a aac -f mp4", &tone);
    let many = " -map 0".repeat(60);
    for (args, expected) in [
        (
            format!("-i {} {many} -c copy -f mp4", tone.display()),
            "TOO_MANY_STREAMS",
        ),
        (
            "-f lavfi -i testsrc2=s=64x64:r=500:d=1 -c:v libx264 -pix_fmt yuv420p -f mp4"
                .to_owned(),
            "FRAME_RATE",
        ),
        (
            "-f lavfi -i anullsrc=cl=hexadecagonal -t 1 -c:a pcm_s16le -f wav".to_owned(),
            "TOO_MANY_CHANNELS",
        ),
        (
            "-f lavfi -i testsrc2=s=64x64:d=1 -c:v ffv1 -f matroska".to_owned(),
            "CODEC_NOT_ALLOWED",
        ),
    ] {
        make(&args, &place.path("made"));
        let bytes = std::fs::read(place.path("made")).unwrap();
        assert_eq!(reason(&place, &bytes).await, expected, "{args}");
    }
}

#[tokio::test]
async fn what_is_hidden_in_a_film_does_not_come_out_of_it() {
    let zoo = Zoo::new();
    let attached = zoo.place.path("attached.ttf");
    std::fs::write(&attached, [SECRET, b"\n"].concat()).unwrap();
    let subtitles = zoo.place.path("subtitles.srt");
    let secret = std::str::from_utf8(SECRET).unwrap();
    std::fs::write(
        &subtitles,
        format!("1\n00:00:00,000 --> 00:00:01,000\n{secret}\n"),
    )
    .unwrap();
    make(
        &format!(
            "-i {} -i {} -attach {} -metadata:s:t mimetype=font/ttf -metadata title={secret} -metadata:s:v comment={secret} \
             -map 0:v -map 1:s -c copy -f matroska",
            zoo.place.path("good").display(),
            subtitles.display(),
            attached.display(),
        ),
        &zoo.place.path("source"),
    );
    let bytes = std::fs::read(zoo.place.path("source")).unwrap();
    let has_secret = |bytes: &[u8]| bytes.windows(SECRET.len()).any(|window| window == SECRET);
    assert!(has_secret(&bytes));
    let (_, outputs) = zoo.place.make("source").await;
    zoo.canary.assert_untouched("a film with attachments");
    for name in outputs.files.keys() {
        let bytes = std::fs::read(zoo.place.path("processed").join(name)).unwrap();
        assert!(!has_secret(&bytes), "{name}");
    }
}

#[test]
fn a_program_in_the_cage_has_no_network_where_the_system_allows_it() {
    let allowed = [&["--net"][..], &["--user", "--map-current-user", "--net"]]
        .iter()
        .any(|way| {
            let tried = std::process::Command::new("unshare")
                .args(*way)
                .arg("true")
                .output();
            tried.is_ok_and(|output| output.status.success())
        });
    assert_eq!(crate::support::tools().has_no_network(), allowed);
}

#[tokio::test]
async fn what_arrived_is_compared_with_what_was_announced() {
    let place = Place::new(true);
    make(
        "-f lavfi -i testsrc2=s=64x64 -frames:v 1 -f image2 -c:v png",
        &place.path("source"),
    );
    let source = place.inspector.inspect("source").await.unwrap();
    let right = Declared {
        name: Redacted("holiday.png".to_owned()),
        size: source.size,
        sha256: source.sha256,
        content_type: "image/png".to_owned(),
    };
    assert!(source.sha256.is_some());
    assert_eq!(check_declared(&source, &right), Ok(()));
    for (wrong, reason) in [
        (
            Declared {
                size: 1,
                ..right.clone()
            },
            "SIZE_MISMATCH",
        ),
        (
            Declared {
                sha256: Some([0; 32]),
                ..right.clone()
            },
            "CHECKSUM_MISMATCH",
        ),
        (
            Declared {
                content_type: "video/mp4".to_owned(),
                ..right.clone()
            },
            "TYPE_MISMATCH",
        ),
    ] {
        assert_eq!(check_declared(&source, &wrong).unwrap_err().reason, reason);
    }
}
