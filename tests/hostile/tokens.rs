//! Tokens: bad ones, short ones, other people's.

use crate::support::client::{Client, Codec, connect, int};
use crate::support::scene::Scene;
use crate::support::server::shared;
use crate::support::token::{Key, claims, tampered, unsigned};
use crate::support::{cid, now_s};
use ring::hmac;
use serde_json::{Value, json};

async fn refused(token: &str) -> (u64, Value, u16) {
    let mut client = Client::open(&shared(), Codec::Json).await;
    let error = client.refused(connect(token)).await;
    let closed = client.closed().await;
    (
        int(&error["code"]),
        error["details"]["cause"].clone(),
        closed.code.expect("a close code"),
    )
}

#[tokio::test]
async fn a_token_that_this_server_did_not_sign_is_refused() {
    let mut scene = Scene::new().await;
    let key = scene.server.key();
    let good = claims("mallory", 3600);
    let tokens = [
        ("a wrong secret", Key::foreign().sign(&good)),
        ("tampered claims", tampered(&key.sign(&good))),
        ("alg none", unsigned("none", &good)),
        ("alg None", unsigned("None", &good)),
        ("alg HS256 and no signature", unsigned("HS256", &good)),
        ("HS384", key.sign_as("HS384", hmac::HMAC_SHA384, &good)),
        ("HS512", key.sign_as("HS512", hmac::HMAC_SHA512, &good)),
        (
            "HS256 signed as HS512",
            key.sign_as("HS256", hmac::HMAC_SHA512, &good),
        ),
        (
            "RS256 with the secret as key",
            key.sign_as("RS256", hmac::HMAC_SHA256, &good),
        ),
        ("nothing", String::new()),
        ("no token", "hello".to_owned()),
        (
            "two parts",
            key.sign(&good).rsplit_once('.').unwrap().0.to_owned(),
        ),
        ("four parts", key.sign(&good) + ".x"),
        ("dots", "..".to_owned()),
        ("a NUL", "\u{0}".to_owned()),
    ];
    for (what, token) in tokens {
        let (code, cause, close) = refused(&token).await;
        assert_eq!((code, close), (200, 4300), "{what}");
        assert!(cause.is_string(), "{what}: {cause}");
    }
    scene.is_unharmed().await;
}

#[tokio::test]
async fn a_token_whose_claims_are_wrong_is_refused() {
    let server = shared();
    let (key, now) = (server.key(), now_s());
    let without = |claim: &str| {
        let mut claims = claims("mallory", 3600);
        claims.as_object_mut().unwrap().remove(claim);
        claims
    };
    let with = |claim: &str, value: Value| {
        let mut claims = claims("mallory", 3600);
        claims[claim] = value;
        claims
    };
    let wrong = [
        without("exp"),
        without("sub"),
        without("aud"),
        with("aud", json!("another")),
        with("aud", json!(["kaiwa-staging", "kaiw"])),
        with("aud", json!([])),
        with("exp", json!("tomorrow")),
        with("exp", json!(1e300)),
        with("exp", json!(null)),
        with("nbf", json!(now + 3600)),
        with("iat", json!(now + 3600)),
        with("sub", json!("")),
        with("sub", json!("a b")),
        with("sub", json!("../admin")),
        with("sub", json!("x".repeat(65))),
        with("sub", json!(7)),
        with("name", json!("x".repeat(300))),
        with("role", json!("root")),
    ];
    for claims in wrong {
        let (code, _, close) = refused(&key.sign(&claims)).await;
        assert_eq!((code, close), (200, 4300), "{claims}");
    }
    for claims in [
        claims("mallory", 0),
        claims("mallory", -1),
        with("exp", json!(-1)),
    ] {
        let (code, _, close) = refused(&key.sign(&claims)).await;
        assert_eq!((code, close), (201, 4100), "{claims}");
    }
    // Several audiences, ours among them.
    let good = key.sign(&with("aud", json!(["another", "kaiwa"])));
    Client::connect_with(&server, Codec::Json, connect(&good)).await;
}

#[tokio::test]
async fn a_token_of_twenty_kilobytes_is_refused_however_well_signed() {
    let server = shared();
    let mut claims = claims("mallory", 3600);
    claims["x"] = json!("x".repeat(15_000));
    let token = server.key().sign(&claims);
    assert!(token.len() > 20_000);
    let (code, _, close) = refused(&token).await;
    assert_eq!((code, close), (200, 4300));
}

#[tokio::test]
async fn the_end_of_a_token_ends_the_connection_unless_a_later_one_takes_its_place() {
    let mut scene = Scene::new().await;
    let (left, kept) = (scene.user("left"), scene.user("kept"));
    let server = scene.server.clone();
    let key = server.key();
    let short = connect(&key.token(&left, 2));
    let mut expires = Client::connect_with(&scene.server, Codec::Json, short).await;
    let short = connect(&key.token(&kept, 2));
    let mut refreshes = Client::connect_with(&scene.server, Codec::Json, short).await;
    let ends_ms = int(&refreshes.connected["expiresMs"]);
    let refreshed = refreshes
        .ok(json!({"refresh": {"token": key.token(&kept, 3600)}}))
        .await;
    assert!(
        int(&refreshed["expiresMs"]) > ends_ms + 3_000_000,
        "{refreshed}"
    );

    let closed = expires.closed_with(4100).await;
    assert!(
        int(&closed.bye.unwrap()["retryMaxMs"]) > 0,
        "it may come back"
    );
    // Past the first token's end the refreshed connection still works, as do its rights.
    refreshes
        .ok(json!({"roomJoin": {"room": scene.room}}))
        .await;
    refreshes.ok(scene.send("still here")).await;
    scene.expect("still here");
    // And the one that was cut off resumes its session with a fresh token.
    let session = expires.connected["session"].clone();
    let resume = json!({"session": session, "count": expires.count.to_string()});
    let again = json!({"connect": {"token": key.token(&left, 3600), "device": "test",
        "resume": resume}});
    let again = Client::connect_with(&scene.server, Codec::Json, again).await;
    assert_eq!(
        again.connected["resumed"],
        json!(true),
        "{}",
        again.connected
    );
    scene.is_unharmed().await;
}

#[tokio::test]
async fn a_refresh_with_a_bad_token_or_anothers_changes_nothing() {
    let mut scene = Scene::new().await;
    let mut client = scene.member("mallory").await;
    let server = scene.server.clone();
    let key = server.key();
    let me = scene.user("mallory");
    let refresh = |token: String| json!({"refresh": {"token": token}});
    assert_eq!(
        client.code(refresh(key.token("somebody-else", 3600))).await,
        202
    );
    assert_eq!(client.code(refresh(key.token(&me, -5))).await, 201);
    assert_eq!(
        client.code(refresh(Key::foreign().token(&me, 3600))).await,
        200
    );
    assert_eq!(
        client.code(refresh(tampered(&key.token(&me, 3600)))).await,
        200
    );
    client.ok(scene.send("still me")).await;
    scene.expect("still me");
    assert_eq!(scene.log().await.last().unwrap()["sender"], json!(me));
    scene.is_unharmed().await;
}

#[tokio::test]
async fn a_viewer_reads_and_joins_but_writes_and_creates_nothing() {
    let mut scene = Scene::new().await;
    let mut claims = claims(&scene.user("viewer"), 3600);
    claims["role"] = json!("viewer");
    let viewer = connect(&scene.server.key().sign(&claims));
    let mut viewer = Client::connect_with(&scene.server, Codec::Json, viewer).await;
    viewer.ok(json!({"roomJoin": {"room": scene.room}})).await;
    viewer.ok(json!({"history": {"room": scene.room}})).await;
    let create = json!({"cid": cid(), "kind": "ROOM_KIND_GROUP", "title": "mine"});
    for command in [
        scene.send("no"),
        json!({"edit": {"room": scene.room, "cid": cid(), "target": "1", "text": "no"}}),
        json!({"delete": {"room": scene.room, "cid": cid(), "target": "1"}}),
        json!({"roomCreate": create}),
        json!({"roomInvite": {"room": scene.room, "user": "anybody"}}),
    ] {
        assert_eq!(viewer.code(command.clone()).await, 300, "{command}");
    }
    scene.is_unharmed().await;
}

#[tokio::test]
async fn nothing_works_before_connect_and_connect_works_once() {
    let mut scene = Scene::new().await;
    let mut client = Client::open(&scene.server, Codec::Json).await;
    let refresh = json!({"refresh": {"token": scene.server.token("early")}});
    for command in [scene.send("early"), json!({"roomList": {}}), refresh] {
        assert_eq!(client.code(command.clone()).await, 106, "{command}");
    }
    // A device id that is none is told, and the client may try again.
    let mut wrong = connect(&scene.server.token("early"));
    wrong["connect"]["device"] = json!("two words");
    let error = client.refused(wrong).await;
    assert_eq!(
        (int(&error["code"]), &error["details"]["field"]),
        (400, &json!("device"))
    );
    client
        .greet(connect(&scene.server.token(&scene.user("early"))))
        .await;
    assert_eq!(
        client.code(connect(&scene.server.token("another"))).await,
        107
    );
    client.ok(json!({"roomJoin": {"room": scene.room}})).await;
    client.ok(scene.send("once")).await;
    scene.expect("once");

    let mut client = Client::open(&scene.server, Codec::Json).await;
    for _ in 0..16 {
        client.begin(json!({"roomList": {}})).await;
    }
    client.closed_with(4302).await;
    scene.is_unharmed().await;
}
