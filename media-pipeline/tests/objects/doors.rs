//! The part's door: what was signed goes in, and every wrong input has its answer.

use crate::embedded::{Embedded, request};
use crate::world::{SHA256, TTL, World, noise, plan, summed};
use axum::body::Body;
use axum::http::{Request, Response};
use base64::Engine;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use kaiwa_media_pipeline::checksum::ChecksumKind;
use kaiwa_media_pipeline::ports::{Objects, PartPlan, SignedRequest};
use std::time::Duration;
use tower::ServiceExt as _;

const KEY: &str = "video/u/2026/11/c/source";

async fn signed(world: &Embedded, part: &PartPlan) -> (String, SignedRequest) {
    let upload = world.store.begin(KEY, "video/mp4", SHA256).await.unwrap();
    let signed = world
        .store
        .sign_part(KEY, &upload, part, TTL)
        .await
        .unwrap();
    (upload, signed)
}

async fn reason(response: Response<Body>) -> (u16, String) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert!(
        body["error"]["message"]
            .as_str()
            .is_some_and(|text| !text.is_empty())
    );
    (status, body["error"]["reason"].as_str().unwrap().to_owned())
}

async fn refused(world: &Embedded, request: Request<Body>, status: u16, expected: &str) {
    let response = world.call(request).await;
    if status == 405 {
        assert_eq!(response.headers()["allow"], "PUT, OPTIONS");
    }
    assert_eq!(reason(response).await, (status, expected.to_owned()));
}

#[tokio::test]
async fn a_part_is_answered_with_its_mark_and_may_come_again() {
    let world = Embedded::new().await;
    let (upload, signed) = signed(&world, &plan(1, b"bytes")).await;
    for _ in 0..2 {
        let response = world.call(request(&signed, b"bytes".to_vec())).await;
        assert_eq!(response.status(), 200);
        let parts = world.store.parts(KEY, &upload).await.unwrap();
        assert_eq!(
            response.headers()["etag"],
            format!("\"{}\"", parts[0].etag).as_str()
        );
        assert_eq!(response.headers()["cache-control"], "no-store");
        let exposed = response.headers()["access-control-expose-headers"]
            .to_str()
            .unwrap();
        assert!(exposed.contains("etag"));
    }
}

#[tokio::test]
async fn a_url_that_was_not_signed_so_is_refused() {
    let world = Embedded::new().await;
    let (upload, good) = signed(&world, &plan(1, b"bytes")).await;
    let (_, other) = signed(&world, &plan(2, b"other")).await;
    let with = |url: &str| {
        request(
            &SignedRequest {
                url: url.to_owned(),
                ..good.clone()
            },
            b"bytes".to_vec(),
        )
    };
    for url in [
        "/objects/part",
        "/objects/part?t=",
        "/objects/part?t=k1.AA.AA",
        "/objects/part?x=1",
    ] {
        refused(&world, with(url), 403, "SIGNATURE_INVALID").await;
    }
    // One's claim with another's signature: another part, another upload.
    let (claim, _) = other.url.rsplit_once('.').unwrap();
    let (_, mac) = good.url.rsplit_once('.').unwrap();
    refused(
        &world,
        with(&format!("{claim}.{mac}")),
        403,
        "SIGNATURE_INVALID",
    )
    .await;
    // A form's token is no part's.
    let form = world
        .store
        .sign_post(KEY, "video/mp4", 5, TTL)
        .await
        .unwrap();
    refused(
        &world,
        with(&format!("/objects/part?t={}", form.fields["token"])),
        403,
        "SIGNATURE_INVALID",
    )
    .await;
    assert_eq!(world.store.parts(KEY, &upload).await.unwrap(), []);
}

#[tokio::test]
async fn other_bytes_than_were_signed_and_late_ones_are_refused() {
    let world = Embedded::new().await;
    let (upload, good) = signed(&world, &plan(1, b"bytes")).await;
    refused(
        &world,
        request(&good, b"longer bytes".to_vec()),
        413,
        "TOO_LARGE",
    )
    .await;
    refused(&world, request(&good, b"byte".to_vec()), 400, "MISMATCH").await;
    refused(&world, request(&good, b"wrong".to_vec()), 400, "MISMATCH").await;
    let unmeasured =
        Request::put(&good.url).body(Body::from_stream(stream::iter([Ok::<_, std::io::Error>(
            Bytes::from_static(b"bytes"),
        )])));
    refused(&world, unmeasured.unwrap(), 411, "LENGTH_REQUIRED").await;
    // Another length is refused before a byte is read: none comes.
    for (length, status, expected) in [(4, 400, "MISMATCH"), (6, 413, "TOO_LARGE")] {
        let silent = stream::pending::<Result<Bytes, std::io::Error>>();
        let early = Request::put(&good.url).header("content-length", length);
        let early = early.body(Body::from_stream(silent)).unwrap();
        refused(&world, early, status, expected).await;
    }
    for sum in [
        "AAAA",
        "!",
        &base64::engine::general_purpose::STANDARD.encode([1; 32]),
    ] {
        let mut wrong = good.clone();
        wrong
            .headers
            .insert("x-amz-checksum-sha256".to_owned(), sum.to_owned());
        refused(&world, request(&wrong, b"bytes".to_vec()), 400, "MISMATCH").await;
    }
    for method in ["GET", "POST", "DELETE", "PATCH"] {
        let wrong = Request::builder()
            .method(method)
            .uri(&good.url)
            .body(Body::empty())
            .unwrap();
        refused(&world, wrong, 405, "METHOD").await;
    }
    assert_eq!(world.store.parts(KEY, &upload).await.unwrap(), []);
    world.clock.advance(TTL);
    refused(
        &world,
        request(&good, b"bytes".to_vec()),
        403,
        "SIGNATURE_EXPIRED",
    )
    .await;
    assert_eq!(world.store.parts(KEY, &upload).await.unwrap(), []);
}

#[tokio::test]
async fn a_checksum_that_was_not_signed_is_kept_to_if_the_client_sends_one() {
    let world = Embedded::new().await;
    let (_, mut signed) = signed(
        &world,
        &PartPlan {
            checksum: None,
            ..plan(1, b"bytes")
        },
    )
    .await;
    signed.headers.insert(
        "x-amz-checksum-sha256".to_owned(),
        base64::engine::general_purpose::STANDARD.encode([1; 32]),
    );
    refused(&world, request(&signed, b"bytes".to_vec()), 400, "MISMATCH").await;
    signed.headers.clear();
    assert_eq!(world.send(&signed, b"bytes".to_vec()).await.0, 200);
}

#[tokio::test]
async fn a_part_is_answered_with_the_checksum_that_its_upload_has() {
    let world = Embedded::new().await;
    for (kind, asked, header) in [
        (None, None, "x-amz-checksum-crc32c"),
        (
            Some(ChecksumKind::Crc32c),
            Some(ChecksumKind::Crc32c),
            "x-amz-checksum-crc32c",
        ),
        (Some(ChecksumKind::Crc32c), None, "x-amz-checksum-crc32c"),
        (SHA256, None, "x-amz-checksum-sha256"),
        (SHA256, SHA256, "x-amz-checksum-sha256"),
    ] {
        let upload = world.store.begin(KEY, "video/mp4", kind).await.unwrap();
        let part = PartPlan {
            checksum: asked.and_then(|kind| summed(kind, 1, b"bytes").checksum),
            ..plan(1, b"bytes")
        };
        let signed = world.store.sign_part(KEY, &upload, &part, TTL).await;
        let signed = signed.unwrap();
        assert_eq!(signed.headers.contains_key(header), asked.is_some());
        let response = world.call(request(&signed, b"bytes".to_vec())).await;
        let kind = kind.unwrap_or(ChecksumKind::Crc32c);
        let sum = summed(kind, 1, b"bytes").checksum.unwrap();
        assert_eq!(response.headers()[header], sum.base64().as_str());
        let parts = world.store.parts(KEY, &upload).await.unwrap();
        assert_eq!(parts[0].checksum, Some(sum));
    }
}

#[tokio::test]
async fn two_checksums_and_one_that_is_none_are_refused() {
    let world = Embedded::new().await;
    let crc32c = summed(ChecksumKind::Crc32c, 1, b"bytes");
    let upload = world
        .store
        .begin(KEY, "video/mp4", Some(ChecksumKind::Crc32c));
    let upload = upload.await.unwrap();
    let signed = world.store.sign_part(KEY, &upload, &crc32c, TTL).await;
    let signed = signed.unwrap();
    let sha256 = plan(1, b"bytes").checksum.unwrap().base64();
    // Both, though each is right; three bytes and five; and other bytes' one.
    for (name, value) in [
        ("x-amz-checksum-sha256", sha256.as_str()),
        ("x-amz-checksum-crc32c", "AAAA"),
        ("x-amz-checksum-crc32c", "AAAAAAA="),
        ("x-amz-checksum-crc32c", "AAAAAA=="),
    ] {
        let mut wrong = signed.clone();
        wrong.headers.insert(name.to_owned(), value.to_owned());
        refused(&world, request(&wrong, b"bytes".to_vec()), 400, "MISMATCH").await;
    }
    refused(&world, request(&signed, b"wrong".to_vec()), 400, "MISMATCH").await;
    assert_eq!(world.store.parts(KEY, &upload).await.unwrap(), []);
}

#[tokio::test]
async fn a_browser_of_any_origin_may_ask_first() {
    let world = Embedded::new().await;
    let ask = Request::options("/objects/part")
        .body(Body::empty())
        .unwrap();
    let response = world.call(ask).await;
    assert_eq!(response.status(), 204);
    assert_eq!(
        response.headers()["access-control-allow-methods"],
        "PUT, POST"
    );
    assert!(
        response
            .headers()
            .get("access-control-allow-credentials")
            .is_none()
    );
}

#[tokio::test(start_paused = true)]
async fn a_silent_or_slow_client_is_let_go() {
    let world = Embedded::new().await;
    let bytes = noise(1_000, 1);
    let (upload, good) = signed(&world, &plan(1, &bytes)).await;
    let measured = |body: Body| {
        Request::put(&good.url)
            .header("content-length", "1000")
            .body(body)
            .unwrap()
    };
    let begun = tokio::time::Instant::now();
    let silent =
        stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"x"))]).chain(stream::pending());
    refused(&world, measured(Body::from_stream(silent)), 408, "TOO_SLOW").await;
    assert!(begun.elapsed() >= Duration::from_secs(30));
    // One byte every 20 seconds is never silent for long.
    let drip = stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        Some((Ok::<_, std::io::Error>(Bytes::from_static(b"x")), ()))
    });
    refused(&world, measured(Body::from_stream(drip)), 408, "TOO_SLOW").await;
    assert_eq!(world.store.parts(KEY, &upload).await.unwrap(), []);
}

#[tokio::test]
async fn more_clients_than_places_are_told_to_come_again() {
    let mut world = Embedded::new().await;
    world.http.at_once = 0;
    let (_, good) = signed(&world, &plan(1, b"bytes")).await;
    let response = world.call(request(&good, b"bytes".to_vec())).await;
    assert_eq!(response.headers()["retry-after"], "2");
    assert_eq!(reason(response).await, (503, "BUSY".to_owned()));
}

#[tokio::test]
async fn one_person_does_not_take_every_place() {
    let world = Embedded::new().await;
    let router = world.router();
    let key = |user: &str| format!("video/{user}/2026/11/c/source");
    let signed = async |user: &str, number| {
        let key = key(user);
        let upload = world.store.begin(&key, "video/mp4", SHA256).await.unwrap();
        let part = plan(number, b"abc");
        world
            .store
            .sign_part(&key, &upload, &part, TTL)
            .await
            .unwrap()
    };
    let slow = |signed: &SignedRequest| {
        let body = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let request = Request::put(&signed.url).header("content-length", 3);
        router.clone().oneshot(request.body(body).unwrap())
    };
    let mut held = Vec::new();
    for number in 1..=16 {
        let signed = signed("mallory", number).await;
        let mut call = Box::pin(slow(&signed));
        assert!(futures_util::poll!(&mut call).is_pending());
        held.push(call);
    }
    let one_more = signed("mallory", 17).await;
    let refused = slow(&one_more).await.unwrap();
    assert_eq!(reason(refused).await, (503, "BUSY".to_owned()));
    let other = signed("alice", 1).await;
    let taken = world.call(request(&other, b"abc".to_vec())).await;
    assert_eq!(taken.status(), 200);
    drop(held.pop());
    let mut again = Box::pin(slow(&one_more));
    assert!(
        futures_util::poll!(&mut again).is_pending(),
        "its place is free"
    );
}
