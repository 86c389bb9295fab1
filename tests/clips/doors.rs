//! Every door of clips, and what stands before it: tokens that are none, roles, and rights to something else.

use crate::person::{Person, brief, put};
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
    let of_clip = |line: &str| line.replace("CLIP", &clip);
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
async fn a_right_to_send_is_of_one_clip_one_part_and_its_size() {
    let scene = Scene::on(own(|spec| spec)).await;
    let server = &scene.server;
    let owner = Person::new(server, &scene.user("witness"));
    let other = Person::new(server, &scene.user("mallory"));
    drop(scene.member("mallory").await);
    let mine = owner.declare(&scene.room, "video/mp4", 10).await;
    let theirs = other.declare(&scene.room, "video/mp4", 10).await;
    let signed = owner.signed(&mine, 10).await;
    nobody_elses(&owner, &other, &mine).await;
    // The URL with anything changed, with another method, with more or fewer bytes.
    let of_theirs = other.signed(&theirs, 10).await;
    let [url, another] = [&signed, &of_theirs].map(|signed| signed["url"].as_str().unwrap());
    let (claim, tag) = url.rsplit_once('.').unwrap();
    let other_claim = another.rsplit_once('.').unwrap().0;
    for url in [
        format!("{claim}.AAAA{}", &tag[4..]),
        format!("{other_claim}.{tag}"),
        format!("{url}&x=1"),
    ] {
        let mut changed = signed.clone();
        changed["url"] = json!(url);
        let status = put(server, &changed, b"0123456789").await.status;
        assert_eq!(status, 403, "{url}");
    }
    for bytes in [&b"012345678"[..], b"0123456789x"] {
        let status = put(server, &signed, bytes).await.status;
        assert!((400..500).contains(&status), "{status}");
    }
    for method in ["GET", "POST", "DELETE", "HEAD", "PATCH"] {
        let line = format!("{method} {url}");
        let status = request(server.address, &line, &[], "").await.status;
        assert!(matches!(status, 404 | 405), "{method}: {status}");
    }
    assert_eq!(owner.arrived(&mine).await, [0_u64; 0]);
    assert_eq!(put(server, &signed, b"0123456789").await.status, 200);
    let arrived = (owner.arrived(&mine).await, other.arrived(&theirs).await);
    assert_eq!(arrived, (vec![1], Vec::new()));
}

/// Nobody else gets a right to it, sees its parts or ends it; a request's id of somebody else's is nobody's.
async fn nobody_elses(owner: &Person<'_>, other: &Person<'_>, clip: &str) {
    let want = json!({"requestId": cid(), "mode": "UPLOAD_MODE_MULTIPART",
        "parts": [{"number": 1, "size": "10"}]});
    let upload = format!("POST /api/v1/clips/{clip}/upload");
    for (line, body) in [
        (upload.clone(), Some(want.clone())),
        (format!("GET /api/v1/clips/{clip}/parts"), None),
        (
            format!("POST /api/v1/clips/{clip}/complete"),
            Some(json!({})),
        ),
        (format!("POST /api/v1/clips/{clip}/abort"), Some(json!({}))),
        (format!("DELETE /api/v1/clips/{clip}"), Some(json!({}))),
    ] {
        let answer = other.ask(&line, body).await;
        let reason = answer.json()["error"]["reason"].take();
        assert_eq!(
            (answer.status, reason),
            (403, json!("NOT_UPLOADER")),
            "{line}"
        );
    }
    owner.ok(&upload, Some(want)).await;
}
