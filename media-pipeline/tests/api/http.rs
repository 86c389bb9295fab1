//! The HTTP mirror over real sockets.

use crate::support::{
    Server, again, error_id, errors, fine, never, server, service_token, token_of,
};
use kaiwa_common::token::ServerRole;
use kaiwa_media_pipeline::checksum::Checksum;
use kaiwa_media_pipeline::http::openapi;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {text}"))
    }

    fn reason(&self) -> String {
        let error = &self.json()["error"];
        assert!(
            error["help"].is_string() && error["message"].is_string(),
            "{error}"
        );
        assert_eq!(error["requestId"], *self.headers["x-request-id"]);
        error["reason"].as_str().expect("a reason").to_owned()
    }
}

/// Bytes as they are written, and the answer to the connection's end.
pub(crate) async fn raw(address: SocketAddr, bytes: &[u8]) -> Answer {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(bytes).await.expect("it is sent");
        let mut all = Vec::new();
        // A server that refuses early may reset what it did not read.
        let _ = stream.read_to_end(&mut all).await;
        all
    };
    let all = tokio::time::timeout(Duration::from_secs(30), exchange)
        .await
        .expect("an answer");
    let end = all
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .expect("a head");
    let head = String::from_utf8_lossy(&all[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .expect("a status")
        .split(' ')
        .nth(1)
        .expect("a number");
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(':').expect("a header");
        (name.to_ascii_lowercase(), value.trim().to_owned())
    });
    Answer {
        status: status.parse().expect("a number"),
        headers: headers.collect(),
        body: all[end + 4..].to_vec(),
    }
}

fn creator() -> String {
    token_of("alice", ServerRole::Creator, 60)
}

/// One call with a token.
struct Ask<'a> {
    address: SocketAddr,
    token: &'a str,
    headers: &'a [(&'a str, &'a str)],
}

impl Ask<'_> {
    async fn send(&self, method: &str, path: &str, body: Option<&[u8]>) -> Answer {
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
        if !self.token.is_empty() {
            head += &format!("authorization: Bearer {}\r\n", self.token);
        }
        for (name, value) in self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if let Some(body) = body {
            head += &format!("content-length: {}\r\n", body.len());
            if !self.headers.iter().any(|(name, _)| *name == "content-type") {
                head += "content-type: application/json\r\n";
            }
        }
        let mut bytes = (head + "\r\n").into_bytes();
        bytes.extend(body.unwrap_or_default());
        raw(self.address, &bytes).await
    }

    async fn json(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.send(method, path, Some(body.to_string().as_bytes()))
            .await
    }
}

async fn with<'a>(server: &Server, token: &'a str, headers: &'a [(&'a str, &'a str)]) -> Ask<'a> {
    Ask {
        address: server.http().await,
        token,
        headers,
    }
}

fn a_new_clip() -> Value {
    json!({ "roomId": "r_lobby", "title": "A walk",
        "declared": { "name": "walk.mp4", "size": "5000000000", "contentType": "video/mp4" } })
}

#[expect(clippy::too_many_lines, reason = "one story")]
#[tokio::test]
async fn a_clip_goes_its_way_over_http() {
    let server = server();
    let token = creator();
    let ask = with(
        &server,
        &token,
        &[("idempotency-key", "01990000-0000-7000-8000-00000000000b")],
    )
    .await;
    let made = ask.json("POST", "/api/v1/clips", &a_new_clip()).await;
    assert_eq!(
        (made.status, &made.json()["state"]),
        (201, &json!("CLIP_STATE_CREATED"))
    );
    assert_eq!(made.json()["declared"]["size"], "5000000000");
    assert_eq!(made.headers["cache-control"], "no-store");
    let replayed = ask.json("POST", "/api/v1/clips", &a_new_clip()).await;
    assert_eq!(
        replayed
            .headers
            .get("x-idempotent-replay")
            .map(String::as_str),
        Some("true")
    );
    let mut other = a_new_clip();
    other["title"] = "Another".into();
    let reused = ask.json("POST", "/api/v1/clips", &other).await;
    assert_eq!(
        (reused.status, reused.reason().as_str()),
        (422, "IDEMPOTENCY_KEY_REUSED")
    );

    let ask = with(&server, &token, &[]).await;
    let clip = format!("/api/v1/clips/{}", fine());
    let body = json!({ "mode": "UPLOAD_MODE_MULTIPART", "parts": [{ "number": 3, "size": 5 }] });
    let grant = ask.json("POST", &format!("{clip}/upload"), &body).await;
    assert_eq!(
        (grant.status, &grant.json()["parts"]["parts"][0]["number"]),
        (200, &json!(3))
    );
    let crc32c = json!({ "number": 1, "size": 5, "crc32c": "4waSgw==" });
    let body = json!({ "mode": "UPLOAD_MODE_MULTIPART", "parts": [crc32c] });
    let grant = ask.json("POST", &format!("{clip}/upload"), &body).await;
    assert_eq!(grant.json()["parts"]["checksum"], "CHECKSUM_KIND_CRC32C");
    for (sums, field) in [
        (("", "4waS"), "parts.crc32c"),
        (("4waSgw==", ""), "parts.sha256"),
        (
            ("LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=", "4waSgw=="),
            "parts.crc32c",
        ),
    ] {
        let (sha256, crc32c) = sums;
        let wrong = json!({ "number": 1, "size": 5, "sha256": sha256, "crc32c": crc32c });
        let body = json!({ "parts": [wrong] });
        for path in ["upload", "complete"] {
            let refused = ask.json("POST", &format!("{clip}/{path}"), &body).await;
            assert_eq!(
                (refused.status, refused.reason().as_str()),
                (422, "INVALID_ARGUMENT")
            );
            let text = refused.json()["error"].to_string();
            assert!(text.contains(field), "{text}");
        }
    }
    let parts = ask.send("GET", &format!("{clip}/parts"), None).await;
    assert_eq!(parts.json()["parts"][0]["etag"], "e1");
    let done = ask
        .json("POST", &format!("{clip}/complete"), &parts.json())
        .await;
    assert_eq!(done.status, 200);
    assert_eq!(
        server.clips.parts.lock().expect("parts")[0].checksum,
        Some(Checksum::Sha256([1; 32]))
    );
    for path in ["abort", "retry", "cancel"] {
        assert_eq!(
            ask.send("POST", &format!("{clip}/{path}"), None)
                .await
                .status,
            200
        );
    }
    let played = ask
        .send("POST", &format!("{clip}/playback"), None)
        .await
        .json();
    assert!(played["url"].as_str().expect("a URL").starts_with("/v/"));
    let shared = ask
        .json(
            "POST",
            &format!("{clip}/share"),
            &json!({ "roomId": "r_other" }),
        )
        .await;
    assert_eq!(shared.json()["messageSeq"], "77");
    let path = format!("{clip}/captions/en?label=English");
    let captions = ask.send("PUT", &path, Some(b"WEBVTT\n\n")).await;
    assert_eq!(captions.json()["captions"][0]["label"], "English");
    assert_eq!(ask.send("DELETE", &clip, None).await.status, 200);
    let path = "/api/v1/clips?roomId=r_lobby&state=CLIP_STATE_READY,CLIP_STATE_FAILED&pageSize=7";
    let page = ask.send("GET", path, None).await.json();
    assert_eq!(page["nextPageToken"], fine().to_string());
    let query = server.clips.queries.lock().expect("queries")[0].clone();
    assert_eq!((query.states.len(), query.limit), (2, 7));
    let ids = json!({ "clipIds": [fine().to_string()] });
    let found = ask
        .json("POST", "/api/v1/clips/batch-get", &ids)
        .await
        .json();
    assert_eq!(found["clips"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn every_error_has_its_status_its_reason_and_what_to_do() {
    let server = server();
    let token = creator();
    let ask = with(&server, &token, &[]).await;
    let statuses = [404, 403, 403, 422, 422, 409, 409, 429, 503, 504, 410, 422];
    assert_eq!(statuses.len(), errors().len());
    for (place, ((error, reason), status)) in errors().into_iter().zip(statuses).enumerate() {
        let answer = ask
            .send("GET", &format!("/api/v1/clips/{}", error_id(place)), None)
            .await;
        assert_eq!(
            (answer.status, answer.reason().as_str()),
            (status, reason),
            "{error:?}"
        );
        let body = answer.json();
        match reason {
            "INVALID_ARGUMENT" => {
                assert_eq!(
                    body["error"]["fieldViolations"][0]["field"],
                    "declared.size"
                );
            }
            "CLIP_STATE" => assert_eq!(body["error"]["state"], "CLIP_STATE_READY"),
            "QUOTA_EXCEEDED" => {
                assert_eq!(answer.headers["retry-after"], "90");
                assert_eq!(body["error"]["quota"], "bytes of the day");
            }
            "UNAVAILABLE" => assert_eq!(answer.headers["retry-after"], "1"),
            _ => {}
        }
    }
    let ask = with(&server, &token, &[("grpc-timeout", "100m")]).await;
    let late = ask
        .send("GET", &format!("/api/v1/clips/{}", never()), None)
        .await;
    assert_eq!(
        (late.status, late.reason().as_str()),
        (504, "DEADLINE_EXCEEDED")
    );
}

#[tokio::test]
async fn who_asks_is_looked_at_first_whatever_else_is_wrong() {
    let server = server();
    let expired = token_of("alice", ServerRole::Creator, -1);
    let (viewer, lms) = (
        token_of("victor", ServerRole::Viewer, 60),
        service_token("lms"),
    );
    let clip = format!("/api/v1/clips/{}", fine());
    let long = format!("/api/v1/clips/{}", "x".repeat(5_000));
    for (token, reason) in [
        ("", "UNAUTHENTICATED"),
        ("x.y.z", "UNAUTHENTICATED"),
        (&expired, "TOKEN_EXPIRED"),
    ] {
        let ask = with(&server, token, &[]).await;
        for (method, path, body) in [
            ("GET", clip.as_str(), None),
            ("GET", "/api/v1/clips/%ff", None),
            ("GET", long.as_str(), None),
            ("POST", "/api/v1/clips", Some("{not json")),
            ("GET", "/api/v1/clips?pageSize=many", None),
            ("GET", "/api/v1/clips/watch?resumeRevision=x", None),
        ] {
            let answer = ask.send(method, path, body.map(str::as_bytes)).await;
            assert_eq!(
                (answer.status, answer.reason().as_str()),
                (401, reason),
                "{method} {path}"
            );
            assert!(answer.headers["www-authenticate"].starts_with("Bearer"));
        }
    }
    assert_eq!(server.clips.asked(), 0);
    let ask = with(&server, &viewer, &[]).await;
    let refused = ask.send("DELETE", &clip, None).await;
    assert_eq!(
        (refused.status, refused.reason().as_str()),
        (403, "ROLE_TOO_LOW")
    );
    let refused = ask.send("GET", "/api/v1/clips/stuck", None).await;
    assert_eq!(
        (refused.status, refused.reason().as_str()),
        (403, "ROLE_TOO_LOW")
    );
    let ask = with(&server, &lms, &[("x-acting-user", "bob")]).await;
    assert_eq!(ask.send("DELETE", &clip, None).await.status, 200);
    let caller = server.clips.last();
    assert_eq!(
        (caller.user.as_str(), caller.service.as_deref()),
        ("bob", Some("lms"))
    );
}

#[expect(clippy::too_many_lines, reason = "a table")]
#[tokio::test]
async fn hostile_bodies_ids_and_queries_are_refused_with_what_is_wrong() {
    let server = server();
    let token = creator();
    let ask = with(&server, &token, &[]).await;
    let deep = "[".repeat(10_000);
    let of = |field: &str, value: Value| {
        let mut clip = a_new_clip();
        *clip.pointer_mut(field).unwrap_or(&mut Value::Null) = value;
        clip.to_string()
    };
    let bodies = [
        "{".to_owned(),
        deep,
        "null".to_owned(),
        "[]".to_owned(),
        "\"x\"".to_owned(),
        of("/roomId", json!("../etc")),
        of("/roomId", json!(7)),
        of("/roomId", json!("x".repeat(99))),
        of("/title", json!("x".repeat(201))),
        of("/title", json!("a\u{0}b")),
        of("/declared/name", json!("")),
        of("/declared/name", json!("x".repeat(256))),
        of("/declared/name", json!("a\nb")),
        of("/declared/size", json!("-1")),
        of("/declared/size", json!(0)),
        of("/declared/size", json!("99999999999999999999999")),
        of("/declared/contentType", json!("video")),
        of("/declared/contentType", json!("a/b; c=d")),
        of(
            "/declared",
            json!({ "name": "a", "size": "1", "contentType": "a/b", "sha256": "AAAA" }),
        ),
    ];
    for body in bodies {
        let answer = ask
            .send("POST", "/api/v1/clips", Some(body.as_bytes()))
            .await;
        let shown = body.chars().take(80).collect::<String>();
        assert_eq!(
            (answer.status, answer.reason().as_str()),
            (422, "INVALID_ARGUMENT"),
            "{shown}"
        );
        assert!(
            answer.json()["error"]["fieldViolations"][0]["field"].is_string(),
            "{shown}"
        );
    }
    for path in [
        "x",
        "%2e%2e",
        "%ff",
        "01990000000070008000000000000001",
        &"9".repeat(300),
    ] {
        let answer = ask
            .send("GET", &format!("/api/v1/clips/{path}"), None)
            .await;
        assert_eq!(
            (answer.status, answer.reason().as_str()),
            (422, "INVALID_ARGUMENT"),
            "{path}"
        );
    }
    for query in [
        "",
        "roomId=a%20b",
        "roomId=r&pageSize=101",
        "roomId=r&state=NO",
        "roomId=r&pageToken=x",
        "uploaderId=%00",
        "roomId=r&pageSize=-1",
    ] {
        let answer = ask
            .send("GET", &format!("/api/v1/clips?{query}"), None)
            .await;
        assert_eq!(
            (answer.status, answer.reason().as_str()),
            (422, "INVALID_ARGUMENT"),
            "{query}"
        );
    }
    let clip = format!("/api/v1/clips/{}", fine());
    for (path, body) in [
        (format!("{clip}/captions/en?label=x"), &b"no signature"[..]),
        (format!("{clip}/captions/en?label=x"), b"WEBVTT\n\xff"),
        (format!("{clip}/captions/en"), b"WEBVTT"),
        (format!("{clip}/captions/e?label=x"), b"WEBVTT"),
        (format!("{clip}/captions/..%2fen?label=x"), b"WEBVTT"),
    ] {
        let answer = ask.send("PUT", &path, Some(body)).await;
        assert_eq!(answer.status, 422, "{path}");
    }
    let turned = format!("{clip}/captions/en?label=a%0Ab");
    let answer = ask.send("PUT", &turned, Some(b"WEBVTT")).await;
    let why = &answer.json()["error"]["fieldViolations"][0];
    assert_eq!(why["field"], "label");
    let said = why["description"].as_str().unwrap_or_default();
    assert!(said.contains("control characters"), "{said}");
    let parts: Vec<Value> = (0..101)
        .map(|_| json!({ "number": 1, "size": 1 }))
        .collect();
    let many = json!({ "parts": parts });
    assert_eq!(
        ask.json("POST", &format!("{clip}/upload"), &many)
            .await
            .status,
        422
    );
    let falling = json!({ "parts": [{ "number": 2, "size": 1 }, { "number": 1, "size": 1 }] });
    assert_eq!(
        ask.json("POST", &format!("{clip}/complete"), &falling)
            .await
            .status,
        422
    );
    assert_eq!(server.clips.asked(), 0, "nothing wrong gets behind");
    let large = vec![b'x'; 2 << 20];
    let answer = ask.send("POST", "/api/v1/clips", Some(&large)).await;
    assert_eq!(
        (answer.status, answer.reason().as_str()),
        (413, "REQUEST_TOO_LARGE")
    );
    let form = with(&server, &token, &[("content-type", "text/plain")]).await;
    assert_eq!(
        form.json("POST", "/api/v1/clips", &a_new_clip())
            .await
            .status,
        422
    );
}

#[tokio::test]
async fn a_clip_that_has_not_changed_is_not_sent_again() {
    let server = server();
    let token = creator();
    let path = format!("/api/v1/clips/{}", fine());
    let first = with(&server, &token, &[])
        .await
        .send("GET", &path, None)
        .await;
    let tag = first.headers["etag"].clone();
    assert_eq!(tag, format!("\"{}-5\"", fine()));
    let weak = format!("\"x\", W/{tag}");
    for (known, status) in [
        (tag.as_str(), 304),
        (&weak, 304),
        ("*", 304),
        ("\"x\"", 200),
    ] {
        let headers = [("if-none-match", known)];
        let answer = with(&server, &token, &headers)
            .await
            .send("GET", &path, None)
            .await;
        assert_eq!(
            (answer.status, &answer.headers["etag"]),
            (status, &tag),
            "{known}"
        );
        assert_eq!(answer.body.is_empty(), status == 304);
    }
    let headers = [("if-none-match", "*")];
    let gone = format!("/api/v1/clips/{}", error_id(0));
    let answer = with(&server, &token, &headers)
        .await
        .send("GET", &gone, None)
        .await;
    assert_eq!(answer.status, 404);
    let path = format!("/api/v1/clips/{}", again());
    let replayed = with(&server, &token, &[])
        .await
        .send("GET", &path, None)
        .await;
    assert_eq!(replayed.headers["x-idempotent-replay"], "true");
}

#[tokio::test]
async fn a_watch_is_a_stream_of_events_that_goes_on_where_it_ended() {
    let server = server();
    let address = server.http().await;
    for (last, expected) in [
        ("", "id: 7 event: snapshot"),
        ("last-event-id: 7\r\n", "id: 8 event: changed"),
    ] {
        let stream = TcpStream::connect(address).await.expect("a connection");
        let mut stream = BufReader::new(stream);
        let head = format!(
            "GET /api/v1/clips/watch?roomId=r_lobby HTTP/1.1\r\nhost: x\r\n{last}authorization: Bearer {}\r\n\r\n",
            creator()
        );
        stream.write_all(head.as_bytes()).await.expect("it is sent");
        let mut lines = stream.lines();
        let mut seen = Vec::new();
        while let Some(line) = lines.next_line().await.expect("a line") {
            if line.starts_with("content-type") {
                assert_eq!(line, "content-type: text/event-stream");
            }
            if line.starts_with("id:") || line.starts_with("event:") {
                seen.push(line);
            }
            if seen.len() == 2 {
                break;
            }
        }
        assert_eq!(seen.join(" "), expected);
    }
    let headers = [("last-event-id", "999")];
    let token = creator();
    let ask = with(&server, &token, &headers).await;
    let old = ask
        .send("GET", &format!("/api/v1/clips/{}/watch", fine()), None)
        .await;
    assert_eq!(
        (old.status, old.reason().as_str()),
        (410, "RESUME_REVISION_COMPACTED")
    );
}

#[tokio::test]
async fn every_route_of_the_document_is_there_and_nothing_else() {
    let server = server();
    let ask = with(&server, "", &[]).await;
    let served = ask.send("GET", "/api/v1/openapi.json", None).await;
    assert_eq!((served.status, served.json()), (200, openapi()));
    let document = openapi();
    let mut count = 0;
    for (path, operations) in document["paths"].as_object().expect("paths") {
        let filled = path
            .replace("{clip}", &fine().to_string())
            .replace("{language}", "en");
        let asked = ask.send("OPTIONS", &filled, None).await;
        assert_eq!(asked.status, 204, "{path}");
        let allow = asked.headers["allow"].clone();
        for method in ["get", "post", "put", "delete", "patch"] {
            let answer = ask.send(&method.to_uppercase(), &filled, None).await;
            let is_listed = !operations[method].is_null();
            let is_taken = allow
                .split(", ")
                .any(|one| one.eq_ignore_ascii_case(method));
            assert_eq!(is_taken, is_listed, "{method} {path}: {allow}");
            count += usize::from(is_listed);
            if is_listed {
                assert_eq!(answer.status, 401, "{method} {path}");
                continue;
            }
            assert_eq!(
                (
                    answer.status,
                    answer.reason().as_str(),
                    &answer.headers["allow"]
                ),
                (405, "METHOD_NOT_ALLOWED", &allow),
                "{method} {path}"
            );
        }
    }
    assert_eq!(count, 19, "every call of the schema has its route");
    for path in [
        "/api/v1/clips/",
        "/api/v1",
        "/",
        "/api/v1/clips/x/y",
        "/api/v2/clips",
    ] {
        assert_eq!(ask.send("GET", path, None).await.status, 404, "{path}");
    }
}
