//! Reading signed tokens (RFC 7515), independently of the code that makes them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use serde_json::Value;
use std::time::{SystemTime, UNIX_EPOCH};

/// A token's two parts.
pub(crate) struct Jwt {
    pub(crate) header: Value,
    pub(crate) claims: Value,
}

pub(crate) fn es256(token: &str, key: &[u8]) -> Option<Jwt> {
    verify(token, key, "ES256", &ECDSA_P256_SHA256_FIXED)
}

pub(crate) fn rs256(token: &str, key: &[u8]) -> Option<Jwt> {
    verify(token, key, "RS256", &RSA_PKCS1_2048_8192_SHA256)
}

fn verify(
    token: &str,
    key: &[u8],
    name: &str,
    algorithm: &'static dyn VerificationAlgorithm,
) -> Option<Jwt> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    let key = UnparsedPublicKey::new(algorithm, key);
    key.verify(signed.as_bytes(), &signature).ok()?;
    let json = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
    let jwt = Jwt {
        header: json(header)?,
        claims: json(claims)?,
    };
    (jwt.header["alg"] == name).then_some(jwt)
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
