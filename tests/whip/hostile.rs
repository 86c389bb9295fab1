//! Clients that mean no good, or are broken: each gets its answer, nobody else notices, and nothing is left.

use crate::http::exposes;
use crate::support::PATIENCE;
use crate::support::http::{exchange, request};
use crate::support::server::own;
use crate::world::{Peer, SDP, World, encoder, fragment, player, until_seen, with_media};
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;

#[tokio::test]
async fn what_is_another_persons_is_not_there_whoever_knows_its_url_and_its_tag() {
    let world = World::new().await;
    let mut encoder = world.encoder("encoder").await;
    let mut player = world.player("player", "").await;
    let thief = world.member("thief").await;
    let room = world.path("whip");
    let id = encoder.location.rsplit('/').next().unwrap();
    let elsewhere = format!("{}/{id}", world.path("whep"));
    for path in [&encoder.location, &elsewhere] {
        for line in [
            format!("DELETE {path}"),
            format!("GET {path}"),
            format!("PATCH {path}"),
        ] {
            let headers = [
                ("Content-Type", crate::world::FRAGMENT),
                ("If-Match", encoder.etag.as_str()),
            ];
            let new = fragment("thief", &"t".repeat(24));
            let answer = world.ask(&line, &thief, &headers, &new).await;
            assert_eq!(answer.status, 404, "{line}");
        }
    }
    // Its owner's, at another room's path and by the other protocol's.
    let other = World::new().await;
    for path in [format!("{}/{id}", other.path("whip")), elsewhere.clone()] {
        let answer = world
            .ask(&format!("DELETE {path}"), &encoder.token, &[], "")
            .await;
        assert_eq!(answer.status, 404, "{path}");
    }
    // Near misses.
    for wrong in [
        "s_",
        "s_0",
        &id[..id.len() - 1],
        &format!("{id}0"),
        "..",
        "%00",
        "*",
    ] {
        let line = format!("DELETE {room}/{wrong}");
        let answer = world.ask(&line, &encoder.token, &[], "").await;
        assert!(
            [404, 405].contains(&answer.status),
            "{wrong}: {}",
            answer.status
        );
    }
    until_seen(&mut encoder, &mut player);
}

#[tokio::test]
async fn garbage_is_refused_and_leaves_nothing() {
    let mut world = World::new().await;
    let token = world.member("fuzzer").await;
    let sdp = encoder().sdp();
    let mut seed: u64 = 1;
    let mut random = move |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(seed >> 33).unwrap() % below
    };
    for _ in 0..150 {
        let mut bytes = sdp.clone().into_bytes();
        for _ in 0..=random(20) {
            let at = random(bytes.len());
            match random(3) {
                0 => bytes[at] = b"\r\n:= az09"[random(9)],
                1 => bytes.truncate(at.max(1)),
                _ => bytes.insert(at, b'a'),
            }
        }
        let text = String::from_utf8(bytes).unwrap();
        let answer = world.post(&world.path("whip"), &token, &text).await;
        match answer.status {
            201 => {
                let line = format!("DELETE {}", answer.header("Location").unwrap());
                assert_eq!(world.ask(&line, &token, &[], "").await.status, 200);
            }
            400 | 403 | 422 | 429 => {}
            other => panic!("{other}: {}\n{text}", answer.body),
        }
    }
    world.until_in_call(0).await;
}

#[tokio::test]
async fn bodies_that_are_no_text_or_do_not_end_are_refused() {
    let world = World::new().await;
    let token = world.member("sender").await;
    let address = world.server().address;
    let head = |length: &str| {
        format!(
            "POST {} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: {SDP}\r\n{length}\r\n\r\n",
            world.path("whip")
        )
    };
    let mut bytes = head("Content-Length: 4").into_bytes();
    bytes.extend([0xff; 4]);
    assert_eq!(exchange(address, &bytes).await.status, 400);
    // As long as it says to be, and never sent: told at the first byte too many.
    let mut endless = head("Transfer-Encoding: chunked").into_bytes();
    for _ in 0..40 {
        endless.extend(b"400\r\n");
        endless.extend([b'v'; 1024]);
        endless.extend(b"\r\n");
    }
    assert_eq!(exchange(address, &endless).await.status, 413);
}

#[tokio::test]
async fn one_persons_sessions_are_bounded_in_number_and_rate() {
    let mut world = World::on(own(with_media)).await;
    let token = world.member("flood").await;
    let path = world.path("whip");
    let (mut begun, mut refused) = (Vec::new(), 0);
    for _ in 0..30 {
        let answer = world.post(&path, &token, &encoder().sdp()).await;
        match answer.status {
            201 => begun.push(answer.header("Location").unwrap().to_owned()),
            429 => {
                refused += 1;
                let wait: u64 = answer.header("Retry-After").unwrap().parse().unwrap();
                assert!(wait > 0);
            }
            other => panic!("{other}: {}", answer.body),
        }
    }
    assert_eq!((begun.len(), refused), (16, 14));
    assert_eq!(world.roster().await.len(), 16);
    // Somebody else is not bounded by it.
    let other = world.member("other").await;
    let others = world.post(&path, &other, &encoder().sdp()).await;
    assert_eq!(others.status, 201);
    for location in &begun {
        let line = format!("DELETE {location}");
        assert_eq!(world.ask(&line, &token, &[], "").await.status, 200);
    }
    assert_eq!(world.roster().await.len(), 1);
    let line = format!("DELETE {}", others.header("Location").unwrap());
    assert_eq!(world.ask(&line, &other, &[], "").await.status, 200);
    nothing_is_left(&world).await;
}

/// The server counts nobody any more, neither where sessions are nor where media is, which is told a little later.
async fn nothing_is_left(world: &World) {
    let until = Instant::now() + PATIENCE;
    loop {
        let answer = request(world.server().address, "GET /metrics", &[], "").await;
        let left: Vec<&str> = answer
            .body
            .lines()
            .filter(|line| LEFT.iter().any(|name| line.starts_with(name)) && !line.ends_with(" 0"))
            .collect();
        for name in LEFT {
            assert!(answer.body.contains(name), "no {name}: {}", answer.body);
        }
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < until, "{left:?}");
    }
}

/// Gauges of what sessions hold.
const LEFT: [&str; 3] = [
    "kaiwa_signaling_whip_sessions",
    "kaiwa_call_participants",
    "kaiwa_sfu_participants",
];

#[tokio::test]
async fn requests_to_one_session_are_bounded() {
    let world = World::new().await;
    let encoder = world.encoder("encoder").await;
    let trickle = "m=audio 9 RTP/AVP 0\r\na=mid:0\r\na=end-of-candidates\r\n";
    let mut refused = 0;
    for _ in 0..80 {
        let answer = world
            .patch(&encoder.location, &encoder.token, Some("*"), trickle)
            .await;
        match answer.status {
            204 => {}
            429 => refused += 1,
            other => panic!("{other}: {}", answer.body),
        }
    }
    assert!(refused > 0);
    assert_eq!(
        encoder.delete(&world).await.status,
        200,
        "it can be ended all the same"
    );
}

#[tokio::test]
async fn whoever_guesses_sessions_is_held_up() {
    let narrow = |spec| {
        with_media(spec)
            .with("KAIWA_LIMITS__REQUESTS_PER_S", 1)
            .with("KAIWA_LIMITS__REQUEST_BURST", 40)
    };
    let world = World::on(own(narrow)).await;
    let token = world.member("guesser").await;
    let mut guesses = 0;
    loop {
        let line = format!("DELETE {}/s_{guesses:032x}", world.path("whip"));
        let answer = world.ask(&line, &token, &[], "").await;
        if answer.status == 429 {
            assert!(answer.header("Retry-After").is_some());
            exposes(&answer);
            return;
        }
        assert_eq!(answer.status, 404);
        guesses += 1;
        assert!(guesses < 400, "nobody holds them up");
    }
}

#[tokio::test]
async fn restarts_at_once_leave_one_ice_session() {
    let world = World::new().await;
    let mut encoder = world.encoder("encoder").await;
    let mut player = world.player("player", "").await;
    let fragments: Vec<String> = (0..8)
        .map(|no| fragment(&format!("new{no}"), &no.to_string().repeat(24)))
        .collect();
    let all = fragments
        .iter()
        .map(|fragment| world.patch(&encoder.location, &encoder.token, Some("*"), fragment));
    let answers = futures_util::future::join_all(all).await;
    let done: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 200)
        .collect();
    assert!(!done.is_empty());
    let mut present = Vec::new();
    let end = "m=audio 9 RTP/AVP 0\r\na=mid:0\r\na=end-of-candidates\r\n";
    for answer in &done {
        let tag = answer.header("ETag").unwrap();
        let trickled = world
            .patch(&encoder.location, &encoder.token, Some(tag), end)
            .await;
        if trickled.status == 204 {
            present.push(answer.body.clone());
        } else {
            assert_eq!(trickled.status, 412);
        }
    }
    let [present] = present.as_slice() else {
        panic!("{} of {} tags are present", present.len(), done.len());
    };
    let value = |name: &str| {
        let line = present.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().to_owned()
    };
    let remote = (value("a=ice-ufrag:"), value("a=ice-pwd:"));
    encoder.media.restart("any", remote);
    until_seen(&mut encoder, &mut player);
}

#[tokio::test]
async fn a_client_that_goes_away_in_the_middle_leaves_nothing() {
    let server = own(with_media);
    let mut world = World::on(Arc::clone(&server)).await;
    let token = world.member("hasty").await;
    let address = world.server().address;
    let sdp = encoder().sdp();
    for kind in ["whip", "whep"] {
        let sdp = if kind == "whip" {
            sdp.clone()
        } else {
            player().sdp()
        };
        for cut in [0, 40, sdp.len() / 2, sdp.len()] {
            let text = format!(
                "POST {} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
                 Content-Type: {SDP}\r\nContent-Length: {}\r\n\r\n{}",
                world.path(kind),
                sdp.len(),
                &sdp[..cut]
            );
            use tokio::io::AsyncWriteExt as _;
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            stream.write_all(text.as_bytes()).await.unwrap();
            drop(stream);
        }
    }
    // What was whole may have become a session, whose answer nobody has: it is gone when nothing is heard of it. Of the
    // others nothing is left at once.
    let here = world.roster().await.len();
    assert!(here <= 2, "{here}");
    let answer = world.post(&world.path("whip"), &token, &sdp).await;
    assert_eq!(answer.status, 201);
}

#[tokio::test]
async fn a_token_that_expires_in_the_middle_ends_with_its_session_and_commands_nothing() {
    let mut world = World::new().await;
    world.member("short").await;
    let token = world.server().key().token(&world.scene.user("short"), 3);
    let encoder = Peer::begin(&world, &world.path("whip"), &token, encoder()).await;
    world.until_in_call(0).await;
    assert_eq!(encoder.delete(&world).await.status, 401);
    let renewed = world.token("short");
    let line = format!("DELETE {}", encoder.location);
    assert_eq!(world.ask(&line, &renewed, &[], "").await.status, 404);
}

#[tokio::test]
async fn a_server_without_calls_says_so() {
    let world = World::on(own(|spec| spec.with("KAIWA_CALLS__ENABLED", false))).await;
    let token = world.member("encoder").await;
    let answer = world
        .post(&world.path("whip"), &token, &encoder().sdp())
        .await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.json()["error"]["reason"], json!("calls_off"));
    let line = format!("GET {}", world.path("whip"));
    assert_eq!(
        request(world.server().address, &line, &[], "").await.status,
        200
    );
}
