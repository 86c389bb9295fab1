//! Who calls: an API key, or a signature over the time and the body.

use super::{WebhookOptions, WebhookOptionsError};
use axum::http::HeaderMap;
use kaiwa_common::limits::CLIP_WEBHOOK_WINDOW;
use kaiwa_common::time::UnixMs;
use ring::hmac;

/// The header of signatures.
pub const SIGNATURE: &str = "kaiwa-signature";

/// The header of API keys; EventBridge's connections can be told any.
const API_KEY: &str = "x-api-key";

/// The header's value for this body: `t=` seconds since the Unix epoch, `v1=` HMAC-SHA256 of `t.body` in hex.
#[must_use]
pub fn sign(secret: &[u8], now: UnixMs, body: &[u8]) -> String {
    let time = (now.0 / 1000).to_string();
    let tag = tag(&hmac::Key::new(hmac::HMAC_SHA256, secret), &time, body);
    let hex: String = tag.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    format!("t={time},v1={hex}")
}

fn tag(key: &hmac::Key, time: &str, body: &[u8]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    context.update(time.as_bytes());
    context.update(b".");
    context.update(body);
    context.sign()
}

pub(crate) struct Verifier {
    /// Of this process: keys are compared by their tags, in constant time, whatever their lengths.
    blind: hmac::Key,
    api_keys: Vec<hmac::Tag>,
    secrets: Vec<hmac::Key>,
}

/// What a request shows, before its body is read.
pub(crate) enum Claim {
    /// A key that is right.
    Key,
    /// Signatures that are to be checked.
    Signed { time: String, tags: Vec<[u8; 32]> },
}

impl Verifier {
    pub(crate) fn new(options: &WebhookOptions) -> Result<Self, WebhookOptionsError> {
        let keys = options.api_keys.iter().map(|key| key.expose().as_bytes());
        let secrets = options.secrets.iter().map(|s| s.expose().as_slice());
        if options.api_keys.len() > 2 || options.secrets.len() > 2 {
            return Err(WebhookOptionsError::Many);
        }
        if keys.clone().chain(secrets.clone()).any(|s| s.len() < 16) {
            return Err(WebhookOptionsError::Short);
        }
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|_| WebhookOptionsError::Random)?;
        let blind = hmac::Key::new(hmac::HMAC_SHA256, &random);
        Ok(Self {
            api_keys: keys.map(|key| hmac::sign(&blind, key)).collect(),
            secrets: secrets
                .map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret))
                .collect(),
            blind,
        })
    }

    /// `None` when nothing in the headers can hold.
    pub(crate) fn claim(&self, headers: &HeaderMap, now: UnixMs) -> Option<Claim> {
        let key = single(headers, API_KEY);
        if let Some(key) = key {
            // All are compared, whichever is right.
            let right = self
                .api_keys
                .iter()
                .filter(|tag| hmac::verify(&self.blind, key, tag.as_ref()).is_ok());
            return (right.count() > 0).then_some(Claim::Key);
        }
        if self.secrets.is_empty() {
            return None;
        }
        signed(std::str::from_utf8(single(headers, SIGNATURE)?).ok()?, now)
    }

    /// Whether the body is what was signed.
    pub(crate) fn holds(&self, claim: &Claim, body: &[u8]) -> bool {
        let Claim::Signed { time, tags } = claim else {
            return true;
        };
        let message = [time.as_bytes(), b".", body].concat();
        let pairs = self
            .secrets
            .iter()
            .flat_map(|s| tags.iter().map(move |t| (s, t)));
        let right = pairs.filter(|(secret, tag)| hmac::verify(secret, &message, *tag).is_ok());
        right.count() > 0
    }
}

/// The value of a header that is there once.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then_some(first.as_bytes())
}

/// `t=…,v1=…` with one or two signatures, at a time within the window.
fn signed(value: &str, now: UnixMs) -> Option<Claim> {
    if value.len() > 256 {
        return None;
    }
    let (mut time, mut tags) = (None, Vec::new());
    for part in value.split(',') {
        match part.trim().split_once('=')? {
            ("t", text) if time.is_none() => time = Some(text),
            ("v1", text) if tags.len() < 2 => tags.push(tag_of(text)?),
            _ => return None,
        }
    }
    let time = time.filter(|t| t.len() <= 11 && t.bytes().all(|b| b.is_ascii_digit()))?;
    let at = UnixMs(time.parse::<i64>().ok()?.checked_mul(1000)?);
    let away = now.since(at).max(at.since(now));
    let is_good = away <= CLIP_WEBHOOK_WINDOW && !tags.is_empty();
    is_good.then(|| Claim::Signed {
        time: time.to_owned(),
        tags,
    })
}

fn tag_of(hex: &str) -> Option<[u8; 32]> {
    if hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut tag = [0; 32];
    for (byte, pair) in tag.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(tag)
}
