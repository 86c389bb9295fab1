//! Clients that send too much, too slowly, or what two readers would read in two ways: bounded, told so, and nobody
//! else notices.

use crate::person::{Person, brief, put};
use crate::rpc::Rpc;
use crate::support::http::{exchange, parse, request};
use crate::support::raw::dial;
use crate::support::scene::Scene;
use crate::support::server::{Server, own};
use crate::support::soon;
use kaiwa_proto::media::v1;
use prost::Message as _;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

/// Sends this head and then this piece again and again, until the server has had enough; the status.
async fn endless(server: &Server, head: &str, piece: &[u8]) -> u16 {
    let mut stream = dial(server).await;
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut read, mut write) = stream.split();
    let mut said = Vec::new();
    let sending = async {
        // Until it is not taken any more: more than any bound of these doors.
        for _ in 0..(64 << 20) / piece.len() {
            if write.write_all(piece).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let answered = async {
        while !said.windows(4).any(|end| end == b"\r\n\r\n") {
            if read
                .read_buf(&mut said)
                .await
                .map_or(true, |read| read == 0)
            {
                break;
            }
        }
    };
    soon("an answer", async {
        tokio::select! { () = answered => {} () = sending => {} }
    })
    .await;
    parse(&said).status
}

/// A request whose head is this, and then this piece without an end; the statuses that refuse it.
type Endless = (&'static str, String, Vec<u8>, &'static [u16]);

/// `PART` and `CLIP` stand for a signed URL and its clip.
fn without_end(token: &str) -> Vec<Endless> {
    const CHUNKED: &str = "Transfer-Encoding: chunked\r\n\r\n";
    let chunk = [&b"10000\r\n"[..], &[b' '; 0x10000], b"\r\n"].concat();
    let json = format!("{token}Content-Type: application/json\r\n");
    let form = "Content-Type: multipart/form-data; boundary=b\r\n";
    let field = "--b\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\n";
    let field = format!("{field}{}", "x".repeat(60_000)).into_bytes();
    let long = "Content-Length: 99999999999\r\n\r\n";
    vec![
        (
            "POST /api/v1/clips",
            format!("{json}{CHUNKED}"),
            chunk.clone(),
            &[413],
        ),
        (
            "POST /api/v1/clips",
            format!("{json}{long}"),
            chunk.clone(),
            &[413],
        ),
        (
            "PUT /api/v1/clips/CLIP/captions/en?label=x",
            format!("{token}Content-Type: text/vtt\r\n{CHUNKED}"),
            chunk.clone(),
            &[413],
        ),
        ("PUT PART", CHUNKED.to_owned(), chunk.clone(), &[411]),
        ("PUT PART", long.to_owned(), chunk.clone(), &[413]),
        (
            "POST /objects/form",
            format!("{form}{CHUNKED}"),
            chunk,
            &[411],
        ),
        (
            "POST /objects/form",
            format!("{form}{long}"),
            field,
            &[400, 413],
        ),
        // A head without an end, more than 16 KiB of it.
        (
            "GET /v/x/y/master.m3u8",
            String::new(),
            b"X-Flood: yyyyyyyyyyyyyyyy\r\n".repeat(100),
            &[431],
        ),
        (
            "PUT /objects/part?t=x",
            "Cookie: ".to_owned(),
            vec![b'y'; 1000],
            &[431],
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_end_is_refused_at_its_bound_and_so_is_what_reads_in_two_ways() {
    let scene = Scene::on(own(|spec| spec)).await;
    let server = &scene.server;
    let user = scene.user("witness");
    let owner = Person::new(server, &user);
    let clip = owner.declare(&scene.room, "video/mp4", 1000).await;
    let signed = owner.signed(&clip, 1000).await;
    let url = signed["url"].as_str().unwrap();
    let token = format!("Authorization: Bearer {}\r\n", server.token(&user));
    let before = server.rss_anon();
    for (line, headers, piece, statuses) in without_end(&token) {
        let line = line.replace("CLIP", &clip).replace("PART", url);
        let head = format!("{line} HTTP/1.1\r\nHost: {}\r\n{headers}", server.address);
        let status = endless(server, &head, &piece).await;
        assert!(statuses.contains(&status), "{status}: {head:.300}");
    }
    let grown = server.rss_anon().saturating_sub(before);
    assert!(grown < 48 << 20, "{grown} bytes more");

    two_ways(server, url).await;
    // Packed bodies are not unpacked: they are what was signed, or no JSON.
    let packed = [
        ("Authorization", &token[15..token.len() - 2]),
        ("Content-Type", "application/json"),
        ("Content-Encoding", "gzip"),
    ];
    let answer = request(
        server.address,
        "POST /api/v1/clips",
        &packed,
        "\u{1f}\u{8b}\u{8}",
    )
    .await;
    assert!(matches!(answer.status, 415 | 422), "{answer:?}");
    assert_eq!(owner.arrived(&clip).await, [0_u64; 0]);
}

/// Bodies whose end two readers would see at two places (RFC 9112, sections 6.1 and 6.3).
async fn two_ways(server: &Server, url: &str) {
    let body = "0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for headers in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 6\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding : chunked\r\n",
    ] {
        let head = format!(
            "PUT {url} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n",
            server.address
        );
        let answer = exchange(server.address, (head + body).as_bytes()).await;
        assert!(matches!(answer.status, 400 | 411), "{headers}: {answer:?}");
        let is_alone = !answer.body.contains("HTTP/1.1");
        assert!(is_alone, "a second request was read: {answer:?}");
    }
}

/// 200 MB of zeros, packed by gzip.
fn bomb() -> Vec<u8> {
    let made = std::process::Command::new("sh")
        .args(["-c", "head -c 200000000 /dev/zero | gzip"])
        .output()
        .unwrap();
    assert!(made.status.success() && made.stdout.len() < 1_000_000);
    made.stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_unpacks_to_a_thousand_times_its_size_is_refused_before() {
    let scene = Scene::on(own(|spec| spec)).await;
    let server = &scene.server;
    let bearer = format!("Bearer {}", server.token(&scene.user("witness")));
    let mut rpc = Rpc::connect(server).await;
    let before = server.rss_anon();
    let metadata = [
        ("authorization", bearer.as_str()),
        ("grpc-encoding", "gzip"),
    ];
    let path = "kaiwa.media.v1.MediaPipeline/CreateClip";
    let mut answer = rpc.send_packed(path, &metadata, &bomb()).await.unwrap();
    let refused = answer.next_bytes().await.unwrap_err();
    // RESOURCE_EXHAUSTED or OUT_OF_RANGE.
    assert!(matches!(refused.code, 8 | 11), "{refused:?}");
    let grown = server.rss_anon().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes more");
    let list = json!({"roomId": scene.room});
    let list =
        rpc.call::<v1::ListClipsRequest, v1::ListClipsResponse>("ListClips", &metadata[..1], list);
    list.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_slow_uploads_take_their_places_and_no_more_memory() {
    const PART: usize = 8 << 20;
    let scene = Scene::on(own(|spec| spec)).await;
    let server = &scene.server;
    let mut urls = Vec::new();
    for no in 0..20 {
        drop(scene.member(&format!("slow-{no}")).await);
        let person = Person::new(server, &scene.user(&format!("slow-{no}")));
        let clip = person.declare(&scene.room, "video/mp4", 10 * PART).await;
        let parts: Vec<_> = (1..=10)
            .map(|no| json!({"number": no, "size": PART.to_string()}))
            .collect();
        let want = json!({"mode": "UPLOAD_MODE_MULTIPART", "parts": parts});
        let grant = person
            .ok(&format!("POST /api/v1/clips/{clip}/upload"), Some(want))
            .await;
        let parts = grant["parts"]["parts"].as_array().unwrap();
        urls.extend(
            parts
                .iter()
                .map(|part| part["url"].as_str().unwrap().to_owned()),
        );
    }
    let before = server.rss_anon();
    let mut refused = JoinSet::new();
    for url in urls {
        let mut stream = dial(server).await;
        let head = format!(
            "PUT {url} HTTP/1.1\r\nHost: {}\r\nContent-Length: {PART}\r\n\r\n",
            server.address
        );
        // Who has no place is answered at once, and perhaps before it has sent this much.
        let _ = stream
            .write_all(&[head.as_bytes(), &[7; 300_000]].concat())
            .await;
        refused.spawn(async move {
            let mut said = Vec::new();
            let _ = stream.read_to_end(&mut said).await;
            parse(&said)
        });
    }
    for _ in 0..136 {
        let answer = soon("a refusal", refused.join_next())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
    }
    let grown = server.rss_anon().saturating_sub(before);
    // 64 places with two buffers of 1 MiB each, and as much for everything else.
    assert!(grown < 256 << 20, "{grown} bytes more");
    // Other doors are open, and the places come back when their clients go.
    let owner = Person::new(server, &scene.user("witness"));
    owner
        .ok(&format!("GET /api/v1/clips?roomId={}", scene.room), None)
        .await;
    refused.abort_all();
    let clip = owner.declare(&scene.room, "video/mp4", brief().len()).await;
    let signed = owner.signed(&clip, brief().len()).await;
    let sent = async {
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(50));
        while put(server, &signed, brief()).await.status != 200 {
            ticks.tick().await;
        }
    };
    soon("a place", sent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_person_has_so_many_watches_over_both_forms_and_those_that_end_are_free_again() {
    let scene = Scene::on(own(|spec| spec)).await;
    let server = &scene.server;
    let token = server.token(&scene.user("witness"));
    let bearer = format!("Bearer {token}");
    let metadata = [("authorization", bearer.as_str())];
    let watch = v1::WatchRoomClipsRequest {
        room_id: scene.room.clone(),
        ..Default::default()
    };
    let watch = watch.encode_to_vec();
    let path = "kaiwa.media.v1.MediaPipeline/WatchRoomClips";
    let mut rpc = Rpc::connect(server).await;
    let mut open = Vec::new();
    for _ in 0..16 {
        let mut watch = rpc.send(path, &metadata, &watch).await.unwrap();
        watch
            .next::<v1::ClipEvent>()
            .await
            .unwrap()
            .expect("a snapshot");
        open.push(watch);
    }
    let mut more = rpc.send(path, &metadata, &watch).await.unwrap();
    assert_eq!(more.next_bytes().await.unwrap_err().reason, "STREAM_LIMIT");
    let line = format!("GET /api/v1/clips/watch?roomId={}", scene.room);
    let person = Person::with(server, token.clone());
    let answer = person.ask(&line, None).await;
    assert_eq!(answer.status, 429, "{answer:?}");
    // Others have theirs, and calls are no watches.
    let mut bob = scene.member("bob").await;
    let bobs = format!("Bearer {}", server.token(&scene.user("bob")));
    let mut his = rpc
        .send(path, &[("authorization", &bobs)], &watch)
        .await
        .unwrap();
    his.next::<v1::ClipEvent>()
        .await
        .unwrap()
        .expect("a snapshot");
    person
        .ok(&format!("GET /api/v1/clips?roomId={}", scene.room), None)
        .await;
    drop(open);
    let again = async {
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(50));
        loop {
            ticks.tick().await;
            let mut watch = rpc.send(path, &metadata, &watch).await.unwrap();
            if watch.next_bytes().await.is_ok() {
                return;
            }
        }
    };
    soon("a free place", again).await;
    bob.ok(json!({"roomList": {}})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_floods_grpc_with_metadata_or_a_long_message_loses_the_call_and_nobody_else() {
    let scene = Scene::on(own(|spec| spec)).await;
    let server = &scene.server;
    let bearer = format!("Bearer {}", server.token(&scene.user("witness")));
    let path = "kaiwa.media.v1.MediaPipeline/ListClips";
    let list = v1::ListClipsRequest {
        room_id: scene.room.clone(),
        ..Default::default()
    }
    .encode_to_vec();
    let mut rpc = Rpc::connect(server).await;
    let flood = "x".repeat(60_000);
    // RFC 6585, section 5, or the connection's end.
    match rpc
        .send(
            path,
            &[("authorization", &bearer), ("x-flood", &flood)],
            &list,
        )
        .await
    {
        Ok(answer) => assert_eq!(answer.status, 431),
        Err(_) => rpc = Rpc::connect(server).await,
    }
    let mut long = rpc
        .send(path, &[("authorization", &bearer)], &vec![0; 2 << 20])
        .await
        .unwrap();
    let refused = long.next_bytes().await.unwrap_err();
    assert!(matches!(refused.code, 8 | 11), "{refused:?}");
    let mut good = rpc
        .send(path, &[("authorization", &bearer)], &list)
        .await
        .unwrap();
    good.next_bytes().await.unwrap();
}
