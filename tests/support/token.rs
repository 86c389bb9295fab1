//! Tokens made by hand, so that bad ones can be made as well.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::hmac;
use serde_json::{Value, json};

/// A server's secret.
pub(crate) struct Key(Vec<u8>);

impl Key {
    pub(crate) fn new(secret: Vec<u8>) -> Self {
        Self(secret)
    }

    /// What signs another server's tokens.
    pub(crate) fn foreign() -> Self {
        Self(vec![7; 32])
    }

    /// A good token for `ttl_s` seconds.
    pub(crate) fn token(&self, user: &str, ttl_s: i64) -> String {
        self.sign(&claims(user, ttl_s))
    }

    /// These claims, signed with HS256.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_as("HS256", hmac::HMAC_SHA256, claims)
    }

    /// These claims, signed with another algorithm of the same family.
    pub(crate) fn sign_as(&self, name: &str, algorithm: hmac::Algorithm, claims: &Value) -> String {
        let body = format!(
            "{}.{}",
            part(&json!({"alg": name, "typ": "JWT"})),
            part(claims)
        );
        let tag = hmac::sign(&hmac::Key::new(algorithm, &self.0), body.as_bytes());
        format!("{body}.{}", BASE64.encode(tag))
    }
}

/// A token that nobody signed.
pub(crate) fn unsigned(alg: &str, claims: &Value) -> String {
    format!(
        "{}.{}.",
        part(&json!({"alg": alg, "typ": "JWT"})),
        part(claims)
    )
}

/// What a good token says.
pub(crate) fn claims(user: &str, ttl_s: i64) -> Value {
    let now = i64::try_from(super::now_s()).expect("before 292277026596");
    json!({"sub": user, "exp": now + ttl_s, "iat": now, "aud": "kaiwa", "name": user})
}

/// The same token with another name in its claims and the signature it had.
pub(crate) fn tampered(token: &str) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    let claims = BASE64.decode(&parts[1]).expect("base64");
    let mut claims: Value = serde_json::from_slice(&claims).expect("JSON");
    claims["role"] = json!("admin");
    parts[1] = part(&claims);
    parts.join(".")
}

fn part(value: &Value) -> String {
    BASE64.encode(value.to_string())
}
