//! A Web Push service (RFC 8030) that asks for VAPID (RFC 8292), as the browsers' services do.

mod message;

pub use message::open;

use crate::record::Delivery;
use crate::server::{Answer, answer};
use crate::{State, jwt};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, LOCATION};
use http::{HeaderValue, Method, StatusCode, request};
use message::Keys;
use p256::SecretKey;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// A subscription as a browser gives it to a page (W3C Push API, `PushSubscription.toJSON`).
#[derive(Debug, Clone, Serialize)]
pub struct Subscription {
    /// Where to push.
    pub endpoint: String,
    /// The public key, an uncompressed point, in base64url.
    pub p256dh: String,
    /// The authentication secret, in base64url.
    pub auth: String,
    /// The endpoint's last part, by which reports name the device.
    pub device: String,
}

#[derive(Default)]
pub(crate) struct Service {
    /// By token; without keys those of browsers that decrypt by themselves.
    subscriptions: Mutex<BTreeMap<String, Option<Arc<Keys>>>>,
    /// Authorisations that were found good, with the end of each: a provider doesn't check each anew.
    good: Mutex<HashMap<String, i64>>,
}

impl Service {
    pub(crate) fn subscribe(&self, url: &str) -> anyhow::Result<Subscription> {
        let keys = Keys::generate()?;
        let device = self.insert(Some(Arc::new(keys.clone())))?;
        Ok(Subscription {
            endpoint: format!("{url}/push/{device}"),
            p256dh: URL_SAFE_NO_PAD.encode(keys.public()),
            auth: URL_SAFE_NO_PAD.encode(keys.auth),
            device,
        })
    }

    pub(crate) fn subscribe_foreign(&self, url: &str) -> anyhow::Result<String> {
        Ok(format!("{url}/push/{}", self.insert(None)?))
    }

    fn insert(&self, keys: Option<Arc<Keys>>) -> anyhow::Result<String> {
        let mut token = [0; 24];
        getrandom::fill(&mut token).map_err(|error| anyhow::anyhow!("{error}"))?;
        let token = URL_SAFE_NO_PAD.encode(token);
        let mut all = self
            .subscriptions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.insert(token.clone(), keys);
        Ok(token)
    }

    fn find(&self, token: &str) -> Option<Option<Arc<Keys>>> {
        let all = self
            .subscriptions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.get(token).cloned()
    }

    fn is_authorised(&self, header: &str, url: &str) -> bool {
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        if good.get(header).is_some_and(|end| *end > jwt::now()) {
            return true;
        }
        let Some(end) = check_vapid(header, url) else {
            return false;
        };
        good.insert(header.to_owned(), end);
        true
    }
}

type Refusal = (StatusCode, &'static str);

pub(crate) fn serve(state: &State, head: &request::Parts, body: &Bytes) -> Answer {
    match accept(state, head, body) {
        Ok(delivery) => {
            let location = format!("{}/message/{}", state.url(), delivery.device);
            let mut created = answer(StatusCode::CREATED, "");
            let headers = created.headers_mut();
            for (name, value) in [("location", &location), ("ttl", &delivery.ttl)] {
                if let Ok(value) = HeaderValue::from_str(value) {
                    headers.insert(name, value);
                }
            }
            debug_assert!(headers.contains_key(LOCATION));
            state.accept(delivery);
            created
        }
        Err((status, reason)) => {
            state.record().refuse(reason);
            answer(status, reason)
        }
    }
}

fn accept(state: &State, head: &request::Parts, body: &Bytes) -> Result<Delivery, Refusal> {
    let bad = |reason| (StatusCode::BAD_REQUEST, reason);
    let token = head.uri.path().strip_prefix("/push/");
    let token = token.ok_or((StatusCode::NOT_FOUND, "no_such_path"))?;
    if head.method != Method::POST {
        return Err((StatusCode::METHOD_NOT_ALLOWED, "not_post"));
    }
    let keys = state
        .webpush
        .find(token)
        .ok_or((StatusCode::NOT_FOUND, "no_such_subscription"))?;
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    if body.len() > 4_096 {
        return Err((StatusCode::PAYLOAD_TOO_LARGE, "too_large"));
    }
    let ttl = header("ttl").ok_or(bad("no_ttl"))?;
    ttl.parse::<u32>().map_err(|_| bad("bad_ttl"))?;
    let urgency = header("urgency").unwrap_or("normal");
    if !["very-low", "low", "normal", "high"].contains(&urgency) {
        return Err(bad("bad_urgency"));
    }
    let topic = header("topic").unwrap_or_default();
    let is_base64url = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
    if topic.len() > 32 || !topic.bytes().all(is_base64url) {
        return Err(bad("bad_topic"));
    }
    if header(CONTENT_ENCODING.as_str()) != Some("aes128gcm") {
        return Err(bad("bad_encoding"));
    }
    let authorisation = header(AUTHORIZATION.as_str());
    let authorisation = authorisation.ok_or((StatusCode::UNAUTHORIZED, "no_vapid"))?;
    if !state.webpush.is_authorised(authorisation, &state.url()) {
        return Err((StatusCode::FORBIDDEN, "bad_vapid"));
    }
    let payload = read(state, keys.as_deref(), body);
    let json: Value = serde_json::from_str(&payload).unwrap_or_default();
    Ok(Delivery {
        device: token.to_owned(),
        id: json["id"].as_str().unwrap_or_default().to_owned(),
        collapse: topic.to_owned(),
        urgency: urgency.to_owned(),
        push_type: String::new(),
        ttl: ttl.to_owned(),
        payload,
        bytes: body.len(),
        body: body.clone(),
    })
}

/// Opens the message as the device would. The service can't; so it refuses nothing for it, and counts.
fn read(state: &State, keys: Option<&Keys>, body: &[u8]) -> String {
    let every = u64::from(state.options.open_every);
    let is_due = every > 0 && state.record().report.requests.is_multiple_of(every);
    let Some(keys) = keys.filter(|_| is_due) else {
        return String::new();
    };
    let text = keys
        .open(body)
        .and_then(|text| String::from_utf8(text).ok());
    text.unwrap_or_else(|| {
        state.record().report.unreadable += 1;
        String::new()
    })
}

/// The end of a token that is good for this service.
fn check_vapid(header: &str, url: &str) -> Option<i64> {
    let (mut token, mut key) = (None, None);
    for part in header.strip_prefix("vapid ")?.split(',') {
        match part.trim().split_once('=')? {
            ("t", value) => token = Some(value),
            ("k", value) => key = Some(URL_SAFE_NO_PAD.decode(value).ok()?),
            _ => {}
        }
    }
    let jwt = jwt::es256(token?, &key?)?;
    let end = jwt.claims["exp"].as_i64()?;
    let is_in_time = end > jwt::now() && end <= jwt::now() + 24 * 3600;
    let subject = jwt.claims["sub"].as_str()?;
    let has_contact = subject.starts_with("mailto:") || subject.starts_with("https:");
    (jwt.claims["aud"] == url && is_in_time && has_contact).then_some(end)
}

/// A private key from bytes that the operating system gives; not every 32 bytes are one.
fn secret_key() -> anyhow::Result<SecretKey> {
    loop {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("{error}"))?;
        if let Ok(key) = SecretKey::from_slice(&bytes) {
            return Ok(key);
        }
    }
}
