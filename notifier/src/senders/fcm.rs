//! Google's Firebase Cloud Messaging, HTTP v1.
//!
//! Android gets data and no ready-made notification, so that the app can see whose it is, drop repeats and
//! replace what it shows; Apple's devices and browsers that were registered with Firebase get theirs ready
//! (`apns`, `webpush`). FCM keeps messages with up to four collapse keys for a device that is away.

mod answer;
#[cfg(test)]
mod tests;
mod token;

pub use answer::outcome;
pub use token::ServiceAccount;

use super::answer::unanswered;
use super::apns::{Message, collapse_id};
use super::payload::{Payload, Text, fit};
use super::wrong_channel;
use super::{Clock, PushSender, SenderError, Sending, expired, push_id, seconds_left};
use crate::model::{Address, Outcome, Push, Target, Urgency};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, StatusCode};
use kaiwa_common::limits::FCM_BYTES;
use kaiwa_platform::outbound::Outbound;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use token::AccessTokens;

/// Sends by FCM, for one project.
pub struct FcmSender {
    http: Arc<Outbound>,
    tokens: AccessTokens,
    url: String,
    clock: Clock,
}

/// Seconds that FCM keeps a message at most: four weeks. A longer wish is refused.
pub(super) const LONGEST: u64 = 28 * 24 * 3_600;

/// Where FCM is.
pub const FCM: &str = "https://fcm.googleapis.com";

impl FcmSender {
    /// `base` is [`FCM`]; another in tests.
    ///
    /// # Errors
    /// [`SenderError`] when the account's key is not one for RS256, or its project is not a name.
    pub fn new(
        http: Arc<Outbound>,
        account: ServiceAccount,
        base: &str,
        clock: Clock,
    ) -> Result<Self, SenderError> {
        let url = format!("{base}/v1/projects/{}/messages:send", account.project());
        let tokens = AccessTokens::new(account)?;
        Ok(Self {
            http,
            tokens,
            url,
            clock,
        })
    }

    async fn push(&self, target: &Target, push: &Push) -> Outcome {
        let Address::Fcm { token } = &target.address else {
            return wrong_channel();
        };
        let Some(ttl) = seconds_left(push, (self.clock)()) else {
            return expired();
        };
        let ttl = ttl.min(LONGEST);
        // The whole is kept within what the data alone may have, since Apple's part repeats the text.
        let body = fit(push, FCM_BYTES, |text| {
            message(target, push, &token.0, ttl, text)
        });
        let Some(body) = body.map(Bytes::from) else {
            return Outcome::TooLarge { limit: FCM_BYTES };
        };
        let mut is_again = false;
        loop {
            let now = (self.clock)();
            let access = match self.tokens.get(&self.http, now).await {
                Ok(access) => access,
                Err(outcome) => return outcome,
            };
            let answer = match self.request(access.clone(), body.clone()) {
                Ok(request) => self.http.send(request).await,
                Err(outcome) => return outcome,
            };
            match answer {
                // Revoked before its time: a new one is tried once.
                Ok(answer) if is_stale(answer.status(), answer.body()) && !is_again => {
                    self.tokens.forget(&access).await;
                    is_again = true;
                }
                Ok(answer) => {
                    return outcome(answer.status(), answer.headers(), answer.body(), now);
                }
                Err(error) => return unanswered(error),
            }
        }
    }

    fn request(&self, access: HeaderValue, body: Bytes) -> Result<Request<Bytes>, Outcome> {
        Request::builder()
            .method(Method::POST)
            .uri(&self.url)
            .header(AUTHORIZATION, access)
            .header(CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(|_| Outcome::Rejected {
                code: "request".to_owned(),
            })
    }
}

impl PushSender for FcmSender {
    fn send<'a>(&'a self, target: &'a Target, push: &'a Push) -> Sending<'a> {
        Box::pin(self.push(target, push))
    }
}

fn is_stale(status: StatusCode, body: &[u8]) -> bool {
    status == StatusCode::UNAUTHORIZED && answer::status_name(body) == "UNAUTHENTICATED"
}

fn message(target: &Target, push: &Push, token: &str, ttl: u64, text: Option<Text<'_>>) -> Vec<u8> {
    let mut message = unaddressed(target, push, ttl, text);
    message["token"] = token.into();
    serde_json::to_vec(&json!({ "message": message })).unwrap_or_default()
}

/// The message but for whom it is for, as SNS takes it too.
pub(super) fn unaddressed(target: &Target, push: &Push, ttl: u64, text: Option<Text<'_>>) -> Value {
    let apple = Message::new(push, false);
    let urgency = match push.urgency {
        Urgency::Low => "low",
        Urgency::Normal => "normal",
        Urgency::High => "high",
    };
    let priority = if push.urgency == Urgency::High {
        "HIGH"
    } else {
        "NORMAL"
    };
    json!({
        "data": data(target, push, text),
        "android": { "collapse_key": push.collapse, "priority": priority, "ttl": format!("{ttl}s") },
        "apns": {
            "headers": {
                "apns-id": push_id(target, push).to_string(),
                "apns-push-type": apple.push_type(),
                "apns-priority": apple.priority(),
                "apns-expiration": (push.expires.0 / 1_000).to_string(),
                "apns-collapse-id": collapse_id(&push.collapse),
            },
            "payload": { "aps": apple.aps(push, text) },
        },
        "webpush": { "headers": { "TTL": ttl.to_string(), "Urgency": urgency } },
    })
}

/// The payload with every value as text, which is all that FCM's data takes.
fn data(target: &Target, push: &Push, text: Option<Text<'_>>) -> Map<String, Value> {
    let payload = serde_json::to_value(Payload::new(target, push, text)).unwrap_or_default();
    let Value::Object(members) = payload else {
        return Map::new();
    };
    let as_text = |value: Value| {
        let text = value.as_str().map(str::to_owned);
        text.unwrap_or_else(|| value.to_string())
    };
    members
        .into_iter()
        .map(|(key, value)| (key, as_text(value).into()))
        .collect()
}
