//! CloudFront's signed cookies, with a custom policy for everything below one clip's prefix.
//!
//! Signed by RSA (PKCS #1 v1.5) with SHA-256, which the fourth cookie says. Without that cookie CloudFront takes SHA-1,
//! which `ring` does not sign with, and nobody should.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kaiwa_common::redact::Secret;
use kaiwa_common::time::UnixMs;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::Value;

/// How it is reached, and who signs.
#[derive(Debug)]
pub struct CloudFrontConfig {
    /// Such as `https://media.example.org`; no path, no `/` at its end.
    pub base: String,
    /// The public key's id in CloudFront, such as `K2JCJMDEHXQW5F`.
    pub key_pair_id: String,
    /// The private key: RSA of 2,048 bits or more, PEM (PKCS #1 or #8).
    pub private_key: Secret<String>,
}

/// The configuration can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSigner {
    /// The address.
    #[error("CloudFront's address is `https://` and a host name")]
    Base,
    /// The key's id.
    #[error("a key pair's id is letters and digits")]
    KeyPairId,
    /// The key.
    #[error("the private key is not RSA in PEM, of 2048 bits or more")]
    Key,
}

/// Signs cookies.
pub struct CloudFront {
    base: String,
    key_pair_id: String,
    key: RsaKeyPair,
}

impl CloudFront {
    /// With this configuration.
    ///
    /// # Errors
    /// [`InvalidSigner`] says what can't be used.
    pub fn new(config: &CloudFrontConfig) -> Result<Self, InvalidSigner> {
        let host = config.base.strip_prefix("https://");
        let is_host = |host: &str| {
            let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-.:".contains(&b);
            !host.is_empty() && host.bytes().all(allowed)
        };
        if !host.is_some_and(is_host) {
            return Err(InvalidSigner::Base);
        }
        let id = &config.key_pair_id;
        if id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(InvalidSigner::KeyPairId);
        }
        let key = PrivateKeyDer::from_pem_slice(config.private_key.expose().as_bytes());
        let key = match key.map_err(|_| InvalidSigner::Key)? {
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
            PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
            // An elliptic curve's, or what is not known yet.
            PrivateKeyDer::Sec1(_) | _ => return Err(InvalidSigner::Key),
        };
        Ok(Self {
            base: config.base.clone(),
            key_pair_id: id.clone(),
            key: key.map_err(|_| InvalidSigner::Key)?,
        })
    }

    /// Where what is below this prefix is.
    #[must_use]
    pub fn url(&self, prefix: &str) -> String {
        format!("{}/{prefix}", self.base)
    }

    /// Cookies that open everything below this prefix until then: name, value.
    ///
    /// # Panics
    /// Never: a buffer of the modulus' length always takes a signature.
    #[must_use]
    pub fn cookies(&self, prefix: &str, expires: UnixMs) -> Vec<(String, String)> {
        let resource = Value::from(format!("{}*", self.url(prefix)));
        let time = expires.0 / 1000;
        // Written here, so that its bytes don't depend on how a library orders members.
        let policy = format!(
            r#"{{"Statement":[{{"Resource":{resource},"Condition":{{"DateLessThan":{{"AWS:EpochTime":{time}}}}}}}]}}"#
        );
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                policy.as_bytes(),
                &mut signature,
            )
            .expect("the buffer is as long as the modulus");
        let cookie = |name: &str, value: String| (format!("CloudFront-{name}"), value);
        vec![
            cookie("Policy", encoded(policy.as_bytes())),
            cookie("Signature", encoded(&signature)),
            cookie("Key-Pair-Id", self.key_pair_id.clone()),
            cookie("Hash-Algorithm", "SHA256".to_owned()),
        ]
    }
}

/// Base64 with the characters that CloudFront takes in cookies.
fn encoded(bytes: &[u8]) -> String {
    STANDARD
        .encode(bytes)
        .replace('+', "-")
        .replace('=', "_")
        .replace('/', "~")
}
