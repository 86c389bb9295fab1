//! Every door of clips, and what stands before it: tokens that are none, rights of something else, and what is gone.

use crate::person::{Person, brief, get, put};
use crate::support::cid;
use crate::support::client::Client;
use crate::support::http::request;
use crate::support::scene::{Scene, subscribe};
use crate::support::server::{Server, own};
use crate::support::token::{Key, claims, tampered, unsigned};
use serde_json::{Value, json};

/// Every call of the HTTP mirror, as the server's own document lists them: with this clip's id.
async fn calls(server: &Server, clip: &str) -> Vec<String> {
    let document = request(server.address, "GET /api/v1/openapi.json", &[], "").await;
    let document = document.json();
    let mut calls = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let path = path.replace("{clip}", clip).replace("{language}", "en");
        for method in methods.as_object().unwrap().keys() {
            calls.push(format!("{} {path}", method.to_uppercase()));
        }
    }
    calls.retain(|call| !call.ends_with("/openapi.json"));
    calls
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_is_answered_to_a_token_that_is_expired_forged_or_for_something_else() {
    let scene = Scene::on(own(|spec| spec)).await;
    let server = &scene.server;
    let owner = Person::new(server, &scene.user("witness"));
    let clip = owner.declare(&scene.room, "video/mp4", 1).await;
    let user = scene.user("witness");
    let mut elsewhere = claims(&user, 60);
    elsewhere["aud"] = json!("kaiwa-clips");
    let mut early = claims(&user, 7200);
    early["nbf"] = json!(crate::support::now_s() + 3600);
    let tokens = [
        server.key().token(&user, -3600),
        Key::foreign().token(&user, 60),
        server.key().sign(&elsewhere),
        server.key().sign(&early),
        unsigned("none", &claims(&user, 60)),
        tampered(&server.token(&user)),
        String::new(),
        "x".repeat(5000),
    ];
    let calls = calls(server, &clip).await;
    assert!(calls.len() >= 19, "{calls:?}");
    for token in &tokens {
        let authorization = format!("Bearer {token}");
        for call in &calls {
            let headers = [
                ("Authorization", authorization.as_str()),
                ("Content-Type", "application/json"),
            ];
            let answer = request(server.address, call, &headers, "{}").await;
            assert_eq!(answer.status, 401, "{call} with {token}: {answer:?}");
        }
    }
    // A token in the query is none, and two are none.
    let good = server.token(&user);
    let line = format!("GET /api/v1/clips/{clip}?token={good}");
    assert_eq!(request(server.address, &line, &[], "").await.status, 401);
    let good = format!("Bearer {good}");
    let twice = [
        ("Authorization", good.as_str()),
        ("Authorization", good.as_str()),
    ];
    let line = format!("GET /api/v1/clips/{clip}");
    assert_eq!(request(server.address, &line, &twice, "").await.status, 401);
    let still = owner.ok(&line, None).await;
    assert_eq!(still["state"], "CLIP_STATE_CREATED");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_a_viewer_watches_and_plays_and_brings_nothing() {
    let scene = Scene::on(own(|spec| spec)).await;
    let server = &scene.server;
    let owner = Person::new(server, &scene.user("witness"));
    let clip = owner.bring_bytes(&scene.room, brief()).await;
    owner.until_ready(&clip).await;
    let mut guest = claims("guest", 600);
    guest["role"] = json!("viewer");
    let token = server.key().sign(&guest);
    let guest = Person::with(server, token.clone());
    let list = format!("GET /api/v1/clips?roomId={}", scene.room);
    assert_eq!(
        guest.ask(&list, None).await.status,
        403,
        "not before it has joined"
    );
    let connect = crate::support::client::connect(&token);
    let codec = crate::support::client::Codec::Json;
    let mut client = Client::connect_with(server, codec, connect).await;
    client.ok(json!({"roomJoin": {"room": scene.room}})).await;
    client.ok(subscribe(&scene.room)).await;
    assert_eq!(guest.ok(&list, None).await["clips"][0]["id"], json!(clip));
    assert_eq!(guest.get(&guest.play(&clip).await).await, 200);

    let new = json!({"roomId": scene.room, "share": true,
        "declared": {"name": "film.mp4", "size": "1", "contentType": "video/mp4"}});
    let of_clip = |what: &str| format!("{what}").replace("CLIP", &clip);
    for (line, body) in [
        ("POST /api/v1/clips", new),
        (
            "POST /api/v1/clips/CLIP/upload",
            json!({"mode": "UPLOAD_MODE_MULTIPART"}),
        ),
        ("POST /api/v1/clips/CLIP/complete", json!({})),
        ("POST /api/v1/clips/CLIP/abort", json!({})),
        ("POST /api/v1/clips/CLIP/retry", json!({})),
        ("POST /api/v1/clips/CLIP/cancel", json!({})),
        ("DELETE /api/v1/clips/CLIP", json!({})),
        (
            "POST /api/v1/clips/CLIP/share",
            json!({"roomId": scene.room}),
        ),
        ("GET /api/v1/clips/CLIP/parts", Value::Null),
        ("GET /api/v1/clips/stuck", Value::Null),
        ("GET /api/v1/clips/dead-letters", Value::Null),
        ("POST /api/v1/clips/dead-letters/redrive", json!({})),
    ] {
        let line = of_clip(line);
        let answer = guest
            .ask(&line, Some(body).filter(|body| !body.is_null()))
            .await;
        let reason = answer.json()["error"]["reason"].take();
        assert_eq!(
            (answer.status, reason),
            (403, json!("ROLE_TOO_LOW")),
            "{line}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_its_deletion_a_clip_takes_nothing_and_gives_nothing() {
    let mut scene = Scene::on(own(|spec| spec)).await;
    let server = std::sync::Arc::clone(&scene.server);
    let owner = Person::new(&server, &scene.user("witness"));
    let mut member = scene.member("bob").await;
    let bob = Person::new(&server, &scene.user("bob"));
    // One of which a part is still to come, and one that was ready.
    let half = owner.declare(&scene.room, "video/mp4", brief().len()).await;
    let part = owner.signed(&half, brief().len()).await;
    let form = json!({"mode": "UPLOAD_MODE_POST"});
    let posted = owner.declare(&scene.room, "video/mp4", brief().len()).await;
    let form = owner
        .ok(&format!("POST /api/v1/clips/{posted}/upload"), Some(form))
        .await["form"]
        .take();
    let ready = owner.bring_bytes(&scene.room, brief()).await;
    owner.until_ready(&ready).await;
    let played = bob.play(&ready).await;
    for clip in [&half, &posted, &ready] {
        owner
            .ok(&format!("DELETE /api/v1/clips/{clip}"), Some(json!({})))
            .await;
    }
    assert_eq!(get(&server, &played).await.status, 403);
    assert!(
        matches!(put(&server, &part, brief()).await.status, 403 | 404 | 409),
        "a part of what is gone"
    );
    for clip in [&half, &posted, &ready] {
        let gone = owner.ok(&format!("GET /api/v1/clips/{clip}"), None).await;
        assert_eq!(
            (&gone["state"], &gone["title"]),
            (&json!("CLIP_STATE_DELETED"), &Value::Null),
            "{gone}"
        );
        assert_eq!(gone["declared"]["name"], Value::Null, "{gone}");
        for (what, body) in [
            (
                "upload",
                json!({"mode": "UPLOAD_MODE_MULTIPART", "parts": [{"number": 1, "size": "1"}]}),
            ),
            ("upload", json!({"mode": "UPLOAD_MODE_POST"})),
            ("complete", json!({})),
            ("retry", json!({})),
            ("playback", json!({})),
            ("share", json!({"roomId": scene.room})),
        ] {
            let line = format!("POST /api/v1/clips/{clip}/{what}");
            let answer = owner.ask(&line, Some(body)).await;
            assert_eq!(answer.status, 409, "{line}: {answer:?}");
        }
        let line = format!("PUT /api/v1/clips/{clip}/captions/en?label=English");
        let authorization = format!("Bearer {}", server.token(&scene.user("witness")));
        let headers = [
            ("Authorization", authorization.as_str()),
            ("Content-Type", "text/vtt"),
        ];
        let answer = request(server.address, &line, &headers, "WEBVTT\n").await;
        assert_eq!(answer.status, 409, "{answer:?}");
        let list = format!("GET /api/v1/clips?roomId={}", scene.room);
        assert!(!bob.ask(&list, None).await.body.contains(clip.as_str()));
    }
    // In the room nothing of them is left but that there was something.
    member.ok(json!({"roomList": {}})).await;
    let log = Value::Array(scene.log().await).to_string();
    assert!(!log.contains("A quarter minute"), "{log}");
    // Not even files: neither parts nor outputs.
    let objects = server.data().join("objects");
    let gone = async {
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(100));
        while files(&objects) > 0 {
            ticks.tick().await;
        }
    };
    crate::support::soon("their files' end", gone).await;
    // A form is good until it expires, whatever became of its clip: what comes by it is erased then, and shown to nobody.
    let sent = post_form(&server, &form, "film.mp4", "video/mp4", brief()).await;
    assert!(matches!(sent, 201 | 204), "{sent}");
    let gone = owner.ok(&format!("GET /api/v1/clips/{posted}"), None).await;
    assert_eq!(gone["state"], "CLIP_STATE_DELETED");
}

/// Files below a folder.
pub(crate) fn files(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let counts = entries.map(|entry| {
        let path = entry.path();
        if path.is_dir() { files(&path) } else { 1 }
    });
    counts.sum()
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
    crate::support::http::exchange(server.address, &request)
        .await
        .status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_called_a_picture_is_never_served_as_a_page() {
    let scene = Scene::on(own(|spec| spec)).await;
    let server = &scene.server;
    let owner = Person::new(server, &scene.user("witness"));
    let page = b"<!doctype html><script>alert(document.domain)</script>".as_slice();
    let drawing =
        b"<?xml version=\"1.0\"?><svg xmlns=\"http://www.w3.org/2000/svg\" onload=\"alert(1)\"/>"
            .as_slice();
    for (kind, bytes) in [
        ("image/png", page),
        ("image/png", drawing),
        ("image/svg+xml", drawing),
        ("text/html", page),
        ("audio/mpeg", page),
    ] {
        let clip = owner.declare(&scene.room, kind, bytes.len()).await;
        let signed = owner.signed(&clip, bytes.len()).await;
        assert_eq!(put(server, &signed, bytes).await.status, 200);
        owner.complete(&clip).await;
        let rejected = owner.ended(&clip).await;
        assert_eq!(
            rejected["state"], "CLIP_STATE_REJECTED",
            "{kind}: {rejected}"
        );
        let line = format!("POST /api/v1/clips/{clip}/playback");
        assert_eq!(owner.ask(&line, Some(json!({}))).await.status, 409);
    }
    // A picture whose type is a page's, and subtitles that are one behind their first line.
    let picture = picture();
    let clip = owner.declare(&scene.room, "text/html", picture.len()).await;
    let signed = owner.signed(&clip, picture.len()).await;
    assert_eq!(put(server, &signed, &picture).await.status, 200);
    owner.complete(&clip).await;
    owner.until_ready(&clip).await;
    let film = owner.bring_bytes(&scene.room, brief()).await;
    owner.until_ready(&film).await;
    let vtt = "WEBVTT\n\n00:00.000 --> 00:01.000\n<script>alert(document.domain)</script>\n";
    let authorization = format!("Bearer {}", server.token(&scene.user("witness")));
    let headers = [
        ("Authorization", authorization.as_str()),
        ("Content-Type", "text/vtt"),
    ];
    for (label, status) in [
        ("English", 200),
        ("%3Cimg%20src=x%20onerror=alert(1)%3E", 200),
        ("a%0Ab", 422),
    ] {
        let line = format!("PUT /api/v1/clips/{film}/captions/en?label={label}");
        let answer = request(server.address, &line, &headers, vtt).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    let right = owner
        .ok(&format!("POST /api/v1/clips/{film}/playback"), None)
        .await;
    let captions = right["captions"][0]["url"].as_str().unwrap().to_owned();
    for (url, kind) in [
        (owner.play(&clip).await, "image/png"),
        (captions, "text/vtt"),
    ] {
        let answer = get(server, &url).await;
        let header = |name: &str| answer.header(name).unwrap_or_default().to_owned();
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(header("content-type").starts_with(kind), "{answer:?}");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(
            header("content-security-policy"),
            "default-src 'none'; sandbox"
        );
    }
}

/// A picture, as PNG.
fn picture() -> Vec<u8> {
    let output = std::process::Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=64x48:duration=1",
            "-frames:v",
            "1",
        ])
        .args(["-f", "image2pipe", "-c:v", "png", "-"])
        .output()
        .unwrap();
    assert!(output.status.success());
    output.stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_to_send_is_of_one_clip_one_part_and_its_size() {
    let scene = Scene::on(own(|spec| spec)).await;
    let server = &scene.server;
    let owner = Person::new(server, &scene.user("witness"));
    let other = Person::new(server, &scene.user("mallory"));
    let mut client = scene.member("mallory").await;
    let mine = owner.declare(&scene.room, "video/mp4", 10).await;
    let theirs = other.declare(&scene.room, "video/mp4", 10).await;
    let signed = owner.signed(&mine, 10).await;
    // Nobody else gets a right to it, sees its parts or ends it; a request's id of somebody else's is nobody's.
    let id = cid();
    let want = json!({"requestId": id, "mode": "UPLOAD_MODE_MULTIPART", "parts": [{"number": 1, "size": "10"}]});
    for (line, body) in [
        (
            format!("POST /api/v1/clips/{mine}/upload"),
            Some(want.clone()),
        ),
        (format!("GET /api/v1/clips/{mine}/parts"), None),
        (
            format!("POST /api/v1/clips/{mine}/complete"),
            Some(json!({})),
        ),
        (format!("POST /api/v1/clips/{mine}/abort"), Some(json!({}))),
        (format!("DELETE /api/v1/clips/{mine}"), Some(json!({}))),
    ] {
        let answer = other.ask(&line, body).await;
        let reason = answer.json()["error"]["reason"].take();
        assert_eq!(
            (answer.status, reason),
            (403, json!("NOT_UPLOADER")),
            "{line}"
        );
    }
    owner
        .ok(&format!("POST /api/v1/clips/{mine}/upload"), Some(want))
        .await;
    // The URL with anything changed, with another method, with more or fewer bytes.
    let url = signed["url"].as_str().unwrap();
    let of_theirs = other.signed(&theirs, 10).await;
    let (claim, tag) = url.rsplit_once('.').unwrap();
    let mixed = format!(
        "{}.{tag}",
        of_theirs["url"]
            .as_str()
            .unwrap()
            .rsplit_once('.')
            .unwrap()
            .0
    );
    for (url, status) in [
        (format!("{claim}.AAAA{}", &tag[4..]), 403),
        (mixed, 403),
        (format!("{url}&x=1"), 403),
    ] {
        let mut changed = signed.clone();
        changed["url"] = json!(url);
        assert_eq!(
            put(server, &changed, b"0123456789").await.status,
            status,
            "{url}"
        );
    }
    for bytes in [&b"012345678"[..], b"0123456789x"] {
        let status = put(server, &signed, bytes).await.status;
        assert!((400..500).contains(&status), "{status}");
    }
    for method in ["GET", "POST", "DELETE", "HEAD", "PATCH"] {
        let status = request(server.address, &format!("{method} {url}"), &[], "")
            .await
            .status;
        assert!(matches!(status, 404 | 405), "{method}: {status}");
    }
    assert_eq!(owner.arrived(&mine).await, [0_u64; 0]);
    assert_eq!(put(server, &signed, b"0123456789").await.status, 200);
    assert_eq!(
        (
            owner.arrived(&mine).await.len(),
            other.arrived(&theirs).await.len()
        ),
        (1, 0)
    );
    client.ok(json!({"roomList": {}})).await;
}
