//! Files that want more than to be played. Each is refused with its reason, and touches nothing.

use crate::support::{Place, make};
use kaiwa_common::redact::Redacted;
use kaiwa_media_pipeline::inspect::check_declared;
use kaiwa_media_pipeline::model::Declared;
use kaiwa_media_pipeline::ports::{InspectError, Inspector};
use std::net::TcpListener;

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

#[tokio::test]
async fn each_hostile_file_is_refused_with_its_reason_and_touches_nothing() {
    let place = Place::new(true);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/x.ts", listener.local_addr().unwrap());
    let canary = place.path("canary.mp4");
    make(
        "-f lavfi -i testsrc2=s=64x64:d=3 -c:v libx264 -pix_fmt yuv420p -movflags +faststart",
        &canary,
    );
    let good = std::fs::read(&canary).unwrap();
    let path = canary.display();
    make(
        "-f lavfi -i testsrc2=s=64x64 -frames:v 1 -f image2 -c:v png",
        &place.path("good.png"),
    );
    let png = std::fs::read(place.path("good.png")).unwrap();
    let mut huge = png.clone();
    huge[16..24].copy_from_slice(b"\x00\x00\xff\xff\x00\x00\xff\xff");
    let with = |tail: &[u8]| [&png, tail].concat();
    let zip = b"PK\x05\x06\0\0\0\0\x01\0\x01\0\x10\0\0\0\x10\0\0\0\0\0";
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (Vec::new(), "EMPTY_FILE"),
        (
            format!("#EXTM3U\n#EXTINF:3,\n{url}\n#EXTINF:3,\n{path}\n#EXT-X-ENDLIST\n").into(),
            "PLAYLIST",
        ),
        (
            format!("ffconcat version 1.0\nfile '{path}'\n").into(),
            "CONCAT_SCRIPT",
        ),
        (format!("file '{url}'\n").into(), "CONCAT_SCRIPT"),
        (
            format!("<svg xmlns='http://www.w3.org/2000/svg'><image href='{url}'/></svg>").into(),
            "SVG",
        ),
        (
            format!("<?xml version=\"1.0\"?><MPD><BaseURL>{url}</BaseURL></MPD>").into(),
            "DASH_MANIFEST",
        ),
        (
            b"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\n".to_vec(),
            "SDP",
        ),
        (format!("<html><video src='{url}'>").into(), "HTML"),
        (b"PK\x03\x04\x14\0\0\0".to_vec(), "ARCHIVE"),
        (
            b"\x7fELF\x02\x01\x01 called holiday.mp4".to_vec(),
            "NOT_A_MEDIA_FILE",
        ),
        (huge, "TOO_MANY_PIXELS"),
        (with(zip), "POLYGLOT"),
        (with(format!("\n#EXTM3U\n{url}\n").as_bytes()), "POLYGLOT"),
        (with(b"<script>"), "POLYGLOT"),
        (good[..good.len() - good.len() / 3].to_vec(), "TRUNCATED"),
        (good[..64].to_vec(), "NO_TRACKS"),
        ([&good[..32], &[0xa5; 4000][..]].concat(), "TRUNCATED"),
    ];
    let mut failures = Vec::new();
    for (bytes, expected) in cases {
        let got = reason(&place, &bytes).await;
        if got != expected {
            failures.push((got, expected));
        }
    }
    assert!(failures.is_empty(), "{failures:?}");
    assert!(listener.accept().is_err(), "nobody connected");
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
