//! The webhook: who may call, what is refused before it is read, and that a replay does nothing.

use super::heard::{Heard, event};
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use kaiwa_common::redact::Secret;
use kaiwa_common::time::UnixMs;
use kaiwa_media_pipeline::mediaconvert::webhook::{SIGNATURE, WebhookOptionsError, sign};
use kaiwa_media_pipeline::mediaconvert::{HintError, Webhook, WebhookOptions};
use kaiwa_platform::clock::ManualClock;
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt as _;

const KEY: &str = "an-api-key-of-32-characters-0001";
const NEXT_KEY: &str = "an-api-key-of-32-characters-0002";
const SECRET: &[u8] = b"a secret of more than 16 bytes";
const NEXT_SECRET: &[u8] = b"the secret that comes after it";
const NOW: UnixMs = UnixMs(1_795_838_400_000);

struct World {
    router: axum::Router,
    heard: Arc<Heard>,
    clock: ManualClock,
}

impl World {
    fn new() -> Self {
        Self::with(WebhookOptions {
            api_keys: vec![
                Secret::new(KEY.to_owned()),
                Secret::new(NEXT_KEY.to_owned()),
            ],
            secrets: vec![
                Secret::new(SECRET.to_vec()),
                Secret::new(NEXT_SECRET.to_vec()),
            ],
        })
    }

    fn with(options: WebhookOptions) -> Self {
        let (heard, clock) = (Arc::new(Heard::default()), ManualClock::at(NOW));
        let hints = Arc::clone(&heard) as _;
        let webhook = Webhook::new(&options, Arc::new(clock.clone()), hints).unwrap();
        Self {
            router: webhook.router(),
            heard,
            clock,
        }
    }

    async fn post(&self, headers: &[(&str, &str)], body: impl Into<Body>) -> (StatusCode, String) {
        let mut request = Request::post("/webhooks/mediaconvert");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, later) = (
            response.status(),
            response.headers().get(header::RETRY_AFTER),
        );
        assert_eq!(later.is_some(), status == StatusCode::SERVICE_UNAVAILABLE);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn signed(&self, signature: &str, body: &str) -> StatusCode {
        self.post(&[(SIGNATURE, signature)], body.to_owned())
            .await
            .0
    }

    fn heard(&self) -> usize {
        self.heard.jobs.lock().unwrap().len()
    }
}

#[tokio::test]
async fn a_key_or_a_signature_lets_an_event_in() {
    let world = World::new();
    for (n, key) in [KEY, NEXT_KEY].into_iter().enumerate() {
        let (status, _) = world
            .post(&[("x-api-key", key)], event(&format!("k{n}"), "COMPLETE"))
            .await;
        assert_eq!(status, StatusCode::OK);
    }
    for (n, secret) in [SECRET, NEXT_SECRET].into_iter().enumerate() {
        let body = event(&format!("s{n}"), "COMPLETE");
        let signature = sign(secret, NOW, body.as_bytes());
        assert_eq!(world.signed(&signature, &body).await, StatusCode::OK);
    }
    // Who replaces a secret signs with both.
    let body = event("both", "COMPLETE");
    let old = sign(b"a secret that is gone by now", NOW, body.as_bytes());
    let new = sign(SECRET, NOW, body.as_bytes());
    let both = format!("{old},{}", new.split_once(',').unwrap().1);
    assert_eq!(world.signed(&both, &body).await, StatusCode::OK);
    assert_eq!(world.heard(), 5);
}

#[tokio::test]
async fn nobody_else_gets_in_and_nothing_of_it_is_said() {
    let world = World::new();
    let body = event("e", "COMPLETE");
    let good = sign(SECRET, NOW, body.as_bytes());
    let other = sign(b"not the secret that is meant", NOW, body.as_bytes());
    let of_other_body = sign(SECRET, NOW, b"{}");
    let (time, tag) = good.split_once(',').unwrap();
    let moved = format!("t=1795838401,{tag}");
    let cut = &good[..good.len() - 2];
    let thrice = format!("{good},{tag},{tag}");
    let twice = format!("{time},{good}");
    for headers in [
        vec![],
        vec![("x-api-key", "")],
        vec![("x-api-key", "an-api-key-of-32-characters-0003")],
        vec![("x-api-key", &KEY[..31])],
        vec![("x-api-key", KEY), ("x-api-key", KEY)],
        // A wrong key is not mended by a right signature.
        vec![("x-api-key", "wrong"), (SIGNATURE, good.as_str())],
        vec![(SIGNATURE, "")],
        vec![(SIGNATURE, other.as_str())],
        vec![(SIGNATURE, of_other_body.as_str())],
        vec![(SIGNATURE, moved.as_str())],
        vec![(SIGNATURE, cut)],
        vec![(SIGNATURE, thrice.as_str())],
        vec![(SIGNATURE, twice.as_str())],
        vec![(SIGNATURE, time)],
        vec![(SIGNATURE, tag)],
        vec![(SIGNATURE, good.as_str()), (SIGNATURE, good.as_str())],
    ] {
        let (status, said) = world.post(&headers, body.clone()).await;
        assert_eq!(
            (status, said.as_str()),
            (StatusCode::UNAUTHORIZED, "not authenticated"),
            "{headers:?}"
        );
    }
    assert_eq!(world.heard(), 0);
    let closed = World::with(WebhookOptions::default());
    assert_eq!(
        closed.post(&[("x-api-key", "")], body.clone()).await.0,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(closed.signed(&good, &body).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_signature_holds_for_five_minutes_to_either_side() {
    let world = World::new();
    for (n, away_s, status) in [
        (0, -300, StatusCode::OK),
        (1, 300, StatusCode::OK),
        (2, -301, StatusCode::UNAUTHORIZED),
        (3, 301, StatusCode::UNAUTHORIZED),
    ] {
        let body = event(&format!("w{n}"), "COMPLETE");
        let signature = sign(SECRET, UnixMs(NOW.0 + away_s * 1000), body.as_bytes());
        assert_eq!(world.signed(&signature, &body).await, status, "{away_s}");
    }
    let body = event("later", "COMPLETE");
    let signature = sign(SECRET, NOW, body.as_bytes());
    world.clock.advance(Duration::from_secs(301));
    assert_eq!(
        world.signed(&signature, &body).await,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn a_replay_does_nothing_and_what_failed_may_come_again() {
    let world = World::new();
    let send = || world.post(&[("x-api-key", KEY)], event("same", "COMPLETE"));
    world.heard.say(HintError::Later("no store".to_owned()));
    assert_eq!(send().await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(send().await, (StatusCode::OK, "accepted".to_owned()));
    assert_eq!(send().await, (StatusCode::OK, "known".to_owned()));
    assert_eq!(world.heard(), 2);
    world.heard.say(HintError::Never("no_such_clip"));
    let (status, said) = world
        .post(&[("x-api-key", KEY)], event("never", "COMPLETE"))
        .await;
    assert_eq!(
        (status, said.as_str()),
        (StatusCode::UNPROCESSABLE_ENTITY, "no_such_clip")
    );
}

#[tokio::test]
async fn a_body_is_bounded_and_read_only_from_those_who_may_call() {
    let world = World::new();
    let large = "x".repeat(256 * 1024 + 1);
    let key = [("x-api-key", KEY)];
    assert_eq!(
        world.post(&key, large.clone()).await.0,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    // One that never ends is not waited for.
    let endless = || Body::from_stream(futures_util::stream::pending::<std::io::Result<Vec<u8>>>());
    assert_eq!(world.post(&[], endless()).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(
        world.post(&[(SIGNATURE, "t=1,v1=")], endless()).await.0,
        StatusCode::UNAUTHORIZED
    );
    tokio::time::pause();
    assert_eq!(
        world.post(&key, endless()).await.0,
        StatusCode::REQUEST_TIMEOUT
    );
}

#[tokio::test]
async fn what_is_no_job_event_is_refused_with_its_reason() {
    let world = World::new();
    let key = [("x-api-key", KEY)];
    for (body, reason) in [
        ("hello".as_bytes().to_vec(), "hint_not_json"),
        (vec![0xff, 0xfe], "hint_not_json"),
        (
            include_bytes!("corpus/bad_job_status.json").to_vec(),
            "hint_unknown_status",
        ),
        (
            include_bytes!("corpus/bad_job_id.json").to_vec(),
            "hint_field_invalid",
        ),
        (
            include_bytes!("corpus/s3_created.json").to_vec(),
            "hint_unknown_shape",
        ),
    ] {
        let (status, said) = world.post(&key, body).await;
        assert_eq!(
            (status, said.as_str()),
            (StatusCode::UNPROCESSABLE_ENTITY, reason)
        );
    }
    let warning = include_str!("corpus/job_new_warning.json");
    assert_eq!(
        world.post(&key, warning).await,
        (StatusCode::OK, "ignored".to_owned())
    );
    assert_eq!(world.heard(), 0);
}

#[test]
fn keys_that_can_be_guessed_are_no_keys() {
    let make = |keys: &[&str]| {
        let options = WebhookOptions {
            api_keys: keys
                .iter()
                .map(|key| Secret::new((*key).to_owned()))
                .collect(),
            secrets: Vec::new(),
        };
        let clock = Arc::new(ManualClock::at(NOW));
        Webhook::new(&options, clock, Arc::new(Heard::default())).err()
    };
    assert_eq!(make(&["short"]), Some(WebhookOptionsError::Short));
    assert_eq!(make(&[KEY, KEY, KEY]), Some(WebhookOptionsError::Many));
    assert_eq!(make(&[KEY]), None);
}

/// Computed by Python's `hmac`: others have to be able to sign.
#[test]
fn a_signature_is_the_hmac_of_time_and_body() {
    let tag = "38e3d5a4767cb60b0b96099e933b228dae7866b802988ffd3f95118636c798c3";
    let signature = sign(SECRET, NOW, b"{\"id\":1}");
    assert_eq!(signature, format!("t=1795838400,v1={tag}"));
}
