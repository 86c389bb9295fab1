//! Web Push (RFC 8030): browsers, and UnifiedPush. The payload is described in `payload.rs`.

mod encrypt;
#[cfg(test)]
mod tests;
mod vapid;

pub use encrypt::encrypt;
pub use vapid::VapidKeys;

use super::answer::{by_status, clip, unanswered};
use super::payload::{Payload, fit};
use super::{Clock, PushSender, SenderError, Sending, expired, seconds_left, wrong_channel};
use crate::model::{Address, Outcome, Push, Target, Urgency};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use kaiwa_common::limits::WEB_PUSH_TEXT_BYTES;
use kaiwa_common::time::UnixMs;
use kaiwa_platform::outbound::Outbound;
use ring::hmac;
use ring::rand::SystemRandom;
use std::sync::Arc;
use vapid::Vapid;

/// Sends to push services.
pub struct WebPushSender {
    http: Arc<Outbound>,
    vapid: Vapid,
    random: SystemRandom,
    clock: Clock,
}

impl WebPushSender {
    /// `subject` is how a push service's operator reaches ours: `mailto:…` or `https://…`.
    ///
    /// # Errors
    /// [`SenderError::Setting`] when the subject is neither.
    pub fn new(
        http: Arc<Outbound>,
        keys: VapidKeys,
        subject: String,
        clock: Clock,
    ) -> Result<Self, SenderError> {
        let vapid = Vapid::new(keys, subject)?;
        Ok(Self {
            http,
            vapid,
            random: SystemRandom::new(),
            clock,
        })
    }

    async fn push(&self, target: &Target, push: &Push) -> Outcome {
        let now = (self.clock)();
        match self.request(target, push, now) {
            Ok(request) => match self.http.send(request).await {
                Ok(answer) => outcome(answer.status(), answer.headers(), now),
                Err(error) => unanswered(error),
            },
            Err(outcome) => outcome,
        }
    }

    fn request(
        &self,
        target: &Target,
        push: &Push,
        now: UnixMs,
    ) -> Result<Request<Bytes>, Outcome> {
        let Address::WebPush {
            endpoint,
            p256dh,
            auth,
        } = &target.address
        else {
            return Err(wrong_channel());
        };
        let ttl = seconds_left(push, now).ok_or_else(expired)?;
        let url = self.http.guard().check_url(&endpoint.0);
        let (uri, origin) = url.map_err(|reason| unanswered(reason.into()))?;
        let text = fit(push, WEB_PUSH_TEXT_BYTES, |text| {
            serde_json::to_vec(&Payload::new(target, push, text)).unwrap_or_default()
        });
        let text = text.ok_or(Outcome::TooLarge {
            limit: WEB_PUSH_TEXT_BYTES,
        })?;
        let body = encrypt(&self.random, p256dh, &auth.0, &text);
        let body = body.map_err(|_| Outcome::BadToken {
            code: "bad_key".to_owned(),
        })?;
        let failed = |code: &str| Outcome::Transient {
            code: code.to_owned(),
            retry_after: None,
        };
        let authorization = self.vapid.authorization(&origin, now);
        let authorization = authorization.map_err(|_| failed("signing"))?;
        let topic = HeaderValue::try_from(topic(&auth.0, &push.collapse));
        Request::builder()
            .method(Method::POST)
            .uri(uri)
            .header(TTL, ttl)
            .header(URGENCY, urgency(push.urgency))
            .header(TOPIC, topic.map_err(|_| failed("topic"))?)
            .header(AUTHORIZATION, authorization)
            .header(CONTENT_ENCODING, "aes128gcm")
            .header(CONTENT_TYPE, "application/octet-stream")
            .body(Bytes::from(body))
            .map_err(|_| Outcome::Rejected {
                code: "request".to_owned(),
            })
    }
}

impl PushSender for WebPushSender {
    fn send<'a>(&'a self, target: &'a Target, push: &'a Push) -> Sending<'a> {
        Box::pin(self.push(target, push))
    }
}

const TTL: HeaderName = HeaderName::from_static("ttl");
const URGENCY: HeaderName = HeaderName::from_static("urgency");
const TOPIC: HeaderName = HeaderName::from_static("topic");

const fn urgency(urgency: Urgency) -> &'static str {
    match urgency {
        Urgency::Low => "low",
        Urgency::Normal => "normal",
        Urgency::High => "high",
    }
}

/// The key by which a service replaces a message that waits (RFC 8030, section 5.4): 32 characters. Keyed
/// with the subscription's secret, so that a service doesn't see which subscriptions share a room.
#[must_use]
pub fn topic(auth: &[u8; 16], collapse: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, auth);
    let tag = hmac::sign(&key, collapse.as_bytes());
    URL_SAFE_NO_PAD.encode(&tag.as_ref()[..24])
}

/// What a push service's answer means (RFC 8030, section 5; RFC 8292, section 4.2).
///
/// 401 and 403 say that this subscription doesn't take our key. They are the subscription's fault and not
/// [`Outcome::AuthFailed`]: anybody can register an endpoint of a service that answers so, and must not be
/// able to stop the channel for all.
#[must_use]
pub fn outcome(status: StatusCode, headers: &HeaderMap, now: UnixMs) -> Outcome {
    match status.as_u16() {
        200..=299 => {
            let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
            // The last part alone: the whole is a capability to delete the message.
            let id = location
                .and_then(|url| url.rsplit('/').next())
                .unwrap_or_default();
            Outcome::Accepted {
                provider_id: clip(id),
            }
        }
        404 | 410 => Outcome::Unregistered { since: None },
        401 | 403 => Outcome::BadToken {
            code: format!("http_{}", status.as_u16()),
        },
        413 => Outcome::TooLarge {
            limit: WEB_PUSH_TEXT_BYTES,
        },
        _ => by_status(status, headers, None, now),
    }
}
