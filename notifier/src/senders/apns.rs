//! Apple's push service over HTTP/2, with a provider token.

mod message;
mod reason;
#[cfg(test)]
mod tests;

pub use reason::outcome;

use super::answer::unanswered;
use super::wrong_channel;
use super::{Clock, PushSender, SenderError, Sending, expired, jws, push_id, seconds_left};
use crate::model::{Address, Class, Outcome, Push, Target};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Method, Request};
use kaiwa_common::limits::{APNS_BYTES, APNS_CORRECTED, APNS_STREAMS, APNS_TOKEN, APNS_VOIP_BYTES};
use kaiwa_common::redact::Secret;
use kaiwa_common::time::UnixMs;
use kaiwa_platform::outbound::{Bounds, InvalidRoots, Outbound, OutboundConfig};
pub(super) use message::Message;
use ring::digest;
use ring::signature::EcdsaKeyPair;
use serde_json::json;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// An app's team and its key at Apple.
pub struct ApnsConfig {
    /// The key's id: ten characters.
    pub key_id: String,
    /// The team's id: ten characters.
    pub team_id: String,
    /// The key (`.p8`, PEM).
    pub key_pem: Secret<String>,
    /// `https://api.push.apple.com`; another in tests.
    pub production: String,
    /// `https://api.sandbox.push.apple.com`; another in tests.
    pub sandbox: String,
}

/// Apple's two environments.
pub const PRODUCTION: &str = "https://api.push.apple.com";
/// For builds from Xcode.
pub const SANDBOX: &str = "https://api.sandbox.push.apple.com";

/// A sender can't be made.
#[derive(Debug, thiserror::Error)]
pub enum ApnsError {
    /// The key or a setting.
    #[error(transparent)]
    Sender(#[from] SenderError),
    /// The roots of the client.
    #[error(transparent)]
    Roots(#[from] InvalidRoots),
}

/// Sends to Apple, for one team: one connection for each environment, with many streams.
pub struct ApnsSender {
    http: Outbound,
    key: EcdsaKeyPair,
    config: ApnsConfig,
    token: Mutex<Option<(i64, HeaderValue)>>,
    /// Digests of device tokens that turned out to be of the other environment than registered.
    corrected: Mutex<HashSet<[u8; 32]>>,
    /// The key is known to be good in production, in the sandbox: a push was taken there.
    is_good: [AtomicBool; 2],
    clock: Clock,
}

impl ApnsSender {
    /// The sender makes its own client of `http`, since a connection carries one team's pushes only.
    ///
    /// # Errors
    /// [`ApnsError`] when the key is not one for ES256, or the roots can't be used.
    pub fn new(config: ApnsConfig, http: OutboundConfig, clock: Clock) -> Result<Self, ApnsError> {
        let bounds = Bounds {
            connections: 1,
            streams: APNS_STREAMS,
        };
        Ok(Self {
            http: Outbound::new(OutboundConfig { bounds, ..http })?,
            key: jws::es256_key_pem(config.key_pem.expose())?,
            config,
            token: Mutex::default(),
            corrected: Mutex::default(),
            is_good: Default::default(),
            clock,
        })
    }

    async fn push(&self, target: &Target, push: &Push) -> Outcome {
        let Address::Apns {
            token,
            is_sandbox,
            topic,
        } = &target.address
        else {
            return wrong_channel();
        };
        let digest = digest_of(&token.0);
        let is_corrected = lock(&self.corrected).contains(&digest);
        let is_sandbox = *is_sandbox != is_corrected;
        let first = self
            .try_once(target, push, topic, &token.0, is_sandbox)
            .await;
        if !is_bad_device(&first) && !is_other_environments_key(&first) {
            return first;
        }
        // A build from Xcode that was registered as one from the store, or the other way about: asked once.
        let second = self
            .try_once(target, push, topic, &token.0, !is_sandbox)
            .await;
        if !matches!(second, Outcome::Accepted { .. }) {
            let is_good = self.is_good[usize::from(!is_sandbox)].load(Relaxed);
            return of_both(first, second, is_good);
        }
        let mut corrected = lock(&self.corrected);
        if corrected.len() >= APNS_CORRECTED {
            corrected.clear();
        }
        if is_corrected {
            corrected.remove(&digest);
        } else {
            corrected.insert(digest);
        }
        second
    }

    async fn try_once(
        &self,
        target: &Target,
        push: &Push,
        topic: &str,
        token: &str,
        is_sandbox: bool,
    ) -> Outcome {
        let now = (self.clock)();
        let host = if is_sandbox {
            &self.config.sandbox
        } else {
            &self.config.production
        };
        let url = format!("{host}/3/device/{token}");
        match self.request(target, push, topic, &url, now) {
            Ok(request) => match self.http.send(request).await {
                Ok(answer) => {
                    let is_taken = answer.status().is_success();
                    self.is_good[usize::from(is_sandbox)].fetch_or(is_taken, Relaxed);
                    outcome(answer.status(), answer.headers(), answer.body(), now)
                }
                Err(error) => unanswered(error),
            },
            Err(outcome) => outcome,
        }
    }

    fn request(
        &self,
        target: &Target,
        push: &Push,
        topic: &str,
        url: &str,
        now: UnixMs,
    ) -> Result<Request<Bytes>, Outcome> {
        seconds_left(push, now).ok_or_else(expired)?;
        let rejected = |code: &str| Outcome::Rejected {
            code: code.to_owned(),
        };
        let is_voip = topic.ends_with(".voip");
        // iOS ends an app that gets a PushKit push and shows no call.
        if is_voip && !matches!(push.class, Class::Call | Class::CallOver) {
            return Err(rejected("voip_is_for_calls"));
        }
        let message = Message::new(push, is_voip);
        let limit = if is_voip { APNS_VOIP_BYTES } else { APNS_BYTES };
        let body = message
            .body(target, push, limit)
            .ok_or(Outcome::TooLarge { limit })?;
        let authorization = self.authorization(now);
        let authorization = authorization.map_err(|_| Outcome::Transient {
            code: "signing".to_owned(),
            retry_after: None,
        })?;
        Request::builder()
            .method(Method::POST)
            .uri(url)
            .header(AUTHORIZATION, authorization)
            .header("apns-id", push_id(target, push).to_string())
            .header("apns-collapse-id", collapse_id(&push.collapse))
            .header("apns-push-type", message.push_type())
            .header("apns-priority", message.priority())
            .header("apns-expiration", push.expires.0 / 1_000)
            .header("apns-topic", topic)
            .header("content-type", "application/json")
            .body(Bytes::from(body))
            .map_err(|_| rejected("request"))
    }

    /// The provider token of this span of the clock.
    fn authorization(&self, now: UnixMs) -> Result<HeaderValue, SenderError> {
        let span = i64::try_from(APNS_TOKEN.as_secs()).unwrap_or(i64::MAX);
        let issued = now.0.div_euclid(1_000).div_euclid(span) * span;
        let mut token = lock(&self.token);
        if let Some((at, value)) = token.as_ref()
            && *at == issued
        {
            return Ok(value.clone());
        }
        let header = json!({ "alg": "ES256", "kid": self.config.key_id });
        let claims = json!({ "iss": self.config.team_id, "iat": issued });
        let signed = jws::es256(&self.key, &header, &claims)?;
        let value = HeaderValue::try_from(format!("bearer {signed}"));
        let mut value = value.map_err(|_| SenderError::Signing)?;
        value.set_sensitive(true);
        *token = Some((issued, value.clone()));
        Ok(value)
    }

    /// Connections that are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.http.connections()
    }
}

impl PushSender for ApnsSender {
    fn send<'a>(&'a self, target: &'a Target, push: &'a Push) -> Sending<'a> {
        Box::pin(self.push(target, push))
    }
}

fn is_bad_device(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::BadToken { code } if code == "BadDeviceToken")
}

/// The key is one for the other environment alone: of the token that says nothing.
fn is_other_environments_key(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::AuthFailed { code } if code == "BadEnvironmentKeyInToken")
}

/// What two refusals say together. Anybody can register a dead token, or one as of the other environment, and must not
/// be able to stop the channel for all: a key that Apple knows in one environment is blamed for the other's only as
/// long as no push was taken with it.
fn of_both(first: Outcome, second: Outcome, is_good: bool) -> Outcome {
    let is_wrong_key = is_other_environments_key;
    match (is_bad_device(&first), is_bad_device(&second)) {
        (true, true) => first,
        (true, false) if is_wrong_key(&second) => first,
        (false, true) if !is_good => first,
        (true | false, true | false) => second,
    }
}

fn digest_of(token: &str) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, token.as_bytes());
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// At most 64 bytes, the same for the same key.
pub(super) fn collapse_id(collapse: &str) -> String {
    let is_plain = collapse.bytes().all(|b| b.is_ascii_graphic());
    if collapse.len() <= 64 && is_plain {
        return collapse.to_owned();
    }
    URL_SAFE_NO_PAD.encode(digest_of(collapse))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
