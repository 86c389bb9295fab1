//! Signed tokens (RFC 7515) as providers ask for them: ES256 and RS256.

use super::SenderError;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;

/// A key on P-256.
pub(super) fn es256_key(pkcs8: &[u8]) -> Result<EcdsaKeyPair, SenderError> {
    let random = SystemRandom::new();
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &random)
        .map_err(|_| SenderError::Key("ES256"))
}

/// The same from PEM (`.p8`).
pub(super) fn es256_key_pem(pem: &str) -> Result<EcdsaKeyPair, SenderError> {
    let key = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes());
    es256_key(
        key.map_err(|_| SenderError::Key("ES256"))?
            .secret_pkcs8_der(),
    )
}

/// An RSA key from PEM.
pub(super) fn rs256_key_pem(pem: &str) -> Result<RsaKeyPair, SenderError> {
    let key = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes());
    let key = key.map_err(|_| SenderError::Key("RS256"))?;
    RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).map_err(|_| SenderError::Key("RS256"))
}

pub(super) fn es256(
    key: &EcdsaKeyPair,
    header: &Value,
    claims: &Value,
) -> Result<String, SenderError> {
    let signed = signed_part(header, claims);
    let signature = key.sign(&SystemRandom::new(), signed.as_bytes());
    let signature = signature.map_err(|_| SenderError::Signing)?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

pub(super) fn rs256(
    key: &RsaKeyPair,
    header: &Value,
    claims: &Value,
) -> Result<String, SenderError> {
    let signed = signed_part(header, claims);
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        signed.as_bytes(),
        &mut signature,
    )
    .map_err(|_| SenderError::Signing)?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

fn signed_part(header: &Value, claims: &Value) -> String {
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    format!("{header}.{claims}")
}
