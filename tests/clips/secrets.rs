//! What must not be read in the logs, however much is logged: tokens, secrets, signed URLs, and what people call things.

use crate::hook::{HOOK_SECRET, Lms};
use crate::person::{Person, brief, first_of, get, post_form, put};
use crate::rpc::Rpc;
use crate::services::{SECRET, says};
use crate::support::client::{Client, Codec, connect};
use crate::support::http::request;
use crate::support::server::Server;
use crate::support::token::{Key, tampered};
use crate::support::{cid, secret};
use base64::Engine as _;
use kaiwa_proto::media::v1;
use serde_json::{Value, json};

/// What people call their things: in titles, names of files, labels, subtitles.
const WORDS: [&str; 6] = [
    "a-private-title",
    "a-private-name",
    "a-private-label",
    "a-private-subtitle",
    "a-private-language",
    "a-private-note",
];

/// All that was used, right or wrong, and may open something.
#[derive(Default)]
struct Used(Vec<String>);

impl Used {
    fn note(&mut self, secret: impl Into<String>) -> String {
        let secret = secret.into();
        // A part of it is as bad as all of it.
        let parts = secret.split(['.', '/', '=', '&', '?', ' ']);
        // A clip's id opens nothing.
        let parts = parts.filter(|part| uuid::Uuid::parse_str(part).is_err());
        self.0
            .extend(parts.filter(|part| part.len() >= 24).map(str::to_owned));
        secret
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_opens_something_and_no_words_are_logged_at_any_level() {
    let lms = Lms::new().await;
    let folder = tempfile::tempdir().unwrap();
    secret(&folder.path().join("services"), SECRET);
    let services = "{ lms = { scopes = [\"clips.read\", \"clips.play\"], acts_for = [\"*\"] } }";
    let spec = lms.spec(folder.path()).with("KAIWA_LOG__FILTER", "trace");
    let spec = spec.with(
        "KAIWA_CLIPS__SERVICE_SECRET_FILE",
        folder.path().join("services").display(),
    );
    let mut server = spec.with("KAIWA_CLIPS__SERVICES", services).start();
    let mut used = Used::default();
    used.note(HOOK_SECRET);
    used.0.push(HOOK_SECRET.to_owned());
    let base64 = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    for file in ["token-secret", "clip-playback-key", "clip-upload-key"] {
        used.0
            .push(base64.encode(std::fs::read(folder.path().join("data").join(file)).unwrap()));
    }
    people(&server, &mut used).await;
    back_ends(&server, &mut used).await;

    server.terminate();
    assert!(server.ended().await.success());
    let log = server.stop_and_read_log();
    assert!(log.contains(" TRACE "), "the log is not at that level");
    assert!(used.0.len() > 30, "hardly anything was used");
    for secret in &used.0 {
        let line = log.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{secret} is in the log: {line:?}");
    }
    for words in WORDS {
        let line = log.lines().find(|line| line.contains(words));
        assert!(line.is_none(), "{words} is in the log: {line:?}");
    }
}

/// What the app and a player do, and what somebody does who may not.
async fn people(server: &Server, used: &mut Used) {
    let token = used.note(server.token("allowed"));
    let mut client = Client::connect_with(server, Codec::Json, connect(&token)).await;
    let room = json!({"cid": cid(), "kind": "ROOM_KIND_GROUP", "title": WORDS[0],
        "visibility": "VISIBILITY_PUBLIC"});
    let room = client.ok(json!({"roomCreate": room})).await;
    let person = Person::with(server, token.clone());
    let new = json!({"roomId": room["room"], "title": WORDS[0], "share": true,
        "labels": {WORDS[5]: WORDS[5]}, "declared": {"name": format!("{}.mp4", WORDS[1]),
            "size": brief().len().to_string(), "contentType": "video/mp4"}});
    let clip = in_parts(&person, &new, used).await;
    by_form(&person, &new, used).await;
    captions(&person, &clip, &token).await;
    played(server, &person, &clip, used).await;
    for bad in [
        tampered(&token),
        server.key().token("allowed", -9000),
        Key::foreign().token("allowed", 60),
    ] {
        let bad = Person::with(server, used.note(bad));
        let answer = bad.ask("POST /api/v1/clips", Some(new.clone())).await;
        assert_eq!(answer.status, 401);
    }
    let query = format!("GET /api/v1/clips/{clip}?access_token={token}");
    assert_eq!(request(server.address, &query, &[], "").await.status, 401);
    let line = format!("DELETE /api/v1/clips/{clip}");
    person.ok(&line, Some(json!({}))).await;
}

async fn register(person: &Person<'_>, new: &Value) -> String {
    let clip = person.ok("POST /api/v1/clips", Some(new.clone())).await;
    clip["id"].as_str().unwrap().to_owned()
}

/// A film, its part sent wrongly first.
async fn in_parts(person: &Person<'_>, new: &Value, used: &mut Used) -> String {
    let server = person.server;
    let clip = register(person, new).await;
    let signed = person.signed(&clip, brief().len()).await;
    let url = used.note(signed["url"].as_str().unwrap());
    let mut wrong = signed.clone();
    wrong["url"] = json!(used.note(format!("{}xx", &url[..url.len() - 2])));
    assert_eq!(put(server, &wrong, brief()).await.status, 403);
    assert!(put(server, &signed, &brief()[1..]).await.status >= 400);
    assert_eq!(put(server, &signed, brief()).await.status, 200);
    person.complete(&clip).await;
    person.until_ready(&clip).await;
    clip
}

/// What is no film, by a form that is then sent again.
async fn by_form(person: &Person<'_>, new: &Value, used: &mut Used) {
    let clip = register(person, new).await;
    let line = format!("POST /api/v1/clips/{clip}/upload");
    let form = json!({"mode": "UPLOAD_MODE_POST"});
    let form = person.ok(&line, Some(form)).await["form"].take();
    for value in form["fields"].as_object().unwrap().values() {
        used.note(value.as_str().unwrap());
    }
    let file = (format!("{}.mp4", WORDS[1]), vec![b'x'; brief().len()]);
    for expected in [204, 409] {
        let status = post_form(person.server, &form, &file.0, "video/mp4", &file.1).await;
        assert_eq!(status, expected);
    }
    person.complete(&clip).await;
    assert_eq!(person.ended(&clip).await["state"], "CLIP_STATE_REJECTED");
}

/// Subtitles and what is none, and a body that can't be read.
async fn captions(person: &Person<'_>, clip: &str, token: &str) {
    let vtt = format!("WEBVTT\n\n00:00.000 --> 00:01.000\n{}\n", WORDS[3]);
    let (english, wrong) = (
        format!("PUT /api/v1/clips/{clip}/captions/en?label={}", WORDS[2]),
        format!(
            "PUT /api/v1/clips/{clip}/captions/{}?label={}",
            WORDS[4], WORDS[2]
        ),
    );
    let broken = format!(
        "{{\"title\": \"{}\", \"roomId\": [\"{}\"]}}",
        WORDS[0], WORDS[5]
    );
    let authorization = format!("Bearer {token}");
    for (line, kind, body, status) in [
        (english.as_str(), "text/vtt", vtt.as_str(), 200),
        (&wrong, "text/vtt", WORDS[3], 422),
        ("POST /api/v1/clips", "application/json", &broken, 422),
    ] {
        let headers = [
            ("Authorization", authorization.as_str()),
            ("Content-Type", kind),
        ];
        let answer = request(person.server.address, line, &headers, body).await;
        assert_eq!(answer.status, status, "{line}: {answer:?}");
        assert!(status == 200 || WORDS.iter().all(|word| !answer.body.contains(word)));
    }
}

async fn played(server: &Server, person: &Person<'_>, clip: &str, used: &mut Used) {
    let right = person
        .ok(&format!("POST /api/v1/clips/{clip}/playback"), None)
        .await;
    let url = used.note(right["url"].as_str().unwrap());
    let media = first_of(server, &url).await;
    let segment = first_of(server, &media).await;
    assert_eq!(person.get(&segment).await, 200);
    let captions = right["captions"][0]["url"].as_str().unwrap();
    assert!(get(server, captions).await.body.contains(WORDS[3]));
    let token = url.split('/').nth(2).unwrap();
    let wrong = used.note(url.replace(token, &format!("{}AA", &token[..token.len() - 2])));
    for path in [
        wrong,
        format!("{url}x"),
        format!("{url}?{token}"),
        format!("/v/{token}"),
        format!("/v/../{token}/x"),
    ] {
        assert_ne!(get(server, &path).await.status, 500, "{path}");
    }
    let posts = request(server.address, &format!("POST {url}"), &[], "").await;
    assert!(matches!(posts.status, 403 | 405), "{posts:?}");
}

/// What a back end does over gRPC, and one whose token is none.
async fn back_ends(server: &Server, used: &mut Used) {
    used.0
        .push(base64::engine::general_purpose::STANDARD.encode(SECRET));
    let mut rpc = Rpc::connect(server).await;
    let key = Key::new(SECRET.to_vec());
    let mut listed = Vec::new();
    for token in [
        key.sign(&says("lms", 60)),
        key.sign(&says("lms", -9000)),
        key.sign(&says("nobody", 60)),
        Key::foreign().sign(&says("lms", 60)),
    ] {
        let bearer = format!("Bearer {}", used.note(token));
        let metadata = [
            ("authorization", bearer.as_str()),
            ("x-acting-user", "allowed"),
        ];
        let create = json!({"title": WORDS[0], "declared": {"name": WORDS[1]}, "labels": {WORDS[5]: WORDS[5]}});
        let refused = rpc
            .call::<v1::CreateClipRequest, v1::Clip>("CreateClip", &metadata, create)
            .await;
        assert!(refused.is_err(), "{refused:?}");
        let list = json!({"uploaderId": "allowed"});
        let list =
            rpc.call::<v1::ListClipsRequest, v1::ListClipsResponse>("ListClips", &metadata, list);
        listed.extend(list.await.ok());
    }
    let rejected = &listed[0]["clips"][0];
    assert_eq!(
        (listed.len(), &rejected["title"]),
        (1, &json!(WORDS[0])),
        "{rejected}"
    );
}
