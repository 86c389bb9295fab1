//! `POST /webhooks/mediaconvert`: job events by HTTP, for where no queue is.
//!
//! Two ways to show who one is, of which one suffices: `x-api-key` (EventBridge's API destinations, which sign
//! nothing), or `kaiwa-signature: t=…,v1=…` (others). Nothing is read of a body whose headers already fail.

mod seen;
mod verify;

pub use verify::{SIGNATURE, sign};

use super::consumer::{HintError, Hints, hand_on};
use super::hint::{Hint, read};
use crate::ports::JobEvent;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use kaiwa_common::limits::{CLIP_HINT_BYTES, CLIP_WEBHOOK_READ};
use kaiwa_common::redact::Secret;
use kaiwa_platform::clock::Clock;
use seen::{Seen, Turn};
use std::sync::Arc;
pub(crate) use verify::Verifier;

/// Who may call. With neither keys nor secrets nobody may.
#[derive(Debug, Clone, Default)]
pub struct WebhookOptions {
    /// API keys; two while one replaces the other.
    pub api_keys: Vec<Secret<String>>,
    /// Secrets of signatures; two while one replaces the other.
    pub secrets: Vec<Secret<Vec<u8>>>,
}

/// Why the options do not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebhookOptionsError {
    /// Under 16 bytes can be guessed.
    #[error("a key or secret has less than 16 bytes")]
    Short,
    /// Two suffice for replacing one.
    #[error("more than two keys or secrets")]
    Many,
    /// The system gives no randomness.
    #[error("no randomness")]
    Random,
}

/// The webhook.
pub struct Webhook {
    verifier: Verifier,
    clock: Arc<dyn Clock>,
    hints: Arc<dyn Hints>,
    seen: Seen,
}

impl Webhook {
    /// Hands events to `hints`.
    ///
    /// # Errors
    /// [`WebhookOptionsError`]
    pub fn new(
        options: &WebhookOptions,
        clock: Arc<dyn Clock>,
        hints: Arc<dyn Hints>,
    ) -> Result<Self, WebhookOptionsError> {
        Ok(Self {
            verifier: Verifier::new(options)?,
            clock,
            hints,
            seen: Seen::default(),
        })
    }

    /// Its route.
    pub fn router(self) -> Router {
        Router::new()
            .route("/webhooks/mediaconvert", post(receive))
            .with_state(Arc::new(self))
    }

    async fn handle(&self, headers: &HeaderMap, body: Body) -> Response {
        let Some(claim) = self.verifier.claim(headers, self.clock.now()) else {
            return refuse(StatusCode::UNAUTHORIZED, "not authenticated");
        };
        let reading = tokio::time::timeout(CLIP_WEBHOOK_READ, to_bytes(body, CLIP_HINT_BYTES));
        let body = match reading.await {
            Ok(Ok(body)) => body,
            Ok(Err(_)) => return refuse(StatusCode::PAYLOAD_TOO_LARGE, "too large, or broken off"),
            Err(_) => return refuse(StatusCode::REQUEST_TIMEOUT, "too slow"),
        };
        if !self.verifier.holds(&claim, &body) {
            return refuse(StatusCode::UNAUTHORIZED, "not authenticated");
        }
        let Ok(text) = std::str::from_utf8(&body) else {
            return refuse(StatusCode::UNPROCESSABLE_ENTITY, "hint_not_json");
        };
        match read(text) {
            Ok(Hint::Job(event)) => self.job(event).await,
            Ok(Hint::Nothing(_)) => (StatusCode::OK, "ignored").into_response(),
            // Object events have their queue; by HTTP nobody is meant to send them.
            Ok(Hint::Objects(_)) => refuse(StatusCode::UNPROCESSABLE_ENTITY, "hint_unknown_shape"),
            Err(unreadable) => {
                tracing::warn!(%unreadable, "a webhook's event can not be read");
                refuse(StatusCode::UNPROCESSABLE_ENTITY, unreadable.reason())
            }
        }
    }

    async fn job(&self, event: Box<JobEvent>) -> Response {
        let turn = match self.seen.begin(&event.id) {
            Turn::First(turn) => turn,
            Turn::Done => return (StatusCode::OK, "known").into_response(),
            Turn::InHand => return later(),
        };
        match hand_on(self.hints.as_ref(), Hint::Job(event)).await {
            Ok(()) => {
                turn.done();
                (StatusCode::OK, "accepted").into_response()
            }
            Err(HintError::Never(reason)) => {
                turn.done();
                refuse(StatusCode::UNPROCESSABLE_ENTITY, reason)
            }
            Err(HintError::Later(why)) => {
                tracing::debug!(why, "a webhook's event is to come again");
                later()
            }
        }
    }
}

async fn receive(State(webhook): State<Arc<Webhook>>, headers: HeaderMap, body: Body) -> Response {
    webhook.handle(&headers, body).await
}

fn refuse(status: StatusCode, why: &'static str) -> Response {
    (status, why).into_response()
}

/// EventBridge and others try again.
fn later() -> Response {
    let mut response = refuse(StatusCode::SERVICE_UNAVAILABLE, "later");
    let seconds = HeaderValue::from_static("5");
    response.headers_mut().insert(header::RETRY_AFTER, seconds);
    response
}
