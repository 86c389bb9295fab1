//! What is left of a clip that was deleted: nothing that plays, takes or shows anything, and no file.

use crate::person::{Person, brief, get, post_form, put};
use crate::support::http::request;
use crate::support::scene::Scene;
use crate::support::server::own;
use crate::support::soon;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn after_its_deletion_a_clip_takes_nothing_and_gives_nothing() {
    let mut scene = Scene::on(own(|spec| spec)).await;
    let server = std::sync::Arc::clone(&scene.server);
    let owner = Person::new(&server, &scene.user("witness"));
    let _member = scene.member("bob").await;
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
        gives_nothing(&scene, (&owner, &bob), clip).await;
    }
    // In the room nothing of them is left but that there was something.
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
    soon("their files' end", gone).await;
    // A form is good until it expires, whatever became of its clip: what comes by it is erased then, and shown to nobody.
    let sent = post_form(&server, &form, "film.mp4", "video/mp4", brief()).await;
    assert!(matches!(sent, 201 | 204), "{sent}");
    let gone = owner.ok(&format!("GET /api/v1/clips/{posted}"), None).await;
    assert_eq!(gone["state"], "CLIP_STATE_DELETED");
}

/// No call about it does anything but say that it is deleted, without what people called it.
async fn gives_nothing(scene: &Scene, (owner, bob): (&Person<'_>, &Person<'_>), clip: &str) {
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
    let authorization = format!("Bearer {}", scene.server.token(&scene.user("witness")));
    let headers = [
        ("Authorization", authorization.as_str()),
        ("Content-Type", "text/vtt"),
    ];
    let answer = request(scene.server.address, &line, &headers, "WEBVTT\n").await;
    assert_eq!(answer.status, 409, "{answer:?}");
    let list = format!("GET /api/v1/clips?roomId={}", scene.room);
    assert!(!bob.ask(&list, None).await.body.contains(clip));
}

/// Files below a folder.
fn files(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let counts = entries.map(|entry| {
        let path = entry.path();
        if path.is_dir() { files(&path) } else { 1 }
    });
    counts.sum()
}
