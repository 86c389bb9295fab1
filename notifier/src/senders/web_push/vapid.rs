//! Who we are to push services (RFC 8292): one key pair, one token for each service.

use crate::senders::{SenderError, jws};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use kaiwa_common::limits::{VAPID_ORIGINS, VAPID_TOKEN};
use kaiwa_common::redact::Secret;
use kaiwa_common::time::UnixMs;
use kaiwa_platform::outbound::Origin;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::json;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// The server's key pair for Web Push. Subscriptions are bound to it: with another key every one of them is
/// dead, so it is made once and kept.
pub struct VapidKeys {
    pkcs8: Secret<Vec<u8>>,
    pair: EcdsaKeyPair,
}

impl VapidKeys {
    /// New ones.
    ///
    /// # Errors
    /// [`SenderError::Signing`]: the operating system has no randomness.
    pub fn generate() -> Result<Self, SenderError> {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let made = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new());
        Self::from_pkcs8(made.map_err(|_| SenderError::Signing)?.as_ref())
    }

    /// Reads what [`Self::to_text`] gave.
    ///
    /// # Errors
    /// [`SenderError::Key`].
    pub fn from_text(text: &str) -> Result<Self, SenderError> {
        let pkcs8 = URL_SAFE_NO_PAD.decode(text.trim());
        Self::from_pkcs8(&pkcs8.map_err(|_| SenderError::Key("VAPID"))?)
    }

    fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, SenderError> {
        let pair = jws::es256_key(pkcs8)?;
        Ok(Self {
            pkcs8: Secret::new(pkcs8.to_vec()),
            pair,
        })
    }

    /// The private key to be kept: PKCS #8 in base64url, one line.
    #[must_use]
    pub fn to_text(&self) -> Secret<String> {
        Secret::new(URL_SAFE_NO_PAD.encode(self.pkcs8.expose()))
    }

    /// The public key as browsers take it (`applicationServerKey`): an uncompressed point in base64url.
    #[must_use]
    pub fn public_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.pair.public_key())
    }
}

/// Signs for each push service once in a while.
pub(super) struct Vapid {
    keys: VapidKeys,
    subject: String,
    /// By service, what `Authorization` says and from when a new one is needed.
    cached: Mutex<HashMap<Origin, (HeaderValue, UnixMs)>>,
}

impl Vapid {
    pub(super) fn new(keys: VapidKeys, subject: String) -> Result<Self, SenderError> {
        let is_contact = subject.starts_with("mailto:") || subject.starts_with("https://");
        if !is_contact || subject.len() > 256 {
            return Err(SenderError::Setting("the contact is mailto:… or https://…"));
        }
        Ok(Self {
            keys,
            subject,
            cached: Mutex::default(),
        })
    }

    /// What `Authorization` says to that service.
    pub(super) fn authorization(
        &self,
        origin: &Origin,
        now: UnixMs,
    ) -> Result<HeaderValue, SenderError> {
        if let Some((value, until)) = self.lock().get(origin)
            && now < *until
        {
            return Ok(value.clone());
        }
        let expires = now.plus(VAPID_TOKEN);
        let header = json!({ "typ": "JWT", "alg": "ES256" });
        let claims = json!({
            "aud": origin.to_string(), "exp": expires.0 / 1_000, "sub": self.subject,
        });
        let token = jws::es256(&self.keys.pair, &header, &claims)?;
        let value = format!("vapid t={token}, k={}", self.keys.public_text());
        let mut value = HeaderValue::try_from(value).map_err(|_| SenderError::Signing)?;
        value.set_sensitive(true);
        let mut cached = self.lock();
        // People name the services, so there may be any number of them.
        if cached.len() >= VAPID_ORIGINS {
            cached.clear();
        }
        cached.insert(origin.clone(), (value.clone(), now.plus(VAPID_TOKEN / 2)));
        Ok(value)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Origin, (HeaderValue, UnixMs)>> {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kaiwa_platform::outbound::Guard;
    use std::time::Duration;

    fn origin(url: &str) -> Origin {
        let guard = Guard::new(&["127.0.0.0/8"]).expect("a guard");
        guard.check_url(url).expect("a URL").1
    }

    fn claims(value: &HeaderValue) -> serde_json::Value {
        let text = value.to_str().expect("text");
        let token = text
            .strip_prefix("vapid t=")
            .and_then(|text| text.split(',').next());
        let part = token
            .and_then(|token| token.split('.').nth(1))
            .expect("claims");
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
    }

    #[test]
    fn a_token_is_kept_for_its_service_until_half_its_time() {
        let keys = VapidKeys::generate().expect("keys");
        let vapid = Vapid::new(keys, "mailto:ops@example.org".into()).expect("a signer");
        let (here, there) = (
            origin("https://a.example/x"),
            origin("https://127.0.0.1:8080/x"),
        );
        let now = UnixMs(1_800_000_000_000);
        let sign = |origin: &Origin, now| vapid.authorization(origin, now).expect("a token");
        let first = sign(&here, now);
        assert_eq!(claims(&first)["aud"], "https://a.example");
        assert_eq!(claims(&first)["exp"], 1_800_000_000 + 12 * 3600);
        assert_eq!(claims(&first)["sub"], "mailto:ops@example.org");
        assert_eq!(claims(&sign(&there, now))["aud"], "https://127.0.0.1:8080");
        let half = now.plus(VAPID_TOKEN / 2);
        assert_eq!(sign(&here, UnixMs(half.0 - 1)), first);
        assert_ne!(sign(&here, half), first);
        assert!(first.is_sensitive());
        for n in 0..VAPID_ORIGINS + 5 {
            sign(
                &origin(&format!("https://h{n}.example/")),
                now.plus(Duration::from_secs(1)),
            );
        }
        assert!(vapid.lock().len() <= VAPID_ORIGINS);
    }

    #[test]
    fn keys_are_kept_as_text() {
        let keys = VapidKeys::generate().expect("keys");
        let again = VapidKeys::from_text(keys.to_text().expose()).expect("the same");
        assert_eq!(again.public_text(), keys.public_text());
        assert_eq!(
            URL_SAFE_NO_PAD
                .decode(keys.public_text())
                .expect("base64url")
                .len(),
            65
        );
        assert!(VapidKeys::from_text("AAAA").is_err());
        let contact = |text: &str| Vapid::new(VapidKeys::generate().expect("keys"), text.into());
        assert!(contact("ops@example.org").is_err());
    }
}
