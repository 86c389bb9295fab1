//! Somebody with a file: what an app does over HTTP, and what a player fetches.

use crate::support::client::int;
use crate::support::http::{Answer, exchange, request};
use crate::support::server::Server;
use crate::support::{cid, soon};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

/// A film of a quarter minute, made once by FFmpeg: three parts, and seconds of work to transcode.
pub(crate) fn film() -> &'static [u8] {
    static FILM: OnceLock<Vec<u8>> = OnceLock::new();
    FILM.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path: PathBuf = folder.path().join("film.mp4");
        let made = Command::new("ffmpeg")
            .args(["-v", "error", "-f", "lavfi"])
            .args(["-i", "testsrc2=size=1280x720:rate=30:duration=16"])
            .args(["-f", "lavfi", "-i", "sine=duration=16"])
            .args([
                "-vf",
                "noise=alls=30:allf=t",
                "-c:v",
                "libx264",
                "-preset",
                "ultrafast",
            ])
            .args(["-b:v", "9M", "-pix_fmt", "yuv420p", "-c:a", "aac"])
            .arg(&path)
            .status();
        assert!(made.expect("ffmpeg runs").success());
        std::fs::read(path).unwrap()
    })
}

/// Somebody at a server.
pub(crate) struct Person<'a> {
    pub(crate) server: &'a Server,
    token: String,
}

impl<'a> Person<'a> {
    pub(crate) fn new(server: &'a Server, name: &str) -> Self {
        let token = server.token(name);
        Self { server, token }
    }

    /// A call of the API.
    pub(crate) async fn ask(&self, line: &str, body: Option<Value>) -> Answer {
        let authorization = format!("Bearer {}", self.token);
        let headers = [
            ("Authorization", authorization.as_str()),
            ("Content-Type", "application/json"),
        ];
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        request(self.server.address, line, &headers, &body).await
    }

    /// A call that has to succeed.
    pub(crate) async fn ok(&self, line: &str, body: Option<Value>) -> Value {
        let answer = self.ask(line, body).await;
        assert!(matches!(answer.status, 200 | 201), "{line}: {answer:?}");
        answer.json()
    }

    /// Registers the film in a room; gives the clip's id.
    pub(crate) async fn register(&self, room: &str) -> String {
        let new = json!({
            "requestId": cid(), "roomId": room, "title": "A quarter minute", "share": true,
            "declared": {"name": "film.mp4", "size": film().len().to_string(), "contentType": "video/mp4"},
        });
        let clip = self.ok("POST /api/v1/clips", Some(new)).await;
        clip["id"].as_str().expect("an id").to_owned()
    }

    /// Uploads these parts of the film.
    pub(crate) async fn upload(&self, clip: &str, numbers: &[usize]) {
        for number in numbers {
            let piece = part(*number);
            let want = json!({"mode": "UPLOAD_MODE_MULTIPART", "requestId": cid(),
                "parts": [{"number": number, "size": piece.len().to_string()}]});
            let line = format!("POST /api/v1/clips/{clip}/upload");
            let grant = self.ok(&line, Some(want)).await;
            let signed = &grant["parts"]["parts"][0];
            let answer = put(self.server, signed, piece).await;
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    }

    /// Numbers of the parts that have arrived.
    pub(crate) async fn arrived(&self, clip: &str) -> Vec<u64> {
        let parts = self
            .ok(&format!("GET /api/v1/clips/{clip}/parts"), None)
            .await;
        let parts = parts["parts"].as_array().cloned().unwrap_or_default();
        parts.iter().map(|part| int(&part["number"])).collect()
    }

    pub(crate) async fn complete(&self, clip: &str) {
        let line = format!("POST /api/v1/clips/{clip}/complete");
        self.ok(&line, Some(json!({"requestId": cid()}))).await;
    }

    /// Registers, uploads all of it, and completes.
    pub(crate) async fn bring(&self, room: &str) -> String {
        let clip = self.register(room).await;
        let all: Vec<usize> = (1..=parts()).collect();
        self.upload(&clip, &all).await;
        self.complete(&clip).await;
        clip
    }

    /// Registers this text as a film, uploads it, and completes.
    pub(crate) async fn bring_text(&self, room: &str, text: &str) -> String {
        let new = json!({"roomId": room, "title": "A quarter minute", "share": true});
        self.bring_as(new, text).await
    }

    /// As [`Self::bring_text`], with no message in the room.
    pub(crate) async fn bring_text_unshared(&self, room: &str, text: &str) -> String {
        let new = json!({"roomId": room, "title": "A quarter minute"});
        self.bring_as(new, text).await
    }

    async fn bring_as(&self, mut new: Value, text: &str) -> String {
        let size = text.len().to_string();
        new["declared"] = json!({"name": "film.mp4", "size": size, "contentType": "video/mp4"});
        let clip = self.ok("POST /api/v1/clips", Some(new)).await;
        let clip = clip["id"].as_str().expect("an id");
        let want = json!({"mode": "UPLOAD_MODE_MULTIPART", "parts": [{"number": 1, "size": size}]});
        let line = format!("POST /api/v1/clips/{clip}/upload");
        let grant = self.ok(&line, Some(want)).await;
        let signed = &grant["parts"]["parts"][0];
        let answer = put(self.server, signed, text.as_bytes()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        self.complete(clip).await;
        clip.to_owned()
    }

    /// The clip, once it is in a state like this.
    pub(crate) async fn until(
        &self,
        clip: &str,
        what: &str,
        is_so: impl Fn(&Value) -> bool,
    ) -> Value {
        let line = format!("GET /api/v1/clips/{clip}");
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        let mut last = Value::Null;
        loop {
            ticks.tick().await;
            let now = self.ok(&line, None).await;
            let state = now["state"].as_str().unwrap_or_default();
            assert!(
                !matches!(state, "CLIP_STATE_FAILED" | "CLIP_STATE_REJECTED"),
                "instead of {what}: {now}"
            );
            if is_so(&now) {
                return now;
            }
            // As long as it moves, it is waited for.
            if now["version"] != last["version"] {
                last = now;
                ticks = tokio::time::interval(Duration::from_millis(50));
            }
        }
    }

    pub(crate) async fn until_ready(&self, clip: &str) -> Value {
        let ready = self.until(clip, "ready", |clip| clip["state"] == "CLIP_STATE_READY");
        tokio::time::timeout(Duration::from_secs(120), ready)
            .await
            .expect("it ends ready")
    }

    /// The playlist's URL by this person's right.
    pub(crate) async fn play(&self, clip: &str) -> String {
        let line = format!("POST /api/v1/clips/{clip}/playback");
        let right = self.ok(&line, None).await;
        right["url"].as_str().expect("a URL").to_owned()
    }

    /// What the server answers a player, who has nothing but the URL.
    pub(crate) async fn get(&self, path: &str) -> u16 {
        get(self.server, path).await.status
    }

    /// Until a right that was good is none any more.
    pub(crate) async fn until_refused(&self, path: &str) {
        let refused = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(50));
            while self.get(path).await != 403 {
                ticks.tick().await;
            }
        };
        soon("the right ends", refused).await;
    }
}

const PART: usize = 8 * 1024 * 1024;

/// How many parts the film has.
pub(crate) fn parts() -> usize {
    film().len().div_ceil(PART)
}

fn part(number: usize) -> &'static [u8] {
    let film = film();
    &film[(number - 1) * PART..film.len().min(number * PART)]
}

/// Sends a part as it was signed.
async fn put(server: &Server, signed: &Value, bytes: &[u8]) -> Answer {
    let url = signed["url"].as_str().expect("a URL");
    assert_eq!(signed["method"], "PUT");
    // From a page of any origin: the URL is the whole right.
    let mut head = format!(
        "PUT {url} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nOrigin: https://elsewhere.example\r\n\
         Content-Length: {}\r\n",
        server.address,
        bytes.len()
    );
    let headers = signed["headers"].as_object().cloned().unwrap_or_default();
    for (name, value) in headers {
        if !name.eq_ignore_ascii_case("content-length") {
            head += &format!("{name}: {}\r\n", value.as_str().expect("text"));
        }
    }
    let request = [head.as_bytes(), b"\r\n", bytes].concat();
    soon("a part", exchange(server.address, &request)).await
}

/// What anybody gets who has the URL.
pub(crate) async fn get(server: &Server, path: &str) -> Answer {
    request(server.address, &format!("GET {path}"), &[], "").await
}

/// The first entry of the playlist at this URL, as a URL.
pub(crate) async fn first_of(server: &Server, path: &str) -> String {
    let playlist = get(server, path).await;
    assert_eq!(playlist.status, 200, "{path}: {playlist:?}");
    let entry = playlist
        .body
        .lines()
        .find(|line| !line.starts_with('#') && !line.is_empty());
    let folder = path.rsplit_once('/').expect("a path").0;
    format!("{folder}/{}", entry.expect("an entry"))
}
