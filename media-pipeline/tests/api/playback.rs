//! Path tokens over real sockets: what is served, and that nothing else is.

use crate::doubles::{Epoch, Held, Known, PREFIX};
use crate::http::{Answer, raw};
use crate::support::{a_clip, clip_id, fine, room, user};
use kaiwa_common::redact::Secret;
use kaiwa_common::time::UnixMs;
use kaiwa_media_pipeline::model::{Captions, Clip, ClipKind, ClipState, Language, Outputs, Source};
use kaiwa_media_pipeline::playback::{
    CloudFront, CloudFrontConfig, InvalidSigner, Issuer, Playable, PlayableClips, PlaybackKey,
    PlaybackKeys, PlaybackSettings, router,
};
use kaiwa_media_pipeline::ports::{RoomAuthz, StoreError};
use kaiwa_platform::clock::ManualClock;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;

fn ready() -> Clip {
    let mut clip = a_clip(fine(), ClipState::Ready, 9);
    let files = [
        "hls/master.m3u8",
        "hls/720p/0001.m4s",
        "thumbnails/poster.jpg",
        "hls/odd.exe",
    ];
    clip.outputs = Some(Outputs {
        playlist: Some("hls/master.m3u8".to_owned()),
        renditions: Vec::new(),
        poster: Some("thumbnails/poster.jpg".to_owned()),
        sprite: None,
        files: files.iter().map(|name| ((*name).to_owned(), 10)).collect(),
    });
    let captions = Captions {
        file: "captions/en.vtt".to_owned(),
        label: "English".to_owned(),
    };
    clip.captions.insert(Language("en".to_owned()), captions);
    clip
}

fn a_picture() -> Clip {
    let mut clip = a_clip(clip_id(2), ClipState::Ready, 9);
    clip.kind = ClipKind::Image;
    clip.declared.content_type = "image/svg+xml".to_owned();
    clip.source = Some(Source {
        size: 10,
        sha256: None,
        container: "png_pipe".to_owned(),
        duration: Duration::ZERO,
        video: None,
        audio: None,
    });
    clip.outputs = Some(Outputs {
        playlist: None,
        renditions: Vec::new(),
        poster: None,
        sprite: None,
        files: BTreeMap::new(),
    });
    clip
}

struct Played {
    address: SocketAddr,
    issuer: Issuer,
    clock: ManualClock,
    epoch: Arc<Epoch>,
    clips: Arc<Known>,
}

async fn playing(settings: PlaybackSettings) -> Played {
    let key = PlaybackKey::new(1, &Secret::new(vec![9; 32])).expect("a key");
    let keys = Arc::new(PlaybackKeys::new(key, None).expect("one key"));
    let clock = ManualClock::at(UnixMs(1_000_000));
    let epoch = Arc::new(Epoch(AtomicU64::new(4), Mutex::new(Ok(None))));
    let known = BTreeMap::from([(fine(), ready()), (clip_id(2), a_picture())]);
    let clips = Arc::new(Known(Mutex::new(Some(known))));
    let mut held = Held::default();
    for name in [
        "hls/master.m3u8",
        "hls/720p/0001.m4s",
        "captions/en.vtt",
        "hls/odd.exe",
        "hls/extra.ts",
    ] {
        held.0
            .insert(format!("{PREFIX}processed/{name}"), b"0123456789".to_vec());
    }
    held.0.insert(format!("{PREFIX}source"), b"<svg/>".to_vec());
    let routes = router(
        Arc::clone(&keys),
        (
            Arc::clone(&clips) as Arc<dyn PlayableClips>,
            Arc::clone(&epoch) as Arc<dyn RoomAuthz>,
        ),
        Arc::new(held),
        Arc::new(clock.clone()),
        settings,
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Played {
        address,
        issuer: Issuer::new(keys).naming(),
        clock,
        epoch,
        clips,
    }
}

impl Played {
    fn url(&self, clip: &Clip) -> String {
        let now = UnixMs(1_000_000);
        let right = self
            .issuer
            .playback(clip, PREFIX, &user("bob"), (&clip.room, 4), now);
        right.expect("it is ready").url
    }

    async fn ask(&self, method: &str, path: &str, headers: &str) -> Answer {
        let head =
            format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
        raw(self.address, head.as_bytes()).await
    }

    async fn get(&self, path: &str) -> u16 {
        self.ask("GET", path, "").await.status
    }
}

#[expect(clippy::too_many_lines, reason = "a table")]
#[tokio::test]
async fn playlists_segments_and_ranges_are_served_as_what_they_are() {
    let played = playing(PlaybackSettings::default()).await;
    let master = played.url(&ready());
    let base = master
        .strip_suffix("hls/master.m3u8")
        .expect("the playlist")
        .to_owned();
    let answer = played.ask("GET", &master, "").await;
    assert_eq!(
        (answer.status, answer.body.as_slice()),
        (200, &b"0123456789"[..])
    );
    assert_eq!(
        answer.headers["content-type"],
        "application/vnd.apple.mpegurl"
    );
    assert_eq!(answer.headers["cache-control"], "private, max-age=60");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("access-control-allow-origin", "*"),
        ("referrer-policy", "no-referrer"),
        ("content-security-policy", "default-src 'none'; sandbox"),
        ("accept-ranges", "bytes"),
        ("etag", "\"tag-1\""),
    ] {
        assert_eq!(answer.headers[name], value, "{name}");
    }
    let segment = format!("{base}hls/720p/0001.m4s");
    for (range, status, body, content_range) in [
        ("range: bytes=2-4\r\n", 206, "234", Some("bytes 2-4/10")),
        ("range: bytes=-2\r\n", 206, "89", Some("bytes 8-9/10")),
        ("range: bytes=10-\r\n", 416, "", Some("bytes */10")),
        ("range: bytes=0-1,4-5\r\n", 200, "0123456789", None),
        (
            "range: bytes=2-4\r\nif-range: \"tag-1\"\r\n",
            206,
            "234",
            Some("bytes 2-4/10"),
        ),
        (
            "range: bytes=2-4\r\nif-range: \"old\"\r\n",
            200,
            "0123456789",
            None,
        ),
        ("if-none-match: \"tag-1\"\r\n", 304, "", None),
    ] {
        let answer = played.ask("GET", &segment, range).await;
        let got = (
            answer.status,
            String::from_utf8_lossy(&answer.body).into_owned(),
        );
        assert_eq!(got, (status, body.to_owned()), "{range}");
        assert_eq!(
            answer.headers.get("content-range").map(String::as_str),
            content_range,
            "{range}"
        );
    }
    let head = played.ask("HEAD", &segment, "").await;
    assert_eq!(
        (head.status, head.headers["content-length"].as_str()),
        (200, "10")
    );
    assert!(head.body.is_empty());
    // Within the token's life of 30 minutes, which is less than an hour.
    assert_eq!(
        head.headers["cache-control"],
        "private, max-age=1800, immutable"
    );
    let captions = played
        .ask("GET", &format!("{base}captions/en.vtt"), "")
        .await;
    assert_eq!(
        (captions.status, captions.headers["content-type"].as_str()),
        (200, "text/vtt; charset=utf-8")
    );
    // What came as SVG is no document to any browser.
    let picture = played.ask("GET", &played.url(&a_picture()), "").await;
    assert_eq!(
        (picture.status, picture.headers["content-type"].as_str()),
        (200, "image/png"),
        "what its bytes are, not what it was called"
    );
    let asked = played
        .ask("OPTIONS", &segment, "origin: https://a.example\r\n")
        .await;
    assert_eq!(
        (
            asked.status,
            asked.headers["access-control-allow-methods"].as_str()
        ),
        (204, "GET, HEAD")
    );
}

#[expect(clippy::too_many_lines, reason = "a table")]
#[tokio::test]
async fn everything_else_is_the_same_403() {
    let played = playing(PlaybackSettings::default()).await;
    let master = played.url(&ready());
    let base = master
        .strip_suffix("hls/master.m3u8")
        .expect("the playlist")
        .to_owned();
    let token = base.split('/').nth(2).expect("a token").to_owned();
    let picture = played.url(&a_picture());
    let mut forged = token.clone().into_bytes();
    forged[60] = if forged[60] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).expect("text");
    let (clip, other) = (fine(), clip_id(2));
    let paths = [
        format!("/v/{forged}/{clip}/hls/master.m3u8"),
        format!("/v/{token}/{other}/source"),
        format!("/v/{token}/{clip}/source"),
        picture.replace("/source", "/hls/master.m3u8"),
        format!(
            "/v/{token}/{}/hls/master.m3u8",
            clip.to_string().to_uppercase()
        ),
        format!("{base}hls/extra.ts"),
        format!("{base}hls/odd.exe"),
        format!("{base}hls/720p/0002.m4s"),
        format!("{base}thumbnails/poster.jpg"),
        format!("{base}hls/../../source"),
        format!("{base}hls/..%2f..%2fsource"),
        format!("{base}hls%2fmaster.m3u8"),
        format!("{base}hls%2Fmaster.m3u8"),
        format!("{base}hls/master.m3u8%00"),
        format!("{base}hls//master.m3u8"),
        format!("{base}hls/./master.m3u8"),
        format!("{base}hls\\master.m3u8"),
        format!("{base}hls/master%2em3u8"),
        format!("{base}/hls/master.m3u8"),
        format!("{base}hls/master.m3u8/"),
        base.clone(),
        base.trim_end_matches('/').to_owned(),
        format!("/v/{token}"),
        "/v/".to_owned(),
        format!("/v//{clip}/hls/master.m3u8"),
        format!("/v/{}/{clip}/hls/master.m3u8", "A".repeat(8_000)),
    ];
    let reference = played.ask("GET", &paths[0], "").await;
    assert_eq!(reference.status, 403);
    let without_date = |answer: &Answer| {
        let mut headers = answer.headers.clone();
        headers.remove("date");
        headers
    };
    for path in &paths {
        let answer = played.ask("GET", path, "").await;
        assert_eq!(
            (answer.status, &answer.body),
            (403, &reference.body),
            "{path}"
        );
        assert_eq!(without_date(&answer), without_date(&reference), "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        assert_eq!(
            played.ask(method, &master, "").await.status,
            403,
            "{method}"
        );
    }
    assert_eq!(played.get(&master).await, 200);
    // The room's epoch ends it at once, for playlist and segment.
    let segment = format!("{base}hls/720p/0001.m4s");
    played.epoch.0.store(5, Ordering::Relaxed);
    assert_eq!(
        (played.get(&master).await, played.get(&segment).await),
        (403, 403)
    );
    played.epoch.0.store(4, Ordering::Relaxed);
    // So does the permission hook, of this person; of another it is no matter, and what it does not say is 503.
    let hook = |said| *played.epoch.1.lock().expect("said") = said;
    for (said, status) in [
        (Ok(Some(user("carol"))), 200),
        (Ok(Some(user("bob"))), 403),
        (Err(StoreError::Unavailable("away".to_owned())), 503),
        (Ok(None), 200),
    ] {
        hook(said);
        assert_eq!(
            (played.get(&master).await, played.get(&segment).await),
            (status, status)
        );
    }
    // So does its clip's end,
    let known = played.clips.0.lock().expect("clips").take();
    assert_eq!(
        played.get(&master).await,
        503,
        "without a store nobody plays, and may ask again"
    );
    let mut gone = known.expect("clips");
    gone.insert(
        fine(),
        Clip {
            state: ClipState::Deleted,
            ..ready()
        },
    );
    *played.clips.0.lock().expect("clips") = Some(gone);
    assert_eq!(played.get(&segment).await, 403);
    // and time.
    let known = BTreeMap::from([(fine(), ready())]);
    *played.clips.0.lock().expect("clips") = Some(known);
    played
        .clock
        .advance(Duration::from_millis(30 * 60 * 1000 - 1));
    assert_eq!(played.get(&segment).await, 200);
    played.clock.advance(Duration::from_millis(1));
    assert_eq!(
        (played.get(&master).await, played.get(&segment).await),
        (403, 403)
    );
}

#[tokio::test]
async fn only_pages_of_configured_origins_may_read() {
    let origins = vec!["https://app.example.org".to_owned()];
    let played = playing(PlaybackSettings { origins }).await;
    let master = played.url(&ready());
    for (origin, allowed) in [
        ("https://app.example.org", true),
        ("https://evil.example", false),
    ] {
        let answer = played
            .ask("GET", &master, &format!("origin: {origin}\r\n"))
            .await;
        let got = answer
            .headers
            .get("access-control-allow-origin")
            .map(String::as_str);
        assert_eq!(got, allowed.then_some(origin));
        assert_eq!(answer.headers["vary"], "origin");
    }
}

/// Everything that is logged, at any level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("a log").extend(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_token_reaches_the_log_at_any_level() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    // For all threads of these tests: what is logged is decided once for each place, by whichever comes first.
    tracing::subscriber::set_global_default(subscriber).expect("no other test sets one");
    tracing::callsite::rebuild_interest_cache();
    let played = playing(PlaybackSettings::default()).await;
    let master = played.url(&ready());
    let token = master.split('/').nth(2).expect("a token").to_owned();
    assert_eq!(played.get(&master).await, 200);
    assert_eq!(played.get(&master.replace("master", "other")).await, 403);
    played.epoch.0.store(5, Ordering::Relaxed);
    assert_eq!(played.get(&master).await, 403);
    *played.clips.0.lock().expect("clips") = None;
    assert_eq!(played.get(&master).await, 503);
    let log = String::from_utf8(log.0.lock().expect("a log").clone()).expect("text");
    assert!(
        log.contains("playback is refused") && log.contains(&fine().to_string()),
        "{log}"
    );
    for secret in [token.as_str(), &token[..24], "master.m3u8", "/v/", "bob"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}

#[test]
fn only_what_is_ready_gets_a_right_and_it_names_what_there_is() {
    let key = PlaybackKey::new(1, &Secret::new(vec![9; 32])).expect("a key");
    let issuer = Issuer::new(Arc::new(PlaybackKeys::new(key, None).expect("one key")));
    let of = |clip: &Clip| issuer.playback(clip, PREFIX, &user("bob"), (&clip.room, 4), UnixMs(0));
    let right = of(&ready()).expect("it is ready");
    assert!(
        right
            .poster
            .expect("a poster")
            .ends_with("/thumbnails/poster.jpg")
    );
    assert!(right.captions[0].2.ends_with("/captions/en.vtt"));
    assert_eq!((right.sprite, right.cookies), (None, Vec::new()));
    assert_eq!(right.expires, UnixMs(30 * 60 * 1000));
    for state in [ClipState::Processing, ClipState::Deleted, ClipState::Failed] {
        let clip = Clip { state, ..ready() };
        assert_eq!(of(&clip), Err(state));
        assert_eq!(Playable::of(&clip, PREFIX), None);
    }
    assert_eq!(
        Playable::of(&ready(), PREFIX).map(|p| p.rooms),
        Some(vec![room("r_lobby")])
    );
}

/// The key is a double's. The expected values were made by another program:
/// `openssl dgst -sha256 -sign KEY policy.json | base64 -w0 | tr '+=/' '-_~'`.
#[test]
fn cloudfronts_cookies_are_those_that_openssl_signs() {
    let config = |base: &str, key: &str| CloudFrontConfig {
        base: base.to_owned(),
        key_pair_id: "K2JCJMDEHXQW5F".to_owned(),
        private_key: Secret::new(key.to_owned()),
    };
    let key = include_str!("cloudfront-double.pem");
    let base = "https://media.example.org";
    let signer = CloudFront::new(&config(base, key)).expect("a signer");
    let prefix = "video/alice/2026/11/01990000-0000-7000-8000-000000000001/";
    let cookies = signer.cookies(prefix, UnixMs(1_800_000_000_999));
    let expected = [
        ("CloudFront-Policy", include_str!("cloudfront-policy.txt")),
        (
            "CloudFront-Signature",
            include_str!("cloudfront-signature.txt"),
        ),
        ("CloudFront-Key-Pair-Id", "K2JCJMDEHXQW5F"),
        ("CloudFront-Hash-Algorithm", "SHA256"),
    ];
    let expected: Vec<_> = expected
        .iter()
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
        .collect();
    assert_eq!(cookies, expected);
    for bad in [
        "http://media.example.org",
        "https://",
        "https://a/b",
        "media.example.org",
    ] {
        assert_eq!(
            CloudFront::new(&config(bad, key)).err(),
            Some(InvalidSigner::Base),
            "{bad}"
        );
    }
    assert_eq!(
        CloudFront::new(&config(base, "no key")).err(),
        Some(InvalidSigner::Key)
    );

    let token_key = PlaybackKey::new(1, &Secret::new(vec![9; 32])).expect("a key");
    let keys = PlaybackKeys::new(token_key, None).expect("one key");
    let issuer = Issuer::new(Arc::new(keys)).with_cloudfront(signer);
    let right = issuer
        .playback(
            &ready(),
            prefix,
            &user("bob"),
            (&room("r_lobby"), 4),
            UnixMs(0),
        )
        .expect("it is ready");
    assert_eq!(
        right.url,
        format!("{base}/{prefix}processed/hls/master.m3u8")
    );
    assert_eq!(right.cookies.len(), 4);
}
