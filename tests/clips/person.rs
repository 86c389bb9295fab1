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
        let noise = ["-vf", "noise=alls=30:allf=t", "-b:v", "9M"];
        made_by_ffmpeg("testsrc2=size=1280x720:rate=30:duration=16", &noise)
    })
}

/// A film of a second: one small part, and next to no work.
pub(crate) fn brief() -> &'static [u8] {
    static BRIEF: OnceLock<Vec<u8>> = OnceLock::new();
    BRIEF.get_or_init(|| made_by_ffmpeg("testsrc2=size=320x180:rate=25:duration=1", &[]))
}

fn made_by_ffmpeg(picture: &str, how: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("film.mp4");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", picture])
        .args(["-f", "lavfi", "-i", "sine=duration=16"])
        .args(["-shortest", "-c:v", "libx264", "-preset", "ultrafast"])
        .args(how)
        .args(["-pix_fmt", "yuv420p", "-c:a", "aac"])
        .arg(&path)
        .status();
    assert!(made.expect("ffmpeg runs").success());
    std::fs::read(path).unwrap()
}

/// Somebody at a server.
pub(crate) struct Person<'a> {
    pub(crate) server: &'a Server,
    token: String,
}

impl<'a> Person<'a> {
    pub(crate) fn new(server: &'a Server, name: &str) -> Self {
        Self::with(server, server.token(name))
    }

    /// With this token.
    pub(crate) fn with(server: &'a Server, token: String) -> Self {
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

    /// Registers these bytes as a film, uploads them, and completes.
    pub(crate) async fn bring_bytes(&self, room: &str, bytes: &[u8]) -> String {
        let clip = self.declare(room, "video/mp4", bytes.len()).await;
        self.send_whole(&clip, bytes).await;
        clip
    }

    /// The same of a text that has no message in the room.
    pub(crate) async fn bring_text_unshared(&self, room: &str, text: &str) -> String {
        let declared = json!({"name": "film.mp4", "size": text.len().to_string(),
            "contentType": "video/mp4"});
        let new = json!({"roomId": room, "title": "A quarter minute", "declared": declared});
        let clip = self.ok("POST /api/v1/clips", Some(new)).await;
        let clip = clip["id"].as_str().expect("an id").to_owned();
        self.send_whole(&clip, text.as_bytes()).await;
        clip
    }

    /// Uploads these bytes as the only part, and completes.
    async fn send_whole(&self, clip: &str, bytes: &[u8]) {
        let signed = self.signed(clip, bytes.len()).await;
        let answer = put(self.server, &signed, bytes).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        self.complete(clip).await;
    }

    /// Registers a file of this type and size, in bytes.
    pub(crate) async fn declare(&self, room: &str, kind: &str, size: usize) -> String {
        let new = json!({"roomId": room, "title": "A quarter minute", "share": true,
            "declared": {"name": "film.mp4", "size": size.to_string(), "contentType": kind}});
        let clip = self.ok("POST /api/v1/clips", Some(new)).await;
        clip["id"].as_str().expect("an id").to_owned()
    }

    /// The right to send the only part.
    pub(crate) async fn signed(&self, clip: &str, size: usize) -> Value {
        let want = json!({"mode": "UPLOAD_MODE_MULTIPART",
            "parts": [{"number": 1, "size": size.to_string()}]});
        let line = format!("POST /api/v1/clips/{clip}/upload");
        self.ok(&line, Some(want)).await["parts"]["parts"][0].take()
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

    /// The clip, once it is ready or can never be.
    pub(crate) async fn ended(&self, clip: &str) -> Value {
        let line = format!("GET /api/v1/clips/{clip}");
        let ended = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(50));
            loop {
                ticks.tick().await;
                let now = self.ok(&line, None).await;
                let state = now["state"].as_str().unwrap_or_default();
                if ["READY", "FAILED", "REJECTED"]
                    .iter()
                    .any(|end| state.ends_with(end))
                {
                    return now;
                }
            }
        };
        soon("its end", ended).await
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
pub(crate) async fn put(server: &Server, signed: &Value, bytes: &[u8]) -> Answer {
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

/// Posts a signed form with this file; the status.
pub(crate) async fn post_form(
    server: &Server,
    form: &Value,
    name: &str,
    kind: &str,
    bytes: &[u8],
) -> u16 {
    let boundary = "a-boundary";
    let mut body = Vec::new();
    for (field, value) in form["fields"].as_object().unwrap() {
        let value = value.as_str().unwrap();
        body.extend(format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{field}\"\r\n\r\n{value}\r\n").into_bytes());
    }
    body.extend(format!("--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: {kind}\r\n\r\n").into_bytes());
    body.extend(bytes);
    body.extend(format!("\r\n--{boundary}--\r\n").into_bytes());
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n\
         Content-Type: multipart/form-data; boundary={boundary}\r\n\r\n",
        form["url"].as_str().unwrap(),
        server.address,
        body.len()
    );
    let request = [head.into_bytes(), body].concat();
    exchange(server.address, &request).await.status
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
