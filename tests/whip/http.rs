//! What both documents ask of HTTP: methods, types, codes, headers, tokens, other origins.

use crate::support::http::{Answer, request};
use crate::world::{FRAGMENT, Peer, SDP, World, encoder, fragment, player};
use serde_json::json;

/// Both kinds of endpoints.
const KINDS: [&str; 2] = ["whip", "whep"];

pub(crate) fn exposes(answer: &Answer) {
    assert_eq!(answer.header("Access-Control-Allow-Origin"), Some("*"));
    let exposed = answer.header("Access-Control-Expose-Headers").unwrap();
    for name in [
        "Location",
        "ETag",
        "Link",
        "Accept-Post",
        "Accept-Patch",
        "Retry-After",
    ] {
        assert!(exposed.contains(name), "{name}: {exposed}");
    }
    assert_eq!(answer.header("Access-Control-Allow-Credentials"), None);
}

#[tokio::test]
async fn an_endpoint_answers_get_and_head_with_nothing_and_says_that_it_takes_offers() {
    let world = World::new().await;
    for kind in KINDS {
        for method in ["GET", "HEAD"] {
            let line = format!("{method} {}", world.path(kind));
            let answer = request(world.server().address, &line, &[], "").await;
            assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{line}");
            assert_eq!(answer.header("Content-Type"), Some(SDP));
            assert_eq!(answer.header("Accept-Post"), Some(SDP));
        }
    }
}

#[tokio::test]
async fn options_are_answered_for_pages_of_any_origin() {
    let world = World::new().await;
    let preflight = [
        ("Origin", "https://studio.example"),
        ("Access-Control-Request-Method", "POST"),
        (
            "Access-Control-Request-Headers",
            "authorization,content-type",
        ),
    ];
    for kind in KINDS {
        let line = format!("OPTIONS {}", world.path(kind));
        let answer = request(world.server().address, &line, &preflight, "").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ""));
        assert_eq!(answer.header("Accept-Post"), Some(SDP));
        assert_eq!(
            answer.header("Link"),
            None,
            "no ICE servers for a preflight"
        );
        exposes(&answer);
        let allowed = answer.header("Access-Control-Allow-Headers").unwrap();
        for name in ["Authorization", "Content-Type", "If-Match"] {
            assert!(allowed.contains(name), "{allowed}");
        }
        let methods = answer.header("Access-Control-Allow-Methods").unwrap();
        for method in ["POST", "PATCH", "DELETE"] {
            assert!(methods.contains(method), "{methods}");
        }
        let line = format!("OPTIONS {}/s_x", world.path(kind));
        let answer = request(world.server().address, &line, &preflight, "").await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("Accept-Patch"), Some(FRAGMENT));
    }
}

#[tokio::test]
async fn a_page_of_another_origin_begins_changes_and_ends_a_session() {
    let world = World::new().await;
    let token = world.member("page").await;
    let origin = ("Origin", "https://studio.example");
    let headers = [("Content-Type", SDP), origin];
    let line = format!("POST {}", world.path("whip"));
    let answer = world.ask(&line, &token, &headers, &encoder().sdp()).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    exposes(&answer);
    let location = answer.header("Location").unwrap();
    let etag = answer.header("ETag").unwrap();
    let headers = [("Content-Type", FRAGMENT), ("If-Match", etag), origin];
    let line = format!("PATCH {location}");
    let anew = fragment("anew", &"q".repeat(24));
    assert_eq!(world.ask(&line, &token, &headers, &anew).await.status, 200);
    let line = format!("DELETE {location}");
    let answer = world.ask(&line, &token, &[origin], "").await;
    assert_eq!(answer.status, 200);
    exposes(&answer);
}

#[tokio::test]
async fn an_offer_is_answered_with_201_and_all_that_the_session_needs() {
    let world = World::new().await;
    let token = world.member("encoder").await;
    for (kind, media) in [("whip", encoder()), ("whep", player())] {
        let answer = world.post(&world.path(kind), &token, &media.sdp()).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        assert_eq!(answer.header("Content-Type"), Some(SDP));
        let location = answer.header("Location").unwrap();
        assert!(location.starts_with(&world.path(kind)), "{location}");
        let etag = answer.header("ETag").unwrap();
        assert!(
            etag.starts_with('"') && etag.ends_with('"'),
            "strong: {etag}"
        );
        assert_eq!(answer.header("Accept-Post"), Some(SDP));
        assert_eq!(answer.header("Accept-Patch"), Some(FRAGMENT));
        assert_eq!(
            answer.header("Link"),
            None,
            "no ICE servers, and no extensions"
        );
        assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    }
}

#[tokio::test]
async fn what_is_no_sdp_is_refused_by_its_type_its_size_or_its_text() {
    let mut world = World::new().await;
    let token = world.member("encoder").await;
    let sdp = encoder().sdp();
    let path = world.path("whip");
    let line = format!("POST {path}");
    for wrong in [
        &[][..],
        &[("Content-Type", "text/plain")],
        &[("Content-Type", "application/sdpx")],
    ] {
        let answer = world.ask(&line, &token, wrong, &sdp).await;
        assert_eq!(answer.status, 415, "{wrong:?}");
        assert_eq!(answer.header("Accept-Post"), Some(SDP));
    }
    let with_parameter = [("Content-Type", "Application/SDP; charset=utf-8")];
    assert_eq!(
        world.ask(&line, &token, &with_parameter, &sdp).await.status,
        201
    );
    for malformed in ["", "v=1", "hello", &sdp.replace("a=mid:0", "a=mid:1")] {
        let answer = world.post(&path, &token, malformed).await;
        assert_eq!(answer.status, 400, "{malformed:?}");
        assert_eq!(answer.json()["error"]["reason"], "bad_offer");
    }
    let long = sdp + &"a=x:y\r\n".repeat(5_000);
    assert_eq!(world.post(&path, &token, &long).await.status, 413);
    assert_eq!(
        world.roster().await.len(),
        1,
        "of those only one is in the call"
    );
}

#[tokio::test]
async fn other_methods_are_answered_with_those_that_are_allowed() {
    let world = World::new().await;
    let encoder = world.encoder("encoder").await;
    for kind in KINDS {
        for method in ["PUT", "PATCH", "DELETE", "BREW"] {
            let line = format!("{method} {}", world.path(kind));
            let answer = world.ask(&line, &encoder.token, &[], "").await;
            assert_eq!(answer.status, 405, "{line}");
            assert_eq!(answer.header("Allow"), Some("GET, HEAD, OPTIONS, POST"));
        }
    }
    for method in ["PUT", "POST"] {
        let line = format!("{method} {}", encoder.location);
        let answer = world
            .ask(&line, &encoder.token, &[("Content-Type", SDP)], "v=0")
            .await;
        assert_eq!(answer.status, 405, "{line}");
        let allowed = "DELETE, GET, HEAD, OPTIONS, PATCH";
        assert_eq!(answer.header("Allow"), Some(allowed));
    }
}

#[tokio::test]
async fn a_session_answers_get_with_nothing_and_to_its_owner_alone() {
    let world = World::new().await;
    let encoder = world.encoder("encoder").await;
    let stranger = world.member("stranger").await;
    for method in ["GET", "HEAD"] {
        let line = format!("{method} {}", encoder.location);
        let answer = world.ask(&line, &encoder.token, &[], "").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{line}");
        assert_eq!(world.ask(&line, &stranger, &[], "").await.status, 404);
        let bare = request(world.server().address, &line, &[], "").await;
        assert_eq!(bare.status, 401);
    }
}

#[tokio::test]
async fn delete_ends_a_session_at_once_and_once() {
    let mut world = World::new().await;
    for kind in KINDS {
        let (token, media) = match kind {
            "whip" => (world.member("encoder").await, encoder()),
            _ => (world.member("player").await, player()),
        };
        let peer = Peer::begin(&world, &world.path(kind), &token, media).await;
        assert_eq!(world.roster().await.len(), 1);
        // An entity tag means nothing here, whichever it is.
        let line = format!("DELETE {}", peer.location);
        let answer = world
            .ask(&line, &token, &[("If-Match", "\"other\"")], "")
            .await;
        assert_eq!(answer.status, 200);
        assert!(world.roster().await.is_empty(), "out of the roster at once");
        assert_eq!(peer.delete(&world).await.status, 404);
        assert_eq!(peer.get(&world).await.status, 404);
    }
}

#[tokio::test]
async fn without_a_good_token_nothing_is_done_and_the_scheme_is_named() {
    let mut world = World::new().await;
    let address = world.server().address;
    let encoder_peer = world.encoder("encoder").await;
    let sdp = encoder().sdp();
    let before = world.roster().await.len();
    for line in [
        format!("POST {}", world.path("whip")),
        format!("POST {}", world.path("whep")),
        format!("PATCH {}", encoder_peer.location),
        format!("DELETE {}", encoder_peer.location),
        format!("POST /whip/r_{:032x}", 7),
    ] {
        let answer = request(address, &line, &[("Content-Type", SDP)], &sdp).await;
        assert_eq!(answer.status, 401, "{line}");
        assert_eq!(answer.header("WWW-Authenticate"), Some("Bearer"));
        let expired = world.server().key().token(&world.scene.user("encoder"), -5);
        let forged = crate::support::token::tampered(&encoder_peer.token);
        for wrong in ["", "x", &expired, &forged] {
            let answer = world
                .ask(&line, wrong, &[("Content-Type", SDP)], &sdp)
                .await;
            assert_eq!(answer.status, 401, "{line} {wrong}");
            let challenge = answer.header("WWW-Authenticate").unwrap();
            assert!(challenge.starts_with("Bearer"), "{challenge}");
        }
        let basic = [("Authorization", "Basic YTpi"), ("Content-Type", SDP)];
        assert_eq!(request(address, &line, &basic, &sdp).await.status, 401);
    }
    assert_eq!(world.roster().await.len(), before);
    // The scheme's case does not count.
    let authorization = format!("bearer {}", encoder_peer.token);
    let line = format!("DELETE {}", encoder_peer.location);
    let headers = [("Authorization", authorization.as_str())];
    assert_eq!(request(address, &line, &headers, "").await.status, 200);
}

#[tokio::test]
async fn a_token_counts_as_it_does_for_a_connection() {
    let mut world = World::new().await;
    world.member("alice").await;
    let outside = world.token("outside");
    let sdp = encoder().sdp();
    let (whip, whep) = (world.path("whip"), world.path("whep"));
    let status =
        async |path: &str, token: &str, sdp: &str| world.post(path, token, sdp).await.status;
    assert_eq!(status(&whip, &outside, &sdp).await, 403, "not a member");
    let nowhere = format!("/whip/r_{:032x}", 7);
    assert_eq!(status(&nowhere, &world.token("alice"), &sdp).await, 404);
    let no_room = "/whip/not%20a%20room";
    assert_eq!(status(no_room, &world.token("alice"), &sdp).await, 404);
    let viewer = world.token_with("alice", &json!({"role": "viewer"}));
    assert_eq!(
        status(&whip, &viewer, &sdp).await,
        403,
        "a viewer publishes nothing"
    );
    assert_eq!(
        status(&whep, &viewer, &player().sdp()).await,
        201,
        "and watches"
    );
    let sound = world.token_with("alice", &json!({"call": {"publish": ["microphone"]}}));
    assert_eq!(
        status(&whip, &sound, &sdp).await,
        403,
        "all of the offer, or nothing"
    );
    let deaf = world.token_with("alice", &json!({"call": {"subscribe": false}}));
    assert_eq!(status(&whep, &deaf, &player().sdp()).await, 403);
    assert_eq!(status(&whip, &deaf, &sdp).await, 201);
    assert_eq!(world.roster().await.len(), 2);
}

#[tokio::test]
async fn a_token_for_one_rooms_call_is_good_for_that_and_for_nothing_else() {
    let world = World::new().await;
    world.member("encoder").await;
    let narrow = world.token_with("encoder", &json!({"room": world.scene.room}));
    let peer = Peer::begin(&world, &world.path("whip"), &narrow, encoder()).await;
    assert_eq!(peer.get(&world).await.status, 200);
    let other = World::new().await;
    let answer = other
        .post(&other.path("whip"), &narrow, &encoder().sdp())
        .await;
    assert_eq!(answer.status, 401, "{}", answer.body);
    // Neither a connection nor another call of the server's.
    let mut client =
        crate::support::client::Client::open(world.server(), crate::support::client::Codec::Json)
            .await;
    let code = client.code(crate::support::client::connect(&narrow)).await;
    assert_eq!(code, 200, "token_invalid");
    let refresh = world.ask("POST /api/v1/refresh", &narrow, &[], "").await;
    assert_eq!(refresh.status, 401);
    let clips = world
        .ask(
            "POST /api/v1/clips",
            &narrow,
            &[("Content-Type", "application/json")],
            "{}",
        )
        .await;
    assert_eq!(clips.status, 401, "{}", clips.body);
}

#[tokio::test]
async fn what_is_below_and_is_nothing_is_not_found() {
    let world = World::new().await;
    let token = world.member("encoder").await;
    for path in ["/whip/%ff", "/whep/%ff/s_x", "/whip/r_x/%ff"] {
        for method in ["POST", "DELETE", "PATCH"] {
            let line = format!("{method} {path}");
            let answer = world.ask(&line, &token, &[("Content-Type", SDP)], "").await;
            assert!([404, 405].contains(&answer.status), "{line}");
            // As all others: with its reason, and for pages of any origin.
            assert!(!answer.json()["error"]["reason"].is_null(), "{line}");
            exposes(&answer);
        }
    }
    for path in ["/whip", "/whip/", "/whip/a/b/c", "/whep/a/b/c"] {
        let answer = world.post(path, &token, "v=0").await;
        assert!(
            [404, 405].contains(&answer.status),
            "{path}: {}",
            answer.status
        );
    }
    let answer = world
        .ask(
            &format!("GET {}/s_nobody", world.path("whip")),
            &token,
            &[],
            "",
        )
        .await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.json()["error"]["reason"], "not_in_call");
}
