//! Signing in by name, and what else somebody might send there.

use crate::support::client::{Client, Codec, connect};
use crate::support::http::{Answer, request};
use crate::support::server::{own, shared};
use crate::support::token::Key;
use std::net::SocketAddr;

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// Headers, a body, and the status that answers them.
type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, u16);

async fn sign_in(address: SocketAddr, headers: &[(&str, &str)], body: &str) -> Answer {
    request(address, "POST /api/v1/sign-in", headers, body).await
}

#[tokio::test]
async fn who_signs_in_on_this_machine_gets_a_token_that_connects() {
    let server = shared();
    let answer = sign_in(server.address, &[JSON], "{\"name\":\"  Alice Liddell \"}").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    let said = answer.json();
    assert_eq!(said["user"]["id"], "alice-liddell");
    let token = said["token"].as_str().expect("a token").to_owned();
    let client = Client::connect_with(&server, Codec::Json, connect(&token)).await;
    assert_eq!(client.connected["user"]["name"], "Alice Liddell");

    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str())];
    let again = request(server.address, "POST /api/v1/refresh", &headers, "").await;
    assert_eq!(again.status, 200, "{again:?}");
    assert_eq!(again.json()["user"]["id"], "alice-liddell");
}

#[tokio::test]
async fn what_is_no_sign_in_is_refused_with_its_own_status() {
    let server = shared();
    let long = format!("{{\"name\":\"{}\"}}", "x".repeat(257));
    let huge = format!("{{\"name\":\"{}\"}}", "x".repeat(20_000));
    let deep = "[".repeat(10_000);
    let cases: [Case<'_>; 13] = [
        (&[JSON], "", 400),
        (&[JSON], "{", 400),
        (&[JSON], &deep, 422),
        (&[JSON], "{}", 422),
        (&[JSON], "[]", 422),
        (&[JSON], "{\"name\":5}", 422),
        (&[JSON], "{\"name\":\"\"}", 422),
        (&[JSON], "{\"name\":\"   \"}", 422),
        (&[JSON], "{\"name\":\"a\\u0000b\"}", 422),
        (&[JSON], &long, 422),
        (&[JSON], &huge, 413),
        // What a foreign page can send without being asked first is no JSON.
        (
            &[("Content-Type", "text/plain")],
            "{\"name\":\"Alice\"}",
            415,
        ),
        (
            &[("Content-Type", "application/x-www-form-urlencoded")],
            "name=Alice",
            415,
        ),
    ];
    for (headers, body, status) in cases {
        let answer = sign_in(server.address, headers, body).await;
        assert_eq!(answer.status, status, "{body:.60}: {answer:?}");
        assert!(answer.json()["error"]["reason"].is_string(), "{answer:?}");
        assert!(!answer.body.contains("token\":\""), "{answer:?}");
    }
    for line in [
        "GET /api/v1/sign-in",
        "PUT /api/v1/sign-in",
        "GET /api/v1/refresh",
    ] {
        assert_eq!(
            request(server.address, line, &[], "").await.status,
            405,
            "{line}"
        );
    }
}

#[tokio::test]
async fn a_foreign_page_signs_nobody_in() {
    let server = shared();
    for origin in ["https://evil.example", "null"] {
        let answer = sign_in(
            server.address,
            &[JSON, ("Origin", origin)],
            "{\"name\":\"A\"}",
        )
        .await;
        assert_eq!(answer.status, 403, "{origin}");
        let refresh = [("Authorization", "Bearer x"), ("Origin", origin)];
        let answer = request(server.address, "POST /api/v1/refresh", &refresh, "").await;
        assert_eq!(answer.status, 403, "{origin}");
    }
    // Asking first is of no use either: no answer allows it.
    let ask = [
        ("Origin", "https://evil.example"),
        ("Access-Control-Request-Method", "POST"),
    ];
    let answer = request(server.address, "OPTIONS /api/v1/sign-in", &ask, "").await;
    assert_eq!(answer.header("Access-Control-Allow-Origin"), None);
}

#[tokio::test]
async fn an_address_that_is_not_local_is_no_place_to_sign_in() {
    let server = shared();
    for host in ["192.0.2.1", "[2001:db8::1]"] {
        let answer = sign_in(server.address, &[JSON, ("Host", host)], "{\"name\":\"A\"}").await;
        assert_eq!(answer.status, 403, "{host}");
    }
    let closed = own(|spec| spec.with("KAIWA_AUTH__SIGN_IN", "none"));
    assert_eq!(
        sign_in(closed.address, &[JSON], "{\"name\":\"A\"}")
            .await
            .status,
        403
    );
    let info = request(closed.address, "GET /api/v1/info", &[], "").await;
    assert_eq!(info.json()["sign_in"], "none");
    // Beyond loopback a request from this machine is nobody special.
    let lan = own(|spec| spec.arg("--listen").arg("0.0.0.0:0").arg("--allow-plain"));
    let address = SocketAddr::from(([127, 0, 0, 1], lan.port()));
    assert_eq!(
        sign_in(address, &[JSON], "{\"name\":\"A\"}").await.status,
        200
    );
    let remote = [JSON, ("X-Forwarded-For", "203.0.113.7")];
    assert_eq!(
        sign_in(address, &remote, "{\"name\":\"A\"}").await.status,
        403
    );
}

#[tokio::test]
async fn a_refresh_needs_a_good_token() {
    let server = shared();
    let refresh = async |value: &str| {
        let headers = [("Authorization", value)];
        request(server.address, "POST /api/v1/refresh", &headers, "").await
    };
    let foreign = format!("Bearer {}", Key::foreign().token("alice", 60));
    let expired = format!("Bearer {}", server.key().token("alice", -60));
    for value in ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer x", &foreign] {
        let answer = refresh(value).await;
        assert_eq!(answer.status, 401, "{value}");
        assert_eq!(answer.json()["error"]["code"], 200, "{value}");
    }
    let answer = refresh(&expired).await;
    assert_eq!(
        (answer.status, answer.json()["error"]["code"].as_u64()),
        (401, Some(201))
    );
}

#[tokio::test]
async fn signing_in_faster_than_an_addresss_rate_is_answered_429_with_the_time_to_wait() {
    let server = own(|spec| {
        let spec = spec.with("KAIWA_LIMITS__REQUESTS_PER_S", 1);
        spec.with("KAIWA_LIMITS__REQUEST_BURST", 4)
    });
    let mut refused = 0;
    for _ in 0..8 {
        let answer = sign_in(server.address, &[JSON], "{\"name\":\"Alice\"}").await;
        if answer.status == 429 {
            refused += 1;
            assert!(answer.header("Retry-After").is_some(), "{answer:?}");
            assert_eq!(answer.json()["error"]["code"], 301);
        }
    }
    assert!(refused >= 3, "{refused} of 8");
}
