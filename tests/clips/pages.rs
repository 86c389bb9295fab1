//! Pages and drawings that are called pictures, and subtitles with markup: whatever they are called, no browser gets a
//! document of them from here.

use crate::person::{Person, brief, get, put};
use crate::support::http::request;
use crate::support::scene::Scene;
use crate::support::server::own;
use serde_json::json;

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
